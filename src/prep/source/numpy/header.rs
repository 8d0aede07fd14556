//! Reads the header (version 1, 2 or 3) of a NumPy array: the type of its elements, its shape and its memory order.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::source::columns::{ArrayInfo, ArrayKind, MAX_COLUMNS, MemberInfo};
use crate::source::commands::unpickled;
use crate::source::formats;
use crate::source::numpy::dtype::{DType, Field};
use crate::source::numpy::literal::Literal;

/// Maximum length of a header in bytes: NumPy's default limit of 10,000 characters, with 4 bytes each.
const MAX_HEADER: usize = 40_000;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Header {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    /// Whether the elements are in Fortran order (column-major).
    pub(crate) fortran_order: bool,
    /// Number of bytes before the array's data.
    pub(crate) bytes: u64,
}

impl Header {
    /// Reads an array's header. Afterwards, `reader` is at the start of the data.
    ///
    /// # Errors
    /// [`Error::DamagedRecording`] for an invalid header; [`Error::Foreign`] for a file of another format.
    pub(crate) fn read(path: &Path, place: &str, reader: &mut impl Read) -> Result<Header> {
        let bad = |reason: &dyn std::fmt::Display| Error::damaged(path, place, reason);
        let mut head = [0; 10];
        let magic = b"\x93NUMPY";
        let mut begin = 0;
        while begin < head.len() {
            match reader.read(&mut head[begin..]).map_err(|e| bad(&e))? {
                0 => break,
                n => begin += n,
            }
        }
        if begin > 0 && !head[..begin].starts_with(&magic[..begin.min(6)]) {
            return Err(formats::foreign(path, place, &head[..begin], "a NumPy array"));
        }
        if begin < head.len() {
            return Err(bad(&format!("it ends after {begin} bytes")));
        }
        let version = head[6];
        if !(1..=3).contains(&version) {
            return Err(bad(&format!("it has version {version}.{}, NumPy writes 1.0 to 3.0", head[7])));
        }
        let (mut length, mut begin) = (usize::from(u16::from_le_bytes([head[8], head[9]])), 10);
        if version > 1 {
            let mut high = [0; 2];
            reader.read_exact(&mut high).map_err(|e| bad(&e))?;
            length |= usize::from(u16::from_le_bytes(high)) << 16;
            begin = 12;
        }
        if length > MAX_HEADER {
            return Err(bad(&format!("its header has {length} bytes, of which at most {MAX_HEADER} are read")));
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).map_err(|e| bad(&e))?;
        let text = match version {
            3 => String::from_utf8(bytes).map_err(|e| bad(&e))?,
            _ => bytes.into_iter().map(char::from).collect(),
        };
        let parsed = Header::parse(&text, (begin + length) as u64);
        parsed.map_err(|why| bad(&format!("its header makes no sense: {why}")))
    }

    /// Returns [`Error::Foreign`] if the array has Python objects. `name` is the array's name in an archive, or empty
    /// for a `.npy` file.
    pub(crate) fn check_unpickled(&self, path: &Path, name: &str) -> Result<()> {
        if !self.dtype.is_pickled() {
            return Ok(());
        }
        Err(Error::Foreign {
            path: path.into(),
            place: if name.is_empty() { "array".into() } else { name.into() },
            expected: "numbers".into(),
            format: "Python objects, which NumPy stores as a pickle".into(),
            reader: "NumPy loads it if you trust the file, whose code it runs: save its columns as arrays of numbers"
                .into(),
            command: if name.is_empty() {
                unpickled(path, &self.shape, self.has_records()).map(Box::new)
            } else {
                None
            },
        })
    }

    fn parse(text: &str, bytes: u64) -> Result<Header, String> {
        let dict = Literal::parse(text)?;
        let entry = |key: &str| dict.get(key).ok_or_else(|| format!("it has no {key:?}"));
        let Literal::Bool(fortran_order) = entry("fortran_order")? else {
            return Err("fortran_order is neither True nor False".into());
        };
        let Literal::Sequence(sizes) = entry("shape")? else { return Err("its shape is no tuple".into()) };
        let size = |size: &Literal| match size {
            Literal::Integer(size) => Ok(*size),
            other => Err(format!("its shape has {other:?}")),
        };
        let mut shape = sizes.iter().map(size).collect::<Result<Vec<u64>, String>>()?;
        let dtype = DType::parse(entry("descr")?)?;
        if shape.is_empty() && matches!(dtype, DType::Record { .. }) {
            shape.push(1); // one event
        }
        // The product must not overflow, even if one of the sizes is 0.
        let items = shape.iter().try_fold(1_u64, |items, &size| items.checked_mul(size.max(1)));
        match items.and_then(|items| items.checked_mul(dtype.bytes().max(1) as u64)) {
            Some(_) => Ok(Header { dtype, shape, fortran_order: *fortran_order, bytes }),
            None => Err(format!("its shape is {shape:?}")),
        }
    }

    pub(crate) fn has_records(&self) -> bool {
        matches!(self.dtype, DType::Record { .. })
    }

    /// Returns the number of elements.
    pub(crate) fn items(&self) -> u64 {
        self.shape.iter().product()
    }

    pub(crate) fn data_bytes(&self) -> u64 {
        self.items() * self.dtype.bytes() as u64
    }
}

impl Header {
    /// Describes the array: its name, shape and type.
    pub(crate) fn info(&self, name: &str) -> ArrayInfo {
        let kind = match &self.dtype {
            DType::Number(number) => ArrayKind::Number(number.to_string()),
            record @ DType::Record { .. } if !record.is_pickled() => ArrayKind::Record(members(record, "")),
            other => ArrayKind::Other(other.to_string()),
        };
        ArrayInfo { name: name.into(), shape: self.shape.clone(), kind }
    }
}

/// Lists the members of a record, also of nested records, and the elements of arrays. Each name begins with `prefix`.
fn members(record: &DType, prefix: &str) -> Vec<MemberInfo> {
    let DType::Record { fields, .. } = record else { return Vec::new() };
    let of = |field: &Field| {
        let name = format!("{prefix}{}", field.name);
        match &field.dtype {
            DType::Record { .. } => members(&field.dtype, &format!("{name}.")),
            DType::Array { element, shape, .. } if shape.iter().product::<u64>() <= MAX_COLUMNS => {
                let one = |i| MemberInfo {
                    name: format!("{name}[{i}]"),
                    kind: element.to_string(),
                    is_number: matches!(**element, DType::Number(_)),
                };
                (0..shape.iter().product()).map(one).collect()
            }
            dtype => {
                let is_number = matches!(dtype, DType::Number(_));
                vec![MemberInfo { name, kind: dtype.to_string(), is_number }]
            }
        }
    };
    fields.iter().flat_map(of).collect()
}
