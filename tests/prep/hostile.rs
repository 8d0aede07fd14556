//! Tests that randomly changed shards and manifests give an error or valid samples, even if their checksums are
//! correct.

use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use tonic_toolkit::base::{Error as BaseError, Progress, Verbosity};
use tonic_toolkit::shard::verify::verify_dir;
use tonic_toolkit::shard::{Decoder, Error, HEADER_BYTES, ShardSet, Width};

use super::made::{Frame, Set};
use super::recording::{contents, faults, scratch, shell};
use super::seal;

type Files = Vec<(String, Vec<u8>)>;

/// Small sets, one for each width of counts.
static SETS: LazyLock<Vec<Files>> = LazyLock::new(|| {
    let samples = |cells: u32, largest: f64| -> Vec<Vec<Frame>> {
        let frame = |i: u32| vec![(i % (cells - 1), 1.0), (cells - 1, largest)];
        (0..5).map(|i| vec![frame(i), vec![], frame(i + 40)]).collect()
    };
    let sets = [
        Set::new([1, 1, 100], Width::U8, samples(100, 200.0)),
        Set { extras: vec!["speaker".into()], ..Set::new([2, 10, 20], Width::U16, samples(400, 300.0)) },
        Set::new([1, 1, 70_000], Width::U32, samples(70_000, 70_000.0)),
        Set::new([1, 8, 8], Width::F32, samples(64, -0.5)),
    ];
    let files = |set: &Set| {
        let dir = scratch();
        set.write(&dir);
        contents(&dir).into_iter().collect()
    };
    sets.iter().map(files).collect()
});

#[derive(Clone, Debug)]
struct Change {
    file: Index,
    at: Index,
    /// Whether a change to a shard is limited to the header and the first index record of the shard.
    head: bool,
    remove: usize,
    insert: Vec<u8>,
}

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![Just(0_u8), Just(1), Just(255), Just(b'9'), any::<u8>()];
    // Most changes keep the length, because a wrong length alone is an error.
    let splice = prop_oneof![
        5 => prop::collection::vec(byte(), 1..9).prop_map(|insert| (insert.len(), insert)),
        1 => (0..9_usize, prop::collection::vec(byte(), 0..9)),
    ];
    (any::<Index>(), any::<Index>(), any::<bool>(), splice).prop_map(|(file, at, head, (remove, insert))| Change {
        file,
        at,
        head,
        remove,
        insert,
    })
}

/// Applies `changes` to the files `base`. If `mend` is true, corrects the checksums.
fn changed(base: &Files, changes: &[Change], mend: bool) -> Files {
    let mut files = base.clone();
    let count = files.len();
    for Change { file, at, head, remove, insert } in changes {
        let (name, bytes) = &mut files[file.index(count)];
        let within = if *head && name.ends_with(".shard") { HEADER_BYTES + 64 } else { bytes.len() };
        let at = at.index(within.min(bytes.len()).max(1)).min(bytes.len());
        let end = (at + remove).min(bytes.len());
        bytes.splice(at..end, insert.iter().copied());
    }
    if mend {
        mend_all(&mut files);
    }
    files
}

/// Corrects the checksums of all files.
fn mend_all(files: &mut Files) {
    for (name, bytes) in files {
        match String::from_utf8(bytes.clone()) {
            _ if name.ends_with(".shard") => seal::shard(bytes),
            Ok(text) => *bytes = seal::manifest(&text).into_bytes(),
            Err(_) => {}
        }
    }
}

