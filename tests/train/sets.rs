//! Small shard sets, made through the library: what the tests of loading and training stand on. They need neither a
//! recording nor the converter, and a few milliseconds a set.

use std::path::{Path, PathBuf};

use tonic_toolkit::frames::{FrameShape, SparseFrames, Width, Widths};
use tonic_toolkit::shard::codec::{Chunk, Encoder, FLAG_EMPTY};
use tonic_toolkit::shard::manifest::{SetDescription, Tool};
use tonic_toolkit::shard::writer::{Existing, OutputDir, SetWriter};
use tonic_toolkit::shard::{Ledger, Manifest, ShardSet};

/// Cells of a frame.
pub const CHANNELS: u32 = 12;

/// A sample: (cell, count) of each frame, and its class.
pub struct Sample {
    pub frames: Vec<Vec<(u32, u32)>>,
    pub label: u32,
}

/// What a set is like, whatever its samples.
#[derive(Clone)]
pub struct Spec {
    pub samples: u64,
    pub chunk_samples: u32,
    pub shard_chunks: u32,
    pub classes: Vec<String>,
    pub recipe: String,
    pub frame_limit: Option<u64>,
}

impl Spec {
    /// `samples` samples in chunks of `chunk_samples`, three classes.
    pub fn new(samples: u64, chunk_samples: u32) -> Spec {
        let classes = ["low", "middle", "high"].map(String::from).to_vec();
        let recipe = "window = 4000\n".into();
        Spec { samples, chunk_samples, shard_chunks: 5, classes, recipe, frame_limit: None }
    }

    /// Writes the set of these samples.
    pub fn write(&self, dir: &Path, sample: impl Fn(u64) -> Sample) -> Manifest {
        let mut writer = self.start(dir);
        let (mut encoder, description) = (Encoder::new(1).unwrap(), self.description());
        for number in 0..description.chunks() {
            let first = number * u64::from(self.chunk_samples);
            let chunk = chunk((first..self.samples.min(first + u64::from(self.chunk_samples))).map(&sample));
            let encoded = encoder.encode(number, &chunk).unwrap();
            writer.write(&chunk, encoded).unwrap();
        }
        writer.finish().unwrap()
    }

    /// A set that nothing has been written of yet.
    pub fn start(&self, dir: &Path) -> SetWriter {
        SetWriter::start(OutputDir::open(dir, Existing::Refuse).unwrap(), self.description(), false).unwrap()
    }

    fn description(&self) -> SetDescription {
        let Spec { samples, chunk_samples, shard_chunks, classes, recipe, frame_limit } = self.clone();
        SetDescription {
            samples,
            chunk_samples,
            shard_chunks,
            shape: shape(),
            widths: widths(),
            recipe_id: SetDescription::recipe_id(shape(), &recipe, &classes, &[]),
            recipe,
            classes,
            extras: vec![],
            frame_limit,
            sources: vec![],
            tool: Tool::this(1),
        }
    }
}

pub fn shape() -> FrameShape {
    FrameShape { polarities: 1, height: 1, width: CHANNELS }
}

pub fn widths() -> Widths {
    Widths::of(shape(), Width::U16)
}

fn chunk(samples: impl Iterator<Item = Sample>) -> Chunk {
    let mut chunk = Chunk::new(widths(), 0);
    for sample in samples {
        push(&mut chunk.frames, &sample);
        let binned: u64 = sample.frames.iter().flatten().map(|&(_, count)| u64::from(count)).sum();
        chunk.table.labels.push(sample.label);
        chunk.table.flags.push(if binned == 0 { FLAG_EMPTY } else { 0 });
        chunk.table.ledgers.push(Ledger { events_in: binned, binned, ..Ledger::default() });
    }
    chunk
}

/// Appends a sample's columns.
pub fn push(frames: &mut SparseFrames, sample: &Sample) {
    let sizes: Vec<u32> = sample.frames.iter().map(|frame| frame.len() as u32).collect();
    let (cells, counts): (Vec<u32>, Vec<u32>) = sample.frames.iter().flatten().copied().unzip();
    frames.push(&sizes, &cells, &counts).unwrap();
}

/// Changes a bit in the middle of the stored bytes of chunk `number`.
pub fn corrupt_chunk(dir: &Path, number: u64) -> PathBuf {
    let set = ShardSet::open(dir).unwrap();
    let (shard, k) = set.locate(number);
    let record = shard.head().chunks[k];
    let mut bytes = std::fs::read(shard.path()).unwrap();
    bytes[(record.offset + record.stored_bytes / 2) as usize] ^= 4;
    let path = shard.path().to_owned();
    // In place, so that a set that is open sees it.
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    path
}
