//! Reads labels from CSV tables: one label per file (file, label) or per interval of a recording (start, end, label).

use std::collections::HashMap;
use std::path::Path;

use crate::error::{BaseFault, Error, Result};
use crate::source::unit::TimeUnit;

/// Maximum number of classes of a file without class names. It prevents one corrupt label from creating many classes.
pub(super) const MAX_NAMELESS_CLASSES: u32 = 1 << 16;

/// One row of a label table: the class of a file or of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// File name, if the table has a file column.
    pub file: Option<String>,
    /// Start (inclusive) and end (exclusive) in microseconds, if the table has these columns.
    pub interval: Option<(i64, i64)>,
    /// Name of the class, not empty.
    pub label: String,
    /// Line number in the file, counted from 1.
    pub line: usize,
}

/// The meaning of a column of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    File,
    Start(TimeUnit),
    End(TimeUnit),
    Label,
    Other,
}

/// Reads a label table.
///
/// The first line may name the columns in any order: file, start, end, label, or names such as those of DVS Gesture
/// (`class,startTime_usec,endTime_usec`). Without names, the number of columns decides: file, label; or start, end,
/// label; or file, start, end, label. A time is in `unit` if neither its cell nor its column name has a unit.
///
/// # Errors
/// [`tonic_base::Error::Io`]; [`Error::BadTable`], with the line number.
pub fn read_labels(path: &Path, unit: TimeUnit) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path, "read the labels"))?;
    let bad = |line: usize, expected: &str, got: String| Error::BadTable {
        path: path.into(),
        line,
        expected: expected.into(),
        got,
    };
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
    let Some(&(number, first)) = lines.peek() else {
        return Err(bad(1, "a row for each file or interval", "none".into()));
    };
    let first = cells(first).ok_or_else(|| bad(number, "cells with commas between them", first.into()))?;
    let named: Vec<Field> = first.iter().map(|name| named_field(name, unit)).collect();
    let header = named.contains(&Field::Label);
    let fields = if header {
        lines.next();
        named
    } else {
        match first.len() {
            2 => vec![Field::File, Field::Label],
            3 => vec![Field::Start(unit), Field::End(unit), Field::Label],
            4 => vec![Field::File, Field::Start(unit), Field::End(unit), Field::Label],
            n => {
                return Err(bad(number, "file,label or start,end,label or file,start,end,label", format!("{n} cells")));
            }
        }
    };
    let mut rows = Vec::new();
    for (number, line) in lines {
        let cells = cells(line).filter(|cells| cells.len() == fields.len());
        let cells = cells.ok_or_else(|| bad(number, &format!("{} cells", fields.len()), format!("{line:?}")))?;
        let (mut file, mut start, mut end, mut label) = (None, None, None, None);
        for (field, cell) in fields.iter().zip(cells) {
            let time =
                |unit: TimeUnit| unit.read(&cell).map_err(|expected| bad(number, &expected, format!("{cell:?}")));
            match field {
                Field::File => file = Some(cell),
                Field::Start(unit) => start = Some(time(*unit)?),
                Field::End(unit) => end = Some(time(*unit)?),
                Field::Label => label = Some(cell),
                Field::Other => {}
            }
        }
        let interval = match (start, end) {
            (Some(start), Some(end)) if start < end => Some((start, end)),
            (None, None) => None,
            (Some(start), Some(end)) => {
                return Err(bad(number, "a start before its end", format!("{start} to {end} us")));
            }
            _ => return Err(bad(number, "both a start and an end", "one of them".into())),
        };
        let label = label.filter(|label| !label.is_empty() && !label.contains('\0'));
        let label = label.ok_or_else(|| bad(number, "a label", "none".into()))?;
        if file.is_none() && interval.is_none() {
            return Err(bad(number, "a file, or a start and an end", "neither".into()));
        }
        rows.push(Row { file, interval, label, line: number });
    }
    if rows.is_empty() { Err(bad(1, "rows after the names", "none".into())) } else { Ok(rows) }
}

/// Numbers the classes. Returns the class names in order, and the class of each label. The order is alphabetical. With
/// `by_size`, if all labels are whole numbers, they are ordered by value.
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

fn named_field(name: &str, unit: TimeUnit) -> Field {
    let name: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    match name.as_str() {
        "file" | "filename" | "path" | "name" | "recording" => return Field::File,
        "label" | "class" | "target" => return Field::Label,
        _ => {}
    }
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

/// Splits a line into cells. A quoted cell may contain commas, and `""` for a quote. Returns `None` if a quote is not
/// closed.
fn cells(line: &str) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell).trim().to_string()),
            letter => cell.push(letter),
        }
    }
    cells.push(cell.trim().to_string());
    (!quoted).then_some(cells)
}
