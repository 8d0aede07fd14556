//! Tests of repair: every damaged byte of a set is restored from a copy or the recordings, or reported as lost.

use std::path::{Path, PathBuf};

use tonic_toolkit::base::Verbosity;
use tonic_toolkit::prep::SourceOptions;
use tonic_toolkit::sets::{Donor, Repaired, repair, repair_from};
use tonic_toolkit::shard::{ShardHead, ShardSet};

use super::recording::{Recording, Scratch, contents, json, refuses, samples, says, scratch, tool};

/// A set and a copy of it. The set has 3 shards with 2, 2 and 1 chunks of 2 samples.
struct Pair {
    dir: Scratch,
    whole: std::collections::BTreeMap<String, Vec<u8>>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let dir = scratch();
        let file = Recording::random(seed, 9, 12).write(&dir.join("a.h5"));
        for name in ["set", "copy"] {
            dir.convert(&[&file], name, &["--chunk-samples", "2", "--shard-size", "50"]);
        }
        let whole = contents(&dir.join("set"));
        assert_eq!(whole.len(), 3 + 1);
        Pair { dir, whole }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, set: &str, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(set).join(name), bytes).unwrap();
    }

    /// Writes the file `name` to the set `set`, with two bits flipped in the byte at offset `at`. All other bytes are
    /// intact.
    fn flip(&self, set: &str, name: &str, at: usize) {
        let mut bytes = self.whole[name].clone();
        bytes[at] ^= 0x41;
        self.write(set, name, &bytes);
    }

    /// Returns the offset of chunk `k` in the shard `name`.
    fn chunk(&self, name: &str, k: usize) -> usize {
        let bytes = &self.whole[name];
        ShardHead::parse(Path::new(name), bytes, bytes.len() as u64).unwrap().chunks[k].offset as usize
    }

    /// Repairs the set from the copy, and asserts that every byte is restored.
    fn mends(&self, what: &str) {
        let repaired = repair(&self.path("set"), Donor::Copy(&self.path("copy")), Verbosity::Quiet);
        self.is_back(what, repaired.unwrap_or_else(|fault| panic!("{what}: {fault}")));
    }

    /// Repairs the set from its recording, and asserts that every byte is restored.
    fn remakes(&self, what: &str) {
        let recordings = [self.path("a.h5")];
        let repaired = repair_from(&self.path("set"), &recordings, &SourceOptions::default(), Verbosity::Quiet);
        self.is_back(what, repaired.unwrap_or_else(|fault| panic!("{what}: {fault}")));
    }

    fn is_back(&self, what: &str, repaired: Repaired) {
        assert!(repaired.faults.is_empty() && repaired.lost.is_empty(), "{what}: {repaired:?}");
        assert!(contents(&self.path("set")) == self.whole, "{what}: {repaired:?}");
    }

    /// Returns the command `tonic-prep repair SET --from FROM`.
    fn command(&self, set: &str, from: &Path) -> assert_cmd::Command {
        let mut command = tool("repair", &self.path(set));
        command.arg("--from").arg(from);
        command
    }
}

#[test]
fn any_flipped_byte_comes_back_from_a_copy() {
    let pair = Pair::new(300);
    for (name, bytes) in &pair.whole {
        for at in (0..bytes.len()).step_by(5) {
            pair.flip("set", name, at);
            pair.mends(&format!("{name}: byte {at}"));
        }
    }
}

#[test]
fn any_flipped_byte_of_a_shard_comes_back_from_the_recording() {
    let pair = Pair::new(301);
    for (name, bytes) in pair.whole.iter().filter(|(name, _)| name.ends_with(".shard")) {
        for at in (0..bytes.len()).step_by(11) {
            pair.flip("set", name, at);
            pair.remakes(&format!("{name}: byte {at}"));
        }
    }
}

