//! Tests of a run: it learns, writes all its files, and gives the same bits with any number of threads and
//! interruptions, and any cache.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{Batch, CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::Error;
use tonic_toolkit::train::Isa;
use tonic_toolkit::train::engine::{CpuEngine, Engine};
use tonic_toolkit::train::learner::{Pad, Padding};
use tonic_toolkit::train::network::{Model, read_model};
use tonic_toolkit::train::run::Config;

use crate::runs::{assert_same, bytes, epochs, interrupted, kill_again_and_again, wait_for, where_is};
use crate::sets::{self, Spec, assert_says, eval, fails, fit, fit_arguments, succeeds};

#[cfg(feature = "libtorch")]
#[test]
fn both_engines_learn_the_task_and_agree() {
    let dir = sets::task();
    for engine in ["fused", "reference"] {
        let arguments = format!("--valid DIR/valid --epochs 3 --engine {engine}");
        succeeds(&mut fit(dir.path(), engine, &arguments));
    }
    let [fused, reference] = ["fused", "reference"].map(|engine| epochs(&dir.path().join(engine)));
    assert_eq!((fused.len(), reference.len()), (3, 3));
    for epochs in [&fused, &reference] {
        let (first, last) = (&epochs[0], &epochs[2]);
        // Guessing reaches a third.
        assert!(last.valid.unwrap().accuracy > 0.7, "{epochs:?}");
        assert!(last.train.loss < first.train.loss * 0.8, "{epochs:?}");
    }
    let (ours, theirs) = (&fused[0], &reference[0]);
    assert!((ours.train.loss - theirs.train.loss).abs() < 1e-3 * theirs.train.loss, "{ours:?} {theirs:?}");
    assert!((ours.train.accuracy - theirs.train.accuracy).abs() < 0.02, "{ours:?} {theirs:?}");
}

#[test]
fn a_run_folder_holds_what_the_readme_promises() {
    let dir = sets::task();
    let stderr = succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --test DIR/valid --epochs 2"));
    for set in ["train", "valid", "test"] {
        assert_says(&stderr, &[&format!("cache    {set}  host: its ")]);
    }
    assert_says(&stderr, &["network  12-24-16-3, ", "epoch 1/2  loss ", "batches/s", "samples/s"]);
    let run = dir.path().join("run");
    let mut names: Vec<String> =
        run.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = "accuracy.png accuracy.svg best.safetensors checkpoint.safetensors config.toml loss.png loss.svg \
                    metrics.jsonl model.safetensors sets.toml sums.json test.json times.json";
    assert_eq!(names.join(" "), expected);
    for name in ["accuracy", "loss"] {
        let png = bytes(&run, &format!("{name}.png"));
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.len() > 5000, "{} bytes", png.len());
        let svg = String::from_utf8(bytes(&run, &format!("{name}.svg"))).unwrap();
        assert!(svg.contains("<svg") && svg.contains("validation") && svg.trim_end().ends_with("</svg>"));
    }
    let config = Config::read(&run).unwrap();
    assert_eq!((config.epochs, config.batch_size, config.seed, config.lr), (2, 16, 0, 0.01));
    assert_eq!(config.network.hidden, [24, 16]);
    let set = ShardSet::open(&dir.path().join("train")).unwrap();
    assert_eq!(config.data.set_id, set.manifest().set_id.to_string());
    assert_eq!(config.steps as u64, set.manifest().totals.max_frames);
    let model = read_model(&run.join("model.safetensors")).unwrap();
    assert_eq!((model.classes, model.steps), (config.data.class_names, config.steps));

    // One value of --hidden gives three layers, as in the reference network. T is the recipe's frame limit instead of
    // the longest sample.
    let limited = Spec { frame_limit: Some(33), ..Spec::new(20, 8) };
    limited.write(&dir.path().join("limited"), sets::learnable(1));
    succeeds(&mut fit(dir.path(), "three", "--train DIR/limited --hidden 8 --epochs 1 --quiet"));
    let config = Config::read(&dir.path().join("three")).unwrap();
    assert_eq!((config.network.hidden, config.steps), (vec![8; 3], 33));
    assert!(!dir.path().join("three/best.safetensors").exists());
}

