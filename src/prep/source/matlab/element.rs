//! Reads the elements that MATLAB files consist of. An element has a type of 4 bytes, a size of 4 bytes, and data that
//! is padded to a multiple of 8 bytes.
//!
//! Data of up to 4 bytes can be in a small element. Its first 4 bytes have the size in the upper half and the type in
//! the lower half, and the data follows.

use crate::error::Result;
use crate::source::matlab::bytes::Bytes;
use crate::source::numpy::{Number, NumberKind};

pub(super) const INT8: u32 = 1;
pub(super) const INT32: u32 = 5;
pub(super) const UINT32: u32 = 6;
pub(super) const MATRIX: u32 = 14;
pub(super) const COMPRESSED: u32 = 15;

/// An element whose type and size were read. The next byte to read is the first byte of its data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub(super) kind: u32,
    /// Size of the data in bytes.
    pub(super) size: u64,
    /// Offset of the first byte of the element.
    pub(super) begin: u64,
    /// Offset of the first byte of the data.
    pub(super) data: u64,
    /// Offset of the first byte after the element.
    pub(super) next: u64,
}

impl Element {
    /// Reads the type and the size of the next element. The element must end at the offset `end` or before. `what`
    /// describes the element in error messages.
    pub(super) fn read(bytes: &mut Bytes<'_>, end: u64, what: &str) -> Result<Element> {
        let begin = bytes.at();
        if end.saturating_sub(begin) < 8 {
            return Err(bytes.damaged(begin, what, "the end of what it is in"));
        }
        let first = number(bytes, what)?;
        let (kind, size, data, next) = match first >> 16 {
            0 => {
                let size = u64::from(number(bytes, what)?);
                let data = begin + 8;
                // Compressed variables are not padded. Neither is the last element of some files.
                let filled = if first == COMPRESSED { data + size } else { data + size.next_multiple_of(8) };
                (first, size, data, filled.min(end.max(data + size)))
            }
            size => (first & 0xffff, u64::from(size), begin + 4, begin + 8),
        };
        if data + size > end || (data == begin + 4 && size > 4) {
            return Err(bytes.damaged(begin, format!("{what} of at most {} bytes", end.saturating_sub(data)), size));
        }
        Ok(Element { kind, size, begin, data, next })
    }

    /// Returns the type of the element's numbers. `None` if the element doesn't contain numbers.
    pub(super) fn number(&self, big_endian: bool) -> Option<Number> {
        let (kind, bytes) = match self.kind {
            1 => (NumberKind::Int, 1),
            2 => (NumberKind::Uint, 1),
            3 => (NumberKind::Int, 2),
            4 => (NumberKind::Uint, 2),
            5 => (NumberKind::Int, 4),
            6 => (NumberKind::Uint, 4),
            7 => (NumberKind::Float, 4),
            9 => (NumberKind::Float, 8),
            12 => (NumberKind::Int, 8),
            13 => (NumberKind::Uint, 8),
            _ => return None,
        };
        Some(Number { kind, bytes, big_endian })
    }

    /// Reads the element's data, at most `most` bytes, and skips the padding.
    pub(super) fn data(&self, bytes: &mut Bytes<'_>, most: u64, what: &str) -> Result<Vec<u8>> {
        if self.size > most {
            return Err(bytes.damaged(self.begin, format!("{what} of at most {most} bytes"), self.size));
        }
        let mut data = vec![0; self.size as usize];
        bytes.read(what, &mut data)?;
        bytes.pass_to(what, self.next)?;
        Ok(data)
    }
}

/// Reads the next element, which has at most `most` numbers of 4 bytes. The type of the element must be `kind`. `what`
/// describes the numbers in error messages.
pub(super) fn numbers(bytes: &mut Bytes<'_>, end: u64, kind: u32, most: u64, what: &str) -> Result<Vec<u32>> {
    let element = Element::read(bytes, end, what)?;
    if element.kind != kind || element.size % 4 != 0 {
        let got = format!("{} bytes of type {}", element.size, element.kind);
        return Err(bytes.damaged(element.begin, format!("{what}, of type {kind}"), got));
    }
    let data = element.data(bytes, 4 * most, what)?;
    let order = if bytes.big_endian() { u32::from_be_bytes } else { u32::from_le_bytes };
    Ok(data.as_chunks::<4>().0.iter().map(|&number| order(number)).collect())
}

fn number(bytes: &mut Bytes<'_>, what: &str) -> Result<u32> {
    let mut number = [0; 4];
    bytes.read(what, &mut number)?;
    Ok(if bytes.big_endian() { u32::from_be_bytes(number) } else { u32::from_le_bytes(number) })
}
