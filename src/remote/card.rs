//! Sends and fetches the card of a set: README.md and a picture, which describe the set to people.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tonic_base::{Error as BaseError, publish};
use tonic_shard::{CARD, CARD_PICTURE};

use crate::error::{BaseFault, Error, Result};
use crate::store::Store;

pub(crate) const CARD_FILES: [&str; 2] = [CARD, CARD_PICTURE];
/// Maximum size in bytes of each file of a card.
const MOST: u64 = 16 << 20;

/// Sends the files of the card in `dir` to `folder`, the folder of the set. Leaves out files that are already there
/// with the same bytes. Returns the number of bytes sent.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for a file of more than 16 MiB; errors of the server and of the disk.
pub(crate) fn send_card(dir: &Path, folder: &Store) -> Result<u64> {
    let mut sent = 0;
    for name in CARD_FILES {
        let path = dir.join(name);
        let own = match std::fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            own => own.map_err(Error::io(&path, "read the card"))?,
        };
        if own.len() as u64 > MOST {
            let file = path.display().to_string();
            return Err(Error::usage(file, format!("a card of at most {MOST} bytes"), own.len()));
        }
        // Of two processes that send a card, the last one wins.
        loop {
            let there = folder.get(name, MOST)?;
            if there.as_ref().is_some_and(|(bytes, _)| *bytes == own) {
                break;
            }
            if folder.swap(name, there.as_ref().map(|(_, version)| version), own.clone().into())? {
                sent += own.len() as u64;
                break;
            }
        }
    }
    Ok(sent)
}

/// Reads the files of a set's card from the server. Returns, for each file, its path in `dir` and its bytes. Unless
/// `overwrite` is true, leaves out files that `dir` has already.
pub(crate) fn read_card(folder: &Store, dir: &Path, overwrite: bool) -> Result<Vec<(PathBuf, Bytes)>> {
    let mut files = Vec::new();
    for name in CARD_FILES {
        let path = dir.join(name);
        if path.exists() && !overwrite {
            continue;
        }
        match folder.get(name, MOST) {
            Ok(Some((bytes, _))) => files.push((path, bytes)),
            Ok(None) => {}
            // A store that doesn't let us list objects gives this error for an object that doesn't exist.
            Err(Error::Base(BaseError::Io { source, .. })) if source.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Writes the files of a card that [`read_card`] has read.
pub(crate) fn write_card(files: &[(PathBuf, Bytes)]) -> Result<()> {
    Ok(files.iter().try_for_each(|(path, bytes)| publish(path, bytes))?)
}
