//! Tests of units of times that the user gives, or that don't fit the file's layout.

use std::path::{Path, PathBuf};

use hdf5::types::{VarLenArray, VarLenUnicode};
use serde_json::Value;
use tonic_toolkit::base::Verbosity;
use tonic_toolkit::prep::SourceOptions;
use tonic_toolkit::sets::repair_from;
use tonic_toolkit::shard::Manifest;

use super::camera::{Camera, npy_header, seconds};
use super::recording::{Recording, Times, contents, convert, fails, hdf5_file, prep, samples, says, scratch};

pub(crate) const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// Writes a structured NumPy array with float64 times.
pub(crate) fn npy_of_floats(camera: &Camera, path: &Path, time: impl Fn(i64) -> f64) -> PathBuf {
    let descr = "[('t', '<f8'), ('x', '<u2'), ('y', '<u2'), ('p', '|u1')]";
    let mut bytes = npy_header(descr, &format!("({},)", camera.t.len()));
    for i in 0..camera.t.len() {
        bytes.extend(time(camera.t[i]).to_le_bytes());
        bytes.extend(camera.x[i].to_le_bytes());
        bytes.extend(camera.y[i].to_le_bytes());
        bytes.push(camera.p[i]);
    }
    std::fs::write(path, bytes).unwrap();
    path.into()
}

/// Writes the columns of e2vid's layout, with the times that `fill` writes.
pub(crate) fn e2vid_of(camera: &Camera, path: &Path, fill: impl Fn(&hdf5::Group)) -> PathBuf {
    hdf5_file(path, |file| {
        let events = file.create_group("events").unwrap();
        let column = || events.new_dataset_builder();
        column().with_data(&camera.x).create("xs").unwrap();
        column().with_data(&camera.y).create("ys").unwrap();
        column().with_data(&camera.p).create("ps").unwrap();
        fill(&events);
    })
}

/// Converts `file` to `set`. Returns the notes of the conversion.
pub(crate) fn notes(file: &Path, set: &Path, arguments: &[&str]) -> Vec<String> {
    let mut command = convert(&[file], set);
    let output = command.args(arguments).args(["--overwrite", "--json"]).assert().success().get_output().clone();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    json["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_string()).collect()
}

/// Asserts that the conversion is refused. Returns the message.
pub(crate) fn refused(file: &Path, set: &Path, arguments: &[&str]) -> String {
    let said = fails(convert(&[file], set).args(arguments), 3);
    assert!(!set.exists(), "{said}");
    said
}

#[test]
fn cochleas_take_a_unit() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let speech = Recording { times_as: Times::F64, ..Recording::random(61, 5, 300) };
    convert(&[speech.write(&path("s.h5"))], &path("s")).assert().success();
    for (unit, scale) in [("ms", 1e3), ("us", 1e6), ("ns", 1e9)] {
        let times = speech.times.iter().map(|row| row.iter().map(|t| (t * 1e6).trunc() / 1e6 * scale * 1.000_000_1));
        let other = Recording { times: times.map(Iterator::collect).collect(), ..speech.clone() };
        let file = other.write(&path(&format!("{unit}.h5")));
        notes(&file, &path(unit), &["--time-unit", unit]);
        let (found, expected) = (samples(&path(unit)), samples(&path("s")));
        assert!(found.iter().zip(&expected).all(|(a, b)| a.ledger == b.ledger), "{unit}");
        assert!(found == expected, "{unit}");
        let said = refused(&file, &path("none"), &[]);
        says(&said, &["sample 0: times: expected speech of at most a minute", &format!("--time-unit {unit} takes")]);
        notes(&file, &path("asked"), &["--time-unit", "s"]);
    }
    // Integer times are refused if no unit is given.
    let whole = |unit: &[&str], code: i32| {
        let file = hdf5_file(&path("whole.h5"), |file| {
            speech.fill(file);
            let spikes = file.group("spikes").unwrap();
            spikes.unlink("times").unwrap();
            let row =
                |row: &Vec<f64>| VarLenArray::from_slice(&row.iter().map(|t| (t * 1e6) as i64).collect::<Vec<_>>());
            let rows: Vec<VarLenArray<i64>> = speech.times.iter().map(row).collect();
            spikes.new_dataset::<VarLenArray<i64>>().shape(rows.len()).create("times").unwrap().write(&rows).unwrap();
        });
        let output = convert(&[&file], &path("whole")).args(unit).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        String::from_utf8(output.stderr).unwrap()
    };
    says(
        &whole(&[], 3),
        &["spikes/times: expected rows of variable-length float16", "or of integers, with their time_unit"],
    );
    whole(&["--time-unit", "us"], 0);
    assert!(samples(&path("whole")) == samples(&path("s")));
    // The largest float16 is 65504, so most times of a sample in microseconds are infinite. The sample must be refused
    // nevertheless.
    let times = speech.times.iter().map(|row| row.iter().map(|t| t * 1e6).collect()).collect();
    let file = Recording { times, times_as: Times::F16, ..speech }.write(&path("half.h5"));
    says(&refused(&file, &path("none"), &[]), &["in us they would last", "--time-unit us"]);
    // One row of a hundred is in another unit. It is not one of the rows that are checked first.
    let mut rows: Vec<Vec<(f64, i64)>> = vec![vec![(0.0, 1), (0.5, 2)]; 100];
    rows[55] = (0..100).map(|i| (f64::from(i), 3)).collect();
    let file = Recording::of(rows.clone()).write(&path("one.h5"));
    let said = fails(&mut convert(&[&file], &path("one")), 3);
    says(&said, &["sample 55: times: expected speech", "this one alone seems to be in ms", "times divided by 1000"]);
    // One row has three events, and the recipe would crop all of them.
    rows[55] = vec![(100.0, 3), (200.0, 3), (900.0, 3)];
    let file = Recording::of(rows).write(&path("few.h5"));
    let said = fails(&mut convert(&[&file], &path("few")), 3);
    says(&said, &["sample 55: times: expected speech of at most a minute, got 3 events", "times divided by 1000"]);
    assert!(!said.contains("--time-unit"), "{said}");
}

