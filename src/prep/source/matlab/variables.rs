//! Lists the arrays of a MATLAB file: variables, and the arrays in structs and cells, under names such as `TD/ts`.

use std::path::Path;

use crate::error::Result;
use crate::source::columns::{MAX_ARRAYS, MAX_TEXT};
use crate::source::matlab::HEADER;
use crate::source::matlab::bytes::Bytes;
use crate::source::matlab::element::{COMPRESSED, Element, INT8, INT32, MATRIX, UINT32, numbers};
use crate::source::numpy::{DType, Header, Number, NumberKind};

/// Maximum depth of nested structs and cells.
const MAX_DEPTH: usize = 32;
/// Maximum number of dimensions of an array.
const MAX_AXES: u64 = 32;
/// Maximum size of an array's name, in bytes.
const MAX_NAME: u64 = 4096;
/// Maximum size of all field names of a struct together, in bytes.
const MAX_FIELDS: u64 = 1 << 20;
/// Maximum size of the name of a field, in bytes. MATLAB writes at most 64 bytes.
const MAX_FIELD_NAME: usize = 256;

/// An array of a file.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    /// Type and shape of the array. The elements are in Fortran order.
    pub(super) header: Header,
    pub(super) content: Content,
}

/// The elements of an array.
#[derive(Debug)]
pub(super) enum Content {
    Numbers(Place),
    /// A text in UTF-8.
    Text(Vec<u8>),
    /// Elements that are not read.
    Other,
}

/// Where the numbers of an array are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// If the array is in a compressed variable: offset and size of the variable in the file, in bytes.
    pub(super) packed: Option<(u64, u64)>,
    /// Offset of the first number: in the file, or in the unpacked bytes of the compressed variable.
    pub(super) at: u64,
    /// Type of the numbers as they are stored. MATLAB stores whole numbers in the smallest type that fits.
    pub(super) stored: Number,
}

/// Lists the arrays of a file of `size` bytes, in the order of the file. The file is opened by the path `local`. Also
/// returns whether there are more than [`MAX_ARRAYS`].
pub(super) fn variables(path: &Path, local: &Path, size: u64, big_endian: bool) -> Result<(Vec<Variable>, bool)> {
    let mut bytes = Bytes::plain(path, local, HEADER as u64, big_endian)?;
    let (mut found, mut has_more) = (Vec::new(), false);
    while bytes.at() < size && found.len() < MAX_ARRAYS {
        let element = Element::read(&mut bytes, size, "a variable")?;
        match element.kind {
            MATRIX => {
                let mut list = List { bytes: &mut bytes, packed: None, found: &mut found, has_more: &mut has_more };
                list.array(&element, "", 0)?;
            }
            COMPRESSED => {
                let packed = (element.data, element.size);
                let mut bytes = Bytes::packed(path, local, packed, big_endian)?;
                let element = Element::read(&mut bytes, u64::MAX, "a variable")?;
                if element.kind != MATRIX {
                    let got = format!("an element of type {}", element.kind);
                    return Err(bytes.damaged(element.begin, "an array (14)", got));
                }
                let (packed, has_more) = (Some(packed), &mut has_more);
                List { bytes: &mut bytes, packed, found: &mut found, has_more }.array(&element, "", 0)?;
            }
            kind => {
                return Err(bytes.damaged(
                    element.begin,
                    "a variable (14 or 15)",
                    format!("an element of type {kind}"),
                ));
            }
        }
        bytes.pass_to("a variable", element.next)?;
    }
    has_more |= bytes.at() < size;
    Ok((found, has_more))
}

/// The arrays that were found so far, and the bytes to search for more.
struct List<'b, 'a> {
    bytes: &'b mut Bytes<'a>,
    packed: Option<(u64, u64)>,
    found: &'b mut Vec<Variable>,
    /// Whether there are more arrays than are listed.
    has_more: &'b mut bool,
}

