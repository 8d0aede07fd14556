//! Tests that training on a GPU fails with the same message and the same exit code as on the CPU.

use std::fs::read;

use tonic_toolkit::loader::CacheChoice;
use tonic_toolkit::train::Error;
use tonic_toolkit::train::run::{Config, LrChange};
use tonic_toolkit::train::run::{FitOptions, fit as fit_here};

use crate::runs::{assert_same, bytes, small_fit, threads, wait_for, where_is};
use crate::sets::{self, Spec, assert_says, fails, learnable};
use crate::trainer::{eval, fit, fitted, start};
use crate::{backend, is_real};

#[test]
fn a_diverged_run_says_where_as_the_cpus_does_and_keeps_its_last_good_checkpoint() {
    let dir = sets::task();
    // Weights that overflow in training, in validation, and in the last update.
    for others in ["--lr 1e30", "--lr 1e37 --batch-size 1000 --valid DIR/valid", "--lr 1e300 --batch-size 1000"] {
        let cpu =
            fails(&mut sets::fit(dir.path(), "run", &format!("{others} --quiet --device cpu --overwrite")), 5, &[]);
        for cache in ["device", "stream"] {
            let words = format!("{others} --quiet --cache {cache}");
            let gpu =
                fails(&mut fit(dir.path(), "run", &format!("{words} --overwrite")), 5, &["last good checkpoint is "]);
            assert_eq!(place(&gpu), place(&cpu), "{others}, {cache}");
            let before = bytes(&dir.path().join("run"), "checkpoint.safetensors");
            assert!(!dir.path().join("run/model.safetensors").exists(), "a model that diverged");
            let again = fails(&mut fit(dir.path(), "run", &format!("{words} --resume")), 5, &[]);
            assert_eq!(place(&again), place(&cpu));
            assert!(bytes(&dir.path().join("run"), "checkpoint.safetensors") == before);
        }
    }
}

/// Returns the part of a diverged run's message after "at epoch". The part before it has the loss, which can differ
/// between devices.
fn place(stderr: &str) -> &str {
    stderr.split_once(" at epoch ").unwrap().1
}

#[test]
fn a_run_that_diverged_goes_on_from_its_checkpoint_at_a_smaller_rate() {
    let dir = sets::task();
    let run = dir.path().join("run");
    fails(&mut fit(dir.path(), "run", "--lr 1e30"), 5, &["epoch 1, batch 2: ", "before the first batch", "below 1e30"]);
    fitted(dir.path(), "run", "--resume --epochs 2");
    let plain = fitted(dir.path(), "plain", "--epochs 2");
    assert_same(&run, &plain);

    fails(&mut fit(dir.path(), "run", "--resume --epochs 4 --lr 1e30"), 5, &["epoch 3, batch 2: ", "after epoch 2;"]);
    fitted(dir.path(), "run", "--resume --epochs 4 --lr 0.002");
    fitted(dir.path(), "plain", "--resume --epochs 4 --lr 0.002");
    assert_same(&run, &plain);
    assert_eq!(Config::read(&run).unwrap().lr_changes, [LrChange { epochs_done: 2, batches_done: 0, lr: 0.002 }]);
}

#[test]
fn a_chunk_damaged_before_training_is_named_as_by_the_cpu() {
    let dir = sets::task();
    sets::corrupt_chunk(&dir.path().join("train"), 9);
    fails(&mut fit(dir.path(), "run", "--cache device"), 4, &["00001.shard: corrupt: ", "chunk 9 (samples 72 to 79)"]);
    assert!(!dir.path().join("run").exists());
    let cpu = fails(&mut sets::fit(dir.path(), "run", "--quiet --device cpu --cache stream"), 4, &["chunk 9"]);
    for cache in ["device", "host", "stream"] {
        assert_eq!(fails(&mut fit(dir.path(), "run", &format!("--quiet --overwrite --cache {cache}")), 4, &[]), cpu);
    }
    // A damaged validation set: found when it is copied to the device, or when it is read from the shards after an
    // epoch.
    std::fs::rename(dir.path().join("train"), dir.path().join("damaged")).unwrap();
    Spec::new(120, 8).write(&dir.path().join("train"), learnable(1));
    for cache in ["device", "stream"] {
        let others = format!("--overwrite --valid DIR/damaged --cache {cache}");
        fails(&mut fit(dir.path(), "run", &others), 4, &["damaged/00001.shard: corrupt: ", "chunk 9"]);
    }
    fitted(dir.path(), "trained", "--epochs 1");
    let eval = fails(&mut eval(dir.path(), "trained", "damaged"), 4, &["damaged/00001.shard: corrupt: ", "chunk 9"]);
    assert!(!eval.contains("panicked"));
}

