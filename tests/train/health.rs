//! Tests of the warnings and numbers that training prints about spikes, accuracies, losses and class sizes.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;
use tonic_toolkit::train::learner::ClassWeights;
use tonic_toolkit::train::network::read_model;
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, bytes, epochs};
use crate::sets::{self, Sample, Spec, assert_says, eval, fails, fit, json, learnable, succeeds, train};

/// Writes a set with these numbers of samples in its three classes.
fn imbalanced(dir: &Path, samples: [u64; 3]) {
    let labels: Vec<u32> = (0..3).flat_map(|class| vec![class; samples[class as usize] as usize]).collect();
    Spec::new(labels.len() as u64, 8).write(dir, |i| {
        let label = labels[i as usize];
        Sample { label, ..learnable(5)(3 * i + u64::from(label)) }
    });
}

fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().map_or(vec![], |all| all.iter().map(|text| text.as_str().unwrap()).collect())
}

#[test]
fn healthy_training_tells_the_activity_of_each_layer_and_warns_of_nothing() {
    let dir = sets::task();
    let report = json(&mut fit(dir.path(), "run", "--epochs 4"));
    assert_eq!(report.get("warnings"), None, "{report}");
    for epoch in epochs(&dir.path().join("run")) {
        let layers = epoch.activity.unwrap();
        assert_eq!(layers.len(), 2);
        for layer in layers {
            assert!(layer.spikes > 0.001 && layer.spikes < 10.0, "{layer:?}");
            assert!(layer.silent < 1.0 && layer.saturated < 0.5, "{layer:?}");
        }
    }
    let stderr = succeeds(&mut fit(dir.path(), "shown", "--epochs 1"));
    let line = stderr.lines().find(|line| line.contains("epoch 1/1  loss ")).unwrap();
    let (_, line) = line.split_once("  spikes ").unwrap();
    let (spikes, line) = line.split_once("  silent ").unwrap();
    assert_eq!(spikes.split(' ').filter(|word| word.parse::<f64>().is_ok()).count(), 2, "{line}");
    assert_eq!(line.split("  ").next().unwrap().matches('%').count(), 2, "{line}");
}

#[test]
fn silent_layers_and_chance_are_warned_of_with_what_to_try() {
    let dir = sets::task();
    let arguments = "--epochs 4 --theta 1000";
    let stderr = succeeds(&mut fit(dir.path(), "run", arguments));
    let silent = "warning  epoch 1: hidden layers 1, 2 are silent: no neuron spikes; start a new run with a --gain";
    assert_says(&stderr, &[silent, "--theta", "silent 100% 100%"]);
    let chance = "warning  epoch 4 ended at chance: accuracy ";
    assert_says(&stderr, &[chance, "where guessing gives 33.3% and 1.0986; try another --lr"]);
    assert_eq!(stderr.matches("1, 2 are silent").count(), 2, "when it begins, and at the end: {stderr}");
    for epoch in epochs(&dir.path().join("run")) {
        let layers = epoch.activity.unwrap();
        assert!(layers.iter().all(|layer| (layer.spikes, layer.silent, layer.saturated) == (0.0, 1.0, 0.0)));
    }
    assert_eq!(
        read_model(&dir.path().join("run/model.safetensors")).unwrap().network.layers().as_iaf().unwrap().theta,
        1000.0
    );

    // --quiet doesn't turn off warnings. In JSON, warnings are a list.
    let stderr = succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --overwrite --quiet")));
    assert!(stderr.lines().count() >= 3 && stderr.lines().all(|line| line.starts_with("warning  ")), "{stderr}");
    let report = json(&mut fit(dir.path(), "run", &format!("{arguments} --overwrite")));
    assert_eq!(warnings(&report).len(), stderr.lines().count(), "{report}");
    assert!(warnings(&report)[0].starts_with("epoch 1: hidden layers 1, 2 are silent"));

    // If no sample has events, the warning says so, and names no other cause.
    Spec::new(9, 4).write(&dir.path().join("empty"), |i| Sample { frames: vec![Vec::new(); 3], ..learnable(1)(i) });
    let report = json(&mut fit(dir.path(), "run", "--train DIR/empty --epochs 4 --overwrite"));
    let [said] = warnings(&report)[..] else { panic!("{report}") };
    assert!(said.contains("empty: its samples have no events: nothing can be learned"), "{said}");

    // With the larger --gain that the warning advises, the warning disappears.
    let stderr = succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --gain 1000 --overwrite")));
    assert!(!stderr.contains("silent: no neuron"), "{stderr}");
}