#[test]
fn speech_lasts_a_millisecond_or_more() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let speech = Recording { times_as: Times::F64, ..Recording::random(67, 5, 300) };
    let lasting = |n: i64, us: i64| {
        let row = |i: i64| (us * i / (n - 1)) as f64 / 1e6;
        Recording { times_as: Times::F64, ..Recording::of(vec![(0..n).map(|i| (row(i), 3)).collect(); 2]) }
    };
    let kiloseconds = lasting(300, 700);
    let words = ["sample 0: times: expected speech of at least 1 ms, got 300 events", "--time-unit s takes them as"];
    says(&refused(&kiloseconds.write(&path("ks.h5")), &path("none"), &[]), &words);
    notes(&path("ks.h5"), &path("set"), &["--time-unit", "s"]);
    for (n, us, accepted) in [(100, 990, false), (100, 1_010, true), (99, 0, true), (100, 0, true)] {
        let file = lasting(n, us).write(&path("row.h5"));
        match accepted {
            true => drop(notes(&file, &path("set"), &[])),
            false => drop(refused(&file, &path("none"), &[])),
        }
    }
    // The times are in seconds, but an attribute gives another unit. The error suggests the probable unit.
    let told = hdf5_file(&path("told.h5"), |file| {
        speech.fill(file);
        let unit: VarLenUnicode = "us".parse().unwrap();
        file.new_attr::<VarLenUnicode>().create("time_unit").unwrap().write_scalar(&unit).unwrap();
    });
    let words = ["expected speech of at least 1 ms", "in s they would last", "--time-unit s takes them for s"];
    says(&refused(&told, &path("none"), &[]), &words);
    // The first and the last time are near each other, but the other times are not.
    let mut rows = vec![(0..200).map(|i| (f64::from(i * 101 % 200) * 0.004, 3)).collect::<Vec<_>>()];
    rows[0].push((0.0, 5));
    notes(&Recording::of(rows).write(&path("unsorted.h5")), &path("set"), &[]);
}

#[test]
fn digits_of_the_silicon_cochlea_take_a_unit() {
    let dir = scratch();
    let times: Vec<f64> = (0..200).map(|i| f64::from(i) * 0.004).collect();
    let write = |name: &str, scale: f64, attribute: Option<&str>| {
        hdf5_file(&dir.join(name), |file| {
            let names: Vec<VarLenUnicode> = vec!["a-1".parse().unwrap()];
            file.new_dataset_builder().with_data(&names).create("train_labels").unwrap();
            let channels: Vec<u8> = (0..200).map(|i| i % 64).collect();
            let group = file.create_group("train_addresses").unwrap();
            group.new_dataset_builder().with_data(&channels).create("a-1").unwrap();
            let group = file.create_group("train_timestamps").unwrap();
            let times: Vec<f64> = times.iter().map(|t| t * scale).collect();
            group.new_dataset_builder().with_data(&times).create("a-1").unwrap();
            if let Some(unit) = attribute {
                let unit: VarLenUnicode = unit.parse().unwrap();
                group.new_attr::<VarLenUnicode>().create("units").unwrap().write_scalar(&unit).unwrap();
            }
        })
    };
    let set = |name: &str| dir.join(name);
    assert_eq!(notes(&write("s.h5", 1.0, None), &set("s"), &[]), [""; 0]);
    let ms = write("ms.h5", 1e3, None);
    says(&refused(&ms, &set("none"), &[]), &["in ms they would last 796 ms", "--time-unit ms"]);
    notes(&ms, &set("ms"), &["--time-unit", "ms"]);
    let short = write("short.h5", 1e-3, None);
    says(&refused(&short, &set("none"), &[]), &["sample 0: times: expected speech of at least 1 ms, got 200 events"]);
    notes(&short, &set("short"), &["--time-unit", "s"]);
    let told = notes(&write("told.h5", 1e3, Some("msec")), &set("told"), &[]);
    says(&told[0], &["times are in ms, as the attribute \"units\" of \"train_timestamps\" says, not in s"]);
    assert!(samples(&set("s")) == samples(&set("ms")) && samples(&set("s")) == samples(&set("told")));
}

