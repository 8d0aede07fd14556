//! Shows one sample: its input, the spikes of each hidden layer, and the readout over time.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tonic_base::printable;
use tonic_report::{COLUMNS, Picture, raster_page};
use tonic_shard::{NO_LABEL, SampleReader, ShardSet};

use crate::engine::Tracer;
use crate::error::{BaseFault, Error, Result};
use crate::learner::Padding;
use crate::network::Readout;
use crate::run::{Config, Trained};
use crate::view::trace::{FrameLength, Trace, outputs_so_far};

/// Maximum number of classes whose probabilities over time are shown.
const CLASSES: usize = 6;
/// Maximum heights in the terminal, in lines: of the input, and of each hidden layer.
const LINES: (usize, usize) = (24, 12);

/// Options for showing one sample.
#[derive(Clone, Debug)]
pub struct ShowOptions {
    /// Folder of the run.
    pub run: PathBuf,
    /// Folder of the shard set. Its samples need no labels.
    pub data: PathBuf,
    /// Index of the sample in the set, from 0.
    pub sample: u64,
    /// Whether to use the network of the epoch with the best validation score, instead of the network after the last
    /// epoch.
    pub best: bool,
    /// Function that opens a set, such as [`ShardSet::open`].
    pub open: fn(&Path) -> tonic_shard::Result<ShardSet>,
    /// Function that gets a recipe and returns the length of a frame and the label of the time axis, such as `(4.0,
    /// "time (ms)")`.
    pub frame_length: fn(&str) -> (f64, &'static str),
}

/// A sample, with the spikes and the outputs of the network for it.
#[derive(Clone, Debug)]
pub struct Shown {
    sample: u64,
    /// Name of the label. `None` if the sample has no label.
    label: Option<String>,
    classes: Vec<String>,
    frame_length: FrameLength,
    readout: Readout,
    trace: Trace,
}

/// Runs a sample of a set through the network of a run, on the CPU.
///
/// # Errors
/// [`tonic_base::Error::Usage`] if the set has no such sample; the errors of [`predict`](fn@crate::run::predict).
pub fn show(options: &ShowOptions) -> Result<Shown> {
    let ShowOptions { run, data, sample, best, open, frame_length } = options;
    let Trained { config, network, set } = Trained::open(run, data, *best, *open, Config::check_unlabelled)?;
    if *sample >= set.len() {
        return Err(Error::usage("sample", format!("0 to {}", set.len().saturating_sub(1)), sample));
    }
    let mut reader = SampleReader::new(&set);
    let (chunk, inside) = reader.sample(*sample)?;
    let frames = chunk.frames.sample(inside);
    let steps = Padding { pad: config.pad, steps: config.steps }.of_batch(frames.frames());
    let (classes, frame_length) = (config.data.class_names, frame_length(&config.data.recipe));
    let label = chunk.table.labels[inside];
    let label = (label != NO_LABEL).then(|| classes.get(label as usize).cloned()).flatten();
    let trace = Trace::of(
        &mut Tracer::new(&network),
        (*sample, frames),
        set.manifest().description.shape,
        steps,
        frame_length,
    )?;
    let readout = network.layers().readout.readout;
    Ok(Shown { sample: *sample, label, classes, frame_length, readout, trace })
}

impl Shown {
    /// Returns one line of text: index, label and predicted class of the sample.
    pub fn title(&self) -> String {
        let predicted = &self.classes[self.trace.ranking()[0]];
        let label = self.label.as_deref().unwrap_or("no label");
        format!("sample {}: {label}, predicted as {predicted}", self.sample)
    }

    /// Returns at most [`CLASSES`] classes: the label, and the classes with the largest logits.
    fn shown_classes(&self) -> Vec<usize> {
        let mut ranking = self.trace.ranking();
        let label = self.classes.iter().position(|class| Some(class) == self.label.as_ref());
        if let Some(rank) = ranking.iter().position(|&class| Some(class) == label).filter(|&rank| rank >= CLASSES) {
            ranking.swap(rank, CLASSES - 1);
        }
        ranking.truncate(CLASSES);
        ranking
    }

    /// Returns the sample as text: rasters in braille characters, and a line for each shown class with its probability
    /// over time.
    pub fn text(&self) -> String {
        let mut out = format!("{}\n", printable(&self.title()));
        for (i, raster) in self.trace.rasters.iter().enumerate() {
            let spikes = i.checked_sub(1).map_or(String::new(), |i| format!(", {} spikes", self.trace.spikes[i]));
            let lines = if i == 0 { LINES.0 } else { LINES.1 };
            let _ = write!(out, "\n{}{spikes}\n{}\n", raster.title, raster.braille(lines));
        }
        let outputs = outputs_so_far(self.readout);
        let _ = writeln!(out, "\nreadout: share of each class (softmax of {outputs}), at last, over time");
        let classes = self.shown_classes();
        let names: Vec<_> = classes.iter().map(|&class| printable(&self.classes[class])).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        for (&class, name) in classes.iter().zip(&names) {
            let shares: Vec<f64> = self.trace.shares.iter().map(|shares| shares[class]).collect();
            let last = shares.last().copied().unwrap_or(0.0) * 100.0;
            let _ = writeln!(out, "{name:<width$}  {last:>5.1}%  {}", line_of(&shares));
        }
        out
    }

    /// Draws the rasters one below the other, and the probability of each shown class over time.
    ///
    /// # Errors
    /// [`Plot`](tonic_report::Error::Plot).
    pub fn picture(&self) -> Result<Picture> {
        let curves = self.trace.curves(&self.shown_classes(), |class| self.classes[class].clone(), self.frame_length);
        Ok(raster_page(&self.title(), &self.trace.rasters, ("share of a class", &curves))?)
    }

    /// Returns the sample as a JSON object: its spikes by layer, its logits, and the probability of each class over
    /// time.
    pub fn json(&self) -> Value {
        let rasters = &self.trace.rasters;
        let places = |i: usize| -> Vec<Value> {
            rasters[i].points.iter().map(|point| json!([point.frame, point.row, point.value])).collect()
        };
        let layers: Vec<Value> = (1..rasters.len())
            .map(|i| json!({"neurons": rasters[i].rows, "spikes": self.trace.spikes[i - 1], "places": places(i)}))
            .collect();
        json!({
            "sample": self.sample,
            "label": self.label,
            "predicted": self.classes[self.trace.ranking()[0]],
            "classes": self.classes,
            "logits": self.trace.logits,
            "steps": self.trace.steps,
            "layers": layers,
            "shares": self.trace.shares,
        })
    }
}

/// Draws shares from 0 to 1 as a line of bars, as wide as a raster in braille characters. Each bar is the mean over
/// several time steps.
fn line_of(shares: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = COLUMNS.min(shares.len().div_ceil(2));
    let bar = |column: usize| {
        let part = &shares[column * shares.len() / columns..(column + 1) * shares.len() / columns];
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        BARS[((mean * 8.0) as usize).min(7)]
    };
    (0..columns).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn a_line_of_bars_shows_low_and_high_shares() {
        assert_eq!(line_of(&[0.0, 0.125, 0.5, 0.5, 0.99, 1.0, 1.0, 1.0]), "▁▅██");
        assert_eq!(line_of(&[0.25; 1000]), "▃".repeat(96));
        assert_eq!([line_of(&[]), line_of(&[1.0]), line_of(&[0.5; 3])], ["", "█", "▅▅"]);
    }
}
