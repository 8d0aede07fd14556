//! Tests of very small and unusual sets on a GPU: nearly the losses of the CPU, and the same bits with each cache.

use tempfile::TempDir;
use tonic_toolkit::shard::Width;

use crate::runs::{assert_same, bytes, epochs};
use crate::sets::{self, Sample, Spec, fails, learnable, succeeds};
use crate::trainer::{fit, fitted};

type Samples = fn(u64) -> Sample;

const TRAIN: Samples = |i| learnable(1)(i);
const TEST: Samples = |i| learnable(2)(i);

fn sets_of((train, train_sample): (Spec, Samples), (test, test_sample): (Spec, Samples)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    train.write(&dir.path().join("train"), train_sample);
    test.write(&dir.path().join("test"), test_sample);
    dir
}

/// Trains on the GPU with two caches, and on the CPU. Asserts equal bits on the GPU, and losses close to the CPU's.
fn agree(dir: &TempDir, others: &str) {
    let words = format!("--test DIR/test --valid DIR/test --hidden 9,70 --overwrite {others}");
    let run = |cache: &str| fitted(dir.path(), cache, &format!("{words} --cache {cache}"));
    let [device, stream] = ["device", "stream"].map(run);
    assert_same(&device, &stream);
    for name in ["test.json", "best.safetensors"] {
        assert!(bytes(&device, name) == bytes(&stream, name), "{name}, {others}");
    }
    succeeds(&mut sets::fit(dir.path(), "cpu", &format!("{words} --quiet --device cpu")));
    let (ours, theirs) = (epochs(&device), epochs(&dir.path().join("cpu")));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let scores = [(ours.train, theirs.train), (ours.valid.unwrap(), theirs.valid.unwrap())];
        for (ours, theirs) in scores {
            // No spike flips in any of these runs. With so few samples, a flip would show.
            let apart = (ours.loss - theirs.loss).abs();
            assert!(apart <= 1e-5 * theirs.loss, "{others}: {ours:?} on the GPU, {theirs:?} on the CPU");
            assert_eq!(ours.accuracy, theirs.accuracy, "{others}");
        }
    }
}

#[test]
fn batches_of_any_size_and_samples_of_any_length() {
    // These samples are longer than the training samples, and longer than a tile of 64 steps.
    let long: Samples = |i| {
        let sample = TEST(i);
        let frames = sample.frames.iter().cycle().take(5 + 6 * i as usize).cloned().collect();
        Sample { frames, ..sample }
    };
    let dir = sets_of((Spec::new(40, 8), TRAIN), (Spec::new(13, 4), long));
    for others in ["", "--drop-last", "--batch-size 1000", "--pad batch --min-v-mem -0.5", "--batch-size 7 --pad batch"]
    {
        agree(&dir, others);
    }
    fails(&mut fit(dir.path(), "none", "--batch-size 41 --drop-last"), 2, &["at least a batch, 41 samples"]);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn samples_beyond_the_fixed_steps() {
    let limited = |samples| Spec { frame_limit: Some(12), ..Spec::new(samples, 8) };
    agree(&sets_of((limited(40), TRAIN), (limited(20), TEST)), "");
}

#[test]
fn few_steps_samples_classes_and_events() {
    let one_frame: Samples = |i| Sample { frames: vec![vec![(i as u32 % 12, 3)]], label: (i % 3) as u32 };
    let silent: Samples = |i| Sample { frames: vec![vec![]], label: (i % 3) as u32 };
    let some_silent: Samples = |i| if i % 3 == 1 { Sample { frames: vec![vec![]], label: 0 } } else { TRAIN(i) };
    let one_class: Samples = |i| Sample { label: 0, ..TRAIN(i) };
    let one = |samples| Spec { classes: vec!["all".into()], ..Spec::new(samples, 4) };
    for (spec, samples) in [
        (Spec::new(10, 4), one_frame),
        (Spec::new(10, 4), silent),
        (Spec::new(20, 7), some_silent),
        (Spec::new(1, 4), TRAIN),
        (one(20), one_class),
    ] {
        agree(&sets_of((spec.clone(), samples), (spec, samples)), "");
    }
}

#[test]
fn surfaces_and_counts_of_other_widths() {
    let spec = |samples, counts| Spec { counts, ..Spec::new(samples, 8) };
    agree(&sets_of((spec(40, Width::F32), TRAIN), (spec(20, Width::F32), TEST)), "");
    // Counts of more than 8 bits, in the test set only.
    let full: Samples = |i| {
        let mut sample = TEST(i);
        sample.frames[3] = vec![(1, 300 + i as u32), (7, 1)];
        sample
    };
    let dir = sets_of((spec(40, Width::U8), TRAIN), (spec(20, Width::U16), full));
    agree(&dir, "");
    // Neither the test set nor the kernels for its wider counts change the training.
    let alone = fitted(dir.path(), "alone", "--hidden 9,70 --cache device");
    assert!(bytes(&alone, "model.safetensors") == bytes(&dir.path().join("device"), "model.safetensors"));
}

#[test]
fn neurons_that_spike_more_often_than_a_product_counts_are_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let loud: Samples = |i| Sample { frames: vec![(0..12).map(|cell| (cell, 5000)).collect()], label: (i % 3) as u32 };
    Spec::new(20, 4).write(&dir.path().join("train"), loud);
    for cache in ["device", "stream"] {
        let stderr = succeeds(&mut fit(dir.path(), cache, &format!("--cache {cache} --epochs 3")));
        assert_eq!(stderr.matches("note     neurons spike more than 256 times").count(), 1, "{stderr}");
    }
}
