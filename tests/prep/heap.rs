//! Tests of HDF5 rows of variable length: our reader gives the same numbers as libhdf5, or an error.

use std::ops::Range;
use std::path::{Path, PathBuf};

use half::f16;
use hdf5::types::VarLenArray;
use hdf5::{Dataset, H5Type};
use proptest::prelude::*;
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::prep::{Coordinates, Error, Result, Times, VlenRows};

use super::recording::{Scratch, scratch};

/// The format of a test file, and how the file stores its references to rows.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    userblock: u64,
    latest: bool,
    chunk: Option<usize>,
    shuffle: bool,
    gzip: bool,
}

/// Writes rows to the dataset `rows` one at a time, in the order `order`. The heap gets the same order.
fn write<T: H5Type + Copy>(path: &Path, rows: &[Vec<T>], order: &[usize], layout: Layout) -> PathBuf {
    let draft = path.with_extension("draft");
    let options = hdf5::File::with_options()
        .with_fcpl(|p| p.userblock(layout.userblock))
        .with_fapl(|p| if layout.latest { p.libver_latest() } else { p.libver_earliest() })
        .create(&draft);
    let file = options.unwrap();
    let mut builder = file.new_dataset::<VarLenArray<T>>();
    builder = if let Some(chunk) = layout.chunk { builder.chunk(chunk) } else { builder };
    builder = if layout.shuffle { builder.shuffle() } else { builder };
    builder = if layout.gzip { builder.deflate(6) } else { builder };
    let builder = if layout.chunk.is_some() { builder.shape(0..) } else { builder.shape(rows.len()) };
    let dataset = builder.create("rows").unwrap();
    if layout.chunk.is_some() {
        dataset.resize(rows.len()).unwrap();
    }
    for &i in order {
        dataset.write_slice(&[VarLenArray::from_slice(&rows[i])], i..i + 1).unwrap();
    }
    file.flush().unwrap();
    drop((dataset, file, builder)); // a builder holds its file open
    std::fs::copy(&draft, path).unwrap();
    std::fs::remove_file(draft).unwrap();
    path.into()
}

/// The bits of all numbers of a dataset's rows, and the offset of each row in this list.
type Numbers = (Vec<u64>, Vec<usize>);

fn ours(rows: &VlenRows, range: Range<u64>) -> Result<Numbers> {
    if let Some((times, offsets)) = rows.times(range.clone())? {
        let numbers = match times {
            Times::F16(t) => t.iter().map(|t| t.to_bits().into()).collect(),
            Times::F32(t) => t.iter().map(|t| t.to_bits().into()).collect(),
            Times::F64(t) => t.iter().map(|t| t.to_bits()).collect(),
            other => panic!("seconds are expected, not {other:?}"),
        };
        return Ok((numbers, offsets));
    }
    let (coordinates, offsets) = rows.coordinates(range)?.expect("integers, if they are no floats");
    let numbers = match coordinates {
        Coordinates::U8(c) => c.iter().map(|&c| c.into()).collect(),
        Coordinates::U16(c) => c.iter().map(|&c| c.into()).collect(),
        Coordinates::I64(c) => c.iter().map(|&c| c as u64).collect(),
    };
    Ok((numbers, offsets))
}

fn libhdf5s(dataset: &Dataset, range: Range<u64>) -> hdf5::Result<Numbers> {
    fn read<T: H5Type + Copy>(dataset: &Dataset, range: Range<u64>, bits: impl Fn(T) -> u64) -> hdf5::Result<Numbers> {
        let rows = dataset.read_slice_1d::<VarLenArray<T>, _>(range.start as usize..range.end as usize)?;
        let (mut numbers, mut offsets) = (Vec::new(), vec![0]);
        for row in &rows {
            numbers.extend(row.iter().map(|&v| bits(v)));
            offsets.push(numbers.len());
        }
        Ok((numbers, offsets))
    }
    use hdf5::types::{FloatSize, TypeDescriptor as Is};
    let Is::VarLenArray(element) = dataset.dtype()?.to_descriptor()? else { panic!("rows are expected") };
    match *element {
        Is::Float(FloatSize::U2) => read(dataset, range, |v: f16| v.to_bits().into()),
        Is::Float(FloatSize::U4) => read(dataset, range, |v: f32| v.to_bits().into()),
        Is::Float(FloatSize::U8) => read(dataset, range, |v: f64| v.to_bits()),
        _ => read(dataset, range, |v: i64| v as u64),
    }
}

