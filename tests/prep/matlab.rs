//! Tests of MATLAB files of version 5: what SciPy reads, every type and byte order, structs, labels, damaged files.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tonic_toolkit::prep::{Cut, Layout, Recording, SensorSize, SourceOptions};

use super::camera::Camera;
use super::camera_formats::events_of;
use super::matlab_files::{DOUBLES, Mat, columns};
use super::recording::{convert, convert_aloud, data, json, manifest, refuses, samples, says, scratch, stderr};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };

fn options() -> SourceOptions {
    SourceOptions { sensor: Some(SIZE), ..SourceOptions::default() }
}

/// Reads the events of a recording in one file.
fn read(path: &Path, options: &SourceOptions) -> Result<(Recording, Vec<[i64; 4]>), tonic_toolkit::prep::Error> {
    let recording = Recording::open(path, options)?.remove(0);
    let admitted = recording.read(0..1)?.admit(0, SIZE);
    assert_eq!((admitted.outside, admitted.non_finite), (0, 0), "{}", path.display());
    let e = admitted.events;
    let event = |i: usize| [e.t[i], e.x[i].into(), e.y[i].into(), e.p[i].into()];
    Ok((recording, (0..e.t.len()).map(event).collect()))
}

fn events(camera: &Camera) -> Vec<[i64; 4]> {
    let event = |i: usize| [camera.t[i], camera.x[i].into(), camera.y[i].into(), camera.p[i].into()];
    (0..camera.t.len()).map(event).collect()
}

#[test]
fn what_scipy_writes_is_read_as_scipy_reads_it() {
    let dir = data("sources/matlab");
    let found: serde_json::Map<String, Value> =
        serde_json::from_slice(&std::fs::read(dir.join("scipy.json")).unwrap()).unwrap();
    assert_eq!(found.len(), 20);
    for (name, of_scipy) in found {
        let numbers = |role: &str| -> Vec<i64> { serde_json::from_value(of_scipy[role].clone()).unwrap() };
        let [t, x, y, p] = ["t", "x", "y", "p"].map(numbers);
        let mut options = options();
        let needs = of_scipy["needs"].as_str().unwrap_or("");
        let origin = i64::from(needs == "origin 1");
        match needs {
            "" => {}
            "origin 1" => options.origin = 1,
            "label=class" => options.map = Some("t=ts,x=x,y=y,p=pol,label=class".parse().unwrap()),
            order => {
                let error = Recording::open(&dir.join(&name), &options).unwrap_err();
                assert!(format!("{error:?}").contains("t,x,y,p"), "{name}: {error:?}");
                options.columns = Some(order.parse().unwrap());
            }
        }
        let (recording, events) = read(&dir.join(&name), &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected: Vec<[i64; 4]> = (0..t.len()).map(|i| [t[i], x[i] - origin, y[i] - origin, p[i].max(0)]).collect();
        assert_eq!(events, expected, "{name}");
        assert_eq!(recording.layout, Layout::Mat, "{name}");
        let class = (recording.labels[0], recording.classes.as_deref().map(|names| names.join(",")));
        match &*name {
            "label_text.mat" => assert_eq!(class, (0, Some("wave".into()))),
            "label_number.mat" => assert_eq!(class.0, 3),
            _ => assert_eq!(class.0, u32::MAX, "{name}"),
        }
    }
}

#[test]
fn every_type_and_byte_order_gives_the_same_events() {
    let dir = scratch();
    let camera = Camera { t: (0..90).collect(), ..Camera::at(&(0..90).collect::<Vec<i64>>()) };
    let path = dir.join("a.mat");
    for big_endian in [false, true] {
        for packed in [false, true] {
            let mat = Mat { big_endian, packed };
            for class in 6..=15 {
                // The class's own type, and smaller ones. 1, 2: 8 bits; 3, 4: 16 bits; 5, 6: 32 bits.
                let own = [9, 7, 1, 2, 3, 4, 5, 6, 12, 13][class as usize - 6];
                for kind in [1, 2, 3, 4, 5, 6, 7, 9, 12, 13].into_iter().filter(|&kind| kind <= own) {
                    for in_struct in [false, true] {
                        let kinds = [(class, kind); 4];
                        let [t, x, y, p] = columns(mat, &camera, kinds, !in_struct);
                        let variables = match in_struct {
                            false => vec![t, x, y, p],
                            true => vec![mat.structure("TD", &[("p", p), ("ts", t), ("x", x), ("y", y)])],
                        };
                        std::fs::write(&path, mat.bytes(&variables)).unwrap();
                        let what = format!("{mat:?} class {class} type {kind}");
                        let (_, found) = read(&path, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
                        assert_eq!(found, events(&camera), "{what}");
                    }
                }
            }
        }
    }
    // If the text at the start is missing, the file is recognised by its mark of the byte order.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..116].fill(0);
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path, &options()).unwrap().1, events(&camera));
    // A double of 255 is not read as -1, although it is stored in 8 bits.
    let mat = Mat::default();
    let odd = Camera { p: (0..90).map(|i| if i % 2 == 0 { 1 } else { 255 }).collect(), ..camera };
    std::fs::write(&path, mat.bytes(&columns(mat, &odd, DOUBLES, true))).unwrap();
    refuses(convert(&[&path], &dir.join("none")).args(SENSOR), 3, &["1 and 255", "polarities -1 or 0 for off"]);
}

