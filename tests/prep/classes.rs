//! Tests of classes that are named after the folders of recordings.

use std::path::Path;

use serde_json::Value;
use tonic_toolkit::shard::{NO_LABEL, ShardSet};

use super::camera::Camera;
use super::folder::Folder;
use super::recording::{convert, hdf5_file, prep, refuses, samples, says, scratch};

pub(crate) const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

/// Converts `input` twice, without and with `--json`. Returns the stderr of the first run and the JSON of the second.
pub(crate) fn said(input: &Path, set: &Path, arguments: &[&str]) -> (String, Value) {
    let run = |more: &[&str]| {
        let mut command = prep();
        command.arg("convert").arg(input).arg("-o").arg(set).arg("--overwrite").args(arguments).args(more);
        command.assert().success().get_output().clone()
    };
    let text = String::from_utf8(run(&[]).stderr).unwrap();
    (text, serde_json::from_slice(&run(&["--json"]).stdout).unwrap())
}

fn classes(set: &Path) -> Vec<String> {
    ShardSet::open(set).unwrap().manifest().description.classes.clone()
}

pub(crate) fn labels(set: &Path) -> Vec<u32> {
    samples(set).iter().map(|sample| sample.label).collect()
}

#[test]
fn classes_and_counts_are_said_at_the_end() {
    let folder = Folder::of(&["wave/1.npy", "wave/2.npy", "clap/3.npy"]);
    let (text, json) = said(&folder.root, &folder.dir.join("set"), &SENSOR);
    says(&text, &["convert: classes: 2: clap (1), wave (2)\n"]);
    assert_eq!(json["classes"], serde_json::json!(["clap", "wave"]));
    assert_eq!(json["class_samples"], serde_json::json!([1, 2]));
    let flat = Folder::of(&["1.npy", "2.npy"]);
    says(&said(&flat.root, &flat.dir.join("set"), &SENSOR).0, &["convert: classes: none; 2 samples without a label\n"]);
}

#[test]
fn an_empty_folder_is_a_class_and_shifts_none() {
    let folder = Folder::of(&["clap/1.npy", "swipe/2.npy", "wave/3.npy"]);
    std::fs::create_dir_all(folder.root.join("roll")).unwrap();
    for system in [".git", "__MACOSX", "__pycache__"] {
        std::fs::create_dir_all(folder.root.join(system).join("wave")).unwrap();
    }
    let (text, json) = said(&folder.root, &folder.dir.join("set"), &SENSOR);
    says(&text, &["note: folders without recordings count as classes: roll", "roll (0)", "1 without samples"]);
    says(&json["notes"].to_string(), &["folders without recordings count as classes: roll"]);
    let (found, names, _) = folder.convert(&[]);
    assert_eq!(names, ["clap", "roll", "swipe", "wave"]);
    assert_eq!(found, [(0, 10), (2, 20), (3, 30)]);
    // If the list of classes doesn't have the empty folder, the folder is no class. No recording is lost, so this is
    // only a warning.
    let list = folder.dir.join("list.txt");
    std::fs::write(&list, "wave\nclap\nswipe\n").unwrap();
    let listed = [&SENSOR[..], &["--classes", list.to_str().unwrap()]].concat();
    says(
        &said(&folder.root, &folder.dir.join("set"), &listed).0,
        &["warning: folders without recordings that are not in the list of classes are no classes: roll"],
    );
    let (found, names, _) = folder.convert(&["--classes", list.to_str().unwrap()]);
    assert_eq!(names, ["wave", "clap", "swipe"]);
    assert_eq!(found, [(1, 10), (2, 20), (0, 30)]);
}

