//! Tests of sets that change during training, folders that two runs write to, diverging losses, and threads that panic.

use std::fs::{OpenOptions, read, write};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use tempfile::TempDir;
use tonic_toolkit::base::{Error as BaseError, Verbosity};
use tonic_toolkit::loader::{CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::{Decoder, Error as ShardError, ShardSet};
use tonic_toolkit::train::Error;
use tonic_toolkit::train::MatmulPrecision;
use tonic_toolkit::train::engine::EngineChoice;
use tonic_toolkit::train::learner::Backend;
use tonic_toolkit::train::run::fit as fit_here;
use tonic_toolkit::train::run::{Config, LrChange};

use crate::resume::start;
use crate::runs::{assert_same, bytes, small_fit, threads, wait_for, where_is};
use crate::sets::{self, Sample, Spec, assert_says, eval, fails, fit, fit_arguments, learnable, succeeds};

/// Makes a folder with a training set that takes some time to train on.
fn long_task() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(1000, 64).write(&dir.path().join("train"), learnable(1));
    dir
}

fn cut_short(shard: &Path) {
    OpenOptions::new().write(true).open(shard).unwrap().set_len(1000).unwrap();
}

#[test]
fn a_shard_damaged_or_cut_short_while_training_ends_the_run_that_its_repair_lets_go_on() {
    let dir = long_task();
    let (set, shard) = (dir.path().join("train"), dir.path().join("train/00001.shard"));
    let whole = read(&shard).unwrap();
    let flip: &dyn Fn() = &|| drop(sets::corrupt_chunk(&set, 7));
    for (name, damage, words) in [
        ("damaged", flip, ["chunk 7 (samples 448 to 511)", "expected xxh3"]),
        ("short", &|| cut_short(&shard), ["file length (chunk ", "got 1000"]),
    ] {
        let run = dir.path().join(name);
        let child = start(dir.path(), name, "--cache stream --epochs 1000000 --quiet");
        wait_for("first epoch", || run.join("metrics.jsonl").exists());
        damage();
        let (code, stderr) = sets::outcome(&child.wait_with_output().unwrap());
        assert_eq!(code, Some(4), "{stderr}");
        assert_says(&stderr, &[&["00001.shard: corrupt: "], &words[..]].concat());
        let more = "--cache stream --resume --epochs 1000000 --quiet";
        fails(&mut fit(dir.path(), name, more), 4, &["00001.shard"]);
        OpenOptions::new().write(true).open(&shard).unwrap().write_all_at(&whole, 0).unwrap();
        let (epochs_done, _) = where_is(&run);
        let epochs = format!("--epochs {} --quiet", epochs_done + 1);
        succeeds(&mut fit(dir.path(), name, &format!("--cache stream --resume {epochs}")));
        succeeds(&mut fit(dir.path(), &format!("{name}-plain"), &epochs));
        assert_same(&run, &dir.path().join(format!("{name}-plain")));
    }
}

#[test]
fn a_run_goes_on_where_a_shard_is_removed_or_is_in_memory() {
    let dir = long_task();
    let shard = dir.path().join("train/00001.shard");
    let whole = read(&shard).unwrap();
    succeeds(&mut fit(dir.path(), "plain", "--epochs 40 --quiet"));
    let remove: &dyn Fn() = &|| std::fs::remove_file(&shard).unwrap();
    for (cache, damage) in [("stream", remove), ("host", remove), ("host", &|| cut_short(&shard))] {
        let run = dir.path().join("run");
        let mut child = start(dir.path(), "run", &format!("--cache {cache} --epochs 40 --quiet --overwrite"));
        wait_for("first epoch", || run.join("metrics.jsonl").exists());
        damage();
        assert!(child.try_wait().unwrap().is_none(), "it was over before the shard was gone");
        assert_eq!(sets::outcome(&child.wait_with_output().unwrap()), (Some(0), String::new()));
        assert_same(&run, &dir.path().join("plain"));
        fails(&mut fit(dir.path(), "run", "--resume --epochs 41"), 4, &["00001.shard"]);
        write(&shard, &whole).unwrap();
        std::fs::remove_dir_all(run).unwrap();
    }
}

