//! Tests that a run on a GPU gives the same bits with every cache and any number of host threads.

use crate::runs::{assert_same, bytes, epochs};
use crate::sets::{self, Sample, Spec, learnable, succeeds};
use crate::trainer::{fit, fitted};

#[test]
fn a_run_comes_to_the_same_bits_from_every_cache_again_and_in_any_order() {
    let dir = sets::task();
    let first = fitted(dir.path(), "first", "--valid DIR/valid --cache device");
    // Seeds of the order in which the emulator runs blocks and threads.
    for (order, others) in [
        ("0", "--cache device --threads 1"),
        ("0", "--cache host --threads 8"),
        ("1", "--cache stream --threads 1"),
        ("2", "--cache device --threads 8"),
        ("3", "--cache stream --threads 8 --pin"),
    ] {
        let mut command = fit(dir.path(), "other", &format!("--valid DIR/valid --overwrite --quiet {others}"));
        succeeds(command.env("TONIC_EMULATED_SEED", order));
        let other = dir.path().join("other");
        assert_same(&first, &other);
        assert!(bytes(&first, "best.safetensors") == bytes(&other, "best.safetensors"));
    }
}

#[test]
fn a_run_is_close_to_the_cpus() {
    let dir = sets::task();
    let gpu = epochs(&fitted(dir.path(), "gpu", "--valid DIR/valid"));
    succeeds(&mut sets::fit(dir.path(), "cpu", "--valid DIR/valid --quiet --device cpu"));
    let cpu = epochs(&dir.path().join("cpu"));
    // CPU and GPU both round to 24 bits, but add in different orders, so losses differ by about 1e-8. In about one of
    // ten such runs, a spike flips, because a membrane potential is within 1e-6 of the threshold. This changes the loss
    // of one sample, and it changes the mean over 120 samples by less than the bound.
    let close = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-3 * theirs;
    assert_eq!((gpu.len(), cpu.len()), (2, 2));
    for (gpu, cpu) in gpu.iter().zip(&cpu) {
        assert!(close(gpu.train.loss, cpu.train.loss), "{gpu:?} {cpu:?}");
        assert!(close(gpu.valid.unwrap().loss, cpu.valid.unwrap().loss), "{gpu:?} {cpu:?}");
        assert!((gpu.train.accuracy - cpu.train.accuracy).abs() < 0.01, "{gpu:?} {cpu:?}");
    }
    assert!(gpu[1].train.loss < 0.6 * gpu[0].train.loss, "{gpu:?}");
}

/// Makes sample number `i`. From number 15 on, every 16th sample is far longer than the rest.
fn growing(i: u64) -> Sample {
    let sample = learnable(3)(i);
    let frames = if i % 16 == 15 { 10 + 5 * i as usize } else { 3 };
    let full = |t: usize| (0..sets::CHANNELS).map(|cell| (cell, 1 + (t as u32 + cell) % 2)).collect();
    let frames = sample.frames.iter().cycle().take(frames).enumerate();
    let frames = frames.map(|(t, frame)| if i % 16 == 15 { full(t) } else { frame.clone() }).collect();
    Sample { frames, ..sample }
}

#[test]
fn batches_that_outgrow_those_before_are_the_same_from_every_cache() {
    let dir = tempfile::tempdir().unwrap();
    // Batches of four samples: the four slots of the ring must grow several times within an epoch.
    Spec::new(48, 8).write(&dir.path().join("train"), growing);
    for pad in ["fixed", "batch"] {
        let run = |name: &str, others: &str| {
            let others = format!("--batch-size 4 --epochs 2 --overwrite --pad {pad} --hidden 8,8 {others}");
            fitted(dir.path(), name, &format!("{others} --valid DIR/train"))
        };
        let device = run("device", "--cache device");
        for (name, others) in [("stream", "--cache stream"), ("host", "--cache host --threads 1")] {
            assert_same(&device, &run(name, others));
        }
    }
}
