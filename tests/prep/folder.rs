//! Tests of folders of recordings. Classes come from the subfolders or from a table. Every file is named by its path
//! inside the folder.

use std::path::{Path, PathBuf};

use tonic_toolkit::shard::NO_LABEL;

use super::camera::Camera;
use super::recording::{Recording, Scratch, contents, convert, manifest, refuses, samples, scratch};

const SENSOR: [&str; 2] = ["--sensor", "40,30,2"];

pub(crate) struct Folder {
    pub dir: Scratch,
    pub root: PathBuf,
}

impl Folder {
    /// Makes a folder with recordings of these names. They have 10, 20, ... events.
    pub(crate) fn of(names: &[&str]) -> Folder {
        let dir = scratch();
        let root = dir.join("data");
        let folder = Folder { dir, root };
        for (i, name) in names.iter().enumerate() {
            folder.put(name, &Camera::random(i as u64, 10 * (i + 1), 30_000));
        }
        folder
    }

    pub(crate) fn put(&self, name: &str, camera: &Camera) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match path.extension().unwrap().to_str().unwrap() {
            "npy" => camera.npy(&path),
            "npz" => camera.npz(&path),
            _ => camera.dsec(&path),
        };
    }

    /// Converts the folder. Returns (label, events) of each sample, the classes, and the names of the sources.
    pub(crate) fn convert(&self, arguments: &[&str]) -> (Vec<(u32, u64)>, Vec<String>, Vec<String>) {
        let set = self.dir.convert(&[&self.root], "set", &[&SENSOR[..], &["--overwrite"], arguments].concat());
        let description = manifest(&set).description;
        let found = samples(&set).iter().map(|s| (s.label, s.ledger.events_in)).collect();
        (found, description.classes, description.sources.into_iter().map(|source| source.name).collect())
    }

    pub(crate) fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        refuses(convert(&[&self.root], &self.dir.join("none")).args(SENSOR).args(arguments), code, words);
    }
}

#[test]
fn folders_are_classes_in_the_order_of_their_letters() {
    for ending in ["npy", "npz", "h5"] {
        let names = ["wave/b", "wave/a/deep", "clap/z", "10/x", "9/x"].map(|name| format!("{name}.{ending}"));
        let folder = Folder::of(&names.each_ref().map(String::as_str));
        std::fs::write(folder.root.join(".DS_Store"), "hidden").unwrap();
        let (found, classes, sources) = folder.convert(&[]);
        assert_eq!(classes, ["10", "9", "clap", "wave"], "as ImageFolder has them");
        assert_eq!(found, [(0, 40), (1, 50), (2, 30), (3, 20), (3, 10)], "{ending}");
        let expected = ["10/x", "9/x", "clap/z", "wave/a/deep", "wave/b"].map(|name| format!("{name}.{ending}"));
        assert_eq!(sources, expected, "no folder of this machine is in it");
        let manifest = std::fs::read_to_string(folder.dir.join("set").join("manifest.json")).unwrap();
        assert!(!manifest.contains(folder.dir.to_str().unwrap()));
    }
}

#[test]
fn the_same_bytes_from_any_threads_and_any_place() {
    let names: Vec<String> = (0..60).map(|i| format!("{}/{i:03}.npy", ["a", "b", "c"][i % 3])).collect();
    let folder = Folder::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let set = |root: &Path, threads: &str| {
        let arguments = ["--threads", threads, "--chunk-samples", "4", "--shard-size", "1"];
        contents(&folder.dir.convert(&[root], &format!("set-{threads}"), &[&SENSOR[..], &arguments].concat()))
    };
    let one = set(&folder.root, "1");
    assert_eq!(one.len(), 15 + 1);
    let moved = folder.dir.join("elsewhere");
    std::fs::rename(&folder.root, &moved).unwrap();
    assert!(one == set(&moved, "3"));
}

