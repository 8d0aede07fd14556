//! Bad recordings and recipes get one clear error, with the file, the place, what was expected and what was found.

use std::path::{Path, PathBuf};

use hdf5::types::VarLenArray;
use tonic_toolkit::shard::{FLAG_EMPTY, ShardSet};

use super::recording::{Keys, Recording, Times, Units, convert, fails, hdf5_file, prep, samples, says, scratch};

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: scratch() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bytes(&self, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path("bad.h5"), bytes).unwrap();
        self.path("bad.h5")
    }

    /// A good recording, spoilt through libhdf5.
    fn spoilt(&self, spoil: impl FnOnce(&hdf5::File)) -> PathBuf {
        hdf5_file(&self.path("bad.h5"), |file| {
            Recording::random(40, 5, 30).fill(file);
            spoil(file);
        })
    }

    /// Converting must fail with `code`, name the file, and leave no set.
    fn refuses(&self, file: &Path, arguments: &[&str], code: i32, words: &[&str]) {
        let out = self.path("set");
        let said = fails(convert(&[file], &out).args(arguments), code);
        says(&said, &[file.file_name().unwrap().to_str().unwrap()]);
        says(&said, words);
        assert!(ShardSet::open(&out).is_err());
        let _ = std::fs::remove_dir_all(&out);
    }
}

#[test]
fn what_is_no_hdf5_is_refused() {
    let bench = Bench::new();
    bench.refuses(
        &bench.bytes(b"time,unit\n0.1,5\n"),
        &[],
        3,
        &["expected an HDF5 file, got a file that begins with", "time,uni"],
    );
    bench.refuses(&bench.bytes(b""), &[], 3, &["expected an HDF5 file, got an empty file"]);
    bench.refuses(&bench.bytes(b"\x89HDF\r\n\x1a\n"), &[], 3, &["expected an HDF5 file, got a damaged one of 8 bytes"]);
    let folder = bench.path("folder");
    std::fs::create_dir(&folder).unwrap();
    bench.refuses(&folder, &[], 3, &["folder: expected recordings (h5, hdf5, hdf, npy, npz), got none"]);
    bench.refuses(&bench.path("none.h5"), &[], 1, &["cannot open the recording", "No such file"]);
}

#[test]
fn a_recording_that_is_being_written_is_not_called_damaged() {
    let bench = Bench::new();
    let path = Recording::random(48, 3, 20).write(&bench.path("bad.h5"));
    let writer = hdf5::File::open_rw(&path).unwrap();
    bench.refuses(&path, &[], 1, &["cannot open the recording", "locked", "HDF5_USE_FILE_LOCKING=FALSE"]);
    drop(writer);
}

#[test]
fn a_recording_cut_short_anywhere_is_refused() {
    let bench = Bench::new();
    let whole = std::fs::read(Recording::random(41, 20, 60).write(&bench.path("whole.h5"))).unwrap();
    for i in 0..60 {
        let length = whole.len() * i / 60;
        let words: &[&str] = if length == 0 { &["an empty file"] } else { &["bad.h5: ", "expected", "got"] };
        bench.refuses(&bench.bytes(&whole[..length]), &[], 3, words);
    }
    bench.refuses(&bench.bytes(&whole[..whole.len() - 1]), &[], 3, &["cut short", &(whole.len() - 1).to_string()]);
}

#[test]
fn a_missing_dataset_is_named() {
    let bench = Bench::new();
    for (name, present) in [
        ("spikes/times", "spikes, labels, extra"),
        ("spikes/units", "spikes, labels, extra"),
        ("labels", "spikes, extra"),
    ] {
        let file = bench.spoilt(|file| file.unlink(name).unwrap());
        let expected = format!("expected a dataset {name} (Heidelberg layout), got none; the file has {present}");
        bench.refuses(&file, &[], 3, &[&expected]);
    }
    let empty = hdf5_file(&bench.path("empty.h5"), |_| {});
    let words = ["no layout fits", "spikes/times (hsd)", "events/t (dsec)", "it has no datasets", "--map"];
    bench.refuses(&empty, &[], 3, &words);
}

