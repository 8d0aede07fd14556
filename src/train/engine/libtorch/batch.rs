//! A batch as dense tensors.

use tch::{Device, Kind, Tensor};
use tonic_loader::Batch;

use crate::error::KernelError;
use crate::kernel::ActiveCells;
use crate::network::Network;

pub(super) struct DenseBatch {
    pub(super) device: Device,
    /// Type of all numbers.
    pub(super) kind: Kind,
    /// Input counts, (time steps, batch, inputs). All samples are padded to the same number of time steps.
    pub(super) counts: Tensor,
    /// 1 while a sample runs and 0 after its last time step, (time steps, batch, 1).
    pub(super) alive: Tensor,
    /// Keys from which the samples' random numbers are drawn.
    pub(super) keys: Vec<u64>,
}

impl DenseBatch {
    pub(super) fn new(
        network: &Network,
        (device, kind): (Device, Kind),
        batch: &Batch,
        steps: usize,
    ) -> Result<DenseBatch, KernelError> {
        let inputs = network.shape().inputs;
        let (samples, longest) = (batch.frames.len(), batch.longest().max(steps));
        let mut counts = vec![0.0f32; longest * samples * inputs];
        let mut alive = vec![0.0f32; longest * samples];
        let mut active = ActiveCells::default();
        for (i, sample) in batch.frames.samples().enumerate() {
            active.set_frames(sample, inputs, steps, i)?;
            for t in 0..active.steps() {
                let row = t * samples + i;
                alive[row] = 1.0;
                for &(cell, count) in active.step(t) {
                    counts[row * inputs + cell as usize] += count;
                }
            }
        }
        let (t, b, c) = (longest as i64, samples as i64, inputs as i64);
        Ok(DenseBatch {
            device,
            kind,
            counts: Tensor::from_slice(&counts).reshape([t, b, c]).to_device(device).to_kind(kind),
            alive: Tensor::from_slice(&alive).reshape([t, b, 1]).to_device(device).to_kind(kind),
            keys: batch.keys.clone(),
        })
    }

    /// Returns a tensor of these values.
    pub(super) fn tensor(&self, values: &[f32]) -> Tensor {
        Tensor::from_slice(values).to_device(self.device).to_kind(self.kind)
    }

    pub(super) fn steps(&self) -> i64 {
        self.counts.size()[0]
    }
}