#[test]
fn neurons_with_several_spikes_per_step_are_saturated() {
    let dir = sets::task();
    let stderr = succeeds(&mut fit(dir.path(), "run", "--epochs 1 --gain 1000 --lr 1e-9"));
    let words =
        "warning  epoch 1: hidden layers 1, 2 are saturated: nearly all neurons have a spike or more at each step";
    assert_says(
        &stderr,
        &[words, "none at all; start a new run with a --gain below 1 or a --theta above 1", "  saturated "],
    );
    for layer in epochs(&dir.path().join("run"))[0].activity.as_ref().unwrap() {
        assert!(layer.saturated > 0.3 && layer.silent < 0.7 && layer.spikes > 10.0, "{layer:?}");
    }
}

#[test]
fn the_gain_scales_the_initial_weights_of_hidden_layers_and_no_biases() {
    let dir = sets::task();
    // With such a small learning rate, nothing changes.
    let parameters = |run: &str, others: &str| {
        succeeds(&mut fit(dir.path(), run, &format!("--epochs 1 --lr 1e-30 --quiet {others}")));
        read_model(&dir.path().join(run).join("model.safetensors")).unwrap().network.parameters
    };
    let (plain, scaled) = (parameters("plain", ""), parameters("scaled", "--gain 4"));
    for (layer, (plain, scaled)) in plain.layers().zip(scaled.layers()).enumerate() {
        let gain = if layer < 2 { 4.0 } else { 1.0 };
        assert!(plain.weight_t.iter().zip(scaled.weight_t).all(|(plain, scaled)| gain * plain == *scaled), "{layer}");
        assert_eq!(plain.bias, scaled.bias);
    }
    assert_eq!(Config::read(&dir.path().join("scaled")).unwrap().network.gain, 4.0);
    for bad in ["--gain 0", "--gain inf", "--theta 0", "--theta nan"] {
        fails(&mut fit(dir.path(), "bad", bad), 2, &[bad.split_once(' ').unwrap().0, "expected a positive number"]);
    }
}

#[test]
fn a_loss_that_is_absurdly_large_is_divergence() {
    let dir = sets::task();
    for lr in ["1e3", "1e6", "1e10"] {
        let others = format!("--epochs 5 --overwrite --lr {lr}");
        let words =
            ["the loss is ", "(guessing gives 1.0986) at epoch ", "last good checkpoint", "--resume and an --lr"];
        let stderr = fails(&mut fit(dir.path(), "run", &others), 5, &words);
        assert!(!stderr.contains("NaN") && !stderr.contains("inf"), "{stderr}");
        assert!(!dir.path().join("run/model.safetensors").exists());
    }
    // Only the network after the last step has diverged.
    let others = "--batch-size 1000 --epochs 1 --lr 1e6 --valid DIR/valid --overwrite";
    fails(&mut fit(dir.path(), "run", others), 5, &["the loss is ", "guessing gives 1.0986) at epoch 1, batch 1: "]);
    // The initial weights are the cause, whether --gain or --theta made them large. With the advice of the message,
    // the run trains.
    for (others, advice) in [
        ("--gain 1e6", "--gain below 1000000.0 or a --theta above 1.0"),
        ("--theta 1e-8", "--gain below 1.0 or a --theta above 1e-8"),
        ("--gain 1e6 --lr 1e3", "--gain below 1000000.0 or a --theta above 1.0"),
        ("--gain 1e30", "the initial weights give "),
    ] {
        let words = ["the initial weights give ", "already: start again with --overwrite and a ", advice];
        let stderr = fails(&mut fit(dir.path(), "run", &format!("{others} --epochs 2 --overwrite")), 5, &words);
        assert!(!stderr.contains("--lr"), "{stderr}");
    }
    succeeds(&mut fit(dir.path(), "run", "--gain 1 --theta 2 --epochs 1 --overwrite --quiet"));
    // A large loss at the start is not divergence.
    succeeds(&mut fit(dir.path(), "run", "--gain 300 --epochs 2 --overwrite --quiet"));
    let loss = epochs(&dir.path().join("run"))[0].train.loss;
    assert!(loss > 1e4 * 3f64.ln(), "{loss}");
}