#[test]
fn a_chunk_damaged_while_training_ends_the_run_that_its_repair_lets_go_on() {
    let dir = sets::task();
    let shard = dir.path().join("train/00001.shard");
    let (whole, run) = (read(&shard).unwrap(), dir.path().join("run"));
    let small = "--hidden 8,8 --batch-size 40 --cache stream";
    let child = start(dir.path(), "run", &format!("{small} --epochs 1000000"));
    wait_for("first epoch", || run.join("metrics.jsonl").exists());
    sets::corrupt_chunk(&dir.path().join("train"), 9);
    let (code, stderr) = sets::outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(4), "{stderr}");
    assert_says(&stderr, &["00001.shard: corrupt: ", "chunk 9 (samples 72 to 79)"]);
    fails(&mut fit(dir.path(), "run", &format!("{small} --resume --epochs 1000000")), 4, &["00001.shard"]);
    std::fs::write(&shard, &whole).unwrap();
    let epochs = where_is(&run).0 + 1;
    fitted(dir.path(), "run", &format!("{small} --resume --epochs {epochs}"));
    assert_same(&run, &fitted(dir.path(), "plain", &format!("{small} --epochs {epochs}")));
}

#[test]
fn a_set_in_device_memory_is_not_read_again() {
    let dir = sets::task();
    let (run, shard) = (dir.path().join("run"), dir.path().join("train/00001.shard"));
    let epochs = if is_real() { 1000 } else { 10 };
    let small = format!("--hidden 8,8 --batch-size 40 --epochs {epochs}");
    let plain = fitted(dir.path(), "plain", &small);
    let mut child = start(dir.path(), "run", &format!("{small} --cache device"));
    wait_for("first epoch", || run.join("metrics.jsonl").exists());
    std::fs::remove_file(shard).unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it was over before the shard was gone");
    assert_eq!(sets::outcome(&child.wait_with_output().unwrap()), (Some(0), String::new()));
    assert_same(&run, &plain);
}

#[test]
fn a_label_beyond_the_readout_is_refused_by_training_and_evaluation() {
    let dir = sets::with_a_label_beyond();
    fitted(dir.path(), "run", "");
    // Several threads unpack chunks, so any of the faults may be found first.
    let words = ["00000.shard: corrupt: chunk ", ": label of sample ", "expected below 1, got "];
    fails(&mut eval(dir.path(), "run", "beyond"), 4, &words);
    let before = bytes(&dir.path().join("run"), "checkpoint.safetensors");
    for cache in ["device", "host", "stream"] {
        let valid = format!("--resume --epochs 3 --valid DIR/beyond --cache {cache}");
        fails(&mut fit(dir.path(), "run", &valid), 4, &words);
        assert!(bytes(&dir.path().join("run"), "checkpoint.safetensors") == before);
        let beyond = format!("--train DIR/beyond --overwrite --cache {cache}");
        fails(&mut fit(dir.path(), "bad", &beyond), 4, &words);
    }
}

#[test]
fn no_thread_outlives_its_run() {
    let dir = sets::task();
    sets::corrupt_chunk(&dir.path().join("valid"), 3);
    rayon::current_num_threads(); // starts the process's own thread pool, which belongs to no run
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).thread_name(|i| format!("gpu run {i}")).build().unwrap();
    let run = |train: &str, cache: CacheChoice, lr: f64| {
        let backend = backend();
        let fit =
            FitOptions { epochs: Some(2), batch_size: Some(8), cache, ..small_fit(dir.path(), train, lr, backend) };
        pool.install(|| fit_here(&fit)).map(|fitted| fitted.epochs.len())
    };
    let all_gone = || wait_for("end of a thread", || threads("gpu run") == 2);
    all_gone();
    for cache in [CacheChoice::Device, CacheChoice::Stream] {
        assert_eq!(run("train", cache, 0.01).unwrap(), 2);
        all_gone();
        assert!(matches!(run("valid", cache, 0.01), Err(fault) if fault.to_string().contains(": corrupt: ")));
        all_gone();
        assert!(matches!(run("train", cache, 1e30), Err(Error::Diverged { epoch: 1, batch: 2, .. })));
        all_gone();
    }
}
