//! Opens texts with a row of cells for each event, such as CSV. A text is read in pieces that are parsed on all cores,
//! and its events go into memory or, if there are many, into a temporary file. If a number doesn't fit the type of its
//! column, the text is read again from its beginning, with a wider type.
//!
//! Integer times are in microseconds, and float times are in seconds, unless the caller or the name of the column
//! (`t_ns`, `time [ms]`) gives another unit.

use std::path::Path;

use rayon::prelude::*;
use tonic_base::interrupt;
use tonic_shard::KEPT;

use crate::error::{Error, Result};
use crate::source::check::Pixels;
use crate::source::columns::{Numbers, Role};
use crate::source::fields::Polarities;
use crate::source::formats;
use crate::source::layout::Layout;
use crate::source::layouts::text_pieces::{Pieces, line_end};
use crate::source::layouts::text_plan::{Plan, bad_row};
use crate::source::options::SourceOptions;
use crate::source::raw::Coordinates;
use crate::source::stream::{EventStore, EventStream};
use crate::source::target::{Entries, Slices, Target};
use crate::source::text::{RowFormat, Rows, Store, Table, Wrong, parse_rows};
use crate::source::times::Timeline;

/// A piece is parsed on several cores if each gets at least this many bytes.
const LEAST_SHARE: usize = 1 << 17;
/// At each end of the text, this many event times are checked for fractions.
const SAMPLED: usize = 1024;

/// Opens a text and reads its events.
///
/// # Errors
/// - [`Error::Foreign`] for a text without rows of events.
/// - [`Error::BadRow`] for a line that is no event, unless the options say that the events before it are enough.
/// - [`Error::Columns`], [`Error::OddUnit`] for columns and units that are not certain.
/// - [`Error::NotPixels`] and [`Error::Columns`] for unusable coordinates and polarities.
pub(crate) fn open_text(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    read(path, options, Target::memory)
}

/// Reads the events of a text into columns in memory, however many there are.
///
/// # Errors
/// Those of [`open_text`].
pub(crate) fn decode_text(path: &Path, options: &SourceOptions) -> Result<EventStore> {
    Ok(read(path, options, || Target::Memory(None, u64::MAX))?.columns)
}

/// Opens a text and counts its events, without keeping them.
///
/// # Errors
/// Those of [`open_text`].
pub(crate) fn count_text(path: &Path, options: &SourceOptions) -> Result<EventStream> {
    read(path, options, || Target::Count)
}

fn read(path: &Path, options: &SourceOptions, target: impl Fn() -> Target) -> Result<EventStream> {
    let head = formats::head_of(path);
    let text = String::from_utf8_lossy(&head);
    let table =
        Table::of(&text).ok_or_else(|| formats::foreign(path, "", &head, "a text with a row for each event"))?;
    let mut plan = Plan::of(path, &table, options)?;
    loop {
        let mut events = Events::new(path, &plan, options, target());
        match events.read_all()? {
            Some((slot, store)) => plan.widen(path, options, slot, store)?,
            None => return events.into_stream(),
        }
    }
}

/// Whether reading stops after some rows.
enum Ended {
    No,
    /// A number doesn't fit the type of its column. The values are the index of the column, and a type that fits.
    Wider(usize, Store),
    /// A line is damaged, and the events before it are enough.
    Damaged,
}

/// Parses a piece on several cores, in shares of whole lines.
fn parse(format: &RowFormat, piece: &[u8]) -> Vec<Rows> {
    // Twice as many shares as cores, because one core adds rows meanwhile.
    let shares = (piece.len() / LEAST_SHARE).clamp(1, 2 * rayon::current_num_threads());
    let (mut parts, mut rest) = (Vec::new(), piece);
    for left in (1..=shares).rev() {
        let end = if left == 1 { rest.len() } else { line_end(rest, rest.len() / left) };
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    let parts = parts.into_par_iter().filter(|part| !part.is_empty());
    parts.map(|part| parse_rows(format, part)).collect()
}

/// The events of a text, as they are read.
struct Events<'a> {
    path: &'a Path,
    plan: &'a Plan,
    options: &'a SourceOptions,
    target: Target,
    len: u64,
    lines: u64,
    headers: u64,
    notes: Vec<String>,
    polarities: Polarities,
    pixels: [Pixels; 2],
    /// The first times and the last times, to check whether they have fractions. Empty if the times are integers or in
    /// seconds.
    floats: [Vec<f64>; 2],
}

