//! Where the bytes of a set come from: a directory, or another place that implements [`Storage`].

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;

use crate::error::Result;
use crate::manifest::{Manifest, ShardEntry};

/// A place that holds the files of one set.
pub trait Storage: Debug + Send + Sync {
    /// The directory of the set or, in other places, the text that errors call it by, such as an URL.
    fn path(&self) -> &Path;

    /// Reads and checks the manifest.
    ///
    /// # Errors
    /// As [`Manifest::read`], and errors of the place.
    fn manifest(&self) -> Result<Manifest>;

    /// Opens a shard that the manifest lists.
    ///
    /// # Errors
    /// [`crate::Error::Incomplete`] if there is no such file; [`tonic_base::Error::Corrupt`] if it has another length than
    /// `entry` says; errors of the place.
    fn shard(&self, entry: &ShardEntry) -> Result<Box<dyn ShardFile>>;
}

/// A shard file, open for reading.
pub trait ShardFile: Debug + Send + Sync {
    /// Path of the file, or the text that errors call it by.
    fn path(&self) -> &Path;

    /// Length of the file in bytes when it was opened.
    fn size(&self) -> u64;

    /// Copies the bytes at `range` of the file into `out`, whose content is replaced.
    ///
    /// # Errors
    /// [`tonic_base::Error::Corrupt`] if the file is shorter than when it was opened; [`tonic_base::Error::Io`]; errors
    /// of the place.
    fn read(&self, range: Range<u64>, out: &mut Vec<u8>) -> Result<()>;

    /// Reads the whole file into memory and locks it there.
    ///
    /// # Errors
    /// The error of the operating system if the limit on locked memory is too low, or if the file is not on this
    /// machine.
    fn pin(&self) -> std::io::Result<()>;

    /// Asks the system to read the file into memory, before the program needs it.
    fn read_ahead(&self);

    /// Says that the bytes at `range`, which are of one chunk, will be read soon. Calls for several chunks come in the
    /// order in which they will be read. Returns `false` if the file makes no use of it: then it is not told any more.
    fn will_read(&self, _range: Range<u64>) -> bool {
        false
    }
}
