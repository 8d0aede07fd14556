//! Every recording of real speech, under the reference recipe, against the digest of Tonic's own frames.
//!
//! The recordings are not part of the repository: TONIC_REAL_DATA names the folder that has them.

use std::collections::BTreeMap;
use std::path::Path;

use super::recording::{convert, samples, scratch};

#[test]
fn frames_of_real_speech_are_tonics() {
    let Some(data) = std::env::var_os("TONIC_REAL_DATA") else {
        println!("skipped: TONIC_REAL_DATA is not set to a folder with fsdd_train.h5 and fsdd_test.h5");
        return;
    };
    let goldens = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/goldens/fsdd_digests.json");
    let goldens: BTreeMap<String, Vec<String>> =
        serde_json::from_str(&std::fs::read_to_string(goldens).unwrap()).unwrap();
    assert_eq!(goldens.values().map(Vec::len).collect::<Vec<_>>(), [298, 2682]);
    let dir = scratch();
    for (file, expected) in goldens {
        let set = dir.path().join(&file);
        convert(&[Path::new(&data).join(&file)], &set).assert().success();
        let samples = samples(&set);
        assert_eq!(samples.len(), expected.len(), "{file}");
        for (i, (sample, expected)) in samples.iter().zip(&expected).enumerate() {
            let mut hash = blake3::Hasher::new();
            hash.update(&(sample.shape[0] as u32).to_le_bytes());
            for n in &sample.dense {
                hash.update(&n.to_le_bytes());
            }
            assert_eq!(hash.finalize().to_hex()[..16], *expected, "{file}: sample {i}");
            assert!(sample.shape[0] <= 250 && sample.ledger.balances(), "{file}: sample {i}");
        }
    }
}
