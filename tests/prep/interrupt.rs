//! A kill, Ctrl-C or a second writer never leaves a set that looks whole, and --resume gives the bytes of one run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::shard::{Error, Existing, OutputDir, ShardSet};

use super::recording::{Recording, contents, convert, fails, program, says, scratch};

/// 60 shards of one chunk of 4 samples.
const SAMPLES: usize = 240;
const SMALL: [&str; 6] = ["--chunk-samples", "4", "--shard-size", "1", "--threads", "2"];

struct Job {
    dir: tempfile::TempDir,
    file: PathBuf,
    /// What an undisturbed run makes.
    expected: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Job {
    fn new(seed: u64) -> Job {
        let dir = scratch();
        let file = Recording::random(seed, SAMPLES, 600).write(&dir.path().join("a.h5"));
        let whole = dir.path().join("whole");
        convert(&[&file], &whole).args(SMALL).assert().success();
        let expected = contents(&whole);
        assert_eq!(expected.len(), SAMPLES / 4 + 1);
        Job { dir, file, expected }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&self, out: &Path) -> Child {
        let mut command = Command::new(program());
        command.arg("convert").arg(&self.file).arg("-o").arg(out).args(SMALL).arg("--quiet");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Resumes, and gives the number of samples that were found done.
    fn resume(&self, out: &Path) -> u64 {
        let output = convert(&[&self.file], out).args(SMALL).args(["--resume", "--json"]).assert().success();
        let said: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        assert!(contents(out) == self.expected, "the bytes of an undisturbed run, and no other file");
        said["resumed_samples"].as_u64().unwrap()
    }
}

/// Shards that are in place.
fn shards(out: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(out) else { return Vec::new() };
    let shard = |path: &PathBuf| path.extension().is_some_and(|e| e == "shard");
    let mut shards: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(shard).collect();
    shards.sort();
    shards
}

/// Waits until the child has so many shards in place; false if it ends before.
fn wait_for(child: &mut Child, out: &Path, count: usize) -> bool {
    let start = Instant::now();
    while shards(out).len() < count {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "a convert that makes no progress");
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_damaged_shard_of_an_interrupted_convert_is_made_again() {
    let job = Job::new(22);
    for (name, damage) in [("cut", 0_usize), ("empty", 1), ("flipped", 2)] {
        let out = job.out(name);
        let mut child = job.spawn(&out);
        wait_for(&mut child, &out, 9);
        child.kill().unwrap();
        child.wait().unwrap();
        let victim = out.join("00004.shard");
        let mut bytes = std::fs::read(&victim).unwrap();
        match damage {
            0 => bytes.truncate(bytes.len() - 64),
            1 => bytes.clear(),
            _ => *bytes.last_mut().unwrap() ^= 1,
        }
        std::fs::write(&victim, bytes).unwrap();
        assert_eq!(job.resume(&out), 16, "{name}: the shards before it");
    }
}

#[test]
fn ctrl_c_ends_at_a_safe_place_and_says_how_to_go_on() {
    let job = Job::new(23);
    for name in ["INT", "TERM"] {
        let out = job.out(name);
        let mut child = job.spawn(&out);
        assert!(wait_for(&mut child, &out, 3));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        says(&said, &["tonic-prep: error: interrupted", "complete shards are kept", "--resume"]);
        assert!(!contents(&out).keys().any(|name| name.ends_with(".tmp")), "no half shard stays");
        assert!(matches!(ShardSet::open(&out), Err(Error::Incomplete { .. })));
        let done = shards(&out).len() as u64;
        assert_eq!(job.resume(&out), done * 4);
    }
}

#[test]
fn resume_refuses_another_conversion_by_the_field_that_differs() {
    let job = Job::new(24);
    let out = job.out("half");
    let mut child = job.spawn(&out);
    assert!(wait_for(&mut child, &out, 3));
    child.kill().unwrap();
    child.wait().unwrap();
    let before = contents(&out);
    let other = Recording::random(99, SAMPLES, 600).write(&job.out("b.h5"));
    let refused = |file: &Path, arguments: &[&str], words: &[&str]| {
        let said = fails(convert(&[file], &out).args(SMALL).arg("--resume").args(arguments), 4);
        says(&said, words);
        says(&said, &["half", "differs from", "expected", "got"]);
    };
    refused(&job.file, &["--time-window", "5000"], &["recipe differs", "4000", "5000"]);
    refused(&job.file, &["--channels", "50"], &["differs"]);
    refused(&job.file, &["--limit", "100"], &["samples differs", "240", "100"]);
    refused(&job.file, &["--level", "9"], &["tool differs", "9"]);
    refused(&other, &[], &["sources differs", "a.h5", "b.h5"]);
    let said = fails(convert(&[&job.file], &out).args(SMALL), 2);
    says(&said, &["exists already", "--resume", "--overwrite"]);
    let unlocked = |mut files: std::collections::BTreeMap<String, Vec<u8>>| {
        files.remove(".lock");
        files
    };
    assert!(unlocked(contents(&out)) == unlocked(before), "a refused resume changes nothing");
    job.resume(&out);
}

#[test]
fn a_second_writer_is_turned_away() {
    let job = Job::new(25);
    let out = job.out("busy");
    let mut child = job.spawn(&out);
    assert!(wait_for(&mut child, &out, 2));
    signal(&child, "STOP");
    for arguments in [&["--resume"][..], &["--overwrite"], &[]] {
        let said = fails(convert(&[&job.file], &out).args(SMALL).args(arguments), 1);
        says(&said, &["busy is being written by another process"]);
    }
    signal(&child, "CONT");
    assert!(child.wait().unwrap().success());
    assert!(contents(&out) == job.expected, "the first writer is not disturbed");

    let held = OutputDir::open(&out, Existing::Overwrite).unwrap();
    assert!(matches!(OutputDir::open(&out, Existing::Overwrite), Err(Error::Base(BaseError::Busy { .. }))));
    drop(held);
    OutputDir::open(&out, Existing::Overwrite).unwrap();
}
