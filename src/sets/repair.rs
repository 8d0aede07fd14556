//! Repairs a damaged set from another copy or from its recordings.
//!
//! A chunk is used only if its content has the expected identity (BLAKE3 hash). A damaged shard is replaced as a
//! whole.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use tonic_base::{Error as BaseError, Progress, Verbosity, interrupt, printable};
use tonic_shard::salvage::{Prover, Salvage, belongs, hole, shard_chunks};
use tonic_shard::verify::{check_chunks, verify_dir};
use tonic_shard::{
    EncodedChunk, Encoder, Error as ShardError, MARKER, Manifest, OutputDir, SetDescription, Shard, ShardDraft,
    Storage, identity_of, shard_name,
};

use crate::error::{BaseFault, Error, Result, ShardFault};
use crate::other_copy::OtherCopy;

/// Maximum number of chunks in a shard. Protects memory from a wrong number in a damaged manifest.
const MOST_CHUNKS: usize = 1 << 20;

/// Whether a directory holds a set, even a damaged or incomplete one.
pub fn holds_set(dir: &Path) -> bool {
    !matches!(Manifest::read(dir), Err(ShardError::NotASet { .. } | ShardError::Base(BaseError::Io { .. })))
}

/// Function that converts one chunk again. The argument is the index of the chunk in the set.
pub type Remake<'a> = &'a mut dyn FnMut(u64) -> Result<EncodedChunk>;

