//! Helpers of all tests in this folder: they write recordings, run the program under test, and read its sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use half::f16;
use hdf5::H5Type;
use hdf5::types::{FixedAscii, VarLenArray, VarLenUnicode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tonic_toolkit::base::{Progress, Verbosity};
use tonic_toolkit::prep::{COCHLEA, Recipe};
use tonic_toolkit::shard::verify::verify;
use tonic_toolkit::shard::{Decoder, Ledger, Manifest, ShardSet};

/// The default recipe of a cochlea.
pub(crate) fn reference_recipe() -> Recipe {
    Recipe::of(COCHLEA, Some(100), Some(1_000_000), 4_000)
}

/// How a file stores its times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Times {
    F16,
    F32,
    F64,
}

/// How a file stores its units (channels).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Units {
    U8,
    U16,
    I32,
    I64,
    F64,
}

/// How a file stores its class names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    Fixed,
    VarLen,
    None,
}

/// A recording in the layout of SHD, before it is written to a file.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub times: Vec<Vec<f64>>,
    pub units: Vec<Vec<i64>>,
    pub labels: Vec<i64>,
    pub names: Vec<&'static str>,
    pub speakers: Option<Vec<u16>>,
    pub times_as: Times,
    pub units_as: Units,
    pub keys_as: Keys,
}

impl Recording {
    /// Makes a recording from the `(seconds, channel)` of each sample's events. Samples get the three classes in turn.
    pub(crate) fn of(samples: Vec<Vec<(f64, i64)>>) -> Recording {
        let names = vec!["zero", "one", "two"];
        Recording {
            labels: (0..samples.len()).map(|i| (i % names.len()) as i64).collect(),
            times: samples.iter().map(|s| s.iter().map(|e| e.0).collect()).collect(),
            units: samples.iter().map(|s| s.iter().map(|e| e.1).collect()).collect(),
            names,
            speakers: Some((0..samples.len() as u16).map(|i| 100 + i).collect()),
            times_as: Times::F16,
            units_as: Units::U16,
            keys_as: Keys::Fixed,
        }
    }

    /// Makes random samples with about `events` events each. Times are float16 numbers below 1.1 seconds.
    pub(crate) fn random(seed: u64, samples: usize, events: usize) -> Recording {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let sample = |_| {
            let n = rng.random_range(events / 2..=events * 3 / 2);
            let mut times: Vec<f64> = (0..n).map(|_| f16::from_f64(rng.random_range(0.0..1.1)).to_f64()).collect();
            times.sort_by(f64::total_cmp);
            times.into_iter().map(|t| (t, rng.random_range(0..700))).collect()
        };
        Recording::of((0..samples).map(sample).collect())
    }

    /// Replaces the events of a sample by `events` equal events, with the time `time` in seconds and the unit (channel)
    /// `unit`.
    pub(crate) fn crowd(&mut self, sample: usize, events: usize, time: f64, unit: i64) {
        (self.times[sample], self.units[sample]) = (vec![time; events], vec![unit; events]);
    }

    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| self.fill(file))
    }

    /// Writes the datasets of the recording to an open file.
    pub(crate) fn fill(&self, file: &hdf5::File) {
        let spikes = file.create_group("spikes").unwrap();
        match self.times_as {
            Times::F16 => rows(&spikes, "times", &self.times, f16::from_f64),
            Times::F32 => rows(&spikes, "times", &self.times, |t| t as f32),
            Times::F64 => rows(&spikes, "times", &self.times, |t| t),
        }
        match self.units_as {
            Units::U8 => rows(&spikes, "units", &self.units, |x| u8::try_from(x).unwrap()),
            Units::U16 => rows(&spikes, "units", &self.units, |x| u16::try_from(x).unwrap()),
            Units::I32 => rows(&spikes, "units", &self.units, |x| i32::try_from(x).unwrap()),
            Units::I64 => rows(&spikes, "units", &self.units, |x| x),
            Units::F64 => rows(&spikes, "units", &self.units, |x| x as f64),
        }
        column(file, "labels", &self.labels);
        let extra = file.create_group("extra").unwrap();
        if let Some(speakers) = &self.speakers {
            column(&extra, "speaker", speakers);
        }
        match self.keys_as {
            Keys::Fixed => {
                column(&extra, "keys", &self.names.iter().map(|name| ascii(name)).collect::<Vec<_>>());
            }
            Keys::VarLen => {
                let names: Vec<VarLenUnicode> = self.names.iter().map(|n| n.parse().unwrap()).collect();
                column(&extra, "keys", &names);
            }
            Keys::None => {}
        }
    }
}

