//! Tests of recordings that are damaged, claim false sizes, or need a missing file.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tonic_toolkit::prep::{Cut, Recording, SourceOptions};

use super::camera::{Camera, npy_header};
use super::recording::{
    Scratch, ascii, change, column, convert, data, hdf5_file, json, prep, refuses, samples, says, scratch, stdout,
};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// Asserts that `convert` fails with exit code `code`, leaves no set, and prints all of `words`.
fn refuse(file: &Path, arguments: &[&str], code: i32, words: &[&str]) {
    let dir = scratch();
    refuses(convert(&[file], &dir.join("set")).args(SENSOR).args(arguments), code, words);
    assert!(!dir.join("set/manifest.json").exists());
}

/// Writes the recording of a camera, then changes the file with `spoil`.
fn spoilt(spoil: impl Fn(&hdf5::File)) -> (Scratch, PathBuf) {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        Camera::random(31, 300, 9_000).fill_dsec(file);
        spoil(file);
    });
    (dir, file)
}

/// Replaces a dataset by the one that `with` creates.
fn replace(file: &hdf5::File, name: &str, with: impl Fn(hdf5::DatasetBuilder)) {
    file.unlink(name).unwrap();
    with(file.new_dataset_builder());
}

#[test]
fn columns_that_do_not_fit_are_named() {
    for name in ["events/t", "events/x", "events/y", "events/p"] {
        let (_dir, file) = spoilt(|file| file.unlink(name).unwrap());
        let named = format!("expected a dataset {name} (dsec layout), got none");
        refuse(&file, &["--layout", "dsec"], 3, &[&named]);
        // Without this dataset, no layout fits. So the columns are found by their names, and one column is missing.
        let (expected, map) = match name {
            "events/t" => ("no layout fits", "--map t=FIELD,x=events/x,y=events/y,p=events/p"),
            "events/x" => ("no layout fits", "--map t=events/t,x=FIELD,y=events/y,p=events/p"),
            "events/y" => (
                "expected rows (y)",
                "--map t=events/t,x=events/x,y=FIELD,p=events/p; only if no field has them: --sensor 40,1,2",
            ),
            _ => (
                "expected polarities (p)",
                "--map t=events/t,x=events/x,y=events/y,p=FIELD; only if no field has them: --sensor 40,30,1",
            ),
        };
        refuse(&file, &[], 3, &[expected, map]);
    }
    type Case<'a> = (&'a str, &'a str, &'a dyn Fn(hdf5::DatasetBuilder));
    let cases: [Case<'_>; 4] = [
        ("events/x", "expected 300 events, as events/t has, got 299", &|b| {
            b.with_data(&vec![1_u16; 299]).create("events/x").unwrap();
        }),
        ("events/y", "expected one dimension", &|b| {
            b.empty::<u16>().shape((300, 2)).create("events/y").unwrap();
        }),
        ("events/t", "expected one dimension", &|b| drop(b.empty::<i64>().shape(()).create("events/t").unwrap())),
        ("events/t", "expected integers or floats", &|b| {
            b.empty::<hdf5::types::VarLenArray<u8>>().shape(300).create("events/t").unwrap();
        }),
    ];
    for (name, expected, with) in cases {
        let early = Some(hdf5::dataset::AllocTime::Early); // the type is wrong, not the data missing
        let (_dir, file) = spoilt(|file| replace(file, name, |b| with(b.alloc_time(early))));
        refuse(&file, &[], 3, &[&format!("a.h5: {name}: {expected}")]);
    }
    // If polarities are words, the error suggests a command in Python.
    let words = |b: hdf5::DatasetBuilder| drop(b.with_data(&[ascii("on"); 300]).create("events/p").unwrap());
    let (_dir, file) = spoilt(|file| replace(file, "events/p", words));
    refuse(&file, &[], 3, &["events/p (its type is string", "p=[sign[word.strip().lower()]", "a_mended.npz"]);
}

