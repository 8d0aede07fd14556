//! Tests of folders of recordings.

use std::path::{Path, PathBuf};

use tonic_toolkit::shard::NO_LABEL;

use super::camera::Camera;
use super::recording::{Recording, Scratch, change, contents, convert, manifest, refuses, samples, scratch};

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

    /// Converts the folder. Returns (label, number of events) of each sample, the class names, and the names of the
    /// sources.
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
    // Events that are out of order are sorted each time the file is read.
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
    folder.refuses(&[], 3, &["3.npy beside the folder of a/1.npy", "data/CLASS) or away; or --labels"]);
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
fn links_take_no_recording_twice() {
    let folder = Folder::of(&["a/1.npy", "b/t/2.npy", ".git/annex/3.npy"]);
    let link = |to: &str, name: &str| {
        let name = folder.root.join(name);
        let _ = std::fs::remove_file(&name);
        std::os::unix::fs::symlink(folder.root.join(to), name).unwrap();
    };
    // A link to a folder inside the opened folder is not a class. A recording that only a link leads to is taken.
    link("", "a/again");
    link("b/t", "alias");
    link(".git/annex/3.npy", "a/3.npy");
    let (found, classes, sources) = folder.convert(&[]);
    assert_eq!((found, classes), (vec![(0, 10), (0, 30), (1, 20)], ["a", "b"].map(String::from).to_vec()));
    assert_eq!(sources, ["a/1.npy", "a/3.npy", "b/t/2.npy"]);
    link("a/1.npy", "b/4.npy");
    folder.refuses(&[], 3, &["each recording once", "b/4.npy, a link to the same as a/1.npy", "--labels"]);
    // A table of labels can list a recording by its path or by a link to it.
    std::fs::remove_file(folder.root.join("a/again")).unwrap();
    let table = folder.dir.file("t.csv", "alias/2.npy,x\nb/4.npy,y\n");
    assert_eq!(folder.convert(&["--labels", table.to_str().unwrap()]).2, ["alias/2.npy", "b/4.npy"]);
    let linked = Folder::of(&["wave/1.npy"]);
    for name in ["a", "b"] {
        std::fs::create_dir_all(linked.dir.join("two")).unwrap();
        std::os::unix::fs::symlink(linked.root.join("wave"), linked.dir.join("two").join(name)).unwrap();
    }
    let words = ["each recording once", "b, a link to the same as a"];
    refuses(convert(&[linked.dir.join("two")], &linked.dir.join("none")).args(SENSOR), 3, &words);
}

#[test]
fn a_resume_reads_as_before_or_not_at_all() {
    let names: Vec<String> = (0..9).map(|i| format!("{i}.npy")).collect();
    let folder = Folder::of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let table = |last: &str| {
        let label = |i| if i == 4 { last } else { ["a", "b"][i % 2] };
        let rows: String = names.iter().enumerate().map(|(i, name)| format!("{name},{}\n", label(i))).collect();
        let name = format!("labels_{last}.csv");
        folder.dir.file(&name, rows).to_str().unwrap().to_string()
    };
    let tables = [table("a"), table("b")];
    // If too many events are lost, all shards stay, but there is no manifest.
    let recipe =
        "[[transform]]\nname = \"CropTime\"\nmax = 9000\n[frames]\ntime_window = 1000\ninclude_incomplete = true\n";
    let recipe = folder.dir.file("r.toml", recipe).to_str().unwrap().to_string();
    let run = |set: &str, more: &[&str]| {
        let mut command = convert(&[&folder.root], &folder.dir.join(set));
        command.args(SENSOR).args(["--recipe", &recipe, "--chunk-samples", "1", "--shard-size", "1"]).args(more);
        command
    };
    let labels = ["--labels", &tables[0]];
    let whole = |set: &str| contents(&folder.dir.join(set));
    run("whole", &labels).assert().success();
    let earlier = "way of reading the recordings differs";
    for (i, (more, field)) in [
        (&["--labels", &tables[0], "--events", "..85"][..], "events differs"),
        (&["--labels", &tables[0], "--time-unit", "ms"], "time_unit differs"),
        (&["--labels", &tables[1]], "labels differs"),
        (&["--labels", &tables[0], "--time-unit", "ms"], earlier),
        (&["--labels", &tables[0], "--allow-clock-trouble", "--lenient", "--threads", "2"], ""),
    ]
    .into_iter()
    .enumerate()
    {
        let set = format!("set{i}");
        refuses(run(&set, &labels).args(["--max-loss", "1%"]), 3, &["to be lost"]);
        if field == earlier {
            // The marker file of an earlier version has no settings. So the chunks are made again and compared.
            change(&folder.dir.join(&set).join(".incomplete.json"), |bytes| {
                let mut marker: serde_json::Value = serde_json::from_slice(bytes).unwrap();
                assert!(marker.as_object_mut().unwrap().remove("settings").is_some());
                *bytes = marker.to_string().into_bytes();
            });
        }
        let mut again = run(&set, more);
        again.arg("--resume");
        if field.is_empty() {
            again.assert().success();
        } else {
            let next = if field == earlier { "--resume continues with the same" } else { "to continue it" };
            refuses(&mut again, 4, &[field, next]);
            run(&set, &labels).arg("--resume").assert().success();
        }
        assert!(whole(&set) == whole("whole"), "{more:?}");
    }
    // Each recording can be given only once. The sensor that is given is the sensor of all files and folders.
    let one = folder.root.join("1.npy");
    let given = |inputs: &[&PathBuf]| {
        let mut command = convert(inputs, &folder.dir.join("given"));
        command.args(SENSOR);
        command
    };
    refuses(
        &mut given(&[&folder.root, &folder.root.join("../data/1.npy")]),
        2,
        &["each recording once", "1.npy twice"],
    );
    std::fs::rename(&one, folder.dir.join("one.npy")).unwrap();
    given(&[&folder.root, &folder.dir.join("one.npy")]).assert().success();
}

