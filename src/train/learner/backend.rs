//! Makes the engine, the learner and the evaluator for the chosen device: CPU, GPU or libtorch.

use std::sync::Arc;

use tonic_base::{Error as BaseError, Progress, human_bytes};
use tonic_ranks::Ranks;
use tonic_shard::{FrameShape, ShardSet, Width};

#[cfg(feature = "libtorch")]
use crate::engine::LibtorchEngine;
use crate::engine::{
    Arithmetic, CpuEngine, Engine, EngineChoice, Extent, GpuEngine, LayeredEngine, TrainingLoss, check_layers, share,
};
use crate::error::{BaseFault, Error, Result};
use crate::feed::Feed;
use crate::gpu::{Device, check_compiler};
use crate::kernel::program::{ColumnTypes, MatmulPrecision, Program};
use crate::learner::epoch::{Learner, Room, TrainState};
use crate::learner::evaluation::Evaluation;
use crate::learner::gpu::GpuLearner;
use crate::learner::gpu_evaluator::{self, GpuEvaluator};
use crate::learner::host::{EVALUATION_BATCH, HostLearner, evaluate, logits};
use crate::learner::logits::Logits;
use crate::learner::padding::Padding;
use crate::network::{Layers, Network};

/// The engine and the device that the user chose.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Whether our kernels or libtorch compute.
    pub engine: EngineChoice,
    /// The GPU that computes, or `None` on the CPU.
    pub device: Option<Device>,
    /// Precision of matrix products on a GPU.
    pub precision: MatmulPrecision,
    /// The processes that train together.
    pub ranks: Ranks,
    /// Whether the program chose the GPU, and not the user. Then the CPU computes networks that the kernels of a GPU
    /// don't compute.
    pub is_automatic: bool,
    /// Message that says which device computes and why, for example "cuda:0: NVIDIA H200, 139.8 GB free".
    pub why: String,
}

impl Backend {
    /// Returns the backend that computes on the CPU.
    pub fn cpu(engine: EngineChoice, precision: MatmulPrecision) -> Backend {
        Backend { engine, device: None, precision, ranks: Ranks::solo(), is_automatic: false, why: "cpu".into() }
    }

    /// Opens the GPU with the index `ordinal`, from 0, and returns the backend that computes on this GPU.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if the GPU, the driver or NVRTC is missing or too old. [`Error::Cuda`] if the
    /// driver returns an error.
    pub fn gpu(ordinal: usize, engine: EngineChoice, precision: MatmulPrecision) -> Result<Backend> {
        let device = Device::open(ordinal)?;
        check_compiler(&device)?;
        let why = format!("cuda:{ordinal}: {}, {} free", device.name(), human_bytes(device.free_memory()?));
        Ok(Backend { engine, device: Some(device), precision, ranks: Ranks::solo(), is_automatic: false, why })
    }

    /// Opens a GPU for this rank, which is one of several. The ranks on a machine take its GPUs in turn.
    ///
    /// # Errors
    /// The errors of [`Backend::gpu`].
    pub fn gpu_of_rank(ranks: Ranks, engine: EngineChoice, precision: MatmulPrecision) -> Result<Backend> {
        Ok(Backend { ranks, ..Backend::gpu(ranks.local_rank() % Device::count()?, engine, precision)? })
    }

    /// Returns an error if two ranks have the same GPU. All ranks call this function together.
    ///
    /// # Errors
    /// [`tonic_base::Error::Usage`]; [`Error::Cuda`] if the driver returns an error.
    pub(crate) fn check_gpus(&self) -> Result<()> {
        let Some(device) = &self.device else { return Ok(()) };
        let gpus = self.ranks.gather(&device.uuid()?);
        let first = |rank: usize| gpus.iter().position(|gpu| *gpu == gpus[rank]).unwrap_or(rank);
        let Some(rank) = (0..gpus.len()).find(|&rank| first(rank) < rank) else { return Ok(()) };
        let expected =
            "a GPU for each rank (--device cuda, and on each machine as many ranks as GPUs), or --device cpu";
        Err(Error::usage("device", expected, format!("one GPU for the ranks {} and {rank}", first(rank))))
    }

