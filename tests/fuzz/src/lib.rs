//! Code that the fuzz targets share: small sets to start from, and assertions on recordings and decoded chunks.

#[path = "../../prep/made.rs"]
mod made;
#[path = "../../prep/seal.rs"]
mod seal;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use made::Set;
use tonic_toolkit::prep::{Recording, SensorSize, SourceOptions};
use tonic_toolkit::shard::{Chunk, Width};

/// The name and bytes of each file of a set, sorted by name. The manifest is last.
pub type Files = Vec<(String, Vec<u8>)>;

/// Initial inputs: one small set for each width of counts, and the frozen set of format version 2.
pub static SETS: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let sample = |seed: u32, cells: u32, largest: f64| {
        let frame = |t: u32| {
            let mut cells: Vec<u32> = (0..t % 4).map(|i| (seed + 1 + t * 7 + i * 101) % cells).collect();
            cells.sort_unstable();
            cells.dedup();
            cells.into_iter().map(|cell| (cell, f64::from(cell % 3 + 1))).chain(None).collect::<made::Frame>()
        };
        let mut frames: Vec<made::Frame> = (0..seed % 5 + 1).map(frame).collect();
        frames.push(vec![(cells - 1, largest)]);
        frames
    };
    let samples = |cells, largest| (0..7).map(|seed| sample(seed, cells, largest)).collect::<Vec<_>>();
    let mut sets: Vec<Files> = [
        Set::new([1, 1, 100], Width::U8, samples(100, 3.0)),
        Set { extras: vec!["speaker".into()], ..Set::new([2, 12, 16], Width::U16, samples(384, 300.0)) },
        Set::new([2, 200, 300], Width::U32, samples(120_000, 70_000.0)),
        Set { chunk_samples: 3, ..Set::new([1, 9, 9], Width::F32, samples(81, -0.25)) },
    ]
    .iter()
    .map(|set| {
        let dir = tempfile::tempdir().unwrap();
        set.write(dir.path());
        files(dir.path())
    })
    .collect();
    sets.push(vec![
        ("00000.shard".into(), include_bytes!("../../data/v2/00000.shard").to_vec()),
        ("manifest.json".into(), include_bytes!("../../data/v2/manifest.json").to_vec()),
    ]);
    sets
});

/// Corrects the checksums of a shard.
pub fn seal_shard(bytes: &mut [u8]) {
    seal::shard(bytes);
}

/// Returns a manifest with its checksum corrected.
pub fn seal_manifest(text: &str) -> String {
    seal::manifest(text)
}

fn files(dir: &Path) -> Files {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Files =
        paths.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&p).unwrap())).collect();
    files.sort();
    files
}

/// A temporary directory of this process, in memory if `/dev/shm` exists.
pub static DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
    let dir = parent.join(format!("tonic-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
});

/// Opens a file and asserts that every event of each recording's first sample is accounted for. Does nothing if the
/// file is refused.
pub fn assert_accounted(path: &Path, options: &SourceOptions, sensor: SensorSize) {
    let Ok(recordings) = Recording::open(path, options) else { return };
    for recording in recordings {
        let Ok(raw) = recording.read(0..1) else { return };
        let admitted = raw.admit(0, sensor);
        let accounted = admitted.events.len() as u64 + admitted.non_finite + admitted.outside;
        assert_eq!(accounted, raw.count(0));
    }
}

/// Asserts everything that callers of the decoder assume without a check.
pub fn assert_sound(chunk: &Chunk, cells: u64) {
    let samples = chunk.len();
    let table = &chunk.table;
    assert_eq!([table.labels.len(), table.flags.len(), table.ledgers.len()], [samples; 3]);
    assert!(table.extras.iter().all(|column| column.len() == samples));
    for sample in chunk.frames.samples() {
        assert!(sample.frames() > 0);
        assert_eq!(sample.frame_sizes.sum() as usize, sample.entries());
        assert_eq!(sample.counts.len(), sample.entries());
        let mut last = None;
        for (frame, cell, _) in sample.iter() {
            assert!(u64::from(cell) < cells && frame < sample.frames());
            assert!(last.is_none_or(|last| last < (frame, cell)), "cells ascend");
            last = Some((frame, cell));
        }
    }
}
