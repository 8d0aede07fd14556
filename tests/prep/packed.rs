//! Tests of recordings in gzip and in zip archives.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tonic_toolkit::prep::{Recording, SensorSize, SourceOptions};
use zip::write::SimpleFileOptions;

use super::camera::Camera;
use super::recording::{
    Recording as Speech, Scratch, change, convert, convert_aloud, fails, manifest, prep, refuses, samples, says,
    scratch, stderr,
};
use super::sources::shards;

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];
const SIZE: SensorSize = SensorSize { width: 40, height: 30, polarities: 2 };

/// Writes a copy of a file in gzip.
fn gzip(file: &Path, to: &Path) -> PathBuf {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&std::fs::read(file).unwrap()).unwrap();
    std::fs::write(to, packed.finish().unwrap()).unwrap();
    to.into()
}

/// Writes a zip archive. A name that ends with a slash is a folder.
fn zip(to: &Path, members: &[(&str, Vec<u8>)]) -> PathBuf {
    zip_with(to, zip::CompressionMethod::Deflated, members)
}

fn zip_with(to: &Path, method: zip::CompressionMethod, members: &[(&str, Vec<u8>)]) -> PathBuf {
    let mut archive = zip::ZipWriter::new(std::fs::File::create(to).unwrap());
    let level = (method == zip::CompressionMethod::Deflated).then_some(9);
    let options = SimpleFileOptions::default().compression_method(method).compression_level(level);
    for (name, bytes) in members {
        match name.strip_suffix('/') {
            Some(folder) => archive.add_directory(folder, options).unwrap(),
            None => {
                archive.start_file(*name, options).unwrap();
                archive.write_all(bytes).unwrap();
            }
        }
    }
    archive.finish().unwrap();
    to.into()
}

#[test]
fn a_packed_recording_gives_the_same_set() {
    let dir = scratch();
    let camera = Camera::random(62, 4_000, 200_000);
    let runs = Camera::runs(4_000, 900, 61);
    let speech = Speech::random(63, 5, 200);
    let file = |name: &str| dir.join(name);
    for plain in [
        camera.csv(&file("a.csv")),
        camera.npy(&file("b.npy")),
        camera.npz(&file("c.npz")),
        camera.dsec(&file("d.h5")),
        camera.prophesee(&file("e.hdf5")),
        runs.evt3(&file("f.raw")),
        runs.aedat4_lz4(&file("g.aedat4")),
        runs.es(&file("h.es")),
        runs.dat_without_header(&file("i.dat")),
        runs.nmnist(&file("j.bin")),
        speech.write(&file("k.h5")),
        camera.mat(&file("l.mat")),
        camera.mat_plain(&file("m.mat")),
        runs.bag_bz2(&file("n.bag")),
    ] {
        let name = plain.file_name().unwrap().to_str().unwrap();
        let sensor = if name == "k.h5" { &[][..] } else { &SENSOR };
        for cut in [&[][..], &["--sample-events", "700"]] {
            let arguments = if name == "k.h5" { Vec::new() } else { [sensor, cut].concat() };
            let expected = shards(&dir.convert(&[&plain], "plain", &[&["--overwrite"], &arguments[..]].concat()));
            let in_gzip = gzip(&plain, &file(&format!("{name}.gz")));
            let set = dir.convert(&[&in_gzip], "gzip", &[&["--overwrite"], &arguments[..]].concat());
            assert_eq!(shards(&set), expected, "{name} in gzip");
            let source = &manifest(&set).description.sources[0];
            let bytes = std::fs::read(&in_gzip).unwrap();
            assert_eq!((source.bytes, source.blake3.0), (bytes.len() as u64, *blake3::hash(&bytes).as_bytes()));
            // A member without a folder, and one in folders with a dot.
            let bytes = std::fs::read(&plain).unwrap();
            for member in [name, "data/x.y/NAME"].map(|member| member.replace("NAME", name)) {
                let archive = zip(&file("packed.zip"), &[("data/", Vec::new()), (&member, bytes.clone())]);
                if name == "b.npy" && !member.contains('/') {
                    continue; // an archive of NumPy with one array
                }
                let set = dir.convert(&[&archive], "zip", &[&["--overwrite"], &arguments[..]].concat());
                assert_eq!(shards(&set), expected, "{name} in zip");
                let source = &manifest(&set).description.sources[0];
                assert_eq!(source.name, format!("packed.zip:{member}"));
                assert_eq!((source.bytes, source.blake3.0), (bytes.len() as u64, *blake3::hash(&bytes).as_bytes()));
            }
        }
    }
    // gzip is recognised by the bytes, not by the name. A note says that a temporary file is used.
    let hidden = gzip(&file("a.csv"), &file("a"));
    says(&stderr(convert_aloud(&[&hidden], &file("set")).args(SENSOR)), &["layout: text (CSV)"]);
    let hidden = gzip(&file("d.h5"), &file("d"));
    let said = stderr(convert_aloud(&[&hidden], &file("set")).args(SENSOR).arg("--overwrite"));
    says(&said, &["layout: camera (DSEC)", "unpacked into temporary files"]);
}

