//! Opens NumPy files (`.npy`) with one array: an array of records, or a table (an array with several numbers for each
//! event). Times are in microseconds, unless the caller or the type of the array (such as `datetime64[ms]`) gives
//! another unit.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::columns::{ArrayInfo, FieldPath, GUESSED_EVENTS, Part, Role, Survey};
use crate::source::fields::survey;
use crate::source::layout::Layout;
use crate::source::layouts::npy_columns::{Found, LOOKED, lane, lanes, no_label};
use crate::source::numpy::{ArrayData, EventArray, Header};
use crate::source::options::SourceOptions;
use crate::source::packed::{Local, local};
use crate::source::stream::{EventStore, EventStream};

/// Opens a `.npy` file.
///
/// # Errors
/// - [`Error::Columns`] and [`Error::UnknownLayout`] if the columns cannot be found.
/// - [`Error::WrongType`] if a field in the user's map is not a column of numbers.
/// - [`Error::Foreign`] for Python objects, another file format, or a second array.
/// - [`Error::DamagedRecording`] for a damaged header or a file that is too short.
/// - [`tonic_base::Error::Usage`] if the user's map names a label.
pub(crate) fn open_npy(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    no_label(path, options.map.as_ref())?;
    let local = local(path)?;
    let mut file = BufReader::new(File::open(&*local).map_err(Error::io(path, "open the recording"))?);
    let header = Header::read(path, "header", &mut file)?;
    header.check_unpickled(path, "")?;
    let bytes = file.get_ref().metadata().map_err(Error::io(path, "read the recording"))?.len();
    if header.data_bytes() > bytes.saturating_sub(header.bytes) {
        let (items, item) = (header.items(), header.dtype.bytes());
        let reason = format!("its header promises {items} items of {item} bytes, the file has {bytes} bytes");
        return Err(Error::damaged(path, "array", reason));
    }
    let array = NpyArray { path, local: &local, info: [header.info("")], header: &header };
    let fields = match &options.map {
        // The array has no name, so each name in a map is the name of a field.
        Some(map) => map.fields(|name| name.is_empty()).map(|field| {
            field.map(|FieldPath { array, part }| FieldPath {
                array: String::new(),
                part: match part {
                    Part::Whole => Part::Member(array),
                    Part::Column { index, .. } if header.has_records() => Part::Member(format!("{array}[{index}]")),
                    part => part,
                },
            })
        }),
        None => survey::find(path, &array, options.columns.as_ref())?,
    };
    let lanes = lanes(&fields, |field| lane(path, &header, field))?;
    let mut found = Found::new(fields, lanes, &array.info, None, None, Vec::new());
    found.set_unit(path, &array, None, options)?;
    let data = ArrayData::File { path: path.into(), local: local.clone(), begin: header.bytes };
    let columns = EventStore::Array(EventArray::new(data, lanes));
    let mut stream = found.stream(path, Layout::Npy, options, |_| columns);
    stream.notes.extend(after_array(path, &mut file, header.bytes + header.data_bytes(), bytes)?);
    Ok(stream)
}

/// Returns a note for the user if bytes follow the array, which ends at byte `end`. `bytes` is the size of the file.
///
/// # Errors
/// [`Error::Foreign`] if a second array follows; [`tonic_base::Error::Io`].
fn after_array(path: &Path, file: &mut BufReader<File>, end: u64, bytes: u64) -> Result<Option<String>> {
    let rest = bytes - end;
    if rest == 0 {
        return Ok(None);
    }
    let mut head = Vec::new();
    let read = file.seek(SeekFrom::Start(end)).and_then(|_| file.take(6).read_to_end(&mut head));
    read.map_err(Error::io(path, "read the recording"))?;
    if head.starts_with(b"\x93NUMPY") {
        return Err(Error::Foreign {
            path: path.into(),
            place: format!("byte {end}"),
            expected: "the end of the array".into(),
            format: format!("another array after it, in the last {rest} bytes"),
            reader: "call np.load once for each array of the open file, and save each to a file of its own".into(),
            command: None,
        });
    }
    Ok(Some(format!("the {rest} bytes after the array of {} are not read", path.display())))
}

struct NpyArray<'a> {
    path: &'a Path,
    local: &'a Local,
    info: [ArrayInfo; 1],
    header: &'a Header,
}

impl Survey for NpyArray<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.info
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let lane = self.header.lane(&field.part).ok()?;
        let (path, local) = (self.path.into(), self.local.clone());
        let data = ArrayData::File { path, local, begin: self.header.bytes };
        let array = EventArray::new(data, [Some(lane), None, None, None]);
        Some(array.column(Role::T, 0..lane.len.min(GUESSED_EVENTS)).ok()??.floats())
    }

    fn looked(&self) -> String {
        LOOKED.into()
    }
}
