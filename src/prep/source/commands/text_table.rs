//! Finds the rows of events in the first lines of a text, the header, and what each column contains.

use crate::source::columns::Role;
use crate::source::commands::mended::WORDS;
use crate::time_unit::TimeUnit;

/// Separators between cells. Spaces are tried after these, because a space can also follow a comma.
const SEPARATORS: [char; 3] = [';', '\t', ','];

/// What most cells of a column contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Numbers,
    /// Words for polarities, in lower case: first OFF, then ON. The text may have only one of them.
    Words(&'static str, &'static str),
    Text,
}

/// The first rows of a text with one row of cells for each event. All rows have the same number of cells.
pub(super) struct Table<'a> {
    /// Number of lines before the first row.
    pub before: usize,
    /// The line with the names of the columns. `None` if there is no such line.
    pub header: Option<&'a str>,
    /// Names of the columns, from the header. Empty if there is no header.
    pub names: Vec<&'a str>,
    pub rows: Vec<Vec<&'a str>>,
    /// Number of the first row's line, counted from 1.
    pub first: usize,
    pub kinds: Vec<Kind>,
    pub separator: Option<char>,
    /// The character with which comments begin.
    pub comment: char,
    pub has_mark: bool,
    pub line_end: char,
    /// Lines before the first row that may be damaged events: the number of the line, counted from 1, and its text.
    pub odd: Vec<(u64, &'a str)>,
}

impl<'a> Table<'a> {
    /// Finds the rows in the first lines of a text. `None` if there are no rows with at least two columns of numbers.
    pub(super) fn of(text: &'a str) -> Option<Table<'a>> {
        let head = text.trim_start_matches('\u{feff}');
        let line_end = if head.contains('\r') && !head.contains('\n') { '\r' } else { '\n' };
        let mut lines: Vec<&str> = head.split(line_end).map(|line| line.trim_end_matches('\r')).collect();
        // The last line may be cut off.
        if !head.ends_with(line_end) && lines.len() > 2 {
            lines.pop();
        }
        let comment = if head.starts_with('%') { '%' } else { '#' };
        let is_said = |line: &str| !uncommented(line, comment).trim().is_empty();
        let separator_of = |line: &str| SEPARATORS.into_iter().find(|&separator| line.contains(separator));
        let separator = most(lines.iter().filter(|line| is_said(line)).map(|line| separator_of(line)))?;
        let cells = |line| split(uncommented(line, comment), separator);
        let comma = separator != Some(',');
        let numbers = |cells: &[&str]| cells.iter().filter(|cell| number(cell, comma).is_some()).count();
        let said: Vec<(usize, Vec<&str>)> =
            lines.iter().enumerate().filter(|(_, line)| is_said(line)).map(|(i, line)| (i, cells(line))).collect();
        let width = most(said.iter().filter(|(_, cells)| numbers(cells) >= 2).map(|(_, cells)| cells.len()))?;
        let likely: Vec<&Vec<&str>> =
            said.iter().map(|(_, cells)| cells).filter(|cells| cells.len() == width && numbers(cells) >= 2).collect();
        let kinds: Vec<Kind> = (0..width).map(|i| kind(likely.iter().map(|cells| cells[i]), comma)).collect();
        if kinds.iter().filter(|&&kind| kind == Kind::Numbers).count() < 2 {
            return None;
        }
        let before = said.iter().find(|(_, cells)| is_row(&kinds, cells, comma))?.0;
        let titles = |i: usize| split(lines[i].trim_start().trim_start_matches(['#', '%']), separator);
        let is_header = |i: &usize| titles(*i).len() == width && numbers(&titles(*i)) == 0;
        let by_role = |i: &usize| titles(*i).iter().any(|name| role_of(name).0 == Some(Role::X));
        let header = (0..before).find(|i| is_header(i) && by_role(i)).or_else(|| (0..before).rfind(is_header));
        // These lines before the first row have no events: lines up to the header, lines of words, and a first line
        // with the size of the sensor.
        let is_about = |i: usize, cells: &[&str]| {
            header.is_some_and(|header| i <= header)
                || cells.iter().all(|cell| cell.parse::<f64>().is_err() && !cell.is_empty())
                || i == 0 && cells.len() <= 2 && width > 3
        };
        let odd = said.iter().filter(|(i, cells)| *i < before && !is_about(*i, cells));
        let odd = odd.map(|(i, _)| (*i as u64 + 1, lines[*i])).collect();
        let rows = said.iter().map(|(_, cells)| cells).filter(|cells| is_row(&kinds, cells, comma)).cloned().collect();
        let (names, first) = (header.map_or(Vec::new(), titles), before + 1);
        let (header, has_mark) = (header.map(|i| lines[i].trim()), head.len() < text.len());
        Some(Table { before, header, names, rows, first, kinds, separator, comment, has_mark, line_end, odd })
    }

    /// Returns whether numbers can have a decimal comma.
    pub(super) fn has_comma(&self) -> bool {
        self.separator != Some(',')
    }

    /// Returns the cells of a line, without a comment after them. A line that is blank or only a comment has no cells.
    pub(super) fn cells<'b>(&self, line: &'b str) -> Vec<&'b str> {
        let line = uncommented(line, self.comment);
        if line.trim().is_empty() { Vec::new() } else { split(line, self.separator) }
    }

    /// Returns whether NumPy skips a line, because it is empty or a comment.
    pub(super) fn is_skipped(&self, line: &str) -> bool {
        let line = uncommented(line, self.comment);
        line.is_empty() || self.separator.is_none() && line.trim().is_empty()
    }

    pub(super) fn is_row(&self, cells: &[&str]) -> bool {
        is_row(&self.kinds, cells, self.has_comma())
    }

    /// Returns whether a comment names the columns in a different order from the header.
    pub(super) fn is_another_header(&self, comment: &str) -> bool {
        let names = split(comment.trim_start().trim_start_matches(['#', '%']), self.separator);
        let role = |name: &&str| role_of(name).0;
        names.len() == self.kinds.len()
            && names.iter().filter(|name| role(name).is_some()).count() > 1
            && names.iter().map(role).ne(self.names.iter().map(role))
    }

    /// Returns the indices of the columns that have numbers or words for polarities.
    pub(super) fn used(&self) -> Vec<usize> {
        (0..self.kinds.len()).filter(|&i| self.kinds[i] != Kind::Text).collect()
    }

    /// Returns the numbers of column `i` in the first rows.
    pub(super) fn values(&self, i: usize) -> Vec<f64> {
        self.rows.iter().filter_map(|row| self.kinds[i].value(row[i], self.has_comma())).collect()
    }
}

