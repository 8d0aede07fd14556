//! Tests every width of every column, with a second reader that is written from FORMAT.md alone.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tonic_toolkit::shard::{Decoder, ShardSet, Width, chunk_checksum};

use super::made::{Frame, Set};
use super::recording::{data, faults, scratch};

/// A second reader of the format, which shares only the hash functions with the crate's reader.
struct Stranger<'a>(&'a [u8]);

impl Stranger<'_> {
    fn number(&self, at: usize, width: usize) -> u64 {
        self.0[at..at + width].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
    }

    /// Reads the next column, of `n` numbers of `width` bytes, and its padding.
    fn column(&mut self, n: u64, width: usize) -> Vec<u64> {
        let numbers = (0..n as usize).map(|i| self.number(i * width, width)).collect();
        self.drop_column(n, width);
        numbers
    }

    /// Reads the next column, stored as byte planes: the first bytes of all numbers, then the second bytes, and so on.
    fn planes(&mut self, n: u64, width: usize) -> Vec<u64> {
        let n = n as usize;
        let number = |i| (0..width).rev().fold(0, |sum, plane| sum << 8 | u64::from(self.0[plane * n + i]));
        let numbers = (0..n).map(number).collect();
        self.drop_column(n as u64, width);
        numbers
    }

    fn drop_column(&mut self, n: u64, width: usize) {
        let (bytes, padded) = (n as usize * width, (n as usize * width).div_ceil(64) * 64);
        assert!(self.0[bytes..padded].iter().all(|&byte| byte == 0), "padding of zeros");
        self.0 = &self.0[padded..];
    }
}

/// Reads a set with the second reader. Returns the frames of each sample, and the extra columns.
fn read_as_a_stranger(dir: &Path) -> (Vec<Vec<Frame>>, Vec<Vec<i64>>) {
    let text = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let before = &text[..text.rfind("\"checksum\"").unwrap()];
    assert_eq!(text[before.len()..], format!("\"checksum\": \"{}\"\n}}\n", blake3::hash(before.as_bytes())));
    let manifest: Value = serde_json::from_str(&text).unwrap();
    let (mut samples, mut extras, mut identities) = (Vec::new(), Vec::new(), Vec::new());
    for shard in manifest["shards"].as_array().unwrap() {
        let bytes = std::fs::read(dir.join(shard["name"].as_str().unwrap())).unwrap();
        let file = Stranger(&bytes);
        assert_eq!(&bytes[..10], b"\x89TNC\r\n\x1a\n\x02\x00");
        assert_eq!([file.number(16, 8), shard["bytes"].as_u64().unwrap()], [bytes.len() as u64; 2]);
        assert_eq!(file.number(24, 8) as usize, samples.len(), "the number of the first sample");
        let chunks = file.number(36, 4) as usize;
        let head = [&bytes[..120], &bytes[128..128 + 64 * chunks]].concat();
        assert_eq!(file.number(120, 8), chunk_checksum(&head));
        let mut of_shard = blake3::Hasher::new();
        let mut end = 128 + 64 * chunks;
        for k in 0..chunks {
            let record = 128 + 64 * k;
            let (offset, stored) = (file.number(record, 8) as usize, file.number(record + 8, 8) as usize);
            assert_eq!(offset, end.div_ceil(64) * 64, "no holes, and aligned to 64 bytes");
            end = offset + stored;
            let stored = &bytes[offset..end];
            assert_eq!(file.number(record + 24, 8), chunk_checksum(stored));
            let body = zstd::bulk::decompress(stored, file.number(record + 16, 4) as usize).unwrap();
            assert_eq!(blake3::hash(&body).as_bytes()[..], bytes[record + 32..record + 64]);
            identities.push(bytes[record + 32..record + 64].to_vec());
            of_shard.update(&bytes[record + 32..record + 64]);
            read_chunk(Stranger(&body), &file, file.number(record + 20, 4), &mut samples, &mut extras);
        }
        assert_eq!(end.div_ceil(64) * 64, bytes.len());
        assert_eq!(shard["identity"].as_str().unwrap(), of_shard.finalize().to_string());
    }
    let mut hash = blake3::Hasher::new();
    let number = |key: &str| manifest[key].as_u64().unwrap();
    let recipe_id = blake3::Hash::from_hex(manifest["recipe_id"].as_str().unwrap()).unwrap();
    hash.update(b"tonic-shards set 1\0").update(recipe_id.as_bytes());
    hash.update(&(number("chunk_samples") as u32).to_le_bytes()).update(&number("samples").to_le_bytes());
    for identity in &identities {
        hash.update(identity);
    }
    assert_eq!(manifest["set_id"].as_str().unwrap(), hash.finalize().to_string());
    (samples, extras)
}

