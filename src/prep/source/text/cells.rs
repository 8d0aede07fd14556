//! The cells of a line of text, and the numbers in them.

/// Powers of ten that a float64 represents exactly.
const EXACT: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];
/// Maximum number of digits that always fit in an `i64`.
const MOST_DIGITS: usize = 18;

/// What a cell contains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell {
    /// An integer of 64 bits.
    Whole(i64),
    /// A finite number with a decimal point or an exponent.
    Float(f64),
    /// An integer of more than 64 bits, or a number beyond the range of float64.
    Large,
    /// Inf or NaN.
    Infinite,
}

impl Cell {
    /// Parses a cell. With `has_comma`, a comma begins the decimals. `None` if the cell is no number.
    pub(super) fn of(cell: &[u8], has_comma: bool) -> Option<Cell> {
        let text = std::str::from_utf8(cell).ok()?;
        if let Ok(number) = text.parse() {
            return Some(Cell::Whole(number));
        }
        let number: f64 = if has_comma { text.replace(',', ".").parse() } else { text.parse() }.ok()?;
        let has_digits = cell.iter().any(u8::is_ascii_digit);
        let is_float = text.contains(['.', ',', 'e', 'E']);
        Some(match (number.is_finite(), has_digits) {
            (true, _) if is_float => Cell::Float(number),
            (_, true) => Cell::Large,
            (_, false) => Cell::Infinite,
        })
    }
}

/// Splits a line into its cells. Removes spaces and quotes around each cell. A separator inside quotes belongs to the
/// cell. Returns no cells for a blank line and for a comment. `comment` is 0 if there are no comments.
pub(super) fn split(line: &[u8], separator: Option<u8>, comment: u8) -> Vec<&[u8]> {
    let is_space = |byte: u8| separator.is_none() && byte.is_ascii_whitespace();
    let ends = |byte: u8| separator == Some(byte) || is_space(byte);
    let (mut cells, mut rest) = (Vec::new(), line);
    loop {
        rest = rest.trim_ascii_start_of(separator);
        if rest.first().is_none_or(|&first| first == comment && comment != 0) {
            // After a separator, an empty cell follows.
            if separator.is_some() && !cells.is_empty() {
                cells.push(&rest[..0]);
            }
            return cells;
        }
        let quoted = match rest {
            [b'"', inner @ ..] => {
                inner.iter().position(|&byte| byte == b'"').map(|end| (&inner[..end], &inner[end + 1..]))
            }
            _ => None,
        };
        let (cell, after) = match quoted {
            Some((cell, after)) if after.first().is_none_or(|&byte| ends(byte) || byte.is_ascii_whitespace()) => {
                (cell, after)
            }
            _ => {
                let is_end = |&byte: &u8| ends(byte) || byte == comment && comment != 0;
                rest.split_at(rest.iter().position(is_end).unwrap_or(rest.len()))
            }
        };
        cells.push(cell.trim_ascii());
        let after = after.trim_ascii_start_of(separator);
        rest = match (after, separator) {
            ([first, after @ ..], Some(separator)) if *first == separator => after,
            ([], _) => return cells,
            ([first, ..], _) if *first == comment && comment != 0 => return cells,
            // White space ended the cell. A word right after a quoted cell becomes an extra cell.
            (after, _) => after,
        };
    }
}

trait TrimStart {
    fn trim_ascii_start_of(&self, separator: Option<u8>) -> &Self;
}

impl TrimStart for [u8] {
    /// Removes white space at the start, but not the separator.
    fn trim_ascii_start_of(&self, separator: Option<u8>) -> &[u8] {
        let is_said = |&byte: &u8| !byte.is_ascii_whitespace() || separator == Some(byte);
        &self[self.iter().position(is_said).unwrap_or(self.len())..]
    }
}

/// Reads eight digits at once. `None` if the eight bytes of `chunk` are not all digits; its lowest byte is the first.
#[inline(always)]
fn eight_digits(chunk: u64) -> Option<u64> {
    let high = chunk & 0xf0f0_f0f0_f0f0_f0f0;
    let carry = (chunk.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0) >> 4;
    (high | carry == 0x3333_3333_3333_3333).then(|| of_eight_digits(chunk))
}

/// Returns the value of eight ASCII digits. The caller has checked that they are digits. The lowest byte of `chunk` is
/// the first one. Source: "Faster integer parsing" by Ivan Tolmachev, "Fast numeric string to int" by Johnny Lee.
#[inline(always)]
pub(super) fn of_eight_digits(chunk: u64) -> u64 {
    let pairs = (chunk & 0x0f0f_0f0f_0f0f_0f0f).wrapping_mul(2561) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(6_553_601) >> 16;
    (fours & 0x0000_ffff_0000_ffff).wrapping_mul(42_949_672_960_001) >> 32
}

/// Reads digits and appends them to `number`. Returns the number and the text after the digits. The number wraps if
/// there are too many digits.
#[inline(always)]
fn digits(mut text: &[u8], mut number: u64) -> (u64, &[u8]) {
    while let Some(eight) = text.first_chunk().and_then(|chunk| eight_digits(u64::from_le_bytes(*chunk))) {
        number = number.wrapping_mul(100_000_000).wrapping_add(eight);
        text = &text[8..];
    }
    few_digits(text, number)
}

#[inline(always)]
fn few_digits(mut text: &[u8], mut number: u64) -> (u64, &[u8]) {
    while let [first, rest @ ..] = text {
        let digit = first.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(digit.into());
        text = rest;
    }
    (number, text)
}

/// Removes a minus sign at the start. Returns whether there was one, and the text after it.
#[inline(always)]
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        text => (false, text),
    }
}

