//! Tests of camera files: their events, their other content such as triggers, and damaged files.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tonic_toolkit::prep::{Cut, Layout, Recording, SensorSize, SourceOptions, decode_camera};

use super::camera::Camera;
use super::recording::{change, convert, convert_aloud, json, prep, refuses, samples, says, scratch, stderr, stdout};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };

/// A format:
///
/// - its layout
/// - the ending of its files
/// - a function that writes a file
/// - the period of its clock in microseconds, or 0 if the clock doesn't wrap
type Format = (Layout, &'static str, fn(&Camera, &Path) -> PathBuf, i64);

const FORMATS: [Format; 19] = [
    (Layout::Evt3, "raw", Camera::evt3, 1 << 24),
    (Layout::Evt2, "raw", Camera::evt2, 1 << 34),
    (Layout::Evt21, "raw", Camera::evt21, 1 << 34),
    (Layout::Evt21, "raw", Camera::evt21_legacy, 1 << 34),
    (Layout::Dat, "dat", Camera::dat, 1 << 32),
    (Layout::Dat, "dat", Camera::dat_without_header, 0),
    (Layout::Nmnist, "bin", Camera::nmnist, 0),
    (Layout::Es, "es", Camera::es, 0),
    (Layout::Es, "es", Camera::es_atis, 0),
    (Layout::Aedat2, "aedat", Camera::aedat2, 1 << 32),
    (Layout::Aedat2, "aedat", Camera::aedat2_dvs128, 1 << 32),
    (Layout::Aedat3, "aedat", Camera::aedat3, 1 << 31),
    (Layout::Aedat4, "aedat4", Camera::aedat4, 0),
    (Layout::Aedat4, "aedat4", Camera::aedat4_lz4, 0),
    (Layout::Aedat4, "aedat4", Camera::aedat4_zstd, 0),
    (Layout::Rosbag, "bag", Camera::bag, 0),
    (Layout::Rosbag, "bag", Camera::bag_bz2, 0),
    (Layout::Rosbag, "bag", Camera::bag_mono_lz4, 0),
    (Layout::Rosbag, "bag", Camera::bag_evt3, 1 << 24),
];

/// Reads all events of a file with one sample. `sensor` is the sensor size, or `None` if the file says it.
pub(super) fn events_of(path: &Path, sensor: Option<SensorSize>) -> (Recording, Camera) {
    let options = SourceOptions { sensor, ..SourceOptions::default() };
    let recording = Recording::open(path, &options).unwrap().remove(0);
    let sensor = sensor.or(recording.sensor).unwrap();
    let admitted = recording.read(0..1).unwrap().admit(0, sensor);
    assert_eq!((admitted.outside, admitted.non_finite), (0, 0), "{}", path.display());
    let events = admitted.events;
    (recording, Camera { t: events.t, x: events.x, y: events.y, p: events.p })
}

fn assert_equal(found: &Camera, expected: &Camera, what: &str) {
    assert_eq!(found.t.len(), expected.t.len(), "{what}");
    let event = |camera: &Camera, i: usize| (camera.t[i], camera.x[i], camera.y[i], camera.p[i]);
    for i in 0..found.t.len() {
        assert_eq!(event(found, i), event(expected, i), "{what}: event {i}");
    }
}

#[test]
fn events_of_every_format_are_those_that_were_written_also_across_wraps() {
    let dir = scratch();
    for (number, (layout, ending, write, period)) in FORMATS.into_iter().enumerate() {
        for (start, step) in [(900, 37), (period - 10_000, 61), (10, 301)] {
            let camera = Camera::runs(3_000, start.max(0), step);
            let file = write(&camera, &dir.join(format!("{number}.{ending}")));
            let (recording, found) = events_of(&file, Some(SIZE));
            assert_eq!(recording.layout, layout, "{number}");
            assert_equal(&found, &camera, &format!("format {number} from {start}"));
            let all = decode_camera(&file, &SourceOptions { sensor: Some(SIZE), ..SourceOptions::default() }).unwrap();
            let all = Camera { t: all.t, x: all.x, y: all.y, p: all.p };
            assert_equal(&all, &camera, &format!("all of format {number} from {start}"));
        }
    }
}

#[test]
fn a_file_of_full_vectors_has_all_their_events() {
    let header = b"% format EVT21;height=30;width=40\n% end\n";
    let words = (0..5_000u64).flat_map(|i| {
        let on = |kind: u64, rest: u64| (kind << 60 | rest).to_le_bytes();
        [on(8, (i >> 6) << 32), on(1, (i & 0x3f) << 54 | (i % 9) << 43 | (i % 30) << 32 | 0xffff_ffff)].concat()
    });
    let dir = scratch();
    let file = dir.join("full.raw");
    fs::write(&file, header.iter().copied().chain(words).collect::<Vec<u8>>()).unwrap();
    let (_, found) = events_of(&file, Some(SIZE));
    assert_eq!(found.t.len(), 5_000 * 32);
    for i in 0..found.t.len() {
        let (word, bit) = (i / 32, i % 32);
        assert_eq!((found.t[i], found.x[i], found.y[i]), (word as i64, (word % 9 + bit) as u16, (word % 30) as u16));
    }
}

#[test]
fn what_is_no_event_of_change_is_counted() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let notes = |file: PathBuf, arguments: &[&str]| {
        stderr(convert_aloud(&[&file], &dir.join("set")).args(arguments).args(["--overwrite"]))
    };
    says(
        &notes(camera.evt3(&dir.join("a.raw")), &[]),
        &[
            "events before the first TIME_HIGH and ADDR_Y that are not read: 1",
            "external triggers that are not read: 10",
            "messages of the camera (OTHERS and CONTINUED) that are not read: 31",
            "words of unknown kinds that are not read: 10",
        ],
    );
    says(
        &notes(camera.evt2(&dir.join("b.raw")), &[]),
        &["events before the first TIME_HIGH that are not read: 1", "external triggers that are not read: 14"],
    );
    says(&notes(camera.es_atis(&dir.join("c.es")), &[]), &["exposure (threshold crossings) that are not read: 7"]);
    let words =
        ["triggers and other special events that are not read: 7", "images and of the IMU that are not read: 7"];
    says(&notes(camera.aedat2(&dir.join("d.aedat")), &SENSOR), &words);
    let words = ["special events, such as triggers, that are not read: 3", "marked as not valid that are not read: 3"];
    says(&notes(camera.aedat3(&dir.join("e.aedat")), &SENSOR), &words);
    let said = notes(camera.aedat4(&dir.join("f.aedat4")), &[]);
    let words = ["packets of IMU samples in stream 0 (s0) that are not read: 3", "packets of events in stream 2 (s2)"];
    says(&said, &words);
    assert!(!said.contains("stream 3"), "no frames are there");
    // In a folder, each kind of note is there once.
    let folder = dir.join("folder");
    std::fs::create_dir_all(folder.join("wave")).unwrap();
    for i in 0..3 {
        Camera::runs(140 * (i + 1), 900, 37).evt3(&folder.join(format!("wave/{i}.raw")));
    }
    let said = notes(folder.clone(), &[]);
    says(&said, &["wave/0.raw and 2 more: external triggers that are not read: 2"]);
    assert_eq!(samples(&dir.join("set")).len(), 3);
    assert_eq!(said.matches("external triggers").count(), 1);
}

