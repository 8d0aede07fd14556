//! Training and evaluation with an engine that takes batches from host memory.
//!
//! If several ranks train together, each computes its share of every training batch, and some of the batches of every
//! evaluation. A request to stop, for example Ctrl-C, is held back until all ranks are between the same two batches.
//! All ranks thus stop in the same state.

use std::ops::Range;
use std::time::Duration;

use tonic_base::{Progress, interrupt};
use tonic_loader::{Batch, EpochOrder, Share};
use tonic_ranks::Ranks;

use crate::engine::{BatchLoss, Engine, Prediction, SpikeCounts, check_interrupt, predict};
use crate::error::{KernelError, Result};
use crate::feed::Feed;
use crate::learner::epoch::{Epoch, Learner, TrainState, total};
use crate::learner::evaluation::{Evaluation, check_labelled};
use crate::learner::logits::Logits;
use crate::learner::padding::Padding;
use crate::network::{Network, Parameters, Tensor};

/// Samples per batch in evaluations. Not to be changed: results with [`Pad::Batch`](super::Pad) depend on this number.
pub(crate) const EVALUATION_BATCH: usize = 128;

/// Trains a network with an engine that takes batches from host memory.
#[derive(Debug)]
pub(crate) struct HostLearner {
    state: TrainState,
    engine: Box<dyn Engine>,
    gradients: Parameters,
    share: Share,
    /// Number of samples per batch in evaluations.
    evaluated: usize,
    /// The batches that [`Learner::watch`] was given: this rank's share of each batch, and the number of frames of the
    /// longest sample of the batch of all ranks.
    watched: Vec<(Batch, usize)>,
}

impl HostLearner {
    /// Makes a learner. `share` says which samples of a batch this rank takes, as `engine` expects.
    pub(crate) fn new(engine: Box<dyn Engine>, state: TrainState, share: Share) -> HostLearner {
        let gradients = Parameters::zeros(state.network.architecture().clone());
        HostLearner { state, engine, gradients, share, evaluated: EVALUATION_BATCH, watched: Vec::new() }
    }

    /// Sets the number of samples per batch in evaluations.
    pub(crate) fn evaluating(self, evaluated: usize) -> HostLearner {
        HostLearner { evaluated, ..self }
    }

    /// Does a training step. `batch` is this rank's share of the batch. After an error, the parameters are unchanged.
    pub(crate) fn step(&mut self, batch: &Batch, padding: Padding) -> Result<BatchLoss> {
        let HostLearner { state: TrainState { network, optimiser }, engine, gradients, share, .. } = self;
        let steps = padding.of_share(share.ranks, batch.longest());
        let loss = engine.step(network, batch, steps, gradients)?;
        check_finite(gradients)?;
        optimiser.update(network.parameters.flat_mut(), gradients.flat());
        network.parameters.follow(gradients);
        Ok(loss)
    }
}