/// Reads the integer at the beginning of a text. Returns the integer and the text after it. `None` if there is no
/// integer of at most 18 digits. The number may continue, as in `1.5`: the caller checks the next byte.
#[inline(always)]
pub(super) fn whole_at(text: &[u8]) -> Option<(i64, &[u8])> {
    let (is_negative, text) = sign(text);
    let (number, rest) = digits(text, 0);
    let length = text.len() - rest.len();
    let number = if is_negative { -(number as i64) } else { number as i64 };
    (length.wrapping_sub(1) < MOST_DIGITS).then_some((number, rest))
}

/// Reads the number at the beginning of a text. Returns the nearest float64 and the text after the number. `None` if
/// there is no number, or if it has too many digits for this fast path.
#[inline(always)]
pub(super) fn number_at(text: &[u8]) -> Option<(f64, &[u8])> {
    let (is_negative, text) = sign(text);
    let (mut number, mut rest) = few_digits(text, 0);
    let mut length = text.len() - rest.len();
    let mut decimals = 0;
    if let [b'.', after @ ..] = rest {
        (number, rest) = digits(after, number);
        decimals = after.len() - rest.len();
        length += decimals;
    }
    if length.wrapping_sub(1) >= MOST_DIGITS {
        return None;
    }
    let number = decimal(number, decimals)?;
    Some((if is_negative { -number } else { number }, rest))
}

/// Returns the float64 nearest to `number` / 10^`decimals`. `None` if it needs more than this fast path.
#[inline(always)]
pub(super) fn decimal(number: u64, decimals: usize) -> Option<f64> {
    // The number and the power of ten are exact in float64, so the quotient is rounded only once (Clinger's fast path).
    if number > 1 << 53 { None } else { Some(number as f64 / EXACT.get(decimals)?) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cells_are_told_apart() {
        for (text, expected) in [
            ("12", Some(Cell::Whole(12))),
            ("-9223372036854775808", Some(Cell::Whole(i64::MIN))),
            ("+7", Some(Cell::Whole(7))),
            ("9223372036854775808", Some(Cell::Large)),
            ("1e400", Some(Cell::Large)),
            ("1.5", Some(Cell::Float(1.5))),
            (".5", Some(Cell::Float(0.5))),
            ("5.", Some(Cell::Float(5.0))),
            ("1e3", Some(Cell::Float(1000.0))),
            ("-inf", Some(Cell::Infinite)),
            ("NaN", Some(Cell::Infinite)),
            ("1,5", None),
            ("1_0", None),
            ("0x1", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(Cell::of(text.as_bytes(), false), expected, "{text}");
        }
        assert_eq!(Cell::of(b"1,5", true), Some(Cell::Float(1.5)));
        assert_eq!(Cell::of(b"1,500,0", true), None);
    }

    #[test]
    fn lines_are_split_into_cells() {
        for (line, separator, cells) in [
            ("1,2, 3", Some(b','), &["1", "2", "3"][..]),
            (" 1  2\t3 ", None, &["1", "2", "3"]),
            ("1;;3;", Some(b';'), &["1", "", "3", ""]),
            ("\"a, b\",\"2\" ,3", Some(b','), &["a, b", "2", "3"]),
            ("1,2 # lap", Some(b','), &["1", "2"]),
            ("1 2 # lap", None, &["1", "2"]),
            ("# lap", Some(b','), &[]),
            ("  ", Some(b','), &[]),
            ("1\t\t2", Some(b'\t'), &["1", "", "2"]),
            ("\"a\"b,2", Some(b','), &["\"a\"b", "2"]),
            ("\"a,2", Some(b','), &["\"a", "2"]),
        ] {
            let found = split(line.as_bytes(), separator, b'#');
            let found: Vec<&str> = found.into_iter().map(|cell| std::str::from_utf8(cell).unwrap()).collect();
            assert_eq!(found, cells, "{line:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// The fast functions return the same numbers as the standard library's exact parser, or `None`.
        #[test]
        fn numbers_are_the_nearest_floats(text in "-?[0-9]{0,20}(\\.[0-9]{0,24})?(e-?[0-9]{1,3})?") {
            let after = format!("{text},5");
            let expected = text.parse::<f64>().ok();
            if let Some((number, rest)) = number_at(after.as_bytes()) && rest == b",5" {
                prop_assert_eq!(Some(number.to_bits()), expected.map(f64::to_bits));
            }
            if let Some((number, rest)) = whole_at(after.as_bytes()) && rest == b",5" {
                prop_assert_eq!(Ok(number), text.parse::<i64>());
            }
            match (Cell::of(text.as_bytes(), false), expected) {
                (Some(Cell::Whole(number)), _) => prop_assert_eq!(Ok(number), text.parse::<i64>()),
                (Some(Cell::Float(number)), Some(expected)) => prop_assert_eq!(number.to_bits(), expected.to_bits()),
                (Some(Cell::Large), Some(expected)) => {
                    prop_assert!(expected.is_infinite() || expected.abs() >= 9.2e18);
                }
                (found, expected) => prop_assert!(found.is_none() && expected.is_none(), "{:?} {:?}", found, expected),
            }
        }

        #[test]
        fn most_numbers_take_the_fast_way(whole in 0_u32.., decimals in 0_u32..1_000_000) {
            let text = format!("{whole}.{decimals:06}\n");
            let (number, rest) = number_at(text.as_bytes()).unwrap();
            prop_assert_eq!((number, rest), (text.trim().parse::<f64>().unwrap(), &b"\n"[..]));
        }
    }
}
