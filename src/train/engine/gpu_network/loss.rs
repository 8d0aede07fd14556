//! The loss of training on a GPU: its settings, and the penalty for spike rates.

use crate::engine::gpu_network::buffers::{Loss, Penalty};
use crate::engine::gpu_network::network::GpuNetwork;
use crate::engine::training_loss::{SpikeRate, TrainingLoss};
use crate::error::Result;
use crate::gpu::{Address, Buffer, Stream};
use crate::kernel::layer_interface::RateArgs;

impl GpuNetwork {
    /// Sets the loss for steps that are queued or recorded later.
    ///
    /// # Errors
    /// [`Error::DeviceMemory`](crate::Error::DeviceMemory), [`Error::Cuda`](crate::Error::Cuda).
    pub(crate) fn set_loss(&mut self, loss: &TrainingLoss) -> Result<()> {
        let (device, batch) = (self.program.device(), self.extent.batch);
        let weights = loss.class_weights.as_deref().unwrap_or_default();
        self.readout.class_weights = device.buffer_from(weights)?;
        self.readout.smoothed = device.buffer(if loss.label_smoothing > 0.0 { batch } else { 0 })?;
        let all = weights.iter().map(|&weight| f64::from(weight)).sum();
        let penalty = |rate: SpikeRate| {
            let rates = self.counted.iter().map(|counted| device.buffer(counted.spikes.len()));
            let penalties = device.buffer(self.counted.len() * batch)?;
            Ok::<_, crate::Error>(Penalty { rate, rates: rates.collect::<Result<_>>()?, penalties })
        };
        let penalty = loss.spike_rate.map(penalty).transpose()?;
        let weight_sum = if weights.is_empty() { self.shape.classes as f64 } else { all };
        self.loss = Loss { smoothing: loss.label_smoothing, weight_sum, penalty };
        Ok(())
    }

    /// Queues the kernels that compute the penalty for the spike rates of all hidden layers, if the loss has this
    /// penalty. The spikes must have been counted before.
    pub(super) fn penalise(&self, stream: &Stream) -> Result<()> {
        let Some(Penalty { rate: SpikeRate { bounds: [least, most], weight }, rates, penalties }) = &self.loss.penalty
        else {
            return Ok(());
        };
        let batch = self.extent.batch;
        for (i, (counted, rates)) in self.counted.iter().zip(rates).enumerate() {
            let args = RateArgs {
                state: self.state.address(),
                drawn: self.drawn.address(),
                counted: counted.spikes.address(),
                rates: rates.address(),
                penalties: penalties.at(i * batch),
                least: *least,
                most: *most,
                weight: *weight,
                whole_samples: self.whole()[0],
                width: (rates.len() / batch) as u32,
                neurons: self.shape.hidden[i] as u32,
            };
            self.program.spike_rates.launch(stream, [batch, 1], &args)?;
        }
        Ok(())
    }

    /// Returns the gradient of the penalty for the spikes of hidden layer `i`, or null without a
    /// penalty.
    pub(super) fn rates(&self, i: usize) -> Address<f32> {
        let rates = self.loss.penalty.as_ref().and_then(|penalty| penalty.rates.get(i));
        rates.map_or(Address::null(), Buffer::address)
    }
}
