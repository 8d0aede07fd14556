//! Repairs a set from its recordings: converts the damaged chunks again, with the set's recipe.

use std::path::{Path, PathBuf};

use tonic_base::Verbosity;
use tonic_prep::{ChunkFailure, ChunkMaker, ClassList, Inputs, Recipe, SourceOptions, hash_linked};
use tonic_shard::{LinkedFile, Manifest, SourceFile};

use crate::error::{BaseFault, Error, Result, ShardFault};
use crate::repair::{Donor, Repaired, repair};

/// Repairs the set in `dir` from `recordings`: the recordings that the set was converted from, in any order.
/// `options` must be the options of the conversion. If the options have no list of classes, the classes of the set
/// are used.
///
/// # Errors
/// The error of reading the manifest, if the manifest is damaged: recordings cannot restore a manifest.
/// [`tonic_shard::Error::Mismatch`] if a recording or one of the set's linked files is missing. Errors of opening
/// recordings and of [`repair`].
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
    let classes = options.classes.clone().or_else(|| ClassList::of_set(dir, description).ok());
    // The conversion accepted the times and the damage of these recordings, so the repair accepts them too.
    let options = &SourceOptions { classes, allow_clock_trouble: true, lenient: true, ..options.clone() };
    let given = Inputs::open(recordings, options)?;
    let all = 0..given.samples();
    let found = given.hash(&all, verbosity)?;
    if !description.linked_files.is_empty() {
        check_linked(dir, &recordings[0], &description.linked_files, &hash_linked(&given.linked(&all), verbosity)?)?;
    }
    let find = |source: &SourceFile| {
        let at = found.iter().position(|file| file.blake3 == source.blake3);
        at.ok_or_else(|| {
            let (field, expected) = (format!("recording {}", source.name), format!("blake3 {:.16}", source.blake3));
            Error::mismatch(&recordings[0], dir, field, expected, "none with that content")
        })
    };
    let places = description.sources.iter().map(find).collect::<Result<Vec<_>>>()?;
    // If a folder is given, `found` has each of its files. The order of these files is fixed, so `recordings` is not
    // reordered.
    let files = found.len() == recordings.len();
    let ordered = if files { places.iter().map(|&at| recordings[at].clone()).collect() } else { recordings.to_vec() };
    let mut inputs = Inputs::open(&ordered, options)?;
    let own = description.sources.first().and_then(|first| first.first_sample);
    let first_sample = match description.part {
        // The part lists its own recordings only. A folder may contain other recordings before them.
        Some(_) if own.is_some() => {
            let before = if files { 0 } else { found[..places[0]].iter().map(|file| file.samples).sum() };
            before + own.unwrap_or(0)
        }
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

/// Returns an error if a linked file of the set is missing. A linked file holds data of a recording outside the
/// recording's own file. `expected` has the linked files of the set, `found` those of the given recordings. Files are
/// compared by content.
fn check_linked(dir: &Path, recording: &Path, expected: &[LinkedFile], found: &[LinkedFile]) -> Result<()> {
    match expected.iter().find(|file| found.iter().all(|other| other.blake3 != file.blake3)) {
        None => Ok(()),
        Some(file) => {
            let (field, expected) = (format!("linked file {}", file.name), format!("blake3 {:.16}", file.blake3));
            Err(Error::mismatch(recording, dir, field, expected, String::from("none with that content")))
        }
    }
}
