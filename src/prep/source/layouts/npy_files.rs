//! Opens NumPy files of events. A `.npy` file has one array: of records, or with several numbers for each event (a
//! table). A `.npz` file is an archive of arrays: one for each column, or one of records, or a table. Times are in
//! microseconds, unless the caller or the type of the array (such as `datetime64[ms]`) gives another unit.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::result::ZipError;

use crate::error::{BaseFault, Error, Result};
use crate::source::check::Pixels;
use crate::source::columns::{
    ArrayInfo, EventBlock, FieldPath, Fields, GUESSED_EVENTS, Numbers, Part, Polarities, Role, Survey, TakenColumns,
    TakenField, UnusableField, elsewhere, list, survey, unusable,
};
use crate::source::formats;
use crate::source::layout::Layout;
use crate::source::numpy::{EventArray, Header, Lane, NumberKind};
use crate::source::options::SourceOptions;
use crate::source::raw::MAX_SAMPLE_EVENTS;
use crate::source::stream::{ClassLabel, EventStore, EventStream, ONE_CLASS};
use crate::source::times::{TimeUnit, Timeline};

/// Maximum number of arrays that are read from one archive. Further arrays are ignored.
const MAX_ARRAYS: usize = 4096;
/// Text for error messages: the fields that were expected in a NumPy file.
const LOOKED: &str = "fields t and x, and y and p if there are any, by their usual names";

/// Opens a `.npy` file.
///
/// # Errors
/// [`tonic_base::Error::Io`]. [`Error::Columns`] and [`Error::UnknownLayout`] if the columns cannot be found.
/// [`Error::WrongType`] if a field in the user's map is not a column of numbers. [`Error::Foreign`] for Python objects,
/// for another file format, and for a second array in the file. [`Error::DamagedRecording`] if the header cannot be
/// parsed, or if the file is shorter than the header says. [`tonic_base::Error::Usage`] if the user's map names a
/// label, because the only array of the file has the events.
pub(crate) fn open_npy(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    if let Some(label) = named_label(options) {
        let expected = format!("no label for {}, which is one array and has no class", path.display());
        return Err(Error::usage("map", expected, format!("label={label}")));
    }
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path, "open the recording"))?);
    let header = Header::read(path, "header", &mut file)?;
    header.check_unpickled(path, "")?;
    let bytes = file.get_ref().metadata().map_err(Error::io(path, "read the recording"))?.len();
    if header.data_bytes() > bytes.saturating_sub(header.bytes) {
        let (items, item) = (header.items(), header.dtype.bytes());
        let reason = format!("its header promises {items} items of {item} bytes, the file has {bytes} bytes");
        return Err(Error::damaged(path, "array", reason));
    }
    let array = NpyArray { path, info: [header.info("")], header: &header };
    let fields = match &options.map {
        // The array has no name: all that a map says is fields.
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
    let found = Found::new(fields, lanes, &array.info, None);
    let columns = EventStore::Array(EventArray { path: path.into(), begin: header.bytes, lanes });
    let mut stream = found.stream(path, Layout::Npy, options, |_| columns);
    stream.notes.extend(after_array(path, &mut file, header.bytes + header.data_bytes(), bytes)?);
    Ok(stream)
}

/// Checks whether a `.npy` file has bytes after its array. The array ends at byte `end`, and the file has `bytes`
/// bytes. Returns a note for the user if there are such bytes.
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

/// Reads the headers of a `.npz` file, and the label if the user's map names one, but no events. Returns which fields
/// are the columns of events, the label, and the number of events.
///
/// # Errors
/// The errors of [`open_npz`] that can be found without reading events.
pub(crate) fn npz_head(path: &Path, options: &SourceOptions) -> Result<(TakenColumns, Option<ClassLabel>, u64)> {
    let archive = Archive::open(path)?;
    let found = archive.find(options)?;
    Ok((found.taken(found.time(options).unit), archive.label(options)?, found.len))
}