#[test]
fn units_labels_and_other_places_are_found_in_structs() {
    let dir = scratch();
    let mat = Mat { packed: true, ..Mat::default() };
    let camera = Camera::at(&(0..300).map(|i| i * 100).collect::<Vec<i64>>());
    let in_ms = Camera { t: camera.t.iter().map(|t| t / 100).collect(), ..camera.clone() };
    let text = |name: &str, text: &str| {
        let letters: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        mat.array(4, name, &[1, text.len() as u32], &[mat.element(4, &letters)])
    };
    let td = |camera: &Camera, more: Vec<(&'static str, Vec<u8>)>| {
        let [t, x, y, p] = columns(mat, camera, DOUBLES, false);
        let fields = [vec![("x", x), ("y", y), ("p", p), ("ts", t)], more].concat();
        mat.structure("TD", &fields)
    };
    let file = dir.file("a.mat", mat.bytes(&[td(&in_ms, vec![("unit", text("", "ms"))])]));
    let found = read(&file, &options()).unwrap().1;
    assert!(found.iter().map(|event| event[0]).eq(in_ms.t.iter().map(|t| t * 1_000)));
    // If two structs have columns, the error has a map for each.
    let [t, x, y, p] = columns(mat, &camera, DOUBLES, false);
    let second = mat.structure("right", &[("t", t), ("x", x), ("y", y), ("p", p)]);
    let file = dir.file("b.mat", mat.bytes(&[td(&camera, vec![]), second, text("class", "clap")]));
    let words = ["--map t=TD/ts,x=TD/x,y=TD/y,p=TD/p", "--map t=right/t,x=right/x,y=right/y,p=right/p"];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
    let map = ["--map", "t=TD/ts,x=TD/x,y=TD/y,p=TD/p,label=class"];
    let said = stderr(convert_aloud(&[&file], &dir.join("set")).args(SENSOR).args(map));
    says(
        &said,
        &["layout: MATLAB 5", "t = TD/ts (float64, us)", "fields right/t, right/x, right/y, right/p were not used"],
    );
    assert_eq!(manifest(&dir.join("set")).description.classes, ["clap"]);
    let words = ["expected a dataset TD/none (mat layout), got none", "TD/ts (float64, shape [300, 1])"];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR).args(["--map", "t=TD/none,x=TD/x"]), 3, &words);
    let words = ["expected mat, as the bytes of"];
    refuses(convert(&[&file], &dir.join("none")).args(["--layout", "npz"]), 2, &words);
    // Times with fractions are seconds.
    let text = |numbers: &[f64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let t = text(&camera.t.iter().map(|&t| super::camera::seconds(t)).collect::<Vec<f64>>());
    let t = mat.array(6, "ts", &[300, 1], &[mat.element(9, &t)]);
    let [_, x, y, p] = columns(mat, &camera, DOUBLES, true);
    let file = dir.file("s.mat", mat.bytes(&[t, x, y, p]));
    assert_eq!(read(&file, &options()).unwrap().1, events(&camera));
    // Times that would last less than a millisecond are refused, and the error suggests --time-unit.
    let seconds = Camera { t: (0..300).collect(), ..camera.clone() };
    let file = dir.file("c.mat", mat.bytes(&columns(mat, &seconds, DOUBLES, true)));
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["--time-unit"]);
    // For polarities of 1 and 2, the error suggests a command that reads them with SciPy.
    let odd = Camera { p: camera.p.iter().map(|p| p + 1).collect(), ..camera.clone() };
    let file = dir.file("d.mat", mat.bytes(&[td(&odd, vec![])]));
    let words = ["import numpy as np, scipy.io", "simplify_cells=True", "p=f[\"TD\"][\"p\"][:] == 2"];
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
    // A file that has a variable twice is refused.
    let [t, ..] = columns(mat, &camera, DOUBLES, true);
    let file = dir.file("e.mat", mat.bytes(&[columns(mat, &camera, DOUBLES, true).to_vec(), vec![t]].concat()));
    refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["ts: expected one variable of this name"]);
    // A file without events is read.
    let file = dir.file("f.mat", mat.bytes(&columns(mat, &Camera::default(), DOUBLES, true)));
    assert_eq!(read(&file, &options()).unwrap().1, Vec::<[i64; 4]>::new());
}

