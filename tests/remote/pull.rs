//! Tests of `pull` from servers that cut connections, stall, refuse requests and change bytes.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::bench::{Bench, contents};
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };

/// Makes a temporary folder with a set in the folder `set`, and pushes this set to the folder `server`.
fn pushed() -> Bench {
    let bench = Bench::with_set();
    bench.run(&["push", "set", &bench.url("server")]);
    bench
}

#[test]
fn all_kinds_of_servers_give_the_same_bytes() {
    let bench = pushed();
    for (i, ranges) in [true, false].into_iter().enumerate() {
        for tags in [true, false] {
            let server = Server::start(&bench.path("server"), Kind { ranges, tags }, |_, _| None);
            let copy = format!("copy{i}{tags}");
            bench.run(&["pull", &server.url, &copy]);
            assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)), "ranges {ranges}, tags {tags}");
        }
    }
}

#[test]
fn a_folder_with_a_manifest_is_read_as_it_is() {
    let bench = Bench::with_set();
    let server = Server::of(&bench.path("set"));
    for url in [server.url.clone(), format!("{}/manifest.json", server.url), format!("{}/", server.url)] {
        assert!(bench.run(&["info", &url]).contains(&bench.id("set")), "{url}");
    }
    bench.run(&["verify", &server.url]);
    assert_eq!(bench.run(&["cat", &server.url, "--sample", "7"]), bench.run(&["cat", "set", "--sample", "7"]));
    assert_eq!(bench.run(&["ls", &server.url, "--json"]), bench.run(&["ls", "set", "--json"]));
    assert_eq!(bench.run(&["stats", &server.url, "--json"]), bench.run(&["stats", "set", "--json"]));
    bench.run(&["diff", &server.url, "set"]);
}

#[test]
fn connections_that_break_and_servers_that_are_busy_are_waited_for() {
    let bench = pushed();
    for tags in [true, false] {
        let faults = |_: &str, number: u64| match number {
            0 => Some(Fault::Status(503)),
            1 => Some(Fault::Cut(1000)),
            2 => Some(Fault::Status(429)),
            3 => Some(Fault::Cut(20_000)),
            _ => None,
        };
        let server = Server::start(&bench.path("server"), Kind { ranges: true, tags }, faults);
        let copy = format!("copy{tags}");
        bench.run(&["pull", &server.url, &copy]);
        assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)));
    }
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let bench = pushed();
    for status in [429, 500, 503] {
        let once =
            move |name: &str, number: u64| (name == "latest.json" && number == 0).then_some(Fault::Busy(status, 2));
        let server = Server::start(&bench.path("server"), ALL, once);
        let start = Instant::now();
        bench.run(&["info", &server.url]);
        assert!(start.elapsed() >= Duration::from_secs(2), "{status}");
    }
    let long = Server::start(&bench.path("server"), ALL, |_, _| Some(Fault::Busy(503, 3600)));
    let start = Instant::now();
    bench.refuses(&["pull", &long.url, "copy"], 1, &["latest.json", "503", "3600 s", "--timeout is 60 s"]);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_pull_that_ended_goes_on_and_fetches_only_what_is_missing() {
    let bench = pushed();
    let faults = |name: &str, number: u64| {
        name.ends_with("00002.shard").then_some(if number == 0 { Fault::Cut(20_000) } else { Fault::Status(403) })
    };
    let server = Server::start(&bench.path("server"), ALL, faults);
    bench.refuses(&["pull", &server.url, "copy"], 1, &["00002.shard", "403"]);
    bench.refuses(&["verify", "copy"], 4, &["incomplete"]);
    assert!(!bench.path("copy/manifest.json").exists());
    let whole = Server::of(&bench.path("server"));
    bench.run(&["pull", &whole.url, "copy"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
    let bytes: u64 = contents(&bench.path("set")).values().map(|file| file.len() as u64).sum();
    let (first, second) = (server.sent.load(Ordering::Relaxed), whole.sent.load(Ordering::Relaxed));
    assert!(first > 10_000 && second < bytes && first + second < bytes + bytes / 2, "{first} and {second} of {bytes}");
}

#[test]
fn a_chunk_that_arrives_damaged_is_fetched_again() {
    let bench = pushed();
    let middle = std::fs::metadata(bench.path("set/00001.shard")).unwrap().len() / 2;
    // A bit flips in the header, in the index and in a chunk.
    for (at, said) in [(20, ""), (200, ""), (middle, "on the server")] {
        let once = move |name: &str, _: u64| name.ends_with("00001.shard").then_some(Fault::FlipOnce(at));
        let copy = format!("copy-{at}");
        bench.run(&["pull", &Server::start(&bench.path("server"), ALL, once).url, &copy]);
        assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)), "byte {at}");
        let always = move |name: &str, _: u64| name.ends_with("00001.shard").then_some(Fault::Flip(at));
        let (server, damaged) = (Server::start(&bench.path("server"), ALL, always), format!("damaged-{at}"));
        bench.refuses(&["pull", &server.url, &damaged], 4, &[&server.url, "00001.shard", "corrupt", said]);
        bench.refuses(&["verify", &damaged], 4, &["incomplete"]);
    }
}

