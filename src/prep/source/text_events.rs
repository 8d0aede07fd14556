//! Recognises texts with a row of numbers for each event. This crate doesn't read them, but NumPy can convert them. The
//! error suggests a line of Python for that, made from the first rows of the text.

use std::path::Path;

use crate::error::Remedy;
use crate::source::columns::Role;
use crate::source::guess::guess_order;
use crate::source::mended::{WORDS, literal, python};
use crate::source::unit::TimeUnit;

/// Separators between cells. Spaces are tried after these, because they may also follow a comma.
const SEPARATORS: [char; 3] = [';', '\t', ','];

/// The rows of events in the first lines of a text, and what precedes these rows. All rows have the same number of
/// cells.
struct Rows<'a> {
    /// Number of lines before the first row of events.
    before: usize,
    /// Names of the columns: the cells of the line before the first row. Empty if that line has another number of
    /// cells.
    names: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
    separator: Option<char>,
    /// The character that begins comments. `None` if the text does not begin with a comment.
    comment: Option<char>,
}

/// Describes a text for an error message: the name of its format, what reads it, and the command that converts it, if
/// it has rows of numbers. `head` has the first lines of the text. `stem` is the name of the file without its ending.
pub(super) fn described(path: &Path, stem: &str, head: &str) -> (String, String, Option<Box<Remedy>>) {
    let line: String = head.lines().next().unwrap_or("").chars().take(40).collect();
    let name = format!("a text that begins with {line:?}");
    match command(path, stem, head) {
        Some(command) => (name, "NumPy reads it".into(), Some(Box::new(command))),
        None => {
            let reader = "read it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
            (name, reader.into(), None)
        }
    }
}

/// Returns whether a text has rows of events: at least four cells, each of which is a number or a word for a polarity.
pub(super) fn has_events(head: &str) -> bool {
    let is_number = |cell: &str| number(cell, true).is_some();
    Rows::of(head).is_some_and(|rows| {
        let is_used = |i| rows.column(i).all(is_number) || words_of(rows.column(i)).is_some();
        let width = rows.rows[0].len();
        width >= 4 && (0..width).all(is_used)
    })
}

/// Returns the command that saves a text as a NumPy array, and the options with which to open that array. `None` if no
/// rows of numbers are found.
fn command(path: &Path, stem: &str, head: &str) -> Option<Remedy> {
    let table = Table::of(Rows::of(head)?);
    let columns = table.columns();
    let told = order(&table.rows, &table.used, &columns);
    if told.is_none() && table.used.len() < 3 {
        return None;
    }
    let options: String = table.options(&columns).into_iter().map(|option| format!(", {option}")).collect();
    let out = format!("{stem}_events.npy");
    let code =
        format!("import numpy as np; np.save({}, np.loadtxt({}{options}))", literal(&out), literal(path.to_str()?));
    // Without an order, the array is opened without one, and the error has it.
    let with = told.map_or(Vec::new(), |(order, unit)| {
        [Some(Remedy::Columns(order)), unit.map(Remedy::Unit)].into_iter().flatten().collect()
    });
    Some(Remedy::Copy { words: python(code), file: out, with })
}

/// The rows of events in a text, and what each of their columns contains.
struct Table<'a> {
    rows: Rows<'a>,
    /// Whether decimals follow a comma instead of a point, as in `0,5`.
    comma: bool,
    /// For each column: its words for the polarities off and on. `None` if the column has no such words.
    words: Vec<Option<(&'a str, &'a str)>>,
    /// Indices of the columns that contain numbers, or words for polarities. Other columns are skipped.
    used: Vec<usize>,
}

