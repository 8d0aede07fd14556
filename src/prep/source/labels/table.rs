//! Reads label tables in CSV. A row has the label of a file (file, label), or of an interval of a recording (start,
//! end, label).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use unicode_normalization::UnicodeNormalization;

use crate::error::{Error, Result};
use crate::source::labels::text::{Table, read_text};
use crate::time_unit::TimeUnit;

/// Maximum number of classes of a file without class names, as a guard against corrupt labels.
pub(crate) const MAX_NAMELESS_CLASSES: u32 = 1 << 16;

/// One row of a label table: the class of a file or of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// File name. `None` if the table has no column of file names.
    pub file: Option<String>,
    /// Start time (inclusive) and end time (exclusive) of the interval, in microseconds. `None` if the table has no
    /// columns for them.
    pub interval: Option<(i64, i64)>,
    /// Name of the class, not empty.
    pub label: String,
    /// Line number in the table's file, counted from 1.
    pub line: usize,
}

/// What a column of a label table contains.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    File,
    Start(TimeUnit),
    End(TimeUnit),
    Label,
    Other,
}

/// Names that the column of file names can have, the most preferred first. Case, and all characters except letters and
/// digits, are ignored.
const FILES: [&str; 10] =
    ["path", "filepath", "file", "filename", "files", "fname", "name", "recording", "sample", "video"];
/// Names that the column of labels can have. The second list is used only if no column has a name in the first list.
const LABELS: [&[&str]; 2] = [
    &["label", "labels", "class", "classes", "target"],
    &["classname", "labelname", "classid", "labelid", "category", "gesture", "action", "word", "digit", "y"],
];

