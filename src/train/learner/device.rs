//! Training on a GPU: steps recorded once and replayed, while the host is busy with nothing but the next batch and the
//! scores of those before.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::evaluator::DeviceEvaluator;
use super::{Epoch, Room};
use crate::error::Result;
use crate::interrupt;
use crate::progress::Progress;
use crate::train::eval::{Evaluation, Feed};
use crate::train::kernel::KernelError;
use crate::train::kernel::adam::Adam;
use crate::train::kernel::cuda::{Graph, Pinned, Stream};
use crate::train::kernel::interface::{Score, Source};
use crate::train::kernel::program::Program;
use crate::train::loader::Loader;
use crate::train::loader::ring::Ring;
use crate::train::snn::device::{DeviceNetwork, Extent};
use crate::train::snn::{BatchLoss, Network};

/// The most batches whose scores are fetched together.
const MAX_GROUP: usize = 256;
/// How long a group is to take: short enough for people who watch and interrupt, long enough to cost nothing.
const GROUP_TIME: Range<Duration> = Duration::from_millis(15)..Duration::from_millis(60);

/// A network in training on a GPU.
#[derive(Debug)]
pub struct DeviceLearner {
    /// As of the last sync.
    network: Network,
    adam: Adam,
    stream: Stream,
    trained: DeviceNetwork,
    steps: Recorded,
    ring: Ring,
    scores: [Pinned<Score>; 2],
    group: usize,
    evaluator: DeviceEvaluator,
    rounded: Rounded,
}

/// Whether a neuron spiked more often in a step than bfloat16 counts exactly, and whether that was said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rounded {
    No,
    Yes,
    Said,
}

/// A step's work for each source of batches, recorded.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    graphs: HashMap<u64, Graph>,
    /// The first work ever is not recorded: it has the driver load the kernels.
    loaded: bool,
}

impl Recorded {
    /// Queues the work of a batch, from its recording if there is one.
    pub(super) fn run(&mut self, stream: &Stream, source: Source, work: impl Fn() -> Result<()>) -> Result<()> {
        if !self.loaded {
            self.loaded = true;
            return work();
        }
        let graph = match self.graphs.remove(&source.id) {
            Some(graph) => graph,
            None => stream.capture(&[], work)?,
        };
        stream.replay(self.graphs.entry(source.id).or_insert(graph))
    }
}

impl DeviceLearner {
    pub(super) fn new(network: Network, adam: Adam, program: &Arc<Program>, room: Room) -> Result<DeviceLearner> {
        let device = program.device();
        let extent = Extent { batch: room.batch, longest: room.longest, trained: true, kept: 0, batches: room.batches };
        let trained = DeviceNetwork::new(program.clone(), &network, extent)?;
        let mut learner = DeviceLearner {
            stream: device.urgent_stream()?,
            trained,
            steps: Recorded::default(),
            ring: Ring::new(device, program.form())?,
            scores: [device.pinned(MAX_GROUP)?, device.pinned(MAX_GROUP)?],
            group: 1,
            evaluator: DeviceEvaluator::new(&network, program, room.longest, room.evaluated)?,
            rounded: Rounded::No,
            network,
            adam,
        };
        learner.load()?;
        Ok(learner)
    }

    fn load(&mut self) -> Result<()> {
        self.trained.load(&self.stream, &self.network, Some(&self.adam))
    }

    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    pub(super) fn adam(&self) -> &Adam {
        &self.adam
    }

    pub(super) fn restart(&mut self, network: &Network, adam: &Adam) -> Result<()> {
        self.network.clone_from(network);
        self.adam.clone_from(adam);
        self.load()
    }

    pub(super) fn sync(&mut self) -> Result<()> {
        self.network.parameters.flat_mut().copy_from_slice(&self.trained.parameters()?);
        [self.adam.mean, self.adam.mean_square] = self.trained.moments()?;
        Ok(())
    }

