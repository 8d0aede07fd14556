//! Tests of promises about a set: its bytes, the identity of a chunk, and where the set came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tonic_toolkit::base::Error as BaseError;
use tonic_toolkit::shard::{Decoder, Error, ShardSet, Width};

use super::camera::Camera;
use super::made::Set;
use super::recording::{Recording, Scratch, Times, change, contents, manifest, prep, says, scratch};

type Files = BTreeMap<String, Vec<u8>>;

/// Name, sensor and TOML of recipes. Together, they have every slicing and every width of the column `cells`.
const RECIPES: [(&str, &str, &str); 8] = [
    (
        "reference",
        "700",
        "[[transform]]\nname = \"Downsample\"\nspatial_factor = [0.2, 1.0]\n[frames]\ntime_window = 4000\ninclude_incomplete = true\n",
    ),
    ("overlapping", "700", "[frames]\ntime_window = 9000\noverlap = 4000.0\n"),
    (
        "cropped",
        "700",
        "[[transform]]\nname = \"CropTime\"\nmin = 200000\nmax = 600000\n[frames]\ntime_window = 3001\nstart_time = 0\nend_time = 700000\n",
    ),
    ("by-count", "700", "[frames]\nevent_count = 7\noverlap = 2.0\ninclude_incomplete = true\n"),
    ("time-bins", "700", "[frames]\nn_time_bins = 9\noverlap = 0.3\n"),
    ("event-bins", "700", "[frames]\nn_event_bins = 5\n"),
    ("plane", "700,30,2", "[frames]\ntime_window = 10000\n"),
    ("large", "1280,720,2", "[frames]\nn_time_bins = 3\n"),
];

/// Converts `file` with a recipe and other options. Returns the set's directory and files.
fn made(dir: &Scratch, file: &Path, (name, sensor, recipe): (&str, &str, &str), others: &[&str]) -> (PathBuf, Files) {
    let path = dir.file(&format!("{name}.toml"), recipe);
    let arguments = ["--recipe", path.to_str().unwrap(), "--sensor", sensor];
    let out = dir.convert(&[file], &format!("{name}{}", others.join("")), &[&arguments, others].concat());
    (out.clone(), contents(&out))
}

#[test]
fn threads_change_no_byte_of_any_recipe_and_geometry() {
    let dir = scratch();
    let speech = Recording::random(90, 22, 150).write(&dir.join("a.h5"));
    let camera = Camera::random(90, 22 * 150, 900_000).npy(&dir.join("a.npy"));
    let mut widths = std::collections::BTreeSet::new();
    for recipe in RECIPES {
        // 8 chunks in 8 shards, 11 chunks in 3 to 11 shards, and 5 chunks in 1 shard.
        for (chunk_samples, shard_size, shards) in [("3", "1", 8..=8), ("2", "300", 3..=11), ("5", "64M", 1..=1)] {
            let [one, two, eight] = ["1", "2", "8"].map(|threads| {
                let geometry = ["--chunk-samples", chunk_samples, "--shard-size", shard_size, "--threads", threads];
                match recipe.1.contains(',') {
                    true => made(&dir, &camera, recipe, &[&geometry[..], &["--sample-events", "150"]].concat()).1,
                    false => made(&dir, &speech, recipe, &geometry).1,
                }
            });
            assert!(shards.contains(&(one.len() - 1)), "{}: shards and a manifest, and nothing else", recipe.0);
            assert!(one == two && one == eight, "{} {chunk_samples} {shard_size}", recipe.0);
            let manifest: Value = serde_json::from_slice(&one["manifest.json"]).unwrap();
            widths.insert(manifest["widths"]["cells"].as_str().unwrap().to_string());
        }
    }
    assert_eq!(widths.into_iter().collect::<Vec<_>>(), ["u16", "u32", "u8"]);
}

