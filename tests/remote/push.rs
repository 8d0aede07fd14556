//! Tests of `push`: a copy never changes, becomes the latest only when it is complete, and is sent only once.

use crate::bench::{Bench, contents, json};

#[test]
fn a_set_that_was_pushed_is_pulled_to_the_byte() {
    let bench = Bench::with_set();
    let url = bench.url("server/sets of März/ssc");
    let pushed = json(&bench.run(&["push", "set", &url, "--json"]));
    let shards = contents(&bench.path("set")).len() as u64 - 1;
    assert!(shards > 2);
    assert_eq!((&pushed["sent_shards"], &pushed["copied_shards"]), (&shards.into(), &0.into()));
    let pulled = json(&bench.run(&["pull", &url, "copy", "--json"]));
    assert_eq!(pulled["set_id"], bench.id("set"));
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
    // A second push has nothing to send.
    assert_eq!(json(&bench.run(&["push", "set", &url, "--json"]))["sent_bytes"], 0);
    assert_eq!(json(&bench.run(&["pull", &url, "copy", "--json"]))["fetched_bytes"], 0);
}

#[test]
fn a_changed_recording_moves_only_the_shards_that_changed() {
    let bench = Bench::with_set();
    let url = bench.url("server/ssc");
    bench.run(&["push", "set", &url]);
    // The first samples are the same, so all shards but the last are the same too.
    bench.run(&["subset", "shorter", "set", "--samples", "..290"]);
    let pushed = json(&bench.run(&["push", "shorter", &url, "--json"]));
    assert_eq!(pushed["sent_shards"], 1, "{pushed}");
    assert!(pushed["copied_shards"].as_u64().unwrap() > 1, "{pushed}");
    bench.run(&["pull", &url, "copy"]);
    assert_eq!(contents(&bench.path("shorter")), contents(&bench.path("copy")));
    // The older set is still there, by its id.
    let pinned = format!("{url}#{}", bench.id("set"));
    bench.run(&["pull", &pinned, "older"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("older")));
    bench.refuses(
        &["pull", &url, "other", "--expect", &bench.id("set")],
        4,
        &["expected the set", &bench.id("shorter")],
    );
}

#[test]
fn a_damaged_set_is_not_pushed() {
    let bench = Bench::with_set();
    let shard = bench.path("set/00001.shard");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    bench.refuses(&["push", "set", &bench.url("server")], 4, &["00001.shard", "corrupt"]);
    assert!(!bench.path("server").exists());
}

#[test]
fn prune_keeps_the_latest_set() {
    let bench = Bench::with_set();
    bench.convert("second", 100, 2);
    bench.convert("third", 100, 3);
    let url = bench.url("server");
    for set in ["set", "second", "third"] {
        bench.run(&["push", set, &url]);
    }
    let pruned = json(&bench.run(&["prune", &url, "--keep", "2", "--json"]));
    assert_eq!(pruned["removed"], serde_json::json!([bench.id("set")]));
    assert_eq!(pruned["kept"], serde_json::json!([bench.id("third"), bench.id("second")]));
    bench.refuses(&["info", &format!("{url}#{}", bench.id("set"))], 4, &["expected a shard set"]);
    bench.run(&["prune", &url, "--keep", "1"]);
    bench.run(&["verify", &url]);
    assert_eq!(json(&bench.run(&["info", &url, "--json"]))["set_id"], bench.id("third"));
    // What was pruned can be pushed again.
    bench.run(&["push", "set", &url]);
    bench.run(&["verify", &url]);
}

#[test]
fn places_that_cannot_be_written_are_refused() {
    let bench = Bench::with_set();
    bench.refuses(&["push", "set", "https://me:secret@localhost/x"], 2, &["https://localhost/x", "read only"]);
    bench.refuses(&["push", "set", "ftp://me:secret@localhost/x"], 2, &["s3://"]);
    bench.refuses(&["push", "set", &format!("{}#{}", bench.url("x"), bench.id("set"))], 2, &["without an id"]);
}
