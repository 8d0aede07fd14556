//! Tests that a recording gives the same set in every layout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hdf5::H5Type;
use serde_json::Value;
use tonic_toolkit::prep::{Digits, Layout, Recording, SourceOptions};

use super::camera::Camera;
use super::recording::{
    Sample, ascii, column, contents, convert, convert_aloud, data, hdf5_file, json, manifest, refuses, samples, says,
    scratch, stderr,
};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const MAP: [&str; 4] = ["--map", "t=when,x=where[0],y=where[1],p=sign", "--time-unit", "ns"];

/// Returns names and bytes of a set's shards. The manifest is left out, because it has the recording's name.
pub(crate) fn shards(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    contents(dir).into_iter().filter(|(name, _)| name.ends_with(".shard")).collect()
}

/// Computes dense frames of 10 ms in the simplest way, from the events with the indices `from..to`.
pub(crate) fn plainly(camera: &Camera, from: usize, to: usize) -> Vec<u32> {
    let t = &camera.t[from..to];
    let duration = t[t.len() - 1] - t[0];
    let frames = (((duration - 10_000) as f64 / 10_000.0).ceil() as i64 + 1).max(1) as usize;
    let mut dense = vec![0; frames * 2 * 30 * 40];
    for i in from..to {
        let frame = ((camera.t[i] - t[0]) / 10_000) as usize;
        if frame < frames {
            let (x, y, p) = (usize::from(camera.x[i]), usize::from(camera.y[i]), usize::from(camera.p[i]));
            dense[((frame * 2 + p) * 30 + y) * 40 + x] += 1;
        }
    }
    dense
}

#[test]
fn every_layout_gives_the_same_frames() {
    let dir = scratch();
    let camera = Camera::random(1, 5_000, 200_000);
    let path = |name: &str| dir.join(name);
    let layouts: [(&str, &str, PathBuf, Vec<&str>); 19] = [
        ("dsec", "camera (DSEC)", camera.dsec(&path("a.h5")), SENSOR.to_vec()),
        ("e2vid", "camera (e2vid)", camera.e2vid(&path("b.h5")), vec![]),
        ("mvsec", "camera (MVSEC)", camera.mvsec(&path("c.hdf5")), SENSOR.to_vec()),
        ("prophesee", "camera (Prophesee)", camera.prophesee(&path("d.hdf5")), vec![]),
        ("map", "columns by name", camera.strange(&path("e.h5")), [&SENSOR[..], &MAP].concat()),
        ("npy", "NumPy array", camera.npy(&path("f.npy")), SENSOR.to_vec()),
        ("npz", "NumPy archive", camera.npz(&path("g.npz")), SENSOR.to_vec()),
        ("evt2", "Prophesee RAW (EVT 2)", camera.evt2(&path("h.raw")), vec![]),
        ("evt21", "Prophesee RAW (EVT 2.1)", camera.evt21(&path("i.raw")), vec![]),
        ("evt3", "Prophesee RAW (EVT 3)", camera.evt3(&path("j.raw")), vec![]),
        ("dat", "Prophesee DAT", camera.dat(&path("k.dat")), vec![]),
        ("es", "Event Stream", camera.es(&path("l.es")), vec![]),
        ("aedat2", "AEDAT 2", camera.aedat2(&path("m.aedat")), SENSOR.to_vec()),
        ("aedat3", "AEDAT 3.1", camera.aedat3(&path("n.aedat")), SENSOR.to_vec()),
        ("aedat4", "AEDAT 4", camera.aedat4_lz4(&path("o.aedat4")), vec![]),
        ("mat", "MATLAB 5", camera.mat(&path("q.mat")), SENSOR.to_vec()),
        ("rosbag", "ROS bag", camera.bag(&path("r.bag")), vec![]),
        ("nmnist", "N-MNIST (.bin)", camera.nmnist(&path("p.bin")), SENSOR.to_vec()),
        ("csv", "text (CSV)", camera.csv(&path("q.csv")), vec![]),
    ];
    for cut in [&[][..], &["--sample-duration", "30ms"], &["--sample-events", "700"]] {
        let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
        for (name, title, file, arguments) in &layouts {
            let set = path(&format!("{name}-{}", cut.join("")));
            let said = stderr(convert_aloud(&[file], &set).args(arguments).args(cut));
            says(&said, &[&format!("layout: {title}, sensor 40x30x2")]);
            // --layout with the layout that is recognised changes nothing.
            let mut again = convert(&[file], &set);
            let again = again.args(["--layout", name, "--overwrite", "--json"]).args(arguments).args(cut);
            assert_eq!(json(again)["layout"], *name);
            let shards = shards(&set);
            assert_eq!(*first.get_or_insert_with(|| shards.clone()), shards, "{name} {cut:?}");
        }
    }
    let whole = samples(&path("dsec-"));
    assert_eq!(whole.len(), 1);
    assert!(whole[0].dense == plainly(&camera, 0, 5_000), "the frames are the events'");
    assert_eq!(whole[0].ledger.events_in, 5_000);
    assert_eq!(whole[0].label, u32::MAX);
    assert!(manifest(&path("dsec-")).description.classes.is_empty());
}

