//! Tests that faults of a set, a run folder, an argument or the disk give the right exit code and one line of text.

use std::fs::{read, write};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tonic_toolkit::shard::NO_LABEL;

use tonic_toolkit::train::gpu::Device;

use crate::sets::{self, Sample, Spec, eval, fails, fit, fit_arguments, learnable, succeeds};

#[test]
fn what_this_version_has_not_is_said_before_anything_is_made() {
    let dir = sets::task();
    let run = |others: &str| fit(dir.path(), "run", others);
    if Device::open(0).is_err() {
        for (device, words) in
            [("cuda", "--device cuda:0 is not available"), ("cuda:3", "--device cuda:3 is not available")]
        {
            fails(&mut run(&format!("--device {device}")), 2, &[words, "NVIDIA driver"]);
        }
        let told = succeeds(&mut fit(dir.path(), "auto", "--device auto --epochs 1"));
        assert!(told.contains("device   cpu: ") && told.contains("NVIDIA driver"), "{told}");
    }
    for device in ["nonsense", "cpu:0"] {
        fails(&mut run(&format!("--device {device}")), 2, &["--device", "expected auto, cpu, cuda or cuda:N", device]);
    }
    fails(&mut run("--matmul-precision low"), 2, &["--matmul-precision", "expected highest, high or medium"]);
    fails(&mut run("--device cpu --matmul-precision high"), 2, &["--matmul-precision is not available", "float32"]);
    fails(&mut run("--libtorch /nowhere"), 2, &["--libtorch", "libtorch_cpu.so", "/nowhere"]);
    fails(&mut run("--cache device"), 2, &["--cache device is not available", "--cache host"]);
    for bad in ["--cache gpu", "--batch-size 0", "--lr nan", "--hidden 8,0"] {
        let (flag, value) = bad.split_once(' ').unwrap();
        fails(&mut run(bad), 2, &[flag, value]);
    }
    fails(&mut run("--hidden 65536"), 2, &["--hidden: expected layers that can be trained in the", "GB of memory"]);
    assert!(!dir.path().join("run").exists());
    succeeds(&mut run("--device cpu --quiet"));
}

#[cfg(not(feature = "mpi"))]
#[test]
fn one_of_several_processes_is_refused_without_mpi() {
    let dir = sets::task();
    let words =
        ["4 processes (OMPI_COMM_WORLD_SIZE)", "built without MPI", "cargo build --release --features train,mpi"];
    fails(fit(dir.path(), "run", "").env("OMPI_COMM_WORLD_SIZE", "4"), 2, &words);
    assert!(!dir.path().join("run").exists());
    succeeds(fit(dir.path(), "run", "--epochs 1").env("OMPI_COMM_WORLD_SIZE", "1"));
}

#[test]
fn a_manifest_that_claims_endless_samples_is_refused_before_memory_is_taken() {
    let dir = sets::task();
    let long = dir.path().join("long");
    let mut manifest = Spec::new(9, 4).write(&long, learnable(1));
    (manifest.totals.max_frames, manifest.totals.frames) = (1 << 40, 1 << 40);
    manifest.publish(&long).unwrap();
    let words = ["expected samples that can be computed in the", "got samples of 1099511627776 frames"];
    fails(&mut fit(dir.path(), "run", "--train DIR/long"), 2, &[&["--train: "], &words[..]].concat());
    fails(&mut fit(dir.path(), "run", "--test DIR/long"), 2, &[&["--test: "], &words[..]].concat());
    assert!(!dir.path().join("run").exists());
    succeeds(&mut fit(dir.path(), "run", "--epochs 1"));
    fails(&mut eval(dir.path(), "run", "long"), 2, &[&["--data: "], &words[..]].concat());
}

