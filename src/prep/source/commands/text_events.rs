//! Recognises texts with a row of numbers for each event. This crate doesn't read them, but NumPy can convert them. The
//! error suggests a line of Python for that, made from the first rows of the text. The line leaves out no event: a line
//! of the text that is no row is named instead.

use std::path::Path;

use crate::remedy::Remedy;
use crate::source::columns::{Role, guess_order};
use crate::source::commands::mended::{WORDS, literal, python};
use crate::source::times::TimeUnit;

/// Separators between cells. Spaces are tried after these, because they may also follow a comma.
const SEPARATORS: [char; 3] = [';', '\t', ','];

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Numbers,
    /// Words for polarities: off and on, in lower case. Perhaps only one of them has occurred.
    Words(&'static str, &'static str),
    Text,
}

/// The rows of events in the first lines of a text. All rows have the same number of cells.
struct Table<'a> {
    /// Number of lines before the first row of events. None of them has an event.
    before: usize,
    /// Names of the columns: the cells of the header. Empty if there is none.
    names: Vec<&'a str>,
    rows: Vec<Vec<&'a str>>,
    /// The number of each row's line, counted from 1.
    lines: Vec<usize>,
    kinds: Vec<Kind>,
    separator: Option<char>,
    /// The character that begins comments.
    comment: char,
    has_mark: bool,
    /// Lines that are neither rows nor comments: their numbers from 1, and their texts.
    odd: Vec<(usize, &'a str)>,
}

/// The columns of a text, named for the records of a NumPy array.
struct Named {
    /// For each used column: its index in the text, and its name in the array.
    fields: Vec<(usize, String)>,
    /// The unit of the times that the header names.
    unit: Option<TimeUnit>,
    /// Whether times have fractions and the header names no unit.
    is_unit_open: bool,
}

/// Describes a text for an error message: the name of its format, what reads it, and the command that converts it, if
/// it has rows of numbers. `head` has the first lines of the text. `stem` is the name of the file without its ending.
pub(crate) fn described(path: &Path, stem: &str, head: &str) -> (String, String, Option<Box<Remedy>>) {
    let line: String = head.lines().next().unwrap_or("").chars().take(40).collect();
    let name = format!("a text that begins with {line:?}");
    match command(path, stem, head) {
        Some(Ok((reader, command))) => (name, reader.into(), Some(Box::new(command))),
        Some(Err(odd)) => (name, odd, None),
        None => {
            let reader = "read it in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)";
            (name, reader.into(), None)
        }
    }
}

/// Returns whether a text has rows of events: at least four cells, each of which is a number or a word for a polarity.
pub(crate) fn has_events(head: &str) -> bool {
    Table::of(head).is_some_and(|table| table.kinds.len() >= 4 && !table.kinds.contains(&Kind::Text))
}

/// Returns the command that saves a text as a NumPy array of records, and what is said of it. `Err` names a line that
/// has to be corrected first. `None` if no rows of numbers are found.
fn command(path: &Path, stem: &str, head: &str) -> Option<Result<(&'static str, Remedy), String>> {
    let table = Table::of(head)?;
    let named = table.named();
    if let Some(odd) = table.odd_line().or_else(|| table.odd_cell(named.is_some())) {
        return Some(Err(odd));
    }
    let used = table.used();
    if named.is_none() && used.len() < 3 {
        return None;
    }
    let options: String =
        table.options(&used, named.as_ref()).into_iter().map(|option| format!(", {option}")).collect();
    let out = format!("{stem}_events.npy");
    let code =
        format!("import numpy as np; np.save({}, np.loadtxt({}{options}))", literal(&out), literal(path.to_str()?));
    let open = named.as_ref().is_some_and(|named| named.is_unit_open);
    let reader = match open {
        true => "NumPy reads it; its times have fractions and no unit: `time_unit` (s, ms, us or ns) says it",
        false => "NumPy reads it",
    };
    // Without an order, the array is opened without one, and the error has it.
    let unit = named.and_then(|named| named.unit).filter(|&unit| unit != TimeUnit::Microseconds);
    let with = unit.map(Remedy::Unit).into_iter().collect();
    Some(Ok((reader, Remedy::Copy { words: python(code), file: out, with })))
}

