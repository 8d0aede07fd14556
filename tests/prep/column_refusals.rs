//! Tests of files that are refused because columns, pixels or formats are unclear: the error has the command line to
//! type. Also tests the messages about columns that were found.

use std::io::Write;
use std::path::Path;

use tonic_toolkit::prep::{Recording, SourceOptions};

use super::camera::{Camera, npy_header};
use super::recording::{
    convert, convert_aloud, fails, hdf5_file, json, refuses, samples, says, scratch, stderr, stdout,
};

use super::columns::{columns, hdf5_of, options, put, put_all, read, six};

#[test]
fn a_column_that_is_needed_and_not_there_is_refused() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let records = |name: &str, descr: &str, bytes: usize| {
        std::fs::write(path(name), [npy_header(descr, "(6,)"), vec![0; 6 * bytes]].concat()).unwrap();
        path(name)
    };
    let npy = records("a.npy", "[('t', '<i8'), ('x', '<u2'), ('y', '<u2'), ('bright', '|u1'), ('z', '<f4')]", 17);
    let txy = records("b.npy", "[('t', '<i8'), ('x', '<u2'), ('y', '<u2')]", 12);
    let tx = records("c.npy", "[('t', '<i8'), ('x', '<u2')]", 10);
    let h5 = hdf5_file(&path("d.h5"), |f| {
        put(f, "events/t", &columns()[0], &[6]);
        put(f, "events/x", &columns()[1], &[6]);
        put(f, "events/y", &columns()[2], &[6]);
        f.new_attr_builder().with_data(&[30_i64, 40]).create("sensor_resolution").unwrap();
    });
    let refused = |file: &Path, arguments: &[&str]| fails(convert(&[file], &path("none")).args(arguments), 3);
    let two = ["--sensor", "40,30,2"];
    says(
        &refused(&npy, &two),
        &[
            "a.npy: columns: expected polarities (p) for a sensor of 40x30x2, got the fields t, x, y, bright, z",
            "type --map t=t,x=x,y=y,p=bright or --map t=t,x=x,y=y,p=z; only if no field has them: --sensor 40,30,1",
        ],
    );
    says(&refused(&txy, &two), &["expected polarities (p)", "p=FIELD; only if no field has them: --sensor 40,30,1"]);
    says(
        &refused(&tx, &two),
        &["expected rows (y) and polarities (p)", "y=FIELD,p=FIELD; only if no field has them: --sensor 40,1,1"],
    );
    says(
        &refused(&tx, &["--sensor", "40,30,1"]),
        &["expected rows (y)", "y=FIELD; only if no field has them: --sensor 40,1,1"],
    );
    // The file tells its sensor.
    says(&refused(&h5, &[]), &["expected polarities (p) for a sensor of 40x30x2", "--sensor 40,30,1"]);
    says(&refused(&h5, &["--map", "t=events/t,x=events/x"]), &["expected rows (y) and polarities (p)", "events/y"]);
    // One field is left: it may be the one.
    let map = ["--map", "t=t,x=x,y=y", "--sensor", "40,30,2"];
    let only = records("e.npy", "[('t', '<i8'), ('x', '<u2'), ('y', '<u2'), ('bright', '|u1')]", 13);
    says(&refused(&only, &map), &["type --map t=t,x=x,y=y,p=bright; only"]);
    // Also where the sensor is not known.
    says(
        &refused(&only, &[]),
        &["expected polarities (p), got the fields t, x, y, bright; type --map t=t,x=x,y=y,p=bright;"],
    );
    // The ways out are ways.
    convert(&[&h5], &path("set")).args(["--sensor", "40,30,1"]).assert().success();
    convert(&[&only], &path("set")).args(["--map", "t=t,x=x,y=y,p=bright", "--overwrite"]).args(two).assert().success();
    // In a folder, each file is looked at.
    dir.folder("folder");
    std::fs::copy(&only, path("folder/2.npy")).unwrap();
    Camera::random(1, 6, 100).npy(&path("folder/1.npy"));
    says(&refused(&path("folder"), &two), &["2.npy: columns: expected polarities (p)"]);
    // Where the sensor is not known, the size that is asked for fits the columns.
    let unknown = |file: &Path| fails(&mut convert(&[file], &path("none")), 2);
    says(&unknown(&txy), &["W,H,1 with room for x", "128,128,1 (DVS128)", "no p"]);
    says(&unknown(&tx), &["W with room for x up to 0, or y to be named in a map", "no y, no p"]);
}

