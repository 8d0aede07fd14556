//! Tests of damaged and hostile sets: every flipped byte and every truncation is found and named.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::shard::{
    Chunk, ChunkName, ChunkRecord, Decoder, Error, HEADER_BYTES, SetLayout, ShardHead, ShardSet, StoredChunk,
    chunk_checksum,
};

use super::recording::{Recording, Scratch, change, contents, faults, refuses, says, scratch, shell, tool};
use super::seal;

/// A set to damage. It has 3 shards with 2, 2 and 1 chunks of 2 samples.
struct Victim {
    dir: Scratch,
}

impl Victim {
    fn of(seed: u64) -> Victim {
        let dir = scratch();
        dir.set(&Recording::random(seed, 9, 12), &["--chunk-samples", "2", "--shard-size", "100"]);
        let victim = Victim { dir };
        assert_eq!(victim.check().map_err(|e| e.to_string()), Ok(()));
        let set = ShardSet::open(&victim.set()).unwrap();
        assert!(set.shards().len() > 1 && set.shards()[0].head().chunks.len() > 1, "{}", set.shards().len());
        victim
    }

    fn set(&self) -> PathBuf {
        self.dir.join("set")
    }

    fn shard(&self, number: usize) -> PathBuf {
        self.set().join(format!("{number:05}.shard"))
    }

    /// Opens and verifies the set. Returns the first fault.
    fn check(&self) -> Result<(), Error> {
        let set = ShardSet::open(&self.set())?;
        faults(&set).into_iter().next().map_or(Ok(()), Err)
    }

    /// Checks the set with one file replaced. Returns the fault that was found.
    fn with(&self, file: &Path, bytes: &[u8]) -> Result<(), Error> {
        let before = std::fs::read(file).unwrap();
        std::fs::write(file, bytes).unwrap();
        let result = self.check();
        std::fs::write(file, before).unwrap();
        result
    }

    /// Checks the set with a changed header or index of shard 0, and a correct checksum. Returns the fault.
    fn with_head(&self, change: impl FnOnce(&mut Vec<u8>)) -> Error {
        let mut bytes = std::fs::read(self.shard(0)).unwrap();
        change(&mut bytes);
        seal::head(&mut bytes);
        self.with(&self.shard(0), &bytes).expect_err("a hostile head")
    }

    /// Checks the set with `from` replaced by `to` in the manifest, and a correct checksum. Returns the fault.
    fn with_manifest(&self, from: &str, to: &str) -> Error {
        let text = std::fs::read_to_string(self.set().join("manifest.json")).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        let changed = text.replace(from, to);
        let sealed = seal::checksum(&changed);
        self.with(&self.set().join("manifest.json"), sealed.as_bytes()).expect_err("a hostile manifest")
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn every_flipped_byte_is_found_and_named() {
    let victim = Victim::of(70);
    let (mut flips, mut in_chunks) = (0, 0);
    for (name, bytes) in contents(&victim.set()) {
        let path = victim.set().join(&name);
        let head = name.ends_with(".shard").then(|| ShardHead::parse(&path, &bytes, bytes.len() as u64).unwrap());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= [0x01, 0x80, 0xff, 0x20][at % 4];
            let fault = victim.with(&path, &flipped).expect_err(&format!("{name}: byte {at}"));
            let said = fault.to_string();
            says(&said, &[&name, "expected", "got"]);
            let of_the_set = match &fault {
                Error::Base(fault) => matches!(fault, BaseError::Corrupt { .. }),
                fault => !matches!(fault, Error::ChunkTooLarge { .. }),
            };
            assert!(of_the_set, "{name}: byte {at}: {said}");
            let Some(head) = &head else { continue };
            if !matches!(fault, Error::Incompatible { .. }) {
                says(&said, &["chunk", "sample"]);
            }
            if let Some(k) =
                head.chunks.iter().position(|c| (c.offset..c.offset + c.stored_bytes).contains(&(at as u64)))
            {
                let first = head.place.first_sample + 2 * k as u64;
                let last = first + u64::from(head.chunks[k].samples) - 1;
                says(&said, &[&format!("chunk {} (samples {first} to {last}): stored bytes", first / 2)]);
                in_chunks += 1;
            }
            flips += 1;
        }
    }
    assert!(flips > 1000 && in_chunks > 300, "{flips} flips, {in_chunks} in chunks");
    assert_eq!(victim.check().map_err(|e| e.to_string()), Ok(()));
}

#[test]
fn every_cut_is_found_and_named() {
    let victim = Victim::of(70);
    for (name, bytes) in contents(&victim.set()) {
        let path = victim.set().join(&name);
        for length in 0..bytes.len() {
            let fault = victim.with(&path, &bytes[..length]).expect_err(&format!("{name} of {length} bytes"));
            assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })), "{name} of {length} bytes: {fault}");
            says(&fault.to_string(), &[&name]);
            if name.ends_with(".shard") {
                says(&fault.to_string(), &["chunk", "sample"]);
            }
        }
        let fault = victim.with(&path, &[bytes.as_slice(), b"\0"].concat()).expect_err("a longer file");
        says(&fault.to_string(), &[&name]);
    }
}

