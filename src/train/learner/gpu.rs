//! Training on a GPU, which replays a recorded step for every batch.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic_base::{Progress, interrupt};
use tonic_loader::Batch;

use crate::engine::{BatchLoss, Extent, GpuNetwork, Rounding, SpikeCounts, TrainingLoss, check_loss, check_potentials};
use crate::error::Result;
use crate::feed::{Feed, Ring, StagedBatch};
use crate::gpu::{Pinned, Stream};
use crate::kernel::Optimiser;
use crate::kernel::interface::BatchScore;
use crate::kernel::program::{ColumnTypes, Program};
use crate::learner::epoch::{Epoch, Learner, Room, TrainState, total};
use crate::learner::evaluation::Evaluation;
use crate::learner::gpu_evaluator::GpuEvaluator;
use crate::learner::padding::Padding;
use crate::learner::recorded::Recorded;

/// Maximum number of batches whose scores are downloaded together.
const MAX_GROUP: usize = 256;
/// Wanted time between two downloads of scores. A longer time would delay progress output and interruptions.
const GROUP_TIME: Range<Duration> = Duration::from_millis(15)..Duration::from_millis(60);

#[derive(Debug)]
pub(crate) struct GpuLearner {
    /// Copy of the network and the optimiser in host memory. Until `sync` is called, only `optimiser.step` is current.
    state: TrainState,
    stream: Stream,
    trained: GpuNetwork,
    recorded: Recorded,
    ring: Ring,
    scores: [Pinned<BatchScore>; 2],
    group: usize,
    evaluator: GpuEvaluator,
    column_types: ColumnTypes,
    /// Batches for [`Learner::spikes`], each with its number of samples.
    watched: Vec<(StagedBatch, usize)>,
    rounding: Rounding,
}

impl GpuLearner {
    pub(super) fn new(
        state: TrainState,
        program: &Arc<Program>,
        loss: &TrainingLoss,
        room: Room,
    ) -> Result<GpuLearner> {
        let device = program.device();
        let extent = Extent { batch: room.batch, longest: room.longest, trains: true, kept: 0, batches: room.batches };
        let mut trained = GpuNetwork::new(program.clone(), &state.network, extent)?;
        trained.set_loss(loss)?;
        let mut learner = GpuLearner {
            stream: device.urgent_stream()?,
            trained,
            recorded: Recorded::default(),
            ring: Ring::new(device, program.column_types())?,
            scores: [device.pinned(MAX_GROUP)?, device.pinned(MAX_GROUP)?],
            group: 1,
            evaluator: GpuEvaluator::new(&state.network, program, room.longest, room.evaluated)?,
            column_types: program.column_types(),
            watched: Vec::new(),
            rounding: Rounding::default(),
            state,
        };
        learner.load()?;
        Ok(learner)
    }

    fn load(&mut self) -> Result<()> {
        self.trained.load(&self.stream, &self.state.network, Some(&self.state.optimiser))
    }
}

impl Learner for GpuLearner {
    fn state(&self) -> &TrainState {
        &self.state
    }

    fn sync(&mut self) -> Result<()> {
        let TrainState { network, optimiser } = &mut self.state;
        network.parameters.flat_mut().copy_from_slice(&self.trained.parameters()?);
        network.parameters.statistics_mut().copy_from_slice(&self.trained.statistics()?);
        [optimiser.mean, optimiser.mean_square] = self.trained.moments()?;
        Ok(())
    }

    fn restart(&mut self, state: &TrainState) -> Result<()> {
        self.state.clone_from(state);
        self.load()
    }

    fn train(&mut self, feed: &Feed, epoch: &Epoch, each: &mut dyn FnMut(&BatchLoss, usize)) -> Result<()> {
        let GpuLearner { stream, trained, recorded, ring, scores, group, state: TrainState { optimiser, .. }, .. } =
            self;
        let Epoch { order, batch_size, first, padding, rates } = *epoch;
        trained.begin(stream, first * batch_size as u64, optimiser.step)?;
        let rates: Vec<[f64; 2]> = (first..feed.loader().batches(batch_size)).map(|batch| rates.at(batch)).collect();
        if !rates.is_empty() {
            trained.set_rates(stream, &rates)?;
        }
        let fixed = padding.fixed();
        let mut reader = ScoreReader {
            stream,
            trained,
            scores,
            group,
            queued: 0,
            begun: 0,
            waiting: None,
            since: Instant::now(),
            optimiser,
            each,
        };
        feed.on_gpu(ring, stream, (order, batch_size, first), |source| {
            recorded.run(stream, source, || trained.step(stream, source, fixed))?;
            reader.queued()
        })?;
        reader.finish()?;
        self.rounding.note(self.trained.state()?.rounded != 0);
        Ok(())
    }

    fn watch(&mut self, samples: Vec<Batch>) -> Result<()> {
        let (types, classes) = (self.column_types, self.state.network.shape().classes);
        let stage = |batch: &Batch| Ok((StagedBatch::new(&self.stream, types, batch, classes)?, batch.len()));
        self.watched = samples.iter().map(stage).collect::<Result<_>>()?;
        Ok(())
    }

    fn spikes(&mut self, padding: Padding) -> Result<Vec<SpikeCounts>> {
        let GpuLearner { stream, trained, watched, .. } = self;
        total(
            watched.iter().map(|(batch, samples)| trained.spikes(stream, batch.source(), (*samples, padding.fixed()))),
        )
    }

    fn evaluate(&mut self, feed: &Feed, padding: Padding, progress: &Progress) -> Result<Evaluation> {
        self.sync()?;
        self.evaluator.evaluate(&self.state.network, feed, padding, progress)
    }

    fn remark(&mut self) -> Option<String> {
        self.rounding.remark()
    }
}

/// Downloads the scores of batches in groups, while the GPU computes later batches.
struct ScoreReader<'a> {
    stream: &'a Stream,
    trained: &'a GpuNetwork,
    scores: &'a mut [Pinned<BatchScore>; 2],
    group: &'a mut usize,
    /// Number of batches whose training steps are queued on the GPU.
    queued: usize,
    /// Number of batches whose scores have been downloaded, or are being downloaded.
    begun: usize,
    waiting: Option<Range<usize>>,
    since: Instant,
    optimiser: &'a mut Optimiser,
    each: &'a mut dyn FnMut(&BatchLoss, usize),
}

impl ScoreReader<'_> {
    /// Counts one more queued batch, and downloads scores if the group is complete. Returns whether training continues.
    fn queued(&mut self) -> Result<bool> {
        self.queued += 1;
        if self.queued - self.begun >= *self.group {
            self.fetch()?;
        }
        Ok(!interrupt::requested())
    }

    fn finish(mut self) -> Result<()> {
        self.fetch()?;
        self.fetch()
    }

    /// Starts to download the scores of newly queued batches. Calls `each` with the scores of the previous download.
    fn fetch(&mut self) -> Result<()> {
        let batches = self.begun..self.queued;
        self.scores.swap(0, 1);
        if !batches.is_empty() {
            self.trained.download_scores(self.stream, batches.clone(), &mut self.scores[0])?;
        }
        self.begun = self.queued;
        let Some(before) = self.waiting.replace(batches) else { return Ok(()) };
        for &BatchScore { loss, penalty, correct, samples, overflowed } in &self.scores[1].as_slice()?[..before.len()] {
            check_potentials(overflowed.into())?;
            let result = check_loss(BatchLoss { loss, correct: correct as usize, penalty })?;
            self.optimiser.step += 1;
            (self.each)(&result, samples as usize);
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
