//! Tests that bad recordings and recipes get one clear error.

use std::path::{Path, PathBuf};

use hdf5::types::VarLenArray;
use hdf5::{Extents, H5Type};
use tonic_toolkit::shard::{FLAG_EMPTY, ShardSet};

use super::recording::{
    Keys, Recording, Scratch, Times, Units, convert, convert_aloud, fails, hdf5_file, refuses, samples, says, scratch,
    stderr, tool,
};

/// Writes a good recording, then changes it with `spoil`.
fn spoilt(dir: &Scratch, spoil: impl FnOnce(&hdf5::File)) -> PathBuf {
    hdf5_file(&dir.join("bad.h5"), |file| {
        Recording::random(40, 5, 30).fill(file);
        spoil(file);
    })
}

/// Asserts that the conversion fails with exit code `code`, leaves no set, and names the file and all of `words`.
fn refuse(dir: &Scratch, file: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let out = dir.join("set");
    let name = file.file_name().unwrap().to_str().unwrap();
    refuses(convert(&[file], &out).args(arguments), code, &[&[name], words].concat());
    assert!(ShardSet::open(&out).is_err());
    let _ = std::fs::remove_dir_all(&out);
}

#[test]
fn what_is_no_hdf5_is_refused() {
    let dir = scratch();
    refuse(
        &dir,
        &dir.file("bad.h5", b"Dear all,\nsee the other file.\n"),
        &[],
        3,
        &[
            "expected a recording in HDF5, NumPy's formats, text or those of cameras, got a text that begins with \"Dear all,\"",
            "np.savez(",
        ],
    );
    let words = ["expected an HDF5 file, got a file that begins with", "it is no NumPy file either"];
    refuse(&dir, &dir.file("bad.h5", b"\x00\x01\x02"), &[], 3, &words);
    refuse(&dir, &dir.file("bad.h5", b""), &[], 3, &["expected a recording", "got an empty file"]);
    refuse(
        &dir,
        &dir.file("bad.h5", b"\x89HDF\r\n\x1a\n"),
        &[],
        3,
        &["expected an HDF5 file, got one of 8 bytes that cannot be opened"],
    );
    refuse(&dir, &dir.folder("folder"), &[], 3, &["folder: expected recordings (h5, hdf5, hdf, npy, npz), got none"]);
    refuse(&dir, &dir.join("none.h5"), &[], 1, &["cannot open the recording", "No such file"]);
}

#[test]
fn a_recording_that_is_being_written_is_not_called_damaged() {
    let dir = scratch();
    let path = Recording::random(48, 3, 20).write(&dir.join("bad.h5"));
    let writer = hdf5::File::open_rw(&path).unwrap();
    let mut locking = convert(&[&path], &dir.join("set"));
    locking.env("HDF5_USE_FILE_LOCKING", "TRUE");
    refuses(&mut locking, 1, &["bad.h5: cannot open the recording", "locked", "HDF5_USE_FILE_LOCKING=FALSE"]);
    drop(writer);
}

#[test]
fn a_recording_cut_short_anywhere_is_refused() {
    let dir = scratch();
    let whole = std::fs::read(Recording::random(41, 20, 60).write(&dir.join("whole.h5"))).unwrap();
    for i in 0..60 {
        let length = whole.len() * i / 60;
        let words: &[&str] = if length == 0 { &["an empty file"] } else { &["bad.h5: ", "expected", "got"] };
        refuse(&dir, &dir.file("bad.h5", &whole[..length]), &[], 3, words);
    }
    refuse(
        &dir,
        &dir.file("bad.h5", &whole[..whole.len() - 1]),
        &[],
        3,
        &["cut short", &(whole.len() - 1).to_string()],
    );
}