#[test]
fn cut_and_missing_files_come_back() {
    let pair = Pair::new(302);
    for (name, bytes) in &pair.whole {
        for length in [0, 1, 100, 200, bytes.len() / 2, bytes.len() - 1].into_iter().filter(|&n| n < bytes.len()) {
            pair.write("set", name, &bytes[..length]);
            pair.mends(&format!("{name} of {length} bytes"));
            if name.ends_with(".shard") {
                pair.write("set", name, &bytes[..length]);
                pair.remakes(&format!("{name} of {length} bytes"));
            }
        }
        std::fs::remove_file(pair.path("set").join(name)).unwrap();
        pair.mends(&format!("{name} removed"));
    }
    for name in pair.whole.keys().filter(|name| name.ends_with(".shard")) {
        std::fs::remove_file(pair.path("set").join(name)).unwrap();
    }
    pair.remakes("all shards removed");
}

#[test]
fn two_copies_that_are_damaged_in_different_places_make_a_whole_one() {
    let pair = Pair::new(303);
    let (first, second) = ("00000.shard", "00001.shard");
    pair.flip("set", first, pair.chunk(first, 0));
    pair.flip("set", second, 20); // the header
    pair.flip("set", "manifest.json", 400);
    pair.flip("copy", first, pair.chunk(first, 1));
    pair.flip("copy", second, pair.chunk(second, 0) + 3);
    pair.mends("damage here and there");

    // An index and the manifest of the copy are damaged too. The undamaged parts of the two sets are enough for the
    // repair.
    pair.flip("set", first, pair.chunk(first, 0));
    pair.flip("copy", first, 128 + 9);
    pair.flip("copy", "manifest.json", 300);
    pair.mends("damaged indexes");
    // Only the damaged shard is replaced.
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(pair.path("set").join(name)).unwrap().ino()
    };
    let before = [first, second, "00002.shard"].map(inode);
    pair.flip("copy", first, pair.chunk(first, 1));
    pair.flip("set", first, pair.chunk(first, 0));
    pair.mends("one shard");
    let after = [first, second, "00002.shard"].map(inode);
    assert!(before[0] != after[0] && before[1..] == after[1..]);
}

#[test]
fn a_shard_of_another_set_is_replaced_and_another_set_is_no_copy() {
    let (pair, other) = (Pair::new(304), Pair::new(305));
    pair.write("set", "00001.shard", &other.whole["00001.shard"]);
    pair.mends("a foreign shard");
    pair.write("set", "00001.shard", &other.whole["00001.shard"]);
    pair.remakes("a foreign shard");
    pair.write("set", "00001.shard", &pair.whole["00000.shard"]);
    pair.mends("a shard under a wrong name");

    let mut foreign = pair.command("set", &other.path("copy"));
    refuses(&mut foreign, 4, &["copy: set_id differs from", "set: expected "]);
    // If the manifest is missing, the identities of the shards show that the copy is another set.
    std::fs::remove_file(pair.path("set").join("manifest.json")).unwrap();
    refuses(&mut foreign, 4, &["copy: identity of 00000.shard differs from", "set: expected "]);
    let shards = contents(&pair.path("set"));
    assert!(shards.iter().all(|(name, bytes)| pair.whole[name] == *bytes), "nothing was changed");
    let words = ["set is incomplete: it has no manifest.json", "repair it from another copy"];
    refuses(&mut pair.command("set", &pair.path("a.h5")), 4, &words);
    pair.mends("the manifest");
    let words = ["a.h5: recording a.h5 differs from", "got none with that content"];
    refuses(&mut pair.command("set", &other.path("a.h5")), 4, &words);
    let words = ["--from: expected another directory than the damaged one"];
    refuses(&mut pair.command("set", &pair.path("set")), 2, &words);
}

