//! Computes the running statistics of norms again from the whole training set, with dropout off.
//!
//! During training, the weights change, and the running statistics follow the batches with a delay. Here the weights
//! stay, and the statistics are means over all batches, as with `momentum=None` of PyTorch's `BatchNorm1d`. On small
//! sets, this changes accuracies by a few percentage points.

use tonic_base::Progress;
use tonic_loader::EpochOrder;
use tonic_ranks::Ranks;

use crate::engine::{check_interrupt, share};
use crate::error::Result;
use crate::feed::Feed;
use crate::learner::{Padding, cpu_engine, stops};
use crate::network::{Architecture, Network, Parameters};

/// Replaces the running statistics of a network with means over the batches of a training set. Several ranks share
/// each batch.
///
/// # Errors
/// The errors of reading the set, [`Error::Kernel`](crate::Error::Kernel),
/// [`Interrupted`](tonic_base::Error::Interrupted).
pub(super) fn reestimate(
    ranks: Ranks,
    network: &mut Network,
    train: &Feed,
    batch_size: usize,
    padding: Padding,
    progress: &Progress,
) -> Result<()> {
    let mut layers = network.layers().clone();
    layers.hidden.iter_mut().filter_map(|layer| layer.dropout.as_mut()).for_each(|dropout| dropout.p = 0.0);
    let shape = network.shape();
    let mut plain = Network::zeros(Architecture::new(shape.inputs, layers, shape.classes));
    plain.parameters.flat_mut().copy_from_slice(network.parameters.flat());
    let mut engine = cpu_engine(&plain, ranks);
    let mut computed = Parameters::zeros(plain.architecture().clone());
    let mut sums = vec![0.0; computed.statistics().len()];
    let mut total = 0.0;
    let loader = train.loader();
    let share = share(ranks, plain.architecture().parameters());
    let mut left = loader.set().len();
    loader.stored_epoch(EpochOrder::Sequential, batch_size, share, |batch| {
        stops(ranks);
        check_interrupt()?;
        engine.step(&plain, batch, padding.of_share(ranks, batch.longest()), &mut computed)?;
        let taken = left.min(batch_size as u64);
        left -= taken;
        let samples = taken as f64;
        let values = computed.statistics().iter().map(|&value| samples * f64::from(value));
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        total += samples;
        progress.add(samples as u64);
        Ok::<_, crate::Error>(true)
    })?;
    network.parameters.statistics_mut().iter_mut().zip(sums).for_each(|(to, sum)| *to = (sum / total) as f32);
    Ok(())
}
