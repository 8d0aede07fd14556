//! Tests of `tonic-train bench`.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::report::{Error, Report, figures};
use tonic_toolkit::shard::{FrameShape, Manifest, SampleFrames};
use tonic_toolkit::train::feed::RandomFrames;

use crate::sets::{self, CHANNELS, assert_says, fails, json as json_of, train};

fn bench(arguments: &str) -> Command {
    let mut command = train();
    command.args(["bench", "--threads", "2", "--steps", "2"]).args(arguments.split_whitespace());
    command
}

fn of_set(dir: &Path, others: &str) -> Command {
    let mut command = bench(&format!("--batch-size 16 --hidden 24,16 --epochs 1 {others}"));
    command.arg("--data").arg(dir);
    command
}

#[test]
fn random_frames_are_as_dense_as_asked() {
    let random = |density| RandomFrames { time_steps: 60, channels: 300, classes: 5, density };
    let share = |density| {
        let batch = random(density).batch(3, 8);
        assert!(batch == random(density).batch(3, 8), "the same each time");
        assert!(batch.labels.iter().all(|&label| label < 5) && batch.len() == 8);
        let entries: usize = batch.frames.samples().map(|s: SampleFrames<'_>| s.entries()).sum();
        assert!(
            batch.frames.samples().all(|s| s.frames() == 60 && s.iter().all(|(_, cell, n)| cell < 300 && n >= 1.0))
        );
        entries as f64 / (8.0 * 60.0 * 300.0)
    };
    assert_eq!((share(0.0), share(1.0)), (0.0, 1.0));
    assert!((share(0.3) - 0.3).abs() < 0.005, "{}", share(0.3));
    assert!(random(0.3).batch(3, 8) != random(0.3).batch(4, 8));
}

#[test]
fn a_step_on_random_frames_says_what_it_was_measured_on() {
    let size = "--random --batch-size 6 --time-steps 40 --channels 30 --classes 4 --hidden 24,16";
    let few = json_of(&mut bench(&format!("{size} --density 0.1")));
    assert_eq!((&few["batch_size"], &few["steps"], &few["threads"]), (&json!(6), &json!(40), &json!(2)));
    assert_eq!(few["hidden"], json!([24, 16]));
    let number = |report: &Value, key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
    assert!((number(&few, "density") - 0.1).abs() < 0.02);
    assert!(number(&few, "step_seconds_min") <= number(&few, "step_seconds"));
    assert!((number(&few, "samples_per_second") * number(&few, "step_seconds") - 6.0).abs() < 1e-6);
    let dense = json_of(&mut bench(&format!("{size} --density 0.1 --gain 8")));
    assert!(number(&dense, "spike_density") > 1.5 * number(&few, "spike_density"), "{few} {dense}");
    for engine in sets::ENGINES {
        let full = json_of(&mut bench(&format!("{size} --density 1 --engine {engine}")));
        assert_eq!(number(&full, "density"), 1.0);
    }
}

#[test]
fn networks_and_frames_that_are_too_large_for_the_memory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("huge.toml");
    let hidden = "{ linear = 1048576 }, { neuron = \"lif\" }, ".repeat(3);
    std::fs::write(&file, format!("layers = [{hidden}{{ linear = \"classes\" }}, {{ readout = \"sum\" }}]\n")).unwrap();
    let mut huge = bench("--random --batch-size 2");
    fails(huge.arg("--network").arg(&file), 2, &["--hidden: expected layers that can be trained in the "]);
    let frames = "--random --batch-size 1048576 --channels 4096 --time-steps 1 --density 1 --hidden 8";
    fails(&mut bench(frames), 2, &["--batch-size: expected batches that can be made in the "]);
}

#[test]
fn a_network_with_norms_spikes_more_with_larger_scales() {
    let size = "--random --batch-size 6 --time-steps 40 --channels 30 --classes 4 --preset silif-shd";
    let report = |more: &str| json_of(&mut bench(&format!("{size} {more}")));
    assert_eq!(report("")["hidden"], json!([512, 512]));
    let [few, many] = [1, 4].map(|gain| report(&format!("--hidden 24,16 --gain {gain}")));
    assert_eq!(few["hidden"], json!([24, 16]));
    let density = |report: &Value| report["spike_density"].as_f64().unwrap();
    assert!(density(&many) > 2.0 * density(&few), "{few} {many}");
}

