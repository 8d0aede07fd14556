//! Tests of `tonic-train bench` on a GPU.

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::sets::{self, fails, json as json_of};
use crate::trainer::on_gpu;

pub(crate) fn bench(device: &str, arguments: &str) -> Command {
    let mut command = on_gpu(sets::train());
    command.args(["bench", "--threads", "2", "--steps", "2", "--device", device]).args(arguments.split_whitespace());
    command
}

/// Returns the positive number at the JSON pointer `pointer` in a report.
fn number(report: &Value, pointer: &str) -> f64 {
    let number = report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}: {report}"));
    assert!(number > 0.0, "{pointer}: {number}");
    number
}

fn assert_step(report: &Value) {
    let [min, median, max] = ["/step_seconds_min", "/step_seconds", "/step_seconds_max"].map(|key| number(report, key));
    assert!(min <= median && median <= max, "{report}");
    let batch_size = number(report, "/batch_size");
    assert!((number(report, "/samples_per_second") * median - batch_size).abs() < 1e-6 * batch_size, "{report}");
    assert_ne!(report["device"], json!("cpu"));
}

#[test]
fn a_set_is_measured_every_way() {
    let dir = sets::task();
    let png = dir.path().join("chart.png");
    let arguments = "--batch-size 16 --hidden 8,8 --epochs 1";
    let mut command = bench("cuda:0", arguments);
    let report = json_of(command.arg("--data").arg(dir.path().join("train")).arg("--png").arg(&png));
    assert_step(&report);
    let [min, median, max] = ["min", "median", "max"].map(|of| number(&report, &format!("/inflate/microseconds_{of}")));
    assert!(min <= median && median <= max, "{report}");
    assert!((number(&report, "/inflate/batches_per_second") * median / 1e6 - 1.0).abs() < 1e-6, "{report}");
    for of in ["/promote/seconds", "/device_epoch_seconds", "/stream_epoch_seconds"] {
        let [min, median, max] = ["_min", "", "_max"].map(|which| number(&report, &format!("{of}{which}")));
        assert!(min <= median && median <= max, "{report}");
    }
    let bytes = number(&report, "/promote/bytes");
    assert!((number(&report, "/promote/bytes_per_sample") * 120.0 - bytes).abs() < 1e-6 * bytes);
    assert_eq!(number(&report, "/device_memory/cache_bytes"), bytes);
    number(&report, "/device_memory/beyond_cache_bytes");
    let strategies = report["strategies"].as_array().unwrap();
    assert_eq!(strategies.len(), 6);
    for strategy in strategies {
        assert!(strategy["reason"].is_null() && strategy["batches_per_second"].as_f64() > Some(0.0), "{strategy}");
    }
    let on_device = strategies.iter().filter(|strategy| strategy["name"] == "device cache");
    for strategy in on_device {
        assert_eq!(strategy["bytes_per_sample"].as_f64(), Some(bytes / 120.0));
    }
    let training = strategies.iter().find(|s| s["name"] == "device cache" && s["work"] == "training").unwrap();
    assert_eq!(report["device_train_batches_per_second"], training["batches_per_second"]);
    let batches = 8.0; // seven of sixteen samples and one of eight
    let rate = number(&report, "/device_train_batches_per_second");
    assert!((number(&report, "/device_epoch_seconds") * rate - batches).abs() < 1e-6, "{report}");
    assert!(std::fs::read(png).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn a_set_is_measured_without_a_gpu_and_it_says_why() {
    let dir = sets::task();
    let mut command = bench("cpu", "--batch-size 16 --hidden 8,8 --epochs 1");
    let report = json_of(command.arg("--data").arg(dir.path().join("train")));
    for key in ["device_train_batches_per_second", "device_epoch_seconds", "inflate", "promote", "device_memory"] {
        assert!(report[key].is_null(), "{key}: {report}");
    }
    for strategy in report["strategies"].as_array().unwrap() {
        let is_device = strategy["name"] == "device cache";
        assert_eq!(strategy["batches_per_second"].is_null(), is_device);
        assert_eq!(strategy["reason"].as_str().is_some_and(|reason| reason.contains("GPU")), is_device, "{strategy}");
    }
}

#[test]
fn a_step_on_random_frames() {
    let size = "--random --batch-size 6 --time-steps 40 --channels 30 --classes 4 --hidden 24,16 --density 0.1";
    for precision in ["highest", "medium"] {
        let report = json_of(&mut bench("cuda:0", &format!("{size} --matmul-precision {precision}")));
        assert_step(&report);
        assert_eq!((&report["batch_size"], &report["steps"]), (&json!(6), &json!(40)));
        assert!((number(&report, "/density") - 0.1).abs() < 0.02);
    }
    // After potentials that overflow, steps do nothing. They must not count as fast steps.
    fails(&mut bench("cuda:0", &format!("{size} --gain 1e30")), 4, &["membrane potentials of hidden layer "]);
    let text = bench("cuda:0", size).output().unwrap();
    assert_eq!(sets::outcome(&text), (Some(0), String::new()));
    assert!(String::from_utf8(text.stdout).unwrap().contains("samples/s on "));
}
