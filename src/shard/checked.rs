//! Checks that chunks follow every rule of the format, without unpacking their entries (occupied cells and counts).

use crate::body::cells_fault;
use crate::chunk::SampleTable;
use crate::codec::{Decoder, SampleFacts, check_samples};
use crate::error::Result;
use crate::frames::Width;
use crate::layout::SetLayout;
use crate::manifest::Totals;
use crate::packed::PackedChunk;
use crate::shard::Shard;

/// A chunk that [`Shard::check`] has read and checked.
#[derive(Debug)]
pub struct CheckedChunk {
    /// Frames of the samples, with packed cells and counts.
    pub frames: PackedChunk,
    /// Labels, flags, ledgers and extra columns of the samples.
    pub table: SampleTable,
}

impl CheckedChunk {
    /// Creates an empty chunk for [`Shard::check`].
    pub fn new(layout: &SetLayout) -> CheckedChunk {
        CheckedChunk { frames: PackedChunk::new(layout), table: SampleTable::default() }
    }

    /// Returns sums and maxima over the samples of this chunk. `classes` is the number of classes of the set.
    pub fn totals(&self, classes: usize) -> Totals {
        let mut totals = Totals::new(classes);
        for sample in self.frames.samples() {
            totals.add_frames(sample.frames() as u64, sample.entries() as u64, sample.max_count());
        }
        totals.add_table(&self.table);
        totals
    }
}

impl Shard {
    /// Reads chunk `k` of this shard into `chunk`, and checks everything that the format requires of the chunk.
    /// `classes` is the number of classes of the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If the shard has no chunk `k`.
    pub fn check(&self, k: usize, classes: usize, decoder: &mut Decoder, chunk: &mut CheckedChunk) -> Result<()> {
        let (name, record) = (self.name(k), &self.head().chunks[k]);
        let CheckedChunk { frames, table } = chunk;
        self.decode_packed(k, decoder, frames)?;
        if !frames.samples().all(|sample| sample.fits()) {
            return Err(name.fault(record, cells_fault(self.head().layout.shape)));
        }
        name.check_identity(record, &frames.body)?;
        frames.read_table(table);
        let facts = frames.samples().map(|sample| match self.head().layout.widths.counts {
            Width::F32 => SampleFacts { events: None, odd: sample.values().find(|n| *n == 0.0 || !n.is_finite()) },
            _ => SampleFacts { events: Some(sample.events()), odd: None },
        });
        check_samples(name, table, facts, classes)?;
        self.check_padding(k)
    }
}
