//! Structured NumPy arrays: records with the fields t, x, y and p, and possibly others.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use npyz::{DType, Endianness, TypeChar, TypeStr};

use crate::error::{BaseFault, Error, Result};
use crate::source::numbers::{EventBlock, Numbers};
use crate::source::numpy::header::MAX_HEADER;
use crate::source::unit::TimeUnit;

/// Accepted names of the fields and columns t, x, y and p.
pub(crate) const NAMES: [&[&str]; 4] = [
    &["t", "ts", "time", "timestamp", "timestamps"],
    &["x", "xs"],
    &["y", "ys"],
    &["p", "ps", "pol", "polarity", "polarities"],
];

/// A structured array in a file.
#[derive(Debug)]
pub(crate) struct EventArray {
    pub(crate) path: PathBuf,
    /// Offset of the data in the file, in bytes.
    pub(crate) begin: u64,
    pub(crate) record: RecordLayout,
}

/// The memory layout of a record.
#[derive(Clone, Debug)]
pub(crate) struct RecordLayout {
    pub(crate) bytes: usize,
    t: FieldLayout,
    x: FieldLayout,
    y: Option<FieldLayout>,
    p: Option<FieldLayout>,
}

/// A field of a record: its offset and type.
#[derive(Clone, Debug)]
pub(crate) struct FieldLayout {
    pub(crate) offset: usize,
    pub(crate) number: TypeStr,
}

impl RecordLayout {
    pub(crate) fn of(path: &Path, place: &str, dtype: &DType) -> Result<RecordLayout> {
        let wrong = || {
            let expected =
                "a structured array with the fields t and x, and y and p if there are any, integers or floats";
            Error::wrong_type(path, place, expected, dtype.descr())
        };
        let (mut fields, mut bytes) = ([None, None, None, None], 0_usize);
        let DType::Record(all) = dtype else { return Err(wrong()) };
        for field in all {
            if let Some(i) = NAMES.iter().position(|names| names.contains(&field.name.to_lowercase().as_str())) {
                let DType::Plain(number) = &field.dtype else { return Err(wrong()) };
                if !is_number(number)
                    || fields[i].replace(FieldLayout { offset: bytes, number: number.clone() }).is_some()
                {
                    return Err(wrong());
                }
            }
            let more = field.dtype.num_bytes().and_then(|more| bytes.checked_add(more));
            bytes = more.filter(|&bytes| bytes <= MAX_HEADER).ok_or_else(wrong)?;
        }
        let [Some(t), Some(x), y, p] = fields else { return Err(wrong()) };
        Ok(RecordLayout { bytes, t, x, y, p })
    }

    /// The times of the records, as they are stored.
    pub(crate) fn times(&self, data: &[u8]) -> Numbers {
        self.t.column(data, self.bytes)
    }

    pub(crate) fn block(&self, data: &[u8], unit: TimeUnit) -> EventBlock {
        let column = |field: &FieldLayout| field.column(data, self.bytes);
        EventBlock {
            t: column(&self.t).times(unit),
            x: column(&self.x).pixels(),
            y: self.y.as_ref().map(|y| column(y).pixels()),
            p: self.p.as_ref().map(|p| column(p).polarities()),
        }
    }
}

pub(crate) fn is_number(number: &TypeStr) -> bool {
    let sizes: &[u64] = match number.type_char() {
        TypeChar::Bool => &[1],
        TypeChar::Int | TypeChar::Uint => &[1, 2, 4, 8],
        TypeChar::Float => &[2, 4, 8],
        _ => &[],
    };
    sizes.contains(&number.size_field())
}

impl FieldLayout {
    /// Reads this field of every record in `data`. A record has `record` bytes.
    pub(crate) fn column(&self, data: &[u8], record: usize) -> Numbers {
        fn each<const N: usize, T>(
            field: &FieldLayout,
            data: &[u8],
            record: usize,
            number: fn([u8; N]) -> T,
        ) -> Vec<T> {
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

impl EventArray {
    /// Reads a range of the records.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`].
    pub(crate) fn read(&self, path: &Path, range: Range<u64>, unit: TimeUnit) -> Result<EventBlock> {
        let failed = || Error::io(path, "read the recording");
        let mut file = File::open(&self.path).map_err(failed())?;
        let size = self.record.bytes as u64;
        file.seek(SeekFrom::Start(self.begin + range.start * size)).map_err(failed())?;
        let mut data = vec![0; ((range.end - range.start) * size) as usize];
        file.read_exact(&mut data).map_err(failed())?;
        Ok(self.record.block(&data, unit))
    }
}