#[test]
fn missing_foreign_and_swapped_shards_are_named() {
    let victim = Victim::of(70);
    let (first, second) = (std::fs::read(victim.shard(0)).unwrap(), std::fs::read(victim.shard(1)).unwrap());
    let other = Victim::of(71);
    let fault = victim.with(&victim.shard(0), &std::fs::read(other.shard(0)).unwrap()).unwrap_err();
    assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })), "{fault}");
    says(&fault.to_string(), &["00000.shard: corrupt: "]);

    let fault = victim.with(&victim.shard(1), &first).unwrap_err();
    says(&fault.to_string(), &["00001.shard: corrupt: ", "expected", "got"]);
    let mut renamed = first.clone();
    put(&mut renamed, 12, &1_u32.to_le_bytes());
    seal::head(&mut renamed);
    renamed.resize(second.len(), 0);
    says(&victim.with(&victim.shard(1), &renamed).unwrap_err().to_string(), &["00001.shard: corrupt: "]);

    std::fs::remove_file(victim.shard(1)).unwrap();
    let fault = victim.check().unwrap_err();
    assert!(matches!(fault, Error::Incomplete { .. }), "{fault}");
    says(&fault.to_string(), &["set: the set is incomplete: the manifest names 00001.shard, which is not there"]);
    refuses(tool("verify", &victim.set()).arg("--quick"), 4, &["00001.shard"]);
    std::fs::remove_file(victim.set().join("manifest.json")).unwrap();
    let fault = victim.check().unwrap_err();
    says(&fault.to_string(), &["set: the set is incomplete", "manifest.json"]);
    refuses(&mut tool("verify", &victim.set()), 4, &["the set is incomplete", "--resume"]);
}

#[test]
fn another_version_is_incompatible_and_not_corrupt() {
    let victim = Victim::of(70);
    let fault = victim.with_head(|bytes| put(bytes, 8, &3_u16.to_le_bytes()));
    assert!(matches!(fault, Error::Incompatible { .. }), "{fault}");
    says(&fault.to_string(), &["00000.shard: incompatible: expected format version 2, got 3"]);
    let manifest = victim.set().join("manifest.json");
    for text in [
        "{\"format\": \"tonic-shards\", \"version\": 1}",
        "{\"version\": 70000, \"format\": \"tonic-shards\", \"new\": []}",
    ] {
        let fault = victim.with(&manifest, text.as_bytes()).unwrap_err();
        assert!(matches!(fault, Error::Incompatible { .. }), "{fault}");
        says(&fault.to_string(), &["manifest.json: incompatible: expected format version 2, got "]);
    }
    says(
        &victim.with(&manifest, b"{\"format\": \"tar\", \"version\": 1}").unwrap_err().to_string(),
        &["manifest.json: corrupt: format", "tar"],
    );
}

