//! Tests of runs of networks with norms, dropout and other neurons on a GPU: the losses of the CPU, the same bits from
//! every cache and after a resume, and the choice of the device.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tonic_toolkit::train::engine::Arithmetic;
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, bytes, epochs};
use crate::sets::{self, assert_says, fails, json, succeeds};
use crate::trainer::{eval, on_gpu};

const SILIF: &str = "init_state = \"uniform\"
layers = [
  { linear = 20, bias = false, init = \"xavier\" },
  { norm = \"batch\" },
  { neuron = \"silif\" },
  { dropout = 0.3 },
  { linear = 12 },
  { norm = \"batch\" },
  { neuron = \"lif\" },
  { dropout = 0.5, mask = \"sample\" },
  { linear = \"classes\", bias = false },
  { norm = \"batch\" },
  { readout = \"leaky\" },
]

[training]
lr = 0.01
batch-size = 14
";

fn task() -> tempfile::TempDir {
    let dir = sets::task();
    std::fs::write(dir.path().join("silif.toml"), SILIF).unwrap();
    std::fs::write(dir.path().join("adlif.toml"), SILIF.replace("silif", "adlif")).unwrap();
    let augment =
        "[[transform]]\nname = \"DropEvent\"\np = [0.0, 0.3]\n[[transform]]\nname = \"TimeJitter\"\nstd = 1.0\n";
    std::fs::write(dir.path().join("augment.toml"), augment).unwrap();
    dir
}

/// Returns the command of a small fit.
fn fit(dir: &Path, device: &str, run: &str, others: &str) -> Command {
    on_gpu(sets::network_fit(dir, run, &format!("--device {device} {others}")))
}

/// Runs a fit, which must succeed. Returns the run's folder.
fn fitted(dir: &Path, device: &str, run: &str, others: &str) -> PathBuf {
    succeeds(&mut fit(dir, device, run, &format!("--quiet {others}")));
    dir.join(run)
}

fn losses_agree(gpu: &Path, cpu: &Path) {
    let (ours, theirs) = (epochs(gpu), epochs(cpu));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        for (ours, theirs) in [(ours.train, theirs.train), (ours.valid.unwrap(), theirs.valid.unwrap())] {
            assert!((ours.loss - theirs.loss).abs() < 2e-3 * theirs.loss, "{ours:?} on the GPU, {theirs:?} on the CPU");
        }
    }
}

#[test]
fn a_run_has_the_cpus_losses_and_the_same_bits_from_every_cache_and_after_a_resume() {
    let dir = task();
    let line = "--network DIR/silif.toml --valid DIR/valid --test DIR/valid --clip-norm 1 --spike-rate 0.01,0.2 \
                --spike-rate-weight 1";
    let run = fitted(dir.path(), "cuda:0", "device", &format!("{line} --epochs 3 --cache device"));
    losses_agree(&run, &fitted(dir.path(), "cpu", "cpu", &format!("{line} --epochs 3")));
    fitted(dir.path(), "cuda:0", "stream", &format!("{line} --epochs 1 --cache stream"));
    let resumed = fitted(dir.path(), "cuda:0", "stream", &format!("{line} --epochs 3 --cache host --resume"));
    assert_same(&run, &resumed);
    assert!(bytes(&run, "test.json") == bytes(&resumed, "test.json"));
    // An evaluation uses the running statistics of the run.
    let (ours, theirs) =
        (json(&mut eval(dir.path(), "device", "valid")), json(&mut sets::eval(dir.path(), "device", "valid")));
    let loss = |of: &Value| of["loss"].as_f64().unwrap();
    assert!((loss(&ours) - loss(&theirs)).abs() < 1e-4 * loss(&theirs), "{ours} {theirs}");
    assert_eq!(ours["confusion"], theirs["confusion"]);
}

#[test]
fn samples_are_changed_at_random_as_on_the_cpu() {
    let dir = task();
    let line = "--network DIR/silif.toml --valid DIR/valid --epochs 2 --augment DIR/augment.toml";
    let run = fitted(dir.path(), "cuda:0", "gpu", line);
    assert_same(&run, &fitted(dir.path(), "cuda:0", "stream", &format!("{line} --cache stream")));
    losses_agree(&run, &fitted(dir.path(), "cpu", "cpu", line));
    let words = ["--cache: expected cache host or stream with --augment", "got device"];
    fails(&mut fit(dir.path(), "cuda:0", "none", &format!("{line} --cache device")), 2, &words);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_network_beyond_the_kernels_is_refused_or_left_to_the_cpu() {
    let dir = task();
    let line = "--network DIR/adlif.toml --epochs 1";
    let why = "the kernels of a GPU don't compute adlif yet";
    fails(&mut fit(dir.path(), "cuda", "run", line), 2, &[why, "--device cpu trains with it"]);
    assert!(!dir.path().join("run").exists());
    let stderr = succeeds(&mut fit(dir.path(), "auto", "run", line));
    assert_says(&stderr, &[&format!("device   cpu: {why}\n")]);
    assert_eq!(Config::read(&dir.path().join("run")).unwrap().device, Arithmetic::Cpu);
    let evaluated = json(&mut on_gpu(sets::eval_on("auto", dir.path(), "run", "valid")));
    assert_eq!(evaluated, json(&mut sets::eval(dir.path(), "run", "valid")));
    fails(&mut eval(dir.path(), "run", "valid"), 2, &[why]);
    succeeds(&mut fit(dir.path(), "auto", "run", &format!("{line} --resume")));
}
