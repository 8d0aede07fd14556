//! Reads a shard set, and prints what the set holds, the number of samples of each class, and one sample.
//!
//! ```sh
//! cargo run --release --example read_set -- tests/data/v2
//! ```

use std::path::PathBuf;

use tonic_toolkit::base::{printable, printable_lines};
use tonic_toolkit::shard::{SampleReader, ShardSet};

fn main() -> anyhow::Result<()> {
    let dir = PathBuf::from(std::env::args_os().nth(1).unwrap_or("tests/data/v2".into()));

    // Opening checks the manifest and the head of every shard. A set that is not complete is an error.
    let set = ShardSet::open(&dir)?;
    let description = &set.manifest().description;
    println!("{}: {} samples, frames (P, H, W) = {}", dir.display(), set.len(), description.shape);
    println!("recipe:\n{}", printable_lines(description.recipe.trim()));

    // A chunk is verified and decoded once for all its samples, so ask for samples in ascending order.
    let mut reader = SampleReader::new(&set);
    let mut classes = vec![(0_u64, 0_u64); description.classes.len()];
    for number in 0..set.len() {
        let (chunk, i) = reader.sample(number)?;
        // A sample without a label has a number beyond all classes.
        if let Some((samples, events)) = classes.get_mut(chunk.table.labels[i] as usize) {
            *samples += 1;
            *events += chunk.table.ledgers[i].binned;
        }
    }
    for (name, (samples, events)) in description.classes.iter().zip(classes) {
        let name = printable(name); // a name is from a file, and may hold control characters
        println!("{name:>16}: {samples:>6} samples, {:>8} events per sample", events / samples.max(1));
    }

    // A sample is a list of occupied cells, frame by frame; here are the events of each frame.
    let (chunk, i) = reader.sample(0)?;
    let sample = chunk.frames.sample(i);
    let mut events = vec![0.0; sample.frames()];
    for (frame, _cell, count) in sample.iter() {
        events[frame] += count;
    }
    let most = events.iter().copied().fold(1.0, f64::max);
    println!("events in each frame of sample 0:");
    for (frame, n) in events.iter().enumerate().step_by(10) {
        println!("{frame:>5} {}", "#".repeat((60.0 * n / most).round() as usize));
    }
    Ok(())
}
