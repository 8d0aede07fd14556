//! The spiking network, and the two engines that compute its loss and gradients.
//!
//! [`network`] holds sizes and parameters, [`init`] draws them, [`surrogate`] stands for the derivative of a spike.
//! [`Engine::fused`] is the kernels' way, [`Engine::reference`] (`reference.rs`) the same network in libtorch's autograd, to which the
//! kernels are held. On a GPU, [`device`] has the buffers and launches of a step, and [`DeviceEngine`] the same interface.
//!
//! ```
//! use rand::SeedableRng;
//! use rand_chacha::ChaCha8Rng;
//! use tonic_toolkit::frames::{Column, FrameShape, SparseFrames, Width, Widths};
//! use tonic_toolkit::train::kernel::adam::{Adam, AdamConfig};
//! use tonic_toolkit::train::snn::{Engine, Iaf, Network, Parameters, Shape};
//!
//! let mut frames = SparseFrames::new(Widths::of(FrameShape { polarities: 1, height: 1, width: 4 }, Width::U8));
//! frames.push(&[1, 0, 2], &[3, 0, 1], Column::U32(&[7, 1, 2])).unwrap();
//! let batch: Vec<_> = frames.samples().collect();
//!
//! let shape = Shape { inputs: 4, hidden: vec![8, 8], classes: 2 };
//! let mut network = Network::new(shape.clone(), Iaf::default(), &mut ChaCha8Rng::seed_from_u64(1));
//! let mut gradients = Parameters::zeros(shape);
//! let mut adam = Adam::new(AdamConfig::default(), gradients.flat().len());
//! let mut engine = Engine::fused(&network);
//! let before = engine.step(&network, &batch, &[1], 3, &mut gradients)?.loss;
//! adam.update(network.parameters.flat_mut(), gradients.flat());
//! assert!(engine.step(&network, &batch, &[1], 3, &mut gradients)?.loss < before);
//! # Ok::<(), tonic_toolkit::train::kernel::KernelError>(())
//! ```

pub mod device;
mod fused;
pub mod init;
pub mod network;
mod reference;
mod staged;
pub mod surrogate;

use fused::Workspace;
pub use fused::hidden_spikes;
pub use network::{Iaf, Network, Parameters, Shape};
pub use staged::DeviceEngine;
pub use surrogate::SingleExponential;

use crate::frames::SampleFrames;
use crate::train::kernel::{KernelError, loss};

/// What computes loss and gradients. Buffers are kept from one batch to the next.
#[derive(Debug)]
pub struct Engine {
    way: Way,
    /// (batch, classes) of the last batch.
    logits: Vec<f32>,
}

#[derive(Debug)]
enum Way {
    Fused(Box<Workspace>),
    Reference(tch::Device),
}

/// How well a batch was classified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchLoss {
    /// Mean cross entropy of the batch.
    pub loss: f64,
    /// Samples whose largest logit is that of their label.
    pub correct: usize,
}

impl Engine {
    /// The kernels, for networks of this one's shape.
    pub fn fused(network: &Network) -> Engine {
        Engine { way: Way::Fused(Box::new(Workspace::new(network))), logits: Vec::new() }
    }

    /// libtorch's autograd, step by step: slow, and what the kernels are checked against.
    pub fn reference(device: tch::Device) -> Engine {
        Engine { way: Way::Reference(device), logits: Vec::new() }
    }

    /// The mean loss of a batch, and into `gradients` its gradient by every parameter.
    ///
    /// Each sample runs for `steps` steps, of which those beyond its frames have no input, or for all its frames if
    /// it has more. The weights are not touched: give `gradients` to [`Adam`](crate::train::kernel::adam::Adam).
    ///
    /// # Errors
    /// A batch that does not fit the network, or a loss that is not finite; `gradients` is then of no use.
    ///
    /// # Panics
    /// If the shapes of `network`, `gradients` and the engine differ.
    pub fn step(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
        gradients: &mut Parameters,
    ) -> Result<BatchLoss, KernelError> {
        assert_eq!(network.shape(), gradients.shape(), "shape of the gradients");
        let classes = network.shape().classes;
        check_labels(batch.len(), labels, classes)?;
        self.logits.resize(batch.len() * classes, 0.0);
        let result = match &mut self.way {
            Way::Fused(workspace) => workspace.step(network, batch, labels, steps, &mut self.logits, gradients)?,
            Way::Reference(device) => {
                reference::step(network, *device, batch, labels, steps, &mut self.logits, gradients)?
            }
        };
        finite(result)
    }

    /// The logits of a batch, (batch, classes): the readout summed over time.
    ///
    /// # Errors
    /// A sample that does not fit the network.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    pub fn forward(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        steps: usize,
    ) -> Result<&[f32], KernelError> {
        self.logits.resize(batch.len() * network.shape().classes, 0.0);
        match &mut self.way {
            Way::Fused(workspace) => workspace.forward(network, batch, steps, &mut self.logits)?,
            Way::Reference(device) => reference::forward(network, *device, batch, steps, &mut self.logits)?,
        }
        Ok(&self.logits)
    }

    /// How well a batch is classified, without gradients; [`logits`](Self::logits) has the rest.
    ///
    /// # Errors
    /// A batch that does not fit the network, or a loss that is not finite.
    ///
    /// # Panics
    /// If the shapes of `network` and the engine differ.
    pub fn evaluate(
        &mut self,
        network: &Network,
        batch: &[SampleFrames<'_>],
        labels: &[u32],
        steps: usize,
    ) -> Result<BatchLoss, KernelError> {
        let classes = network.shape().classes;
        check_labels(batch.len(), labels, classes)?;
        self.forward(network, batch, steps)?;
        let mut unused = vec![0.0; classes];
        let (mut total, mut correct) = (0.0, 0);
        for (logits, &label) in self.logits.chunks_exact(classes).zip(labels) {
            total += loss::cross_entropy(logits, label as usize, 1.0, &mut unused);
            correct += usize::from(loss::predicted(logits) == label as usize);
        }
        finite(BatchLoss { loss: total / batch.len() as f64, correct })
    }

    /// The logits of the last batch, (batch, classes).
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }
}

fn check_labels(samples: usize, labels: &[u32], classes: usize) -> Result<(), KernelError> {
    if labels.len() != samples {
        return Err(KernelError::LabelsMissing { samples, labels: labels.len() });
    }
    if samples == 0 {
        return Err(KernelError::EmptyBatch);
    }
    match labels.iter().position(|&label| label as usize >= classes) {
        Some(sample) => Err(KernelError::LabelOutsideReadout { sample, label: labels[sample], classes }),
        None => Ok(()),
    }
}

fn finite(result: BatchLoss) -> Result<BatchLoss, KernelError> {
    if result.loss.is_finite() { Ok(result) } else { Err(KernelError::NonFiniteLoss { loss: result.loss }) }
}
