//! Tests of virtual HDF5 datasets, which are read from their source files.

use std::path::{Path, PathBuf};

use hdf5::{Hyperslab, Selection, SliceOrIndex};
use tonic_toolkit::prep::{SourceOptions, TimeUnit};
use tonic_toolkit::shard::{LinkedFile, Manifest};

use super::camera::Camera;
use super::recording::{Sample, contents, convert, fails, hdf5_file, prep, samples, says, scratch};
use super::storage::{EVENTS, SENSOR, camera, columns, halves, hashed, names, part, refused, same, unwritten};

fn slab(start: usize, step: usize, count: usize) -> Selection {
    Hyperslab::from(vec![SliceOrIndex::SliceCount { start, step, count, block: 1 }]).into()
}

/// One source of a virtual column: the source file, the number of events in the source, and the place of these events
/// in the virtual column.
type Mapped<'a> = (&'a str, usize, Selection);

/// Writes a file whose virtual columns take their events from columns of the same names in other files.
fn virtual_file(path: &Path, mappings: &[Mapped<'_>]) -> PathBuf {
    hdf5_file(path, |file| {
        for name in ["t", "x", "y", "p"] {
            let mut builder = file.new_dataset::<i64>().shape(EVENTS);
            for (source, length, target) in mappings {
                let column = format!("events/{name}");
                builder = builder.virtual_map(source, column, *length, .., EVENTS, target.clone());
            }
            builder.create(&*format!("events/{name}")).unwrap();
        }
    })
}

fn two<'a>(a: &'a str, b: &'a str) -> [Mapped<'a>; 2] {
    [(a, 1_000, slab(0, 1, 1_000)), (b, 1_000, slab(1_000, 1, 1_000))]
}

#[test]
fn a_virtual_file_is_the_set_of_its_sources() {
    let (dir, plain) = halves();
    let file = virtual_file(&dir.join("v.h5"), &two("a.h5", "b.h5"));
    let linked = same(&file, &plain, &SENSOR);
    assert_eq!(names(&linked), ["a.h5", "b.h5"]);
    hashed(&linked, &dir);
    // Virtual datasets whose sources are virtual datasets, or datasets of the same file, or files in another folder.
    let nested = virtual_file(&dir.join("nested.h5"), &[("v.h5", EVENTS, slab(0, 1, EVENTS))]);
    assert_eq!(names(&same(&nested, &plain, &SENSOR)), ["v.h5", "a.h5", "b.h5"]);
    std::fs::create_dir(dir.join("moved")).unwrap();
    std::fs::rename(dir.join("b.h5"), dir.join("moved/b.h5")).unwrap();
    says(&refused(&file, &SENSOR), &["events 1000 to 1999 come from", "b.h5, dataset events/t, which is not there"]);
    let set = dir.join("set");
    let moved = dir.join("moved");
    convert(&[&file], &set).args(SENSOR).env("HDF5_VDS_PREFIX", moved).assert().success();
}

#[test]
fn a_source_in_the_file_itself_is_no_other_file() {
    let (dir, plain) = halves();
    let camera = camera();
    let file = hdf5_file(&dir.join("own.h5"), |file| {
        for (name, column) in columns(&camera) {
            file.new_dataset_builder().with_data(&column).create(&*format!("raw/{name}")).unwrap();
            let builder = file.new_dataset::<i64>().shape(EVENTS);
            let builder = builder.virtual_map(".", format!("raw/{name}"), EVENTS, .., EVENTS, ..);
            builder.create(&*format!("events/{name}")).unwrap();
        }
    });
    assert_eq!(same(&file, &plain, &SENSOR), []);
}

#[test]
fn interleaved_sources_cover_what_they_map() {
    let dir = scratch();
    let camera = camera();
    let plain = part(&dir.join("plain.h5"), &camera, 0..EVENTS);
    for (name, first) in [("a.h5", 0), ("b.h5", 1)] {
        hdf5_file(&dir.join(name), |file| {
            for (name, column) in columns(&camera) {
                let half: Vec<i64> = column.into_iter().skip(first).step_by(2).collect();
                file.new_dataset_builder().with_data(&half).create(&*format!("events/{name}")).unwrap();
            }
        });
    }
    let both = [("a.h5", 1_000, slab(0, 2, 1_000)), ("b.h5", 1_000, slab(1, 2, 1_000))];
    let file = virtual_file(&dir.join("v.h5"), &both);
    assert_eq!(names(&same(&file, &plain, &SENSOR)), ["a.h5", "b.h5"]);
    let file = virtual_file(&dir.join("one.h5"), &both[..1]);
    let words = "events/t: events 1 to 1 and 999 more ranges (1000 of 2000 in all) come from no source";
    says(&refused(&file, &SENSOR), &[words]);
}

