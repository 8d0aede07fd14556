//! Decodes a file of an event camera into columns. Prints the number of events and the seconds that each repeat took.
//!
//! ```sh
//! cargo run --release --example decode_camera -- recording.raw 5    # five times
//! ```

use std::path::PathBuf;
use std::time::Instant;

use tonic_toolkit::prep::{SourceOptions, decode_camera};

fn main() -> anyhow::Result<()> {
    let mut words = std::env::args_os().skip(1);
    let Some(path) = words.next().map(PathBuf::from) else { anyhow::bail!("usage: decode_camera FILE [REPEATS]") };
    let repeats: usize = words.next().map_or(Ok(1), |word| word.to_string_lossy().parse())?;
    let (mut seconds, mut sum) = (Vec::new(), (0, 0));
    for _ in 0..repeats {
        let start = Instant::now();
        let events = decode_camera(&path, &SourceOptions::default())?;
        seconds.push(start.elapsed().as_secs_f64());
        // The sum of all coordinates shows whether another reader found the same events.
        sum = (events.len(), events.x.iter().chain(&events.y).map(|&n| u64::from(n)).sum());
    }
    println!("{}", serde_json::json!({"events": sum.0, "sum": sum.1, "seconds": seconds}));
    Ok(())
}
