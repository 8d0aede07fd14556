//! Statistics of a set: classes, events, frames, counts and rates, in one pass over its chunks.

use std::collections::BTreeMap;
use std::fmt::Write;

use ndarray::Array3;
use serde_json::{Value, json};
use tonic_base::{Progress, Verbosity, gather, printable};
use tonic_prep::Recipe;
use tonic_shard::{
    CheckedChunk, Decoder, Error as ShardError, FrameShape, Ledger, PackedSample, ShardSet, Totals, Width,
};

use crate::error::Result;
use crate::text::digits;

/// The JSON has the rate of each cell only if a frame has at most this many cells.
const MOST_CELLS: u64 = 1 << 16;
/// Rates are computed only if a frame has at most this many cells, because every thread needs a counter for each cell.
const MOST_COUNTED_CELLS: u64 = 1 << 23;

/// Distribution of a quantity: maps each value to the number of samples with this value.
#[derive(Clone, Debug, Default)]
pub struct Distribution(BTreeMap<u64, u64>);

impl Distribution {
    fn add(&mut self, value: u64, samples: u64) {
        *self.0.entry(value).or_default() += samples;
    }

    fn samples(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns the minimum, median, mean and maximum; zeros if there are no samples.
    pub fn summary(&self) -> [f64; 4] {
        let (Some((&min, _)), Some((&max, _))) = (self.0.first_key_value(), self.0.last_key_value()) else {
            return [0.0; 4];
        };
        let n = self.samples();
        let sum: u128 = self.0.iter().map(|(&value, &n)| u128::from(value) * u128::from(n)).sum();
        let median = (self.at((n - 1) / 2) as f64 + self.at(n / 2) as f64) / 2.0;
        [min as f64, median, sum as f64 / n as f64, max as f64]
    }

    /// Returns the value at `index` in the ascending list of all samples' values.
    fn at(&self, index: u64) -> u64 {
        let mut before = 0;
        let mut values = self.0.iter().skip_while(|(_, n)| {
            before += **n;
            before <= index
        });
        values.next().map_or(0, |(&value, _)| value)
    }

    /// Returns a histogram of at most `bins` bins of equal width, each as (from, to, number of samples). `to` is not
    /// in the bin.
    pub fn histogram(&self, bins: u64) -> Vec<(f64, f64, f64)> {
        let [min, .., max] = self.summary();
        let width = (((max - min + 1.0) / bins as f64).ceil()).max(1.0);
        let count = ((max - min) / width) as usize + 1;
        let mut out: Vec<(f64, f64, f64)> =
            (0..count).map(|i| (min + i as f64 * width, min + (i + 1) as f64 * width, 0.0)).collect();
        for (&value, &n) in &self.0 {
            out[((value as f64 - min) / width) as usize].2 += n as f64;
        }
        out
    }
}

/// Statistics of a set.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Shape of a frame.
    pub shape: FrameShape,
    /// Number of samples in the set.
    pub samples: u64,
    /// For each class, its name and its number of samples.
    pub classes: Vec<(String, u64)>,
    /// Number of samples without a label.
    pub unlabelled: u64,
    /// Distribution of the number of recorded events per sample.
    pub events: Distribution,
    /// Distribution of the number of frames per sample.
    pub frames: Distribution,
    /// Number of frames of all samples together.
    pub all_frames: u64,
    /// Number of occupied cells, summed over all frames.
    pub entries: u64,
    /// Number of occupied cells with a count of 1, 2, 3 to 4, 5 to 8, and so on. Empty for float32 frames.
    pub counts: Vec<u64>,
    /// Minimum, mean and maximum value of the occupied cells of float32 frames; `None` for counts.
    pub values: Option<[f64; 3]>,
    /// Rate of each cell, (P, H, W), in the unit `rate_unit`. Empty for frames of more than 2^23 cells.
    pub rates: Array3<f64>,
    /// Unit of `rates`: `Hz`, `events a frame`, or `share of frames` for float32 frames.
    pub rate_unit: &'static str,
    /// Sum of the ledgers of all samples.
    pub ledger: Ledger,
}

/// Statistics of the chunks that one thread has read.
#[derive(Default)]
struct Tally {
    totals: Totals,
    events: Distribution,
    frames: Distribution,
    counts: Vec<u64>,
    /// Number of events in each cell, summed over all frames, (P, H, W). For float32 frames, number of frames in which
    /// the cell is occupied.
    cells: Array3<u64>,
    /// For float32 frames: index of each chunk, and the minimum, sum and maximum of its values. Kept per chunk,
    /// because a sum of floats depends on the order.
    values: Vec<(u64, [f64; 3])>,
}

impl Tally {
    fn new(set: &ShardSet) -> Tally {
        let description = &set.manifest().description;
        let counted = description.shape.cells() <= MOST_COUNTED_CELLS;
        let cells = Array3::zeros(if counted { description.shape.dims() } else { [0; 3] });
        let totals = Totals::new(description.classes.len());
        Tally { totals, cells, counts: vec![0; 33], ..Tally::default() }
    }