#[test]
fn one_class_is_said_at_the_start_of_training_and_evaluation() {
    let dir = tempfile::tempdir().unwrap();
    imbalanced(&dir.path().join("train"), [0, 20, 0]);
    let said = "all samples are of class \"middle\": any network is right about all of them";
    let stderr = succeeds(&mut fit(dir.path(), "run", "--epochs 1"));
    let lines: Vec<&str> = stderr.lines().collect();
    let at = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{stderr}"));
    assert!(at(said) < at("epoch 1/1") && !stderr.contains("at chance"), "{stderr}");
    assert_says(&stderr, &["no samples of classes \"low\", \"high\""]);
    let (code, stderr) = sets::outcome(&eval(dir.path(), "run", "train").output().unwrap());
    assert_eq!(code, Some(0));
    assert_says(&stderr, &[said, "at least two classes"]);
    let report = json(&mut eval(dir.path(), "run", "train"));
    assert!(warnings(&report)[0].contains(said), "{report}");
}

#[test]
fn classes_without_samples_and_of_very_different_sizes_are_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    imbalanced(&dir.path().join("train"), [95, 5, 0]);
    let stderr = succeeds(&mut fit(dir.path(), "run", "--epochs 1"));
    let words = [
        "class \"low\" has 95 samples, \"middle\" has 5; always guessing \"low\" gives an accuracy of 95.0%",
        "--class-weights balanced",
        "train: no samples of class \"high\"",
    ];
    assert_says(&stderr, &words);
    let report = json(&mut fit(dir.path(), "run", "--epochs 1 --overwrite --class-weights balanced"));
    assert!(warnings(&report)[0].contains("95.0%") && warnings(&report)[1].contains("\"high\""), "{report}");
}

/// Makes a training set in which two of the three classes are small, and a validation set with equal classes.
fn rare() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    imbalanced(&dir.path().join("train"), [110, 5, 5]);
    Spec::new(60, 8).write(&dir.path().join("valid"), learnable(2));
    dir
}

#[test]
fn class_weights_help_rare_classes_and_are_kept_by_a_resume() {
    let dir = rare();
    let arguments = "--valid DIR/valid --quiet";
    let balanced = format!("{arguments} --class-weights balanced");
    succeeds(&mut fit(dir.path(), "plain", &format!("{arguments} --epochs 6")));
    succeeds(&mut fit(dir.path(), "whole", &format!("{balanced} --epochs 6")));
    let recall = |run: &str| epochs(&dir.path().join(run)).last().unwrap().valid_macro.unwrap().recall;
    assert!(recall("whole") > recall("plain") + 0.1, "{} {}", recall("whole"), recall("plain"));

    succeeds(&mut fit(dir.path(), "run", &format!("{balanced} --epochs 3")));
    let config = Config::read(&dir.path().join("run")).unwrap();
    assert_eq!(config.class_weights, ClassWeights::Balanced);
    let text = String::from_utf8(bytes(&dir.path().join("plain"), "config.toml")).unwrap();
    assert!(!text.contains("class_weights") && !text.contains("gain"), "{text}");
    let words = ["class_weights", "expected balanced, got none", "leave --class-weights out"];
    fails(&mut fit(dir.path(), "run", "--resume --class-weights none"), 4, &words);
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --resume --epochs 6")));
    assert_same(&dir.path().join("whole"), &dir.path().join("run"));
}

/// Smoothing spreads targets over all classes, by their weights.
#[test]
fn a_class_without_samples_is_not_learned_with_weights_and_smoothing() {
    let dir = tempfile::tempdir().unwrap();
    imbalanced(&dir.path().join("train"), [100, 20, 0]);
    let others = "--class-weights balanced --label-smoothing 0.3 --epochs 12 --valid DIR/train --quiet";
    succeeds(&mut fit(dir.path(), "run", others));
    let judged = json(&mut eval(dir.path(), "run", "train"));
    let predicted = |class: usize| -> u64 {
        judged["confusion"].as_array().unwrap().iter().map(|row| row[class].as_u64().unwrap()).sum()
    };
    assert!(predicted(0) > 0 && predicted(1) > 0 && predicted(2) == 0, "{}", judged["confusion"]);
    assert!(epochs(&dir.path().join("run"))[11].valid_macro.unwrap().recall > 0.7);
}

#[test]
fn a_large_penalty_is_no_divergence() {
    let dir = sets::task();
    let others = "--spike-rate 3,4 --spike-rate-weight 1e7 --lr 1e-30 --valid DIR/valid --quiet";
    succeeds(&mut fit(dir.path(), "run", others));
    for epoch in epochs(&dir.path().join("run")) {
        let penalty = epoch.penalty.unwrap();
        assert!(penalty > 2f64.powi(24) && epoch.train.loss > penalty && epoch.train.loss < penalty + 10.0);
    }
}

