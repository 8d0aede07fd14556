//! Tests of `fit --options`, `sweep` and `compare`.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

use crate::runs::{assert_same, bytes};
use crate::sets::{self, Spec, assert_says, fails, fit, json, learnable, succeeds, train};

/// Writes `text` to the file `name` in `dir`. DIR in `text` stands for the path of `dir`.
fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text.replace("DIR", dir.to_str().unwrap())).unwrap();
}

/// Returns a command that runs the program in the folder `dir` with these arguments.
fn program(dir: &Path, arguments: &str) -> Command {
    let mut command = train();
    command.current_dir(dir).args(arguments.split_whitespace());
    command
}

#[test]
fn a_file_of_options_gives_the_run_that_flags_give() {
    let dir = sets::task();
    let path = dir.path();
    succeeds(&mut fit(path, "typed", "--valid DIR/valid --hidden 24, --seed 7 --drop-last --theta 0.5 --quiet"));
    let text = "train = \"train\"\nvalid = \"valid\"\nhidden = [24]\nbatch_size = 16\nlr = 1e-2\nseed = 3\ntheta = 0.5\n\
                drop-last = true\ndevice = \"cpu\"\nepochs = 2\noutput = \"nowhere\"\nresume = \"auto\"\nquiet = true\n";
    write(path, "fit.toml", text);
    // Options of the command line replace options of the file, even if the two exclude each other.
    succeeds(&mut program(path, "fit --options fit.toml -o file --seed 7 --overwrite --threads 1"));
    assert_same(&path.join("typed"), &path.join("file"));
    assert_eq!(bytes(&path.join("typed"), "config.toml"), bytes(&path.join("file"), "config.toml"));
    assert!(!path.join("nowhere").exists());
}

#[test]
fn a_file_of_options_is_refused_with_the_key_and_the_value() {
    let dir = sets::task();
    for (text, words) in [
        (
            "lrr = 1",
            &["fit.toml: line 1: lrr: expected a flag of fit (train, ", "batch-size", "got an unknown one"][..],
        ),
        ("options = \"x\"", &["fit.toml: line 1: options: expected a flag of fit"]),
        ("help = true", &["fit.toml: line 1: help: expected a flag of fit"]),
        ("[other]\nlr = 1", &["fit.toml: line 1: other: expected a flag of fit"]),
        ("lr = 0", &["fit.toml: line 1: lr: expected a positive number, got 0"]),
        ("lr = \"x\"", &["fit.toml: line 1: lr: expected a positive number, got \"x\""]),
        ("lr = [0.1]", &["fit.toml: line 1: lr: expected a positive number, got [0.1]"]),
        ("lr = true", &["fit.toml: line 1: lr: expected a number, a text, or a list of them, got true"]),
        ("lr = 2026-01-01", &["fit.toml: line 1: lr: expected a number, a text, or a list of them, got 2026-01-01"]),
        (
            "hidden = [[8], [8]]",
            &["fit.toml: line 1: hidden: expected a number, a text, or a list of them, got [[8], [8]]"],
        ),
        ("hidden = []", &["fit.toml: line 1: hidden: expected layers of 1 to 65536 neurons", "got []"]),
        ("epochs = 0", &["fit.toml: line 1: epochs: expected a value of --epochs (0 is not in 1..", "got 0"]),
        ("batch_size = 1.5", &["fit.toml: line 1: batch-size: expected 1 to 1048576 samples, got 1.5"]),
        ("drop-last = 1", &["fit.toml: line 1: drop-last: expected true or false, got 1"]),
        ("pad = \"none\"", &["fit.toml: line 1: pad: expected fixed or batch, got \"none\""]),
        (
            "drop-last = true\ndrop_last = true",
            &["fit.toml: line 2: drop_last: expected it once, got it with - and with _"],
        ),
        ("lr = 1\nlr =", &["fit.toml: line 2: expected TOML, such as seed = 1"]),
        (
            "train = \"train\"\noverwrite = true\nresume = true",
            &["fit.toml: line 2: overwrite: expected options that go together"],
        ),
        ("lr = 1", &["--train: expected the training set, from the flag or from the file of --options, got none"]),
    ] {
        write(dir.path(), "fit.toml", text);
        fails(&mut program(dir.path(), "fit --options fit.toml -o run"), 2, words);
        assert!(!dir.path().join("run").exists(), "{text}");
    }
    write(dir.path(), "fit.toml", "train = \"train\"");
    fails(&mut program(dir.path(), "fit --options fit.toml"), 2, &["--output: expected the run folder"]);
    fails(&mut program(dir.path(), "fit --options none.toml -o run"), 1, &["none.toml: cannot read the options"]);
}

