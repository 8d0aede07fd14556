//! Shows progress while the recordings of a conversion are opened, which can read and decode all of their bytes.

use std::fs::{DirEntry, Metadata};
use std::io::Result as IoResult;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tonic_base::{Progress, Verbosity};

use crate::convert::conversion::Conversion;
use crate::convert::inputs::Inputs;
use crate::error::Result;
use crate::source::{Cut, bytes_to_read, watch};

/// If there are more files than this, no progress is shown: asking for their sizes would take long.
const MOST_FILES: usize = 256;

/// Opens the recordings of a conversion. Shows a bar of bytes, if files are read.
///
/// # Errors
/// Those of [`Inputs::open`].
pub(super) fn open(conversion: &Conversion) -> Result<Inputs> {
    let Conversion { inputs, source, verbosity, .. } = conversion;
    let total = if *verbosity == Verbosity::Quiet { None } else { bytes_of(inputs) };
    let Some(total) = total else { return Inputs::open(inputs, source) };
    let shown: Arc<OnceLock<Progress>> = Arc::default();
    let (own, verbosity) = (Arc::clone(&shown), *verbosity);
    // If samples are cut, each file of a folder is read twice: when it is examined, and when it is cut.
    let is_twice = source.cut != Cut::Whole && inputs.iter().any(|path| path.is_dir());
    let watching = watch(if is_twice { 0.5 } else { 1.0 }, move |bytes| {
        own.get_or_init(|| Progress::start(verbosity, "read", total, "B")).add_ahead(bytes);
    });
    let opened = Inputs::open(inputs, source);
    drop(watching);
    if let Some(progress) = Arc::into_inner(shown).and_then(OnceLock::into_inner) {
        progress.clear();
    }
    opened
}

/// Returns the total size of the files, and of the files in folders. `None` if there are many, or if a size is unknown.
fn bytes_of(paths: &[PathBuf]) -> Option<u64> {
    let (mut waiting, mut bytes, mut files) = (paths.to_vec(), 0_u64, 0);
    while let Some(path) = waiting.pop() {
        files += 1;
        if files > MOST_FILES {
            return None;
        }
        match std::fs::metadata(&path).as_ref().map(Metadata::is_dir) {
            Ok(false) => bytes = bytes.saturating_add(bytes_to_read(&path).ok()?),
            Ok(true) => {
                waiting.extend(members(&path).ok()?);
                if waiting.len() > MOST_FILES {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
    Some(bytes)
}

/// Lists a folder. Leaves out links to folders, which may lead in circles.
fn members(dir: &Path) -> IoResult<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.take(MOST_FILES + 1).collect::<IoResult<Vec<_>>>()?;
    let is_linked_folder =
        |entry: &DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink()) && entry.path().is_dir();
    Ok(entries.iter().filter(|entry| !is_linked_folder(entry)).map(DirEntry::path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_folders_add_up() {
        let dir = std::env::temp_dir().join(format!("tonic-prep-opening-{}", std::process::id()));
        let file = |name: &str, bytes: usize| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![1; bytes]).unwrap();
        };
        file("a/b/x.raw", 10);
        file("a/y.raw", 7);
        let of = |names: &[&str]| bytes_of(&names.iter().map(|name| dir.join(name)).collect::<Vec<_>>());
        assert_eq!(of(&["a", "a/y.raw"]), Some(24));
        assert_eq!(of(&["a/none.raw"]), None);
        #[cfg(unix)]
        std::os::unix::fs::symlink(&dir, dir.join("a/round")).unwrap();
        assert_eq!(of(&["a"]), Some(17));
        (0..=MOST_FILES).for_each(|i| file(&format!("many/{i}"), 1));
        assert_eq!(of(&["many"]), None);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
