//! Recognises texts that have a row of numbers for each event. This crate doesn't read such texts. The error for such
//! a text suggests a line of Python code, which converts the text with NumPy and loses no event. If a line of the
//! text is not a row, the error names this line instead.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use tonic_base::free_name;

use crate::remedy::Remedy;
use crate::source::columns::{Role, guess_order};
use crate::source::commands::mended::{literal, python};
use crate::source::commands::text_lines::Lines;
use crate::source::commands::text_table::{Kind, Table, role_of};
use crate::time_unit::TimeUnit;

/// Text for error messages: how to convert a text in which no rows are found.
const READER: &str = "read it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";

/// A text that has a row of cells for each event.
struct Text<'a> {
    /// The first rows of the text.
    table: Table<'a>,
    /// What was found in all lines of the text.
    lines: Lines,
}

/// The columns of a text, with names. NumPy converts the text to an array whose fields have these names.
struct Named {
    /// For each column that is used: its index in the text, and its name in the array.
    fields: Vec<(usize, String)>,
    /// The unit of the times, if the header names it.
    unit: Option<TimeUnit>,
    /// Whether the unit of the times is unknown although it matters: times have fractions, and the header names no
    /// unit.
    is_unit_open: bool,
}

/// Describes the text at `path` for an error message. Returns the name of its format, advice on how to convert it and,
/// if it has rows of numbers, a command that converts it. Reads all lines, which takes two to three seconds per GB.
/// `head` has the first lines. `stem` is the name of the file without its ending.
pub(crate) fn described(path: &Path, stem: &str, head: &str) -> (String, String, Option<Box<Remedy>>) {
    let line: String = head.lines().next().unwrap_or("").chars().take(40).collect();
    let name = format!("a text that begins with {line:?}");
    let command = match File::open(path) {
        Ok(file) => command(path, stem, head, BufReader::with_capacity(1 << 20, file)),
        Err(_) => command(path, stem, head, whole_lines(head)),
    };
    match command {
        Some(Ok((reader, command))) => (name, reader.into(), Some(Box::new(command))),
        Some(Err(odd)) => (name, odd, None),
        None => (name, READER.into(), None),
    }
}

/// Returns advice on how to convert a text file in a folder of recordings. `head` has the first lines of the file, and
/// `name` is its path in the folder.
pub(crate) fn reader(name: &Path, head: &str) -> Cow<'static, str> {
    match command(name, "", head, whole_lines(head)) {
        Some(Ok(_)) => "NumPy reads it (np.loadtxt) and saves it as an array (np.save)".into(),
        Some(Err(odd)) => odd.into(),
        None => READER.into(),
    }
}

/// Returns `head` without its last line, if that line is cut off.
fn whole_lines(head: &str) -> &[u8] {
    head.rfind('\n').map_or(head, |end| &head[..=end]).as_bytes()
}

/// Returns whether a text has rows of events. Such a row has at least four cells, and each cell is a number or a word
/// for a polarity.
pub(crate) fn has_events(head: &str) -> bool {
    Table::of(head).is_some_and(|table| table.kinds.len() >= 4 && !table.kinds.contains(&Kind::Text))
}

