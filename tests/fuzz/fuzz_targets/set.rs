//! Fuzzes a whole set on disk: changes two regions, then opens, verifies, decodes and shows the set.
//!
//! If the checksums are corrected, every chunk that decodes must be valid. Otherwise verification must find the change.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use tonic_toolkit::base::{Error as BaseError, Progress, Verbosity};
use tonic_toolkit::sets::Sample;
use tonic_toolkit::sets::{info, list, stats};
use tonic_toolkit::shard::verify::verify;
use tonic_toolkit::shard::{Decoder, Error, ShardSet};
use tonic_toolkit_fuzz::{DIR, SETS, assert_sound, seal_manifest, seal_shard};

#[derive(Arbitrary, Debug)]
struct Region {
    file: u8,
    at: u16,
    remove: u8,
    insert: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Change {
    set: u8,
    correct: bool,
    regions: [Region; 2],
}

/// Returns whether an error means that the set is damaged or incompatible.
fn is_of_the_set(error: &Error) -> bool {
    match error {
        Error::Base(error) => matches!(error, BaseError::Corrupt { .. }),
        error => !matches!(error, Error::ChunkTooLarge { .. }),
    }
}

fuzz_target!(|change: Change| {
    let base = &SETS[usize::from(change.set) % SETS.len()];
    let mut files = base.clone();
    for Region { file, at, remove, insert } in &change.regions {
        let count = files.len();
        let bytes = &mut files[usize::from(*file) % count].1;
        let at = usize::from(*at) % (bytes.len() + 1);
        let end = (at + usize::from(*remove)).min(bytes.len());
        bytes.splice(at..end, insert.iter().copied());
    }
    if change.correct {
        correct(&mut files);
    }
    let changed = files != *base;
    for entry in std::fs::read_dir(&*DIR).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    files.iter().for_each(|(name, bytes)| std::fs::write(DIR.join(name), bytes).unwrap());

    let set = match ShardSet::open(&DIR) {
        Ok(set) => set,
        Err(fault) => {
            assert!(changed && is_of_the_set(&fault), "{fault}");
            return;
        }
    };
    let faults = verify(&set, &Progress::start(Verbosity::Quiet, "", 0, ""));
    assert!(faults.iter().all(is_of_the_set), "{faults:?}");
    assert!(!(faults.is_empty() && changed && !change.correct), "a change that verify does not see");
    assert!(changed || faults.is_empty(), "{faults:?}");
    let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
    for number in 0..set.chunks() {
        if set.decode(number, &mut decoder, &mut chunk).is_ok() {
            assert_sound(&chunk, set.manifest().description.shape.cells());
        }
    }
    info::text(&set);
    info::json(&set);
    if let Ok(stats) = stats(&set, Verbosity::Quiet) {
        stats.text();
        stats.json();
    }
    let _ = list::samples(&set, 0..set.len(), None, true, &mut std::io::sink());
    let _ = list::shards(&set, false, &mut std::io::sink());
    if let Ok(sample) = Sample::open(&set, set.len().saturating_sub(1)) {
        sample.title();
        sample.braille();
        let _ = sample.write_tsv(&mut std::io::sink());
    }
});

/// Corrects the checksums of the shards and of the manifest, and the sizes of the shards in the manifest.
fn correct(files: &mut [(String, Vec<u8>)]) {
    let Some((manifest, shards)) = files.split_last_mut() else { return };
    let Ok(mut text) = String::from_utf8(manifest.1.clone()) else { return };
    for (name, bytes) in shards {
        seal_shard(bytes);
        if let Some(at) = text.find(&format!("\"{name}\"")) {
            let tail = text.split_off(at);
            text += &corrected_entry(&tail, bytes.len()).unwrap_or(tail);
        }
    }
    manifest.1 = seal_manifest(&text).into_bytes();
}

/// Returns `tail` with the first size of a shard replaced by `bytes`. `tail` is the end of a manifest. `None` if it
/// has no size.
fn corrected_entry(tail: &str, bytes: usize) -> Option<String> {
    let key = "\"bytes\": ";
    let start = tail.find(key)? + key.len();
    let end = start + tail[start..].find(|c: char| !c.is_ascii_digit())?;
    Some(format!("{}{bytes}{}", &tail[..start], &tail[end..]))
}