#[test]
fn a_set_that_cannot_be_trained_on_is_named() {
    let dir = sets::task();
    let path = |name: &str| dir.path().join(name);
    let refused = |train: &str, code: i32, words: &[&str]| {
        let others = format!("--train DIR/{train}");
        fails(&mut fit(dir.path(), "run", &others), code, &[&[train], words].concat());
        assert!(!path("run").exists());
    };
    refused("missing", 1, &["cannot open the set", "No such file"]);
    std::fs::create_dir(path("empty-dir")).unwrap();
    refused("empty-dir", 4, &["expected a shard set", "without manifest.json"]);
    write(path("file"), b"x").unwrap();
    refused("file", 4, &["expected a shard set"]);
    drop(Spec::new(8, 4).start(&path("begun")));
    refused("begun", 4, &["incomplete", "--resume"]);
    Spec::new(80, 4).write(&path("lost"), learnable(1));
    std::fs::remove_file(path("lost/00002.shard")).unwrap();
    refused("lost", 4, &["incomplete", "00002.shard"]);
    Spec::new(80, 4).write(&path("short"), learnable(1));
    let bytes = read(path("short/00001.shard")).unwrap();
    write(path("short/00001.shard"), &bytes[..bytes.len() - 64]).unwrap();
    refused("short", 4, &["00001.shard", "file length"]);
    write(path("short/00001.shard"), b"").unwrap();
    refused("short", 4, &["00001.shard", "file length", "got 0"]);
    Spec::new(8, 4).write(&path("unlabelled"), |i| Sample { label: NO_LABEL, ..learnable(1)(i) });
    let words =
        ["expected samples, each with a label, got 0 labels, 8 samples", "; convert the recordings again, with"];
    refused("unlabelled", 2, &words);
    Spec::new(8, 4).write(&path("half"), |i| Sample { label: if i == 5 { NO_LABEL } else { 0 }, ..learnable(1)(i) });
    refused("half", 2, &["got 7 labels, 8 samples", "tonic-prep subset NEW ", "half --classes NAME"]);
    Spec::new(0, 4).write(&path("none"), learnable(1));
    refused("none", 2, &["got 0 labels, 0 samples"]);
    // Manifest and chunk agree on a label that isn't a class.
    let classes = vec!["one".to_string()];
    let mut manifest = Spec { classes, ..Spec::new(9, 4) }.write(&path("beyond"), learnable(1));
    refused("beyond", 2, &["got 3 labels, 9 samples"]);
    manifest.totals.class_samples = vec![9];
    manifest.publish(&path("beyond")).unwrap();
    let words = ["label of sample ", "expected below 1, got "];
    fails(&mut fit(dir.path(), "run", "--train DIR/beyond"), 4, &words);
}

#[test]
fn sets_that_do_not_belong_together_are_refused_with_the_field() {
    let dir = sets::task();
    let write = |name: &str, spec: Spec| spec.write(&dir.path().join(name), learnable(3));
    write("recipe", Spec { recipe: "window = 5000\n".into(), ..Spec::new(9, 4) });
    let classes = ["low", "middle", "top"].map(String::from).to_vec();
    write("classes", Spec { classes, ..Spec::new(9, 4) });
    Spec::new(9, 4).write(&dir.path().join("unlabelled"), |i| Sample { label: NO_LABEL, ..learnable(1)(i) });
    for flag in ["--valid", "--test"] {
        let run = |set: &str| fit(dir.path(), "run", &format!("{flag} DIR/{set}"));
        fails(&mut run("recipe"), 4, &["recipe differs", "expected window = 4000, got window = 5000"]);
        fails(&mut run("classes"), 4, &["classes differs", "expected low, middle, high, got low, middle, top"]);
        // The error comes before the first epoch.
        fails(&mut run("unlabelled"), 2, &["unlabelled", "each with a label"]);
        assert!(!dir.path().join("run").exists());
    }
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    fails(&mut eval(dir.path(), "run", "recipe"), 4, &["recipe differs", "window = 5000"]);
    fails(&mut eval(dir.path(), "run", "classes"), 4, &["classes differs", "low, middle, top"]);
    fails(&mut eval(dir.path(), "run", "unlabelled"), 2, &["unlabelled", "each with a label"]);
    fails(&mut eval(dir.path(), "missing", "valid"), 1, &["config.toml", "cannot read"]);
    fails(eval(dir.path(), "run", "valid").arg("--best"), 1, &["best.safetensors", "cannot read"]);
}

#[test]
fn a_damaged_chunk_is_named_by_shard_chunk_and_samples() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "good", "--epochs 1 --quiet"));
    sets::corrupt_chunk(&dir.path().join("train"), 7);
    sets::corrupt_chunk(&dir.path().join("valid"), 2);
    let words = ["train/00001.shard: corrupt: chunk 7 (samples 56 to 63)", "expected xxh3 "];
    for cache in ["host", "stream"] {
        fails(&mut fit(dir.path(), cache, &format!("--cache {cache}")), 4, &words);
        fails(&mut eval(dir.path(), "good", "valid"), 4, &["00000.shard", "chunk 2 (samples 14 to 20)"]);
    }
    // The host cache is filled first, so that the error leaves no run folder.
    assert!(!dir.path().join("host").exists());
    let before = read(dir.path().join("good/checkpoint.safetensors")).unwrap();
    fails(&mut fit(dir.path(), "good", "--overwrite --cache host"), 4, &words);
    assert!(read(dir.path().join("good/checkpoint.safetensors")).unwrap() == before, "the run that was there is lost");
    sets::corrupt_chunk(&dir.path().join("train"), 7); // Flips the same bit again, which restores the chunk.
    succeeds(&mut fit(dir.path(), "stream", "--resume --quiet"));
    succeeds(&mut fit(dir.path(), "plain", "--quiet"));
    let model = |run: &str| read(dir.path().join(run).join("model.safetensors")).unwrap();
    assert!(model("stream") == model("plain"));
}