#[test]
fn a_run_comes_to_the_same_bits_whatever_the_threads_and_the_cache() {
    let dir = sets::task();
    let run = |name: &str, others: &str| {
        succeeds(&mut fit(dir.path(), name, &format!("--valid DIR/valid --epochs 2 --quiet {others}")));
        dir.path().join(name)
    };
    let first = run("first", "");
    for (name, others) in
        [("again", ""), ("one", "--threads 1 --cache stream"), ("many", "--threads 8 --cache stream --pin")]
    {
        let run = run(name, others);
        assert_same(&first, &run);
        assert_eq!(bytes(&first, "best.safetensors"), bytes(&run, "best.safetensors"));
    }
    let other = run("other", "--seed 1");
    assert_ne!(bytes(&first, "model.safetensors"), bytes(&other, "model.safetensors"));
}

#[test]
fn a_run_comes_to_the_same_bits_on_every_instruction_set() {
    let dir = sets::task();
    let named = |run: &str, name: &str| {
        let mut command = fit(dir.path(), run, "--valid DIR/valid --epochs 2 --quiet");
        command.env("TONIC_ISA", name);
        command
    };
    succeeds(&mut named("best", ""));
    assert_eq!(Isa::available()[0].name(), "portable");
    for isa in Isa::available() {
        succeeds(&mut named(isa.name(), isa.name()));
        assert_same(&dir.path().join("best"), &dir.path().join(isa.name()));
    }
    fails(&mut named("none", "sse9"), 2, &["TONIC_ISA", "portable", "got sse9"]);
}

/// Starts a fit as a child process, and doesn't wait for it. Its stderr is a pipe that is read after the process has
/// ended.
pub(crate) fn start(dir: &Path, run: &str, others: &str) -> Child {
    start_on("", dir, run, others)
}

/// Like [`start`], with the SIMD instruction set `isa`.
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
    let arguments = "--valid DIR/valid --epochs 4 --batch-size 2 --quiet";
    succeeds(&mut fit(dir.path(), "whole", arguments));

    let resumed = format!("{arguments} --resume");
    let begin = |resume| start(dir.path(), "stopped", if resume { &resumed } else { arguments });
    assert_says(&interrupted(begin, &stopped, Duration::from_millis(60)), &["--resume", "stopped"]);
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

/// The validation set and the test set must stay the same, so that all epochs are compared on the same samples.
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

    // A run of an earlier version has no ids and no sums. That it was validated is known from its metrics.
    let old: String = String::from_utf8(before)
        .unwrap()
        .lines()
        .filter(|line| !line.contains("_set_id"))
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(dir.path().join("run/config.toml"), old).unwrap();
    std::fs::remove_file(dir.path().join("run/sums.json")).unwrap();
    fails(&mut run("--epochs 2 --resume"), 4, &["valid differs from", "metrics.jsonl", "got none"]);
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid"));
    assert_says(&said, &["valid    an earlier version began the run"]);
    assert_eq!(config().data.valid_set_id, None);

    // A run without validation gets it with a note, and then keeps it.
    succeeds(&mut run("--epochs 1 --quiet --overwrite"));
    let said = succeeds(&mut run("--epochs 2 --resume --valid DIR/valid"));
    assert_says(&said, &["valid    the run had no validation set", "from epoch 2 on"]);
    assert_eq!(config().data.valid_set_id, Some(id));
    fails(&mut run("--epochs 3 --resume --valid DIR/train"), 4, &["train: valid differs from"]);
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