impl<'a> Table<'a> {
    fn of(rows: Rows<'a>) -> Table<'a> {
        let comma = rows.separator != Some(',') && rows.cells().any(|cell| cell.contains(','));
        let width = rows.rows[0].len();
        let words: Vec<_> = (0..width).map(|i| words_of(rows.column(i))).collect();
        let is_used = |&i: &usize| words[i].is_some() || rows.column(i).all(|cell| number(cell, comma).is_some());
        let used = (0..width).filter(is_used).collect();
        Table { rows, comma, words, used }
    }

    /// Returns the content of each used column as numbers. Words for polarities become 0 (off) and 1 (on).
    fn columns(&self) -> Vec<Vec<f64>> {
        let value = |i: usize, cell: &str| match self.words[i] {
            Some((_, on)) => f64::from(u8::from(cell.trim_matches('"') == on)),
            None => number(cell, self.comma).unwrap_or(0.0),
        };
        self.used.iter().map(|&i| self.rows.column(i).map(|cell| value(i, cell)).collect()).collect()
    }

    /// Returns the arguments for `np.loadtxt` that fit the text. `columns` has the numbers of the used columns.
    fn options(&self, columns: &[Vec<f64>]) -> Vec<String> {
        let Table { rows, comma, .. } = self;
        let mut options = Vec::new();
        match rows.separator {
            Some('\t') => options.push("delimiter=\"\\t\"".into()),
            Some(separator) => options.push(format!("delimiter={}", literal(&separator.to_string()))),
            None => {}
        }
        if rows.before > 0 {
            options.push(format!("skiprows={}", rows.before));
        }
        if rows.comment == Some('%') {
            options.push("comments=\"%\"".into());
        }
        if self.used.len() < rows.rows[0].len() {
            options.push(format!("usecols={:?}", self.used));
        }
        options.extend(self.converters());
        if rows.cells().any(|cell| cell.starts_with('"')) {
            options.push("quotechar='\"'".into());
        }
        // Floats do not hold all nanoseconds since 1970.
        let is_float = |cell: &str| number(cell, *comma).is_some() && cell.contains(['.', 'e', 'E']);
        let whole = columns.iter().flatten().all(|n| n.fract() == 0.0) && !rows.cells().any(is_float);
        if whole && !comma {
            options.push("dtype=\"i8\"".into());
        }
        options
    }

    /// Returns the argument for `np.loadtxt` that converts words for polarities, or decimals after a comma. `None` if
    /// the text has neither.
    fn converters(&self) -> Option<String> {
        let words = self.words.iter().enumerate().filter_map(|(i, words)| Some((i, (*words)?)));
        let converters: Vec<String> = words
            .map(|(i, (off, on))| format!("{i}: {{{}: 0, {}: 1}}.__getitem__", literal(off), literal(on)))
            .collect();
        let converters = match (converters.is_empty(), self.comma) {
            (false, _) => format!("{{{}}}", converters.join(", ")),
            (true, true) => "lambda cell: float(cell.replace(\",\", \".\"))".into(),
            (true, false) => return None,
        };
        Some(format!("converters={converters}, encoding=\"utf-8\""))
    }
}

/// Parses the number in a cell, with or without quotes. `comma` says that decimals follow a comma. `None` if the cell
/// has no number.
fn number(cell: &str, comma: bool) -> Option<f64> {
    let cell = cell.trim_matches('"');
    if comma { cell.replace(',', ".") } else { cell.into() }.parse().ok()
}

/// Finds the order of the columns, such as `t,x,y,p`, by their names or by their content. Also returns the unit of the
/// times, if it is not microseconds. `used` has the indices of the used columns, and `columns` has their numbers.
fn order(rows: &Rows<'_>, used: &[usize], columns: &[Vec<f64>]) -> Option<(String, Option<TimeUnit>)> {
    let named: Vec<(Option<Role>, Option<TimeUnit>)> =
        used.iter().map(|&i| rows.names.get(i).map_or((None, None), |name| role_of(name))).collect();
    let count = |role| named.iter().filter(|(named, _)| *named == Some(role)).count();
    let by_name = count(Role::T) == 1 && count(Role::X) == 1 && count(Role::Y) < 2 && count(Role::P) < 2;
    let order = match by_name {
        true => named.iter().map(|(role, _)| role.map_or("_", Role::name)).collect::<Vec<_>>().join(","),
        false => guess_order(columns)?,
    };
    let t = order.split(',').position(|name| name == "t")?;
    // Cameras count whole microseconds; fractions are of seconds.
    let fractions = columns[t].iter().any(|n| n.fract() != 0.0);
    let unit = named[t].1.or(fractions.then_some(TimeUnit::Seconds)).filter(|&unit| unit != TimeUnit::Microseconds);
    Some((order, unit))
}

/// Returns which column of events is meant by a name such as `t`, `t_us`, `Timestamp [s]` or `pol`. Also returns the
/// unit of time in the name.
fn role_of(name: &str) -> (Option<Role>, Option<TimeUnit>) {
    let name = name.trim_matches(|c: char| c == '"' || c == '\u{feff}' || c.is_whitespace());
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '\u{b5}').filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.collect();
    let role = Role::of(name).or_else(|| Role::of(parts.first()?));
    (role, parts.iter().rev().find_map(|part| TimeUnit::recognise(part)).filter(|_| role == Some(Role::T)))
}