const PLAIN: &str = "train = \"train\"\nvalid = \"valid\"\ntest = \"valid\"\ndevice = \"cpu\"\nepochs = 2\n\
                     batch-size = 16\nquiet = true\n";

/// Makes a sweep of two learning rates and two seeds, and trains it with the command line that `sweep` prints.
fn trained_sweep() -> TempDir {
    let dir = sets::task();
    let path = dir.path();
    write(path, "sweep.toml", &format!("{PLAIN}[vary]\nlr = [1e-2, 0.002]\nhidden = [[8, 8]]\nseed = [2, 1]\n"));
    let said = json(&mut program(path, "sweep sweep.toml -o my'sweep"));
    let names = ["001-lr0.01-hidden8x8-seed2", "002-lr0.01-hidden8x8-seed1"];
    let others = ["003-lr0.002-hidden8x8-seed2", "004-lr0.002-hidden8x8-seed1"];
    assert_eq!(said["runs"], serde_json::json!([names, others].concat()));
    assert_eq!(said["sbatch"], "sbatch --array=1-4 scripts/cluster/fit.sbatch --sweep 'my'\\''sweep'");
    assert_eq!(said["written"], true);
    let line = said["without_slurm"].as_str().unwrap();
    let program = env!("CARGO_BIN_EXE_tonic-train");
    // A task of the array trains the run of its line. The command without Slurm trains the other runs.
    let mut task = Command::new("bash");
    task.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/cluster/fit.sbatch")).args(["--sweep", "my'sweep"]);
    task.envs([("SLURM_JOB_ID", "1"), ("SLURM_ARRAY_TASK_ID", "3"), ("TONIC_TRAIN", program)]).current_dir(path);
    succeeds(&mut task);
    let trained = |name: &str| path.join("my'sweep").join(name).join("test.json").exists();
    assert!(trained(others[0]) && !trained(names[0]) && !trained(others[1]));
    let bin = Path::new(program).parent().unwrap();
    let paths =
        std::env::join_paths([bin.into()].into_iter().chain(std::env::split_paths(&std::env::var("PATH").unwrap())));
    let mut shell = Command::new("sh");
    succeeds(shell.args(["-c", line]).current_dir(path).env("PATH", paths.unwrap()));
    dir
}

#[test]
fn a_sweep_is_written_once_and_its_line_trains_all_runs() {
    let dir = trained_sweep();
    let sweep = dir.path().join("my'sweep");
    let text = |name: &str| std::fs::read_to_string(sweep.join(name)).unwrap();
    let lines: Vec<String> = text("runs.txt").lines().map(String::from).collect();
    assert_eq!((lines.len(), lines[2].as_str()), (4, "my'sweep/003-lr0.002-hidden8x8-seed2"));
    let options = text("003-lr0.002-hidden8x8-seed2/fit.toml");
    assert_eq!(options, format!("{PLAIN}lr = 0.002\nhidden = [8, 8]\nseed = 2\n"));
    succeeds(&mut fit(dir.path(), "alone", "--valid DIR/valid --lr 0.002 --hidden 8,8 --seed 2 --quiet"));
    assert_same(&dir.path().join("alone"), &sweep.join("003-lr0.002-hidden8x8-seed2"));

    // The same sweep changes nothing, also under another path; a part that is missing after a kill comes back.
    let again =
        |output: &str| json(&mut program(dir.path(), &format!("sweep sweep.toml -o {output}")))["written"].clone();
    assert_eq!(again(sweep.to_str().unwrap()), false);
    for gone in ["runs.txt", "004-lr0.002-hidden8x8-seed1/fit.toml"] {
        std::fs::remove_file(sweep.join(gone)).unwrap();
    }
    assert_eq!(again("my'sweep"), true);
    assert_eq!(text("runs.txt").lines().collect::<Vec<_>>(), lines);
    let before = text("runs.txt");
    for (spec, words) in [
        ("[vary]\nlr = [0.01, 0.002]\nhidden = [[8, 8]]\nseed = [2, 3]\n", "a sweep with other runs"),
        ("theta = 2\n[vary]\nlr = [0.01, 0.002]\nhidden = [[8, 8]]\nseed = [2, 1]\n", "other options than the sweep"),
    ] {
        write(dir.path(), "other.toml", &format!("{PLAIN}{spec}"));
        fails(&mut program(dir.path(), "sweep other.toml -o my'sweep"), 2, &[words, "name another output"]);
    }
    assert_eq!(text("runs.txt"), before);
    fails(&mut program(dir.path(), "sweep sweep.toml -o train"), 2, &["the folder of a new sweep has to be empty"]);
}

