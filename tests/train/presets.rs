//! Tests of `--preset` and `presets`, and of the options that change their networks.

use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::learner::Curve;
use tonic_toolkit::train::network::{Layers, Preset};
use tonic_toolkit::train::run::Config;

use crate::networks::{MANY, program, write};
use crate::runs::{assert_same, bytes};
use crate::sets::{self, Spec, assert_says, fails, json, network_fit, succeeds, train};

#[test]
fn a_preset_is_its_network_file() {
    let dir = sets::task();
    let path = dir.path();
    let listed = String::from_utf8(train().arg("presets").output().unwrap().stdout).unwrap();
    for preset in Preset::ALL {
        assert_says(&listed, &[preset.name]);
        let text = train().args(["presets", preset.name]).output().unwrap().stdout;
        assert_eq!(String::from_utf8(text.clone()).unwrap(), preset.text);
        std::fs::write(path.join("many.toml"), text).unwrap();
        let small = "--hidden 9,8 --epochs 1 --overwrite --valid DIR/valid";
        succeeds(&mut program(path, "preset", &format!("--preset {} {small}", preset.name)));
        succeeds(&mut program(path, "file", &format!("--network DIR/many.toml {small}")));
        assert_same(&path.join("preset"), &path.join("file"));
        assert_eq!(bytes(&path.join("preset"), "config.toml"), bytes(&path.join("file"), "config.toml"));
    }
    fails(&mut program(path, "none", "--preset silif"), 2, &["silif", "silif-ssc"]);
}

/// Compares the README's table of neurons with the defaults. The README rounds numbers to four digits.
#[test]
fn the_readme_has_the_defaults_of_neurons() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/train/README.md")).unwrap();
    let table = readme.split("| neuron | keys, with their defaults |").nth(1).unwrap().split("\n\n").next().unwrap();
    let words = |keys: &[&str]| -> Vec<String> {
        let text = format!(
            "layers = [{{ linear = 1 }}, {{ {} }}, {{ linear = \"classes\" }}, {{ readout = \"sum\" }}]",
            keys.join(", ")
        );
        let layers = Layers::parse(&text, &[]).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        layers.text().split([' ', ',', '[', ']']).map(String::from).collect()
    };
    let mut neurons = 0;
    for row in table.lines().filter(|row| row.starts_with("| `")) {
        let columns: Vec<&str> = row.split(" | ").collect();
        let quoted = |column: usize| columns[column].split('`').skip(1).step_by(2);
        let neuron = format!("neuron = \"{}\"", quoted(0).next().unwrap());
        let keys = quoted(1).filter(|key| key.contains(" = "));
        let told = words(&[neuron.as_str()].into_iter().chain(keys).collect::<Vec<_>>());
        let defaults = words(&[&neuron]);
        assert_eq!(told.len(), defaults.len(), "{row}");
        for (told, default) in told.iter().zip(&defaults) {
            let same = match (told.parse::<f64>(), default.parse::<f64>()) {
                (Ok(told), Ok(default)) => (told - default).abs() <= 5e-5,
                _ => told == default,
            };
            assert!(same, "{row}: {told} where {default} is the default");
        }
        neurons += 1;
    }
    assert_eq!(neurons, 6);
}

#[test]
fn the_preset_post_is_the_network_without_a_preset() {
    let dir = sets::task();
    succeeds(&mut program(dir.path(), "preset", "--preset post --hidden 24,16"));
    succeeds(&mut program(dir.path(), "flags", "--hidden 24,16"));
    assert_same(&dir.path().join("preset"), &dir.path().join("flags"));
    for file in ["config.toml", "model.safetensors"] {
        assert!(bytes(&dir.path().join("preset"), file) == bytes(&dir.path().join("flags"), file), "{file} differs");
    }
}

#[test]
fn choices_of_a_preset_can_be_taken_back() {
    let dir = sets::task();
    let run = |others: &str| program(dir.path(), "run", &format!("--preset silif-shd --hidden 8,8 {others}"));
    fails(&mut run("--schedule constant"), 2, &["--select", "a validation set"]);
    fails(&mut run("--select none"), 2, &["schedule plateau", "a validation set"]);
    succeeds(&mut run("--select none --schedule constant"));
    let training = Config::read(&dir.path().join("run")).unwrap().training;
    assert_eq!((training.select, training.schedule.curve), (None, Curve::Constant));
    let resume = "--resume --valid DIR/valid --epochs 3 --select";
    fails(&mut run(&format!("{resume} valid-loss")), 4, &["select differs", "expected none, got valid-loss"]);
    succeeds(&mut run("--resume --epochs 3 --select none"));
    // A run that selects an epoch cannot be resumed without the selection.
    succeeds(&mut run("--overwrite --valid DIR/valid"));
    fails(&mut run(&format!("{resume} none")), 4, &["select differs", "expected valid-accuracy, got none"]);
}

