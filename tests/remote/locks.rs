//! Tests of lock files: `pull --lock` fetches the locked sets, and training refuses all other sets.

use crate::bench::{Bench, contents, json};

/// Pushes the sets `set` and `other`, and locks them under the names `train` and `other`.
fn locked() -> Bench {
    let bench = Bench::with_set();
    bench.convert("other", 60, 2);
    for name in ["set", "other"] {
        bench.run(&["push", name, &bench.url(&format!("server/{name}"))]);
    }
    let [set, other] = ["set", "other"].map(|name| bench.url(&format!("server/{name}")));
    let lock = json(&bench.run(&["lock", "sets.toml", &format!("train={set}"), &other, "other", "--json"]));
    assert_eq!(lock["sets"][0]["urls"], serde_json::json!([set]));
    assert_eq!(lock["sets"][1]["urls"], serde_json::json!([other]));
    bench
}

#[test]
fn locked_sets_are_brought_whatever_is_the_latest() {
    let bench = locked();
    bench.convert("newer", 50, 3);
    bench.run(&["push", "newer", &bench.url("server/set")]);
    bench.run(&["pull", "--lock", "sets.toml", "sets"]);
    for (name, copy) in [("set", "sets/train"), ("other", "sets/other")] {
        assert!(contents(&bench.path(name)) == contents(&bench.path(copy)), "{copy}");
    }
    // Intact copies are kept, even if the server is gone. A damaged copy is reported.
    let kept = std::fs::rename(bench.path("server"), bench.path("gone"));
    kept.unwrap();
    let again = json(&bench.run(&["pull", "--lock", "sets.toml", "sets", "--json"]));
    assert!(again["sets"].as_array().unwrap().iter().all(|set| set["fetched_bytes"].is_null()), "{again}");
    let shard = bench.path("sets/train/00001.shard");
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&shard, bytes).unwrap();
    bench.refuses(&["pull", "--lock", "sets.toml", "sets"], 4, &["00001.shard", "repair"]);
    // Another set in the folder of a locked set is not replaced.
    std::fs::rename(bench.path("gone"), bench.path("server")).unwrap();
    std::fs::remove_dir_all(bench.path("sets/train")).unwrap();
    std::fs::rename(bench.path("newer"), bench.path("sets/train")).unwrap();
    bench.refuses(&["pull", "--lock", "sets.toml", "sets"], 2, &["another set"]);
    bench.run(&["pull", "--lock", "sets.toml", "sets", "--overwrite"]);
    assert!(contents(&bench.path("set")) == contents(&bench.path("sets/train")));
}

#[test]
fn a_set_without_a_url_has_to_be_there() {
    let bench = Bench::with_set();
    bench.run(&["lock", "sets.toml", "set"]);
    bench.refuses(&["pull", "--lock", "sets.toml", "sets"], 2, &["sets.toml: set", "a URL to fetch the set from"]);
    bench.run(&["pull", "--lock", "sets.toml"]);
    bench.refuses(&["pull", "--lock", "sets.toml", "a", "b"], 2, &["lock", "only DIR", "two arguments"]);
    bench.refuses(&["pull", "--lock", "sets.toml", "https://me:secret@h/x"], 2, &["only DIR", "a URL"]);
    bench.refuses(&["lock", "sets.toml", "https://me:secret@localhost:9/x#00"], 2, &["https://localhost:9/x"]);
}

#[cfg(feature = "train")]
#[test]
fn training_refuses_sets_that_are_not_locked() {
    let bench = locked();
    let train = |command: &str, flags: &[&str], code: i32| {
        let mut program = assert_cmd::Command::cargo_bin("tonic-train").unwrap();
        let done = program.current_dir(bench.path("")).arg(command).args(flags).assert().code(code);
        String::from_utf8(done.get_output().stderr.clone()).unwrap()
    };
    let fit = ["-o", "run", "--epochs", "1", "--hidden", "16", "--quiet", "--lock", "sets.toml"];
    train("fit", &[&["--train", "set"], &fit[..]].concat(), 0);
    train("eval", &["--model", "run", "--data", &bench.url("server/set"), "--lock", "sets.toml"], 0);
    bench.convert("train", 50, 3);
    let (newer, locked) = (bench.id("train"), bench.id("set"));
    for said in [
        train("fit", &[&["--train", "train", "--overwrite"], &fit[..]].concat(), 4),
        train("fit", &[&["--train", "set", "--valid", "train", "--overwrite"], &fit[..]].concat(), 4),
        train("eval", &["--model", "run", "--data", "train", "--lock", "sets.toml"], 4),
    ] {
        let [pull, lock] = ["tonic-prep pull --lock sets.toml", "tonic-prep lock sets.toml train"];
        for words in [newer.as_str(), locked.as_str(), pull, lock] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    train("fit", &["--train", "set", "-o", "run", "--lock", "nothing.toml"], 1);
}

#[test]
fn a_sweep_refuses_sets_that_are_not_locked() {
    let bench = locked();
    bench.convert("third", 50, 3);
    for (options, code) in [
        ("train = 'set'\nvalid = 'other'\n[vary]\nseed = [1, 2]", 0),
        ("train = 'set'\nvalid = 'third'\n[vary]\nseed = [1, 2]", 4),
        ("[vary]\ntrain = ['set', 'third']", 4),
    ] {
        std::fs::write(bench.path("spec.toml"), format!("lock = 'sets.toml'\n{options}\n")).unwrap();
        let done = bench.program("tonic-train", &["sweep", "spec.toml", "-o", "plan"]).assert().code(code);
        let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
        assert_eq!(said.contains("locked set_id"), code == 4, "{said}");
        assert_eq!(bench.path("plan").exists(), code == 0);
        let _ = std::fs::remove_dir_all(bench.path("plan"));
    }
}