/// Returns the two words for polarities that a column consists of, such as `OFF` and `ON`. The word for off is first.
/// `None` if the column has other content.
fn words_of<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Option<(&'a str, &'a str)> {
    let is = |cell: &&str, word: &str| cell.trim_matches('"').eq_ignore_ascii_case(word);
    let (off, on) = WORDS.into_iter().find(|(off, on)| cells.clone().all(|cell| is(&cell, off) || is(&cell, on)))?;
    let first = |word| cells.clone().find(|cell| is(cell, word)).map(|cell| cell.trim_matches('"'));
    let pair = (first(off)?, first(on)?);
    // Each is always written the same way.
    cells.clone().all(|cell| [pair.0, pair.1].contains(&cell.trim_matches('"'))).then_some(pair)
}

impl<'a> Rows<'a> {
    /// Finds the rows: the last lines of `head` that have numbers and the same number of cells.
    fn of(head: &'a str) -> Option<Rows<'a>> {
        let mut lines: Vec<&str> = head.lines().collect();
        // The last line may be cut off.
        if !head.ends_with('\n') && lines.len() > 2 {
            lines.pop();
        }
        let comment = lines.first()?.trim_start_matches('\u{feff}').chars().next().filter(|c| ['#', '%'].contains(c));
        let is_comment = |line: &str| comment.is_some_and(|comment| line.starts_with(comment));
        let last = lines.iter().rposition(|line| !line.trim().is_empty() && !is_comment(line))?;
        let separator = SEPARATORS.into_iter().find(|&separator| lines[last].contains(separator));
        let cells = |line: &'a str| -> Vec<&'a str> {
            match separator {
                Some(separator) => line.split(separator).map(str::trim).collect(),
                None => line.split_whitespace().collect(),
            }
        };
        let width = cells(lines[last]).len();
        let has_digits =
            |cells: &[&str]| cells.iter().filter(|cell| cell.contains(|c: char| c.is_ascii_digit())).count() >= 2;
        let is_row = |line: &&&'a str| {
            let cells = cells(line);
            let numbers =
                cells.iter().all(|cell| !cell.is_empty()) && cells[..].iter().any(|cell| cell.parse::<f64>().is_ok());
            cells.len() == width && has_digits(&cells) && numbers
        };
        let first = last + 1 - lines[..=last].iter().rev().take_while(|line| is_row(line)).count();
        if width < 2 || first > last {
            return None;
        }
        let names = first.checked_sub(1).map_or(Vec::new(), |i| cells(lines[i].trim_start_matches(['#', '%'])));
        let names = if names.len() == width { names } else { Vec::new() };
        let rows = lines[first..=last].iter().map(|line| cells(line)).collect();
        Some(Rows { before: first, names, rows, separator, comment })
    }

