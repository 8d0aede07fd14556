//! Tests of training from sets at URLs: the network has the same bits as with the set in a directory.

use std::sync::atomic::Ordering;

use crate::bench::Bench;
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };

/// Trains a network for two epochs on the set at `train`. Returns the program's stderr, and the network.
pub(crate) fn fit(bench: &Bench, train: &str, run: &str, more: &[&str]) -> (String, Vec<u8>) {
    let words = ["fit", "--train", train, "-o", run, "--epochs", "2", "--hidden", "16", "--quiet"];
    let done = bench.program("tonic-train", &[&words, more].concat()).assert().success();
    (String::from_utf8(done.get_output().stderr.clone()).unwrap(), network(bench, run))
}

fn network(bench: &Bench, run: &str) -> Vec<u8> {
    std::fs::read(bench.path(run).join("model.safetensors")).unwrap()
}

#[test]
fn a_run_from_a_url_is_that_from_a_directory() {
    let bench = Bench::with_set();
    let server = Server::of(&bench.path("set"));
    fit(&bench, "set", "local", &["--cache", "stream"]);
    fit(&bench, &server.url, "host", &["--cache", "host"]);
    fit(&bench, &server.url, "stream", &["--cache", "stream"]);
    fit(&bench, &server.url, "cached", &["--cache", "stream", "--remote-cache", "cache"]);
    for run in ["host", "stream", "cached"] {
        assert_eq!(network(&bench, "local"), network(&bench, run), "{run}");
    }
    let result = |place: &str, run: &str| {
        fit(&bench, "set", run, &["--cache", "stream", "--valid", place, "--test", place]);
        ["best.safetensors", "test.json"].map(|name| std::fs::read(bench.path(run).join(name)).unwrap())
    };
    assert_eq!(result("set", "local-tested"), result(&server.url, "tested"));
    let evaluate = |data: &str| {
        let done = bench.program("tonic-train", &["eval", "--model", "local", "--data", data, "--json"]).assert();
        done.success().get_output().stdout.clone()
    };
    assert_eq!(evaluate("set"), evaluate(&server.url));
}

#[test]
fn a_cache_fetches_each_chunk_once_and_mends_itself() {
    let bench = Bench::with_set();
    let server = Server::of(&bench.path("set"));
    let cached = ["--cache", "stream", "--remote-cache", "cache"];
    fit(&bench, &server.url, "first", &cached);
    let stored: u64 = crate::bench::contents(&bench.path("set")).values().map(|file| file.len() as u64).sum();
    let first = server.sent.load(Ordering::Relaxed);
    assert!(first < stored + stored / 4, "{first} of {stored}");
    fit(&bench, &server.url, "second", &cached);
    let second = server.sent.load(Ordering::Relaxed) - first;
    assert!(second < 20_000, "{second}"); // the manifest
    // If a byte in the cache is damaged, only its chunk is fetched again.
    let shard = bench.path("cache").join(bench.id("set")).join("00001.shard");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    fit(&bench, &server.url, "third", &cached);
    assert_eq!(network(&bench, "first"), network(&bench, "third"));
    assert_eq!(std::fs::read(shard).unwrap(), std::fs::read(bench.path("set/00001.shard")).unwrap());
}

#[test]
fn a_chunk_that_arrives_damaged_does_not_stop_a_run() {
    let bench = Bench::with_set();
    fit(&bench, "set", "local", &["--cache", "stream"]);
    let at = std::fs::metadata(bench.path("set/00001.shard")).unwrap().len() / 2;
    let once = move |name: &str, _: u64| (name == "00001.shard").then_some(Fault::FlipOnce(at));
    let server = Server::start(&bench.path("set"), ALL, once);
    let (said, _) = fit(&bench, &server.url, "run", &["--cache", "stream", "--remote-cache", "cache"]);
    assert_eq!(network(&bench, "local"), network(&bench, "run"));
    assert!(said.contains("arrived damaged"), "{said}");
}

#[test]
fn a_cache_keeps_to_its_limit() {
    let bench = Bench::with_set();
    bench.convert("other", 300, 5);
    let servers = ["set", "other"].map(|set| Server::of(&bench.path(set)));
    fit(&bench, &servers[0].url, "first", &["--cache", "stream", "--remote-cache", "cache"]);
    // The older set is removed from the cache to make room for the newer one.
    let limit = ["--cache", "stream", "--remote-cache", "cache", "--remote-cache-limit", "900k"];
    fit(&bench, &servers[1].url, "second", &limit);
    assert!(!bench.path("cache").join(bench.id("set")).exists());
    assert!(bench.path("cache").join(bench.id("other")).exists());
    // Training also works if the set doesn't fit into the cache at all.
    let little = ["--cache", "stream", "--remote-cache", "little", "--remote-cache-limit", "50k"];
    fit(&bench, &servers[0].url, "third", &little);
    assert_eq!(network(&bench, "first"), network(&bench, "third"));
}
