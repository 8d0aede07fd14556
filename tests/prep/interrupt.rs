//! Tests that a kill, Ctrl-C or a second writer leaves no incomplete set that looks complete.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::shard::{Error, Existing, OutputDir, ShardSet};

use super::recording::{
    NO_LOCKS, Recording, Scratch, change, contents, convert, json, program, refuses, says, scratch,
};

/// Number of samples in a recording. Its set has 60 shards. Each shard has one chunk of 4 samples.
const SAMPLES: usize = 240;
const SMALL: [&str; 6] = ["--chunk-samples", "4", "--shard-size", "1", "--threads", "2"];

struct Job {
    dir: Scratch,
    file: PathBuf,
    /// Names and bytes of the files of a set that was converted without interruption.
    expected: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Job {
    fn new(seed: u64) -> Job {
        let dir = scratch();
        let file = Recording::random(seed, SAMPLES, 600).write(&dir.join("a.h5"));
        let expected = contents(&dir.convert(&[&file], "whole", &SMALL));
        assert_eq!(expected.len(), SAMPLES / 4 + 1);
        Job { dir, file, expected }
    }

    fn spawn(&self, out: &Path) -> Child {
        let mut command = Command::new(program());
        command.env(NO_LOCKS.0, NO_LOCKS.1);
        command.arg("convert").arg(&self.file).arg("-o").arg(out).args(SMALL).arg("--quiet");
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts a conversion, and kills it when it has published `count` shards.
    fn kill(&self, out: &Path, count: usize) {
        let mut child = self.spawn(out);
        assert!(wait_for(&mut child, out, count));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Resumes the conversion. Returns the number of samples that were already done.
    fn resume(&self, out: &Path) -> u64 {
        let said = json(convert(&[&self.file], out).args(SMALL).args(["--resume", "--json"]));
        assert!(contents(out) == self.expected, "the bytes of an undisturbed run, and no other file");
        said["resumed_samples"].as_u64().unwrap()
    }
}

/// Returns the number of published shards.
fn shards(out: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(out) else { return 0 };
    let is_shard = |entry: &std::io::Result<std::fs::DirEntry>| {
        entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "shard")
    };
    entries.filter(is_shard).count()
}

/// Waits until the child has published `count` shards. Returns false if the child ends earlier.
fn wait_for(child: &mut Child, out: &Path, count: usize) -> bool {
    let start = Instant::now();
    while shards(out) < count {
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
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 3] = [
        ("cut", |bytes| bytes.truncate(bytes.len() - 64)),
        ("empty", Vec::clear),
        ("flipped", |bytes| *bytes.last_mut().unwrap() ^= 1),
    ];
    for (name, damage) in damages {
        let out = job.dir.join(name);
        job.kill(&out, 9);
        change(&out.join("00004.shard"), damage);
        assert_eq!(job.resume(&out), 16, "{name}: the shards before it");
    }
}

#[test]
fn ctrl_c_ends_at_a_safe_place_and_says_how_to_go_on() {
    let job = Job::new(23);
    for name in ["INT", "TERM", "USR1"] {
        let out = job.dir.join(name);
        let mut child = job.spawn(&out);
        assert!(wait_for(&mut child, &out, 3));
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{said}");
        says(&said, &["tonic-prep: error: interrupted", "complete shards are kept", "--resume"]);
        assert!(!contents(&out).keys().any(|name| name.ends_with(".tmp")), "no half shard stays");
        assert!(matches!(ShardSet::open(&out), Err(Error::Incomplete { .. })));
        let done = shards(&out) as u64;
        assert_eq!(job.resume(&out), done * 4);
    }
}

#[test]
fn resume_refuses_another_conversion_by_the_field_that_differs() {
    let job = Job::new(24);
    let out = job.dir.join("half");
    job.kill(&out, 3);
    let before = contents(&out);
    let other = Recording::random(99, SAMPLES, 600).write(&job.dir.join("b.h5"));
    let refused = |file: &Path, arguments: &[&str], words: &[&str]| {
        let words = [words, &["half", "differs from", "expected", "got"]].concat();
        refuses(convert(&[file], &out).args(SMALL).arg("--resume").args(arguments), 4, &words);
    };
    refused(
        &job.file,
        &["--time-window", "5000"],
        &["recipe differs", "expected time_window = 4000, got time_window = 5000"],
    );
    refused(&job.file, &["--channels", "50"], &["differs"]);
    refused(&job.file, &["--limit", "100"], &["samples differs", "240", "100"]);
    refused(&job.file, &["--level", "9"], &["level differs", "expected 1, got 9", "give --level 1, as it began"]);
    let classes = job.dir.file("classes.txt", "zero\none\ntwo\nthree\n");
    refused(
        &job.file,
        &["--classes", classes.to_str().unwrap()],
        &["classes differs", "expected zero, one, two, got zero, one, two, three", "give --classes, --classes-of and"],
    );
    refused(
        &job.file,
        &["--part", "1/2"],
        &["part differs", "expected none, got 1/2", "leave --part out, as it began"],
    );
    refused(&other, &[], &["sources differs", "a.h5", "b.h5"]);
    refuses(convert(&[&job.file], &out).args(SMALL), 2, &["exists already", "--resume", "--overwrite"]);
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
    let out = job.dir.join("busy");
    let mut child = job.spawn(&out);
    assert!(wait_for(&mut child, &out, 2));
    signal(&child, "STOP");
    for arguments in [&["--resume"][..], &["--overwrite"], &[]] {
        let words = ["busy is being written by another process"];
        refuses(convert(&[&job.file], &out).args(SMALL).args(arguments), 1, &words);
    }
    signal(&child, "CONT");
    assert!(child.wait().unwrap().success());
    assert!(contents(&out) == job.expected, "the first writer is not disturbed");

    let held = OutputDir::open(&out, Existing::Overwrite).unwrap();
    assert!(matches!(OutputDir::open(&out, Existing::Overwrite), Err(Error::Base(BaseError::Busy { .. }))));
    drop(held);
    OutputDir::open(&out, Existing::Overwrite).unwrap();
}

/// Returns names and contents of the files in a set's directory, except the lock file.
fn unlocked_contents(out: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut files = contents(out);
    files.remove(".lock");
    files
}

#[test]
fn resume_auto_starts_continues_or_finds_the_set_complete() {
    let job = Job::new(26);
    let out = job.dir.join("auto");
    let auto = || {
        let mut command = convert(&[&job.file], &out);
        command.args(SMALL).args(["--resume=auto", "--json"]);
        command
    };
    let resumed = || json(&mut auto())["resumed_samples"].as_u64().unwrap();
    assert_eq!(resumed(), 0, "it starts");
    assert!(contents(&out) == job.expected);
    assert_eq!(resumed(), SAMPLES as u64, "it is complete");
    assert!(contents(&out) == job.expected);
    change(&out.join("00007.shard"), |bytes| *bytes.last_mut().unwrap() ^= 1);
    assert_eq!(resumed(), 28, "a damaged shard and those after it are made again");
    assert!(contents(&out) == job.expected);

    // A valid shard of a set of another recording.
    let other = job.dir.convert(&[&Recording::random(126, SAMPLES, 600).write(&job.dir.join("b.h5"))], "other", &SMALL);
    std::fs::copy(other.join("00017.shard"), out.join("00017.shard")).unwrap();
    assert_eq!(resumed(), 68, "a shard that the manifest doesn't list and those after it are made again");
    assert!(contents(&out) == job.expected);

    let words = ["recipe differs", "manifest.json", "expected time_window = 4000, got time_window = 5000"];
    refuses(auto().args(["--time-window", "5000"]), 4, &words);
    refuses(auto().args(["--level", "9"]), 4, &["auto: level differs from", "manifest.json: expected 1, got 9"]);
    assert!(contents(&out) == job.expected, "the set of other options stays as it was");
    let half = job.dir.join("half");
    job.kill(&half, 9);
    let said = json(convert(&[&job.file], &half).args(SMALL).args(["--resume=auto", "--json"]));
    assert!(said["resumed_samples"].as_u64().unwrap() >= 36, "it continues");
    assert!(contents(&half) == job.expected);

    // If the manifest is missing, the shards cannot be assigned to a conversion.
    std::fs::remove_file(half.join("manifest.json")).unwrap();
    let before = contents(&half);
    for resume in ["--resume=auto", "--resume"] {
        let words = ["half exists already: it holds shards of a set whose manifest is missing", "--overwrite"];
        refuses(convert(&[&job.file], &half).args(SMALL).arg(resume), 2, &words);
    }
    assert!(contents(&half) == before);
}

#[test]
fn two_writers_of_one_set_both_make_it() {
    let dir = scratch();
    for (wide, seed) in [(false, 27), (true, 28)] {
        let mut recording = Recording::random(seed, SAMPLES, 600);
        if wide {
            recording.crowd(200, 300, 0.5, 7); // both have to start over with wider counts
        }
        let file = recording.write(&dir.join(format!("{wide}.h5")));
        let expected = contents(&dir.convert(&[&file], &format!("whole-{wide}"), &SMALL));
        // The first writer is stopped after `count` shards, as if its node hung. If `lost` is true, its lock is lost
        // too.
        for (count, lost) in [(0, false), (3, true), (40, false), (59, true)] {
            let out = dir.join(format!("{wide}-{count}"));
            let spawn = || {
                let mut command = Command::new(program());
                command.env(NO_LOCKS.0, NO_LOCKS.1);
                command.arg("convert").arg(&file).arg("-o").arg(&out).args(SMALL).args(["--quiet", "--resume=auto"]);
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            };
            let mut first = spawn();
            assert!(wait_for(&mut first, &out, count), "{wide} {count}");
            signal(&first, "STOP");
            if lost {
                let _ = std::fs::remove_file(out.join(".lock"));
            }
            let second = spawn().wait_with_output().unwrap();
            assert!(second.status.success(), "{wide} {count}: {}", String::from_utf8_lossy(&second.stderr));
            let whole = |out: &Path| {
                let mut files = unlocked_contents(out);
                files.retain(|name, _| !name.ends_with(".tmp")); // of the first writer
                files
            };
            assert!(whole(&out) == expected, "{wide} {count}: while the first writer is stopped");
            signal(&first, "CONT");
            let output = first.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{wide} {count}: {said}");
            assert!(unlocked_contents(&out) == expected, "{wide} {count}: {:?}", contents(&out).keys());
            let again = spawn().wait_with_output().unwrap();
            assert!(again.status.success() && contents(&out) == expected, "{wide} {count}: once more");
        }
    }
}

/// Returns whether a process handles SIGUSR1, which is signal number 10.
#[cfg(target_os = "linux")]
fn handles_usr1(child: &Child) -> bool {
    has_signal(child, "SigCgt:", 10)
}

/// Returns whether `signal` is in one of the process's sets of signals. `line` is the start of the set's line in
/// /proc/PID/status, such as `SigCgt:`.
#[cfg(target_os = "linux")]
fn has_signal(child: &Child, line: &str, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let set = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    u64::from_str_radix(set.trim(), 16).unwrap() & 1 << (signal - 1) != 0
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_far_from_a_safe_place_ends_all_the_same() {
    let dir = scratch();
    let never = dir.join("never.csv"); // a pipe into which nobody writes
    assert!(Command::new("mkfifo").arg(&never).status().unwrap().success());
    let mut command = Command::new(program());
    command.env(NO_LOCKS.0, NO_LOCKS.1);
    let file = super::camera::Camera::random(1, 9, 900_000).npy(&dir.join("a.npy"));
    command.arg("convert").arg(file).arg("-o").arg(dir.join("out")).stderr(Stdio::piped());
    command.args(["--sensor", "40,30,2", "--labels"]).arg(&never);
    let mut child = command.spawn().unwrap();
    while !handles_usr1(&child) {
        assert!(child.try_wait().unwrap().is_none());
    }
    signal(&child, "USR1");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    says(&said, &["interrupted: complete shards are kept", "--resume"]);
}

/// Starts a command, and sends it the signal `name` before any output is read. Asserts that the command ends with exit
/// code 130 within two seconds.
#[cfg(target_os = "linux")]
fn ends_by(command: &mut Command, name: &str) {
    command.env(NO_LOCKS.0, NO_LOCKS.1).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    while !handles_usr1(&child) {
        assert!(child.try_wait().unwrap().is_none(), "{command:?} ended: {:?}", child.wait_with_output());
    }
    std::thread::sleep(Duration::from_millis(50));
    // Under nohup, commands ignore SIGHUP, which is signal number 1.
    let name = if name == "HUP" && has_signal(&child, "SigIgn:", 1) { "TERM" } else { name };
    let start = Instant::now();
    signal(&child, name);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{command:?} {name}: {said}");
    assert!(start.elapsed() < Duration::from_secs(2), "{command:?} {name}");
    says(&said, &["interrupted"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_every_command_with_130_and_leaves_no_file() {
    let dir = scratch();
    let make_pipe = |path: PathBuf| {
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        path.display().to_string()
    };
    // A read from a pipe without a writer waits forever.
    let (set, never) = (dir.folder("set"), make_pipe(dir.join("never.csv")));
    make_pipe(set.join("manifest.json"));
    let camera = super::camera::Camera::random(1, 9, 900_000).npy(&dir.join("a.npy")).display().to_string();
    let camera = format!("{camera} --sensor 40,30,2 --labels {never}");
    let (set, out) = (set.display().to_string(), dir.join("out").display().to_string());
    let commands = [
        format!("plan {camera} --parts 1"),
        format!("bench {camera}"),
        format!("convert {camera} -o {out} --dry-run"),
        format!("convert {camera} -o {out}"),
        format!("info {set}"),
        format!("verify {set}"),
        format!("stats {set} --png {out}.png"),
        format!("show {set} --png {out}.png"),
        format!("export {set} --npy {out}"),
        format!("ls {set}"),
        format!("cat {set}"),
        format!("diff {set} {set}"),
        format!("subset {out} {set}"),
        format!("merge {out} {set}"),
        format!("repair {set} --from {set}"),
        format!("synth -o {out}.h5 --samples 10000000"),
    ];
    for (command, name) in commands.iter().zip(["TERM", "USR1", "INT", "HUP"].into_iter().cycle()) {
        ends_by(Command::new(program()).args(command.split(' ')), name);
    }
    let left: Vec<String> =
        std::fs::read_dir(&*dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let all = ["a.npy", "never.csv", "set"];
    assert!(left.iter().all(|name| all.contains(&name.as_str())), "{left:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn an_export_that_is_interrupted_has_whole_arrays_only() {
    let dir = scratch();
    let set = dir.set(&Recording::random(29, 2000, 600), &[]);
    let out = dir.join("arrays");
    let mut command = Command::new(program());
    command.arg("export").arg(&set).arg("--npy").arg(&out).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    while !out.join("frames_3.npy").exists() {}
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let arrays = contents(&out);
    assert!(arrays.len() > 3 && arrays.len() < 2000);
    for (name, bytes) in arrays {
        assert!(name.starts_with("frames_") && name.ends_with(".npy"), "{name}");
        let header = String::from_utf8_lossy(&bytes[10..128]).into_owned();
        let numbers = header.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
        let cells: usize = numbers.split(',').filter_map(|n| n.trim().parse::<usize>().ok()).product();
        assert_eq!(bytes.len(), 128 + cells, "{name}: {header}");
    }
}
