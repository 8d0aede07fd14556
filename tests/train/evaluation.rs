//! Tests that an evaluation agrees with the run, and that a sample's result depends on no other sample.

use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{Batch, CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::Error;
use tonic_toolkit::train::engine::{CpuEngine, Engine};
use tonic_toolkit::train::learner::{Pad, Padding};
use tonic_toolkit::train::network::{Model, read_model};
use tonic_toolkit::train::run::Config;

use crate::runs::{bytes, epochs};
use crate::sets::{self, assert_says, eval, fails, fit, succeeds};

#[test]
fn an_evaluation_says_what_the_run_said() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 4 --quiet"));
    let run = dir.path().join("run");
    let epochs = epochs(&run);
    let valid: Vec<_> = epochs.iter().map(|e| e.valid.unwrap()).collect();
    // The first of the epochs with the best accuracy; it may be the last epoch.
    let best = valid.iter().copied().reduce(|a, b| if b.accuracy > a.accuracy { b } else { a }).unwrap();
    for (best, expected) in [(false, valid[3]), (true, best)] {
        let mut command = eval(dir.path(), "run", "valid");
        let json = sets::json(command.args(best.then_some("--best")));
        assert_eq!(json["accuracy"].as_f64(), Some(expected.accuracy));
        assert_eq!(json["loss"].as_f64(), Some(expected.loss));
        assert_eq!(json["samples"], 60);
        let (classes, confusion) = (json["classes"].as_array().unwrap(), &json["confusion"]);
        let count = |i: usize, j: usize| confusion[i][j].as_u64().unwrap();
        let right: u64 = (0..3).map(|i| count(i, i)).sum();
        assert_eq!(right as f64 / 60.0, expected.accuracy);
        for (i, class) in classes.iter().enumerate() {
            let taken: u64 = (0..3).map(|j| count(j, i)).sum();
            assert_eq!(
                (class["name"].as_str().unwrap(), &class["samples"]),
                (["low", "middle", "high"][i], &20.into())
            );
            assert_eq!(class["recall"].as_f64(), Some(count(i, i) as f64 / 20.0));
            assert_eq!(
                class["precision"].as_f64(),
                Some(if taken == 0 { 0.0 } else { count(i, i) as f64 / taken as f64 })
            );
        }
    }
    assert!(bytes(&run, "confusion.png").starts_with(b"\x89PNG") && bytes(&run, "confusion.png").len() > 5000);

    let mut command = eval(dir.path(), "run", "train");
    let output = command.arg("--png").arg(dir.path().join("elsewhere.png")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_says(&text, &["accuracy ", "(120 samples)", "recall", "middle ", "elsewhere.png"]);
    assert!(bytes(dir.path(), "elsewhere.png").starts_with(b"\x89PNG"));

    // A run folder in which the picture cannot be written, such as one that only its owner may write to.
    std::fs::remove_file(run.join("confusion.png")).unwrap();
    std::fs::create_dir(run.join("confusion.png")).unwrap();
    let output = eval(dir.path(), "run", "train").output().unwrap();
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && !text.contains("confusion matrix:"), "{text}");
    assert_says(&text, &["accuracy ", "(120 samples)"]);
    assert_says(&said, &["warning: no confusion matrix: ", "confusion.png", "--png FILE"]);
    fails(eval(dir.path(), "run", "train").arg("--png").arg(run.join("confusion.png")), 1, &["confusion.png"]);
}

/// Returns the logits of all samples of a set, (samples, classes).
pub(crate) fn logits(engine: &mut dyn Engine, loader: &Loader, model: &Model, pad: Pad, batch_size: usize) -> Vec<f32> {
    let padding = Padding { pad, steps: model.steps };
    let mut logits = Vec::new();
    let each = |batch: &Batch| {
        logits.extend_from_slice(engine.forward(&model.network, batch, padding.of_batch(batch.longest()))?);
        Ok::<_, Error>(true)
    };
    loader.epoch(EpochOrder::Sequential, batch_size, 0, each).unwrap();
    logits
}

#[test]
fn a_samples_result_depends_on_its_batch_only_where_that_is_asked_for() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "fixed", "--epochs 2 --quiet"));
    succeeds(&mut fit(dir.path(), "batch", "--epochs 2 --quiet --pad batch"));
    let [fixed, batch] = ["fixed", "batch"].map(|run| dir.path().join(run));
    assert_ne!(bytes(&fixed, "model.safetensors"), bytes(&batch, "model.safetensors"));
    assert_eq!(Config::read(&batch).unwrap().pad, Pad::Batch);
    let model = read_model(&fixed.join("model.safetensors")).unwrap();
    let set = ShardSet::open(&dir.path().join("train")).unwrap();
    let loader = Loader::new(set, CacheChoice::Host, Verbosity::Quiet).unwrap();
    let logits = |pad, batch_size| logits(&mut CpuEngine::new(&model.network), &loader, &model, pad, batch_size);
    let alone = logits(Pad::Fixed, 1);
    assert_eq!(alone, logits(Pad::Fixed, 7));
    assert_eq!(alone, logits(Pad::Fixed, 120));
    // One batch of all samples is padded to the longest sample, as Pad::Fixed pads.
    assert_eq!(alone, logits(Pad::Batch, 120));
    assert_ne!(alone, logits(Pad::Batch, 1));
}