#[test]
fn lengths_that_no_file_holds_are_not_believed() {
    let huge = 1_usize << 60;
    let (_dir, file) = spoilt(|file| {
        for name in ["events/t", "events/x", "events/y", "events/p"] {
            replace(file, name, |b| {
                b.empty::<u16>().chunk(1 << 16).shape(huge).create(name).unwrap();
            });
        }
    });
    for arguments in [&[][..], &["--sample-duration", "1s"], &["--sample-events", "5"], &["--label", "a"]] {
        refuse(&file, arguments, 3, &[&format!("events/t: events 0 to {} were never written", huge - 1)]);
    }
    let file = hdf5_file(&file, |file| {
        file.create_group("train_addresses").unwrap().new_dataset::<u8>().chunk(99).shape(huge).create("a-1").unwrap();
        file.create_group("train_timestamps").unwrap().new_dataset::<f64>().chunk(9).shape(9).create("a-1").unwrap();
        column(file, "train_labels", &[ascii("a-1")]);
    });
    refuse(&file, &[], 3, &[&format!("train_addresses/a-1: events 0 to {} were never written", huge - 1)]);
}

#[test]
fn an_empty_recording_is_an_empty_sample() {
    let dir = scratch();
    let empty = Camera::default();
    let files = [empty.npy(&dir.join("a.npy")), empty.npz(&dir.join("a.npz"))];
    for (i, file) in files.iter().enumerate() {
        for cut in [&[][..], &["--sample-duration", "1s"], &["--sample-events", "5"]] {
            let arguments = [&SENSOR[..], cut, &["--overwrite"]].concat();
            let found = samples(&dir.convert(&[file], &format!("{i}{}", cut.len()), &arguments));
            assert_eq!((found.len(), found[0].ledger.events_in, found[0].shape[0]), (1, 0, 1));
        }
    }
}

#[test]
fn npy_headers_that_lie_are_refused() {
    let dir = scratch();
    let whole = Camera::random(32, 20, 900).npy_bytes();
    let with = |descr: &str, shape: &str| [&npy_header(descr, shape)[..], &[0; 200]].concat();
    let events = "[('t', '<i8'), ('x', '<u2')]";
    let large = "[('t', '<i8', (9999999, 9999999)), ('x', '<u2')]";
    let cases: [(Vec<u8>, &[&str]); 18] = [
        (whole[..whole.len() - 1].to_vec(), &["array: cannot be read", "promises 20 items of 13 bytes"]),
        (with(events, "(99999999999999,)"), &["promises 99999999999999 items"]),
        (with(events, "(18446744073709551615,)"), &["its shape is [18446744073709551615]"]),
        (with(events, "(99999999999999999999999,)"), &["makes no sense", "an integer below 2^64"]),
        (with(events, "(4294967296, 4294967296)"), &["its shape is [4294967296, 4294967296]"]),
        (with(events, "(0, 18446744073709551615)"), &["its shape is [0, 18446744073709551615]"]),
        (
            with(events, "(5, 2)"),
            &["expected records in one dimension", "got records of shape [5, 2]", "events.ravel()"],
        ),
        (with("'<f8'", "()"), &["no layout fits", "(float64, shape [])"]),
        (with("'<f8'", "(5,)"), &["no layout fits", "it has (float64, shape [5])"]),
        (with("[('t', '<i8')]", "(5,)"), &["no layout fits", "records of t: int64", "--map t=t,x=FIELD"]),
        (with("[('t', '<U8'), ('x', '<u2')]", "(5,)"), &["no layout fits", "t: <U8, x: uint16"]),
        (with("[('t', '|O'), ('x', '<u2')]", "(5,)"), &["expected numbers, got Python objects", "np.savez"]),
        (with(large, "(5,)"), &["an element has more than 1048576 bytes"]),
        (with(&"[".repeat(3000), "(5,)"), &["makes no sense", "nested more than 32 deep"]),
        (with(&format!("'{}'", "x".repeat(50_000)), "(5,)"), &["of which at most 40000 are read"]),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), &["of which at most 40000 are read"]),
        (b"\x93NUMPY\x04\x00\x02\x00{}".to_vec(), &["version 4.0, NumPy writes 1.0 to 3.0"]),
        (b"\x93NUMPY".to_vec(), &["header: cannot be read"]),
    ];
    for (bytes, words) in cases {
        println!("{words:?}");
        refuse(&dir.file("a.npy", bytes), &[], 3, words);
    }
    // Other fields can have any type, and numbers can be big-endian.
    let mut fine = npy_header("[('a', '|S3'), ('x', '>u2'), ('b', '<f8', (2,)), ('t', '>f4')]", "(2,)");
    for i in 0..2_u16 {
        fine.extend([b"abc", &(i + 1).to_be_bytes()[..], &[0; 16], &f32::from(i * 100).to_be_bytes()].concat());
    }
    let mut command = convert(&[dir.file("b.npy", fine)], &dir.join("set"));
    assert_eq!(json(command.args(["--sensor", "40", "--json"]))["notes"], serde_json::json!(["field b was not used"]));
    assert_eq!(samples(&dir.join("set"))[0].ledger.binned, 2);
}