pub(crate) fn column<T: H5Type>(group: &hdf5::Group, name: &str, data: &[T]) {
    group.new_dataset_builder().with_data(data).create(name).unwrap();
}

pub(crate) fn ascii(text: &str) -> FixedAscii<10> {
    FixedAscii::from_ascii(text.as_bytes()).unwrap()
}

/// Makes an HDF5 file under a temporary name and copies it to `path`. Programs that other tests start inherit
/// libhdf5's lock on the first file. The copy has no lock.
pub(crate) fn hdf5_file(path: &Path, fill: impl FnOnce(&hdf5::File)) -> PathBuf {
    hdf5_file_with(&hdf5::File::with_options(), path, fill)
}

/// Like [`hdf5_file`], with options for the format of the file.
pub(crate) fn hdf5_file_with(options: &hdf5::FileBuilder, path: &Path, fill: impl FnOnce(&hdf5::File)) -> PathBuf {
    let draft = path.with_extension("draft");
    let file = options.create(&draft).unwrap();
    fill(&file);
    file.close().unwrap();
    std::fs::copy(&draft, path).unwrap();
    std::fs::remove_file(draft).unwrap();
    path.into()
}

fn rows<T: Copy, N: H5Type + Copy>(group: &hdf5::Group, name: &str, rows: &[Vec<T>], number: impl Fn(T) -> N) {
    let row = |r: &Vec<T>| VarLenArray::from_slice(&r.iter().map(|&v| number(v)).collect::<Vec<N>>());
    let rows: Vec<VarLenArray<N>> = rows.iter().map(row).collect();
    let dataset = group.new_dataset::<VarLenArray<N>>().shape(rows.len()).create(name).unwrap();
    dataset.write(&rows).unwrap();
}

/// A directory that is deleted when the test ends.
pub(crate) struct Scratch(tempfile::TempDir);

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.0.path()
    }
}

impl AsRef<Path> for Scratch {
    fn as_ref(&self) -> &Path {
        self
    }
}

impl Scratch {
    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.join(name), bytes).unwrap();
        self.join(name)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        std::fs::create_dir(self.join(name)).unwrap();
        self.join(name)
    }

    /// Writes the recordings to `0.h5`, `1.h5` and so on. Returns the paths.
    pub(crate) fn recordings(&self, recordings: &[Recording]) -> Vec<PathBuf> {
        let write = |(i, recording): (usize, &Recording)| recording.write(&self.join(format!("{i}.h5")));
        recordings.iter().enumerate().map(write).collect()
    }

    /// Converts the files to the set `name`. Returns the set's path.
    pub(crate) fn convert<P: AsRef<Path>>(&self, inputs: &[P], name: &str, arguments: &[&str]) -> PathBuf {
        convert(inputs, &self.join(name)).args(arguments).assert().success();
        self.join(name)
    }

    /// Writes a recording to `a.h5` and converts it to the set `set`. Returns the set's path.
    pub(crate) fn set(&self, recording: &Recording, arguments: &[&str]) -> PathBuf {
        self.convert(&[recording.write(&self.join("a.h5"))], "set", arguments)
    }
}

pub(crate) fn scratch() -> Scratch {
    Scratch(tempfile::Builder::new().prefix("tonic-prep-test").tempdir().unwrap())
}

/// Returns the path of a file or directory in tests/data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Environment variable that turns off libhdf5's file locks. Otherwise, programs that a test starts inherit the
/// locks.
pub(crate) const NO_LOCKS: (&str, &str) = ("HDF5_USE_FILE_LOCKING", "FALSE");

/// Returns the command of the program under test, without arguments.
pub(crate) fn prep() -> Command {
    let mut command = Command::new(program());
    command.timeout(std::time::Duration::from_secs(120)).env(NO_LOCKS.0, NO_LOCKS.1);
    command
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tonic-prep")
}

