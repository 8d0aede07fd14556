//! Tests of time fields whose names have a unit, such as `t_ns`. Some files also have a second time field. Also tests
//! attributes with a rate or an offset of the times, and warnings about coarse times.

use std::path::PathBuf;

use super::camera::{Camera, npy_header, npz};
use super::recording::{Scratch, column, hdf5_file, samples, says, scratch};
use super::unit_evidence::tell;
use super::units::{SENSOR, notes, refused};

/// Writes the events of a camera as npy, npz and HDF5. `times` has the names and the numbers of the fields of times.
fn files(dir: &Scratch, camera: &Camera, times: &[(&str, Vec<i64>)]) -> [PathBuf; 3] {
    let of = |column: &[u16]| column.iter().map(|&n| n.into()).collect::<Vec<i64>>();
    let p = camera.p.iter().map(|&p| p.into()).collect();
    let rest = [("x", of(&camera.x)), ("y", of(&camera.y)), ("p", p)];
    let all: Vec<_> = times.iter().chain(&rest).collect();
    let bytes = |column: &[i64]| column.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let shape = format!("({},)", camera.t.len());
    let types: Vec<String> = all.iter().map(|(name, _)| format!("('{name}', '<i8')")).collect();
    let rows: Vec<i64> = (0..camera.t.len()).flat_map(|i| all.iter().map(move |(_, column)| column[i])).collect();
    let npy = [npy_header(&format!("[{}]", types.join(", ")), &shape), bytes(&rows)].concat();
    let arrays: Vec<_> = all.iter().map(|(name, column)| (*name, "'<i8'", &*shape, bytes(column))).collect();
    npz(&dir.join("a.npz"), &arrays);
    let h5 = hdf5_file(&dir.join("a.h5"), |file| {
        let events = file.create_group("events").unwrap();
        all.iter().for_each(|(name, numbers)| column(&events, name, numbers));
    });
    [dir.file("a.npy", npy), dir.join("a.npz"), h5]
}