/// Writes the same eight recordings, of two classes, in three ways: as a folder, as a folder of gzip files, and as a
/// zip archive.
fn copies(dir: &Scratch) -> [PathBuf; 3] {
    let [plain, packed] = ["plain", "packed"].map(|name| dir.folder(name));
    let mut members = vec![("roll/".to_string(), Vec::new())];
    for root in ["plain", "packed"] {
        dir.folder(&format!("{root}/roll"));
    }
    for i in 0..8_u64 {
        let class = if i % 2 == 0 { "wave" } else { "clap" };
        let camera = Camera::random(70 + i, 300 + i as usize, 60_000);
        [&plain, &packed].iter().for_each(|root| std::fs::create_dir_all(root.join(class)).unwrap());
        let file = match i % 4 {
            0 => camera.csv(&plain.join(format!("{class}/{i}.csv"))),
            1 => camera.dsec(&plain.join(format!("{class}/{i}.h5"))),
            2 => camera.npy(&plain.join(format!("{class}/{i}.npy"))),
            _ => camera.csv(&plain.join(format!("{class}/{i}.txt"))),
        };
        let name = file.file_name().unwrap().to_str().unwrap();
        gzip(&file, &packed.join(format!("{class}/{name}.gz")));
        members.push((format!("{class}/{name}"), std::fs::read(&file).unwrap()));
    }
    members.push(("README.txt".into(), b"mine".to_vec()));
    members.push(("__MACOSX/wave/._0.csv".into(), b"x".to_vec()));
    let members: Vec<(&str, Vec<u8>)> = members.iter().map(|(name, bytes)| (&**name, bytes.clone())).collect();
    let archive = zip(&dir.join("all.zip"), &members);
    [plain, packed, archive]
}

#[test]
fn folders_of_packed_recordings_and_archives_of_folders_give_the_same_set() {
    let dir = scratch();
    let roots = copies(&dir);
    let table = dir.file("t.csv", "wave/0.csv,a\nclap/1.h5,b\nwave/2,a\n");
    for arguments in [&[][..], &["--sample-duration", "20ms"], &["--labels", table.to_str().unwrap()]] {
        let mut first = None;
        for (i, root) in roots.iter().enumerate() {
            let set = dir.join(format!("set{i}"));
            let said = stderr(convert_aloud(&[root], &set).args(SENSOR).args(arguments).arg("--overwrite"));
            let labels: Vec<u32> = samples(&set).iter().map(|sample| sample.label).collect();
            let found = (shards(&set), labels, manifest(&set).description.classes);
            assert_eq!(*first.get_or_insert_with(|| found.clone()), found, "{root:?} {arguments:?}");
            if i == 2 {
                let names: Vec<String> =
                    manifest(&set).description.sources.iter().map(|source| source.name.clone()).collect();
                assert!(names.contains(&"all.zip:wave/0.csv".to_string()), "{names:?}");
                says(&said, &["files that are no recordings were skipped"]);
                assert!(!said.contains("same bytes"), "{said}");
            }
        }
    }
}

