//! Tests of broken connections, wrong answers, full disks and kills: nothing incomplete may look complete.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json as value};

use crate::bench::{Bench, contents, json};
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };
const SHARD: &str = "00002.shard";

/// Returns a pseudorandom number for `text` and `seed`.
fn random(text: &str, seed: u64) -> u64 {
    u64::from_le_bytes(blake3::hash(format!("{text} {seed}").as_bytes()).as_bytes()[..8].try_into().unwrap())
}

#[test]
fn connections_cut_at_random_bytes_lose_nothing() {
    let bench = Bench::with_set();
    for (i, kind) in [(true, true), (true, false), (false, true)].into_iter().enumerate() {
        let (ranges, tags) = kind;
        let cuts = |name: &str, number: u64| (number < 4).then(|| Fault::Cut(random(name, number) as usize % 60_000));
        let server = Server::start(&bench.path("set"), Kind { ranges, tags }, cuts);
        let copy = format!("copy{i}");
        bench.run(&["pull", &server.url, &copy]);
        assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)), "ranges {ranges}, tags {tags}");
    }
}

#[test]
fn bodies_without_end_are_cut_off() {
    let bench = Bench::with_set();
    bench.run(&["push", "set", &bench.url("server")]);
    for name in ["latest.json", "manifest.json"] {
        let endless = move |asked: &str, _: u64| asked.ends_with(name).then_some(Fault::Endless);
        let server = Server::start(&bench.path("server"), ALL, endless);
        bench.refuses(&["pull", &server.url, "copy"], 4, &[name, "expected at most", "got more"]);
    }
    // Only the bytes that belong to a shard are read, so a shard file without end does no harm.
    for ranges in [true, false] {
        let endless = |name: &str, _: u64| name.ends_with(".shard").then_some(Fault::Endless);
        let server = Server::start(&bench.path("set"), Kind { ranges, tags: true }, endless);
        let copy = format!("copy{ranges}");
        bench.run(&["pull", &server.url, &copy]);
        assert_eq!(contents(&bench.path("set")), contents(&bench.path(&copy)));
    }
}

