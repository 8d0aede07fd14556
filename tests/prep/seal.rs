//! Corrects the checksums of changed files, so that tests reach the code behind the checks. The fuzz targets of
//! tests/fuzz use this file too.

use serde_json::Value;
use tonic_toolkit::shard::{HEADER_BYTES, RECORD_BYTES, SetDescription, ShardHead, chunk_checksum};

/// Corrects the checksum of a shard's header and index.
pub(crate) fn head(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let end = (ShardHead::bytes(number(bytes, 36, 4)) as usize).min(bytes.len());
        let checked = [&bytes[..120], &bytes[HEADER_BYTES..end]].concat();
        bytes[120..128].copy_from_slice(&chunk_checksum(&checked).to_le_bytes());
    }
}

/// Corrects all checksums of a shard, and its length in the header.
pub(crate) fn shard(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    let length = (bytes.len() as u64).to_le_bytes();
    bytes[16..24].copy_from_slice(&length);
    for k in 0..number(bytes, 36, 4) {
        let record = HEADER_BYTES + k * RECORD_BYTES;
        if record + RECORD_BYTES > bytes.len() {
            break;
        }
        let start = number(bytes, record, 8);
        let Some(stored) = start.checked_add(number(bytes, record + 8, 8)).and_then(|end| bytes.get(start..end)) else {
            continue;
        };
        let checksum = chunk_checksum(stored).to_le_bytes();
        bytes[record + 24..record + 32].copy_from_slice(&checksum);
    }
    head(bytes);
}

/// Returns a manifest with a correct checksum and, if it can be computed, the correct recipe id.
pub(crate) fn manifest(text: &str) -> String {
    let before = without_checksum(text);
    checksum(&with_recipe_id(before).unwrap_or_else(|| before.into()))
}

/// Returns a manifest with a correct checksum.
pub(crate) fn checksum(text: &str) -> String {
    let before = without_checksum(text);
    format!("{before}\"checksum\": \"{}\"\n}}\n", blake3::hash(before.as_bytes()))
}

fn without_checksum(text: &str) -> &str {
    &text[..text.rfind("\"checksum\"").unwrap_or(text.len())]
}

fn with_recipe_id(before: &str) -> Option<String> {
    let json: Value = serde_json::from_str(&format!("{before}\"checksum\": 0}}")).ok()?;
    let names = |key: &str| serde_json::from_value::<Vec<String>>(json.get(key)?.clone()).ok();
    let shape = serde_json::from_value(json.get("shape")?.clone()).ok()?;
    let id = SetDescription::recipe_id(shape, json.get("recipe")?.as_str()?, &names("classes")?, &names("extras")?);
    let old = json.get("recipe_id")?.as_str().filter(|old| old.len() == 64)?;
    Some(before.replace(old, &id.to_string()))
}

/// Reads the little-endian number of `width` bytes at offset `at`.
fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    bytes[at..at + width].iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte))
}
