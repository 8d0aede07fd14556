//! Tests the advice in error messages: a user who follows it must not lose data.

use hdf5::types::{FixedAscii, VarLenAscii};

use super::camera::{npy_header, npz};
use super::columns::{columns, hdf5_of, options, put, put_all, read, six};
use super::recording::{Recording, Times, convert, fails, json, refuses, samples, says, scratch};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

fn bytes(column: &[i64]) -> Vec<u8> {
    column.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn a_column_that_cannot_be_used_is_said_to_be_there() {
    let dir = scratch();
    let text =
        |words: [&str; 2]| (0..6).flat_map(|i| format!("{:\0<3}", words[i % 2]).into_bytes()).collect::<Vec<u8>>();
    for (descr, shape, data, why, next) in [
        (
            "'|S3'",
            "(6,)",
            text(["ON", "OFF"]),
            "p (its type is |S3, not numbers)",
            "[word.strip().lower()] for word in f[\"p\"][:].astype(\"S\").astype(str)])'",
        ),
        (
            "'<i8'",
            "(5,)",
            vec![0; 40],
            "p (it has 5 entries, not 6 as the events)",
            "save numbers, one an event: in NumPy",
        ),
        (
            "'<i8'",
            "(6, 2)",
            vec![0; 96],
            "p (its shape is [6, 2], not one number an event)",
            "save numbers, one an event",
        ),
        ("'<i8'", "()", vec![0; 8], "p (its shape is [], not one number an event)", "save numbers, one an event"),
        ("'<c16'", "(6,)", vec![0; 96], "p (its type is <c16, not numbers)", "save numbers, one an event"),
        (
            "'|O'",
            "(6,)",
            vec![0; 48],
            "p (Python objects, which NumPy loads only of files that you trust)",
            "a.npz\", allow_pickle=True); sign = ",
        ),
    ] {
        let file = dir.join("a.npz");
        let [t, x, y, _] = columns().map(|column| bytes(&column));
        let number = |name, data| (name, "'<i8'", "(6,)", data);
        npz(&file, &[number("t", t), number("x", x), number("y", y), ("p", descr, shape, data)]);
        for arguments in [&[][..], &SENSOR] {
            let said = fails(convert(&[&file], &dir.join("none")).args(arguments), 3);
            says(
                &said,
                &[
                    "columns: expected polarities (p)",
                    &format!("the fields t, x, y, and {why}, which cannot be used"),
                    next,
                ],
            );
            assert!(!said.contains("--sensor"), "{said}");
        }
        // A sensor with one polarity leaves out the polarities, and a note says so.
        let mut command = convert(&[&file], &dir.join("set"));
        let said = json(command.args(["--sensor", "40,30,1", "--overwrite", "--json"]));
        assert_eq!(said["notes"][0], format!("field {why} was not used"));
    }
}

#[test]
fn names_in_hdf5_that_are_not_utf8_are_refused() {
    let fixed = |f: &hdf5::File| {
        f.new_dataset_builder().with_data(&[FixedAscii::<8>::from_ascii("caf~").unwrap()]).create("lab")
    };
    let of_any_length =
        |f: &hdf5::File| f.new_dataset_builder().with_data(&[VarLenAscii::from_ascii("caf~").unwrap()]).create("lab");
    type Put<'a> = &'a dyn Fn(&hdf5::File) -> hdf5::Result<hdf5::Dataset>;
    for put_label in [&fixed as Put<'_>, &of_any_length] {
        let (dir, file) = hdf5_of(|f| {
            put_all(f, ["t", "x", "y", "p"], &[6]);
            put_label(f).unwrap();
        });
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.windows(4).position(|four| four == b"caf~").unwrap();
        bytes[at + 3] = 0xe9;
        std::fs::write(&file, bytes).unwrap();
        let map = ["--map", "t=t,x=x,y=y,p=p,label=lab"];
        let said = fails(convert(&[&file], &dir.join("none")).args(SENSOR).args(map), 3);
        says(&said, &["a.h5: lab: expected text in UTF-8, got \"caf\u{fffd}\" in entry 0, in another encoding"]);
        assert!(!dir.join("none").exists());
    }
}

/// Returns a NumPy array of six events with the polarities `p`.
fn with_polarities(p: &[i64]) -> Vec<u8> {
    let [t, x, y, _] = columns();
    let rows = (0..6).flat_map(|i| [t[i], x[i], y[i], p[i]].map(i64::to_le_bytes));
    let header = npy_header("[('t', '<i8'), ('x', '<i8'), ('y', '<i8'), ('p', '<i8')]", "(6,)");
    [header, rows.flatten().collect()].concat()
}

#[test]
fn polarities_of_other_values_are_named_and_mapped() {
    let dir = scratch();
    for (values, got, next) in [
        (&[1, 2][..], "got 1 and 2 (event 0 of sample 0 has 2)", "p=f[\"p\"][:] == 2)', and convert a_mended.npz"),
        (&[48, 49], "got 48 and 49", "p=f[\"p\"][:] == 49)'"),
        (&[-2, 2], "got -2 and 2", "p=f[\"p\"][:] == 2)'"),
        (&[0, 127], "got 0 and 127", "p=f[\"p\"][:] == 127)'"),
        // The number -1 as an unsigned type stores it.
        (&[1, 255], "probably 1, as 1", "p=f[\"p\"][:] == 1)'"),
        (&[1, 4_294_967_295], "probably 1, as 1", "p=f[\"p\"][:] == 1)'"),
        (&[1, 2, 3], "got 1, 2 and 3", "name another column with --map"),
        (&[5], "got 5 (event 0", "name another column with --map"),
    ] {
        let p: Vec<i64> = (0..6).map(|i| values[values.len() - 1 - i % values.len()]).collect();
        let file = dir.join("a.npy");
        std::fs::write(&file, with_polarities(&p)).unwrap();
        let said = fails(convert(&[&file], &dir.join("none")).args(SENSOR), 3);
        says(&said, &["a.npy: p: expected polarities -1 or 0 for off and 1 for on", got, next]);
        assert!(!said.contains("--lenient") && !said.contains("--sensor"), "{said}");
    }
    // Both -1 and 0 are read as OFF, and a note says so.
    let (dir, file) = hdf5_of(|f| {
        put_all(f, ["t", "x", "y", "other"], &[6]);
        put(f, "p", &[0, -1, 1, -1, 1, 0], &[6]);
    });
    let said = json(convert(&[&file], &dir.join("set")).args(SENSOR).arg("--json"));
    assert_eq!(said["notes"][0], "p has -1, 0 and 1: both -1 and 0 are taken as off");
}

#[test]
fn floats_that_are_no_pixel_or_polarity_are_named_with_what_to_type() {
    let dir = scratch();
    let pixel = "--lenient leaves out what has no pixel";
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    for (column, values, got, next) in [
        (1, &[nan][..], "event 0: expected x and y that are finite, got x = NaN, -inf or -2^63, y = ", pixel),
        (1, &[3.0, inf], "event 1: expected x and y that are finite, got x = inf or 2^63, y = ", pixel),
        (2, &[3.0, -inf], "y = NaN, -inf or -2^63; ", pixel),
        (3, &[0.0, 0.5], "got 0 and 0.5: save the one that is on, probably 0.5", "p=[{0.0: 0, 0.5: 1}[n] for n in f["),
        (3, &[-0.5, 0.5], "got -0.5 and 0.5", "{-0.5: 0, 0.5: 1}[n]"),
        (
            3,
            &[-0.5, 0.1, 0.25],
            "fractions from -0.5 to 0.25",
            "p=np.where(np.isnan(f[\"p\"][:]), np.nan, f[\"p\"][:] > 0)",
        ),
        (3, &[0.5, 0.1, 0.25], "fractions from 0.1 to 0.5: save those that are on as 1", "np.savez(\"events.npz\""),
        (3, &[0.5, nan], "fractions from 0.5 to 0.5, and NaN", "np.savez(\"events.npz\""),
        (3, &[1.0, 0.0, nan], "event 2 of sample 0 has", "known = np.isin(f[\"p\"][:], [-1, 0, 1]); print(np.sum("),
        (3, &[1.0, nan], "if NaN is off, save it as 0 and 1 as 1", "p=[{\"nan\": 0, \"1.0\": 1}[str(n)] for n in f"),
    ] {
        let cell = |i: usize, of: usize| if of == column { values[i % values.len()] } else { columns()[of][i] as f64 };
        let rows = (0..6).flat_map(|i| (0..4).map(move |of| (i, of))).flat_map(|(i, of)| cell(i, of).to_le_bytes());
        let header = npy_header("[('t', '<f8'), ('x', '<f8'), ('y', '<f8'), ('p', '<f8')]", "(6,)");
        let file = dir.file("a.npy", [header, rows.collect()].concat());
        let said = fails(convert(&[&file], &dir.join("none")).args(SENSOR), 3);
        says(&said, &["a.npy: ", got, next]);
        assert!(!said.contains("--sensor") && !said.contains("9223372036854775808"), "{said}");
    }
    // Infinite coordinates don't count for the suggested size of the sensor.
    let header = npy_header("[('t', '<f8'), ('x', '<f8'), ('y', '<f8'), ('p', '<f8')]", "(1,)");
    let file = dir.file("b.npy", [header, [0.0, inf, 7.0, 1.0].map(f64::to_le_bytes).concat()].concat());
    refuses(&mut convert(&[&file], &dir.join("none")), 2, &["room for x up to 0 and y up to 7"]);
}

#[test]
fn arrays_without_events_and_of_objects_are_named_with_what_to_type() {
    let dir = scratch();
    for (descr, shape, got, next) in [
        ("'<f8'", "(0,)", "expected events, got an empty array (float64, shape [0])", "leave the file out"),
        (
            "'|O'",
            "(6, 4)",
            "got Python objects",
            "np.save(\"a_mended.npy\", np.array(f.tolist()), allow_pickle=False)', and convert a_mended.npy",
        ),
        ("'|O'", "(1,)", "got Python objects", "np.savez(\"a_mended.npz\", **f.item())', and convert a_mended.npz"),
        ("'|O'", "(6,)", "got Python objects", "allow_pickle=False)', and convert a_mended.npy"),
        ("'|O'", "()", "got Python objects", "np.savez(\"a_mended.npz\", **f.item())', and convert a_mended.npz"),
        (
            "[('t', '<i8'), ('x', '|O')]",
            "(3,)",
            "got Python objects",
            "for name in f.dtype.names})', and convert a_mended.npz",
        ),
    ] {
        let file = dir.file("a.npy", npy_header(descr, shape));
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["a.npy: ", got, next]);
    }
}

