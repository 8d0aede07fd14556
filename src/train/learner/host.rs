//! Training and evaluation with an engine that takes batches from host memory.

use tonic_base::{Progress, interrupt};
use tonic_loader::{Batch, EpochOrder};

use crate::engine::{BatchLoss, Engine, SpikeCounts, check_interrupt, predict};
use crate::error::{KernelError, Result};
use crate::feed::Feed;
use crate::learner::epoch::{Epoch, Learner, TrainState, total};
use crate::learner::evaluation::{Evaluation, check_labelled};
use crate::learner::logits::Logits;
use crate::learner::padding::Padding;
use crate::network::{Network, Parameters, Tensor};

/// Samples per batch in evaluations. Not to be changed: results with [`Pad::Batch`](super::Pad) depend on this number.
const BATCH: usize = 128;

/// Trains a network with an engine that takes batches from host memory.
#[derive(Debug)]
pub(crate) struct HostLearner {
    state: TrainState,
    engine: Box<dyn Engine>,
    gradients: Parameters,
    watched: Vec<Batch>,
}

impl HostLearner {
    pub(crate) fn new(engine: Box<dyn Engine>, state: TrainState) -> HostLearner {
        let gradients = Parameters::zeros(state.network.architecture().clone());
        HostLearner { state, engine, gradients, watched: Vec::new() }
    }

    /// Does a training step on a batch. After an error, the parameters are unchanged.
    pub(crate) fn step(&mut self, batch: &Batch, padding: Padding) -> Result<BatchLoss> {
        let HostLearner { state: TrainState { network, optimiser }, engine, gradients, .. } = self;
        let steps = padding.of_batch(batch.longest());
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
        let mut batches = epoch.first..;
        feed.loader().epoch(epoch.order, epoch.batch_size, epoch.first, |batch| {
            self.state.optimiser.set_rates(epoch.rates.at(batches.next().unwrap_or_default()));
            each(&self.step(batch, epoch.padding)?, batch.len());
            Ok(!interrupt::requested())
        })
    }

    fn watch(&mut self, samples: Vec<Batch>) -> Result<()> {
        self.watched = samples;
        Ok(())
    }

    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>> {
        let HostLearner { state, engine, watched, .. } = self;
        total(watched.iter().map(|batch| engine.spikes(&state.network, batch, padding.of_batch(batch.longest()))))
    }

    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation> {
        evaluate(&mut *self.engine, &self.state.network, feed, padding, progress)
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

pub(super) fn evaluate(
    engine: &mut dyn Engine,
    network: &Network,
    feed: &Feed,
    padding: Padding,
    progress: &Progress,
) -> Result<Evaluation> {
    let loader = feed.loader();
    check_labelled(loader.set())?;
    let mut predictions = Vec::with_capacity(loader.set().len() as usize);
    each_batch(feed, progress, |batch| {
        predictions.extend(predict(engine, network, batch, padding.of_batch(batch.longest()))?);
        Ok(())
    })?;
    Evaluation::of(loader.set(), predictions)
}

pub(super) fn logits(
    engine: &mut dyn Engine,
    network: &Network,
    feed: &Feed,
    padding: Padding,
    progress: &Progress,
) -> Result<Logits> {
    let mut logits = Logits::new(network.shape().classes);
    each_batch(feed, progress, |batch| {
        logits.add(engine.forward(network, batch, padding.of_batch(batch.longest()))?)?;
        logits.labels.extend(&batch.labels);
        Ok(())
    })?;
    Ok(logits)
}

/// Calls `each` with all samples of a set, in batches and in the order of the set.
pub(crate) fn each_batch(feed: &Feed, progress: &Progress, mut each: impl FnMut(&Batch) -> Result<()>) -> Result<()> {
    feed.loader().epoch(EpochOrder::Sequential, BATCH, 0, |batch| {
        check_interrupt()?;
        each(batch)?;
        progress.add(batch.len() as u64);
        Ok::<_, crate::Error>(true)
    })
}