#[test]
fn a_dataset_of_another_type_or_shape_is_named() {
    type Spoil = fn(&hdf5::File);
    let cases: [(&str, Spoil, &str, &str); 10] = [
        (
            "spikes/times",
            |f| drop(f.new_dataset::<VarLenArray<i32>>().shape(5).create("spikes/times")),
            "float16, float32 or float64",
            "[int32] (var len)",
        ),
        (
            "spikes/times",
            |f| drop(f.new_dataset::<f32>().shape((5, 9)).create("spikes/times")),
            "float16, float32 or float64",
            "[5, 9]",
        ),
        (
            "spikes/times",
            |f| drop(f.new_dataset::<VarLenArray<f32>>().shape((5, 2)).create("spikes/times")),
            "one dimension",
            "[5, 2]",
        ),
        (
            "spikes/times",
            |f| drop(f.new_dataset::<VarLenArray<f32>>().shape(0).create("spikes/times")),
            "at least one sample",
            "none",
        ),
        (
            "spikes/units",
            |f| drop(f.new_dataset::<VarLenArray<f32>>().shape(5).create("spikes/units")),
            "rows of variable-length integers",
            "float",
        ),
        (
            "spikes/units",
            |f| drop(f.new_dataset::<VarLenArray<u16>>().shape(4).create("spikes/units")),
            "5 rows, as spikes/times has",
            "4",
        ),
        ("labels", |f| drop(f.new_dataset::<f64>().shape(5).create("labels")), "integers", "float"),
        ("labels", |f| drop(f.new_dataset::<u8>().shape(4).create("labels")), "5 labels, one a sample", "4"),
        ("labels", |f| drop(f.new_dataset::<u8>().shape((5, 1)).create("labels")), "one dimension", "[5, 1]"),
        (
            "extra/keys",
            |f| drop(f.new_dataset::<f32>().shape(3).create("extra/keys")),
            "strings of at most 256 bytes",
            "float",
        ),
    ];
    let bench = Bench::new();
    for (name, spoil, expected, got) in cases {
        let file = bench.spoilt(|file| {
            file.unlink(name).unwrap();
            spoil(file);
            assert!(file.dataset(name).is_ok(), "{name}: {expected}");
        });
        bench.refuses(&file, &[], 3, &[&format!("{name}: expected "), expected, "got", got]);
    }
    let group = bench.spoilt(|file| {
        file.unlink("labels").unwrap();
        file.create_group("labels").unwrap();
    });
    bench.refuses(&group, &[], 3, &["labels"]);
}

#[test]
fn class_names_that_were_never_written_are_no_crash() {
    let bench = Bench::new();
    let file = bench.spoilt(|file| {
        file.unlink("extra/keys").unwrap();
        file.new_dataset::<hdf5::types::VarLenUnicode>().shape(3).create("extra/keys").unwrap();
    });
    let output = convert(&[&file], &bench.path("set")).output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
}

#[test]
fn a_sample_that_contradicts_itself_is_named() {
    let bench = Bench::new();
    let good = Recording::random(43, 12, 40);
    let file = |spoil: &dyn Fn(&mut Recording)| {
        let mut recording = good.clone();
        spoil(&mut recording);
        recording.write(&bench.path("bad.h5"))
    };
    let shorter = file(&|r| r.units[7].truncate(9));
    let length = format!("expected {}, as spikes/times has, got 9", good.times[7].len());
    bench.refuses(&shorter, &["--chunk-samples", "2"], 3, &["bad.h5: sample 7: length of spikes/units: ", &length]);

    let nameless = file(&|r| r.labels[3] = 3);
    bench.refuses(&nameless, &[], 3, &["sample 3: label: expected 0 to 2, as extra/keys names, got 3"]);
    let negative = file(&|r| (r.labels[4], r.keys_as) = (-1, Keys::None));
    bench.refuses(&negative, &[], 3, &["sample 4: label: expected a class", "got -1"]);
    let absurd = file(&|r| (r.labels[5], r.keys_as) = (4_000_000_000, Keys::None));
    bench.refuses(&absurd, &[], 3, &["sample 5: label: expected a class", "got 4000000000"]);
}

