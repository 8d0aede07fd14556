//! Tests of whole runs: learning, files, and the same bits with any number of threads, any cache and any instruction
//! set.

use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::Isa;
use tonic_toolkit::train::network::read_model;
use tonic_toolkit::train::run::Config;

#[cfg(feature = "libtorch")]
use crate::runs::epochs;
use crate::runs::{assert_same, bytes};
use crate::sets::{self, Spec, assert_says, fails, fit, succeeds};

#[cfg(feature = "libtorch")]
#[test]
fn both_engines_learn_the_task_and_agree() {
    let dir = sets::task();
    for engine in ["fused", "reference"] {
        let arguments = format!("--valid DIR/valid --epochs 3 --engine {engine}");
        succeeds(&mut fit(dir.path(), engine, &arguments));
    }
    let [fused, reference] = ["fused", "reference"].map(|engine| epochs(&dir.path().join(engine)));
    assert_eq!((fused.len(), reference.len()), (3, 3));
    for epochs in [&fused, &reference] {
        let (first, last) = (&epochs[0], &epochs[2]);
        // Guessing reaches a third.
        assert!(last.valid.unwrap().accuracy > 0.7, "{epochs:?}");
        assert!(last.train.loss < first.train.loss * 0.8, "{epochs:?}");
    }
    let (ours, theirs) = (&fused[0], &reference[0]);
    assert!((ours.train.loss - theirs.train.loss).abs() < 1e-3 * theirs.train.loss, "{ours:?} {theirs:?}");
    assert!((ours.train.accuracy - theirs.train.accuracy).abs() < 0.02, "{ours:?} {theirs:?}");
}

#[test]
fn a_run_folder_holds_what_the_readme_promises() {
    let dir = sets::task();
    let stderr = succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --test DIR/valid --epochs 2"));
    for set in ["train", "valid", "test"] {
        assert_says(&stderr, &[&format!("cache    {set}  host: its ")]);
    }
    assert_says(&stderr, &["network  12-24-16-3, ", "epoch 1/2  loss ", "batches/s", "samples/s"]);
    let run = dir.path().join("run");
    let mut names: Vec<String> =
        run.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = "accuracy.png accuracy.svg best.safetensors checkpoint.safetensors config.toml loss.png loss.svg \
                    metrics.jsonl model.safetensors sets.toml sums.json test.json times.json";
    assert_eq!(names.join(" "), expected);
    for name in ["accuracy", "loss"] {
        let png = bytes(&run, &format!("{name}.png"));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 5000, "{} bytes", png.len());
        let svg = String::from_utf8(bytes(&run, &format!("{name}.svg"))).unwrap();
        assert!(svg.contains("<svg") && svg.contains("validation") && svg.trim_end().ends_with("</svg>"));
    }
    let config = Config::read(&run).unwrap();
    assert_eq!((config.epochs, config.batch_size, config.seed, config.lr), (2, 16, 0, 0.01));
    assert_eq!(config.network.hidden, [24, 16]);
    let set = ShardSet::open(&dir.path().join("train")).unwrap();
    assert_eq!(config.data.set_id, set.manifest().set_id.to_string());
    assert_eq!(config.steps as u64, set.manifest().totals.max_frames);
    let model = read_model(&run.join("model.safetensors")).unwrap();
    assert_eq!((model.classes, model.steps), (config.data.class_names, config.steps));

    // One value of --hidden gives three layers, as in the reference network. T is the recipe's frame limit instead of
    // the longest sample.
    let limited = Spec { frame_limit: Some(33), ..Spec::new(20, 8) };
    limited.write(&dir.path().join("limited"), sets::learnable(1));
    succeeds(&mut fit(dir.path(), "three", "--train DIR/limited --hidden 8 --epochs 1 --quiet"));
    let config = Config::read(&dir.path().join("three")).unwrap();
    assert_eq!((config.network.hidden, config.steps), (vec![8; 3], 33));
    assert!(!dir.path().join("three/best.safetensors").exists());
}

#[test]
fn a_run_comes_to_the_same_bits_whatever_the_threads_and_the_cache() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        succeeds(&mut fit(dir.path(), name, &format!("--valid DIR/valid --epochs 2 --quiet {others}")));
        dir.path().join(name)
    };
    let first = run("first", "");
    for (name, others) in
        [("again", ""), ("one", "--threads 1 --cache stream"), ("many", "--threads 8 --cache stream --pin")]
    {
        let run = run(name, others);
        assert_same(&first, &run);
        assert_eq!(bytes(&first, "best.safetensors"), bytes(&run, "best.safetensors"));
    }
    let other = run("other", "--seed 1");
    assert_ne!(bytes(&first, "model.safetensors"), bytes(&other, "model.safetensors"));
}

#[test]
fn a_run_comes_to_the_same_bits_on_every_instruction_set() {
    let dir = sets::task();
    let named = |run: &str, name: &str| {
        let mut command = fit(dir.path(), run, "--valid DIR/valid --epochs 2 --quiet");
        command.env("TONIC_ISA", name);
        command
    };
    succeeds(&mut named("best", ""));
    assert_eq!(Isa::available()[0].name(), "portable");
    for isa in Isa::available() {
        succeeds(&mut named(isa.name(), isa.name()));
        assert_same(&dir.path().join("best"), &dir.path().join(isa.name()));
    }
    fails(&mut named("none", "sse9"), 2, &["TONIC_ISA", "portable", "got sse9"]);
}
