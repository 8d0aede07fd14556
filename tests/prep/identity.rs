//! Tests that copies of a recording in any compression or file format give the same set.

use std::path::{Path, PathBuf};

use hdf5::H5Type;
use hdf5::types::VarLenArray;
use tonic_toolkit::prep::{Recording as Opened, SensorSize, SourceOptions};

use super::camera::Camera;
use super::recording::{Recording, Times, contents, convert, data, hdf5_file, manifest, says, scratch, stdout, tool};

const SENSOR: [&str; 2] = ["--sensor", "346,260,2"];
const PIECES: [&str; 2] = ["--sample-duration", "100ms"];

/// Makes a recording with about 40,000 events in every 100 ms. In an uncompressed array, 40,000 events take 520 kB.
fn camera() -> Camera {
    Camera::random(500, 400_000, 1_000_000)
}

/// Writes the columns of DSEC's layout. `stored` chooses how each column is stored.
fn columns(camera: &Camera, path: &Path, stored: fn(hdf5::DatasetBuilder) -> hdf5::DatasetBuilder) -> PathBuf {
    fn column<T: H5Type>(builder: hdf5::DatasetBuilder, data: &[T], name: &str) {
        builder.with_data(data).create(name).unwrap();
    }
    hdf5_file(path, |file| {
        let events = file.create_group("events").unwrap();
        let new = || stored(events.new_dataset_builder());
        column(new(), &camera.t, "t");
        column(new(), &camera.x, "x");
        column(new(), &camera.y, "y");
        column(new(), &camera.p, "p");
    })
}

/// Returns these facts about a set:
///
/// - its id
/// - the number of samples per chunk
/// - the number of chunks per shard
/// - names and bytes of its shards
fn facts(set: &Path) -> (String, u32, u32, Vec<(String, Vec<u8>)>) {
    let manifest = manifest(set);
    let shards = contents(set).into_iter().filter(|(name, _)| name.ends_with(".shard"));
    let description = manifest.description;
    (manifest.set_id.to_string(), description.chunk_samples, description.shard_chunks, shards.collect())
}

#[test]
fn every_copy_of_a_recording_is_the_same_set() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let camera = camera();
    let copies = [
        camera.npy(&path("array.npy")),
        camera.npz(&path("archive.npz")),
        camera.e2vid(&path("e2vid.h5")),
        camera.mvsec(&path("mvsec.h5")),
        camera.prophesee(&path("prophesee.h5")),
        columns(&camera, &path("contiguous.h5"), |d| d),
        columns(&camera, &path("gzip.h5"), |d| d.chunk(50_000).deflate(9)),
        columns(&camera, &path("lzf.h5"), |d| d.chunk(50_000).lzf()),
        columns(&camera, &path("blosc.h5"), |d| d.chunk(50_000).blosc_zstd(5, true)),
    ];
    let sizes: Vec<u64> = copies.iter().map(|copy| copy.metadata().unwrap().len()).collect();
    assert!(sizes.iter().max() > sizes.iter().min().map(|least| least * 3).as_ref(), "{sizes:?}");
    let mut first = None;
    for copy in &copies {
        let set = path(&format!("set-{}", copy.file_name().unwrap().to_string_lossy()));
        convert(&[copy], &set).args(SENSOR).args(PIECES).assert().success();
        let found = facts(&set);
        let (expected, of) = first.get_or_insert_with(|| (found.clone(), set.clone()));
        assert_eq!((&found.0, found.1, found.2), (&expected.0, expected.1, expected.2), "{}", copy.display());
        assert!(found.3 == expected.3, "{}", copy.display());
        says(&stdout(tool("diff", of).arg(&set)), &["equal: 10 samples"]);
    }
    assert_eq!(first.unwrap().0.1, 16, "samples a chunk, of 520 kB each");
}

#[test]
fn a_folder_and_its_copy_are_the_same_set() {
    let dir = scratch();
    let copy = |ending: &str| {
        let root = dir.join(ending);
        for (i, name) in ["left/a", "left/b", "right/c"].into_iter().enumerate() {
            let path = root.join(name).with_extension(ending);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let camera = Camera::random(i as u64, 60_000 + i, 200_000);
            match ending {
                "npy" => camera.npy(&path),
                "npz" => camera.npz(&path),
                _ => camera.dsec(&path),
            };
        }
        let set = |name: &str, arguments: &[&str]| {
            let set = dir.join(format!("{ending}-{name}"));
            convert(&[&root], &set).args(SENSOR).args(arguments).assert().success();
            facts(&set)
        };
        [set("whole", &[]), set("cut", &["--sample-duration", "20ms"]), set("first", &["--limit", "1"])]
    };
    let expected = copy("npy");
    assert_eq!(expected.each_ref().map(|set| set.1), [16, 64, 16]);
    for ending in ["npz", "h5"] {
        assert!(copy(ending) == expected, "{ending}");
    }
}