#[test]
fn a_file_that_is_cut_and_mended_all_the_time_is_an_error_and_no_signal() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(4000, 4000).write(&dir.path().join("set"), learnable(1));
    let set = ShardSet::open(&dir.path().join("set")).unwrap();
    let path = set.shards()[0].path();
    let whole = read(path).unwrap();
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let over = AtomicBool::new(false);
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                file.set_len(4096).unwrap();
                file.set_len(whole.len() as u64).unwrap();
            }
        });
        for _ in 0..60_000 {
            match set.decode(0, &mut decoder, &mut chunk) {
                Err(ShardError::Base(BaseError::Corrupt { .. })) => {}
                // The file had its full length again between the failed read and the check of its length.
                Err(ShardError::Base(BaseError::Io { source, .. }))
                    if source.kind() == std::io::ErrorKind::UnexpectedEof => {}
                other => assert!(other.is_ok(), "{other:?}"), // before the first cut
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    file.write_all_at(&whole, 0).unwrap();
    set.decode(0, &mut decoder, &mut chunk).unwrap();
}

#[test]
fn two_runs_never_write_to_one_folder() {
    let dir = long_task();
    let run = dir.path().join("run");
    let mut child = start(dir.path(), "run", "--epochs 1000000 --quiet");
    wait_for("first checkpoint", || run.join("checkpoint.safetensors").exists());
    for others in ["--epochs 1000000", "--resume", "--overwrite"] {
        fails(&mut fit(dir.path(), "run", others), 1, &["run is being written by another process"]);
    }
    wait_for("epoch after that", || run.join("metrics.jsonl").exists());
    child.kill().unwrap();
    child.wait().unwrap();
    // The system has released the lock of the killed run.
    assert!(run.join(".lock").exists());
    let epochs = where_is(&run).0 + 1;
    succeeds(&mut fit(dir.path(), "run", &format!("--resume --quiet --epochs {epochs}")));
    assert!(!run.join(".lock").exists());
}

#[test]
fn a_run_that_diverged_goes_on_from_the_checkpoint_that_it_names_at_a_smaller_rate() {
    let dir = sets::task();
    let run = dir.path().join("run");
    let rates = || Config::read(&run).map(|config| (config.lr, config.lr_changes)).unwrap();
    let diverges = |others: &str, place: &str, below: &str| {
        let file = run.join("checkpoint.safetensors");
        let words = [file.to_str().unwrap(), place, "--resume", below];
        fails(&mut fit(dir.path(), "run", others), 5, &words);
        assert!(file.exists());
    };
    diverges("--lr 1e30", "epoch 1, batch 2: the last good checkpoint is ", "an --lr below 1e30");
    diverges("--lr 1e30 --resume", ", before the first batch;", "an --lr below 1e30");
    // The result is that of a run at this rate from the start: nothing was trained at the other rate.
    succeeds(&mut fit(dir.path(), "run", "--resume --epochs 2 --quiet"));
    succeeds(&mut fit(dir.path(), "plain", "--epochs 2 --quiet"));
    assert_same(&run, &dir.path().join("plain"));
    assert_eq!(rates(), (0.01, vec![]));

    diverges("--resume --epochs 5 --lr 1e30", "checkpoint.safetensors, after epoch 2;", "an --lr below 1e30");
    let stderr = succeeds(&mut fit(dir.path(), "run", "--resume --epochs 5 --lr 0.002"));
    assert!(stderr.contains("lr       0.002 from here on, 1e30 before"), "{stderr}");
    let change = LrChange { epochs_done: 2, batches_done: 0, lr: 0.002 };
    assert_eq!(rates(), (0.01, vec![change]));
    // Then a change of the rate between epochs. Without --lr, the last rate stays.
    succeeds(&mut fit(dir.path(), "plain", "--resume --epochs 3 --lr 0.002 --quiet"));
    let mut resume = sets::train();
    resume.args(fit_arguments(dir.path(), "plain", "--resume --epochs 5 --quiet").into_iter().filter(no_rate()));
    succeeds(&mut resume);
    assert_same(&run, &dir.path().join("plain"));
    assert_eq!(Config::read(&dir.path().join("plain")).unwrap(), Config::read(&run).unwrap());
}

/// Returns a filter that drops `--lr` and its value from a list of arguments.
fn no_rate() -> impl FnMut(&String) -> bool {
    let mut value = false;
    move |word| !std::mem::replace(&mut value, word == "--lr") && word != "--lr"
}

#[test]
fn the_test_sets_result_is_kept_for_as_long_as_it_is_the_models() {
    let dir = sets::task();
    let file = dir.path().join("run/test.json");
    let stderr = succeeds(&mut fit(dir.path(), "run", "--epochs 2 --test DIR/valid"));
    assert!(stderr.contains("done     2 epochs in "), "{stderr}");
    let evaluated = || eval(dir.path(), "run", "valid").arg("--json").output().unwrap().stdout;
    assert!(read(&file).unwrap() == evaluated());
    succeeds(&mut fit(dir.path(), "run", "--resume --epochs 2 --quiet"));
    assert!(file.exists(), "the model is the same");
    succeeds(&mut fit(dir.path(), "run", "--resume --epochs 3 --quiet"));
    assert!(!file.exists(), "the model is another");
    succeeds(&mut fit(dir.path(), "run", "--resume --epochs 3 --quiet --test DIR/valid"));
    assert!(read(&file).unwrap() == evaluated());
    succeeds(&mut fit(dir.path(), "run", "--overwrite --epochs 1 --quiet"));
    assert!(!file.exists());
}

#[test]
fn of_epochs_that_are_equally_good_the_first_is_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let one_class = Spec { classes: vec!["all".into()], ..Spec::new(20, 6) };
    one_class.write(&dir.path().join("train"), |i| Sample { label: 0, ..learnable(1)(i) });
    let [first, whole, parts] = ["first", "whole", "parts"].map(|run| dir.path().join(run));
    succeeds(&mut fit(dir.path(), "first", "--epochs 1 --quiet --valid DIR/train --min-v-mem -1"));
    succeeds(&mut fit(dir.path(), "whole", "--epochs 3 --quiet --valid DIR/train --min-v-mem -1"));
    for epochs in 1..=3 {
        let resume = if epochs > 1 { "--resume" } else { "" };
        let others = format!("--epochs {epochs} {resume} --quiet --valid DIR/train --min-v-mem -1");
        succeeds(&mut fit(dir.path(), "parts", &others));
    }
    for run in [&whole, &parts] {
        assert!(bytes(run, "best.safetensors") == bytes(&first, "model.safetensors"));
    }
    assert_same(&whole, &parts);
}

