//! Evaluation on a GPU: losses and predictions of a whole set stay there until the last batch is done.

use std::sync::Arc;

use super::device::Recorded;
use crate::error::Result;
use crate::progress::Progress;
use crate::train::eval::{Evaluation, Feed, check_labelled, go_on};
use crate::train::kernel::cuda::Stream;
use crate::train::kernel::interface::Source;
use crate::train::kernel::program::Program;
use crate::train::loader::ring::Ring;
use crate::train::loader::{EpochOrder, Loader};
use crate::train::snn::Network;
use crate::train::snn::device::{DeviceNetwork, Extent};

/// Samples that are evaluated together at most.
const BATCH: u64 = 256;

/// A network on a GPU that is not trained there.
#[derive(Debug)]
pub struct DeviceEvaluator {
    stream: Stream,
    network: DeviceNetwork,
    batch: usize,
    batches: Recorded,
    ring: Ring,
}

impl DeviceEvaluator {
    /// For networks of this one's shape, on sets of up to `samples` samples of up to `longest` steps.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::error::Error::DeviceMemory), [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn new(network: &Network, program: &Arc<Program>, longest: usize, samples: u64) -> Result<DeviceEvaluator> {
        let device = program.device();
        let samples = samples.max(1);
        let batch = samples.min(BATCH) as usize;
        let extent = Extent { batch, longest, trained: false, kept: samples, batches: 0 };
        Ok(DeviceEvaluator {
            stream: device.stream()?,
            network: DeviceNetwork::new(program.clone(), network, extent)?,
            batch,
            batches: Recorded::default(),
            ring: Ring::new(device, program.form())?,
        })
    }

    /// Evaluates a network on all samples of a set.
    ///
    /// # Errors
    /// Those of [`evaluate`](crate::train::eval::evaluate), [`Error::Cuda`](crate::error::Error::Cuda).
    pub fn evaluate(
        &mut self,
        network: &Network,
        loader: &Loader,
        feed: Feed,
        progress: &Progress,
    ) -> Result<Evaluation> {
        check_labelled(loader.set())?;
        let DeviceEvaluator { stream, network: on_device, batch, batches, ring } = self;
        let batch = *batch;
        on_device.load(stream, network, None)?;
        on_device.begin(stream, 0, 0)?;
        let steps = feed.asked();
        let samples = loader.set().len();
        let mut run = |source: Source| -> Result<bool> {
            go_on()?;
            batches.run(stream, source, || on_device.forward(stream, source, steps))?;
            progress.add(batch as u64);
            Ok(true)
        };
        match loader.device_cache() {
            Some(cache) => {
                cache.begin_epoch(stream, loader.set(), EpochOrder::Sequential, samples)?;
                for _ in 0..samples.div_ceil(batch as u64) {
                    run(cache.source())?;
                }
            }
            None => loader.staged_epoch(ring, EpochOrder::Sequential, batch, 0, |slot| {
                slot.begin(stream)?;
                let more = run(slot.source())?;
                slot.end(stream)?;
                Ok(more)
            })?,
        }
        Evaluation::of(loader.set(), on_device.outcomes(samples as usize)?)
    }
}
