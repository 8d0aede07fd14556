//! Tests of the headers of camera files: chips, sources, texts in other encodings, long lines.

use std::path::Path;

use tonic_toolkit::prep::{Recording, SensorSize, SourceOptions, decode_camera};

use super::camera::Camera;
use super::camera_formats::events_of;
use super::recording::{change, convert, convert_aloud, refuses, says, scratch, stderr};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };
const DVS128: SensorSize = SensorSize { width: 128, height: 128, polarities: 2 };

/// Replaces the first occurrence of `old` in a file.
fn replace(file: &Path, old: &[u8], new: &[u8]) {
    change(file, |bytes| {
        let at = bytes.windows(old.len()).position(|part| part == old).unwrap();
        bytes.splice(at..at + old.len(), new.iter().copied());
    });
}

#[test]
fn an_unknown_chip_of_aedat_2_is_refused_even_if_the_sensor_is_given() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let file = camera.aedat2(&dir.join("a.aedat"));
    replace(&file, b"davis.SomeDavis", b"Some3D");
    let words = ["expected events of a DVS128 or a DAVIS (# AEChip)", "the chip eu.seebetter.ini.chips.Some3D", "jAER"];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
    // Without a chip, addresses of more than 16 bits are those of a DAVIS, and a note says so.
    replace(&file, b"# AEChip: eu.seebetter.ini.chips.Some3D\r\n", b"");
    let said = stderr(convert_aloud(&[&file], &dir.join("set")).args(SENSOR));
    says(&said, &["note: the header names no chip: the addresses are read as those of a DAVIS"]);
    assert_eq!(events_of(&file, Some(SIZE)).1.x, camera.x);
}

#[test]
fn the_chip_before_the_dvs128_is_read_as_one() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let file = camera.aedat2_dvs128(&dir.join("a.aedat"));
    let plain = events_of(&file, None).1;
    let chip = b"#!AER-DAT2.0\r\n# AEChip: ch.unizh.ini.jaer.chip.retina.Tmpdiff128\r\n";
    replace(&file, b"#!AER-DAT2.0\r\n", chip);
    let (recording, found) = events_of(&file, None);
    assert_eq!(recording.sensor, Some(DVS128));
    assert!((&found.t, &found.x, &found.y, &found.p) == (&plain.t, &plain.x, &plain.y, &plain.p));
    assert_eq!(found.x, camera.x);
}

#[test]
fn one_source_of_aedat_3_is_read_and_others_are_counted() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    let file = camera.aedat3(&dir.join("a.aedat"));
    let other = std::fs::read(Camera::runs(90, 950, 41).aedat3(&dir.join("b.aedat"))).unwrap();
    let end = b"#!END-HEADER\r\n";
    let begin = other.windows(end.len()).position(|part| part == end).unwrap() + end.len();
    let (mut packets, mut at) = (other[begin..].to_vec(), 0);
    while at < packets.len() {
        packets[at + 2] = 2;
        at += 28 + 8 * u32::from_le_bytes(packets[at + 20..at + 24].try_into().unwrap()) as usize;
    }
    change(&file, |bytes| bytes.extend(packets));
    replace(&file, b"#Source 1: Some\r\n", b"#Source 2: DVS128\r\n#Source 1: DAVIS240C\r\n");
    let (recording, found) = events_of(&file, None);
    assert_eq!(recording.sensor, Some(SensorSize { width: 240, height: 180, polarities: 2 }));
    assert_eq!((found.t, found.x), (camera.t, camera.x));
    let said = stderr(&mut convert_aloud(&[&file], &dir.join("set")));
    says(&said, &["note: events of other sources than 1, such as a second camera, that are not read: 91"]);
}

#[test]
fn a_header_goes_on_after_a_long_line_and_one_in_another_encoding() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    for (name, write) in [("a.raw", Camera::evt3 as fn(&Camera, &Path) -> _), ("b.raw", Camera::evt2)] {
        let file = write(&camera, &dir.join(name));
        let lines = [b"% place Z\xfcrich\n% note ".as_slice(), &[b'a'; 9_000], b"\n% geometry"].concat();
        replace(&file, b"% geometry", &lines);
        let (recording, found) = events_of(&file, None);
        assert_eq!(recording.sensor, Some(SIZE), "{name}");
        assert_eq!((&found.t, &found.y), (&camera.t, &camera.y), "{name}");
        // A line that does not end is damage, and not the end of the header.
        replace(&file, b"% geometry", &[b"% note ".as_slice(), &[b'a'; 40_000], b"\n% geometry"].concat());
        let words = ["expected lines of the header of at most 32768 bytes"];
        refuses(&mut convert(&[&file], &dir.join("none")), 3, &words);
    }
}

#[test]
fn a_text_is_decoded_into_columns_as_the_file_of_a_camera_is() {
    let dir = scratch();
    let camera = Camera::random(7, 900, 60_000);
    let file = camera.csv(&dir.join("a.csv"));
    let events = decode_camera(&file, &SourceOptions::default()).unwrap();
    assert!((events.t, events.x, events.y, events.p) == (camera.t, camera.x, camera.y, camera.p));
    let far = dir.file("b.csv", "t,x,y,p\n1,2,70000,1\n2,3,4,0\n");
    let error = decode_camera(&far, &SourceOptions::default()).unwrap_err();
    assert!(error.to_string().contains("x and y from 0 to 65535"), "{error}");
    assert!(Recording::open(&far, &SourceOptions { sensor: Some(SIZE), ..SourceOptions::default() }).is_ok());
}