#[test]
fn a_camera_does_not_get_the_recipe_of_a_cochlea() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let recipe = |file: &Path, arguments: &[&str]| {
        let mut command = convert(&[file], &path("none"));
        json(command.args(["--dry-run", "--json"]).args(arguments))["recipe"].as_str().unwrap().to_string()
    };
    let camera = Camera::random(7, 500, 3_000_000);
    let file = camera.dsec(&path("a.h5"));
    // A row of a camera, on purpose: nothing is cropped to a second, and nothing is downsampled to 100 channels.
    let row = recipe(&file, &["--map", "t=events/t,x=events/x", "--sensor", "400"]);
    assert!(row.contains("time_window = 10000") && !row.contains("CropTime") && !row.contains("Downsample"), "{row}");
    // Columns of nothing but t and x are a cochlea's.
    let cochlea = hdf5_file(&path("b.h5"), |f| {
        put(f, "t", &columns()[0], &[6]);
        put(f, "x", &columns()[1], &[6]);
    });
    let cochlea = recipe(&cochlea, &["--sensor", "400"]);
    assert!(cochlea.contains("CropTime") && cochlea.contains("Downsample"), "{cochlea}");
}

#[test]
fn several_places_and_unknown_files_have_lines_to_type() {
    let (dir, m3ed) = hdf5_of(|f| {
        for side in ["left", "right"] {
            let path = |name: &str| format!("prophesee/{side}/{name}");
            let [t, x, y, p] = ["t", "x", "y", "p"].map(path);
            put_all(f, [&t, &x, &y, &p], &[6]);
        }
    });
    let said = fails(&mut convert(&[&m3ed], &dir.join("none")), 3);
    let line = |side: &str| {
        let field = |name: &str| format!("{name}=prophesee/{side}/{name}");
        ["t", "x", "y", "p"].map(field).join(",")
    };
    let lines = format!("type --map {} or --map {}", line("left"), line("right"));
    says(&said, &["expected one place with the columns t, x, y and p", &lines]);
    for side in ["left", "right"] {
        let map = options(|options| options.map = Some(line(side).parse().unwrap()));
        assert_eq!(read(&m3ed, &map).unwrap().1, six());
    }
    // Two fields of one column.
    let (dir, twice) = hdf5_of(|f| {
        put_all(f, ["t", "x", "y", "p"], &[6]);
        put(f, "polarity", &columns()[1], &[6]);
    });
    let lines = "type --map t=t,x=x,y=y,p=p or --map t=t,x=x,y=y,p=polarity";
    let words = ["expected one field for p, got p and polarity", lines];
    refuses(&mut convert(&[&twice], &dir.join("none")), 3, &words);
    // Names that say nothing: the line is guessed from the content, and it works.
    let (dir, unknown) = hdf5_of(|f| put_all(f, ["dvs/when", "dvs/col", "dvs/row", "dvs/bright"], &[6]));
    let line = "t=dvs/when,x=dvs/col,y=dvs/row,p=dvs/bright";
    let typed = format!("--map {line}");
    let words = ["no layout fits", "dvs/when (int64, shape [6])", "dvs/bright (int64, shape [6])", &typed];
    refuses(&mut convert(&[&unknown], &dir.join("none")), 3, &words);
    let map = options(|options| options.map = Some(line.parse().unwrap()));
    assert_eq!(read(&unknown, &map).unwrap().1, six());
}

