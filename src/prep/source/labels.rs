//! Labels from CSV files: of files (file, label), or of intervals of a recording (start, end, label).

use std::collections::HashMap;
use std::path::Path;

use super::unit::TimeUnit;
use crate::error::{Error, Result};

/// A row: which class a file or an interval has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The file, if the table names one.
    pub file: Option<String>,
    /// From (included) and to (not included), in microseconds, if the table has them.
    pub interval: Option<(i64, i64)>,
    /// The class.
    pub label: String,
    /// The row's line, from 1.
    pub line: usize,
}

/// What a column of the table is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    File,
    Start(TimeUnit),
    End(TimeUnit),
    Label,
    Other,
}

/// Reads a table. Its first line may name the columns, as DVS Gesture's do (`class,startTime_usec,endTime_usec`):
/// file, start, end, label, in any order. Without names, they are file, label; or start, end, label; or file, start,
/// end, label. Times without a unit, in cell and name, are in `unit`.
///
/// # Errors
/// [`Error::Io`], [`Error::BadTable`] with the line.
pub fn read(path: &Path, unit: TimeUnit) -> Result<Vec<Row>> {
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

/// The names of the classes in order, and the class of each label. With `by_size`, labels that are all whole numbers
/// are in the order of their size, else all are in the order of their letters.
pub fn classes<'a>(labels: impl Iterator<Item = &'a str> + Clone, by_size: bool) -> (Vec<String>, Vec<u32>) {
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

/// The cells of a line; one in quotes may hold commas, and quotes doubled. `None` where a quote is not closed.
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
