//! Tests the notes of a conversion about unused data, and the refusal of options without effect.

use std::io::Write;
use std::path::PathBuf;

use tonic_toolkit::prep::{Error, Recording as Opened, SensorSize, SourceOptions};

use super::camera::{Camera, npy_header};
use super::columns::{columns, hdf5_of, options, put, put_all, read, six};
use super::recording::{Recording, convert, convert_aloud, data, hdf5_file, json, refuses, says, scratch, stderr};

/// Writes an npz archive. Each array has a name, a NumPy type, a shape and its bytes.
pub(crate) fn npz(path: PathBuf, arrays: &[(&str, &str, &str, Vec<u8>)]) -> PathBuf {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, descr, shape, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&[npy_header(descr, shape), bytes.clone()].concat()).unwrap();
    }
    zip.finish().unwrap();
    path
}

fn bytes(column: &[i64]) -> Vec<u8> {
    column.iter().flat_map(|n| n.to_le_bytes()).collect()
}

#[test]
fn other_arrays_of_a_file_are_noted() {
    let dir = scratch();
    let camera = Camera::random(1, 20, 5_000);
    let two = |f: &hdf5::File, group: &str| {
        f.create_group(group).unwrap();
        ["t", "x", "y", "p"].iter().for_each(|name| put(f, &format!("{group}/{name}"), &[1, 2, 3], &[3]));
    };
    let speech = Recording::random(1, 3, 9);
    let mvsec = camera.mvsec(&dir.join("mvsec.h5"));
    let right = hdf5::File::open_rw(&mvsec).unwrap();
    right.create_group("davis/right").unwrap();
    right.new_dataset::<f64>().shape((3, 4)).create("davis/right/events").unwrap();
    right.close().unwrap();
    let [t, x, y, p] = columns();
    let all = [("t", &t), ("x", &x), ("y", &y), ("p", &p)];
    let mut arrays: Vec<_> = all.map(|(name, column)| (name, "'<i8'", "(6,)", bytes(column))).to_vec();
    arrays.push(("x_right", "'<i8'", "(3,)", bytes(&[1, 2, 3])));
    arrays.push(("frames", "'|u1'", "(2, 3, 4)", vec![0; 24]));
    arrays.push(("width", "'<i8'", "()", bytes(&[40])));
    arrays.push(("camera", "'<U2'", "()", vec![0; 8]));
    arrays.push(("meta", "'|O'", "()", b"\x80\x04N.".to_vec()));
    let with = |name: &str, fill: &dyn Fn(&hdf5::File)| hdf5_file(&dir.join(name), fill);
    for (file, note) in [
        (
            with("dsec.h5", &|f| {
                camera.fill_dsec(f);
                two(f, "events_right");
            }),
            "fields events_right/ (4 arrays) were not used",
        ),
        (mvsec, "field davis/right/events was not used"),
        (
            with("map.h5", &|f| {
                put_all(f, ["a/t", "a/x", "a/y", "a/p"], &[6]);
                put(f, "frames", &[1, 2], &[2]);
                f.create_group("z").unwrap().link_soft("/a/t", "t").unwrap();
            }),
            "field frames was not used",
        ),
        (
            with("shd.h5", &|f| {
                speech.fill(f);
                put(f, "spikes/loudness", &[1, 2, 3], &[3]);
                put(f, "extra/meta_info/age", &[1, 2, 3], &[3]);
            }),
            "field spikes/loudness was not used",
        ),
        (npz(dir.join("a.npz"), &arrays), "fields camera, frames, meta, x_right were not used"),
    ] {
        let sensor = if file.ends_with("shd.h5") { "700" } else { "346,260,2" };
        let arguments = ["--sensor", sensor, "--allow-clock-trouble", "--overwrite"];
        says(&stderr(convert_aloud(&[&file], &dir.join("set")).args(arguments)), &[&format!("note: {note}\n")]);
        let told = json(convert(&[&file], &dir.join("set")).args(arguments).arg("--json"));
        assert!(told["notes"].as_array().unwrap().contains(&note.into()), "{}: {}", file.display(), told["notes"]);
    }
    let speech = dir.join("ntidigits.h5");
    std::fs::copy(data("sources/ntidigits.h5"), &speech).unwrap();
    let file = hdf5::File::open_rw(&speech).unwrap();
    put(&file, "train_speakers", &[1, 2], &[2]);
    put(&file, "train_timestamps/extra", &[1, 2], &[2]);
    file.close().unwrap();
    let note = "train_speakers, train_timestamps/ (1 arrays that train_labels does not list) were not used";
    says(&stderr(&mut convert_aloud(&[&speech], &dir.join("digits"))), &[note]);
}

#[test]
fn a_layout_that_would_ignore_named_columns_is_refused() {
    let dir = scratch();
    let camera = Camera::random(1, 20, 5_000);
    let file = camera.dsec(&dir.join("a.h5"));
    for layout in ["dsec", "e2vid", "mvsec", "prophesee", "hsd", "ntidigits"] {
        for (flag, value) in [("--map", "t=events/t,x=events/y,y=events/x,p=events/p"), ("--columns", "t,x,y,p")] {
            let words = [&*format!("--layout: expected map, or none, where the columns are named, got {layout}")];
            let arguments = ["--layout", layout, flag, value, "--sensor", "40,40,2"];
            refuses(convert(&[&file], &dir.join("none")).args(arguments), 2, &words);
        }
    }
    let map = options(|options| options.map = Some("t=events/t,x=events/y,y=events/x,p=events/p".parse().unwrap()));
    let sensor = ["--sensor", "40,40,2", "--map", "t=events/t,x=events/y,y=events/x,p=events/p"];
    for layout in [&[][..], &["--layout", "map"]] {
        convert(&[&file], &dir.join("set")).args(sensor).args(layout).arg("--overwrite").assert().success();
    }
    let raw = tonic_toolkit::prep::Recording::open(&file, &map).unwrap()[0].read(0..1).unwrap();
    assert_eq!(raw.x.max(), camera.y.iter().max().map(|&y| y.into()), "x is the file's y");
}