/// Trains a run of one epoch on the sets of [`sets::task`]. Returns the folder of the sets and the run.
fn trained() -> TempDir {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    dir
}

#[test]
fn damaged_files_of_a_run_are_named() {
    let dir = trained();
    succeeds(&mut fit(dir.path(), "other", "--epochs 1 --hidden 24,15 --quiet"));
    type Damage = Box<dyn Fn(&[u8]) -> Vec<u8>>;
    let half = || -> Damage { Box::new(|bytes| bytes[..bytes.len() / 2].to_vec()) };
    let with = |content: &[u8]| -> Damage {
        let content = content.to_vec();
        Box::new(move |_| content.clone())
    };
    let others = |file: &str| with(&read(dir.path().join("other").join(file)).unwrap());
    let replaced = |from: &'static str, to: &'static str| -> Damage {
        Box::new(move |bytes| {
            let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).expect("what is to be replaced");
            [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
        })
    };
    let infinite: Damage = Box::new(|bytes| [&bytes[..bytes.len() - 2], &[0xff, 0x7f]].concat());
    let (model, config) = ("model.safetensors", "config.toml");
    let (checkpoint, metrics) = ("checkpoint.safetensors", "metrics.jsonl");
    let version = [r#"\"version\":1"#, r#"\"version\":2"#];
    for (code, file, damage, words) in [
        (4, model, half(), &["not a whole safetensors file"][..]),
        (4, model, with(b""), &[]),
        (4, model, infinite, &["NaN or infinite"]),
        (4, model, replaced("middle", "muddle"), &["classes differs", "low, muddle, high"]),
        (4, model, others(model), &["network differs", "[24, 15]"]),
        (4, config, half(), &["corrupt"]),
        (1, config, with(&[0xff, 0xfe]), &[]),
        (4, config, replaced("classes = 3", "classes = 0"), &["network"]),
        (4, config, replaced("classes = 3", "classes = 4"), &["network differs"]),
        (4, config, replaced("steps = ", "steps = 99999999999"), &["steps differs"]),
        (4, config, replaced("seed = 0", "seed = 0\nspeed = 1"), &["speed"]),
        (4, config, replaced("lr = 0.01", "lr = inf"), &["numbers: expected finite ones, got NaN or infinity"]),
        (4, checkpoint, half(), &["corrupt"]),
        (4, checkpoint, with(b""), &["corrupt"]),
        (4, checkpoint, replaced(version[0], version[1]), &["incompatible", "expected format version 1, got 2"]),
        (4, checkpoint, others(checkpoint), &["parameters", "expected F32 [763]"]),
        (4, metrics, with(b""), &["expected 1, one an epoch, got 0"]),
        (4, metrics, half(), &["line 1"]),
    ] {
        let path = dir.path().join("run").join(file);
        let whole = read(&path).unwrap();
        write(&path, damage(&whole)).unwrap();
        let mut command = match file {
            "model.safetensors" | "config.toml" => eval(dir.path(), "run", "valid"),
            _ => fit(dir.path(), "run", "--resume"),
        };
        fails(&mut command, code, &[&[file], words].concat());
        write(&path, whole).unwrap();
    }
    succeeds(&mut fit(dir.path(), "run", "--resume --quiet"));
}

#[test]
fn every_changed_byte_of_a_run_is_found() {
    let dir = sets::task();
    succeeds(&mut fit(dir.path(), "run", "--valid DIR/valid --epochs 1 --quiet"));
    let resume = |epochs| fit(dir.path(), "run", &format!("--valid DIR/valid --epochs {epochs} --resume=auto"));
    let path = |name: &str| dir.path().join("run").join(name);
    let (copy, whole_run) = ("put it back from a copy", [&path("checkpoint.safetensors"), &path("model.safetensors")]);
    let whole_run = whole_run.map(|path| read(path).unwrap());
    let eval_best = || eval(dir.path(), "run", "valid").arg("--best").output().unwrap();
    for name in ["checkpoint.safetensors", "best.safetensors", "metrics.jsonl", "model.safetensors"] {
        let whole = read(path(name)).unwrap();
        for at in [whole.len() - 3, whole.len() * 2 / 3, whole.len() / 3] {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            write(path(name), &damaged).unwrap();
            if name == "model.safetensors" {
                fails(&mut eval(dir.path(), "run", "valid"), 4, &[name, copy]);
                succeeds(&mut resume(1));
            } else {
                fails(&mut resume(1 + at % 2), 4, &[name, copy]);
                let is_best = name == "best.safetensors";
                assert_eq!(eval_best().status.code(), Some(if is_best { 4 } else { 0 }), "{name}, byte {at}");
            }
            assert!(read(path("model.safetensors")).unwrap() == whole_run[1], "{name}, byte {at}");
        }
        write(path(name), whole).unwrap();
    }
    let config = std::fs::read_to_string(path("config.toml")).unwrap();
    write(path("config.toml"), config.replace("seed = 0", "seed = 8").as_bytes()).unwrap();
    fails(&mut resume(2), 4, &["config.toml", copy]);
    fails(&mut eval(dir.path(), "run", "valid"), 4, &["config.toml", copy]);
    write(path("config.toml"), config.as_bytes()).unwrap();
    // Temporary files of a killed process are removed. Other files stay.
    for name in [".model.safetensors.tmp", ".loss.png.tmp", ".mine.tmp"] {
        write(path(name), b"half").unwrap();
    }
    succeeds(&mut resume(1));
    let left = [".model.safetensors.tmp", ".loss.png.tmp", ".mine.tmp"].map(|name| path(name).exists());
    assert_eq!(left, [false, false, true]);
    std::fs::remove_file(path("checkpoint.safetensors")).unwrap();
    fails(&mut resume(1), 4, &["checkpoint.safetensors", "no file", copy]);
    write(path("checkpoint.safetensors"), &whole_run[0]).unwrap();
    write(path("sums.json"), b"{").unwrap();
    fails(&mut resume(1), 4, &["sums.json", copy]);
    // A run of an earlier version has no checksums of its files (sums.json) before it is resumed.
    std::fs::remove_file(path("sums.json")).unwrap();
    assert!(succeeds(&mut resume(1)).contains("no sums.json"));
    assert!(!succeeds(&mut resume(1)).contains("no sums.json"));
}

#[test]
fn a_run_begins_with_its_first_checkpoint() {
    let dir = sets::task();
    let path = |name: &str| dir.path().join("run").join(name);
    let resume = |epochs: u64| fit(dir.path(), "run", &format!("--epochs {epochs} --resume=auto"));
    succeeds(&mut fit(dir.path(), "run", "--epochs 1 --quiet"));
    let model = read(path("model.safetensors")).unwrap();
    // A run that was killed before the first checkpoint has only the configuration and its checksum.
    for name in ["checkpoint.safetensors", "metrics.jsonl", "model.safetensors", "times.json", "sums.json"] {
        std::fs::remove_file(path(name)).unwrap();
    }
    let sum = blake3::hash(&read(path("config.toml")).unwrap());
    write(path("sums.json"), format!("{{\"config.toml\": \"{sum}\"}}").as_bytes()).unwrap();
    assert!(!succeeds(&mut resume(1)).contains("resume   after"));
    assert!(read(path("model.safetensors")).unwrap() == model);
    // A run of an earlier version, without sums, in its first epoch: its checkpoint is not thrown away.
    for name in ["metrics.jsonl", "sums.json"] {
        std::fs::remove_file(path(name)).unwrap();
    }
    fails(&mut resume(2), 1, &["metrics.jsonl: cannot read the metrics"]);
}

#[test]
fn a_run_folder_that_cannot_be_one_is_refused() {
    let dir = sets::task();
    write(dir.path().join("run"), b"mine").unwrap();
    fails(&mut fit(dir.path(), "run", ""), 1, &["run: cannot create the run folder"]);
    fails(&mut fit(dir.path(), "run", "--overwrite"), 1, &["run: cannot create the run folder"]);
    assert_eq!(read(dir.path().join("run")).unwrap(), b"mine");
    fails(&mut fit(dir.path(), "nothing", "--resume"), 1, &["nothing/config.toml", "cannot read"]);
    assert!(!dir.path().join("nothing").exists());
    for set in ["--overwrite", "--resume=auto", ""] {
        fails(
            &mut fit(dir.path(), "valid", set),
            2,
            &["--output: expected a folder for a run, got", "valid, which holds a shard set"],
        );
    }
    // A folder with a model but no configuration.
    std::fs::create_dir(dir.path().join("model")).unwrap();
    write(dir.path().join("model/model.safetensors"), b"mine").unwrap();
    fails(&mut fit(dir.path(), "model", ""), 2, &["exists already"]);
    assert_eq!(read(dir.path().join("model/model.safetensors")).unwrap(), b"mine");
}

#[test]
fn a_diverged_run_says_so_and_keeps_its_last_good_checkpoint() {
    let dir = sets::task();
    // Weights that overflow in training, in validation only, and in the last update.
    let potentials = "membrane potentials of hidden layer ";
    for (run, others, what) in [
        ("in-training", "--lr 1e30", potentials),
        ("in-validation", "--lr 1e37 --batch-size 1000 --valid DIR/valid", potentials),
        ("at-the-end", "--lr 1e300 --batch-size 1000", "the loss is "),
    ] {
        let words = [what, "epoch 1, batch ", "last good checkpoint is ", run, "--lr"];
        fails(&mut fit(dir.path(), run, others), 5, &words);
        let checkpoint = dir.path().join(run).join("checkpoint.safetensors");
        let before = read(&checkpoint).unwrap();
        assert!(!dir.path().join(run).join("model.safetensors").exists(), "a model that diverged");
        fails(&mut fit(dir.path(), run, &format!("{others} --resume")), 5, &words);
        assert!(read(&checkpoint).unwrap() == before);
    }
}

#[test]
fn the_smallest_and_oddest_sets_train() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let one_class = Spec { classes: vec!["all".into()], ..Spec::new(20, 6) };
    one_class.write(&path("one-class"), |i| Sample { label: 0, ..learnable(1)(i) });
    Spec::new(1, 4).write(&path("one-sample"), learnable(1));
    Spec::new(10, 4).write(&path("silent"), |i| Sample { frames: vec![vec![]], label: (i % 3) as u32 });
    Spec::new(10, 4).write(&path("one-frame"), |i| Sample { frames: vec![vec![(i as u32, 3)]], label: (i % 3) as u32 });
    for set in ["one-class", "one-sample", "silent", "one-frame"] {
        let engine = format!("--engine {} --cache stream", sets::ENGINES.last().unwrap());
        for others in ["", "--batch-size 100000 --pad batch", &engine] {
            let run = format!("run-{set}-{}", others.len());
            let line = format!("--train DIR/{set} --valid DIR/{set} --test DIR/{set} {others}");
            let json = sets::json(&mut fit(dir.path(), &run, &line));
            let last = &json["epochs"][1];
            assert!(last["train"]["loss"].is_f64() && last["samples_per_second"].is_f64(), "{json}");
            assert_eq!(json["test"]["accuracy"], last["valid"]["accuracy"]);
            assert_eq!(sets::json(&mut eval(dir.path(), &run, set)), json["test"]);
            if set == "one-class" {
                assert_eq!((&json["test"]["accuracy"], &json["test"]["loss"]), (&1.0.into(), &0.0.into()));
            }
        }
    }
}

