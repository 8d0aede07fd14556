//! A chunk in memory: a group of samples with their frames, labels and ledgers.

use crate::frames::{SparseFrames, Widths};
use crate::ledger::Ledger;

/// Stands in a column of labels for a sample that has no label.
pub const NO_LABEL: u32 = u32::MAX;
/// Flag: the events were not in order of time and were sorted.
pub const FLAG_SORTED: u8 = 1;
/// Flag: the sample has no events to bin. It has one empty frame, or as many as the framing fixes for every sample.
pub const FLAG_EMPTY: u8 = 2;
/// Flag: the time windows of the frames overlap, so that one event can be counted in several frames.
pub const FLAG_OVERLAP: u8 = 4;

/// Everything that a chunk holds about its samples except their frames. All columns have one value per sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleTable {
    /// Class of each sample, or [`NO_LABEL`].
    pub labels: Vec<u32>,
    /// Flags of each sample: the bitwise or of [`FLAG_SORTED`], [`FLAG_EMPTY`] and [`FLAG_OVERLAP`].
    pub flags: Vec<u8>,
    /// What happened to each sample's events.
    pub ledgers: Vec<Ledger>,
    /// Extra columns, such as the speaker, in the order of the manifest's names.
    pub extras: Vec<Vec<i64>>,
}

/// A group of samples, decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Frames of all samples, one sample after another.
    pub frames: SparseFrames,
    /// Labels, flags, ledgers and extra columns.
    pub table: SampleTable,
}

impl Chunk {
    /// Creates an empty chunk with columns of `widths` and `extras` extra columns.
    pub fn new(widths: Widths, extras: usize) -> Chunk {
        Chunk {
            frames: SparseFrames::new(widths),
            table: SampleTable { extras: vec![Vec::new(); extras], ..SampleTable::default() },
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