#[test]
fn float_seconds_are_no_microseconds() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let camera = Camera::random(63, 5_000, 3_000_000);
    notes(&camera.npy(&set("us.npy")), &set("us"), &SENSOR);
    let file = npy_of_floats(&camera, &set("s.npy"), seconds);
    let words = ["times: expected times in whole us", "in s they would last 3 s", "--time-unit s takes them for s"];
    says(&refused(&file, &set("none"), &SENSOR), &words);
    says(&refused(&file, &set("none"), &[&SENSOR[..], &["--sample-events", "100"]].concat()), &words);
    notes(&file, &set("s"), &[&SENSOR[..], &["--time-unit", "s"]].concat());
    assert!(samples(&set("s")) == samples(&set("us")));
    // Times of half an hour in seconds would be 1.8 ms if they were microseconds.
    let long = npy_of_floats(&camera, &set("long.npy"), |t| seconds(t * 600));
    says(&refused(&long, &set("none"), &SENSOR), &["in s they would last 30 minutes", "--time-unit s"]);
    // If the times have three decimals, the error suggests milliseconds.
    let ms = npy_of_floats(&camera, &set("ms.npy"), |t| t as f64 / 1e3);
    says(&refused(&ms, &set("none"), &SENSOR), &["in ms they would last 3 s", "--time-unit ms takes them for ms"]);
    // A recording with three events is refused. A recording with one event is accepted.
    let few = Camera::at(&[0, 1_500_000, 3_250_000]);
    let file = npy_of_floats(&few, &set("few.npy"), seconds);
    says(&refused(&file, &set("none"), &SENSOR), &["got 3 events that last", "--time-unit s"]);
    let one = npy_of_floats(&Camera::at(&[500_000]), &set("one.npy"), seconds);
    notes(&one, &set("one"), &SENSOR);
    // Times in microseconds with a fraction of 0.25 are accepted.
    let file = npy_of_floats(&camera, &set("fractions.npy"), |t| t as f64 + 0.25);
    notes(&file, &set("fractions"), &SENSOR);
    assert!(samples(&set("fractions")) == samples(&set("us")));
    // The second file of a folder is refused when its sample is read.
    let folder = set("folder");
    for (class, time) in [("a", seconds as fn(i64) -> f64), ("b", |t| t as f64)] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        npy_of_floats(&camera, &folder.join(class).join("1.npy"), time);
    }
    says(&refused(&folder, &set("none"), &SENSOR), &["1.npy: times: expected times in whole us"]);
    std::fs::rename(folder.join("b"), folder.join("0")).unwrap();
    says(&fails(convert(&[&folder], &set("late")).args(SENSOR), 3), &["a/1.npy: times: expected times in whole us"]);
}

#[test]
fn recordings_last_a_millisecond_to_a_day() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let lasting = |n: i64, duration: i64| Camera::at(&(0..n).map(|i| duration * i / (n - 1)).collect::<Vec<_>>());
    let accepted = |camera: &Camera, more: &[&str]| {
        notes(&camera.npy(&set("a.npy")), &set("set"), &[&SENSOR[..], more].concat());
    };
    let refused = |camera: &Camera, words: &[&str]| {
        let file = camera.npy(&set("a.npy"));
        for cut in [&[][..], &["--sample-duration", "3600s"], &["--sample-events", "60"]] {
            let said = fails(convert(&[&file], &set("none")).args(SENSOR).args(cut), 3);
            says(&said, words);
            assert!(!set("none").exists());
        }
        accepted(camera, &["--time-unit", "us", "--sample-events", "60"]);
        accepted(camera, &["--allow-clock-trouble", "--sample-events", "60"]);
    };
    refused(&lasting(100, 999), &["expected a recording that lasts at least 1 ms, got 100 events that last 999 us"]);
    refused(
        &lasting(100, 0),
        &["at least 1 ms, got 100 events that last 0 us", "--time-unit us takes them as they are"],
    );
    accepted(&lasting(99, 0), &[]);
    accepted(&lasting(100, 1_000), &[]);
    let day = 86_400_000_000;
    refused(
        &lasting(2_000, day + 1_000_000),
        &["expected a recording that lasts at most a day", "in ns they would last"],
    );
    accepted(&lasting(2_000, day), &["--sample-events", "60"]);
    accepted(&lasting(99, 2 * day), &["--sample-events", "4"]);
    // A part that the user chose may be short.
    accepted(&lasting(200_000, 1_000_000), &["--events", "100..250"]);
}

