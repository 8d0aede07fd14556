//! Reads the only entry of a NumPy array that has one entry: a number or a text.

use crate::source::columns::{Numbers, Part};
use crate::source::numpy::dtype::{DType, NumberKind};
use crate::source::numpy::header::Header;

impl Header {
    /// Returns the array's only entry, if it is an integer. `data` is the data of the array.
    pub(crate) fn one_integer(&self, data: &[u8]) -> Option<i64> {
        let DType::Number(number) = &self.dtype else { return None };
        let whole = matches!(number.kind, NumberKind::Int | NumberKind::Uint);
        match self.one_number(data).filter(|_| whole)? {
            Numbers::U8(v) => v.first().map(|&n| n.into()),
            Numbers::I8(v) => v.first().map(|&n| n.into()),
            Numbers::U16(v) => v.first().map(|&n| n.into()),
            Numbers::U32(v) => v.first().map(|&n| n.into()),
            Numbers::U64(v) => v.first().and_then(|&n| n.try_into().ok()),
            Numbers::I64(v) => v.first().copied(),
            Numbers::F64(_) | Numbers::Times(_) => None,
        }
    }

    /// Returns the array's only entry as text, if it is a number or a text. `data` is the data of the array.
    pub(crate) fn one_value(&self, data: &[u8]) -> Option<String> {
        let whole = || self.one_integer(data).map(|number| number.to_string());
        self.one_text(data).or_else(whole).or_else(|| Some(self.one_number(data)?.floats().first()?.to_string()))
    }

    /// Returns the array's only entry, if it is a number. `data` is the data of the array.
    fn one_number(&self, data: &[u8]) -> Option<Numbers> {
        let flat = Header { shape: vec![1], ..self.clone() };
        Some(flat.lane(&Part::Whole).ok().filter(|_| self.items() == 1)?.of_array(data, 1))
    }

    /// Returns the array's only entry, if it is a text (`<U5`, `|S5`). `data` is the data of the array.
    pub(crate) fn one_text(&self, data: &[u8]) -> Option<String> {
        let DType::Other { text: code, bytes } = &self.dtype else { return None };
        let plain = code.trim_start_matches(['<', '>', '=', '|']);
        let (kind, length) = plain.split_at_checked(1)?;
        let data = data.get(..*bytes).filter(|_| self.items() == 1 && length.parse::<usize>().is_ok())?;
        let text = match kind {
            "S" | "a" => String::from_utf8(data.to_vec()).ok()?,
            "U" => {
                let big_endian = code.starts_with('>');
                let letter = |&bytes: &[u8; 4]| {
                    char::from_u32(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
                };
                data.as_chunks().0.iter().map(letter).collect::<Option<String>>()?
            }
            _ => return None,
        };
        Some(text.trim_end_matches('\0').to_string())
    }
}
