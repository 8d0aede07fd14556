//! Lists the samples of a set, or its shards and chunks.

use std::io::Write;
use std::ops::Range;

use serde_json::{Map, Value, json};
use tonic_base::{printable, printable_json};
use tonic_shard::{Chunk, FLAG_EMPTY, FLAG_OVERLAP, FLAG_SORTED, Id, SampleReader, SetDescription, ShardSet};

use crate::error::Result;
use crate::range::check_range;
use crate::text::stdout_error;

/// Maximum width of the column of class names, in characters. Longer names are not cut.
const NAME_WIDTH: usize = 24;

/// Lists the samples of a range, or only those of one class, as a table or as one JSON object per line.
///
/// # Errors
/// [`tonic_base::Error::Usage`] for a range outside the set, [`tonic_base::Error::Corrupt`], [`tonic_base::Error::Io`].
pub fn samples(
    set: &ShardSet,
    samples: Range<u64>,
    class: Option<u32>,
    as_json: bool,
    out: &mut impl Write,
) -> Result<()> {
    check_range(set, &samples)?;
    let description = &set.manifest().description;
    let widest = description.classes.iter().map(|name| printable(name).chars().count()).chain([8]).max().unwrap_or(8);
    let name_width = widest.min(NAME_WIDTH);
    if !as_json {
        let extras: String = description.extras.iter().map(|name| format!(" {:>10}", printable(name))).collect();
        let label = "label";
        writeln!(out, "  sample  {label:<name_width$}   frames  entries  events_in     binned flags{extras}")
            .map_err(stdout_error)?;
    }
    let mut reader = SampleReader::new(set);
    for number in samples {
        let (chunk, i) = reader.sample(number)?;
        if class.is_some_and(|class| chunk.table.labels[i] != class) {
            continue;
        }
        let line = if as_json {
            printable_json(&json(description, number, chunk, i).to_string()).into_owned()
        } else {
            line(description, number, chunk, i, name_width)
        };
        writeln!(out, "{line}").map_err(stdout_error)?;
    }
    Ok(())
}

fn line(description: &SetDescription, number: u64, chunk: &Chunk, i: usize, name_width: usize) -> String {
    let (frames, ledger) = (chunk.frames.sample(i), &chunk.table.ledgers[i]);
    let label = printable(description.class_name(chunk.table.labels[i]));
    let letters: String = flags(chunk.table.flags[i]).into_iter().map(|name| &name[..1]).collect();
    let letters = if letters.is_empty() { "-".into() } else { letters };
    let extras: String = chunk.table.extras.iter().map(|column| format!(" {:>10}", column[i])).collect();
    let (t, n) = (frames.frames(), frames.entries());
    format!(
        "{number:>8}  {label:<name_width$} {t:>8} {n:>8} {:>10} {:>10} {letters:>5}{extras}",
        ledger.events_in, ledger.binned
    )
}

fn json(description: &SetDescription, number: u64, chunk: &Chunk, i: usize) -> Value {
    let (frames, ledger) = (chunk.frames.sample(i), &chunk.table.ledgers[i]);
    let label = chunk.table.labels[i];
    let named = (label as usize) < description.classes.len();
    let extras = description.extras.iter().zip(&chunk.table.extras);
    let extras: Map<String, Value> = extras.map(|(name, column)| (name.clone(), json!(column[i]))).collect();
    json!({
        "sample": number,
        "label": named.then_some(label),
        "class": named.then(|| description.class_name(label)),
        "frames": frames.frames(),
        "entries": frames.entries(),
        "ledger": ledger,
        "flags": flags(chunk.table.flags[i]),
        "extras": extras,
    })
}

/// Returns the names of the flags that are set in `flags`.
fn flags(flags: u8) -> Vec<&'static str> {
    let names = [(FLAG_SORTED, "sorted"), (FLAG_EMPTY, "empty"), (FLAG_OVERLAP, "overlap")];
    names.into_iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| name).collect()
}

/// Lists the shards and their chunks, as a table or as one JSON object per chunk.
///
/// # Errors
/// [`tonic_base::Error::Io`].
pub fn shards(set: &ShardSet, as_json: bool, out: &mut impl Write) -> Result<()> {
    for (shard, entry) in set.shards().iter().zip(&set.manifest().shards) {
        let mut write = |text: String| writeln!(out, "{text}").map_err(stdout_error);
        if !as_json {
            let (first, end) = (shard.head().place.first_sample, shard.head().place.first_sample + entry.samples);
            write(format!("{}  samples {first}..{end}  {} bytes  {:.16}", entry.name, entry.bytes, entry.identity))?;
        }
        for (k, record) in shard.head().chunks.iter().enumerate() {
            let number = shard.chunk_number(k);
            let range = set.manifest().description.samples_of(number..number + 1);
            let (stored, decoded, identity) = (record.stored_bytes, record.decoded_bytes, Id(record.identity));
            write(if as_json {
                json!({
                    "shard": entry.name, "chunk": number, "first_sample": range.start, "samples": record.samples,
                    "offset": record.offset, "stored_bytes": stored, "decoded_bytes": decoded, "identity": identity,
                })
                .to_string()
            } else {
                let samples = format!("{}..{}", range.start, range.end);
                let sizes = format!("{stored:>10} stored {decoded:>10} decoded");
                format!("  chunk {number:>6}  samples {samples:>17}  {sizes}  {identity:.16}")
            })?;
        }
    }
    Ok(())
}