fn read_chunk(
    mut body: Stranger<'_>,
    header: &Stranger<'_>,
    n: u64,
    samples: &mut Vec<Vec<Frame>>,
    extras: &mut Vec<Vec<i64>>,
) {
    let width = |at| (header.number(at, 1) & 15) as usize;
    let surface = header.number(58, 1) == 0x14;
    let frames = body.column(n, 4);
    let entries = body.column(n, 4);
    body.column(n, 4); // labels
    body.column(n, 1); // flags
    let ledgers: Vec<Vec<u64>> = (0..7).map(|_| body.column(n, 8)).collect();
    for i in 0..n as usize {
        assert_eq!(ledgers[0][i], ledgers[1..].iter().map(|column| column[i]).sum::<u64>());
    }
    let columns: Vec<Vec<u64>> = (0..header.number(59, 1)).map(|_| body.column(n, 8)).collect();
    extras.extend((0..n as usize).map(|i| columns.iter().map(|column| column[i] as i64).collect()));
    let total: u64 = entries.iter().sum();
    let frame_sizes = body.planes(frames.iter().sum(), width(56));
    let packed = body.column(total, 1);
    let long_gaps = body.planes(packed.iter().filter(|&byte| byte & 31 == 31).count() as u64, width(57));
    let rest = if surface { total } else { packed.iter().filter(|&byte| byte >> 5 == 7).count() as u64 };
    let values = body.planes(rest, width(58));
    assert!(body.0.is_empty(), "as long as its columns");

    let (mut packed, mut long_gaps, mut values) = (packed.into_iter(), long_gaps.into_iter(), values.into_iter());
    let mut frame_sizes = frame_sizes.into_iter();
    for (frames, entries) in frames.into_iter().zip(entries) {
        let mut frame = |size: u64| {
            let mut next = 0;
            let mut entry = |_| {
                let byte = packed.next().unwrap();
                let cell = next + (byte & 31) + if byte & 31 == 31 { long_gaps.next().unwrap() } else { 0 };
                next = cell + 1;
                let count = (byte >> 5) + 1;
                let value = match surface {
                    true => f32::from_bits(values.next().unwrap() as u32).into(),
                    false if byte >> 5 == 7 => (count + values.next().unwrap()) as f64,
                    false => count as f64,
                };
                (cell as u32, value)
            };
            (0..size).map(&mut entry).collect::<Frame>()
        };
        let sample: Vec<Frame> = frame_sizes.by_ref().take(frames as usize).map(&mut frame).collect();
        assert_eq!(sample.iter().map(Vec::len).sum::<usize>() as u64, entries);
        samples.push(sample);
    }
}

/// Reads a set with the crate's own reader. Returns the frames of each sample, and the extra columns.
fn read(dir: &Path) -> (Vec<Vec<Frame>>, Vec<Vec<i64>>) {
    let set = ShardSet::open(dir).unwrap();
    assert!(faults(&set).is_empty(), "{:?}", faults(&set));
    let (mut samples, mut extras) = (Vec::new(), Vec::new());
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    for number in 0..set.chunks() {
        set.decode(number, &mut decoder, &mut chunk).unwrap();
        for (i, sample) in chunk.frames.samples().enumerate() {
            let mut frames = vec![Frame::new(); sample.frames()];
            sample.iter().for_each(|(t, cell, value)| frames[t].push((cell, value)));
            samples.push(frames);
            extras.push(chunk.table.extras.iter().map(|column| column[i]).collect());
        }
    }
    (samples, extras)
}

