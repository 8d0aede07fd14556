//! What is settled before a conversion: its recipe, its size, and whether it may begin.

use serde_json::Value;
use tonic_toolkit::shard::ShardSet;

use super::recording::{Recording, contents, convert, fails, prep, says, scratch};

#[test]
fn a_dry_run_foretells_the_size_and_writes_nothing() {
    let dir = scratch();
    let file = Recording::random(80, 300, 2_000).write(&dir.path().join("a.h5"));
    let set = dir.path().join("set");
    let output = convert(&[&file], &set).args(["--dry-run", "--json"]).assert().success().get_output().stdout.clone();
    let foretold: Value = serde_json::from_slice(&output).unwrap();
    assert!(!set.exists());
    convert(&[&file], &set).assert().success();
    let stored = ShardSet::open(&set).unwrap().stored_bytes() as f64;
    let ratio = foretold["stored_bytes"].as_f64().unwrap() / stored;
    assert!((0.8..1.25).contains(&ratio), "{ratio} of what it took");
    assert_eq!(foretold["samples"], 300);
    let events = foretold["events_per_sample"].as_f64().unwrap();
    assert!((1_500.0..2_500.0).contains(&events), "{events}");

    let text = prep().arg("convert").arg(&file).arg("-o").arg(&set).arg("--dry-run").assert().success();
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    says(&text, &["300 samples of about", "free at", "name = \"Downsample\"", "time_window = 4000"]);
}

#[test]
fn a_dry_run_refuses_what_the_conversion_would() {
    let dir = scratch();
    let mut recording = Recording::random(81, 4, 50);
    recording.units[3][7] = 700;
    let file = recording.write(&dir.path().join("a.h5"));
    let said = fails(convert(&[&file], &dir.path().join("set")).arg("--dry-run"), 3);
    says(&said, &["sample 3: event 7: expected a unit below 700"]);
}

#[test]
fn another_sets_recipe_is_repeated() {
    let dir = scratch();
    let (one, two) = (Recording::random(82, 5, 60), Recording::random(83, 7, 60));
    let (one, two) = (one.write(&dir.path().join("one.h5")), two.write(&dir.path().join("two.h5")));
    let path = |name: &str| dir.path().join(name);
    let recipe = ["--channels", "50", "--crop-time", "700000", "--time-window", "10000"];
    convert(&[&one], &path("first")).args(recipe).assert().success();
    convert(&[&two], &path("asked")).args(recipe).assert().success();
    convert(&[&two], &path("repeated")).arg("--recipe-of").arg(path("first")).assert().success();
    assert!(contents(&path("asked")) == contents(&path("repeated")));

    let mut other = convert(&[&two], &path("other"));
    let said = fails(other.args(["--sensor", "1400", "--recipe-of"]).arg(path("first")), 2);
    says(&said, &["--recipe-of: expected frames of (1, 1, 50)", "got (1, 1, 100), of a sensor of 1400x1x1"]);
    assert!(!path("other").exists());
    says(&fails(convert(&[&two], &path("other")).arg("--recipe-of").arg(path("none")), 1), &["none: cannot open"]);
}

#[test]
fn a_refused_recording_leaves_nothing_in_the_way() {
    let dir = scratch();
    let mut recording = Recording::random(84, 4, 50);
    recording.units[3][7] = 700;
    let file = recording.write(&dir.path().join("a.h5"));
    let set = dir.path().join("set");
    fails(&mut convert(&[&file], &set), 3);
    convert(&[&file], &set).arg("--lenient").assert().success();
    assert_eq!(ShardSet::open(&set).unwrap().manifest().totals.ledger.outside, 1);
}

#[test]
fn parts_hold_the_chunks_of_the_whole() {
    let dir = scratch();
    let files = [85, 86].map(|seed| Recording::random(seed, 11, 80).write(&dir.path().join(format!("{seed}.h5"))));
    let path = |name: &str| dir.path().join(name);
    let small = ["--chunk-samples", "2", "--shard-size", "2k"];
    convert(&[&files[0], &files[1]], &path("whole")).args(small).assert().success();
    let identities = |name: &str| -> Vec<[u8; 32]> {
        let set = ShardSet::open(&path(name)).unwrap();
        set.shards().iter().flat_map(|shard| shard.head().chunks.iter().map(|c| c.identity)).collect()
    };
    let whole = ShardSet::open(&path("whole")).unwrap();
    let mut joined = Vec::new();
    for part in ["1/4", "2/4", "3/4", "4/4"] {
        let name = part.replace('/', "-");
        convert(&[&files[0], &files[1]], &path(&name)).args(small).args(["--part", part]).assert().success();
        let set = ShardSet::open(&path(&name)).unwrap();
        assert!(set.len() < whole.len() / 3, "{part} has {} samples", set.len());
        assert_eq!(set.manifest().description.shard_chunks, whole.manifest().description.shard_chunks);
        joined.extend(identities(&name));
    }
    assert_eq!(joined, identities("whole"));

    let said = fails(convert(&[&files[0]], &path("many")).args(small).args(["--part", "1/7"]), 2);
    says(&said, &["--part: expected at most 6 parts, a chunk each, got part 1 of 7"]);
    says(&fails(convert(&[&files[0]], &path("none")).args(["--part", "5/4"]), 2), &["expected I/N, such as 1/4"]);
}