#[test]
fn spikes_that_are_not_rows_are_no_shd() {
    let (_dir, file) = hdf5_of(|f| {
        put_all(f, ["spikes/t", "spikes/x", "spikes/y", "spikes/p"], &[6]);
    });
    assert_eq!(read(&file, &SourceOptions::default()).unwrap().1, six());
    // Flat columns under SHD's own names are no rows either.
    let (dir, file) = hdf5_of(|f| {
        put(f, "spikes/times", &columns()[0], &[6]);
        put(f, "spikes/units", &columns()[1], &[6]);
    });
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["no layout fits", "--map t=spikes/times,x=spikes/units"]);
    let map = ["--map", "t=spikes/times,x=spikes/units", "--sensor", "40"];
    convert(&[&file], &dir.join("set")).args(map).assert().success();
    assert_eq!(samples(&dir.join("set"))[0].ledger.binned, 6);
}

#[test]
fn what_was_taken_for_what_is_said() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |f| {
        put_all(f, ["events/TIME", "events/x", "events/y", "events/sign"], &[6]);
        put(f, "events/z", &columns()[3], &[6]);
        put(f, "events/index", &[0, 3], &[2]);
    });
    let told = json(convert(&[&file], &dir.join("set")).args(["--json", "--sensor", "40,30,2"]));
    let column = |field: &str| serde_json::json!({"field": field, "type": "int64"});
    let mut expected = serde_json::json!({
        "t": column("events/TIME"), "x": column("events/x"), "y": column("events/y"), "p": column("events/sign"),
    });
    expected["t"]["unit"] = "us".into();
    assert_eq!(told["columns"], expected);
    assert_eq!(told["notes"], serde_json::json!(["fields events/z, events/index were not used"]));
    let said = stderr(convert_aloud(&[&file], &dir.join("other")).args(["--sensor", "40,30,2"]));
    let line = "convert: columns: t = events/TIME (int64, us), x = events/x (int64), y = events/y (int64), p = events/sign (int64)";
    says(&said, &[line, "convert: note: fields events/z, events/index were not used"]);
    let mut planned = convert_aloud(&[&file], &dir.join("none"));
    planned.args(["--dry-run", "--sensor", "40,30,2"]);
    says(&stdout(&mut planned), &["columns: t = events/TIME (int64, us)"]);
    says(&stderr(&mut planned), &["note: fields events/z, events/index were not used"]);
    // Of several recordings, those with other fields are told too.
    let [c, d] =
        ["c.h5", "d.h5"].map(|name| hdf5_file(&dir.join(name), |f| put_all(f, ["a/t", "a/x", "a/y", "a/p"], &[6])));
    let inputs = [&file, &c, &d];
    let told = json(convert(&inputs, &dir.join("all")).args(["--json", "--sensor", "40,30,2"]));
    let others = "c.h5 and 1 more: other columns: t = a/t (int64, us)";
    says(&told["notes"].to_string(), &["a.h5: fields events/z, events/index were not used", others]);
    // So are those of a folder, and a note that is the same for several files is there once.
    let folder = dir.folder("folder");
    for (from, to) in [(&file, "1.h5"), (&file, "2.h5"), (&c, "3.h5")] {
        std::fs::copy(from, folder.join(to)).unwrap();
    }
    let told = json(convert(&[&folder], &dir.join("folded")).args(["--json", "--sensor", "40,30,2"]));
    let notes: Vec<&str> = told["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    says(
        &notes.join("; "),
        &["fields events/z, events/index were not used", "3.h5: other columns: t = a/t (int64, us)"],
    );
    // A layout of a cochlea has no y and no p.
    let speech = super::recording::Recording::random(3, 2, 20).write(&dir.join("b.h5"));
    let told = &json(convert(&[&speech], &dir.join("speech")).arg("--json"))["columns"];
    assert_eq!((told["t"]["field"].as_str(), told["t"]["unit"].as_str()), (Some("spikes/times"), Some("s")));
    assert!(told["p"].is_null());
}