/// Opens a `.npz` file and reads its events into memory.
///
/// # Errors
/// Errors of [`open_npy`] except [`tonic_base::Error::Usage`]. [`Error::MissingDataset`] if the archive lacks an array
/// of the user's map. [`Error::WrongType`] also for columns of different lengths, for more than [`MAX_SAMPLE_EVENTS`]
/// events, and for a label that is not one class. [`Error::NotPixels`] and [`Error::Columns`] for coordinates and
/// polarities that cannot be used.
pub(crate) fn open_npz(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let archive = Archive::open(path)?;
    let found = archive.find(options)?;
    let columns = archive.columns(&found)?;
    let mut notes = Vec::new();
    for role in [Role::X, Role::Y] {
        let i = role as usize;
        if let (Some(Numbers::F64(coordinates)), Some(field)) = (&columns[i], &found.fields[i]) {
            let mut pixels = Pixels::new(role, options.sensor);
            pixels.add(coordinates);
            notes.extend(pixels.judge(path, &field.to_string())?);
        }
    }
    if let Some(numbers) = &columns[Role::P as usize] {
        let mut polarities = Polarities::default();
        polarities.add(numbers);
        let taken = found.taken(found.time(options).unit);
        polarities.judge(path, Layout::Npz, &taken, options.sensor)?;
        notes.extend(taken.fields[Role::P as usize].as_ref().and_then(|p| polarities.note(&p.field)));
    }
    let fractions = columns[0].as_ref().and_then(Numbers::fractions);
    let memory = |unit| EventStore::Memory(EventBlock::of(columns, unit));
    let mut stream = found.stream(path, Layout::Npz, options, memory);
    stream.time.fractions = fractions;
    Ok(EventStream { notes, label: archive.label(options)?, ..stream })
}

/// Returns the name of the array that the user's map gives as the label.
fn named_label(options: &SourceOptions) -> Option<&str> {
    options.map.as_ref().and_then(|map| map.label.as_deref())
}

/// Returns where the numbers of t, x, y and p are in the data of their arrays. `lane` finds this for one field.
fn lanes(fields: &Fields, lane: impl Fn(&FieldPath) -> Result<Lane>) -> Result<[Option<Lane>; 4]> {
    let [t, x, y, p] = fields.each_ref().map(|field| field.as_ref().map(&lane).transpose());
    Ok([t?, x?, y?, p?])
}

fn lane(path: &Path, header: &Header, field: &FieldPath) -> Result<Lane> {
    let wrong = |expected| Error::wrong_type(path, &field.to_string(), expected, header.info(""));
    header.lane(&field.part).map_err(wrong)
}

/// The columns t, x, y and p that were found in a file.
struct Found {
    fields: Fields,
    lanes: [Option<Lane>; 4],
    /// Number of events.
    len: u64,
    /// Fields that have one entry for each event, but were not taken for a column.
    unused: Vec<String>,
    /// Names of other arrays of the file that are not used, or of groups of such arrays.
    others: Vec<String>,
    /// Fields that have the name of a column, but whose type or shape does not fit.
    unusable: Vec<UnusableField>,
}

impl Found {
    fn new(fields: Fields, lanes: [Option<Lane>; 4], arrays: &[ArrayInfo], label: Option<&str>) -> Found {
        let len = lanes[0].map_or(0, |t| t.len);
        let unused = survey::left_over(arrays, &fields, len);
        let used = fields.iter().flatten().map(|field| field.array.as_str());
        let used: Vec<&str> = used.chain(label).chain(unused.iter().map(String::as_str)).collect();
        let others = elsewhere(arrays, &used);
        let unusable = unusable(arrays, &fields, len);
        Found { fields, lanes, len, unused, others, unusable }
    }

    /// Returns how the times are read. Their unit is the one in the options, or else the one in the array's type, or
    /// else microseconds.
    fn time(&self, options: &SourceOptions) -> Timeline {
        let own = match self.lanes[0].map(|t| t.number.kind) {
            Some(NumberKind::Time(tick)) => Some(tick.unit()),
            _ => None,
        };
        let mut time = Timeline::new(options, own.unwrap_or(TimeUnit::Microseconds), None);
        time.unit_given |= own.is_some();
        time
    }

