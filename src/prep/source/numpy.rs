//! NumPy files: structured arrays with the fields t, x, y and p, in any order and of any types, as Tonic yields and
//! caches them (`.npy`), and archives of such columns or of one such array (`.npz`).
//!
//! Times are microseconds, unless `--time-unit` says otherwise. y and p may be missing.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, NpyHeader, TypeChar, TypeStr};

use super::numbers::{Block, Numbers};
use super::stream::{Columns, Stream};
use super::unit::TimeUnit;
use super::{Layout, MAX_SAMPLE_EVENTS, SourceOptions};
use crate::error::{Error, Result};

/// A header of so many bytes describes any array of events; the parser's stack would not bear much more.
const MAX_HEADER: usize = 4096;
/// Names that fields and columns go by.
const NAMES: [&[&str]; 4] = [
    &["t", "ts", "time", "timestamp", "timestamps"],
    &["x", "xs"],
    &["y", "ys"],
    &["p", "ps", "pol", "polarity", "polarities"],
];

/// A structured array in a file.
#[derive(Debug)]
pub struct Array {
    path: PathBuf,
    /// Where its data begin.
    begin: u64,
    record: Record,
}

/// How records are laid out.
#[derive(Clone, Debug)]
struct Record {
    bytes: usize,
    t: Field,
    x: Field,
    y: Option<Field>,
    p: Option<Field>,
}

/// A number's place in a record, and its type.
#[derive(Clone, Debug)]
struct Field {
    offset: usize,
    number: TypeStr,
}

/// Opens a `.npy` file.
///
/// # Errors
/// [`Error::Io`], [`Error::WrongType`] for an array without such fields, [`Error::DamagedRecording`] for a header that
/// cannot be read or promises more than the file has.
pub fn open_npy(path: &Path, options: &SourceOptions) -> Result<Stream> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io(path, "open the recording"))?);
    let (dtype, len) = header(path, "header", &mut file)?;
    let record = Record::of(path, "array", &dtype)?;
    let begin = file.stream_position().map_err(Error::io(path, "read the recording"))?;
    let bytes = file.get_ref().metadata().map_err(Error::io(path, "read the recording"))?.len();
    let needed = len.checked_mul(record.bytes as u64).and_then(|data| data.checked_add(begin));
    if needed.is_none_or(|needed| needed > bytes) {
        let reason = format!("its header promises {len} events of {} bytes, the file has {bytes} bytes", record.bytes);
        return Err(Error::DamagedRecording { path: path.into(), place: "array".into(), reason });
    }
    let columns = Columns::Array(Array { path: path.into(), begin, record });
    Ok(stream(path, Layout::Npy, options, len, columns))
}

/// Opens a `.npz` file, which is read into memory.
///
/// # Errors
/// As [`open_npy`]; [`Error::WrongType`] also for columns of different lengths and for more events than a sample has.
pub fn open_npz(path: &Path, options: &SourceOptions) -> Result<Stream> {
    let file = File::open(path).map_err(Error::io(path, "open the recording"))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, "archive", &e))?;
    let entries = archive.file_names().flatten();
    let names: Vec<String> = entries.filter_map(|name| Some(name.strip_suffix(".npy")?.to_string())).collect();
    let wrong = |dataset: &str, expected: &str, got: String| Error::WrongType {
        path: path.into(),
        dataset: dataset.into(),
        expected: expected.into(),
        got,
    };
    let find = |aliases: &[&str]| names.iter().find(|name| aliases.contains(&name.as_str()));
    let unit = options.time_unit.unwrap_or(TimeUnit::Microseconds);
    let [t, x, y, p] = NAMES.map(find);
    let block = if let (Some(t), Some(x)) = (t, x) {
        let t = read_column(path, &mut archive, t)?;
        let mut column = |name: &String| {
            let numbers = read_column(path, &mut archive, name)?;
            match numbers.len() == t.len() {
                true => Ok(numbers),
                false => Err(wrong(name, &format!("{} events, as t has", t.len()), numbers.len().to_string())),
            }
        };
        let x = column(x)?.pixels();
        let y = y.map(&mut column).transpose()?.map(Numbers::pixels);
        let p = p.map(&mut column).transpose()?.map(Numbers::polarities);
        Some(Block { t: t.times(unit), x, y, p })
    } else if let [only] = &names[..] {
        let record = |dtype: &DType| Record::of(path, only, dtype).map(|record| (record.bytes, record));
        let (record, data) = read_entry(path, &mut archive, only, record)?;
        Some(record.block(&data, unit))
    } else {
        None
    };
    let expected = "the arrays t and x, and y and p if there are any, or one structured array";
    let block = block.ok_or_else(|| wrong("arrays", expected, names.join(", ")))?;
    Ok(stream(path, Layout::Npz, options, block.len() as u64, Columns::Memory(block)))
}

