//! Tests of GPU memory: what doesn't fit is refused with sizes and advice, and later steps allocate no memory.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::bench::bench;
use crate::is_real;
use crate::runs::{assert_same, bytes};
use crate::sets::{self, CHANNELS, Sample, Spec, assert_says, fails, learnable, succeeds};
use crate::trainer::{eval, fit, fitted};

/// Sets the memory size of the emulated GPU for a command, in bytes.
fn with_memory(mut command: Command, memory_bytes: u64) -> Command {
    command.env("TONIC_EMULATED_MEMORY", memory_bytes.to_string());
    command
}

/// Writes a set that takes 5.8 MB of device memory. In these tests, a network takes 4 MB, and 14 MB while it is
/// evaluated on such a set.
fn write_large(dir: &Path) {
    let full = |i: u64| {
        let frame: Vec<_> = (0..200).map(|cell| (cell, 1 + (cell + i as u32) % 2)).collect();
        Sample { frames: vec![frame; 64], label: (i % 3) as u32 }
    };
    Spec { channels: 200, ..Spec::new(150, 8) }.write(dir, full);
}

#[test]
fn a_set_that_does_not_fit_is_refused_or_kept_elsewhere() {
    if is_real() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_large(&dir.path().join("train"));
    let run = |others: &str, memory_bytes| with_memory(fit(dir.path(), "run", others), memory_bytes);
    let words =
        ["--cache device: expected at most the 5.5 MB that are free on the device", "got 5.8 MB; --cache stream"];
    fails(&mut run("--cache device", 5_500_000), 2, &words);
    assert!(!dir.path().join("run").exists());
    let small = "--hidden 8,8 --epochs 1 --batch-size 4";
    let stderr = succeeds(&mut run(small, 11_500_000));
    assert_says(&stderr, &["cache    train  host: its 5.8 MB exceed half of the 11.5 MB free on the device"]);
    let stderr = succeeds(&mut run(&format!("{small} --overwrite"), 12_000_000));
    assert_says(&stderr, &["cache    train  device: its 5.8 MB fit into half of the 12.0 MB free there"]);

    // A test set that wouldn't fit after training is refused before training.
    let other = tempfile::tempdir().unwrap();
    Spec { channels: 200, ..Spec::new(16, 8) }.write(&other.path().join("train"), learnable(1));
    let others = format!("{small} --cache device --test {}/train", dir.path().display());
    fails(&mut with_memory(fit(other.path(), "run", &others), 17_000_000), 2, &[words[0].split("5.5").next().unwrap()]);
    assert!(!other.path().join("run").exists());

    let mut command = with_memory(bench("cuda:0", "--batch-size 2 --hidden 8,8 --epochs 1"), 5_500_000);
    let report = sets::json(command.arg("--data").arg(dir.path().join("train")));
    for strategy in report["strategies"].as_array().unwrap() {
        let reason = strategy["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.contains("cache device: expected at most "), strategy["name"] == "device cache", "{reason}");
    }
}

#[test]
fn a_network_that_does_not_fit_leaves_nothing_behind_and_spoils_nothing() {
    if is_real() {
        return;
    }
    let dir = sets::task();
    let run = |others: &str, memory_bytes| with_memory(fit(dir.path(), "run", others), memory_bytes);
    let words = ["cuda:0 (emulated on the host): expected ", "of free memory, got ", "--batch-size", "--hidden"];
    fails(&mut run("--cache stream", 1_000_000), 1, &words);
    assert!(!dir.path().join("run").exists());
    // The failed attempt left nothing: the run can be started without --overwrite.
    succeeds(&mut run("--quiet", 20_000_000));
    let folder = dir.path().join("run");
    let before = ["checkpoint.safetensors", "model.safetensors", "config.toml"].map(|name| bytes(&folder, name));
    for others in ["--overwrite --seed 5", "--resume --epochs 3"] {
        fails(&mut run(others, 1_000_000), 1, &words);
        let after = ["checkpoint.safetensors", "model.safetensors", "config.toml"].map(|name| bytes(&folder, name));
        assert!(before == after, "{others}");
    }
    fails(&mut with_memory(eval(dir.path(), "run", "valid"), 100_000), 1, &words);
    fitted(dir.path(), "run", "--resume --epochs 3");
    assert_same(&folder, &fitted(dir.path(), "whole", "--epochs 3"));
}

/// Runs a fit. Returns how often it allocated device memory, allocated page-locked host memory, and recorded a CUDA
/// graph.
fn taken(dir: &Path, epochs: u64, others: &str) -> [u64; 3] {
    let report = dir.join("report.json");
    let mut command = fit(dir, "run", &format!("--overwrite --quiet --hidden 8,8 --epochs {epochs} {others}"));
    succeeds(command.env("TONIC_EMULATED_REPORT", &report));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    ["device", "pinned", "graphs"].map(|key| report[key].as_u64().unwrap())
}

#[test]
fn a_step_takes_no_memory_after_the_first() {
    if is_real() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // All samples have one size, so that the slots of the ring never grow.
    let same_size: fn(u64) -> Sample = |i| {
        let mut sample = learnable(1)(i);
        sample.frames = (0..10).map(|t| vec![((i as u32 + t) % CHANNELS, 1)]).collect();
        sample
    };
    Spec::new(32, 8).write(&dir.path().join("train"), same_size);
    for cache in ["device", "stream"] {
        let of_a_second_epoch = |batch_size: u64| {
            let others = format!("--cache {cache} --batch-size {batch_size}");
            let [one, two] = [1, 2].map(|epochs| taken(dir.path(), epochs, &others));
            [0, 1, 2].map(|i| two[i] - one[i])
        };
        // Epochs of five batches, of which the last is smaller, and of sixteen batches.
        let [few, many] = [of_a_second_epoch(7), of_a_second_epoch(2)];
        assert_eq!(few, many, "{cache}");
        assert_eq!(many, [0; 3], "{cache}");
    }
}