#[test]
fn files_in_folders_are_recordings_if_they_are_named_as_such() {
    let dir = scratch();
    let folder = dir.folder("data");
    for class in ["a", "b"] {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for i in 0..3 {
            Camera::random(i, 300, 20_000).mat(&folder.join(format!("{class}/{i}.mat")));
        }
    }
    let set = dir.convert(&[&folder], "set", &SENSOR);
    assert_eq!(samples(&set).iter().map(|sample| sample.label).collect::<Vec<u32>>(), [0, 0, 0, 1, 1, 1]);
    assert_eq!(manifest(&set).description.classes, ["a", "b"]);
    // Next to recordings in other formats, a file with another name may have other data.
    let other = Mat::default().bytes(&[Mat::default().column("rate", (6, 9), &[5])]);
    let mixed = dir.folder("mixed");
    std::fs::create_dir_all(mixed.join("a")).unwrap();
    Camera::random(1, 300, 20_000).npy(&mixed.join("a/1.npy"));
    std::fs::write(mixed.join("a/imu.mat"), &other).unwrap();
    Camera::random(2, 300, 20_000).mat(&mixed.join("a/2.mat"));
    let said = stderr(convert_aloud(&[&mixed], &dir.join("two")).args(SENSOR));
    says(&said, &["warning: not read and in no sample: a/imu.mat, a MATLAB file, named otherwise than the recordings"]);
    assert_eq!(samples(&dir.join("two")).len(), 2);
    // The error names a file without events that has a name like the recordings.
    std::fs::write(folder.join("a/7.mat"), other).unwrap();
    refuses(convert(&[&folder], &dir.join("none")).args(SENSOR), 3, &["a/7.mat", "rate", "or leave it out"]);
}

