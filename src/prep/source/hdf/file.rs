//! Opens HDF5 files, inspects their datasets, and makes errors for damage and for missing compression filters.

use std::ops::Range;
use std::panic;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use hdf5::filters::Filter;
use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Dataset};

use crate::error::{BaseFault, Error, Result};
use crate::source::formats;
use crate::source::hdf::cause::{damaged, last_words};
use crate::source::hdf::checked::File;
use crate::source::hdf::types;
use crate::source::packed::{member, open_local};

/// Size in bytes of libhdf5's cache of decompressed chunks, per dataset. Without it, libhdf5 would decompress a chunk
/// again for each of its samples.
const CHUNK_CACHE: usize = 16 << 20;
/// Number of slots in the hash table of libhdf5's cache of decompressed chunks. libhdf5 recommends a prime.
const CHUNK_SLOTS: usize = 4_099;

/// HDF5 compression filters: registered number, name, and where users can get the plugin.
const FILTERS: [(i32, &str, &str); 10] = [
    (4, "szip", "h5repack of an HDF5 that was built with szip"),
    (307, "bzip2", HDF5PLUGIN),
    (32004, "LZ4", HDF5PLUGIN),
    (32008, "bitshuffle", HDF5PLUGIN),
    (32013, "ZFP", HDF5PLUGIN),
    (32015, "Zstandard", HDF5PLUGIN),
    (32017, "SZ", HDF5PLUGIN),
    (32024, "SZ3", HDF5PLUGIN),
    (32026, "Blosc2", HDF5PLUGIN),
    (0x8ecf, "ECF, Prophesee's event compression", "Metavision SDK and github.com/prophesee-ai/hdf5_ecf have it"),
];
const HDF5PLUGIN: &str = "`pip install hdf5plugin` has it, at hdf5plugin.PLUGIN_PATH";

/// Opens an HDF5 file.
///
/// # Errors
/// `Io` for a file that doesn't exist or cannot be read; `NotARecording` for a file that is not HDF5 or is truncated;
/// `Foreign` for a file in another known format.
pub(crate) fn open(path: &Path) -> Result<File> {
    open_with(path, &hdf5::File::with_options())
}

/// Opens an HDF5 file with a cache of decompressed chunks, for reads of many small ranges.
pub(crate) fn open_cached(path: &Path) -> Result<File> {
    let mut options = hdf5::File::with_options();
    options.with_fapl(|plist| plist.chunk_cache(CHUNK_SLOTS, CHUNK_CACHE, 0.75));
    open_with(path, &options)
}

fn open_with(path: &Path, options: &hdf5::FileBuilder) -> Result<File> {
    let file = std::fs::File::open(member(path).map_or(path.into(), |(archive, _)| archive))
        .map_err(Error::io(path, "open the recording"))?;
    let meta = file.metadata().map_err(Error::io(path, "open the recording"))?;
    let not_hdf5 = |got: String| Error::not_a_recording(path, "an HDF5 file", got);
    if meta.is_dir() {
        return Err(not_hdf5("a directory".into()));
    }
    if meta.len() == 0 {
        return Err(not_hdf5("an empty file".into()));
    }
    let (opened, local) = open_local(path, |path| options.open(path))?;
    opened.map(|file| File::new(file, local)).map_err(|e| {
        if e.to_string().contains("unable to lock file") {
            let why = "it is locked: another program writes it, or its file system has no locks \
                       (with HDF5_USE_FILE_LOCKING=FALSE in the environment, it is read all the same)";
            return Error::io(path, "open the recording")(std::io::Error::new(std::io::ErrorKind::WouldBlock, why));
        }
        let head = formats::head_of(path);
        if head.starts_with(b"\x89HDF\r\n\x1a\n") {
            return not_hdf5(format!(
                "one of {} bytes that cannot be opened, cut short perhaps ({})",
                meta.len(),
                last_words(&e)
            ));
        }
        formats::recognised(path, &head).unwrap_or_else(|| {
            let head = &head[..head.len().min(8)];
            not_hdf5(format!("a file that begins with {:?}", String::from_utf8_lossy(head)))
        })
    })
}

/// Returns the type of a dataset's entries.
///
/// # Errors
/// [`Error::WrongType`] for a type that is no number, record, array or text.
pub(crate) fn descriptor(path: &Path, dataset: &Dataset, name: &str) -> Result<TypeDescriptor> {
    let descriptor = dataset.dtype().and_then(|t| types::describe(&t));
    descriptor.map_err(|e| {
        let expected = "integers or floats, as NumPy's astype(\"int64\") makes them";
        Error::wrong_type(path, name, expected, format!("another type ({})", last_words(&e)))
    })
}

