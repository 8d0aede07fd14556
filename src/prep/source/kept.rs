//! Keeps the temporary files of packed recordings from the first look at a folder until the events are read, so that
//! each is unpacked once. Recordings beyond the limits on disk and memory are unpacked again.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tonic_base::free_space;

use crate::source::hdf;
use crate::source::packed::{self, Local, local};

/// The kept files take at most `1 / SHARE` of the space that the folder of temporary files would have free without
/// them.
const SHARE: u64 = 4;
/// Maximum total weight of the files that are kept. Each of them is an open file, with a weight of 1 or [`HDF5`].
const MOST: u64 = 256;
/// Weight of an HDF5 file: libhdf5 opens it once more, and keeps up to 2 MiB of it in memory.
const HDF5: u64 = 8;

/// Total size and total weight of the files that are kept.
static TOTAL: Mutex<(u64, u64)> = Mutex::new((0, 0));

/// A packed recording whose temporary file is kept.
#[derive(Debug)]
pub(crate) struct Kept {
    _local: Local,
    bytes: u64,
    weight: u64,
}

impl Kept {
    /// Unpacks a recording, if code that reads at any offset will read it. Returns `None` for other files, for damaged
    /// files (which the caller will find out), and beyond the limits.
    pub(crate) fn unpack(path: &Path) -> Option<Kept> {
        if !packed::is_packed(path) {
            return None;
        }
        let head = packed::head(path, 8).ok()?;
        let (local, weight) = match &head[..] {
            b"\x89HDF\r\n\x1a\n" => (hdf::open_cached(path).ok()?.local().clone(), HDF5),
            [0x93, b'N', b'U', b'M', ..] | [b'P', b'K', 3, 4, ..] | b"MATLAB 5" => (local(path).ok()?, 1),
            _ => return None,
        };
        let bytes = local.unpacked_bytes()?;
        let free = free_space(&std::env::temp_dir())?;
        let mut total = TOTAL.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = total.0 + bytes <= (free + total.0) / SHARE && total.1 + weight <= MOST;
        if fits {
            *total = (total.0 + bytes, total.1 + weight);
        }
        fits.then_some(Kept { _local: local, bytes, weight })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let mut total = TOTAL.lock().unwrap_or_else(PoisonError::into_inner);
        *total = (total.0 - self.bytes, total.1 - self.weight);
    }
}
