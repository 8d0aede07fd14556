//! Helpers for tests of runs on any device.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::CacheChoice;
use tonic_toolkit::shard::{Existing, ShardSet};
use tonic_toolkit::train::learner::Backend;
use tonic_toolkit::train::network::HiddenSizes;
use tonic_toolkit::train::run::{Checkpoint, Config, EpochMetrics, FitOptions, TrainingOptions};
use tonic_toolkit::train::{Optimiser, OptimiserConfig};

use crate::sets::outcome;

/// Returns the metrics of each epoch of a run, with times and rates set to 0 or `None`.
pub(crate) fn epochs(run: &Path) -> Vec<EpochMetrics> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let mut epochs: Vec<EpochMetrics> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (i, epoch) in epochs.iter_mut().enumerate() {
        assert_eq!(epoch.epoch, i as u64 + 1);
        assert!(epoch.seconds > 0.0 && epoch.samples_per_second >= 0.0);
        (epoch.seconds, epoch.batches_per_second, epoch.samples_per_second) = (0.0, 0.0, 0.0);
        epoch.unix_seconds = None;
    }
    epochs
}

pub(crate) fn bytes(run: &Path, name: &str) -> Vec<u8> {
    std::fs::read(run.join(name)).unwrap()
}

/// Asserts that two runs have the same model, checkpoint and metrics.
pub(crate) fn assert_same(run: &Path, other: &Path) {
    for name in ["model.safetensors", "checkpoint.safetensors"] {
        assert!(bytes(run, name) == bytes(other, name), "{name} differs");
    }
    assert_eq!(epochs(run), epochs(other));
}

/// Waits until `there` returns true. Panics after five minutes with a message that names `what`.
pub(crate) fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(300), "no {what} within five minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns the number of finished epochs, and of finished batches of the unfinished epoch, in a run's checkpoint.
pub(crate) fn where_is(run: &Path) -> (u64, u64) {
    let config = Config::read(run).unwrap();
    let architecture = config.network.architecture();
    let optimiser = OptimiserConfig { rule: config.training.optimiser, ..OptimiserConfig::default() };
    let optimiser = Optimiser::new(optimiser, architecture.parameters());
    let statistics = architecture.statistics().iter().map(|of| of.range.len()).sum();
    let checkpoint = Checkpoint::read(run, optimiser, statistics).unwrap();
    (checkpoint.epochs_done, checkpoint.batches_done)
}

fn handles_interrupts(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 2 != 0)
}

/// Starts a run with `start(false)` and stops it with Ctrl-C. Then resumes it with `start(true)` and stops it again,
/// until it is saved in the middle of an epoch. Returns the stderr of the last process.
pub(crate) fn interrupted(mut start: impl FnMut(bool) -> Child, run: &Path, after: Duration) -> String {
    for tries in 1..20 {
        let child = start(tries > 1);
        wait_for("first checkpoint", || run.join("checkpoint.safetensors").exists());
        // If a run is resumed, the checkpoint is there before the process handles signals.
        wait_for("handler of SIGINT", || handles_interrupts(child.id()));
        std::thread::sleep(after * tries);
        let kill = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
        assert!(kill.success());
        let (code, stderr) = outcome(&child.wait_with_output().unwrap());
        assert_eq!(code, Some(130), "{stderr}");
        let (epochs_done, batches_done) = where_is(run);
        assert!(epochs_done < Config::read(run).unwrap().epochs);
        if batches_done > 0 {
            return stderr;
        }
    }
    panic!("the run always stopped between two epochs");
}

/// Kills the process of a run after a random time below `pause` milliseconds, and starts the next process of `resumes`.
/// Repeats this until a process ends by itself, or `resumes` has no more processes. Returns the number of kills.
pub(crate) fn kill_again_and_again<R: FnOnce() -> Child>(
    mut child: Child,
    run: &Path,
    pause: u64,
    resumes: impl Iterator<Item = R>,
) -> u32 {
    wait_for("configuration", || run.join("config.toml").exists());
    let (mut kills, mut rng) = (0, ChaCha8Rng::seed_from_u64(7));
    for resume in resumes {
        std::thread::sleep(Duration::from_millis(rng.random_range(0..pause)));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // After a kill at any time, the checkpoint can be read.
        let now = || run.join("checkpoint.safetensors").exists().then(|| where_is(run));
        let seen = now();
        child = resume();
        // If the run was killed after the last epoch, there is no progress to wait for.
        wait_for("progress after a resume", || now() > seen || child.try_wait().unwrap().is_some());
    }
    outcome(&child.wait_with_output().unwrap());
    kills
}

/// Returns the number of threads of this process whose name begins with `name`. A thread inherits the name of its
/// parent.
pub(crate) fn threads(name: &str) -> usize {
    let named = |task: PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name));
    Path::new("/proc/self/task").read_dir().unwrap().filter(|task| named(task.as_ref().unwrap().path())).count()
}

/// Returns the options of a small fit in this process, on the set `dir/<train>`.
pub(crate) fn small_fit(dir: &Path, train: &str, lr: f64, backend: Backend) -> FitOptions {
    FitOptions {
        train: dir.join(train),
        valid: None,
        test: None,
        run: dir.join("run"),
        epochs: Some(3),
        batch_size: Some(16),
        layers: None,
        frames: None,
        reestimate_norm: false,
        hidden: Some(HiddenSizes::Each(vec![8])),
        theta: None,
        gain: None,
        min_v_mem: None,
        lr: Some(lr),
        seed: None,
        class_weights: None,
        training: TrainingOptions::default(),
        backend,
        pad: None,
        cache: CacheChoice::Stream,
        pin: false,
        drop_last: false,
        existing: Existing::Overwrite,
        tensorboard: false,
        open: ShardSet::open,
        frame_seconds: |_| None,
        verbosity: Verbosity::Quiet,
        warn: |_| (),
    }
}