impl<'a> Table<'a> {
    /// Finds the rows in the first lines of a text. `None` if it has none with at least two numbers.
    fn of(text: &'a str) -> Option<Table<'a>> {
        let head = text.trim_start_matches('\u{feff}');
        let mut lines: Vec<&str> = head.lines().collect();
        // The last line may be cut off.
        if !head.ends_with('\n') && lines.len() > 2 {
            lines.pop();
        }
        let comment = if head.starts_with('%') { '%' } else { '#' };
        let is_said = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(comment);
        let separator_of = |line: &str| SEPARATORS.into_iter().find(|&separator| line.contains(separator));
        let separator = most(lines.iter().filter(|line| is_said(line)).map(|line| separator_of(line)))?;
        let split = |line: &'a str| -> Vec<&'a str> {
            match separator {
                Some(separator) => line.split(separator).map(str::trim).collect(),
                None => line.split_whitespace().collect(),
            }
        };
        let comma = separator != Some(',');
        let numbers = |cells: &[&str]| cells.iter().filter(|cell| number(cell, comma).is_some()).count();
        let said: Vec<(usize, Vec<&str>)> =
            lines.iter().enumerate().filter(|(_, line)| is_said(line)).map(|(i, line)| (i, split(line))).collect();
        let width = most(said.iter().filter(|(_, cells)| numbers(cells) >= 2).map(|(_, cells)| cells.len()))?;
        let likely: Vec<&Vec<&str>> =
            said.iter().map(|(_, cells)| cells).filter(|cells| cells.len() == width && numbers(cells) >= 2).collect();
        let kinds: Vec<Kind> = (0..width).map(|i| kind(likely.iter().map(|cells| cells[i]), comma)).collect();
        if kinds.iter().filter(|&&kind| kind == Kind::Numbers).count() < 2 {
            return None;
        }
        let is_row = |cells: &[&str]| {
            cells.len() == width && cells.iter().zip(&kinds).all(|(cell, kind)| kind.value(cell, comma).is_some())
        };
        let before = said.iter().find(|(_, cells)| is_row(cells))?.0;
        let uncommented = |i: usize| split(lines[i].trim_start().trim_start_matches(['#', '%']));
        let is_header = |i: &usize| uncommented(*i).len() == width && numbers(&uncommented(*i)) == 0;
        let by_role = |i: &usize| uncommented(*i).iter().any(|name| role_of(name).0 == Some(Role::X));
        let header = (0..before).find(|i| is_header(i) && by_role(i)).or_else(|| (0..before).rfind(is_header));
        // Before the first row, lines up to the header have no events, nor have texts, or the size of the sensor.
        let is_about = |i: usize, cells: &[&str]| {
            header.is_some_and(|header| i <= header)
                || cells.iter().all(|cell| cell.parse::<f64>().is_err() && !cell.is_empty())
                || i == 0 && cells.len() <= 2 && width > 3
        };
        let is_odd = |i: usize, cells: &[&str]| if i < before { !is_about(i, cells) } else { !is_row(cells) };
        let odd = said.iter().filter(|(i, cells)| is_odd(*i, cells)).map(|(i, _)| (i + 1, lines[*i])).collect();
        let numbered = said.iter().filter(|(_, cells)| is_row(cells)).map(|(i, cells)| (i + 1, cells.clone()));
        let (lines, rows) = numbered.unzip();
        let names = header.map_or(Vec::new(), uncommented);
        let has_mark = head.len() < text.len();
        Some(Table { before, names, rows, lines, kinds, separator, comment, has_mark, odd })
    }

    /// Names the first line that is no row. `None` if there is none.
    fn odd_line(&self) -> Option<String> {
        let (number, line) = self.odd.first()?;
        let line: String = line.chars().take(60).collect();
        let others = match self.odd.len() - 1 {
            0 => String::new(),
            others => format!(", and so are {others} other lines near the beginning"),
        };
        Some(format!(
            "line {number} is {line:?}, no row of {} cells as the others{others}: correct it in a copy, or delete it if \
             it is no event, and convert the copy",
            self.kinds.len()
        ))
    }

    /// Names the first cell of a column that is needed and has no numbers. `is_named` says whether t and x are found.
    fn odd_cell(&self, is_named: bool) -> Option<String> {
        let is_named_so = |i: usize| self.names.get(i).is_some_and(|name| role_of(name).0.is_some());
        let is_needed = |&i: &usize| is_named_so(i) || !is_named || self.used().len() < 4;
        let is_bad = |&i: &usize| self.kinds[i] == Kind::Text || self.has_thousands(i);
        let i = (0..self.kinds.len()).filter(is_bad).find(is_needed)?;
        let row = self.rows.iter().position(|row| self.kinds[i] == Kind::Text || row[i].contains(','))?;
        let name = self.names.get(i).map_or(format!("column {}", i + 1), |name| (*name).into());
        Some(format!(
            "line {}: {name} is {:?}, no number for NumPy: correct this column in a copy and convert that, or read the text \
             in Python and save the columns: np.savez(\"events.npz\", t=t, x=x, y=y, p=p)",
            self.lines[row], self.rows[row][i]
        ))
    }

    /// Whether commas in the numbers of a column separate thousands, as in `12,345`, and not decimals.
    fn has_thousands(&self, i: usize) -> bool {
        let (with, without): (Vec<&str>, Vec<&str>) = self.rows.iter().map(|row| row[i]).partition(|c| c.contains(','));
        let grouped = |cell: &&str| !cell.starts_with('0') && cell.split(',').skip(1).all(|digits| digits.len() == 3);
        !with.is_empty() && !without.is_empty() && with.iter().all(grouped)
    }

    /// Indices of the columns of numbers, or words for polarities.
    fn used(&self) -> Vec<usize> {
        (0..self.kinds.len()).filter(|&i| self.kinds[i] != Kind::Text).collect()
    }

    /// Names the columns, by the header or by their content. `None` if t or x is not found.
    fn named(&self) -> Option<Named> {
        let (used, comma) = (self.used(), self.separator != Some(','));
        let roles: Vec<(Option<Role>, Option<TimeUnit>)> =
            (0..self.kinds.len()).map(|i| self.names.get(i).map_or((None, None), |name| role_of(name))).collect();
        let count = |role| roles.iter().filter(|(named, _)| *named == Some(role)).count();
        let by_name = count(Role::T) == 1 && count(Role::X) == 1 && count(Role::Y) < 2 && count(Role::P) < 2;
        let values =
            |i: usize| self.rows.iter().filter_map(move |row| self.kinds[i].value(row[i], comma)).collect::<Vec<f64>>();
        let found: Vec<&str> = match by_name {
            true => used.iter().map(|&i| roles[i].0.map_or("_", Role::name)).collect(),
            false => {
                let order = guess_order(&used.iter().map(|&i| values(i)).collect::<Vec<_>>())?;
                let role = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name).map_or("_", Role::name);
                order.split(',').map(role).collect()
            }
        };
        let t = used[found.iter().position(|&name| name == "t").or(by_name.then_some(0))?];
        let other = |i: usize| match self.names.get(i).map(|name| name.trim_matches('"')) {
            Some(name)
                if !name.is_empty()
                    && self.names.iter().filter(|n| n.trim_matches('"') == name).count() == 1
                    && Role::of(name).is_none() =>
            {
                name.into()
            }
            _ => format!("column{}", i + 1),
        };
        let name = |(&i, &found): (&usize, &&str)| (i, if found == "_" { other(i) } else { found.into() });
        let fields = used.iter().zip(&found).map(name).collect();
        let is_unit_open = roles[t].1.is_none() && values(t).iter().any(|n| n.fract() != 0.0);
        Some(Named { fields, unit: roles[t].1, is_unit_open })
    }