#[test]
fn a_set_that_is_read_at_its_url_is_fetched_again_where_it_arrives_damaged() {
    let bench = Bench::with_set();
    let middle = std::fs::metadata(bench.path("set/00001.shard")).unwrap().len() / 2;
    for at in [20, 200, middle] {
        for (command, more) in [("verify", &[][..]), ("stats", &["--json"]), ("cat", &["--sample", "150"])] {
            let once = move |name: &str, _: u64| (name == "00001.shard").then_some(Fault::FlipOnce(at));
            let server = Server::start(&bench.path("set"), ALL, once);
            bench.run(&[&[command, &server.url], more].concat());
        }
        let always = move |name: &str, _: u64| (name == "00001.shard").then_some(Fault::Flip(at));
        let server = Server::start(&bench.path("set"), ALL, always);
        bench.refuses(&["verify", &server.url], 4, &["00001.shard", "corrupt"]);
    }
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let bench = pushed();
    let faults = |name: &str, _: u64| name.ends_with("00001.shard").then_some(Fault::Stall(0));
    let server = Server::start(&bench.path("server"), ALL, faults);
    let text = bench.refuses(&["pull", &server.url, "copy", "--timeout", "2"], 1, &["00001.shard"]);
    assert!(text.contains(&server.url), "{text}");
}

#[test]
fn wrong_lengths_are_refused() {
    let bench = pushed();
    let faults = |name: &str, _: u64| name.ends_with("manifest.json").then_some(Fault::Longer(10));
    let server = Server::start(&bench.path("server"), ALL, faults);
    bench.refuses(&["pull", &server.url, "copy", "--timeout", "2"], 1, &["manifest.json"]);
}

#[test]
fn what_is_not_there_is_named_with_its_url() {
    let bench = pushed();
    let server = Server::of(&bench.path("server"));
    let nothing = format!("{}/nothing", server.url);
    bench.refuses(&["info", &nothing], 4, &["/nothing", "manifest.json"]);
    let refused = |_: &str, _: u64| Some(Fault::Status(401));
    let closed = Server::start(&bench.path("server"), ALL, refused);
    bench.refuses(&["info", &closed.url], 1, &[&closed.url, "401"]);
    // Nothing listens at this port.
    bench.refuses(&["pull", "http://127.0.0.1:9/x", "copy", "--timeout", "1"], 1, &["http://127.0.0.1:9/x"]);
}

#[test]
fn a_subset_is_fetched_by_ranges() {
    let bench = pushed();
    for (name, choice) in [("samples", ["--samples", "100..116"]), ("classes", ["--classes", "0,3"])] {
        let [part, copy] = ["part", "copy"].map(|kind| format!("{kind}-{name}"));
        bench.run(&["subset", &part, "set", choice[0], choice[1]]);
        let server = Server::of(&bench.path("server"));
        bench.run(&["pull", &server.url, &copy, choice[0], choice[1]]);
        assert_eq!(contents(&bench.path(&part)), contents(&bench.path(&copy)), "{name}");
    }
}

#[test]
fn a_large_shard_is_fetched_once_from_every_kind_of_server() {
    let bench = Bench::with_set();
    bench.run(&["synth", "-o", "large.h5", "--samples", "13000", "--seed", "2"]);
    bench.run(&["convert", "large.h5", "-o", "large"]);
    let bytes = std::fs::metadata(bench.path("large/00000.shard")).unwrap().len();
    assert!(bytes > 24 << 20, "{bytes} bytes are fetched by one request");
    let stored: u64 = contents(&bench.path("large")).values().map(|file| file.len() as u64).sum();
    for ranges in [true, false] {
        let server = Server::start(&bench.path("large"), Kind { ranges, tags: true }, |_, _| None);
        let copy = format!("copy-{ranges}");
        bench.run(&["pull", &server.url, &copy]);
        assert_eq!(contents(&bench.path("large")), contents(&bench.path(&copy)), "ranges {ranges}");
        // The server may have sent some more before it sees that a connection was closed.
        let sent = server.sent.load(Ordering::Relaxed);
        assert!(sent < stored + stored / 2, "ranges {ranges}: {sent} of {stored}");
    }
    let server = Server::of(&bench.path("large"));
    bench.run(&["pull", &server.url, "few", "--samples", "100..116"]);
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < stored / 4, "{sent} of {stored} for 16 of 13,000 samples");
}

#[test]
fn another_set_in_the_directory_is_refused() {
    let bench = pushed();
    bench.convert("other", 50, 9);
    let url = bench.url("server");
    bench.refuses(&["pull", &url, "other"], 2, &["other", "another set"]);
    bench.run(&["pull", &url, "other", "--overwrite"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("other")));
}
