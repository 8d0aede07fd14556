//! Recognises texts that have a row of numbers for each event. This crate doesn't read such texts. The error for such
//! a text suggests a line of Python code, which converts the text with NumPy and loses no event. If a line of the
//! text is not a row, the error names this line instead.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

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
    let out = format!("{stem}_events.npy");
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

    /// Returns the argument of `np.loadtxt` that converts words for polarities and numbers with a comma before their
    /// decimals. `None` if the text has neither.
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
mod tests {
    use super::*;

    /// Returns the options of `np.loadtxt` that an error suggests for a text, or the message about a line of the text.
    fn advised(text: &str) -> Option<Result<(String, Vec<Remedy>), String>> {
        let head = &text[..text.len().min(16_384)];
        Some(command(Path::new("d/a b.txt"), "a b", head, text.as_bytes())?.map(|(_, remedy)| {
            let Remedy::Copy { words, file, with } = remedy else { panic!("{text}") };
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
            ("10,3,7,1\nt,x,y,p\n20,1,7,0\n30,1,7,0\nend\n", "line 6 is \"end\""),
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

    /// Returns a text of 5,000 rows after the header `t,x,y,p`, in which `late` replaces row 4,000.
    fn with_late(late: &str) -> String {
        let row = |i: usize| if i == 4_000 { late.into() } else { format!("{},3,7,{}\n", 1_000 + 10 * i, i % 2) };
        "t,x,y,p\n".to_owned() + &(0..5_000).map(row).collect::<String>()
    }

    #[test]
    fn every_line_is_read() {
        for (late, options, dtype) in [
            ("41000,3,7,1\n", "", ["i8"; 4]),
            ("\n\n# lap 2\n-5,3,7,-1 # late\n", "", ["i8"; 4]),
            ("t,x,y,p\n", ", comments=[\"#\", \"t,x,y,p\"]", ["i8"; 4]),
            ("\"41000\",3,7,1\n", ", quotechar='\"'", ["i8"; 4]),
            ("41000.5,3,7,1\n", "", ["f8", "i8", "i8", "i8"]),
            ("41000,3.0,7e0,1\n", "", ["i8", "f8", "f8", "i8"]),
            ("99999999999999999999,3,7,1\n", "", ["f8", "i8", "i8", "i8"]),
        ] {
            let names = ["t", "x", "y", "p"].iter().zip(dtype);
            let fields: Vec<String> = names.map(|(name, kind)| format!("(\"{name}\", \"{kind}\")")).collect();
            let fields = fields.join(", ");
            let options = format!(", delimiter=\",\", skiprows=1{options}, dtype=[{fields}], ndmin=1");
            assert_eq!(advised(&with_late(late)), Some(Ok((options, Vec::new()))), "{late}");
        }
        for late in [
            "  ",
            "p,x,y,t",
            "41000,3,7",
            "41000,3,7,1,0",
            "41000,3,7,nan",
            "41000,,7,1",
            "41000;3;7;1",
            "0 0 0 0",
            "1-2,3,7,1",
        ] {
            let named = format!("line 4002 is {late:?}, no row of 4 cells as the others: ");
            let Some(Err(odd)) = advised(&with_late(&format!("{late}\n"))) else { panic!("{late}") };
            assert!(odd.starts_with(&named), "{odd}");
        }
        let Some(Err(odd)) = advised(&with_late("# t,y,x,p\n,,,\n5,3")) else { panic!() };
        assert!(odd.starts_with("line 4002 is \"# t,y,x,p\"") && odd.contains("so are 2 other lines"), "{odd}");
        // The end of a file that is cut off.
        let Some(Err(odd)) = advised(&(with_late("") + "60000,3")) else { panic!() };
        assert!(odd.starts_with("line 5001 is \"60000,3\""), "{odd}");
        // Decimals after a comma, and thousands.
        let late = |late: &str| advised(&with_late(late).replace(',', ";").replace('_', ","));
        let Some(Ok((options, _))) = late("41000_5,3,7,1\n") else { panic!() };
        assert!(options.contains("converters=lambda cell: float(cell.replace"), "{options}");
        let Some(Err(odd)) = late("41_000,3,7,1\n") else { panic!() };
        assert!(odd.starts_with("line 4002: t is \"41,000\""), "{odd}");
        // Line ends of an old Mac, and a text in Latin-1.
        let options = |text: &[u8]| {
            let command = command(Path::new("a.txt"), "a", &String::from_utf8_lossy(text), text);
            let Some(Ok((_, Remedy::Copy { words, .. }))) = command else { panic!("{command:?}") };
            words[2].clone()
        };
        assert!(
            options(b"t,x,y,p\r10,3,7,1\r20,1,7,0\r").contains("loadtxt(\"a.txt\", delimiter=\",\", skiprows=1, dtype")
        );
        assert!(options(b"10,3,7,1\n20,1,7,0 # \xb5s\n").contains("encoding=\"latin1\""));
    }
}