    pub(super) fn train(
        &mut self,
        loader: &Loader,
        epoch: &Epoch,
        each: &mut dyn FnMut(&BatchLoss, usize),
    ) -> Result<()> {
        let DeviceLearner { stream, trained, steps, ring, scores, group, adam, .. } = self;
        let Epoch { order, batch_size, first, feed } = *epoch;
        trained.begin(stream, first * batch_size as u64, adam.step)?;
        let asked = feed.asked();
        let mut run = |source: Source| steps.run(stream, source, || trained.step(stream, source, asked));
        let mut tally = Tally {
            stream,
            trained,
            scores,
            group,
            queued: 0,
            begun: 0,
            waiting: None,
            since: Instant::now(),
            adam,
            each,
        };
        match loader.device_cache() {
            Some(cache) => {
                cache.begin_epoch(stream, loader.set(), order, loader.samples(batch_size))?;
                for _ in first..loader.batches(batch_size) {
                    run(cache.source())?;
                    if !tally.queued()? {
                        break;
                    }
                }
            }
            None => loader.staged_epoch(ring, order, batch_size, first, |slot| {
                slot.begin(stream)?;
                run(slot.source())?;
                slot.end(stream)?;
                tally.queued()
            })?,
        }
        tally.finish()?;
        if self.trained.state()?.rounded != 0 && self.rounded == Rounded::No {
            self.rounded = Rounded::Yes;
        }
        Ok(())
    }

    pub(super) fn evaluate(&mut self, loader: &Loader, feed: Feed, progress: &Progress) -> Result<Evaluation> {
        self.sync()?;
        self.evaluator.evaluate(&self.network, loader, feed, progress)
    }

    pub(super) fn remark(&mut self) -> Option<String> {
        (self.rounded == Rounded::Yes).then(|| {
            self.rounded = Rounded::Said;
            "neurons spike more than 256 times in a step, which the GPU's products round to 8 bits".into()
        })
    }
}

/// The scores of batches, fetched in groups while those after are under way.
struct Tally<'a> {
    stream: &'a Stream,
    trained: &'a DeviceNetwork,
    scores: &'a mut [Pinned<Score>; 2],
    group: &'a mut usize,
    /// Batches whose work is queued.
    queued: usize,
    /// Batches whose scores are on their way, or were told.
    begun: usize,
    waiting: Option<Range<usize>>,
    since: Instant,
    adam: &'a mut Adam,
    each: &'a mut dyn FnMut(&BatchLoss, usize),
}

impl Tally<'_> {
    /// A batch more is queued; whether there is to be another.
    fn queued(&mut self) -> Result<bool> {
        self.queued += 1;
        if self.queued - self.begun >= *self.group {
            self.fetch()?;
        }
        Ok(!interrupt::requested())
    }

    /// Tells of all that are queued.
    fn finish(mut self) -> Result<()> {
        self.fetch()?;
        self.fetch()
    }

    /// Has the scores of the batches queued since the last time fetched, and tells of those that were on their way.
    fn fetch(&mut self) -> Result<()> {
        let batches = self.begun..self.queued;
        self.scores.swap(0, 1);
        if !batches.is_empty() {
            self.trained.download_scores(self.stream, batches.clone(), &mut self.scores[0])?;
        }
        self.begun = self.queued;
        let Some(before) = self.waiting.replace(batches) else { return Ok(()) };
        for &Score { loss, correct, samples } in &self.scores[1].as_slice()?[..before.len()] {
            if !loss.is_finite() {
                return Err(KernelError::NonFiniteLoss { loss }.into());
            }
            self.adam.step += 1;
            (self.each)(&BatchLoss { loss, correct: correct as usize }, samples as usize);
        }
        let took = self.since.elapsed();
        self.since = Instant::now();
        if took < GROUP_TIME.start {
            *self.group = (*self.group * 2).min(MAX_GROUP);
        } else if took > GROUP_TIME.end {
            *self.group = (*self.group / 2).max(1);
        }
        Ok(())
    }
}