    /// Returns the backend for a network of these layers: this one, or the CPU if the program chose the GPU and the
    /// GPU's kernels don't compute the layers.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] with the names of the layers, if the user chose the GPU.
    pub fn for_layers(&self, layers: &Layers) -> Result<Backend> {
        match check_layers(layers) {
            Err(Error::Base(BaseError::Unavailable { why, .. })) if self.uses_kernels() && self.is_automatic => {
                Ok(Backend {
                    why: format!("cpu: {why}"),
                    ranks: self.ranks,
                    ..Backend::cpu(self.engine, self.precision)
                })
            }
            Err(error) if self.uses_kernels() => Err(error),
            _ => Ok(self.clone()),
        }
    }

    /// Whether our kernels on a GPU compute.
    pub(crate) fn uses_kernels(&self) -> bool {
        self.engine == EngineChoice::Fused && self.device.is_some()
    }

    /// Number of ranks whose GPUs train. 1 on the CPU.
    pub(crate) fn gpu_ranks(&self) -> usize {
        if self.device.is_some() { self.ranks.size() } else { 1 }
    }

    pub(crate) fn arithmetic(&self) -> Arithmetic {
        if self.device.is_some() { Arithmetic::Cuda } else { Arithmetic::Cpu }
    }

    /// Compiles and loads the GPU kernels, or returns `None` if the CPU or libtorch computes. All of `sets` must have
    /// the same recipe. `longest` is the maximum number of time steps of a sample. `counts` is the type of the counts
    /// in samples that are not in `sets`, such as augmented ones.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if libtorch or NVRTC is missing, or if `device` is the CPU and `precision`
    /// is not the highest. [`Error::Cuda`] if the driver returns an error.
    pub fn program(&self, sets: &[&ShardSet], longest: usize, counts: Option<Width>) -> Result<Option<Arc<Program>>> {
        let descriptions = sets.iter().map(|set| &set.manifest().description);
        let shape = descriptions.clone().map(|of| of.shape).next();
        let shape = shape.unwrap_or(FrameShape { polarities: 1, height: 1, width: 1 });
        self.program_of(ColumnTypes::of(shape, longest, descriptions.map(|of| of.widths.counts).chain(counts)))
    }

    /// Like [`Backend::program`], for samples with the column types `column_types`.
    pub(crate) fn program_of(&self, column_types: ColumnTypes) -> Result<Option<Arc<Program>>> {
        if self.device.is_none() && self.precision != MatmulPrecision::Highest {
            let why = "the CPU computes in float32; it is a choice for the kernels of a GPU";
            return Err(Error::unavailable("matmul_precision", why));
        }
        match (self.engine, &self.device) {
            (EngineChoice::Fused, None) => Ok(None),
            (EngineChoice::Fused, Some(device)) => {
                Ok(Some(Arc::new(Program::new(device, column_types, self.precision)?)))
            }
            (EngineChoice::Reference, _) => self.reference().map(|_| None),
        }
    }

    /// Makes a learner. `program` must be the result of [`Backend::program`]. `loss` is the loss of training.
    ///
    /// # Errors
    /// - [`Error::DeviceMemory`], [`Error::Cuda`]
    /// - [`tonic_base::Error::Unavailable`], for example if the engine doesn't support a setting of the loss
    pub fn learner(
        &self,
        program: Option<&Arc<Program>>,
        state: TrainState,
        loss: TrainingLoss,
        room: Room,
    ) -> Result<Box<dyn Learner>> {
        let share = share(self.ranks, state.network.architecture().parameters());
        Ok(match program {
            Some(program) if self.ranks.is_solo() => Box::new(GpuLearner::new(state, program, &loss, room)?),
            Some(program) => {
                // A batch smaller than `room.batch` has smaller blocks, which can give this rank more samples.
                let most = (1..=room.batch).map(|samples| share.of(samples).len()).max().unwrap_or(0);
                let extent = |batch: usize, trains| Extent {
                    batch: batch.max(1),
                    longest: room.longest,
                    trains,
                    kept: 0,
                    batches: 1,
                };
                let extents = [extent(most, true), extent(room.evaluated.min(gpu_evaluator::BATCH) as usize, false)];
                let engine = GpuEngine::new(program.device(), self.precision)?;
                let mut engine = engine.with_ranks(self.ranks, program, &state.network, extents)?;
                engine.set_loss(loss)?;
                let learner = HostLearner::new(Box::new(engine), state, share);
                Box::new(learner.evaluating(gpu_evaluator::BATCH as usize))
            }
            None => {
                let mut engine = self.host_engine(&state.network)?;
                engine.set_loss(loss)?;
                Box::new(HostLearner::new(engine, state, share))
            }
        })
    }

