//! Repairs a set from its recordings: converts the damaged chunks again, with the set's recipe.

use std::path::{Path, PathBuf};

use tonic_base::Verbosity;
use tonic_prep::{ChunkFailure, ChunkMaker, Inputs, Recipe, SourceOptions};
use tonic_shard::{Manifest, SourceFile};

use crate::error::{BaseFault, Error, Result, ShardFault};
use crate::repair::{Donor, Repaired, repair};

/// Repairs the set in `dir` from the recordings that it was converted from, in any order. `options` must be those of
/// the conversion.
///
/// # Errors
/// The manifest's error if it is damaged, since recordings cannot restore it; [`tonic_shard::Error::Mismatch`] if a
/// recording is missing; errors of opening recordings and of [`repair`].
pub fn repair_from(
    dir: &Path,
    recordings: &[PathBuf],
    options: &SourceOptions,
    verbosity: Verbosity,
) -> Result<Repaired> {
    let manifest = Manifest::read(dir).map_err(|fault| {
        fault.with_place(
            "recordings cannot make it again: repair it from another copy, or replace the set by a new conversion",
        )
    })?;
    let description = &manifest.description;
    let found = Inputs::open(recordings, options)?.hash(verbosity)?;
    let find = |source: &SourceFile| {
        let at = found.iter().position(|file| file.blake3 == source.blake3);
        at.ok_or_else(|| {
            let (field, expected) = (format!("recording {}", source.name), format!("blake3 {:.16}", source.blake3));
            Error::mismatch(&recordings[0], dir, field, expected, "none with that content")
        })
    };
    let places = description.sources.iter().map(find).collect::<Result<Vec<_>>>()?;
    // A folder counts as one recording and has an order of its own.
    let files = found.len() == recordings.len();
    let ordered = if files { places.iter().map(|&at| recordings[at].clone()).collect() } else { recordings.to_vec() };
    let mut inputs = Inputs::open(&ordered, options)?;
    let first_sample = match description.part {
        Some(part) => {
            let per_chunk = u64::from(description.chunk_samples);
            part.chunks(inputs.samples().div_ceil(per_chunk)).start * per_chunk
        }
        None => {
            inputs.keep(0..description.samples);
            0
        }
    };
    if inputs.samples() < first_sample + description.samples {
        let expected = format!("recordings of {} samples or more", first_sample + description.samples);
        return Err(Error::usage("from", expected, inputs.samples()));
    }
    let recipe = Recipe::parse(None, &description.recipe)?;
    let lenient = manifest.totals.ledger.outside > 0;
    let mut maker = ChunkMaker::new(&inputs, &recipe, description, first_sample, lenient)?;
    let mut remake = |number: u64| match maker.make(number) {
        Ok((_, encoded)) => Ok(encoded),
        Err(ChunkFailure::Error(fault)) => Err(fault.into()),
        Err(ChunkFailure::TooNarrow(count)) => {
            let most = format!("counts of at most {}", description.widths.counts.max());
            Err(Error::corrupt(dir, format!("chunk {number}"), most, count))
        }
    };
    repair(dir, Donor::Remake(&mut remake), verbosity)
}
