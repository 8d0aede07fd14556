//! Writes arrays as NumPy files.

use std::io::{BufWriter, Write};
use std::path::Path;

use npyz::{AutoSerialize, WriteOptions, WriterBuilder};
use tonic_base::{BaseFault, Draft, Error, Result};

/// Writes an array to a `.npy` file. `numbers` has its elements in C order. Returns the size of the file in bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npy<T: AutoSerialize>(path: &Path, shape: &[u64], numbers: impl Iterator<Item = T>) -> Result<u64> {
    let draft = Draft::create(path)?;
    let mut out = BufWriter::new(&draft.file);
    let write = || -> std::io::Result<()> {
        let mut npy = WriteOptions::new().default_dtype().shape(shape).writer(&mut out).begin_nd()?;
        npy.extend(numbers)?;
        npy.finish()?;
        out.flush()
    };
    write().map_err(Error::io(path, "write the array"))?;
    drop(out);
    let bytes = draft.file.metadata().map_err(Error::io(path, "read its size"))?.len();
    draft.publish()?;
    Ok(bytes)
}