impl Kind {
    /// Returns the number that a cell of a column stands for: 0 for OFF, 1 for ON, and 0 in a column of other texts.
    /// `self` is the kind of the column. `None` if the cell does not fit the column.
    fn value(self, cell: &str, comma: bool) -> Option<f64> {
        let is = |word: &str| cell.trim_matches('"').eq_ignore_ascii_case(word);
        match self {
            Kind::Numbers => number(cell, comma),
            Kind::Words(off, on) => is(on).then_some(1.0).or(is(off).then_some(0.0)),
            Kind::Text => Some(0.0),
        }
    }
}

fn is_row(kinds: &[Kind], cells: &[&str], comma: bool) -> bool {
    cells.len() == kinds.len() && cells.iter().zip(kinds).all(|(cell, kind)| kind.value(cell, comma).is_some())
}

/// Returns the part of a line before its comment, as NumPy reads the line.
fn uncommented(line: &str, comment: char) -> &str {
    line.split(comment).next().unwrap_or_default()
}

fn split(line: &str, separator: Option<char>) -> Vec<&str> {
    match separator {
        Some(separator) => line.split(separator).map(str::trim).collect(),
        None => line.split_whitespace().collect(),
    }
}

/// Finds out what most cells of a column are. Numbers can have a decimal comma if `comma` is true.
fn kind<'a>(cells: impl Iterator<Item = &'a str> + Clone, comma: bool) -> Kind {
    let kinds = std::iter::once(Kind::Numbers).chain(WORDS.into_iter().map(|(off, on)| Kind::Words(off, on)));
    let count = |kind: &Kind| cells.clone().filter(|cell| kind.value(cell, comma).is_some()).count();
    kinds.into_iter().find(|kind| 2 * count(kind) >= cells.clone().count()).unwrap_or(Kind::Text)
}

/// Returns the most frequent item. `None` if there are no items.
fn most<T: PartialEq + Copy>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: Vec<(T, usize)> = Vec::new();
    for item in items {
        match counts.iter_mut().find(|(known, _)| *known == item) {
            Some((_, count)) => *count += 1,
            None => counts.push((item, 1)),
        }
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(item, _)| item)
}

/// Parses the finite number in a cell, with or without quotes. The number can have a decimal comma if `comma` is true.
pub(super) fn number(cell: &str, comma: bool) -> Option<f64> {
    let cell = cell.trim_matches('"');
    let number = if comma { cell.replace(',', ".").parse() } else { cell.parse() };
    number.ok().filter(|n: &f64| n.is_finite())
}

/// Returns the column that a name such as `t_us`, `Timestamp [s]` or `pol` means, and the unit of times in the name.
pub(super) fn role_of(name: &str) -> (Option<Role>, Option<TimeUnit>) {
    let name = name.trim_matches(|c: char| c == '"' || c == '\u{feff}' || c.is_whitespace());
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '\u{b5}').filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    let role = Role::of(name).or_else(|| Role::of(parts.first()?));
    (role, parts.iter().rev().find_map(|part| TimeUnit::recognise(part)).filter(|_| role == Some(Role::T)))
}
