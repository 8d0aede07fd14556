//! Writes arrays as NumPy files: `.npy`, and several in an `.npz`.

use std::io::{BufWriter, Seek, Write};
use std::path::Path;

use npyz::{AutoSerialize, WriteOptions, WriterBuilder};
use tonic_base::{BaseFault, Draft, Error, Result};

/// Writes an array to a `.npy` file. `numbers` are the elements of the array in C order. Returns the size of the file
/// in bytes.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npy<T: AutoSerialize>(path: &Path, shape: &[u64], numbers: impl Iterator<Item = T>) -> Result<u64> {
    let draft = Draft::create(path)?;
    let mut out = BufWriter::new(&draft.file);
    let write = || -> std::io::Result<()> {
        write_array(&mut out, shape, numbers)?;
        out.flush()
    };
    write().map_err(Error::io(path, "write the array"))?;
    drop(out);
    let bytes = draft.file.metadata().map_err(Error::io(path, "read its size"))?.len();
    draft.publish()?;
    Ok(bytes)
}

fn write_array<T: AutoSerialize>(
    out: &mut impl Write,
    shape: &[u64],
    numbers: impl Iterator<Item = T>,
) -> std::io::Result<()> {
    let mut npy = WriteOptions::new().default_dtype().shape(shape).writer(out).begin_nd()?;
    npy.extend(numbers)?;
    npy.finish()
}

/// An array of an `.npz` file: its name, its shape and its elements in C order.
pub type NamedArray = (String, Vec<u64>, Elements);

/// The elements of an array.
#[derive(Clone, Debug)]
pub enum Elements {
    /// float32.
    F32(Vec<f32>),
    /// uint8, such as the bytes of a text.
    U8(Vec<u8>),
}

/// Writes several arrays to an `.npz` file, without compression.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npz(path: &Path, arrays: &[NamedArray]) -> Result<()> {
    let draft = Draft::create(path)?;
    write_archive(&draft.file, arrays).map_err(Error::io(path, "write the arrays"))?;
    draft.publish()
}

fn write_archive(file: impl Write + Seek, arrays: &[NamedArray]) -> std::io::Result<()> {
    let mut archive = zip::ZipWriter::new(file);
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, shape, numbers) in arrays {
        archive.start_file(format!("{name}.npy"), options)?;
        match numbers {
            Elements::F32(numbers) => write_array(&mut archive, shape, numbers.iter().copied())?,
            Elements::U8(numbers) => write_array(&mut archive, shape, numbers.iter().copied())?,
        }
    }
    archive.finish()?;
    Ok(())
}
