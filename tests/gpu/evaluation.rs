//! Tests that an evaluation on a GPU gives the results of the CPU, with every cache, during a run and after it.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tonic_toolkit::shard::NO_LABEL;

use crate::runs::{bytes, epochs};
use crate::sets::{self, Sample, Spec, argmax, fails, json, learnable, logits, predict_on};
use crate::trainer::{eval, fitted, on_gpu};

/// Makes a training set, a validation set and a test set. The last two take several batches of 256 samples each.
fn task() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(60, 8).write(&dir.path().join("train"), learnable(1));
    Spec::new(300, 50).write(&dir.path().join("valid"), short(2));
    Spec::new(520, 64).write(&dir.path().join("test"), short(3));
    dir
}

/// Returns a function that makes sample number `i`, with few frames.
fn short(seed: u64) -> impl Fn(u64) -> Sample {
    move |i| {
        let Sample { frames, label } = learnable(seed)(i);
        Sample { frames: frames[..3 + i as usize % 7].to_vec(), label }
    }
}

fn by_the_cpu(dir: &Path, run: &str, data: &str) -> Value {
    json(&mut sets::eval(dir, run, data))
}

/// Asserts equal confusion matrices and nearly equal losses.
fn assert_agree(ours: &Value, theirs: &Value) {
    for key in ["accuracy", "samples", "classes", "confusion"] {
        assert_eq!(ours[key], theirs[key], "{key}");
    }
    let loss = |of: &Value| of["loss"].as_f64().unwrap();
    assert!((loss(ours) - loss(theirs)).abs() <= 1e-5 * loss(theirs), "{ours} {theirs}");
}

#[test]
fn an_evaluation_says_what_the_cpus_says_from_every_cache() {
    let dir = task();
    for pad in ["fixed", "batch"] {
        let mut before = None;
        for cache in ["device", "host", "stream"] {
            let others =
                format!("--valid DIR/valid --test DIR/test --epochs 2 --cache {cache} --pad {pad} --overwrite");
            let run = fitted(dir.path(), "run", &others);
            let test: Value = serde_json::from_slice(&bytes(&run, "test.json")).unwrap();
            let epochs = epochs(&run);
            if let Some(before) = before.replace((test.clone(), epochs.clone())) {
                assert_eq!(before, (test, epochs), "{cache}");
                continue;
            }
            let valid: Vec<_> = epochs.iter().map(|epoch| epoch.valid.unwrap()).collect();
            // The CPU evaluates batches of 128 samples, which are padded to other lengths.
            if pad == "fixed" {
                assert_agree(&test, &by_the_cpu(dir.path(), "run", "test"));
                assert_agree(&json(&mut eval(dir.path(), "run", "valid")), &by_the_cpu(dir.path(), "run", "valid"));
            }
            assert_eq!(json(&mut eval(dir.path(), "run", "test")), test);
            let last = json(&mut eval(dir.path(), "run", "valid"));
            assert_eq!(
                (last["loss"].as_f64(), last["accuracy"].as_f64()),
                (Some(valid[1].loss), Some(valid[1].accuracy))
            );
            let best = valid.iter().copied().reduce(|a, b| if b.accuracy > a.accuracy { b } else { a }).unwrap();
            let again = json(eval(dir.path(), "run", "valid").arg("--best"));
            assert_eq!((again["loss"].as_f64(), again["accuracy"].as_f64()), (Some(best.loss), Some(best.accuracy)));
            assert!(bytes(&run, "confusion.png").starts_with(b"\x89PNG"));
        }
    }
}

#[test]
fn predictions_are_the_logits_of_an_evaluation_and_need_no_labels() {
    let dir = task();
    fitted(dir.path(), "run", "--epochs 1");
    Spec::new(520, 64).write(&dir.path().join("unlabelled"), |i| Sample { label: NO_LABEL, ..short(3)(i) });
    let predicted = |device: &str, data: &str, labelled: u64| {
        let out = format!("{device}-{data}");
        let said = json(&mut on_gpu(predict_on(device, dir.path(), "run", data, &out)));
        assert_eq!((said["samples"].as_u64(), said["labelled"].as_u64()), (Some(520), Some(labelled)));
        logits(&dir.path().join(out))
    };
    let rows = predicted("cuda:0", "test", 520);
    let mut confusion = vec![vec![0; 3]; 3];
    rows.iter().enumerate().for_each(|(i, row)| confusion[i % 3][argmax(row)] += 1);
    assert_eq!(json(&mut eval(dir.path(), "run", "test"))["confusion"], serde_json::json!(confusion));
    assert_eq!(predicted("cuda:0", "unlabelled", 0), rows);
    for (ours, theirs) in rows.iter().flatten().zip(predicted("cpu", "test", 520).iter().flatten()) {
        assert!((ours - theirs).abs() <= 1e-4 * theirs.abs().max(1.0), "{ours} {theirs}");
    }
}

#[test]
fn an_evaluation_at_lower_precision_is_close() {
    let dir = task();
    fitted(dir.path(), "run", "--epochs 2");
    let loss = |of: Value| of["loss"].as_f64().unwrap();
    let highest = loss(json(&mut eval(dir.path(), "run", "test")));
    for (precision, bound) in [("high", 2e-3), ("medium", 0.1)] {
        let other = loss(json(eval(dir.path(), "run", "test").args(["--matmul-precision", precision])));
        assert!((other - highest).abs() <= bound * highest, "{precision}: {other}, {highest}");
    }
}

#[test]
fn an_evaluation_of_what_is_no_run_or_no_set_of_its_recipe_is_refused() {
    let dir = sets::task();
    fitted(dir.path(), "run", "--epochs 1");
    let other = Spec { recipe: "window = 5000\n".into(), ..Spec::new(8, 4) };
    other.write(&dir.path().join("other"), learnable(1));
    fails(&mut eval(dir.path(), "run", "other"), 4, &["recipe differs", "window = 5000"]);
    fails(&mut eval(dir.path(), "nothing", "valid"), 1, &["nothing/config.toml"]);
    fails(&mut on_gpu(sets::eval_on("cuda:99", dir.path(), "run", "valid")), 2, &["this machine has "]);
}