/// Returns the command that saves a text as a NumPy array, and a short text about it for the user. `head` has the first
/// lines of the text, and `lines` reads all lines. Returns `Err` with a message if a line has to be corrected first.
/// Returns `None` if no rows of numbers are found.
fn command(path: &Path, stem: &str, head: &str, lines: impl BufRead) -> Option<Result<(&'static str, Remedy), String>> {
    let table = Table::of(head)?;
    let text = Text { lines: Lines::read(&table, lines), table };
    let named = text.named();
    if let Some(odd) = text.odd_line().or_else(|| text.odd_cell(named.is_some())) {
        return Some(Err(odd));
    }
    let used = text.table.used();
    if named.is_none() && used.len() < 3 {
        return None;
    }
    let options: String = text.options(&used, named.as_ref()).into_iter().map(|option| format!(", {option}")).collect();
    let out = free_name(&format!("{stem}_events"), ".npy");
    let code =
        format!("import numpy as np; np.save({}, np.loadtxt({}{options}))", literal(&out), literal(path.to_str()?));
    let open = named.as_ref().is_some_and(|named| named.is_unit_open);
    let reader = match open {
        true => "NumPy reads it; its times have fractions and no unit: `time_unit` (s, ms, us or ns) says it",
        false => "NumPy reads it",
    };
    // If the order of the columns is not found here, the error about the converted array will ask for it.
    let unit = named.and_then(|named| named.unit).filter(|&unit| unit != TimeUnit::Microseconds);
    let with = unit.map(Remedy::Unit).into_iter().collect();
    Some(Ok((reader, Remedy::Copy { words: python(code), file: out, with })))
}