#[test]
fn nothing_of_the_machine_or_the_moment_is_in_a_set() {
    let dir = scratch();
    let original = Recording::random(91, 9, 80).write(&dir.join("a.h5"));
    let sets = ["here", "elsewhere/deeper"].map(|place| {
        let place = dir.join(place);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::copy(&original, place.join("a.h5")).unwrap();
        let mut command = prep();
        command.current_dir(&place).env("TZ", "Pacific/Auckland").env("HOSTNAME", "box").env("USER", "someone");
        command.args(["convert", "./a.h5", "-o", "set", "-q"]).assert().success();
        let set = contents(&place.join("set"));
        for text in set.values().map(|bytes| String::from_utf8_lossy(bytes)) {
            assert!(!text.contains(place.to_str().unwrap()) && !text.contains("someone"));
        }
        set
    });
    assert!(sets[0] == sets[1], "the same recording gives the same set anywhere");
}

#[test]
fn an_identity_survives_another_compressor_and_nothing_else() {
    let dir = scratch();
    let file = Recording::random(92, 12, 200).write(&dir.join("a.h5"));
    let small = ["--chunk-samples", "3", "--shard-size", "1"];
    let set = |recipe: usize, others: &[&str]| made(&dir, &file, RECIPES[recipe], &[&small, others].concat());
    let facts = |path: &Path| {
        let set = ShardSet::open(path).unwrap();
        let shards: Vec<_> = set.manifest().shards.iter().map(|shard| shard.identity).collect();
        (set.manifest().set_id, set.manifest().description.recipe_id, set.identities(), shards)
    };
    let (first, files) = set(0, &["--level", "1"]);
    let (again, stored_otherwise) = set(0, &["--level", "19"]);
    assert_eq!(facts(&first), facts(&again), "ids are of the content");
    assert!(files["00001.shard"] != stored_otherwise["00001.shard"], "which was stored in other bytes");

    // The id of a set depends on each part of its content.
    let (id, recipe_id, identities, _) = facts(&first);
    let fewer = facts(&set(0, &["--limit", "9"]).0);
    assert_eq!((recipe_id, &identities[..3]), (fewer.1, &fewer.2[..]), "the same chunks");
    let other_chunks = facts(&made(&dir, &file, RECIPES[0], &["--chunk-samples", "4"]).0);
    let other_recipe = facts(&set(1, &[]).0);
    assert_eq!(recipe_id, other_chunks.1);
    assert_ne!(recipe_id, other_recipe.1);
    let ids = [id, fewer.0, other_chunks.0, other_recipe.0].map(|id| id.to_string());
    assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{ids:?}");
}

#[test]
fn stored_bytes_are_checked_at_every_read_and_not_by_verify_alone() {
    let dir = scratch();
    let file = Recording::random(93, 6, 100).write(&dir.join("a.h5"));
    let (out, _) = made(&dir, &file, RECIPES[0], &["--chunk-samples", "3"]);
    let record = ShardSet::open(&out).unwrap().shards()[0].head().chunks[1];
    let path = out.join("00000.shard");
    let whole = std::fs::read(&path).unwrap();
    for at in record.offset..record.offset + record.stored_bytes {
        std::fs::write(&path, &whole).unwrap();
        change(&path, |bytes| bytes[at as usize] ^= 1);
        let set = ShardSet::open(&out).unwrap();
        let (mut decoder, mut chunk) = (Decoder::new(), set.empty_chunk());
        set.decode(0, &mut decoder, &mut chunk).unwrap();
        let fault = set.decode(1, &mut decoder, &mut chunk).unwrap_err();
        says(&fault.to_string(), &["00000.shard: corrupt: chunk 1 (samples 3 to 5): stored bytes"]);
        assert!(matches!(fault, Error::Base(BaseError::Corrupt { .. })));
    }
}

