//! Tests of resuming a stopped run: it ends with the same bits as a run without a stop, or is refused.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::Isa;
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, bytes, epochs, interrupted, kill_again_and_again, wait_for, where_is};
use crate::sets::{self, Spec, assert_says, fails, fit, fit_arguments, succeeds};

/// Starts a fit as a child process. Its stderr is a pipe.
pub(crate) fn start(dir: &Path, run: &str, others: &str) -> Child {
    start_on("", dir, run, others)
}

/// Starts a fit as a child process with the SIMD instruction set `isa`.
fn start_on(isa: &str, dir: &Path, run: &str, others: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonic-train"));
    command.env("TONIC_ISA", isa).args(fit_arguments(dir, run, others)).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn ctrl_c_saves_the_run_and_resume_comes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(3000, 64).write(&dir.path().join("train"), sets::learnable(1));
    Spec::new(60, 8).write(&dir.path().join("valid"), sets::learnable(2));
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    let arguments = "--valid DIR/valid --epochs 8 --batch-size 2 --quiet";
    succeeds(&mut fit(dir.path(), "whole", arguments));

    let resumed = format!("{arguments} --resume");
    let begin = |resume| start(dir.path(), "stopped", if resume { &resumed } else { arguments });
    assert_says(&interrupted(begin, &stopped, Duration::from_millis(20)), &["--resume", "stopped"]);
    succeeds(&mut fit(dir.path(), "stopped", &resumed));
    assert_same(&whole, &stopped);
}

#[test]
fn a_run_killed_at_any_moment_resumes_to_the_same_bits() {
    let dir = sets::task();
    let (whole, killed) = (dir.path().join("whole"), dir.path().join("killed"));
    let arguments = "--valid DIR/valid --epochs 60 --quiet";
    succeeds(&mut fit(dir.path(), "whole", arguments));
    let child = start(dir.path(), "killed", arguments);
    // Threads, cache and instruction set may change from one part of the run to the next.
    let parts = ["--threads 8 --cache stream", "--threads 1", "--cache stream", "--threads 8 --cache host"];
    let isas = Isa::available().into_iter().map(Isa::name).cycle();
    let dir = &dir;
    let resumes = parts.iter().cycle().zip(isas).take(16).map(|(others, isa)| {
        let line = format!("{arguments} {others} --resume");
        move || start_on(isa, dir.path(), "killed", &line)
    });
    assert!(kill_again_and_again(child, &killed, 60, resumes) >= 4);
    succeeds(&mut fit(dir.path(), "killed", &format!("{arguments} --resume")));
    assert_same(&whole, &killed);
    assert_eq!(bytes(&whole, "best.safetensors"), bytes(&killed, "best.safetensors"));
}

#[test]
fn a_run_is_gone_on_with_replaced_or_refused() {
    let dir = sets::task();
    let run = |others: &str| fit(dir.path(), "run", others);
    let long = dir.path().join("long");
    succeeds(&mut fit(dir.path(), "long", "--epochs 3 --quiet"));
    succeeds(&mut run("--epochs 1 --quiet --valid DIR/valid"));
    let before = bytes(&dir.path().join("run"), "checkpoint.safetensors");
    fails(&mut run("--epochs 1"), 2, &["exists already", "--resume", "--overwrite"]);
    for (others, field, expected, got) in [
        ("--seed 4", "seed", "expected 0", "got 4"),
        ("--pad batch", "pad", "fixed", "batch"),
        ("--engine reference", "engine", "fused", "reference"),
        ("--min-v-mem -1", "min_v_mem", "expected none", "got -1.0"),
    ] {
        fails(&mut run(&format!("--epochs 3 --resume {others}")), 4, &[field, "config.toml", expected, got]);
    }
    fails(
        &mut run("--epochs 1 --resume --batch-size 8 --valid DIR/valid"),
        4,
        &["batch_size differs", "expected 16, got 8"],
    );
    assert_eq!(bytes(&dir.path().join("run"), "checkpoint.safetensors"), before);

    // A resume with more epochs gives the same run as one with that many epochs from the start.
    succeeds(&mut run("--epochs 3 --resume --quiet --valid DIR/valid"));
    // A resume with fewer epochs than are done changes nothing.
    succeeds(&mut run("--epochs 1 --resume --quiet --valid DIR/valid"));
    assert_eq!(Config::read(&dir.path().join("run")).unwrap().epochs, 3);
    let model = bytes(&dir.path().join("run"), "model.safetensors");
    assert!(model == bytes(&long, "model.safetensors"));
    assert_eq!(Config::read(&dir.path().join("run")).unwrap().epochs, 3);

    // The best network of the old run must not be taken for that of the new run.
    assert!(dir.path().join("run/best.safetensors").exists());
    succeeds(&mut run("--epochs 1 --seed 9 --overwrite --quiet"));
    assert!(!dir.path().join("run/best.safetensors").exists());
    assert_eq!(epochs(&dir.path().join("run")).len(), 1);
    fails(&mut run("--resume --overwrite"), 2, &["cannot be used with"]);
}