/// Makes samples whose frames have `cells` cells, with counts around the limits of every width up to `counts`.
fn samples(rng: &mut ChaCha8Rng, cells: u32, counts: Width) -> Vec<Vec<Frame>> {
    let borders = [1, 2, 7, 8, 9, 254, 255, 256, 65_534, 65_535, 65_536, u32::MAX - 1, u32::MAX];
    let borders: Vec<u32> = borders.into_iter().filter(|&n| counts == Width::F32 || n <= counts.max()).collect();
    let surface = [f32::MIN_POSITIVE, -f32::MIN_POSITIVE, 1.0e-45, -1.0, 0.1, f32::MAX, f32::MIN];
    let value = |rng: &mut ChaCha8Rng| match counts {
        Width::F32 => f64::from(surface[rng.random_range(0..surface.len())]),
        _ => f64::from(borders[rng.random_range(0..borders.len())]),
    };
    let edges = [0, 1, 30, 31, 32, 62, 63, 64, 254, 255, 256, 65_534, 65_535, 65_536, cells / 2, cells - 1];
    let mut edges: Vec<u32> = edges.into_iter().filter(|&cell| cell < cells).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut frame = |cells: Vec<u32>| -> Frame { cells.into_iter().map(|cell| (cell, value(rng))).collect() };
    let full: Vec<u32> = (0..cells.min(70_000)).collect();
    let odd = full.iter().copied().filter(|cell| cell % 3 == 1).collect();
    vec![
        vec![frame(edges), frame(vec![]), frame(vec![cells - 1])],
        vec![frame(full), frame(odd), frame(vec![0])],
        vec![frame(vec![])],
        vec![frame(vec![]), frame(vec![cells - 1]), frame(vec![]), frame(vec![])],
        vec![frame(if cells > 1 { vec![cells / 2 - 1, cells - 1] } else { vec![0] })],
    ]
}

#[test]
fn every_width_comes_back_as_it_was_also_to_a_stranger() {
    let mut rng = ChaCha8Rng::seed_from_u64(90);
    let mut seen = std::collections::BTreeSet::new();
    for (shape, widths) in [
        ([1, 1, 1], [1, 1]),
        ([1, 1, 255], [1, 1]),
        ([1, 16, 16], [2, 1]),
        ([1, 1, 257], [2, 2]),
        ([1, 1, 65_535], [2, 2]),
        ([1, 256, 256], [4, 2]),
        ([1, 1, 65_537], [4, 4]),
        ([2, 720, 1280], [4, 4]),
        ([1, 1, u32::MAX], [4, 4]),
    ] {
        let cells: u64 = shape.iter().map(|&n| u64::from(n)).product();
        for counts in [Width::U8, Width::U16, Width::U32, Width::F32] {
            let extras = (0..seen.len() % 3).map(|i| format!("extra {i}")).collect();
            let set = Set { extras, ..Set::new(shape, counts, samples(&mut rng, cells as u32, counts)) };
            let dir = scratch();
            let manifest = set.write(&dir);
            let of = manifest.description.widths;
            assert_eq!([of.frame_sizes, of.cells].map(Width::bytes), widths, "{shape:?}");
            assert_eq!(of.counts, counts);
            let (found, columns) = read(&dir);
            assert!(found == set.samples, "{shape:?} {counts:?}");
            assert!(columns.iter().zip(0..).all(|(c, i)| *c == vec![-1 - i % 2; set.extras.len()]), "{columns:?}");
            assert!((found, columns) == read_as_a_stranger(&dir), "{shape:?} {counts:?}, read after FORMAT.md");
            seen.insert((of.frame_sizes.bytes(), of.cells.bytes(), of.counts.code()));
        }
    }
    assert_eq!(seen.len(), 5 * 4, "all widths that a geometry can have: {seen:?}");
}

#[test]
fn the_frozen_set_is_read_by_a_stranger_as_by_the_library() {
    let dir = data("v2");
    assert!(read(&dir) == read_as_a_stranger(&dir));
}
