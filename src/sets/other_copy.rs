//! The other copy of a set that a repair takes chunks from: a directory, or a set on a server.

use std::ops::Range;
use std::path::Path;

use tonic_shard::salvage::{Salvage, shard_chunks};
use tonic_shard::{ChunkRecord, Manifest, SetDescription, ShardEntry, Storage, Tool, shard_name};

use crate::error::Result;

/// A chunk that arrives damaged from a server is fetched at most this many times.
const TRIES: usize = 3;

/// Another copy of the set. Its shards can have more or fewer chunks than the shards of the set.
pub(crate) struct OtherCopy<'a> {
    dir: &'a Path,
    /// The copy, if it is on a server.
    server: Option<&'a dyn Storage>,
    /// The shards as the copy's manifest lists them. Empty if the manifest cannot be read.
    entries: Vec<ShardEntry>,
    description: SetDescription,
    /// Versions of the software that wrote the copy; `None` if the copy's manifest cannot be read.
    pub(crate) tool: Option<Tool>,
    /// The shard that was read last, and its index.
    opened: Option<(u64, Salvage)>,
}

impl<'a> OtherCopy<'a> {
    pub(crate) fn new(
        dir: &'a Path,
        server: Option<&'a dyn Storage>,
        set: &SetDescription,
        theirs: Option<Manifest>,
    ) -> OtherCopy<'a> {
        let shard_chunks = theirs.as_ref().map_or(set.shard_chunks, |manifest| manifest.description.shard_chunks);
        let description = SetDescription { shard_chunks, ..set.clone() };
        let (tool, entries) = theirs.map(|manifest| (manifest.description.tool, manifest.shards)).unzip();
        OtherCopy { dir, server, entries: entries.unwrap_or_default(), description, tool, opened: None }
    }

    /// Returns how often to try to read a chunk. A chunk that arrives damaged from a server can arrive undamaged at
    /// the next try.
    pub(crate) fn tries(&self) -> usize {
        if self.server.is_some() { TRIES } else { 1 }
    }

    /// Forgets what a server sent, so that the next try asks for it again.
    pub(crate) fn forget_sent(&mut self) {
        self.opened.take_if(|_| self.server.is_some());
    }

    /// Returns the record of chunk `number` of the set in the copy's indexes. `None` if it cannot be read.
    pub(crate) fn record(&mut self, number: u64) -> Result<Option<ChunkRecord>> {
        Ok(self.chunk(number)?.1)
    }

    /// Opens the shard of the copy in which chunk `number` of the set should be. Returns the shard and the chunk's
    /// record in the shard's index. The record is `None` if it cannot be read.
    fn chunk(&mut self, number: u64) -> Result<(&Salvage, Option<ChunkRecord>)> {
        let per_shard = u64::from(self.description.shard_chunks);
        let (shard, k) = (number / per_shard, (number % per_shard) as usize);
        let salvage = match self.opened.take().filter(|(opened, _)| *opened == shard) {
            Some((_, salvage)) => salvage,
            None => {
                let chunks = shard_chunks(&self.description, shard);
                match (self.server, self.entries.get(shard as usize)) {
                    (Some(storage), Some(entry)) => Salvage::open_in(storage, entry, chunks)?,
                    _ => Salvage::open(&self.dir.join(shard_name(shard)), chunks),
                }
            }
        };
        let (_, salvage) = self.opened.insert((shard, salvage));
        Ok((salvage, salvage.record(k)))
    }

    /// Returns the identities of `chunks` in the copy's indexes, up to the first chunk that has no readable record.
    pub(crate) fn identities(&mut self, chunks: Range<u64>) -> Result<Vec<[u8; 32]>> {
        let mut identities = Vec::new();
        for number in chunks {
            let Some(record) = self.record(number)? else { break };
            identities.push(record.identity);
        }
        Ok(identities)
    }

    /// Reads the bytes of chunk `number` from the copy, at the position that `record` gives. Returns `None` if there
    /// are no such bytes, or if the copy is on this machine and cannot be read.
    pub(crate) fn stored(&mut self, number: u64, record: &ChunkRecord) -> Result<Option<Vec<u8>>> {
        let is_remote = self.server.is_some();
        match self.chunk(number)?.0.stored(record) {
            Err(_) if !is_remote => Ok(None),
            stored => Ok(stored?),
        }
    }
}