#[test]
fn coordinates_that_are_not_pixels_are_refused() {
    let dir = scratch();
    let float_columns = |name: &str, x: &[f64], y: &[f64]| {
        hdf5_file(&dir.join(name), |f| {
            let builder = || f.new_dataset_builder();
            builder().with_data(&(0..x.len() as i64).collect::<Vec<_>>()).create("t").unwrap();
            builder().with_data(x).create("x").unwrap();
            builder().with_data(y).create("y").unwrap();
            builder().with_data(&(0..x.len()).map(|i| i % 2 == 0).collect::<Vec<_>>()).create("p").unwrap();
        })
    };
    let n = 200_000;
    let scaled = |size: f64| (0..n).map(|i| f64::from(i * 7 % 997) / 997.0 * size).collect::<Vec<f64>>();
    let sensor = ["--sensor", "40,30,2"];
    let normalised = float_columns("a.h5", &scaled(1.0), &scaled(1.0));
    refuses(
        convert(&[&normalised], &dir.join("none")).args(sensor),
        3,
        &["x: expected pixels, got fractions from 0 to 0.99", "not pixels", "save floor(x * W) and floor(y * H)"],
    );
    let both_ends = float_columns("g.h5", &[0.0, 0.5, 1.0], &[0.0, 0.5, 1.0]);
    refuses(convert(&[&both_ends], &dir.join("none")).args(sensor), 3, &["from 0 to 1", "save round(x * (W - 1))"]);
    let corner = float_columns("h.h5", &scaled(4.9), &scaled(29.9));
    let words =
        ["x: expected pixels, got fractions from 0 to 4.8", "a corner of the sensor", "np.rint", "--sensor W,H,P"];
    refuses(convert(&[&corner], &dir.join("none")).args(sensor), 3, &words);
    convert(&[&corner], &dir.join("corner")).args(["--sensor", "5,30,2"]).assert().success();
    let rows = float_columns("b.h5", &scaled(39.9), &scaled(1.0));
    refuses(convert(&[&rows], &dir.join("none")).args(sensor), 3, &["y: expected pixels"]);
    let table = dir.join("c.npy");
    let numbers: Vec<u8> =
        (0..100).flat_map(|i| [f64::from(i), f64::from(i) / 100.0, 1.0, 1.0]).flat_map(f64::to_le_bytes).collect();
    std::fs::write(&table, [npy_header("'<f8'", "(100, 4)"), numbers].concat()).unwrap();
    let columns = ["--columns", "t,x,y,p"];
    refuses(convert(&[&table], &dir.join("none")).args(sensor).args(columns), 3, &["[1]: expected pixels"]);
    // Fractions of many pixels are floored, and that is said; whole floats are pixels.
    let parts = float_columns("d.h5", &scaled(39.9), &scaled(29.9));
    let told = json(convert(&[&parts], &dir.join("set")).args(sensor).arg("--json"));
    says(&told["notes"].to_string(), &["warning: x has fractions", "warning: y has fractions"]);
    let whole = float_columns("e.h5", &[0.0, 1.0, 1.0], &[1.0, 0.0, 0.0]);
    let told = json(convert(&[&whole], &dir.join("whole")).args(sensor).arg("--json"));
    assert_eq!(told["notes"], serde_json::json!([]));
    // Whole numbers on another scale lie outside the sensor, and without one, outside the usual cameras.
    let large = hdf5_file(&dir.join("f.h5"), |f| {
        put_all(f, ["t", "x", "y", "p"], &[6]);
        f.unlink("x").unwrap();
        put(f, "x", &[0, 65_535, 13_000, 7, 900, 40_000], &[6]);
    });
    refuses(convert(&[&large], &dir.join("none")).args(sensor), 3, &["event 1: expected x, y, p inside the sensor"]);
    refuses(
        &mut convert(&[&large], &dir.join("none")),
        2,
        &["x up to 65535", "beyond the usual cameras and may be on another scale"],
    );
}

