//! Options of the disk cache for sets at URLs.

use std::path::PathBuf;

use clap::Args;
use tonic_base::parse_bytes;
use tonic_remote::Cache;

use crate::set_place::CACHE;

#[derive(Args)]
pub(crate) struct CacheArgs {
    /// Folder in which chunks of sets at URLs are kept, for the next epoch and the next run. Several processes can share
    /// it [default: none]
    #[arg(long, value_name = "DIR")]
    remote_cache: Option<PathBuf>,
    /// Maximum size of the folder of --remote-cache. The sets that were not used for the longest time are removed first
    #[arg(long, value_name = "SIZE", default_value = "50G", value_parser = parse_bytes)]
    remote_cache_limit: u64,
}

impl CacheArgs {
    /// Makes this process read sets at URLs through the cache on disk, if the user has given a folder for it.
    pub(crate) fn choose(&self) {
        if let Some(dir) = self.remote_cache.clone() {
            CACHE.get_or_init(|| Cache { dir, limit: self.remote_cache_limit });
        }
    }
}
