//! Tests of the ring that prefetches batches to a GPU: no slot is overwritten too early, and none is lost.
//!
//! The emulated device starts its work only when the host waits for the device. In these tests, the host waits only at
//! the end of an epoch.

use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tonic_toolkit::base::{BaseFault, Verbosity};
use tonic_toolkit::loader::{CacheChoice, EpochOrder};
use tonic_toolkit::shard::ShardSet;
use tonic_toolkit::train::BatchSource;
use tonic_toolkit::train::Program;
use tonic_toolkit::train::engine::{Extent, GpuNetwork};
use tonic_toolkit::train::feed::{Feed, Ring};
use tonic_toolkit::train::gpu::Stream;
use tonic_toolkit::train::learner::longest_steps;
use tonic_toolkit::train::network::{Iaf, Network, Shape};
use tonic_toolkit::train::{Error, Result};
use tonic_toolkit::train::{Optimiser, OptimiserConfig};

use crate::backend;
use crate::sets::{CHANNELS, Sample, Spec, learnable};

const ORDER: EpochOrder = EpochOrder::Shuffled { seed: 3, epoch: 1 };
const BATCH: usize = 3;

/// A network and its training set.
struct Task {
    program: Arc<Program>,
    network: Network,
    adam: Optimiser,
    feed: Feed,
    longest: usize,
}

impl Task {
    fn new(dir: &Path, cache: CacheChoice) -> Task {
        let set = ShardSet::open(dir).unwrap();
        let longest = longest_steps(0, &[&set]);
        let program = backend().program(&[&set], longest, None).unwrap().unwrap();
        let shape = Shape { inputs: CHANNELS as usize, hidden: vec![5, 6], classes: 3 };
        let network = Network::new(shape.iaf(Iaf::default()), &mut ChaCha8Rng::seed_from_u64(2));
        let adam =
            Optimiser::new(OptimiserConfig { lr: 0.01, ..OptimiserConfig::default() }, network.parameters.flat().len());
        let feed = Feed::new(set, cache, Some(&program), Verbosity::Quiet).unwrap();
        Task { program, network, adam, feed, longest }
    }

    /// Copies the network to the device and starts an epoch.
    fn begin(&self, stream: &Stream) -> GpuNetwork {
        let batches = self.feed.loader().batches(BATCH);
        let extent = Extent { batch: BATCH, longest: self.longest, trains: true, kept: 0, batches };
        let mut on_device = GpuNetwork::new(self.program.clone(), &self.network, extent).unwrap();
        on_device.load(stream, &self.network, Some(&self.adam)).unwrap();
        on_device.begin(stream, 0, 0).unwrap();
        on_device
    }

    fn step(&self, stream: &Stream, on_device: &GpuNetwork, source: BatchSource) -> Result<()> {
        on_device.step(stream, source, Some(self.longest))
    }

    /// Trains an epoch with a new ring. Returns the parameters.
    fn trained(&self) -> Vec<f32> {
        self.through(&mut Ring::new(self.program.device(), self.program.column_types()).unwrap())
    }

    /// Trains an epoch through `ring`, or from the device cache if the task has one. Returns the parameters.
    fn through(&self, ring: &mut Ring) -> Vec<f32> {
        let stream = self.program.device().stream().unwrap();
        let on_device = self.begin(&stream);
        let each = |source| self.step(&stream, &on_device, source).map(|()| true);
        self.feed.on_gpu(ring, &stream, (ORDER, BATCH, 0), each).unwrap();
        on_device.parameters().unwrap()
    }
}

/// Returns sample number `i`. All samples have the same size, so that no slot of the ring has to grow.
fn same_size(i: u64) -> Sample {
    let frames = (0..6).map(|t| vec![((i as u32 * 5 + t) % CHANNELS, 1 + i as u32 % 2)]).collect();
    Sample { frames, label: (i % 3) as u32 }
}

fn growing(i: u64) -> Sample {
    let Sample { frames, label } = learnable(1)(i);
    Sample { frames: frames.into_iter().cycle().take(1 + 2 * i as usize).collect(), label }
}

#[test]
fn no_batch_is_overwritten_before_it_is_read() {
    for sample in [same_size, growing] {
        let dir = tempfile::tempdir().unwrap();
        Spec::new(50, 4).write(dir.path(), sample);
        let expected = Task::new(dir.path(), CacheChoice::Device).trained();
        for cache in [CacheChoice::Stream, CacheChoice::Host] {
            let task = Task::new(dir.path(), cache);
            let mut ring = Ring::new(task.program.device(), task.program.column_types()).unwrap();
            for epoch in 0..2 {
                assert!(task.through(&mut ring) == expected, "{cache:?}, the ring's epoch {epoch}");
            }
        }
    }
}

#[test]
fn an_epoch_may_end_anywhere_and_the_ring_serves_the_next() {
    let dir = tempfile::tempdir().unwrap();
    Spec::new(50, 4).write(dir.path(), same_size);
    let expected = Task::new(dir.path(), CacheChoice::Device).trained();
    let task = Task::new(dir.path(), CacheChoice::Stream);
    let mut ring = Ring::new(task.program.device(), task.program.column_types()).unwrap();
    for batches in 0..8_i32 {
        for fails in [false, true] {
            let stream = task.program.device().stream().unwrap();
            let on_device = task.begin(&stream);
            let mut left = batches;
            let ended = task.feed.on_gpu(&mut ring, &stream, (ORDER, BATCH, 0), |source| {
                task.step(&stream, &on_device, source)?;
                left -= 1;
                match (left < 0, fails) {
                    (true, true) => Err(Error::interrupted("nothing")),
                    (over, _) => Ok(!over),
                }
            });
            assert_eq!(ended.is_err(), fails, "{batches} batches");
        }
    }
    assert!(task.through(&mut ring) == expected);
}
