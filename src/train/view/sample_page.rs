//! The part of a report about single samples: the samples with the largest losses, and the samples that took longest.

use std::fmt::Write;

use tonic_report::{escaped, html_table, time_chart};
use tonic_shard::{SampleReader, ShardSet};

use crate::engine::Tracer;
use crate::error::Result;
use crate::learner::Padding;
use crate::network::Network;
use crate::view::survey::Judged;
use crate::view::trace::{FrameLength, Trace, outputs_so_far};

/// Number of samples on the page in each of two groups: those with the largest losses, and the slowest.
const PICKED: usize = 6;
/// Number of samples that are timed again: the slowest ones.
const TIMED: usize = 32;
const AGAIN: usize = 3;

/// The samples on the page, each with its spikes and outputs.
pub(super) struct Sampled {
    /// The samples with the largest losses, the largest first.
    worst: Vec<(Judged, Trace)>,
    /// The samples whose forward pass took longest, the longest first.
    slowest: Vec<(Judged, Trace)>,
    frame_length: FrameLength,
    /// Words for what the readout outputs after a time step, as part of a sentence.
    outputs: &'static str,
}

/// Picks the samples for a report, and runs them through the network again to record their spikes.
pub(super) fn picked(
    network: &Network,
    set: &ShardSet,
    padding: Padding,
    frame_length: FrameLength,
    judged: &[Judged],
) -> Result<Sampled> {
    let shape = set.manifest().description.shape;
    let (mut reader, mut tracer) = (SampleReader::new(set), Tracer::new(network));
    let mut trace = |of: &Judged| -> Result<(Judged, Trace)> {
        let (chunk, inside) = reader.sample(of.sample)?;
        let frames = chunk.frames.sample(inside);
        let steps = padding.of_batch(frames.frames());
        let mut run = || Trace::of(&mut tracer, (of.sample, frames), shape, steps, frame_length);
        // Other processes can slow down a pass, so the shortest time counts.
        let again = (0..AGAIN).map(|_| run()).collect::<Result<Vec<Trace>>>()?;
        let seconds = again.iter().map(|trace| trace.seconds).fold(of.seconds, f64::min);
        Ok((Judged { seconds, ..of.clone() }, run()?))
    };
    let worst: Result<Vec<_>> =
        largest(judged, |of| of.prediction.loss).into_iter().take(PICKED).map(&mut trace).collect();
    let timed: Result<Vec<_>> = largest(judged, |of| of.seconds).into_iter().take(TIMED).map(&mut trace).collect();
    let mut slowest = timed?;
    slowest.sort_by(|a, b| b.0.seconds.total_cmp(&a.0.seconds));
    slowest.truncate(PICKED);
    Ok(Sampled { worst: worst?, slowest, frame_length, outputs: outputs_so_far(network.layers().readout.readout) })
}

/// Sorts the samples by `value`, the largest value first.
fn largest(judged: &[Judged], value: fn(&Judged) -> f64) -> Vec<&Judged> {
    let mut order: Vec<&Judged> = judged.iter().collect();
    order.sort_by(|a, b| value(b).total_cmp(&value(a)));
    order
}

impl Sampled {
    /// Returns the two sections of the page.
    pub(super) fn sections(&self, classes: &[String]) -> Result<String> {
        let worst = format!("The samples with the largest losses. A share is the softmax of {}.", self.outputs);
        let slowest =
            "The samples whose forward pass took longest, on one thread of this machine: the shortest of four times.";
        let worst = self.section("Worst samples", &worst, &self.worst, classes)?;
        Ok(worst + &self.section("Slowest samples", slowest, &self.slowest, classes)?)
    }

    fn section(&self, title: &str, words: &str, samples: &[(Judged, Trace)], classes: &[String]) -> Result<String> {
        let head =
            ["true", "predicted", "sample", "loss", "ms", "frames", "active cells", "spikes", "decided after step"];
        let row = |(of, _): &(Judged, Trace)| {
            let name = |class: u32| classes[class as usize].clone();
            vec![
                name(of.prediction.label),
                name(of.prediction.predicted),
                of.sample.to_string(),
                format!("{:.3}", of.prediction.loss),
                format!("{:.3}", of.seconds * 1e3),
                of.frames.to_string(),
                of.entries.to_string(),
                of.spikes.to_string(),
                of.decided_after.to_string(),
            ]
        };
        let rows: Vec<Vec<String>> = samples.iter().map(row).collect();
        let mut out = format!("<h2>{title}</h2>\n<p class=\"note\">{words}</p>\n");
        out += &html_table(&head, 2, &rows);
        out.push_str("<div class=\"grid\">\n");
        for sample in samples {
            out += &self.sample(sample, classes)?;
        }
        out.push_str("</div>\n");
        Ok(out)
    }

    fn sample(&self, (of, trace): &(Judged, Trace), classes: &[String]) -> Result<String> {
        let (length, unit) = self.frame_length;
        let [label, predicted] = [of.prediction.label, of.prediction.predicted].map(|class| class as usize);
        let verdict = if of.prediction.is_correct() { "rightly" } else { "wrongly" };
        let title = format!("Sample {}: {}", of.sample, classes[label]);
        let mut out = format!("<div class=\"sample\"><h3>{}</h3>\n", escaped(&title));
        let words = format!("{verdict} predicted as {}, loss {:.3}", classes[predicted], of.prediction.loss);
        let _ = writeln!(out, "<p>{}</p>", escaped(&words));
        for (i, raster) in trace.rasters.iter().enumerate() {
            let [_, names] = raster.row_names;
            let spikes = i.checked_sub(1).map_or(String::new(), |i| format!(", {} spikes", trace.spikes[i]));
            let caption = format!("{}: {} {names}{spikes}", raster.title, raster.rows);
            let _ = writeln!(out, "<figure><figcaption>{}</figcaption>{}</figure>", escaped(&caption), raster.image()?);
        }
        let end = format!("{:.0}", trace.steps as f64 * length);
        let _ = writeln!(out, "<p class=\"axis\"><span>0</span><span>{}</span><span>{end}</span></p>", escaped(unit));
        let mut shown = vec![label];
        shown.extend((label != predicted).then_some(predicted));
        shown.extend(trace.ranking().into_iter().filter(|class| *class != label && *class != predicted).take(2));
        out += &time_chart("readout", unit, &trace.curves(&shown, |class| classes[class].clone(), self.frame_length))?;
        out.push_str("</div>\n");
        Ok(out)
    }
}
