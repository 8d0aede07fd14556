//! Helpers for the tests of loading and training: small shard sets, and the trainer as a child process.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use assert_cmd::Command;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;
use tonic_toolkit::shard::{
    Chunk, Column, Encoder, Existing, FLAG_EMPTY, FrameShape, Ledger, Manifest, Origin, OutputDir, SetDescription,
    SetWriter, ShardSet, SparseFrames, Tool, Width, Widths,
};

/// Values of --engine that this build supports.
pub(crate) const ENGINES: &[&str] = if cfg!(feature = "libtorch") { &["fused", "reference"] } else { &["fused"] };

/// Number of cells in a frame of most sets.
pub(crate) const CHANNELS: u32 = 12;

/// A sample: the label, and for each frame its occupied cells as pairs (cell, count).
pub(crate) struct Sample {
    pub frames: Vec<Vec<(u32, u32)>>,
    pub label: u32,
}

#[derive(Clone)]
pub(crate) struct Spec {
    pub samples: u64,
    pub chunk_samples: u32,
    pub shard_chunks: u32,
    pub classes: Vec<String>,
    pub recipe: String,
    pub frame_limit: Option<u64>,
    pub channels: u32,
    pub counts: Width,
}

impl Spec {
    /// Describes a set of `samples` samples in chunks of `chunk_samples`, with three classes.
    pub(crate) fn new(samples: u64, chunk_samples: u32) -> Spec {
        let classes = ["low", "middle", "high"].map(String::from).to_vec();
        let recipe = "window = 4000\n".into();
        let (channels, counts) = (CHANNELS, Width::U16);
        Spec { samples, chunk_samples, shard_chunks: 5, classes, recipe, frame_limit: None, channels, counts }
    }

    /// Writes the set to `dir`. `sample(i)` is the sample with the index i.
    pub(crate) fn write(&self, dir: &Path, sample: impl Fn(u64) -> Sample) -> Manifest {
        let mut writer = self.start(dir);
        let (mut encoder, description) = (Encoder::new(1).unwrap(), self.description());
        for number in 0..description.chunks() {
            let first = number * u64::from(self.chunk_samples);
            let samples = first..self.samples.min(first + u64::from(self.chunk_samples));
            let chunk = chunk(description.widths, samples.map(&sample));
            let encoded = encoder.encode(number, &chunk).unwrap();
            writer.write(&chunk, encoded).unwrap();
        }
        writer.finish().unwrap()
    }

    /// Starts to write the set to `dir`. The returned writer has written no chunk yet.
    pub(crate) fn start(&self, dir: &Path) -> SetWriter {
        let output = OutputDir::open(dir, Existing::Refuse).unwrap();
        SetWriter::start(output, self.description(), Origin::default(), false, &mut |_, _, _| {}).unwrap()
    }

    fn description(&self) -> SetDescription {
        let Spec { samples, chunk_samples, shard_chunks, classes, recipe, frame_limit, channels, counts } =
            self.clone();
        let shape = FrameShape { width: channels, ..shape() };
        SetDescription {
            samples,
            chunk_samples,
            shard_chunks,
            shape,
            widths: Widths::of(shape, counts),
            recipe_id: SetDescription::recipe_id(shape, &recipe, &classes, &[]),
            recipe,
            classes,
            extras: vec![],
            frame_limit,
            sources: vec![],
            linked_files: vec![],
            tool: Tool::this(1),
            part: None,
        }
    }
}

pub(crate) fn shape() -> FrameShape {
    FrameShape { polarities: 1, height: 1, width: CHANNELS }
}

pub(crate) fn widths() -> Widths {
    Widths::of(shape(), Width::U16)
}

fn chunk(widths: Widths, samples: impl Iterator<Item = Sample>) -> Chunk {
    let mut chunk = Chunk::new(widths, 0);
    for sample in samples {
        push(&mut chunk.frames, &sample);
        let binned: u64 = sample.frames.iter().flatten().map(|&(_, count)| u64::from(count)).sum();
        chunk.table.labels.push(sample.label);
        chunk.table.flags.push(if binned == 0 { FLAG_EMPTY } else { 0 });
        chunk.table.ledgers.push(Ledger { events_in: binned, binned, ..Ledger::default() });
    }
    chunk
}

/// Appends a sample to `frames`. Counts become values of both signs if `frames` has float32 values.
pub(crate) fn push(frames: &mut SparseFrames, sample: &Sample) {
    let sizes: Vec<u32> = sample.frames.iter().map(|frame| frame.len() as u32).collect();
    let (cells, counts): (Vec<u32>, Vec<u32>) = sample.frames.iter().flatten().copied().unzip();
    let values: Vec<f32> = counts.iter().map(|&count| (2.0 * count as f32 - 2.5) / 3.0).collect();
    let surface = frames.widths().counts == Width::F32;
    let column = if surface { Column::F32(&values) } else { Column::U32(&counts) };
    frames.push(&sizes, &cells, column).unwrap();
}

/// Returns a function that makes sample number `i`. The class decides which four channels have more events.
pub(crate) fn learnable(seed: u64) -> impl Fn(u64) -> Sample {
    move |i| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed << 32 | i);
        let label = (i % 3) as u32;
        let frames = 10 + rng.random_range(0..11);
        let mut frame = || {
            let mut chance = |cell: u32| rng.random::<f64>() < if cell / 4 == label { 0.3 } else { 0.1 };
            let cells: Vec<u32> = (0..CHANNELS).filter(|&cell| chance(cell)).collect();
            cells.into_iter().map(|cell| (cell, rng.random_range(1..=2))).collect()
        };
        Sample { frames: (0..frames).map(|_| frame()).collect(), label }
    }
}

