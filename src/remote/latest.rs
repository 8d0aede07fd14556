//! `latest.json`, which says which set at an URL is the latest one, and which older ones are there. It is replaced as a
//! whole and only if nobody else has replaced it meanwhile.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tonic_shard::Id;

use crate::error::{BaseFault, Error, Result};
use crate::store::{Store, Version};

/// Name of the file.
pub(crate) const LATEST: &str = "latest.json";
const FORMAT: &str = "tonic-latest";
const VERSION: u64 = 1;
/// Maximum size of the file in bytes.
const MOST: u64 = 1 << 20;

/// The sets at an URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latest {
    format: String,
    version: u64,
    /// Id of the latest set. It is also the name of the folder that holds the set.
    pub set_id: Id,
    /// Ids of the older sets, the youngest first.
    #[serde(default)]
    pub older: Vec<Id>,
    /// Ids of the sets that are being removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<Id>,
}

impl Latest {
    /// Reads the file. Returns `None` if there is none.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`]; [`tonic_shard::Error::Incompatible`]; errors of the server.
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

    /// Changes the file. `change` gets its content, `None` if there is no file yet, and returns the new content. If
    /// somebody else changes the file meanwhile, it is read and changed anew. `change` returns `None` to leave the file
    /// as it is.
    pub(crate) fn change(
        store: &Store,
        mut change: impl FnMut(Option<Latest>) -> Result<Option<Latest>>,
    ) -> Result<()> {
        /// How often another process may come first.
        const TRIES: u64 = 20;
        for _ in 0..TRIES {
            let found = Latest::read(store)?;
            let (before, version) = found.map_or((None, None), |(latest, version)| (Some(latest), Some(version)));
            let Some(after) = change(before)? else { return Ok(()) };
            if store.swap(LATEST, version.as_ref(), after.bytes())? {
                return Ok(());
            }
        }
        Err(tonic_base::Error::Busy { path: store.url(LATEST) }.into())
    }

    /// The content after `id` has become the latest set.
    pub(crate) fn with(before: Option<Latest>, id: Id) -> Latest {
        let mut older = before
            .as_ref()
            .map_or(Vec::new(), |latest| std::iter::once(latest.set_id).chain(latest.older.iter().copied()).collect());
        older.retain(|other| *other != id);
        let pruned = before.map_or(Vec::new(), |latest| latest.pruned);
        Latest { format: FORMAT.into(), version: VERSION, set_id: id, older, pruned }
    }

    fn bytes(&self) -> Bytes {
        let mut text = serde_json::to_string_pretty(self).expect("ids are JSON");
        text.push('\n');
        text.into()
    }
}