impl List<'_, '_> {
    /// Adds the array in `element`. If it is a struct or a cell, adds the arrays in it. For a variable, `name` is
    /// empty, and the element has the name. Does not always read to the end of the element.
    fn array(&mut self, element: &Element, name: &str, depth: usize) -> Result<()> {
        let end = element.data + element.size;
        if element.size == 0 {
            let place = Place { packed: self.packed, at: element.data, stored: DOUBLE };
            return self.add(name, DType::Number(DOUBLE), vec![0], Content::Numbers(place));
        }
        let flags = numbers(self.bytes, end, UINT32, 2, "the flags of an array")?;
        let flags = flags.first().copied().unwrap_or(0);
        let (class, is_complex, is_logical) = (flags & 0xff, flags & 0x800 != 0, flags & 0x200 != 0);
        // An object of a newer class has no shape.
        let shape = if class == 17 { vec![1] } else { self.shape(end)? };
        let own = self.text(end, MAX_NAME, "the name of an array")?;
        let name = if name.is_empty() { own.as_str() } else { name };
        if name.is_empty() {
            return Ok(()); // MATLAB's own data about objects
        }
        match class {
            1 | 2 if depth == MAX_DEPTH => self.other(name, "a deeper struct or cell", shape),
            1 => self.cell(end, name, &shape, depth),
            2 => self.fields(end, name, &shape, depth),
            4 => self.letters(end, name, shape),
            6..=15 if is_complex => self.other(name, "complex numbers", shape),
            6..=15 => self.numbers(end, name, class, is_logical, shape),
            3 | 17 => self.other(name, "an object", shape),
            5 => self.other(name, "a sparse array", shape),
            16 => self.other(name, "a function", shape),
            _ => self.other(name, &format!("an array of class {class}"), shape),
        }
    }

    fn add(&mut self, name: &str, dtype: DType, shape: Vec<u64>, content: Content) -> Result<()> {
        if self.found.len() < MAX_ARRAYS {
            let header = Header { dtype, shape, fortran_order: true, bytes: 0 };
            self.found.push(Variable { name: name.into(), header, content });
        } else {
            *self.has_more = true;
        }
        Ok(())
    }

    fn other(&mut self, name: &str, kind: &str, shape: Vec<u64>) -> Result<()> {
        self.add(name, DType::Other { text: kind.into(), bytes: 0 }, shape, Content::Other)
    }

    fn shape(&mut self, end: u64) -> Result<Vec<u64>> {
        let at = self.bytes.at();
        let axes = numbers(self.bytes, end, INT32, MAX_AXES, "the shape of an array")?;
        if axes.is_empty() || axes.iter().any(|&length| i32::try_from(length).is_err()) {
            return Err(self.bytes.damaged(at, "the shape of an array", format!("{axes:?}")));
        }
        // The number of bytes must not overflow, even if one of the lengths is 0.
        let bytes = axes.iter().try_fold(16_u64, |bytes, &length| bytes.checked_mul(u64::from(length).max(1)));
        if bytes.is_none() {
            return Err(self.bytes.damaged(at, "the shape of an array", format!("{axes:?}")));
        }
        // [] of MATLAB is 0x0.
        Ok(if axes.iter().all(|&length| length == 0) { vec![0] } else { axes.into_iter().map(u64::from).collect() })
    }

    fn text(&mut self, end: u64, most: u64, what: &str) -> Result<String> {
        let element = Element::read(self.bytes, end, what)?;
        if element.kind != INT8 {
            let got = format!("an element of type {}", element.kind);
            return Err(self.bytes.damaged(element.begin, format!("{what}, of type {INT8}"), got));
        }
        Ok(String::from_utf8_lossy(&element.data(self.bytes, most, what)?).into_owned())
    }

    /// Adds the arrays in a cell, under names such as `TD{2}`. The array in a 1x1 cell has the name of the cell.
    fn cell(&mut self, end: u64, name: &str, shape: &[u64], depth: usize) -> Result<()> {
        let items = items(shape);
        let mut next = self.bytes.at();
        for i in 1..=items {
            let name = if items == 1 { name.into() } else { format!("{name}{{{i}}}") };
            let Some(after) = self.inner(next, end, &name, depth)? else { break };
            next = after;
        }
        Ok(())
    }

