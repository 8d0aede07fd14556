//! Lock files: TOML files with the ids of the sets that a project uses.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tonic_base::publish;
use tonic_shard::{Error as ShardError, Id, Manifest, ShardFault as _};

use crate::error::{BaseFault, Error, Result};

/// The first lines of a lock file.
const HEAD: &str = "# Sets by their ids, which name their content. Written by `tonic-prep lock`; fetched by
# `tonic-prep pull --lock`; `tonic-train fit --lock` trains on these sets only.\n\n";

/// The sets of a lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockFile {
    /// The sets, in the order in which they were added.
    #[serde(default, rename = "set")]
    pub sets: Vec<LockedSet>,
}

/// A set of a lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSet {
    /// Name of the set and of the folder for its copy. Unique in the file.
    pub name: String,
    /// Id of the set.
    pub id: Id,
    /// URLs of the set, without credentials and without the id after `#`. Can be empty.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Number of samples.
    pub samples: u64,
    /// Recipe of the set, as TOML.
    pub recipe: String,
}

impl LockFile {
    /// Reads the lock file at `path`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if the file is not a lock file; [`tonic_base::Error::Io`].
    pub fn read(path: &Path) -> Result<LockFile> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the lock file"))?;
        let bad = |got: String| Error::usage(path.display().to_string(), "a lock file, as `lock` writes it", got);
        let file: LockFile = toml::from_str(&text).map_err(|e| bad(e.to_string().replace('\n', " ")))?;
        for (i, set) in file.sets.iter().enumerate() {
            if !is_name(&set.name) {
                return Err(bad(format!("the name {:?}, which no folder can have", set.name)));
            }
            if file.sets[..i].iter().any(|other| other.name == set.name) {
                return Err(bad(format!("two sets with the name {}", set.name)));
            }
        }
        Ok(file)
    }

    /// Adds a set under the name `name`.
    ///
    /// - If the file already has this set under this name, only adds its URL.
    /// - If the file has another set under this name, replaces that set, unless `name` is in `fresh`.
    ///
    /// `fresh` lists the names that the current command has added so far. `name` is appended to it.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`] if `name` cannot be the name of a folder, or if `fresh` has this name and the set
    /// under this name has another id.
    pub fn add(&mut self, name: &str, url: Option<String>, manifest: &Manifest, fresh: &mut Vec<String>) -> Result<()> {
        if !is_name(name) {
            return Err(Error::usage("places", "a place that ends with a name, or NAME=PLACE", format!("{name:?}")));
        }
        let Manifest { set_id, description, .. } = manifest;
        let locked = LockedSet {
            name: name.into(),
            id: *set_id,
            urls: Vec::new(),
            samples: description.samples,
            recipe: description.recipe.clone(),
        };
        let at = self.sets.iter().position(|set| set.name == name).unwrap_or_else(|| {
            self.sets.push(locked.clone());
            self.sets.len() - 1
        });
        let set = &mut self.sets[at];
        if set.id != *set_id {
            if fresh.iter().any(|other| other == name) {
                let got = format!("{name} for {} and for {set_id}", set.id);
                return Err(Error::usage("places", "one set for each name, or NAME=PLACE", got));
            }
            *set = locked;
        }
        set.urls.extend(url.filter(|url| !set.urls.contains(url)));
        fresh.push(name.into());
        Ok(())
    }

    /// Writes the lock file to `path`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    ///
    /// # Panics
    /// Never: texts, numbers and lists of them are TOML.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string_pretty(self).expect("sets are TOML");
        Ok(publish(path, format!("{HEAD}{text}").as_bytes())?)
    }

    /// Checks that the set with this id, at `place`, is in this lock file. `path` is the path of the lock file.
    ///
    /// # Errors
    /// [`tonic_shard::Error::Mismatch`] if the id is not in the file. Its field `expected` has the id that the file has
    /// for the name of `place`, see [`name_of`]. If the file doesn't have this name, the field has all ids.
    pub fn check(&self, path: &Path, place: &Path, id: Id) -> Result<(), ShardError> {
        if self.sets.iter().any(|set| set.id == id) {
            return Ok(());
        }
        let name = name_of(place);
        let named = self.sets.iter().filter(|set| set.name == name).map(|set| set.id.to_string()).next();
        let all = || self.sets.iter().map(|set| format!("{} ({})", set.id, set.name)).collect::<Vec<_>>().join(" or ");
        let expected = named.unwrap_or_else(all);
        let expected = if expected.is_empty() { "no set".into() } else { expected };
        Err(ShardError::mismatch(place, path, "locked set_id", expected, id.to_string()))
    }
}

/// Returns the name of the set at `place`, a directory or a URL: the last part of the path.
pub fn name_of(place: &Path) -> String {
    let text = place.to_string_lossy();
    let path = text.split(['#', '?']).next().unwrap_or_default().trim_end_matches("manifest.json");
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().into()
}

/// Returns the name of a directory, also for a path such as `.`.
pub fn directory_name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.into());
    whole.file_name().unwrap_or(whole.as_os_str()).to_string_lossy().into_owned()
}

/// Whether a folder can have this name on every operating system.
fn is_name(name: &str) -> bool {
    let is_odd = |c: char| c.is_control() || "/\\:*?\"<>|#".contains(c);
    !name.is_empty() && !name.starts_with('.') && !name.contains(is_odd) && name.len() <= 200
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_have_the_names_of_their_folders() {
        for (place, name) in [
            ("shards/train", "train"),
            ("shards/train/", "train"),
            ("s3://lab/ssc/train#00ff", "train"),
            ("https://lab.example/ssc/test/manifest.json?x=1", "test"),
            (".", "."),
        ] {
            assert_eq!(name_of(Path::new(place)), name);
        }
        for (name, good) in [("train", true), ("ssc train ä", true), ("..", false), (".git", false), ("a/b", false)] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