#[test]
fn parts_of_a_dataset_are_refused_with_commands_that_work() {
    let folder = Folder::of(&["Train/wave/1.npy", "Train/clap/2.npy", "test/clap/3.npy"]);
    std::fs::write(folder.root.join("README.md"), "mine").unwrap();
    for (output, level) in [("out put", &[][..]), ("two", &["--class-level", "2"]), ("too", &["--class-level=2"])] {
        let output = folder.dir.join(output);
        let mut command = prep();
        command.arg("convert").arg(&folder.root).arg("-o").arg(&output).args(SENSOR).arg("--quiet").args(level);
        let output_of = command.output().unwrap();
        let refused = String::from_utf8(output_of.stderr).unwrap();
        assert_eq!(output_of.status.code(), Some(3));
        says(
            &refused,
            &["expected a folder for each class, got Train, test, the parts of a dataset", "--class-level 1"],
        );
        let commands: Vec<&str> =
            refused.lines().filter_map(|line| line.trim().strip_prefix("tonic-prep convert ")).collect();
        assert_eq!(commands.len(), 2, "{refused}");
        assert!(!output.exists(), "nothing was written");
        for command in commands {
            let line = format!("{} convert {command}", super::recording::program());
            let ran = std::process::Command::new("sh").arg("-c").arg(line).output().unwrap();
            assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        }
        for part in ["Train", "test"] {
            assert_eq!(classes(&output.join(part)), ["clap", "wave"], "{part} has the classes of the training");
        }
        assert_eq!((labels(&output.join("Train")), labels(&output.join("test"))), (vec![0, 1], vec![0]));
    }
    let (_, names, _) = folder.convert(&["--class-level", "1"]);
    assert_eq!(names, ["Train", "test"], "as asked");
    // If the folders of the parts are not the classes, the parts are joined, and a note says so.
    let both = "note: the parts of a dataset, Train, test, are all in this set";
    says(&said(&folder.root, &folder.dir.join("set"), &[&SENSOR[..], &["--label", "a"]].concat()).0, &[both]);
    // The parts are joined if the user names both.
    let list = folder.dir.file("list.txt", "clap\nwave\n");
    let both = ["Train", "test"].map(|part| folder.root.join(part));
    let set = folder.dir.convert(&both, "joined", &[&SENSOR[..], &["--classes", list.to_str().unwrap()]].concat());
    assert_eq!(labels(&set), [0, 1, 0]);
    folder.put("loose.npy", &Camera::random(1, 5, 100));
    folder.refuses(&[], 3, &["got Train, test, the parts of a dataset"]);
    let inner = Folder::of(&["wave/train/1.npy", "wave/test/2.npy", "clap/train/3.npy", "clap/test/4.npy"]);
    inner.refuses(&[], 3, &["the parts of a dataset, test, train, in each of clap, wave", "--labels"]);
    let users = Folder::of(&["user1/train/wave/1.npy", "user1/test/clap/2.npy"]);
    users.refuses(&["--class-level", "3"], 3, &["test, train, the parts of a dataset, above the classes", "--labels"]);
}

#[test]
fn persons_are_refused_as_classes_and_another_level_taken() {
    let folder = Folder::of(&["user01/wave/1.npy", "user01/clap/2.npy", "user02/wave/3.npy", "user02/clap/4.npy"]);
    std::fs::create_dir_all(folder.root.join("user02/roll")).unwrap();
    folder.refuses(&[], 3, &["got user01, user02, with the folders clap, wave in them", "--class-level 2 takes"]);
    let (found, names, _) = folder.convert(&["--class-level", "2"]);
    assert_eq!(names, ["clap", "roll", "wave"], "an empty folder of that level is a class too");
    assert_eq!(found, [(0, 20), (2, 10), (0, 40), (2, 30)]);
    assert_eq!(folder.convert(&["--class-level", "1"]).1, ["user01", "user02"]);
    folder.refuses(&["--class-level", "3"], 3, &["user01/clap/2.npy beside no folder", "data/*/*/CLASS"]);
    let file = folder.root.join("user01/wave/1.npy");
    let mut command = convert(&[file], &folder.dir.join("none"));
    refuses(command.args(SENSOR).args(["--class-level", "1"]), 2, &["--class-level: expected a folder"]);
    // If the list of classes has the names of the first level, the first level is the class.
    let list = folder.dir.join("list.txt");
    std::fs::write(&list, "user02\nuser01\n").unwrap();
    assert_eq!(folder.convert(&["--classes", list.to_str().unwrap()]).0, [(1, 20), (1, 10), (0, 40), (0, 30)]);
}

