//! Measurements of loading strategies, with their table and chart.
//!
//! A loading strategy says where samples come from: the recordings, the shards, the host cache or the device cache.

use std::fmt::Write;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bars::{BarColumn, BarGroup, BarRow, bars, figures};
use crate::error::{BaseFault, Error, Result};
use crate::picture::Picture;
use tonic_base::printable;

/// Number of samples in the training set of Spiking Speech Commands (SSC).
const SSC_SAMPLES: f64 = 75_466.0;
/// Maximum size in bytes of the dense batches of all threads together.
const MAX_DENSE: u64 = 4 << 30;
/// Maximum size in bytes of a report file.
const MAX_REPORT: u64 = 1 << 20;
const MAX_STRATEGIES: usize = 32;
/// Maximum number of characters of [`Strategy::name`] in a report.
const MAX_NAME: usize = 48;
const MAX_REASON: usize = 400;
/// Largest valid value in a report. The smallest is 1 / `LARGEST`.
const LARGEST: f64 = 1e12;

/// What a benchmark does with batches while it measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Work {
    /// Loading to dense float32, (B, T, P, H, W), without training.
    Loading,
    /// Loading and training, for whole epochs.
    Training,
}

/// Measurements of a loading strategy, or the reason why it could not be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategy {
    /// Name, such as "stream" or "host cache".
    pub name: String,
    /// What was measured: loading alone, or loading with training.
    pub work: Work,
    /// Batches per second; `None` if not measured.
    pub batches_per_second: Option<f64>,
    /// Samples per second; `None` if not measured.
    pub samples_per_second: Option<f64>,
    /// Bytes per sample in the recordings, shards or cache that the strategy reads; `None` if not measured.
    pub bytes_per_sample: Option<f64>,
    /// Seconds per epoch of 75,466 samples, the training set of Spiking Speech Commands (SSC); `None` if not measured.
    pub epoch_seconds_at_ssc: Option<f64>,
    /// Why the strategy could not be measured. `None` if it was measured.
    pub reason: Option<String>,
}

/// A measured quantity of a [`Strategy`] and how it is shown.
struct Figure {
    /// Name of the quantity in JSON.
    field: &'static str,
    /// Heading of the quantity in the table.
    short: &'static str,
    /// Heading of the quantity in the chart.
    column: BarColumn,
    of: fn(&Strategy) -> Option<f64>,
}

impl Figure {
    const fn new(
        field: &'static str,
        short: &'static str,
        (name, hint): (&'static str, &'static str),
        of: fn(&Strategy) -> Option<f64>,
    ) -> Figure {
        Figure { field, short, column: BarColumn { name, hint }, of }
    }
}

const FIGURES: [Figure; 4] = [
    Figure::new("batches_per_second", "batches/s", ("batches/s", "more is better"), |s| s.batches_per_second),
    Figure::new("samples_per_second", "samples/s", ("samples/s", "more is better"), |s| s.samples_per_second),
    Figure::new("bytes_per_sample", "bytes a sample", ("bytes a sample", "less is better"), |s| s.bytes_per_sample),
    Figure::new(
        "epoch_seconds_at_ssc",
        "s an epoch",
        ("seconds an epoch at SSC's size", "75,466 samples; less is better"),
        |s| s.epoch_seconds_at_ssc,
    ),
];

impl Strategy {
    /// Makes a [`Strategy`]: `batches` batches with `samples` samples in total took `seconds` seconds. `bytes` is the
    /// size of a sample in bytes.
    pub fn measured(name: &str, work: Work, (batches, samples): (u64, u64), seconds: f64, bytes: f64) -> Strategy {
        let samples_per_second = samples as f64 / seconds;
        Strategy {
            name: name.into(),
            work,
            batches_per_second: Some(batches as f64 / seconds),
            samples_per_second: Some(samples_per_second),
            bytes_per_sample: Some(bytes),
            epoch_seconds_at_ssc: Some(SSC_SAMPLES / samples_per_second),
            reason: None,
        }
    }

    /// Makes a [`Strategy`] without measurements. `reason` says why it could not be measured.
    pub fn unavailable(name: &str, work: Work, reason: &str) -> Strategy {
        Strategy {
            name: name.into(),
            work,
            batches_per_second: None,
            samples_per_second: None,
            bytes_per_sample: None,
            epoch_seconds_at_ssc: None,
            reason: Some(reason.into()),
        }
    }
}

/// The report of `tonic-prep bench --json`. `S` is the type of the frame shape.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report<S> {
    /// Number of samples per batch.
    pub batch_size: usize,
    /// Recipe of the frames; `None` if unknown.
    pub recipe: Option<String>,
    /// Shape of a frame; `None` if unknown.
    pub shape: Option<S>,
    /// Strategies, each with its measurements or the reason why there are none.
    pub strategies: Vec<Strategy>,
}