#[test]
fn units_outside_the_sensor_are_refused_or_counted() {
    let bench = Bench::new();
    let mut recording = Recording { units_as: Units::I32, ..Recording::random(44, 10, 40) };
    recording.units[6][11] = 700;
    recording.units[8][0] = -1;
    recording.units[8][3] = 65_536 + 5;
    let file = recording.write(&bench.path("bad.h5"));
    let small = ["--chunk-samples", "2", "--shard-size", "1", "--threads", "1"];
    bench.refuses(&file, &small, 3, &["sample 6: event 11: expected a unit below 700", "--lenient", "got unit 700"]);

    // Having seen the error, the user goes on without another start.
    let out = bench.path("lenient");
    fails(convert(&[&file], &out).args(small), 3);
    let mut command = prep();
    command.arg("convert").arg(&file).arg("-o").arg(&out).args(small).args(["--lenient", "--resume"]);
    let output = command.assert().success();
    let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    says(&said, &["note: 3 events lie outside the sensor"]);
    let outside: Vec<u64> = samples(&out).iter().map(|s| s.ledger.outside).collect();
    assert_eq!(outside, [0, 0, 0, 0, 0, 0, 1, 0, 2, 0]);
    assert!(samples(&out).iter().all(|s| s.ledger.balances()));

    bench.refuses(&file, &["--sensor", "64", "--channels", "64"], 3, &["sample 0: event 0: expected a unit below 64"]);
    convert(&[&file], &bench.path("wide")).args(["--sensor", "70000"]).assert().failure().code(2);
}

#[test]
fn times_that_are_not_finite_are_counted_and_said_once() {
    let bench = Bench::new();
    for (name, times_as) in [("half", Times::F16), ("double", Times::F64)] {
        let mut recording = Recording { times_as, ..Recording::random(45, 10, 40) };
        recording.times[2][5] = f64::NAN;
        recording.times[2][6] = f64::INFINITY;
        recording.times[9][0] = f64::NEG_INFINITY;
        let out = bench.path(name);
        let mut command = prep();
        command.arg("convert").arg(recording.write(&bench.path("bad.h5"))).arg("-o").arg(&out);
        let output = command.args(["--chunk-samples", "1"]).assert().success();
        let said = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert_eq!(said.matches("not finite").count(), 1, "{said}");
        says(&said, &["note: 3 events have a time that is not finite; they were left out"]);
        let counted: Vec<u64> = samples(&out).iter().map(|s| s.ledger.non_finite).collect();
        assert_eq!(counted, [0, 0, 2, 0, 0, 0, 0, 0, 0, 1]);
        let all: u64 = samples(&out).iter().map(|s| s.ledger.binned + s.ledger.cut + s.ledger.cropped).sum();
        assert_eq!(all + 3, recording.times.iter().map(|t| t.len() as u64).sum::<u64>());
    }
}

#[test]
fn empty_samples_are_one_empty_frame_each_and_said() {
    let bench = Bench::new();
    let recording = Recording::of(vec![vec![], vec![(0.1, 1), (0.9, 2)], vec![], vec![(1.5, 3)]]);
    let out = bench.path("set");
    let mut command = prep();
    let output =
        command.arg("convert").arg(recording.write(&bench.path("a.h5"))).arg("-o").arg(&out).assert().success();
    says(&String::from_utf8_lossy(&output.get_output().stderr), &["note: 3 samples have no events"]);
    let samples = samples(&out);
    for i in [0, 2, 3] {
        assert_eq!((samples[i].shape, samples[i].flags), ([1, 1, 1, 100], FLAG_EMPTY), "sample {i}");
        assert_eq!(samples[i].dense, [0; 100]);
    }
    assert_eq!((samples[3].ledger.cropped, samples[3].ledger.events_in), (1, 1), "a sample can be cropped to nothing");
    assert_eq!((samples[1].shape[0], samples[1].flags), (200, 0));
    prep().arg("verify").arg(&out).assert().success();
}

#[test]
fn a_stray_time_is_no_flood_of_frames() {
    let bench = Bench::new();
    let recording = Recording { times_as: Times::F64, ..Recording::of(vec![vec![(0.0, 1)], vec![(0.0, 1), (1e9, 2)]]) };
    let file = recording.write(&bench.path("bad.h5"));
    let recipe = bench.path("endless.toml");
    std::fs::write(&recipe, "[frames]\ntime_window = 4000\ninclude_incomplete = true\n").unwrap();
    let words = ["sample 1: frames: expected at most 16777216 frames (crop the time", "got 250000000000"];
    bench.refuses(&file, &["--recipe", recipe.to_str().unwrap()], 3, &words);
    convert(&[&file], &bench.path("cropped")).assert().success();
}