#[test]
fn fields_of_any_name_can_be_mapped() {
    let line = "t=\"g/time, s\",x=g/col nr,y=\"g/row[0]\",p=g/on \"off\"";
    let names = ["g/time, s", "g/col nr", "g/row[0]", "g/on \"off\""];
    let (dir, h5) = hdf5_of(|f| put_all(f, names, &[6]));
    let [t, x, y, p] = columns();
    let inner = names.map(|name| &name[2..]);
    let arrays: Vec<_> =
        inner.into_iter().zip([&t, &x, &y, &p]).map(|(name, c)| (name, "'<i8'", "(6,)", bytes(c))).collect();
    let npz = npz(dir.join("a.npz"), &arrays);
    let fields: Vec<String> = inner.iter().map(|name| format!("('{name}', '<i8')")).collect();
    let rows: Vec<i64> = (0..6).flat_map(|i| [t[i], x[i], y[i], p[i]]).collect();
    let npy = dir.join("a.npy");
    std::fs::write(&npy, [npy_header(&format!("[{}]", fields.join(", ")), "(6,)"), bytes(&rows)].concat()).unwrap();
    // The name `row[0]` of a member of records needs no quotes: names are compared as a whole before `[0]` is read as
    // an index.
    let members = "t=\"time, s\",x=col nr,y=row[0],p=on \"off\"";
    for (file, line) in [(&h5, line.to_string()), (&npz, line.replace("g/", "")), (&npy, members.to_string())] {
        // The map that the error suggests must work.
        let Err(Error::UnknownLayout { maps, .. }) = read(file, &SourceOptions::default()) else {
            panic!("{}", file.display())
        };
        assert_eq!(format!("{maps:?}"), format!("[Map({line:?})]"), "{}", file.display());
        let map = options(|options| options.map = Some(line.parse().unwrap()));
        assert_eq!(read(file, &map).unwrap().1, six(), "{}", file.display());
        let typed = format!("--map '{line}'");
        refuses(&mut convert(&[file], &dir.join("none")), 3, &[&typed]);
    }
    for (map, words) in [("t=\"a,x=b", "quotes that do not end"), ("t=\"a\"b,x=c", "has \"b\" after the quotes")] {
        refuses(convert(&[&h5], &dir.join("none")).args(["--map", map]), 2, &[words]);
    }
}

#[test]
fn a_table_with_numbers_of_rows_needs_its_order() {
    let [t, x, y, p] = columns();
    let shuffled = [3, 1, 2, 0, 5, 4];
    let rows: Vec<f64> =
        (0..6).flat_map(|i| [i as i64, t[i], x[shuffled[i]], y[shuffled[i]], p[i]].map(|n| n as f64)).collect();
    let bytes: Vec<u8> = rows.iter().flat_map(|n| n.to_le_bytes()).collect();
    let (dir, h5) = hdf5_of(|f| f.new_dataset::<f64>().shape((6, 5)).create("e").unwrap().write_raw(&rows).unwrap());
    let npy = dir.join("a.npy");
    std::fs::write(&npy, [npy_header("'<f8'", "(6, 5)"), bytes.clone()].concat()).unwrap();
    for file in [h5, npy, npz(dir.join("a.npz"), &[("e", "'<f8'", "(6, 5)", bytes)])] {
        refuses(&mut convert(&[&file], &dir.join("none")), 3, &["expected the order", "type --columns _,t,x,y,p"]);
    }
}

#[test]
fn objects_of_hdf5_that_are_not_looked_at_are_told() {
    let others = |file: &hdf5::File, n: usize| (0..n).for_each(|i| put(file, &format!("z{i:04}"), &[1], &[1]));
    let sensor =
        |options: &mut SourceOptions| options.sensor = Some(SensorSize { width: 40, height: 30, polarities: 2 });
    let told = "warning: only the first 4096 arrays and groups of the file are looked at";
    for (n, is_told) in [(4_092, false), (4_093, true)] {
        let (_dir, file) = hdf5_of(|file| {
            put_all(file, ["t", "x", "y", "p"], &[6]);
            others(file, n);
        });
        let (recording, events) = read(&file, &options(sensor)).unwrap();
        assert_eq!(events, six());
        let notes = recording.notes.join("; ");
        assert_eq!(notes.contains(told), is_told, "{n}: {notes}");
    }
    let (_dir, file) = hdf5_of(|file| {
        put_all(file, ["a/t", "a/x", "a/y", "a/p"], &[6]);
        others(file, 4_200);
    });
    let error = Opened::open(&file, &options(sensor)).unwrap_err();
    assert!(matches!(error, Error::UnknownLayout { .. }));
    says(&error.to_string(), &["(only the first 4096 are looked at)"]);
    let map = Some("t=a/t,x=a/x,y=a/y,p=a/p".parse().unwrap());
    let (recording, events) = read(&file, &SourceOptions { map, ..options(sensor) }).unwrap();
    assert_eq!(events, six());
    assert!(!recording.notes.join("; ").contains(told));
}