#[test]
fn files_with_the_same_bytes_are_named() {
    let folder = Folder::of(&["clap/1.npy", "clap/2.npy", "wave/1.npy", "wave/2.npy", "wave/3.npy"]);
    let copy = |from: &str, to: &str| std::fs::copy(folder.root.join(from), folder.root.join(to)).unwrap();
    let warned = || {
        let mut command = convert(&[&folder.root], &folder.dir.join("set"));
        let output = command.args(SENSOR).args(["--overwrite", "--json"]).assert().success().get_output().clone();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(warned(), [""; 0]);
    copy("wave/1.npy", "wave/4.npy");
    copy("clap/2.npy", "wave/5.npy");
    copy("clap/2.npy", "clap/6.npy");
    let expected = [
        "warning: files with the same bytes, but of different classes: clap/2.npy, clap/6.npy, wave/5.npy",
        "warning: files with the same bytes: wave/1.npy, wave/4.npy",
    ];
    assert_eq!(warned(), expected);
    // Files with the same events in another format, and files with the same name and other events.
    let six = Camera::random(50, 60, 30_000);
    ["wave/6.npy", "wave/6.npz", "wave/6.h5", "wave/7.npy"].iter().for_each(|name| folder.put(name, &six));
    folder.put("wave/7.npz", &Camera::random(51, 60, 30_000));
    let said = warned();
    for expected in [
        "warning: the same events twice, in files of one name (leave one of them out): wave/6.h5 and wave/6.npy, \
         wave/6.h5 and wave/6.npz",
        "warning: files of one name, but with different events, are all in this set: wave/7.npy and wave/7.npz",
    ] {
        assert!(said.contains(&expected.to_string()), "{said:?}");
    }
    // A broken link is an error, because its target may have been a class.
    std::os::unix::fs::symlink("/nowhere/snap", folder.root.join("snap")).unwrap();
    folder.refuses(&[], 3, &["got snap, a link to /nowhere/snap, which is not there"]);
    std::fs::remove_file(folder.root.join("snap")).unwrap();
    // A broken link with the ending of a camera file, such as git-annex makes, is an error too.
    std::os::unix::fs::symlink("/nowhere/1.raw", folder.root.join("1.raw")).unwrap();
    folder.refuses(&[], 3, &["got 1.raw, a link to /nowhere/1.raw, which is not there"]);
    std::fs::remove_file(folder.root.join("1.raw")).unwrap();
    std::fs::write(folder.root.join("2.bin"), "").unwrap();
    folder.refuses(&[], 3, &["2.bin: expected a recording", "got an empty file"]);
    std::fs::remove_file(folder.root.join("2.bin")).unwrap();
    // Files that are given one by one are compared too. Long lists are shortened.
    let other = folder.dir.join("other.npy");
    std::fs::copy(folder.root.join("wave/3.npy"), &other).unwrap();
    let mut command = convert(&[folder.root.join("wave/3.npy"), other], &folder.dir.join("pair"));
    let said = command.args(SENSOR).output().unwrap().stderr;
    assert!(String::from_utf8(said).unwrap().contains("warning: files with the same bytes: 3.npy, other.npy"));
}