#[test]
fn a_sweep_is_checked_before_anything_is_written() {
    let dir = sets::task();
    let many: Vec<u32> = (1..=101).collect();
    for (spec, code, words) in [
        ("train = \"train\"\n", 2, "s.toml: [vary]: expected a table of lists, such as seed = [1, 2, 3], got none"),
        ("train = \"train\"\nvary = 1\n", 2, "s.toml: [vary]: expected a table of lists"),
        ("train = \"train\"\n[vary]\nseed = []\n", 2, "s.toml: line 3: vary.seed: expected a list of values, got []"),
        ("train = \"train\"\n[vary]\nseed = 1\n", 2, "s.toml: line 3: vary.seed: expected a list of values, got 1"),
        (
            "train = \"train\"\n[vary]\nseed = [1, 1]\n",
            2,
            "s.toml: line 3: vary.seed: expected values that differ, got 1 twice",
        ),
        ("train = \"train\"\nseed = 1\n[vary]\nseed = [1]\n", 2, "s.toml: line 4: vary.seed: expected it once"),
        ("train = \"train\"\n[vary]\nlr = [1, 0]\n", 2, "s.toml: line 3: lr: expected a positive number, got 0"),
        ("train = \"train\"\n[vary]\nlrr = [1]\n", 2, "s.toml: line 3: lrr: expected a flag of fit"),
        ("train = \"train\"\noutput = \"x\"\n[vary]\nseed = [1]\n", 2, "s.toml: line 2: output: expected no such key"),
        ("[vary]\nseed = [1]\n", 2, "s.toml: train: expected the folder of the training set, got none"),
        ("[vary]\ntrain = [\"train\", \"none\"]\n", 1, "s.toml: run 002-trainnone: none: cannot open the set"),
        (
            "train = \"train\"\ndrop-last = true\n[vary]\nbatch-size = [9, 999]\n",
            2,
            "run 002-batch-size999: drop_last: ",
        ),
        ("train = \"train\"\n[vary]\nseed = MANY\nepochs = MANY\n", 2, "10,000 combinations or fewer, got 101 x 101"),
    ] {
        write(dir.path(), "s.toml", &spec.replace("MANY", &format!("{many:?}")));
        fails(&mut program(dir.path(), "sweep s.toml -o new"), code, &[words]);
        assert!(!dir.path().join("new").exists(), "{spec}");
    }
    // Paths and long texts make names of folders too.
    write(dir.path(), "s.toml", "[vary]\ntrain = [\"./train\"]\nlibtorch = [\"ä b/c*\"]\n");
    let said = json(&mut program(dir.path(), "sweep s.toml -o new"));
    assert_eq!(said["runs"], serde_json::json!(["001-train._train-libtorch__b_c_"]));
}

