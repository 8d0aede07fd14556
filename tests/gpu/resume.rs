//! Tests of resuming on a GPU: with the same bits, on another device, for more epochs, or at another learning rate.

use std::path::Path;
use std::time::Duration;

use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::Arithmetic;
use tonic_toolkit::train::run::{Config, LrChange};

use crate::is_real;
use crate::runs::{assert_same, bytes, epochs, interrupted, kill_again_and_again, where_is};
use crate::sets::{self, Spec, assert_says, fails, learnable, succeeds};
use crate::trainer::{fit, fitted, start};

#[test]
fn ctrl_c_saves_the_run_and_resume_comes_to_the_same_bits_from_another_cache() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(480, 64).write(&dir.path().join("train"), learnable(1));
    let epochs = if is_real() { 500 } else { 1 };
    let (iaf, lif) = ("--hidden 8,8", "--preset lif --hidden 8"); // lif has norms and dropout
    for (network, cache, other) in [(iaf, "device", "stream"), (iaf, "stream", "device"), (lif, "stream", "device")] {
        let arguments = format!("--epochs {epochs} --batch-size 2 {network}");
        let whole = fitted(dir.path(), "whole", &format!("{arguments} --cache device --overwrite"));
        let stopped = dir.path().join(cache);
        let begin = |resume| {
            let more = if resume { " --resume" } else { " --overwrite" };
            start(dir.path(), cache, &format!("{arguments} --cache {cache}{more}"))
        };
        let stderr = interrupted(begin, &stopped, Duration::from_millis(150));
        let (epochs_done, batches_done) = where_is(&stopped);
        let place = format!("after batch {batches_done} of epoch {}; ", epochs_done + 1);
        assert_says(&stderr, &[&place, "; run the same command with --resume"]);
        let resume = format!("{arguments} --resume --cache {other}");
        let stderr = succeeds(&mut fit(dir.path(), cache, &resume));
        assert!(!stderr.contains("rounding"), "{stderr}");
        assert_same(&whole, &stopped);
    }
}

#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(40, 8).write(&dir.path().join("train"), learnable(1));
    let epochs = if is_real() { 500 } else { 15 };
    let arguments = format!("--valid DIR/train --epochs {epochs} --hidden 8,8 --batch-size 14");
    let whole = fitted(dir.path(), "whole", &arguments);
    let killed = dir.path().join("killed");
    let (child, dir) = (start(dir.path(), "killed", &arguments), &dir);
    let resumes = ["stream", "device", "host"].iter().cycle().take(9).map(|cache| {
        let line = format!("{arguments} --cache {cache} --resume");
        move || start(dir.path(), "killed", &line)
    });
    assert!(kill_again_and_again(child, &killed, 100, resumes) >= 3);
    fitted(dir.path(), "killed", &format!("{arguments} --resume"));
    assert_same(&whole, &killed);
    assert!(bytes(&whole, "best.safetensors") == bytes(&killed, "best.safetensors"));
}

/// Returns whether a CPU or a GPU trained the run last, and with which precision.
fn arithmetic(run: &Path) -> (Arithmetic, MatmulPrecision) {
    let config = Config::read(run).unwrap();
    (config.device, config.matmul_precision)
}

#[test]
fn a_run_goes_on_elsewhere_and_says_that_rounding_is_another() {
    let dir = sets::task();
    let run = fitted(dir.path(), "run", "--epochs 1");
    assert_eq!(arithmetic(&run), (Arithmetic::Cuda, MatmulPrecision::Highest));
    let says = |stderr: String, words: &str| assert_says(&stderr, &[words]);
    let on_cpu = |others: &str| succeeds(&mut sets::fit(dir.path(), "run", &format!("--device cpu --resume {others}")));
    let on_gpu = |others: &str| succeeds(&mut fit(dir.path(), "run", &format!("--resume {others}")));
    says(
        on_cpu("--epochs 2"),
        "device   rounding is of cpu at highest precision from here on, of cuda at highest precision before",
    );
    assert_eq!(arithmetic(&run), (Arithmetic::Cpu, MatmulPrecision::Highest));
    says(on_gpu("--epochs 3 --matmul-precision high"), "rounding is of cuda at high precision from here on, of cpu at");
    assert_eq!(arithmetic(&run), (Arithmetic::Cuda, MatmulPrecision::High));
    assert!(!on_gpu("--epochs 4").contains("rounding"), "a resumed run keeps its precision");
    says(
        on_gpu("--epochs 5 --matmul-precision highest"),
        "rounding is of cuda at highest precision from here on, of cuda at high precision before",
    );
    // Apart from rounding, the result is that of a run on the CPU alone.
    succeeds(&mut sets::fit(dir.path(), "cpu", "--device cpu --epochs 5 --quiet"));
    for (ours, theirs) in epochs(&run).iter().zip(epochs(&dir.path().join("cpu"))) {
        let apart = (ours.train.loss - theirs.train.loss).abs();
        assert!(apart < 0.05 * theirs.train.loss, "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_run_goes_on_longer_and_at_another_rate() {
    let dir = sets::task();
    let small = "--hidden 8,8 --batch-size 40";
    fitted(dir.path(), "whole", &format!("{small} --epochs 4 --cache device"));
    let run = fitted(dir.path(), "run", &format!("{small} --epochs 2 --cache stream"));
    fails(&mut fit(dir.path(), "run", &format!("{small} --resume --seed 1")), 4, &["seed", "config.toml"]);
    fitted(dir.path(), "run", &format!("{small} --epochs 4 --resume"));
    assert_same(&dir.path().join("whole"), &run);
    // A resume with fewer epochs than are done changes nothing.
    fitted(dir.path(), "run", &format!("{small} --epochs 1 --resume"));
    assert_same(&dir.path().join("whole"), &run);

    let stderr = succeeds(&mut fit(dir.path(), "run", &format!("{small} --epochs 6 --resume --lr 0.001")));
    assert!(stderr.contains("lr       0.001 from here on, 0.01 before"), "{stderr}");
    assert_eq!(Config::read(&run).unwrap().lr_changes, [LrChange { epochs_done: 4, batches_done: 0, lr: 0.001 }]);
    for epochs in [5, 6] {
        fitted(dir.path(), "whole", &format!("{small} --epochs {epochs} --resume --lr 0.001 --cache host"));
    }
    assert_same(&dir.path().join("whole"), &run);
}
