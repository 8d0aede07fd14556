//! Tests of outputs that cannot be written: the error says why, no partial shard is left, and --resume continues.

use std::path::{Path, PathBuf};
use std::process::Command;

use tonic_toolkit::shard::{Error, ShardSet};

use super::recording::{self, Recording, contents, convert, refuses, says, scratch, shell, tool};

const SMALL: [&str; 6] = ["--chunk-samples", "2", "--shard-size", "1", "--threads", "1"];

/// Makes a recording whose shards are small, except for shards 5 and 7 (counted from 0), which have about 16 kB.
fn growing() -> Recording {
    let mut recording = Recording::random(60, 16, 40);
    let large = Recording::random(61, 16, 16_000);
    for i in [10, 11, 14, 15] {
        recording.times[i].clone_from(&large.times[i]);
        recording.units[i].clone_from(&large.units[i]);
    }
    recording
}

#[test]
fn a_full_disk_keeps_what_is_complete_and_resume_ends_it() {
    let dir = scratch();
    let file = growing().write(&dir.join("a.h5"));
    let (whole, out) = (dir.convert(&[&file], "whole", &SMALL), dir.join("set"));
    // A limit on the size of files acts like a full disk: a write fails in the middle.
    let script = "trap '' XFSZ; ulimit -f 16; f=$1; o=$2; shift 2; exec \"$0\" convert \"$f\" -o \"$o\" -q \"$@\"";
    let words = ["00005.shard: cannot write the shard", "what is complete stays", "--resume"];
    refuses(shell("sh", script, &[&file, &out]).args(SMALL), 1, &words);
    let stayed: Vec<String> = contents(&out).into_keys().collect();
    assert_eq!(stayed, [".incomplete.json", "00000.shard", "00001.shard", "00002.shard", "00003.shard", "00004.shard"]);
    assert!(matches!(ShardSet::open(&out), Err(Error::Incomplete { .. })));
    refuses(&mut tool("verify", &out), 4, &["set: the set is incomplete", "--resume"]);

    convert(&[&file], &out).args(SMALL).arg("--resume").assert().success();
    assert!(contents(&out) == contents(&whole));
}

#[test]
fn a_really_full_disk_does_the_same() {
    let own_mounts = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !own_mounts.is_ok_and(|o| o.status.success()) {
        println!("skipped: mounting a small disk takes root and unshare");
        return;
    }
    let dir = scratch();
    let file = growing().write(&dir.join("a.h5"));
    let large = Recording::random(64, 16, 16_000).write(&dir.join("large.h5"));
    let whole = dir.convert(&[&file], "whole", &SMALL);
    let (disk, kept) = (dir.folder("disk"), dir.join("kept"));
    // Only this script sees the mount. The mount ends with the script.
    let script = "exec unshare -m sh -euc 'f=$1; l=$2; d=$3; k=$4; shift 4
        mount -t tmpfs -o size=48k none \"$d\"
        \"$0\" convert \"$l\" -o \"$d/large\" -q \"$@\" && exit 7 || echo code $?
        rm -r \"$d/large\"
        \"$0\" convert \"$f\" -o \"$d/set\" -q \"$@\" && exit 7 || echo code $?
        ls -A \"$d/set\"
        mount -o remount,size=16m \"$d\"
        \"$0\" convert \"$f\" -o \"$d/set\" -q \"$@\" --resume
        cp -r \"$d/set\" \"$k\"' \"$0\" \"$@\"";
    let output = shell("sh", script, &[&file, &large, &disk, &kept]).args(SMALL).output().unwrap();
    let (listed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{listed}{said}");
    says(&listed, &["code 1\ncode 1\n", ".incomplete.json\n", "00004.shard\n"]);
    assert!(!listed.contains(".tmp") && !listed.contains("manifest"), "{listed}");
    says(&said, &["disk/large: expected room for about", "free: free some space"]);
    says(&said, &["shard: cannot", "No space left", "what is complete stays", "--resume"]);
    assert!(contents(&kept) == contents(&whole));
}

#[test]
fn an_output_that_cannot_be_made_is_an_error() {
    let dir = scratch();
    let file = Recording::random(62, 3, 30).write(&dir.join("a.h5"));
    let taken = dir.file("taken", "mine");
    refuses(&mut convert(&[&file], &taken), 2, &["taken exists already", "it is a file; give a directory"]);
    refuses(&mut convert(&[&file], &taken.join("set")), 1, &["taken/set: cannot create the directory"]);
    assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
    // The output must not be a directory named `s3:`.
    let (url, words) = (Path::new("s3://bucket/set"), "expected a directory on this machine (tonic-prep push");
    refuses(&mut convert(&[&file], url), 2, &["output", words, "got a URL"]);
    let set = dir.convert(&[&file], "set", &[]);
    refuses(tool("export", &set).arg("--npy").arg(url), 2, &["--npy: ", words]);
    assert!(!Path::new("s3:").exists());
    // Nobody can make a directory there, not even root.
    refuses(&mut convert(&[&file], Path::new("/proc/tonic")), 1, &["/proc/tonic: cannot create the directory"]);
}

#[test]
fn a_read_only_directory_is_an_error() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let dir = scratch();
    let file = Recording::random(63, 3, 30).write(&dir.join("a.h5"));
    let locked = dir.folder("locked");
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&locked, 0o555);
    // Root can write to any directory. So if the test runs as root, a copy of the program runs as the user nobody.
    let mut program = PathBuf::from(recording::program());
    let root = std::fs::write(locked.join("probe"), "").is_ok();
    if root {
        mode(&dir, 0o755);
        mode(&file, 0o644);
        program = dir.join("tonic-prep");
        // Copy with cp. If this process wrote the program itself, a child process of another test could still have it
        // open for writing, and it could not be run.
        let copied = Command::new("cp").arg(recording::program()).arg(&program).status().unwrap();
        assert!(copied.success());
    }
    for (out, words) in [
        (locked.clone(), ["locked/.lock: cannot create the lock", "Permission denied"]),
        (locked.join("set"), ["locked/set: cannot create the directory", "Permission denied"]),
    ] {
        let mut command = Command::new(&program);
        command.arg("convert").arg(&file).arg("-o").arg(out).arg("-q");
        if root {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        says(&said, &words);
    }
    mode(&locked, 0o755);
}

#[test]
fn a_directory_without_a_set_is_an_error() {
    let dir = scratch();
    for (set, code, words) in [
        (dir.folder("empty"), 4, "empty: expected a shard set, got a directory without manifest.json and shards"),
        (dir.file("file", ""), 4, "file: expected a shard set, got no directory"),
        (dir.join("none"), 1, "none: cannot open the set: No such file"),
    ] {
        for command in ["info", "verify", "show"] {
            refuses(&mut tool(command, &set), code, &[words]);
        }
    }
}
