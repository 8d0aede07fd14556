//! Shows the progress of long tasks: a bar on a terminal, a line that is replaced in a notebook, a few plain lines in a
//! log. Also formats sizes, and parses sizes and ranges that users type.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use indicatif::{FormattedDuration, HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::printable::printable;

/// How long a task runs before its first progress line in a log.
const PATIENCE: Duration = Duration::from_secs(5);

/// In a notebook, the line of progress is replaced at most once in this time.
const PACE: Duration = Duration::from_millis(500);

/// Number of parts in a unit. Work on units that are not done yet is counted in these parts.
const PARTS: u64 = 1 << 10;

/// What prints the lines of progress. If it is `None`, they are printed on stderr.
static PRINTER: RwLock<Option<Printer>> = RwLock::new(None);
/// Number of characters of the printer's last line, if the next line must replace it. Otherwise 0.
static REPLACED: AtomicUsize = AtomicUsize::new(0);

/// Prints the lines of progress of a process whose user doesn't see stderr, such as a notebook.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// Writes text as it is. The text has a `\n` where a line ends. It begins with `\r` if it replaces the last line.
    pub write: fn(&str),
    /// Whether text after `\r` replaces the line, as on a terminal. If not, progress is shown as in a log.
    pub replaces: bool,
}

impl Printer {
    /// Prints `line` and then `end`. If `end` is empty, the line of the next call replaces this line.
    fn print(self, line: &str, end: &str) {
        let kept = if end.is_empty() { line.chars().count() } else { 0 };
        // No lock is held during `write`, which can wait for Python, because other threads of Python print too.
        match REPLACED.swap(kept, Ordering::Relaxed) {
            0 => (self.write)(&format!("{line}{end}")),
            width => (self.write)(&format!("\r{line:width$}{end}")),
        }
    }

    /// Prints a line break if the next line would replace the last line. So the last line stays.
    fn end_line(self) {
        if REPLACED.swap(0, Ordering::Relaxed) > 0 {
            (self.write)("\n");
        }
    }
}

/// Sets what prints the lines of progress. With a printer, no bars are shown. With `None`, the lines are printed on
/// stderr.
pub fn print_with(printer: Option<Printer>) {
    *PRINTER.write().unwrap_or_else(PoisonError::into_inner) = printer;
}

/// Prints a line about the progress of a run.
pub fn print_line(line: &str) {
    match printer() {
        Some(printer) => printer.print(line, "\n"),
        None => say(line),
    }
}

/// Prints a line on stderr in a single write. A launcher that mixes the output of several processes, such as `mpirun`,
/// then doesn't break the line.
pub fn say(line: &str) {
    let line = format!("{line}\n");
    eprint!("{line}");
}

fn printer() -> Option<Printer> {
    *PRINTER.read().unwrap_or_else(PoisonError::into_inner)
}

/// How much progress a run shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Shows a bar if stderr is a terminal, and plain lines if not. [`print_with`] changes that.
    Normal,
    /// Shows no progress and no notes.
    Quiet,
}

/// Counts and shows the progress of one task. Several threads can share it.
#[derive(Debug)]
pub struct Progress {
    label: String,
    unit: &'static str,
    total: u64,
    done: AtomicU64,
    /// Work on units that are not done yet, in parts of a unit.
    ahead: AtomicU64,
    started: Instant,
    show: Show,
}

#[derive(Debug)]
enum Show {
    Bar(ProgressBar),
    /// Plain lines, for a log. The number (0 to 3) is how many quarters of the task have been reported.
    Lines(AtomicU64),
    /// A line that is replaced. The number is the time from the start to the last write, in units of [`PACE`].
    Line(Printer, AtomicU64),
    Nothing,
}

