//! Tests that this version can finish a conversion that an earlier version began (tests/data/frozen). The set must have
//! the bytes that the earlier version wrote.

use std::path::{Path, PathBuf};

use super::command_lines::assert_all_parse;
use super::recording::{contents, convert, data, json, program, scratch};

/// Options with which the frozen recording was converted.
const OPTIONS: [&str; 4] = ["--chunk-samples", "4", "--shard-size", "300"];

fn frozen(name: &str) -> PathBuf {
    data("frozen").join(name)
}

fn assert_finished(set: &Path) {
    let (expected, got) = (contents(&frozen("conversion/finished")), contents(set));
    assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(got[name] == *bytes, "{name} differs");
    }
}

#[test]
fn the_frozen_recording_converts_to_the_frozen_set() {
    let dir = scratch();
    assert_finished(&dir.convert(&[frozen("recording.h5")], "set", &OPTIONS));
}

#[test]
fn a_frozen_conversion_resumes_to_the_frozen_set() {
    let dir = scratch();
    let set = dir.folder("set");
    for (name, bytes) in contents(&frozen("conversion/stopped")) {
        std::fs::write(set.join(name), bytes).unwrap();
    }
    let said = json(convert(&[frozen("recording.h5")], &set).args(OPTIONS).args(["--resume", "--json"]));
    assert_eq!(said["resumed_samples"], 24, "shards that were complete are not made again");
    assert_finished(&set);
}

#[test]
fn every_frozen_command_line_parses() {
    assert_all_parse("tonic-prep", program());
}