#[test]
fn hostile_heads_are_refused_in_little_memory() {
    let victim = Victim::of(70);
    let record = |field: usize| HEADER_BYTES + field; // of the first chunk
    let (max32, max64) = (u32::MAX.to_le_bytes(), u64::MAX.to_le_bytes());
    let cases: [(&str, usize, &[u8], &str); 21] = [
        ("another magic", 0, b"\x89PNG", "magic number"),
        ("a long file", 16, &max64, "file length"),
        ("a first sample", 24, &max64, "header"),
        ("many samples", 32, &max32, "samples"),
        ("many chunks", 36, &max32, "index"),
        ("no chunks", 36, &[0; 4], ""),
        ("large chunks", 40, &max32, "samples a chunk"),
        ("empty chunks", 40, &[0; 4], "samples a chunk"),
        ("a vast frame", 44, &[255; 12], "shape of a frame"),
        ("a frame of nothing", 52, &[0; 4], "shape of a frame"),
        ("wrong widths", 56, &[4], "widths of the columns"),
        ("odd widths", 57, &[3], "width of a column"),
        ("float cells", 57, &[0x14], "widths of the columns"),
        ("float counts", 58, &[0x14], "the manifest's layout"),
        ("reserved bytes", 96, &[1], "reserved bytes"),
        ("an offset that overflows", record(0), &max64, "offset"),
        ("an offset into the head", record(0), &[0; 8], "offset"),
        ("a length that overflows", record(8), &max64, "an end inside the file"),
        ("a vast chunk", record(16), &max32, "268435456 decoded bytes"),
        ("a chunk of no samples", record(20), &[0; 4], "2 samples"),
        ("a chunk of many samples", record(20), &max32, "2 samples"),
    ];
    for (name, at, value, word) in cases {
        let fault = victim.with_head(|bytes| put(bytes, at, value));
        assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })), "{name}: {fault}");
        says(&fault.to_string(), &["00000.shard", word]);
    }
    for decoded in [0_u32, 1, 64, 1 << 28] {
        let fault = victim.with_head(|bytes| put(bytes, record(16), &decoded.to_le_bytes()));
        says(&fault.to_string(), &["00000.shard: corrupt: chunk 0 (samples 0 to 1): ", &decoded.to_string()]);
    }

    // The same tests in a process with an address space of one gigabyte.
    for (at, value) in [(36, &max32), (32, &max32), (record(16), &(1_u32 << 28).to_le_bytes()), (44, &max32)] {
        let before = std::fs::read(victim.shard(0)).unwrap();
        change(&victim.shard(0), |bytes| {
            put(bytes, at, value);
            seal::head(bytes);
        });
        let script = "ulimit -v 1000000; RAYON_NUM_THREADS=2 exec \"$0\" verify \"$1\" -q";
        refuses(&mut shell("sh", script, &[victim.set()]), 4, &["00000.shard: corrupt"]);
        std::fs::write(victim.shard(0), before).unwrap();
    }
}

#[test]
fn hostile_manifests_are_refused() {
    let victim = Victim::of(70);
    for (from, to, words) in [
        ("\"name\": \"00001.shard\"", "\"name\": \"../../etc/passwd\"", ["name of a shard", "../../etc/passwd"]),
        ("\"name\": \"00001.shard\"", "\"name\": \"/etc/passwd\"", ["name of a shard", "/etc/passwd"]),
        ("\"name\": \"00001.shard\"", "\"name\": \"00000.shard\"", ["name of a shard", "00000.shard"]),
        ("\"chunk_samples\": 2", "\"chunk_samples\": 0", ["geometry", "another"]),
        ("\"chunk_samples\": 2", "\"chunk_samples\": 4294967295", ["shards", "1 for 9 samples"]),
        ("\"chunk_samples\": 2", "\"chunk_samples\": 4294967296", ["JSON", "4294967296"]),
        ("\"chunk_samples\": 2", "\"chunk_samples\": -2", ["JSON", "-2"]),
        ("  \"samples\": 9,\n  \"chunk", "  \"samples\": 18446744073709551615,\n  \"chunk", ["geometry", "another"]),
        ("  \"samples\": 9,\n  \"chunk", "  \"samples\": 10,\n  \"chunk", ["shards", "10 samples"]),
        ("\"width\": 100", "\"width\": 0", ["shape", "(1, 1, 0)"]),
        ("\"width\": 100", "\"width\": 101", ["recipe_id", "expected"]),
        ("\"counts\": \"u8\"", "\"counts\": \"u64\"", ["JSON", "u64"]),
        ("\"cells\": \"u8\"", "\"cells\": \"u32\"", ["widths", "U32"]),
        ("\"max_count\": ", "\"max_count\": 1", ["sums", "expected"]),
        ("time_window = 4000", "time_window = 5000", ["recipe_id", "expected"]),
        ("\"set_id\": \"", "\"set_id\": \"zz", ["JSON", "manifest"]),
    ] {
        let fault = victim.with_manifest(from, to);
        assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })), "{to}: {fault}");
        says(&fault.to_string(), &["manifest.json: corrupt: "]);
        says(&fault.to_string(), &words);
    }
    let manifest = victim.set().join("manifest.json");
    for bytes in [&b""[..], b"{", b"[]", b"\xff\xfe", b"null", "[".repeat(100_000).as_bytes()] {
        says(&victim.with(&manifest, bytes).unwrap_err().to_string(), &["manifest.json: corrupt: "]);
    }
}