    fn taken(&self, unit: TimeUnit) -> TakenColumns {
        let taken = |i: usize| {
            let (field, kind) = (self.fields[i].as_ref()?.to_string(), self.lanes[i]?.number.to_string());
            Some(TakenField { field, kind })
        };
        let (unused, others, unusable) = (self.unused.clone(), self.others.clone(), self.unusable.clone());
        TakenColumns { fields: [0, 1, 2, 3].map(taken), unit: Some(unit), unused, others, unusable }
    }

    fn stream(
        &self,
        path: &Path,
        layout: Layout,
        options: &SourceOptions,
        columns: impl FnOnce(TimeUnit) -> EventStore,
    ) -> EventStream {
        let time = self.time(options);
        let unit = time.unit;
        EventStream {
            path: path.into(),
            layout,
            time,
            len: self.len,
            sensor: None,
            label: None,
            time_offset: None,
            taken: self.taken(unit),
            linked: Vec::new(),
            notes: Vec::new(),
            columns: columns(unit),
        }
    }
}

/// The array of a `.npy` file.
struct NpyArray<'a> {
    path: &'a Path,
    info: [ArrayInfo; 1],
    header: &'a Header,
}

impl Survey for NpyArray<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.info
    }

    fn sample(&self, field: &FieldPath) -> Option<Vec<f64>> {
        let lane = self.header.lane(&field.part).ok()?;
        let array =
            EventArray { path: self.path.into(), begin: self.header.bytes, lanes: [Some(lane), None, None, None] };
        Some(array.column(Role::T, 0..lane.len.min(GUESSED_EVENTS)).ok()??.floats())
    }

    fn looked(&self) -> String {
        LOOKED.into()
    }
}

/// An open `.npz` archive, and the headers of its arrays.
struct Archive<'a> {
    path: &'a Path,
    zip: RefCell<zip::ZipArchive<BufReader<File>>>,
    headers: Vec<(String, Header)>,
    arrays: Vec<ArrayInfo>,
}

impl<'a> Archive<'a> {
    /// Opens an archive and reads the headers of its arrays.
    fn open(path: &'a Path) -> Result<Archive<'a>> {
        let mut file = File::open(path).map_err(Error::io(path, "open the recording"))?;
        let mut head = [0; 2];
        let zipped = file.read_exact(&mut head).is_ok() && head == *b"PK";
        if !zipped {
            return Err(formats::foreign(path, "", &formats::head_of(path), "a NumPy archive"));
        }
        file.rewind().map_err(Error::io(path, "read the recording"))?;
        let mut zip = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| Error::damaged(path, "archive", e))?;
        let all: Vec<String> = zip.file_names().flatten().map(String::from).collect();
        let names = all.iter().filter_map(|name| name.strip_suffix(".npy")).take(MAX_ARRAYS);
        let mut headers = Vec::new();
        for name in names {
            let mut entry = entry(path, &mut zip, name)?;
            headers.push((name.to_string(), Header::read(path, name, &mut entry)?));
        }
        if headers.is_empty() {
            return Err(formats::zip_archive(path, &all));
        }
        let arrays = headers.iter().map(|(name, header)| header.info(name)).collect();
        Ok(Archive { path, zip: RefCell::new(zip), headers, arrays })
    }

