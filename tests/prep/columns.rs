//! Tests which fields of a file are read as t, x, y and p.

use std::path::{Path, PathBuf};

use hdf5::H5Type;
use tonic_toolkit::prep::{Error, Events, Layout, Recording, SensorSize, SourceOptions, TimeUnit};

use super::recording::{Scratch, convert, data, fails, hdf5_file, refuses, samples, says, scratch};

/// Returns the six events that scripts/goldens/numpy_files.py writes to its files.
pub(crate) fn six() -> Events {
    Events {
        t: vec![10, 20, 30, 40, 50, 60],
        x: vec![0, 1, 2, 3, 4, 5],
        y: vec![5, 4, 3, 2, 1, 0],
        p: vec![1, 0, 1, 0, 0, 1],
    }
}

/// Opens a recording of one sample. Returns the recording and all its events.
pub(crate) fn read(path: &Path, options: &SourceOptions) -> Result<(Recording, Events), Error> {
    let recording = Recording::open(path, options)?.remove(0);
    let raw = recording.read(0..1)?;
    let admitted = raw.admit(0, SensorSize { width: 40, height: 30, polarities: 2 });
    assert_eq!((admitted.outside, admitted.non_finite), (0, 0), "{}", path.display());
    Ok((recording, admitted.events))
}

pub(crate) fn options(change: impl FnOnce(&mut SourceOptions)) -> SourceOptions {
    let mut options = SourceOptions::default();
    change(&mut options);
    options
}

#[test]
fn members_of_several_axes_with_one_entry_are_numbers() {
    let file = data("sources/members.h5");
    let mapped = |map: &str| options(|options| options.map = Some(map.parse().unwrap()));
    let one = "t=one/events.t,x=one/events.x,y=one/events.y,p=one/events.p";
    let nested = "t=nested/events.a.t,x=nested/events.a.xy[0],y=nested/events.a.xy[1],p=nested/events.a.p";
    for (map, unit) in [(one, None), (nested, Some(TimeUnit::Microseconds))] {
        let options = SourceOptions { time_unit: unit, ..mapped(map) };
        assert_eq!(read(&file, &options).unwrap().1, six(), "{map}");
    }
    let several = mapped("t=several/events.t,x=several/events.x,y=several/events.y,p=several/events.p");
    let said = read(&file, &several).unwrap_err().to_string();
    says(&said, &["several/events", "one number an event, got an array of shape [2, 1]"]);
}

#[test]
fn arrays_that_numpy_writes_are_read() {
    let dir = data("sources/numpy");
    let (mut plain, mut named) = (0, 0);
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "nothing_but_pickles" {
            let error = read(&path, &SourceOptions::default()).unwrap_err().to_string();
            says(&error, &["expected numbers, got Python objects, which NumPy stores as a pickle", "save its columns"]);
            continue;
        }
        let order = name.starts_with("plain").then(|| name.rsplit('_').next().unwrap());
        let order = order.map(|order| order.split("").filter(|c| !c.is_empty()).collect::<Vec<_>>().join(","));
        if let Some(order) = &order {
            // If the user doesn't give the order, the error suggests it.
            let error = read(&path, &SourceOptions::default()).unwrap_err();
            let Error::Columns { remedies, .. } = &error else { panic!("{name}: {error}") };
            assert_eq!(format!("{remedies:?}"), format!("[Columns({order:?})]"), "{name}");
            plain += 1;
        } else {
            named += 1;
        }
        let options = options(|options| options.columns = order.map(|order| order.parse().unwrap()));
        let (_, events) = read(&path, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(events, six(), "{name}");
    }
    assert_eq!((plain, named), (12, 30));
}

/// Makes an HDF5 file in a new directory. `fill` writes its content.
pub(crate) fn hdf5_of(fill: impl Fn(&hdf5::File)) -> (Scratch, PathBuf) {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), fill);
    (dir, file)
}

