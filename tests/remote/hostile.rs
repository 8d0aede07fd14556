//! Tests of web servers that send something else than what was asked for.

use std::time::{Duration, Instant};

use crate::bench::{Bench, contents};
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };
const SHARD: &str = "00001.shard";
const LOGIN: Fault = Fault::Page(200, "text/html; charset=utf-8", "<!DOCTYPE html><title>Log in</title>");

/// A function of the name of the requested file and the number of earlier requests for it. Returns whether a fault
/// occurs.
type When = fn(&str, u64) -> bool;

fn shard(name: &str, _: u64) -> bool {
    name.ends_with(SHARD)
}

fn shard_later(name: &str, number: u64) -> bool {
    name.ends_with(SHARD) && number > 0
}

/// Starts a server with the fault `fault` in the answers for which `when` returns true. The answer before such an
/// answer is cut off, so that the client asks again.
fn server(bench: &Bench, folder: &str, when: When, fault: Fault) -> Server {
    Server::start(&bench.path(folder), ALL, move |name, number| match (when(name, number), when(name, number + 1)) {
        (true, _) => Some(fault),
        (false, true) => Some(Fault::Cut(20_000)),
        (false, false) => None,
    })
}

/// Pulls the set. Asserts that this fails with exit code `code` within 10 seconds, and that the message names the
/// object `name` and has `words`. Returns the message.
fn refuses(bench: &Bench, server: &Server, code: i32, name: &str, words: &[&str]) -> String {
    let start = Instant::now();
    let text = bench.refuses(&["pull", &server.url, "copy", "--timeout", "3"], code, &[&server.url, name]);
    println!("{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}"));
    assert!(text.contains(';') && text.len() < 1000, "{text}");
    assert!(start.elapsed() < Duration::from_secs(10), "{text}");
    assert!(!bench.path("copy/manifest.json").exists() && !bench.path("copy/latest.json").exists());
    // What has arrived is intact: a pull from a server without mistakes completes the copy.
    if bench.path("copy").exists() {
        bench.run(&["pull", &bench.url("set"), "copy"]);
        assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
        std::fs::remove_dir_all(bench.path("copy")).unwrap();
    }
    text
}

