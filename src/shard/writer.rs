//! Writes a set. The manifest is published last, so that an interrupted conversion doesn't look like a complete set.
//! For several writers in one directory, see `output_dir.rs`.

use std::collections::BTreeMap;

use tonic_base::Error as BaseError;

use crate::checked::CheckedChunk;
use crate::chunk::Chunk;
use crate::codec::{Decoder, EncodedChunk};
use crate::description::{SetDescription, shard_name};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::manifest::{Manifest, ShardEntry, Totals};
use crate::output_dir::{Begun, Marker, Origin, OutputDir};
use crate::shard::Shard;
use crate::shard_draft::{ShardDraft, shard_entry};

/// Text for the error message of an interrupted conversion.
pub const KEPT: &str = "complete shards are kept";

/// A function that is called for each kept shard. Its arguments:
///
/// - The index, in the set, of the shard's first sample.
/// - The labels of the shard's samples.
/// - The ledgers of the shard's samples.
type Kept<'a> = dyn FnMut(u64, &[u32], &[Ledger]) + 'a;

/// Writes the chunks of a set, in order.
#[derive(Debug)]
pub struct SetWriter {
    dir: OutputDir,
    description: SetDescription,
    totals: Totals,
    identities: Vec<[u8; 32]>,
    shards: Vec<ShardEntry>,
    shard: Option<ShardDraft>,
}

impl SetWriter {
    /// Starts to write the described set.
    ///
    /// - If `dir` holds an unfinished copy of this set and `resume` is true, keeps the complete shards. The selection
    ///   in `origin` must equal the old one. The settings in `origin` replace the old ones.
    /// - If `dir` holds a complete copy of this set, keeps the intact shards. This needs `resume`,
    ///   [`Existing::Auto`](crate::Existing::Auto) and an `origin` without a selection.
    /// - In all other cases, removes an old set first. With [`Existing::Auto`](crate::Existing::Auto), replaces its
    ///   files one by one instead.
    ///
    /// Calls `kept` for each shard that is kept.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] if shards in `dir` would be kept, but belong to a different set;
    /// [`tonic_base::Error::Corrupt`] if the marker of the unfinished set cannot be parsed; [`tonic_base::Error::Io`].
    pub fn start(
        dir: OutputDir,
        description: SetDescription,
        origin: Origin,
        resume: bool,
        kept: &mut Kept<'_>,
    ) -> Result<SetWriter> {
        let marker = Marker { description, origin };
        let begun = dir.begin(&marker, resume)?;
        let (description, identities, shards) = (marker.description.clone(), Vec::new(), Vec::new());
        let totals = Totals::new(description.classes.len());
        let mut writer = SetWriter { dir, description, totals, identities, shards, shard: None };
        let listed = match &begun {
            Begun::Nothing => return Ok(writer),
            Begun::Shards => None,
            Begun::Complete(listed) => Some(&listed[..]),
        };
        writer.take_up_complete_shards(listed, kept)?;
        if listed.is_some() && writer.chunks_done() < writer.description.chunks() {
            writer.dir.reopen(&marker)?;
        }
        Ok(writer)
    }

    /// Description of the set that is being written.
    pub fn description(&self) -> &SetDescription {
        &self.description
    }

    /// Identities (BLAKE3 hashes of the decoded bytes) of all chunks so far, including those kept from an interrupted
    /// conversion.
    pub fn identities(&self) -> &[[u8; 32]] {
        &self.identities
    }

    /// Number of chunks so far, including those kept from an interrupted conversion.
    pub fn chunks_done(&self) -> u64 {
        self.identities.len() as u64
    }

    /// Appends the next chunk. `encoded` is the encoded form of `chunk`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process has begun a different set in the directory;
    /// [`tonic_base::Error::Io`]; [`tonic_base::Error::Corrupt`] if the marker of the unfinished set cannot be parsed.
    pub fn write(&mut self, chunk: &Chunk, encoded: EncodedChunk) -> Result<()> {
        let mut totals = Totals::new(self.description.classes.len());
        totals.add(chunk);
        self.write_counted(&totals, encoded)
    }