#[test]
fn archives_that_lie_are_refused() {
    let dir = scratch();
    let column = |shape: &str, bytes: usize| [npy_header("'<u2'", shape), vec![0; bytes]].concat();
    let (nine, eight, short) = (column("(9,)", 18), column("(8,)", 16), column("(9,)", 17));
    let (huge, nothing, empty) = (column("(100000000000,)", 18), b"nothing".to_vec(), Vec::new());
    type Case<'a> = (Vec<(&'a str, &'a [u8])>, &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (vec![("t.npy", &nine)], &["no layout fits", "t (uint16, shape [9])", "--map t=t,x=FIELD"]),
        (
            vec![("t.npy", &nine), ("z.npy", &nine)],
            &["no layout fits", "t (uint16, shape [9]), z (uint16, shape [9])", "--map t=t,x=z"],
        ),
        (vec![("t.npy", &nine), ("x.npy", &eight)], &["x: expected 9 events"]),
        (vec![("t.npy", &nine), ("x.npy", &short)], &["promises 18 bytes, there are 17"]),
        (vec![("t.npy", &huge), ("x.npy", &eight)], &["t: expected at most 134217728 events"]),
        (vec![("t.npy", &nothing), ("x.npy", &eight)], &["t: expected a NumPy array, got a text"]),
        (vec![("other.txt", &empty)], &["got a zip archive without NumPy arrays (other.txt)"]),
    ];
    for (entries, words) in cases {
        println!("{words:?}");
        let file = dir.join("a.npz");
        let mut archive = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
        for (name, bytes) in entries {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
        refuse(&file, &[], 3, words);
    }
    let whole = std::fs::read(Camera::random(33, 400, 900).npz(&dir.join("b.npz"))).unwrap();
    for cut in [5, 30, whole.len() / 2, whole.len() - 3] {
        refuse(&dir.file("c.npz", &whole[..cut]), &[], 3, &["archive: cannot be read"]);
    }
}

#[test]
fn an_archive_with_a_name_twice_is_refused() {
    let dir = scratch();
    let camera = Camera::random(34, 400, 90_000);
    let archive = |names: [&str; 5]| {
        let file = dir.join("a.npz");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
        let bytes = |numbers: &[i64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
        let columns = [&camera.x, &camera.y].map(|column| column.iter().map(|&n| n.into()).collect());
        let [x, y]: [Vec<i64>; 2] = columns;
        let p: Vec<i64> = camera.p.iter().map(|&p| p.into()).collect();
        let off = p.iter().map(|p| 1 - p).collect();
        for (name, column) in names.iter().zip([&camera.t, &x, &y, &p, &off]) {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&[npy_header("'<i8'", "(400,)"), bytes(column)].concat()).unwrap();
        }
        zip.finish().unwrap();
        file
    };
    // The library that writes archives refuses two of one name.
    let file = archive(["t.npy", "x.npy", "y.npy", "p.npy", "q.npy"]);
    change(&file, |bytes| {
        let places: Vec<usize> = (0..bytes.len() - 5).filter(|&i| bytes[i..].starts_with(b"q.npy")).collect();
        places.into_iter().for_each(|i| bytes[i] = b'p');
    });
    let save = "np.savez(\"a_mended.npz\", **dict(np.load(";
    refuse(&file, &[], 3, &["archive: expected each name once, got two of p.npy: NumPy takes the last;", save]);
    let words =
        ["archive: expected each name once, got two of p, with and without .npy: NumPy takes that without;", save];
    refuse(&archive(["t.npy", "x.npy", "y.npy", "p.npy", "p"]), &[], 3, &words);
    // NumPy reads arrays of files without the ending.
    let convert = |file: &Path| {
        convert(&[file], &dir.join("set")).args(SENSOR).arg("--overwrite").assert().success();
        samples(&dir.join("set"))
    };
    let right = convert(&archive(["t.npy", "x.npy", "y.npy", "p.npy", "other.npy"]));
    assert!(convert(&archive(["t", "x", "y.npy", "p", "other"])) == right);
}