impl<S: DeserializeOwned> Report<S> {
    /// Reads a report and checks every field.
    ///
    /// # Errors
    /// [`tonic_base::Error::Io`]; [`tonic_base::Error::Corrupt`], which names the field that isn't valid.
    pub fn read(path: &Path) -> Result<Report<S>> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path).map_err(Error::io(path, "open the report"))?;
        file.take(MAX_REPORT + 1).read_to_end(&mut text).map_err(Error::io(path, "read the report"))?;
        if text.len() as u64 > MAX_REPORT {
            return Err(Error::corrupt(path, "size", format!("at most {MAX_REPORT} bytes of JSON"), "more"));
        }
        let report: Report<S> = serde_json::from_slice(&text).map_err(|e| {
            Error::corrupt(path, "JSON", "the report of a benchmark, with batch_size and strategies", e)
        })?;
        let n = report.strategies.len();
        if !(1..=MAX_STRATEGIES).contains(&n) {
            return Err(Error::corrupt(path, "strategies", format!("1 to {MAX_STRATEGIES}"), n));
        }
        for (i, strategy) in report.strategies.iter().enumerate() {
            let fault = |field: &str, expected: &str, got: String| {
                Err(Error::corrupt(path, format!("strategies[{i}].{field}"), expected, got))
            };
            for (field, words, most) in
                [("name", Some(&strategy.name), MAX_NAME), ("reason", strategy.reason.as_ref(), MAX_REASON)]
            {
                let Some(words) = words else { continue };
                let letters = words.chars().take(most + 1).count();
                if !(1..=most).contains(&letters) || printable(words) != words.as_str() {
                    let expected = format!("1 to {most} letters, no control characters");
                    return fault(field, &expected, format!("{:?}", words.chars().take(60).collect::<String>()));
                }
            }
            for Figure { field, of, .. } in FIGURES {
                match of(strategy) {
                    None if strategy.reason.is_some() => {}
                    Some(value) if (1.0 / LARGEST..=LARGEST).contains(&value) => {}
                    None => return fault(field, "a number, or a reason why there is none", "null".into()),
                    Some(value) => return fault(field, "a number from 1e-12 to 1e12", value.to_string()),
                }
            }
        }
        Ok(report)
    }
}

/// Checks that `threads` dense float32 batches take at most 4 GiB together. A batch has `batch` samples, and a sample
/// has `steps` frames of `cells` cells.
///
/// # Errors
/// [`tonic_base::Error::Usage`], which says how many samples a batch can have at most.
pub fn check_dense(batch: u64, steps: u64, cells: u64, threads: usize) -> tonic_base::Result<()> {
    let sample = steps.saturating_mul(cells).saturating_mul(size_of::<f32>() as u64 * threads as u64);
    let most = MAX_DENSE / sample.max(1);
    if batch <= most {
        return Ok(());
    }
    let expected = format!(
        "at most {most} samples: dense, those of {steps} frames of {cells} cells take {} GiB on {threads} threads",
        MAX_DENSE >> 30
    );
    Err(tonic_base::Error::usage("batch_size", expected, batch))
}

/// Sorts `values` and returns the median. For an even number of values, this is the larger of the two in the middle.
/// Returns NaN if there are no values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Groups the strategies by [`Work`]: returns the title and the strategies of each group that isn't empty.
fn by_work(strategies: &[Strategy]) -> impl Iterator<Item = (&'static str, Vec<&Strategy>)> {
    [(Work::Loading, "loading alone, to dense float32"), (Work::Training, "loading and training")]
        .into_iter()
        .map(|(work, title)| (title, strategies.iter().filter(|s| s.work == work).collect::<Vec<_>>()))
        .filter(|(_, group)| !group.is_empty())
}

/// Formats the strategies as a table of text, with one line for each strategy.
pub fn table(strategies: &[Strategy]) -> String {
    let mut text = String::new();
    for (title, group) in by_work(strategies) {
        let names: String = FIGURES.iter().map(|figure| format!("{:>16}", figure.short)).collect();
        let _ = writeln!(text, "{title:34}{names}");
        for strategy in group {
            let cell = |figure: &Figure| format!("{:>16}", (figure.of)(strategy).map_or("-".into(), figures));
            let cells = match &strategy.reason {
                Some(reason) => format!("  not available: {}", printable(reason)),
                None => FIGURES.iter().map(cell).collect(),
            };
            let _ = writeln!(text, "  {:32}{cells}", printable(&strategy.name));
        }
    }
    text + "(an epoch is of Spiking Speech Commands' 75,466 samples)\n"
}

/// Draws the strategies as a bar chart: one row per strategy, one column per measured quantity.
///
/// # Errors
/// [`Error::Plot`].
pub fn chart(title: &str, strategies: &[Strategy]) -> Result<Picture> {
    let groups: Vec<BarGroup> = by_work(strategies)
        .map(|(title, group)| BarGroup {
            title: title.into(),
            rows: group
                .into_iter()
                .map(|strategy| BarRow {
                    name: strategy.name.clone(),
                    values: FIGURES.iter().map(|figure| (figure.of)(strategy)).collect(),
                    note: strategy.reason.as_ref().map(|reason| format!("not available: {reason}")),
                })
                .collect(),
        })
        .collect();
    bars(title, &FIGURES.map(|figure| figure.column), &groups)
}
