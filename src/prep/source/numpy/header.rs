//! Parses the header of a NumPy array.

use std::io::Read;
use std::path::Path;

use npyz::{DType, NpyHeader};

use crate::error::{Error, Result};

/// Maximum length of a header in bytes. It is enough for any array of events. On longer headers, the parser's recursion
/// could overflow the stack.
pub(crate) const MAX_HEADER: usize = 4096;

/// Reads an array's header. Returns the array's type and length, and leaves the reader at the start of the data.
///
/// The text is checked before it is parsed, because the parser multiplies the dimensions and recurses into every
/// parenthesis.
pub(crate) fn read_header(path: &Path, place: &str, reader: &mut impl Read) -> Result<(DType, u64)> {
    let bad = |reason: &dyn std::fmt::Display| Error::damaged(path, place, reason);
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
        let expected = "one dimension, an event or a number each";
        return Err(Error::wrong_type(path, place, expected, format!("shape ({shape})")));
    };
    let len = len.parse().map_err(|_| bad(&format!("its shape is ({shape})")))?;
    let header = NpyHeader::from_reader(&head[..]).map_err(|e| bad(&e))?;
    Ok((header.dtype(), len))
}