#[test]
fn packed_recordings_of_a_folder_are_unpacked_once() {
    let dir = scratch();
    let (plain, root) = (dir.folder("plain"), dir.folder("packed"));
    let camera = Camera::random(9, 5_000, 60_000);
    for file in [
        camera.npy(&plain.join("1.npy")),
        camera.dsec(&plain.join("2.h5")),
        camera.npz(&plain.join("3.npz")),
        camera.dsec(&plain.join("4.hdf5")),
    ] {
        gzip(&file, &root.join(format!("{}.gz", file.file_name().unwrap().to_str().unwrap())));
    }
    let options = SourceOptions { sensor: Some(SIZE), ..SourceOptions::default() };
    let recordings = Recording::open(&root, &options).unwrap();
    // From here on, no file can be unpacked.
    for recording in &recordings {
        let file = std::fs::File::options().write(true).open(&recording.path).unwrap();
        let (meta, mut bytes) = (file.metadata().unwrap(), std::fs::read(&recording.path).unwrap());
        let half = bytes.len() / 2; // the first half stays, because the first bytes are read again
        bytes[half..].fill(0);
        std::fs::write(&recording.path, bytes).unwrap();
        file.set_modified(meta.modified().unwrap()).unwrap();
    }
    assert_eq!(recordings.len(), 4);
    for recording in &recordings {
        let events = recording.read(0..1).unwrap().admit(0, SIZE).events;
        assert_eq!((events.t.len(), &events.x), (5_000, &camera.x), "{}", recording.name);
        assert!(recording.read(0..1).is_err(), "{}: the temporary file is gone", recording.name);
    }
}

#[test]
fn parts_of_an_archive_are_merged_and_an_interrupted_conversion_goes_on() {
    let dir = scratch();
    let [plain, packed, archive] = copies(&dir);
    let sensor = [&SENSOR[..], &["--chunk-samples", "2"]].concat();
    let expected = shards(&dir.convert(&[&plain], "whole", &sensor));
    for root in [&packed, &archive] {
        let part = |part: &str| {
            let name = format!("part{}", part.replace('/', "-"));
            dir.convert(&[root], &name, &[&sensor[..], &["--overwrite", "--part", part]].concat())
        };
        let parts = [part("1/2"), part("2/2")];
        let merged = dir.join("merged");
        let _ = std::fs::remove_dir_all(&merged);
        prep().arg("merge").arg(&merged).args(&parts).assert().success();
        assert_eq!(shards(&merged), expected);
        // Too many events are lost, but the chunks are kept.
        let crop = [&sensor[..], &["--crop-time", "30000", "--max-loss"]].concat();
        let set = dir.join("resumed");
        let _ = std::fs::remove_dir_all(&set);
        fails(convert(&[root], &set).args(&crop).arg("1%"), 3);
        convert(&[root], &set).args(&crop).args(["100%", "--resume"]).assert().success();
        let whole = dir.convert(&[&plain], "cropped", &[&crop[..], &["100%", "--overwrite"]].concat());
        assert_eq!(shards(&set), shards(&whole));
    }
}