#[test]
fn two_fields_of_times_have_to_agree() {
    let dir = scratch();
    let (set, none) = (dir.join("set"), dir.join("none"));
    let camera = Camera::random(91, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let times = |scale: f64, add: i64| camera.t.iter().map(|&t| (t as f64 * scale) as i64 + add).collect::<Vec<i64>>();
    for (name, other) in [("t_ns", times(1e3, 1_700_000_000_000_000_000)), ("time_ms", times(1e-3, 0))] {
        for file in files(&dir, &camera, &[("t", times(1.0, 0)), (name, other)]) {
            notes(&file, &set, &SENSOR);
            assert!(samples(&set) == samples(&dir.join("right")), "{name} of {}", file.display());
        }
    }
    // Either the first field is in ms, or the two fields come from different clocks.
    for file in files(&dir, &camera, &[("t", times(1e-3, 0)), ("t_us", times(1.0, 0))]) {
        let at = if file.extension().unwrap() == "h5" { "events/" } else { "" };
        let got = format!("got times in us that differ from them; they agree if {at}t is in ms");
        let maps = ["t_us", "t"].map(|t| format!("--map t={at}{t},x={at}x,y={at}y,p={at}p"));
        let typed = format!("type --time-unit ms or {} or {}", maps[0], maps[1]);
        says(&refused(&file, &none, &SENSOR), &[&format!("expected the times of {at}t_us, "), &got, &typed]);
        notes(&file, &set, &[&SENSOR[..], &["--time-unit", "ms"]].concat());
        assert_eq!(samples(&set)[0].shape[0], samples(&dir.join("right"))[0].shape[0]);
        notes(&file, &set, &[&SENSOR[..], &maps[0].split(' ').collect::<Vec<_>>()].concat());
        assert!(samples(&set) == samples(&dir.join("right")), "{}", file.display());
    }
    for file in files(&dir, &camera, &[("t", times(1.0, 0)), ("timestamp_ns", times(1001.0, 0))]) {
        let said = refused(&file, &none, &SENSOR);
        says(&said, &["got times in us that differ from them", "timestamp_ns,x="]);
        assert!(!said.contains("--time-unit"), "{said}");
    }
}

#[test]
fn a_unit_in_the_name_of_the_times_is_their_unit() {
    let dir = scratch();
    let set = dir.join("set");
    let camera = Camera::random(92, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let ns: Vec<i64> = camera.t.iter().map(|t| t * 1_000).collect();
    for file in files(&dir, &camera, &[("timestamp_ns", ns)]) {
        let at = if file.extension().unwrap() == "h5" { "events/" } else { "" };
        let map = format!("t={at}timestamp_ns,x={at}x,y={at}y,p={at}p");
        says(&refused(&file, &dir.join("none"), &SENSOR), &[&format!("--map {map}")]);
        let given = [&SENSOR[..], &["--map", &map]].concat();
        let note = format!("times are in ns, as the name of {at}timestamp_ns says, not in us as is usual");
        assert!(notes(&file, &set, &given).contains(&note));
        assert!(samples(&set) == samples(&dir.join("right")), "{}", file.display());
        let said = notes(&file, &set, &[&given[..], &["--time-unit", "us"]].concat());
        says(&said.join("\n"), &[" says that times are in ns; they are taken as us, the unit that was given"]);
    }
}

#[test]
fn rates_and_offsets_of_times_are_used_or_named() {
    let dir = scratch();
    let set = dir.join("set");
    let camera = Camera::random(95, 3_000, 2_000_000);
    notes(&camera.npy(&dir.join("right.npy")), &dir.join("right"), &SENSOR);
    let file = |scale: i64, name: &str, value: &str| {
        hdf5_file(&dir.join("a.h5"), |file| {
            camera.fill_dsec(file);
            let events = file.group("events").unwrap();
            events.unlink("t").unwrap();
            column(&events, "t", &camera.t.iter().map(|t| t * scale).collect::<Vec<i64>>());
            tell(&events.dataset("t").unwrap(), name, value);
        })
    };
    let place = |name: &str| format!("the attribute {name:?} of \"events/t\"");
    for (scale, name, value, expected) in [
        (1_000, "sampling_rate", "1e9", Some(format!("times are in ns, as {} says", place("sampling_rate")))),
        (1_000, "tick_rate", "'1 GHz'", Some(format!("times are in ns, as {} says", place("tick_rate")))),
        (1, "clock_frequency", "1e6", None),
        (1, "sample_rate", "'1 MHz'", None),
        (1, "scale", "0.001", Some(format!("{} is 0.001, by which the times are not", place("scale")))),
        (1, "fs", "1e3", Some(format!("warning: {} is 1000, and times are taken as they are", place("fs")))),
        (1, "offset", "250", Some(format!("{} is 250, which is not added to the times", place("offset")))),
        (1, "offset", "0", None),
    ] {
        let said = notes(&file(scale, name, value), &set, &SENSOR).join("\n");
        match expected {
            Some(expected) => says(&said, &[&expected]),
            None => assert!(!said.contains("the attribute"), "{said}"),
        }
        assert!(samples(&set) == samples(&dir.join("right")), "{name} {value}");
    }
}

#[test]
fn coarse_times_are_warned_of_in_every_format() {
    let dir = scratch();
    for (seconds, is_coarse) in [(3_600, true), (30, false)] {
        let camera = Camera::random(96, 3_000, seconds * 1_000_000);
        let single: Vec<f32> = camera.t.iter().map(|&t| (t as f64 / 1e6) as f32).collect();
        let h5 = hdf5_file(&dir.join("a.h5"), |file| {
            let events = file.create_group("events").unwrap();
            column(&events, "ts", &single);
            column(&events, "xs", &camera.x);
            column(&events, "ys", &camera.y);
            column(&events, "ps", &camera.p);
        });
        let shape = format!("({},)", single.len());
        let types = "[('t', '<f4'), ('x', '<u2'), ('y', '<u2'), ('p', '|u1')]";
        let row = |i: usize| {
            [&single[i].to_le_bytes()[..], &camera.x[i].to_le_bytes(), &camera.y[i].to_le_bytes(), &[camera.p[i]]]
                .concat()
        };
        let rows: Vec<u8> = (0..single.len()).flat_map(row).collect();
        npz(&dir.join("a.npz"), &[("events", types, &shape, rows.clone())]);
        let npy = dir.file("a.npy", [npy_header(types, &shape), rows].concat());
        for file in [h5, npy, dir.join("a.npz")] {
            let said = notes(&file, &dir.join("set"), &[&SENSOR[..], &["--time-unit", "s"]].concat()).join("\n");
            let warning = "warning: coarse times: as float32 they are multiples of 244 us";
            assert_eq!(said.contains(warning), is_coarse, "{}: {said}", file.display());
        }
    }
}
