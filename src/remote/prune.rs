//! Removes the old sets at a URL.

use tonic_base::{Progress, Verbosity};
use tonic_shard::{Id, MANIFEST_FILE};

use crate::card::CARD_FILES;
use crate::error::{Error, Result};
use crate::latest::{LATEST, Latest};
use crate::location::{Location, Patience};
use crate::remote_set::RemoteSet;
use crate::store::Store;

/// The sets that [`prune`] has removed, and the sets that are left.
#[derive(Clone, Debug)]
pub struct Pruned {
    /// Ids of the sets that were removed.
    pub removed: Vec<Id>,
    /// Ids of the sets that are left, the newest first.
    pub kept: Vec<Id>,
}

/// Removes the old sets at a URL and keeps the `keep` newest ones. The latest set is never removed. After an error,
/// another call with the same arguments completes the removal.
///
/// # Errors
/// [`Error::ReadOnly`]; [`tonic_shard::Error::NotASet`] if the URL has no `latest.json`; errors of the server.
pub fn prune(location: &Location, keep: usize, patience: Patience, verbosity: Verbosity) -> Result<Pruned> {
    location.check_writable()?;
    let root = Store::open(location, patience)?;
    let none = || {
        let got = format!("no {LATEST}");
        Error::from(tonic_shard::Error::NotASet { path: root.url(""), got })
    };
    let (mut doomed, mut kept) = (Vec::new(), Vec::new());
    // First marks the sets as pruned in `latest.json`, so that no push relies on them. Then removes their files.
    Latest::change(&root, |now| {
        let mut latest = now.ok_or_else(none)?;
        let old = latest.older.split_off(keep.saturating_sub(1).min(latest.older.len()));
        latest.pruned.extend(old);
        latest.prunes += u64::from(!latest.pruned.is_empty());
        doomed.clone_from(&latest.pruned);
        kept = std::iter::once(latest.set_id).chain(latest.older.iter().copied()).collect();
        Ok((!doomed.is_empty()).then_some(latest))
    })?;
    let progress = Progress::start(verbosity, "prune", doomed.len() as u64, "sets");
    for id in &doomed {
        let folder = root.below(&id.to_string());
        if let Some(set) = RemoteSet::at(folder.clone())? {
            let shards = set.manifest().shards.iter().map(|shard| shard.name.as_str());
            for name in shards.chain(CARD_FILES).chain([MANIFEST_FILE]) {
                // Another `prune` may have removed the set, and it may have been pushed again since.
                if !Latest::read(&root)?.is_some_and(|(latest, _)| latest.pruned.contains(id)) {
                    break;
                }
                folder.delete(name)?;
            }
        }
        if Latest::read(&root)?.is_some_and(|(latest, _)| latest.pruned.contains(id)) {
            folder.remove_temporary_files();
            folder.remove_if_empty();
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
