//! Opens NumPy files of events: a structured array (`.npy`), or an archive of columns or of one such array (`.npz`).
//! Times are microseconds unless the caller gives another unit.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use npyz::DType;

use crate::error::{BaseFault, Error, Result};
use crate::source::layout::Layout;
use crate::source::numbers::{EventBlock, Numbers};
use crate::source::numpy::{EventArray, FieldLayout, NAMES, RecordLayout, is_number, read_header};
use crate::source::options::SourceOptions;
use crate::source::raw::MAX_SAMPLE_EVENTS;
use crate::source::stream::{EventStore, EventStream};
use crate::source::timeline::Timeline;
use crate::source::unit::TimeUnit;

/// Opens a `.npy` file.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::WrongType`] for an array without event fields; [`Error::DamagedRecording`] if
/// the header cannot be parsed, or the file is shorter than the header says.
pub(super) fn open_npy(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path, "open the recording"))?);
    let (dtype, len) = read_header(path, "header", &mut file)?;
    let record = RecordLayout::of(path, "array", &dtype)?;
    let begin = file.stream_position().map_err(Error::io(path, "read the recording"))?;
    let bytes = file.get_ref().metadata().map_err(Error::io(path, "read the recording"))?.len();
    let needed = len.checked_mul(record.bytes as u64).and_then(|data| data.checked_add(begin));
    if needed.is_none_or(|needed| needed > bytes) {
        let reason = format!("its header promises {len} events of {} bytes, the file has {bytes} bytes", record.bytes);
        return Err(Error::damaged(path, "array", reason));
    }
    let columns = EventStore::Array(EventArray { path: path.into(), begin, record });
    Ok(stream(path, Layout::Npy, options, len, columns))
}

/// Checks that a `.npz` file has a table of its arrays, which is at its end.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::DamagedRecording`].
pub(super) fn check_npz(path: &Path) -> Result<()> {
    open_archive(path).map(|_| ())
}

fn open_archive(path: &Path) -> Result<Archive> {
    let file = File::open(path).map_err(Error::io(path, "open the recording"))?;
    zip::ZipArchive::new(BufReader::new(file)).map_err(|e| Error::damaged(path, "archive", e))
}

/// Opens a `.npz` file and reads it into memory.
///
/// # Errors
/// Those of [`open_npy`]; [`Error::WrongType`] also for columns of different lengths, and for more events than a sample
/// may have.
pub(super) fn open_npz(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    let mut archive = open_archive(path)?;
    let entries = archive.file_names().flatten();
    let names: Vec<String> = entries.filter_map(|name| Some(name.strip_suffix(".npy")?.to_string())).collect();
    let find = |aliases: &[&str]| names.iter().find(|name| aliases.contains(&name.as_str()));
    let unit = options.time_unit.unwrap_or(TimeUnit::Microseconds);
    let [t, x, y, p] = NAMES.map(find);
    let mut fractions = None;
    let block = if let (Some(t), Some(x)) = (t, x) {
        let t = read_column(path, &mut archive, t)?;
        let mut column = |name: &String| {
            let numbers = read_column(path, &mut archive, name)?;
            match numbers.len() == t.len() {
                true => Ok(numbers),
                false => {
                    let expected = format!("{} events, as t has", t.len());
                    Err(Error::wrong_type(path, name, expected, numbers.len()))
                }
            }
        };
        fractions = t.fractions();
        let x = column(x)?.pixels();
        let y = y.map(&mut column).transpose()?.map(Numbers::pixels);
        let p = p.map(&mut column).transpose()?.map(Numbers::polarities);
        Some(EventBlock { t: t.times(unit), x, y, p })
    } else if let [only] = &names[..] {
        let record = |dtype: &DType| RecordLayout::of(path, only, dtype).map(|record| (record.bytes, record));
        let (record, data) = read_entry(path, &mut archive, only, record)?;
        fractions = record.times(&data).fractions();
        Some(record.block(&data, unit))
    } else {
        None
    };
    let expected = "the arrays t and x, and y and p if there are any, or one structured array";
    let block = block.ok_or_else(|| Error::wrong_type(path, "arrays", expected, names.join(", ")))?;
    let mut stream = stream(path, Layout::Npz, options, block.len() as u64, EventStore::Memory(block));
    stream.time.fractions = fractions;
    Ok(stream)
}

fn stream(path: &Path, layout: Layout, options: &SourceOptions, len: u64, columns: EventStore) -> EventStream {
    EventStream {
        path: path.into(),
        layout,
        time: Timeline::new(options, TimeUnit::Microseconds, None),
        len,
        sensor: None,
        label: None,
        time_offset: None,
        linked: Vec::new(),
        columns,
    }
}

/// Number of events of a `.npz` file, from the header of its times or of its only array. `None` if that takes more than
/// a header.
pub(super) fn npz_events(path: &Path) -> Option<u64> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path).ok()?)).ok()?;
    let names: Vec<String> = archive.file_names().flatten().map(Into::into).collect();
    let times = names.iter().find(|name| name.strip_suffix(".npy").is_some_and(|name| NAMES[0].contains(&name)));
    let array = times.or(names.first().filter(|_| names.len() == 1))?;
    Some(read_header(path, array, &mut archive.by_name(array).ok()?).ok()?.1)
}

type Archive = zip::ZipArchive<BufReader<File>>;

/// Reads a column of numbers from an archive.
fn read_column(path: &Path, archive: &mut Archive, name: &str) -> Result<Numbers> {
    let (field, data) = read_entry(path, archive, name, |dtype| match dtype {
        DType::Plain(number) if is_number(number) => {
            Ok((number.size_field() as usize, FieldLayout { offset: 0, number: number.clone() }))
        }
        other => Err(Error::wrong_type(path, name, "integers or floats", other.descr())),
    })?;
    let bytes = field.number.size_field() as usize;
    Ok(field.column(&data, bytes))
}

/// Reads an array's data from an archive. The buffer grows with the data, because the size in the header is not
/// trusted. `of` gives the bytes per element, and a value that is returned with the data.
fn read_entry<T>(
    path: &Path,
    archive: &mut Archive,
    name: &str,
    of: impl Fn(&DType) -> Result<(usize, T)>,
) -> Result<(T, Vec<u8>)> {
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| Error::damaged(path, name, e))?;
    let (dtype, len) = read_header(path, name, &mut entry)?;
    let (bytes, made) = of(&dtype)?;
    if len > MAX_SAMPLE_EVENTS {
        let expected = format!("at most {MAX_SAMPLE_EVENTS} events, because an archive has to be in memory as a whole");
        return Err(Error::wrong_type(path, name, expected, len));
    }
    let needed = len as usize * bytes;
    let mut data = Vec::new();
    entry.take(needed as u64).read_to_end(&mut data).map_err(|e| Error::damaged(path, name, e))?;
    if data.len() < needed {
        let reason = format!("its header promises {needed} bytes, there are {}", data.len());
        return Err(Error::damaged(path, name, reason));
    }
    Ok((made, data))
}