/// Asserts that our reader and libhdf5 read the same rows of a dataset. Reads all rows at once, then `piece` rows at a
/// time.
fn agrees(path: &Path, name: &str, piece: usize) {
    let file = hdf5::File::open(path).unwrap();
    let dataset = file.dataset(name).unwrap();
    let rows = VlenRows::open(path, name, &dataset).unwrap().expect("a layout that is read directly");
    let n = dataset.size() as u64;
    assert!(ours(&rows, 0..n).unwrap() == libhdf5s(&dataset, 0..n).unwrap(), "all rows");
    for start in (0..n).step_by(piece) {
        let range = start..(start + piece as u64).min(n);
        let expected = libhdf5s(&dataset, range.clone()).unwrap();
        assert!(ours(&rows, range.clone()).unwrap() == expected, "{range:?}");
    }
    assert_eq!(ours(&rows, 1..1).unwrap(), (vec![], vec![0]));
}

/// Makes rows of these lengths. `number` makes each number of the rows from an integer.
fn rows<T>(lengths: &[usize], number: impl Fn(u64) -> T) -> Vec<Vec<T>> {
    let row = |(i, &n): (usize, &usize)| (0..n).map(|k| number((i * 7919 + k * 31) as u64)).collect();
    lengths.iter().enumerate().map(row).collect()
}

/// Lengths of rows: from empty to larger than all buffers.
const LENGTHS: [usize; 14] = [3, 0, 1, 700, 2040, 0, 5, 2056, 9, 40_000, 1, 300_000, 0, 12];

#[test]
fn every_element_type_is_read() {
    let dir = scratch();
    let order: Vec<usize> = (0..LENGTHS.len()).collect();
    let path = |name: &str| dir.join(name);
    let l = Layout::default();
    let files = [
        write(&path("f16"), &rows(&LENGTHS, |v| f16::from_bits(v as u16)), &order, l),
        write(&path("f32"), &rows(&LENGTHS, |v| f32::from_bits((v as u32).wrapping_mul(65_537))), &order, l),
        write(&path("f64"), &rows(&LENGTHS, |v| f64::from_bits(v << 40)), &order, l),
        write(&path("u8"), &rows(&LENGTHS, |v| v as u8), &order, l),
        write(&path("u16"), &rows(&LENGTHS, |v| v as u16), &order, l),
        write(&path("u32"), &rows(&LENGTHS, |v| (v as u32).wrapping_mul(65_537)), &order, l),
        write(&path("u64"), &rows(&LENGTHS, |v| v << 47), &order, l),
        write(&path("i8"), &rows(&LENGTHS, |v| v as i8), &order, l),
        write(&path("i16"), &rows(&LENGTHS, |v| v as i16), &order, l),
        write(&path("i32"), &rows(&LENGTHS, |v| -(v as i32)), &order, l),
        write(&path("i64"), &rows(&LENGTHS, |v| (v << 47) as i64), &order, l),
    ];
    files.iter().for_each(|file| agrees(file, "rows", 3));
}

#[test]
fn every_layout_of_the_references_is_read() {
    let dir = scratch();
    let rows = rows(&LENGTHS, |v| v as u16);
    let order: Vec<usize> = (0..LENGTHS.len()).rev().collect();
    for userblock in [0, 512, 4096] {
        for latest in [false, true] {
            for chunk in [None, Some(1), Some(5), Some(14), Some(100)] {
                for (shuffle, gzip) in [(false, false), (false, true), (true, true), (true, false)] {
                    let layout = Layout { userblock, latest, chunk, shuffle, gzip };
                    println!("{layout:?}");
                    agrees(&write(&dir.join("a.h5"), &rows, &order, layout), "rows", 4);
                }
            }
        }
    }
}