#[test]
fn macro_averages_stand_beside_the_accuracy() {
    let dir = rare();
    succeeds(&mut fit(dir.path(), "run", "--epochs 3 --quiet --valid DIR/train"));
    let report = json(&mut eval(dir.path(), "run", "train"));
    let confusion = |i: usize, j: usize| report["confusion"][i][j].as_f64().unwrap();
    let (mut recall, mut precision, mut f1) = (0.0, 0.0, 0.0);
    for class in 0..3 {
        let row: f64 = (0..3).map(|j| confusion(class, j)).sum();
        let column: f64 = (0..3).map(|i| confusion(i, class)).sum();
        let right = confusion(class, class);
        recall += right / row / 3.0;
        precision += right / column.max(1.0) / 3.0;
        f1 += 2.0 * right / (row + column) / 3.0;
    }
    for (key, expected) in [("recall", recall), ("precision", precision), ("f1", f1)] {
        let got = report["macro"][key].as_f64().unwrap();
        assert!((got - expected).abs() < 1e-12, "{key}: {got} {expected}");
    }
    assert!(report["accuracy"].as_f64().unwrap() > recall, "{report}");
    let kept = epochs(&dir.path().join("run")).pop().unwrap().valid_macro.unwrap();
    assert!((kept.recall - recall).abs() < 1e-12);
    let text = String::from_utf8(eval(dir.path(), "run", "train").output().unwrap().stdout).unwrap();
    let line = text.lines().nth(1).unwrap();
    assert_eq!(
        line,
        format!("macro recall {:.2}%  precision {:.2}%  F1 {:.2}%", recall * 100.0, precision * 100.0, f1 * 100.0)
    );
    let stderr = succeeds(&mut fit(dir.path(), "shown", "--epochs 1 --valid DIR/train"));
    assert_says(&stderr, &["  valid loss ", " macro recall "]);
}

#[test]
fn a_resumed_run_takes_its_settings_from_its_folder() {
    let dir = sets::task();
    let settings = "--batch-size 8 --hidden 12,10 --seed 3 --lr 0.02 --pad batch --min-v-mem -1 --theta 0.5 --gain 2 \
                    --drop-last --class-weights balanced --quiet";
    succeeds(&mut fit(dir.path(), "whole", &format!("{settings} --epochs 4")));
    succeeds(&mut fit(dir.path(), "run", &format!("{settings} --epochs 2")));
    let run = dir.path().join("run");
    let resume = |others: &[&str]| {
        let mut command = train();
        command.arg("fit").arg("--output").arg(&run).arg("--train").arg(dir.path().join("train"));
        command.args(["--device", "cpu", "--resume", "--quiet"]).args(others);
        command
    };
    let before = bytes(&run, "checkpoint.safetensors");
    for (flag, value, expected) in [
        ("--batch-size", "16", "expected 8, got 16"),
        ("--hidden", "12", "expected 12,10, got 12,12,12"),
        ("--seed", "0", "expected 3, got 0"),
        ("--pad", "fixed", "expected batch, got fixed"),
        ("--min-v-mem", "-2", "expected -1.0, got -2.0"),
        ("--theta", "1", "expected 0.5, got 1.0"),
        ("--gain", "1", "expected 2.0, got 1.0"),
        ("--class-weights", "none", "expected balanced, got none"),
    ] {
        let advice = format!("leave {flag} out to continue the run as it is");
        fails(&mut resume(&[flag, value]), 4, &["config.toml", expected, &advice]);
    }
    assert_eq!(bytes(&run, "checkpoint.safetensors"), before);
    // Resumes without options, then with the options of the run and more epochs.
    succeeds(&mut resume(&[]));
    assert_eq!(epochs(&run).len(), 2);
    succeeds(&mut resume(&["--batch-size", "8", "--drop-last", "--theta", "0.5", "--epochs", "4"]));
    assert_same(&dir.path().join("whole"), &run);
    assert_eq!(bytes(&dir.path().join("whole"), "config.toml"), bytes(&run, "config.toml"));

    let mut other = train();
    other.arg("fit").arg("--output").arg(&run).arg("--train").arg(dir.path().join("valid"));
    let words = ["valid: set_id differs from ", "config.toml", "the set that the run was trained on"];
    fails(other.args(["--device", "cpu", "--resume"]), 4, &words);
    succeeds(&mut fit(dir.path(), "every", "--epochs 1 --quiet"));
    let every = dir.path().join("every");
    let mut drop = train();
    drop.arg("fit").arg("--output").arg(&every).arg("--train").arg(dir.path().join("train"));
    fails(drop.args(["--resume", "--drop-last", "--device", "cpu"]), 4, &["expected false, got true", "--drop-last"]);
}