#[test]
fn lost_chunks_are_reported_and_all_others_are_repaired() {
    let pair = Pair::new(306);
    let expected = samples(&pair.path("copy"));
    let name = "00000.shard";
    let mut bytes = pair.whole[name].clone();
    bytes[pair.chunk(name, 0) + 2] ^= 1;
    bytes[130] ^= 1; // the index of this shard, too
    pair.write("set", name, &bytes);
    std::fs::remove_file(pair.path("set").join("00001.shard")).unwrap();
    pair.flip("copy", name, pair.chunk(name, 0) + 5);
    pair.flip("copy", "00001.shard", pair.chunk("00001.shard", 1) + 5);

    let output = pair.command("set", &pair.path("copy")).arg("--quiet").output().unwrap();
    let (said, told) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(4), "{said}");
    says(&told, &["00000.shard: mended", "00001.shard: mended chunks 2", "chunk 0: lost", "chunk 3: lost: no copy"]);
    says(&said, &["chunk 0 (samples 0 to 1): ", "chunk 3 (samples 6 to 7): "]);
    assert_eq!(said.matches("error: ").count(), 2, "{said}");
    // The set opens, and all other samples are readable.
    let set = ShardSet::open(&pair.path("set")).unwrap();
    let mut reader = tonic_toolkit::shard::SampleReader::new(&set);
    for (i, sample) in expected.iter().enumerate() {
        match reader.sample(i as u64) {
            Ok((chunk, k)) => assert_eq!(chunk.table.labels[k], sample.label),
            Err(fault) => assert!([0, 1, 6, 7].contains(&i), "sample {i}: {fault}"),
        }
    }
    // The chunks that the copy lost are repaired from the recording.
    pair.remakes("the rest");
}

#[test]
fn a_copy_with_another_compression_gives_the_same_bytes() {
    let pair = Pair::new(307);
    let arguments = ["--chunk-samples", "2", "--shard-size", "64M", "--level", "9", "--overwrite"];
    let copy = pair.dir.convert(&[pair.path("a.h5")], "copy", &arguments);
    assert_eq!(ShardSet::open(&copy).unwrap().shards().len(), 1, "its shards are larger");
    for name in ["00000.shard", "00001.shard"] {
        pair.flip("set", name, pair.chunk(name, 1) + 1);
        pair.flip("set", name, pair.chunk(name, 0) + 1);
    }
    std::fs::remove_file(pair.path("set").join("00002.shard")).unwrap();
    pair.mends("another level");
}

#[test]
fn a_part_and_a_limited_set_are_made_again_from_their_recordings() {
    let dir = scratch();
    let files = dir.recordings(&[308, 309].map(|seed| Recording::random(seed, 11, 40)));
    for (name, value) in [("--part", "2/3"), ("--limit", "15")] {
        let set = dir.convert(&files, name, &["--chunk-samples", "2", "--shard-size", "1", name, value]);
        let whole = contents(&set);
        for shard in whole.keys().filter(|name| name.ends_with(".shard")) {
            std::fs::remove_file(set.join(shard)).unwrap();
        }
        // The recordings can be given in another order.
        let turned = [files[1].clone(), files[0].clone()];
        tool("repair", &set).arg("--from").args(turned).assert().success();
        assert!(contents(&set) == whole, "{name}");
    }
}

#[test]
fn nothing_is_mended_that_is_whole_or_unfinished() {
    let pair = Pair::new(310);
    let repair = |set: &str| {
        let mut command = pair.command(set, &pair.path("copy"));
        command.arg("--json");
        command
    };
    let nothing = serde_json::json!({
        "whole": true, "manifest": false, "shards": [], "lost": [], "faults": [], "path": pair.path("set"), "notes": [],
    });
    assert_eq!(json(&mut repair("set")), nothing);
    std::fs::write(pair.dir.folder("unfinished").join(".incomplete.json"), "{}").unwrap();
    refuses(&mut repair("unfinished"), 4, &["the set is incomplete", "--resume"]);
    pair.dir.folder("empty");
    refuses(&mut repair("empty"), 4, &["expected a shard set"]);
    refuses(&mut repair("none"), 1, &["none: cannot open the set"]);
}
