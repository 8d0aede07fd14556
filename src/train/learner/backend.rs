//! The one place where CPU, GPU or libtorch is chosen.

use std::sync::Arc;

use tonic_base::{Progress, Verbosity};
use tonic_loader::CacheChoice;
use tonic_shard::{FrameShape, ShardSet};

#[cfg(feature = "libtorch")]
use crate::engine::LibtorchEngine;
use crate::engine::{CpuEngine, Engine, EngineChoice};
use crate::error::{BaseFault, Error, Result};
use crate::feed::Feed;
use crate::gpu::Device;
use crate::kernel::adam::Adam;
use crate::kernel::program::{Form, MatmulPrecision, Program};
use crate::learner::epoch::{Learner, Room};
use crate::learner::evaluation::Evaluation;
use crate::learner::gpu::GpuLearner;
use crate::learner::gpu_evaluator::GpuEvaluator;
use crate::learner::host::{HostLearner, evaluate};
use crate::learner::padding::Padding;
use crate::network::Network;

/// The CPU or GPU that computes steps, epochs and evaluations. All engines, learners and feeds are made by it.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Our kernels on the CPU.
    Cpu,
    /// Our kernels on the GPU that the program is loaded on.
    Gpu(Arc<Program>),
    /// libtorch, on the CPU or on a GPU.
    #[cfg(feature = "libtorch")]
    Libtorch {
        /// Number of the GPU; none for the CPU.
        gpu: Option<usize>,
    },
}

impl Backend {
    /// The backend for sets of one recipe, whose samples run for up to `longest` steps.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] where libtorch or NVRTC is missing, or a precision does not apply;
    /// [`Error::Cuda`].
    pub fn new(
        device: Option<&Device>,
        engine: EngineChoice,
        precision: MatmulPrecision,
        sets: &[&ShardSet],
        longest: usize,
    ) -> Result<Backend> {
        let descriptions = sets.iter().map(|set| &set.manifest().description);
        let shape = descriptions.clone().map(|of| of.shape).next();
        let shape = shape.unwrap_or(FrameShape { polarities: 1, height: 1, width: 1 });
        Backend::of_form(device, engine, precision, Form::of(shape, longest, descriptions.map(|of| of.widths.counts)))
    }

    /// Makes the backend for samples whose columns have the form `form`.
    ///
    /// # Errors
    /// Errors of [`Backend::new`].
    pub(crate) fn of_form(
        device: Option<&Device>,
        engine: EngineChoice,
        precision: MatmulPrecision,
        form: Form,
    ) -> Result<Backend> {
        if device.is_none() && precision != MatmulPrecision::Highest {
            let why = "the CPU computes in float32; it is a choice for the kernels of a GPU";
            return Err(Error::unavailable("matmul_precision", why));
        }
        match (engine, device) {
            (EngineChoice::Fused, None) => Ok(Backend::Cpu),
            (EngineChoice::Fused, Some(device)) => Ok(Backend::Gpu(Arc::new(Program::new(device, form, precision)?))),
            (EngineChoice::Reference, device) => reference(device.map(Device::ordinal)),
        }
    }

    /// The program whose kernels run on a GPU, if this is one.
    pub fn program(&self) -> Option<&Arc<Program>> {
        if let Backend::Gpu(program) = self { Some(program) } else { None }
    }

    /// Opens a set for training or evaluation.
    ///
    /// # Errors
    /// Errors of [`Feed::new`].
    pub fn feed(&self, set: ShardSet, cache: CacheChoice, verbosity: Verbosity) -> Result<Feed> {
        Feed::new(set, cache, self.program().map(AsRef::as_ref), verbosity)
    }

    /// Makes a learner from a network and the state of its optimiser.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`], [`Error::Cuda`], [`tonic_base::Error::Unavailable`].
    pub fn learner(&self, network: Network, adam: Adam, room: Room) -> Result<Box<dyn Learner>> {
        Ok(match self {
            Backend::Gpu(program) => Box::new(GpuLearner::new(network, adam, program, room)?),
            _ => Box::new(HostLearner::new(self.host_engine(&network)?, network, adam)),
        })
    }

    /// Evaluates a network on all samples of a set, each running for up to `longest` steps.
    ///
    /// # Errors
    /// Errors of [`Learner::evaluate`], [`Error::DeviceMemory`].
    pub fn evaluate(
        &self,
        network: &Network,
        feed: &Feed,
        padding: Padding,
        longest: usize,
        progress: &Progress,
    ) -> Result<Evaluation> {
        match self {
            Backend::Gpu(program) => {
                let samples = feed.loader().set().len();
                let mut evaluator = GpuEvaluator::new(network, program, longest, samples)?;
                evaluator.evaluate(network, feed, padding, progress)
            }
            _ => evaluate(&mut *self.host_engine(network)?, network, feed, padding, progress),
        }
    }

    /// Makes an engine that takes its batches from host memory.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] where libtorch has no CUDA part.
    pub(crate) fn host_engine(&self, network: &Network) -> Result<Box<dyn Engine>> {
        Ok(match self {
            #[cfg(feature = "libtorch")]
            Backend::Libtorch { gpu } => Box::new(LibtorchEngine::new(*gpu)?),
            _ => Box::new(CpuEngine::new(network)),
        })
    }
}

#[cfg(feature = "libtorch")]
fn reference(gpu: Option<usize>) -> Result<Backend> {
    LibtorchEngine::new(gpu)?; // says early what is missing
    Ok(Backend::Libtorch { gpu })
}

#[cfg(not(feature = "libtorch"))]
fn reference(_gpu: Option<usize>) -> Result<Backend> {
    let why =
        "this program is built without libtorch: scripts/setup --libtorch && cargo build --release --features libtorch";
    Err(Error::unavailable("engine reference", why))
}
