//! Which fields of a file are t, x, y and p: by name, by a map, by the order of a table; and what is refused because it
//! cannot be told.

use std::path::{Path, PathBuf};

use hdf5::H5Type;
use tonic_toolkit::prep::{Error, Events, Layout, Recording, SensorSize, SourceOptions};

use super::camera::{Camera, npy_header};
use super::recording::{
    Scratch, convert, convert_aloud, data, fails, hdf5_file, json, refuses, samples, says, scratch, stderr, stdout,
};

/// The six events of the files of scripts/goldens/numpy_files.py.
fn six() -> Events {
    Events {
        t: vec![10, 20, 30, 40, 50, 60],
        x: vec![0, 1, 2, 3, 4, 5],
        y: vec![5, 4, 3, 2, 1, 0],
        p: vec![1, 0, 1, 0, 0, 1],
    }
}

/// All events of a recording with one sample.
fn read(path: &Path, options: &SourceOptions) -> Result<(Recording, Events), Error> {
    let recording = Recording::open(path, options)?.remove(0);
    let raw = recording.read(0..1)?;
    let admitted = raw.admit(0, SensorSize { width: 40, height: 30, polarities: 2 });
    assert_eq!((admitted.outside, admitted.non_finite), (0, 0), "{}", path.display());
    Ok((recording, admitted.events))
}

fn options(change: impl FnOnce(&mut SourceOptions)) -> SourceOptions {
    let mut options = SourceOptions::default();
    change(&mut options);
    options
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
            says(&error, &["expected numbers, got Python objects, which NumPy stores as a pickle", "np.savez"]);
            continue;
        }
        let order = name.starts_with("plain").then(|| name.rsplit('_').next().unwrap());
        let order = order.map(|order| order.split("").filter(|c| !c.is_empty()).collect::<Vec<_>>().join(","));
        if let Some(order) = &order {
            // Without the order, the error has it.
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
    assert_eq!((plain, named), (7, 25));
}

/// The same events in an HDF5 file of some structure.
fn hdf5_of(fill: impl Fn(&hdf5::File)) -> (Scratch, PathBuf) {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), fill);
    (dir, file)
}

