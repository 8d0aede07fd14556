//! Sends a set to a URL. First sends an immutable copy to a folder named after the set's id. Then writes the id to
//! `latest.json`.

use std::path::Path;

use tonic_base::{Progress, Verbosity, in_order};
use tonic_shard::verify::verify;
use tonic_shard::{Error as ShardError, MANIFEST_FILE, Manifest, ShardEntry, ShardSet, check_card};

use crate::card::send_card;
use crate::error::{BaseFault, Error, Result};
use crate::latest::{LATEST, Latest};
use crate::location::{Location, Patience};
use crate::remote_set::RemoteSet;
use crate::store::Store;
use crate::text::KEPT;

/// Maximum number of shards that are sent at the same time.
const CONNECTIONS: usize = 4;

/// How much of a set [`push`] has sent, and how much was already on the server.
#[derive(Clone, Debug, Default)]
pub struct Pushed {
    /// Number of shards that were sent.
    pub sent: u64,
    /// Number of bytes that were sent. The manifest and the card are included.
    pub sent_bytes: u64,
    /// Number of shards that the server copied from the previous latest set.
    pub copied: u64,
    /// Number of shards that were already on the server, in the folder of this set.
    pub there: u64,
}

impl Pushed {
    fn plus(&self, other: &Pushed) -> Pushed {
        Pushed {
            sent: self.sent + other.sent,
            sent_bytes: self.sent_bytes + other.sent_bytes,
            copied: self.copied + other.copied,
            there: self.there + other.there,
        }
    }
}

/// Verifies the set in the directory `dir`, sends it, and makes it the latest set at the URL. Shards that the server
/// has already are not sent again. A push that fails does not change which set is the latest one.
///
/// # Errors
/// - [`Error::ReadOnly`].
/// - [`Error::BadUrl`] for a URL with an id.
/// - [`tonic_shard::Error::Mismatch`] if the card in the directory belongs to another set.
/// - [`Error::Overtaken`] if another process has made its set the latest one in the meantime.
/// - [`Error::BeingPruned`].
/// - Errors of the set, of the server and of the disk.
pub fn push(dir: &Path, location: &Location, patience: Patience, verbosity: Verbosity) -> Result<Pushed> {
    location.check_writable()?;
    if let Some(id) = location.pinned() {
        let (url, expected) = (location.shown().into(), "a URL without an id: the set's own id is used");
        return Err(Error::BadUrl { url, expected, got: format!("#{id}") });
    }
    let set = ShardSet::open(dir)?;
    check_card(dir, set.manifest().set_id)?;
    let progress = Progress::start(verbosity, "verify", set.len(), "samples");
    let fault = verify(&set, &progress).into_iter().next();
    fault.map_or(Ok(()), Err)?;
    progress.finish();

    let id = set.manifest().set_id;
    let root = Store::open(location, patience)?;
    let before = Latest::read(&root)?;
    if before.as_ref().is_some_and(|(latest, _)| latest.pruned.contains(&id)) {
        return Err(Error::BeingPruned { url: location.shown().into(), id });
    }
    let folder = root.below(&id.to_string());
    let (started_from, mut prunes) = before.map_or((None, 0), |(latest, _)| (Some(latest.set_id), latest.prunes));
    let donor = started_from.map(|latest| root.below(&latest.to_string()));
    let send = || -> Result<Pushed> {
        let mut pushed = deliver(&set, dir, &folder, donor.as_ref(), verbosity)?;
        pushed.sent_bytes += send_card(dir, &folder)?;
        Ok(pushed)
    };
    let mut pushed = send()?;
    let mut theirs = None;
    Latest::change(&root, |now| {
        theirs = None;
        let found = now.as_ref().map(|latest| latest.set_id);
        if let Some(latest) = &now {
            if latest.pruned.contains(&id) {
                return Err(Error::BeingPruned { url: location.shown().into(), id });
            }
            // A `prune` that ran meanwhile may have removed shards that were already there or that were just sent.
            if std::mem::replace(&mut prunes, latest.prunes) != latest.prunes {
                let again = send()?;
                pushed = Pushed { there: pushed.there, ..pushed.plus(&again) };
            }
        }
        if found == Some(id) {
            return Ok(None);
        }
        match now {
            Some(mut latest) if found != started_from => {
                theirs = found;
                if latest.older.contains(&id) {
                    return Ok(None);
                }
                latest.older.insert(0, id);
                Ok(Some(latest))
            }
            now => Ok(Some(Latest::with(now, id))),
        }
    })?;
    match theirs {
        Some(theirs) => {
            Err(Error::Overtaken { url: root.url(LATEST).display().to_string(), ours: id, theirs: theirs.to_string() })
        }
        None => Ok(pushed),
    }
}

