//! Tests of valid files whose shapes and types are rare.

use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, H5Type};
use tonic_toolkit::prep::{Events, Layout, SourceOptions};

use super::camera::npy_header;
use super::columns::{columns, hdf5_of, options, put, put_all, read, six};
use super::recording::{Recording, Units, convert, data, fails, refuses, samples, says, scratch};

/// One event of an HDF5 dataset. Each field of the event is an array.
#[derive(Clone, Copy, H5Type)]
#[repr(C)]
struct Arrays {
    t: [i64; 1],
    xy: [i16; 2],
    p: [u8; 1],
    box_: [f32; 9],
}

fn arrays(file: &hdf5::File) -> Dataset {
    let Events { t, x, y, p } = six();
    let of = |i: usize| Arrays { t: [t[i]], xy: [x[i] as i16, y[i] as i16], p: [p[i]], box_: [x[i].into(); 9] };
    file.new_dataset_builder().with_data(&(0..6).map(of).collect::<Vec<_>>()).create("e").unwrap()
}

/// Writes the events of `columns::six` to a compressed dataset of shape `shape`, with HDF5 chunks of shape `chunk`.
fn table(file: &hdf5::File, shape: &[usize], chunk: &[usize]) {
    let columns = columns();
    let rows: Vec<i64> = (0..6).flat_map(|i| columns.each_ref().map(|column| column[i])).collect();
    file.new_dataset::<i64>().shape(shape).chunk(chunk).deflate(1).create("e").unwrap().write_raw(&rows).unwrap();
}

fn planes(file: &hdf5::File) {
    let planes = columns().concat();
    file.new_dataset::<i64>().shape([4, 1, 6]).create("e").unwrap().write_raw(&planes).unwrap();
}

fn names(file: &hdf5::File, path: &str) {
    let names: Vec<VarLenUnicode> = vec!["a".parse().unwrap()];
    file.new_dataset_builder().with_data(&names).create(path).unwrap();
}

#[test]
fn hdf5_files_of_any_shape_are_read() {
    const EVENTS: [&str; 4] = ["events/t", "events/x", "events/y", "events/p"];
    let columns = |f: &hdf5::File| put_all(f, ["e/t", "e/x", "e/y", "e/p"], &[6]);
    let signs: Vec<i64> = six().p.iter().map(|&p| 2 * i64::from(p) - 1).collect();
    type Case<'a> = (&'a str, &'a dyn Fn(&hdf5::File), &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 15] = [
        ("(1, 1, N)", &|f| put_all(f, EVENTS, &[1, 1, 6]), "", &[]),
        ("(N, 1, 1)", &|f| put_all(f, EVENTS, &[6, 1, 1]), "", &[]),
        ("(1, N, 4)", &|f| table(f, &[1, 6, 4], &[1, 4, 3]), "t,x,y,p", &[]),
        ("(N, 4, 1)", &|f| table(f, &[6, 4, 1], &[4, 4, 1]), "t,x,y,p", &[]),
        ("(4, 1, N)", &planes, "t,x,y,p", &[]),
        ("(1, N, 4) by a map", &|f| table(f, &[1, 6, 4], &[1, 6, 4]), "t=e[0],x=e[1],y=e[2],p=e[3]", &[]),
        ("arrays in records", &|f| drop(arrays(f)), "t=e.t,x=e.xy[0],y=e.xy[1],p=e.p", &["e.box_"]),
        ("an element of many", &|f| drop(arrays(f)), "t=e.t,x=e.box_[8],y=e.xy[1],p=e.p", &["e.xy[0]"]),
        (
            "labels that are numbers",
            &|f| {
                put_all(f, EVENTS, &[6]);
                put(f, "train_labels", &[1, 2, 3], &[3]);
                put(f, "ids", &[1, 2], &[2]);
            },
            "",
            &[],
        ),
        (
            "labels that are names",
            &|f| {
                put_all(f, EVENTS, &[6]);
                names(f, "test_labels");
            },
            "",
            &[],
        ),
        (
            "times twice",
            &|f| {
                columns(f);
                put(f, "e/timestamps", &super::columns::columns()[0], &[6]);
            },
            "",
            &["e/timestamps"],
        ),
        (
            "signs of the polarities",
            &|f| {
                columns(f);
                put(f, "e/polarity", &signs, &[6]);
            },
            "",
            &["e/polarity"],
        ),
        (
            "other times in Prophesee's place",
            &|f| {
                put_all(f, EVENTS, &[6]);
                put(f, "events/ts", &[0; 6], &[6]);
            },
            "",
            &["events/ts"],
        ),
        (
            "a text among the columns",
            &|f| {
                columns(f);
                names(f, "e/name");
            },
            "",
            &[],
        ),
        (
            "no triggers",
            &|f| {
                columns(f);
                put(f, "e/trigger", &[], &[0]);
                put_all(f, ["trigger/t", "trigger/x", "trigger/y", "trigger/pp"], &[6]);
            },
            "",
            &[],
        ),
    ];
    for (name, fill, line, left) in cases {
        let (_dir, file) = hdf5_of(fill);
        let options = options(|options| {
            options.map = line.contains('=').then(|| line.parse().unwrap());
            options.columns = (!line.contains('=') && !line.is_empty()).then(|| line.parse().unwrap());
        });
        let (recording, events) = read(&file, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(events, six(), "{name}");
        left.iter().for_each(|field| assert!(recording.columns.has_more(), "{name}: {field}"));
    }
}