#[test]
fn one_layer_and_three_have_different_names_and_too_many_tasks_are_said() {
    let dir = sets::task();
    write(dir.path(), "s.toml", "train = \"train\"\n[vary]\nhidden = [[16], 16]\n");
    let said = json(&mut program(dir.path(), "sweep s.toml -o few"));
    assert_eq!(said["runs"], serde_json::json!(["001-hidden16x", "002-hidden16"]));
    assert_eq!(said.get("note"), None);
    let seeds = |count: u32| format!("train = \"train\"\n[vary]\nseed = {:?}\n", (1..=count).collect::<Vec<_>>());
    write(dir.path(), "s.toml", &seeds(1001));
    let said = json(&mut program(dir.path(), "sweep s.toml -o many"));
    assert_says(said["note"].as_str().unwrap(), &["1001 tasks are more than Slurm's default MaxArraySize of 1001"]);
    write(dir.path(), "s.toml", &seeds(1000));
    assert_eq!(json(&mut program(dir.path(), "sweep s.toml -o most")).get("note"), None);
}

/// Returns the run whose name contains `part`, from the JSON of `compare`.
fn run<'a>(said: &'a Value, part: &str) -> &'a Value {
    let mut runs = said["runs"].as_array().unwrap().iter();
    runs.find(|run| run["name"].as_str().unwrap().contains(part)).unwrap()
}

#[test]
fn runs_are_compared_with_means_over_seeds() {
    let dir = trained_sweep();
    let path = dir.path();
    let said = json(&mut program(path, "compare my'sweep --csv runs.csv --png runs.png"));
    assert_eq!(said["differing"], serde_json::json!(["lr", "seed"]));
    let third = run(&said, "003");
    let lines = std::fs::read_to_string(path.join("my'sweep/003-lr0.002-hidden8x8-seed2/metrics.jsonl")).unwrap();
    let epochs: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let accuracy = |i: usize| epochs[i]["valid"]["accuracy"].as_f64().unwrap();
    let best = if accuracy(1) > accuracy(0) { 1 } else { 0 };
    assert_eq!(third["best"]["epoch"], best + 1);
    assert_eq!(third["best"]["loss"], epochs[best]["valid"]["loss"]);
    assert_eq!(third["last_train"], epochs[1]["train"]);
    let seconds = |epoch: &Value| epoch["seconds"].as_f64().unwrap();
    let trained = epochs.iter().map(seconds).sum::<f64>();
    assert!(third["seconds"].as_f64().unwrap() > trained, "with loading, validation and test");
    assert_eq!(third["epochs_of_training_time"], 0);
    assert_eq!((&third["state"], &third["epochs_done"], &third["group"]), (&"finished".into(), &2.into(), &2.into()));
    let test = |part: &str| run(&said, part)["test"]["accuracy"].as_f64().unwrap();
    let group = &said["groups"][0];
    assert_eq!(group["settings"], serde_json::json!({"lr": 0.01}));
    let (a, b) = (test("001"), test("002"));
    assert_eq!(group["test_accuracy"]["n"], 2);
    assert!((group["test_accuracy"]["mean"].as_f64().unwrap() - (a + b) / 2.0).abs() < 1e-12);
    assert!((group["test_accuracy"]["sd"].as_f64().unwrap() - (a - b).abs() / 2.0_f64.sqrt()).abs() < 1e-12);
    let csv = std::fs::read_to_string(path.join("runs.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.lines().all(|line| line.split("\"[8,8]\"").map(|part| part.matches(',').count()).sum::<usize>() == 56));
    assert!(bytes(path, "runs.png").len() > 20_000);
    let text = program(path, "compare my'sweep").output().unwrap().stdout;
    assert_says(&String::from_utf8(text).unwrap(), &["valid acc", "2/2", "lr 0.01  ", " ± ", "(n 2)"]);

    // A run of an earlier version.
    let folder = path.join("my'sweep/003-lr0.002-hidden8x8-seed2");
    std::fs::remove_file(folder.join("times.json")).unwrap();
    let said = json(&mut program(path, "compare my'sweep"));
    let third = run(&said, "003");
    assert_eq!(third["seconds"].as_f64().unwrap(), trained);
    assert_eq!(third["epochs_of_training_time"], 2);
    assert_eq!(third["notes"], serde_json::json!(["time of training alone"]));
    // The times of all processes of a run are added.
    std::fs::write(
        folder.join("times.json"),
        "[{\"epochs_before\":1,\"seconds\":7},{\"epochs_before\":1,\"seconds\":5}]",
    )
    .unwrap();
    let third = run(&json(&mut program(path, "compare my'sweep")), "003").clone();
    assert!((third["seconds"].as_f64().unwrap() - seconds(&epochs[0]) - 12.0).abs() < 1e-9);
    assert_eq!(third["notes"], serde_json::json!(["of 1 of 2 epochs, time of training alone"]));
}

