//! Converts small stand-ins of data sets with `--dataset`. Compares the events and labels with those that Tonic's
//! classes read.
//!
//! The stand-ins and Tonic's results are in `tests/data/datasets`. `scripts/goldens/datasets.py` makes them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::Value;
use tonic_toolkit::prep::{Dataset, Recording, SensorSize, SourceOptions, dataset_source};
use tonic_toolkit::shard::NO_LABEL;

use super::camera::Camera;
use super::recording::{Scratch, convert, convert_aloud, data, manifest, refuses, samples, scratch, stderr};

/// A sample as Tonic reads it.
#[derive(Deserialize)]
pub(super) struct Sample {
    /// Path of the sample's file in the folder of the split. `None` if one file has many samples.
    file: Option<String>,
    target: Value,
    t: Vec<i64>,
    x: Vec<u16>,
    y: Vec<u16>,
    p: Vec<u8>,
}

/// Unpacks a stand-in. Returns its folder, and what Tonic reads for each split.
pub(super) fn unpack(name: &str) -> (Scratch, BTreeMap<String, Vec<Sample>>) {
    let dir = scratch();
    let archive = std::fs::File::open(data("datasets").join(format!("{name}.zip"))).unwrap();
    let mut archive = zip::ZipArchive::new(archive).unwrap();
    let mut tonic = Vec::new();
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).unwrap();
        let (name, mut bytes) = (file.name().unwrap().into_owned(), Vec::new());
        file.read_to_end(&mut bytes).unwrap();
        if name == "tonic.json" {
            tonic = bytes;
            continue;
        }
        std::fs::create_dir_all(dir.join(&name).parent().unwrap()).unwrap();
        std::fs::write(dir.join(&name), bytes).unwrap();
    }
    let splits: BTreeMap<String, Value> = serde_json::from_slice(&tonic).unwrap();
    let splits = splits.into_iter().filter(|(_, value)| value.is_array());
    (dir, splits.map(|(split, samples)| (split, serde_json::from_value(samples).unwrap())).collect())
}

/// Returns whether `target` is Tonic's target for a sample with this label: the number of the class, its name if
/// Tonic doesn't number the classes, or null if the sample has no label.
fn is_target(label: u32, classes: Option<&[String]>, target: &Value) -> bool {
    match target {
        Value::Null => label == NO_LABEL,
        Value::Number(number) => number.as_u64() == Some(label.into()),
        Value::String(name) => classes.is_some_and(|classes| classes[label as usize] == *name),
        other => panic!("{other}"),
    }
}

/// Compares all samples of a stand-in with those of Tonic.
fn agrees(dataset: &str, stand_in: &str, single: bool) {
    let (dir, splits) = unpack(stand_in);
    for (split, samples) in &splits {
        let (name, split) = (format!("{stand_in} {split}"), split.as_str());
        let mut given = SourceOptions::default();
        given.digits.single = single;
        let (paths, options) = dataset_source(dataset, Some(split), &[dir.to_path_buf()], given).unwrap();
        let [path] = &paths[..] else { panic!("{paths:?}") };
        let recordings = Recording::open(path, &options).unwrap();
        let mut of_files: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
        for sample in samples {
            of_files.entry(sample.file.as_deref().unwrap_or("")).or_default().push(sample);
        }
        assert_eq!(recordings.len(), of_files.len(), "{name}");
        for recording in &recordings {
            let sensor: SensorSize = options.sensor.or(recording.sensor).unwrap();
            let known = Dataset::named(dataset).unwrap().sensor;
            assert!(known.is_none_or(|known| known == sensor), "{name}: {sensor}");
            let expected = of_files.get(recording.name.as_str()).or_else(|| of_files.get("")).unwrap();
            assert_eq!(recording.samples(), expected.len() as u64, "{name}: {}", recording.name);
            for (i, expected) in expected.iter().enumerate() {
                let place = format!("{name}: {} {i}", recording.name);
                let read = recording.read(i as u64..i as u64 + 1).unwrap().admit(0, sensor);
                assert_eq!((read.outside, read.non_finite), (0, 0), "{place}");
                if stand_in.ends_with("bag") || stand_in == "vpr" {
                    let first = read.events.t[0];
                    // Tonic's times are floats with a resolution of 2^-22 s, and are truncated.
                    let is_near = |(ours, theirs): (&i64, &i64)| (0..=1).contains(&(ours - first - theirs));
                    assert_eq!(read.events.t.len(), expected.t.len(), "{place}");
                    assert!(read.events.t.iter().zip(&expected.t).all(is_near), "{place}: {:?}", read.events.t);
                } else {
                    assert_eq!(read.events.t, expected.t, "{place}: t");
                }
                assert_eq!(read.events.x, expected.x, "{place}: x");
                assert_eq!(read.events.y, expected.y, "{place}: y");
                assert_eq!(read.events.p, expected.p, "{place}: p");
                let (label, classes) = (recording.labels[i], recording.classes.as_deref());
                assert!(is_target(label, classes, &expected.target), "{place}: {label} {:?}", expected.target);
            }
        }
    }
}