#[test]
fn microseconds_in_an_e2vid_file_are_no_seconds() {
    let dir = scratch();
    let set = |name: &str| dir.join(name);
    let write = |name: &str, camera: &Camera| {
        e2vid_of(camera, &set(name), |events| {
            let t: Vec<f64> = camera.t.iter().map(|&t| t as f64).collect();
            events.new_dataset_builder().with_data(&t).create("ts").unwrap();
        })
    };
    let camera = Camera::random(64, 5_000, 1_000_000);
    let file = write("second.h5", &camera);
    says(
        &refused(&file, &set("none"), &SENSOR),
        &["at most a day", "11.6 days", "in us they would last 1 s", "--time-unit us"],
    );
    // In seconds, the recording would last less than a day, but it would have millions of frames.
    let camera = Camera::random(65, 5_000, 60_000);
    let file = write("short.h5", &camera);
    let said = fails(convert(&[&file], &set("short")).args(SENSOR), 3);
    says(
        &said,
        &["sample 0: times: expected fewer than 1000000 frames", "in us they would last 60 ms", "--time-unit us"],
    );
    notes(&file, &set("us"), &[&SENSOR[..], &["--time-unit", "us"]].concat());
    notes(&camera.npy(&set("a.npy")), &set("npy"), &SENSOR);
    assert!(samples(&set("us")) == samples(&set("npy")));
    // The error about too many frames suggests the option for the unit too.
    let said = fails(convert(&[&file], &set("more")).args(SENSOR).args(["--time-window", "1000"]), 3);
    says(&said, &["frames: expected at most 16777216 frames", "time_unit", "--time-unit says what the times count"]);
}

#[test]
fn a_set_with_a_given_unit_is_resumed_and_repaired() {
    let dir = scratch();
    let set = dir.join("set");
    let camera = Camera::random(66, 3_000, 900_000);
    let file = npy_of_floats(&camera, &dir.join("s.npy"), seconds);
    let options = ["--time-unit", "s", "--sample-events", "500", "--chunk-samples", "1", "--shard-size", "500"];
    convert(&[&file], &set).args(SENSOR).args(options).assert().success();
    let whole = contents(&set);
    assert!(whole.len() > 3);
    // Leave the set as an interrupted conversion would.
    let damaged = set.join(&Manifest::read(&set).unwrap().shards[1].name);
    std::fs::write(&damaged, b"gone").unwrap();
    let mut repair = prep();
    let repair = repair.arg("repair").arg(&set).arg("--from").arg(&file).args(SENSOR);
    repair.args(["--time-unit", "s", "--sample-events", "500"]).assert().success();
    assert!(contents(&set) == whole);
    convert(&[&file], &set).args(SENSOR).args(options).arg("--overwrite").assert().success();
    assert!(contents(&set) == whole);
    // A set of an earlier version, made from times that are refused today.
    let short = Camera::at(&(0..300).map(|i| i * 3).collect::<Vec<_>>()).npy(&dir.join("short.npy"));
    let set = dir.join("short");
    convert(&[&short], &set).args(SENSOR).arg("--allow-clock-trouble").assert().success();
    let whole = contents(&set);
    std::fs::write(set.join("00000.shard"), b"gone").unwrap();
    let sensor = Some(SENSOR[1].parse().unwrap());
    let options = SourceOptions { sensor, ..SourceOptions::default() };
    let repaired = repair_from(&set, &[short], &options, Verbosity::Quiet).unwrap();
    assert!(repaired.faults.is_empty() && contents(&set) == whole, "{repaired:?}");
}

#[test]
fn the_unit_of_small_recordings_is_judged_for_the_whole_folder() {
    let dir = scratch();
    for (unit, refused) in [(1_000, true), (1, false)] {
        let folder = dir.folder(&format!("of_{unit}"));
        for seed in 0..4 {
            let mut camera = Camera::random(seed, 90, 900_000);
            camera.t.iter_mut().for_each(|t| *t /= unit);
            camera.npy(&folder.join(format!("{seed}.npy")));
        }
        let mut command = convert(&[&folder], &dir.join("set"));
        command.args(SENSOR).arg("--overwrite");
        if !refused {
            command.assert().success();
            continue;
        }
        says(
            &fails(&mut command, 3),
            &["times of 4 files: expected recordings that last 1 ms to a day", "--time-unit ms"],
        );
        command.args(["--time-unit", "ms"]).assert().success();
    }
}
