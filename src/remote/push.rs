//! Sends a set to a URL. First writes an immutable copy to a folder that has the set's id as its name. Then makes the
//! set the latest one in `latest.json`.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use tonic_base::{Progress, Verbosity};
use tonic_shard::verify::verify;
use tonic_shard::{Id, MANIFEST_FILE, Manifest, ShardEntry, ShardSet};

use crate::error::{BaseFault, Error, Result};
use crate::latest::{LATEST, Latest};
use crate::location::{Location, Patience};
use crate::remote_set::RemoteSet;
use crate::store::Store;

/// Maximum number of shards that are sent at the same time.
const CONNECTIONS: usize = 4;

/// How much of a set was sent by [`push`], and how much was on the server already.
#[derive(Clone, Debug, Default)]
pub struct Pushed {
    /// Number of shards that were sent.
    pub sent: u64,
    /// Number of bytes that were sent. The manifest is included.
    pub sent_bytes: u64,
    /// Number of shards that the server copied from the set that was the latest one before this push.
    pub copied: u64,
    /// Number of shards that were already on the server, in the folder of this set.
    pub there: u64,
}

/// Sends the set in the directory `dir`, and makes it the latest set at the URL. The set is verified first, so that no
/// damaged set is shared. Shards that the server has already are not sent again.
///
/// # Errors
/// [`Error::ReadOnly`]; [`Error::BadUrl`] for a URL with an id; [`Error::Overtaken`] if another process has made its
/// set the latest one in the meantime; [`Error::BeingPruned`]; errors of the set, of the server and of the disk. Only
/// the last step changes which set is the latest one at the URL.
pub fn push(dir: &Path, location: &Location, patience: Patience, verbosity: Verbosity) -> Result<Pushed> {
    if !location.is_writable() {
        return Err(Error::ReadOnly { url: location.shown().into() });
    }
    if let Some(id) = location.pinned() {
        let (url, expected) = (location.shown().into(), "a URL without an id: the set's own id is used");
        return Err(Error::BadUrl { url, expected, got: format!("#{id}") });
    }
    let set = ShardSet::open(dir)?;
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
    let mut pushed = Pushed::default();
    match RemoteSet::at(folder.clone())? {
        Some(_) => pushed.there = set.shards().len() as u64,
        None => {
            let latest = before.as_ref().map(|(latest, _)| root.below(&latest.set_id.to_string()));
            let donor = latest.map(RemoteSet::at).transpose()?.flatten();
            pushed = send(&set, &folder, donor.as_ref(), verbosity)?;
            let path = dir.join(MANIFEST_FILE);
            let manifest = std::fs::read(&path).map_err(Error::io(&path, "read the manifest"))?;
            pushed.sent_bytes += manifest.len() as u64;
            folder.swap(MANIFEST_FILE, None, manifest.into())?; // another process may have sent the same set
        }
    }
    let started_from = before.map(|(latest, _)| latest.set_id);
    let mut theirs = None;
    Latest::change(&root, |now| {
        let found = now.as_ref().map(|latest| latest.set_id);
        if now.as_ref().is_some_and(|latest| latest.pruned.contains(&id)) {
            return Err(Error::BeingPruned { url: location.shown().into(), id });
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

/// Sends the shards of a set that `folder` lacks. `donor` is the latest set on the server so far: shards that it has
/// too are copied from it by the server.
fn send(set: &ShardSet, folder: &Store, donor: Option<&RemoteSet>, verbosity: Verbosity) -> Result<Pushed> {
    let manifest: &Manifest = set.manifest();
    let progress = Progress::start(verbosity, "push", manifest.stored_bytes(), "B");
    let next = Mutex::new(0..manifest.shards.len());
    let done: Mutex<Result<Pushed>> = Mutex::new(Ok(Pushed::default()));
    let lock = |done: &Mutex<Result<Pushed>>| done.lock().unwrap_or_else(PoisonError::into_inner).is_err();
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS.min(manifest.shards.len()) {
            scope.spawn(|| {
                while let Some(number) = next.lock().unwrap_or_else(PoisonError::into_inner).next() {
                    if lock(&done) {
                        return;
                    }
                    let one = send_shard(set, number, folder, donor, &progress);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    match (one, &mut *done) {
                        (Ok(one), Ok(sum)) => {
                            sum.sent += one.sent;
                            sum.sent_bytes += one.sent_bytes;
                            sum.copied += one.copied;
                            sum.there += one.there;
                        }
                        (Err(error), Ok(_)) => *done = Err(error),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
    });
    let pushed = done.into_inner().unwrap_or_else(PoisonError::into_inner)?;
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
    // A shard of the same head has the same stored bytes, because the head has their checksums.
    let donor = donor.filter(|donor| donor.manifest().shards.get(number).is_some_and(|other| other == entry));
    if let Some(donor) = donor
        && has_same(donor.store(), entry, &head)?
        && folder.copy(donor.store(), &entry.name)?
    {
        progress.add(entry.bytes);
        return Ok(Pushed { copied: 1, ..Pushed::default() });
    }
    folder.put_file(&entry.name, shard.path(), &|bytes| progress.add(bytes))?;
    Ok(Pushed { sent: 1, sent_bytes: entry.bytes, ..Pushed::default() })
}

/// Returns whether the folder has the shard `entry`: a file of the same size that begins with the header and index
/// `head`.
fn has_same(folder: &Store, entry: &ShardEntry, head: &[u8]) -> Result<bool> {
    if folder.size(&entry.name)? != Some(entry.bytes) {
        return Ok(false);
    }
    let mut there = Vec::new();
    folder.read(&entry.name, 0..head.len() as u64, &mut |_, piece| {
        there.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(there == head)
}

/// The sets that [`prune`] has removed, and the sets that are left.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Ids of the sets that were removed.
    pub removed: Vec<Id>,
    /// Ids of the sets that are left, the newest first.
    pub kept: Vec<Id>,
}

/// Removes the old sets at a URL and keeps the `keep` newest ones. The latest set is never removed.
///
/// # Errors
/// [`Error::ReadOnly`]; [`tonic_shard::Error::NotASet`] if the URL has no `latest.json`; errors of the server. After an
/// error, another call with the same arguments completes the removal.
pub fn prune(location: &Location, keep: usize, patience: Patience, verbosity: Verbosity) -> Result<Pruned> {
    if !location.is_writable() {
        return Err(Error::ReadOnly { url: location.shown().into() });
    }
    let root = Store::open(location, patience)?;
    let none = || {
        let got = format!("no {LATEST}");
        Error::from(tonic_shard::Error::NotASet { path: root.url(""), got })
    };
    let (mut doomed, mut kept) = (Vec::new(), Vec::new());
    // First nobody may take these sets for ones that stay, then their files go.
    Latest::change(&root, |now| {
        let mut latest = now.ok_or_else(none)?;
        let old = latest.older.split_off(keep.saturating_sub(1).min(latest.older.len()));
        latest.pruned.extend(old);
        doomed.clone_from(&latest.pruned);
        kept = std::iter::once(latest.set_id).chain(latest.older.iter().copied()).collect();
        Ok((!doomed.is_empty()).then_some(latest))
    })?;
    let progress = Progress::start(verbosity, "prune", doomed.len() as u64, "sets");
    for id in &doomed {
        let folder = root.below(&id.to_string());
        if let Some(set) = RemoteSet::at(folder.clone())? {
            set.manifest().shards.iter().try_for_each(|shard| folder.delete(&shard.name))?;
            folder.delete(MANIFEST_FILE)?;
        }
        progress.add(1);
    }
    if !doomed.is_empty() {
        Latest::change(&root, |now| {
            let mut latest = now.ok_or_else(none)?;
            latest.pruned.retain(|id| !doomed.contains(id));
            Ok(Some(latest))
        })?;
    }
    progress.finish();
    Ok(Pruned { removed: doomed, kept })
}
