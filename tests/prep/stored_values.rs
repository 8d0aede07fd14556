//! Tests of HDF5 files whose stored numbers are not the values, as attributes or types say, and of names that a
//! suggested map must not confuse.

use hdf5::types::{EnumMember, EnumType, IntSize, TypeDescriptor};

use super::columns::{columns, hdf5_of, put, put_all};
use super::recording::{convert, refuses, says};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const NAMES: [&str; 4] = ["t", "x", "y", "p"];

#[test]
fn packed_numbers_and_empty_arrays_of_matlab_are_refused() {
    for (column, attribute, value, words) in [
        ("t", "scale_factor", 10.0, ["expected numbers that are the values", "attribute \"scale_factor\" of 10"]),
        ("x", "add_offset", 20.0, ["x: expected numbers", "attribute \"add_offset\" of 20"]),
        ("t", "MATLAB_empty", 1.0, ["got an empty array of MATLAB, t", "np.savez"]),
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

#[test]
fn an_enum_names_the_polarity_that_is_on() {
    for (off, on, got) in [
        (("OFF", 0), ("ON", 1), ""),
        (("ON", 0), ("OFF", 1), "p: expected 1 for polarities that are on, got an enum in which ON is 0"),
        (("Negative", 1), ("Positive", 2), "got an enum in which Positive is 2"),
        (("dark", 0), ("blue", 1), ""),
    ] {
        let (dir, file) = hdf5_of(|f| {
            put_all(f, ["t", "x", "y", "raw"], &[6]);
            f.unlink("raw").unwrap();
            let member = |(name, value): (&str, u64)| EnumMember { name: name.into(), value };
            let members = vec![member(off), member(on)];
            let kind = TypeDescriptor::Enum(EnumType { size: IntSize::U1, signed: false, members });
            let p = f.new_dataset_builder().empty_as(&kind).shape(6).create("p").unwrap();
            let values: Vec<u8> = columns()[3].iter().map(|&p| if p == 1 { on.1 } else { off.1 } as u8).collect();
            p.as_writer().no_convert().write_raw(&values).unwrap_or_else(|error| panic!("{error}"));
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
