//! Tests of inputs in which one recording or one sample has another unit of time than the others.

use std::path::PathBuf;

use super::bad_rows::digits;
use super::camera::{Camera, seconds};
use super::recording::{Recording, Times, convert, fails, json, samples, says, scratch};
use super::units::{SENSOR, notes, npy_of_floats};

/// Asserts that the error message contains `words` and doesn't suggest `--time-unit`.
fn says_alone(said: &str, words: &[&str]) {
    says(said, words);
    assert!(!said.contains("--time-unit"), "{said}");
}

#[test]
fn one_file_in_another_unit_is_named() {
    let dir = scratch();
    let cameras: Vec<Camera> = (0..6).map(|seed| Camera::random(seed, 3_000, 900_000)).collect();
    let right = dir.folder("right");
    for (i, camera) in cameras.iter().enumerate() {
        camera.npy(&right.join(format!("{i}.npy")));
    }
    convert(&[&right], &dir.join("set")).args(SENSOR).assert().success();
    let mixed = |unit: &str, i: usize| {
        let folder = dir.folder(&format!("{unit}{i}"));
        for (other, camera) in cameras.iter().enumerate() {
            let path = folder.join(format!("{other}.npy"));
            match unit {
                _ if other != i => camera.npy(&path),
                "ms" => Camera { t: camera.t.iter().map(|t| t / 1_000).collect(), ..camera.clone() }.npy(&path),
                _ => npy_of_floats(camera, &path, seconds),
            };
        }
        folder
    };
    for (unit, i, factor) in [("ms", 0, "1000"), ("ms", 2, "1000"), ("ms", 5, "1000"), ("s", 3, "1000000")] {
        let folder = mixed(unit, i);
        let words = [
            &format!("{i}.npy: times: expected"),
            &*format!("ms in us, so this one alone seems to be in {unit}"),
            &format!("a copy of it in us, with its times multiplied by {factor}"),
        ];
        let files: Vec<PathBuf> = (0..6).map(|i| folder.join(format!("{i}.npy"))).collect();
        let files: Vec<_> = files.iter().collect();
        for inputs in [&[&folder][..], &files] {
            for cut in [&[][..], &["--sample-events", "500"]] {
                let set = dir.join("none");
                let said = fails(convert(inputs, &set).args(SENSOR).args(cut).arg("--overwrite"), 3);
                says_alone(&said, &words);
            }
        }
        // If the user gives the unit, the error becomes a warning.
        let given = notes(&folder, &dir.join("given"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
        let warning = format!("warning: {i}.npy: times in another unit: it lasts");
        says(&given.join("\n"), &[&warning]);
        let said =
            convert(&[&folder], &dir.join("given")).args(SENSOR).args(["--time-unit", "us", "--overwrite"]).output();
        says(&String::from_utf8(said.unwrap().stderr).unwrap(), &[&warning, "in us (--time-unit)"]);
        // With the corrected copy of the file, there is no warning.
        std::fs::copy(right.join(format!("{i}.npy")), folder.join(format!("{i}.npy"))).unwrap();
        let said = notes(&folder, &dir.join("mended"), &SENSOR);
        assert!(said.is_empty(), "{said:?}");
        assert!(samples(&dir.join("mended")) == samples(&dir.join("set")));
    }
    let said = notes(&right, &dir.join("given"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn one_small_file_in_another_unit_is_warned_of() {
    let dir = scratch();
    for (name, events, unit, lasts, given) in [
        ("few", 60, 1_000, "ms in us", &[][..]),
        ("given", 60, 1_000, "s in ms", &["--time-unit", "ms"]),
        ("many", 3_000, 1_000, "ms in us", &[]),
        ("same", 60, 1, "", &[]),
        ("few of few", 6, 1_000, "", &[]),
    ] {
        let folder = dir.folder(name);
        for i in 0..6 {
            // Times in us, up to 12 s.
            let camera = Camera::random(i, events, 12_000_000);
            let scale = if i == 4 { unit } else { 1 };
            let times = camera.t.iter().map(|t| t / scale).collect();
            Camera { t: times, ..camera }.npy(&folder.join(format!("{i}.npy")));
        }
        let said = notes(&folder, &dir.join("set"), &[&SENSOR[..], given].concat()).join("\n");
        match lasts {
            "" => assert!(!said.contains("another unit"), "{name}: {said}"),
            _ => says(&said, &["warning: 4.npy: times in another unit: it lasts 1", lasts, "5 others last about "]),
        }
    }
}

#[test]
fn one_file_in_another_unit_is_warned_of_if_it_is_cut_and_before_it_is_converted() {
    let dir = scratch();
    for (name, scale, warned) in [("ms", 1_000, true), ("same", 1, false)] {
        let folder = dir.folder(name);
        for i in 0..6 {
            let scale = if i == 4 { scale } else { 1 };
            let camera = Camera::random(i, 3_000, 12_000_000);
            Camera { t: camera.t.iter().map(|t| t / scale).collect(), ..camera }.npy(&folder.join(format!("{i}.npy")));
        }
        let files: Vec<_> = (0..6).map(|i| folder.join(format!("{i}.npy"))).collect();
        for cut in [&[][..], &["--sample-duration", "1s"], &["--sample-events", "500"], &["--sample-events", "9000"]] {
            for inputs in [std::slice::from_ref(&folder.to_path_buf()), &files] {
                for mode in ["--overwrite", "--dry-run"] {
                    let mut command = convert(inputs, &dir.join("set"));
                    let said = json(command.args(SENSOR).args(cut).args([mode, "--json"]));
                    let said = said["notes"].to_string();
                    let words =
                        ["warning: 4.npy: times in another unit: it lasts 12 ms in us", "5 others last about 12 s"];
                    assert!(words.iter().all(|word| said.contains(word) == warned), "{name} {cut:?} {mode}: {said}");
                }
            }
        }
    }
}

#[test]
fn one_sample_of_speech_in_another_unit_is_named() {
    let dir = scratch();
    let speech = Recording { times_as: Times::F64, ..Recording::random(71, 12, 300) };
    for (unit, i, scale, what) in [("ms", 4, 1e3, "divided by 1000"), ("us", 11, 1e6, "divided by 1000000")] {
        let mut mixed = speech.clone();
        mixed.times[i].iter_mut().for_each(|t| *t *= scale);
        let file = mixed.write(&dir.join("mixed.h5"));
        let place = format!("sample {i}: times: expected speech of at most a minute");
        let alone = format!("so this one alone seems to be in {unit}");
        says_alone(&fails(convert(&[&file], &dir.join("none")).arg("--overwrite"), 3), &[&place, &alone, what]);
        // In the unit of this sample, all other samples last less than a millisecond.
        if unit == "us" {
            let said = notes(&file, &dir.join("given"), &["--time-unit", unit, "--max-loss", "1"]);
            says(&said.join("\n"), &["warning: sample 0 and 10 more: times in another unit: it lasts"]);
        }
    }
    let said = notes(&speech.write(&dir.join("s.h5")), &dir.join("given"), &["--time-unit", "s"]);
    assert!(said.is_empty(), "{said:?}");
    let mut mixed = speech;
    mixed.times[2].iter_mut().for_each(|t| *t *= 1e3);
    let digits = digits(&mixed, &dir.join("digits.h5"));
    let words = ["sample 2: times: expected speech", "so this one alone seems to be in ms", "divided by 1000"];
    says_alone(&fails(&mut convert(&[&digits], &dir.join("none")), 3), &words);
}
