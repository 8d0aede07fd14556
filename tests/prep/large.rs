//! Tests of samples that are too large to be read at once.

use std::path::{Path, PathBuf};

use tonic_toolkit::shard::Width;

use super::camera::npy_header;
use super::made::{Frame, Set};
use super::recording::{change, convert, json, refuses, samples, scratch, shell, tool};

/// Number of events in a sample: too many to be read at once, and too many to be sorted in memory.
const EVENTS: i64 = (1 << 22) + 100_000;
const SENSOR: [&str; 2] = ["--sensor", "8,4,2"];

/// Writes a recording of [`EVENTS`] events. If `in_order` is false, times step back by up to 5 ms.
fn recording(path: &Path, in_order: bool) -> PathBuf {
    let mut noise = 1_u64;
    let mut events: Vec<(i64, [u8; 3])> = (0..EVENTS)
        .map(|i| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let bits = noise >> 33;
            (5000 + 2 * i - (bits % 5000) as i64, [bits & 7, bits >> 3 & 3, bits >> 5 & 1].map(|n| n as u8))
        })
        .collect();
    if in_order {
        events.sort_by_key(|event| event.0);
    }
    let descr = "[('t', '<i8'), ('x', '|u1'), ('y', '|u1'), ('p', '|u1')]";
    let mut bytes = npy_header(descr, &format!("({EVENTS},)"));
    for (time, rest) in events {
        bytes.extend(time.to_le_bytes());
        bytes.extend(rest);
    }
    std::fs::write(path, bytes).unwrap();
    path.into()
}

#[test]
fn a_large_recording_out_of_order_is_sorted_on_disk() {
    let dir = scratch();
    let (mixed, sorted) = (recording(&dir.join("mixed.npy"), false), recording(&dir.join("sorted.npy"), true));
    for (name, cut) in [("whole", &[][..]), ("cut", &["--sample-events", "500000"])] {
        let sets = [&mixed, &sorted].map(|file| {
            let out = dir.join(format!("{name}-{}", file.file_stem().unwrap().to_str().unwrap()));
            convert(&[file], &out).args(SENSOR).args(cut).assert().success();
            tool("verify", &out).assert().success();
            samples(&out)
        });
        assert_eq!(sets[0].len(), sets[1].len());
        for (mixed, sorted) in sets[0].iter().zip(&sets[1]) {
            assert_eq!((mixed.flags, sorted.flags), (1, 0));
            assert!(mixed.dense == sorted.dense && mixed.ledger == sorted.ledger, "{name}");
            assert_eq!(mixed.ledger.binned, mixed.ledger.events_in);
        }
    }
    let recipe = dir.file("bins.toml", "[frames]\nn_time_bins = 100\n");
    let mut dry = convert(&[&mixed], &dir.join("none"));
    let plan = json(dry.args(SENSOR).arg("--recipe").arg(recipe).args(["--dry-run", "--json"]));
    assert_eq!(plan["sample_ledger"]["events_in"], EVENTS, "{plan}");
}

#[test]
fn a_folder_of_temporary_files_that_is_full_or_missing_is_named() {
    let dir = scratch();
    let (file, full) = (recording(&dir.join("mixed.npy"), false), dir.folder("full"));
    let missing = dir.join("missing");
    let words = ["missing: cannot create a temporary file", "check the path"];
    refuses(convert(&[&file], &dir.join("set")).args(SENSOR).env("TMPDIR", &missing), 1, &words);
    // A limit on the size of files acts like a full disk.
    let script = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" convert \"$1\" -o \"$2\" -q --sensor 8,4,2";
    let mut limited = shell("sh", script, &[&file, &dir.join("set")]);
    refuses(
        limited.env("TMPDIR", &full),
        1,
        &["full: cannot write a temporary file", "free some space there", "TMPDIR"],
    );
    let mut resumed = convert(&[&file], &dir.join("set"));
    resumed.args(SENSOR).arg("--resume").env("TMPDIR", &full).assert().success();
    assert_eq!(std::fs::read_dir(&full).unwrap().count(), 0);
}

#[test]
fn a_chunk_of_many_stored_bytes_is_checked_and_counted_piece_by_piece() {
    const ENTRIES: u64 = 10_000_000;
    const PER_FRAME: u64 = 5000;
    let mut noise = 1_u64;
    let mut draw = |n: u64| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 33) % n
    };
    // Gaps between cells, and counts, are random, so that zstd cannot compress them.
    let mut frame = |_| -> Frame {
        let mut cell = 0;
        let mut entry = |_| {
            cell += 1 + draw(31) as u32;
            (cell - 1, (1 + draw(7)) as f64)
        };
        (0..PER_FRAME).map(&mut entry).collect()
    };
    let frames: Vec<Frame> = (0..ENTRIES / PER_FRAME).map(&mut frame).collect();
    let twos = frames.iter().flatten().filter(|entry| entry.1 == 2.0).count();
    let events: f64 = frames.iter().flatten().map(|entry| entry.1).sum();
    let dir = scratch();
    let set = dir.join("set");
    let manifest =
        Set { chunk_samples: 1, ..Set::new([1, 1, 32 * PER_FRAME as u32], Width::U8, vec![frames]) }.write(&set);
    assert!(manifest.stored_bytes() > 9 << 20, "{}", manifest.stored_bytes());
    tool("verify", &set).assert().success();
    let said = json(tool("stats", &set).arg("--json"));
    assert_eq!(said["counts"][1], serde_json::json!({"from": 2, "to": 2, "entries": twos}));
    assert_eq!(said["ledger"]["binned"], events as u64);
    let shard = set.join("00000.shard");
    change(&shard, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    for name in ["verify", "stats"] {
        refuses(&mut tool(name, &set), 4, &["00000.shard", "chunk 0", "stored bytes: expected xxh3"]);
    }
}