#[test]
fn runs_that_do_not_fit_together_are_marked() {
    let dir = trained_sweep();
    let path = dir.path();
    let sweep = path.join("my'sweep");
    Spec::new(90, 8).write(&path.join("other"), learnable(5));
    let spec = Spec { classes: ["a", "b", "c"].map(String::from).to_vec(), ..Spec::new(60, 8) };
    spec.write(&path.join("renamed"), learnable(1));
    let same = "--hidden 8,8 --lr 0.002 --quiet";
    succeeds(&mut fit(path, "else", &format!("--train DIR/other --valid DIR/valid --test DIR/other {same}")));
    succeeds(&mut fit(path, "renamed_run", &format!("--train DIR/renamed --seed 2 {same}")));
    // A copy of the third run; the second is unfinished, the first has not begun.
    let copy = |from: &Path, to: &str| {
        std::fs::create_dir(path.join(to)).unwrap();
        for name in ["config.toml", "metrics.jsonl", "test.json", "model.safetensors", "best.safetensors"] {
            std::fs::copy(from.join(name), path.join(to).join(name)).unwrap();
        }
    };
    copy(&sweep.join("003-lr0.002-hidden8x8-seed2"), "copy");
    let first = sweep.join("001-lr0.01-hidden8x8-seed2");
    for file in first.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if !file.ends_with("fit.toml") {
            std::fs::remove_file(file).unwrap();
        }
    }
    let metrics = sweep.join("002-lr0.01-hidden8x8-seed1/metrics.jsonl");
    let first = std::fs::read_to_string(&metrics).unwrap().lines().next().unwrap().to_string();
    std::fs::write(&metrics, first + "\n").unwrap();
    std::fs::remove_file(metrics.with_file_name("sums.json")).unwrap();
    let said = json(&mut program(path, "compare my'sweep my'sweep/003-lr0.002-hidden8x8-seed2 copy else renamed_run"));
    assert_eq!(said["runs"].as_array().unwrap().len(), 7, "a run that is named twice counts once");
    assert_eq!(run(&said, "001")["state"], "not_started");
    let second = run(&said, "002");
    assert_eq!((&second["state"], &second["epochs_done"]), (&"unfinished".into(), &1.into()));
    assert_eq!(run(&said, "copy")["repeats"], "my'sweep/003-lr0.002-hidden8x8-seed2");
    let group = |part: &str| &said["groups"][run(&said, part)["group"].as_u64().unwrap() as usize - 1];
    assert_eq!((&group("002")["valid_accuracy"], &group("003")["test_accuracy"]["n"]), (&Value::Null, &2.into()));
    assert_eq!(group("else")["runs"], serde_json::json!(["else"]), "another training set, another group");
    assert_eq!(run(&said, "renamed_run")["notes"], serde_json::json!(["no validation", "no test"]));
    let warnings = said["warnings"].to_string();
    for words in
        ["trained on 3 different sets", "different classes", "tested on 2 different sets, of 60 and 90 samples"]
    {
        assert!(warnings.contains(words), "{warnings}");
    }
    let text = String::from_utf8(program(path, "compare my'sweep copy else").output().unwrap().stdout).unwrap();
    assert_says(
        &text,
        &["set id", "not started", "1/2", "unfinished", "repeats my'sweep/003", "warning: the runs were"],
    );
    succeeds(&mut program(path, "compare renamed_run --png x.png")); // training curves
    assert!(bytes(path, "x.png").len() > 10_000);
    let line = format!("compare {} --png x.png", "my'sweep/001-lr0.01-hidden8x8-seed2");
    fails(&mut program(path, &line), 2, &["--png: expected runs with a finished epoch"]);
}

