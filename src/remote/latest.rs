//! Reads and replaces `latest.json`, the file that names the latest set at a URL and the older sets there.

use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tonic_shard::Id;

use crate::error::{BaseFault, Error, Result};
use crate::store::{Store, Version};

/// Name of the file that names the latest set at a URL.
pub(crate) const LATEST: &str = "latest.json";
const FORMAT: &str = "tonic-latest";
const VERSION: u64 = 1;
/// Maximum size of `latest.json` in bytes.
const MOST: u64 = 1 << 20;

/// The content of `latest.json`: the ids of the sets at a URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latest {
    format: String,
    version: u64,
    /// Id of the latest set, which is also the name of its folder.
    pub set_id: Id,
    /// Ids of the older sets, the newest first.
    #[serde(default)]
    pub older: Vec<Id>,
    /// Ids of the sets that `prune` is removing, or was removing when it was interrupted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<Id>,
    /// Number of calls of `prune` so far that had sets to remove. If this number changes during a push, the push
    /// checks again whether its set is complete.
    #[serde(default)]
    pub prunes: u64,
}

impl Latest {
    /// Reads `latest.json`. `None` if there is no such file at the URL.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_shard::Error::Incompatible`] if the file has another version; errors of
    /// the server.
    pub(crate) fn read(store: &Store) -> Result<Option<(Latest, Version)>> {
        let Some((bytes, version)) = store.get(LATEST, MOST)? else { return Ok(None) };
        let path = store.url(LATEST);
        let corrupt = |got: String| Error::corrupt(&path, "JSON", "the ids of the sets at this URL", got);
        let latest: Latest = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if latest.format != FORMAT {
            return Err(corrupt(format!("the format {:?}", latest.format)));
        }
        if latest.version != VERSION {
            let (expected, got) = (VERSION.to_string(), latest.version.to_string());
            return Err(tonic_shard::Error::Incompatible { path, expected, got }.into());
        }
        Ok(Some((latest, version)))
    }

    /// Reads `latest.json`, calls `change` with its content, and writes the result.
    ///
    /// - If there is no file, calls `change` with `None`.
    /// - If the result is `None`, writes nothing.
    /// - If another process replaces the file in the meantime, calls `change` again.
    ///
    /// # Errors
    /// [`tonic_base::Error::Busy`] if other processes replace the file until the timeout has passed; errors of `change`
    /// and of the server.
    pub(crate) fn change(
        store: &Store,
        mut change: impl FnMut(Option<Latest>) -> Result<Option<Latest>>,
    ) -> Result<()> {
        let start = Instant::now();
        loop {
            let found = Latest::read(store)?;
            let (before, version) = found.map_or((None, None), |(latest, version)| (Some(latest), Some(version)));
            let Some(after) = change(before)? else { return Ok(()) };
            if store.swap(LATEST, version.as_ref(), after.bytes())? {
                return Ok(());
            }
            if start.elapsed() > store.patience().timeout {
                return Err(tonic_base::Error::Busy { path: store.url(LATEST) }.into());
            }
        }
    }

    /// Returns new content for `latest.json`, with `id` as the latest set. `before` is the current content. The set
    /// that was the latest one becomes an older one.
    pub(crate) fn with(before: Option<Latest>, id: Id) -> Latest {
        let mut older = before
            .as_ref()
            .map_or(Vec::new(), |latest| std::iter::once(latest.set_id).chain(latest.older.iter().copied()).collect());
        older.retain(|other| *other != id);
        let (pruned, prunes) = before.map_or((Vec::new(), 0), |latest| (latest.pruned, latest.prunes));
        Latest { format: FORMAT.into(), version: VERSION, set_id: id, older, pruned, prunes }
    }

    fn bytes(&self) -> Bytes {
        let mut text = serde_json::to_string_pretty(self).expect("ids are JSON");
        text.push('\n');
        text.into()
    }
}
