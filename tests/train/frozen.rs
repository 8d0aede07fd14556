//! Tests that this version can finish runs that earlier versions began (tests/data/frozen). The results must have the
//! bits of the earlier versions.

use std::path::{Path, PathBuf};

use crate::command_lines::assert_all_parse;
use crate::runs::{bytes, epochs};
use crate::sets::{outcome, succeeds, train};

fn frozen(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frozen").join(name)
}

/// Evaluates the frozen run `name`, and resumes it with the options `options`. Compares the results with the stored
/// results.
fn assert_finishes(name: &str, options: &str) {
    let (dir, set, frozen_run) = (tempfile::tempdir().unwrap(), frozen("conversion/finished"), frozen(name));
    let run = dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    for file in frozen_run.join("stopped").read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        std::fs::copy(&file, run.join(file.file_name().unwrap())).unwrap();
    }
    for (expected, which) in [("eval.json", None), ("eval_best.json", Some("--best"))] {
        let mut eval = train();
        eval.arg("eval").arg("--model").arg(&run).arg("--data").arg(&set).args(["--device", "cpu", "--json"]);
        let output = eval.args(which).output().unwrap();
        assert_eq!(outcome(&output), (Some(0), String::new()));
        assert!(before_new_keys(output.stdout) == bytes(&frozen_run, expected), "{expected} differs");
    }
    let mut fit = train();
    fit.arg("fit").arg("--output").arg(&run).args(options.split_whitespace());
    for role in ["--train", "--valid", "--test"] {
        fit.arg(role).arg(&set);
    }
    succeeds(fit.args(["--device", "cpu", "--epochs", "4", "--resume", "--quiet"]));
    let finished = frozen_run.join("finished");
    for file in ["model.safetensors", "checkpoint.safetensors", "best.safetensors", "config.toml"] {
        assert!(bytes(&finished, file) == bytes(&run, file), "{file} differs");
    }
    assert!(bytes(&finished, "test.json") == before_new_keys(bytes(&run, "test.json")), "test.json differs");
    let compared: serde_json::Value = {
        let output = train().arg("compare").arg(&run).arg("--json").output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let before = bytes(&frozen_run.join("stopped"), "metrics.jsonl").iter().filter(|&&byte| byte == b'\n').count();
    assert_eq!(compared["runs"][0]["epochs_of_training_time"], before, "epochs of the earlier version");
    let scores = |run: &Path| -> Vec<_> { epochs(run).iter().map(|epoch| (epoch.train, epoch.valid)).collect() };
    assert_eq!(scores(&finished), scores(&run));
}

/// Removes the keys of later versions from the JSON of an evaluation.
fn before_new_keys(evaluation: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(evaluation).unwrap();
    let (old, _) = text.split_once(",\"macro\":").unwrap();
    format!("{old}}}\n").into_bytes()
}

#[test]
fn a_frozen_run_between_epochs_resumes_to_the_same_bits() {
    assert_finishes("between_epochs", "--hidden 16,12 --batch-size 8");
}

#[test]
fn a_frozen_run_within_an_epoch_resumes_to_the_same_bits() {
    assert_finishes(
        "within_epoch",
        "--hidden 10 --batch-size 3 --seed 5 --lr 0.01 --pad batch --min-v-mem -1 --drop-last",
    );
}

#[test]
fn every_frozen_command_line_parses() {
    assert_all_parse("tonic-train", env!("CARGO_BIN_EXE_tonic-train"));
}
