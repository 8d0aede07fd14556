//! Reads all lines of a text with events, and collects what the columns contain and which lines are not rows.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use crate::source::commands::text_table::{Kind, Table, number};

/// Maximum length of a row in bytes. Longer lines are not rows.
const LONGEST: u64 = 1 << 16;
/// Number of characters that an error shows of a line that is not a row.
const SHOWN: usize = 60;

/// What the cells of one column contain, in all rows of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Whether at least one cell is not a 64-bit integer.
    pub has_floats: bool,
    /// Whether at least one number in the column is not whole.
    pub has_fractions: bool,
    /// The first cell with a comma: the number of its line, counted from 1, and its text.
    pub comma: Option<(u64, String)>,
    has_plain: bool,
    has_decimals: bool,
}

impl Content {
    /// Returns whether commas in the column separate thousands, as in `12,345`, and not decimals.
    pub(super) fn has_thousands(&self) -> bool {
        self.comma.is_some() && self.has_plain && !self.has_decimals
    }

    fn see(&mut self, line: u64, cell: &str, comma: bool) {
        let bare = cell.trim_matches('"');
        self.has_floats |= bare.parse::<i64>().is_err();
        self.has_fractions |= number(cell, comma).is_some_and(|number| number.fract() != 0.0);
        if cell.contains(',') {
            self.has_decimals |= cell.starts_with('0') || cell.split(',').skip(1).any(|digits| digits.len() != 3);
            self.comma.get_or_insert_with(|| (line, cell.into()));
        } else {
            self.has_plain = true;
        }
    }

    /// Records the kind of the number at the start of `line`, and returns the rest of the line. `None` if `line`
    /// doesn't start with a plain number of at most 18 digits.
    fn see_digits<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let unsigned = line.strip_prefix(b"-").unwrap_or(line);
        let (whole, mut rest) = digits(unsigned);
        let mut length = whole.len();
        if let [b'.', after @ ..] = rest {
            let decimals;
            (decimals, rest) = digits(after);
            self.has_floats = true;
            self.has_fractions |= decimals.iter().any(|digit| *digit != b'0');
            length += decimals.len();
        }
        self.has_plain = true;
        (1..=18).contains(&length).then_some(rest)
    }
}

/// Splits a text into the digits at its start and the rest.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// What was found in all lines of a text.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// What the cells of each column contain.
    pub columns: Vec<Content>,
    /// The first line that is not a row: its number, counted from 1, and its text.
    pub odd: Option<(u64, String)>,
    /// Number of lines that are not rows. Blank lines and comments don't count.
    pub odd_lines: u64,
    /// Whether the header occurs again after the first row.
    pub repeats_header: bool,
    pub has_quotes: bool,
    pub is_utf8: bool,
}

impl Lines {
    /// Reads all lines of a text whose first rows are `table`. Stops early at an I/O error, or at a line that is too
    /// long.
    pub(super) fn read(table: &Table<'_>, mut text: impl BufRead) -> Lines {
        let columns = vec![Content::default(); table.kinds.len()];
        let mut lines = Lines { columns, is_utf8: true, ..Lines::default() };
        for (number, line) in &table.odd {
            lines.add_odd(*number, line);
        }
        let (mut line, mut number) = (Vec::new(), 0);
        while (&mut text).take(LONGEST).read_until(table.line_end as u8, &mut line).is_ok_and(|read| read > 0) {
            number += 1;
            let ended = line.pop_if(|last| *last == table.line_end as u8).is_some();
            if line.len() as u64 == LONGEST && !ended {
                lines.add_odd(number, &String::from_utf8_lossy(&line));
                break;
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            if number <= table.before as u64 {
                lines.is_utf8 &= std::str::from_utf8(&line).is_ok();
            } else if !lines.see_plain(table, &line) {
                lines.see(table, number, &line);
            }
            line.clear();
        }
        lines
    }

    /// Adds a line of plain numbers and words. Returns `false` for any other line, which the caller adds with
    /// [`Lines::see`].
    fn see_plain(&mut self, table: &Table<'_>, line: &[u8]) -> bool {
        let separator = table.separator.map_or(b' ', |separator| separator as u8);
        let mut rest = line;
        for (i, (column, kind)) in self.columns.iter_mut().zip(&table.kinds).enumerate() {
            if i > 0 {
                let [first, after @ ..] = rest else { return false };
                if *first != separator {
                    return false;
                }
                rest = after;
            }
            while let [b' ', after @ ..] = rest {
                rest = after;
            }
            if *kind == Kind::Numbers {
                let Some(after) = column.see_digits(rest) else { return false };
                rest = after;
                continue;
            }
            let (cell, after) = rest.split_at(rest.iter().position(|&byte| byte == separator).unwrap_or(rest.len()));
            let fits = match kind {
                Kind::Words(off, on) => [off, on].iter().any(|word| cell.eq_ignore_ascii_case(word.as_bytes())),
                _ => cell.iter().all(u8::is_ascii_alphanumeric),
            };
            if !fits {
                return false;
            }
            rest = after;
        }
        rest.is_empty()
    }

    fn see(&mut self, table: &Table<'_>, number: u64, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        self.is_utf8 &= matches!(text, Cow::Borrowed(_));
        let cells = table.cells(&text);
        if Some(text.trim()) == table.header && !cells.is_empty() {
            self.repeats_header = true;
        } else if table.is_row(&cells) {
            for ((cell, column), kind) in cells.iter().zip(&mut self.columns).zip(&table.kinds) {
                self.has_quotes |= cell.starts_with('"');
                if *kind == Kind::Numbers {
                    column.see(number, cell, table.has_comma());
                }
            }
        } else if !table.is_skipped(&text) || table.is_another_header(&text) {
            self.add_odd(number, &text);
        }
    }

    fn add_odd(&mut self, number: u64, line: &str) {
        self.odd.get_or_insert_with(|| (number, line.chars().take(SHOWN).collect()));
        self.odd_lines += 1;
    }
}
