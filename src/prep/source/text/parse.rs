//! Parses the lines of a text in the fastest way that each allows: many rows of plain numbers at once, a line of plain
//! numbers in one pass over its bytes, and every other line split into cells.

use crate::source::text::delimited::Delimited;
use crate::source::text::rows::{RowFormat, Rows};

/// Parses lines into columns. `text` ends with the end of a line.
pub(crate) fn parse_rows(format: &RowFormat, text: &[u8]) -> Rows {
    let mut rows = Rows::new(format, text);
    let (mut rest, keeps_floats) = (text, format.keeps_floats());
    let mut delimited = Delimited::of(format, text);
    while !rest.is_empty() {
        if let Some(delimited) = &mut delimited {
            rest = &text[delimited.parse(text, text.len() - rest.len(), &mut rows)..];
            if rest.is_empty() {
                break;
            }
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
