//! What learns: a network and its optimiser, on the CPU or on a GPU. Epochs, evaluations and the state that a checkpoint
//! holds are the same for both.

mod device;
mod evaluator;

use std::sync::Arc;

pub use device::DeviceLearner;
pub use evaluator::DeviceEvaluator;

use super::config::EngineChoice;
use super::eval::{Evaluation, Feed, evaluate};
use super::kernel::adam::Adam;
use super::kernel::cuda::{Device, load_libtorch_cuda};
use super::kernel::program::{Form, MatmulPrecision, Program};
use super::loader::{Batch, EpochOrder, Loader};
use super::snn::{BatchLoss, Engine, Network, Parameters};
use crate::error::{Error, Result};
use crate::frames::FrameShape;
use crate::interrupt;
use crate::progress::Progress;
use crate::shard::ShardSet;

/// What computes.
#[derive(Clone, Debug)]
pub enum Backend {
    /// The kernels or libtorch, on the CPU.
    Cpu,
    /// libtorch, on a GPU of this number.
    Libtorch(usize),
    /// The kernels, on the GPU that the program is loaded on.
    Gpu(Arc<Program>),
}

impl Backend {
    /// For training and evaluating on sets of one recipe, samples running for up to `longest` steps.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where libtorch has no CUDA part, or NVRTC is missing; [`Error::Cuda`].
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

    /// For samples whose columns have a form.
    ///
    /// # Errors
    /// Those of [`Backend::new`].
    pub fn of_form(
        device: Option<&Device>,
        engine: EngineChoice,
        precision: MatmulPrecision,
        form: Form,
    ) -> Result<Backend> {
        let Some(device) = device else {
            return match precision {
                MatmulPrecision::Highest => Ok(Backend::Cpu),
                _ => {
                    let why = "the CPU computes in float32; it is a choice for the kernels of a GPU".into();
                    Err(Error::Unavailable { what: "--matmul-precision".into(), why })
                }
            };
        };
        if engine == EngineChoice::Reference {
            load_libtorch_cuda()?;
            let (seen, ordinal) = (tch::Cuda::device_count(), device.ordinal());
            if usize::try_from(seen).is_ok_and(|seen| ordinal < seen) {
                return Ok(Backend::Libtorch(ordinal));
            }
            let why = format!("libtorch's CUDA part can use {seen} GPUs with the driver of this machine");
            return Err(Error::Unavailable { what: format!("--engine reference on cuda:{ordinal}"), why });
        }
        Ok(Backend::Gpu(Arc::new(Program::new(device, form, precision)?)))
    }

    /// The program that loaders prepare samples for, if any.
    pub fn program(&self) -> Option<&Arc<Program>> {
        if let Backend::Gpu(program) = self { Some(program) } else { None }
    }

    /// Evaluates a network on all samples of a set, each running for up to `longest` steps.
    ///
    /// # Errors
    /// Those of [`evaluate`], [`Error::DeviceMemory`], [`Error::Cuda`].
    pub fn evaluate(
        &self,
        engine: EngineChoice,
        network: &Network,
        loader: &Loader,
        feed: Feed,
        longest: usize,
        progress: &Progress,
    ) -> Result<Evaluation> {
        match self {
            Backend::Gpu(program) => {
                let mut evaluator = DeviceEvaluator::new(network, program, longest, loader.set().len())?;
                evaluator.evaluate(network, loader, feed, progress)
            }
            _ => evaluate(&mut engine.engine(network, self.libtorch()), network, loader, feed, progress),
        }
    }

    /// Where libtorch computes.
    fn libtorch(&self) -> tch::Device {
        if let Backend::Libtorch(ordinal) = self { tch::Device::Cuda(*ordinal) } else { tch::Device::Cpu }
    }
}

/// The longest that samples of sets run, which are asked to run for `steps` steps.
pub fn longest_steps(steps: usize, sets: &[&ShardSet]) -> usize {
    let frames = sets.iter().map(|set| set.manifest().totals.max_frames as usize);
    frames.chain([steps]).max().unwrap_or(steps)
}

/// A network in training.
#[derive(Debug)]
pub enum Learner {
    /// On the CPU, or in libtorch's hands.
    Host(Box<HostLearner>),
    /// On a GPU, in our kernels'.
    Device(Box<DeviceLearner>),
}

/// What is to be trained on: the batches of an epoch from number `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Of its samples.
    pub order: EpochOrder,
    /// Samples a batch.
    pub batch_size: usize,
    /// Batches that are done.
    pub first: u64,
    /// What samples are padded to.
    pub feed: Feed,
}

