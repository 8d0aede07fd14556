//! Tests of HDF5 files whose stored numbers are not the values themselves, such as enums.

use hdf5::H5Type;

use super::camera::npz;
use super::columns::{columns, hdf5_of, put, put_all};
use super::recording::{ascii, convert, json, refuses, says, scratch};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const NAMES: [&str; 4] = ["t", "x", "y", "p"];

#[derive(Clone, Copy, H5Type)]
#[repr(u8)]
enum Plain {
    Off = 0,
    On = 1,
}

#[derive(Clone, Copy, H5Type)]
#[repr(u8)]
enum Turned {
    On = 0,
    Off = 1,
}

#[derive(Clone, Copy, H5Type)]
#[repr(u8)]
enum FromOne {
    Negative = 1,
    Positive = 2,
}

#[derive(Clone, Copy, H5Type)]
#[repr(u8)]
enum Unknown {
    Dark = 0,
    Blue = 1,
}

#[test]
fn packed_numbers_and_empty_columns_are_refused() {
    for (column, attribute, value, words) in [
        ("x", "scale_factor", 10.0, ["expected numbers that are the values", "attribute \"scale_factor\" of 10"]),
        ("t", "scale_factor", 10.0, ["scale_factor", "expected a unit of time"]),
        ("x", "add_offset", 20.0, ["x: expected numbers", "attribute \"add_offset\" of 20"]),
        ("t", "MATLAB_empty", 1.0, ["x: expected 0 events, as t has", "got 6"]),
        ("p", "scale_factor", 1.0, ["", ""]),
    ] {
        let (dir, file) = hdf5_of(|f| {
            put_all(f, NAMES, &[6]);
            let attribute = f.dataset(column).unwrap().new_attr::<f64>().create(attribute).unwrap();
            attribute.write_scalar(&value).unwrap();
        });
        let mut command = convert(&[&file], &dir.join("set"));
        command.args(SENSOR);
        match words {
            ["", _] => drop(command.assert().success()),
            words => drop(refuses(&mut command, 3, &words)),
        }
    }
}

/// Writes the polarities of the events of `columns::six` as an enum with the values `off` and `on`.
fn put_words<T: H5Type + Copy>(f: &hdf5::File, [off, on]: [T; 2]) {
    let p: Vec<T> = columns()[3].iter().map(|&p| if p == 1 { on } else { off }).collect();
    f.new_dataset_builder().with_data(&p).create("p").unwrap();
}

#[test]
fn an_enum_names_the_polarity_that_is_on() {
    type Put<'a> = &'a dyn Fn(&hdf5::File);
    let cases: [(Put<'_>, &str); 4] = [
        (&|f| put_words(f, [Plain::Off, Plain::On]), ""),
        (
            &|f| put_words(f, [Turned::Off, Turned::On]),
            "expected 1 for polarities that are on, got an enum in which On is 0",
        ),
        (&|f| put_words(f, [FromOne::Negative, FromOne::Positive]), "got an enum in which Positive is 2"),
        (&|f| put_words(f, [Unknown::Dark, Unknown::Blue]), ""),
    ];
    for (put_polarities, got) in cases {
        let (dir, file) = hdf5_of(|f| {
            put_all(f, ["t", "x", "y", "raw"], &[6]);
            f.unlink("raw").unwrap();
            put_polarities(f);
        });
        let mut command = convert(&[&file], &dir.join("set"));
        command.args(SENSOR);
        match got {
            "" => drop(command.assert().success()),
            got => drop(refuses(&mut command, 3, &[got, "f[\"p\"][:] == ", "and convert a_mended.npz"])),
        }
    }
}

#[test]
fn a_suggested_map_knows_rows_from_columns_and_seconds_from_times() {
    let rows: Vec<i64> = (0..300).map(|i| i % 7).collect();
    let cols: Vec<i64> = (0..300).map(|i| i * 31 % 11).collect();
    let times: Vec<i64> = (0..300).map(|i| 1_000 * i).collect();
    for ([x, y], map) in [
        (["z_col", "a_row"], "--map t=when,x=z_col,y=a_row,p=bright"),
        (["pixel_x", "a_pixel_y"], "--map t=when,x=pixel_x,y=a_pixel_y,p=bright"),
    ] {
        let (dir, file) = hdf5_of(|f| {
            put(f, "when", &times, &[300]);
            put(f, x, &cols, &[300]);
            put(f, y, &rows, &[300]);
            put(f, "bright", &rows.iter().map(|row| row % 2).collect::<Vec<_>>(), &[300]);
        });
        says(&refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["no layout fits"]), &[map]);
    }
    for (names, line) in [
        (["ts_sec", "ts_nsec"], "save t = ts_sec * 1000000 + ts_nsec // 1000, in integers of 64 bits"),
        (["Secs", "Usecs"], "save t = Secs * 1000000 + Usecs, in integers of 64 bits"),
    ] {
        let (dir, file) = hdf5_of(|f| {
            put(f, names[0], &times.iter().map(|t| t / 100_000).collect::<Vec<_>>(), &[300]);
            put(f, names[1], &times.iter().map(|t| t % 100_000).collect::<Vec<_>>(), &[300]);
            put(f, "x", &cols, &[300]);
            put(f, "y", &rows, &[300]);
            put(f, "p", &rows.iter().map(|row| row % 2).collect::<Vec<_>>(), &[300]);
        });
        let said = refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["no layout fits", line]);
        assert!(!said.contains("--map t="), "{said}");
    }
}