    /// Appends the next chunk. `totals` has the totals of its samples.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process has begun a different set in the directory;
    /// [`tonic_base::Error::Io`]; [`tonic_base::Error::Corrupt`] if the marker of the unfinished set cannot be parsed.
    pub fn write_counted(&mut self, totals: &Totals, encoded: EncodedChunk) -> Result<()> {
        let draft = match &mut self.shard {
            Some(draft) => draft,
            None => {
                self.shard.insert(ShardDraft::create(self.dir.path(), &self.description, self.shards.len() as u64)?)
            }
        };
        draft.append(&encoded)?;
        self.totals.merge(totals);
        self.identities.push(encoded.record.identity);
        if draft.is_full() {
            let draft = self.shard.take().expect("the shard that was just written to");
            let check = || self.dir.check_owned(&self.description);
            self.shards.push(draft.publish_new(check)?);
        }
        Ok(())
    }

    /// Writes the manifest, which completes the set.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if another process has removed or replaced a shard, or has begun a different set in
    /// the directory; [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// If not all chunks of the set have been written.
    pub fn finish(self) -> Result<Manifest> {
        self.finish_part(&[], BTreeMap::new())
    }

    /// Like [`SetWriter::finish`], for a part of a set. Also stores [`Manifest::command`] and [`Manifest::settings`].
    ///
    /// # Errors
    /// Errors of [`SetWriter::finish`].
    ///
    /// # Panics
    /// If not all chunks of the part have been written.
    pub fn finish_part(self, command: &[String], settings: BTreeMap<String, String>) -> Result<Manifest> {
        assert_eq!(self.identities.len() as u64, self.description.chunks(), "every chunk has been written");
        self.dir.check_owned(&self.description)?;
        for (number, entry) in (0..).zip(&self.shards) {
            let shard = Shard::open(&self.dir.path().join(&entry.name));
            if shard.map(|shard| shard_entry(number, shard.head())).ok().as_ref() != Some(entry) {
                return Err(BaseError::Busy { path: self.dir.path().into() }.into());
            }
        }
        let mut manifest = Manifest::new(self.description, self.totals, self.shards, &self.identities);
        (manifest.command, manifest.settings) = (command.to_vec(), settings);
        manifest.publish(self.dir.path())?;
        self.dir.release()?;
        Ok(manifest)
    }

    /// Stops writing and returns the directory, still locked.
    pub fn abandon(self) -> OutputDir {
        self.dir
    }

    /// Keeps the intact shards before the first missing or damaged one. With `listed`, the shards must also match this
    /// list.
    fn take_up_complete_shards(&mut self, listed: Option<&[ShardEntry]>, kept: &mut Kept<'_>) -> Result<()> {
        let (mut decoder, classes) = (Decoder::new(), self.description.classes.len());
        for number in 0..self.description.shards() {
            let path = self.dir.path().join(shard_name(number));
            let place = self.description.shard_place(number);
            let Ok(shard) = Shard::open(&path) else { break };
            let entry = shard_entry(number, shard.head());
            if listed.is_some_and(|listed| listed.get(number as usize) != Some(&entry)) {
                break;
            }
            if shard.head().layout != self.description.layout() || shard.head().place != place {
                break;
            }
            let (mut totals, mut chunk) = (Totals::new(classes), CheckedChunk::new(&shard.head().layout));
            let (mut labels, mut ledgers) = (Vec::new(), Vec::new());
            let whole = (0..shard.head().chunks.len()).all(|k| {
                let is_whole = shard.check(k, classes, &mut decoder, &mut chunk).is_ok();
                if is_whole {
                    totals.merge(&chunk.totals(classes));
                    labels.extend_from_slice(&chunk.table.labels);
                    ledgers.extend_from_slice(&chunk.table.ledgers);
                }
                is_whole
            });
            if !whole {
                break;
            }
            self.totals.merge(&totals);
            let first = self.identities.len() as u64 * u64::from(self.description.chunk_samples);
            kept(first, &labels, &ledgers);
            self.identities.extend(shard.head().chunks.iter().map(|c| c.identity));
            self.shards.push(entry);
        }
        Ok(())
    }
}