#[test]
fn coordinates_from_one_are_counted_from_zero() {
    let dir = scratch();
    let camera = Camera::random(5, 4_000, 50_000);
    let mut from_one = camera.clone();
    from_one.x.iter_mut().for_each(|x| *x += 1);
    from_one.y.iter_mut().for_each(|y| *y += 1);
    let sensor = ["--sensor", "40,30,2"];
    convert(&[camera.npy(&dir.join("a.npy"))], &dir.join("set")).args(sensor).assert().success();
    let expected = samples(&dir.join("set"));
    let files = [from_one.npy(&dir.join("b.npy")), from_one.npz(&dir.join("b.npz")), from_one.dsec(&dir.join("b.h5"))];
    for file in files {
        refuses(
            convert(&[&file], &dir.join("none")).args(sensor),
            3,
            &["expected x, y, p inside the sensor", "--origin 1 reads coordinates that start at 1"],
        );
        let set = dir.join("one");
        convert(&[&file], &set).args(sensor).args(["--origin", "1", "--overwrite"]).assert().success();
        assert!(samples(&set) == expected, "{}", file.display());
        refuses(convert(&[&file], &dir.join("none")).args(["--origin", "1"]), 2, &["x up to 39 and y up to 29"]);
    }
    // Coordinates from zero that leave the sensor are no reason to think of it, and 0 is no pixel of such a recording.
    let file = dir.join("a.npy");
    let said = fails(convert(&[&file], &dir.join("none")).args(["--sensor", "39,30,2"]), 3);
    assert!(said.contains("--lenient") && !said.contains("--origin"), "{said}");
    refuses(
        convert(&[&file], &dir.join("none")).args(sensor).args(["--origin", "1"]),
        3,
        &["inside the sensor", "after 1 is subtracted (--origin)", "--origin 0 reads coordinates that start at 0"],
    );
    fails(convert(&[&file], &dir.join("none")).args(sensor).args(["--origin", "2"]), 2);
    // A folder's files are opened one by one.
    dir.folder("folder");
    from_one.npy(&dir.join("folder/1.npy"));
    let set = dir.join("folded");
    convert(&[dir.join("folder")], &set).args(sensor).args(["--origin", "1"]).assert().success();
    assert!(samples(&set) == expected);
}

#[test]
fn formats_that_are_not_read_are_named_with_what_reads_them() {
    let dir = scratch();
    let files: [(&[u8], &str, &str); 10] = [
        (b"#!AER-DAT2.0\r\n# created\r\n", "an AEDAT 2 file", "read_dvs_128"),
        (b"#!AER-DAT3.1\r\n", "an AEDAT 3 file", "read_dvs_ibm"),
        (b"#!AER-DAT4.0\r\n", "an AEDAT 4 file", "dv-processing"),
        (b"% date 2023-01-01\n% evt 3.0\n% end\n\x01\x02", "a Prophesee RAW file (EVT3)", "metavision_file_to_hdf5"),
        (
            b"% Data file containing CD events.\n% Version 2\n\x0c\x08",
            "a Prophesee DAT file",
            "metavision_file_to_hdf5",
        ),
        (b"Event Stream\x02\x00\x00", "an Event Stream file (.es)", "faery"),
        (b"#ROSBAG V2.0\n", "a ROS bag", "rosbags"),
        (b"\x80\x04\x95\x10\x00", "a Python pickle", "np.savez"),
        (b"PAR1\x15\x04", "a Parquet file", "pandas"),
        (b"\x1f\x8b\x08\x00", "a gzip archive", "unpack it"),
    ];
    for (bytes, format, reader) in files {
        for name in ["a.bin", "a.h5", "a.npy"] {
            let file = dir.join(name);
            std::fs::write(&file, bytes).unwrap();
            refuses(
                convert(&[&file], &dir.join("none")).args(["--sensor", "40,30,2"]),
                3,
                &[name, &format!("got {format}: "), reader],
            );
        }
        std::fs::create_dir_all(dir.join("folder")).unwrap();
        std::fs::write(dir.join("folder/1.h5"), bytes).unwrap();
        refuses(convert(&[dir.join("folder")], &dir.join("none")).args(["--sensor", "40,30,2"]), 3, &["1.h5", format]);
        refuses(
            convert(&[dir.join("a.bin")], &dir.join("none")).args(["--layout", "npz"]),
            3,
            &["expected a NumPy archive, got", format],
        );
    }
}