    /// Evaluates a network on all samples of a set. `program` must be the result of [`Backend::program`]. `longest` is
    /// the maximum number of time steps of a sample.
    ///
    /// # Errors
    /// The errors of [`Learner::evaluate`]; [`Error::DeviceMemory`].
    pub fn evaluate(
        &self,
        program: Option<&Arc<Program>>,
        network: &Network,
        feed: &Feed,
        (padding, longest): (Padding, usize),
        progress: &Progress,
    ) -> Result<Evaluation> {
        self.with_evaluator(
            (program, network, feed, longest),
            |gpu| gpu.evaluate(network, feed, padding, progress),
            |engine| evaluate(engine, Ranks::solo(), network, (feed, EVALUATION_BATCH), padding, progress),
        )
    }

    /// Returns the logits of all samples of a set. The samples need no labels. The arguments are those of
    /// [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// The errors of [`evaluate`](Self::evaluate), without [`Error::Unlabelled`].
    pub fn logits(
        &self,
        program: Option<&Arc<Program>>,
        network: &Network,
        feed: &Feed,
        (padding, longest): (Padding, usize),
        progress: &Progress,
    ) -> Result<Logits> {
        self.with_evaluator(
            (program, network, feed, longest),
            |gpu| gpu.logits(network, feed, padding, progress),
            |engine| logits(engine, network, feed, padding, progress),
        )
    }

    /// Calls `gpu` with a new GPU evaluator if there is a `program`. Otherwise, calls `host` with a new engine.
    fn with_evaluator<T>(
        &self,
        (program, network, feed, longest): (Option<&Arc<Program>>, &Network, &Feed, usize),
        gpu: impl FnOnce(&mut GpuEvaluator) -> Result<T>,
        host: impl FnOnce(&mut dyn Engine) -> Result<T>,
    ) -> Result<T> {
        match program {
            Some(program) => gpu(&mut GpuEvaluator::new(network, program, longest, feed.loader().set().len())?),
            None => host(&mut *self.host_engine(network)?),
        }
    }

    /// Makes an engine that takes batches from host memory: our kernels on the CPU, or libtorch.
    pub(crate) fn host_engine(&self, network: &Network) -> Result<Box<dyn Engine>> {
        match self.engine {
            EngineChoice::Fused => Ok(cpu_engine(network, self.ranks)),
            EngineChoice::Reference => self.reference(),
        }
    }

    #[cfg(feature = "libtorch")]
    fn reference(&self) -> Result<Box<dyn Engine>> {
        Ok(Box::new(LibtorchEngine::new(self.device.as_ref().map(Device::ordinal))?))
    }

    #[cfg(not(feature = "libtorch"))]
    fn reference(&self) -> Result<Box<dyn Engine>> {
        Err(Error::unavailable("engine reference", "this program is built without libtorch"))
    }
}

/// Makes an engine of our kernels on the CPU, for training on `ranks`.
pub(crate) fn cpu_engine(network: &Network, ranks: Ranks) -> Box<dyn Engine> {
    match network.layers().as_iaf() {
        Some(_) => Box::new(CpuEngine::new(network).with_ranks(ranks)),
        None => Box::new(LayeredEngine::new(network).with_ranks(ranks)),
    }
}
