//! Is a set whole? Everything that the format promises, held against the bytes.

use rayon::prelude::*;

use super::codec::{Chunk, Decoder};
use super::manifest::{Totals, set_id};
use super::reader::ShardSet;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Checks every chunk of an open set: checksums, identities, content, padding, and the manifest's sums.
///
/// Returns every fault found, in the order of the chunks, so that a repair knows all that it must mend.
/// (Opening the set has checked the manifest, the shards' sizes, heads and indexes: that is `verify --quick`.)
pub fn verify(set: &ShardSet, progress: &Progress) -> Vec<Error> {
    let classes = set.manifest().description.classes.len();
    let fresh = || (Decoder::new(), set.empty_chunk());
    let check = |(decoder, chunk): &mut (Decoder, Chunk), number: u64| -> Result<Totals> {
        let (shard, k) = set.locate(number);
        shard.decode_and_verify(k, classes, decoder, chunk)?;
        let mut totals = Totals::new(classes);
        totals.add(chunk);
        progress.add(chunk.len() as u64);
        Ok(totals)
    };
    let results: Vec<Result<Totals>> = (0..set.chunks()).into_par_iter().map_init(fresh, check).collect();
    let mut totals = Totals::new(classes);
    let mut faults = Vec::new();
    for result in results {
        match result {
            Ok(part) => totals.merge(&part),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        faults.extend(check_sums(set, &totals));
    }
    faults
}

/// The manifest's own words, held against what the chunks add up to.
fn check_sums(set: &ShardSet, totals: &Totals) -> Option<Error> {
    let manifest = set.manifest();
    let path = set.dir().join(super::manifest::FILE_NAME);
    if *totals != manifest.totals {
        return Some(Error::corrupt(&path, "sums", format!("{totals:?}"), format!("{:?}", manifest.totals)));
    }
    let identities: Vec<[u8; 32]> =
        set.shards().iter().flat_map(|s| s.head().chunks.iter().map(|c| c.identity)).collect();
    let id = set_id(&manifest.description, &identities);
    (id != manifest.set_id).then(|| Error::corrupt(&path, "set_id", id, manifest.set_id))
}