/// Writes an npz archive. Each array has a name, a NumPy type, a shape and its bytes.
pub(crate) fn npz(path: &Path, arrays: &[(&str, &str, &str, Vec<u8>)]) {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(path).unwrap());
    for (name, descr, shape, data) in arrays {
        archive.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&[npy_header(descr, shape), data.clone()].concat()).unwrap();
    }
    archive.finish().unwrap();
}

#[test]
fn polarities_of_zero_and_minus_one_without_one_are_refused() {
    let dir = scratch();
    let sensor = ["--sensor", "40,30,2"];
    let n = 3_000_usize;
    // t, x and y as float64, and p in some type.
    let column = |of: fn(usize) -> f64| (0..n).map(of).flat_map(f64::to_le_bytes).collect::<Vec<u8>>();
    let (t, x) = (column(|i| i as f64 * 100.0), column(|i| (i % 30) as f64));
    let shape = format!("({n},)");
    let files = |name: &str, descr: &str, p: &[Vec<u8>]| {
        let records = dir.join(format!("{name}.npy"));
        let row = |i: usize| [&t[i * 8..][..8], &x[i * 8..][..8], &x[i * 8..][..8], &p[i]].concat();
        let header = npy_header(&format!("[('t', '<f8'), ('x', '<f8'), ('y', '<f8'), ('p', '{descr}')]"), &shape);
        std::fs::write(&records, [header, (0..n).flat_map(row).collect()].concat()).unwrap();
        let archive = dir.join(format!("{name}.npz"));
        let coordinates = |name| (name, "'<f8'", shape.as_str(), x.clone());
        let (t, quoted) = (("t", "'<f8'", shape.as_str(), t.clone()), format!("'{descr}'"));
        npz(&archive, &[t, coordinates("x"), coordinates("y"), ("p", &quoted, &shape, p.concat())]);
        [records, archive]
    };
    let some = |values: &[Vec<u8>]| (0..n).map(|i| values[i * 7 % values.len()].clone()).collect::<Vec<_>>();
    let floats = [0.0, -1.0].map(|n: f32| n.to_le_bytes().to_vec());
    for (name, descr, values, got) in [
        ("i1", "|i1", &[vec![0], vec![255]][..], "-1 and 0, and no 1"),
        ("u1", "|u1", &[vec![255], vec![0]], "0 and 255, which may stand for -1, and no 1"),
        ("u2", "<u2", &[vec![0, 0], vec![255; 2]], "0 and 65535, which may"),
        ("u4", ">u4", &[vec![0; 4], vec![255; 4]], "0 and 4294967295, which"),
        ("u8", "<u8", &[vec![0; 8], vec![255; 8]], "0 and 18446744073709551615, which"),
        ("i8", "<i8", &[vec![0; 8], vec![255; 8]], "-1 and 0"),
        ("f4", "<f4", &floats, "-1 and 0"),
    ] {
        for file in files(name, descr, &some(values)) {
            // The larger of two unsigned numbers is probably on; which of 0 and -1 is cannot be told.
            let next = if name.starts_with('u') { "p=f[\"p\"][:] == " } else { "name another column with --map" };
            let words = ["p: expected polarities -1 or 0 for off and 1 for on", got, next];
            refuses(convert(&[&file], &dir.join("none")).args(sensor).arg("--lenient"), 3, &words);
        }
    }
    for (name, values, on) in [
        ("all", &[vec![255], vec![0], vec![1]][..], 1_000),
        ("signed", &[vec![255], vec![1]], 1_500),
        ("usual", &[vec![0], vec![1]], 1_500),
        ("zeros", &[vec![0]], 0),
        ("minus", &[vec![255]], 0),
    ] {
        for file in files(name, "|u1", &some(values)) {
            let (_, events) = read(&file, &SourceOptions::default()).unwrap();
            assert_eq!(events.p.iter().map(|&p| usize::from(p)).sum::<usize>(), on, "{name}");
        }
    }
    // A 1 that comes late settles it.
    let mut late = some(&[vec![255], vec![0]]);
    late[n - 1] = vec![1];
    for file in files("late", "|u1", &late) {
        assert_eq!(read(&file, &SourceOptions::default()).unwrap().1.p.iter().filter(|&&p| p == 1).count(), 1);
    }
    // Without polarities they need not be told, and HDF5 and tables are looked at too.
    convert(&[dir.join("u1.npy")], &dir.join("set")).args(["--sensor", "40,30,1"]).assert().success();
    let (_dir, file) = hdf5_of(|f| {
        put_all(f, ["t", "x", "y", "other"], &[6]);
        put(f, "p", &[0, -1, 0, -1, -1, 0], &[6]);
    });
    refuses(convert(&[&file], &dir.join("none")).args(sensor), 3, &["p: expected polarities", "-1 and 0, and no 1"]);
    let table: Vec<i64> = (0..6).flat_map(|i| [i * 1_000, i, i, -(i % 2)]).collect();
    let (_dir, file) = hdf5_of(|f| put(f, "events", &table, &[6, 4]));
    let columns = ["--columns", "t,x,y,p"];
    let words = ["events[3]: expected polarities", "-1 and 0"];
    refuses(convert(&[&file], &dir.join("none")).args(sensor).args(columns), 3, &words);
    dir.folder("folder");
    std::fs::copy(dir.join("u1.npz"), dir.join("folder/1.npz")).unwrap();
    refuses(convert(&[dir.join("folder")], &dir.join("none")).args(sensor), 3, &["1.npz: p: expected polarities"]);
}

