//! Tests of MATLAB files of version 7.3, which are HDF5: classes, texts, empty arrays, cells.

use std::path::{Path, PathBuf};

use hdf5::types::FixedAscii;
use hdf5::{Group, H5Type, Location, ObjectReference1};
use tonic_toolkit::prep::{Recording, SensorSize, SourceOptions};

use super::camera::{Camera, seconds};
use super::camera_formats::events_of;
use super::recording::{convert, hdf5_file_with, manifest, refuses, scratch};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };

fn class(place: &Location, name: &str) {
    let attribute = place.new_attr::<FixedAscii<16>>().create("MATLAB_class").unwrap();
    attribute.write_scalar(&FixedAscii::<16>::from_ascii(name).unwrap()).unwrap();
}

/// Writes a MATLAB array of shape (N, 1). HDF5 has the axes of MATLAB's arrays in reverse order: (1, N).
fn array<T: H5Type>(group: &Group, name: &str, of_class: &str, numbers: &[T]) {
    let dataset = group.new_dataset::<T>().shape([1, numbers.len()]).create(name).unwrap();
    dataset.write_raw(numbers).unwrap();
    class(&dataset, of_class);
}

fn text(group: &Group, name: &str, text: &str) {
    let letters: Vec<u16> = text.encode_utf16().collect();
    let dataset = group.new_dataset::<u16>().shape([letters.len(), 1]).create(name).unwrap();
    dataset.write_raw(&letters).unwrap();
    class(&dataset, "char");
    dataset.new_attr::<i32>().create("MATLAB_int_decode").unwrap().write_scalar(&2).unwrap();
}

fn empty(group: &Group, name: &str) {
    let dataset = group.new_dataset::<u64>().shape([2]).create(name).unwrap();
    dataset.write_raw(&[0_u64, 0]).unwrap();
    class(&dataset, "double");
    dataset.new_attr::<u8>().create("MATLAB_empty").unwrap().write_scalar(&1).unwrap();
}

/// Writes the events as a struct. The polarities are logical, the other fields are doubles. `scale` converts the
/// times.
fn structure(parent: &Group, name: &str, camera: &Camera, scale: fn(i64) -> f64) -> Group {
    let group = parent.create_group(name).unwrap();
    class(&group, "struct");
    let doubles = |column: &[u16]| column.iter().map(|&n| f64::from(n)).collect::<Vec<f64>>();
    array(&group, "x", "double", &doubles(&camera.x));
    array(&group, "y", "double", &doubles(&camera.y));
    array(&group, "p", "logical", &camera.p);
    array(&group, "ts", "double", &camera.t.iter().map(|&t| scale(t)).collect::<Vec<f64>>());
    group
}

fn file(path: &Path, fill: impl FnOnce(&hdf5::File)) -> PathBuf {
    let draft = path.with_extension("plain");
    let mut builder = hdf5::File::with_options();
    hdf5_file_with(builder.with_fcpl(|plist| plist.userblock(512)), &draft, fill);
    let mut bytes = std::fs::read(&draft).unwrap();
    bytes[..19].copy_from_slice(b"MATLAB 7.3 MAT-file");
    bytes[124..128].copy_from_slice(b"\0\x02IM");
    std::fs::write(path, bytes).unwrap();
    std::fs::remove_file(draft).unwrap();
    path.into()
}

#[test]
fn structs_of_doubles_are_read_as_in_version_5() {
    let dir = scratch();
    let camera = Camera::at(&(0..300).map(|i| 900 + i * 100).collect::<Vec<i64>>());
    let whole = |t: i64| t as f64;
    for (name, scale) in [("whole.mat", whole as fn(i64) -> f64), ("seconds.mat", seconds)] {
        let path = file(&dir.join(name), |file| {
            let group = structure(file, "TD", &camera, scale);
            empty(&group, "extra");
            text(&group, "note", "wave");
        });
        let (recording, found) = events_of(&path, Some(SIZE));
        assert!(found.t == camera.t && found.x == camera.x && found.y == camera.y && found.p == camera.p, "{name}");
        assert_eq!(recording.columns.json()["t"]["field"], "TD/ts");
    }
    // A field with a text gives the unit, even if the text has only one letter.
    for (unit, factor) in [("ms", 1_000), ("s", 1_000_000)] {
        let path = file(&dir.join("unit.mat"), |file| {
            text(&structure(file, "TD", &camera, |t| (t - 900) as f64 / 100.0), "unit", unit);
        });
        let (_, found) = events_of(&path, Some(SIZE));
        assert!(found.t.iter().enumerate().all(|(i, &t)| t == i as i64 * factor), "{unit}");
    }
}