/// Writes a column as an int64 dataset of shape `shape`, and creates missing groups.
pub(crate) fn put(file: &hdf5::File, path: &str, column: &[i64], shape: &[usize]) {
    if let Some((groups, _)) = path.rsplit_once('/') {
        let mut at = String::new();
        for group in groups.split('/') {
            at = if at.is_empty() { group.into() } else { format!("{at}/{group}") };
            if file.group(&at).is_err() {
                file.create_group(&at).unwrap();
            }
        }
    }
    file.new_dataset::<i64>().shape(shape).create(path).unwrap().write_raw(column).unwrap();
}

/// Returns the columns t, x, y and p of the events of [`six`].
pub(crate) fn columns() -> [Vec<i64>; 4] {
    let six = six();
    let wide = |column: &[u16]| column.iter().map(|&n| n.into()).collect();
    [six.t.clone(), wide(&six.x), wide(&six.y), six.p.iter().map(|&p| p.into()).collect()]
}

/// Writes the columns t, x, y and p of the events of [`six`] as datasets with the paths `paths`.
pub(crate) fn put_all(file: &hdf5::File, paths: [&str; 4], shape: &[usize]) {
    for (path, column) in paths.iter().zip(columns()) {
        put(file, path, &column, shape);
    }
}

#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Strange {
    x: u16,
    y: u16,
    polarity: bool,
    timestamp: u64,
    other: f32,
}

#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Pixel {
    x: i16,
    y: i16,
}

#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Nested {
    at: Pixel,
    t: f64,
    sign: i8,
}

fn strange() -> Vec<Strange> {
    let six = six();
    let of = |i: usize| Strange {
        x: six.x[i],
        y: six.y[i],
        polarity: six.p[i] == 1,
        timestamp: six.t[i] as u64,
        other: 0.5,
    };
    (0..6).map(of).collect()
}

fn nested() -> Vec<Nested> {
    let six = six();
    let of = |i: usize| Nested {
        at: Pixel { x: six.x[i] as i16, y: six.y[i] as i16 },
        t: six.t[i] as f64,
        sign: if six.p[i] == 1 { 1 } else { -1 },
    };
    (0..6).map(of).collect()
}

#[test]
fn columns_of_any_group_and_records_are_found_by_their_names() {
    type Case<'a> = (&'a str, &'a dyn Fn(&hdf5::File), [&'a str; 4]);
    let cases: [Case<'_>; 9] = [
        ("root", &|f| put_all(f, ["t", "x", "y", "p"], &[6]), ["t", "x", "y", "p"]),
        (
            "deep",
            &|f| put_all(f, ["a/b/Times", "a/b/XS", "a/b/Y", "a/b/On"], &[6]),
            ["a/b/Times", "a/b/XS", "a/b/Y", "a/b/On"],
        ),
        (
            "mixed",
            &|f| put_all(f, ["events/t", "events/xs", "events/ys", "events/pol"], &[6]),
            ["events/t", "events/xs", "events/ys", "events/pol"],
        ),
        ("(N, 1)", &|f| put_all(f, ["e/t", "e/x", "e/y", "e/p"], &[6, 1]), ["e/t", "e/x", "e/y", "e/p"]),
        ("(1, N), MATLAB's", &|f| put_all(f, ["e/t", "e/x", "e/y", "e/p"], &[1, 6]), ["e/t", "e/x", "e/y", "e/p"]),
        (
            "times of frames and an inertial sensor next to the events",
            &|f| {
                put_all(f, ["t", "x", "y", "sign"], &[6]);
                put(f, "timestamps", &[1, 2, 3], &[3]);
                put(f, "image/t", &[1, 2, 3], &[3]);
                put(f, "imu/t", &[1, 2, 3], &[3]);
                put(f, "imu/x", &[1, 2, 3], &[3]);
                put(f, "imu/y", &[1, 2, 3], &[3]);
            },
            ["t", "x", "y", "sign"],
        ),
        (
            "records",
            &|f| drop(f.new_dataset_builder().with_data(&strange()).create("events").unwrap()),
            ["events.timestamp", "events.x", "events.y", "events.polarity"],
        ),
        (
            "records of other names in Prophesee's place",
            &|f| {
                f.create_group("CD").unwrap();
                f.new_dataset_builder().with_data(&strange()).chunk(4).deflate(3).create("CD/events").unwrap();
            },
            ["CD/events.timestamp", "CD/events.x", "CD/events.y", "CD/events.polarity"],
        ),
        (
            "one group under two names",
            &|f| {
                put_all(f, ["a/t", "a/x", "a/y", "a/p"], &[6]);
                f.link_hard("a", "b").unwrap();
                f.link_soft("/a", "c").unwrap();
                f.group("a").unwrap().link_hard("/", "up").unwrap();
            },
            ["a/t", "a/x", "a/y", "a/p"],
        ),
    ];
    for (name, fill, fields) in cases {
        let (_dir, file) = hdf5_of(fill);
        let (recording, events) = read(&file, &SourceOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(events, six(), "{name}");
        let json = recording.columns.json();
        let found = ["t", "x", "y", "p"].map(|column| json[column]["field"].as_str().unwrap());
        assert_eq!(found, fields, "{name}");
    }
}

