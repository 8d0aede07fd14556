//! Parses the lines of a text in the fastest way that each allows: many rows of plain numbers at once, a line of plain
//! numbers in one pass over its bytes, and every other line split into cells.

use crate::source::text::delimited::Delimited;
use crate::source::text::rows::{RowFormat, Rows};

/// After this many other lines in a row, rows of plain numbers are no longer tried first.
const MISSES: u32 = 32;

/// Parses lines into columns. `text` ends with the end of a line.
pub(crate) fn parse_rows(format: &RowFormat, text: &[u8]) -> Rows {
    let mut rows = Rows::new(format, text);
    let (mut rest, keeps_floats) = (text, format.keeps_floats());
    let (mut delimited, mut misses) = (Delimited::of(format, text), 0);
    while !rest.is_empty() {
        if let Some(delimited) = &mut delimited {
            let before = rest.len();
            rest = &text[delimited.parse(text, text.len() - before, &mut rows)..];
            misses = if rest.len() < before { 0 } else { misses + 1 };
            if rest.is_empty() {
                break;
            }
        }
        if misses == MISSES {
            delimited = None;
        }
        let mut values = [0; 4];
        if let Some((t, after)) = format.plain(rest, &mut values) {
            rows.add(t, &values, keeps_floats);
            rest = after;
        } else {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len() - 1);
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            match format.line(line, &mut values) {
                Ok(Some(t)) => rows.add(t, &values, keeps_floats),
                Ok(None) => rows.headers += u64::from(format.is_header(line)),
                Err(wrong) => {
                    rows.wrong = Some(wrong);
                    return rows;
                }
            }
            rest = &rest[end + 1..];
        }
        rows.lines += 1;
    }
    rows
}
