//! All samples of a set, run through a network: predictions, losses, times, spikes.

use rayon::prelude::*;
use tonic_base::Progress;
use tonic_shard::SampleFrames;

use crate::engine::{Prediction, Tracer, check_labels};
use crate::error::Result;
use crate::feed::Feed;
use crate::learner::{EVALUATION_BATCH, Evaluation, Padding, check_labelled, each_batch};
use crate::network::Network;
use crate::view::trace::{decided_after, total};

/// A sample of the set, with the prediction, the time and the spikes of the network for it.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// Index of the sample in the set.
    pub(super) sample: u64,
    /// Loss, label and predicted class.
    pub(super) prediction: Prediction,
    /// Time of the forward pass, on one thread.
    pub(super) seconds: f64,
    /// Number of frames of the sample, without padding.
    pub(super) frames: usize,
    /// Number of active cells (those with events) in all frames together.
    pub(super) entries: usize,
    /// Number of spikes of all hidden layers.
    pub(super) spikes: u64,
    /// Number of time steps after which the predicted class stays the same.
    pub(super) decided_after: usize,
}

/// Runs all samples of a set forward on the CPU. Returns the evaluation and the samples in the order of the set.
///
/// # Errors
/// [`Error::Unlabelled`](crate::Error::Unlabelled); [`Error::Kernel`](crate::Error::Kernel); the errors of reading the
/// set.
pub(super) fn survey(
    network: &Network,
    feed: &Feed,
    padding: Padding,
    progress: &Progress,
) -> Result<(Evaluation, Vec<Judged>)> {
    let set = feed.loader().set();
    check_labelled(set)?;
    let classes = network.shape().classes;
    let mut judged: Vec<Judged> = Vec::with_capacity(set.len() as usize);
    each_batch(feed, EVALUATION_BATCH, 0..u64::MAX, progress, |batch| {
        check_labels(batch, classes)?;
        let steps = padding.of_batch(batch.longest());
        let samples: Vec<SampleFrames<'_>> = batch.samples();
        let first = judged.len() as u64;
        let run = |tracer: &mut Tracer<'_>, (i, frames): (usize, &SampleFrames<'_>)| -> Result<_> {
            let traced = tracer.run(*frames, first + i as u64, steps)?;
            let spikes = traced.spikes.iter().map(total).sum();
            Ok((traced.logits, traced.time.as_secs_f64(), spikes, decided_after(&traced.outputs, classes)))
        };
        let traced: Vec<Result<_>> = samples.par_iter().enumerate().map_init(|| Tracer::new(network), run).collect();
        for ((traced, frames), &label) in traced.into_iter().zip(samples).zip(&batch.labels) {
            let (logits, seconds, spikes, decided_after) = traced?;
            let prediction = Prediction::of(&logits, label);
            let (sample, frames, entries) = (judged.len() as u64, frames.frames(), frames.entries());
            judged.push(Judged { sample, prediction, seconds, frames, entries, spikes, decided_after });
        }
        Ok(())
    })?;
    let evaluation = Evaluation::of(set, judged.iter().map(|of| of.prediction))?;
    Ok((evaluation, judged))
}