/// What a learner on a GPU makes room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Samples of a batch.
    pub batch: usize,
    /// Steps of the longest sample of all sets.
    pub longest: usize,
    /// Batches of an epoch.
    pub batches: u64,
    /// Samples of the largest set that is evaluated.
    pub evaluated: u64,
}

/// A network, its engine and its optimiser in the host's memory.
#[derive(Debug)]
pub struct HostLearner {
    network: Network,
    adam: Adam,
    engine: Engine,
    gradients: Parameters,
}

impl Learner {
    /// Of a network and the state of its optimiser.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`], [`Error::Cuda`].
    pub fn new(backend: &Backend, engine: EngineChoice, network: Network, adam: Adam, room: Room) -> Result<Learner> {
        if let Backend::Gpu(program) = backend {
            return Ok(Learner::Device(Box::new(DeviceLearner::new(network, adam, program, room)?)));
        }
        let gradients = Parameters::zeros(network.shape().clone());
        let engine = engine.engine(&network, backend.libtorch());
        Ok(Learner::Host(Box::new(HostLearner { network, adam, engine, gradients })))
    }

    /// The network, as of the last [`sync`](Self::sync).
    pub fn network(&self) -> &Network {
        match self {
            Learner::Host(learner) => &learner.network,
            Learner::Device(learner) => learner.network(),
        }
    }

    /// The optimiser, as of the last [`sync`](Self::sync).
    pub fn adam(&self) -> &Adam {
        match self {
            Learner::Host(learner) => &learner.adam,
            Learner::Device(learner) => learner.adam(),
        }
    }

    /// Brings network and optimiser up to where training is.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    pub fn sync(&mut self) -> Result<()> {
        match self {
            Learner::Host(_) => Ok(()),
            Learner::Device(learner) => learner.sync(),
        }
    }

    /// Back to a network and the state of its optimiser.
    ///
    /// # Errors
    /// [`Error::Cuda`].
    ///
    /// # Panics
    /// If the network is of another shape.
    pub fn restart(&mut self, network: &Network, adam: &Adam) -> Result<()> {
        match self {
            Learner::Host(learner) => {
                learner.network.clone_from(network);
                learner.adam.clone_from(adam);
                Ok(())
            }
            Learner::Device(learner) => learner.restart(network, adam),
        }
    }

    /// Trains on an epoch's batches and tells of each, until they end or an interruption is asked for.
    ///
    /// # Errors
    /// Those of loading; [`Error::Kernel`] for a loss that is not finite, before whose batch
    /// training has stopped; [`Error::Cuda`].
    pub fn train(&mut self, loader: &Loader, epoch: &Epoch, mut each: impl FnMut(&BatchLoss, usize)) -> Result<()> {
        match self {
            Learner::Device(learner) => learner.train(loader, epoch, &mut each),
            Learner::Host(learner) => loader.epoch(epoch.order, epoch.batch_size, epoch.first, |batch| {
                each(&learner.step(batch, epoch.feed)?, batch.len());
                Ok(!interrupt::requested())
            }),
        }
    }

    /// One step of training on a batch that the host has; none where training is on a GPU, which has its batches there.
    ///
    /// # Errors
    /// [`Error::Kernel`].
    pub fn step(&mut self, batch: &Batch, feed: Feed) -> Result<Option<BatchLoss>> {
        match self {
            Learner::Host(learner) => learner.step(batch, feed).map(Some),
            Learner::Device(_) => Ok(None),
        }
    }

    /// Evaluates the network on all samples of a set.
    ///
    /// # Errors
    /// Those of [`evaluate`], [`Error::Cuda`].
    pub fn evaluate(&mut self, loader: &Loader, feed: Feed, progress: &Progress) -> Result<Evaluation> {
        match self {
            Learner::Host(learner) => evaluate(&mut learner.engine, &learner.network, loader, feed, progress),
            Learner::Device(learner) => learner.evaluate(loader, feed, progress),
        }
    }

    /// Something about the training so far that one should know, once.
    pub fn remark(&mut self) -> Option<String> {
        match self {
            Learner::Host(_) => None,
            Learner::Device(learner) => learner.remark(),
        }
    }
}

impl HostLearner {
    fn step(&mut self, batch: &Batch, feed: Feed) -> Result<BatchLoss> {
        let HostLearner { network, adam, engine, gradients } = self;
        let loss = engine.step(network, &batch.samples(), &batch.labels, feed.steps(batch.longest()), gradients)?;
        adam.update(network.parameters.flat_mut(), gradients.flat());
        Ok(loss)
    }
}