#[test]
fn a_damaged_run_is_named_and_the_others_are_shown() {
    let dir = trained_sweep();
    let path = dir.path();
    let folder = path.join("my'sweep/001-lr0.01-hidden8x8-seed2");
    let metrics = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
    let test = std::fs::read_to_string(folder.join("test.json")).unwrap();
    let second = metrics.lines().nth(1).unwrap().to_string();
    for (name, text, words) in [
        ("metrics.jsonl", second.as_str(), "metrics.jsonl: corrupt: line 1: expected epoch 1, got 2"),
        ("metrics.jsonl", &metrics[..metrics.len() - 9], "metrics.jsonl: corrupt: line 2: expected an epoch's metrics"),
        ("config.toml", "seed = 1", "config.toml: corrupt: TOML: expected a run's configuration"),
        ("test.json", &test.replace("\"low\"", "\"x\""), "test.json: corrupt: classes: expected those of config.toml"),
        ("test.json", "{}", "test.json: corrupt: JSON: expected an evaluation"),
        ("test.json", &test.replace("\"loss\":", "\"loss\":1"), "test.json: corrupt: blake3: expected"),
        ("metrics.jsonl", &metrics.replace("\"loss\":", "\"loss\":1"), "metrics.jsonl: corrupt: blake3: expected"),
        ("metrics.jsonl", metrics.lines().next().unwrap(), "metrics.jsonl: corrupt: blake3: expected"),
        ("config.toml", &config.replace("lr = 0", "lr = 1"), "config.toml: corrupt: blake3: expected"),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
        let output = program(path, "compare my'sweep").output().unwrap();
        let (table, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(4), "{stderr}");
        assert_says(&stderr, &["1 of 4 runs cannot be read"]);
        assert_says(&table, &[words, "damaged; ", "004-lr0.002-hidden8x8-seed1"]);
        for (name, text) in [("metrics.jsonl", &metrics), ("config.toml", &config), ("test.json", &test)] {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    for name in ["config.toml", "model.safetensors", "best.safetensors"] {
        let file = std::fs::read(folder.join(name)).unwrap();
        std::fs::remove_file(folder.join(name)).unwrap();
        let output = program(path, "compare my'sweep").output().unwrap();
        assert_eq!(output.status.code(), Some(4));
        assert_says(&String::from_utf8(output.stdout).unwrap(), &["damaged; ", name]);
        if name != "config.toml" {
            std::fs::write(folder.join(name), &file[..file.len() / 2]).unwrap();
            let table = program(path, "compare my'sweep").output().unwrap().stdout;
            assert_says(&String::from_utf8(table).unwrap(), &["damaged; ", name, "not a whole safetensors file"]);
        }
        std::fs::write(folder.join(name), file).unwrap();
    }
    let times = std::fs::read(folder.join("times.json")).unwrap();
    for text in ["[", r#"[{"epochs_before":0,"seconds":-1.0}]"#] {
        std::fs::write(folder.join("times.json"), text).unwrap();
        let table = String::from_utf8(program(path, "compare my'sweep").output().unwrap().stdout).unwrap();
        assert_says(&table, &["times.json: corrupt", "time of training alone"]);
    }
    std::fs::write(folder.join("times.json"), times).unwrap();
    fails(&mut program(path, "compare none"), 1, &["none: cannot read the run", "check the path"]);
    fails(&mut program(path, "compare train"), 2, &["train: expected the folder of a run or of a sweep"]);
}

#[test]
fn the_example_is_a_sweep() {
    let dir = sets::task();
    std::fs::create_dir(dir.path().join("shards")).unwrap();
    for (set, name) in [("train", "train"), ("valid", "valid"), ("valid", "test")] {
        std::os::unix::fs::symlink(dir.path().join(set), dir.path().join("shards").join(name)).unwrap();
    }
    write(dir.path(), "sweep.toml", include_str!("../../scripts/cluster/sweep.toml"));
    let said = json(&mut program(dir.path(), "sweep sweep.toml -o sweep"));
    assert_eq!(said["runs"].as_array().unwrap().len(), 12);
}