/// Sends a set to `folder`, unless the complete set is already there. `donor` is the folder of the previous latest set.
fn deliver(set: &ShardSet, dir: &Path, folder: &Store, donor: Option<&Store>, verbosity: Verbosity) -> Result<Pushed> {
    loop {
        if let Some(there) = RemoteSet::at(folder.clone())? {
            if is_complete(&there)? {
                folder.remove_temporary_files();
                return Ok(Pushed { there: set.shards().len() as u64, ..Pushed::default() });
            }
            folder.delete(MANIFEST_FILE)?;
        }
        let donor = donor.cloned().map(RemoteSet::at).transpose()?.flatten();
        let mut pushed = send(set, folder, donor.as_ref(), verbosity)?;
        let path = dir.join(MANIFEST_FILE);
        let manifest = std::fs::read(&path).map_err(Error::io(&path, "read the manifest"))?;
        pushed.sent_bytes += manifest.len() as u64;
        // Another process may have sent the same set, compressed in another way.
        if folder.swap(MANIFEST_FILE, None, manifest.into())? {
            folder.remove_temporary_files();
            return Ok(pushed);
        }
    }
}

/// Returns whether the server has all shards that the set's manifest names.
fn is_complete(set: &RemoteSet) -> Result<bool> {
    for shard in &set.manifest().shards {
        if set.store().size(&shard.name)? != Some(shard.bytes) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends the shards that are missing in `folder`. If `donor`, the previous latest set, has the same shard, the server
/// copies it from there.
fn send(set: &ShardSet, folder: &Store, donor: Option<&RemoteSet>, verbosity: Verbosity) -> Result<Pushed> {
    let manifest: &Manifest = set.manifest();
    let progress = Progress::start(verbosity, "push", manifest.stored_bytes(), "B");
    let mut pushed = Pushed::default();
    in_order(
        0..manifest.shards.len() as u64,
        CONNECTIONS.min(manifest.shards.len()),
        KEPT,
        || Ok(()),
        |(), number| send_shard(set, number as usize, folder, donor, &progress),
        |one: Pushed| {
            pushed = pushed.plus(&one);
            Ok::<(), Error>(())
        },
    )?;
    progress.finish();
    Ok(pushed)
}

fn send_shard(
    set: &ShardSet,
    number: usize,
    folder: &Store,
    donor: Option<&RemoteSet>,
    progress: &Progress,
) -> Result<Pushed> {
    let (entry, shard) = (&set.manifest().shards[number], &set.shards()[number]);
    let head = shard.head().to_bytes();
    if has_same(folder, entry, &head)? {
        progress.add(entry.bytes);
        return Ok(Pushed { there: 1, ..Pushed::default() });
    }
    // Shards with the same head have the same stored bytes, because the head has the checksums of the chunks.
    let donor = donor.filter(|donor| donor.manifest().shards.get(number).is_some_and(|other| other == entry));
    if let Some(donor) = donor
        && has_same(donor.store(), entry, &head)?
        && folder.copy(donor.store(), &entry.name)?
    {
        progress.add(entry.bytes);
        return Ok(Pushed { copied: 1, ..Pushed::default() });
    }
    if let Err(error) = folder.put_file(&entry.name, shard.path(), &|bytes| progress.add(bytes)) {
        // Another process may have completed the same set, and removed the temporary file of this process.
        return if has_same(folder, entry, &head)? { Ok(Pushed { there: 1, ..Pushed::default() }) } else { Err(error) };
    }
    Ok(Pushed { sent: 1, sent_bytes: entry.bytes, ..Pushed::default() })
}

/// Returns whether the folder has the shard `entry`: a file of the same size that begins with `head`, the shard's
/// header and index.
fn has_same(folder: &Store, entry: &ShardEntry, head: &[u8]) -> Result<bool> {
    if folder.size(&entry.name)? != Some(entry.bytes) {
        return Ok(false);
    }
    match folder.read_bytes(&entry.name, 0..head.len() as u64) {
        Err(Error::Shard(ShardError::Incomplete { .. })) => Ok(false), // `prune` has just removed it
        there => Ok(there? == head),
    }
}