#[test]
fn a_file_of_matlab_is_hdf5_behind_a_block_of_text() {
    let dir = scratch();
    let (draft, path) = (dir.join("a.draft"), dir.join("a.mat"));
    let file = hdf5::File::with_options().with_fcpl(|plist| plist.userblock(512)).create(&draft).unwrap();
    put_all(&file, ["ev/t", "ev/x", "ev/y", "ev/p"], &[1, 6]);
    put_all(&file, ["#refs#/t", "#refs#/x", "#refs#/y", "#refs#/p"], &[1, 6]);
    file.close().unwrap();
    let mut bytes = std::fs::read(&draft).unwrap();
    bytes[..19].copy_from_slice(b"MATLAB 7.3 MAT-file");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path, &SourceOptions::default()).unwrap().1, six());
}

#[test]
fn tables_of_hdf5_have_the_order_that_is_given() {
    let [t, x, y, p] = columns();
    let v2e: Vec<u32> =
        (0..6).flat_map(|i| [t[i] as u32, x[i] as u32, y[i] as u32, if p[i] == 1 { 1 } else { u32::MAX }]).collect();
    let planes: Vec<i64> = [&x, &y, &t, &p].into_iter().flatten().copied().collect();
    type Fill<'a> = &'a dyn Fn(&hdf5::File);
    let cases: [(Fill<'_>, &str, &str); 3] = [
        (
            &|f| f.new_dataset::<u32>().shape((6, 4)).create("events").unwrap().write_raw(&v2e).unwrap(),
            "t,x,y,p",
            "events",
        ),
        (
            &|f| {
                f.create_group("dvs").unwrap();
                f.new_dataset::<i64>().shape((4, 6)).create("dvs/e").unwrap().write_raw(&planes).unwrap();
            },
            "x,y,t,p",
            "dvs/e",
        ),
        (
            &|f| {
                let rows: Vec<f32> = (0..6).flat_map(|i| [p[i], 7, x[i], y[i], t[i]].map(|n| n as f32)).collect();
                f.new_dataset::<f32>().shape((6, 5)).create("CD").unwrap().write_raw(&rows).unwrap();
            },
            "p,_,x,y,t",
            "CD",
        ),
    ];
    for (fill, order, dataset) in cases {
        let (dir, file) = hdf5_of(fill);
        let options = options(|options| {
            options.columns = Some(order.parse().unwrap());
            options.time_unit = Some("us".parse().unwrap());
        });
        let (recording, events) = read(&file, &options).unwrap();
        assert_eq!((events, recording.layout), (six(), Layout::Map), "{dataset}");
        refuses(&mut convert(&[&file], &dir.join("none")), 3, &["a.h5: ", dataset, "--columns "]);
    }
    // The error suggests the order that is guessed from the content.
    let (dir, file) = hdf5_of(cases[0].0);
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["--columns t,x,y,p"]);
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x"]),
        3,
        &["expected one array of 2 columns", "events (uint32, shape [6, 4])", "type --columns t,x,y,p"],
    );
    let records = data("sources/numpy/columns.npz");
    let order = ["--columns", "t,x,y,p"];
    refuses(
        convert(&[&records], &dir.join("none")).args(order),
        3,
        &["one array of 4 columns", "type --map t=ts,x=x,y=y,p=pol"],
    );
    for order in ["t", "t,y", "t,x,x", "t,x,q", ""] {
        fails(convert(&[&file], &dir.join("none")).args(["--columns", order]), 2);
    }
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x", "--map", "t=a,x=b"]),
        2,
        &["cannot be used with"],
    );
    // If several tables have that width, the error suggests a map for each.
    let (dir, file) = hdf5_of(|f| {
        for name in ["left", "right"] {
            f.new_dataset::<u32>().shape((6, 4)).create(name).unwrap().write_raw(&v2e).unwrap();
        }
    });
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x,y,p"]),
        3,
        &["--map 't=left[0],x=left[1],y=left[2],p=left[3]' or --map 't=right[0]"],
    );
    let map = ["--map", "t=right[0],x=right[1],y=right[2],p=right[3]", "--sensor", "40,30,2"];
    convert(&[&file], &dir.join("set")).args(map).assert().success();
    assert_eq!(samples(&dir.join("set"))[0].ledger.binned, 6);
}

