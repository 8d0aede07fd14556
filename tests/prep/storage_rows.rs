//! Tests of HDF5 recordings with many samples, whose data is in other files or was never written.

use std::path::{Path, PathBuf};

use hdf5::types::{FixedAscii, VarLenArray};

use super::recording::{Recording, Times, convert, hdf5_file, hdf5_file_with, says, scratch};
use super::storage::{format, hashed, names, refused, same};

/// Writes a recording in the layout of SHD, then changes it with `change`.
fn speech(path: &Path, change: impl FnOnce(&hdf5::File)) -> PathBuf {
    let recording = Recording::random(5, 40, 60);
    hdf5_file(path, |file| {
        recording.fill(file);
        change(file);
    })
}

#[test]
fn labels_keys_and_extras_are_checked() {
    let dir = scratch();
    let path = dir.join("a.h5");
    for (name, expected) in [
        ("labels", "labels: samples 20 to 39 were never written"),
        ("extra/speaker", "extra/speaker: samples 20 to 39 were never written"),
    ] {
        let file = speech(&path, |file| {
            file.unlink(name).unwrap();
            let dataset = file.new_dataset::<i64>().chunk(10).shape(40).create(name).unwrap();
            dataset.write_slice(&[1_i64; 20], 0..20).unwrap();
        });
        says(&refused(&file, &[]), &[expected]);
        let file = speech(&path, |file| {
            file.unlink(name).unwrap();
            let builder = file.new_dataset::<i64>().shape(40).virtual_map("gone.h5", "q", 40, .., 40, ..);
            builder.create(name).unwrap();
        });
        says(&refused(&file, &[]), &[&format!("{name}: samples 0 to 39 come from"), "gone.h5, dataset q"]);
        let file = speech(&path, |file| {
            file.unlink(name).unwrap();
            file.link_soft("/elsewhere", name).unwrap();
        });
        says(&refused(&file, &[]), &[&format!("{name} is a soft link to /elsewhere, which is not there")]);
    }
    let file = speech(&path, |file| {
        file.unlink("extra/keys").unwrap();
        file.new_dataset::<FixedAscii<10>>().shape(3).create("extra/keys").unwrap();
    });
    says(&refused(&file, &[]), &["extra/keys: samples 0 to 2 were never written"]);
    let file = speech(&path, |file| {
        file.unlink("extra").unwrap();
        file.link_external("gone.h5", "extra", "extra").unwrap();
    });
    says(&refused(&file, &[]), &["extra is an external link to the file", "gone.h5, which is not there"]);
    // A column that is not used needs no data.
    let file = speech(&path, |file| {
        file.new_dataset::<f32>().shape(40).create("extra/weight").unwrap();
        file.create_group("extra/more").unwrap();
    });
    convert(&[file], &dir.join("set")).assert().success();
}

#[test]
fn labels_may_be_virtual_or_in_a_raw_file() {
    let dir = scratch();
    let plain = speech(&dir.join("plain.h5"), |_| {});
    let file = speech(&dir.join("v.h5"), |file| {
        file.unlink("labels").unwrap();
        let builder = file.new_dataset::<i64>().shape(40).virtual_map("plain.h5", "labels", 40, .., 40, ..);
        builder.create("labels").unwrap();
    });
    assert_eq!(names(&same(&file, &plain, &[])), ["plain.h5"]);
    let labels: Vec<u8> = (0..40).flat_map(|i: i64| (i % 3).to_le_bytes()).collect();
    let raw = dir.join("labels.raw");
    std::fs::write(&raw, &labels).unwrap();
    let file = speech(&dir.join("x.h5"), |file| {
        file.unlink("labels").unwrap();
        let builder = file.new_dataset::<i64>().shape(40).external(raw.to_str().unwrap(), 0, 320);
        builder.create("labels").unwrap();
    });
    assert_eq!(names(&same(&file, &plain, &[])), [raw.to_str().unwrap()]);
    std::fs::write(&raw, &labels[..200]).unwrap();
    says(&refused(&file, &[]), &["labels: samples 25 to 39 come from the raw file", "which ends after 200 bytes"]);
}

#[test]
fn rows_of_spikes_that_were_never_written_are_refused() {
    let dir = scratch();
    let recording = Recording { times_as: Times::F32, ..Recording::random(5, 40, 60) };
    for (latest, gzip) in [(false, false), (true, false), (false, true)] {
        let file = hdf5_file_with(&format(latest), &dir.join("a.h5"), |file| {
            recording.fill(file);
            file.unlink("spikes/times").unwrap();
            let builder = file.new_dataset::<VarLenArray<f32>>().chunk(10);
            let builder = if gzip { builder.deflate(3) } else { builder };
            let dataset = builder.shape(40).create("spikes/times").unwrap();
            let row = |row: &Vec<f64>| VarLenArray::from_slice(&row.iter().map(|&t| t as f32).collect::<Vec<_>>());
            let rows: Vec<VarLenArray<f32>> = recording.times[..20].iter().map(row).collect();
            dataset.write_slice(&rows, 0..20).unwrap();
        });
        says(&refused(&file, &[]), &["spikes/times: samples 20 to 39 were never written"]);
    }
}

#[test]
fn rows_of_spikes_in_another_file_are_read_there() {
    let dir = scratch();
    let plain = speech(&dir.join("plain.h5"), |_| {});
    let file = speech(&dir.join("linked.h5"), |file| {
        file.unlink("spikes").unwrap();
        file.link_external("plain.h5", "/spikes", "spikes").unwrap();
    });
    let linked = same(&file, &plain, &[]);
    assert_eq!(names(&linked), ["plain.h5"]);
    hashed(&linked, &dir);
}

#[test]
fn spoken_digits_are_checked_before_the_first_is_read() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        let names = [b"m-1", b"m-2"].map(|name| FixedAscii::<4>::from_ascii(name).unwrap());
        file.new_dataset_builder().with_data(&names).create("train_labels").unwrap();
        for name in ["m-1", "m-2"] {
            let [channels, times] = ["addresses", "timestamps"].map(|group| format!("train_{group}/{name}"));
            file.new_dataset_builder().with_data(&[1_u8; 9]).create(&*channels).unwrap();
            let builder = file.new_dataset::<f64>().chunk(3).shape(9);
            let dataset = builder.create(&*times).unwrap();
            let n = if name == "m-1" { 9 } else { 6 };
            dataset.write_slice(&vec![0.1; n], 0..n).unwrap();
        }
    });
    says(&refused(&file, &[]), &["train_timestamps/m-2: events 6 to 8 were never written"]);
}