#[test]
fn a_camera_without_a_sensor_is_refused_with_what_would_do() {
    let dir = scratch();
    let file = Camera::random(2, 3_000, 50_000).dsec(&dir.join("a.h5"));
    let words = ["--sensor", "x up to 39 and y up to 29", "128,128,2 (DVS128)", "240,180,2"];
    refuses(&mut convert(&[&file], &dir.join("set")), 2, &words);
    let words = ["sample 0: event", "inside the sensor, 39x30x2", "--lenient"];
    refuses(convert(&[&file], &dir.join("set")).args(["--sensor", "39,30,2"]), 3, &words);
}

/// Converts an HDF5 file with the columns that `fill` writes. Returns the samples.
fn mapped(fill: impl Fn(&hdf5::File), arguments: &[&str]) -> Vec<Sample> {
    let dir = scratch();
    samples(&dir.convert(&[hdf5_file(&dir.join("a.h5"), fill)], "set", arguments))
}

/// Converts four events with the polarities `p`. Each event is in a different cell. Returns the sample.
fn of_polarities<T: H5Type>(p: [T; 4]) -> Sample {
    let fill = |file: &hdf5::File| {
        ["t", "x", "y"].iter().for_each(|name| column(file, name, &[0_u16, 1, 2, 3]));
        column(file, "p", &p);
    };
    mapped(fill, &["--map", "t=t,x=x,y=y,p=p", "--lenient", "--sensor", "40,30,2"]).remove(0)
}

#[test]
fn polarities_of_all_kinds_are_off_and_on() {
    for (kind, sample) in [
        ("u8", of_polarities([0_u8, 1, 0, 1])),
        ("i8", of_polarities([-1_i8, 1, -1, 1])),
        ("i64", of_polarities([-1_i64, 1, 0, 1])),
        ("f32", of_polarities([-1.0_f32, 1.0, 0.0, 1.0])),
        ("bool", of_polarities([false, true, false, true])),
        ("u64", of_polarities([0_u64, 1, 0, 1])),
        // A number with all bits set is the -1 of a signed type, saved as an unsigned type.
        ("u8 of all ones", of_polarities([u8::MAX, 1, 0, 1])),
        ("u16 of all ones", of_polarities([u16::MAX, 1, u16::MAX, 1])),
        ("u32 of all ones", of_polarities([u32::MAX, 1, 0, 1])),
        ("u64 of all ones", of_polarities([u64::MAX, 1, u64::MAX, 1])),
    ] {
        let on = [0, 1].map(|p| (0..4).map(|i| sample.dense[(p * 30 + i) * 40 + i]).collect::<Vec<_>>());
        assert_eq!(on, [[1, 0, 1, 0], [0, 1, 0, 1]], "{kind}");
    }
    for (kind, sample) in [
        ("u8", of_polarities([2_u8, 1, 254, 1])),
        ("i32", of_polarities([-2_i32, 1, i32::MAX, 1])),
        ("f64", of_polarities([f64::NAN, 1.0, 0.5, 1.0])),
    ] {
        assert_eq!(sample.ledger.outside, 2, "{kind}");
    }
}

/// Converts three events with the times `t` into frames of 1 ms. Returns the number of events in each frame, and the
/// number of invalid times.
fn frames_of<T: H5Type>(t: [T; 3], unit: &[&str]) -> (Vec<u32>, u64) {
    let fill = |file: &hdf5::File| {
        column(file, "t", &t);
        column(file, "x", &[1_u8, 2, 3]);
    };
    let arguments = [&["--map", "t=t,x=x,y=x", "--sensor", "40,4,1", "--time-window", "1000"], unit].concat();
    let sample = mapped(fill, &arguments).remove(0);
    (sample.dense.chunks(160).map(|frame| frame.iter().sum()).collect(), sample.ledger.non_finite)
}

#[test]
fn times_of_all_kinds_are_microseconds() {
    // The times are always 0, 1.5 and 3.25 ms.
    let expected = (vec![1, 1, 0, 1], 0);
    assert_eq!(frames_of([0_u32, 1_500, 3_250], &[]), expected);
    assert_eq!(frames_of([0_i16, 1_500, 3_250], &[]), expected);
    assert_eq!(frames_of([0.0, 0.0015, 0.00325], &[]), expected);
    assert_eq!(frames_of([0.0, 1.5, 3.25_f32], &["--time-unit", "ms"]), expected);
    assert_eq!(frames_of([999_u64, 1_500_000, 3_250_999], &["--time-unit", "ns"]), expected);
    // Negative times are valid. Invalid times are counted.
    assert_eq!(frames_of([-2_000_i64, -500, 1_250], &[]), expected);
    assert_eq!(frames_of([f64::NAN, 0.5, f64::INFINITY], &[]), (vec![1], 2));
    assert_eq!(frames_of([u64::MAX, 5, 1 << 63], &[]), (vec![1], 2));
    assert_eq!(frames_of([i64::MAX, 5, 6], &["--time-unit", "s"]).1, 1);
}