macro_rules! agree {
    ($($name:ident $dataset:literal;)*) => {
        $(#[test]
        fn $name() {
            agrees($dataset, stringify!($name), false);
        })*
    };
}

agree! {
    nmnist "nmnist";
    dvsgesture "DVS128-Gesture";
    dvsgesture_aedat "dvsgesture";
    cifar10dvs "CIFAR10-DVS";
    cifar10dvs_aedat "cifar10dvs";
    ncaltech101 "ncaltech101";
    ncars "n-cars";
    dvslip "dvslip";
    shd "shd";
    ssc "ssc";
    ntidigits18 "ntidigits";
    pokerdvs "pokerdvs";
    smnist "smnist";
    dsec "dsec";
    tumvie "TUM-VIE";
    threeet_eyetracking "3ET";
    nerdd "nerdd";
    davisdata "DAVIS24";
    asldvs "ASL-DVS";
    stmnist "st-mnist";
    ebssa "ebssa";
    davisdata_bag "davisdata";
    mvsec "mvsec";
    mvsec_bag "mvsec";
    vpr "vpr";
}

/// Converts a split of a stand-in. Returns the class names of the set.
fn classes(dir: &Path, dataset: &str, more: &[&str]) -> Vec<String> {
    let place = scratch();
    let set = place.join("set");
    convert(&[dir], &set).args(["--dataset", dataset]).args(more).assert().success();
    manifest(&set).description.classes
}

#[test]
fn a_set_has_tonics_names_of_classes() {
    let (dir, _) = unpack("nmnist");
    let names = classes(&dir, "nmnist", &["--split", "test"]);
    assert_eq!((names.len(), names[3].as_str()), (10, "3 - three"));
    // The folder that Tonic makes may be named too.
    assert_eq!(classes(&dir.join("NMNIST"), "n_mnist", &[]), names);
    let (dir, _) = unpack("dvsgesture_aedat");
    let names = classes(&dir, "dvsgesture", &[]);
    assert_eq!((names.len(), names[0].as_str(), names[10].as_str()), (11, "Hand clapping", "Other gestures"));
    let (dir, _) = unpack("ssc");
    assert_eq!(classes(&dir, "ssc", &["--split", "valid"]), ["yes", "no"]);
    let (dir, _) = unpack("tumvie");
    assert!(classes(&dir, "tumvie", &["--split", "mocap-6dof"]).is_empty());
}

#[test]
fn a_split_that_is_not_whole_is_warned_of() {
    let (dir, _) = unpack("nmnist");
    let said = stderr(convert_aloud(&[&*dir], &dir.join("a")).args(["--dataset", "nmnist"]));
    assert!(said.contains("warning: N-MNIST train has 60000 samples, of which 20 are here"), "{said}");
    let (dir, _) = unpack("tumvie");
    let said = stderr(convert_aloud(&[&*dir], &dir.join("b")).args(["--dataset", "tumvie"]));
    assert!(said.contains("note: TUM-VIE all: 3 recordings"), "{said}");
    assert!(said.contains("recordings of all that are not there: mocap-desk, mocap-desk2"), "{said}");
}