impl<'a> Events<'a> {
    fn new(path: &'a Path, plan: &'a Plan, options: &'a SourceOptions, target: Target) -> Events<'a> {
        let sensor = options.sensor.or(plan.sensor);
        Events {
            path,
            plan,
            options,
            target,
            len: 0,
            lines: plan.beginning.lines,
            headers: 0,
            notes: plan.notes.clone(),
            polarities: Polarities::default(),
            pixels: [Role::X, Role::Y].map(|role| Pixels::new(role, sensor)),
            floats: [Vec::new(), Vec::new()],
        }
    }

    /// Reads the text to its end. If a number doesn't fit the type of its column, stops there and returns the index of
    /// the column and a type that fits. The caller then has to read the text again.
    fn read_all(&mut self) -> Result<Option<(usize, Store)>> {
        let mut pieces = Pieces::open(self.path, self.plan.beginning)?;
        let mut piece = pieces.next(Vec::new())?;
        let (mut spare, mut parsed) = (Vec::new(), Vec::new());
        while !(piece.is_empty() && parsed.is_empty()) {
            interrupt::check(KEPT)?;
            let format = &self.plan.format;
            // While this piece is parsed, the rows of the one before are added, and the next one is read.
            let (fresh, (ended, next)) =
                rayon::join(|| parse(format, &piece), || (self.add_all(parsed), pieces.next(spare)));
            match ended? {
                Ended::No => {}
                Ended::Wider(slot, store) => return Ok(Some((slot, store))),
                Ended::Damaged => return Ok(None),
            }
            (spare, piece, parsed) = (piece, next?, fresh);
        }
        // No warning if p is the last column, because the number of digits of a polarity is always the same.
        let last = self.plan.format.slots.last().and_then(|slot| slot.role);
        if pieces.is_open && last != Some(Role::P) && pieces.fault.is_none() {
            let line = self.lines;
            self.notes.push(format!(
                "warning: line {line}, the last, has no end: if the text was cut short there, its last number is wrong"
            ));
        }
        pieces.fault.map_or(Ok(()), |fault| self.damaged(fault)).map(|()| None)
    }

    /// Adds the rows of a piece, up to the first line with something wrong.
    fn add_all(&mut self, parsed: Vec<Rows>) -> Result<Ended> {
        for rows in parsed {
            let wrong = rows.wrong.clone();
            self.add(rows)?;
            match wrong {
                None => {}
                Some(Wrong::Store(slot, store)) => return Ok(Ended::Wider(slot, store)),
                Some(Wrong::Line(column, expected, got)) => {
                    let name = column.map(|i| &*self.plan.format.slots[i].name);
                    self.damaged(bad_row(self.path, self.lines + 1, name, expected, got))?;
                    return Ok(Ended::Damaged);
                }
            }
        }
        Ok(Ended::No)
    }

    fn add(&mut self, rows: Rows) -> Result<()> {
        let Rows { t, floats, x, y, p, lines, headers, .. } = rows;
        (self.len, self.lines, self.headers) = (self.len + t.len() as u64, self.lines + lines, self.headers + headers);
        let [first, last] = &mut self.floats;
        first.extend(floats.iter().take(SAMPLED - first.len().min(SAMPLED)));
        last.extend(floats.iter().skip(floats.len().saturating_sub(SAMPLED)));
        last.drain(..last.len().saturating_sub(SAMPLED));
        for (column, pixels) in [Some(&x), y.as_ref()].into_iter().zip(&mut self.pixels) {
            if let Some(Numbers::F64(coordinates)) = column {
                pixels.add(coordinates);
            }
        }
        p.iter().for_each(|p| self.polarities.add(p));
        if matches!(self.target, Target::Count) {
            return Ok(());
        }
        let (x, y, p) = (x.pixels(), y.map(Numbers::pixels), p.map(signs));
        self.target.append(Slices { t: &t, x: entries(&x), y: y.as_ref().map(entries), p: p.as_ref().map(entries) })
    }

    /// Returns the error for a damaged text. If the options say that the events before the damage are enough, adds a
    /// note instead.
    fn damaged(&mut self, fault: Error) -> Result<()> {
        let all = self.len;
        let (fault, said) = match fault {
            Error::BadRow { path, line, place, expected, got, .. } => {
                let said = format!("line {line}{place}: expected {expected}, got {got}");
                (Error::BadRow { path, line, place, expected, got, events: all }, said)
            }
            Error::DamagedBytes { path, at, expected, got, .. } => {
                let said = format!("at byte {at}, expected {expected}, got {got}");
                (Error::DamagedBytes { path, at, expected, got, events: all }, said)
            }
            fault => return Err(fault),
        };
        if !self.options.lenient {
            return Err(fault);
        }
        self.notes.push(format!("warning: damaged: {said}; only the {all} events before it are read"));
        Ok(())
    }

    fn into_stream(self) -> Result<EventStream> {
        let Events { path, plan, options, mut notes, headers, .. } = self;
        let (sensor, taken) = (options.sensor.or(plan.sensor), plan.taken());
        let field = |role: Role| taken.fields[role as usize].as_ref().map(|taken| &*taken.field);
        for (role, pixels) in [Role::X, Role::Y].into_iter().zip(&self.pixels) {
            notes.extend(field(role).map_or(Ok(None), |field| pixels.judge(path, field))?);
        }
        self.polarities.judge(path, Layout::Csv, &taken, sensor)?;
        notes.extend(field(Role::P).and_then(|p| self.polarities.note(p)));
        if headers > 0 {
            notes.push(format!("the header occurs {headers} more times, and is skipped"));
        }
        let mut time = Timeline::new(options, plan.format.unit, Vec::new());
        let [mut floats, last] = self.floats;
        if self.len > SAMPLED as u64 {
            floats.extend(last);
        }
        time.fractions = Numbers::F64(floats).fractions();
        Ok(EventStream {
            path: path.into(),
            layout: Layout::Csv,
            time,
            len: self.len,
            sensor: plan.sensor,
            label: None,
            taken,
            time_offset: None,
            linked: Vec::new(),
            notes,
            columns: self.target.into_store(),
        })
    }
}

/// Converts a column to polarities. The type of the result depends only on the type of the column, so that all blocks
/// of a text get the same type.
fn signs(column: Numbers) -> Coordinates {
    let is_narrow = matches!(column, Numbers::I8(_));
    match column.polarities() {
        Coordinates::U8(column) if !is_narrow => Coordinates::I64(column.into_iter().map(i64::from).collect()),
        column => column,
    }
}

fn entries(column: &Coordinates) -> Entries<'_> {
    match column {
        Coordinates::U8(column) => Entries::U8(column),
        Coordinates::U16(column) => Entries::U16(column),
        Coordinates::I64(column) => Entries::I64(column),
    }
}