#[test]
fn stalls_in_the_middle_are_given_up() {
    let bench = Bench::with_set();
    for name in ["manifest.json", ".shard"] {
        let stall = move |asked: &str, _: u64| asked.ends_with(name).then_some(Fault::Stall(500));
        let server = Server::start(&bench.path("set"), ALL, stall);
        let start = Instant::now();
        let text = bench.refuses(&["pull", &server.url, "copy", "--timeout", "1"], 1, &[name]);
        assert!(text.contains("timed out") || text.contains("nothing arrived for 1 s"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_file_that_is_too_short_is_told_at_once() {
    let bench = Bench::with_set();
    let bytes = std::fs::read(bench.path("set").join(SHARD)).unwrap();
    for (length, words) in [(bytes.len() / 2, "file length"), (100, "file length"), (0, SHARD)] {
        for ranges in [true, false] {
            bench.run(&["pull", &bench.url("set"), "served"]);
            std::fs::write(bench.path("served").join(SHARD), &bytes[..length]).unwrap();
            let server = Server::start(&bench.path("served"), Kind { ranges, tags: true }, |_, _| None);
            let start = Instant::now();
            let text = bench.tool(&["pull", &server.url, &format!("copy{length}{ranges}")]).output().unwrap();
            let said = String::from_utf8_lossy(&text.stderr).into_owned();
            assert!(!text.status.success() && said.contains(SHARD) && said.contains(words), "{said}");
            assert!(start.elapsed() < Duration::from_secs(20), "{said}");
            std::fs::remove_dir_all(bench.path("served")).unwrap();
        }
    }
    // Bytes after the end of a shard are not read.
    bench.run(&["pull", &bench.url("set"), "served"]);
    std::fs::write(bench.path("served").join(SHARD), [&bytes[..], &[7; 1000]].concat()).unwrap();
    bench.run(&["pull", &Server::of(&bench.path("served")).url, "copy"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
}

/// Starts a server for the folder `served`. The first `before` requests for the shard [`SHARD`] change nothing. The
/// next one replaces the folder's set by the set `other`.
fn replacing(bench: &Bench, before: u64) -> Server {
    let [served, other, old] = ["served", "other", "old"].map(|name| bench.path(name));
    let done = AtomicBool::new(false);
    Server::start(&served.clone(), ALL, move |name, number| {
        if name == SHARD && number == before && !done.swap(true, Ordering::Relaxed) {
            std::fs::rename(&served, &old).unwrap();
            std::fs::rename(&other, &served).unwrap();
        }
        None
    })
}

#[test]
fn a_set_that_is_replaced_meanwhile_is_told() {
    let mut commands = vec![("tonic-prep", 0, vec!["pull", "URL", "copy", "--connections", "1", "--quiet"])];
    if cfg!(feature = "train") {
        let fit = "fit --train URL -o run --epochs 3 --hidden 8 --cache stream --remote-cache cache --quiet";
        commands.push(("tonic-train", 1, fit.split(' ').collect()));
    }
    for (program, before, words) in commands {
        let bench = Bench::with_set();
        bench.convert("other", 300, 7);
        bench.run(&["pull", &bench.url("set"), "served"]);
        let ids = ["set", "other"].map(|name| bench.id(name));
        let server = replacing(&bench, before);
        let words: Vec<&str> = words.into_iter().map(|word| if word == "URL" { &server.url } else { word }).collect();
        let done = bench.program(program, &words).output().unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(4), "{text}");
        assert!(ids.iter().all(|id| text.contains(id)), "{text}");
        assert!(!bench.path("copy/manifest.json").exists() && !bench.path("run/model.safetensors").exists());
        if program == "tonic-prep" {
            bench.refuses(&["pull", &server.url, "copy"], 2, &["another set", "--overwrite"]);
            bench.run(&["pull", &server.url, "copy", "--overwrite"]);
            assert_eq!(contents(&bench.path("served")), contents(&bench.path("copy")));
        }
    }
}

#[test]
fn hostile_manifests_are_refused() {
    let bench = Bench::with_set();
    let manifest = json(&std::fs::read_to_string(bench.path("set/manifest.json")).unwrap());
    let with = |pointer: &str, new: Value| {
        let mut changed = manifest.clone();
        *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = new;
        with_checksum(changed)
    };
    let mut hostile: Vec<Vec<u8>> = Vec::new();
    let absolute = bench.path("absolute");
    let names = [
        "../../escaped",
        absolute.to_str().unwrap(),
        "a/b.shard",
        "..",
        "",
        "00000.shard\u{1b}[31m",
        "00001.shard",
        "\u{0}",
    ];
    hostile.extend(names.map(|name| with("/shards/0/name", value!(name))));
    let sizes = [value!(u64::MAX), value!(1_u64 << 62), value!(-1), value!(0), value!(1e300), value!("many")];
    hostile.extend(sizes.clone().map(|size| with("/shards/0/bytes", size)));
    hostile.extend(sizes.map(|size| with("/samples", size)));
    for size in [1_u64 << 62, 1 << 63, u64::MAX] {
        let mut shards = manifest["shards"].clone();
        shards.as_array_mut().unwrap().iter_mut().for_each(|shard| shard["bytes"] = value!(size));
        hostile.extend([with("/shards", shards), with("/class_samples/0", value!(size))]);
    }
    hostile.push(with("/shards/1", manifest["shards"][0].clone()));
    hostile.push(with("/set_id", value!("../..")));
    hostile.push(with("/shards", Value::Array(vec![manifest["shards"][0].clone(); 100_000])));
    hostile.push(b"{".repeat(100_000));
    hostile.push("[".repeat(1_000_000).into_bytes());
    hostile.push([b"\xff\xfe".to_vec(), manifest.to_string().into_bytes()].concat());
    hostile.push(Vec::new());
    std::fs::create_dir_all(bench.path("deep/er")).unwrap();
    for (i, bytes) in hostile.iter().enumerate() {
        let served = bench.path("served");
        std::fs::create_dir_all(&served).unwrap();
        std::fs::write(served.join("manifest.json"), bytes).unwrap();
        let (url, start) = (bench.url("served"), Instant::now());
        for words in [&["pull", &url, "deep/er/copy"][..], &["info", &url]] {
            let done = bench.tool(words).output().unwrap();
            let text = String::from_utf8_lossy(&done.stderr);
            assert!([Some(1), Some(4)].contains(&done.status.code()), "{i}: {text}");
            // The folder has no shards. So if the manifest is accepted, the error names a shard.
            let told = ["manifest.json", "expected room", ".shard"];
            assert!(told.iter().any(|words| text.contains(words)), "{i}: {text}");
            assert!(text.len() < 2000 && !text.trim_end().contains(char::is_control), "{i}: {text:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{i}");
        let found: Vec<_> = ["deep", "deep/er"].map(|dir| std::fs::read_dir(bench.path(dir)).unwrap().count()).into();
        assert!(found[0] == 1 && found[1] <= 1 && !bench.path("escaped").exists() && !absolute.exists(), "{i}");
    }
    let id = bench.id("set");
    for latest in [
        value!({"format": "tonic-latest", "version": 1, "set_id": "../../set"}),
        value!({"format": "tonic-latest", "version": 99, "set_id": id}),
        value!({"format": "other", "version": 1, "set_id": id}),
        value!([1, 2]),
    ] {
        std::fs::write(bench.path("served/latest.json"), latest.to_string()).unwrap();
        bench.refuses(&["pull", &bench.url("served"), "x"], 4, &["latest.json"]);
        bench.refuses(&["prune", &bench.url("served"), "--keep", "1"], 4, &["latest.json"]);
    }
}

/// Returns the bytes of a manifest, with a correct checksum.
fn with_checksum(mut manifest: Value) -> Vec<u8> {
    manifest.as_object_mut().unwrap().remove("checksum");
    let text = manifest.to_string();
    let before = format!("{}, ", text.strip_suffix('}').unwrap());
    format!("{before}\"checksum\": \"{}\"\n}}\n", blake3::hash(before.as_bytes()).to_hex()).into_bytes()
}

/// Runs a shell script with the program as `$0` and `words` as `$@`. Returns its exit code and stderr.
fn shell(bench: &Bench, script: &str, words: &[&str]) -> (Option<i32>, String) {
    let program = assert_cmd::cargo::cargo_bin("tonic-prep");
    let done = Command::new("sh").arg("-c").arg(script).arg(program).args(words).current_dir(bench.path("")).output();
    let done = done.unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_disk_that_fills_leaves_nothing_that_looks_complete() {
    let bench = Bench::with_set();
    bench.convert("first", 20, 3);
    let url = bench.url("server");
    bench.run(&["push", "first", &url]);
    // A limit on the size of files acts like a full disk: a write fails in the middle.
    let limited = "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\" -q";
    for words in [&["push", "set", &url][..], &["pull", &bench.url("set"), "copy"]] {
        let (code, text) = shell(&bench, limited, words);
        assert!(
            code == Some(1)
                && text.contains(".shard")
                && text.contains("cannot write")
                && text.contains("free some space"),
            "{text}"
        );
    }
    assert_eq!(json(&bench.run(&["info", &url, "--json"]))["set_id"], bench.id("first"));
    bench.refuses(&["verify", "copy"], 4, &["incomplete"]);
    let temporary = |name: &String| name.contains('#');
    assert_eq!(contents(&bench.path("server").join(bench.id("set"))).into_keys().find(temporary), None);
    // When there is room again, the same commands complete the copies.
    bench.run(&["push", "set", &url]);
    bench.run(&["pull", &url, "copy"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
    // A disk that has no room for the set.
    std::fs::create_dir(bench.path("disk")).unwrap();
    let full = "unshare -m sh -c 'mount -t tmpfs -o size=200k none disk || exit 9; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    match shell(&bench, full, &["pull", &url, "disk/copy", "-q"]) {
        (Some(9) | Some(127), _) => println!("skipped: mounting a small disk takes root and unshare"),
        (code, text) => assert!(code == Some(1) && text.contains("expected room"), "{code:?} {text}"),
    }
    if cfg!(feature = "train") {
        // Training continues even if the cache has no room.
        let fit = |program: &str, run: &str| {
            format!("{program} fit --train '{url}' -o {run} --epochs 2 --hidden 8 --cache stream -q")
        };
        let train = assert_cmd::cargo::cargo_bin("tonic-train").display().to_string();
        assert_eq!(shell(&bench, &fit(&train, "plain"), &[]).0, Some(0));
        let network = |run: &str| std::fs::read(bench.path(run).join("model.safetensors")).unwrap();
        // 4k has no room for the headers either.
        for size in ["200k", "4k"] {
            let cached = fit(&train, size) + " --remote-cache disk/cache";
            let script = format!("unshare -m sh -c \"mount -t tmpfs -o size={size} none disk || exit 9; {cached}\"");
            let (code, text) = shell(&bench, &script, &[]);
            assert!([Some(0), Some(9), Some(127)].contains(&code), "{size}: {text}");
            assert!(code != Some(0) || network("plain") == network(size), "{size}");
        }
    }
}

/// Runs a command, and kills it after a pseudorandom time of at most `most`.
fn kill(bench: &Bench, words: &[&str], number: u64, most: Duration) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("tonic-prep"));
    command.args(words).arg("-q").current_dir(bench.path("")).stderr(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(most.mul_f64((random(words[0], number) % 1000) as f64 / 1000.0));
    child.kill().unwrap();
    child.wait().unwrap();
}

fn duration(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn a_hundred_kills_of_push_leave_the_latest_set_and_no_temporary_files() {
    let bench = Bench::with_set();
    bench.convert("first", 20, 3);
    let (url, first, set) = (bench.url("server"), bench.id("first"), bench.id("set"));
    let most = duration(|| {
        bench.run(&["push", "set", &bench.url("measured")]);
    });
    bench.run(&["push", "first", &url]);
    let mut left_temporary = 0;
    for number in 0..100 {
        kill(&bench, &["push", "set", &url], number, most);
        let latest = json(&std::fs::read_to_string(bench.path("server/latest.json")).unwrap());
        let folder = bench.path("server").join(&set);
        if latest["set_id"] == set {
            bench.run(&["verify", &url]);
            bench.run(&["push", "first", &url]);
            bench.run(&["prune", &url, "--keep", "1"]);
            assert!(!folder.exists(), "prune has left {:?}", std::fs::read_dir(folder).unwrap().collect::<Vec<_>>());
        } else {
            assert_eq!(latest["set_id"], first);
            let is_temporary = |name: &String| name.contains('#');
            left_temporary += usize::from(folder.exists() && contents(&folder).into_keys().any(|n| is_temporary(&n)));
        }
    }
    println!("{left_temporary} of 100 killed pushes had left temporary files");
    bench.run(&["push", "set", &url]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("server").join(&set)));
    bench.run(&["verify", &format!("{url}#{first}")]);
}

#[test]
fn a_hundred_kills_of_pull_leave_no_set_that_looks_complete() {
    let bench = Bench::with_set();
    let server = Server::of(&bench.path("set"));
    let most = duration(|| {
        bench.run(&["pull", &server.url, "measured"]);
    });
    for number in 0..100 {
        kill(&bench, &["pull", &server.url, "copy"], number, most);
        if bench.path("copy/manifest.json").exists() {
            assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
            std::fs::remove_dir_all(bench.path("copy")).unwrap();
        }
    }
    bench.run(&["pull", &server.url, "copy"]);
    assert_eq!(contents(&bench.path("set")), contents(&bench.path("copy")));
}