impl Learner for HostLearner {
    fn state(&self) -> &TrainState {
        &self.state
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn restart(&mut self, state: &TrainState) -> Result<()> {
        self.state.clone_from(state);
        Ok(())
    }

    fn train(&mut self, feed: &Feed, epoch: &Epoch, each: &mut dyn FnMut(&BatchLoss, usize)) -> Result<()> {
        let (loader, share) = (feed.loader(), self.share);
        let mut batches = epoch.first..;
        loader.epoch_share(epoch.order, epoch.batch_size, epoch.first..u64::MAX, share, |batch| {
            let number = batches.next().unwrap_or_default();
            self.state.optimiser.set_rates(epoch.rates.at(number));
            each(&self.step(batch, epoch.padding)?, loader.samples_of(epoch.batch_size, number));
            Ok(!stops(share.ranks))
        })
    }

    fn watch(&mut self, samples: Vec<Batch>) -> Result<()> {
        let share = |batch: &Batch| (batch.part(self.share.of(batch.len())), batch.longest());
        self.watched = samples.iter().map(share).collect();
        Ok(())
    }

    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>> {
        let HostLearner { state, engine, watched, share, .. } = self;
        let of = |(batch, longest): &(Batch, usize)| engine.spikes(&state.network, batch, padding.of_batch(*longest));
        let own = total(watched.iter().map(of))?;
        Ok(own.iter().map(|counts| counts.of_ranks(share.ranks)).collect())
    }

    fn remark(&mut self) -> Option<String> {
        self.engine.remark()
    }

    fn exchange_time(&self) -> Duration {
        self.engine.exchange_time()
    }

    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation> {
        let HostLearner { state, engine, share, evaluated, .. } = self;
        evaluate(&mut **engine, share.ranks, &state.network, (feed, *evaluated), padding, progress)
    }
}

/// Returns an error that names the layer if a gradient is NaN or infinite.
fn check_finite(gradients: &Parameters) -> Result<(), KernelError> {
    let architecture = gradients.architecture();
    let is_finite = |tensor: &&Tensor| gradients.flat()[tensor.range.clone()].iter().all(|value| value.is_finite());
    let layers = architecture.layers.hidden.len() + 1;
    match architecture.tensors().iter().find(|tensor| !is_finite(tensor)) {
        None => Ok(()),
        Some(tensor) => Err(KernelError::NonFiniteGradient { layer: tensor.layer + 1, layers }),
    }
}

/// Returns whether training must stop because any rank was asked to stop. All ranks call this function at the same
/// places.
pub(crate) fn stops(ranks: Ranks) -> bool {
    if !ranks.is_solo() && ranks.any(interrupt::is_waiting()) {
        interrupt::release();
    }
    interrupt::requested()
}

/// Returns an error if any rank was asked to stop. All ranks call this function at the same places.
pub(crate) fn check_stop(ranks: Ranks) -> Result<()> {
    stops(ranks);
    check_interrupt()
}

/// Evaluates a network on all samples of a set, in batches of `size` samples. Each rank evaluates some of the batches,
/// and returns the result for the whole set.
pub(super) fn evaluate(
    engine: &mut dyn Engine,
    ranks: Ranks,
    network: &Network,
    (feed, size): (&Feed, usize),
    padding: Padding,
    progress: &Progress,
) -> Result<Evaluation> {
    let set = feed.loader().set();
    check_labelled(set)?;
    let batches = feed.loader().batches(size) as usize;
    let own = ranks.own(batches);
    let mut rounds = 0..batches.div_ceil(ranks.size());
    let mut predictions = Vec::with_capacity(set.len().div_ceil(ranks.size() as u64) as usize);
    each_batch(feed, size, own.start as u64..own.end as u64, progress, |batch| {
        predictions.extend(predict(engine, network, batch, padding.of_batch(batch.longest()))?);
        rounds.next();
        check_stop(ranks)
    })?;
    for _ in rounds {
        check_stop(ranks)?; // all ranks call this equally often, also those with fewer batches
    }
    Evaluation::of(set, all_predictions(ranks, set.len() as usize, own.start * size, predictions))
}

/// Returns the predictions of all ranks for all `samples` samples of a set. `own` are those of this rank, which begin
/// with the sample `first`.
fn all_predictions(ranks: Ranks, samples: usize, first: usize, own: Vec<Prediction>) -> Vec<Prediction> {
    if ranks.is_solo() {
        return own;
    }
    let numbers = |Prediction { loss, predicted, label }: &Prediction| [*loss, (*predicted).into(), (*label).into()];
    let mut all = vec![[0.0; 3]; samples];
    let own: Vec<[f64; 3]> = own.iter().map(numbers).collect();
    ranks.place(all.as_flattened_mut(), first * 3, own.as_flattened());
    let prediction =
        |[loss, predicted, label]: [f64; 3]| Prediction { loss, predicted: predicted as u32, label: label as u32 };
    all.into_iter().map(prediction).collect()
}

pub(super) fn logits(
    engine: &mut dyn Engine,
    network: &Network,
    feed: &Feed,
    padding: Padding,
    progress: &Progress,
) -> Result<Logits> {
    let mut logits = Logits::new(network.shape().classes);
    each_batch(feed, EVALUATION_BATCH, 0..u64::MAX, progress, |batch| {
        logits.add(engine.forward(network, batch, padding.of_batch(batch.longest()))?)?;
        logits.labels.extend(&batch.labels);
        Ok(())
    })?;
    Ok(logits)
}

/// Calls `each` with batches of `size` samples of a set, in the order of the set. `batches` has the indices of these
/// batches in the set.
pub(crate) fn each_batch(
    feed: &Feed,
    size: usize,
    batches: Range<u64>,
    progress: &Progress,
    mut each: impl FnMut(&Batch) -> Result<()>,
) -> Result<()> {
    feed.loader().epoch_share(EpochOrder::Sequential, size, batches, Share::whole(), |batch| {
        check_interrupt()?;
        each(batch)?;
        progress.add(batch.len() as u64);
        Ok::<_, crate::Error>(true)
    })
}
