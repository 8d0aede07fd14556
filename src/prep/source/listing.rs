//! Lists a folder: its recordings, its sub-folders, and what is skipped because it is no recording.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tonic_shard::{MANIFEST_FILE, MARKER};

use crate::error::{BaseFault, Error, Result};

/// File extensions of recordings.
pub(super) const ENDINGS: [&str; 5] = ["h5", "hdf5", "hdf", "npy", "npz"];
/// Maximum depth of nested folders, so that symbolic link loops end.
const MAX_DEPTH: usize = 16;
/// Folders made by operating systems and tools. They hold no recordings and are no classes.
const SYSTEM_FOLDERS: [&str; 6] =
    ["__MACOSX", "__pycache__", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"];

/// What a folder holds. Names are paths from the folder on, with `/` between their parts, and sorted.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Recordings, told by the ending of their names.
    pub files: Vec<String>,
    /// Sub-folders at every depth, empty ones too. Not those of converted sets.
    pub folders: Vec<String>,
    /// Number of converted sets.
    sets: u64,
    /// Number of skipped files by the ending of their names, and of hidden ones by name.
    skipped: BTreeMap<String, u64>,
}

impl Listing {
    /// Lists `dir`. `known` are files that the caller names, such as a table of labels: they are not counted as
    /// skipped, whichever path leads to them.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`Error::NotARecording`] for folders nested too deeply and names that are not UTF-8.
    pub(super) fn of(dir: &Path, known: &[&Path]) -> Result<Listing> {
        let known: Vec<PathBuf> = known.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let mut listing = Listing::default();
        listing.add(dir, "", &known, MAX_DEPTH)?;
        listing.files.sort_unstable();
        listing.folders.sort_unstable();
        Ok(listing)
    }

    fn add(&mut self, dir: &Path, prefix: &str, known: &[PathBuf], depth: usize) -> Result<()> {
        let refused = |expected: String, got: String| Err(Error::not_a_recording(dir, expected, got));
        if depth == 0 {
            return refused(format!("at most {MAX_DEPTH} folders in each other"), "deeper ones".into());
        }
        for entry in std::fs::read_dir(dir).map_err(Error::io(dir, "list the folder"))? {
            let path = entry.map_err(Error::io(dir, "list the folder"))?.path();
            let lossy = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            let ours = ending.as_ref().is_some_and(|ending| ENDINGS.contains(&ending.as_str()));
            let hidden = lossy.starts_with('.');
            let meta = match std::fs::metadata(&path) {
                Ok(meta) => meta,
                Err(_) if hidden || !ours => {
                    self.skip(&lossy, ending);
                    continue;
                }
                Err(e) => return Err(Error::io(&path, "open the recording")(e)),
            };
            if meta.is_dir() && is_set(&path) {
                self.sets += 1;
            } else if meta.is_dir() && (hidden || SYSTEM_FOLDERS.contains(&lossy.as_str())) {
                *self.skipped.entry(format!("{lossy}/")).or_default() += 1;
            } else if meta.is_dir() || (ours && meta.is_file() && !hidden) {
                let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                    return refused("names in UTF-8".into(), format!("{lossy:?}"));
                };
                let name = format!("{prefix}{name}");
                if meta.is_dir() {
                    let before = (self.files.len(), self.folders.len(), self.sets);
                    self.add(&path, &format!("{name}/"), known, depth - 1)?;
                    let sets_only =
                        (self.files.len(), self.folders.len()) == (before.0, before.1) && self.sets > before.2;
                    if !sets_only {
                        self.folders.push(name);
                    }
                } else {
                    self.files.push(name);
                }
            } else if known.is_empty() || !path.canonicalize().is_ok_and(|path| known.contains(&path)) {
                self.skip(&lossy, ending);
            }
        }
        Ok(())
    }

    fn skip(&mut self, name: &str, ending: Option<String>) {
        let kind = match (name.strip_prefix('.'), ending) {
            (Some(rest), _) if rest.starts_with('_') => "._*".into(),
            (Some(_), _) => name.into(),
            (None, Some(ending)) => format!(".{ending}"),
            (None, None) => "without an ending".into(),
        };
        *self.skipped.entry(kind).or_default() += 1;
    }

    /// What was skipped, such as `3 (2 .txt, 1 .DS_Store)`. `None` if nothing was.
    pub(super) fn skipped(&self) -> Option<String> {
        let mut kinds: Vec<(&String, &u64)> = self.skipped.iter().collect();
        kinds.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let all: u64 = self.skipped.values().sum();
        (all > 0).then(|| format!("{all} ({})", some_of(&kinds)))
    }
}

/// Whether a folder is a converted set, be it finished or not.
fn is_set(path: &Path) -> bool {
    [MANIFEST_FILE, MARKER].iter().any(|name| path.join(name).exists())
}

/// A list of names for a message, cut after the first few.
pub(super) fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    /// Maximum number of names.
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(MOST);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}