#[test]
fn a_recording_that_does_not_fit_in_memory_is_read_from_disk() {
    let dir = scratch();
    let n = (1 << 22) + 5_000;
    let camera = Camera::runs(n, 0, 3);
    for (name, packed) in [("plain.mat", false), ("packed.mat", true)] {
        let mat = Mat { packed, ..Mat::default() };
        let [t, x, y, p] = columns(mat, &camera, [(6, 6), (11, 4), (11, 4), (9, 2)], false);
        let file = dir.file(name, mat.bytes(&[mat.structure("TD", &[("x", x), ("y", y), ("p", p), ("ts", t)])]));
        let (recording, found) = events_of(&file, Some(SIZE));
        assert!(found.t == camera.t && found.x == camera.x && found.y == camera.y && found.p == camera.p, "{name}");
        assert_eq!(recording.layout, Layout::Mat);
        // In a folder, the file is opened again for the conversion.
        let folder = dir.folder(&format!("of-{name}"));
        std::fs::create_dir_all(folder.join("wave")).unwrap();
        std::fs::rename(file, folder.join("wave/a.mat")).unwrap();
        let arguments = ["--sensor", "40,30,2", "--sample-duration", "300ms", "--time-window", "100000"];
        let samples = samples(&dir.convert(&[&folder], &format!("set-{name}"), &arguments));
        assert_eq!(samples.iter().map(|sample| sample.ledger.events_in).sum::<u64>(), n as u64, "{name}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

/// Returns small files with every combination of byte order and compression.
fn small_files() -> Vec<Vec<u8>> {
    let camera = Camera::at(&[10, 2_000, 30_000]);
    let mut files = Vec::new();
    for (big_endian, packed) in [(false, false), (false, true), (true, false), (true, true)] {
        let mat = Mat { big_endian, packed };
        let [t, x, y, p] = columns(mat, &camera, DOUBLES, false);
        let events = mat.structure("TD", &[("x", x), ("y", y), ("p", p), ("ts", t)]);
        let text = mat.array(4, "label", &[1, 4], &[mat.element(16, b"wave")]);
        let cell = mat.array(1, "c", &[1, 2], &[mat.column("", (9, 2), &[1]), mat.element(14, b"")]);
        files.push(mat.bytes(&[events, text, cell]));
    }
    files
}

#[test]
fn a_file_that_was_cut_short_is_refused_wherever_it_ends() {
    let dir = scratch();
    for bytes in small_files() {
        let whole = dir.file("a.mat", &bytes);
        let expected = read(&whole, &options()).unwrap().1;
        assert_eq!(expected.len(), 3);
        for end in 1..bytes.len() {
            let path = dir.file("a.mat", &bytes[..end]);
            // What is cut off may be the padding of a variable, or variables that are not needed.
            if let Ok((_, events)) = read(&path, &options()) {
                assert_eq!(events, expected, "{end}");
            }
        }
    }
    let bytes = &small_files()[0];
    let words = ["byte ", "cannot be read: expected", "of at most"];
    refuses(convert(&[dir.file("a.mat", &bytes[..300])], &dir.join("none")).args(SENSOR), 3, &words);
    let words = ["byte 0: cannot be read: expected the 128 bytes of the header", "the end of the file"];
    refuses(&mut convert(&[dir.file("a.mat", &bytes[..100])], &dir.join("none")), 3, &words);
    // A wrong zlib checksum.
    let mut bytes = small_files()[1].clone();
    let size = u32::from_le_bytes(bytes[132..136].try_into().unwrap()) as usize;
    bytes[136 + size - 1] ^= 1;
    refuses(convert(&[dir.file("a.mat", bytes)], &dir.join("none")).args(SENSOR), 3, &["compressed at byte 136"]);
}

#[test]
fn every_flipped_byte_is_an_error_or_another_recording() {
    let dir = scratch();
    for bytes in small_files() {
        for at in 124..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                let path = dir.file("a.mat", bytes);
                let Ok(recordings) = Recording::open(&path, &options()) else { continue };
                let Ok(raw) = recordings[0].read(0..1) else { continue };
                assert!(raw.count(0) <= 64, "{at}: as many events as its bytes hold");
            }
        }
    }
}

#[test]
fn sizes_that_no_file_holds_are_not_believed() {
    let dir = scratch();
    let mat = Mat::default();
    let refuse = |variables: &[Vec<u8>], words: &[&str]| {
        let file = dir.file("a.mat", mat.bytes(variables));
        refuses(convert(&[file], &dir.join("none")).args(SENSOR), 3, words);
    };
    let huge = mat.array(6, "t", &[1 << 30, 1 << 20], &[mat.element(9, &[0; 16])]);
    refuse(&[huge], &["bytes of t, of shape [1073741824, 1048576]"]);
    let overflow = mat.array(6, "t", &[1 << 30; 3], &[mat.element(9, &[0; 16])]);
    refuse(&[overflow], &["the shape of an array"]);
    let negative = mat.array(6, "t", &[u32::MAX, 1], &[mat.element(9, &[0; 16])]);
    refuse(&[negative], &["the shape of an array"]);
    // Deeply nested cells, and a cell that claims to have many elements.
    let mut nested = mat.column("", (9, 2), &[1]);
    for _ in 0..2_000 {
        nested = mat.array(1, "", &[1, 1], &[nested]);
    }
    refuse(&[mat.array(1, "c", &[1, 1], &[nested])], &["c (a deeper struct or cell"]);
    refuse(&[mat.array(1, "c", &[1 << 30, 1], &[mat.column("", (9, 2), &[1])])], &["an array in a struct or cell"]);
    // A compressed variable of 512 MiB of zeros is not unpacked into memory.
    let packed = Mat { packed: true, ..mat };
    let zeros = packed.array(9, "z", &[1 << 26, 1], &[packed.element(2, &vec![0; 1 << 26])]);
    let file = dir.file("a.mat", packed.bytes(&[zeros]));
    refuses(convert(&[file], &dir.join("none")).args(SENSOR), 3, &["no layout fits", "z (uint8"]);
}

#[test]
fn the_naive_way_is_named_for_matlab() {
    let dir = scratch();
    let file = Camera::random(3, 500, 90_000).mat(&dir.join("a.mat"));
    let told = json(super::recording::prep().arg("bench").arg(&file).args(SENSOR).args(["--json"]));
    says(&told.to_string(), &["naive MATLAB"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn damaged_bytes_are_an_error_or_other_events(
        kind in 0..4_usize,
        places in prop::collection::vec((0.0..1.0, any::<u8>()), 1..4),
        columns in any::<bool>(),
    ) {
        let dir = scratch();
        let mut bytes = small_files().swap_remove(kind);
        for (place, byte) in places {
            let at = 120 + (place * (bytes.len() - 120) as f64) as usize;
            bytes[at] = byte;
        }
        let path = dir.file("a.mat", bytes);
        let columns = columns.then(|| "t,x,y,p".parse().unwrap());
        for cut in [Cut::Whole, Cut::Events { count: 2, overlap: 1 }, Cut::Duration { length: 1_000, overlap: 0 }] {
            let options = SourceOptions { cut, columns: columns.clone(), lenient: true, ..options() };
            for recording in Recording::open(&path, &options).into_iter().flatten() {
                let samples = recording.samples().min(100);
                if let Ok(raw) = recording.read(0..samples) {
                    prop_assert_eq!(raw.samples() as u64, samples);
                }
            }
        }
    }
}

#[test]
fn arrays_that_are_not_looked_at_are_told() {
    let dir = scratch();
    let camera = Camera::random(4, 300, 50_000);
    let mat = Mat { packed: true, ..Mat::default() };
    let mut variables: Vec<Vec<u8>> = columns(mat, &camera, DOUBLES, true).into();
    variables.extend((0..4_092).map(|i| mat.column(&format!("v{i}"), (6, 2), &[1])));
    let said = |variables: &[Vec<u8>]| {
        let file = dir.file("a.mat", mat.bytes(variables));
        stderr(convert_aloud(&[&file], &dir.join("set")).args(SENSOR).arg("--overwrite"))
    };
    let more = "only the first 4096 arrays of the file are looked at";
    assert!(!said(&variables).contains(more));
    variables.push(mat.column("last", (6, 2), &[1]));
    says(&said(&variables), &["warning: ", more]);
    variables.truncate(4);
    let inner: Vec<Vec<u8>> = (0..4_200).map(|_| mat.column("", (6, 2), &[1])).collect();
    variables.push(mat.array(1, "cell", &[4_200, 1], &inner));
    says(&said(&variables), &[more]);
}

#[test]
fn names_of_fields_have_at_most_256_bytes() {
    let dir = scratch();
    let mat = Mat::default();
    let names = |length: u32| {
        let name = vec![b'a'; length as usize];
        let content = [mat.element(5, &length.to_le_bytes()), mat.element(1, &name), mat.column("", (6, 2), &[1])];
        dir.file("a.mat", mat.bytes(&[mat.array(2, "TD", &[1, 1], &content)]))
    };
    let words = ["names of fields of 1 to 256 bytes", "257"];
    refuses(convert(&[names(257)], &dir.join("none")).args(SENSOR), 3, &words);
    refuses(convert(&[names(256)], &dir.join("none")).args(SENSOR), 3, &["aaaa"]);
}