#[test]
fn a_map_names_fields_of_every_kind() {
    let dir = scratch();
    let h5 = hdf5_file(&dir.join("a.h5"), |f| {
        f.create_group("g").unwrap();
        f.new_dataset_builder().with_data(&strange()).create("g/events").unwrap();
        f.new_dataset_builder().with_data(&nested()).create("nested").unwrap();
        put_all(f, ["a.t", "col", "row", "g/e.on"], &[6]);
    });
    let six_npy = |name: &str| data("sources/numpy").join(name);
    for (file, map) in [
        (h5.clone(), "t=g/events.timestamp,x=g/events.x,y=g/events.y,p=g/events.polarity"),
        (h5.clone(), "t=nested.t,x=nested.at.x,y=nested.at.y,p=nested.sign"),
        (h5.clone(), "t=a.t,x=col,y=row,p=g/e.on"),
        (h5.clone(), "t=a.t,x=g/events.x,y=nested.at.y,p=g/e.on"),
        (six_npy("names_of_faery.npy"), "t=t,x=x,y=y,p=on"),
        (six_npy("nested_unused.npy"), "t=t,x=x,y=y,p=p"),
        (six_npy("columns.npz"), "t=ts,x=x,y=y,p=pol"),
        (six_npy("records_beside_others.npz"), "t=events.t,x=events.x,y=events.y,p=events.p"),
        (six_npy("plain_events_xytp.npz"), "t=events[2],x=events[0],y=events[1],p=events[3]"),
        (six_npy("plain_xytp.npy"), "t=array[2],x=array[0],y=array[1],p=array[3]"),
    ] {
        let options = options(|options| {
            options.map = Some(map.parse().unwrap());
            options.time_unit = Some("us".parse().unwrap());
        });
        let (_, events) = read(&file, &options).unwrap_or_else(|error| panic!("{map}: {error}"));
        assert_eq!(events, six(), "{map}");
    }
    let refused = |file: &Path, map: &str| {
        fails(convert(&[file], &dir.join("none")).args(["--map", map, "--sensor", "40,30,2"]), 3)
    };
    says(&refused(&h5, "t=g/events.when,x=g/events.x"), &["g/events: expected records with a member when"]);
    says(&refused(&h5, "t=nested.at,x=nested.t"), &["nested: expected integers or floats"]);
    let npz = six_npy("records_beside_others.npz");
    says(&refused(&npz, "t=events.t,x=where"), &["expected a dataset where (npz layout)", "names (<U1, shape [2])"]);
    says(&refused(&npz, "t=events.t,x=notes"), &["notes: expected numbers, got Python objects"]);
    says(&refused(&npz, "t=events.t,x=label"), &["label: expected one dimension", "(int64, shape [])"]);
    says(&refused(&six_npy("usual.npy"), "t=t,x=z"), &["z: expected records with a field z", "records of t: int64"]);
}