#[test]
fn a_mapped_label_is_a_class() {
    let dir = scratch();
    let numbered = Camera::random(3, 50, 1_000).strange(&dir.join("a.h5"));
    let named = hdf5_file(&dir.join("b.h5"), |file| {
        column(file, "t", &[1_u32, 2]);
        column(file, "x", &[1_u32, 2]);
        column(file, "what", &[ascii("walking")]);
    });
    for (file, map, sensor, class, classes) in [
        (&numbered, "t=when,x=where[0],y=where[1],p=sign,label=class", "40,30,2", 2, &["0", "1", "2"][..]),
        (&named, "t=t,x=x,label=what", "40", 0, &["walking"]),
    ] {
        let set = dir.convert(&[file], "set", &["--map", map, "--sensor", sensor, "--overwrite"]);
        assert_eq!(samples(&set)[0].label, class);
        assert_eq!(manifest(&set).description.classes, classes);
    }
    let refuse = |map: &str, code: i32, words: &[&str]| {
        refuses(convert(&[&numbered], &dir.join("none")).args(["--map", map, "--sensor", "40"]), code, words);
    };
    refuse("t=when,x=where[0],label=sign", 3, &["sign: expected one class, a number from 0 or a name"]);
    refuse("t=when,x=where", 3, &["where: expected one dimension, a number an event"]);
    refuse("t=when,x=where.x", 3, &["where: expected records with a member x, got int32"]);
    refuse("t=when,x=where[2]", 3, &["where: expected a row an event, with a column 2"]);
    refuse("t=when,x=why", 3, &["expected a dataset why (map layout)", "class (uint8, shape [1])"]);
    for map in ["t=when", "t=when,x", "t=a,x=b,x=c", "t=a,x=b,z=c", "t=a,x=b[z]", "t=,x=b"] {
        refuse(map, 2, &[]);
    }
}

#[test]
fn several_recordings_have_one_label_each() {
    let dir = scratch();
    let a = Camera::random(4, 90, 9_000).dsec(&dir.join("a.h5"));
    let b = Camera::random(5, 80, 9_000).dsec(&dir.join("b.h5"));
    let table = dir.file("labels.csv", "file,label\nb.h5,wave\na.h5,clap\n");
    for (name, value, classes, labels) in
        [("--labels", table.to_str().unwrap(), &["clap", "wave"][..], [0, 1]), ("--label", "wave", &["wave"], [0, 0])]
    {
        let set = dir.convert(&[&a, &b], name, &[&SENSOR[..], &[name, value]].concat());
        assert_eq!(manifest(&set).description.classes, classes);
        assert_eq!(samples(&set).iter().map(|s| s.label).collect::<Vec<_>>(), labels);
    }
}

#[test]
fn ntidigits_are_those_of_tonic() {
    let golden = std::fs::read(data("sources/ntidigits.json")).unwrap();
    /// A sample in the golden file: t, x and p of its events, and Tonic's target.
    type Golden = (Vec<i64>, Vec<u16>, Vec<u8>, Value);
    let golden: BTreeMap<String, Vec<Golden>> = serde_json::from_slice(&golden).unwrap();
    assert_eq!(golden.values().map(Vec::len).collect::<Vec<_>>(), [3, 2, 8, 5]);
    for (part, expected) in golden {
        let digits = Digits { train: part.starts_with("train"), single: part.ends_with("-single") };
        let options = SourceOptions { digits, ..SourceOptions::default() };
        let recording = Recording::open(&data("sources/ntidigits.h5"), &options).unwrap().remove(0);
        assert_eq!((recording.layout, recording.samples()), (Layout::Ntidigits, expected.len() as u64));
        let raw = recording.read(0..recording.samples()).unwrap();
        for (i, (t, x, p, target)) in expected.iter().enumerate() {
            let events = raw.admit(i, recording.sensor.unwrap()).events;
            assert_eq!((&events.t, &events.x), (t, x), "{part} {i}");
            assert!(p.iter().all(|&p| p == 1), "Tonic's ToFrame takes the one polarity for 0, as we do");
            let label = recording.labels[i];
            match target {
                Value::Number(class) => assert_eq!(class.as_u64(), Some(label.into()), "{part} {i}"),
                said => assert_eq!(said, &recording.classes.as_ref().unwrap()[label as usize], "{part} {i}"),
            }
        }
    }
    let dir = scratch();
    let arguments = ["--digits", "test", "--single-digits"];
    let set = dir.convert(&[data("sources/ntidigits.h5")], "set", &arguments);
    let classes = ["o", "1", "2", "3", "4", "5", "6", "7", "8", "9", "z"];
    assert_eq!(manifest(&set).description.classes, classes);
    assert_eq!(samples(&set).iter().map(|s| s.label).collect::<Vec<_>>(), [4, 0]);
}
