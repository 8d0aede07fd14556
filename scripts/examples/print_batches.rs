//! Prints the BLAKE3 hash of each batch of an epoch (dense float32 frames, (B, T, P * H * W)) and the batch's labels.
//! tests/python compares these lines with the batches of the Python package.
//!
//! cargo run --release --example print_batches -- SET BATCH_SIZE STEPS SEED EPOCH

use std::path::Path;

use anyhow::{Context, Result};
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::ShardSet;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [set, batch_size, steps, seed, epoch] = &arguments[..] else {
        anyhow::bail!("expected SET BATCH_SIZE STEPS SEED EPOCH")
    };
    let number = |text: &String| text.parse::<u64>().with_context(|| text.clone());
    let (batch_size, steps) = (number(batch_size)? as usize, number(steps)? as usize);
    let order = EpochOrder::Shuffled { seed: number(seed)?, epoch: number(epoch)? };
    let loader = Loader::new(ShardSet::open(Path::new(set))?, CacheChoice::Stream, Verbosity::Quiet)?;
    loader.dense_epoch(order, batch_size, 0, steps, |frames, labels| {
        let mut hash = blake3::Hasher::new();
        frames.iter().for_each(|number| {
            hash.update(&number.to_le_bytes());
        });
        println!("{} {labels:?}", hash.finalize());
        anyhow::Ok(true)
    })
}