/// Reads a label table.
///
/// Cells are separated by commas, semicolons or tabs. The first line can name the columns in any order: file, start,
/// end, label, or names such as those of DVS Gesture (`class,startTime_usec,endTime_usec`). Other columns are ignored.
/// If the first line has no names, the number of columns decides what they are:
///
/// - 2: file, label
/// - 3: start, end, label
/// - 4: file, start, end, label
///
/// The unit of a time is the first of these that is given:
///
/// - the unit in the cell
/// - the unit in the name of the column
/// - `unit`
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::NotUtf8`]; [`Error::BadTable`], with the line number.
pub fn read_labels(path: &Path, unit: TimeUnit) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let table = Table::parse(&text, |cells| named_fields(cells, unit).is_some());
    let table = table.map_err(|(line, text)| bad(path, line, "quotes that are closed", format!("{text:?}")))?;
    let columns = LabelColumns::of(path, &table, unit)?;
    let rows = table.rows.into_iter().skip(usize::from(columns.named));
    let rows = rows.map(|(line, cells)| columns.row(line, cells)).collect::<Result<Vec<Row>>>()?;
    if rows.is_empty() { Err(bad(path, 1, "rows after the names", "none".into())) } else { Ok(rows) }
}

fn bad(path: &Path, line: usize, expected: &str, got: String) -> Error {
    Error::BadTable { path: path.into(), line, expected: expected.into(), got }
}

struct LabelColumns<'a> {
    path: &'a Path,
    separator: char,
    /// Whether the first line names the columns.
    named: bool,
    fields: Vec<Field>,
}

impl<'a> LabelColumns<'a> {
    /// Finds out what the columns contain, from the names in the first line or else from the number of columns.
    fn of(path: &'a Path, table: &Table, unit: TimeUnit) -> Result<LabelColumns<'a>> {
        let Some((line, first)) = table.rows.first() else {
            return Err(bad(path, 1, "a row for each file or interval", "none".into()));
        };
        let header = named_fields(first, unit);
        let named = header.is_some();
        let fields = match (header, first.len()) {
            (Some(fields), _) => fields,
            (None, 2) => vec![Field::File, Field::Label],
            (None, 3) => vec![Field::Start(unit), Field::End(unit), Field::Label],
            (None, 4) => vec![Field::File, Field::Start(unit), Field::End(unit), Field::Label],
            (None, n) => {
                let expected = "file,label or start,end,label or file,start,end,label, or a line of such names first";
                return Err(bad(path, *line, expected, format!("{n} cells")));
            }
        };
        let labels = first.iter().zip(&fields).filter(|(_, field)| **field == Field::Label).map(|(name, _)| &**name);
        let labels: Vec<&str> = labels.collect();
        if labels.len() > 1 {
            return Err(bad(path, *line, "one column of labels", labels.join(" and ")));
        }
        Ok(LabelColumns { path, separator: table.separator, named, fields })
    }

    /// Makes a row of the table from the cells of the line with the number `line`.
    fn row(&self, line: usize, mut cells: Vec<String>) -> Result<Row> {
        let bad = |expected: &str, got: String| bad(self.path, line, expected, got);
        while cells.len() > self.fields.len() && cells.last().is_some_and(String::is_empty) {
            cells.pop();
        }
        if cells.len() != self.fields.len() {
            let got = format!("{}: {:?}", cells.len(), cells.join(&self.separator.to_string()));
            return Err(bad(&format!("{} cells", self.fields.len()), got));
        }
        let (mut file, mut start, mut end, mut label) = (None, None, None, None);
        for (field, cell) in self.fields.iter().zip(cells) {
            match field {
                Field::File => file = Some(cell),
                Field::Start(unit) => start = Some(self.time(line, &cell, *unit)?),
                Field::End(unit) => end = Some(self.time(line, &cell, *unit)?),
                Field::Label => label = Some(cell),
                Field::Other => {}
            }
        }
        let interval = match (start, end) {
            (Some(start), Some(end)) if start < end => Some((start, end)),
            (None, None) => None,
            (Some(start), Some(end)) => return Err(bad("a start before its end", format!("{start} to {end} us"))),
            _ => return Err(bad("both a start and an end", "one of them".into())),
        };
        let of_file = file.as_ref().map_or(String::new(), |file| format!(" for {file:?}"));
        let label = label.filter(|label| !label.is_empty());
        let label = label.ok_or_else(|| bad("a label", format!("none{of_file}")))?;
        if file.as_ref().is_some_and(String::is_empty) {
            return Err(bad("a file", format!("none, of label {label:?}")));
        }
        Ok(Row { file, interval, label, line })
    }

    /// Parses the time in a cell and returns it in microseconds. A time without a unit is in `unit`.
    fn time(&self, line: usize, cell: &str, unit: TimeUnit) -> Result<i64> {
        let bad = |expected: &str| bad(self.path, line, expected, format!("{cell:?}"));
        // If cells are separated by semicolons, spreadsheets write 0,5 for 0.5.
        let dotted = if self.separator == ';' { cell.replace(',', ".") } else { cell.into() };
        if unit.microseconds() <= 1.0 && dotted.trim().parse::<f64>().is_ok_and(|time| time.fract() != 0.0) {
            return Err(bad(&format!(
                "whole {unit}: fractions are probably in s, which can be said at each time (0.5s) or in the names of \
                 the columns (start_s,end_s,label)"
            )));
        }
        let hint = if self.named { "" } else { ", or a first line that names the columns: file,label" };
        unit.read(&dotted).map_err(|expected| bad(&format!("{expected}{hint}")))
    }
}

/// Gives each class an index, from 0. Returns the class names in the order of their indices, and the class index of
/// each label.
///
/// The order is alphabetical. If `by_size` is true and all labels are whole numbers, the order is that of the numbers.
pub fn number_classes<'a>(labels: impl Iterator<Item = &'a str> + Clone, by_size: bool) -> (Vec<String>, Vec<u32>) {
    let mut names: Vec<&str> = labels.clone().collect();
    names.sort_unstable();
    names.dedup();
    let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
    if by_size && numbers.is_some() {
        names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
    }
    let numbers: HashMap<&str, u32> = names.iter().copied().zip(0..).collect();
    let numbers = labels.map(|label| numbers[label]).collect();
    (names.into_iter().map(String::from).collect(), numbers)
}

/// Finds groups of names that probably stand for the same class, such as `1` and `01`, or `Left-Arm` and `left arm`.
pub(crate) fn alike(classes: &[String]) -> Vec<Vec<&str>> {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for class in classes {
        let words: Vec<&str> = class.split(|c: char| c.is_whitespace() || c == '_' || c == '-').collect();
        let number = class.trim().parse::<f64>().ok().filter(|number| number.is_finite() && class.len() < 16);
        // Single letters may be different classes in upper and lower case.
        let plain =
            if class.trim().chars().count() == 1 { class.trim().into() } else { words.join(" ").trim().to_lowercase() };
        groups.entry(number.map_or(plain, |number| number.to_string()).nfc().collect()).or_default().push(class);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

/// Returns what each column contains, if the cells of the first line are names of columns. `names` has these cells.
/// They are names of columns if one of them stands for labels, and another for files, start times or end times.
fn named_fields(names: &[String], unit: TimeUnit) -> Option<Vec<Field>> {
    let plain = |name: &String| name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    let names: Vec<String> = names.iter().map(plain).collect();
    let mut fields: Vec<Field> = names.iter().map(|name| time_field(name, unit)).collect();
    if let Some(at) = FILES.iter().find_map(|file| names.iter().position(|name| name == file)) {
        fields[at] = Field::File;
    }
    let labels = LABELS.iter().find(|labels| names.iter().any(|name| labels.contains(&name.as_str())))?;
    for (field, name) in fields.iter_mut().zip(&names) {
        if labels.contains(&name.as_str()) {
            *field = Field::Label;
        }
    }
    fields.iter().any(|field| !matches!(field, Field::Label | Field::Other)).then_some(fields)
}

/// Returns [`Field::Start`] or [`Field::End`] for the name of a column of times, and [`Field::Other`] for other names.
/// The unit is the one in the name, or else `unit`.
fn time_field(name: &str, unit: TimeUnit) -> Field {
    let ends = ["start", "begin", "end", "stop"].into_iter().find_map(|end| Some((end, name.strip_prefix(end)?)));
    let Some((end, rest)) = ends else { return Field::Other };
    let unit = match rest.strip_prefix("time").unwrap_or(rest) {
        "" => unit,
        "us" | "usec" => TimeUnit::Microseconds,
        "ms" | "msec" => TimeUnit::Milliseconds,
        "ns" | "nsec" => TimeUnit::Nanoseconds,
        "s" | "sec" => TimeUnit::Seconds,
        _ => return Field::Other,
    };
    if matches!(end, "start" | "begin") { Field::Start(unit) } else { Field::End(unit) }
}
