//! Finds the other files that an HDF5 file refers to, in the folders where libhdf5 looks for them.

use std::path::{Path, PathBuf};

use crate::source::hdf::cause::last_words;

/// The environment variable that names the folders to search first for sources of virtual datasets.
pub(super) const VIRTUAL_PREFIX: &str = "HDF5_VDS_PREFIX";
/// The environment variable that names the folders to search first for targets of external links.
pub(super) const LINK_PREFIX: &str = "HDF5_EXT_PREFIX";
/// The environment variable that names the folder of external raw files.
const RAW_PREFIX: &str = "HDF5_EXTFILE_PREFIX";
/// An environment variable such as [`VIRTUAL_PREFIX`] can begin with this text, which stands for the folder of the HDF5
/// file.
const ORIGIN: &str = "${ORIGIN}";

/// Finds and opens the HDF5 file `name`, to which the HDF5 file `from` refers. `prefix` is the environment variable
/// that names the folders to search first. The error is a text that follows the file's name in a message.
pub(super) fn open(name: &str, from: &Path, prefix: &str) -> Result<(PathBuf, hdf5::File), String> {
    let mut refused = None;
    for path in candidates(name, from, std::env::var(prefix).ok().as_deref()) {
        match std::fs::metadata(&path) {
            Ok(meta) if !meta.is_file() => return Err("which is no regular file".into()),
            Ok(_) => match hdf5::File::open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) => refused = refused.or(Some(format!("which cannot be opened ({})", last_words(&error)))),
            },
            Err(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| "which is not there".into()))
}

/// Returns the path at which the file `name` was expected, for messages. The HDF5 file `from` refers to it.
pub(super) fn expected_at(name: &str, from: &Path) -> PathBuf {
    folder(from).join(name)
}

/// Returns the path of the external raw file `name`, to which the HDF5 file `from` refers.
pub(super) fn raw_file(name: &str, from: &Path) -> PathBuf {
    let prefix = std::env::var(RAW_PREFIX).unwrap_or_default();
    with_origin(&prefix, from).join(name)
}

fn candidates(name: &str, from: &Path, prefix: Option<&str>) -> Vec<PathBuf> {
    let given = Path::new(name);
    let (mut found, mut rest) = (Vec::new(), given);
    if given.is_absolute() {
        found.push(given.to_path_buf());
        rest = given.file_name().map_or(given, Path::new);
    }
    if let Some(prefixes) = prefix {
        found.extend(prefixes.split(':').filter(|one| !one.is_empty()).map(|one| Path::new(one).join(rest)));
        found.push(with_origin(prefixes, from).join(rest));
    }
    found.push(folder(from).join(rest));
    found.push(rest.to_path_buf());
    found.extend(from.canonicalize().ok().map(|from| folder(&from).join(rest)));
    found
}

fn with_origin(prefix: &str, from: &Path) -> PathBuf {
    match prefix.strip_prefix(ORIGIN) {
        Some(below) => folder(from).join(below.trim_start_matches('/')),
        None => PathBuf::from(prefix),
    }
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_where_libhdf5_does() {
        let paths = |name, prefix| {
            let found = candidates(name, Path::new("no/where/a.h5"), prefix);
            found.iter().map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(paths("b.h5", None), ["no/where/b.h5", "b.h5"]);
        assert_eq!(paths("/x/b.h5", None), ["/x/b.h5", "no/where/b.h5", "b.h5"]);
        assert_eq!(paths("b.h5", Some("/p:/q"))[..2], ["/p/b.h5", "/q/b.h5"]);
        assert!(paths("b.h5", Some("${ORIGIN}/raw")).contains(&"no/where/raw/b.h5".into()));
    }
}
