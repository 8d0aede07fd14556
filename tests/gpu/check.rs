//! Tests of `tonic-train check`, the self-check of a GPU.

use serde_json::Value;

use crate::is_real;
use crate::sets::{self, fails};
use crate::trainer::on_gpu;

/// Runs the self-check. Returns its exit code and its reports, one after each check.
fn checked(memory_bytes: Option<u64>) -> (Option<i32>, Vec<Value>) {
    let mut command = on_gpu(sets::train());
    command.args(["check", "--device", "cuda:0", "--json"]).args((!is_real()).then_some("--quick"));
    command.envs(memory_bytes.map(|bytes| ("TONIC_EMULATED_MEMORY", bytes.to_string())));
    let output = command.output().unwrap();
    let (code, stderr) = sets::outcome(&output);
    assert_eq!(stderr, "");
    (code, String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn every_kernel_agrees_with_the_cpu() {
    let (code, reports) = checked(None);
    let last = reports.last().unwrap();
    assert_eq!(code, Some(0), "{last}");
    for (i, report) in reports.iter().enumerate() {
        let checks = report["checks"].as_array().unwrap();
        assert!(checks.len() == i + 1 && checks.iter().all(|check| check["passed"] == true), "{report}");
        assert_eq!((&report["passed"], &report["failed"]), (&checks.len().into(), &0.into()));
    }
    assert!(reports.len() > 30, "{last}");
    let device = &last["device"];
    assert!(["name", "capability", "driver", "nvrtc"].iter().all(|key| device[key].is_string()), "{device}");
    assert!(device["memory_bytes"].as_u64() > Some(0) && device["multiprocessors"].as_u64() > Some(0), "{device}");
}

#[test]
fn what_fails_in_one_check_is_told_and_the_others_go_on() {
    if is_real() {
        return;
    }
    let (code, reports) = checked(Some(1_500_000));
    let last = reports.last().unwrap();
    assert_eq!(code, Some(1), "{last}");
    assert!(last["passed"].as_u64() > Some(0) && last["failed"].as_u64() > Some(0), "{last}");
    for check in last["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false) {
        assert!(check["detail"].as_str().unwrap().contains("of free memory"), "{check}");
    }
}

#[test]
fn a_check_without_a_gpu_says_why() {
    fails(sets::train().args(["check", "--device", "cpu"]), 2, &["check is not available", "no GPU"]);
}
