//! Tests of HDF5 data that is in other files or was never written.

use std::ops::Range;
use std::path::{Path, PathBuf};

use hdf5::{Hyperslab, Selection, SliceOrIndex};
use ndarray::ArrayView1;
use tonic_toolkit::shard::{LinkedFile, Manifest};

use super::camera::{Camera, Record};
use super::recording::{Scratch, contents, convert, fails, hdf5_file, hdf5_file_with, prep, samples, says, scratch};

pub(crate) const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
pub(crate) const EVENTS: usize = 2_000;

pub(crate) fn camera() -> Camera {
    Camera::random(7, EVENTS, 90_000)
}

/// Asserts that the conversion of a file is refused, with and without `--lenient`. Returns the message.
pub(crate) fn refused(input: &Path, arguments: &[&str]) -> String {
    let dir = scratch();
    let set = dir.join("set");
    let said = fails(convert(&[input], &set).args(arguments), 3);
    assert_eq!(fails(convert(&[input], &set).args(arguments).arg("--lenient"), 3), said);
    assert!(!set.exists());
    assert!(!said.contains("damaged"), "{said}");
    said
}

/// Asserts that the file `input` converts to the same set as the file `plain`. Returns the set's linked files.
pub(crate) fn same(input: &Path, plain: &Path, arguments: &[&str]) -> Vec<LinkedFile> {
    let dir = scratch();
    let [made, expected] = ["made", "expected"].map(|name| dir.join(name));
    convert(&[input], &made).args(arguments).assert().success();
    convert(&[plain], &expected).args(arguments).assert().success();
    let (manifest, plain) = (Manifest::read(&made).unwrap(), Manifest::read(&expected).unwrap());
    assert_eq!(manifest.set_id, plain.set_id);
    let (mut shards, mut others) = (contents(&made), contents(&expected));
    shards.remove("manifest.json");
    let manifest_of_plain = String::from_utf8(others.remove("manifest.json").unwrap()).unwrap();
    assert!(!manifest_of_plain.contains("linked_files"), "{manifest_of_plain}");
    assert_eq!(shards, others);
    prep().arg("verify").arg(&made).assert().success();
    manifest.description.linked_files
}

pub(crate) fn names(linked: &[LinkedFile]) -> Vec<&str> {
    linked.iter().map(|file| file.name.as_str()).collect()
}

pub(crate) fn hashed(linked: &[LinkedFile], dir: &Path) {
    for file in linked {
        let bytes = std::fs::read(dir.join(&file.name)).unwrap();
        assert_eq!(file.bytes, bytes.len() as u64);
        assert_eq!(file.blake3.0, *blake3::hash(&bytes).as_bytes());
    }
}

