//! The self-check that users run on their own GPU, here on the one at hand.

use serde_json::Value;

use crate::sets::{self, fails};
use crate::trainer::on_gpu;

#[test]
fn every_kernel_agrees_with_the_cpu() {
    let output = on_gpu(sets::train()).args(["check", "--device", "cuda:0", "--json"]).output().unwrap();
    let json = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(sets::outcome(&output), (Some(0), String::new()), "{json}");
    let checked: Value = serde_json::from_str(&json).unwrap();
    let checks = checked["checks"].as_array().unwrap();
    assert!(checks.len() > 30 && checks.iter().all(|check| check["passed"] == true), "{json}");
    assert_eq!((&checked["passed"], &checked["failed"]), (&checks.len().into(), &0.into()));
    let device = &checked["device"];
    assert!(["name", "capability", "driver", "nvrtc"].iter().all(|key| device[key].is_string()), "{device}");
    assert!(device["memory_bytes"].as_u64() > Some(0) && device["multiprocessors"].as_u64() > Some(0), "{device}");
}

#[test]
fn a_check_without_a_gpu_says_why() {
    fails(sets::train().args(["check", "--device", "cpu"]), 2, &["check is not available", "no GPU"]);
}
