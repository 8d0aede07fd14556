//! The sums of a training step over several ranks. Each rank has a GPU and a part of the batch. The sums pass through
//! host memory.
//!
//! ```text
//! norm       sums over the samples, before the statistics of the batch and before the gradients of the norm's input
//! gradients  of all weights, and of the other parameters of layers without a norm. In a layer with a norm, each rank
//!            computes the gradients of the other parameters from the sums of the norm
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic_ranks::Ranks;

use crate::error::Result;
use crate::gpu::{Address, Buffer, Device, Pinned, Stream};
use crate::kernel::program::{GRADIENT_TOTALS, NORM_TOTALS};
use crate::network::Architecture;

/// Maximum number of sums for each channel of a layer.
const MOST_TOTALS: usize = if GRADIENT_TOTALS > NORM_TOTALS { GRADIENT_TOTALS } else { NORM_TOTALS };

#[derive(Debug)]
pub(super) struct AcrossRanks {
    ranks: Ranks,
    /// Number of samples in the batch of all ranks, and the sum of these samples' weights in the loss.
    pub(super) whole: [f64; 2],
    /// Sums of one layer, (sums, width), on the GPU and in host memory.
    totals: Buffer<f64>,
    host_totals: Mutex<Pinned<f64>>,
    /// Parameters whose gradients are sums over this rank's samples only.
    partial: Vec<Range<usize>>,
    /// Nanoseconds that the sums have taken, without waits for other ranks.
    took: AtomicU64,
}

/// The sums of a layer for the arguments of a kernel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Null if this process has the whole batch.
    pub(super) address: Address<f64>,
    /// Whether `address` has the sums of all ranks. Otherwise, the kernel writes the sums of this rank there.
    pub(super) are_whole: bool,
}

impl AcrossRanks {
    /// `widest` is the width of the widest layer, or 0 if no layer can have a norm.
    pub(super) fn new(
        device: &Device,
        ranks: Ranks,
        architecture: &Architecture,
        widest: usize,
    ) -> Result<AcrossRanks> {
        let layers = &architecture.layers;
        let has_norm = |i: usize| layers.hidden.get(i).map_or(layers.readout.norm, |layer| layer.norm).is_some();
        let tensors = architecture.tensors().iter();
        let partial = tensors.filter(|tensor| tensor.is_weight() || !has_norm(tensor.layer));
        Ok(AcrossRanks {
            ranks,
            whole: [0.0; 2],
            totals: device.buffer(MOST_TOTALS * widest)?,
            host_totals: Mutex::new(device.pinned(MOST_TOTALS * widest)?),
            partial: partial.map(|tensor| tensor.range.clone()).collect(),
            took: AtomicU64::new(0),
        })
    }

    /// How long the sums have taken so far, with the copies to and from the GPU and without waits for other ranks.
    pub(super) fn took(&self) -> Duration {
        Duration::from_nanos(self.took.load(Ordering::Relaxed))
    }

    /// Calls `launch` twice. `launch` queues a kernel that needs `len` sums over the samples of the batch. The first
    /// launch writes the sums of this rank. All ranks then add up their sums, and the second launch uses the result.
    pub(super) fn launch_twice(
        &self,
        stream: &Stream,
        len: usize,
        launch: impl Fn(Totals) -> Result<()>,
    ) -> Result<()> {
        let address = self.totals.address();
        launch(Totals { address, are_whole: false })?;
        self.timed(stream, || self.add_totals(stream, len))?;
        launch(Totals { address, are_whole: true })
    }

    /// Adds up the gradients of all ranks in `to`. `own` has the gradients of this rank, which are copied through
    /// `host`. `is_empty` says whether this rank had no samples.
    pub(super) fn add_gradients(
        &self,
        stream: &Stream,
        (own, host): (&Buffer<f32>, &mut Pinned<f32>),
        to: &mut [f32],
        is_empty: bool,
    ) -> Result<()> {
        self.timed(stream, || {
            stream.download(own, 0..own.len(), host, 0)?;
            self.fold(&host.as_slice()?[..own.len()], to, is_empty);
            Ok(())
        })
    }

    /// Waits for the GPU and calls `exchange`. Adds the time of `exchange`, without waits for other ranks, to `took`.
    fn timed(&self, stream: &Stream, exchange: impl FnOnce() -> Result<()>) -> Result<()> {
        stream.synchronize()?;
        let (begun, waited) = (Instant::now(), self.ranks.traffic().waited);
        exchange()?;
        let took = begun.elapsed().saturating_sub(self.ranks.traffic().waited - waited);
        self.took.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn add_totals(&self, stream: &Stream, len: usize) -> Result<()> {
        let mut host = self.host_totals.lock().unwrap_or_else(PoisonError::into_inner);
        stream.download(&self.totals, 0..len, &mut host, 0)?;
        let own = &mut host.as_mut_slice()?[..len];
        let mut all = vec![0.0; len];
        self.ranks.fold_all(&mut all, |all| all.iter_mut().zip(&*own).for_each(|(sum, own)| *sum += own));
        own.copy_from_slice(&all);
        stream.upload(&self.totals, 0, &host, 0..len)
    }

    /// Adds up the gradients of all ranks in `sums`. `own` has those of this rank. Gradients outside `partial` are
    /// equal on all ranks that have samples. They are taken from rank 0, which has samples of every batch.
    fn fold(&self, own: &[f32], sums: &mut [f32], is_empty: bool) {
        self.ranks.fold(sums, |segment, sums| {
            if self.ranks.is_root() {
                sums.copy_from_slice(&own[segment]);
                return;
            }
            for partial in self.partial.iter().filter(|_| !is_empty) {
                let (start, end) = (partial.start.max(segment.start), partial.end.min(segment.end));
                if start < end {
                    let sums = &mut sums[start - segment.start..end - segment.start];
                    sums.iter_mut().zip(&own[start..end]).for_each(|(sum, own)| *sum += own);
                }
            }
        });
    }
}
