//! A small run in this process, and what any run leaves behind, for the tests of any device: its files and metrics, its
//! threads, and where it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::CacheChoice;
use tonic_toolkit::train::AdamConfig;
use tonic_toolkit::train::learner::{Backend, Pad};
use tonic_toolkit::train::run::{Checkpoint, Config, EpochMetrics, FitOptions};

/// A run's epochs, without the times that they took.
pub(crate) fn epochs(run: &Path) -> Vec<EpochMetrics> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut epochs: Vec<EpochMetrics> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (i, epoch) in epochs.iter_mut().enumerate() {
        assert_eq!(epoch.epoch, i as u64 + 1);
        assert!(epoch.seconds > 0.0 && epoch.samples_per_second >= 0.0);
        (epoch.seconds, epoch.batches_per_second, epoch.samples_per_second) = (0.0, 0.0, 0.0);
    }
    epochs
}

/// A file of a run.
pub(crate) fn bytes(run: &Path, name: &str) -> Vec<u8> {
    std::fs::read(run.join(name)).unwrap()
}

/// Both runs came to the same bits.
pub(crate) fn assert_same(run: &Path, other: &Path) {
    for name in ["model.safetensors", "checkpoint.safetensors"] {
        assert!(bytes(run, name) == bytes(other, name), "{name} differs");
    }
    assert_eq!(epochs(run), epochs(other));
}

/// Waits until something is there, which takes no five minutes.
pub(crate) fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(300), "no {what} within five minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Epochs done, and batches of the next, by the checkpoint.
pub(crate) fn where_is(run: &Path) -> (u64, u64) {
    let parameters = Config::read(run).unwrap().network.shape().parameters();
    let checkpoint = Checkpoint::read(run, parameters, AdamConfig::default()).unwrap();
    (checkpoint.epochs_done, checkpoint.batches_done)
}

/// How many threads of this process have a name that begins so; a thread has its maker's, if it was given none.
pub(crate) fn threads(name: &str) -> usize {
    let named = |task: PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name));
    Path::new("/proc/self/task").read_dir().unwrap().filter(|task| named(task.as_ref().unwrap().path())).count()
}

/// A fit in this process, of one layer of 8 neurons on the shards of `dir/train`.
pub(crate) fn small_fit(dir: &Path, train: &str, lr: f64, backend: Backend) -> FitOptions {
    FitOptions {
        train: dir.join(train),
        valid: None,
        test: None,
        run: dir.join("run"),
        epochs: 3,
        batch_size: 16,
        hidden: vec![8],
        min_v_mem: None,
        lr: Some(lr),
        seed: 0,
        backend,
        pad: Pad::Fixed,
        cache: CacheChoice::Stream,
        pin: false,
        drop_last: false,
        resume: false,
        overwrite: true,
        verbosity: Verbosity::Quiet,
    }
}