/// Writes a column of the six events as i64, in this shape.
fn put(file: &hdf5::File, path: &str, column: &[i64], shape: &[usize]) {
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

/// t, x, y and p of the six events.
fn columns() -> [Vec<i64>; 4] {
    let six = six();
    let wide = |column: &[u16]| column.iter().map(|&n| n.into()).collect();
    [six.t.clone(), wide(&six.x), wide(&six.y), six.p.iter().map(|&p| p.into()).collect()]
}

/// Writes the four columns under these paths.
fn put_all(file: &hdf5::File, paths: [&str; 4], shape: &[usize]) {
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
    // The unit and the orientation are those of the whole recording, and the guess is the order.
    let (dir, file) = hdf5_of(cases[0].0);
    refuses(&mut convert(&[&file], &dir.join("none")), 3, &["--columns t,x,y,p"]);
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x"]),
        3,
        &["expected one array of 2 columns", "events (uint32, shape [6, 4])"],
    );
    for order in ["t", "t,y", "t,x,x", "t,x,q", ""] {
        fails(convert(&[&file], &dir.join("none")).args(["--columns", order]), 2);
    }
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x", "--map", "t=a,x=b"]),
        2,
        &["cannot be used with"],
    );
    // Several tables of that width: a map for each.
    let (dir, file) = hdf5_of(|f| {
        for name in ["left", "right"] {
            f.new_dataset::<u32>().shape((6, 4)).create(name).unwrap().write_raw(&v2e).unwrap();
        }
    });
    refuses(
        convert(&[&file], &dir.join("none")).args(["--columns", "t,x,y,p"]),
        3,
        &["--map t=left[0],x=left[1],y=left[2],p=left[3] or --map t=right[0]"],
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
    says(
        &refused(&npz, "t=events.t,x=where"),
        &["expected a dataset where (npz layout)", "events, label, names, notes"],
    );
    says(&refused(&npz, "t=events.t,x=notes"), &["notes: expected numbers, got Python objects"]);
    says(&refused(&npz, "t=events.t,x=label"), &["label: expected one dimension", "(int64, shape [])"]);
    says(&refused(&six_npy("usual.npy"), "t=t,x=z"), &["z: expected records with a field z", "records of t: int64"]);
}

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
            "type --map t=t,x=x,y=y,p=FIELD or --sensor 40,30,1",
        ],
    );
    says(&refused(&txy, &two), &["expected polarities (p)", "p=FIELD or --sensor 40,30,1"]);
    says(&refused(&tx, &two), &["expected rows (y) and polarities (p)", "y=FIELD,p=FIELD or --sensor 40,1,1"]);
    says(&refused(&tx, &["--sensor", "40,30,1"]), &["expected rows (y)", "--map t=t,x=x,y=FIELD or --sensor 40,1,1"]);
    // The file tells its sensor.
    says(&refused(&h5, &[]), &["expected polarities (p) for a sensor of 40x30x2", "--sensor 40,30,1"]);
    says(&refused(&h5, &["--map", "t=events/t,x=events/x"]), &["expected rows (y) and polarities (p)", "events/y"]);
    // One field is left: it may be the one.
    let map = ["--map", "t=t,x=x,y=y", "--sensor", "40,30,2"];
    let only = records("e.npy", "[('t', '<i8'), ('x', '<u2'), ('y', '<u2'), ('bright', '|u1')]", 13);
    says(&refused(&only, &map), &["type --map t=t,x=x,y=y,p=bright or"]);
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
        put(f, "polarity", &columns()[3], &[6]);
    });
    refuses(
        &mut convert(&[&twice], &dir.join("none")),
        3,
        &["expected one field for p, got p and polarity", "--map t=t,x=x,y=y,p=p"],
    );
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
    assert_eq!(told["notes"], serde_json::json!(["field events/z was not used"]));
    let said = stderr(convert_aloud(&[&file], &dir.join("other")).args(["--sensor", "40,30,2"]));
    let line = "convert: columns: t = events/TIME (int64, us), x = events/x (int64), y = events/y (int64), p = events/sign (int64)";
    says(&said, &[line, "convert: note: field events/z was not used"]);
    let mut planned = convert_aloud(&[&file], &dir.join("none"));
    planned.args(["--dry-run", "--sensor", "40,30,2"]);
    says(&stdout(&mut planned), &["columns: t = events/TIME (int64, us)"]);
    says(&stderr(&mut planned), &["note: field events/z was not used"]);
    // Of several recordings, those with other fields are told too.
    let other = hdf5_file(&dir.join("c.h5"), |f| put_all(f, ["a/t", "a/x", "a/y", "a/p"], &[6]));
    let inputs = [&file, &other, &other];
    let told = json(convert(&inputs, &dir.join("all")).args(["--json", "--sensor", "40,30,2"]));
    let others = "c.h5 and 1 more: other columns: t = a/t (int64, us)";
    says(&told["notes"].to_string(), &["a.h5: field events/z was not used", others]);
    // So are those of a folder, and a note that is the same for several files is there once.
    let folder = dir.folder("folder");
    for (from, to) in [(&file, "1.h5"), (&file, "2.h5"), (&other, "3.h5")] {
        std::fs::copy(from, folder.join(to)).unwrap();
    }
    let told = json(convert(&[&folder], &dir.join("folded")).args(["--json", "--sensor", "40,30,2"]));
    let notes: Vec<&str> = told["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    says(&notes.join("; "), &["field events/z was not used", "3.h5: other columns: t = a/t (int64, us)"]);
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
        &["x: expected pixels, got fractions from 0 to 0.99", "not pixels", "multiply x by the sensor's width"],
    );
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
    says(&told["notes"].to_string(), &["x has fractions such as 0.28", "y has fractions such as 0.2"]);
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
        &["inside the sensor", "-1, "],
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
        (b"#!AER-DAT2.0\r\n# created\r\n", "an AEDAT 2 file", "dv-processing"),
        (b"#!AER-DAT3.1\r\n", "an AEDAT 3 file", "dv-processing"),
        (b"#!AER-DAT4.0\r\n", "an AEDAT 4 file", "dv-processing"),
        (b"% date 2023-01-01\n% evt 3.0\n% end\n\x01\x02", "a Prophesee RAW file", "metavision_file_to_hdf5"),
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
