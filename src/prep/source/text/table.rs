//! Finds the rows of events in the first lines of a text, the header, and what each column contains.

use crate::source::columns::{Role, guess_order, unit_in_name};
use crate::source::commands::WORDS;
use crate::source::text::cells::{Cell, split};

/// Separators between cells. Spaces are tried after these, because a space can also follow a comma.
const SEPARATORS: [u8; 3] = [b';', b'\t', b','];
/// The byte order mark of UTF-8.
pub(crate) const MARK: &str = "\u{feff}";

/// What most cells of a column contain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Numbers,
    /// Words for polarities, in lower case: first OFF, then ON. The text may contain only one of the two words.
    Words(&'static str, &'static str),
    Text,
}

/// The first rows of a text with one row of cells for each event. All rows have the same number of cells.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// Number of lines before the first row.
    pub(crate) before: u64,
    /// The line with the names of the columns. `None` if there is no such line.
    pub(crate) header: Option<&'a str>,
    /// Names of the columns, from the header. Empty if there is no header.
    pub(crate) names: Vec<&'a str>,
    pub(crate) rows: Vec<Vec<&'a str>>,
    pub(crate) kinds: Vec<Kind>,
    /// The byte between cells. `None` for white space.
    pub(crate) separator: Option<u8>,
    /// The character that begins a comment.
    pub(crate) comment: u8,
    pub(crate) has_mark: bool,
    pub(crate) line_end: u8,
    /// Width and height of the sensor, if a line before the rows has them.
    pub(crate) size: Option<(u64, u64)>,
    /// The first line before the rows that may be a damaged event: its number, counted from 1, and its text.
    pub(crate) odd: Option<(u64, &'a str)>,
}

impl<'a> Table<'a> {
    /// Finds the rows in the first lines of a text. The text must have rows with at least two columns of numbers, or a
    /// header with the names of t and x. Otherwise, returns `None`.
    pub(crate) fn of(text: &'a str) -> Option<Table<'a>> {
        let head = text.trim_start_matches(MARK);
        if head.trim_start().starts_with(['{', '[', '<']) {
            return None; // JSON or XML
        }
        let line_end = if head.contains('\r') && !head.contains('\n') { '\r' } else { '\n' };
        let mut lines: Vec<&str> = head.split(line_end).map(|line| line.trim_end_matches('\r')).collect();
        // The last line may be cut off.
        if !head.ends_with(line_end) && lines.len() > 2 {
            lines.pop();
        }
        let comment = if head.starts_with('%') { b'%' } else { b'#' };
        let is_said = |line: &str| !uncommented(line, comment).trim().is_empty();
        let separator_of = |line: &str| SEPARATORS.into_iter().find(|&separator| line.as_bytes().contains(&separator));
        let said: Vec<usize> = (0..lines.len()).filter(|&i| is_said(lines[i])).collect();
        let separator = most(said.iter().map(|&i| separator_of(lines[i])))
            .unwrap_or_else(|| lines.first().and_then(|line| separator_of(line)));
        let titles = |i: usize| names(lines[i], separator);
        let has_mark = head.len() < text.len();
        let comma = separator != Some(b',');
        let numbers = |cells: &[&str]| cells.iter().filter(|cell| number(cell, comma).is_some()).count();
        let said: Vec<(usize, Vec<&str>)> =
            said.into_iter().map(|i| (i, cells(lines[i], separator, comment))).collect();
        let table = Table {
            before: lines.len() as u64,
            header: None,
            names: Vec::new(),
            rows: Vec::new(),
            kinds: Vec::new(),
            separator,
            comment,
            has_mark,
            line_end: line_end as u8,
            size: None,
            odd: None,
        };
        let Some(width) = most(said.iter().filter(|(_, cells)| numbers(cells) >= 2).map(|(_, cells)| cells.len()))
        else {
            // Only a header, of a recording without events.
            let is_named = |i: &usize| [Role::T, Role::X].iter().all(|&role| count(&titles(*i), role) == 1);
            let header = (0..lines.len()).find(is_named).filter(|i| said.iter().all(|(said, _)| said == i))?;
            let names = titles(header);
            let kinds = vec![Kind::Numbers; names.len()];
            return Some(Table { header: Some(lines[header].trim()), names, kinds, ..table });
        };
        let likely: Vec<&Vec<&str>> =
            said.iter().map(|(_, cells)| cells).filter(|cells| cells.len() == width && numbers(cells) >= 2).collect();
        let kinds: Vec<Kind> = (0..width).map(|i| kind(likely.iter().map(|cells| cells[i]), comma)).collect();
        if kinds.iter().filter(|&&kind| kind == Kind::Numbers).count() < 2 {
            return None;
        }
        let before = said.iter().find(|(_, cells)| is_row(&kinds, cells, comma))?.0;
        let is_header = |i: &usize| titles(*i).len() == width && numbers(&titles(*i)) == 0;
        let by_role = |i: &usize| titles(*i).iter().any(|name| role_of(name) == Some(Role::X));
        let header = (0..before).find(|i| is_header(i) && by_role(i)).or_else(|| (0..before).rfind(is_header));
        let size = (0..before).find_map(|i| size(lines[i], i == 0 && width > 3, comment));
        // These lines before the first row have no events: lines up to the header, lines of words, and a first line
        // with the size of the sensor.
        let is_about = |i: usize, cells: &[&str]| {
            header.is_some_and(|header| i <= header)
                || cells.iter().all(|cell| cell.parse::<f64>().is_err() && !cell.is_empty())
                || i == 0 && size.is_some() && cells.len() <= 2
        };
        let odd = said.iter().find(|(i, cells)| *i < before && !is_about(*i, cells));
        let odd = odd.map(|(i, _)| (*i as u64 + 1, lines[*i]));
        let rows = said.iter().map(|(_, cells)| cells).filter(|cells| is_row(&kinds, cells, comma)).cloned().collect();
        let names = header.map_or(Vec::new(), titles);
        let header = header.map(|i| lines[i].trim());
        Some(Table { before: before as u64, header, names, rows, kinds, size, odd, ..table })
    }

    /// Returns whether the text certainly has events. This is so in three cases:
    ///
    /// - the header names t, x and p;
    /// - the header names t and x, and all its other names are columns of events too;
    /// - there is no header, and the columns' numbers look like those of t, x, y and p.
    pub(crate) fn has_events(&self) -> bool {
        let has = |role: Role| count(&self.names, role) > 0;
        if has(Role::T) && has(Role::X) {
            return has(Role::P) || self.names.iter().all(|name| role_of(name).is_some());
        }
        let order = self.order().unwrap_or_default();
        self.names.is_empty() && ["t", "x", "y", "p"].iter().all(|name| order.split(',').any(|found| found == *name))
    }

    /// Returns whether the text may have events: at least four columns, all of numbers or words for polarities.
    pub(crate) fn is_open(&self) -> bool {
        self.kinds.len() >= 4 && !self.kinds.contains(&Kind::Text)
    }

    /// Guesses the order of the columns from their numbers, such as `t,x,y,p`. `None` if t or x is not found.
    pub(crate) fn order(&self) -> Option<String> {
        guess_order(&(0..self.kinds.len()).map(|i| self.values(i)).collect::<Vec<_>>())
    }

    /// Returns the numbers of column `i` in the first rows.
    pub(crate) fn values(&self, i: usize) -> Vec<f64> {
        self.rows.iter().filter_map(|row| self.kinds[i].value(row[i], self.separator != Some(b','))).collect()
    }

    /// Returns the cells of column `i` in the first rows.
    pub(crate) fn cells(&self, i: usize) -> impl Iterator<Item = &'a str> {
        self.rows.iter().map(move |row| row[i])
    }

