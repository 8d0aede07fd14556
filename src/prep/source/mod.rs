//! Sources: the layouts that recordings come in.
//!
//! libhdf5 has one global lock, so a source is read by one thread, in large pieces that workers take apart.

pub mod hsd;
pub mod synth;

use std::path::Path;

use crate::error::{Error, Result};

/// Opens an HDF5 file, and says plainly what is wrong where that fails.
///
/// # Errors
/// [`Error::Io`] for a file that is not there or may not be read, [`Error::NotHdf5`] for one that is no HDF5 or is cut
/// short.
pub fn open_hdf5(path: &Path) -> Result<hdf5::File> {
    let file = std::fs::File::open(path).map_err(Error::io(path, "open the recording"))?;
    let meta = file.metadata().map_err(Error::io(path, "open the recording"))?;
    let not_hdf5 = |got: String| Error::NotHdf5 { path: path.into(), got };
    if meta.is_dir() {
        return Err(not_hdf5("a directory".into()));
    }
    if meta.len() == 0 {
        return Err(not_hdf5("an empty file".into()));
    }
    hdf5::File::open(path).map_err(|e| {
        if e.to_string().contains("unable to lock file") {
            let why = "it is locked: another program writes it, or its file system has no locks \
                       (with HDF5_USE_FILE_LOCKING=FALSE in the environment, it is read all the same)";
            return Error::io(path, "open the recording")(std::io::Error::new(std::io::ErrorKind::WouldBlock, why));
        }
        let head = std::io::Read::bytes(file).take(8).filter_map(std::result::Result::ok).collect::<Vec<u8>>();
        if head == *b"\x89HDF\r\n\x1a\n" {
            not_hdf5(format!("a damaged one of {} bytes, cut short perhaps ({})", meta.len(), last_words(&e)))
        } else {
            not_hdf5(format!("a file that begins with {:?}", String::from_utf8_lossy(&head)))
        }
    })
}

/// The innermost of libhdf5's messages, which is the one that says why.
pub(crate) fn last_words(error: &hdf5::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().unwrap_or(&text).to_string()
}