#[test]
fn what_contradicts_a_data_set_is_refused_by_name() {
    let (dir, _) = unpack("nmnist");
    let dataset = |more: &[&str], expected: &[&str]| {
        refused(&dir, &[&["--dataset"], more].concat(), 2, expected);
    };
    dataset(&["mnist"], &["dataset", "nmnist", "dvsgesture"]);
    dataset(&["nmnist", "--split", "valid"], &["--split", "expected one of train, test for N-MNIST, got valid"]);
    dataset(&["nmnist", "--sensor", "64,64,2"], &["--sensor", "N-MNIST"]);
    dataset(&["nmnist", "--labels", "a.csv"], &["--labels", "N-MNIST"]);
    dataset(&["nmnist", "--class-level", "2"], &["--class-level", "N-MNIST"]);
    dataset(&["nmnist", "--layout", "dat"], &["--layout", "N-MNIST"]);
    dataset(&["nmnist", "--time-unit", "ms"], &["--time-unit", "N-MNIST"]);
    dataset(&["nmnist", "--origin", "1"], &["--dataset", "--origin"]);
    dataset(&["nmnist", "--flip-y"], &["--flip-y", "N-MNIST"]);
    // Options that agree with the data set, and options that it doesn't set, are accepted.
    let set = dir.join("set");
    let agreeing = ["--dataset", "nmnist", "--sensor", "34,34,2", "--sample-events", "6"];
    convert(&[&*dir], &set).args(agreeing).assert().success();
    assert_eq!(manifest(&set).description.samples, 40);
    let (dir, _) = unpack("cifar10dvs");
    refused(&dir, &["--dataset", "cifar10dvs", "--split", "train"], 2, &["expected none, because CIFAR10-DVS has no"]);
    refused(&dir, &["--split", "train"], 2, &["--dataset"]);
}

/// Asserts that a conversion of the folder `dir` is refused.
#[track_caller]
fn refused(dir: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let place = scratch();
    refuses(convert(&[dir], &place.join("set")).args(arguments), code, words);
}

#[test]
fn a_folder_that_is_no_download_names_what_is_missing() {
    let empty = scratch();
    refused(
        &empty,
        &["--dataset", "nmnist"],
        3,
        &["expected Train", "N-MNIST", "an empty folder", "tonic-prep fetch nmnist"],
    );
    refused(&empty, &["--dataset", "dsec"], 3, &["expected interlaken_00_c/events_left/events.h5 or another"]);
    refused(&empty, &["--dataset", "ssc"], 3, &["expected ssc_train.h5"]);
    refused(&empty, &["--dataset", "dvsgesture"], 3, &["expected ibmGestureTrain or trials_to_train.txt"]);
    let (dir, _) = unpack("nmnist");
    let train = dir.join("NMNIST/Train");
    std::fs::rename(train.join("7"), train.join("10")).unwrap();
    refused(&dir, &["--dataset", "nmnist"], 3, &["expected a folder 7/"]);
    std::fs::create_dir(train.join("7")).unwrap();
    std::fs::write(train.join("7/1.bin"), [1, 1, 0, 0, 1]).unwrap();
    refused(&dir, &["--dataset", "nmnist"], 3, &["got 10/ with .bin files"]);
    std::fs::remove_dir_all(train.join("10")).unwrap();
    std::fs::remove_file(train.join("7/1.bin")).unwrap();
    refused(&dir, &["--dataset", "nmnist"], 3, &["7: expected .bin files", "an empty folder"]);
    let (dir, _) = unpack("dvsgesture_aedat");
    std::fs::write(dir.join("DvsGesture/user02_led_labels.csv"), "class,startTime_usec,endTime_usec\n12,1,9\n")
        .unwrap();
    refused(
        &dir,
        &["--dataset", "dvsgesture"],
        3,
        &["user02_led_labels.csv: line 2: expected a class from 1 to 11, got 12"],
    );
    std::fs::remove_file(dir.join("DvsGesture/user02_led_labels.csv")).unwrap();
    refused(&dir, &["--dataset", "dvsgesture"], 3, &["expected user02_led_labels.csv"]);
}