/// Opens, decodes and verifies the set. Asserts that decoded samples are valid. Returns the first fault.
fn read(dir: &Path) -> Result<(), Error> {
    let set = ShardSet::open(dir)?;
    let cells = set.manifest().description.shape.cells();
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    for number in 0..set.chunks() {
        if set.decode(number, &mut decoder, &mut chunk).is_err() {
            continue;
        }
        for sample in chunk.frames.samples() {
            assert!(sample.frames() > 0);
            assert_eq!(sample.frame_sizes.sum() as usize, sample.entries());
            let places: Vec<(usize, u32)> = sample.iter().map(|(t, cell, _)| (t, cell)).collect();
            assert!(places.is_sorted_by(|a, b| a < b), "cells ascend within a frame");
            assert!(places.iter().all(|&(_, cell)| u64::from(cell) < cells));
        }
    }
    faults(&set).into_iter().next().map_or(Ok(()), Err)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn a_changed_set_is_refused_or_sound(
        set in 0..4_usize,
        changes in prop::collection::vec(change(), 1..4),
        mend in any::<bool>(),
    ) {
        let (base, dir) = (&SETS[set], scratch());
        let files = changed(base, &changes, mend);
        files.iter().for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
        let result = read(&dir);
        if let Err(fault) = &result {
            let of_the_set = match fault {
                Error::Base(fault) => matches!(fault, BaseError::Corrupt { .. }),
                fault => !matches!(fault, Error::ChunkTooLarge { .. }),
            };
            prop_assert!(of_the_set, "{}", fault);
        }
        let faults = verify_dir(&dir, Some(&|n| Progress::start(Verbosity::Quiet, "", n, "")));
        prop_assert_eq!(faults.is_empty(), result.is_ok(), "{:?}", faults);
        if !mend {
            prop_assert_eq!(result.is_ok(), files == *base, "a change that nobody sees");
        }
    }
}

#[test]
fn mended_changes_reach_what_lies_behind_the_checksums() {
    let dir = scratch();
    let mut places = std::collections::BTreeSet::new();
    let base = &SETS[1];
    for (k, (_, bytes)) in base.iter().enumerate() {
        for at in (0..bytes.len()).step_by(3) {
            let mut files = base.clone();
            files[k].1[at] ^= if at % 2 == 0 { 1 } else { 0x11 };
            mend_all(&mut files);
            files.iter().for_each(|(name, bytes)| std::fs::write(dir.join(name), bytes).unwrap());
            if let Err(Error::Base(BaseError::Corrupt { place, .. })) = read(&dir) {
                places.insert(place.split("): ").last().unwrap().split(" of ").next().unwrap().to_string());
            }
        }
    }
    for place in ["zstd frame", "identity", "frame_sizes", "JSON", "identities", "sums", "set_id"] {
        assert!(places.iter().any(|found| found.contains(place)), "no {place} in {places:?}");
    }
    assert!(!places.contains("stored bytes"), "{places:?}");
}

#[test]
fn tools_stay_small_where_frames_have_four_billion_cells() {
    let dir = scratch();
    let frames: Vec<Frame> = (0..9_u32).map(|i| vec![(i, 1.0), (u32::MAX - 1, 2.0)]).collect();
    for (name, counts) in [("counts", Width::U8), ("values", Width::F32)] {
        let set = dir.join(name);
        Set::new([1, 1, u32::MAX], counts, vec![frames.clone(), vec![vec![]]]).write(&set);
        let (picture, page) = (dir.join("picture.png"), dir.join("page.png"));
        let arrays = dir.join(format!("{name}-arrays"));
        let commands: [(i32, &[&std::ffi::OsStr]); 8] = [
            (0, &["info".as_ref(), set.as_ref()]),
            (0, &["verify".as_ref(), set.as_ref(), "-q".as_ref()]),
            (0, &["ls".as_ref(), set.as_ref()]),
            (0, &["cat".as_ref(), set.as_ref()]),
            (0, &["stats".as_ref(), set.as_ref(), "--png".as_ref(), page.as_ref(), "-q".as_ref()]),
            (0, &["show".as_ref(), set.as_ref()]),
            (0, &["show".as_ref(), set.as_ref(), "--png".as_ref(), picture.as_ref()]),
            // The export writes 36 GB of zeros. The disk must be full before the memory is.
            (1, &["export".as_ref(), set.as_ref(), "--npy".as_ref(), arrays.as_ref(), "-q".as_ref()]),
        ];
        for (code, arguments) in commands {
            let script = "trap '' XFSZ; ulimit -v 1000000; ulimit -f 8000; RAYON_NUM_THREADS=2 exec \"$0\" \"$@\"";
            let output = shell("sh", script, arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{name} {arguments:?}: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
        assert_eq!(std::fs::read_dir(&arrays).unwrap().count(), 0, "no half array stays");
    }
}