#[test]
fn a_missing_dataset_is_named() {
    let dir = scratch();
    for (name, present) in
        [("spikes/times", "spikes/units ("), ("spikes/units", "spikes/times ("), ("labels", "spikes/times (")]
    {
        let file = spoilt(&dir, |file| file.unlink(name).unwrap());
        let expected = format!("expected a dataset {name} (Heidelberg layout), got none; the file has ");
        let rename = format!("h5py: f[\"{name}\"] = f[NAME]");
        refuse(&dir, &file, &[], 3, &[&expected, present, &rename]);
    }
    // The error lists the whole tree of datasets, up to a maximum length.
    let file = spoilt(&dir, |file| {
        file.unlink("labels").unwrap();
        for i in 0..60 {
            file.new_dataset_builder().with_data(&[i; 3]).create(&*format!("deep/er/d{i}")).unwrap();
        }
    });
    let said = fails(&mut convert(&[&file], &dir.join("none")), 3);
    says(&said, &["extra/keys (", "deep/er/d", " (int32, shape [3])", ", and 24 more; "]);
    assert_eq!(said.matches(", shape [").count(), 40, "{said}");
    let empty = hdf5_file(&dir.join("empty.h5"), |_| {});
    let words = ["no layout fits", "spikes/times (hsd)", "events/t (dsec)", "it has no datasets", "np.savez"];
    refuse(&dir, &empty, &[], 3, &words);
}

/// A function that creates a dataset with a given name.
type Replacement = Box<dyn Fn(&hdf5::File, &str)>;

/// Returns a function that makes an allocated dataset without data, of type `T` and of shape `shape`.
fn empty<T: H5Type>(shape: impl Into<Extents>) -> Replacement {
    let (shape, early) = (shape.into(), Some(hdf5::dataset::AllocTime::Early));
    Box::new(move |file, name| {
        drop(file.new_dataset::<T>().alloc_time(early).shape(shape.clone()).create(name).unwrap());
    })
}

#[test]
fn a_dataset_of_another_type_or_shape_is_named() {
    let cases: [(&str, Replacement, &str, &str); 10] = [
        ("spikes/times", empty::<VarLenArray<i32>>(5), "float16, float32 or float64", "[int32] (var len)"),
        ("spikes/times", empty::<f32>((5, 9)), "float16, float32 or float64", "[5, 9]"),
        ("spikes/times", empty::<VarLenArray<f32>>((5, 2)), "one dimension", "[5, 2]"),
        ("spikes/times", empty::<VarLenArray<f32>>(0), "at least one sample", "none"),
        ("spikes/units", empty::<f32>(5), "rows of variable-length integers", "float32"),
        ("spikes/units", empty::<VarLenArray<u16>>(4), "5 rows, as spikes/times has", "4"),
        ("labels", empty::<VarLenArray<u8>>(5), "integers", "[uint8] (var len)"),
        ("labels", empty::<u8>(4), "5 labels, one a sample", "4"),
        ("labels", empty::<u8>((5, 2)), "a number for each sample", "[5, 2]"),
        ("extra/keys", empty::<f32>(3), "strings of at most 256 bytes", "float"),
    ];
    let dir = scratch();
    for (name, replacement, expected, got) in cases {
        let file = spoilt(&dir, |file| {
            file.unlink(name).unwrap();
            replacement(file, name);
        });
        refuse(&dir, &file, &[], 3, &[&format!("{name}: expected "), expected, "got", got]);
    }
    let group = spoilt(&dir, |file| {
        file.unlink("labels").unwrap();
        file.create_group("labels").unwrap();
    });
    refuse(&dir, &group, &[], 3, &["labels"]);
}

#[test]
fn class_names_that_were_never_written_are_no_crash() {
    let dir = scratch();
    let file = spoilt(&dir, |file| {
        file.unlink("extra/keys").unwrap();
        file.new_dataset::<hdf5::types::VarLenUnicode>().shape(3).create("extra/keys").unwrap();
    });
    let output = convert(&[&file], &dir.join("set")).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
}

