//! Tests of `--network`: networks of many layers through the whole program.

use std::path::Path;
use std::time::Duration;

use safetensors::SafeTensors;
use tonic_toolkit::train::Isa;
use tonic_toolkit::train::network::read_model;
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, bytes, epochs, interrupted};
use crate::sets::{
    self, Spec, assert_says, eval, fails, fit, fit_arguments, json, logits, network_arguments, network_fit, predict_on,
    succeeds, train,
};

/// A network whose layers all spike. Batch norms scale its currents.
const ACTIVE: &str = "layers = [
  { linear = 20, bias = false },
  { norm = \"batch\" },
  { neuron = \"lif\", alpha = [0.05, 0.1] },
  { dropout = 0.2 },
  { linear = 12, bias = false },
  { norm = \"batch\" },
  { neuron = \"lif\", alpha = [0.05, 0.1] },
  { linear = \"classes\", bias = false },
  { norm = \"batch\" },
  { readout = \"leaky\" },
]

[training]
lr = 0.02
batch-size = 8
";

/// A network with norm, recurrent connection, dropout and random initial states.
pub(crate) const MANY: &str = "init_state = \"uniform\"
layers = [
  { linear = 20, bias = false },
  { norm = \"batch\" },
  { recurrent = \"dense\" },
  { neuron = \"adlif\", a = [0.0, 1.0] },
  { dropout = 0.2 },
  { linear = 12 },
  { neuron = \"silif\" },
  { linear = \"classes\", bias = false },
  { norm = \"batch\" },
  { readout = \"leaky\" },
]

[training]
lr = 0.02
batch-size = 8
";

pub(crate) fn write(dir: &Path, text: &str) {
    std::fs::write(dir.join("many.toml"), text).unwrap();
}

/// Returns the command of a small fit that prints no progress. The arguments choose the network.
pub(crate) fn program(dir: &Path, run: &str, others: &str) -> assert_cmd::Command {
    network_fit(dir, run, &format!("--quiet {others}"))
}

#[test]
fn options_of_the_network_file_are_defaults() {
    let dir = sets::task();
    write(dir.path(), MANY);
    succeeds(&mut program(dir.path(), "file", "--network DIR/many.toml"));
    let config = Config::read(&dir.path().join("file")).unwrap();
    assert_eq!((config.lr, config.batch_size, config.network.theta), (0.02, 8, None));
    assert_eq!(config.network.hidden, [20, 12]);
    assert!(
        String::from_utf8(bytes(&dir.path().join("file"), "config.toml"))
            .unwrap()
            .contains("{ recurrent = \"dense\" }")
    );
    std::fs::write(dir.path().join("fit.toml"), "lr = 0.5").unwrap();
    succeeds(&mut program(dir.path(), "typed", "--network DIR/many.toml --batch-size 9 --options DIR/fit.toml"));
    let config = Config::read(&dir.path().join("typed")).unwrap();
    assert_eq!((config.lr, config.batch_size), (0.5, 9));
    // A resumed run keeps its own options.
    succeeds(&mut program(dir.path(), "typed", "--network DIR/many.toml --epochs 3 --resume"));
    let config = Config::read(&dir.path().join("typed")).unwrap();
    assert_eq!((config.lr, config.lr_changes.len(), config.batch_size), (0.5, 0, 9));
}

#[test]
fn a_network_of_many_layers_learns_and_is_evaluated() {
    let dir = sets::task();
    let path = dir.path();
    write(path, MANY);
    succeeds(&mut program(path, "run", "--network DIR/many.toml --valid DIR/valid --epochs 12"));
    let all = epochs(&path.join("run"));
    let last = &all[11];
    assert!(last.train.loss < 0.95 * all[0].train.loss, "{} {}", all[0].train.loss, last.train.loss);
    assert_eq!(last.activity.as_ref().unwrap().len(), 2);
    let result = json(&mut eval(path, "run", "valid"));
    assert_eq!(result["accuracy"], last.valid.unwrap().accuracy);
    assert_eq!(result["loss"], last.valid.unwrap().loss);
    succeeds(&mut predict_on("cpu", path, "run", "valid", "predictions"));
    let logits = logits(&path.join("predictions"));
    assert!(logits.iter().all(|row| row.iter().all(|logit| (0.0..=30.0).contains(logit))), "sums of probabilities");

    let model = bytes(&path.join("run"), "model.safetensors");
    let file = SafeTensors::deserialize(&model).unwrap();
    let mut names = file.names();
    names.sort();
    let expected = [
        "0.weight",
        "1.bias",
        "1.running_mean",
        "1.running_var",
        "1.weight",
        "2.weight",
        "3.a",
        "3.alpha",
        "3.b",
        "3.beta",
        "5.bias",
        "5.weight",
        "6.a",
        "6.b",
        "6.dt",
        "6.p_alpha",
        "6.p_beta",
        "7.weight",
        "8.bias",
        "8.running_mean",
        "8.running_var",
        "8.weight",
        "9.alpha",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_stopped_run_of_many_layers_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    Spec::new(1200, 64).write(&path.join("train"), sets::learnable(1));
    Spec::new(60, 8).write(&path.join("valid"), sets::learnable(2));
    write(path, MANY);
    let arguments = "--valid DIR/valid --network DIR/many.toml --epochs 3 --batch-size 4";
    succeeds(&mut program(path, "whole", arguments));
    let mut isas = Isa::available().into_iter().cycle();
    let begin = |resume: bool| {
        let resume = if resume { "--resume --threads 1 --cache stream" } else { "" };
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tonic-train"));
        command.env("TONIC_ISA", isas.next().unwrap().name()).stderr(std::process::Stdio::piped());
        command.args(network_arguments(path, "stopped", &format!("{arguments} --quiet {resume}")));
        command.spawn().unwrap()
    };
    interrupted(begin, &path.join("stopped"), Duration::from_millis(20));
    succeeds(&mut program(path, "stopped", &format!("{arguments} --resume")));
    assert_same(&path.join("whole"), &path.join("stopped"));
}

#[test]
fn contradictions_are_refused() {
    let dir = sets::task();
    let path = dir.path();
    write(path, MANY);
    let with = |others: &str| program(path, "run", &format!("--network DIR/many.toml {others}"));
    fails(&mut with("--theta 0.5"), 2, &["--theta", "expected no such option with a network file"]);
    fails(&mut with("--min-v-mem=-1"), 2, &["--min-v-mem", "no such option with a network file"]);
    fails(&mut with("--hidden 8,8"), 2, &["--hidden", "hidden layers are alike"]);
    fails(&mut with("--gain 2"), 2, &["--gain: expected hidden layers without a norm", "got a norm in layer 1"]);
    fails(&mut with("--preset lif"), 2, &["--preset"]);
    write(path, &MANY.replace("{ norm = \"batch\" }", "{ norm = \"layer\" }"));
    fails(&mut with(""), 2, &["many.toml: line 4: expected norm = \"batch\", got \"layer\""]);
    write(path, &MANY.replace("lr = 0.02", "learning-rate = 0.02"));
    fails(&mut with(""), 2, &["many.toml: line 16: learning-rate: expected a flag of fit"]);
    write(path, MANY);
    succeeds(&mut with(""));
    write(path, &MANY.replace("dropout = 0.2", "dropout = 0.3"));
    fails(&mut with("--resume"), 4, &["network differs", "expected { dropout = 0.2", "got { dropout = 0.3"]);
    let plain = fit_arguments(path, "plain", "--quiet");
    succeeds(train().args(plain));
    fails(&mut fit(path, "plain", "--quiet --reestimate-norm --overwrite"), 2, &["--reestimate-norm", "with a norm"]);
}

/// Potentials that overflow are NaN, and NaN is no spike: without a check, such neurons are silent.
#[test]
fn potentials_that_overflow_stop_at_the_step() {
    let dir = sets::task();
    let path = dir.path();
    for (recurrent, layer) in [("", 1), ("{ recurrent = \"dense\" }, ", 2)] {
        let unstable = format!("{{ linear = 8 }}, {recurrent}{{ neuron = \"adlif\", a = [-1e6, -1e5] }}, ");
        let before = if layer == 2 { "{ linear = 8 }, { neuron = \"iaf\" }, " } else { "" };
        let end = "{ linear = \"classes\" }, { readout = \"leaky\" }";
        write(path, &format!("layers = [{before}{unstable}{end}]\n"));
        let what = format!("membrane potentials of hidden layer {layer} are NaN or infinite at epoch 1, batch 1: ");
        let advice = format!("a = [0.0, 1.0] in the neurons of hidden layer {layer}");
        let arguments = "--network DIR/many.toml --batch-size 8 --overwrite";
        fails(&mut program(path, "run", arguments), 5, &[&what, "before the first batch", &advice]);
    }
}

#[test]
fn a_resumed_run_says_which_options_of_a_network_file_it_leaves() {
    let dir = sets::task();
    write(dir.path(), MANY);
    succeeds(&mut program(dir.path(), "run", "--network DIR/many.toml"));
    let said = succeeds(&mut network_fit(dir.path(), "run", "--network DIR/many.toml --epochs 3 --resume"));
    assert_says(
        &said,
        &["options  the resumed run keeps its own lr, batch-size: [training] of ", "many.toml isn't used"],
    );
}

#[test]
fn norms_are_estimated_again_from_the_whole_set() {
    let dir = sets::task();
    let path = dir.path();
    write(path, ACTIVE);
    // The statistics also include the samples that --drop-last leaves out in training. With this learning rate, the
    // weights don't change.
    let [every, dropped] = ["", "--drop-last"].map(|drop_last| {
        let arguments = format!("--network DIR/many.toml --lr 1e-30 --batch-size 50 --reestimate-norm {drop_last}");
        succeeds(&mut program(path, "still", &format!("{arguments} --overwrite")));
        read_model(&path.join("still/model.safetensors")).unwrap().network.parameters.statistics().to_vec()
    });
    assert_eq!(every, dropped);
    let arguments = "--network DIR/many.toml --valid DIR/valid --test DIR/valid";
    succeeds(&mut program(path, "lagging", arguments));
    succeeds(&mut program(path, "again", &format!("{arguments} --reestimate-norm")));
    let [lagging, again] = ["lagging", "again"].map(|run| path.join(run));
    for file in ["model.safetensors", "best.safetensors"] {
        let [before, after] = [&lagging, &again].map(|run| read_model(&run.join(file)).unwrap().network.parameters);
        assert_eq!(before.flat(), after.flat());
        assert_ne!(before.statistics(), after.statistics());
    }
    assert!(bytes(&lagging, "checkpoint.safetensors") == bytes(&again, "checkpoint.safetensors"));
    // The saved networks are validated.
    let read = |run: &Path| -> serde_json::Value { serde_json::from_slice(&bytes(run, "reestimated.json")).unwrap() };
    let validated = read(&again);
    for (name, option) in [("last", None), ("best", Some("--best"))] {
        let judged = json(eval(path, "again", "valid").args(option));
        assert_eq!((&validated[name]["loss"], &validated[name]["accuracy"]), (&judged["loss"], &judged["accuracy"]));
    }
    assert_ne!(validated["last"]["loss"], epochs(&again).last().unwrap().valid.unwrap().loss);
    let share =
        |name: &str| format!("{:.1}% of the {name} epoch", validated[name]["accuracy"].as_f64().unwrap() * 100.0);
    let note = format!("valid acc after re-estimation of norms: {}, {}", share("best"), share("last"));
    let compared = json(train().arg("compare").arg(&again));
    assert!(compared["runs"][0]["notes"].as_array().unwrap().contains(&note.as_str().into()), "{compared}");
    assert_eq!(compared["runs"][0]["reestimated"], validated);
    succeeds(train().arg("report").arg(&again).arg("--quiet"));
    let page = String::from_utf8(bytes(&again, "report.html")).unwrap();
    assert_says(&page, &["validation accuracy of the best epoch after re-estimation of norms", &note]);
    assert!(!lagging.join("reestimated.json").exists());
    // The test at the end uses the saved network.
    let test: serde_json::Value = serde_json::from_slice(&bytes(&again, "test.json")).unwrap();
    assert_eq!(json(&mut eval(path, "again", "valid"))["loss"], test["loss"]);
    // A finished run that is resumed with --reestimate-norm also re-estimates its norms. The test result is then that
    // of the saved network, or it is removed.
    let untested = "--network DIR/many.toml --valid DIR/valid --reestimate-norm --resume";
    succeeds(&mut program(path, "lagging", untested));
    assert!(bytes(&lagging, "model.safetensors") == bytes(&again, "model.safetensors"));
    assert!(!lagging.join("test.json").exists());
    succeeds(&mut program(path, "again", untested));
    assert!(again.join("test.json").exists());
    assert_eq!([read(&again), read(&lagging)], [validated.clone(), validated]);
    // More epochs replace the networks, and their results.
    let more = "--network DIR/many.toml --valid DIR/valid --epochs 3 --resume";
    let said = succeeds(&mut network_fit(path, "again", more));
    assert_says(
        &said,
        &["norms    model.safetensors after re-estimation: valid loss ", "norms    best.safetensors after"],
    );
}

/// Running statistics lag behind the weights. Activity is that of training.
#[test]
fn activity_does_not_depend_on_running_statistics() {
    let dir = sets::task();
    let activity = |momentum: &str| {
        write(dir.path(), &ACTIVE.replace("\"batch\" }", &format!("\"batch\", momentum = {momentum} }}")));
        succeeds(&mut program(dir.path(), "run", "--network DIR/many.toml --overwrite"));
        epochs(&dir.path().join("run")).into_iter().map(|epoch| epoch.activity.unwrap()).collect::<Vec<_>>()
    };
    let slow = activity("1e-6");
    assert_eq!(slow, activity("1.0"));
    assert!(slow.iter().flatten().all(|layer| layer.silent < 0.5), "{slow:?}");
}
