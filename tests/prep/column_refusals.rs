//! Tests of files that are refused because their columns, sensor or format are unclear.

use std::path::Path;

use tonic_toolkit::prep::{Recording, SourceOptions};

use super::camera::{Camera, npy_header, npz};
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
    // The file has the sensor size.
    says(&refused(&h5, &[]), &["expected polarities (p) for a sensor of 40x30x2", "--sensor 40,30,1"]);
    says(&refused(&h5, &["--map", "t=events/t,x=events/x"]), &["expected rows (y) and polarities (p)", "events/y"]);
    // Only one field is left, so the error suggests it as p.
    let map = ["--map", "t=t,x=x,y=y", "--sensor", "40,30,2"];
    let only = records("e.npy", "[('t', '<i8'), ('x', '<u2'), ('y', '<u2'), ('bright', '|u1')]", 13);
    says(&refused(&only, &map), &["type --map t=t,x=x,y=y,p=bright; only"]);
    // The error is the same if the sensor size is unknown.
    says(
        &refused(&only, &[]),
        &["expected polarities (p), got the fields t, x, y, bright; type --map t=t,x=x,y=y,p=bright;"],
    );
    // The suggested options work.
    convert(&[&h5], &path("set")).args(["--sensor", "40,30,1"]).assert().success();
    convert(&[&only], &path("set")).args(["--map", "t=t,x=x,y=y,p=bright", "--overwrite"]).args(two).assert().success();
    // Each file of a folder is checked.
    dir.folder("folder");
    std::fs::copy(&only, path("folder/2.npy")).unwrap();
    Camera::random(1, 6, 100).npy(&path("folder/1.npy"));
    says(&refused(&path("folder"), &two), &["2.npy: columns: expected polarities (p)"]);
    // If the sensor size is unknown, the error asks for a size that fits the columns.
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
    // If the user reads only t and x of a camera, the recipe is still that of a camera: it doesn't crop to a second
    // and doesn't downsample to 100 channels.
    let row = recipe(&file, &["--map", "t=events/t,x=events/x", "--sensor", "400"]);
    assert!(row.contains("time_window = 10000") && !row.contains("CropTime") && !row.contains("Downsample"), "{row}");
    // A file with only the columns t and x is the recording of a cochlea.
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
    // Two fields have a usual name of the same column.
    let (dir, twice) = hdf5_of(|f| {
        put_all(f, ["t", "x", "y", "p"], &[6]);
        put(f, "polarity", &columns()[1], &[6]);
    });
    let lines = "type --map t=t,x=x,y=y,p=p or --map t=t,x=x,y=y,p=polarity";
    let words = ["expected one field for p, got p and polarity", lines];
    refuses(&mut convert(&[&twice], &dir.join("none")), 3, &words);
    // The names are unknown, so the suggested map is guessed from the content. It works.
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
    // Columns without rows, but with the names of SHD's layout, don't have SHD's layout.
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
    // With several recordings, a note lists the recordings that have other fields.
    let [c, d] =
        ["c.h5", "d.h5"].map(|name| hdf5_file(&dir.join(name), |f| put_all(f, ["a/t", "a/x", "a/y", "a/p"], &[6])));
    let inputs = [&file, &c, &d];
    let told = json(convert(&inputs, &dir.join("all")).args(["--json", "--sensor", "40,30,2"]));
    let others = "c.h5 and 1 more: other columns: t = a/t (int64, us)";
    says(&told["notes"].to_string(), &["a.h5: fields events/z, events/index were not used", others]);
    // The same is true for the files of a folder. A note that is the same for several files is printed once.
    let folder = dir.folder("folder");
    for (from, to) in [(&file, "1.h5"), (&file, "2.h5"), (&c, "3.h5")] {
        std::fs::copy(from, folder.join(to)).unwrap();
    }
    let told = json(convert(&[&folder], &dir.join("folded")).args(["--json", "--sensor", "40,30,2"]));
    let notes: Vec<&str> = told["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
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
fn formats_that_are_not_read_are_named_with_what_reads_them() {
    let dir = scratch();
    let files: [(&[u8], &str, &str); 7] = [
        (b"#!AER-DAT1.0\r\n# created\r\n", "an AEDAT 1 file", "jAER"),
        (b"#!AER-DAT3.0\r\n", "an AEDAT 3 file", "jAER and DV"),
        (b"% date 2023-01-01\n% serial_number 1\n\x01\x02", "a Prophesee RAW file", "name that layout"),
        (b"#ROSBAG V1.2\n", "a ROS bag of an old version", "rosbag fix"),
        (b"\x80\x04\x95\x10\x00", "a Python pickle", "np.savez"),
        (b"PAR1\x15\x04", "a Parquet file", "pandas"),
        (b"BZh91AY&SY", "a bzip2 archive", "unpack it"),
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