/// Returns the command `tonic-prep NAME PATH`.
pub(crate) fn tool(name: &str, path: &Path) -> Command {
    let mut command = prep();
    command.arg(name).arg(path);
    command
}

/// Returns the command `tonic-prep convert INPUT... -o OUTPUT --quiet`.
pub(crate) fn convert<P: AsRef<Path>>(inputs: &[P], output: &Path) -> Command {
    let mut command = convert_aloud(inputs, output);
    command.arg("--quiet");
    command
}

/// Like [`convert`], without `--quiet`.
pub(crate) fn convert_aloud<P: AsRef<Path>>(inputs: &[P], output: &Path) -> Command {
    let mut command = prep();
    command.arg("convert").args(inputs.iter().map(std::convert::AsRef::as_ref)).arg("-o").arg(output);
    command
}

/// Runs a command, which must succeed. Returns its stdout.
pub(crate) fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

/// Runs a command, which must succeed. Returns its stderr.
pub(crate) fn stderr(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stderr.clone()).unwrap()
}

/// Runs a command, which must succeed and print one JSON value on one line. Returns the value.
pub(crate) fn json(command: &mut Command) -> Value {
    let text = stdout(command);
    assert_eq!(text.trim_end().lines().count(), 1, "one value, one line: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Returns the command that runs a script in `sh` or `bash`, with the program under test as `$0` and `arguments` as
/// `$1`, `$2` and so on.
pub(crate) fn shell<A: AsRef<std::ffi::OsStr>>(shell: &str, script: &str, arguments: &[A]) -> Command {
    let mut command = Command::new(shell);
    command.args(["-c", script, program()]).args(arguments);
    command
}

/// Runs a command, which must fail with exit code `code` and one clear error. Returns its stderr.
#[track_caller]
pub(crate) fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    assert!(!said.contains("panicked"), "{command:?}: {said}");
    assert!(said.contains("tonic-prep: error: ") || code == 2, "{command:?}: {said}");
    said
}

/// Runs a command, which must fail with exit code `code` and all of `words` in its error. Returns its stderr.
#[track_caller]
pub(crate) fn refuses(command: &mut Command, code: i32, words: &[&str]) -> String {
    let said = fails(command, code);
    says(&said, words);
    said
}

/// Asserts that a message contains all of `words`.
#[track_caller]
pub(crate) fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

/// Returns the bytes of each file in a directory, by name.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap())).collect()
}

pub(crate) fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).unwrap();
    change(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

pub(crate) fn png_size(file: &Path) -> (u32, u32) {
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

pub(crate) fn manifest(dir: &Path) -> Manifest {
    ShardSet::open(dir).unwrap().manifest().clone()
}

pub(crate) fn faults(set: &ShardSet) -> Vec<tonic_toolkit::shard::Error> {
    verify(set, &Progress::start(Verbosity::Quiet, "", 0, ""))
}

/// A decoded sample of a set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Shape of the frames, (T, P, H, W).
    pub shape: [usize; 4],
    pub dense: Vec<u32>,
    pub label: u32,
    pub flags: u8,
    pub ledger: Ledger,
    pub extras: Vec<i64>,
}

impl Sample {
    /// Returns the digest of the sample's frames, as in the golden files.
    pub(crate) fn digest(&self) -> String {
        let mut hash = blake3::Hasher::new();
        hash.update(&(self.shape[0] as u32).to_le_bytes());
        for n in &self.dense {
            hash.update(&n.to_le_bytes());
        }
        hash.finalize().to_hex()[..16].into()
    }
}

pub(crate) fn samples(dir: &Path) -> Vec<Sample> {
    let set = ShardSet::open(dir).unwrap();
    let shape = set.manifest().description.shape;
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    let mut out = Vec::new();
    for number in 0..set.chunks() {
        set.decode(number, &mut decoder, &mut chunk).unwrap();
        for (i, sample) in chunk.frames.samples().enumerate() {
            let [p, h, w] = [shape.polarities, shape.height, shape.width].map(|n| n as usize);
            out.push(Sample {
                shape: [sample.frames(), p, h, w],
                dense: sample.to_dense(shape),
                label: chunk.table.labels[i],
                flags: chunk.table.flags[i],
                ledger: chunk.table.ledgers[i],
                extras: chunk.table.extras.iter().map(|c| c[i]).collect(),
            });
        }
    }
    out
}