fn stream(path: &Path, layout: Layout, options: &SourceOptions, len: u64, columns: Columns) -> Stream {
    Stream {
        path: path.into(),
        layout,
        unit: options.time_unit.unwrap_or(TimeUnit::Microseconds),
        len,
        sensor: None,
        label: None,
        time_offset: None,
        columns,
    }
}

fn damaged(path: &Path, place: &str, reason: &dyn std::fmt::Display) -> Error {
    Error::DamagedRecording { path: path.into(), place: place.into(), reason: reason.to_string() }
}

/// Reads an array's header: its type and its length, and leaves the reader where the data begin.
///
/// The text is looked at before it is parsed: the parser multiplies the dimensions and follows every parenthesis.
fn header(path: &Path, place: &str, reader: &mut impl Read) -> Result<(DType, u64)> {
    let bad = |reason: &dyn std::fmt::Display| damaged(path, place, reason);
    let mut head = vec![0; 10];
    reader.read_exact(&mut head).map_err(|e| bad(&e))?;
    if head[..6] != *b"\x93NUMPY" {
        return Err(bad(&"it does not begin as a NumPy array"));
    }
    let mut length = usize::from(u16::from_le_bytes([head[8], head[9]]));
    if head[6] > 1 {
        let mut high = [0; 2];
        reader.read_exact(&mut high).map_err(|e| bad(&e))?;
        length |= usize::from(u16::from_le_bytes(high)) << 16;
        head.extend(high);
    }
    if length > MAX_HEADER {
        return Err(bad(&format!("its header has {length} bytes, of which at most {MAX_HEADER} are read")));
    }
    let before = head.len();
    head.resize(before + length, 0);
    reader.read_exact(&mut head[before..]).map_err(|e| bad(&e))?;
    let text = String::from_utf8_lossy(&head[before..]).into_owned();
    let depth = text.chars().scan(0_i32, |depth, letter| {
        *depth += i32::from(matches!(letter, '(' | '[' | '{')) - i32::from(matches!(letter, ')' | ']' | '}'));
        Some(*depth)
    });
    let mut shapes = text.split("'shape'").skip(1);
    let shape = shapes.next().filter(|_| shapes.next().is_none() && !text.contains(['\\', '"']));
    let shape = shape.and_then(|rest| rest.split_once('(')?.1.split_once(')')).map(|(shape, _)| shape);
    let (Some(shape), true) = (shape, depth.max().unwrap_or(0) <= 8) else {
        return Err(bad(&format!("its header makes no sense: {:?}", text.trim())));
    };
    let sizes: Vec<&str> = shape.split(',').map(str::trim).filter(|size| !size.is_empty()).collect();
    let &[len] = sizes.as_slice() else {
        return Err(Error::WrongType {
            path: path.into(),
            dataset: place.into(),
            expected: "one dimension, an event or a number each".into(),
            got: format!("shape ({shape})"),
        });
    };
    let len = len.parse().map_err(|_| bad(&format!("its shape is ({shape})")))?;
    let header = NpyHeader::from_reader(&head[..]).map_err(|e| bad(&e))?;
    Ok((header.dtype(), len))
}

impl Record {
    fn of(path: &Path, place: &str, dtype: &DType) -> Result<Record> {
        let wrong = || Error::WrongType {
            path: path.into(),
            dataset: place.into(),
            expected: "a structured array with the fields t and x, and y and p if there are any, integers or floats"
                .into(),
            got: dtype.descr(),
        };
        let (mut fields, mut bytes) = ([None, None, None, None], 0_usize);
        let DType::Record(all) = dtype else { return Err(wrong()) };
        for field in all {
            if let Some(i) = NAMES.iter().position(|names| names.contains(&field.name.to_lowercase().as_str())) {
                let DType::Plain(number) = &field.dtype else { return Err(wrong()) };
                if !is_number(number) || fields[i].replace(Field { offset: bytes, number: number.clone() }).is_some() {
                    return Err(wrong());
                }
            }
            let more = field.dtype.num_bytes().and_then(|more| bytes.checked_add(more));
            bytes = more.filter(|&bytes| bytes <= MAX_HEADER).ok_or_else(wrong)?;
        }
        let [Some(t), Some(x), y, p] = fields else { return Err(wrong()) };
        Ok(Record { bytes, t, x, y, p })
    }

    fn block(&self, data: &[u8], unit: TimeUnit) -> Block {
        let column = |field: &Field| field.column(data, self.bytes);
        Block {
            t: column(&self.t).times(unit),
            x: column(&self.x).pixels(),
            y: self.y.as_ref().map(|y| column(y).pixels()),
            p: self.p.as_ref().map(|p| column(p).polarities()),
        }
    }
}