#[test]
fn labels_are_texts_or_doubles() {
    let dir = scratch();
    let camera = Camera::random(1, 300, 20_000);
    let path = file(&dir.join("a.mat"), |file| {
        structure(file, "TD", &camera, |t| t as f64);
        text(file, "class", "wave");
        array(file, "number", "double", &[3.0]);
        array(file, "half", "double", &[3.5]);
    });
    let map = |label: &str| format!("t=TD/ts,x=TD/x,y=TD/y,p=TD/p,label={label}");
    for (label, classes) in [("class", vec!["wave"]), ("number", vec!["0", "1", "2", "3"])] {
        let set = dir.convert(&[&path], label, &[&SENSOR[..], &["--map", &map(label)]].concat());
        assert_eq!(manifest(&set).description.classes, classes);
    }
    let options = SourceOptions { map: Some(map("number").parse().unwrap()), ..SourceOptions::default() };
    assert_eq!(Recording::open(&path, &options).unwrap()[0].labels, [3]);
    let words = ["half: expected one class, a number from 0 or a name, got [3.5]"];
    refuses(convert(&[&path], &dir.join("none")).args(SENSOR).args(["--map", &map("half")]), 3, &words);
}

#[test]
fn a_recording_without_events_is_an_empty_one() {
    let dir = scratch();
    let path = file(&dir.join("a.mat"), |file| {
        let group = file.create_group("TD").unwrap();
        ["x", "y", "p", "ts"].iter().for_each(|name| empty(&group, name));
    });
    assert_eq!(events_of(&path, Some(SIZE)).1.t, Vec::<i64>::new());
}

#[test]
fn columns_in_cells_are_found_if_they_are_nowhere_else() {
    let dir = scratch();
    let (camera, other) = (Camera::random(1, 300, 20_000), Camera::random(2, 200, 20_000));
    let cell = |file: &hdf5::File, name: &str, to: &[&str]| {
        let references: Vec<ObjectReference1> = to.iter().map(|name| file.reference(name).unwrap()).collect();
        let dataset = file.new_dataset::<ObjectReference1>().shape([references.len(), 1]).create(name).unwrap();
        dataset.write_raw(&references).unwrap();
        class(&dataset, "cell");
    };
    let of = |fill: &dyn Fn(&hdf5::File)| {
        file(&dir.join("a.mat"), |file| {
            let referred = file.create_group("#refs#").unwrap();
            structure(&referred, "b", &camera, |t| t as f64);
            structure(&referred, "c", &other, |t| t as f64);
            structure(&referred, "unused", &other, |t| t as f64);
            fill(file);
        })
    };
    let found = events_of(&of(&|file| cell(file, "TD", &["#refs#/b"])), Some(SIZE)).1;
    assert_eq!((found.t, found.x), (camera.t.clone(), camera.x.clone()));
    // Two cells fit, so a map has to choose one.
    let path = of(&|file| cell(file, "TD", &["#refs#/b", "#refs#/c"]));
    let words = ["--map 't=#refs#/b/ts,x=#refs#/b/x,y=#refs#/b/y,p=#refs#/b/p'", "--map 't=#refs#/c/ts"];
    refuses(convert(&[&path], &dir.join("none")).args(SENSOR), 3, &words);
    // Columns outside of cells are preferred.
    let path = of(&|file| {
        cell(file, "more", &["#refs#/c"]);
        structure(file, "events", &camera, |t| t as f64);
    });
    assert_eq!(events_of(&path, Some(SIZE)).1.t, camera.t);
}
