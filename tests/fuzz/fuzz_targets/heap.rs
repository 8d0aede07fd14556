//! Fuzzes the reader of HDF5 rows of variable length. Changes the references to rows, and the headers of the heaps
//! that store the rows.

#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tonic_toolkit::base::{Progress, Verbosity};
use tonic_toolkit::prep::{COCHLEA, Layout, Recording, SourceOptions, synth};
use tonic_toolkit_fuzz::DIR;

/// The bytes of a small recording, and the offsets of its references and headers. Each reference and each header has 16
/// bytes.
static BASE: LazyLock<(Vec<u8>, Vec<usize>)> = LazyLock::new(|| {
    let path = DIR.join("base.h5");
    synth(&path, 4, 2, 1, &Progress::start(Verbosity::Quiet, "", 0, "")).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let collections: Vec<usize> =
        (0..bytes.len() - 16).step_by(8).filter(|&at| bytes[at..].starts_with(b"GCOL\x01")).collect();
    let mut places = collections.clone();
    for &start in &collections {
        let end = start + number(start + 8) as usize;
        let mut at = start + 16;
        while at + 16 <= end {
            places.push(at);
            let (free, size) = (bytes[at] == 0 && bytes[at + 1] == 0, number(at + 8) as usize);
            at += if free { size } else { size.next_multiple_of(8) + 16 };
        }
    }
    let is_reference = |&at: &usize| collections.contains(&(number(at + 4) as usize));
    places.extend((0..bytes.len() - 16).step_by(4).filter(is_reference));
    assert!(places.len() > 16, "{}", places.len());
    (bytes, places)
});

#[derive(Arbitrary, Debug)]
struct Edit {
    place: u8,
    at: u8,
    width: u8,
    value: Value,
}

#[derive(Arbitrary, Debug)]
enum Value {
    Number(u64),
    /// Adds this value to the old number.
    Difference(i16),
    /// Replaces the old number by the number at another offset of the file. The first value is the index of an offset
    /// in [`BASE`]. The second value is added to this offset.
    Of(u8, u8),
}

#[derive(Arbitrary, Debug)]
struct Changes {
    edits: Vec<Edit>,
    cut: Option<u16>,
}

fuzz_target!(|changes: Changes| {
    let (base, places) = &*BASE;
    let mut bytes = base.clone();
    let field = |place: u8, at: u8| places[usize::from(place) % places.len()] + usize::from(at) % 16;
    for Edit { place, at, width, value } in changes.edits.iter().take(16) {
        let at = field(*place, *at);
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let value = match value {
            Value::Number(n) => *n,
            Value::Difference(more) => number(at).wrapping_add_signed((*more).into()),
            Value::Of(place, at) => number(field(*place, *at)),
        };
        let width = [1, 2, 4, 8][usize::from(*width) % 4];
        bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
    let path = DIR.join("changed.h5");
    std::fs::write(&path, &bytes).unwrap();
    let options = SourceOptions { layout: Some(Layout::Hsd), ..SourceOptions::default() };
    let Ok(mut recordings) = Recording::open(&path, &options) else { return };
    let recording = recordings.remove(0);
    // libhdf5 has opened the complete file. Now the file is cut short while it is open.
    if let Some(cut) = changes.cut {
        let length = bytes.len() - usize::from(cut).min(bytes.len());
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length as u64).unwrap();
    }
    let samples = recording.samples();
    for range in [0..samples, 1..2] {
        let Ok(raw) = recording.read(range.clone()) else { continue };
        assert_eq!(raw.samples() as u64, range.end - range.start);
        for i in 0..raw.samples() {
            assert!(raw.offsets[i] <= raw.offsets[i + 1]);
            raw.admit(i, COCHLEA);
        }
    }
});