#[test]
fn damaged_gzip_is_refused_and_read_to_there_if_asked() {
    let dir = scratch();
    let camera = Camera::runs(60_000, 900, 37);
    for plain in [camera.csv(&dir.join("a.csv")), camera.es(&dir.join("a.es")), camera.nmnist(&dir.join("a.bin"))] {
        let name = plain.file_name().unwrap().to_str().unwrap();
        let file = gzip(&plain, &dir.join(format!("{name}.gz")));
        let whole = std::fs::read(&file).unwrap();
        let events = |words: &[&str]| {
            refuses(
                convert(&[&file], &dir.join("none")).args(SENSOR),
                3,
                &[&["packed data that is whole"], words].concat(),
            );
            let mut command = convert_aloud(&[&file], &dir.join("set"));
            let said = stderr(command.args(SENSOR).args(["--lenient", "--overwrite"]));
            says(&said, &["warning: damaged: at byte", "events before it are read"]);
            samples(&dir.join("set"))[0].ledger.events_in
        };
        std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let half = events(&["unpacked bytes"]);
        assert!((10_000..50_000).contains(&half), "{name} {half}");
        std::fs::write(&file, &whole[..whole.len() - 6]).unwrap();
        assert_eq!(events(&[]), 60_000, "{name}: only the checksum is missing");
        std::fs::write(&file, &whole).unwrap();
        change(&file, |bytes| *bytes.iter_mut().nth_back(7).unwrap() ^= 1);
        assert_eq!(events(&["checksum"]), 60_000, "{name}");
        std::fs::write(&file, &whole[..12]).unwrap();
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["packed data that is whole", "the 0 events"]);
        // Two gzip files one after the other are read as one file.
        let (a, b) = (std::fs::read(&plain).unwrap(), dir.join("half"));
        let mut both = Vec::new();
        for part in [&a[..a.len() / 3], &a[a.len() / 3..]] {
            std::fs::write(&b, part).unwrap();
            both.extend(std::fs::read(gzip(&b, &b)).unwrap());
        }
        std::fs::write(&file, both).unwrap();
        let set = dir.convert(&[&file], "set", &[&SENSOR[..], &["--overwrite"]].concat());
        assert_eq!(samples(&set)[0].ledger.events_in, 60_000);
    }
    let h5 = gzip(&camera.dsec(&dir.join("a.h5")), &dir.join("a.h5.gz"));
    change(&h5, |bytes| bytes.truncate(bytes.len() / 2));
    refuses(convert(&[&h5], &dir.join("none")).args(SENSOR), 3, &["packed data that is whole"]);
    // gzip in gzip.
    let twice = gzip(&gzip(&dir.join("a.csv"), &dir.join("b.gz")), &dir.join("b.gz.gz"));
    refuses(convert(&[&twice], &dir.join("none")).args(SENSOR), 3, &["got a gzip archive", "unpack it first"]);
}

/// The checksum of a gzip file is at its end. The program must check it, although it doesn't need the data after the
/// last event, such as the index of a bag.
#[test]
fn the_checksum_behind_the_last_event_is_checked() {
    let dir = scratch();
    let camera = Camera::runs(700, 900, 37);
    for plain in [camera.bag(&dir.join("a.bag")), camera.aedat4(&dir.join("a.aedat4")), camera.dat(&dir.join("a.dat"))]
    {
        let file = gzip(&plain, &dir.join("a.gz"));
        change(&file, |bytes| *bytes.iter_mut().nth_back(7).unwrap() ^= 1);
        refuses(convert(&[&file], &dir.join("none")).args(SENSOR), 3, &["checksum", "the 700 events before it"]);
    }
}

#[test]
fn what_unpacks_to_an_absurd_size_is_refused() {
    let dir = scratch();
    let text = "t,x,y,p\n".to_owned() + &"7,1,2,1\n".repeat(9 << 20);
    let plain = dir.file("a.csv", text);
    let file = gzip(&plain, &dir.join("a.csv.gz"));
    let [packed, size] = [&file, &plain].map(|file| std::fs::metadata(file).unwrap().len());
    assert!(packed * 500 < size, "{packed} {size}");
    let given = [&SENSOR[..], &["--time-unit", "us"]].concat();
    refuses(convert(&[&file], &dir.join("none")).args(&given), 3, &["it unpacks to more than", "500 times its size"]);
    let archive = zip(&dir.join("a.zip"), &[("a.csv", std::fs::read(&plain).unwrap())]);
    refuses(convert(&[&archive], &dir.join("none")).args(&given), 3, &["a.csv", "500 times its size"]);
}