#[test]
fn what_is_no_recording_is_skipped_and_counted() {
    let folder = Folder::of(&["wave/0.npy", "clap/0.npy"]);
    let plain = folder.convert(&[]);
    let root = &folder.root;
    std::fs::create_dir(root.join(".ipynb_checkpoints")).unwrap();
    std::fs::copy(root.join("wave/0.npy"), root.join(".ipynb_checkpoints/0-checkpoint.npy")).unwrap();
    for name in [".DS_Store", "wave/.DS_Store", "wave/._0.npy", "README.txt", "clap/Thumbs.db", "notes.TXT", "LICENSE"]
    {
        std::fs::write(root.join(name), "x").unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", root.join("old.txt")).unwrap();
    let (text, json) = said(root, &folder.dir.join("set"), &SENSOR);
    let txt = if cfg!(unix) { "9 (3 .txt, 2 .DS_Store," } else { "8 (2 .DS_Store, 2 .txt," };
    let words = [txt, "1 ._*", "1 .db", "1 .ipynb_checkpoints/", "1 without an ending"];
    says(&text, &[&["note: files that are no recordings were skipped: "], &words[..]].concat());
    says(&json["notes"].to_string(), &words);
    assert_eq!(folder.convert(&[]), plain);
}

#[test]
fn a_set_in_the_folder_is_no_class() {
    let folder = Folder::of(&["clap/1.npy", "wave/2.npy"]);
    for out in ["shards", "out/train"] {
        let set = folder.root.join(out);
        for _ in 0..2 {
            convert(&[&folder.root], &set).args(SENSOR).arg("--overwrite").assert().success();
            assert_eq!(classes(&set), ["clap", "wave"], "{out}");
        }
    }
}

#[test]
fn each_file_tells_its_own_layout() {
    let folder = Folder::of(&["a/1.npy", "a/2.npz", "b/3.h5", "b/4.npz"]);
    // The ending of a name says another format than the bytes.
    std::fs::rename(folder.root.join("b/4.npz"), folder.root.join("b/4.npy")).unwrap();
    let (text, json) = said(&folder.root, &folder.dir.join("set"), &SENSOR);
    says(&text, &["convert: layout: NumPy array, NumPy archive, camera (DSEC)"]);
    assert_eq!(json["layout"], "npy, npz, dsec");
    assert_eq!(folder.convert(&[]).0, [(0, 10), (0, 20), (1, 30), (1, 40)]);
    folder.refuses(&["--layout", "npy"], 2, &["--layout: expected npz, as the bytes of", "a/2.npz tell, got npy"]);
    // If one file has the sensor size, all files have this sensor.
    Camera::random(9, 50, 1000).prophesee(&folder.root.join("a/0.h5"));
    let (found, ..) = folder.convert(&[]);
    assert_eq!(found[0], (0, 50));
    assert_eq!(said(&folder.root, &folder.dir.join("set"), &[]).1["samples"], 5);
    std::fs::write(folder.root.join("a/5.npy"), "not one").unwrap();
    let words = "a/5.npy: expected a recording in HDF5, NumPy's formats, text or those of cameras, got a text that begins with \"not one\"";
    folder.refuses(&[], 3, &[words]);
}

#[test]
fn a_damaged_file_is_named_before_anything_is_written() {
    for (name, bytes) in [
        ("a/1.npy", &b""[..]),
        ("a/1.npz", b"PK\x03\x04 and no more"),
        ("b/2.h5", b"\x89HDF\r\n\x1a\n"),
        ("b/9.npy", b"\x93NUMPY\x01\x00"),
    ] {
        let folder = Folder::of(&["a/0.npy", "a/1.npz", "b/2.h5", "b/3.npy"]);
        std::fs::write(folder.root.join(name), bytes).unwrap();
        folder.refuses(&[], 3, &[name]);
        assert!(!folder.dir.join("none").exists(), "{name}");
    }
    let folder = Folder::of(&["a/0.npy", "b/1.npy"]);
    let whole = std::fs::read(folder.root.join("b/1.npy")).unwrap();
    std::fs::write(folder.root.join("b/1.npy"), &whole[..whole.len() - 1]).unwrap();
    folder.refuses(&[], 3, &["b/1.npy: array: cannot be read"]);
    // A damaged file is no error if no row of the table names it.
    let table = folder.dir.join("t.csv");
    std::fs::write(&table, "a/0.npy,a\n").unwrap();
    assert_eq!(folder.convert(&["--labels", table.to_str().unwrap()]).0, [(0, 10)]);
}

#[test]
fn files_with_labels_of_their_own_keep_them_in_a_folder() {
    let folder = Folder::of(&[]);
    std::fs::create_dir_all(folder.root.join("x")).unwrap();
    let file = |name: &str, label: Result<i64, &str>| {
        hdf5_file(&folder.root.join(name), |file| {
            let times: Vec<i64> = (0..20).collect();
            file.new_dataset_builder().with_data(&times).create("t").unwrap();
            file.new_dataset_builder().with_data(&times).create("x").unwrap();
            match label {
                Ok(number) => file.new_dataset_builder().with_data(&[number]).create("label").unwrap(),
                Err(name) => {
                    let name: hdf5::types::VarLenUnicode = name.parse().unwrap();
                    file.new_dataset_builder().with_data(&[name]).create("label").unwrap()
                }
            };
        });
    };
    let arguments = ["--map", "t=t,x=x,label=label", "--sensor", "40"];
    let run = || {
        convert(&[&folder.root], &folder.dir.join("set")).args(arguments).arg("--overwrite").assert().success();
        (labels(&folder.dir.join("set")), classes(&folder.dir.join("set")))
    };
    file("x/1.h5", Ok(2));
    file("2.h5", Ok(0));
    assert_eq!(run(), (vec![0, 2], vec!["0".into(), "1".into(), "2".into()]));
    file("x/1.h5", Err("wave"));
    refuses(
        convert(&[&folder.root], &folder.dir.join("none")).args(arguments),
        3,
        &["all names or all numbers", "got a number in 2.h5"],
    );
    file("2.h5", Err("clap"));
    assert_eq!(run(), (vec![0, 1], vec!["clap".into(), "wave".into()]));
    assert_ne!(labels(&folder.dir.join("set"))[0], NO_LABEL);
}

/// The beginning of a MATLAB file of version 4: a row of 2 doubles with the name `t`.
const MATLAB_4: &[u8] = b"\0\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0t\0";

#[test]
fn recordings_that_are_not_read_are_refused_or_named() {
    let npy = |folder: &Folder, name: &str| std::fs::read(folder.root.join(name)).unwrap();
    for (name, bytes, words) in [
        (
            "roll/1.aedat",
            &b"#!AER-DAT1.0\r\n\0"[..],
            "roll/1.aedat: expected a recording in HDF5, NumPy's formats, text or those of cameras, got an AEDAT 1 file",
        ),
        ("wave/9.aedat", b"x", "got a file named as AEDAT"),
        ("wave/9.bag", b"#ROSBAG V1.2\n", "got a ROS bag of an old version: rosbag fix"),
        ("clap/9.raw", b"% serial_number 1\n\0", "got a Prophesee RAW file: its header does not name evt2"),
        ("clap/9.dat", b"\0\x01\x02", "got a file named as Prophesee DAT, without its header"),
        ("clap/9.npy.gz", b"\x1f\x8b\x08", "got a gzip archive: unpack it first"),
        ("clap/9.csv", b"1,2,3,4.5\n5,2,3,4.5\n", "got a text with columns of numbers: if it has events"),
        ("roll/1.bin", b"\0\x01\x02", "got a binary file, of N-MNIST or N-Caltech101 perhaps"),
        ("roll/1.mat", MATLAB_4, "got a MATLAB file of version 4: MATLAB saves it as version 7.3"),
        ("roll/1.nc", b"CDF\x01", "got a NetCDF 3 file: nccopy converts it to NetCDF 4"),
        // The names of these files are like those of the recordings.
        ("clap/9.mat", MATLAB_4, "got a MATLAB file of version 4"),
        ("clap/9.parquet", b"PAR1", "got a Parquet file: pandas reads it"),
        ("clap/9.pkl", b"\x80\x04\x95", "got a Python pickle"),
        ("clap/9.bin", b"\0\x01\x02", "got a binary file, of N-MNIST"),
        ("clap/9.jsonl", b"{\"t\": 1}\n{\"t\": 2}\n", "got rows of JSON: pandas reads it"),
        ("clap/9.pt", b"PK\x03\x04", "got a PyTorch file: torch.load reads it"),
    ] {
        let folder = Folder::of(&["wave/1.npy", "clap/2.npy"]);
        let file = folder.root.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, bytes).unwrap();
        folder.refuses(&[], 3, &[words, "or list the files to take in --labels"]);
        // With a table of labels, only its files are taken. A file in a foreign format is no error if a copy of it can
        // be read.
        let table = folder.dir.join("t.csv");
        std::fs::write(&table, "wave/1.npy,wave\n").unwrap();
        let arguments = [&SENSOR[..], &["--labels", table.to_str().unwrap()]].concat();
        let (text, json) = said(&folder.root, &folder.dir.join("set"), &arguments);
        let note = format!("not read and in no sample: {name}, ");
        says(&text, &[&note]);
        says(&json["notes"].to_string(), &[&note]);
        std::fs::write(file.with_file_name("1.npy"), npy(&folder, "wave/1.npy")).unwrap();
        std::fs::write(file.with_file_name("9_converted.npy"), npy(&folder, "wave/1.npy")).unwrap();
        says(&said(&folder.root, &folder.dir.join("set"), &SENSOR).0, &[&note]);
    }
    // Files with other names may be labels or data of another sensor. A warning lists them.
    let folder = Folder::of(&["wave/1.npy", "clap/2.npy"]);
    let files = ["labels.pkl", "clap/imu.mat", "clap/7.xyz", "wave/8.json", "wave/1.json", "wave/9.png", "README.txt"];
    for (name, bytes) in files.into_iter().zip(["\u{80}", "MATLAB 5.0 MAT-file", "x", "{}", "{}", "\u{89}PNG", "mine"])
    {
        std::fs::write(folder.root.join(name), bytes).unwrap();
    }
    let (text, json) = said(&folder.root, &folder.dir.join("set"), &[&SENSOR[..], &["--quiet"]].concat());
    let lost = "warning: not read and in no sample: ";
    let alike =
        "warning: named as the recordings are, but of no known format, and in no sample: clap/7.xyz, wave/8.json";
    says(&text, &[&format!("{lost}clap/imu.mat, a MATLAB file"), &format!("{lost}labels.pkl, a file named as"), alike]);
    says(&json["notes"].to_string(), &[alike, "skipped: 5 ("]);
    let dir = scratch();
    dir.file("a.es", "Event Stream");
    refuses(&mut convert(&[&*dir], &dir.join("none")), 3, &["a.es: byte 12: expected the 4 bytes of the version"]);

    // HDF5 and NumPy files are read whatever their ending, except copies of recordings.
    let folder = Folder::of(&["wave/1.npy", "clap/2.h5", "clap/3.h5"]);
    std::fs::rename(folder.root.join("clap/2.h5"), folder.root.join("clap/2.mat")).unwrap();
    std::fs::rename(folder.root.join("clap/3.h5"), folder.root.join("clap/three")).unwrap();
    std::fs::copy(folder.root.join("wave/1.npy"), folder.root.join("wave/1.npy.bak")).unwrap();
    let (found, names, sources) = folder.convert(&[]);
    assert_eq!((found, names), (vec![(0, 20), (0, 30), (1, 10)], ["clap", "wave"].map(String::from).to_vec()));
    assert_eq!(sources, ["clap/2.mat", "clap/three", "wave/1.npy"]);
    let note = "note: not read and in no sample: wave/1.npy.bak, HDF5 or NumPy under another ending";
    says(&said(&folder.root, &folder.dir.join("set"), &SENSOR).0, &[note]);
}