    /// Returns the arguments for `np.loadtxt` that fit the text. `used` has the indices of the used columns.
    fn options(&self, used: &[usize], named: Option<&Named>) -> Vec<String> {
        let mut options = Vec::new();
        match self.separator {
            Some('\t') => options.push("delimiter=\"\\t\"".into()),
            Some(separator) => options.push(format!("delimiter={}", literal(&separator.to_string()))),
            None => {}
        }
        if self.before > 0 {
            options.push(format!("skiprows={}", self.before));
        }
        if self.comment == '%' {
            options.push("comments=\"%\"".into());
        }
        if used.len() < self.kinds.len() {
            options.push(format!("usecols={used:?}"));
        }
        let converters = self.converters(used);
        if let Some(converters) = &converters {
            options.push(format!("converters={converters}"));
        }
        if self.has_mark || converters.is_some() {
            options.push(format!("encoding=\"utf-8{}\"", if self.has_mark { "-sig" } else { "" }));
        }
        if self.rows.iter().flatten().any(|cell| cell.starts_with('"')) {
            options.push("quotechar='\"'".into());
        }
        // Floats do not hold all nanoseconds since 1970.
        let whole = |i: usize| {
            let is_whole = |cell: &str| cell.trim_matches('"').parse::<i64>().is_ok();
            self.kinds[i] != Kind::Numbers || self.rows.iter().all(|row| is_whole(row[i]))
        };
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

    /// Returns the argument for `np.loadtxt` that converts words for polarities, or decimals after a comma. `None` if
    /// the text has neither.
    fn converters(&self, used: &[usize]) -> Option<String> {
        let comma = used.iter().any(|&i| self.rows.iter().any(|row| row[i].contains(',')));
        let decimals = "lambda cell: float(cell.replace(\",\", \".\"))";
        let converter = |&i: &usize| match self.kinds[i] {
            Kind::Words(off, on) => {
                let words = format!("{{{}: 0, {}: 1}}", literal(off), literal(on));
                Some(format!("{i}: lambda cell: {words}[cell.strip().lower()]"))
            }
            _ => self.rows.iter().any(|row| row[i].contains(',')).then(|| format!("{i}: {decimals}")),
        };
        match (comma, used.iter().any(|&i| self.kinds[i] != Kind::Numbers)) {
            (true, false) => Some(decimals.into()),
            (false, false) => None,
            _ => Some(format!("{{{}}}", used.iter().filter_map(converter).collect::<Vec<_>>().join(", "))),
        }
    }
}

impl Kind {
    /// Returns the number that a cell stands for: 0 (off) or 1 (on) for a word, 0 for a text. `None` if the cell is not
    /// of this kind.
    fn value(self, cell: &str, comma: bool) -> Option<f64> {
        let is = |word: &str| cell.trim_matches('"').eq_ignore_ascii_case(word);
        match self {
            Kind::Numbers => number(cell, comma),
            Kind::Words(off, on) => is(on).then_some(1.0).or(is(off).then_some(0.0)),
            Kind::Text => Some(0.0),
        }
    }
}

/// Finds what most cells of a column are.
fn kind<'a>(cells: impl Iterator<Item = &'a str> + Clone, comma: bool) -> Kind {
    let kinds = std::iter::once(Kind::Numbers).chain(WORDS.into_iter().map(|(off, on)| Kind::Words(off, on)));
    let count = |kind: &Kind| cells.clone().filter(|cell| kind.value(cell, comma).is_some()).count();
    kinds.into_iter().find(|kind| 2 * count(kind) >= cells.clone().count()).unwrap_or(Kind::Text)
}