#[test]
fn no_thread_outlives_its_run() {
    let dir = sets::task();
    sets::corrupt_chunk(&dir.path().join("valid"), 3);
    rayon::current_num_threads(); // starts the process's own thread pool, which belongs to no run
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).thread_name(|i| format!("a run {i}")).build().unwrap();
    let run = |train: &str, lr: f64| {
        let fit = small_fit(dir.path(), train, lr, Backend::cpu(EngineChoice::Fused, MatmulPrecision::Highest));
        pool.install(|| fit_here(&fit)).map(|fitted| fitted.epochs.len())
    };
    let all_gone = || wait_for("end of a thread", || threads("a run") == 2);
    all_gone();
    assert_eq!(run("train", 0.01).unwrap(), 3);
    all_gone();
    assert!(matches!(run("valid", 0.01), Err(fault) if fault.to_string().contains(": corrupt: ")));
    all_gone();
    assert!(matches!(run("train", 1e30), Err(Error::Diverged { .. })));
    all_gone();

    // A worker panics in a step: the message is printed, and no thread is left over.
    let set = ShardSet::open(&dir.path().join("train")).unwrap();
    let loader = Loader::new(set, CacheChoice::Stream, Verbosity::Quiet).unwrap();
    let step = |batch: &tonic_toolkit::loader::Batch| {
        assert_eq!(threads("a run"), 3, "the loader's thread is not seen");
        batch.labels.par_iter().for_each(|_| panic!("a worker of the step"));
        Ok::<_, Error>(true)
    };
    let epoch = || pool.install(|| loader.epoch(EpochOrder::Sequential, 4, 0, step));
    let panic = catch_unwind(AssertUnwindSafe(epoch)).unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"a worker of the step"));
    all_gone();
}

#[test]
fn a_label_beyond_the_readout_is_refused_by_training_and_evaluation() {
    let dir = sets::with_a_label_beyond();
    succeeds(&mut fit(dir.path(), "run", "--quiet"));
    // Several threads unpack chunks, so any of the faults may be found first.
    let words = ["00000.shard: corrupt: chunk ", ": label of sample ", "expected below 1, got "];
    fails(&mut eval(dir.path(), "run", "beyond"), 4, &words);
    fails(&mut sets::predict_on("cpu", dir.path(), "run", "beyond", "out"), 4, &words);
    assert!(!dir.path().join("out").exists());
    let before = bytes(&dir.path().join("run"), "checkpoint.safetensors");
    fails(&mut fit(dir.path(), "run", "--resume --epochs 3 --valid DIR/beyond"), 4, &words);
    assert!(bytes(&dir.path().join("run"), "checkpoint.safetensors") == before);
    for cache in ["host", "stream"] {
        for engine in sets::ENGINES {
            let others = format!("--train DIR/beyond --cache {cache} --engine {engine} --overwrite");
            fails(&mut fit(dir.path(), "bad", &others), 4, &words);
        }
    }
}
