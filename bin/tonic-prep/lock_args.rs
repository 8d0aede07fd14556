//! The command `lock`, which writes the ids of sets to a file, and `pull --lock`, which fetches these sets.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tonic_sets::{LockFile, directory_name, name_of};
use tonic_shard::{Manifest, ShardSet};

use crate::set_place::{storage, url_of};

#[derive(Args)]
pub(crate) struct LockArgs {
    /// TOML file with the sets. If it is there already, sets are added, and those of the same names are replaced
    file: PathBuf,
    /// Directories or URLs of sets. The last part of each is the name of its set; NAME=PLACE gives another name. A
    /// directory and URLs with the same name and content are one set
    #[arg(required = true, value_name = "DIR|URL")]
    places: Vec<String>,
    /// Print the result as one JSON object on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

impl LockArgs {
    /// Writes the lock file. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(self) -> anyhow::Result<(Value, String)> {
        let LockArgs { file, places, .. } = self;
        let mut lock = if file.exists() { LockFile::read(&file)? } else { LockFile::default() };
        let mut fresh = Vec::new();
        for place in &places {
            let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || "-_. ".contains(c));
            let (name, place) = match place.split_once('=').filter(|(name, _)| is_name(name)) {
                Some((name, place)) => (name.to_string(), Path::new(place)),
                None if url_of(Path::new(place)).is_some() => (name_of(Path::new(place)), Path::new(place)),
                None => (directory_name(Path::new(place)), Path::new(place)),
            };
            let (url, manifest) = read(place)?;
            lock.add(&name, url, &manifest, &mut fresh)?;
        }
        lock.write(&file)?;
        let lines: Vec<String> = lock.sets.iter().map(|set| format!("{}  {}", set.id, set.name)).collect();
        Ok((json!({"path": file, "sets": lock.sets, "notes": []}), lines.join("\n")))
    }
}

/// Reads the manifest of a set. If `place` is a URL, also returns this URL without credentials.
fn read(place: &Path) -> anyhow::Result<(Option<String>, Manifest)> {
    let Some(url) = url_of(place) else { return Ok((None, ShardSet::open(place)?.manifest().clone())) };
    let manifest = storage(url)?.manifest()?;
    #[cfg(feature = "remote")]
    let url = tonic_remote::Location::parse(url)?.shown().to_string();
    #[cfg(not(feature = "remote"))]
    let url = url.to_string();
    Ok((Some(url), manifest))
}

/// Fetches the sets of a lock file.
#[cfg(feature = "remote")]
pub(crate) mod locked_pull {
    use tonic_base::{BaseFault, Error as BaseError, Progress, Verbosity, printable};
    use tonic_remote::{Fetch, Location, Patience, RemoteSet, pull};
    use tonic_sets::LockedSet;
    use tonic_shard::verify::verify_dir;

    use super::*;

    /// Fetches each set of a lock file to a folder inside `fetch.dir`. Returns the result as JSON and as text.
    pub(crate) fn run(file: &Path, fetch: &Fetch, patience: Patience) -> anyhow::Result<(Value, String)> {
        let (mut sets, mut lines) = (Vec::new(), Vec::new());
        for set in LockFile::read(file)?.sets {
            let fetch = Fetch { dir: fetch.dir.join(&set.name), ..fetch.clone() };
            let fetched = bring(file, &set, &fetch, patience)?;
            let there = if fetched.is_none() { ": it was there already, whole" } else { "" };
            lines.push(format!("{}: set {:.16}{there}", printable(&fetch.dir.to_string_lossy()), set.id.to_string()));
            sets.push(json!({"path": fetch.dir, "set_id": set.id, "samples": set.samples, "fetched_bytes": fetched}));
        }
        Ok((json!({"sets": sets, "notes": []}), lines.join("\n")))
    }

    /// Fetches a set from the first URL that has it. Returns the number of bytes; `None` if the set was there already.
    fn bring(file: &Path, set: &LockedSet, fetch: &Fetch, patience: Patience) -> anyhow::Result<Option<u64>> {
        if Manifest::read(&fetch.dir).is_ok_and(|own| own.set_id == set.id) {
            let start = |samples| Progress::start(fetch.verbosity, "verify", samples, "samples");
            let fault = verify_dir(&fetch.dir, Some(&start)).into_iter().next();
            return Ok(fault.map_or(Ok(None), Err)?);
        }
        let mut failed = None;
        for url in &set.urls {
            let open = || RemoteSet::open(&Location::parse(&format!("{url}#{}", set.id))?, patience);
            match open() {
                Ok(remote) => return Ok(Some(pull(&remote, fetch)?)),
                Err(error) => {
                    if fetch.verbosity == Verbosity::Normal && set.urls.len() > 1 {
                        eprintln!("pull: {}", printable(&error.to_string()));
                    }
                    failed = Some(error);
                }
            }
        }
        let (what, expected) = (format!("{}: {}", file.display(), set.name), "a URL to fetch the set from");
        Err(failed.map_or_else(|| BaseError::usage(what, expected, "none").into(), anyhow::Error::from))
    }
}
