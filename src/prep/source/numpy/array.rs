//! Reads columns of numbers, at any offset and stride, from the data of NumPy arrays.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use tonic_base::Spill;

use crate::error::{BaseFault, Error, Result};
use crate::source::columns::{EventBlock, Numbers, Part, Role, element, shape};
use crate::source::numpy::dtype::{DType, Field, Number, NumberKind};
use crate::source::numpy::header::Header;
use crate::source::numpy::longdouble::nearest;
use crate::source::packed::Local;
use crate::time_unit::TimeUnit;

/// Where the entries of a column are in an array's data, and the type of their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    /// Offset of the first entry in the array's data, in bytes.
    offset: u64,
    /// Bytes from the start of one entry to the start of the next.
    stride: u64,
    pub(crate) number: Number,
    pub(crate) len: u64,
}

impl Header {
    /// Finds where the numbers of the column `part` are in the array's data. The error is a text: the expected type or
    /// shape.
    pub(crate) fn lane(&self, part: &Part) -> Result<Lane, String> {
        let numbers = || "integers or floats".to_string();
        let stride = self.dtype.bytes() as u64;
        match (part, &self.dtype) {
            (Part::Column { index, columns }, DType::Number(number)) => {
                let i = *index as u64;
                let table = shape::table(&self.shape, *columns).filter(|table| i < table.columns);
                let table = table.ok_or_else(|| format!("a row an event, with a column {i}"))?;
                // Planes: all entries of a column follow each other.
                let planes = table.is_transposed() != self.fortran_order;
                let (offset, stride) =
                    if planes { (i * table.len * stride, stride) } else { (i * stride, table.columns * stride) };
                Ok(Lane { offset, stride, number: *number, len: table.len })
            }
            (Part::Whole | Part::Member(_), dtype) => {
                let len = shape::column(&self.shape).ok_or("one dimension, an event or a number each")?;
                let (offset, found) = match part {
                    Part::Member(name) => member(dtype, name).ok_or_else(|| format!("records with a field {name}"))?,
                    _ => (0, dtype),
                };
                let DType::Number(number) = found else { return Err(numbers()) };
                Ok(Lane { offset: offset as u64, stride, number: *number, len })
            }
            (Part::Column { .. }, _) => Err(numbers()),
        }
    }
}

/// Finds a member of a record by its name, such as `pixel.x` (in a nested record) or `xy[0]` (an element in C order).
/// Returns the member's offset in the record in bytes, and its type.
fn member<'a>(dtype: &'a DType, name: &str) -> Option<(usize, &'a DType)> {
    let DType::Record { fields, .. } = dtype else { return None };
    let field = |name: &str| fields.iter().find(|field| field.name == name);
    if let Some(Field { offset, dtype, .. }) = field(name) {
        return Some((*offset, dtype));
    }
    let nested = name.match_indices('.').find_map(|(dot, _)| {
        let outer = field(&name[..dot])?;
        let (offset, dtype) = member(&outer.dtype, &name[dot + 1..])?;
        Some((outer.offset + offset, dtype))
    });
    nested.or_else(|| {
        let (array, index) = element(name)?;
        let (offset, DType::Array { element, bytes, .. }) = member(dtype, array)? else { return None };
        let within = index.checked_mul(element.bytes()).filter(|at| at + element.bytes() <= *bytes)?;
        Some((offset + within, element))
    })
}

impl Lane {
    /// Returns this column for an array whose data begins at byte `begin` instead of 0.
    pub(crate) fn at(self, begin: u64) -> Lane {
        Lane { offset: self.offset + begin, ..self }
    }

    /// Returns the byte range in the array's data that contains the entries `range` of the column.
    fn span(&self, range: Range<u64>) -> Range<u64> {
        let start = self.offset + range.start * self.stride;
        let last = (range.end - range.start).checked_sub(1);
        start..start + last.map_or(0, |last| last * self.stride + self.number.bytes as u64)
    }

    /// Converts the entries of the column in `data` to numbers, from byte `offset` on. Ignores an incomplete last
    /// entry.
    fn numbers(&self, data: &[u8], offset: usize) -> Numbers {
        fn each<const N: usize, T>(lane: &Lane, data: &[u8], stride: usize, number: fn([u8; N]) -> T) -> Vec<T> {
            let entries = data.chunks(stride.max(1)).filter_map(|entry| entry.first_chunk::<N>());
            let ordered = entries.map(|&bytes| {
                let mut bytes: [u8; N] = bytes;
                if lane.number.big_endian {
                    bytes.reverse();
                }
                bytes
            });
            ordered.map(number).collect()
        }
        let (data, stride) = (data.get(offset..).unwrap_or_default(), self.stride as usize);
        match (self.number.kind, self.number.bytes) {
            (NumberKind::Uint, 2) => Numbers::U16(each(self, data, stride, u16::from_le_bytes)),
            (NumberKind::Uint, 4) => Numbers::U32(each(self, data, stride, u32::from_le_bytes)),
            (NumberKind::Uint, 8) => Numbers::U64(each(self, data, stride, u64::from_le_bytes)),
            (NumberKind::Int, 1) => Numbers::I8(each(self, data, stride, i8::from_le_bytes)),
            (NumberKind::Int, 2) => Numbers::I64(each(self, data, stride, |b| i16::from_le_bytes(b).into())),
            (NumberKind::Int, 4) => Numbers::I64(each(self, data, stride, |b| i32::from_le_bytes(b).into())),
            (NumberKind::Int, _) => Numbers::I64(each(self, data, stride, i64::from_le_bytes)),
            (NumberKind::Time(tick), _) => {
                let ticks = each(self, data, stride, i64::from_le_bytes);
                Numbers::Times(ticks.into_iter().map(|ticks| tick.time(ticks)).collect())
            }
            (NumberKind::Float, 2) => Numbers::F64(each(self, data, stride, |b| half::f16::from_le_bytes(b).to_f64())),
            (NumberKind::Float, 4) => Numbers::F64(each(self, data, stride, |b| f32::from_le_bytes(b).into())),
            (NumberKind::Float, 12) => Numbers::F64(each(self, data, stride, nearest::<12>)),
            (NumberKind::Float, 16) => Numbers::F64(each(self, data, stride, nearest::<16>)),
            (NumberKind::Float, _) => Numbers::F64(each(self, data, stride, f64::from_le_bytes)),
            (NumberKind::Bool | NumberKind::Uint, _) => Numbers::U8(each(self, data, stride, u8::from_le_bytes)),
        }
    }