#[test]
fn a_set_says_where_it_came_from() {
    let dir = scratch();
    let files = dir.recordings(&[94, 95].map(|seed| Recording::random(seed, 7, 60)));
    let out = dir.convert(&files, "set", &["--level", "5"]);
    let manifest: Value = serde_json::from_slice(&contents(&out)["manifest.json"]).unwrap();
    for (source, file) in manifest["sources"].as_array().unwrap().iter().zip(&files) {
        let bytes = std::fs::read(file).unwrap();
        assert_eq!(source["name"], file.file_name().unwrap().to_str().unwrap());
        assert_eq!((source["bytes"].as_u64(), source["samples"].as_u64()), (Some(bytes.len() as u64), Some(7)));
        assert_eq!(source["blake3"], blake3::hash(&bytes).to_string());
    }
    assert_eq!(manifest["tool"]["tonic_toolkit"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["tool"]["zstd"], zstd::zstd_safe::version_string());
    assert_eq!(manifest["tool"]["level"], 5);
    assert_eq!((&manifest["classes"][2], &manifest["extras"][0]), (&"two".into(), &"speaker".into()));
    let recipe: toml::Table = manifest["recipe"].as_str().unwrap().parse().unwrap();
    assert_eq!(recipe["frames"]["time_window"].as_integer(), Some(4000));
}

#[test]
fn a_changed_sample_changes_its_chunk_and_no_other_file() {
    let dir = scratch();
    let before = Recording { times_as: Times::F64, ..Recording::random(96, 20, 120) };
    let set = |name: &str, recording: &Recording| {
        let file = recording.write(&dir.join(format!("{name}.h5")));
        let recipe = (name, RECIPES[0].1, RECIPES[0].2);
        let (out, files) = made(&dir, &file, recipe, &["--chunk-samples", "3", "--shard-size", "250"]);
        let set = ShardSet::open(&out).unwrap();
        (set.manifest().set_id, set.identities(), files)
    };
    let (old_id, old, old_files) = set("before", &before);
    let shard_chunks = old.len().div_ceil(old_files.len() - 1);
    assert!(shard_chunks > 1 && old_files.len() > 3, "{} chunks in {} files", old.len(), old_files.len());
    for (i, sample) in [0, 2, 3, 10, 13, 19].into_iter().enumerate() {
        let mut after = before.clone();
        match i {
            0 => after.times[sample].truncate(5),
            1 => after.times[sample].clear(),
            2 => after.labels[sample] = 1,
            3 => after.speakers.as_mut().unwrap()[sample] = 7,
            4 => after.units[sample][5] = (after.units[sample][5] + 350) % 700,
            _ => after.times[sample].iter_mut().for_each(|t| *t *= 0.5),
        }
        let events = after.times[sample].len();
        after.units[sample].truncate(events);
        let (new_id, new, new_files) = set(&format!("after-{sample}"), &after);
        assert_ne!(old_id, new_id, "sample {sample}");
        let changed: Vec<usize> = (0..old.len()).filter(|&k| old[k] != new[k]).collect();
        assert_eq!((changed, new.len()), (vec![sample / 3], old.len()), "sample {sample}");
        let changed: Vec<&String> = old_files.keys().filter(|name| old_files[*name] != new_files[*name]).collect();
        let shard = format!("{:05}.shard", sample / 3 / shard_chunks);
        assert_eq!(changed, [&shard, "manifest.json"], "sample {sample}");
    }
}

#[test]
fn sets_that_do_not_belong_together_are_refused_by_the_field_that_differs() {
    let dir = scratch();
    let file = Recording::random(97, 6, 60).write(&dir.join("a.h5"));
    let of = |recipe| made(&dir, &file, recipe, &[]).0;
    let reference = manifest(&of(RECIPES[0]));
    let refused = |other: &Path| {
        let fault = manifest(other).check_compatible(Path::new("b"), &reference, Path::new("a")).unwrap_err();
        assert!(matches!(fault, Error::Mismatch { .. }), "{fault}");
        fault.to_string()
    };
    says(&refused(&of(RECIPES[1])), &["b", "a", "shape differs", "(1, 1, 140)", "(1, 1, 700)"]);
    let longer = RECIPES[0].2.replace("4000", "5000");
    says(&refused(&of(("longer", "700", &longer))), &["recipe differs", "time_window = 4000", "5000"]);
    Set::new([1, 1, 140], Width::U8, vec![vec![vec![(1, 1.0)]]]).write(&dir.join("made"));
    let fault = refused(&dir.join("made"));
    says(&fault, &["recipe differs", "expected Downsample, Downsample.time_factor = 1.0, ", "got time_window = 10000"]);
    reference.check_compatible(Path::new("a"), &reference, Path::new("a")).unwrap();
}
