//! Tests that training on a GPU reports the same activity, class weights and large losses as on the CPU.

use crate::runs::epochs;
use crate::sets::{self, Sample, Spec, fails, learnable, succeeds};
use crate::trainer::{fit, fitted};

#[test]
fn activity_and_weighted_losses_are_the_cpus() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(60, 8).write(&dir.path().join("train"), |i| {
        let label = if i < 45 { 0 } else { 1 + (i % 2) as u32 };
        Sample { label, ..learnable(5)(3 * i + u64::from(label)) }
    });
    let small = "--epochs 2 --hidden 24,70 --batch-size 14 --class-weights balanced";
    succeeds(&mut sets::fit(dir.path(), "cpu", &format!("--device cpu --quiet {small}")));
    let cpu = epochs(&dir.path().join("cpu"));
    for (cache, pad) in [("device", "fixed"), ("stream", "fixed")] {
        let gpu = epochs(&fitted(dir.path(), cache, &format!("{small} --cache {cache} --pad {pad}")));
        for (ours, theirs) in gpu.iter().zip(&cpu) {
            assert!((ours.train.loss - theirs.train.loss).abs() < 0.02 * theirs.train.loss, "{ours:?} {theirs:?}");
            let layers = ours.activity.as_ref().unwrap().iter().zip(theirs.activity.as_ref().unwrap());
            assert_eq!(layers.len(), 2);
            for (ours, theirs) in layers {
                assert!((ours.spikes - theirs.spikes).abs() < 0.02 * theirs.spikes, "{ours:?} {theirs:?}");
                assert!((ours.silent - theirs.silent).abs() < 0.1, "{ours:?} {theirs:?}");
            }
        }
    }
    // Weights change what is trained.
    let plain = epochs(&fitted(dir.path(), "plain", "--epochs 2 --hidden 24,70 --batch-size 14"));
    assert!((plain[0].train.loss - cpu[0].train.loss).abs() > 0.02 * cpu[0].train.loss, "{plain:?} {cpu:?}");
}

#[test]
fn silence_and_divergence_are_told() {
    let dir = sets::task();
    let small = "--hidden 8 --batch-size 40";
    let stderr = succeeds(&mut fit(dir.path(), "run", &format!("{small} --epochs 1 --theta 1000")));
    sets::assert_says(&stderr, &["hidden layers 1, 2, 3 are silent: no neuron spikes", "--gain", "ended at chance"]);
    let words = ["the loss is ", "(guessing gives 1.0986) at epoch 1, batch ", "--resume and an --lr below"];
    fails(&mut fit(dir.path(), "run", &format!("{small} --epochs 3 --lr 1e10 --overwrite")), 5, &words);
}