    /// Returns the number of bytes, from the start of the array's data, that contain the first `most` entries of the
    /// column.
    pub(crate) fn bytes(&self, most: u64) -> u64 {
        self.span(0..self.len.min(most)).end
    }

    /// Converts at most `most` entries from the start of the column to numbers. `data` is the data of the whole array.
    pub(crate) fn of_array(&self, data: &[u8], most: u64) -> Numbers {
        self.numbers(data.get(..self.bytes(most) as usize).unwrap_or(data), self.offset as usize)
    }
}

/// Where the data of arrays is.
#[derive(Debug)]
pub(crate) enum ArrayData {
    /// In the file at the path `local`, from the byte `begin` on. `path` is the path in error messages.
    File { path: PathBuf, local: Local, begin: u64 },
    /// In the first stream of a temporary file.
    Spill(Spill),
}

/// Fills a buffer with the bytes that begin at an offset.
type ReadAt<'d> = Box<dyn FnMut(u64, &mut [u8]) -> Result<()> + 'd>;

impl ArrayData {
    /// Returns a function that reads ranges of the bytes.
    fn reader(&self) -> Result<ReadAt<'_>> {
        match self {
            ArrayData::Spill(spill) => Ok(Box::new(|start, data| Ok(spill.read(0, start, data)?))),
            ArrayData::File { path, local, begin } => {
                let failed = move || Error::io(path, "read the recording");
                let mut file = File::open(&**local).map_err(failed())?;
                Ok(Box::new(move |start, data| {
                    file.seek(SeekFrom::Start(begin + start)).map_err(failed())?;
                    file.read_exact(data).map_err(failed())
                }))
            }
        }
    }
}

/// Arrays of events, which are read in ranges.
#[derive(Debug)]
pub(crate) struct EventArray {
    data: ArrayData,
    /// Where t, x, y and p are in the data. `None` for a column that is missing.
    lanes: [Option<Lane>; 4],
}

impl EventArray {
    pub(crate) fn new(data: ArrayData, lanes: [Option<Lane>; 4]) -> EventArray {
        EventArray { data, lanes }
    }

    /// Returns whether the data is in a temporary file of its own.
    pub(crate) fn is_spilled(&self) -> bool {
        matches!(self.data, ArrayData::Spill(_))
    }

    pub(crate) fn is_float(&self, role: Role) -> bool {
        self.lanes[role as usize].is_some_and(|lane| lane.number.kind == NumberKind::Float)
    }

    /// Reads a range of the events. `unit` is the unit of the times in the file.
    pub(crate) fn read(&self, range: Range<u64>, unit: TimeUnit) -> Result<EventBlock> {
        Ok(EventBlock::of(self.columns(&self.lanes, range)?, unit))
    }

    /// Reads a range of entries of one column. `None` if the array lacks the column.
    pub(crate) fn column(&self, role: Role, range: Range<u64>) -> Result<Option<Numbers>> {
        let mut lanes = [None; 4];
        lanes[role as usize] = self.lanes[role as usize];
        let [t, x, y, p] = self.columns(&lanes, range)?;
        Ok(t.or(x).or(y).or(p))
    }

    fn columns(&self, all: &[Option<Lane>; 4], range: Range<u64>) -> Result<[Option<Numbers>; 4]> {
        let mut reader = self.data.reader()?;
        let mut read = |span: Range<u64>| -> Result<Vec<u8>> {
            let mut data = vec![0; (span.end - span.start) as usize];
            reader(span.start, &mut data)?;
            Ok(data)
        };
        let lanes = || all.iter().flatten();
        let stride = lanes().map(|lane| lane.stride).max().unwrap_or(0);
        // If the columns are parts of records or rows, the records are read once. Otherwise, each column is read by
        // itself.
        let records = lanes().all(|lane| lane.stride == stride && lane.offset + lane.number.bytes as u64 <= stride);
        let mut columns = [None, None, None, None];
        let end = lanes().map(|lane| lane.span(range.clone()).end).max().unwrap_or(0);
        let shared = if records && !range.is_empty() { read(range.start * stride..end)? } else { Vec::new() };
        for (column, lane) in columns.iter_mut().zip(all) {
            let Some(lane) = lane else { continue };
            *column = Some(match records {
                true => lane.numbers(&shared, lane.offset as usize),
                false => lane.numbers(&read(lane.span(range.clone()))?, 0),
            });
        }
        Ok(columns)
    }
}