/// Returns the columns of a camera in DSEC's layout, as int64.
pub(crate) fn columns(camera: &Camera) -> [(&'static str, Vec<i64>); 4] {
    [
        ("t", camera.t.clone()),
        ("x", camera.x.iter().map(|&x| x.into()).collect()),
        ("y", camera.y.iter().map(|&y| y.into()).collect()),
        ("p", camera.p.iter().map(|&p| p.into()).collect()),
    ]
}

/// Writes a file with a range of the events, in HDF5 chunks of 100 events.
pub(crate) fn part(path: &Path, camera: &Camera, range: Range<usize>) -> PathBuf {
    hdf5_file(path, |file| {
        for (name, column) in columns(camera) {
            let builder = file.new_dataset_builder().chunk(100);
            builder.with_data(&column[range.clone()]).create(&*format!("events/{name}")).unwrap();
        }
    })
}

/// Makes a file of all events, and two files with half of the events each. Returns the folder and the first file.
pub(crate) fn halves() -> (Scratch, PathBuf) {
    let dir = scratch();
    let camera = camera();
    let plain = part(&dir.join("plain.h5"), &camera, 0..EVENTS);
    part(&dir.join("a.h5"), &camera, 0..1_000);
    part(&dir.join("b.h5"), &camera, 1_000..EVENTS);
    (dir, plain)
}

/// Writes a file with columns for `events` events, but with data only in the ranges `written`. For `latest`, see
/// [`format`].
pub(crate) fn unwritten(path: &Path, latest: bool, events: usize, written: &[(usize, usize)]) -> PathBuf {
    hdf5_file_with(&format(latest), path, |file| {
        for (name, column) in columns(&camera()) {
            let builder = file.new_dataset::<i64>().chunk(100).fill_value(3_i64);
            let dataset = builder.shape(events).create(&*format!("events/{name}")).unwrap();
            for &(from, to) in written {
                dataset.write_slice(&column[from..to], from..to).unwrap();
            }
        }
    })
}

/// Returns options for a file in the latest format of HDF5, or in the oldest if `latest` is false.
pub(crate) fn format(latest: bool) -> hdf5::FileBuilder {
    let mut options = hdf5::File::with_options();
    options.with_fapl(|p| if latest { p.libver_latest() } else { p.libver_earliest() });
    options
}

#[test]
fn chunks_that_were_never_written_are_named() {
    let dir = scratch();
    let path = dir.join("a.h5");
    for latest in [false, true] {
        let said = |written: &[(usize, usize)]| refused(&unwritten(&path, latest, EVENTS, written), &SENSOR);
        says(&said(&[]), &["a.h5: events/t: events 0 to 1999 were never written"]);
        says(&said(&[(0, 1_500)]), &["events/t: events 1500 to 1999 were never written"]);
        says(&said(&[(0, 300), (500, EVENTS)]), &["events 300 to 499 were never written"]);
        says(&said(&[(100, 200), (400, EVENTS)]), &["events 0 to 99 and 1 more range (300 of 2000 in all) were never"]);
        let whole = unwritten(&path, latest, EVENTS, &[(0, EVENTS)]);
        let plain = part(&dir.join("plain.h5"), &camera(), 0..EVENTS);
        assert_eq!(same(&whole, &plain, &SENSOR), []);
    }
}

#[test]
fn a_contiguous_dataset_that_was_never_written_is_refused() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        Camera::random(3, 300, 9_000).fill_dsec(file);
        file.unlink("events/y").unwrap();
        file.new_dataset::<u16>().shape(300).create("events/y").unwrap();
    });
    says(&refused(&file, &SENSOR), &["events/y: events 0 to 299 were never written"]);
}

#[test]
fn no_events_need_no_chunks() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        for name in ["events/t", "events/x", "events/y", "events/p"] {
            file.new_dataset::<u32>().chunk(100).shape(0..).create(name).unwrap();
        }
    });
    let set = dir.join("set");
    convert(&[file], &set).args(SENSOR).assert().success();
    assert_eq!(samples(&set)[0].ledger.events_in, 0);
}

#[test]
fn compact_data_and_a_user_block_are_read() {
    let dir = scratch();
    let camera = Camera::random(4, 300, 9_000);
    let plain = part(&dir.join("plain.h5"), &camera, 0..300);
    for latest in [false, true] {
        let mut options = format(latest);
        options.with_fcpl(|p| p.userblock(512));
        let file = hdf5_file_with(&options, &dir.join("compact.h5"), |file| {
            for (name, column) in columns(&camera) {
                let builder = file.new_dataset_builder().layout(hdf5::dataset::Layout::Compact);
                builder.with_data(&column).create(&*format!("events/{name}")).unwrap();
            }
        });
        assert_eq!(same(&file, &plain, &SENSOR), []);
    }
}

/// Writes an HDF5 file whose columns are in raw files, two for each column. The second raw file is shorter by `cut`
/// bytes.
fn raw(dir: &Path, cut: usize) -> PathBuf {
    hdf5_file(&dir.join("raw.h5"), |file| {
        for (name, column) in columns(&camera()) {
            // The data in the second raw file of each column begins at byte 100.
            let builder = file.new_dataset::<i64>().shape(EVENTS);
            let [a, b] = ["a", "b"].map(|half| format!("{name}.{half}.raw"));
            let builder = builder.external(&a, 0, 8_000).external(&b, 100, 8_000);
            builder.create(&*format!("events/{name}")).unwrap();
            let bytes: Vec<u8> = column.iter().flat_map(|n| n.to_le_bytes()).collect();
            std::fs::write(dir.join(a), &bytes[..8_000]).unwrap();
            let second: Vec<u8> = [7; 100].iter().chain(&bytes[8_000..]).copied().collect();
            std::fs::write(dir.join(b), &second[..second.len() - cut]).unwrap();
        }
    })
}