/// The validation set and the test set must stay the same.
#[test]
fn a_resumed_run_keeps_the_sets_that_it_is_evaluated_on() {
    let dir = sets::task();
    let run = |others: &str| fit(dir.path(), "run", others);
    let config = || Config::read(&dir.path().join("run")).unwrap();
    succeeds(&mut run("--epochs 1 --quiet --valid DIR/valid --test DIR/valid"));
    let id = ShardSet::open(&dir.path().join("valid")).unwrap().manifest().set_id.to_string();
    assert_eq!((config().data.valid_set_id, config().data.test_set_id), (Some(id.clone()), Some(id.clone())));
    let before = bytes(&dir.path().join("run"), "config.toml");
    for resume in ["--resume", "--resume=auto"] {
        for (others, words) in [
            (
                "--valid DIR/train",
                ["train: valid differs from", "continue with --valid DIR, the set that the run began"],
            ),
            ("", ["valid differs from", ", got none; continue with --valid DIR"]),
            ("--valid DIR/valid --test DIR/train", ["train: test differs from", "continue with --test DIR, the set"]),
        ] {
            fails(
                &mut run(&format!("--epochs 2 {resume} {others}")),
                4,
                &[words[0], words[1], &format!("expected {id}")],
            );
        }
    }
    assert_eq!(bytes(&dir.path().join("run"), "config.toml"), before);
    succeeds(&mut run("--epochs 2 --quiet --resume --valid DIR/valid"));

    // A run of an earlier version has no ids and no checksums. Its metrics show that it was validated.
    let old: String = String::from_utf8(before)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("_set_id"))
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(dir.path().join("run/config.toml"), old).unwrap();
    std::fs::remove_file(dir.path().join("run/sums.json")).unwrap();
    fails(&mut run("--epochs 2 --resume"), 4, &["valid differs from", "metrics.jsonl", "got none"]);
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid --test DIR/valid"));
    assert_says(&said, &["valid    an earlier version began the run", "test     an earlier version began the run"]);
    assert_eq!((config().data.valid_set_id, config().data.test_set_id), (None, None));

    // A resume can add a validation set to a run without one. A note says so, and the run keeps the set.
    succeeds(&mut run("--epochs 1 --quiet --overwrite"));
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid"));
    assert_says(&said, &["valid    the run had no validation set", "from epoch 2 on"]);
    assert_eq!(config().data.valid_set_id.as_ref(), Some(&id));
    fails(&mut run("--epochs 3 --resume --valid DIR/train"), 4, &["train: valid differs from"]);

    // A resume can also add a test set, even if no epoch is left to train.
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid --test DIR/valid"));
    assert_says(&said, &["test     the run had no test set"]);
    assert_eq!(config().data.test_set_id.as_ref(), Some(&id));
    let other = "--epochs 2 --resume --valid DIR/valid --test DIR/train";
    fails(&mut run(other), 4, &["train: test differs from", &format!("expected {id}")]);
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid --test DIR/valid"));
    assert!(!said.contains("the run had no test set"), "{said}");
}

