//! What to type next for recordings whose clock wraps, jumps or starts again.

use std::path::Path;

use tonic_base::free_name;
use tonic_prep::{ClockRemedy, ClockTimes, EventRange, RowEvents};

use crate::quoted::{quoted, quoted_path};

/// Returns what to type next for a recording whose times wrap, jump or are out of order.
pub(crate) fn clock_advice(path: &Path, remedy: &ClockRemedy) -> String {
    match remedy {
        ClockRemedy::Unwrap => {
            "--unwrap adds the period from there on; --allow-clock-trouble takes the times as they are, sorted".into()
        }
        ClockRemedy::Sort => {
            "--allow-clock-trouble sorts all events by time, which is right unless its clock started again".into()
        }
        ClockRemedy::TakeOut(events) => format!(
            "convert a copy without that (in NumPy: np.delete(events, np.{}[{}])); --allow-clock-trouble takes all \
             times as they are, sorted",
            if events.len() == 1 { "s_" } else { "r_" },
            slices(events)
        ),
        ClockRemedy::Keep { clocks, removed } => {
            let masks: Vec<String> = clocks.iter().map(mask).collect();
            let which = match &masks[..] {
                [_] => format!(", which removes {removed} events"),
                _ => "; each clock by itself, if all are wanted".into(),
            };
            let unit = clocks.first().map_or(String::new(), |clock| format!("the times in {}", clock.unit));
            format!(
                "convert a copy in which each column c is c[keep], with NumPy or h5py (t: {unit}, such as \
                 events[\"t\"] or f[\"events/t\"][:]): {}{which}; --allow-clock-trouble takes all times as they are, \
                 sorted",
                masks.join(" or ")
            )
        }
        ClockRemedy::OfRows { rows, more } => {
            let code = without_events(rows);
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let name = free_name(&format!("{stem}_mended"), ".h5");
            let code = format!("import h5py, numpy; f = h5py.File({name:?}, \"r+\"); {code}");
            let (from, to) = (quoted_path(path), quoted_path(Path::new(&name)));
            let which = match (rows.len(), more) {
                (1, _) => "this is one sample".into(),
                (all, 0) => format!("these are all {all} samples"),
                (some, more) => format!("these are {some} samples; {more} more are named next"),
            };
            let mend = format!(
                "take that out of a copy, and convert that ({which}; faults of another kind are named next): cp {from} \
                 {to} && python3 -c {}",
                quoted(&code)
            );
            let in_parts = rows.first().is_some_and(|row| row.in_parts);
            let allow = "--allow-clock-trouble takes all times as they are, sorted";
            match in_parts {
                true => {
                    format!("{allow}, which is right if they are only not in order; if its clock started again, {mend}")
                }
                false => format!("{mend}; {allow}"),
            }
        }
        ClockRemedy::Parts(parts) => {
            /// Maximum number of ranges of events that the advice lists.
            const MOST: usize = 8;
            let ranges: Vec<String> = parts.iter().take(MOST).map(|range| format!("--events {range}")).collect();
            let each = if ranges.len() == 1 { "leave the others out" } else { "convert each part by itself" };
            let smaller = match parts.len().saturating_sub(MOST) {
                0 => String::new(),
                more => format!(" ({more} smaller parts are not listed)"),
            };
            let ranges = ranges.join(" or ") + &smaller;
            format!(
                "{each}, with {ranges}; convert this file without others then, as --events cuts every recording; \
                 --allow-clock-trouble takes all as they are, sorted, which is right if they are only not in order"
            )
        }
    }
}

/// Returns Python code that removes events from samples of the open HDF5 file `f`.
fn without_events(rows: &[RowEvents]) -> String {
    let removed = |row: &RowEvents| format!("numpy.r_[{}]", slices(&row.events));
    if let Some(row) = rows.first().filter(|row| row.row.is_some()) {
        let mut same: Vec<(String, Vec<u64>)> = Vec::new();
        for (index, events) in rows.iter().filter_map(|row| Some((row.row?, removed(row)))) {
            match same.iter_mut().find(|(known, _)| *known == events) {
                Some((_, rows)) => rows.push(index),
                None => same.push((events, vec![index])),
            }
        }
        let lists: Vec<String> = same.iter().map(|(events, rows)| format!("({rows:?}, {events})")).collect();
        let (lists, arrays) = (lists.join(", "), &row.arrays);
        return format!(
            "[f[n].__setitem__(row, numpy.delete(f[n][row], out)) for rows, out in [{lists}] for row in rows for n in \
             {arrays:?}]"
        );
    }
    let lists: Vec<String> = rows.iter().map(|row| format!("({:?}, {})", row.arrays, removed(row))).collect();
    format!(
        "[f.update({{n: numpy.delete(f.pop(n)[()], out)}}) for names, out in [{}] for n in names]",
        lists.join(", ")
    )
}

/// Returns a Python statement that selects the events of one clock by their times `t`. The number of these events
/// follows in parentheses.
fn mask(clock: &ClockTimes) -> String {
    format!("keep = (t >= {}) & (t <= {}) ({} events)", clock.from, clock.to, clock.events)
}

/// Returns ranges of events in the form of NumPy slices, with commas between them.
fn slices(events: &[EventRange]) -> String {
    events.iter().map(slice).collect::<Vec<_>>().join(", ")
}

/// Returns a range of events in the form of a NumPy slice: `3:7`, or `3:` for a range without an end.
fn slice(events: &EventRange) -> String {
    format!("{}:{}", events.start, events.end.map_or(String::new(), |end| end.to_string()))
}