#[test]
fn a_file_that_was_cut_short_is_refused_and_read_to_there_if_asked() {
    let dir = scratch();
    let camera = Camera::runs(1_400, 900, 37);
    for (number, (_, ending, write, _)) in FORMATS.into_iter().enumerate() {
        let file = write(&camera, &dir.join(format!("{number}.{ending}")));
        let bytes = std::fs::read(&file).unwrap();
        let is_cut = (0..16).any(|more| {
            std::fs::write(&file, &bytes[..bytes.len() * 9 / 10 - more]).unwrap();
            Recording::open(&file, &SourceOptions { sensor: Some(SIZE), ..SourceOptions::default() }).is_err()
        });
        assert!(is_cut, "{number}");
        let set = dir.join(format!("set-{number}"));
        let words = ["byte ", "the end of the file", "events before it are whole", "--lenient reads the events before"];
        refuses(convert(&[&file], &set).args(SENSOR), 3, &words);
        let said = stderr(convert_aloud(&[&file], &set).args(SENSOR).args(["--lenient"]));
        says(&said, &["warning: damaged: at byte", "events before it are read"]);
        let read = samples(&set)[0].ledger.events_in;
        assert!((900..1_400).contains(&read), "{number}: {read}");
    }
}

#[test]
fn files_that_are_not_what_their_layout_says_are_refused() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let file = camera.evt3(&dir.join("a.raw"));
    let refuse = |file: &Path, arguments: &[&str], code, words: &[&str]| {
        refuses(convert(&[file], &dir.join("none")).args(SENSOR).args(arguments), code, words);
    };
    refuse(&file, &["--layout", "evt2"], 2, &["expected evt3, as the bytes of"]);
    refuse(&file, &["--layout", "npz"], 2, &["expected evt3, as the bytes of"]);
    refuse(&file, &["--time-unit", "ms"], 2, &["expected us, or none", "counts microseconds"]);
    refuse(&file, &["--columns", "t,x,y,p"], 2, &["evt3, whose columns have their own names"]);
    refuse(&dir.file("b.bin", "x"), &["--layout", "es"], 3, &["expected Event Stream, got"]);
    refuse(&dir.file("c.bin", "abcdefghijkl\u{1}"), &[], 3, &["no mark of a camera's file", "--layout"]);
    let atis = |kind| {
        let file = camera.es(&dir.join("d.es"));
        change(&file, |bytes| bytes[15] = kind);
        file
    };
    refuse(&atis(0), &[], 3, &["got a generic stream (kind 0)"]);
    refuse(&atis(4), &[], 3, &["got a stream of colours (kind 4)"]);
    let dat = camera.dat(&dir.join("e.dat"));
    change(&dat, |bytes| {
        let at = bytes.windows(2).position(|two| two == b"\x0c\x08").unwrap();
        bytes[at] = 14;
    });
    refuse(&dat, &[], 3, &["expected events of kind 0 (2D) or 12 (CD), of 8 bytes, got kind 14 of 8 bytes"]);
    // The place of the table of packets, in the header, is too early.
    for early in [camera.aedat4(&dir.join("i.aedat4")), camera.aedat4_lz4(&dir.join("j.aedat4"))] {
        change(&early, |bytes| {
            let places = bytes.len() as u64 - 12..bytes.len() as u64;
            let found = |eight: &[u8]| places.contains(&u64::from_le_bytes(eight.try_into().unwrap()));
            let at = bytes.windows(8).position(found).unwrap();
            bytes[at..at + 8].fill(0);
        });
        refuse(&early, &[], 3, &["the table of packets at byte 0"]);
    }
    // An event outside the sensor of the header.
    let outside = Camera { t: vec![1, 2], x: vec![1, 40], y: vec![1, 2], p: vec![0, 1] };
    refuse(&outside.dat(&dir.join("f.dat")), &[], 3, &["inside the sensor, 40x30x2, got 40, 2, 1"]);
    // AEDAT 2 of an unknown camera.
    let davis = camera.aedat2(&dir.join("g.aedat"));
    refuses(&mut convert(&[&davis], &dir.join("none")), 3, &["a line \"# AEChip\" that names", "--sensor"]);
    let none = dir.file("h.aedat4", "#!AER-DAT4.0\r\n");
    refuse(&none, &[], 3, &["byte 14: expected the 4 bytes of the header's size"]);
}

