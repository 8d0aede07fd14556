//! Verifies a set: checks the bytes on disk against everything that the format requires.

use crate::checked::CheckedChunk;
use crate::codec::Decoder;
use crate::directory::Directory;
use crate::error::{BaseFault, Error, Result};
use crate::manifest::{Totals, set_id};
use crate::reader::{ShardSet, open_shards};
use crate::shard::Shard;
use crate::storage::Storage;
use std::path::Path;

use rayon::prelude::*;

use tonic_base::Progress;

/// Verifies every chunk of an open set. If all are intact, also verifies the totals and the set id in the manifest.
/// Returns all errors, in the order of the chunks.
pub fn verify(set: &ShardSet, progress: &Progress) -> Vec<Error> {
    let manifest = set.manifest();
    let classes = manifest.description.classes.len();
    let mut totals = Totals::new(classes);
    let mut faults = Vec::new();
    for (_, checked) in check_chunks(set.shards(), classes, progress) {
        match checked {
            Ok(part) => totals.merge(&part),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        faults.extend(check_sums(set, &totals));
    }
    faults
}

/// Verifies the set in `dir`, even if shards are missing or damaged. Returns all errors.
///
/// `progress` makes the progress bar for a number of samples. If it is `None`, no chunks are read. Then only the
/// manifest is checked, and each shard's header and index.
pub fn verify_dir(dir: &Path, progress: Option<&dyn Fn(u64) -> Progress>) -> Vec<Error> {
    verify_in(&Directory(dir.into()), progress)
}

/// Like [`verify_dir`], for a set that isn't in a local directory.
pub fn verify_in(storage: &dyn Storage, progress: Option<&dyn Fn(u64) -> Progress>) -> Vec<Error> {
    let manifest = match storage.manifest() {
        Ok(manifest) => manifest,
        Err(fault) => return vec![fault],
    };
    let (mut shards, mut faults) = (Vec::new(), Vec::new());
    for shard in open_shards(storage, &manifest) {
        match shard {
            Ok(shard) => shards.push(shard),
            Err(fault) => faults.push(fault),
        }
    }
    let progress = progress.map(|start| start(shards.iter().map(|s| u64::from(s.head().place.samples)).sum()));
    let classes = manifest.description.classes.len();
    if faults.is_empty() {
        match (ShardSet::of(storage.path(), manifest, shards), &progress) {
            (Ok(set), Some(progress)) => faults.extend(verify(&set, progress)),
            (set, _) => faults.extend(set.err()),
        }
    } else if let Some(progress) = &progress {
        faults.extend(check_chunks(&shards, classes, progress).into_iter().filter_map(|(_, checked)| checked.err()));
    }
    progress.map(Progress::finish);
    faults
}

/// Verifies every chunk of these shards on all cores. Returns, for each chunk, its index in the set, and its totals or
/// its error.
pub fn check_chunks(shards: &[Shard], classes: usize, progress: &Progress) -> Vec<(u64, Result<Totals>)> {
    let fresh = || (Decoder::new(), None);
    let check = |(decoder, chunk): &mut (Decoder, Option<CheckedChunk>), (shard, k): (&Shard, usize)| {
        let chunk = chunk.get_or_insert_with(|| CheckedChunk::new(&shard.head().layout));
        let checked = shard.check(k, classes, decoder, chunk).map(|()| chunk.totals(classes));
        progress.add(shard.head().chunks[k].samples.into());
        (shard.chunk_number(k), checked)
    };
    let of_shard = |shard| (0..Shard::head(shard).chunks.len()).map(move |k| (shard, k));
    let all: Vec<(&Shard, usize)> = shards.iter().flat_map(of_shard).collect();
    all.into_par_iter().map_init(fresh, check).collect()
}

/// Returns the first difference between the totals and set id in the manifest and those computed from the chunks.
fn check_sums(set: &ShardSet, totals: &Totals) -> Option<Error> {
    let manifest = set.manifest();
    let path = set.dir().join(crate::manifest::MANIFEST_FILE);
    if *totals != manifest.totals {
        return Some(Error::corrupt(&path, "sums", format!("{totals:?}"), format!("{:?}", manifest.totals)));
    }
    let id = set_id(&manifest.description, &set.identities());
    (id != manifest.set_id).then(|| Error::corrupt(&path, "set_id", id, manifest.set_id))
}