#[test]
fn a_sample_that_contradicts_itself_is_named() {
    let dir = scratch();
    let good = Recording::random(43, 12, 40);
    let file = |spoil: &dyn Fn(&mut Recording)| {
        let mut recording = good.clone();
        spoil(&mut recording);
        recording.write(&dir.join("bad.h5"))
    };
    let shorter = file(&|r| r.units[7].truncate(9));
    let length = format!("expected {}, as spikes/times has, got 9", good.times[7].len());
    refuse(&dir, &shorter, &["--chunk-samples", "2"], 3, &["bad.h5: sample 7: length of spikes/units: ", &length]);

    let nameless = file(&|r| r.labels[3] = 3);
    refuse(&dir, &nameless, &[], 3, &["sample 3: label: expected 0 to 2, as extra/keys names, got 3"]);
    let negative = file(&|r| (r.labels[4], r.keys_as) = (-1, Keys::None));
    refuse(&dir, &negative, &[], 3, &["sample 4: label: expected a class", "got -1"]);
    let absurd = file(&|r| (r.labels[5], r.keys_as) = (4_000_000_000, Keys::None));
    refuse(&dir, &absurd, &[], 3, &["sample 5: label: expected a class", "got 4000000000"]);
}

#[test]
fn units_outside_the_sensor_are_refused_or_counted() {
    let dir = scratch();
    let mut recording = Recording { units_as: Units::I32, ..Recording::random(44, 10, 40) };
    recording.units[6][11] = 700;
    recording.units[8][0] = -1;
    recording.units[8][3] = 65_536 + 5;
    let file = recording.write(&dir.join("bad.h5"));
    let small = ["--chunk-samples", "2", "--shard-size", "1", "--threads", "1"];
    refuse(&dir, &file, &small, 3, &["sample 6: event 11: expected a unit below 700", "--lenient", "got unit 700"]);

    // After the error, the user can resume with --lenient. The conversion doesn't start over.
    let out = dir.join("lenient");
    refuses(convert(&[&file], &out).args(small), 3, &[]);
    let said = stderr(convert_aloud(&[&file], &out).args(small).args(["--lenient", "--resume"]));
    says(&said, &["note: 3 events lie outside the sensor"]);
    let outside: Vec<u64> = samples(&out).iter().map(|s| s.ledger.outside).collect();
    assert_eq!(outside, [0, 0, 0, 0, 0, 0, 1, 0, 2, 0]);
    assert!(samples(&out).iter().all(|s| s.ledger.balances()));

    refuse(&dir, &file, &["--sensor", "64", "--channels", "64"], 3, &["sample 0: event 0: expected a unit below 64"]);
    convert(&[&file], &dir.join("wide")).args(["--sensor", "70000"]).assert().failure().code(2);
}

#[test]
fn times_that_are_not_finite_are_counted_and_said_once() {
    let dir = scratch();
    for (name, times_as) in [("half", Times::F16), ("double", Times::F64)] {
        let mut recording = Recording { times_as, ..Recording::random(45, 10, 40) };
        recording.times[2][5] = f64::NAN;
        recording.times[2][6] = f64::INFINITY;
        recording.times[9][0] = f64::NEG_INFINITY;
        let out = dir.join(name);
        let file = recording.write(&dir.join("bad.h5"));
        let said = stderr(convert_aloud(&[file], &out).args(["--chunk-samples", "1"]));
        assert_eq!(said.matches("not finite").count(), 1, "{said}");
        says(&said, &["note: 3 events have a time that is not finite; they were left out"]);
        let counted: Vec<u64> = samples(&out).iter().map(|s| s.ledger.non_finite).collect();
        assert_eq!(counted, [0, 0, 2, 0, 0, 0, 0, 0, 0, 1]);
        let all: u64 = samples(&out).iter().map(|s| s.ledger.binned + s.ledger.cut + s.ledger.cropped).sum();
        assert_eq!(all + 3, recording.times.iter().map(|t| t.len() as u64).sum::<u64>());
    }
}

#[test]
#[cfg(unix)]
fn pipes_and_devices_are_refused_at_once() {
    let dir = scratch();
    let pipe = dir.join("pipe.npy");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for file in [&pipe, Path::new("/dev/zero")] {
        refuse(&dir, file, &[], 3, &["expected a regular file, got a pipe, a socket or a device"]);
    }
}