#[test]
fn splits_and_persons_of_any_name_are_no_classes() {
    for (outer, kind) in [
        (["ibmGestureTrain", "ibmGestureTest"], "the parts of a dataset"),
        (["split_0", "split_1"], "the parts of a dataset"),
        (["tr", "te"], "the parts of a dataset"),
        (["fold1", "fold2"], "the parts of a dataset"),
        (["seen", "unseen"], "with the same folders in each: clap, wave"),
    ] {
        let names: Vec<String> =
            outer.iter().flat_map(|part| ["wave", "clap"].map(|class| format!("{part}/{class}/1.npy"))).collect();
        let folder = Folder::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let apart = "if the outer ones are parts of a dataset, for training and for tests, convert each by itself";
        let command = format!("data/{} -o", outer[0]);
        folder.refuses(&[], 3, &[kind, if outer[0] == "seen" { apart } else { &command }]);
    }
    let places = Folder::of(&["lab/wave.npy", "lab/clap.npy", "led/wave.npy", "led/clap.npy"]);
    let words =
        ["with files of the same names in each, such as lab/clap.npy", "lab/clap.npy,clap;", "--class-level 1 takes"];
    places.refuses(&[], 3, &words);
    assert_eq!(places.convert(&["--class-level", "1"]).1, ["lab", "led"]);
    let users = Folder::of(&["user01_natural/1.npy", "user02_led/2.npy"]);
    let words = ["got user01_natural, user02_led, with recordings in them and no folders", "--labels with a table"];
    users.refuses(&[], 3, &words);
    assert_eq!(users.convert(&["--class-level", "1"]).1, ["user01_natural", "user02_led"]);
}

#[test]
fn classes_of_almost_one_name_are_warned_of() {
    for (names, expected) in [
        (&["01", "1", "1.0", "2"][..], Some("[\"01\", \"1\", \"1.0\"]")),
        (&["Wave", "wave", "clap"], Some("[\"Wave\", \"wave\"]")),
        (&["left hand", "left_hand"], Some("[\"left hand\", \"left_hand\"]")),
        (&["r\u{e9}", "re\u{301}"], Some("\"r\u{e9}\"]")),
        (&["a", "A", "a1", "-1", "1", "10"], None),
    ] {
        let files: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{name}/{i}.npy")).collect();
        let folder = Folder::of(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let rows: String = files.iter().zip(names).map(|(file, name)| format!("{file},{name}\n")).collect();
        let table = folder.dir.file("t.csv", rows);
        for more in [&[][..], &["--labels", table.to_str().unwrap()]] {
            let notes =
                said(&folder.root, &folder.dir.join("set"), &[&SENSOR[..], more].concat()).1["notes"].to_string();
            let notes = notes.replace('\\', "");
            match expected {
                Some(expected) => says(&notes, &["warning: different classes that may be meant to be one: ", expected]),
                None => assert_eq!(notes, "[]", "{names:?}"),
            }
        }
    }
}