/// Where a repair finds undamaged chunks, apart from the set itself.
pub enum Donor<'a> {
    /// Directory of another copy of the set. Only its undamaged chunks are used.
    Copy(&'a Path),
    /// Another copy on a server. Only the indexes of damaged shards and the damaged chunks are read.
    Server(&'a dyn Storage),
    /// The recordings of the set, as a function that converts one chunk again.
    Remake(Remake<'a>),
}

/// The result of a repair.
#[derive(Debug, Default)]
pub struct Repaired {
    /// Whether the manifest was replaced.
    pub manifest: bool,
    /// Name of each replaced shard, and the indices, in the set, of its restored chunks.
    pub shards: Vec<(String, Vec<u64>)>,
    /// Index, in the set, of each chunk that could not be repaired, and the reason.
    pub lost: Vec<(u64, String)>,
    /// Errors that a full verification found after the repair.
    pub faults: Vec<ShardError>,
}

impl Repaired {
    /// Returns the result as one JSON object.
    pub fn json(&self) -> Value {
        let shards = self.shards.iter().map(|(name, chunks)| json!({"shard": name, "chunks": chunks}));
        let lost = self.lost.iter().map(|(chunk, why)| json!({"chunk": chunk, "why": why}));
        json!({
            "whole": self.faults.is_empty(),
            "manifest": self.manifest,
            "shards": shards.collect::<Vec<_>>(),
            "lost": lost.collect::<Vec<_>>(),
            "faults": self.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    /// Returns the result as text for people, with one line for each replaced shard and each lost chunk.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if self.manifest {
            let _ = writeln!(out, "manifest.json: put back");
        }
        for (name, chunks) in &self.shards {
            let chunks = match &chunks[..] {
                [] => "its header, index or padding".into(),
                chunks => format!("chunks {}", crate::diff::ranges(chunks)),
            };
            let _ = writeln!(out, "{}: mended {chunks}", printable(name));
        }
        for (chunk, why) in &self.lost {
            let _ = writeln!(out, "chunk {chunk}: lost: {}", printable(why));
        }
        if self.faults.is_empty() {
            let done = self.manifest || !self.shards.is_empty();
            let _ =
                writeln!(out, "{}", if done { "the set is whole again" } else { "the set is whole: nothing to mend" });
        }
        out
    }
}

/// Repairs the set in `dir`. The result lists the chunks that could not be repaired.
///
/// # Errors
/// - [`tonic_shard::Error::Mismatch`] if `donor` is a copy of another set.
/// - [`tonic_shard::Error::Incomplete`] if the conversion of the set was not finished.
/// - [`tonic_shard::Error::NotASet`] if `dir` has no set.
/// - The error of reading the set's manifest if it is missing or damaged, unless `donor` is a copy with an undamaged
///   manifest.
/// - [`tonic_base::Error::Usage`] if `donor` is `dir`, [`tonic_base::Error::Busy`],
///   [`tonic_base::Error::Interrupted`].
/// - Errors of the server of the copy. Shards that are repaired before such an error stay repaired.
/// - [`tonic_base::Error::Io`].
pub fn repair(dir: &Path, donor: Donor<'_>, verbosity: Verbosity) -> Result<Repaired> {
    let own = match Manifest::read(dir) {
        Err(fault @ (ShardError::NotASet { .. } | ShardError::Base(BaseError::Io { .. }))) => return Err(fault.into()),
        Err(fault @ ShardError::Incomplete { .. }) if dir.join(MARKER).exists() => return Err(fault.into()),
        own => own,
    };
    let _lock = OutputDir::lock(dir)?;
    let copy = match &donor {
        Donor::Copy(other) => Some((*other, Manifest::read(other))),
        Donor::Server(storage) => Some((storage.path(), Ok(storage.manifest()?))),
        Donor::Remake(_) => None,
    };
    if copy.as_ref().is_some_and(|(other, _)| other.canonicalize().ok() == dir.canonicalize().ok()) {
        return Err(Error::usage("from", "another directory than the damaged one", dir.display()));
    }
    let damaged = own.is_err();
    let mut manifest = match (own, &copy) {
        (Ok(own), Some((other, Ok(theirs)))) if own.set_id != theirs.set_id => {
            let (expected, got) = (own.set_id.to_string(), theirs.set_id.to_string());
            return Err(Error::mismatch(other, dir, "set_id", expected, got));
        }
        (Ok(own), _) => own,
        (Err(_), Some((other, Ok(theirs)))) => {
            check_heads(dir, other, theirs)?;
            theirs.clone()
        }
        (Err(fault), _) => return Err(fault.into()),
    };
    let server = if let Donor::Server(storage) = donor { Some(storage) } else { None };
    let copy = copy.map(|(other, theirs)| OtherCopy::new(other, server, &manifest.description, theirs.ok()));
    let remake = if let Donor::Remake(remake) = donor { Some(remake) } else { None };
    let before = manifest.clone();
    let description = before.description.clone();
    let mut repairer = Repairer {
        dir,
        description: &description,
        prover: Prover::new(&description),
        encoder: Encoder::new(description.tool.level)?,
        copy,
        remake,
    };
    let mut repaired = Repaired::default();
    repairer.repair_all(&mut manifest, verbosity, &mut repaired)?;
    if damaged || manifest != before {
        manifest.publish(dir)?;
        repaired.manifest = damaged;
    }
    let start = |samples| Progress::start(verbosity, "verify", samples, "samples");
    repaired.faults = verify_dir(dir, Some(&start));
    Ok(repaired)
}

/// Returns an error if an undamaged shard in `dir` doesn't match `theirs`, the manifest of the copy in `other`.
fn check_heads(dir: &Path, other: &Path, theirs: &Manifest) -> Result<()> {
    for (i, entry) in theirs.shards.iter().enumerate() {
        let Ok(shard) = Shard::open(&dir.join(&entry.name)) else { continue };
        let identity = identity_of(shard.head().chunks.iter().map(|c| &c.identity));
        if !belongs(shard.head(), &theirs.description, i as u64) || identity != entry.identity {
            let field = format!("identity of {}", entry.name);
            let (expected, got) = (identity.to_string(), entry.identity.to_string());
            return Err(Error::mismatch(other, dir, field, expected, got));
        }
    }
    Ok(())
}

struct Repairer<'a, 'r> {
    dir: &'a Path,
    description: &'a SetDescription,
    prover: Prover<'a>,
    encoder: Encoder,
    copy: Option<OtherCopy<'a>>,
    remake: Option<Remake<'r>>,
}

/// An undamaged chunk. `own` is true if it comes from the set that is repaired.
struct Found {
    chunk: EncodedChunk,
    own: bool,
}

impl Repairer<'_, '_> {
    fn repair_all(&mut self, manifest: &mut Manifest, verbosity: Verbosity, repaired: &mut Repaired) -> Result<()> {
        let open = |i: usize| {
            let shard = Shard::open(&self.dir.join(shard_name(i as u64))).ok()?;
            let identity = identity_of(shard.head().chunks.iter().map(|c| &c.identity));
            (belongs(shard.head(), self.description, i as u64) && identity == manifest.shards[i].identity)
                .then_some(shard)
        };
        let opened: Vec<Option<Shard>> = (0..manifest.shards.len()).map(open).collect();
        let (numbers, shards): (Vec<usize>, Vec<Shard>) =
            opened.into_iter().enumerate().filter_map(|(i, shard)| Some((i, shard?))).unzip();
        let samples = shards.iter().map(|shard| u64::from(shard.head().place.samples)).sum();
        let progress = Progress::start(verbosity, "check", samples, "samples");
        let checked = check_chunks(&shards, self.description.classes.len(), &progress);
        progress.finish();
        let bad: BTreeSet<u64> = checked.into_iter().filter(|(_, result)| result.is_err()).map(|(n, _)| n).collect();
        let per_shard = u64::from(self.description.shard_chunks);
        for i in 0..manifest.shards.len() {
            let first = i as u64 * per_shard;
            let opened = numbers.binary_search(&i).ok().map(|at| &shards[at]);
            if let Some(shard) = opened.filter(|_| bad.range(first..first + per_shard).next().is_none()) {
                manifest.shards[i].bytes = shard.head().file_bytes();
                continue;
            }
            interrupt::check("shards that were mended stay; run the same command again to continue")?;
            self.repair_shard(i as u64, manifest, opened.is_some(), repaired)?;
        }
        Ok(())
    }

    /// Repairs as many chunks of shard `number` as possible. `opened` says whether its header and index are intact.
    fn repair_shard(
        &mut self,
        number: u64,
        manifest: &mut Manifest,
        opened: bool,
        repaired: &mut Repaired,
    ) -> Result<()> {
        let entry = &mut manifest.shards[number as usize];
        let chunks = shard_chunks(self.description, number);
        let first = number * u64::from(self.description.shard_chunks);
        if chunks > MOST_CHUNKS {
            repaired.lost.push((first, format!("a shard of {chunks} chunks is more than this program makes")));
            return Ok(());
        }
        let own = Salvage::open(&self.dir.join(&entry.name), chunks);
        let proved = |ids: &Vec<[u8; 32]>| ids.len() == chunks && identity_of(ids) == entry.identity;
        let own_ids = (0..chunks).map_while(|k| own.record(k)).map(|record| record.identity).collect();
        let mut expected = Some(own_ids).filter(proved);
        if let Some(copy) = &mut self.copy {
            for _ in 0..copy.tries() {
                if expected.is_none() {
                    copy.forget_sent();
                    expected = Some(copy.identities(first..first + chunks as u64)?).filter(proved);
                }
            }
        }
        // Without verified identities, the file may belong to another set. Try with its chunks first, then without.
        for with_own in if expected.is_some() { vec![true] } else { vec![true, false] } {
            let mut draft = ShardDraft::create(self.dir, self.description, number)?;
            let (mut restored, mut lost, mut ids) = (Vec::new(), Vec::new(), Vec::with_capacity(chunks));
            for k in 0..chunks {
                let (n, expected) = (first + k as u64, expected.as_ref().map(|ids| ids[k]));
                let chunk = match (self.find(n, k, with_own.then_some(&own), expected)?, expected) {
                    (Ok(found), _) => {
                        if !found.own {
                            restored.push(n);
                        }
                        found.chunk
                    }
                    (Err(why), Some(identity)) => {
                        lost.push((n, why));
                        self.keep_damage(n, k, &own, identity)?
                    }
                    (Err(why), None) => {
                        lost.push((n, why));
                        break;
                    }
                };
                ids.push(chunk.record.identity);
                draft.append(&chunk)?;
            }
            if !proved(&ids) {
                continue;
            }
            let better = !opened || !restored.is_empty() || lost.is_empty();
            if better && lost.len() < chunks {
                *entry = draft.publish()?;
                repaired.shards.push((entry.name.clone(), restored));
            }
            repaired.lost.extend(lost);
            return Ok(());
        }
        let why = "the index of its shard is damaged, and nothing at hand makes it whole";
        repaired.lost.extend((first..first + chunks as u64).map(|n| (n, why.to_string())));
        Ok(())
    }

    /// Finds an undamaged version of chunk `n` of the set. `k` is the index of this chunk in its shard. If there is no
    /// undamaged version, the inner `Err` says why.
    fn find(
        &mut self,
        n: u64,
        k: usize,
        own: Option<&Salvage>,
        expected: Option<[u8; 32]>,
    ) -> Result<Result<Found, String>> {
        let same_tool = self.copy.as_ref().is_some_and(|copy| copy.tool.as_ref() == Some(&self.description.tool));
        let here = own.and_then(|own| own.record(k));
        for _ in 0..self.copy.as_ref().map_or(1, OtherCopy::tries) {
            let copied = self.copy.as_mut().map(|copy| copy.record(n)).transpose()?.flatten();
            for (record, is_own) in [(here, true), (copied, true), (copied, false), (here, false)] {
                let Some(record) = record else { continue };
                let stored = match (is_own, own, &mut self.copy) {
                    (true, Some(own), _) => own.stored(&record).ok().flatten(),
                    (false, _, Some(copy)) => copy.stored(n, &record)?,
                    _ => None,
                };
                let Some(stored) = stored else { continue };
                let Some(chunk) = self.prover.prove(n, &record, &stored, expected) else { continue };
                let chunk = if is_own || same_tool { chunk } else { self.encoder.encode(n, self.prover.chunk())? };
                return Ok(Ok(Found { chunk, own: is_own }));
            }
            self.copy.iter_mut().for_each(OtherCopy::forget_sent);
        }
        let Some(remake) = &mut self.remake else { return Ok(Err("no copy of it is whole".into())) };
        Ok(match remake(n) {
            Ok(chunk) if expected.is_none_or(|identity| identity == chunk.record.identity) => {
                Ok(Found { chunk, own: false })
            }
            Ok(_) => Err("made of the recordings, it is another chunk (is the set a subset, or merged?)".into()),
            Err(interrupted @ Error::Base(BaseError::Interrupted { .. })) => return Err(interrupted),
            Err(fault) => Err(fault.to_string()),
        })
    }

    /// Returns what to store for a lost chunk: its damaged bytes, or zeros if these bytes are missing.
    fn keep_damage(&mut self, n: u64, k: usize, own: &Salvage, identity: [u8; 32]) -> Result<EncodedChunk> {
        let copied = self.copy.as_mut().map(|copy| copy.record(n)).transpose()?.flatten();
        let record = own.record(k).or(copied);
        let mut kept = hole(n, self.description, record, identity);
        if let Some(stored) =
            record.and_then(|r| own.stored(&r).ok()?).filter(|s| s.len() as u64 == kept.record.stored_bytes)
        {
            kept.stored = stored.into();
        }
        Ok(kept)
    }
}
