//! NumPy's types of array elements, as headers describe them (`descr`).
//!
//! The titles of fields, as in `(('title', 'name'), ...)`, are ignored.

use crate::source::numpy::literal::Literal;
use crate::source::numpy::tick::Tick;

/// Maximum size in bytes of one element of an array.
const MAX_ITEM: usize = 1 << 20;

/// The type of an array's elements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum DType {
    /// An integer, a float, a boolean, a date or a duration.
    Number(Number),
    /// A record: its fields, and its size in bytes.
    Record { fields: Vec<Field>, bytes: usize },
    /// A sub-array in a record: the type of its elements, its shape, and its size in bytes.
    Array { element: Box<DType>, shape: Vec<u64>, bytes: usize },
    /// Bytes that are not read as numbers: the type as NumPy writes it, and the size in bytes.
    Other { text: String, bytes: usize },
    /// Python objects, which NumPy stores as a pickle.
    Object,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Offset in the record in bytes.
    pub(crate) offset: usize,
    pub(crate) dtype: DType,
}

/// The type of a number: what sort of number it is, its size in bytes and its byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) kind: NumberKind,
    pub(crate) bytes: usize,
    pub(crate) big_endian: bool,
}

/// What sort of number an element is, regardless of its size and byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberKind {
    Bool,
    Int,
    Uint,
    Float,
    /// A date or a duration: a 64-bit integer that counts ticks.
    Time(Tick),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bits = self.bytes * 8;
        match self.kind {
            NumberKind::Bool => write!(f, "bool"),
            NumberKind::Int => write!(f, "int{bits}"),
            NumberKind::Uint => write!(f, "uint{bits}"),
            NumberKind::Float => write!(f, "float{bits}"),
            NumberKind::Time(tick) => write!(f, "datetime64[{tick}]"),
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DType::Number(number) => number.fmt(f),
            DType::Record { fields, .. } => {
                let fields: Vec<String> =
                    fields.iter().map(|field| format!("{}: {}", field.name, field.dtype)).collect();
                write!(f, "records of {}", fields.join(", "))
            }
            DType::Array { element, shape, .. } => write!(f, "{element} of shape {shape:?}"),
            DType::Other { text, .. } => write!(f, "{text}"),
            DType::Object => write!(f, "objects"),
        }
    }
}

impl DType {
    /// Parses the `descr` of a header.
    ///
    /// # Errors
    /// A text that says which part is not valid in NumPy.
    pub(super) fn parse(descr: &Literal) -> Result<DType, String> {
        match descr {
            Literal::Text(code) => DType::of_code(code),
            // A pair of a type and a shape. NumPy writes such a pair only inside records, but reads it anywhere.
            Literal::Sequence(pair) if matches!(&pair[..], [Literal::Text(_), shape] if !matches!(shape, Literal::Text(_))) => {
                DType::parse(&pair[0])?.repeated(&pair[1])
            }
            Literal::Sequence(fields) => DType::of_fields(fields),
            other => Err(format!("its descr is {other:?}")),
        }
    }