    /// Adds the arrays in the fields of a struct, under names such as `TD/ts`, or `TD(2)/ts` in an array of structs.
    fn fields(&mut self, end: u64, name: &str, shape: &[u64], depth: usize) -> Result<()> {
        let at = self.bytes.at();
        let length = numbers(self.bytes, end, INT32, 1, "the length of the names of fields")?;
        let length = length.first().map_or(0, |&length| length as usize);
        let names = self.text(end, MAX_FIELDS, "the names of fields")?;
        if length > MAX_FIELD_NAME || length == 0 && !names.is_empty() {
            return Err(self.bytes.damaged(at, format!("names of fields of 1 to {MAX_FIELD_NAME} bytes"), length));
        }
        let names = names.as_bytes().chunks(length.max(1));
        let names: Vec<String> = names
            .map(|name| String::from_utf8_lossy(name.split(|&byte| byte == 0).next().unwrap_or(name)).into_owned())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let (items, mut next) = (items(shape), self.bytes.at());
        for i in 1..=items {
            for field in &names {
                let name = if items == 1 { format!("{name}/{field}") } else { format!("{name}({i})/{field}") };
                let Some(after) = self.inner(next, end, &name, depth)? else { return Ok(()) };
                next = after;
            }
        }
        Ok(())
    }

    /// Adds an array that is in a struct or cell. The array begins at the offset `at`. Returns the offset after the
    /// array, or `None` if no more arrays are listed.
    fn inner(&mut self, at: u64, end: u64, name: &str, depth: usize) -> Result<Option<u64>> {
        if self.found.len() == MAX_ARRAYS {
            *self.has_more = true;
            return Ok(None);
        }
        self.bytes.pass_to("an array in a struct or cell", at)?;
        let element = Element::read(self.bytes, end, "an array in a struct or cell")?;
        if element.kind != MATRIX {
            let got = format!("an element of type {}", element.kind);
            return Err(self.bytes.damaged(element.begin, "an array (14)", got));
        }
        self.array(&element, name, depth + 1)?;
        Ok(Some(element.next))
    }

    fn numbers(&mut self, end: u64, name: &str, class: u32, is_logical: bool, shape: Vec<u64>) -> Result<()> {
        let element = Element::read(self.bytes, end, "the numbers of an array")?;
        let big_endian = self.bytes.big_endian();
        let Some(stored) = element.number(big_endian) else {
            let got = format!("an element of type {}", element.kind);
            return Err(self.bytes.damaged(element.begin, format!("the numbers of {name}"), got));
        };
        let bytes = items(&shape) * stored.bytes as u64;
        if bytes != element.size {
            let expected = format!("the {bytes} bytes of {name}, of shape {shape:?}");
            return Err(self.bytes.damaged(element.begin, expected, element.size));
        }
        let number = match class {
            6 => DOUBLE,
            7 => Number { kind: NumberKind::Float, bytes: 4, big_endian },
            9 if is_logical => Number { kind: NumberKind::Bool, bytes: 1, big_endian },
            class => {
                let kind = if class % 2 == 0 { NumberKind::Int } else { NumberKind::Uint };
                Number { kind, bytes: 1 << ((class - 8) / 2), big_endian }
            }
        };
        let place = Place { packed: self.packed, at: element.data, stored };
        self.add(name, DType::Number(Number { big_endian, ..number }), shape, Content::Numbers(place))
    }

    /// Adds an array of letters. Its text is read if it has one row or one column and takes at most [`MAX_TEXT`] bytes.
    fn letters(&mut self, end: u64, name: &str, shape: Vec<u64>) -> Result<()> {
        let element = Element::read(self.bytes, end, "the letters of a text")?;
        let one_row = shape.iter().filter(|&&length| length != 1).count() <= 1;
        if !one_row || element.size > MAX_TEXT as u64 {
            return self.other(name, "letters", shape);
        }
        let data = element.data(self.bytes, MAX_TEXT as u64, "the letters of a text")?;
        let order =
            |pair: [u8; 2]| if self.bytes.big_endian() { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
        let text = match element.kind {
            // UTF-16, which MATLAB also writes as numbers of 16 bits.
            3 | 4 | 17 => {
                let units: Vec<u16> = data.as_chunks::<2>().0.iter().map(|&pair| order(pair)).collect();
                String::from_utf16_lossy(&units).into_bytes()
            }
            1 | 2 | 16 => match String::from_utf8(data) {
                Ok(text) => text.into_bytes(),
                Err(latin) => latin.into_bytes().into_iter().map(char::from).collect::<String>().into_bytes(),
            },
            _ => return self.other(name, "letters", shape),
        };
        let dtype = DType::Other { text: format!("S{}", text.len()), bytes: text.len() };
        self.add(name, dtype, vec![1], Content::Text(text))
    }
}

const DOUBLE: Number = Number { kind: NumberKind::Float, bytes: 8, big_endian: false };

/// Number of elements of an array.
fn items(shape: &[u64]) -> u64 {
    shape.iter().product()
}