#[test]
fn a_dat_file_of_a_large_sensor_without_a_version_is_of_version_2() {
    let dir = scratch();
    let camera = Camera { t: vec![1, 2], x: vec![600, 40], y: vec![1, 300], p: vec![0, 1] };
    let file = camera.dat(&dir.join("a.dat"));
    let text = b"% Data file containing CD events.\n% Version 2\n% Height 30\n% Width 40\n";
    change(&file, |bytes| _ = bytes.splice(..text.len(), *b"% Height 480\n% Width 640\n"));
    assert_equal(&events_of(&file, None).1, &camera, "without a version");
}

#[test]
fn layouts_are_listed_with_what_tells_them_apart() {
    let text = stdout(prep().args(["layouts"]));
    says(&text, &["evt3", "Prophesee RAW (EVT 3)", "% evt 3.0", "hsd", "spikes/times"]);
    let listed = json(prep().args(["layouts", "--json"]));
    assert_eq!(listed["layouts"].as_array().unwrap().len(), Layout::ALL.len());
}

#[test]
fn a_recording_that_does_not_fit_in_memory_is_decoded_to_disk() {
    let dir = scratch();
    let n = (1 << 22) + 5_000;
    let camera = Camera::runs(n, 0, 3);
    let file = camera.dat(&dir.join("a.dat"));
    let (_, found) = events_of(&file, None);
    assert!(found.t == camera.t && found.x == camera.x && found.y == camera.y && found.p == camera.p);
    // In a folder, the file is opened again for the conversion.
    std::fs::create_dir_all(dir.join("folder/wave")).unwrap();
    std::fs::rename(&file, dir.join("folder/wave/a.dat")).unwrap();
    let arguments = ["--sample-duration", "300ms", "--time-window", "100000"];
    let samples = samples(&dir.convert(&[dir.join("folder")], "set", &arguments));
    assert_eq!(samples.iter().map(|sample| sample.ledger.events_in).sum::<u64>(), n as u64);
}