#[test]
fn a_shard_cut_under_an_open_set_is_an_error() {
    let victim = Victim::of(70);
    let set = ShardSet::open(&victim.set()).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(victim.shard(0)).unwrap();
    file.set_len(100).unwrap();
    let fault = set.decode(0, &mut Decoder::new(), &mut set.empty_chunk()).unwrap_err();
    says(&fault.to_string(), &["00000.shard: corrupt: file length", "got 100"]);
}

/// The decoded bytes, layout and number of samples of a valid chunk.
static BODY: LazyLock<(Vec<u8>, SetLayout, u32)> = LazyLock::new(|| {
    let victim = Victim::of(70);
    let set = ShardSet::open(&victim.set()).unwrap();
    let (head, bytes) = (set.shards()[0].head(), std::fs::read(victim.shard(0)).unwrap());
    let record = head.chunks[0];
    let stored = &bytes[record.offset as usize..][..record.stored_bytes as usize];
    (zstd::bulk::decompress(stored, record.decoded_bytes as usize).unwrap(), head.layout, record.samples)
});

/// Decodes the bytes `stored` as a chunk, with their correct checksum.
fn decode(stored: &[u8], decoded_bytes: u32, samples: u32, identity: [u8; 32]) -> Result<Chunk, Error> {
    let layout = BODY.1;
    let record = ChunkRecord {
        offset: 0,
        stored_bytes: stored.len() as u64,
        decoded_bytes,
        samples,
        checksum: chunk_checksum(stored),
        identity,
    };
    let mut chunk = Chunk::new(layout.widths, 0);
    let name = ChunkName { shard: Path::new("hostile.shard"), number: 7, first_sample: 14 };
    let stored = StoredChunk { name, layout: &layout, record: &record, bytes: stored };
    Decoder::new().decode_and_identify(stored, &mut chunk)?;
    // Check everything that readers of frames rely on without a check of their own.
    for sample in chunk.frames.samples() {
        assert!(sample.frames() > 0 && sample.cells.iter().all(|cell| cell < 100));
        assert_eq!(sample.frame_sizes.sum() as usize, sample.entries());
        sample.to_dense::<u32>(layout.shape);
    }
    Ok(chunk)
}

fn decode_body(body: &[u8], samples: u32) -> Result<Chunk, Error> {
    let stored = zstd::bulk::compress(body, 1).unwrap();
    decode(&stored, body.len() as u32, samples, *blake3::hash(body).as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_bytes_are_no_chunk(stored in prop::collection::vec(any::<u8>(), 0..300), decoded in 0..5000_u32) {
        let fault = decode(&stored, decoded, 2, [0; 32]).unwrap_err().to_string();
        prop_assert!(fault.contains("hostile.shard: corrupt: chunk 7 (samples 14 to 15): "), "{}", fault);
    }

    #[test]
    fn a_changed_chunk_is_refused_or_sound(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(255)]), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        samples in prop_oneof![6 => Just(2_u32), 1 => 0..5_u32, 1 => Just(u32::MAX)],
    ) {
        let (mut body, ..) = BODY.clone();
        prop_assert!(decode_body(&body, BODY.2).is_ok());
        for (at, value) in changes {
            let at = at.index(body.len());
            body[at] = value;
        }
        if let Some(length) = cut {
            body.truncate(length.index(body.len()));
        }
        // An error is right, and so is a valid chunk. A panic is wrong, and so is a sample that readers cannot rely
        // on.
        if let Err(fault) = decode_body(&body, samples) {
            prop_assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })), "{}", fault);
        }
    }
}