    fn header(&self, name: &str) -> Option<&Header> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, header)| header)
    }

    /// Returns the header of the array `name`, or an error if the archive lacks the array or if the array has Python
    /// objects.
    fn needed(&self, name: &str) -> Result<&Header> {
        let header = self.header(name).ok_or_else(|| Error::MissingDataset {
            path: self.path.into(),
            dataset: name.into(),
            layout: Layout::Npz.name(),
            present: list(&self.arrays),
        })?;
        header.check_unpickled(self.path, name)?;
        Ok(header)
    }

    /// Reads the recording's class from the array that the user's map gives as the label. `None` if the map has no
    /// label.
    fn label(&self, options: &SourceOptions) -> Result<Option<ClassLabel>> {
        let Some(name) = named_label(options) else { return Ok(None) };
        let header = self.needed(name)?;
        let wrong = |got: String| Error::wrong_type(self.path, name, ONE_CLASS, got);
        if header.items() != 1 {
            return Err(wrong(header.info("").to_string()));
        }
        let data = self.read(name)?;
        let class = match (header.one_integer(&data), header.one_text(&data)) {
            (Some(number), _) => ClassLabel::of_number(number).ok_or_else(|| wrong(number.to_string()))?,
            (_, Some(text)) if !text.is_empty() => ClassLabel::Name(text),
            _ => return Err(wrong(header.info("").to_string())),
        };
        Ok(Some(class))
    }

    /// Finds the columns of events, and checks that they have the same length.
    fn find(&self, options: &SourceOptions) -> Result<Found> {
        let path = self.path;
        let fields = match &options.map {
            Some(map) => map.fields(|name| self.header(name).is_some()),
            None => survey::find(path, self, options.columns.as_ref())?,
        };
        let lanes = lanes(&fields, |field| {
            let header = self.needed(&field.array)?;
            lane(path, header, field)
        })?;
        let found = Found::new(fields, lanes, &self.arrays, named_label(options));
        for (field, lane) in found.fields.iter().flatten().zip(lanes.iter().flatten()) {
            let wrong = |expected: String| Err(Error::wrong_type(path, &field.to_string(), expected, lane.len));
            if lane.len != found.len {
                return wrong(format!("{} events, as t has", found.len));
            }
            if lane.len > MAX_SAMPLE_EVENTS {
                let why = "because an archive has to be in memory as a whole";
                return wrong(format!("at most {MAX_SAMPLE_EVENTS} events, {why}"));
            }
        }
        Ok(found)
    }

    /// Reads the columns t, x, y and p. An array that has several of these columns is read only once.
    fn columns(&self, found: &Found) -> Result<[Option<Numbers>; 4]> {
        let mut columns = [None, None, None, None];
        let mut data: Option<(&str, Vec<u8>)> = None;
        let mut order = [0, 1, 2, 3];
        order.sort_by_key(|&i| found.fields[i].as_ref().map(|field| field.array.clone()));
        for i in order {
            let (Some(field), Some(lane)) = (&found.fields[i], &found.lanes[i]) else { continue };
            let bytes = match data.take().filter(|(name, _)| *name == field.array) {
                Some((_, bytes)) => bytes,
                None => self.read(&field.array)?,
            };
            columns[i] = Some(lane.of_array(&bytes, u64::MAX));
            data = Some((&field.array, bytes));
        }
        Ok(columns)
    }

    /// Reads an array's data. The buffer grows with the data, because the size in the header is not trusted.
    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let mut zip = self.zip.borrow_mut();
        let mut entry = entry(self.path, &mut zip, name)?;
        let bad = |reason: &dyn std::fmt::Display| Error::damaged(self.path, name, reason);
        let needed = Header::read(self.path, name, &mut entry)?.data_bytes();
        let mut data = Vec::new();
        entry.take(needed).read_to_end(&mut data).map_err(|e| bad(&e))?;
        if (data.len() as u64) < needed {
            return Err(bad(&format!("its header promises {needed} bytes, there are {}", data.len())));
        }
        Ok(data)
    }
}

/// Opens the array `name` of an archive for reading.
fn entry<'a>(
    path: &Path,
    zip: &'a mut zip::ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<zip::read::ZipFile<'a, BufReader<File>>> {
    zip.by_name(&format!("{name}.npy")).map_err(|e| match e {
        ZipError::UnsupportedArchive(_) => Error::Foreign {
            path: path.into(),
            place: name.into(),
            expected: "deflate as its compression".into(),
            format: e.to_string(),
            reader: "load it with NumPy and save it again with np.savez_compressed".into(),
            command: None,
        },
        e => Error::damaged(path, name, e),
    })
}

impl Survey for Archive<'_> {
    fn arrays(&self) -> &[ArrayInfo] {
        &self.arrays
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