    /// Returns the size of an element in bytes: 0 for objects, which have no fixed size.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            DType::Number(number) => number.bytes,
            DType::Record { bytes, .. } | DType::Array { bytes, .. } | DType::Other { bytes, .. } => *bytes,
            DType::Object => 0,
        }
    }

    /// Returns whether NumPy stores arrays of this type as a pickle.
    pub(crate) fn is_pickled(&self) -> bool {
        match self {
            DType::Object => true,
            DType::Record { fields, .. } => fields.iter().any(|field| field.dtype.is_pickled()),
            DType::Array { element, .. } => element.is_pickled(),
            _ => false,
        }
    }

    fn of_fields(list: &[Literal]) -> Result<DType, String> {
        let (mut fields, mut offset) = (Vec::new(), 0_usize);
        for field in list {
            let Literal::Sequence(parts) = field else { return Err(format!("a field of its descr is {field:?}")) };
            let (name, dtype) = match &parts[..] {
                [name, dtype] => (name, DType::parse(dtype)?),
                [name, dtype, shape] => (name, DType::parse(dtype)?.repeated(shape)?),
                _ => return Err(format!("a field of its descr has {} parts", parts.len())),
            };
            let name = match name {
                Literal::Text(name) => name,
                Literal::Sequence(titled) => match &titled[..] {
                    [_, Literal::Text(name)] => name,
                    _ => return Err(format!("the name of a field is {titled:?}")),
                },
                other => return Err(format!("the name of a field is {other:?}")),
            };
            let bytes = dtype.bytes();
            if !name.is_empty() {
                fields.push(Field { name: name.clone(), offset, dtype });
            }
            offset = offset.checked_add(bytes).filter(|&bytes| bytes <= MAX_ITEM).ok_or_else(too_large)?;
        }
        Ok(DType::Record { fields, bytes: offset })
    }

    /// Makes the type of a sub-array of the given shape, whose elements have the type `self`. Returns `self` if the
    /// shape has only one element, or if `self` is the type of Python objects.
    fn repeated(self, shape: &Literal) -> Result<DType, String> {
        let sizes = match shape {
            Literal::Integer(size) => vec![*size],
            Literal::Sequence(sizes) => {
                let size = |size: &Literal| match size {
                    Literal::Integer(size) => Ok(*size),
                    other => Err(format!("the shape of a field has {other:?}")),
                };
                sizes.iter().map(size).collect::<Result<Vec<u64>, String>>()?
            }
            other => return Err(format!("the shape of a field is {other:?}")),
        };
        if sizes.iter().all(|&size| size == 1) || self == DType::Object {
            return Ok(self);
        }
        let items = sizes.iter().try_fold(1_usize, |items, &size| items.checked_mul(usize::try_from(size).ok()?));
        let bytes = items.and_then(|items| items.checked_mul(self.bytes())).filter(|&bytes| bytes <= MAX_ITEM);
        Ok(DType::Array { element: Box::new(self), shape: sizes, bytes: bytes.ok_or_else(too_large)? })
    }

    /// Parses a code such as `<i8`, `|S3` or `float64`.
    fn of_code(code: &str) -> Result<DType, String> {
        let unknown = || format!("it has the type {code:?}");
        let (big_endian, plain) = match code.strip_prefix(['<', '>', '=', '|']) {
            Some(plain) => (code.starts_with('>') || (code.starts_with('=') && cfg!(target_endian = "big")), plain),
            None => (cfg!(target_endian = "big"), code),
        };
        let number = |kind, bytes| DType::Number(Number { kind, bytes, big_endian });
        let other = |bytes: Option<usize>| {
            let bytes = bytes.filter(|&bytes| bytes <= MAX_ITEM).ok_or_else(too_large)?;
            Ok(DType::Other { text: code.into(), bytes })
        };
        if let Some(named) = named(plain) {
            return Ok(number(named.0, named.1));
        }
        let mut letters = plain.chars();
        let (letter, rest) = (letters.next().ok_or_else(unknown)?, letters.as_str());
        if matches!(letter, 'M' | 'm') {
            let Some(unit) = rest.strip_prefix('8') else { return Err(unknown()) };
            let tick = unit.strip_prefix('[').and_then(|tick| Tick::parse(tick.strip_suffix(']')?));
            return Ok(
                tick.map_or(DType::Other { text: code.into(), bytes: 8 }, |tick| number(NumberKind::Time(tick), 8))
            );
        }
        let size: Option<usize> = if rest.is_empty() { None } else { Some(rest.parse().map_err(|_| unknown())?) };
        match (letter, size) {
            ('b', Some(1)) | ('?', None) => Ok(number(NumberKind::Bool, 1)),
            ('i', Some(bytes @ (1 | 2 | 4 | 8))) => Ok(number(NumberKind::Int, bytes)),
            ('u', Some(bytes @ (1 | 2 | 4 | 8))) => Ok(number(NumberKind::Uint, bytes)),
            ('f', Some(bytes @ (2 | 4 | 8 | 12 | 16))) => Ok(number(NumberKind::Float, bytes)),
            ('O', _) => Ok(DType::Object),
            ('U', size) => other(size.unwrap_or(0).checked_mul(4)),
            ('S' | 'a' | 'V', size) => other(Some(size.unwrap_or(0))),
            ('c', None) => other(Some(1)),
            ('c', Some(bytes @ (8 | 16 | 24 | 32))) => other(Some(bytes)),
            _ => Err(unknown()),
        }
    }
}

