//! Tests of cochlea files in which several samples have the same fault. The error message has one command that mends
//! all these samples.

use std::path::{Path, PathBuf};
use std::process::Command;

use hdf5::types::VarLenUnicode;

use super::recording::{
    Keys, Recording, Sample, Scratch, Times, column, convert, hdf5_file, refuses, samples, scratch,
};

/// Runs the command that begins with `start` in the error message `said`. The command saves `file`. Returns the path
/// of `file`, or `None` if h5py is missing.
fn mended(dir: &Scratch, said: &str, start: &str, file: &str) -> Option<PathBuf> {
    let shell = |line: &str| Command::new("sh").args(["-c", line]).current_dir(dir.join("")).output().unwrap();
    if !shell("python3 -c 'import h5py'").status.success() {
        println!("skipped: there is no Python with h5py");
        return None;
    }
    let after =
        |from: usize, word: &str| from + said[from..].find(word).unwrap_or_else(|| panic!("{said}")) + word.len();
    let from = after(0, start) - start.len();
    let output = shell(&said[from..after(after(from, "-c '"), "'")]);
    assert!(output.status.success(), "{said}: {}", String::from_utf8_lossy(&output.stderr));
    Some(dir.join(file))
}

fn converted(file: &Path, set: &Path) -> Vec<Sample> {
    convert(&[file], set).args(["--time-window", "1000000", "--overwrite"]).assert().success();
    samples(set)
}

/// Makes a recording of 60 samples, with all events on channel 5. `row(i)` returns the times of sample i.
fn speech(row: impl Fn(usize) -> Vec<f64>) -> Recording {
    let sample = |i| row(i).iter().map(|t| (*t, 5)).collect();
    Recording { times_as: Times::F64, ..Recording::of((0..60).map(sample).collect()) }
}

/// Writes the samples of a recording in the layout of N-TIDIGITS.
pub(crate) fn digits(speech: &Recording, path: &Path) -> PathBuf {
    hdf5_file(path, |file| {
        let names: Vec<String> =
            (0..speech.times.len()).map(|i| format!("man-{i}-{}", ["z", "1", "2"][i % 3])).collect();
        column(file, "train_labels", &names.iter().map(|name| name.parse().unwrap()).collect::<Vec<VarLenUnicode>>());
        let (addresses, timestamps) =
            (file.create_group("train_addresses").unwrap(), file.create_group("train_timestamps").unwrap());
        for (name, times) in names.iter().zip(&speech.times) {
            column(&addresses, name, &vec![5_u8; times.len()]);
            column(&timestamps, name, times);
        }
    })
}

#[test]
fn one_command_mends_the_clocks_of_all_rows() {
    let dir = scratch();
    let good = |i: usize| (0..400 + i).map(|k| k as f64 * 2e-3).collect::<Vec<f64>>();
    // Old events at the start, one stray time, and a clock that starts again.
    let is_old = |i: usize| i > 4 && i.is_multiple_of(3);
    let bad = |i: usize| match i {
        8 | 40 => [&good(i)[..100], &[1e9], &good(i)[100..]].concat(),
        50 | 52 => [&good(i)[..], &good(i)[..150]].concat(),
        i if is_old(i) => [vec![-3_000.0; 2 + i % 2], good(i)].concat(),
        i => good(i),
    };
    // The number of other samples with this kind of fault, from the error message.
    let others = |said: &str| {
        said.split("; ").find_map(|part| part.strip_suffix(" such a fault too")).map(String::from).unwrap()
    };
    type Write = fn(&Recording, &Path) -> PathBuf;
    for (write, name) in [(Recording::write as Write, "a.h5"), (digits, "b.h5")] {
        let right = converted(&write(&speech(good), &dir.join("right.h5")), &dir.join("set"));
        let mut file = write(&speech(bad), &dir.join(name));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let said = refuses(&mut convert(&[&file], &dir.join("none")), 3, &[" such a fault too", "these are all "]);
            let (_, kind) = said.split_once("times: expected a clock that goes on, got a ").unwrap();
            let sample = said.split("sample ").nth(1).unwrap().split(':').next().unwrap();
            kinds.push(format!("{sample} {} {}", kind.split(':').next().unwrap(), others(&said)));
            let copy = format!("{}_mended.h5", file.file_stem().unwrap().to_str().unwrap());
            let Some(copy) = mended(&dir, &said, "cp ", &copy) else { return };
            file = copy;
        }
        kinds.sort();
        assert_eq!(
            kinds,
            ["50 reset another sample has", "6 gap 17 other samples have", "8 stray time another sample has"]
        );
        let found = converted(&file, &dir.join("set"));
        let frames = |samples: &[Sample]| samples.iter().map(|s| (s.dense.clone(), s.ledger)).collect::<Vec<_>>();
        assert!(frames(&found) == frames(&right), "{}", file.display());
    }
}

#[test]
fn one_command_mends_all_odd_labels() {
    let dir = scratch();
    let good = Recording { times_as: Times::F64, ..Recording::random(3, 30, 40) };
    let right = converted(&good.write(&dir.join("right.h5")), &dir.join("set"));
    let of = |labels: &dyn Fn(i64) -> i64| Recording { labels: (0..30).map(labels).collect(), ..good.clone() };
    let keyless = |labels| Recording { keys_as: Keys::None, ..of(labels) };
    let dropped = |i: i64| i % 7 == 4;
    for (recording, got, labels) in [
        (of(&|i| i % 3 + 1), "sample 2: label: expected 0 to 2, as extra/keys names, got 3; 9 other samples", None),
        (
            of(&|i| if dropped(i) { -1 } else { i % 3 }),
            "sample 4: label: expected 0 to 2, as extra/keys names, got -1; 3 other",
            Some(-1),
        ),
        (of(&|i| if dropped(i) { 255 } else { i % 3 }), "got 255; 3 other samples have such labels too", Some(-1)),
        (keyless(&|i| if i == 4 { -1 } else { i % 3 }), "a file without extra/keys, got -1", Some(4)),
        (keyless(&|i| [800_000, 900_000, 900_001][i as usize % 3]), "got 800000; 29 other samples", None),
    ] {
        let file = recording.write(&dir.join("a.h5"));
        let said = refuses(&mut convert(&[&file], &dir.join("none")), 3, &[got, "and convert a_mended.h5"]);
        let Some(copy) = mended(&dir, &said, "python3", "a_mended.h5") else { return };
        let kept = (0..30).filter(|&i| labels.is_none_or(|one| if one < 0 { !dropped(i) } else { i != one }));
        let expected: Vec<&Sample> = kept.map(|i| &right[i as usize]).collect();
        let found = converted(&copy, &dir.join("set"));
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{said}");
        std::fs::remove_file(copy).unwrap();
    }
}