#[test]
fn a_compression_that_is_not_there_is_named() {
    let words = ["compression of events/t", "36559 (0x8ECF): ECF", "HDF5_PLUGIN_PATH", "hdf5_ecf", "h5repack"];
    refuse(&data("sources/unknown_filter.h5"), &[], 2, &words);
    // The filter of this file has more parameters than the HDF5 wrapper can return.
    refuse(&data("sources/many_parameters.h5"), &[], 2, &["compression of events/t", "HDF5_PLUGIN_PATH"]);
}

/// C source of an HDF5 plugin for filter 36559, which inverts every byte.
const PLUGIN: &str = r#"
#include <stddef.h>
typedef struct {
    int version; int id; unsigned encoder, decoder; const char *name; void *can_apply, *set_local;
    size_t (*filter)(unsigned, size_t, const unsigned *, size_t, size_t *, void **);
} H5Z_class2_t;
static size_t invert(unsigned f, size_t n, const unsigned *v, size_t bytes, size_t *size, void **buf) {
    for (size_t i = 0; i < bytes; i++) ((unsigned char *)*buf)[i] ^= 0xff;
    return bytes;
}
static const H5Z_class2_t filter = {1, 36559, 1, 1, "invert", 0, 0, invert};
int H5PLget_plugin_type(void) { return 0; }
const void *H5PLget_plugin_info(void) { return &filter; }
"#;

#[test]
fn a_compression_is_read_through_its_plugin() {
    let dir = scratch();
    let (source, library) = (dir.file("invert.c", PLUGIN), dir.join("libinvert.so"));
    let mut compiler = std::process::Command::new("cc");
    let compiled = compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    if !compiled.is_ok_and(|status| status.success()) {
        println!("skipped: there is no C compiler");
        return;
    }
    let set = dir.join("set");
    let mut command = convert(&[data("sources/unknown_filter.h5")], &set);
    command.env("HDF5_PLUGIN_PATH", &*dir).args(SENSOR).assert().success();
    let sample = &samples(&set)[0];
    assert_eq!((sample.ledger.binned, sample.ledger.events_in), (50, 50));
    assert_eq!(sample.shape[0], 5, "50 ms, an event a millisecond");
    assert!(sample.dense.chunks(2 * 30 * 40).all(|frame| frame.iter().sum::<u32>() == 10));
}

#[test]
fn an_unknown_layout_is_told_with_what_there_is() {
    let dir = scratch();
    let file = Camera::random(34, 30, 900).strange(&dir.join("a.h5"));
    let words =
        ["no layout fits", "events/ts (e2vid)", "where (int32, shape [30, 2])", "when (uint64, shape [30])", "--map"];
    refuse(&file, &[], 3, &words);
    refuse(&file, &["--layout", "dsec"], 3, &["expected a dataset events/t (dsec layout)"]);
    refuse(&file, &["--layout", "npy"], 3, &["expected a NumPy array, got an HDF5 file"]);
    refuse(&file, &["--layout", "ntidigits"], 3, &["expected a dataset train_labels (ntidigits layout)"]);
    refuse(&file, &["--layout", "map"], 2, &["--map with it"]);
    refuse(&file, &["--layout", "aedat"], 2, &["expected one of hsd, ntidigits, dsec"]);
    says(&stdout(prep().args(["convert", "--help"])), &["--sample-duration", "prophesee (CD/events)", "--map"]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn damaged_bytes_are_an_error_or_other_events(kind in 0..4, at in 0.0..1.0, flip in 1..=255_u8, cut in any::<bool>()) {
        let dir = scratch();
        let camera = Camera::random(35, 200, 9_000);
        let path = dir.join("a");
        match kind {
            0 => camera.npy(&path),
            1 => camera.npz(&path),
            2 => camera.dsec(&path),
            _ => camera.prophesee(&path),
        };
        change(&path, |bytes| {
            let at = (at * bytes.len() as f64) as usize;
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        });
        for cut in [Cut::Whole, Cut::Events { count: 50, overlap: 10 }, Cut::Duration { length: 1_000, overlap: 0 }] {
            let options = SourceOptions { cut, ..SourceOptions::default() };
            for recording in Recording::open(&path, &options).into_iter().flatten() {
                let _ = recording.read(0..recording.samples());
            }
        }
    }
}
