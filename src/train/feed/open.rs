//! Opens a set for training or evaluation: chooses a cache and fills it.

use tonic_base::{Progress, Verbosity, free_memory, human_bytes};
use tonic_loader::{Augmentation, CacheChoice, EpochOrder, Loader};
use tonic_shard::ShardSet;

use crate::error::{BaseFault, Error, Result};
use crate::feed::device_cache::{DeviceCache, device_bytes};
use crate::feed::ring::{Ring, staged_epoch};
use crate::gpu::Stream;
use crate::kernel::batch_source::BatchSource;
use crate::kernel::program::Program;

/// A shard set that is open for training or evaluation, streamed from the shards or in a cache.
#[derive(Debug)]
pub struct Feed {
    loader: Loader,
    device_cache: Option<DeviceCache>,
}

impl Feed {
    /// Opens `set` for training or evaluation, and fills the chosen cache. `gpu` has the compiled GPU kernels, or is
    /// `None` on the CPU.
    ///
    /// # Errors
    /// - The errors of [`Feed::choose_cache`].
    /// - [`tonic_base::Error::Corrupt`] if the set is damaged.
    /// - [`Error::Cuda`] if the GPU's driver returns an error.
    pub fn new(set: ShardSet, choice: CacheChoice, gpu: Option<&Program>, verbosity: Verbosity) -> Result<Feed> {
        let chosen = Feed::choose_cache(choice, &set, gpu)?;
        let device_cache = match gpu.filter(|_| chosen.0 == CacheChoice::Device) {
            Some(program) => {
                let progress = Progress::start(verbosity, "load", set.len(), "samples");
                let cache = DeviceCache::load(&set, program.device(), program.column_types(), &progress)?;
                progress.finish();
                Some(cache)
            }
            None => None,
        };
        Ok(Feed { loader: Loader::chosen(set, chosen, verbosity)?, device_cache })
    }

    /// Returns the cache to use for a set, and a message that says why. `choice` is what the user asks for. `gpu`
    /// has the compiled GPU kernels, or is `None` on the CPU.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if the user asks for the device cache without a GPU.
    /// [`tonic_base::Error::Usage`] if the chosen cache is larger than the free memory.
    pub fn choose_cache(choice: CacheChoice, set: &ShardSet, gpu: Option<&Program>) -> Result<(CacheChoice, String)> {
        let (Some(program), CacheChoice::Auto | CacheChoice::Device) = (gpu, choice) else {
            return Ok(choice.resolve(set)?);
        };
        let (needed, free) = (device_bytes(set, program.column_types()), program.device().free_memory()?);
        let (size, there) = (human_bytes(needed), human_bytes(free));
        match choice {
            CacheChoice::Device if needed <= free => Ok((choice, format!("device: {size}, as asked"))),
            CacheChoice::Device => {
                let expected = format!("at most the {there} that are free on the device");
                Err(Error::usage("cache device", expected, size))
            }
            _ if needed <= free / 2 => {
                Ok((CacheChoice::Device, format!("device: its {size} fit into half of the {there} free there")))
            }
            _ => Ok(match choice.resolve(set)? {
                (CacheChoice::Host, _) => {
                    (CacheChoice::Host, format!("host: its {size} exceed half of the {there} free on the device"))
                }
                ahead if set.is_fetched_ahead() => ahead,
                (other, _) => {
                    let here = free_memory().map_or("an unknown amount".into(), human_bytes);
                    (other, format!("stream: half of the memory free, {there} there and {here} here, is less"))
                }
            }),
        }
    }

    /// Sets whether an epoch leaves out a last batch that is smaller than the other batches.
    pub fn drop_last(mut self, drop_last: bool) -> Feed {
        self.loader = self.loader.drop_last(drop_last);
        self
    }

    /// Sets the random changes of the samples in training.
    ///
    /// # Errors
    /// The errors of [`Loader::augment`].
    pub fn augment(mut self, augmentation: Augmentation) -> Result<Feed> {
        self.loader = self.loader.augment(augmentation)?;
        Ok(self)
    }

    /// Returns the loader, which reads the samples from the shards or from the host cache.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Returns the device cache, or `None` if the set is not in GPU memory.
    pub(crate) fn device_cache(&self) -> Option<&DeviceCache> {
        self.device_cache.as_ref()
    }

    /// Locks the pages of streamed shards in memory (`mlock`). Returns the number of locked bytes, or 0 if the set is
    /// in a cache.
    ///
    /// # Errors
    /// [`tonic_base::Error::Unavailable`] if the limit on locked memory is too low.
    pub fn pin(&self) -> Result<u64> {
        if self.device_cache.is_some() { Ok(0) } else { Ok(self.loader.pin()?) }
    }

    /// Calls `each` with the source of every batch of an epoch, from batch `first` (counted from 0) on, until `each`
    /// returns false. `each` must queue its work on `stream`. If the set is not in the device cache, `ring` copies
    /// the batches to the GPU.
    ///
    /// # Errors
    /// - The errors of loading the batches, and of `each`.
    /// - [`Error::Cuda`] if the GPU's driver returns an error.
    pub fn on_gpu(
        &self,
        ring: &mut Ring,
        stream: &Stream,
        (order, batch_size, first): (EpochOrder, usize, u64),
        mut each: impl FnMut(BatchSource) -> Result<bool>,
    ) -> Result<()> {
        let loader = &self.loader;
        let Some(cache) = &self.device_cache else {
            return staged_epoch(loader, ring, stream, (order, batch_size, first), each);
        };
        cache.begin_epoch(stream, loader.set(), order, loader.samples(batch_size))?;
        for _ in first..loader.batches(batch_size) {
            if !each(cache.source())? {
                break;
            }
        }
        Ok(())
    }
}