#[test]
fn rows_and_labels_of_a_cochlea_that_are_stored_otherwise_come_with_a_line_of_python() {
    let wide = |f: &hdf5::File, shape: &[usize], labels: &[i64]| {
        f.create_group("spikes").unwrap();
        put(f, "spikes/times", &[1; 20], shape);
        put(f, "spikes/units", &[1; 20], shape);
        put(f, "labels", labels, &[labels.len()]);
    };
    for (shape, labels, next) in [
        (&[4, 5][..], &[0, 1, 0, 1][..], "T = f[\"spikes/times\"][:]; U = "),
        (&[5, 4], &[0, 1, 0, 1], "T = f[\"spikes/times\"][:].T; U = f[\"spikes/units\"][:].T; n = "),
    ] {
        let (dir, file) = hdf5_of(|f| wide(f, shape, labels));
        let words = ["expected rows of variable length, a sample a row", next, "and convert a_rows.h5"];
        let said = refuses(&mut convert(&[&file], &dir.join("none")), 3, &words);
        assert!(!said.contains("--map"), "{said}");
    }
    let names = ["zero", "one"].map(|name| FixedAscii::<4>::from_ascii(name).unwrap());
    type Put<'a> = &'a dyn Fn(&hdf5::File);
    let strings = |f: &hdf5::File| drop(f.new_dataset_builder().with_data(&names).create("labels").unwrap());
    let keyed = |f: &hdf5::File| {
        strings(f);
        f.new_dataset_builder().with_data(&names).create("extra/keys").unwrap();
    };
    let text = "expected a number for each sample, that of its class, got ";
    for (put_labels, words) in [
        (&strings as Put<'_>, [text, "np.unique(f[\"labels\"]", "and convert a_mended.h5"]),
        (&keyed, [text, "names.index(word)", "and convert a_mended.h5"]),
        (&|f| put(f, "labels", &[0, 1, 1, 0], &[2, 2]), [text, "a = a.argmax(1)", "and convert a_mended.h5"]),
        (
            &|f| put(f, "labels", &[0], &[1]),
            ["expected 2 labels, one a sample, got 1", "del f[\"labels\"]", "CORRECTED"],
        ),
    ] {
        let (dir, file) = hdf5_of(|f| {
            Recording::random(1, 2, 9).fill(f);
            f.unlink("labels").unwrap();
            let _ = f.unlink("extra/keys");
            put_labels(f);
        });
        let said = refuses(&mut convert(&[&file], &dir.join("none")), 3, &words);
        assert!(!said.contains("--map"), "{said}");
    }
}

#[test]
fn a_map_takes_all_columns_from_one_camera() {
    let (tables, records) = (&[6, 4][..], &[6][..]);
    for (names, shape) in [
        (["left/when", "left/col", "left/row", "left/bright"], records),
        (["cams/0/a", "cams/0/b", "cams/0/c", "cams/0/d"], records),
        (["left_when", "left_col", "left_row", "left_bright"], records),
        (["when_left", "col_left", "row_left", "bright_left"], records),
        (["left/events", "", "", ""], tables),
    ] {
        let other = |name: &str| name.replace("left", "right").replace('0', "1");
        let (dir, file) = hdf5_of(|f| {
            for names in [names.map(String::from), names.map(other)] {
                if shape.len() == 1 {
                    put_all(f, names.each_ref().map(String::as_str), shape);
                } else {
                    let rows: Vec<i64> = (0..6).flat_map(|i| columns().map(|column| column[i])).collect();
                    put(f, &names[0], &rows, shape);
                }
            }
        });
        let said = fails(convert(&[&file], &dir.join("none")).args(SENSOR), 3);
        let lines: Vec<&str> =
            said.split("--map ").skip(1).map(|line| line.split(" or").next().unwrap().trim()).collect();
        assert_eq!(lines.len(), 2, "{said}");
        for line in lines {
            let map = options(|options| options.map = Some(line.trim_matches('\'').parse().unwrap()));
            assert_eq!(read(&file, &map).unwrap().1, six(), "{line}");
        }
    }
}

#[test]
fn times_that_are_none_are_said_as_such() {
    let dir = scratch();
    // NumPy stores NaT as the smallest int64, in any unit.
    for (kind, scale) in [("<M8[us]", 1_000), ("<M8[ns]", 1_000_000), ("<i8", 1_000)] {
        let file = dir.join("a.npy");
        let header = npy_header(&format!("[('t', '{kind}'), ('x', '<i8'), ('y', '<i8'), ('p', '<i8')]"), "(200,)");
        let write = |nat: &dyn Fn(i64) -> bool| {
            let time = |i: i64| if nat(i) { i64::MIN } else { i * scale };
            let rows = (0..200).flat_map(|i| [time(i), i % 40, i % 30, i % 2].map(i64::to_le_bytes)).flatten();
            std::fs::write(&file, [header.clone(), rows.collect()].concat()).unwrap();
        };
        write(&|i| i == 7 || i == 99);
        for cut in [&[][..], &["--sample-duration", "50ms"]] {
            let mut command = convert(&[&file], &dir.join("set"));
            let said = json(command.args(SENSOR).args(cut).args(["--overwrite", "--json"]));
            let notes = format!("{}", said["notes"]);
            says(&notes, &["2 of 200 events have no time (NaN, NaT or beyond 64 bits), the first is event 7"]);
            assert_eq!(samples(&dir.join("set")).iter().map(|s| s.ledger.non_finite).sum::<u64>(), 2, "{kind}");
        }
        write(&|_| true);
        refuses(
            convert(&[&file], &dir.join("none")).args(SENSOR),
            3,
            &[
                "a.npy: sample 0: times: expected numbers, got NaN, NaT or numbers beyond 64 bits in all 200 events; the first is",
                "--map t=FIELD,... names another",
            ],
        );
    }
}

/// The commands of the advice must not write over an existing file.
#[test]
fn the_copy_of_a_command_gets_a_free_name() {
    let dir = scratch();
    let labels = Recording { labels: vec![0, -1, 1], ..Recording::random(1, 3, 9) };
    let mut clock = Recording::of(vec![(0..400).map(|i| (f64::from(i) * 2e-3, 5)).collect(); 3]);
    clock.times_as = Times::F64;
    clock.times[1][100] = 1e9;
    for (file, stem, ending, sensor) in [
        (dir.file("a.npy", with_polarities(&[1, 2, 1, 2, 1, 2])), "a_mended", ".npz", &SENSOR[..]),
        (labels.write(&dir.join("d.h5")), "d_mended", ".h5", &[]),
        (clock.write(&dir.join("e.h5")), "e_mended", ".h5", &[]),
    ] {
        for number in ["", "_2", "_3"] {
            let name = format!("{stem}{number}{ending}");
            let mut command = convert(&[&file], &dir.join("none"));
            refuses(command.args(sensor).current_dir(&dir), 3, &[&name]);
            std::fs::write(dir.join(&name), "an earlier copy").unwrap();
        }
    }
}
