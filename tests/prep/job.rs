//! Tests of what is decided before a conversion: its recipe, its estimated size, and whether it may start.

use tonic_toolkit::shard::ShardSet;

use super::recording::{Recording, contents, convert, convert_aloud, json, manifest, refuses, says, scratch, stdout};

#[test]
fn a_dry_run_estimates_the_size_and_writes_nothing() {
    let dir = scratch();
    let file = Recording::random(80, 300, 2_000).write(&dir.join("a.h5"));
    let set = dir.join("set");
    let foretold = json(convert(&[&file], &set).args(["--dry-run", "--json"]));
    assert!(!set.exists());
    dir.convert(&[&file], "set", &[]);
    let stored = ShardSet::open(&set).unwrap().stored_bytes() as f64;
    let ratio = foretold["stored_bytes"].as_f64().unwrap() / stored;
    assert!((0.8..1.25).contains(&ratio), "{ratio} of what it took");
    assert_eq!(foretold["samples"], 300);
    let events = foretold["events_per_sample"].as_f64().unwrap();
    assert!((1_500.0..2_500.0).contains(&events), "{events}");

    let text = stdout(convert_aloud(&[&file], &set).arg("--dry-run"));
    says(&text, &["300 samples of about", "free at", "name = \"Downsample\"", "time_window = 4000"]);
}

#[test]
fn another_sets_recipe_is_repeated() {
    let dir = scratch();
    let files = dir.recordings(&[Recording::random(82, 5, 60), Recording::random(83, 7, 60)]);
    let (one, two, other) = (&files[0], &files[1], dir.join("other"));
    let recipe = ["--channels", "50", "--crop-time", "700000", "--time-window", "10000"];
    let first = dir.convert(&[one], "first", &recipe);
    let asked = dir.convert(&[two], "asked", &recipe);
    let repeated = dir.convert(&[two], "repeated", &["--recipe-of", first.to_str().unwrap()]);
    assert!(contents(&asked) == contents(&repeated));

    let words = ["--recipe-of: expected frames of (1, 1, 50)", "got (1, 1, 100), of a sensor of 1400x1x1"];
    refuses(convert(&[two], &other).args(["--sensor", "1400", "--recipe-of"]).arg(first), 2, &words);
    assert!(!other.exists());
    refuses(convert(&[two], &other).arg("--recipe-of").arg(dir.join("none")), 1, &["none: cannot open"]);
}

#[test]
fn a_refused_recording_is_foretold_and_leaves_nothing_in_the_way() {
    let dir = scratch();
    let mut recording = Recording::random(84, 4, 50);
    recording.units[3][7] = 700;
    let file = recording.write(&dir.join("a.h5"));
    let set = dir.join("set");
    let words = ["sample 3: event 7: expected a unit below 700"];
    refuses(convert(&[&file], &set).arg("--dry-run"), 3, &words);
    refuses(&mut convert(&[&file], &set), 3, &words);
    dir.convert(&[&file], "set", &["--lenient"]);
    assert_eq!(manifest(&set).totals.ledger.outside, 1);
}

#[test]
fn parts_hold_the_chunks_of_the_whole() {
    let dir = scratch();
    let files = dir.recordings(&[85, 86].map(|seed| Recording::random(seed, 11, 80)));
    let small = ["--chunk-samples", "2", "--shard-size", "2k"];
    let open =
        |name: &str, part: &[&str]| ShardSet::open(&dir.convert(&files, name, &[&small, part].concat())).unwrap();
    let whole = open("whole", &[]);
    let mut joined = Vec::new();
    for (name, part) in [("1", "1/4"), ("2", "2/4"), ("3", "3/4"), ("4", "4/4")] {
        let set = open(name, &["--part", part]);
        assert!(set.len() < whole.len() / 3, "{part} has {} samples", set.len());
        assert_eq!(set.manifest().description.shard_chunks, whole.manifest().description.shard_chunks);
        joined.extend(set.identities());
    }
    assert_eq!(joined, whole.identities());

    let refuse = |part: &str, words: &[&str]| {
        refuses(convert(&[&files[0]], &dir.join("none")).args(small).args(["--part", part]), 2, words);
    };
    refuse("1/7", &["--part: expected at most 6 parts, a chunk each, got part 1 of 7"]);
    refuse("5/4", &["expected I/N, such as 1/4"]);
}
