//! Reads text files that people and spreadsheets write: encoding, line ends, and cells between separators.

use std::path::Path;

use crate::error::{BaseFault, Error, Result};

/// Separators between cells. If several fit a table, the first one in this list is used.
const SEPARATORS: [char; 3] = ['\t', ';', ','];

/// Reads a text file in UTF-8. Removes a byte order mark at the start, and converts all line endings to `\n`.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::NotUtf8`], with the number of the first line in another encoding.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(Error::io(path, "read the table"))?;
    let refused = |line, got: String, encoding| Err(Error::NotUtf8 { path: path.into(), line, got, encoding });
    match &bytes[..] {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return refused(1, "UTF-32".into(), Some("UTF-32")),
        [0xff, 0xfe, ..] => return refused(1, "UTF-16".into(), Some("UTF-16")),
        [0xfe, 0xff, ..] => return refused(1, "UTF-16".into(), Some("UTF-16")),
        [b'P', b'K', 3, 4, ..] => return refused(1, "a zip archive, such as a spreadsheet".into(), None),
        _ => {}
    }
    let line_of = |at: usize| 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        let encoding = match (bytes.len() % 2, at) {
            (0, 0) => Some("UTF-16BE"),
            (0, 1) => Some("UTF-16LE"),
            _ => None,
        };
        let got = encoding.map_or("a zero byte".into(), |encoding| format!("{encoding} without a byte order mark"));
        return refused(line_of(at), got, encoding);
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => {
            let at = e.utf8_error().valid_up_to();
            let bytes = e.as_bytes();
            let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
            let start = bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |i| i + 1);
            let rest = bytes[start..].split(|&byte| byte == b'\n' || byte == b'\r').next().unwrap_or_default();
            let shown: String = rest.iter().take(80).map(|&byte| char::from(byte)).collect();
            let got = format!("the byte {:#04x}, which may be Latin-1 or Windows-1252: {shown:?}", bytes[at]);
            return refused(line, got, Some("WINDOWS-1252"));
        }
    };
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n"))
}

/// A table that was read from a text: the cells of its lines.
#[derive(Debug)]
pub(crate) struct Table {
    pub separator: char,
    /// The lines that have cells. Each has its line number in the text, counted from 1, and its cells without outer
    /// spaces and quotes.
    pub rows: Vec<(usize, Vec<String>)>,
}

impl Table {
    /// Splits the lines of a text into cells. Lines that are empty, have only empty cells or start with `#` are left
    /// out.
    ///
    /// The separator between cells is the first of these that is found:
    ///
    /// - the one that a first line such as `sep=;` names
    /// - one with which `is_header` accepts the cells of the first line
    /// - one that splits all lines into the same number of cells, at least two
    /// - the one that splits the first line into the most cells
    ///
    /// # Errors
    /// The number and the text of a line in which a quote is not closed.
    pub(crate) fn parse(text: &str, is_header: impl Fn(&[String]) -> bool) -> Result<Table, (usize, String)> {
        let mut lines: Vec<(usize, &str)> = text.split('\n').enumerate().map(|(i, line)| (i + 1, line)).collect();
        lines.retain(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
        // A spreadsheet names its separator: sep=;
        let named = lines.first().and_then(|(_, line)| line.strip_prefix("sep=")?.chars().next());
        let named = named.filter(|named| SEPARATORS.contains(named));
        if named.is_some() {
            lines.remove(0);
        }
        let separator = named.unwrap_or_else(|| separator(&lines, is_header));
        let mut rows = Vec::with_capacity(lines.len());
        for (number, line) in lines {
            let cells = cells(line, separator).ok_or_else(|| (number, line.to_string()))?;
            if cells.iter().any(|cell| !cell.is_empty()) {
                rows.push((number, cells));
            }
        }
        Ok(Table { separator, rows })
    }
}

/// Finds the separator of a table's cells, in the order that [`Table::parse`] describes.
fn separator(lines: &[(usize, &str)], is_header: impl Fn(&[String]) -> bool) -> char {
    let Some((_, first)) = lines.first() else { return ',' };
    let count = |line: &str, separator| cells(line, separator).map_or(0, |cells| cells.len());
    let header = |&separator: &char| cells(first, separator).is_some_and(|cells| is_header(&cells));
    let even = |&separator: &char| {
        let clean = |cell: &String| !cell.ends_with(SEPARATORS) && !cell.starts_with(SEPARATORS);
        let number = count(first, separator);
        number > 1
            && lines.iter().all(|(_, line)| {
                cells(line, separator).is_some_and(|cells| cells.len() == number && cells.iter().all(clean))
            })
    };
    let most = |separator: &char| count(first, *separator);
    let found = SEPARATORS.into_iter().find(header).or_else(|| SEPARATORS.into_iter().find(even));
    found.or_else(|| SEPARATORS.into_iter().max_by_key(most)).unwrap_or(',')
}

/// Splits a line into cells, which can be in quotes. `None` if a quote is not closed.
fn cells(line: &str, separator: char) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            letter if letter == separator && !quoted => cells.push(std::mem::take(&mut cell).trim().to_string()),
            letter => cell.push(letter),
        }
    }
    cells.push(cell.trim().to_string());
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (char, Vec<Vec<String>>) {
        let table = Table::parse(text, |cells| cells == ["file", "label"]).unwrap();
        (table.separator, table.rows.into_iter().map(|(_, cells)| cells).collect())
    }

    #[test]
    fn the_separator_is_the_one_that_fits_all_lines() {
        for (text, separator, first) in [
            ("a,b\nc,d\n", ',', &["a", "b"][..]),
            ("a;b\nc;d\n", ';', &["a", "b"]),
            ("a\tb\nc\td\n", '\t', &["a", "b"]),
            ("file;label\n1,5;b,c\n", ';', &["file", "label"]),
            ("1;wave, left\n2;clap\n", ';', &["1", "wave, left"]),
            ("0,5;1,5;a\n1,5;2,5;b\n", ';', &["0,5", "1,5", "a"]),
            ("0,\t10,\ta\n10,\t20,\tb\n", ',', &["0", "10", "a"]),
            ("\"x;y\",1\n\"z;w\",2\n", ',', &["x;y", "1"]),
            ("sep=;\na,b;c\nd,e;f\n", ';', &["a,b", "c"]),
            ("a\n", ',', &["a"]),
        ] {
            let (found, rows) = parsed(text);
            assert_eq!(
                (found, &rows[0][..]),
                (separator, &first.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text:?}"
            );
        }
        assert_eq!(parsed("# mine\n\n;;\na;b;c\n").1.len(), 1, "lines without cells");
        assert_eq!(Table::parse("a,b\n\"c,d\n", |_| false).unwrap_err(), (2, "\"c,d".to_string()));
    }
}