#[test]
fn the_networks_of_a_complete_run_are_mended_or_missed() {
    let dir = sets::task();
    let (run, arguments) = (dir.path().join("run"), "--epochs 2 --valid DIR/valid");
    succeeds(&mut fit(dir.path(), "run", &format!("{arguments} --quiet")));
    let names = ["model.safetensors", "best.safetensors", "checkpoint.safetensors", "metrics.jsonl"];
    let whole = names.map(|name| bytes(&run, name));
    for resume in ["--resume", "--resume=auto"] {
        for cut in [0, 40, whole[0].len() - 1] {
            std::fs::write(run.join(names[0]), &whole[0][..cut]).unwrap();
            let said = succeeds(&mut fit(dir.path(), "run", &format!("{arguments} {resume}")));
            assert_says(&said, &["model.safetensors is missing or damaged: it is written again", "done     0 epochs"]);
        }
        std::fs::remove_file(run.join(names[0])).unwrap();
        succeeds(&mut fit(dir.path(), "run", &format!("{arguments} {resume}")));
        let mut other = whole[0].clone();
        *other.last_mut().unwrap() ^= 1; // a weight
        std::fs::write(run.join(names[0]), &other).unwrap();
        succeeds(&mut fit(dir.path(), "run", &format!("{arguments} {resume}")));
        assert!(names.map(|name| bytes(&run, name)) == whole);

        for cut in [0, 40] {
            std::fs::write(run.join(names[1]), &whole[1][..cut]).unwrap();
            let words = ["best.safetensors: corrupt: network: expected the network with the best", "--overwrite"];
            fails(&mut fit(dir.path(), "run", &format!("{arguments} {resume}")), 4, &words);
        }
        std::fs::remove_file(run.join(names[1])).unwrap();
        fails(&mut fit(dir.path(), "run", &format!("{arguments} {resume}")), 4, &["best.safetensors", "got no file"]);
        std::fs::write(run.join(names[1]), &whole[1]).unwrap();
    }
}

/// A signal stops the batch, and the run is saved as it was before the batch.
#[test]
fn a_signal_within_a_long_batch_gives_the_batch_up() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(600, 64).write(&dir.path().join("train"), sets::learnable(1));
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    let arguments = "--epochs 1 --batch-size 600 --hidden 1536,1536 --threads 1 --quiet";
    let child = start(dir.path(), "stopped", arguments);
    wait_for("first checkpoint", || stopped.join("checkpoint.safetensors").exists());
    std::thread::sleep(Duration::from_millis(150)); // the batch takes seconds
    let killed = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.id())).status().unwrap();
    assert!(killed.success());
    let (code, stderr) = sets::outcome(&child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{stderr}");
    assert_says(&stderr, &["the run is saved in ", "stopped, before the first batch", "--resume"]);
    assert_eq!(where_is(&stopped), (0, 0));
    succeeds(&mut fit(dir.path(), "stopped", &format!("{arguments} --resume")));
    succeeds(&mut fit(dir.path(), "whole", arguments));
    assert_same(&whole, &stopped);
}

#[test]
#[cfg(target_os = "linux")]
fn a_signal_ends_every_command_with_130() {
    let dir = sets::task();
    let path = |name: &str| dir.path().join(name).display().to_string();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    // A program that reads from a pipe without a writer would wait forever.
    for (folder, pipe) in [("set", "manifest.json"), ("waits", "config.toml"), (".", "spec.toml")] {
        std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        assert!(Command::new("mkfifo").arg(dir.path().join(folder).join(pipe)).status().unwrap().success());
    }
    let commands = [
        format!("eval --model {} --data {} --device cpu", path("run"), path("set")),
        format!("compare {}", path("waits")),
        format!("sweep {} -o {}", path("spec.toml"), path("sweep")),
        "bench --random --steps 1000000 --batch-size 4 --device cpu".into(),
    ];
    for (command, signal) in commands.iter().zip(["TERM", "USR1", "INT"].into_iter().cycle()) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_tonic-train"));
        let mut child = program.args(command.split(' ')).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_for("handler of signals", || {
            assert!(child.try_wait().unwrap().is_none(), "{command} ended");
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
            u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << 9 != 0
        });
        std::thread::sleep(Duration::from_millis(50));
        let started = std::time::Instant::now();
        assert!(Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(130), "{command} {signal}: {said}");
        assert!(started.elapsed() < Duration::from_secs(2), "{command} {signal}");
        assert_says(&said, &["interrupted"]);
    }
    assert!(!dir.path().join("sweep").exists());
}