#[test]
fn external_raw_files_are_read_if_they_are_whole() {
    let (dir, plain) = halves();
    let file = raw(&dir, 0);
    let set = |name: &str| dir.join(name);
    let prefixed = |path: &Path, out: &str, prefix: &str| {
        let mut command = convert(&[path], &set(out));
        command.args(SENSOR).env("HDF5_EXTFILE_PREFIX", prefix);
        command
    };
    for (out, prefix) in [("one", "${ORIGIN}"), ("two", dir.to_str().unwrap())] {
        prefixed(&file, out, prefix).assert().success();
        let linked = Manifest::read(&set(out)).unwrap().description.linked_files;
        assert_eq!(names(&linked)[..3], ["t.a.raw", "t.b.raw", "x.a.raw"]);
        assert_eq!(linked.len(), 8);
        hashed(&linked, &dir);
    }
    convert(&[plain], &set("plain")).args(SENSOR).assert().success();
    assert_eq!(samples(&set("one")), samples(&set("plain")));

    // Without a prefix, libhdf5 looks for raw files in the current folder.
    says(&refused(&file, &SENSOR), &["events 0 to 1999 come from the raw file t.a.raw, which is not there (it is at"]);
    raw(&dir, 804);
    let said = fails(&mut prefixed(&file, "three", "${ORIGIN}"), 3);
    says(&said, &["events/t: events 1899 to 1999 come from the raw file", "t.b.raw, which ends after 7296 bytes"]);
    std::fs::remove_file(dir.join("t.b.raw")).unwrap();
    let said = fails(&mut prefixed(&file, "three", "${ORIGIN}"), 3);
    says(&said, &["events 1000 to 1999 come from the raw file", "t.b.raw, which is not there", "HDF5_EXTFILE_PREFIX"]);
    assert!(!set("three").exists());
}

#[test]
fn records_are_checked() {
    let dir = scratch();
    let records: Vec<Record> = (0..600).map(|i| Record { x: i % 40, y: i % 30, p: 1, t: 10 * i64::from(i) }).collect();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        let dataset = file.new_dataset::<Record>().chunk(100).shape(600).create("CD/events").unwrap();
        dataset.write_slice(&records[..400], 0..400).unwrap();
    });
    says(&refused(&file, &SENSOR), &["CD/events: events 400 to 599 were never written"]);
    hdf5_file(&dir.join("source.h5"), |file| {
        file.new_dataset_builder().with_data(&records).create("all").unwrap();
    });
    let plain = hdf5_file(&dir.join("plain.h5"), |file| {
        file.new_dataset_builder().with_data(&records).create("CD/events").unwrap();
    });
    let file = hdf5_file(&dir.join("v.h5"), |file| {
        let builder = file.new_dataset::<Record>().shape(600).virtual_map("source.h5", "all", 600, .., 600, ..);
        builder.create("CD/events").unwrap();
    });
    assert_eq!(names(&same(&file, &plain, &SENSOR)), ["source.h5"]);
    std::fs::remove_file(dir.join("source.h5")).unwrap();
    says(&refused(&file, &SENSOR), &["CD/events: events 0 to 599 come from", "source.h5, dataset all, which is not"]);
}