    fn add(&mut self, number: u64, chunk: &CheckedChunk) {
        let Tally { totals, events, frames, counts, cells, values } = self;
        totals.merge(&chunk.totals(totals.class_samples.len()));
        chunk.table.ledgers.iter().for_each(|ledger| events.add(ledger.events_in, 1));
        let cells = cells.as_slice_mut().unwrap_or_default();
        let surface = chunk.frames.widths().counts == Width::F32;
        for sample in chunk.frames.samples() {
            frames.add(sample.frames() as u64, 1);
            sample.for_each(|cell, count| {
                if let Some(n) = cells.get_mut(cell as usize) {
                    *n += u64::from(count);
                }
                counts[count.saturating_sub(1).checked_ilog2().map_or(0, |log| log as usize + 1)] +=
                    u64::from(!surface);
            });
        }
        if surface {
            let fold = |[min, sum, max]: [f64; 3], value: f64| [min.min(value), sum + value, max.max(value)];
            let all = chunk.frames.samples().flat_map(PackedSample::values);
            values.push((number, all.fold([f64::INFINITY, 0.0, f64::NEG_INFINITY], fold)));
        }
    }

    fn merge(&mut self, other: Tally) {
        self.totals.merge(&other.totals);
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        self.cells += &other.cells;
        other.events.0.into_iter().for_each(|(value, n)| self.events.add(value, n));
        other.frames.0.into_iter().for_each(|(value, n)| self.frames.add(value, n));
        self.values.extend(other.values);
    }
}

/// Computes the statistics of a set on all cores.
///
/// # Errors
/// [`tonic_base::Error::Corrupt`].
pub fn stats(set: &ShardSet, verbosity: Verbosity) -> Result<Stats> {
    let progress = Progress::start(verbosity, "stats", set.len(), "samples");
    let description = &set.manifest().description;
    let fresh = || (Decoder::new(), CheckedChunk::new(&description.layout()), Tally::new(set));
    let tally = gather(set.chunks(), fresh, |(decoder, chunk, tally), number| {
        let (shard, k) = set.locate(number);
        shard.check(k, description.classes.len(), decoder, chunk)?;
        tally.add(number, chunk);
        progress.add(chunk.frames.len() as u64);
        Ok::<_, ShardError>(())
    })?;
    progress.finish();
    let mut all = Tally::new(set);
    tally.into_iter().for_each(|(.., tally)| all.merge(tally));
    all.values.sort_by_key(|(number, _)| *number);
    let fold = |[min, sum, max]: [f64; 3], (_, v): &(u64, [f64; 3])| [min.min(v[0]), sum + v[1], max.max(v[2])];
    let [min, sum, max] = all.values.iter().fold([f64::INFINITY, 0.0, f64::NEG_INFINITY], fold);

    let surface = description.widths.counts == Width::F32;
    let recipe = Recipe::parse(None, &description.recipe).ok();
    // Overlapping windows count an event several times, so a rate in Hz is not defined.
    let frame_time = recipe.filter(|r| !r.frames.overlaps() && !surface).and_then(|r| r.frames.frame_time());
    let (unit_frames, rate_unit) = match frame_time {
        Some(microseconds) => (microseconds / 1e6, "Hz"),
        None if surface => (1.0, "share of frames"),
        None => (1.0, "events a frame"),
    };
    let totals = all.totals;
    let span = (totals.frames as f64 * unit_frames).max(f64::MIN_POSITIVE);
    while all.counts.last() == Some(&0) {
        all.counts.pop();
    }
    Ok(Stats {
        shape: description.shape,
        samples: set.len(),
        unlabelled: set.len() - totals.class_samples.iter().sum::<u64>(),
        classes: description.classes.iter().cloned().zip(totals.class_samples).collect(),
        events: all.events,
        frames: all.frames,
        all_frames: totals.frames,
        entries: totals.entries,
        counts: all.counts,
        values: (surface && totals.entries > 0).then(|| [min, sum / totals.entries as f64, max]),
        rates: all.cells.mapv(|n| n as f64 / span),
        rate_unit,
        ledger: totals.ledger,
    })
}

impl Stats {
    /// Returns the share of occupied cells in all frames, from 0 to 1.
    pub fn density(&self) -> f64 {
        self.entries as f64 / (self.all_frames as f64 * self.shape.cells() as f64).max(1.0)
    }

    /// Returns which counts item `i` of [`Stats::counts`] covers: the smallest and the largest.
    fn bin(i: usize) -> (u64, u64) {
        if i == 0 { (1, 1) } else { ((1 << (i - 1)) + 1, 1 << i) }
    }

    /// Returns the minimum, median, mean and maximum rate of the cells, and the number of cells without events.
    fn rate_summary(&self) -> ([f64; 4], usize) {
        let mut sorted = self.rates.iter().copied().collect::<Vec<_>>();
        sorted.sort_by(f64::total_cmp);
        let (n, sum) = (sorted.len().max(1), sorted.iter().sum::<f64>());
        let at = |i: usize| sorted.get(i).copied().unwrap_or(0.0);
        let median = (at((n - 1) / 2) + at(n / 2)) / 2.0;
        ([at(0), median, sum / n as f64, at(n - 1)], sorted.iter().filter(|&&rate| rate == 0.0).count())
    }

