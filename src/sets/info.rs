//! Describes a set from its manifest: as text or as JSON.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use tonic_base::{human_bytes, printable};
use tonic_shard::{Ledger, Manifest, ShardSet};

fn source_bytes(set: &ShardSet) -> u64 {
    set.manifest().description.sources.iter().map(|source| source.bytes).sum()
}

fn bytes_per_sample(set: &ShardSet) -> f64 {
    set.stored_bytes() as f64 / set.len().max(1) as f64
}

/// Returns the share of occupied cells in all frames, from 0 to 1.
fn density(set: &ShardSet) -> f64 {
    let totals = &set.manifest().totals;
    totals.entries as f64 / (totals.frames as f64 * set.manifest().description.shape.cells() as f64).max(1.0)
}

/// Returns one line of text with the number of samples, the stored size and the id of a set.
pub fn line(manifest: &Manifest) -> String {
    let (samples, stored) = (manifest.description.samples, human_bytes(manifest.stored_bytes()));
    format!("{samples} samples, {stored}, set {:.16}", manifest.set_id.to_string())
}

/// Describes a new set as one JSON object. The fields have the same names as in the JSON that a conversion prints.
/// `notes` are messages for the user.
pub fn summary(path: &Path, manifest: &Manifest, notes: &[String]) -> Value {
    let Manifest { description, totals, set_id, .. } = manifest;
    json!({
        "path": path, "set_id": set_id, "samples": description.samples, "stored_bytes": manifest.stored_bytes(),
        "classes": description.classes, "class_samples": totals.class_samples, "ledger": totals.ledger, "notes": notes,
    })
}

/// Returns the manifest as JSON, with four more fields: `stored_bytes`, `source_bytes`, `bytes_per_sample` and
/// `density`.
///
/// # Panics
/// Never: a manifest has only string keys.
pub fn json(set: &ShardSet) -> Value {
    let mut value = serde_json::to_value(set.manifest()).expect("a manifest is JSON");
    let more = json!({
        "stored_bytes": set.stored_bytes(),
        "source_bytes": source_bytes(set),
        "bytes_per_sample": bytes_per_sample(set),
        "density": density(set),
    });
    if let (Some(object), Value::Object(more)) = (value.as_object_mut(), more) {
        object.extend(more);
    }
    value
}

/// Returns the manifest's content as a page of text.
pub fn text(set: &ShardSet) -> String {
    let (description, totals) = (&set.manifest().description, &set.manifest().totals);
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<10} {}", printable(&value));
    };
    line("set id", set.manifest().set_id.to_string());
    let empty =
        if totals.empty_samples > 0 { format!(", {} without events", totals.empty_samples) } else { String::new() };
    line("samples", format!("{}{empty}", set.len()));
    line("classes", set.manifest().class_counts(usize::MAX));
    if !description.extras.is_empty() {
        line("extras", description.extras.join(", "));
    }
    let limit = description.frame_limit.map_or(String::new(), |n| format!(", the recipe allows {n}"));
    line(
        "frames",
        format!(
            "{} of (P, H, W) = {}; at most {} a sample{limit}",
            totals.frames, description.shape, totals.max_frames
        ),
    );
    line("density", format!("{:.1}% of cells, counts up to {}", density(set) * 100.0, totals.max_count));
    line(
        "size",
        format!(
            "{} in {} shards, {:.0} bytes a sample; the recordings have {}",
            human_bytes(set.stored_bytes()),
            set.shards().len(),
            bytes_per_sample(set),
            human_bytes(source_bytes(set)),
        ),
    );
    for source in &description.sources {
        line(
            "source",
            format!("{} ({} samples, blake3 {:.16})", source.name, source.samples, source.blake3.to_string()),
        );
    }
    for file in &description.linked_files {
        line("linked", format!("{} ({}, blake3 {:.16})", file.name, human_bytes(file.bytes), file.blake3.to_string()));
    }
    line("made by", description.tool.to_string());
    let _ = writeln!(out, "\nrecipe\n  {}", description.recipe.trim().replace('\n', "\n  "));
    let _ = writeln!(out, "\nledger");
    let events = totals.ledger.events_in.max(1) as f64;
    for (name, n) in Ledger::NAMES.iter().zip(totals.ledger.columns()) {
        let _ = writeln!(out, "  {name:<10} {n:>14} {:>6.2}%", n as f64 * 100.0 / events);
    }
    out
}
