//! Fuzzes the readers of NumPy arrays and archives, with recordings cut into samples in different ways.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::{Cut, Layout, Recording, SensorSize, SourceOptions};
use tonic_toolkit_fuzz::DIR;

const SENSOR: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };
/// Maximum number of samples that are read from a recording.
const SAMPLES: u64 = 64;

fuzz_target!(|data: &[u8]| {
    let [kind, cut, bytes @ ..] = data else { return };
    let path = DIR.join("array");
    let (layout, bytes) = match kind % 3 {
        0 => (Layout::Npy, bytes.to_vec()),
        1 => (Layout::Npz, bytes.to_vec()),
        _ => (Layout::Npz, archive(bytes)),
    };
    std::fs::write(&path, bytes).unwrap();
    let cut = match cut % 4 {
        0 => Cut::Whole,
        1 => Cut::Duration { length: 1 + i64::from(*cut), overlap: 0 },
        2 => Cut::Duration { length: 5_000, overlap: i64::from(*cut) },
        _ => Cut::Events { count: 1 + u64::from(*cut), overlap: u64::from(*cut) / 2 },
    };
    let options = SourceOptions { layout: Some(layout), sensor: Some(SENSOR), cut, ..SourceOptions::default() };
    let Ok(recordings) = Recording::open(&path, &options) else { return };
    for recording in recordings {
        let _ = recording.extent();
        let mut first = 0;
        while first < recording.samples().min(SAMPLES) {
            let together = recording.together(first, SAMPLES).max(1);
            let end = (first + together).min(recording.samples());
            let Ok(raw) = recording.read(first..end) else { return };
            assert_eq!(raw.samples() as u64, end - first);
            for i in 0..raw.samples() {
                let admitted = raw.admit(i, SENSOR);
                let accounted = admitted.events.len() as u64 + admitted.non_finite + admitted.outside;
                assert_eq!(accounted, raw.count(i));
            }
            first = end;
        }
    }
});

/// Makes an npz archive with up to four files from `bytes`. Each file begins at a NumPy magic number.
fn archive(bytes: &[u8]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut starts: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(b"\x93NUMPY")).take(4).collect();
    starts.push(bytes.len());
    for (ends, name) in starts.windows(2).zip(["t", "x", "y", "p"]) {
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(&bytes[ends[0]..ends[1]]).unwrap();
    }
    archive.finish().unwrap().into_inner()
}
