//! Tests of the errors for files without events.

use super::camera::{Camera, npy_header, npz};
use super::recording::{Scratch, change, column, data, hdf5_file, says, scratch};
use super::units::{SENSOR, notes, refused};

/// Asserts that the conversion of the file `name` is refused. The error must contain all of `words`, but not
/// `absent`.
#[track_caller]
fn is_refused(dir: &Scratch, name: &str, words: &[&str], absent: &str) {
    let said = refused(&dir.join(name), &dir.join("none"), &SENSOR);
    says(&said, words);
    assert!(!said.contains(absent), "{said}");
}

#[test]
fn boxes_are_no_events() {
    let dir = scratch();
    for (t, shape, class) in [
        ("ts", ["x", "y", "w", "h"], "class_id"),
        ("t", ["x", "y", "width", "height"], "class_id"),
        ("time", ["x1", "y1", "x2", "y2"], "label"),
        ("frame", ["xmin", "ymin", "xmax", "ymax"], "track_id"),
    ] {
        let of_shape: String = shape.iter().map(|name| format!("('{name}', '<f4'), ")).collect();
        let types = format!("[('{t}', '<u8'), {of_shape}('{class}', '|u1')]");
        let bytes = [npy_header(&types, "(9,)"), vec![0; 9 * 25]].concat();
        dir.file("bbox.npy", &bytes);
        let got =
            format!("got boxes around objects, which are labels and no events ({t}, {}, {class})", shape.join(", "));
        is_refused(&dir, "bbox.npy", &["bbox.npy: expected events, ", &got, "convert the recording"], "--map");
        npz(&dir.join("bbox.npz"), &[("boxes", &types, "(9,)", vec![0; 9 * 25])]);
        is_refused(&dir, "bbox.npz", &["bbox.npz: boxes: expected events, ", &got], "--map");
    }
    // If a file has events too, a note says that the boxes are not used.
    let camera = Camera::random(93, 500, 400_000);
    let file = hdf5_file(&dir.join("both.h5"), |file| {
        camera.fill_dsec(file);
        let boxes = file.create_group("boxes").unwrap();
        ["t", "x", "y", "w", "h", "class_id"].iter().for_each(|name| column(&boxes, name, &[1_i64, 2, 3]));
        file.relink("events", "camera").unwrap();
    });
    assert!(notes(&file, &dir.join("set"), &SENSOR).iter().any(|note| note.contains("boxes/ (6 arrays)")));
}

#[test]
fn wide_arrays_get_no_order_of_columns() {
    let dir = scratch();
    let noise: Vec<u8> = (0..5_000_u64).flat_map(|i| (i * 7_919 % 13).to_le_bytes()).collect();
    dir.file("wide.npy", [npy_header("'<i8'", "(10, 500)"), noise].concat());
    is_refused(&dir, "wide.npy", &["of which no column can be t", "np.savez(\"events.npz\", t=t"], "--columns t");
    hdf5_file(&dir.join("wide.h5"), |file| {
        let numbers: Vec<i64> = (0..5_000).map(|i| i * 7_919 % 13).collect();
        file.new_dataset::<i64>().shape((10, 500)).create("a").unwrap().write_raw(&numbers).unwrap();
        column(file, "weights", &[1.5, 0.5]);
    });
    is_refused(&dir, "wide.h5", &["a (int64, shape [10, 500])"], "=a[");
    // Seven forces and angles, none of which is whole.
    let imu: Vec<u8> = (0..700_u32).flat_map(|i| (f64::from(i * 7_919 % 13) + 0.25).to_le_bytes()).collect();
    dir.file("imu.npy", [npy_header("'<f8'", "(100, 7)"), imu].concat());
    is_refused(&dir, "imu.npy", &["of which no column can be t", "np.savez(\"events.npz\", t=t"], "--columns t");
}

#[test]
fn what_is_not_numbers_is_named() {
    let dir = scratch();
    let camera = Camera::random(94, 300, 400_000);
    hdf5_file(&dir.join("empty.h5"), |file| {
        camera.fill_dsec(file);
        let events = file.group("events").unwrap();
        events.unlink("p").unwrap();
        events.new_dataset::<u8>().shape(hdf5::Extents::Null).create("p").unwrap();
    });
    is_refused(&dir, "empty.h5", &["events/p: expected numbers, one an event, got empty, without a shape"], "damaged");
    // h5py wrote this file.
    std::fs::copy(data("sources/bitfield.h5"), dir.join("bits.h5")).unwrap();
    is_refused(&dir, "bits.h5", &["events/p: expected integers or floats", "bits, an HDF5 bitfield"], "damaged");
    // NumPy can read archives with these compressions, but this crate cannot.
    for (method, name) in [(12, "bzip2"), (14, "LZMA"), (93, "Zstandard")] {
        let file = camera.npz(&dir.join("packed.npz"));
        change(&file, |bytes| {
            for (mark, at) in [(*b"PK\x03\x04", 8), (*b"PK\x01\x02", 10)] {
                let places: Vec<usize> =
                    bytes.windows(4).enumerate().filter(|(_, four)| *four == mark).map(|(i, _)| i).collect();
                places.iter().for_each(|place| bytes[place + at] = method);
            }
        });
        let words = [&*format!("got {name}: save it again"), "np.load(\"packed.npz\")"];
        is_refused(&dir, "packed.npz", &words, "damaged");
    }
}
