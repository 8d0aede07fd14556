//! Fuzzes the manifest reader. The checksum and the recipe id are corrected before reading.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use tonic_toolkit::shard::{MANIFEST_FILE, Manifest};
use tonic_toolkit_fuzz::{DIR, SETS, seal_manifest};

fuzz_target!(|data: &[u8]| {
    let sealed = std::str::from_utf8(data).map(|text| seal_manifest(text).into_bytes());
    std::fs::write(DIR.join(MANIFEST_FILE), sealed.as_deref().unwrap_or(data)).unwrap();
    let Ok(manifest) = Manifest::read(&DIR) else { return };
    let description = &manifest.description;
    assert_eq!(description.shards(), manifest.shards.len() as u64);
    assert!(description.chunks() >= description.shards());
    assert_eq!(usize::from(description.layout().extras), description.extras.len());
    // A manifest that is written and read again must be equal.
    manifest.publish(&DIR).unwrap();
    assert_eq!(Manifest::read(&DIR).unwrap(), manifest);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let base = &SETS[seed as usize / 64 % SETS.len()].last().unwrap().1;
    if seed.is_multiple_of(64) && base.len() <= max_size {
        data[..base.len()].copy_from_slice(base);
        return base.len();
    }
    fuzzer_mutate(data, size, max_size)
});