    /// Returns whether a comma in the numbers of column `i` is a decimal comma. The comma in `12,345` may separate
    /// thousands instead.
    pub(crate) fn has_comma(&self, i: usize) -> bool {
        let mut with = self.cells(i).filter(|cell| cell.contains(','));
        let is_decimal = |cell: &str| cell.starts_with('0') || cell.split(',').skip(1).any(|digits| digits.len() != 3);
        self.separator != Some(b',') && with.next().is_some() && {
            self.cells(i).all(|cell| cell.contains(','))
                || self.cells(i).any(|cell| cell.contains(',') && is_decimal(cell))
        }
    }
}

impl Kind {
    /// Converts a cell to a number. `self` is the kind of its column. OFF gives 0 and ON gives 1. Every cell in a
    /// column of text gives 0. `None` if the cell does not fit the column.
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

/// Returns a line without the comment at its end.
fn uncommented(line: &str, comment: u8) -> &str {
    line.split(char::from(comment)).next().unwrap_or_default()
}

/// Splits a line into cells. `comment` is 0 if there are no comments.
fn cells(line: &str, separator: Option<u8>, comment: u8) -> Vec<&str> {
    split(line.as_bytes(), separator, comment).into_iter().filter_map(|cell| std::str::from_utf8(cell).ok()).collect()
}

/// Splits a line with names, which may be a comment.
fn names(line: &str, separator: Option<u8>) -> Vec<&str> {
    cells(line.trim_start().trim_start_matches(['#', '%']), separator, 0)
}

/// Returns how many of the names stand for the column `role`.
fn count(names: &[&str], role: Role) -> usize {
    names.iter().filter(|name| role_of(name) == Some(role)).count()
}

/// Reads the size of the sensor from a line: `% geometry:640,480`, or two whole numbers in the first line of a text.
fn size(line: &str, is_first: bool, comment: u8) -> Option<(u64, u64)> {
    let about = line.trim_start().strip_prefix(char::from(comment)).map(str::trim_start);
    let numbers = match about.and_then(|about| about.strip_prefix("geometry")) {
        Some(numbers) => numbers,
        None if is_first && about.is_none() => line,
        None => return None,
    };
    let mut numbers = numbers.split([' ', '\t', ',', ';', ':', 'x']).filter(|part| !part.is_empty());
    let mut next = || numbers.next()?.parse::<u64>().ok().filter(|n| (1..=65_536).contains(n));
    let size = (next()?, next()?);
    numbers.next().is_none().then_some(size)
}

/// Returns the kind to which at least half of a column's cells belong. Numbers can have a decimal comma if `comma` is
/// true.
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

/// Parses the finite number in a cell. The number can have a decimal comma if `comma` is true.
fn number(cell: &str, comma: bool) -> Option<f64> {
    match Cell::of(cell.as_bytes(), comma)? {
        Cell::Whole(number) => Some(number as f64),
        Cell::Float(number) => Some(number),
        Cell::Large => cell.parse().ok().filter(|number: &f64| number.is_finite()),
        Cell::Infinite => None,
    }
}

/// Returns the column that a name such as `t_us`, `Timestamp [s]`, `x@320` or `pol` means.
pub(crate) fn role_of(name: &str) -> Option<Role> {
    let bare = name.trim_end_matches([']', ')']);
    let bare = if bare.len() < name.len() { bare.rsplit_once(['[', '(']).map_or(bare, |(bare, _)| bare) } else { bare };
    let bare = match bare.rsplit_once('@') {
        Some((bare, size)) if size.parse::<u32>().is_ok() => bare,
        _ => bare,
    };
    Role::of(bare.trim()).or_else(|| unit_in_name(name).map(|_| Role::T))
}

/// Returns the unit in brackets at the end of a column name, such as `s` in `Timestamp [s]`.
pub(crate) fn bracketed(name: &str) -> Option<&str> {
    let (times, unit) = name.strip_suffix([']', ')'])?.rsplit_once(['[', '('])?;
    (!times.is_empty()).then(|| unit.trim())
}

/// Returns the size after a name, such as 320 in `x@320`.
pub(crate) fn size_in_name(name: &str) -> Option<u64> {
    name.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_headers_are_found() {
        for (text, names, width, before, has_events) in [
            ("t,x,y,p\n1,2,3,0\n", &["t", "x", "y", "p"][..], 4, 1, true),
            ("# x\ty\tp\tt\n3\t7\t1\t10\n1\t7\t0\t20\n", &["x", "y", "p", "t"], 4, 1, true),
            ("240 180\n0.5 3 7 1\n0.75 1 7 0\n", &[], 4, 1, true),
            ("%geometry:640,480\n3,7,1,10\n1,7,0,20\n", &[], 4, 1, true),
            ("\u{feff}\"t [ms]\";x\r\n0,5;2\r\n", &["t [ms]", "x"], 2, 1, true),
            ("mine, 20, 5, 1\nt,x,y,p\n10,3,7,1\n20,1,7,0\n", &["t", "x", "y", "p"], 4, 2, true),
            ("t,x,y,p\n", &["t", "x", "y", "p"], 4, 2, true),
            ("time,x,y,z\n1,2,3,4\n", &["time", "x", "y", "z"], 4, 1, false),
            ("t,x,y,w,h,class\n1,2,3,4,5,0\n", &["t", "x", "y", "w", "h", "class"], 6, 1, false),
            ("class,start,end\n1,2000,3000\n", &["class", "start", "end"], 3, 1, false),
            ("1.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7\n2.0 0.1 0.2 0.3 0.4 0.5 0.6 0.7\n", &[], 8, 0, false),
        ] {
            let table = Table::of(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((&table.names[..], table.kinds.len(), table.before), (names, width, before), "{text}");
            assert_eq!(table.has_events(), has_events, "{text}");
            assert_eq!(table.odd, None, "{text}");
        }
        for text in ["Dear all,\nplease find it attached.\n", "1\n2\n", "a b c\nd e f\n", "file,label\n", "\n\n", ""] {
            assert!(Table::of(text).is_none(), "{text}");
        }
        let sizes =
            ["240 180\n0.5 3 7 1\n0.75 1 7 0\n", "%geometry:240,180\n3,7,1,10\n", "% geometry 240x180\n3,7,1,10\n"];
        sizes.iter().for_each(|text| assert_eq!(Table::of(text).unwrap().size, Some((240, 180)), "{text}"));
        assert_eq!(Table::of("7\n10,3,7,1\n20,1,7,0\n").unwrap().odd, Some((1, "7")));
        assert_eq!(Table::of("10,3,7\n20,1,7,0\n30,1,7,0\n").unwrap().odd, Some((1, "10,3,7")));
    }

    #[test]
    fn names_mean_columns() {
        for (name, role) in [
            ("t_us", Some(Role::T)),
            ("Timestamp [us]", Some(Role::T)),
            ("time(s)", Some(Role::T)),
            ("t [ticks]", Some(Role::T)),
            ("x@320", Some(Role::X)),
            ("Y [px]", Some(Role::Y)),
            ("on", Some(Role::P)),
            ("x_center", None),
            ("t_ref", None),
            ("x@left", None),
        ] {
            assert_eq!(role_of(name), role, "{name}");
        }
        assert_eq!((bracketed("t [us]"), bracketed("t"), size_in_name("x@320")), (Some("us"), None, Some(320)));
    }
}
