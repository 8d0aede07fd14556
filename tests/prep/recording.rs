//! Recordings made to order, the program under test, and what its sets hold: shared by all tests here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use half::f16;
use hdf5::H5Type;
use hdf5::types::{FixedAscii, VarLenArray, VarLenUnicode};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::shard::{Decoder, Ledger, ShardSet};

/// How a file stores its times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Times {
    F16,
    F32,
    F64,
}

/// How a file stores its units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Units {
    U8,
    U16,
    I32,
    I64,
}

/// How a file stores its class names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keys {
    Fixed,
    VarLen,
    None,
}

/// A recording of the Heidelberg layout that can still be changed.
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
    /// Samples of `(seconds, channel)`, classes in turn.
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

    /// `samples` random ones with about `events` events each, as a float16 file holds them, within a second.
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

    /// Writes the file.
    pub(crate) fn write(&self, path: &Path) -> PathBuf {
        hdf5_file(path, |file| self.fill(file))
    }

    /// Writes the datasets.
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
        }
        file.new_dataset_builder().with_data(&self.labels).create("labels").unwrap();
        let extra = file.create_group("extra").unwrap();
        if let Some(speakers) = &self.speakers {
            extra.new_dataset_builder().with_data(speakers).create("speaker").unwrap();
        }
        match self.keys_as {
            Keys::Fixed => {
                let names: Vec<FixedAscii<10>> =
                    self.names.iter().map(|n| FixedAscii::from_ascii(n.as_bytes()).unwrap()).collect();
                extra.new_dataset_builder().with_data(&names).create("keys").unwrap();
            }
            Keys::VarLen => {
                let names: Vec<VarLenUnicode> = self.names.iter().map(|n| n.parse().unwrap()).collect();
                extra.new_dataset_builder().with_data(&names).create("keys").unwrap();
            }
            Keys::None => {}
        }
    }
}

/// Makes an HDF5 file, beside its place and copied there: libhdf5 locks what it writes, and programs that other tests
/// start meanwhile inherit the lock.
pub(crate) fn hdf5_file(path: &Path, fill: impl FnOnce(&hdf5::File)) -> PathBuf {
    let draft = path.with_extension("draft");
    let file = hdf5::File::create(&draft).unwrap();
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

/// A directory that goes when the test ends.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tonic-prep-test").tempdir().unwrap()
}

/// The program under test.
pub(crate) fn prep() -> Command {
    let mut command = Command::new(program());
    command.timeout(std::time::Duration::from_secs(120));
    command
}

/// Where it is.
pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_tonic-prep")
}

/// `tonic-prep convert INPUT... -o OUTPUT --quiet`, to be extended.
pub(crate) fn convert<P: AsRef<Path>>(inputs: &[P], output: &Path) -> Command {
    let mut command = prep();
    command.arg("convert").args(inputs.iter().map(std::convert::AsRef::as_ref)).arg("-o").arg(output).arg("--quiet");
    command
}

/// Runs a command that must fail with `code`, and gives what it says on stderr: one clear error, never a panic.
pub(crate) fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(said.contains("tonic-prep: error: ") || code == 2, "{said}");
    said
}

/// Asserts that a message has all of these words.
pub(crate) fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "expected {word:?} in: {message}");
    }
}

/// All files of a directory, by name.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    files.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap())).collect()
}

/// One sample, as a set holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// T, P, H, W.
    pub shape: [usize; 4],
    pub dense: Vec<u32>,
    pub label: u32,
    pub flags: u8,
    pub ledger: Ledger,
    pub extras: Vec<i64>,
}

/// All samples of a set, decoded.
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
