//! Compares our frames of real recordings with digests of Tonic's frames.
//!
//! The environment variable TONIC_REAL_DATA has the path of the folder with the recordings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use tonic_toolkit::shard::{Decoder, ShardSet};

use super::recording::{samples, scratch};
use super::tonic::goldens;

/// Returns the folder of the recordings, and Tonic's digests from the file `digests`. Returns `None` without
/// TONIC_REAL_DATA.
fn recordings<T: DeserializeOwned>(digests: &str, files: &str) -> Option<(PathBuf, BTreeMap<String, Vec<T>>)> {
    let Some(folder) = std::env::var_os("TONIC_REAL_DATA") else {
        println!("skipped: TONIC_REAL_DATA is not set to a folder with {files}");
        return None;
    };
    Some((folder.into(), goldens(digests)))
}

#[test]
fn frames_of_real_speech_are_tonics() {
    let files = "fsdd_train.h5 and fsdd_test.h5";
    let Some((folder, goldens)) = recordings::<String>("fsdd_digests.json", files) else { return };
    assert_eq!(goldens.values().map(Vec::len).collect::<Vec<_>>(), [298, 2682]);
    let dir = scratch();
    for (file, expected) in goldens {
        let samples = samples(&dir.convert(&[folder.join(&file)], &file, &[]));
        assert_eq!(samples.len(), expected.len(), "{file}");
        for (i, (sample, expected)) in samples.iter().zip(&expected).enumerate() {
            assert_eq!(sample.digest(), *expected, "{file}: sample {i}");
            assert!(sample.shape[0] <= 250 && sample.ledger.balances(), "{file}: sample {i}");
        }
    }
}

#[test]
fn frames_of_real_cameras_are_tonics() {
    let files = "davis346_dseclayout.h5 and its like";
    let Some((folder, goldens)) = recordings::<(u64, Option<String>)>("camera_digests.json", files) else { return };
    assert_eq!(goldens.values().map(Vec::len).collect::<Vec<_>>(), [24, 108]);
    let dir = scratch();
    for (file, expected) in goldens {
        let sensor = if file.starts_with("davis") { "346,260,2" } else { "1280,720,2" };
        let arguments = ["--sensor", sensor, "--sample-duration", "100ms", "--time-window", "10000"];
        let set = ShardSet::open(&dir.convert(&[folder.join(&file)], &file, &arguments)).unwrap();
        let shape = set.manifest().description.shape;
        let (mut decoder, mut chunk, mut found) = (Decoder::new(), set.empty_chunk(), Vec::new());
        for number in 0..set.chunks() {
            set.decode(number, &mut decoder, &mut chunk).unwrap();
            for (sample, ledger) in chunk.frames.samples().zip(&chunk.table.ledgers) {
                assert!(ledger.balances() && ledger.outside == 0);
                let mut hash = blake3::Hasher::new();
                hash.update(&(sample.frames() as u32).to_le_bytes());
                for (frame, cell, count) in sample.iter() {
                    hash.update(&(frame as u64 * shape.cells() + u64::from(cell)).to_le_bytes());
                    hash.update(&(count as u32).to_le_bytes());
                }
                let digest = hash.finalize().to_hex()[..16].to_string();
                found.push((ledger.events_in, (ledger.events_in > 0).then_some(digest)));
            }
        }
        assert!(found == expected, "{file}");
    }
}
