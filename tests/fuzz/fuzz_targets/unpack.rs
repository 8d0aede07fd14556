//! Fuzzes the code that unpacks downloads: zip, tar, tar.gz and gz. Nothing may be written outside the directory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tonic_toolkit::prep::unpack;
use tonic_toolkit_fuzz::DIR;

fuzz_target!(|data: &[u8]| {
    let [kind, bytes @ ..] = data else { return };
    let (folder, out) = (DIR.join("unpack"), DIR.join("unpack/out"));
    std::fs::create_dir_all(&folder).unwrap();
    let archive = folder.join(["a.zip", "a.tar", "a.tar.gz", "a.gz"][usize::from(kind % 4)]);
    std::fs::write(&archive, bytes).unwrap();
    let unpacked = unpack(&archive, &out);
    let there = std::fs::read_dir(&out).map_or(0, Iterator::count);
    assert!(unpacked.is_ok() || there == 0, "a refused archive leaves nothing");
    let _ = std::fs::remove_dir_all(&out);
    std::fs::remove_file(&archive).unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is outside the directory");
});