#[test]
fn a_set_is_measured_every_way() {
    let dir = sets::task();
    let set = dir.path().join("train");
    let png = dir.path().join("chart.png");
    let report = json_of(of_set(&set, "").arg("--png").arg(&png));
    let manifest = Manifest::read(&set).unwrap();
    let entries = manifest.totals.entries as f64;
    let cells = (120 * report["steps"].as_u64().unwrap() * u64::from(CHANNELS)) as f64;
    // The density is that of the full batches: 112 of 120 samples.
    assert!((report["density"].as_f64().unwrap() / (entries / cells) - 1.0).abs() < 0.1, "{report}");
    for key in ["stream", "host", "stream_train", "host_train"] {
        assert!(report[format!("{key}_batches_per_second")].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(report["stream_epoch_over_host"].as_f64().unwrap() > 0.0);
    assert_eq!((&report["batch_size"], &report["samples"]), (&json!(16), &json!(120)));

    let strategies = report["strategies"].as_array().unwrap();
    let named: Vec<_> = strategies.iter().map(|s| (s["name"].as_str().unwrap(), s["work"].as_str().unwrap())).collect();
    let caches = ["stream", "host cache", "device cache"];
    let all: Vec<_> = ["loading", "training"].iter().flat_map(|work| caches.map(|cache| (cache, *work))).collect();
    assert_eq!(named, all);
    let stored = manifest.stored_bytes() as f64 / 120.0;
    for strategy in strategies {
        if strategy["name"] == "device cache" {
            assert!(strategy["reason"].as_str().unwrap().contains("GPU"));
            assert!(strategy["batches_per_second"].is_null());
            continue;
        }
        let samples = strategy["samples_per_second"].as_f64().unwrap();
        let batches = strategy["batches_per_second"].as_f64().unwrap();
        assert!((samples / batches - 120.0 / 8.0).abs() < 1e-6, "7 batches of 16 and one of 8: {strategy}");
        assert!((strategy["epoch_seconds_at_ssc"].as_f64().unwrap() * samples - 75_466.0).abs() < 1e-3);
        let bytes = if strategy["name"] == "stream" { json!(stored) } else { report["host_bytes_per_sample"].clone() };
        assert_eq!(strategy["bytes_per_sample"], bytes);
    }

    let picture = std::fs::read(&png).unwrap();
    assert_eq!(picture[..8], *b"\x89PNG\r\n\x1a\n");
    let side = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    assert!((1000..4000).contains(&side(16)) && (400..2000).contains(&side(20)), "{} x {}", side(16), side(20));
    let text = of_set(&set, "--quiet").output().unwrap();
    assert_eq!(sets::outcome(&text), (Some(0), String::new()));
    let text = String::from_utf8(text.stdout).unwrap();
    let words = ["host cache", "device cache", "not available", "loading and training", "training step", "75,466"];
    assert_says(&text, &words);
}

#[test]
fn strategies_from_elsewhere_stand_first_or_are_refused() {
    let dir = sets::task();
    let (set, beside) = (dir.path().join("train"), dir.path().join("beside.json"));
    let run = |report: &[u8]| {
        std::fs::write(&beside, report).unwrap();
        let mut command = of_set(&set, "--quiet");
        command.arg("--beside").arg(&beside);
        command
    };
    let one = json!({
        "name": "naive HDF5, 1 thread", "work": "loading", "batches_per_second": 61.5, "samples_per_second": 984,
        "bytes_per_sample": 33_900, "epoch_seconds_at_ssc": 76.7, "reason": null
    });
    let whole = json!({"batch_size": 16, "strategies": [one], "recipe": "window = 4000\n", "of": "another version"});
    let report = json_of(&mut run(whole.to_string().as_bytes()));
    assert_eq!(report["strategies"].as_array().unwrap().len(), 7);
    assert_eq!(report["strategies"][0]["name"], one["name"]);
    assert_eq!(report["strategies"][0]["bytes_per_sample"], json!(33_900.0));

    let with = |pointer: &str, value: Value| {
        let mut report = whole.clone();
        *report.pointer_mut(pointer).unwrap() = value;
        report.to_string()
    };
    let long = "x".repeat(49);
    for (text, words) in [
        ("".into(), vec!["JSON", "EOF"]),
        ("[1, 2".into(), vec!["JSON"]),
        (format!("{{\"deep\": {}", "[".repeat(100_000)), vec!["JSON", "EOF"]),
        (" ".repeat(1 << 21), vec!["size: expected at most 1048576 bytes"]),
        (json!({"batch_size": 16}).to_string(), vec!["missing field `strategies`"]),
        (with("/batch_size", json!(-3)), vec!["JSON", "-3"]),
        (with("/strategies", json!([])), vec!["strategies: expected 1 to 32, got 0"]),
        (with("/strategies", json!(vec![one.clone(); 33])), vec!["strategies: expected 1 to 32, got 33"]),
        (with("/strategies/0/name", json!(long)), vec!["strategies[0].name: expected 1 to 48 letters"]),
        (with("/strategies/0/name", json!("a\u{1b}[2J")), vec!["strategies[0].name", "\\u{1b}"]),
        (with("/strategies/0/work", json!("sleeping")), vec!["JSON", "sleeping"]),
        (with("/strategies/0/samples_per_second", json!(-4)), vec!["strategies[0].samples_per_second", "got -4"]),
        (with("/strategies/0/samples_per_second", json!(1e300)), vec!["strategies[0].samples_per_second", "1e12"]),
        (with("/strategies/0/bytes_per_sample", Value::Null), vec!["strategies[0].bytes_per_sample", "null"]),
    ] {
        std::fs::write(&beside, text).unwrap();
        let refused = Report::<FrameShape>::read(&beside).unwrap_err();
        assert!(matches!(refused, Error::Base(BaseError::Corrupt { .. })), "{refused}");
        assert_says(&refused.to_string(), &[&["beside.json: corrupt: "], &words[..]].concat());
    }
    for (text, words) in [
        (with("/strategies/0/name", json!("")), ["beside.json: corrupt: strategies[0].name", "1 to 48 letters"]),
        (with("/batch_size", json!(128)), ["batch_size differs", "expected 16, got 128"]),
        (with("/recipe", json!("window = 5000\n")), ["recipe differs", "window = 5000"]),
    ] {
        fails(&mut run(text.as_bytes()), 4, &words);
    }
    fails(of_set(&set, "--beside nowhere.json").arg("--quiet"), 1, &["nowhere.json: cannot open the report"]);
}

#[test]
fn nonsense_is_refused() {
    let dir = sets::task();
    let set = dir.path().join("train");
    for (arguments, words) in [
        ("", "--data"),
        ("--random --batch-size 0", "1 to 1048576"),
        ("--random --density 1.5", "0 to 1"),
        ("--random --gain 0", "a positive number"),
        ("--random --png chart.png", "cannot be used with"),
        ("--random --epochs 2", "cannot be used with"),
        ("--random --channels 1048576 --time-steps 1048576", "at most 4294967296 cells"),
    ] {
        fails(&mut bench(arguments), 2, &[words]);
    }
    for option in ["--random", "--density 0.2"] {
        fails(&mut of_set(&set, option), 2, &["cannot be used with"]);
    }
    fails(&mut of_set(&set, "--png chart.json"), 2, &["ends in .png"]);
    fails(&mut of_set(&dir.path().join("none"), ""), 1, &["cannot open the set"]);
}

#[test]
fn figures_have_three_digits_or_more() {
    let said = [0.001_23, 0.5, 1.0, 9.994, 45.67, 123.4, 999.6, 12_345.0, 1_234_567.8].map(figures);
    assert_eq!(said, ["0.001", "0.500", "1.00", "9.99", "45.7", "123", "1,000", "12,345", "1,234,568"]);
}
