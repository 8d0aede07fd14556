//! One decoded sample of a set.

use serde_json::{Value, json};
use tonic_shard::{Chunk, Decoder, FrameShape, SampleFrames, SetDescription, ShardSet};

use crate::error::{BaseFault, Error, Result};

/// One decoded sample of a set.
#[derive(Debug)]
pub struct Sample<'a> {
    set: &'a ShardSet,
    chunk: Chunk,
    inside: usize,
    sample: u64,
}

impl<'a> Sample<'a> {
    /// Reads and decodes the sample with this index in the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the set has no such sample, [`tonic_base::Error::Corrupt`],
    /// [`tonic_base::Error::Io`].
    pub fn open(set: &'a ShardSet, sample: u64) -> Result<Sample<'a>> {
        if sample >= set.len() {
            return Err(Error::usage("sample", format!("0 to {}", set.len().saturating_sub(1)), sample));
        }
        let per_chunk = u64::from(set.manifest().description.chunk_samples);
        let mut chunk = set.empty_chunk();
        set.decode(sample / per_chunk, &mut Decoder::new(), &mut chunk)?;
        Ok(Sample { set, chunk, inside: (sample % per_chunk) as usize, sample })
    }

    pub(crate) fn frames(&self) -> SampleFrames<'_> {
        self.chunk.frames.sample(self.inside)
    }

    pub(crate) fn description(&self) -> &SetDescription {
        &self.set.manifest().description
    }

    pub(crate) fn shape(&self) -> FrameShape {
        self.description().shape
    }

    pub(crate) fn number(&self) -> u64 {
        self.sample
    }

    pub(crate) fn class(&self) -> &str {
        self.description().class_name(self.chunk.table.labels[self.inside])
    }

    /// Returns the sample's index, class, frame shape, number of frames and number of events, as one JSON object.
    pub fn json(&self) -> Value {
        json!({
            "sample": self.sample, "class": self.class(), "frames": self.frames().frames(),
            "events": self.chunk.table.ledgers[self.inside].binned, "shape": self.shape(),
        })
    }

    /// Returns one line of text with the sample's index, class, number of events and number of frames.
    pub fn title(&self) -> String {
        let frames = self.frames();
        let events = self.chunk.table.ledgers[self.inside].binned;
        format!("sample {}: {} ({events} events in {} frames)", self.sample, self.class(), frames.frames())
    }
}
