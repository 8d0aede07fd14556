//! Fuzzes the shard reader with correct checksums: header, index, zstd frames and the decoded content.

#![no_main]

use std::path::Path;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tonic_toolkit::shard::{Chunk, ChunkName, Decoder, ShardHead, StoredChunk, aligned, check_chunk, chunk_checksum};
use tonic_toolkit_fuzz::{SETS, assert_sound, seal_shard};

const PATH: &str = "00000.shard";

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    seal_shard(&mut bytes);
    let Ok(head) = ShardHead::parse(Path::new(PATH), &bytes, bytes.len() as u64) else { return };
    assert!(
        head.to_bytes() == bytes[..ShardHead::bytes(head.chunks.len()) as usize],
        "a head is written as it was read"
    );
    let mut chunk = Chunk::new(head.layout.widths, head.layout.extras.into());
    let mut decoder = Decoder::new();
    for (k, record) in head.chunks.iter().enumerate() {
        let stored = &bytes[record.offset as usize..][..record.stored_bytes as usize];
        let name = ChunkName { shard: Path::new(PATH), number: k as u64, first_sample: 0 };
        if decoder.decode(StoredChunk { name, layout: &head.layout, record, bytes: stored }, &mut chunk).is_ok() {
            assert_eq!(chunk.len(), record.samples as usize);
            assert_sound(&chunk, head.layout.shape.cells());
            let _ = check_chunk(name, &chunk, 3);
        }
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mutated = match seed % 16 {
        0 => Some(SETS[seed as usize / 16 % SETS.len()][0].1.clone()),
        1..8 => with_other_body(&data[..size], seed),
        _ => None,
    };
    match mutated.filter(|bytes| bytes.len() <= max_size) {
        Some(bytes) => {
            data[..bytes.len()].copy_from_slice(&bytes);
            bytes.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

/// Mutates the decoded content of one chunk of a shard. Returns `None` if the shard cannot be read.
fn with_other_body(bytes: &[u8], seed: u32) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    seal_shard(&mut bytes);
    let mut head = ShardHead::parse(Path::new(PATH), &bytes, bytes.len() as u64).ok()?;
    let mut stored: Vec<Vec<u8>> =
        head.chunks.iter().map(|c| bytes[c.offset as usize..][..c.stored_bytes as usize].to_vec()).collect();
    let k = seed as usize / 16 % stored.len().max(1);
    let record = head.chunks.get_mut(k)?;
    let mut body = zstd::bulk::decompress(&stored[k], (record.decoded_bytes as usize).min(1 << 20)).ok()?;
    let size = body.len();
    body.resize(size + 256, 0);
    let size = fuzzer_mutate(&mut body, size, size + 256);
    body.truncate(size);
    stored[k] = zstd::bulk::compress(&body, 1).ok()?;
    (record.decoded_bytes, record.identity) = (size as u32, *blake3::hash(&body).as_bytes());

    let mut end = ShardHead::bytes(head.chunks.len());
    for (record, stored) in head.chunks.iter_mut().zip(&stored) {
        (record.offset, record.stored_bytes, record.checksum) = (end, stored.len() as u64, chunk_checksum(stored));
        end = aligned(end + record.stored_bytes);
    }
    let mut out = head.to_bytes();
    for (record, stored) in head.chunks.iter().zip(&stored) {
        out.resize(record.offset as usize, 0);
        out.extend_from_slice(stored);
    }
    out.resize(end as usize, 0);
    Some(out)
}