/// Makes the error for a range of a dataset that cannot be read: a compression filter is missing, or the file is
/// damaged.
pub(crate) fn unreadable(path: &Path, dataset: &Dataset, name: &str, range: Range<u64>, error: &hdf5::Error) -> Error {
    let lacks_filter = error.stack().is_some_and(|stack| {
        stack.iter().any(|frame| frame.desc().contains("filter") && frame.desc().contains("not registered"))
    });
    if !lacks_filter {
        let place = format!("{name}, events {} to {}", range.start, range.end.saturating_sub(1));
        return damaged(path, &place, error);
    }
    let missing = filters(dataset).iter().find(|filter| !filter.is_available()).map(Filter::id);
    let known = FILTERS.iter().find(|(number, ..)| Some(*number) == missing);
    let number = missing.map_or("an unknown one".into(), |number| match number {
        0x8ecf => "36559 (0x8ECF)".to_string(),
        number => number.to_string(),
    });
    let filter = known.map_or(number.clone(), |(_, filter, _)| format!("{number}: {filter}"));
    let source = known.map_or("whoever wrote the file has it".into(), |(_, _, source)| (*source).to_string());
    Error::unavailable(
        format!("the compression of {} in {}, HDF5 filter {filter},", name, path.display()),
        format!(
            "set HDF5_PLUGIN_PATH to the folder of its HDF5 plugin ({source}), or rewrite the file without it \
             (h5repack -f GZIP=4 IN OUT, where the plugin is)"
        ),
    )
}

/// Returns the compression filters of a dataset. Empty if they cannot be determined.
fn filters(dataset: &Dataset) -> Vec<Filter> {
    // The crate `hdf5` panics if a filter has more than 32 parameters, so the panic is caught and not printed. The
    // panic hook is global to the process, so only one thread at a time may change it.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let filters = panic::catch_unwind(|| dataset.filters()).unwrap_or_default();
    panic::set_hook(hook);
    filters
}

/// Describes a dataset's type and shape, for messages.
pub(crate) fn describe(path: &Path, dataset: &Dataset, name: &str) -> Result<String> {
    Ok(format!("{} of shape {:?}", descriptor(path, dataset, name)?, dataset.shape()))
}

/// Maximum length in bytes of the fixed-length strings that are read.
const LONGEST_TEXT: usize = 256;

/// Reads the strings in a dataset or an attribute as bytes. `None` if the type `kind` is no string, or a string of a
/// fixed length above [`LONGEST_TEXT`].
pub(crate) fn text_bytes(place: &Container, kind: &TypeDescriptor) -> hdf5::Result<Option<Vec<Vec<u8>>>> {
    fn read<T: hdf5::H5Type + AsRef<[u8]>>(place: &Container) -> hdf5::Result<Option<Vec<Vec<u8>>>> {
        Ok(Some(place.read_raw::<T>()?.iter().map(|text| text.as_ref().to_vec()).collect()))
    }
    match *kind {
        TypeDescriptor::FixedAscii(n) if n <= LONGEST_TEXT => read::<FixedAscii<LONGEST_TEXT>>(place),
        TypeDescriptor::FixedUnicode(n) if n <= LONGEST_TEXT => read::<FixedUnicode<LONGEST_TEXT>>(place),
        TypeDescriptor::VarLenAscii => read::<VarLenAscii>(place),
        TypeDescriptor::VarLenUnicode => read::<VarLenUnicode>(place),
        _ => Ok(None),
    }
}

/// Reads a dataset of strings, of any string type, and checks that they are UTF-8.
///
/// # Errors
/// [`Error::WrongType`] for a dataset of another type, and for strings that are too long or in another encoding.
pub(crate) fn strings(path: &Path, dataset: &Dataset, name: &str) -> Result<Vec<String>> {
    let kind = descriptor(path, dataset, name)?;
    let Some(texts) = text_bytes(dataset, &kind).map_err(|e| damaged(path, name, &e))? else {
        let expected = format!("strings of at most {LONGEST_TEXT} bytes");
        return Err(Error::wrong_type(path, name, expected, describe(path, dataset, name)?));
    };
    let decoded = texts.into_iter().enumerate().map(|(i, text)| {
        String::from_utf8(text).map_err(|e| {
            let got = format!("{:?} in entry {i}, in another encoding", String::from_utf8_lossy(e.as_bytes()));
            Error::wrong_type(path, name, "text in UTF-8", got)
        })
    });
    decoded.collect()
}
