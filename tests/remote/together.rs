//! Tests of processes that push, pull and prune at one URL at the same time.

use std::fs::File;
use std::process::Output;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::{Value, json as value};

use crate::bench::{Bench, contents, json};

/// Runs these commands at the same time. Each must end with exit code 0 or 4. Returns whether each ended with 0.
fn run_together(bench: &Bench, commands: &[&[&str]]) -> Vec<bool> {
    let start = Barrier::new(commands.len());
    let done: Vec<Output> = std::thread::scope(|scope| {
        let run = |command| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                bench.tool(command).output().unwrap()
            })
        };
        let running: Vec<_> = commands.iter().copied().map(run).collect();
        running.into_iter().map(|process| process.join().unwrap()).collect()
    });
    let codes: Vec<_> = done.iter().map(|output| output.status.code()).collect();
    assert!(codes.iter().all(|code| [Some(0), Some(4)].contains(code)), "{commands:?}: {done:?}");
    codes.iter().map(|code| *code == Some(0)).collect()
}

/// Returns the ids of the sets in `server/latest.json`, the latest first, and asserts that all are complete.
fn listed(bench: &Bench) -> Vec<String> {
    let latest = json(&std::fs::read_to_string(bench.path("server/latest.json")).unwrap());
    let older = latest["older"].as_array().unwrap();
    let ids: Vec<String> = [&latest["set_id"]].into_iter().chain(older).map(|id| id.as_str().unwrap().into()).collect();
    for id in &ids {
        bench.run(&["verify", &format!("{}#{id}", bench.url("server"))]);
        let odd = |name: &String| name.contains('#') || name.contains(".tmp");
        assert_eq!(contents(&bench.path("server").join(id)).into_keys().find(odd), None);
        assert!(!bench.path("server").join(id).join(".lock").exists());
    }
    assert!(latest["pruned"].is_null() && !bench.path("server/.lock").exists(), "{latest}");
    ids
}

#[test]
fn of_two_pushers_one_wins_and_the_other_is_told() {
    let bench = Bench::with_set();
    bench.convert("other", 100, 2);
    let url = bench.url("server");
    let [set, other] = ["set", "other"].map(|name| bench.id(name));
    for _ in 0..10 {
        let won = run_together(&bench, &[&["push", "set", &url], &["push", "other", &url]]);
        let listed = listed(&bench);
        // Either the two pushes overlapped, and the loser got an error, or the winner began after the loser had ended.
        assert!(
            listed == [&set, &other].map(String::clone) && won[0]
                || listed == [&other, &set].map(String::clone) && won[1]
        );
        std::fs::remove_dir_all(bench.path("server")).unwrap();
    }
}

#[test]
fn pushers_of_the_same_set_all_succeed() {
    let bench = Bench::with_set();
    bench.run(&["subset", "shorter", "set", "--samples", "..290"]);
    let url = bench.url("server");
    let [set, shorter] = ["set", "shorter"].map(|name| bench.id(name));
    for _ in 0..5 {
        assert_eq!(run_together(&bench, &[&["push", "set", &url][..]; 3]), [true; 3]);
        assert_eq!(listed(&bench), [set.as_str()]);
        // The shards of `shorter` are copied from the other set, except the last shard.
        assert_eq!(run_together(&bench, &[&["push", "shorter", &url][..]; 3]), [true; 3]);
        assert_eq!(listed(&bench), [shorter.as_str(), &set]);
        std::fs::remove_dir_all(bench.path("server")).unwrap();
    }
}

#[test]
fn what_is_pushed_and_pulled_while_others_prune_is_whole() {
    let bench = Bench::with_set();
    bench.convert("other", 100, 2);
    bench.convert("third", 100, 3);
    let url = bench.url("server");
    let pinned = format!("{url}#{}", bench.id("set"));
    for round in 0..10 {
        bench.run(&["push", "set", &url]);
        bench.run(&["push", "other", &url]);
        let copies = [format!("latest{round}"), format!("pinned{round}")];
        let prune: &[&str] = &["prune", &url, "--keep", "1"];
        let ended_well = run_together(
            &bench,
            &[
                &["pull", &url, &copies[0]],
                &["pull", &pinned, &copies[1]],
                prune,
                &["push", "third", &url],
                &["push", "set", &url],
                prune,
            ],
        );
        assert!(ended_well[2] && ended_well[5], "prune");
        for (copy, _) in copies.iter().zip(&ended_well).filter(|(_, well)| **well) {
            bench.run(&["verify", copy]);
        }
        listed(&bench);
    }
}

/// Starts `push set` while the folder `server` is locked, and calls `meanwhile` before the lock is released. Returns
/// the JSON that the push prints.
fn push_after(bench: &Bench, meanwhile: impl FnOnce()) -> Value {
    let lock = File::create(bench.path("server/.lock")).unwrap();
    lock.lock().unwrap();
    std::thread::scope(|scope| {
        let push = scope.spawn(|| bench.run(&["push", "set", &bench.url("server"), "--json"]));
        std::thread::sleep(Duration::from_millis(1000));
        assert!(!push.is_finished());
        meanwhile();
        drop(lock);
        json(&push.join().unwrap())
    })
}

#[test]
fn a_push_waits_for_the_process_that_writes() {
    let bench = Bench::with_set();
    std::fs::create_dir(bench.path("server")).unwrap();
    push_after(&bench, || {
        let busy = "server is being written by another process";
        bench.refuses(&["push", "set", &bench.url("server"), "--timeout", "1"], 1, &[busy]);
        assert!(!bench.path("server/latest.json").exists());
    });
    assert_eq!(listed(&bench), [bench.id("set")]);
}

#[test]
fn a_push_sends_again_what_prune_has_removed_meanwhile() {
    let bench = Bench::with_set();
    bench.convert("other", 100, 2);
    let url = bench.url("server");
    let [set, other] = ["set", "other"].map(|name| bench.id(name));
    for name in ["set", "other"] {
        bench.run(&["push", name, &url]);
    }
    let pushed = push_after(&bench, || {
        // Do what `prune --keep 1` does.
        let path = bench.path("server/latest.json");
        let mut latest = json(&std::fs::read_to_string(&path).unwrap());
        assert_eq!(latest["older"], value!([set]));
        (latest["older"], latest["prunes"]) = (value!([]), value!(1));
        std::fs::write(path, latest.to_string()).unwrap();
        std::fs::remove_dir_all(bench.path("server").join(&set)).unwrap();
    });
    assert_eq!(pushed["sent_shards"], contents(&bench.path("set")).len() as u64 - 1);
    assert_eq!(listed(&bench), [set, other]);
}

#[test]
fn a_set_that_has_lost_files_is_told_and_sent_again() {
    let bench = Bench::with_set();
    let url = bench.url("server");
    bench.run(&["push", "set", &url]);
    let folder = bench.path("server").join(bench.id("set"));
    std::fs::remove_file(folder.join("00001.shard")).unwrap();
    bench.refuses(&["pull", &url, "copy"], 4, &["00001.shard is not there", "prune", "push this set again"]);
    bench.refuses(&["verify", &url], 4, &["00001.shard is not there"]);
    assert_eq!(json(&bench.run(&["push", "set", &url, "--json"]))["sent_shards"], 1);
    bench.run(&["pull", &url, "copy"]);
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    bench.refuses(&["pull", &url, "other"], 4, &["latest.json names the set", &bench.id("set"), "push this set again"]);
    assert_eq!(json(&bench.run(&["push", "set", &url, "--json"]))["sent_shards"], 0);
    bench.run(&["verify", &url]);
}