impl Text<'_> {
    /// Returns a message about the first line that is not a row. `None` if all lines are rows.
    fn odd_line(&self) -> Option<String> {
        let (number, line) = self.lines.odd.as_ref()?;
        let others = match self.lines.odd_lines - 1 {
            0 => String::new(),
            1 => ", and so is another line".into(),
            others => format!(", and so are {others} other lines"),
        };
        Some(format!(
            "line {number} is {line:?}, no row of {} cells as the others{others}: correct it in a copy, or delete it if \
             it is no event, and convert the copy",
            self.table.kinds.len()
        ))
    }

    /// Returns a message about the first needed column that NumPy cannot read as numbers. `None` if there is no such
    /// column. `is_named` says whether the columns of t and x were found.
    fn odd_cell(&self, is_named: bool) -> Option<String> {
        let Table { names, kinds, rows, first, .. } = &self.table;
        let is_named_so = |i: usize| names.get(i).is_some_and(|name| role_of(name).0.is_some());
        let is_needed = |&i: &usize| is_named_so(i) || !is_named || self.table.used().len() < 4;
        let is_bad = |&i: &usize| kinds[i] == Kind::Text || self.lines.columns[i].has_thousands();
        let i = (0..kinds.len()).filter(is_bad).find(is_needed)?;
        let first = || Some((*first as u64, rows.first()?[i].into()));
        let (line, cell): (u64, String) = self.lines.columns[i].comma.clone().or_else(first)?;
        let name = names.get(i).map_or(format!("column {}", i + 1), |name| (*name).into());
        Some(format!(
            "line {line}: {name} is {cell:?}, no number for NumPy: correct this column in a copy and convert that, or read \
             the text in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)"
        ))
    }

    /// Finds the names of the columns, from the header or from their content. Returns `None` if the columns of t and x
    /// are not found.
    fn named(&self) -> Option<Named> {
        let Table { names, kinds, .. } = &self.table;
        let used = self.table.used();
        let roles: Vec<(Option<Role>, Option<TimeUnit>)> =
            (0..kinds.len()).map(|i| names.get(i).map_or((None, None), |name| role_of(name))).collect();
        let count = |role| roles.iter().filter(|(named, _)| *named == Some(role)).count();
        let by_name = count(Role::T) == 1 && count(Role::X) == 1 && count(Role::Y) < 2 && count(Role::P) < 2;
        let found: Vec<&str> = match by_name {
            true => used.iter().map(|&i| roles[i].0.map_or("_", Role::name)).collect(),
            false => {
                let order = guess_order(&used.iter().map(|&i| self.table.values(i)).collect::<Vec<_>>())?;
                let role = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name).map_or("_", Role::name);
                order.split(',').map(role).collect()
            }
        };
        let t = used[found.iter().position(|&name| name == "t").or(by_name.then_some(0))?];
        let other = |i: usize| match names.get(i).map(|name| name.trim_matches('"')) {
            Some(name)
                if !name.is_empty()
                    && names.iter().filter(|n| n.trim_matches('"') == name).count() == 1
                    && Role::of(name).is_none() =>
            {
                name.into()
            }
            _ => format!("column{}", i + 1),
        };
        let name = |(&i, &found): (&usize, &&str)| (i, if found == "_" { other(i) } else { found.into() });
        let fields = used.iter().zip(&found).map(name).collect();
        let is_unit_open = roles[t].1.is_none() && self.lines.columns[t].has_fractions;
        Some(Named { fields, unit: roles[t].1, is_unit_open })
    }

    /// Returns the arguments of `np.loadtxt` that fit the text. `used` has the indices of the columns that are used.
    fn options(&self, used: &[usize], named: Option<&Named>) -> Vec<String> {
        let Table { separator, before, comment, kinds, has_mark, .. } = &self.table;
        let mut options = Vec::new();
        match separator {
            Some('\t') => options.push("delimiter=\"\\t\"".into()),
            Some(separator) => options.push(format!("delimiter={}", literal(&separator.to_string()))),
            None => {}
        }
        if *before > 0 {
            options.push(format!("skiprows={before}"));
        }
        match self.table.header.filter(|_| self.lines.repeats_header) {
            Some(header) => options.push(format!("comments=[\"{comment}\", {}]", literal(header))),
            None if *comment == '%' => options.push("comments=\"%\"".into()),
            None => {}
        }
        if used.len() < kinds.len() {
            options.push(format!("usecols={used:?}"));
        }
        let converters = self.converters(used);
        if let Some(converters) = &converters {
            options.push(format!("converters={converters}"));
        }
        let encoding = match (has_mark, self.lines.is_utf8) {
            (true, _) => Some("utf-8-sig"),
            (false, false) => Some("latin1"),
            (false, true) => converters.is_some().then_some("utf-8"),
        };
        options.extend(encoding.map(|encoding| format!("encoding=\"{encoding}\"")));
        if self.lines.has_quotes {
            options.push("quotechar='\"'".into());
        }
        // Use integers where possible: a float64 cannot represent every number of nanoseconds since 1970.
        let whole = |i: usize| !self.lines.columns[i].has_floats;
        match named {
            Some(Named { fields, .. }) => {
                let kind = |i| if whole(i) { "i8" } else { "f8" };
                let field = |(i, name): &(usize, String)| format!("({}, \"{}\")", literal(name), kind(*i));
                options.push(format!("dtype=[{}]", fields.iter().map(field).collect::<Vec<_>>().join(", ")));
                options.push("ndmin=1".into());
            }
            None if used.iter().all(|&i| whole(i)) => options.push("dtype=\"i8\"".into()),
            None => {}
        }
        options
    }

    /// Returns the argument `converters` of `np.loadtxt`. It converts columns that have words for polarities, and
    /// columns that have numbers with a decimal comma. `None` if there are no such columns.
    fn converters(&self, used: &[usize]) -> Option<String> {
        let has_comma = |i: usize| self.lines.columns[i].comma.is_some();
        let comma = used.iter().any(|&i| has_comma(i));
        let decimals = "lambda cell: float(cell.replace(\",\", \".\"))";
        let converter = |&i: &usize| match self.table.kinds[i] {
            Kind::Words(off, on) => {
                let words = format!("{{{}: 0, {}: 1}}", literal(off), literal(on));
                Some(format!("{i}: lambda cell: {words}[cell.strip().lower()]"))
            }
            _ => has_comma(i).then(|| format!("{i}: {decimals}")),
        };
        match (comma, used.iter().any(|&i| self.table.kinds[i] != Kind::Numbers)) {
            (true, false) => Some(decimals.into()),
            (false, false) => None,
            _ => Some(format!("{{{}}}", used.iter().filter_map(converter).collect::<Vec<_>>().join(", "))),
        }
    }
}

#[cfg(test)]
mod tests;