#[test]
fn a_cochlea_has_neither_rows_nor_polarities() {
    let dir = scratch();
    let shd = super::recording::Recording::random(3, 2, 20).write(&dir.join("a.h5"));
    for (sensor, missing) in
        [("700,1,2", "polarities (p)"), ("700,2,1", "rows (y)"), ("700,2,2", "rows (y) and polarities")]
    {
        let arguments = ["--sensor", sensor];
        let said = fails(convert(&[&shd], &dir.join("none")).args(arguments), 3);
        says(&said, &["a.h5: columns: expected ", missing, "spikes/times, spikes/units", "type --sensor 700,1,1"]);
        assert!(!said.contains("--map"), "{said}");
        let mut bench = super::recording::prep();
        says(&fails(bench.arg("bench").arg(&shd).args(arguments), 3), &[missing]);
    }
    convert(&[&shd], &dir.join("set")).args(["--sensor", "700"]).assert().success();
    let digits = hdf5_file(&dir.join("b.h5"), |f| {
        let label: hdf5::types::VarLenUnicode = "man-aa-1".parse().unwrap();
        f.new_dataset_builder().with_data(&[label]).create("train_labels").unwrap();
        put(f, "train_addresses/man-aa-1", &columns()[1], &[6]);
        f.create_group("train_timestamps").unwrap();
        let seconds = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        f.new_dataset_builder().with_data(&seconds).create("train_timestamps/man-aa-1").unwrap();
    });
    for (sensor, missing) in [("64,1,2", "polarities (p)"), ("64,2,1", "rows (y)")] {
        refuses(convert(&[&digits], &dir.join("none")).args(["--sensor", sensor]), 3, &[missing, "--sensor 64,1,1"]);
    }
    convert(&[&digits], &dir.join("digits")).assert().success();
}