    /// Returns the statistics as one JSON object. If a frame has at most 65,536 cells, the object has the rate of each
    /// cell, (P, H, W). Otherwise it has the mean rate of each row of cells, (P, H). For more than 2^23 cells, it has
    /// no rates.
    pub fn json(&self) -> Value {
        let spread =
            |[min, median, mean, max]: [f64; 4]| json!({"min": min, "median": median, "mean": mean, "max": max});
        let classes = self.classes.iter().map(|(name, n)| json!({"class": name, "samples": n}));
        let counts = self.counts.iter().enumerate().map(|(i, n)| {
            let (from, to) = Stats::bin(i);
            json!({"from": from, "to": to, "entries": n})
        });
        let (rates, silent) = self.rate_summary();
        let width = f64::from(self.shape.width);
        let by_row =
            || -> Vec<f64> { self.rates.rows().into_iter().map(|row| row.iter().sum::<f64>() / width).collect() };
        let by_cell = self.shape.cells() <= MOST_CELLS;
        let events = self.ledger.events_in.max(1) as f64;
        let shares = self.ledger.columns().map(|n| n as f64 / events);
        json!({
            "samples": self.samples,
            "classes": classes.collect::<Vec<_>>(),
            "unlabelled": self.unlabelled,
            "events_a_sample": spread(self.events.summary()),
            "frames_a_sample": spread(self.frames.summary()),
            "density": self.density(),
            "counts": counts.collect::<Vec<_>>(),
            "values": self.values.map(|[min, mean, max]| json!({"min": min, "mean": mean, "max": max})),
            "rate_unit": self.rate_unit,
            "rate": spread(rates),
            "silent_cells": silent,
            "rates_by": if by_cell { "cell" } else { "row" },
            "rates": if by_cell { self.rates.iter().copied().collect() } else { by_row() },
            "ledger": self.ledger,
            "ledger_shares": Ledger::NAMES.into_iter().zip(shares).collect::<BTreeMap<_, _>>(),
        })
    }

    /// Returns the statistics as text for people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(out, "{:<18} {:>12} {:>12} {:>12} {:>12}", "", "min", "median", "mean", "max");
        let (rates, silent) = self.rate_summary();
        let rate_name = format!("{} by cell", self.rate_unit);
        for (name, [min, median, mean, max], places) in [
            ("events a sample", self.events.summary(), 1),
            ("frames a sample", self.frames.summary(), 1),
            (rate_name.as_str(), rates, 3),
        ] {
            let mean = format!("{mean:.places$}");
            let [min, median, max] =
                [min, median, max].map(|n| if n.fract() == 0.0 { n.to_string() } else { format!("{n:.places$}") });
            let _ = writeln!(out, "{name:<18} {min:>12} {median:>12} {mean:>12} {max:>12}");
        }
        let busiest = self.rates.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        if let Some(((p, y, x), _)) = busiest.filter(|(_, rate)| **rate > 0.0) {
            let place = if self.shape.height == 1 { format!("channel {x}") } else { format!("p {p}, y {y}, x {x}") };
            let cells = self.rates.len();
            let _ = writeln!(out, "\n{silent} of {cells} cells are silent; the busiest is {place}");
        }
        let _ = writeln!(out, "{:.3}% of cells are occupied", self.density() * 100.0);
        let share = |n: u64, of: u64| n as f64 * 100.0 / of.max(1) as f64;
        if let Some([min, mean, max]) = self.values {
            let (min, max) = (digits(min), digits(max));
            let _ = writeln!(out, "\nvalues of occupied cells\n  {min} to {max}, {mean:.4} in the mean");
        } else {
            let _ = writeln!(out, "\nevents in an occupied cell");
        }
        for (i, &n) in self.counts.iter().enumerate() {
            let (from, to) = Stats::bin(i);
            let name = if from == to { from.to_string() } else { format!("{from} to {to}") };
            let _ = writeln!(out, "  {name:<16} {n:>14} {:>6.2}%", share(n, self.entries));
        }
        let _ = writeln!(out, "\nclasses ({} samples)", self.samples);
        let unlabelled = ("no label".to_string(), self.unlabelled);
        for (name, n) in self.classes.iter().chain((self.unlabelled > 0).then_some(&unlabelled)) {
            let _ = writeln!(out, "  {:<16} {n:>14} {:>6.2}%", printable(name), share(*n, self.samples));
        }
        let _ = writeln!(out, "\nledger");
        for (name, n) in Ledger::NAMES.iter().zip(self.ledger.columns()) {
            let _ = writeln!(out, "  {name:<16} {n:>14} {:>6.2}%", share(n, self.ledger.events_in));
        }
        out
    }
}
