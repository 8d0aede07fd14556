//! Where the bytes of a set come from: a local directory, or for example a server.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::manifest::{Manifest, ShardEntry};

/// Whether `place` is a URL, not the path of a directory.
pub fn is_url(place: &Path) -> bool {
    let scheme = place.to_str().and_then(|text| text.split_once("://"));
    scheme.is_some_and(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Returns an error if `dir` is a URL. Without this check, a program would write to a local directory with a name
/// such as `s3:`. In the error, `what` says what the directory is for.
///
/// # Errors
/// [`tonic_base::Error::Usage`].
pub fn refuse_url(what: &str, dir: &Path) -> Result<()> {
    let expected = "a directory on this machine (tonic-prep push sends sets to URLs)";
    if is_url(dir) { Err(Error::usage(what, expected, "a URL")) } else { Ok(()) }
}

/// Access to the files of one set, for example in a directory or on a server.
pub trait Storage: Debug + Send + Sync {
    /// Returns the path of the set's directory. If the set isn't local, returns the name that errors use for it, such
    /// as a URL.
    fn path(&self) -> &Path;

    /// Reads and checks the manifest of the set.
    ///
    /// # Errors
    /// Errors of [`Manifest::read`]; for a set on a server, also network errors.
    fn manifest(&self) -> Result<Manifest>;

    /// Opens the shard that the manifest lists as `entry`.
    ///
    /// # Errors
    /// [`crate::Error::Incomplete`] if there is no such file; [`tonic_base::Error::Corrupt`] if its length is not the
    /// one in `entry`; for a set on a server, also network errors. For a set on a server, these errors can come later,
    /// when the shard is read.
    fn shard(&self, entry: &ShardEntry) -> Result<Box<dyn ShardFile>>;

    /// Returns how many shards to open at the same time.
    fn connections(&self) -> usize {
        1
    }
}

/// A shard file, open for reading.
pub trait ShardFile: Debug + Send + Sync {
    /// Returns the path of the file. If the file isn't on this machine, returns the name that errors use for it, such
    /// as a URL.
    fn path(&self) -> &Path;

    /// Length of the file in bytes when it was opened.
    fn size(&self) -> u64;

    /// Reads the bytes of the file at the offsets `range`. Replaces the content of `out`.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the file has become shorter since it was opened; [`tonic_base::Error::Io`];
    /// for a file on a server, also network errors.
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()>;

    /// Reads the whole file into memory and locks it there.
    ///
    /// # Errors
    /// If the limit on locked memory is too low, or if the file is not on this machine.
    fn pin(&self) -> std::io::Result<()>;

    /// Asks the operating system to read the file into memory before the program needs it.
    fn read_ahead(&self);

    /// Announces that the chunk at the offsets `range` will be read soon. Chunks are announced in the order in which
    /// they will be read.
    fn will_read(&self, _range: Range<u64>) {}

    /// Forgets the bytes at the offsets `range`, which have arrived damaged. The next read fetches them again.
    /// Returns whether a second read can help: `false` for a file that isn't fetched from a server.
    fn forget(&self, _range: Range<u64>) -> bool {
        false
    }

    /// Returns whether announced chunks are fetched before they are read, and kept on this machine for later reads.
    fn is_fetched_ahead(&self) -> bool {
        false
    }
}