/// Pulls the set, and asserts that the copy is equal.
fn pulls(bench: &Bench, server: &Server) {
    bench.run(&["pull", &server.url, "copy", "--timeout", "5"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
    std::fs::remove_dir_all(bench.path("copy")).unwrap();
}

#[test]
fn ranges_that_were_not_asked_for_are_refused() {
    let bench = Bench::with_set();
    for (fault, words) in [
        (Fault::Shifted(64), "Content-Range"),
        (Fault::ContentRange("bytes 0-9/1000000"), "Content-Range"),
        (Fault::ContentRange("bytes 0-9/10"), "Content-Range"),
        (Fault::ContentRange("bytes 0-18446744073709551615/18446744073709551615"), "Content-Range"),
        (Fault::ContentRange("bytes 9-0/*"), "Content-Range"),
        (Fault::ContentRange("lines 1-2/3"), "Content-Range"),
    ] {
        println!("{fault:?}");
        refuses(&bench, &server(&bench, "set", shard_later, fault), 1, SHARD, &[words]);
    }
}

#[test]
fn bytes_beyond_a_range_are_left_out() {
    let bench = Bench::with_set();
    for when in [shard as When, shard_later, |_, _| true] {
        pulls(&bench, &server(&bench, "set", when, Fault::Whole));
    }
    pulls(&bench, &server(&bench, "set", shard, Fault::More(100_000)));
}

#[test]
fn redirects_lead_to_the_bytes_or_to_an_error() {
    let bench = Bench::with_set();
    let is_manifest = |name: &str, _: u64| name == "manifest.json";
    for (when, name, to, code, words) in [
        (is_manifest as When, "manifest.json", "/manifest.json", 1, "redirect"),
        (shard, SHARD, "/00001.shard", 1, "redirect"),
        (shard_later, SHARD, "https://127.0.0.1:9/x", 1, "refused"),
        (shard, SHARD, "/00002.shard", 4, "corrupt"),
        (shard, SHARD, "/manifest.json", 4, "file length"),
        (shard, SHARD, "file:///etc/passwd", 1, ""),
        (is_manifest, "manifest.json", "/00001.shard", 4, "corrupt"),
    ] {
        println!("{to}");
        refuses(&bench, &server(&bench, "set", when, Fault::Redirect(to)), code, name, &[words]);
    }
    std::fs::copy(bench.path("set").join(SHARD), bench.path("set/other.shard")).unwrap();
    let moved = server(&bench, "set", shard, Fault::Redirect("/other.shard"));
    bench.run(&["pull", &moved.url, "copy"]);
    bench.run(&["verify", "copy"]);
}

#[test]
fn statuses_in_the_middle_end_a_pull() {
    let bench = Bench::with_set();
    for (status, code) in [(401, 1), (403, 1), (404, 4), (410, 1), (416, 1), (204, 1), (304, 1)] {
        println!("{status}");
        let words = if status == 404 { "not there".to_string() } else { status.to_string() };
        refuses(&bench, &server(&bench, "set", shard_later, Fault::Status(status)), code, SHARD, &[&words]);
    }
}

#[test]
fn pages_are_not_taken_for_files() {
    let bench = Bench::with_set();
    bench.run(&["push", "set", &bench.url("server")]);
    for (when, name) in [
        ((|name, _| name == "latest.json") as When, "latest.json"),
        (|name, _| name.ends_with("manifest.json"), "manifest.json"),
        (shard, SHARD),
        (shard_later, SHARD),
    ] {
        println!("{name}");
        refuses(&bench, &server(&bench, "server", when, LOGIN), 1, name, &["HTML", "log in"]);
    }
    // If a server answers with such a page instead of 404 for the files of the card, the set has no card.
    let cards = |name: &str, _: u64| name.ends_with("README.md") || name.ends_with("card.png");
    pulls(&bench, &server(&bench, "server", cards, LOGIN));
    // A file whose type is wrong is a file.
    pulls(&bench, &server(&bench, "set", |_, _| true, Fault::Header("Content-Type: application/json")));
}

#[test]
fn encodings_that_were_not_asked_for_are_refused() {
    let bench = Bench::with_set();
    for (when, name) in [(shard as When, SHARD), (|name, _| name == "manifest.json", "manifest.json")] {
        let gzip = server(&bench, "set", when, Fault::Header("Content-Encoding: gzip"));
        refuses(&bench, &gzip, 1, name, &["Content-Encoding", "gzip"]);
    }
    pulls(&bench, &server(&bench, "set", |_, _| true, Fault::Header("Content-Encoding: identity")));
}

#[test]
fn bodies_without_length_are_read_to_their_end() {
    let bench = Bench::with_set();
    let is_manifest = |name: &str, _: u64| name == "manifest.json";
    for (when, name) in [(is_manifest as When, "manifest.json"), (shard, SHARD), (shard_later, SHARD)] {
        println!("{name}");
        pulls(&bench, &server(&bench, "set", when, Fault::Chunked(usize::MAX, true)));
        for is_ended in [true, false] {
            let short = server(&bench, "set", when, Fault::Chunked(100, is_ended));
            let code = if is_ended { 4 } else { 1 };
            refuses(&bench, &short, code, name, &[]);
        }
    }
}

#[test]
fn a_tag_that_changes_does_no_harm() {
    let bench = Bench::with_set();
    pulls(&bench, &server(&bench, "set", |_, _| true, Fault::OtherTag(usize::MAX)));
    pulls(&bench, &server(&bench, "set", shard, Fault::OtherTag(30_000)));
}

#[test]
fn endless_pages_of_errors_are_cut_off() {
    let bench = Bench::with_set();
    let is_manifest = |name: &str, _: u64| name == "manifest.json";
    for (when, name) in [(is_manifest as When, "manifest.json"), (shard_later, SHARD)] {
        for status in [403, 500] {
            println!("{name} {status}");
            let endless = server(&bench, "set", when, Fault::EndlessPage(status));
            refuses(&bench, &endless, 1, name, &[&status.to_string()]);
        }
    }
}

#[test]
fn hostile_latest_files_are_refused() {
    let bench = Bench::with_set();
    let url = bench.url("server");
    bench.run(&["push", "set", &url]);
    let (latest, id) = (bench.path("server/latest.json"), bench.id("set"));
    let intact = std::fs::read_to_string(&latest).unwrap();
    let with = |older: &str| format!(r#"{{"format":"tonic-latest","version":1,"set_id":"{id}","older":{older}}}"#);
    let hostile: Vec<Vec<u8>> = [
        String::new(),
        "not JSON".into(),
        "null".into(),
        "[".repeat(1_000_000),
        format!("\u{feff}{intact}"),
        intact.replace(&id, "../../../etc"),
        intact.replace(&id, &format!("../{}", &id[3..])),
        intact.replace(&id, &id[..63]),
        intact.replace("\"version\": 1", "\"version\": 2"),
        intact.replace("\"version\": 1", "\"version\": 1e300"),
        intact.replace("\"set_id\"", &format!("\"set_id\": \"{}\", \"set_id\"", "0".repeat(64))),
        with(r#"["../x"]"#),
        with(r#""x""#),
        with("[") + &"1".repeat(2 << 20),
        intact.clone() + &" ".repeat(2 << 20),
        intact.clone() + "{}",
        intact[..intact.len() / 2].into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([intact.encode_utf16().flat_map(u16::to_le_bytes).collect(), vec![0; 100], vec![0xff; 100]])
    .collect();
    for (i, bytes) in hostile.iter().enumerate() {
        println!("{i}");
        std::fs::write(&latest, bytes).unwrap();
        let server = Server::of(&bench.path("server"));
        for url in [&url, &server.url] {
            let text = bench.refuses(&["pull", url, "copy"], 4, &["latest.json", url]);
            assert!(text.len() < 1000, "{text}");
            assert!(!bench.path("copy").exists());
        }
        for words in [&["push", "set", &url][..], &["prune", &url, "--keep", "1"]] {
            bench.refuses(words, 4, &["latest.json"]);
            assert_eq!(std::fs::read(&latest).unwrap(), *bytes);
        }
    }
    // The advice works: the id names the set, and a push without the file mends it.
    bench.run(&["verify", &format!("{url}#{id}")]);
    bench.refuses(&["info", &url], 4, &["URL#SETID", "remove it and push"]);
    std::fs::remove_file(&latest).unwrap();
    bench.run(&["push", "set", &url]);
    assert_eq!(std::fs::read_to_string(&latest).unwrap(), intact);
    // A set that is not there.
    std::fs::write(&latest, intact.replace(&id, &"ab".repeat(32))).unwrap();
    bench.refuses(&["pull", &Server::of(&bench.path("server")).url, "copy"], 4, &["latest.json names the set abab"]);
}
