//! Opens NumPy archives (`.npz`) of events: one array for each column, one array of records, or one table (an array
//! with several numbers for each event). Times are in microseconds, unless the caller, the type of the array (such as
//! `datetime64[ms]`) or an array with one entry gives another unit.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use zip::CompressionMethod;
use zip::result::ZipError;

use crate::error::{BaseFault, Error, Result};
use crate::source::check::check_columns;
use crate::source::columns::{
    ArrayInfo, EventBlock, FieldPath, GUESSED_EVENTS, MAX_ARRAYS, Numbers, Survey, TakenColumns,
};
use crate::source::commands::once;
use crate::source::formats;
use crate::source::layout::Layout;
use crate::source::layouts::named_arrays::{self, NamedArrays};
use crate::source::layouts::npy_columns::LOOKED;
use crate::source::numpy::{Header, Lane};
use crate::source::options::SourceOptions;
use crate::source::packed::{local, open_zip, repeated_name};
use crate::source::raw::MAX_SAMPLE_EVENTS;
use crate::source::stream::{ClassLabel, EventStore, EventStream};
use crate::time_unit::TimeUnit;

/// Opens an `.npz` file without reading its events. Returns the fields that are the columns, the label if the user's
/// map names one, and the number of events.
pub(crate) fn npz_head(path: &Path, options: &SourceOptions) -> Result<(TakenColumns, Option<ClassLabel>, u64)> {
    let archive = Archive::open(path)?;
    let found = named_arrays::find(&archive, options)?;
    Ok((found.taken(found.time(options).unit), named_arrays::label(&archive, options)?, found.len))
}

/// Opens a `.npz` file and reads its events into memory.
///
/// # Errors
/// - Errors of `open_npy` except [`tonic_base::Error::Usage`].
/// - [`Error::MissingDataset`] if the archive lacks an array of the user's map.
/// - [`Error::WrongType`] for columns of different lengths, too many events, or a label that is not one class.
/// - [`Error::NotPixels`] and [`Error::Columns`] for unusable coordinates and polarities.
pub(crate) fn open_npz(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let archive = Archive::open(path)?;
    let found = named_arrays::find(&archive, options)?;
    let columns = named_arrays::columns(&archive, &found)?;
    let taken = found.taken(found.time(options).unit);
    let notes = check_columns(path, Layout::Npz, &columns, &taken, options.sensor)?;
    let fractions = columns[0].as_ref().and_then(Numbers::fractions);
    let memory = |unit| EventStore::Memory(EventBlock::of(columns, unit));
    let mut stream = found.stream(path, Layout::Npz, options, memory);
    stream.time.fractions = fractions;
    Ok(EventStream { notes, label: named_arrays::label(&archive, options)?, ..stream })
}

type Zip = zip::ZipArchive<BufReader<File>>;

/// An open `.npz` archive, and the headers of its arrays.
struct Archive<'a> {
    path: &'a Path,
    zip: RefCell<Zip>,
    headers: Vec<(Member, Header)>,
    arrays: Vec<ArrayInfo>,
    /// Whether there are more arrays than are listed.
    has_more: bool,
}

/// A file in an archive. The file holds one array.
struct Member {
    /// Name of the array: the name of the file without the ending `.npy`.
    name: String,
    /// Index of the file in the archive.
    index: usize,
}

impl<'a> Archive<'a> {
    /// Opens an archive and reads the headers of its arrays.
    fn open(path: &'a Path) -> Result<Archive<'a>> {
        let mut file = File::open(&*local(path)?).map_err(Error::io(path, "open the recording"))?;
        let mut head = [0; 2];
        let zipped = file.read_exact(&mut head).is_ok() && head == *b"PK";
        if !zipped {
            return Err(formats::foreign(path, "", &formats::head_of(path), "a NumPy archive"));
        }
        file.rewind().map_err(Error::io(path, "read the recording"))?;
        let unreadable = |e| Error::damaged(path, "archive", e);
        let mut zip = open_zip(file).map_err(unreadable)?;
        if zip.has_duplicate_names() {
            let start = zip.central_directory_start();
            let name = repeated_name(zip.into_inner(), start).map_err(Error::io(path, "read the recording"))?;
            return Err(repeated(path, &name, "the last"));
        }
        let all = zip.file_names().map(|name| Ok(name?.into())).collect::<Result<Vec<String>, _>>();
        let all = all.map_err(unreadable)?;
        // macOS adds a file of attributes for each file.
        let of_macos = |name: &str| name.starts_with("__MACOSX/") || name.starts_with("._") || name.contains("/._");
        let names = all.iter().enumerate().filter(|(_, name)| !of_macos(name));
        let (mut headers, mut has_more): (Vec<(Member, Header)>, bool) = (Vec::new(), false);
        for (index, file) in names {
            // NumPy also reads arrays whose file lacks the ending.
            let name = match file.strip_suffix(".npy") {
                Some(name) => name,
                None if is_array(&mut zip, index) => file,
                None => continue,
            };
            if headers.len() == MAX_ARRAYS {
                has_more = true;
                break;
            }
            if headers.iter().any(|(member, _)| member.name == name) {
                return Err(repeated(path, &format!("{name}, with and without .npy"), "that without"));
            }
            let member = Member { name: name.into(), index };
            let header = Header::read(path, name, &mut entry(path, &mut zip, &member)?)?;
            headers.push((member, header));
        }
        if headers.is_empty() {
            return Err(formats::zip_archive(path, &all));
        }
        let arrays = headers.iter().map(|(member, header)| header.info(&member.name)).collect();
        Ok(Archive { path, zip: RefCell::new(zip), headers, arrays, has_more })
    }

    fn find_array(&self, name: &str) -> Option<&(Member, Header)> {
        self.headers.iter().find(|(member, _)| member.name == name)
    }
}

impl NamedArrays for Archive<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn layout(&self) -> Layout {
        Layout::Npz
    }