/// Makes a folder with a training set `train` of 120 samples and a validation set `valid` of 60 samples.
pub(crate) fn task() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(120, 8).write(&dir.path().join("train"), learnable(1));
    Spec::new(60, 7).write(&dir.path().join("valid"), learnable(2));
    dir
}

/// Makes a folder with the sets `train` and `beyond`, both with one class. The chunks of `beyond` also have the
/// invalid labels 1 and 2.
pub(crate) fn with_a_label_beyond() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let one = || Spec { classes: vec!["one".into()], ..Spec::new(9, 4) };
    one().write(&dir.path().join("train"), |i| Sample { label: 0, ..learnable(1)(i) });
    let mut manifest = one().write(&dir.path().join("beyond"), learnable(1));
    manifest.totals.class_samples = vec![9];
    manifest.publish(&dir.path().join("beyond")).unwrap();
    dir
}

pub(crate) fn train() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tonic-train"));
    command.timeout(Duration::from_secs(120));
    command
}

/// Returns the arguments of a small fit on `dir/train` that writes to `dir/<run>`. The arguments in `others` replace
/// defaults, and DIR in them stands for `dir`.
pub(crate) fn fit_arguments(dir: &Path, run: &str, others: &str) -> Vec<String> {
    let of_the_network = ["--hidden 24,16", "--batch-size 16", "--lr 0.01"];
    arguments(dir, run, others, &[&DEFAULTS[..], &of_the_network].concat())
}

/// Like [`fit_arguments`], for a network file or a preset, which has options of its own.
pub(crate) fn network_arguments(dir: &Path, run: &str, others: &str) -> Vec<String> {
    arguments(dir, run, others, &DEFAULTS)
}

const DEFAULTS: [&str; 4] = ["--train DIR/train", "--device cpu", "--threads 2", "--epochs 2"];

fn arguments(dir: &Path, run: &str, others: &str, defaults: &[&str]) -> Vec<String> {
    let mut line = format!("fit --output DIR/{run} {others}");
    for default in defaults {
        let (flag, _) = default.split_once(' ').unwrap();
        if !others.contains(flag) {
            line.push(' ');
            line.push_str(default);
        }
    }
    line.split_whitespace().map(|word| word.replace("DIR", dir.to_str().unwrap())).collect()
}

/// Returns the command of a small fit with [`fit_arguments`].
pub(crate) fn fit(dir: &Path, run: &str, others: &str) -> Command {
    let mut command = train();
    command.args(fit_arguments(dir, run, others));
    command
}

/// Returns the command of a small fit with [`network_arguments`].
pub(crate) fn network_fit(dir: &Path, run: &str, others: &str) -> Command {
    let mut command = train();
    command.args(network_arguments(dir, run, others));
    command
}

/// Returns the command that evaluates `dir/<run>` on `dir/<data>` on the CPU.
pub(crate) fn eval(dir: &Path, run: &str, data: &str) -> Command {
    eval_on("cpu", dir, run, data)
}

pub(crate) fn eval_on(device: &str, dir: &Path, run: &str, data: &str) -> Command {
    let mut command = train();
    command.arg("eval").arg("--model").arg(dir.join(run)).arg("--data").arg(dir.join(data));
    command.args(["--threads", "2", "--device", device]);
    command
}

/// Returns the command that writes predictions of `dir/<run>` on `dir/<data>` to `dir/<out>`.
pub(crate) fn predict_on(device: &str, dir: &Path, run: &str, data: &str, out: &str) -> Command {
    let mut command = train();
    command.arg("predict").arg("--model").arg(dir.join(run)).arg("--data").arg(dir.join(data));
    command.arg("--output").arg(dir.join(out)).args(["--threads", "2", "--device", device]);
    command
}

/// Reads the logits that `predict` wrote to `folder`, a row for each sample.
pub(crate) fn logits(folder: &Path) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(folder.join("logits.npy")).unwrap();
    let array = npyz::NpyFile::new(&bytes[..]).unwrap();
    let classes = array.shape()[1] as usize;
    assert_eq!(array.order(), npyz::Order::C);
    array.into_vec().unwrap().chunks(classes).map(<[f32]>::to_vec).collect()
}

/// Returns the first class with the largest logit.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

/// Runs a command, which must succeed. Returns its stderr.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let (code, stderr) = outcome(&command.output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    stderr
}

/// Runs a command, which must end with exit code `code` and all of `words` in its stderr. Returns its stderr.
pub(crate) fn fails(command: &mut Command, code: i32, words: &[&str]) -> String {
    let (got, stderr) = outcome(&command.output().unwrap());
    assert_eq!(got, Some(code), "{stderr}");
    assert_says(&stderr, words);
    stderr
}

/// Runs a command with `--json`, which must succeed and write nothing to stderr. Returns the JSON.
pub(crate) fn json(command: &mut Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    assert_eq!(outcome(&output), (Some(0), String::new()));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in: {text}");
    }
}

/// Returns the exit code and the stderr of a process, which must not have panicked.
pub(crate) fn outcome(output: &Output) -> (Option<i32>, String) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code(), stderr)
}

/// Flips a bit in the middle of the stored bytes of chunk `number`. Returns the path of the shard.
pub(crate) fn corrupt_chunk(dir: &Path, number: u64) -> PathBuf {
    let set = ShardSet::open(dir).unwrap();
    let (shard, k) = set.locate(number);
    let record = shard.head().chunks[k];
    let mut bytes = std::fs::read(shard.path()).unwrap();
    bytes[(record.offset + record.stored_bytes / 2) as usize] ^= 4;
    let path = shard.path().to_owned();
    // The file is changed in place, so that a set that is open sees it.
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    path
}