#[test]
fn empty_samples_are_one_empty_frame_each_and_said() {
    let dir = scratch();
    let recording = Recording::of(vec![vec![], vec![(0.1, 1), (0.9, 2)], vec![], vec![(1.5, 3)]]);
    let out = dir.join("set");
    let file = recording.write(&dir.join("a.h5"));
    says(&stderr(&mut convert_aloud(&[file], &out)), &["note: 3 samples have no events"]);
    let samples = samples(&out);
    for i in [0, 2, 3] {
        assert_eq!((samples[i].shape, samples[i].flags), ([1, 1, 1, 100], FLAG_EMPTY), "sample {i}");
        assert_eq!(samples[i].dense, [0; 100]);
    }
    assert_eq!((samples[3].ledger.cropped, samples[3].ledger.events_in), (1, 1), "a sample can be cropped to nothing");
    assert_eq!((samples[1].shape[0], samples[1].flags), (200, 0));
    tool("verify", &out).assert().success();
}

#[test]
fn a_stray_time_is_no_flood_of_frames() {
    let dir = scratch();
    let recording = Recording { times_as: Times::F64, ..Recording::of(vec![vec![(0.0, 1)], vec![(0.0, 1), (1e9, 2)]]) };
    let file = recording.write(&dir.join("bad.h5"));
    let recipe = dir.file("endless.toml", "[frames]\ntime_window = 4000\ninclude_incomplete = true\n");
    let words = ["sample 1: frames: expected at most 16777216 frames (crop the time", "got 250000000000"];
    let allow = "--allow-clock-trouble";
    refuse(&dir, &file, &["--recipe", recipe.to_str().unwrap(), allow], 3, &words);
    refuse(&dir, &file, &[], 3, &["sample 1: times: ", "a gap: 11574 days pass between event 0 and event 1", allow]);
    convert(&[&file], &dir.join("cropped")).arg(allow).assert().success();
}

#[test]
fn a_recipe_that_makes_no_sense_is_refused_by_name() {
    let dir = scratch();
    let file = Recording::random(46, 3, 20).write(&dir.join("a.h5"));
    let frames = "[frames]\ntime_window = 4000\n";
    for (text, words) in [
        (
            format!("[[transform]]\nname = \"Downsample\"\nspatial_factor = [2.0, 1.0]\n{frames}"),
            ["transform 1, Downsample.spatial_factor: expected factors above 0", "[2, 1]"],
        ),
        (format!("{frames}window = 3\n"), ["frames: expected a parameter of ToFrame: time_window,", "got window"]),
        ("[frames\n".into(), ["line 1: expected TOML", "got unclosed table"]),
    ] {
        let recipe = dir.file("bad.toml", &text);
        let words = [&["recipe ", "bad.toml: ", "expected"], &words[..]].concat();
        refuses(convert(&[&file], &dir.join("set")).arg("--recipe").arg(&recipe), 3, &words);
        assert!(!dir.join("set").exists(), "{text}");
    }
    let words = ["nowhere.toml: cannot read the recipe", "No such file"];
    refuses(convert(&[&file], &dir.join("set")).args(["--recipe", "nowhere.toml"]), 1, &words);
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    let dir = scratch();
    let file = Recording::random(47, 3, 20).write(&dir.join("a.h5"));
    for (argument, value, expected) in [
        ("--threads", "0", "1..=1024"),
        ("--shard-size", "0", "a size such as 64M"),
        ("--shard-size", "99999999999999999999G", "a size such as 64M"),
        ("--chunk-samples", "0", "1..=1048576"),
        ("--limit", "0", "1.."),
        ("--channels", "0", "1..=65536"),
        ("--channels", "701", "at most the sensor's 700"),
        ("--time-window", "0", "1.."),
        ("--sensor", "0", "W or W,H,P"),
        ("--sensor", "65536,65536,1", "2^28"),
        ("--level", "99", "22"),
    ] {
        refuses(convert(&[&file], &dir.join("set")).args([argument, value]), 2, &[argument, value, expected]);
        assert!(!dir.join("set").exists(), "{argument} {value}: nothing was begun");
    }
    refuses(&mut tool("convert", &file), 2, &["--output"]);
}
