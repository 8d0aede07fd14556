//! Tests of `repair --from URL`: the repaired set has the bytes of the set that was pushed.

use std::sync::atomic::Ordering;

use crate::bench::{Bench, contents, json};
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };

/// Flips a bit in the file `name` of the set `set`. `share` is the position in the file, from 0 (start) to 1 (end).
fn damage(bench: &Bench, name: &str, share: f64) {
    let path = bench.path("set").join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = (bytes.len() as f64 * share) as usize;
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn damage_of_any_kind_comes_back_from_a_url() {
    let bench = Bench::with_set();
    let (good, id) = (contents(&bench.path("set")), bench.id("set"));
    bench.run(&["push", "set", &bench.url("server")]);
    // The set is not the latest one at its URL any more.
    bench.convert("other", 50, 2);
    bench.run(&["push", "other", &bench.url("server")]);
    for ranges in [true, false] {
        let server = Server::start(&bench.path("server"), Kind { ranges, tags: false }, |_, _| None);
        damage(&bench, "00000.shard", 0.7);
        damage(&bench, "00001.shard", 0.0);
        std::fs::remove_file(bench.path("set/00002.shard")).unwrap();
        let repaired = json(&bench.run(&["repair", "set", "--from", &server.url, "--json"]));
        assert_eq!((&repaired["whole"], repaired["shards"].as_array().unwrap().len()), (&true.into(), 3), "{repaired}");
        assert!(contents(&bench.path("set")) == good, "ranges {ranges}");
    }
    // A damaged manifest is repaired too, if the URL has the id of the set.
    damage(&bench, "manifest.json", 0.3);
    bench.refuses(&["repair", "set", "--from", &bench.url("server")], 4, &["differs from", "00000.shard"]);
    bench.run(&["repair", "set", "--from", &format!("{}#{}", bench.url("server"), id)]);
    assert!(contents(&bench.path("set")) == good);
}

#[test]
fn only_damaged_chunks_are_fetched_and_those_that_arrive_damaged_again() {
    let bench = Bench::with_set();
    let good = contents(&bench.path("set"));
    bench.run(&["push", "set", &bench.url("server")]);
    let at = good["00001.shard"].len() as u64 / 2;
    let once = move |name: &str, _: u64| name.ends_with("00001.shard").then_some(Fault::FlipOnce(at));
    let server = Server::start(&bench.path("server"), ALL, once);
    damage(&bench, "00001.shard", 0.5);
    bench.run(&["repair", "set", "--from", &server.url]);
    assert!(contents(&bench.path("set")) == good);
    let (sent, all) = (server.sent.load(Ordering::Relaxed), good.values().map(|file| file.len() as u64).sum());
    assert!(0 < sent && sent < all, "{sent} of {all}");

    // A copy that is damaged at the same place repairs nothing, and does no further damage.
    let always = move |name: &str, _: u64| name.ends_with("00001.shard").then_some(Fault::Flip(at));
    let damaged = Server::start(&bench.path("server"), ALL, always);
    damage(&bench, "00001.shard", 0.5);
    let before = contents(&bench.path("set"));
    bench.refuses(&["repair", "set", "--from", &damaged.url], 4, &["00001.shard", "corrupt"]);
    assert!(contents(&bench.path("set")) == before);
}

#[test]
fn copies_that_cannot_be_read_and_other_sets_are_refused() {
    let bench = Bench::with_set();
    bench.convert("other", 50, 2);
    bench.run(&["push", "other", &bench.url("server")]);
    damage(&bench, "00001.shard", 0.5);
    let before = contents(&bench.path("set"));
    let id = bench.id("set");
    bench.refuses(&["repair", "set", "--from", &bench.url("server")], 4, &[&id, "expected a shard set"]);
    bench.refuses(&["repair", "set", "--from", &bench.url("other")], 4, &[&id, &bench.id("other")]);
    bench.refuses(&["repair", "set", "--from", &bench.url("other"), "set.h5"], 2, &["--from", "a single URL"]);
    assert!(contents(&bench.path("set")) == before);
}