/// Tests a signal during a batch that takes seconds. The batch is given up, and the run is saved as it was before the
/// batch.
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
fn an_evaluation_says_what_the_run_said() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 4 --quiet"));
    let run = dir.path().join("run");
    let epochs = epochs(&run);
    let valid: Vec<_> = epochs.iter().map(|e| e.valid.unwrap()).collect();
    // The first of the epochs with the best accuracy; it may be the last epoch.
    let best = valid.iter().copied().reduce(|a, b| if b.accuracy > a.accuracy { b } else { a }).unwrap();
    for (best, expected) in [(false, valid[3]), (true, best)] {
        let mut command = eval(dir.path(), "run", "valid");
        let json = sets::json(command.args(best.then_some("--best")));
        assert_eq!(json["accuracy"].as_f64(), Some(expected.accuracy));
        assert_eq!(json["loss"].as_f64(), Some(expected.loss));
        assert_eq!(json["samples"], 60);
        let (classes, confusion) = (json["classes"].as_array().unwrap(), &json["confusion"]);
        let count = |i: usize, j: usize| confusion[i][j].as_u64().unwrap();
        let right: u64 = (0..3).map(|i| count(i, i)).sum();
        assert_eq!(right as f64 / 60.0, expected.accuracy);
        for (i, class) in classes.iter().enumerate() {
            let taken: u64 = (0..3).map(|j| count(j, i)).sum();
            assert_eq!(
                (class["name"].as_str().unwrap(), &class["samples"]),
                (["low", "middle", "high"][i], &20.into())
            );
            assert_eq!(class["recall"].as_f64(), Some(count(i, i) as f64 / 20.0));
            assert_eq!(
                class["precision"].as_f64(),
                Some(if taken == 0 { 0.0 } else { count(i, i) as f64 / taken as f64 })
            );
        }
    }
    assert!(bytes(&run, "confusion.png").starts_with(b"\x89PNG") && bytes(&run, "confusion.png").len() > 5000);

    let mut command = eval(dir.path(), "run", "train");
    let output = command.arg("--png").arg(dir.path().join("elsewhere.png")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_says(&text, &["accuracy ", "(120 samples)", "recall", "middle ", "elsewhere.png"]);
    assert!(bytes(dir.path(), "elsewhere.png").starts_with(b"\x89PNG"));

    // A run folder without room for the picture, such as one that only its owner may write to.
    std::fs::remove_file(run.join("confusion.png")).unwrap();
    std::fs::create_dir(run.join("confusion.png")).unwrap();
    let output = eval(dir.path(), "run", "train").output().unwrap();
    let (text, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && !text.contains("confusion matrix:"), "{text}");
    assert_says(&text, &["accuracy ", "(120 samples)"]);
    assert_says(&said, &["warning: no confusion matrix: ", "confusion.png", "--png FILE"]);
    fails(eval(dir.path(), "run", "train").arg("--png").arg(run.join("confusion.png")), 1, &["confusion.png"]);
}

fn logits(loader: &Loader, model: &Model, pad: Pad, batch_size: usize) -> Vec<f32> {
    let mut engine = CpuEngine::new(&model.network);
    let padding = Padding { pad, steps: model.steps };
    let mut logits = Vec::new();
    let each = |batch: &Batch| {
        logits.extend_from_slice(engine.forward(&model.network, batch, padding.of_batch(batch.longest()))?);
        Ok::<_, Error>(true)
    };
    loader.epoch(EpochOrder::Sequential, batch_size, 0, each).unwrap();
    logits
}

#[test]
fn a_samples_result_depends_on_its_batch_only_where_that_is_asked_for() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "fixed", "--epochs 2 --quiet"));
    succeeds(&mut fit(dir.path(), "batch", "--epochs 2 --quiet --pad batch"));
    let [fixed, batch] = ["fixed", "batch"].map(|run| dir.path().join(run));
    assert_ne!(bytes(&fixed, "model.safetensors"), bytes(&batch, "model.safetensors"));
    assert_eq!(Config::read(&batch).unwrap().pad, Pad::Batch);
    let model = read_model(&fixed.join("model.safetensors")).unwrap();
    let set = ShardSet::open(&dir.path().join("train")).unwrap();
    let loader = Loader::new(set, CacheChoice::Host, Verbosity::Quiet).unwrap();
    let alone = logits(&loader, &model, Pad::Fixed, 1);
    assert_eq!(alone, logits(&loader, &model, Pad::Fixed, 7));
    assert_eq!(alone, logits(&loader, &model, Pad::Fixed, 120));
    // One batch of all samples is padded to the longest sample, as Pad::Fixed pads.
    assert_eq!(alone, logits(&loader, &model, Pad::Batch, 120));
    assert_ne!(alone, logits(&loader, &model, Pad::Batch, 1));
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