#[test]
fn only_the_columns_of_a_map_need_data() {
    let dir = scratch();
    let columns = columns(&camera());
    let column = |c: usize| ArrayView1::from(&columns[c].1[..500]);
    // A table of six columns, in chunks of one column each. Only the first `written` columns are written.
    let table = |file: &hdf5::File, name: &str, written: usize| {
        let dataset = file.new_dataset::<i64>().chunk((100, 1)).shape((500, 6)).create(name).unwrap();
        for c in 0..written {
            dataset.write_slice(column(c), (.., c)).unwrap();
        }
    };
    let plain = hdf5_file(&dir.join("plain.h5"), |file| table(file, "e", 4));
    let map = ["--map", "t=e[0],x=e[1],y=e[2],p=e[3]", "--sensor", "40,30,2", "--time-unit", "us"];
    let set = dir.join("set");
    convert(&[&plain], &set).args(map).assert().success();
    assert_eq!(samples(&set)[0].ledger.events_in, 500);
    let file = hdf5_file(&dir.join("a.h5"), |file| table(file, "e", 3));
    says(&refused(&file, &map), &["a.h5: e: events 0 to 499 were never written"]);
    // A virtual table that maps a source to each column.
    let file = hdf5_file(&dir.join("v.h5"), |file| {
        let mut builder = file.new_dataset::<i64>().shape((500, 6));
        for c in 0..4 {
            let column = |c: usize| {
                let [rows, columns] = [(0, 500), (c, 1)].map(|(start, count)| SliceOrIndex::SliceCount {
                    start,
                    step: 1,
                    count,
                    block: 1,
                });
                Selection::from(Hyperslab::from(vec![rows, columns]))
            };
            builder = builder.virtual_map("plain.h5", "e", (500, 6), column(c), (500, 6), column(c));
        }
        builder.create("e").unwrap();
    });
    assert_eq!(names(&same(&file, &plain, &map)), ["plain.h5"]);
    let wrong = ["--map", "t=e[0],x=e[1],y=e[2],p=e[4]", "--sensor", "40,30,2", "--time-unit", "us"];
    says(&refused(&file, &wrong), &["v.h5: e: events 0 to 499 come from no source of the virtual dataset"]);
}

#[test]
fn the_class_of_a_map_is_checked() {
    let dir = scratch();
    let file = hdf5_file(&dir.join("a.h5"), |file| {
        Camera::random(3, 300, 9_000).fill_dsec(file);
        file.new_dataset::<u8>().shape(1).create("class").unwrap();
        file.new_dataset_builder().with_data(&[1_u8]).create("good").unwrap();
    });
    let map = |class: &str| format!("t=events/t,x=events/x,y=events/y,p=events/p,label={class}");
    let good = map("good");
    convert(&[&file], &dir.join("set")).args(SENSOR).args(["--map", &good]).assert().success();
    says(
        &refused(&file, &["--sensor", "40,30,2", "--map", &map("class")]),
        &["class: samples 0 to 0 were never written"],
    );
}

#[test]
fn links_that_lead_nowhere_are_named() {
    let (dir, plain) = halves();
    let at = |name: &str| dir.join(name);
    let linked = |link: &dyn Fn(&hdf5::File)| hdf5_file(&at("l.h5"), link);
    let file = linked(&|file| file.link_external("plain.h5", "events", "events").unwrap());
    assert_eq!(names(&same(&file, &plain, &SENSOR)), ["plain.h5"]);

    let file = linked(&|file| file.link_external("gone.h5", "events", "events").unwrap());
    let words = ["l.h5: events/t: events is an external link to the file", "gone.h5, which is not there", "--map"];
    says(&refused(&file, &SENSOR), &words);
    let column = |target: &str| format!("events/{target}");
    let file = linked(&|file| {
        file.create_group("events").unwrap();
        ["t", "x", "y", "p"].iter().for_each(|c| file.link_external("plain.h5", "/no/t", &column(c)).unwrap());
    });
    says(&refused(&file, &SENSOR), &["events/t is an external link to /no/t in plain.h5, which is not there"]);
    let file = linked(&|file| {
        file.create_group("events").unwrap();
        ["t", "x", "y", "p"].iter().for_each(|c| file.link_soft(&format!("/data/{c}"), &column(c)).unwrap());
    });
    says(&refused(&file, &SENSOR), &["events/t is a soft link to /data/t, which is not there"]);
    let file = linked(&|file| {
        file.create_group("events").unwrap();
        ["t", "x", "y", "p"].iter().for_each(|c| file.link_soft(&format!("/events/{c}"), &column(c)).unwrap());
    });
    says(&refused(&file, &SENSOR), &["events/t: events/t is one of too many links, in a circle?"]);

    // If a file has no known layout, the error lists its datasets and marks the broken links.
    let file = linked(&|file| {
        file.link_soft("/b/c", "a").unwrap();
        file.link_external("gone.h5", "q", "e").unwrap();
        file.new_dataset_builder().with_data(&[1, 2]).create("n").unwrap();
    });
    let said = refused(&file, &SENSOR);
    says(&said, &["no layout fits", "a (a link that leads nowhere: a is a soft link to /b/c", "n (int32, shape [2])"]);
    says(&said, &["e (a link that leads nowhere: e is an external link to the file"]);
}