#[test]
fn rows_that_were_never_filled_are_no_part_of_the_recording() {
    let filled =
        |column: &dyn Fn(i64) -> i64| (0..900).map(|i| if i < 400 { column(i) } else { 0 }).collect::<Vec<_>>();
    let (dir, file) = hdf5_of(|f| {
        put(f, "t", &filled(&|i| 500 * (i + 1)), &[900]);
        put(f, "x", &filled(&|i| i % 40), &[900]);
        put(f, "y", &filled(&|i| i % 30), &[900]);
        put(f, "p", &filled(&|i| i % 2), &[900]);
    });
    let said =
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["a clock that goes on", "--events ..400"]);
    assert!(!said.contains("--allow-clock-trouble sorts all"), "{said}");
}

#[test]
fn names_of_a_tables_columns_are_used_for_its_order() {
    type Name<'a> = &'a dyn Fn(&hdf5::Dataset);
    let list = |table: &hdf5::Dataset| {
        let names = ["timestamp", "row", "col", "polarity"].map(ascii);
        table.new_attr_builder().with_data(&names).create("columns").unwrap();
    };
    let text = |table: &hdf5::Dataset| {
        table.new_attr_builder().with_data(&[ascii("t, y, x, p")]).create("order").unwrap();
    };
    let each = |table: &hdf5::Dataset| {
        for (i, name) in ["t", "y", "x", "p"].iter().enumerate() {
            table.new_attr_builder().with_data(&[ascii(name)]).create(&*format!("FIELD_{i}_NAME")).unwrap();
        }
    };
    for (name, order) in [(&list as Name<'_>, "t,y,x,p"), (&text, "t,y,x,p"), (&each, "t,y,x,p"), (&|_| (), "t,x,y,p")]
    {
        let (dir, file) = hdf5_of(|f| {
            let rows: Vec<i64> = (0..6).flat_map(|i| [0, 2, 1, 3].map(|c| columns()[c][i])).collect();
            put(f, "events", &rows, &[6, 4]);
            name(&f.dataset("events").unwrap());
        });
        let words = ["expected the order of its columns to be named", &format!("--columns {order}")];
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &words);
    }
}

#[test]
fn files_that_macos_adds_to_an_archive_are_no_arrays() {
    let dir = scratch();
    let file = dir.join("a.npz");
    let bytes = columns().map(|column| column.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>());
    let number = |name, column: usize| (name, "'<i8'", "(6,)", bytes[column].clone());
    let all = [number("t", 0), number("x", 1), number("y", 2), number("p", 3)];
    npz(&file, &[&all[..], &[number("__MACOSX/t", 0), number("__MACOSX/x", 1), number("._t", 0)]].concat());
    let said = json(convert(&[&file], &dir.join("set")).args(SENSOR).arg("--json"));
    assert_eq!(said["notes"], serde_json::json!([]));
}