#[test]
fn one_number_of_neurons_keeps_the_number_of_layers() {
    let dir = sets::task();
    let hidden = |others: &str| {
        succeeds(&mut program(dir.path(), "run", &format!("{others} --epochs 1 --overwrite")));
        Config::read(&dir.path().join("run")).unwrap().network.hidden
    };
    let preset = "--preset silif-shd --select none --schedule constant";
    assert_eq!(hidden(&format!("{preset} --hidden 8")), [8, 8]);
    assert_eq!(hidden(&format!("{preset} --hidden 8,7,6")), [8, 7, 6]);
    // A resumed run has the layers of its network file.
    succeeds(&mut program(dir.path(), "run", &format!("{preset} --hidden 8 --epochs 1 --overwrite")));
    succeeds(&mut program(dir.path(), "run", &format!("{preset} --hidden 8 --resume")));
    succeeds(&mut program(dir.path(), "run", "--hidden 8 --epochs 3 --resume"));
    fails(
        &mut program(dir.path(), "run", "--hidden 8,8,8 --resume"),
        4,
        &["hidden differs", "expected 8,8, got 8,8,8"],
    );
    // The hidden layers of this file are not alike.
    write(dir.path(), MANY);
    assert_eq!(hidden("--network DIR/many.toml --hidden 9"), [9, 9]);
    write(dir.path(), "layers = [{ linear = \"classes\" }, { readout = \"sum\" }]\n");
    let none = program(dir.path(), "run", "--network DIR/many.toml --hidden 9 --overwrite");
    fails(&mut { none }, 2, &["--hidden: expected a network file with hidden layers"]);
    assert_eq!(hidden("--hidden 8"), [8; 3]);
    let bench = ["bench", "--random", "--preset", "silif-ssc", "--hidden", "16", "--batch-size", "4", "--steps", "2"];
    let measured = json(train().args(bench).args(["--device", "cpu", "--channels", "10"]));
    assert_eq!(measured["hidden"], serde_json::json!([16, 16]));
}

#[test]
fn frames_that_a_network_is_not_made_for_are_told() {
    let dir = sets::task();
    for (name, window) in [("fast", 4000), ("slow", 8000)] {
        let recipe = format!("[frames]\ntime_window = {window}\n");
        Spec { recipe, ..Spec::new(20, 8) }.write(&dir.path().join(name), sets::learnable(1));
    }
    let steps = ShardSet::open(&dir.path().join("fast")).unwrap().manifest().totals.max_frames;
    let preset = "--train DIR/fast --preset silif-shd --hidden 8 --select none --schedule constant";
    let words =
        format!("note     the preset is made for 250 steps of 4 ms, and the training set has {steps} steps of 4 ms");
    let said = succeeds(&mut network_fit(dir.path(), "run", preset));
    assert!(said.contains(&words) && !said.contains("dt ="), "{said}");
    let resumed = succeeds(&mut network_fit(dir.path(), "run", "--train DIR/fast --epochs 3 --resume"));
    assert!(!resumed.contains("made for"), "{resumed}");
    write(dir.path(), MANY);
    let said = succeeds(&mut network_fit(dir.path(), "slow-run", "--train DIR/slow --network DIR/many.toml"));
    let words = "note     the neurons silif have dt = 0.004 (s), and a frame of the training set takes 0.008 s";
    assert_says(&said, &[words]);
}

#[test]
fn a_sweep_varies_presets() {
    let dir = sets::task();
    let spec = format!(
        "train = \"{0}/train\"\nepochs = 1\nhidden = [8, 8]\ndevice = \"cpu\"\n[vary]\npreset = [\"post\", \"lif\"]\n",
        dir.path().display()
    );
    std::fs::write(dir.path().join("spec.toml"), spec).unwrap();
    succeeds(train().current_dir(dir.path()).args(["sweep", "spec.toml", "-o", "runs"]));
    for run in ["1-presetpost", "2-presetlif"] {
        let run = std::fs::read_dir(dir.path().join("runs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().unwrap().to_str().unwrap().trim_start_matches('0') == run);
        let run = run.unwrap();
        let options = run.join("fit.toml");
        succeeds(train().arg("fit").arg("--options").arg(options).arg("-o").arg(&run).arg("--quiet"));
        assert_eq!(Config::read(&run).unwrap().network.hidden, [8, 8]);
    }
    let compared = json(train().current_dir(dir.path()).args(["compare", "runs"]));
    let differing = compared["differing"].to_string();
    assert_says(&differing, &["layers", "lr"]);
}