    fn column(&self, i: usize) -> impl Iterator<Item = &'a str> + Clone + '_ {
        self.rows.iter().map(move |row| row[i])
    }

    fn cells(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.rows.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_fits_the_text() {
        let whole = ", dtype=\"i8\"";
        for (head, options, order, unit) in [
            ("t,x,y,p\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=1, dtype=\"i8\"", "t,x,y,p", None),
            ("10 3 7 1\n20 1 7 0\n", whole, "t,x,y,p", None),
            ("  10   3   7 1\n  20   1   7 0\n", whole, "t,x,y,p", None),
            ("0.5 3 7 1\n0.75 1 7 0\n", "", "t,x,y,p", Some("s")),
            ("240 180\n0.5 3 7 1\n0.75 1 7 0\n", ", skiprows=1", "t,x,y,p", Some("s")),
            ("# x y p t\n3\t7\t1\t10\n1\t7\t0\t20\n", ", delimiter=\"\\t\", skiprows=1, dtype=\"i8\"", "x,y,p,t", None),
            (
                "t;x;y;p\n0,5;3;7;1\n0,75;1;7;0\n",
                ", delimiter=\";\", skiprows=1, converters=lambda cell: float(cell.replace(\",\", \".\")), encoding=\"utf-8\"",
                "t,x,y,p",
                Some("s"),
            ),
            (
                "x,y,pol,t\n3,7,ON,10\n1,7,OFF,20\n",
                ", delimiter=\",\", skiprows=1, converters={2: {\"OFF\": 0, \"ON\": 1}.__getitem__}, encoding=\"utf-8\", dtype=\"i8\"",
                "x,y,p,t",
                None,
            ),
            (
                ",time_ns,x,y,p\n0,10,3,7,1\n1,20,1,7,0\n",
                ", delimiter=\",\", skiprows=1, dtype=\"i8\"",
                "_,t,x,y,p",
                Some("ns"),
            ),
            (
                "\u{feff}\"t [ms]\",x,y,p\n1.5,3,7,1\n2.5,1,7,0\n",
                ", delimiter=\",\", skiprows=1",
                "t,x,y,p",
                Some("ms"),
            ),
            ("% a\n% b\n10 3 7 1\n20 1 7 0\n", ", skiprows=2, comments=\"%\", dtype=\"i8\"", "t,x,y,p", None),
            (
                "t,x,y,p,name\n10,3,7,1,a b\n20,1,7,0,c\n",
                ", delimiter=\",\", skiprows=1, usecols=[0, 1, 2, 3], dtype=\"i8\"",
                "t,x,y,p",
                None,
            ),
            // A line that is cut off is no row.
            ("10 3 7 1\n20 1 7 0\n30 5", whole, "t,x,y,p", None),
            (
                "1700000000000001001,3,7,1\n1700000000000009001,1,7,0\n",
                ", delimiter=\",\", dtype=\"i8\"",
                "t,x,y,p",
                None,
            ),
        ] {
            let Some(Remedy::Copy { words, file, with }) = command(Path::new("d/a b.txt"), "a b", head) else {
                panic!("{head}")
            };
            let code = format!("import numpy as np; np.save(\"a b_events.npy\", np.loadtxt(\"d/a b.txt\"{options}))");
            assert_eq!((&words[2], &*file), (&code, "a b_events.npy"), "{head}");
            let unit = unit.map(|unit| Remedy::Unit(unit.parse().unwrap()));
            let expected: Vec<Remedy> = [Some(Remedy::Columns(order.into())), unit].into_iter().flatten().collect();
            assert_eq!(with, expected, "{head}");
        }
        for head in
            ["Dear all,\nplease find it attached.\n", "1\n2\n", "a b c\nd e f\n", "t,x,y,p\n", "\n\n", "5 5\n5 5\n"]
        {
            assert_eq!(command(Path::new("a"), "a", head), None, "{head}");
        }
    }
}