/// A large DAT file is decoded in parts of 2^19 events, on several cores.
#[test]
fn a_large_dat_file_has_the_same_events_in_one_piece_and_in_parts() {
    const PART: usize = 1 << 19;
    let dir = scratch();
    // The clock wraps within the parts, and exactly between the first two.
    let step = 80_000;
    let mut camera = Camera::runs(2 * PART + 1_000, (2 << 32) - 1 - (PART as i64 / 7) * step, step);
    camera.t[PART..].iter_mut().for_each(|t| *t += 1);
    assert_eq!((camera.t[PART - 1], camera.t[PART]), ((2 << 32) - 1, 2 << 32));
    let file = camera.dat(&dir.join("a.dat"));
    let packed = dir.join("a.dat.gz");
    let mut gzip = flate2::write::GzEncoder::new(fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    std::io::copy(&mut fs::File::open(&file).unwrap(), &mut gzip).unwrap();
    gzip.finish().unwrap();
    let decoded = |file: &Path, options: &SourceOptions| {
        decode_camera(file, options).map(|events| (events.t, events.x, events.y, events.p))
    };
    let expected = (camera.t, camera.x, camera.y, camera.p);
    let options = SourceOptions::default();
    for file in [&file, &packed] {
        assert!(decoded(file, &options).unwrap() == expected, "{}", file.display());
    }
    assert!(events_of(&file, None).1.t == expected.0);
    // A file that ends within an event.
    change(&file, |bytes| bytes.extend([1, 2, 3]));
    let error = decoded(&file, &options).unwrap_err().to_string();
    says(&error, &["the 8 bytes of an event", "3 and the end of the file", &expected.0.len().to_string()]);
    assert!(decoded(&file, &SourceOptions { lenient: true, ..options }).unwrap() == expected);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn damaged_bytes_are_an_error_or_other_events(
        kind in 0..FORMATS.len(),
        places in prop::collection::vec((0.0..1.0, any::<u8>()), 1..6),
        in_header in any::<bool>(),
        cut in any::<bool>(),
        lenient in any::<bool>(),
    ) {
        let dir = scratch();
        let (layout, ending, write, _) = FORMATS[kind];
        let path = write(&Camera::runs(200, 900, 37), &dir.join(format!("a.{ending}")));
        change(&path, |bytes| {
            for (place, byte) in places {
                let end = if in_header { bytes.len().min(160) } else { bytes.len() };
                let at = (place * end as f64) as usize;
                if cut { bytes.truncate(at.max(1)) } else { bytes[at] = byte }
            }
        });
        for cut in [Cut::Whole, Cut::Events { count: 50, overlap: 10 }, Cut::Duration { length: 1_000, overlap: 0 }] {
            for layout in [None, Some(layout)] {
                let sensor = Some(SIZE);
                let options = SourceOptions { cut, layout, sensor, lenient, ..SourceOptions::default() };
                for recording in Recording::open(&path, &options).into_iter().flatten() {
                    let samples = recording.samples().min(100);
                    if let Ok(raw) = recording.read(0..samples) {
                        prop_assert_eq!(raw.samples() as u64, samples);
                    }
                }
            }
        }
    }
}