/// Returns the bytes of a set's first shard.
fn shards(set: &Path) -> Vec<u8> {
    std::fs::read(set.join("00000.shard")).unwrap()
}

#[test]
fn rows_are_counted_from_below_and_samples_moved_to_zero() {
    let dir = scratch();
    let camera = Camera::random(5, 400, 90_000);
    let convert = |camera: &Camera, name: &str, more: &[&str]| {
        let path = camera.npy(&dir.join("a.npy"));
        dir.convert(&[path], name, &[&["--sensor", "50,30,2"], more].concat())
    };
    let flipped = Camera { y: camera.y.iter().map(|y| 29 - y).collect(), ..camera.clone() };
    let given = convert(&camera, "flipped", &["--flip-y"]);
    assert_eq!(shards(&given), shards(&convert(&flipped, "by_hand", &[])));
    let right = Camera { x: camera.x.iter().map(|x| x + 9).collect(), ..camera.clone() };
    let zero = convert(&camera, "zero", &["--to-zero"]);
    assert_eq!(shards(&convert(&right, "moved", &["--to-zero"])), shards(&zero));
    // Each piece is moved by its own lowest pixel.
    let pieces = convert(&right, "pieces", &["--to-zero", "--sample-events", "40"]);
    let column = |sample: &super::recording::Sample, x: usize| sample.dense.iter().skip(x).step_by(50).any(|n| *n > 0);
    assert!(samples(&pieces).iter().all(|sample| column(sample, 0)));
    refused(&camera.npy(&dir.join("a.npy")), &["--flip-y"], 2, &["--sensor", "--flip-y"]);
}

#[test]
fn images_and_labels_of_mnist_have_to_fit() {
    let (dir, _) = unpack("smnist");
    let (images, labels) = ("smnist/train-images-idx3-ubyte", "smnist/train-labels-idx1-ubyte");
    let said = stderr(convert_aloud(&[dir.join(images)], &dir.join("set")).args(["--time-window", "1000"]));
    assert!(said.contains("MNIST (sequential)") && !said.contains("warning"), "{said}");
    let made = manifest(&dir.join("set"));
    assert_eq!((made.totals.ledger.cropped, made.description.classes.len()), (0, 10));
    assert!(made.description.linked_files.iter().any(|file| file.name == "train-labels-idx1-ubyte"));
    let whole = std::fs::read(dir.join(images)).unwrap();
    let with_labels = std::fs::read(dir.join(labels)).unwrap();
    let refused = |expected: &[&str]| refused(&dir, &["--dataset", "smnist"], 3, expected);
    std::fs::write(dir.join(images), &whole[..whole.len() - 1]).unwrap();
    refused(&["expected 2368 bytes for 3 images, got 2367"]);
    std::fs::write(dir.join(images), [&whole[..15], &[27], &whole[16..]].concat()).unwrap();
    refused(&["train-images-idx3-ubyte", "images of 28 by 28 pixels"]);
    std::fs::write(dir.join(images), &whole).unwrap();
    std::fs::write(dir.join(labels), &with_labels[..10]).unwrap();
    refused(&["train-labels-idx1-ubyte", "3 labels", "got 10 bytes"]);
    std::fs::write(dir.join(labels), [&with_labels[..10], &[10]].concat()).unwrap();
    refused(&["train-labels-idx1-ubyte: sample 2: label: expected 0 to 9, got 10"]);
    std::fs::remove_file(dir.join(labels)).unwrap();
    refused(&["expected a file of labels next to train-images-idx3-ubyte"]);
}

