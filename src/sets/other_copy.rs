//! Another copy of a set, in a directory or on a server, from which a repair takes chunks.

use std::ops::Range;
use std::path::Path;

use tonic_shard::salvage::{Salvage, shard_chunks};
use tonic_shard::{ChunkRecord, Manifest, SetDescription, ShardEntry, Storage, Tool, shard_name};

use crate::error::Result;

/// Maximum number of times that a chunk is fetched from a server if it arrives damaged.
const TRIES: usize = 3;

/// Another copy of the set. It can have another number of chunks per shard.
pub(crate) struct OtherCopy<'a> {
    dir: &'a Path,
    /// The copy, if it is on a server.
    server: Option<&'a dyn Storage>,
    /// The shards in the copy's manifest. Empty if the manifest cannot be read.
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

    /// Returns how many times to try to read a chunk.
    pub(crate) fn tries(&self) -> usize {
        if self.server.is_some() { TRIES } else { 1 }
    }

    /// Forgets the opened shard if it came from a server.
    pub(crate) fn forget_sent(&mut self) {
        self.opened.take_if(|_| self.server.is_some());
    }

    /// Returns the copy's index record of chunk `number` of the set. `None` if it cannot be read.
    pub(crate) fn record(&mut self, number: u64) -> Result<Option<ChunkRecord>> {
        Ok(self.chunk(number)?.1)
    }

    /// Opens the copy's shard for chunk `number` of the set. Also returns the chunk's index record, or `None` if it
    /// cannot be read.
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

    /// Returns the identities of `chunks` in the copy's indexes, up to the first record that cannot be read.
    pub(crate) fn identities(&mut self, chunks: Range<u64>) -> Result<Vec<[u8; 32]>> {
        let mut identities = Vec::new();
        for number in chunks {
            let Some(record) = self.record(number)? else { break };
            identities.push(record.identity);
        }
        Ok(identities)
    }

    /// Reads the stored bytes that `record` points to. `None` if they are missing. If the copy is on this machine, also
    /// `None` for an I/O error.
    pub(crate) fn stored(&mut self, number: u64, record: &ChunkRecord) -> Result<Option<Vec<u8>>> {
        let is_remote = self.server.is_some();
        match self.chunk(number)?.0.stored(record) {
            Err(_) if !is_remote => Ok(None),
            stored => Ok(stored?),
        }
    }
}