/// Chooses how a dataset of rows of variable length is stored.
type Stored = fn(hdf5::DatasetBuilderEmpty) -> hdf5::DatasetBuilderEmpty;

/// Writes `recording` in the layout of SHD. `stored` chooses how times and units are stored.
fn cochlea(path: &Path, recording: &Recording, stored: Stored) {
    fn rows<T: Copy, N: H5Type + Copy>(
        builder: hdf5::DatasetBuilderEmptyShape,
        rows: &[Vec<T>],
        number: fn(T) -> N,
        name: &str,
    ) {
        let row = |row: &Vec<T>| VarLenArray::from_slice(&row.iter().map(|&n| number(n)).collect::<Vec<_>>());
        builder.create(name).unwrap().write(&rows.iter().map(row).collect::<Vec<_>>()).unwrap();
    }
    hdf5_file(path, |file| {
        let group = file.create_group("spikes").unwrap();
        let samples = recording.times.len();
        let times = stored(group.new_dataset::<VarLenArray<f32>>()).shape(samples);
        rows(times, &recording.times, |t| t as f32, "times");
        let units = stored(group.new_dataset::<VarLenArray<u16>>()).shape(samples);
        rows(units, &recording.units, |x| x as u16, "units");
        file.new_dataset_builder().with_data(&recording.labels).create("labels").unwrap();
    });
}

#[test]
fn rows_are_counted_however_they_are_stored() {
    let dir = scratch();
    let mut recording = Recording::random(501, 3, 70_000);
    recording.times_as = Times::F32;
    recording.times.push(Vec::new());
    recording.units.push(Vec::new());
    recording.labels.push(0);
    let events = recording.times.iter().map(|t| t.len() as u64).sum::<u64>();
    let stored: [(&str, Stored); 4] = [
        ("contiguous", |d| d),
        ("chunks", |d| d.chunk(3)),
        ("gzip", |d| d.chunk(2).shuffle().deflate(4)),
        ("only libhdf5 finds them", |d| d.chunk(2).fletcher32()),
    ];
    let mut first = None;
    for (name, stored) in stored {
        let path = dir.join(format!("{name}.h5"));
        cochlea(&path, &recording, stored);
        let opened = Opened::open(&path, &SourceOptions::default()).unwrap();
        assert_eq!(opened[0].events().unwrap(), events, "{name}");
        let set = dir.join(name);
        convert(&[&path], &set).assert().success();
        let found = facts(&set);
        assert!(first.get_or_insert_with(|| found.clone()) == &found, "{name}");
    }
}

#[test]
fn the_events_of_every_layout_are_those_that_are_read() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    let camera = Camera::random(502, 700, 50_000);
    let sensor = Some(SensorSize { width: 40, height: 30, polarities: 2 });
    let camera_options = SourceOptions { sensor, ..SourceOptions::default() };
    for (file, options) in [
        (camera.npy(&path("a.npy")), &camera_options),
        (camera.npz(&path("a.npz")), &camera_options),
        (camera.dsec(&path("a.h5")), &camera_options),
        (data("sources/ntidigits.h5"), &SourceOptions::default()),
        (Recording::random(503, 9, 60).write(&path("b.h5")), &SourceOptions::default()),
    ] {
        let recording = Opened::open(&file, options).unwrap().remove(0);
        let raw = recording.read(0..recording.samples()).unwrap();
        let read = (0..raw.samples()).map(|i| raw.count(i)).sum::<u64>();
        assert!(read > 0);
        assert_eq!(recording.events().unwrap(), read, "{}", file.display());
    }
}

#[test]
fn an_unfinished_conversion_of_an_earlier_version_keeps_its_plan() {
    let dir = scratch();
    let path = |name: &str| dir.join(name);
    // Earlier versions planned chunks by the size of the file. Here this gives 64 samples per chunk, while the number
    // of events gives 16.
    let file = columns(&camera(), &path("a.h5"), |d| d.chunk(50_000).deflate(9));
    let bytes = file.metadata().unwrap().len() as f64;
    assert!(bytes / 10.0 < 16e6 / 64.0, "{bytes}");
    let size = (1_u64 << 16) as f64;
    let same_shards = (size * 400_000.0 * 13.0 / bytes) as u64;
    let crop = ["--crop-time", "50000"];
    let set = path("set");
    let command = || {
        let mut command = convert(&[&file], &set);
        command.args(SENSOR).args(PIECES).args(crop);
        command
    };
    let shard_size = |size: u64| ["--shard-size".to_string(), size.to_string()];
    // With --max-loss 0, all chunks are written, but the set is not completed.
    let then = ["--chunk-samples", "64", "--max-loss", "0"];
    command().args(then).args(shard_size(same_shards)).assert().code(3);
    command().arg("--resume").args(shard_size(size as u64)).assert().success();
    assert_eq!(facts(&set).1, 64);
    command().arg("--overwrite").args(shard_size(size as u64)).assert().success();
    assert_eq!(facts(&set).1, 16);
}