#[test]
fn records_of_numpy_may_have_arrays() {
    let dir = scratch();
    let mut bytes = npy_header("[('t', '<i8', (1,)), ('at', [('xy', '>f4', (2, 1))]), ('p', '|b1')]", "(6,)");
    for i in 0..6 {
        let Events { t, x, y, p } = six();
        let xy = [f32::from(x[i]).to_be_bytes(), f32::from(y[i]).to_be_bytes()].concat();
        bytes.extend([&t[i].to_le_bytes()[..], &xy, &[p[i]]].concat());
    }
    let file = dir.file("a.npy", bytes);
    let map = options(|options| options.map = Some("t=t,x=at.xy[0],y=at.xy[1],p=p".parse().unwrap()));
    assert_eq!(read(&file, &map).unwrap().1, six());
    // If the user gives no map, the error suggests one with elements of the array.
    let line = "--map 't=t,x=at.xy[0],y=at.xy[1],p=p'";
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["no layout fits", "at.xy[0]: float32", line]);
    let said = fails(convert(&[&file], &dir.join("none")).args(["--map", "t=t,x=at.xy[2],y=at.xy[1],p=p"]), 3);
    says(&said, &["expected records with a field at.xy[2]"]);
}

#[test]
fn a_mvsec_table_may_have_more_columns() {
    for width in [4, 5, 7] {
        let (_dir, file) = hdf5_of(|f| {
            let Events { t, x, y, p } = six();
            let row = |i: usize| {
                let head = [f64::from(x[i]), f64::from(y[i]), t[i] as f64 / 1e6, f64::from(p[i]) * 2.0 - 1.0];
                head.into_iter().chain(std::iter::repeat(0.5)).take(width)
            };
            let rows: Vec<f64> = (0..6).flat_map(row).collect();
            f.create_group("davis/left").unwrap();
            f.new_dataset::<f64>().shape((6, width)).create("davis/left/events").unwrap().write_raw(&rows).unwrap();
        });
        let (recording, events) = read(&file, &SourceOptions::default()).unwrap();
        assert_eq!((events, recording.layout), (six(), Layout::Mvsec), "{width}");
        assert_eq!(recording.columns.has_more(), width > 4);
    }
}

#[test]
fn numbers_of_shd_may_be_whole_floats() {
    let dir = scratch();
    let mut recording = Recording::random(81, 6, 40);
    let set = |recording: &Recording, name: &str, labels: &dyn Fn(&hdf5::File)| {
        let file = super::recording::hdf5_file(&dir.join(name), |file| {
            recording.fill(file);
            labels(file);
        });
        convert(&[&file], &dir.join("set")).arg("--overwrite").assert().success();
        samples(&dir.join("set"))
    };
    let expected = set(&recording, "a.h5", &|_| ());
    recording.units_as = Units::F64;
    assert!(set(&recording, "b.h5", &|_| ()) == expected);
    for shape in [&[6][..], &[6, 1], &[1, 6]] {
        let labels: Vec<f32> = recording.labels.iter().map(|&label| label as f32).collect();
        let floats = |file: &hdf5::File| {
            file.unlink("labels").unwrap();
            file.new_dataset::<f32>().shape(shape).create("labels").unwrap().write_raw(&labels).unwrap();
        };
        assert!(set(&recording, "c.h5", &floats) == expected, "{shape:?}");
    }
    let file = super::recording::hdf5_file(&dir.join("d.h5"), |file| {
        recording.fill(file);
        file.unlink("labels").unwrap();
        super::recording::column(file, "labels", &[0.5_f64; 6]);
    });
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["labels: expected whole numbers"]);
}

#[test]
fn times_that_are_no_times_are_lost_by_name() {
    let dir = scratch();
    let mut bytes = npy_header("[('t', '<M8[10us]'), ('x', '<u2')]", "(3,)");
    for t in [0, i64::MIN, 5_i64] {
        bytes.extend([&t.to_le_bytes()[..], &[1, 0]].concat());
    }
    let file = dir.file("a.npy", bytes);
    convert(&[&file], &dir.join("set")).args(["--sensor", "40"]).assert().success();
    let ledger = samples(&dir.join("set"))[0].ledger;
    assert_eq!((ledger.events_in, ledger.non_finite, ledger.binned), (3, 1, 2));
    // A unit of years is an error, because years differ in length.
    let header = npy_header("[('t', '<M8[Y]'), ('x', '<u2')]", "(3,)");
    let file = dir.file("b.npy", [&header[..], &[0; 30]].concat());
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["t: <M8[Y]", "x: uint16"]);
    assert!(data("sources/numpy/datetime_in_tens.npy").exists());
}