/// Makes a command that cannot write files of more than `blocks` blocks of 512 bytes, as on a full disk.
fn fit_on_a_full_disk(dir: &Path, run: &str, others: &str, blocks: u32) -> assert_cmd::Command {
    // `ulimit -f` counts blocks of 512 bytes (POSIX).
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_tonic-train")).args(fit_arguments(dir, run, others));
    assert_cmd::Command::from_std(command)
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_to_go_on_from() {
    let dir = trained();
    let checkpoint = || read(dir.path().join("run/checkpoint.safetensors")).unwrap();
    let before = checkpoint();
    let (model, whole) = (read(dir.path().join("run/model.safetensors")).unwrap().len(), before.len());
    // First there is room for the model but not for the checkpoint, then for neither.
    for (bytes, file) in [(model * 2, "checkpoint.safetensors"), (model / 2, "model.safetensors")] {
        assert!(bytes < whole);
        let blocks = (bytes / 512) as u32;
        let words = [file, "File too large", "free some space and run again with --resume"];
        fails(&mut fit_on_a_full_disk(dir.path(), "run", "--resume --epochs 3 --quiet", blocks), 1, &words);
        assert!(checkpoint() == before, "the checkpoint has changed");
        let left = dir.path().join("run").read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let drafts: Vec<String> = left.filter(|name| name.ends_with(".tmp")).collect();
        assert!(drafts.is_empty(), "{drafts:?}");
    }
    fails(&mut fit_on_a_full_disk(dir.path(), "new", "--quiet", 0), 1, &["new/config.toml", "File too large"]);
    succeeds(&mut fit(dir.path(), "run", "--resume --epochs 3 --quiet"));
    succeeds(&mut fit(dir.path(), "whole", "--epochs 3 --quiet"));
    assert!(checkpoint() == read(dir.path().join("whole/checkpoint.safetensors")).unwrap());
}
