//! Tests that `show` draws what the network computes.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tonic_toolkit::shard::{NO_LABEL, ShardSet};

use crate::sets::{self, Sample, Spec, assert_says, fails, fit, learnable, logits, predict_on, succeeds, task, train};

fn show(dir: &Path, data: &str, sample: u64) -> Command {
    let mut command = train();
    command.arg("show").arg(dir.join("run")).arg("--data").arg(dir.join(data));
    command.args(["--sample", &sample.to_string()]);
    command
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn logits_are_those_of_predict_and_shares_end_with_them() {
    for pad in ["fixed", "batch"] {
        let dir = task();
        succeeds(&mut fit(dir.path(), "run", &format!("--epochs 2 --pad {pad} --quiet")));
        // With --pad batch, a sample of a set of one sample has its own length.
        Spec::new(1, 1).write(&dir.path().join("one"), |_| learnable(2)(7));
        let data = if pad == "batch" { "one" } else { "valid" };
        succeeds(&mut predict_on("cpu", dir.path(), "run", data, "out"));
        let expected = logits(&dir.path().join("out"));
        let frames = ShardSet::open(&dir.path().join(data)).unwrap().manifest().totals.max_frames;
        for sample in [0, expected.len() - 1] {
            let shown = sets::json(&mut show(dir.path(), data, sample as u64));
            assert_eq!(floats(&shown["logits"]), expected[sample].iter().map(|&x| x.into()).collect::<Vec<f64>>());
            let steps = shown["steps"].as_u64().unwrap();
            assert!(steps >= 10 && (pad == "fixed" || steps == frames));
            let shares = shown["shares"].as_array().unwrap();
            assert_eq!(shares.len() as u64, steps);
            let sum: f64 = expected[sample].iter().map(|&logit| f64::from(logit).exp()).sum();
            for (share, logit) in floats(&shares[steps as usize - 1]).into_iter().zip(&expected[sample]) {
                assert!((share - f64::from(*logit).exp() / sum).abs() < 1e-4, "{share}");
            }
            for (layer, neurons) in shown["layers"].as_array().unwrap().iter().zip([24, 16]) {
                let places = layer["places"].as_array().unwrap();
                let spikes: u64 = places.iter().map(|place| place[2].as_f64().unwrap() as u64).sum();
                assert_eq!((&layer["neurons"], &layer["spikes"]), (&json!(neurons), &json!(spikes)));
                assert!(places.iter().all(|at| at[0].as_u64() < Some(steps) && at[1].as_u64() < Some(neurons)));
            }
        }
    }
}

#[test]
fn networks_without_hidden_layers_are_shown() {
    let dir = task();
    std::fs::write(dir.path().join("network.toml"), "layers = [{ linear = \"classes\" }, { readout = \"sum\" }]\n")
        .unwrap();
    let mut fit = train();
    fit.current_dir(dir.path()).args(["fit", "--train", "train", "--valid", "valid", "--network", "network.toml"]);
    succeeds(fit.args(["-o", "run", "--epochs", "2", "--batch-size", "16", "--device", "cpu", "--quiet"]));
    succeeds(&mut predict_on("cpu", dir.path(), "run", "valid", "out"));
    let expected = &logits(&dir.path().join("out"))[7];
    let shown = sets::json(&mut show(dir.path(), "valid", 7));
    let shares = shown["shares"].as_array().unwrap();
    assert_eq!((shares.len() as u64, shown["layers"].as_array().unwrap().len()), (shown["steps"].as_u64().unwrap(), 0));
    let sum: f64 = expected.iter().map(|&logit| f64::from(logit).exp()).sum();
    for (share, logit) in floats(shares.last().unwrap()).into_iter().zip(expected) {
        assert!((share - f64::from(*logit).exp() / sum).abs() < 1e-4, "{share}");
    }
    assert_says(
        &String::from_utf8(show(dir.path(), "valid", 7).output().unwrap().stdout).unwrap(),
        &["readout: share"],
    );
    succeeds(
        train().arg("report").arg(dir.path().join("run")).arg("--data").arg(dir.path().join("valid")).arg("--quiet"),
    );
}

/// The readout over time ends with the logits, for all kinds of readout and of initial states.
#[test]
fn networks_of_all_readouts_are_shown() {
    let dir = task();
    for (i, readout) in ["sum", "leaky", "max", "last"].into_iter().enumerate() {
        let neuron = ["lif", "silif", "cuba-lif", "adlif"][i];
        let network = format!(
            "init_state = \"uniform\"\nlayers = [{{ linear = 24, bias = false }}, {{ norm = \"batch\" }}, \
             {{ neuron = {neuron:?} }}, {{ dropout = 0.25 }}, {{ linear = 16 }}, {{ neuron = \"lif\" }}, \
             {{ linear = \"classes\" }}, {{ norm = \"batch\" }}, {{ readout = {readout:?} }}]\n"
        );
        std::fs::write(dir.path().join("network.toml"), network).unwrap();
        let mut fit = train();
        fit.current_dir(dir.path()).args(["fit", "--train", "train", "--valid", "valid", "--network", "network.toml"]);
        fit.args(["-o", "run", "--epochs", "2", "--batch-size", "16", "--device", "cpu", "--overwrite", "--quiet"]);
        succeeds(&mut fit);
        succeeds(predict_on("cpu", dir.path(), "run", "valid", "out").arg("--overwrite"));
        let expected = logits(&dir.path().join("out"));
        for sample in [0, 33] {
            let shown = sets::json(&mut show(dir.path(), "valid", sample));
            let expected: Vec<f64> = expected[sample as usize].iter().map(|&logit| logit.into()).collect();
            assert_eq!(floats(&shown["logits"]), expected, "{readout}");
            let shares = floats(shown["shares"].as_array().unwrap().last().unwrap());
            let sum: f64 = expected.iter().map(|logit| logit.exp()).sum();
            for (share, logit) in shares.into_iter().zip(&expected) {
                assert!((share - logit.exp() / sum).abs() < 1e-4, "{readout}: {share} {}", logit.exp() / sum);
            }
        }
        let mut report = train();
        report.arg("report").arg(dir.path().join("run"));
        let reported = sets::json(&mut report);
        let judged = sets::json(&mut sets::eval(dir.path(), "run", "valid"));
        assert_eq!((&reported["surveyed"]["loss"], &reported["missing"]), (&judged["loss"], &json!([])), "{readout}");
        let html = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
        let outputs = [
            "the outputs summed so far",
            "the sum so far of the softmax of the leaky outputs",
            "the largest leaky outputs so far",
            "the leaky outputs at this step",
        ];
        let words = format!("A share is the softmax of {}.", outputs[i]);
        assert_says(&html, &[&format!("readout = &quot;{readout}&quot;"), &words]);
        let text = String::from_utf8(show(dir.path(), "valid", 0).output().unwrap().stdout).unwrap();
        assert_says(&text, &[&format!("(softmax of {}), at last, over time", outputs[i])]);
    }
}

#[test]
fn a_sample_is_drawn_as_text_and_as_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = || "[frames]\ntime_window = 4000\n".into();
    Spec { recipe: recipe(), ..Spec::new(60, 8) }.write(&dir.path().join("train"), learnable(1));
    Spec { recipe: recipe(), ..Spec::new(30, 8) }.write(&dir.path().join("valid"), learnable(2));
    succeeds(&mut fit(dir.path(), "run", "--epochs 2 --valid DIR/valid --quiet"));
    let output = show(dir.path(), "valid", 4).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words =
        ["sample 4: middle, predicted as ", "\ninput\n", "\nlayer 1, ", " spikes\n", "\nlayer 2, ", "\nreadout: "];
    assert_says(&text, &words);
    assert_says(
        &text,
        &["time (ms) 0 to 80 ", "channels 0 to 11 upwards", "neurons 0 to 23 upwards", "\nlow ", "\nhigh "],
    );
    let png = dir.path().join("sample.png");
    succeeds(show(dir.path(), "valid", 4).arg("--best").arg("--png").arg(&png));
    assert!(std::fs::read(&png).unwrap().starts_with(b"\x89PNG"));
    Spec { classes: vec![], recipe: recipe(), ..Spec::new(3, 3) }
        .write(&dir.path().join("unlabelled"), |i| Sample { label: NO_LABEL, ..learnable(2)(i) });
    assert_eq!(sets::json(&mut show(dir.path(), "unlabelled", 2))["label"], json!(null));
}

#[test]
fn missing_samples_and_other_sets_are_refused() {
    let dir = task();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    fails(&mut show(dir.path(), "valid", 60), 2, &["sample: expected 0 to 59, got 60"]);
    Spec { channels: 13, ..Spec::new(3, 3) }.write(&dir.path().join("wide"), learnable(1));
    fails(&mut show(dir.path(), "wide", 0), 4, &["cells of a frame differs"]);
    fails(show(dir.path(), "valid", 0).arg("--png").arg("x.jpg"), 2, &["ends in .png"]);
}