#[test]
fn missing_sources_are_named_with_their_events() {
    let (dir, _) = halves();
    let camera = camera();
    let at = |name: &str| dir.join(name);
    let said = |mappings: &[Mapped<'_>]| refused(&virtual_file(&at("v.h5"), mappings), &SENSOR);

    says(&said(&two("a.h5", "gone/b.h5")), &["v.h5: events/t: events 1000 to 1999 come from", "gone/b.h5, dataset"]);
    let both = "events 0 to 999 come from";
    says(&said(&two("c.h5", "d.h5")), &[both, "c.h5", "and the source of 1 more range is missing"]);
    says(&said(&two("a.h5", "b.h5")[..1]), &["events 1000 to 1999 come from no source of the virtual dataset"]);

    part(&at("short.h5"), &camera, 1_000..1_700);
    let words = ["events 1700 to 1999 come from", "short.h5", "which has 700 entries on axis 0 instead of 1000"];
    let explicit = |name: &str| {
        hdf5_file(&at("v.h5"), |file| {
            for column in ["t", "x", "y", "p"] {
                let path = format!("events/{column}");
                let builder = file.new_dataset::<i64>().shape(EVENTS);
                let builder = builder.virtual_map("a.h5", &path, 1_000, .., EVENTS, slab(0, 1, 1_000));
                let builder = builder.virtual_map(name, &path, 1_200, slab(0, 1, 1_000), EVENTS, slab(1_000, 1, 1_000));
                builder.create(&*path).unwrap();
            }
        })
    };
    says(&refused(&explicit("short.h5"), &SENSOR), &words);
    says(&said(&two("a.h5", "short.h5")), &["short.h5", "which has 700 entries instead of 1000"]);

    hdf5_file(&at("other.h5"), |file| drop(file.create_group("events").unwrap()));
    says(&said(&two("a.h5", "other.h5")), &["other.h5, dataset events/t, which is not there"]);
    std::fs::write(at("text.h5"), "no HDF5").unwrap();
    says(&said(&two("a.h5", "text.h5")), &["text.h5, dataset events/t, which cannot be opened"]);

    unwritten(&at("unwritten.h5"), false, 1_000, &[(0, 300), (400, 1_000)]);
    let words = ["events 1000 to 1999 come from", "unwritten.h5", "of which events 300 to 399 were never written"];
    says(
        &said(&two("a.h5", "unwritten.h5")),
        &[&words[..], &["look for a copy that has them, of the source"]].concat(),
    );
    // A source can have parts that were never written, if the mapping doesn't read these parts.
    let tail = [("unwritten.h5", 600, slab(0, 1, 600))];
    hdf5_file(&at("v.h5"), |file| {
        for column in ["t", "x", "y", "p"] {
            let path = format!("events/{column}");
            let builder = file.new_dataset::<i64>().shape(600);
            builder.virtual_map(tail[0].0, &path, 1_000, slab(400, 1, 600), 600, ..).create(&*path).unwrap();
        }
    });
    convert(&[at("v.h5")], &at("set")).args(SENSOR).assert().success();
}

#[test]
fn sources_in_a_circle_are_refused() {
    let dir = scratch();
    let all = || slab(0, 1, EVENTS);
    let a = virtual_file(&dir.join("a.h5"), &[("b.h5", EVENTS, all())]);
    virtual_file(&dir.join("b.h5"), &[("a.h5", EVENTS, all())]);
    says(&refused(&a, &SENSOR), &["events/t: its sources are virtual datasets themselves, in a circle"]);
    let own = virtual_file(&dir.join("own.h5"), &vec![(".", EVENTS, all()); 40]);
    says(&refused(&own, &SENSOR), &["in a circle"]);
}

/// Returns arguments of `convert` that map the virtual columns below `group` in `virtual.h5`.
fn mapped(group: &str) -> [String; 6] {
    let map = ["t", "x", "y", "p"].map(|name| format!("{name}={group}/{name}")).join(",");
    ["--map".into(), map, SENSOR[0].into(), SENSOR[1].into(), "--time-unit".into(), "us".into()]
}

/// Copies the file `virtual.h5`, which h5py wrote, to a folder. Its virtual columns have unlimited or irregular
/// selections.
fn unlimited(dir: &Path) -> PathBuf {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sources/virtual.h5");
    std::fs::copy(fixture, dir.join("virtual.h5")).unwrap();
    dir.join("virtual.h5")
}

/// Converts a file with these arguments. Returns the linked files and the samples of the set.
fn converted(file: &Path, arguments: &[String]) -> (Vec<LinkedFile>, Vec<Sample>) {
    let dir = scratch();
    let set = dir.join("set");
    convert(&[file], &set).args(arguments).assert().success();
    (Manifest::read(&set).unwrap().description.linked_files, samples(&set))
}

#[test]
fn numbered_sources_are_read_and_holes_found() {
    let (dir, plain) = halves();
    let at = |name: &str| dir.join(name);
    let rename = |from: &str, to: &str| std::fs::rename(at(from), at(to)).unwrap();
    let (file, map) = (unlimited(&dir), mapped("numbered"));
    let said = || refused(&file, &map.each_ref().map(String::as_str));
    says(&said(), &["numbered/t: events 0 to 999 come from", "n0.h5, dataset events/t, which is not there"]);
    rename("a.h5", "n0.h5");
    rename("b.h5", "n1.h5");
    let (linked, samples) = converted(&file, &map);
    assert_eq!(names(&linked), ["n0.h5", "n1.h5"]);
    assert_eq!(samples, converted(&plain, &mapped("events")).1);
    std::fs::copy(at("n1.h5"), at("n3.h5")).unwrap();
    says(&said(), &["numbered/t: events 2000 to 2999 come from", "n2.h5, dataset events/t, which is not there"]);
    rename("n0.h5", "n2.h5");
    says(&said(), &["numbered/t: events 0 to 999 come from", "n0.h5, dataset events/t, which is not there"]);
}

#[test]
fn growing_sources_are_read_as_far_as_they_go() {
    let (dir, plain) = halves();
    let live = |events: usize| {
        hdf5_file(&dir.join("live.h5"), |file| {
            for (name, column) in columns(&camera()) {
                let builder = file.new_dataset::<i64>().chunk(100).shape(0..);
                let dataset = builder.create(&*format!("events/{name}")).unwrap();
                dataset.resize(events).unwrap();
                dataset.write_slice(&column, 0..EVENTS).unwrap();
            }
        })
    };
    let (file, map) = (unlimited(&dir), mapped("growing"));
    let said = || refused(&file, &map.each_ref().map(String::as_str));
    says(&said(), &["growing/t: events from 0 on come from", "live.h5, dataset events/t, which is not there"]);
    live(EVENTS);
    let (linked, samples) = converted(&file, &map);
    assert_eq!(names(&linked), ["live.h5"]);
    assert_eq!(samples, converted(&plain, &mapped("events")).1);
    live(EVENTS + 500);
    says(&said(), &["events 0 to 2499 come from", "of which events 2000 to 2499 were never written"]);
}

#[test]
fn irregular_mappings_are_read() {
    let dir = scratch();
    let camera = camera();
    let plain = part(&dir.join("plain.h5"), &camera, 0..EVENTS);
    let is_first = |i: &usize| (0..500).contains(i) || (1_200..1_700).contains(i);
    for (name, first) in [("a.h5", true), ("b.h5", false)] {
        hdf5_file(&dir.join(name), |file| {
            for (name, column) in columns(&camera) {
                let own: Vec<i64> = (0..EVENTS).filter(|i| is_first(i) == first).map(|i| column[i]).collect();
                file.new_dataset_builder().with_data(&own).create(&*format!("events/{name}")).unwrap();
            }
        });
    }
    let (file, map) = (unlimited(&dir), mapped("irregular"));
    let (linked, samples) = converted(&file, &map);
    assert_eq!(names(&linked), ["a.h5", "b.h5"]);
    assert_eq!(samples, converted(&plain, &mapped("events")).1);
    std::fs::remove_file(dir.join("b.h5")).unwrap();
    let said = refused(&file, &map.each_ref().map(String::as_str));
    says(&said, &["irregular/t: events 500 to 1999 come from", "b.h5, dataset events/t, which is not there"]);
}

#[test]
fn a_folder_is_checked_before_anything_is_written() {
    let dir = scratch();
    let folder = dir.join("in");
    std::fs::create_dir(&folder).unwrap();
    part(&folder.join("a.h5"), &camera(), 0..EVENTS);
    part(&folder.join("c.h5"), &camera(), 0..EVENTS);
    unwritten(&folder.join("b.h5"), false, EVENTS, &[(0, 1_000)]);
    says(&refused(&folder, &SENSOR), &["b.h5: events/t: events 1000 to 1999 were never written"]);
    let source = part(&dir.join("source.h5"), &camera(), 0..EVENTS);
    virtual_file(&folder.join("b.h5"), &[(source.to_str().unwrap(), EVENTS, slab(0, 1, EVENTS))]);
    let set = dir.join("set");
    convert(&[folder], &set).args(SENSOR).assert().success();
    let linked = Manifest::read(&set).unwrap().description.linked_files;
    assert_eq!(names(&linked), [source.to_str().unwrap()]);
}

#[test]
fn linked_files_stay_with_the_samples() {
    let (dir, _) = halves();
    let at = |name: &str| dir.join(name);
    let file = virtual_file(&at("v.h5"), &two("a.h5", "b.h5"));
    let cut = ["--sample-events", "200", "--chunk-samples", "2"];
    let made = |out: &str, extra: &[&str]| {
        convert(&[&file], &at(out)).args(SENSOR).args(cut).args(extra).assert().success();
        at(out)
    };
    let (set, part1, part2) = (made("set", &[]), made("p1", &["--part", "1/2"]), made("p2", &["--part", "2/2"]));
    let linked = |dir: &Path| Manifest::read(dir).unwrap().description.linked_files;
    assert_eq!(names(&linked(&set)), ["a.h5", "b.h5"]);

    let merged = at("merged");
    prep().args(["merge", "-q"]).arg(&merged).args([&part1, &part2]).assert().success();
    assert_eq!(contents(&merged), contents(&set));
    let some = at("some");
    prep().args(["subset", "-q", "--samples", "0..4"]).args([&some, &set]).assert().success();
    assert_eq!(linked(&some), linked(&set));

    let shown = prep().arg("info").arg(&set).output().unwrap();
    let a = blake3::hash(&std::fs::read(at("a.h5")).unwrap()).to_hex();
    says(&String::from_utf8(shown.stdout).unwrap(), &["linked     a.h5 (", &format!("blake3 {:.16})", a.as_str())]);
    let shown = prep().args(["info", "--json"]).arg(&set).output().unwrap();
    says(&String::from_utf8(shown.stdout).unwrap(), &[&format!("\"blake3\":\"{a}\"")]);

    // A repair from the recording also checks the hashes of the linked files.
    let whole = contents(&set);
    let shard = set.join("00000.shard");
    let damage = || {
        let mut bytes = whole["00000.shard"].clone();
        let at = bytes.len() - 100;
        bytes[at] ^= 1;
        std::fs::write(&shard, bytes).unwrap();
    };
    damage();
    let repair = || {
        let mut command = prep();
        command.args(["repair", "-q"]).arg(&set).arg("--from").arg(&file).args(SENSOR).args(&cut[..2]);
        command
    };
    repair().assert().success();
    assert_eq!(contents(&set), whole);
    damage();
    part(&at("b.h5"), &Camera::random(8, EVENTS, 90_000), 1_000..EVENTS);
    says(&fails(&mut repair(), 4), &["linked file b.h5 differs from", "expected blake3", "got none with that content"]);
}

#[test]
fn a_large_virtual_file_is_measured_with_its_sources() {
    // 30 million events in a virtual file of a few kilobytes: it has less than one byte per 4096 events.
    let dir = scratch();
    let n = 30_000_000_usize;
    hdf5_file(&dir.join("source.h5"), |file| {
        for name in ["t", "x", "y", "p"] {
            let dataset = file.new_dataset::<u8>().chunk(1 << 20).deflate(1).shape(n).create(name).unwrap();
            dataset.write_raw(&vec![1_u8; n]).unwrap();
        }
    });
    let file = hdf5_file(&dir.join("v.h5"), |file| {
        for name in ["t", "x", "y", "p"] {
            let builder = file.new_dataset::<u8>().shape(n).virtual_map("source.h5", name, n, .., n, ..);
            builder.create(&*format!("events/{name}")).unwrap();
        }
    });
    assert!(std::fs::metadata(&file).unwrap().len() * 4096 < n as u64);
    let options = SourceOptions { time_unit: Some(TimeUnit::Microseconds), ..SourceOptions::default() };
    let recording = tonic_toolkit::prep::Recording::open(&file, &options).unwrap().remove(0);
    assert_eq!(recording.samples(), 1);
}