fn is_number(number: &TypeStr) -> bool {
    let sizes: &[u64] = match number.type_char() {
        TypeChar::Bool => &[1],
        TypeChar::Int | TypeChar::Uint => &[1, 2, 4, 8],
        TypeChar::Float => &[2, 4, 8],
        _ => &[],
    };
    sizes.contains(&number.size_field())
}

impl Field {
    /// The field of every record.
    fn column(&self, data: &[u8], record: usize) -> Numbers {
        fn each<const N: usize, T>(field: &Field, data: &[u8], record: usize, number: fn([u8; N]) -> T) -> Vec<T> {
            let big = field.number.endianness() == Endianness::Big;
            let records =
                data.chunks_exact(record.max(1)).filter_map(|record| record.get(field.offset..)?.first_chunk());
            let ordered = records.map(|&bytes| {
                let mut bytes: [u8; N] = bytes;
                if big {
                    bytes.reverse();
                }
                bytes
            });
            ordered.map(number).collect()
        }
        match (self.number.type_char(), self.number.size_field()) {
            (TypeChar::Uint, 2) => Numbers::U16(each(self, data, record, u16::from_le_bytes)),
            (TypeChar::Uint, 4) => Numbers::U32(each(self, data, record, u32::from_le_bytes)),
            (TypeChar::Uint, 8) => Numbers::U64(each(self, data, record, u64::from_le_bytes)),
            (TypeChar::Int, 1) => Numbers::I8(each(self, data, record, i8::from_le_bytes)),
            (TypeChar::Int, 2) => Numbers::I64(each(self, data, record, |b| i16::from_le_bytes(b).into())),
            (TypeChar::Int, 4) => Numbers::I64(each(self, data, record, |b| i32::from_le_bytes(b).into())),
            (TypeChar::Int, _) => Numbers::I64(each(self, data, record, i64::from_le_bytes)),
            (TypeChar::Float, 2) => Numbers::F64(each(self, data, record, |b| half::f16::from_le_bytes(b).to_f64())),
            (TypeChar::Float, 4) => Numbers::F64(each(self, data, record, |b| f32::from_le_bytes(b).into())),
            (TypeChar::Float, _) => Numbers::F64(each(self, data, record, f64::from_le_bytes)),
            _ => Numbers::U8(each(self, data, record, u8::from_le_bytes)),
        }
    }
}

impl Array {
    /// Reads a range of the records.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read(&self, path: &Path, range: Range<u64>, unit: TimeUnit) -> Result<Block> {
        let failed = || Error::io(path, "read the recording");
        let mut file = File::open(&self.path).map_err(failed())?;
        let size = self.record.bytes as u64;
        file.seek(SeekFrom::Start(self.begin + range.start * size)).map_err(failed())?;
        let mut data = vec![0; ((range.end - range.start) * size) as usize];
        file.read_exact(&mut data).map_err(failed())?;
        Ok(self.record.block(&data, unit))
    }
}

type Archive = zip::ZipArchive<BufReader<File>>;

/// Reads a column of numbers from an archive.
fn read_column(path: &Path, archive: &mut Archive, name: &str) -> Result<Numbers> {
    let (field, data) = read_entry(path, archive, name, |dtype| match dtype {
        DType::Plain(number) if is_number(number) => {
            Ok((number.size_field() as usize, Field { offset: 0, number: number.clone() }))
        }
        other => Err(Error::WrongType {
            path: path.into(),
            dataset: name.into(),
            expected: "integers or floats".into(),
            got: other.descr(),
        }),
    })?;
    let bytes = field.number.size_field() as usize;
    Ok(field.column(&data, bytes))
}

/// Reads an array's data from an archive, as far as they go: sizes that are promised are not believed. `of` gives the
/// bytes of an element, and what is to be made of it.
fn read_entry<T>(
    path: &Path,
    archive: &mut Archive,
    name: &str,
    of: impl Fn(&DType) -> Result<(usize, T)>,
) -> Result<(T, Vec<u8>)> {
    let mut entry = archive.by_name(&format!("{name}.npy")).map_err(|e| damaged(path, name, &e))?;
    let (dtype, len) = header(path, name, &mut entry)?;
    let (bytes, made) = of(&dtype)?;
    if len > MAX_SAMPLE_EVENTS {
        return Err(Error::WrongType {
            path: path.into(),
            dataset: name.into(),
            expected: format!("at most {MAX_SAMPLE_EVENTS} events, because an archive has to be in memory as a whole"),
            got: len.to_string(),
        });
    }
    let needed = len as usize * bytes;
    let mut data = Vec::new();
    entry.take(needed as u64).read_to_end(&mut data).map_err(|e| damaged(path, name, &e))?;
    if data.len() < needed {
        return Err(damaged(path, name, &format!("its header promises {needed} bytes, there are {}", data.len())));
    }
    Ok((made, data))
}