#[test]
fn a_recipe_that_makes_no_sense_is_refused_by_name() {
    let bench = Bench::new();
    let file = Recording::random(46, 3, 20).write(&bench.path("a.h5"));
    let frames = "[frames]\ntime_window = 4000\n";
    for (text, words) in [
        (
            format!("[[transform]]\nname = \"TimeJitter\"\nstd = 5\n{frames}"),
            ["deterministic transforms", "got TimeJitter"],
        ),
        (
            format!("[[transform]]\nname = \"DropEvent\"\np = 0.5\n{frames}"),
            ["deterministic transforms", "got DropEvent"],
        ),
        (
            format!("[[transform]]\nname = \"Downsamp\"\n{frames}"),
            ["transform 1.name: expected one of CenterCrop, CropTime, Dec", "TimeSkew, got Downsamp"],
        ),
        (
            format!("[[transform]]\nname = \"CropTime\"\nmaximum = 5\n{frames}"),
            ["transform 1, CropTime: expected a parameter of CropTime: min, max", "got maximum"],
        ),
        (
            format!("[[transform]]\nname = \"CropTime\"\nmin = 9\nmax = 5\n{frames}"),
            ["CropTime: expected max of at least min", "min 9, max 5"],
        ),
        (
            format!("[[transform]]\nname = \"Downsample\"\nspatial_factor = [2.0, 1.0]\n{frames}"),
            ["transform 1, Downsample.spatial_factor: expected factors above 0", "[2, 1]"],
        ),
        (
            format!("[[transform]]\nname = \"Downsample\"\ntime_factor = nan\n{frames}"),
            ["Downsample.time_factor: expected a positive number", "NaN"],
        ),
        (format!("{frames}window = 3\n"), ["frames: expected a parameter of ToFrame: time_window,", "got window"]),
        (format!("{frames}event_count = 3\n"), ["frames: expected exactly one of", "2 of them"]),
        ("[frames]\noverlap = 0.0\n".into(), ["frames: expected exactly one of", "0 of them"]),
        ("[frames]\ntime_window = 0\n".into(), ["at least 1", "got 0"]),
        ("[frames]\ntime_window = -4\n".into(), ["at least 1", "got -4"]),
        ("[frames]\ntime_window = 2.5\n".into(), ["frames.time_window: expected a whole number", "got 2.5"]),
        ("[frames]\nevent_count = -5\n".into(), ["frames.event_count: expected a count, 0 to 2^32 - 1", "got -5"]),
        ("[frames]\nn_time_bins = 99999999\n".into(), ["at most 16777216 bins", "99999999"]),
        (format!("{frames}overlap = 4000\n"), ["an overlap from 0 to below the window", "4000"]),
        (
            "[frames]\nevent_count = 3\nstart_time = 0\n".into(),
            ["start_time and end_time with time_window only", "another slicing"],
        ),
        ("[[transform]]\nname = \"CropTime\"\n".into(), ["frames: expected [frames], which says", "got none"]),
        ("[frames\n".into(), ["line 1: expected TOML", "got unclosed table"]),
    ] {
        let recipe = bench.path("bad.toml");
        std::fs::write(&recipe, &text).unwrap();
        let said = fails(convert(&[&file], &bench.path("set")).arg("--recipe").arg(&recipe), 3);
        says(&said, &["recipe ", "bad.toml: ", "expected"]);
        says(&said, &words);
        assert!(!bench.path("set").exists(), "{text}");
    }
    let said = fails(convert(&[&file], &bench.path("set")).args(["--recipe", "nowhere.toml"]), 1);
    says(&said, &["nowhere.toml: cannot read the recipe", "No such file"]);
}

#[test]
fn arguments_that_make_no_sense_are_usage_errors() {
    let bench = Bench::new();
    let file = Recording::random(47, 3, 20).write(&bench.path("a.h5"));
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
        let said = fails(convert(&[&file], &bench.path("set")).args([argument, value]), 2);
        says(&said, &[argument, value, expected]);
        assert!(!bench.path("set").exists(), "{argument} {value}: nothing was begun");
    }
    says(&fails(prep().arg("convert").arg(&file), 2), &["--output"]);
}