#[test]
fn rows_that_were_never_written_are_refused() {
    let dir = scratch();
    let rows = rows(&[40; 20], |v| v as u16);
    for gzip in [false, true] {
        let layout = Layout { chunk: Some(3), gzip, ..Layout::default() };
        let path = write(&dir.join("a.h5"), &rows, &[0, 4, 17], layout);
        let file = hdf5::File::open(&path).unwrap();
        match VlenRows::open(&path, "rows", &file.dataset("rows").unwrap()) {
            Err(Error::MissingData { what, .. }) => assert_eq!(what, "samples 6 to 8 were never written"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_only_libhdf5_can_read_is_left_to_it() {
    let dir = scratch();
    let open = |path: &Path| {
        let file = hdf5::File::open(path).unwrap();
        VlenRows::open(path, "rows", &file.dataset("rows").unwrap()).unwrap()
    };
    let numbers = rows(&[9, 4], |v| v as u16);
    let plain = write(&dir.join("a.h5"), &numbers, &[0, 1], Layout::default());
    assert!(open(&plain).is_some());

    // The description of the type uint16 in the file: class 0 of version 1, 2 bytes, 16 bits from bit 0. Its first
    // flag means big-endian.
    let mut bytes = std::fs::read(&plain).unwrap();
    let at = bytes.windows(12).position(|w| *w == [0x10, 0, 0, 0, 2, 0, 0, 0, 0, 0, 16, 0]).unwrap();
    bytes[at + 1] = 1;
    assert!(open(&dir.file("swapped.h5", bytes)).is_none());

    let layout = Layout { chunk: Some(2), ..Layout::default() };
    let chunked = write(&dir.join("b.h5"), &numbers, &[0, 1], layout);
    assert!(open(&chunked).is_some());
    let draft = dir.join("checked");
    let file = hdf5::File::create(&draft).unwrap();
    let rows: Vec<VarLenArray<u16>> = numbers.iter().map(|r| VarLenArray::from_slice(r)).collect();
    let checked = file.new_dataset::<VarLenArray<u16>>().shape(2).chunk(2).fletcher32().create("rows").unwrap();
    checked.write(&rows).unwrap();
    file.flush().unwrap();
    assert!(VlenRows::open(&draft, "rows", &checked).unwrap().is_none());
}

#[test]
fn many_threads_read_at_once() {
    let dir = scratch();
    let numbers = rows(&[2_000; 64], |v| v as u16);
    let path = write(&dir.join("a.h5"), &numbers, &(0..64).collect::<Vec<_>>(), Layout::default());
    let file = hdf5::File::open(&path).unwrap();
    let rows = VlenRows::open(&path, "rows", &file.dataset("rows").unwrap()).unwrap().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (rows, numbers) = (&rows, &numbers);
            scope.spawn(move || {
                for i in (0..64).cycle().skip(thread * 8).take(64) {
                    let Some((Coordinates::U16(row), _)) = rows.coordinates(i..i + 1).unwrap() else { panic!() };
                    assert_eq!(row, numbers[i as usize]);
                }
            });
        }
    });
}

/// Returns whether a damaged file can be read. If so, asserts that libhdf5 reads the same rows.
fn holds(bytes: &[u8], path: &Path, what: &str) -> bool {
    std::fs::write(path, bytes).unwrap();
    let Ok(file) = hdf5::File::open(path) else { return false };
    let Ok(dataset) = file.dataset("rows") else { return false };
    let rows = match VlenRows::open(path, "rows", &dataset) {
        Ok(Some(rows)) => rows,
        Ok(None) => return false,
        Err(Error::DamagedRecording { place, .. }) => {
            assert!(place.starts_with("rows, from sample"), "{what}: {place}");
            return false;
        }
        Err(e) => panic!("{what}: {e}"),
    };
    let n = dataset.size() as u64;
    match ours(&rows, 0..n) {
        Ok(numbers) => match libhdf5s(&dataset, 0..n) {
            Ok(expected) => assert!(numbers == expected, "{what}: other numbers"),
            Err(e) => panic!("{what}: libhdf5 refuses it: {e}"),
        },
        Err(Error::DamagedRecording { place, reason, .. }) => {
            assert!(place.starts_with("rows, sample"), "{what}: {place}");
            assert!(reason.contains("expected") && reason.contains("got"), "{what}: {reason}");
            return false;
        }
        Err(e) => panic!("{what}: {e}"),
    }
    true
}

/// Writes a small file with eight rows: most of them tiny, one empty, and one with 3,000 numbers.
fn small() -> (Scratch, PathBuf, Vec<u8>) {
    let dir = scratch();
    let rows = rows(&[4, 0, 30, 1, 7, 3_000, 2, 11], |v| v as u16);
    let path = write(&dir.join("a.h5"), &rows, &[3, 0, 1, 2, 7, 5, 6, 4], Layout::default());
    let bytes = std::fs::read(&path).unwrap();
    (dir, path, bytes)
}

/// Returns the offsets of all bytes that belong to references, to headers of collections or to headers of objects.
fn records(bytes: &[u8], path: &Path) -> Vec<usize> {
    let references = hdf5::File::open(path).unwrap().dataset("rows").unwrap().offset().unwrap() as usize;
    let mut places: Vec<usize> = (references..references + 8 * 16).collect();
    for start in (0..bytes.len() - 4).filter(|&i| bytes[i..].starts_with(b"GCOL")) {
        places.extend(start..start + 16);
        let length = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        let (mut at, end) = (start + 16, start + length(start + 8));
        while at < end {
            places.extend(at..at + 16);
            at += if bytes[at..at + 2] == [0, 0] { length(at + 8) } else { 16 + length(at + 8).next_multiple_of(8) };
        }
    }
    places
}

#[test]
fn a_changed_byte_of_references_and_heaps_is_an_error_or_what_libhdf5_reads() {
    let (_dir, path, whole) = small();
    assert!(holds(&whole, &path, "whole"));
    let (mut same, mut refused) = (0, 0);
    for at in records(&whole, &path) {
        for change in [0x01, 0x08, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let same_numbers = holds(&bytes, &path, &format!("byte {at} ^ {change}"));
            *(if same_numbers { &mut same } else { &mut refused }) += 1;
        }
    }
    assert!(refused > same && same > 0, "{refused} refused, {same} the same");
}

#[test]
fn holes_anywhere_are_an_error_or_what_libhdf5_reads() {
    let (_dir, path, whole) = small();
    let heap = whole.windows(4).position(|w| w == b"GCOL").unwrap();
    let places = (heap..whole.len()).step_by(8).chain(records(&whole, &path));
    for at in places {
        for (len, value) in [(1, 0), (8, 0), (64, 0), (5_000, 0), (8, 0xff), (2, 0xff)] {
            let mut bytes = whole.clone();
            let end = (at + len).min(bytes.len());
            bytes[at..end].fill(value);
            holds(&bytes, &path, &format!("{len} bytes of {value} at {at}"));
        }
    }
}

#[test]
fn a_file_cut_short_while_it_is_read_is_an_error() {
    let (_dir, path, whole) = small();
    let file = hdf5::File::open(&path).unwrap();
    let dataset = file.dataset("rows").unwrap();
    let rows = VlenRows::open(&path, "rows", &dataset).unwrap().unwrap();
    let heap = whole.windows(4).position(|w| w == b"GCOL").unwrap();
    std::fs::write(&path, &whole[..heap + 100]).unwrap();
    assert!(matches!(ours(&rows, 0..8), Err(Error::Base(BaseError::Io { .. }))));
    assert!(matches!(VlenRows::open(&path, "rows", &dataset), Ok(Some(_))));
    let rows = VlenRows::open(&path, "rows", &dataset).unwrap().unwrap();
    assert!(matches!(ours(&rows, 0..8), Err(Error::DamagedRecording { .. })));
}

#[test]
fn every_row_of_real_speech_is_libhdf5s() {
    let Some(data) = std::env::var_os("TONIC_REAL_DATA") else {
        println!("skipped: TONIC_REAL_DATA is not set to a folder with fsdd_train.h5 and fsdd_test.h5");
        return;
    };
    for file in ["fsdd_train.h5", "fsdd_test.h5"] {
        for name in ["spikes/times", "spikes/units"] {
            agrees(&Path::new(&data).join(file), name, 64);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rows_in_any_order_are_read(
        lengths in prop::collection::vec(prop_oneof![0usize..6, 0usize..300, 1_000usize..9_000], 2..40),
        seed in any::<prop::sample::Index>(),
        chunk in prop::option::of(1usize..50),
        latest in any::<bool>(),
        gzip in any::<bool>(),
    ) {
        let dir = scratch();
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.rotate_left(seed.index(lengths.len()));
        order.swap(0, lengths.len() / 2);
        let layout = Layout { chunk, latest, gzip: gzip && chunk.is_some(), ..Layout::default() };
        let path = write(&dir.join("a.h5"), &rows(&lengths, |v| v as u32), &order, layout);
        agrees(&path, "rows", 7);
    }

    #[test]
    fn changes_in_several_places_are_an_error_or_what_libhdf5_reads(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (_dir, path, mut bytes) = small();
        let places = records(&bytes, &path);
        for (place, value) in &changes {
            bytes[places[place.index(places.len())]] = *value;
        }
        holds(&bytes, &path, &format!("{changes:?}"));
    }
}