    fn header(&self, name: &str) -> Option<&Header> {
        self.find_array(name).map(|(_, header)| header)
    }

    /// The events of an archive are read into memory all at once, so their number is limited.
    fn most_events(&self) -> u64 {
        MAX_SAMPLE_EVENTS
    }

    fn usual_unit(&self, _times: &FieldPath, _lane: Lane) -> TimeUnit {
        TimeUnit::Microseconds
    }

    fn tells(&self, _times: &str) -> Vec<Vec<(String, String)>> {
        vec![self.headers.iter().map(|(member, _)| (member.name.clone(), member.name.clone())).collect()]
    }

    /// Reads an array's data. The buffer grows with the data, because the size in the header is not trusted.
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let bad = |reason: &dyn std::fmt::Display| Error::damaged(self.path, name, reason);
        let (member, _) = self.find_array(name).ok_or_else(|| bad(&"it is not there"))?;
        let mut zip = self.zip.borrow_mut();
        let mut entry = entry(self.path, &mut zip, member)?;
        let needed = Header::read(self.path, name, &mut entry)?.data_bytes();
        let mut data = Vec::new();
        entry.take(needed).read_to_end(&mut data).map_err(|e| bad(&e))?;
        if (data.len() as u64) < needed {
            return Err(bad(&format!("its header promises {needed} bytes, there are {}", data.len())));
        }
        Ok(data)
    }
}

/// Returns whether a file in an archive begins with NumPy's signature.
fn is_array(zip: &mut Zip, index: usize) -> bool {
    let mut head = [0; 6];
    zip.by_index(index).is_ok_and(|mut file| file.read_exact(&mut head).is_ok()) && head == *b"\x93NUMPY"
}

/// Returns the error for an archive with two arrays called `name`. `taken` describes the one that NumPy reads.
fn repeated(path: &Path, name: &str, taken: &str) -> Error {
    Error::Foreign {
        path: path.into(),
        place: "archive".into(),
        expected: "each name once".into(),
        format: format!("two of {name}"),
        reader: format!("NumPy takes {taken}; if that is right, save a copy with it alone"),
        command: once(path).map(Box::new),
    }
}

/// Opens an array of an archive for reading.
fn entry<'a>(path: &Path, zip: &'a mut Zip, member: &Member) -> Result<zip::read::ZipFile<'a, BufReader<File>>> {
    let name = &*member.name;
    let foreign = |format: String| Error::Foreign {
        path: path.into(),
        place: name.into(),
        expected: "deflate as its compression".into(),
        format,
        reader: format!(
            "save it again with NumPy: np.savez_compressed(\"deflated.npz\", **np.load({:?}))",
            path.file_name().unwrap_or_default().to_string_lossy()
        ),
        command: None,
    };
    let entry = zip.by_index(member.index).map_err(|e| match e {
        ZipError::UnsupportedArchive(_) => foreign(e.to_string()),
        e => Error::damaged(path, name, e),
    })?;
    match entry.compression() {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => Ok(entry),
        CompressionMethod::BZIP2 => Err(foreign("bzip2".into())),
        CompressionMethod::LZMA => Err(foreign("LZMA".into())),
        CompressionMethod::ZSTD => Err(foreign("Zstandard".into())),
        CompressionMethod::XZ => Err(foreign("xz".into())),
        other => Err(foreign(format!("another method ({other})"))),
    }
}

impl Survey for Archive<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.arrays
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let lane = self.header(&field.array)?.lane(&field.part).ok()?;
        if lane.len > MAX_SAMPLE_EVENTS {
            return None;
        }
        Some(lane.of_array(&self.read(&field.array).ok()?, GUESSED_EVENTS).floats())
    }

    fn looked(&self) -> String {
        LOOKED.into()
    }
}
