//! A chunk in memory: a group of samples with their frames, labels and ledgers.

use crate::frames::{SparseFrames, Widths};
use crate::ledger::Ledger;

/// Label of a sample that has no class.
pub const NO_LABEL: u32 = u32::MAX;
/// Flag of a sample: its events were not in order of time and were sorted.
pub const FLAG_SORTED: u8 = 1;
/// Flag of a sample: it has no events to bin, and all its frames are empty.
pub const FLAG_EMPTY: u8 = 2;
/// Flag of a sample: its frames overlap in time, so one event can be counted in several frames.
pub const FLAG_OVERLAP: u8 = 4;

/// Labels, flags, ledgers and extra columns of the samples of a chunk. All columns have one value per sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SampleTable {
    /// Class of each sample, or [`NO_LABEL`].
    pub labels: Vec<u32>,
    /// Flags of each sample: [`FLAG_SORTED`], [`FLAG_EMPTY`] and [`FLAG_OVERLAP`], combined with bitwise OR.
    pub flags: Vec<u8>,
    /// Ledger of each sample: what happened to its events.
    pub ledgers: Vec<Ledger>,
    /// Extra columns, such as the speaker, in the order of their names in the manifest.
    pub extras: Vec<Vec<i64>>,
}

impl SampleTable {
    /// Appends the samples of `other`, which must have the same extra columns.
    pub(crate) fn append(&mut self, other: &SampleTable) {
        self.labels.extend_from_slice(&other.labels);
        self.flags.extend_from_slice(&other.flags);
        self.ledgers.extend_from_slice(&other.ledgers);
        self.extras.iter_mut().zip(&other.extras).for_each(|(mine, theirs)| mine.extend_from_slice(theirs));
    }
}

/// A decoded chunk: a group of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Frames of all samples, one sample after another.
    pub frames: SparseFrames,
    /// Labels, flags, ledgers and extra columns.
    pub table: SampleTable,
}

impl Chunk {
    /// Creates an empty chunk with frames of these `widths` and with `extras` extra columns.
    pub fn new(widths: Widths, extras: usize) -> Chunk {
        Chunk {
            frames: SparseFrames::new(widths),
            table: SampleTable { extras: vec![Vec::new(); extras], ..SampleTable::default() },
        }
    }

    /// Number of samples in the chunk.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether the chunk has no samples.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