impl Progress {
    /// Starts a task of `total` units. `unit` is their name in the shown text, such as "samples", or "B" for bytes.
    pub fn start(verbosity: Verbosity, label: &str, total: u64, unit: &'static str) -> Progress {
        let label = printable(label).into_owned();
        let show = match verbosity {
            Verbosity::Quiet => Show::Nothing,
            Verbosity::Normal if printer().is_none() && std::io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(Some(length(total, unit)), ProgressDrawTarget::stderr());
                let template = if unit == "B" {
                    "{prefix} {bar:32.cyan/dim} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left"
                } else {
                    "{prefix} {bar:32.cyan/dim} {percent:>3}%  {done}/{all} {msg}  {rate}/s  {eta} left"
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(with_keys(style).progress_chars("━╸─"));
                }
                bar.set_prefix(label.clone());
                bar.set_message(unit);
                bar.enable_steady_tick(Duration::from_millis(200));
                Show::Bar(bar)
            }
            Verbosity::Normal => match printer() {
                Some(printer) if printer.replaces => Show::Line(printer, AtomicU64::new(0)),
                _ => Show::Lines(AtomicU64::new(0)),
            },
        };
        let (done, ahead) = (AtomicU64::new(0), AtomicU64::new(0));
        Progress { label, unit, total, done, ahead, started: Instant::now(), show }
    }

    /// Like [`Progress::start`], but shows nothing if stderr is not a terminal. Use it for a run with many tasks.
    pub fn start_bar(verbosity: Verbosity, label: &str, total: u64, unit: &'static str) -> Progress {
        let mut progress = Progress::start(verbosity, label, total, unit);
        if !matches!(progress.show, Show::Bar(_)) {
            progress.show = Show::Nothing;
        }
        progress
    }

    /// Sets the text next to the bar. Does nothing if there is no bar.
    pub fn say(&self, words: impl FnOnce() -> String) {
        if let Show::Bar(bar) = &self.show {
            bar.set_message(printable(&words()).into_owned());
        }
    }

    /// Ends the task and removes its bar. Prints nothing.
    pub fn clear(self) {
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
    }

    /// Counts `n` more units as done.
    pub fn add(&self, n: u64) {
        let less = |ahead: u64| Some(ahead.saturating_sub(n.saturating_mul(PARTS)));
        let _ = self.ahead.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.done.fetch_add(n, Ordering::Relaxed);
        self.show();
    }

    /// Counts work on units that are not done yet. `units` may be a part of a unit. When [`Progress::add`] counts a
    /// unit as done, the work on this unit does not count twice.
    pub fn add_ahead(&self, units: f64) {
        self.ahead.fetch_add((units * PARTS as f64) as u64, Ordering::Relaxed);
        self.show();
    }

    fn show(&self) {
        let done = self.done.load(Ordering::Relaxed);
        let all = self.total.max(1).saturating_mul(PARTS);
        let parts = done.saturating_mul(PARTS);
        let ahead = self.ahead.load(Ordering::Relaxed).min(all.saturating_sub(parts));
        let parts = parts + ahead;
        match &self.show {
            Show::Bar(bar) => bar.set_position(if self.unit == "B" { parts / PARTS } else { parts }),
            Show::Lines(reported) => {
                let quarter = (u128::from(parts) * 4 / u128::from(all)) as u64;
                let patient = self.started.elapsed() < PATIENCE;
                if !patient && quarter < 4 && reported.fetch_max(quarter, Ordering::Relaxed) < quarter {
                    let (percent, Progress { label, total, unit, .. }) = (quarter * 25, self);
                    print_line(&format!("{label}: {percent}% ({done} of {total} {unit})"));
                }
            }
            Show::Line(printer, written) => {
                let elapsed = self.started.elapsed();
                let pace = (elapsed.as_millis() / PACE.as_millis()) as u64;
                if (1..all).contains(&parts) && written.fetch_max(pace, Ordering::Relaxed) < pace {
                    printer.print(&self.line(parts as f64 / all as f64, elapsed), "");
                }
            }
            Show::Nothing => {}
        }
    }

    fn line(&self, share: f64, elapsed: Duration) -> String {
        let left = FormattedDuration(elapsed.mul_f64(1.0 / share - 1.0));
        format!("{}: {:.0}% of {}, {left} left", self.label, share * 100.0, self.amount(self.total))
    }

    fn amount(&self, n: u64) -> String {
        if self.unit == "B" { human_bytes(n) } else { format!("{n} {}", self.unit) }
    }

    /// Ends the task and removes its bar. Prints a line with the rate, if this task shows progress. Returns the
    /// duration of the task in seconds.
    pub fn finish(self) -> f64 {
        let seconds = self.started.elapsed().as_secs_f64();
        let done = self.done.load(Ordering::Relaxed);
        if let Show::Bar(bar) = &self.show {
            bar.finish_and_clear();
        }
        if !matches!(self.show, Show::Nothing) {
            let rate = done as f64 / seconds.max(1e-9);
            let rate = if self.unit == "B" { human_bytes(rate as u64) } else { format!("{rate:.0}") };
            print_line(&format!("{}: {} in {seconds:.1} s ({rate}/s)", self.label, self.amount(done)));
        }
        seconds
    }
}

