//! Evaluation on a GPU.

use std::sync::Arc;

use tonic_base::Progress;
use tonic_loader::EpochOrder;

use crate::engine::{Extent, GpuNetwork, check_interrupt};
use crate::error::Result;
use crate::feed::{Feed, Ring};
use crate::gpu::Stream;
use crate::kernel::program::Program;
use crate::learner::evaluation::{Evaluation, check_labelled};
use crate::learner::logits::Logits;
use crate::learner::padding::Padding;
use crate::learner::recorded::Recorded;
use crate::network::Network;

/// Maximum samples per batch. Not to be changed: results with [`Pad::Batch`](super::Pad) depend on this number.
pub(super) const BATCH: u64 = 256;

#[derive(Debug)]
pub(crate) struct GpuEvaluator {
    stream: Stream,
    network: GpuNetwork,
    batch: usize,
    recorded: Recorded,
    ring: Ring,
}

impl GpuEvaluator {
    /// Allocates buffers for sets of up to `samples` samples, each with up to `longest` time steps.
    pub(super) fn new(network: &Network, program: &Arc<Program>, longest: usize, samples: u64) -> Result<GpuEvaluator> {
        let device = program.device();
        let samples = samples.max(1);
        let batch = samples.min(BATCH) as usize;
        let extent = Extent { batch, longest, trains: false, kept: samples, batches: 0 };
        Ok(GpuEvaluator {
            stream: device.stream()?,
            network: GpuNetwork::new(program.clone(), network, extent)?,
            batch,
            recorded: Recorded::default(),
            ring: Ring::new(device, program.column_types())?,
        })
    }

    pub(super) fn evaluate(
        &mut self,
        network: &Network,
        feed: &Feed,
        padding: Padding,
        progress: &Progress,
    ) -> Result<Evaluation> {
        let set = feed.loader().set();
        check_labelled(set)?;
        self.each_batch(network, feed, padding, progress, |_| Ok(()))?;
        self.network.check_potentials()?;
        Evaluation::of(set, self.network.predictions(set.len() as usize)?)
    }

    pub(super) fn logits(
        &mut self,
        network: &Network,
        feed: &Feed,
        padding: Padding,
        progress: &Progress,
    ) -> Result<Logits> {
        self.ring.allow_unlabelled();
        let samples = feed.loader().set().len() as usize;
        let mut logits = Logits::new(network.shape().classes);
        let (mut done, batch) = (0, self.batch);
        self.each_batch(network, feed, padding, progress, |on_device| {
            let size = batch.min(samples - done);
            done += size;
            on_device.check_potentials()?;
            logits.add(&on_device.logits(size)?)
        })?;
        logits.labels.extend(self.network.predictions(samples)?.iter().map(|prediction| prediction.label));
        Ok(logits)
    }

    /// Runs all samples of a set forward, in batches and in the order of the set. Calls `each` once per queued batch.
    fn each_batch(
        &mut self,
        network: &Network,
        feed: &Feed,
        padding: Padding,
        progress: &Progress,
        mut each: impl FnMut(&GpuNetwork) -> Result<()>,
    ) -> Result<()> {
        let GpuEvaluator { stream, network: on_device, batch, recorded, ring } = self;
        on_device.load(stream, network, None)?;
        on_device.begin(stream, 0, 0)?;
        let steps = padding.fixed();
        feed.on_gpu(ring, stream, (EpochOrder::Sequential, *batch, 0), |source| {
            check_interrupt()?;
            recorded.run(stream, source, || on_device.forward(stream, source, steps))?;
            each(on_device)?;
            progress.add(*batch as u64);
            Ok(true)
        })
    }
}