#[test]
fn a_resumed_run_finds_its_sets() {
    let dir = sets::task();
    let run = dir.path().join("run");
    let resume = |run: &str, others: &[&str]| {
        let mut command = train();
        command.arg("fit").arg("--output").arg(dir.path().join(run)).args(["--device", "cpu", "--quiet"]).args(others);
        command
    };
    // Relative paths are found from another working directory.
    let started = ["--train", "train", "--valid", "valid", "--test", "valid", "--hidden", "12", "--epochs"];
    for (run, epochs) in [("whole", "3"), ("run", "2")] {
        succeeds(resume(run, &[&started[..], &[epochs]].concat()).current_dir(dir.path()));
    }
    succeeds(&mut resume("run", &["--resume", "--epochs", "3"]));
    assert_same(&dir.path().join("whole"), &run);
    for file in ["config.toml", "test.json", "sets.toml"] {
        assert_eq!(bytes(&dir.path().join("whole"), file), bytes(&run, file), "{file}");
    }
    succeeds(&mut resume("run", &["--resume=auto"]));
    // The path of the validation set leads to nothing, then to another set.
    let (valid, aside) = (dir.path().join("valid"), dir.path().join("aside"));
    std::fs::rename(&valid, &aside).unwrap();
    let words = ["--valid: expected the set of the run, which was at ", "/valid, got nothing there"];
    fails(&mut resume("run", &["--resume", "--epochs", "4"]), 2, &words);
    std::os::unix::fs::symlink(dir.path().join("train"), &valid).unwrap();
    let words = ["/valid: valid differs from ", "config.toml: expected "];
    fails(&mut resume("run", &["--resume", "--epochs", "4"]), 4, &words);
    let train = dir.path().join("train");
    let all = [("--train", &train), ("--valid", &aside), ("--test", &aside)];
    let moved: Vec<&str> = all.into_iter().flat_map(|(flag, set)| [flag, set.to_str().unwrap()]).collect();
    succeeds(&mut resume("run", &[&moved[..], &["--resume", "--epochs", "4"]].concat()));
    succeeds(&mut resume("run", &["--resume", "--epochs", "5"]));
    assert_eq!(epochs(&run).len(), 5);
    // A resume without the test set keeps the path of the test set.
    let before = bytes(&run, "sets.toml");
    succeeds(&mut resume("run", &[&moved[..4], &["--resume", "--epochs", "6"]].concat()));
    assert!(!run.join("test.json").exists() && bytes(&run, "sets.toml") == before);
    std::fs::write(run.join("sets.toml"), "train = 5").unwrap();
    fails(&mut resume("run", &["--resume"]), 4, &["sets.toml", "paths of sets"]);
    // A run of an earlier version.
    std::fs::remove_file(run.join("sets.toml")).unwrap();
    let words = ["--train: expected the training set, which ", "does not name (no sets.toml), got none"];
    fails(&mut resume("run", &["--resume"]), 2, &words);
    fails(&mut resume("new", &["--resume=auto"]), 2, &["--train", "the training set, from the flag"]);
    fails(&mut resume("new", &[]), 2, &["--train"]);
}

#[test]
fn of_two_recipes_only_what_differs_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = |time: &str, crop: &str| {
        format!("[[transform]]\nname = \"CropTime\"\nmin = 0\nmax = {crop}\n\n[frames]\ntime_window = {time}\n")
    };
    let write = |name: &str, recipe: String| {
        Spec { recipe, ..Spec::new(24, 8) }.write(&dir.path().join(name), learnable(1));
    };
    write("train", recipe("4000", "1000000"));
    write("other", recipe("5000", "7"));
    let told = "recipe differs from ";
    let values = "expected CropTime.max = 1000000, time_window = 4000, got CropTime.max = 7, \
                  time_window = 5000";
    for flag in ["--valid", "--test"] {
        let again = ["other again with --recipe-of ", "/train"];
        fails(&mut fit(dir.path(), "run", &format!("{flag} DIR/other")), 4, &[told, values, again[0], again[1]]);
    }
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    let resumed = fails(&mut fit(dir.path(), "run", "--resume --train DIR/other"), 4, &[told, values]);
    let next = ["other again with --recipe-of and the set of the training"];
    let evaluated = fails(&mut eval(dir.path(), "run", "other"), 4, &[told, values, next[0]]);
    assert!(!(resumed + &evaluated).contains("min = 0"));
}
