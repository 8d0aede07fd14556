//! Prints the BLAKE3 hash of each batch of an epoch (dense float32 frames, (B, T, P * H * W)) and the batch's labels.
//! tests/python compares these lines with the batches of the Python package.
//!
//! cargo run --release --example print_batches -- SET BATCH_SIZE STEPS SEED EPOCH [AUGMENTATION.toml]

use std::path::Path;

use anyhow::{Context, Result};
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::loader::{Augmentation, CacheChoice, EpochOrder, Loader};
use tonic_toolkit::shard::ShardSet;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ([set, batch_size, steps, seed, epoch] | [set, batch_size, steps, seed, epoch, _]) = &arguments[..] else {
        anyhow::bail!("expected SET BATCH_SIZE STEPS SEED EPOCH [AUGMENTATION.toml]")
    };
    let number = |text: &String| text.parse::<u64>().with_context(|| text.clone());
    let (batch_size, steps) = (number(batch_size)? as usize, number(steps)? as usize);
    let order = EpochOrder::Shuffled { seed: number(seed)?, epoch: number(epoch)? };
    let loader = Loader::new(ShardSet::open(Path::new(set))?, CacheChoice::Stream, Verbosity::Quiet)?;
    let Some(augmentation) = arguments.get(5) else {
        return loader.dense_epoch(order, batch_size, 0, steps, |frames, labels| {
            print(frames.iter().copied(), labels);
            anyhow::Ok(true)
        });
    };
    let shape = loader.set().manifest().description.shape;
    let cells = shape.cells() as usize;
    let loader = loader.augment(Augmentation::read(Path::new(augmentation))?)?;
    loader.epoch(order, batch_size, 0, |batch| {
        let mut dense = vec![0.0_f32; batch.len() * steps * cells];
        for (frames, out) in batch.samples().iter().zip(dense.chunks_mut(steps * cells)) {
            frames.write_dense(shape, out);
        }
        print(dense.into_iter(), &batch.labels);
        anyhow::Ok(true)
    })
}

fn print(frames: impl Iterator<Item = f32>, labels: &[u32]) {
    let mut hash = blake3::Hasher::new();
    frames.for_each(|number| {
        hash.update(&number.to_le_bytes());
    });
    println!("{} {labels:?}", hash.finalize());
}