/// Returns the most frequent item.
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

/// Parses the finite number in a cell, with or without quotes. `comma` says that decimals may follow a comma. `None` if
/// the cell has no number.
fn number(cell: &str, comma: bool) -> Option<f64> {
    let cell = cell.trim_matches('"');
    let number = if comma { cell.replace(',', ".").parse() } else { cell.parse() };
    number.ok().filter(|n: &f64| n.is_finite())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The options of `np.loadtxt` that are advised, or the line that is named.
    fn advised(head: &str) -> Option<Result<(String, Vec<Remedy>), String>> {
        Some(command(Path::new("d/a b.txt"), "a b", head)?.map(|(_, remedy)| {
            let Remedy::Copy { words, file, with } = remedy else { panic!("{head}") };
            let start = "import numpy as np; np.save(\"a b_events.npy\", np.loadtxt(\"d/a b.txt\"";
            assert_eq!(file, "a b_events.npy");
            let options = words[2].strip_prefix(start).and_then(|rest| rest.strip_suffix("))"));
            (options.unwrap_or_else(|| panic!("{}", words[2])).into(), with)
        }))
    }

    #[test]
    fn the_line_fits_the_text() {
        for (head, options, fields, unit) in [
            ("t,x,y,p\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y p", None),
            ("10 3 7 1\n20 1 7 0\n", "", "t x y p", None),
            ("  10   3   7 1\n  20   1   7 0\n", "", "t x y p", None),
            ("0.5 3 7 1\n0.75 1 7 0\n", "", "T x y p", None),
            ("240 180\n0.5 3 7 1\n0.75 1 7 0\n", ", skiprows=1", "T x y p", None),
            ("# x y p t\n3\t7\t1\t10\n1\t7\t0\t20\n", ", delimiter=\"\\t\", skiprows=1", "x y p t", None),
            (
                "t;x;y;p\n0,5;3;7;1\n0,75;1;7;0\n",
                ", delimiter=\";\", skiprows=1, converters=lambda cell: float(cell.replace(\",\", \".\")), encoding=\"utf-8\"",
                "T x y p",
                None,
            ),
            (
                "x,y,pol,t\n3,7,ON,10\n1,7,ON,20\n",
                ", delimiter=\",\", skiprows=1, converters={2: lambda cell: {\"off\": 0, \"on\": 1}[cell.strip().lower()]}, encoding=\"utf-8\"",
                "x y p t",
                None,
            ),
            (
                ",time_ns,x,y,p\n0,10,3,7,1\n1,20,1,7,0\n",
                ", delimiter=\",\", skiprows=1",
                "column1 t x y p",
                Some("ns"),
            ),
            (
                "\u{feff}\"t [ms]\",x,y,p\n1.5,3,7,1\n2.5,1,7,0\n",
                ", delimiter=\",\", skiprows=1, encoding=\"utf-8-sig\"",
                "T x y p",
                Some("ms"),
            ),
            ("% a\n% b\n10 3 7 1\n20 1 7 0\n", ", skiprows=2, comments=\"%\"", "t x y p", None),
            (
                "t,x,y,p,name\n10,3,7,1,a b\n20,1,7,0,\n",
                ", delimiter=\",\", skiprows=1, usecols=[0, 1, 2, 3]",
                "t x y p",
                None,
            ),
            // A line that is cut off is no row.
            ("10 3 7 1\n20 1 7 0\n30 5", "", "t x y p", None),
            // NumPy skips blank lines and comments.
            ("t,x,y,p\n10,3,7,1\n\n# lap\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y p", None),
            ("mine, 20, 5, 1\nt,x,y,p\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=2", "t x y p", None),
            ("t,x,y,val\n10,3,7,1\n20,1,7,0\n", ", delimiter=\",\", skiprows=1", "t x y val", None),
            ("1700000000000001001,3,7,1\n1700000000000009001,1,7,0\n", ", delimiter=\",\"", "t x y p", None),
        ] {
            let field = |name: &str| match name {
                "T" => "(\"t\", \"f8\")".into(),
                name => format!("(\"{name}\", \"i8\")"),
            };
            let fields: Vec<String> = fields.split(' ').map(field).collect();
            let options = format!("{options}, dtype=[{}], ndmin=1", fields.join(", "));
            let with = unit.map(|unit| Remedy::Unit(unit.parse().unwrap())).into_iter().collect();
            assert_eq!(advised(head), Some(Ok((options, with))), "{head}");
        }
        for head in
            ["Dear all,\nplease find it attached.\n", "1\n2\n", "a b c\nd e f\n", "t,x,y,p\n", "\n\n", "5 5\n5 5\n"]
        {
            assert_eq!(advised(head), None, "{head}");
        }
    }

    #[test]
    fn a_line_that_is_no_row_is_named_and_nothing_is_left_out() {
        for (lines, named) in [
            ("10,3,7,1\n,,,\n20,1,7,0\n30,1,7,0\n", "line 3 is \",,,\""),
            ("10,3,7,1\n20,1,7\n30,1,7,0\n40,1,7,0\n", "line 3 is \"20,1,7\""),
            ("10,3,7\n20,1,7,0\n30,1,7,0\n", "line 2 is \"10,3,7\""),
            ("10,3,7,1\nt,x,y,p\n20,1,7,0\n30,1,7,0\nend\n", "line 3 is \"t,x,y,p\""),
            ("nan,nan,nan,nan\n10,3,7,1\n20,1,7,0\n", "line 2 is \"nan,nan,nan,nan\""),
            ("10,3,7,1\n20,NULL,7,1\n30,1,7,0\n", "line 3 is \"20,NULL,7,1\""),
            ("10,3,7,ON\n20,1,7,OFF\n30,1,7,5\n", "line 4 is \"30,1,7,5\""),
            ("\n2020-01-01 00:01,3,7,1\n2020-01-01 00:02,1,7,0\n", "line 3: t is \"2020-01-01 00:01\""),
        ] {
            let Some(Err(odd)) = advised(&format!("t,x,y,p\n{lines}")) else { panic!("{lines}") };
            assert!(odd.starts_with(named), "{odd}");
        }
        let Some(Err(odd)) = advised("t;x;y;p\n900;1;2;0\n1,900;1;3;1\n") else { panic!() };
        assert!(odd.starts_with("line 3: t is \"1,900\""), "{odd}");
        let Some(Err(odd)) = advised("2020-01-01,3,7,1\n2020-01-02,1,7,0\n") else { panic!() };
        assert!(odd.starts_with("line 1: column 1 is"), "{odd}");
    }
}