#[test]
fn a_label_that_is_named_is_the_class_of_an_archive() {
    let dir = scratch();
    let numbers = |range: std::ops::Range<i64>| range.flat_map(|i| (i * 1_000).to_le_bytes()).collect::<Vec<u8>>();
    let archive = |name: &str, descr: &str, shape: &str, label: Vec<u8>| {
        let x = ("x", "'|u1'", "(3,)", vec![0, 1, 2]);
        npz(&dir.join(name), &[("t", "'<i8'", "(3,)", numbers(0..3)), x, ("label", descr, shape, label)]);
        dir.join(name)
    };
    let wide = |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<u8>>();
    let big = |text: &str| text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect::<Vec<u8>>();
    let map = |label: &str| options(|options| options.map = Some(format!("t=t,x=x,label={label}").parse().unwrap()));
    for (descr, shape, label, number, names) in [
        ("'<i8'", "()", 2_i64.to_le_bytes().to_vec(), 2, None),
        ("'|u1'", "(1,)", vec![7], 7, None),
        ("'>u2'", "(1, 1)", vec![0, 9], 9, None),
        ("'<U5'", "()", wide("wäve\0"), 0, Some("wäve")),
        ("'>U4'", "(1,)", big("clap"), 0, Some("clap")),
        ("'|S6'", "()", b"clap\0\0".to_vec(), 0, Some("clap")),
    ] {
        let recording = Recording::open(&archive("a.npz", descr, shape, label), &map("label")).unwrap().remove(0);
        assert_eq!(recording.labels, [number], "{descr}");
        let classes = recording.classes.map(|names| names.to_vec());
        assert_eq!(classes, names.map(|name| vec![name.to_string()]), "{descr}");
    }
    for (descr, shape, label, got) in [
        ("'<i8'", "(2,)", numbers(0..2), "[2]"),
        ("'<i8'", "()", (-1_i64).to_le_bytes().to_vec(), "got -1"),
        ("'<f8'", "()", vec![0; 8], "float64"),
        ("'<U2'", "()", vec![0; 8], "<U2"),
    ] {
        let error = Recording::open(&archive("b.npz", descr, shape, label), &map("label")).unwrap_err().to_string();
        says(&error, &["label: expected one class, a number from 0 or a name", got]);
    }
    let file = archive("c.npz", "'|S4'", "()", b"wave".to_vec());
    let arguments = ["--sensor", "40", "--map"];
    refuses(
        convert(&[&file], &dir.join("none")).args(arguments).arg("t=t,x=x,label=nothing"),
        3,
        &["nothing", "t (int64, shape [3]), x (uint8, shape [3]), label (|S4, shape [])"],
    );
    // The files of a folder give its classes.
    dir.folder("folder");
    std::fs::rename(&file, dir.join("folder/1.npz")).unwrap();
    archive("folder/2.npz", "'|S4'", "()", b"clap".to_vec());
    let told =
        json(convert(&[dir.join("folder")], &dir.join("set")).args(arguments).args(["t=t,x=x,label=label", "--json"]));
    assert_eq!(told["classes"], serde_json::json!(["clap", "wave"]));
    // One array of records has no class.
    let npy = Camera::random(1, 6, 100).npy(&dir.join("d.npy"));
    let map = ["--sensor", "40,30,2", "--map", "t=t,x=x,y=y,p=p,label=what"];
    refuses(convert(&[&npy], &dir.join("none")).args(map), 2, &["--map", "d.npy", "label=what"]);
}
