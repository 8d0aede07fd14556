//! What a run leaves behind, for the tests of any device: its files and metrics, and where it is.

use std::path::Path;
use std::time::{Duration, Instant};

use tonic_toolkit::train::checkpoint::Checkpoint;
use tonic_toolkit::train::config::Config;
use tonic_toolkit::train::kernel::adam::AdamConfig;
use tonic_toolkit::train::metrics::{self, EpochMetrics};

/// A run's epochs, without the times that they took.
pub fn epochs(run: &Path) -> Vec<EpochMetrics> {
    let lines = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count();
    let mut epochs = metrics::read(run, lines).unwrap();
    for (i, epoch) in epochs.iter_mut().enumerate() {
        assert_eq!(epoch.epoch, i as u64 + 1);
        assert!(epoch.seconds > 0.0 && epoch.samples_per_second >= 0.0);
        (epoch.seconds, epoch.batches_per_second, epoch.samples_per_second) = (0.0, 0.0, 0.0);
    }
    epochs
}

/// A file of a run.
pub fn bytes(run: &Path, name: &str) -> Vec<u8> {
    std::fs::read(run.join(name)).unwrap()
}

/// Both runs came to the same bits.
pub fn assert_same(run: &Path, other: &Path) {
    for name in ["model.safetensors", "checkpoint.safetensors"] {
        assert!(bytes(run, name) == bytes(other, name), "{name} differs");
    }
    assert_eq!(epochs(run), epochs(other));
}

/// Waits until something is there, which takes no five minutes.
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(300), "no {what} within five minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Epochs done, and batches of the next, by the checkpoint.
pub fn where_is(run: &Path) -> (u64, u64) {
    let parameters = Config::read(run).unwrap().network.shape().parameters();
    let checkpoint = Checkpoint::read(run, parameters, AdamConfig::default()).unwrap();
    (checkpoint.epochs_done, checkpoint.batches_done)
}