#[test]
fn damaged_files_are_errors_and_nothing_worse() {
    for (stand_in, dataset, file) in [
        ("smnist", "smnist", "smnist/t10k-images-idx3-ubyte"),
        ("smnist", "smnist", "smnist/t10k-labels-idx1-ubyte"),
        ("stmnist", "stmnist", "data_submission/3/3_subject1_3.mat"),
        ("dvsgesture_aedat", "dvsgesture", "DvsGesture/user24_lab_labels.csv"),
        ("dvsgesture_aedat", "dvsgesture", "DvsGesture/trials_to_test.txt"),
    ] {
        let (dir, splits) = unpack(stand_in);
        let path = dir.join(file);
        let (whole, mut rng) = (std::fs::read(&path).unwrap(), ChaCha8Rng::seed_from_u64(3));
        let split = splits.keys().find(|split| ["test", "all"].contains(&split.as_str())).unwrap();
        let mut refused = 0;
        for round in 0..60 {
            let mut bytes = whole.clone();
            if round % 2 == 0 {
                bytes.truncate(rng.random_range(0..whole.len()));
            } else {
                for _ in 0..rng.random_range(1..6) {
                    let place = rng.random_range(0..whole.len());
                    bytes[place] = rng.random();
                }
            }
            std::fs::write(&path, bytes).unwrap();
            let found = dataset_source(dataset, Some(split), &[dir.to_path_buf()], SourceOptions::default());
            let opened = found.and_then(|(paths, options)| Recording::open(&paths[0], &options));
            let read = opened.and_then(|recordings| {
                for recording in &recordings {
                    recording.events()?;
                    for sample in 0..recording.samples() {
                        recording.read(sample..sample + 1)?;
                    }
                }
                Ok(())
            });
            refused += u32::from(read.is_err());
        }
        assert!(refused > 20, "{file}: {refused}");
    }
}

#[test]
fn real_recordings_are_those_of_their_data_sets() {
    let Some(real) = std::env::var_os("TONIC_REAL_DATA").map(PathBuf::from).filter(|real| real.join("raw").is_dir())
    else {
        println!("skipped: TONIC_REAL_DATA is not set to a folder with raw/");
        return;
    };
    let dir = scratch();
    let place = |from: &str, to: &str| {
        std::fs::create_dir_all(dir.join(to).parent().unwrap()).unwrap();
        std::fs::copy(real.join(from), dir.join(to)).unwrap();
    };
    (0..10).for_each(|digit| place("raw/nmnist_sample.bin", &format!("Test/{digit}/00001.bin")));
    place("davis346_dseclayout.h5", "thun_00_a/events_left/events.h5");
    place("fsdd_test.h5", "shd_test.h5");
    let of_set = |name: &str, dataset: &[&str], by_hand: &[&str], file: PathBuf| {
        let known = dir.join(format!("{name}_known"));
        convert(&[&*dir], &known).args(["--dataset", name]).args(dataset).assert().success();
        let plain = dir.join(format!("{name}_plain"));
        convert(&[file], &plain).args(by_hand).assert().success();
        (samples(&known), samples(&plain))
    };
    let sensor = ["--sensor", "34,34,2"];
    let (known, plain) = of_set("nmnist", &["--split", "test"], &sensor, real.join("raw/nmnist_sample_bin.npy"));
    assert!(known.len() == 10 && known.iter().all(|sample| sample.dense == plain[0].dense));
    let cut = ["--sample-duration", "200ms"];
    let by_hand = [&["--sensor", "640,480,2"][..], &cut].concat();
    let split = [&["--split", "thun_00_a"][..], &cut].concat();
    let (known, plain) = of_set("dsec", &split, &by_hand, real.join("davis346_dseclayout.h5"));
    assert_eq!(known, plain);
    let (known, plain) = of_set("shd", &["--split", "test"], &[], real.join("fsdd_test.h5"));
    assert_eq!(known, plain);
}