#[test]
fn recordings_of_a_folder_are_cut_too() {
    let folder = Folder::of(&["a/1.h5", "b/2.h5"]);
    // Out of order: sorted whenever it is read.
    let mut camera = Camera::at(&[500, 400, 300, 200, 100]);
    folder.put("b/3.h5", &camera);
    let (found, ..) = folder.convert(&["--sample-events", "4"]);
    assert_eq!(found[..3], [(0, 4), (0, 4), (0, 2)]);
    assert_eq!(found[3..], [(1, 4), (1, 4), (1, 4), (1, 4), (1, 4), (1, 4), (1, 1)]);
    camera.t.reverse();
    camera.x.reverse();
    camera.y.reverse();
    camera.p.reverse();
    let unsorted = samples(&folder.dir.join("set"));
    folder.put("b/3.h5", &camera);
    folder.convert(&["--sample-events", "4"]);
    let sorted = samples(&folder.dir.join("set"));
    assert!(unsorted.iter().zip(&sorted).all(|(a, b)| a.dense == b.dense), "sorted in the file or when it is read");
}

#[test]
fn a_table_says_what_a_flat_folder_has() {
    let folder = Folder::of(&["1.npy", "2.npy", "3.npy", "sub/4.npy"]);
    let table = folder.root.join("train.csv");
    let with = |text: &str| {
        std::fs::write(&table, text).unwrap();
        ["--labels", table.to_str().unwrap()].map(String::from)
    };
    let args = with("label,file\n10,3.npy\n9,./1.npy\n10,sub/4.npy\n");
    let (found, classes, sources) = folder.convert(&args.each_ref().map(String::as_str));
    assert_eq!(classes, ["9", "10"]);
    assert_eq!(found, [(0, 10), (1, 30), (1, 40)], "in the order of the names, and only those of the table");
    assert_eq!(sources, ["1.npy", "3.npy", "sub/4.npy"]);
    let args = with("4.npy,a\n");
    assert_eq!(folder.convert(&args.each_ref().map(String::as_str)).0, [(0, 40)], "a name alone will do");

    let refuses = |text: &str, words: &[&str]| folder.refuses(&with(text).each_ref().map(String::as_str), 3, words);
    refuses("1.npy,a\n5.npy,b\n", &["train.csv: line 2: expected a file of", "got 5.npy"]);
    refuses("1.npy,a\n1.npy,b\n", &["line 2: expected each file once, got 1.npy again"]);
    refuses("0,5,a\n", &["line 1: expected a file and its label, for a folder of recordings, got an interval"]);
    folder.put("other/4.npy", &Camera::random(9, 5, 100));
    refuses("4.npy,a\n", &["4.npy, of which there are several"]);
}

#[test]
fn a_folder_without_classes_is_unlabelled_or_of_one_class() {
    let folder = Folder::of(&["1.npy", "2.npy"]);
    let (found, classes, _) = folder.convert(&[]);
    assert_eq!((found, classes.len()), (vec![(NO_LABEL, 10), (NO_LABEL, 20)], 0));
    let (found, classes, _) = folder.convert(&["--label", "hand"]);
    assert_eq!((found, classes), (vec![(0, 10), (0, 20)], vec!["hand".to_string()]));
}

#[test]
fn what_does_not_belong_is_named() {
    let folder = Folder::of(&["a/1.npy", "b/2.npy", "3.npy"]);
    folder.refuses(&[], 3, &["expected a folder a class, or files only", "3.npy beside the folder of a/1.npy"]);
    std::fs::remove_file(folder.root.join("3.npy")).unwrap();
    Recording::random(1, 2, 5).write(&folder.root.join("a/0.h5"));
    folder.refuses(&[], 2, &["one recording a file in a folder", "Heidelberg"]);
    let dir = scratch();
    dir.file("a.txt", "x");
    let words = ["expected recordings (h5, hdf5, hdf, npy, npz), got none, and other files: 1 (1 .txt)"];
    refuses(&mut convert(&[&*dir], &folder.dir.join("none")), 3, &words);
}

#[cfg(unix)]
#[test]
fn a_folder_that_links_to_itself_ends() {
    let folder = Folder::of(&["a/1.npy"]);
    std::os::unix::fs::symlink(&folder.root, folder.root.join("a/again")).unwrap();
    folder.refuses(&[], 3, &["at most 16 folders in each other"]);
}