/// Returns the type of number that NumPy calls `name`, and its size in bytes. `name` can also be a one-letter code.
fn named(name: &str) -> Option<(NumberKind, usize)> {
    use NumberKind::{Bool, Float, Int, Uint};
    Some(match name {
        "bool" | "bool_" => (Bool, 1),
        "int8" | "b" => (Int, 1),
        "int16" | "h" => (Int, 2),
        "int32" | "i" => (Int, 4),
        "int64" | "int" | "l" | "q" => (Int, 8),
        "uint8" | "B" => (Uint, 1),
        "uint16" | "H" => (Uint, 2),
        "uint32" | "I" => (Uint, 4),
        "uint64" | "uint" | "L" | "Q" => (Uint, 8),
        "float16" | "e" => (Float, 2),
        "float32" | "f" => (Float, 4),
        "float64" | "float" | "d" => (Float, 8),
        _ => return None,
    })
}

fn too_large() -> String {
    format!("an element has more than {MAX_ITEM} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(descr: &str) -> Result<DType, String> {
        DType::parse(&Literal::parse(descr)?)
    }

    #[test]
    fn records_have_the_offsets_of_numpy() {
        // Made with NumPy 2: np.lib.format.dtype_to_descr of each type, and the offsets in its `fields`.
        for (descr, bytes, offsets) in [
            ("[('t', '<i8'), ('x', '<u2')]", 10, &[("t", 0), ("x", 8)][..]),
            ("[(('Time', 't'), '<i8'), ('x', '<u2')]", 10, &[("t", 0), ("x", 8)]),
            (
                "[('x', '<u2'), ('y', '<u2'), ('p', '|i1'), ('', '|V3'), ('t', '<i8')]",
                16,
                &[("x", 0), ("y", 2), ("p", 4), ("t", 8)],
            ),
            (
                "[('', '|V4'), ('t', '>f4'), ('', '|V8'), ('name', '<U3'), ('x', '|b1')]",
                29,
                &[("t", 4), ("name", 16), ("x", 28)],
            ),
            (
                "[('pos', [('x', '<i2'), ('y', '<i2')]), ('m', '<f4', (2, 3)), ('t', '<i8')]",
                36,
                &[("pos", 0), ("m", 4), ("t", 28)],
            ),
            (
                "[('t', '<M8[us]'), ('c', '<c16'), ('x', '<f16'), ('s', '|S5'), ('n', '<i4', 2)]",
                53,
                &[("t", 0), ("c", 8), ("x", 24), ("s", 40), ("n", 45)],
            ),
            ("[('t', 'float64'), ('x', 'h')]", 10, &[("t", 0), ("x", 8)]),
            ("[]", 0, &[]),
        ] {
            let Ok(DType::Record { fields, bytes: found }) = parse(descr) else { panic!("{descr}") };
            assert_eq!(found, bytes, "{descr}");
            let found: Vec<(&str, usize)> = fields.iter().map(|field| (field.name.as_str(), field.offset)).collect();
            assert_eq!(found, offsets, "{descr}");
        }
    }

    #[test]
    fn types_that_numpy_refuses_are_refused() {
        for descr in
            ["'<i3'", "'<q9'", "''", "7", "[('t',)]", "[7]", "[('t', '<i8', 'x')]", "[(7, '<i8')]", "'nonsense'"]
        {
            assert!(parse(descr).is_err(), "{descr}");
        }
        assert!(parse("[('a', '<i8', (9999999, 9999999))]").unwrap_err().contains("more than 1048576 bytes"));
        assert!(parse("[('a', '<U9223372036854775807')]").is_err());
        assert!(parse("[('t', '<i8'), ('o', '|O')]").unwrap().is_pickled());
        assert!(!parse("[('t', '<i8')]").unwrap().is_pickled());
    }
}
