//! Runs one sample through a network, and records rasters of its frames and of the spikes of each hidden layer, and the
//! readout over time.

use tonic_report::{Curve, Raster, RasterPoint};
use tonic_shard::{FrameShape, SampleFrames};

use crate::engine::{Traced, Tracer};
use crate::error::Result;
use crate::kernel::{ActiveCells, loss};
use crate::network::Readout;

/// Length of a frame on the time axis, and the label of this axis, such as `(4.0, "time (ms)")`.
pub(super) type FrameLength = (f64, &'static str);

/// The spikes and the outputs of a network for one sample.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// Number of time steps.
    pub(super) steps: usize,
    /// The frames of the sample, and the spikes of each hidden layer.
    pub(super) rasters: Vec<Raster>,
    /// Number of spikes of each hidden layer.
    pub(super) spikes: Vec<u64>,
    /// Logits, (classes,).
    pub(super) logits: Vec<f32>,
    /// Probability of each class after each time step: the softmax of the logits up to then, (steps, classes).
    pub(super) shares: Vec<Vec<f64>>,
    /// Time of the forward pass, on one thread.
    pub(super) seconds: f64,
}

impl Trace {
    /// Runs a sample through the network for `steps` time steps, or for all its frames if it has more.
    ///
    /// # Errors
    /// [`Error::Kernel`](crate::Error::Kernel) if the sample doesn't fit the network.
    pub(super) fn of(
        tracer: &mut Tracer<'_>,
        (index, frames): (u64, SampleFrames<'_>),
        shape: FrameShape,
        steps: usize,
        frame_length: FrameLength,
    ) -> Result<Trace> {
        let neurons = tracer.neurons();
        let Traced { spikes: layers, logits, outputs, time } = tracer.run(frames, index, steps)?;
        let steps = steps.max(frames.frames());
        let (rows, row_names) = shape.raster_rows();
        let place = |(frame, cell, value)| {
            let (row, second) = shape.raster_place(cell);
            RasterPoint { frame, row, value, second }
        };
        let points = frames.iter().map(place).collect();
        let mut rasters = vec![Raster { title: "input".into(), frames: steps, rows, frame_length, row_names, points }];
        for (i, layer) in layers.iter().enumerate() {
            let point = |t| {
                layer.step(t).iter().map(move |&(row, n)| RasterPoint { frame: t, row, value: n.into(), second: false })
            };
            rasters.push(Raster {
                title: format!("layer {}", i + 1),
                frames: steps,
                rows: neurons[i] as u32,
                frame_length,
                row_names: ["neuron", "neurons"],
                points: (0..layer.steps()).flat_map(point).collect(),
            });
        }
        let spikes = layers.iter().map(total).collect();
        let classes = logits.len();
        let shares = outputs.chunks_exact(classes).map(loss::softmax).collect();
        Ok(Trace { steps, rasters, spikes, logits, shares, seconds: time.as_secs_f64() })
    }

    /// Returns a curve for each of `classes`: the class's column of [`shares`](Trace::shares) over time.
    pub(super) fn curves(
        &self,
        classes: &[usize],
        name: impl Fn(usize) -> String,
        frame_length: FrameLength,
    ) -> Vec<Curve> {
        let point =
            |class: usize| move |(t, shares): (usize, &Vec<f64>)| ((t + 1) as f64 * frame_length.0, shares[class]);
        let curve = |&class: &usize| Curve {
            name: name(class),
            points: self.shares.iter().enumerate().map(point(class)).collect(),
        };
        classes.iter().map(curve).collect()
    }

    /// Returns all classes, the class with the largest logit first.
    pub(super) fn ranking(&self) -> Vec<usize> {
        let mut classes: Vec<usize> = (0..self.logits.len()).collect();
        classes.sort_by(|&a, &b| self.logits[b].total_cmp(&self.logits[a]));
        classes
    }
}

/// Returns words for what the readout outputs after a time step, as part of a sentence.
pub(super) fn outputs_so_far(readout: Readout) -> &'static str {
    match readout {
        Readout::Sum => "the outputs summed so far",
        Readout::Leaky => "the sum so far of the softmax of the leaky outputs",
        Readout::Max => "the largest leaky outputs so far",
        Readout::Last => "the leaky outputs at this step",
    }
}

/// Returns the number of spikes in all time steps.
pub(super) fn total(spikes: &ActiveCells) -> u64 {
    spikes.all().iter().map(|&(_, count)| count as u64).sum()
}

/// Returns the number of time steps after which the class with the largest output stays the same. `outputs` has the
/// outputs after each step, (steps, classes).
pub(super) fn decided_after(outputs: &[f32], classes: usize) -> usize {
    let leaders: Vec<usize> = outputs.chunks_exact(classes).map(loss::predicted).collect();
    let last = leaders.last();
    leaders.iter().rposition(|leader| Some(leader) != last).map_or(leaders.len().min(1), |other| other + 2)
}

#[cfg(test)]
mod tests {
    use super::decided_after;

    #[test]
    fn a_decision_counts_from_the_last_change_of_the_leader() {
        let sums = |leaders: &[usize]| -> Vec<f32> {
            leaders.iter().flat_map(|&leader| (0..3).map(move |class| f32::from(u8::from(class == leader)))).collect()
        };
        for (leaders, expected) in
            [(&[0, 0, 0][..], 1), (&[1, 0, 0], 2), (&[0, 1, 0], 3), (&[2, 2, 1], 3), (&[2], 1), (&[], 0)]
        {
            assert_eq!(decided_after(&sums(leaders), 3), expected, "{leaders:?}");
        }
    }
}