/// Length of the bar for `total` units: bytes, or parts of other units.
fn length(total: u64, unit: &str) -> u64 {
    if unit == "B" { total } else { total.saturating_mul(PARTS) }
}

/// Adds the keys `done`, `all` and `rate`, which count whole units, to the style of a bar.
fn with_keys(style: ProgressStyle) -> ProgressStyle {
    style
        .with_key("done", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{}", HumanCount(state.pos() / PARTS));
        })
        .with_key("all", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{}", HumanCount(state.len().unwrap_or(0) / PARTS));
        })
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.1}", state.per_sec() / PARTS as f64);
        })
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Show::Line(printer, _) = self.show {
            printer.end_line();
        }
    }
}

/// Formats a size for people, with decimal units: "69.4 MB".
pub fn human_bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Formats a time in its two largest units. A time that rounds to less than 10 s gets one decimal place.
///
/// ```
/// # use tonic_base::human_time;
/// assert_eq!([9.4, 9.98, 59.6, 187.0].map(human_time), ["9.4 s", "10 s", "1 min 00 s", "3 min 07 s"]);
/// assert_eq!([3600.0, 86399.0, 183_600.0].map(human_time), ["1 h 00 min", "23 h 59 min", "2 d 3 h"]);
/// ```
pub fn human_time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        ..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// Parses a size such as `64M` or `512k`, and returns it in bytes. Units are powers of 1024: `1k` is 1024 bytes.
///
/// # Errors
/// A message that says what was expected.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['B', 'b', 'i']);
    let (digits, unit) = match digits.char_indices().last() {
        Some((at, 'k' | 'K')) => (&digits[..at], 1 << 10),
        Some((at, 'M' | 'm')) => (&digits[..at], 1 << 20),
        Some((at, 'G' | 'g')) => (&digits[..at], 1 << 30),
        _ => (digits, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|&n| n > 0);
    number.ok_or_else(|| "expected a size such as 64M, 512k or 1G".into())
}

/// Parses a range of numbers: `A..B`, `A..` or `..B`. Returns A and B. A missing A is 0, a missing B is `None`.
///
/// # Errors
/// A message that says what was expected.
pub fn parse_range(text: &str) -> Result<(u64, Option<u64>), String> {
    let parse = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no number, from 0"));
    let (start, end) = text.split_once("..").ok_or("expected A..B, such as 0..10")?;
    let start = if start.is_empty() { 0 } else { parse(start)? };
    Ok((start, if end.is_empty() { None } else { Some(parse(end)?) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    static PRINTED: Mutex<String> = Mutex::new(String::new());

    #[test]
    fn work_on_a_unit_moves_the_line_and_does_not_count_twice() {
        let write = |text: &str| PRINTED.lock().unwrap().push_str(text);
        let printer = Printer { write, replaces: true };
        let mut progress = Progress::start(Verbosity::Quiet, "a", 4, "b");
        progress.show = Show::Line(printer, AtomicU64::new(0));
        let share = |work: &dyn Fn(&Progress)| {
            std::thread::sleep(PACE);
            work(&progress);
            let printed = std::mem::take(&mut *PRINTED.lock().unwrap());
            printed.split(' ').nth(1).map(String::from)
        };
        let said = |percent: &str| Some(percent.to_string());
        assert_eq!(share(&|progress| progress.add_ahead(0.5)), said("12%"));
        assert_eq!(share(&|progress| progress.add_ahead(0.25)), said("19%"));
        assert_eq!(share(&|progress| progress.add(1)), said("25%"), "the rest of the first unit");
        assert_eq!(share(&|progress| progress.add_ahead(1.5)), said("62%"));
        assert_eq!(share(&|progress| progress.add(1)), said("62%"));
        assert_eq!(share(&|progress| progress.add_ahead(99.0)), None, "all is done, but not yet counted");
        progress.add(2);
        assert_eq!(progress.done.load(Ordering::Relaxed), 4);
    }
}