#[test]
fn odd_archives_are_refused() {
    let dir = scratch();
    let csv = std::fs::read(Camera::random(64, 900, 60_000).csv(&dir.join("a.csv"))).unwrap();
    let stored = |members: &[(&str, Vec<u8>)]| zip_with(&dir.join("b.zip"), zip::CompressionMethod::Stored, members);
    let refused = |file: &Path, words: &[&str]| _ = refuses(convert(&[file], &dir.join("none")).args(SENSOR), 3, words);
    let replace = |file: &Path, from: &[u8], to: &[u8]| {
        change(file, |bytes| {
            let found = |bytes: &[u8]| bytes.windows(from.len()).position(|part| part == from);
            while let Some(at) = found(bytes) {
                bytes[at..at + from.len()].copy_from_slice(to);
            }
        });
    };
    let two = || stored(&[("1.csv", csv.clone()), ("2.csv", csv.clone())]);
    replace(&two(), b"2.csv", b"1.csv");
    refused(&dir.join("b.zip"), &["archive: expected each name once, got two of 1.csv"]);
    let one = || stored(&[("xx/1.csv", csv.clone())]);
    replace(&one(), b"xx/1.csv", b"../1.csv");
    refused(&dir.join("b.zip"), &["expected names inside the archive, got \"../1.csv\""]);
    // A changed byte of the data.
    replace(&one(), b"t,x@40", b"t,x@41");
    refused(&dir.join("b.zip"), &["its checksum is not that of the archive's list"]);
    // An encrypted member: both headers have the flag.
    one();
    for mark in [&b"PK\x03\x04"[..], b"PK\x01\x02"] {
        change(&dir.join("b.zip"), |bytes| {
            let at = bytes.windows(4).position(|part| part == mark).unwrap();
            bytes[at + if mark[2] == 3 { 6 } else { 8 }] |= 1;
        });
    }
    refused(&dir.join("b.zip"), &["expected a member without a password, got an encrypted one"]);
    let inner = std::fs::read(one()).unwrap();
    refused(&stored(&[("d/inner.zip", inner)]), &["a zip archive"]);
    one();
    change(&dir.join("b.zip"), |bytes| bytes.truncate(bytes.len() - 30));
    refused(&dir.join("b.zip"), &["archive: cannot be read"]);
    refused(&stored(&[("README.txt", b"mine".to_vec()), ("x/", Vec::new())]), &["expected recordings"]);
    refused(&stored(&[("a/data.pkl", b"\x80\x04".to_vec())]), &["got a PyTorch file"]);
    // A member of another format next to recordings.
    let mut members = vec![("wave/1.csv", csv.clone()), ("clap/1.csv", csv.clone())];
    members.push(("wave/2.bag", b"#ROSBAG V1.2\n".to_vec()));
    refused(&stored(&members), &["wave/2.bag", "got a ROS bag"]);
    refused(&stored(&[("a\\1.csv", csv.clone()), ("a/1.csv", csv.clone())]), &["got two of \"a/1.csv\""]);
    // Names of members with Windows' separator.
    let archive = stored(&[("wave\\1.csv", csv.clone()), ("clap\\2.csv", csv)]);
    let set = dir.convert(&[&archive], "set", &SENSOR);
    assert_eq!(manifest(&set).description.classes, ["clap", "wave"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged archive is read or refused. If it is read, every event is accounted for.
    #[test]
    fn damaged_archives_are_read_or_refused(
        is_zip: bool,
        lenient: bool,
        places in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6),
        end in any::<u16>(),
    ) {
        let dir = scratch();
        let plain = Camera::random(7, 400, 60_000).csv(&dir.join("a.csv"));
        let file = match is_zip {
            true => zip(&dir.join("a.zip"), &[("d/a.csv", std::fs::read(&plain).unwrap())]),
            false => gzip(&plain, &dir.join("a.csv.gz")),
        };
        change(&file, |bytes| {
            for (place, byte) in places {
                let at = usize::from(place) % bytes.len();
                bytes[at] = byte;
            }
            if end % 3 == 0 {
                bytes.truncate(usize::from(end) % bytes.len());
            }
        });
        let options = SourceOptions { sensor: Some(SIZE), lenient, allow_clock_trouble: true, ..SourceOptions::default() };
        let Ok(recordings) = Recording::open(&file, &options) else { return Ok(()) };
        let raw = recordings[0].read(0..1).unwrap();
        let admitted = raw.admit(0, SIZE);
        prop_assert_eq!(admitted.events.len() as u64 + admitted.non_finite + admitted.outside, raw.count(0));
    }
}
