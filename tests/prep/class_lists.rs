//! Tests of the list of classes: given with `--classes`, taken from another set, and compared between sets.

use super::classes::{SENSOR, labels, said};
use super::folder::Folder;
use super::recording::{Keys, Recording, convert, prep, refuses, says, scratch};

#[test]
fn a_list_gives_all_classes_and_their_order() {
    let folder = Folder::of(&["clap/1.npy", "wave/2.npy"]);
    let list = folder.root.join("classes.txt");
    let with = |text: &str| {
        std::fs::write(&list, text).unwrap();
        ["--classes".to_string(), list.to_str().unwrap().into()]
    };
    let args = with("\u{feff}wave\r\nroll\r\n\r\n clap \r\n");
    let (found, names, _) = folder.convert(&args.each_ref().map(String::as_str));
    assert_eq!((found, names), (vec![(2, 10), (0, 20)], ["wave", "roll", "clap"].map(String::from).to_vec()));
    let (_, json) =
        said(&folder.root, &folder.dir.join("b"), &[&SENSOR[..], &args.each_ref().map(String::as_str)].concat());
    assert_eq!(json["notes"], serde_json::json!([]), "the list is not a stray file");

    let refused = |text: &str, words: &[&str]| folder.refuses(&with(text).each_ref().map(String::as_str), 3, words);
    refused("wave\nroll\n", &["expected classes of", "classes.txt (wave, roll), got clap", "add them"]);
    refused("wave\nclap\nwave\n", &["classes.txt: line 3: expected each class once", "line 1 too"]);
    refused("\n\n", &["classes.txt: line 1: expected the name of a class"]);
    std::fs::write(&list, b"w\xe4ve\nclap\n").unwrap();
    folder.refuses(
        &["--classes", list.to_str().unwrap()],
        3,
        &["line 1: expected text in UTF-8", "wäve", "iconv -f WINDOWS-1252"],
    );

    // The list of classes of another set.
    let args = with("wave\nroll\nclap\n");
    folder.convert(&args.each_ref().map(String::as_str));
    let other = Folder::of(&["roll/1.npy"]);
    let set = folder.dir.join("set");
    let (found, names, _) = other.convert(&["--classes-of", set.to_str().unwrap()]);
    assert_eq!((found, names), (vec![(1, 10)], ["wave", "roll", "clap"].map(String::from).to_vec()));
    refuses(
        convert(&[&other.root], &other.dir.join("n")).args(["--classes-of", "none"]),
        1,
        &["none: cannot open the set"],
    );
    let flat = Folder::of(&["1.npy"]);
    flat.convert(&[]);
    let unlabelled = flat.dir.join("set");
    other.refuses(&["--classes-of", unlabelled.to_str().unwrap()], 2, &["expected a set with classes"]);
    flat.refuses(&args.each_ref().map(String::as_str), 2, &["expected recordings with labels, got none in"]);
}

#[test]
fn a_list_renumbers_tables_labels_and_keys_by_name() {
    let folder = Folder::of(&["1.npy", "2.npy"]);
    let list = folder.dir.join("list.txt");
    std::fs::write(&list, "two\nthree\none\nzero\n").unwrap();
    let list = list.to_str().unwrap();
    let table = folder.dir.join("t.csv");
    let with_table = ["--classes", list, "--labels", table.to_str().unwrap()];
    std::fs::write(&table, "1.npy,one\n2.npy,two\n").unwrap();
    assert_eq!(folder.convert(&with_table).0, [(2, 10), (0, 20)]);
    std::fs::write(&table, "1.npy,one\n2.npy,tow\n").unwrap();
    folder.refuses(&with_table, 3, &["t.csv: line 2: expected classes of", "got tow"]);
    let (found, names, _) = folder.convert(&["--classes", list, "--label", "one"]);
    assert_eq!((found, names.len()), (vec![(2, 10), (2, 20)], 4));
    folder.refuses(&["--classes", list, "--label", "four"], 3, &["(two, three, one, zero), got four"]);

    // The class names in a file are looked up in the list. If the file has no class names, its labels are names if the
    // list has numbers, and otherwise positions in the list.
    let dir = scratch();
    let mut speech = Recording::random(1, 6, 20);
    let (file, set) = (dir.join("a.h5"), dir.join("set"));
    let run = |recording: &Recording, list: &str| {
        recording.write(&file);
        let listed = dir.join("list.txt");
        std::fs::write(&listed, list).unwrap();
        let mut command = prep();
        command.arg("convert").arg(&file).arg("-o").arg(&set).arg("--overwrite").arg("--classes").arg(listed);
        command.output().unwrap()
    };
    let good = |recording: &Recording, list: &str| {
        let output = run(recording, list);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{text}");
        (labels(&set), text)
    };
    assert_eq!(good(&speech, "two\nthree\none\nzero\n").0, [3, 2, 0, 3, 2, 0]);
    let output = run(&speech, "two\none\n");
    assert_eq!(output.status.code(), Some(3));
    says(&String::from_utf8(output.stderr).unwrap(), &["a.h5: expected classes of", "(two, one), got zero"]);
    speech.keys_as = Keys::None;
    assert_eq!(good(&speech, "2\n0\n1\n3\n").0, [1, 2, 0, 1, 2, 0]);
    let (found, text) = good(&speech, "a\nb\nc\nd\n");
    assert_eq!(found, [0, 1, 2, 0, 1, 2]);
    says(&text, &["note: labels are places in the list of classes: 0 is a, 1 is b, 2 is c"]);
    assert_eq!(run(&speech, "a\nb\n").status.code(), Some(3), "no place 2");
}

#[test]
fn a_list_joins_recordings_of_different_classes() {
    let dir = scratch();
    let (a, b) =
        (Recording::random(1, 4, 20), Recording { names: vec!["two", "one", "four"], ..Recording::random(2, 4, 20) });
    let files = [a.write(&dir.join("a.h5")), b.write(&dir.join("b.h5"))];
    let set = dir.join("set");
    refuses(&mut convert(&files, &set), 4, &["list of classes differs", "--classes FILE"]);
    let list = dir.join("list.txt");
    std::fs::write(&list, "zero\none\ntwo\nthree\nfour\n").unwrap();
    convert(&files, &set).arg("--classes").arg(&list).assert().success();
    assert_eq!(labels(&set), [0, 1, 2, 0, 2, 1, 4, 2]);
}

#[test]
fn a_set_is_repaired_with_its_own_classes() {
    let folder = Folder::of(&["clap/1.npy", "wave/2.npy"]);
    let list = folder.dir.join("list.txt");
    std::fs::write(&list, "wave\nroll\nclap\n").unwrap();
    folder.convert(&["--classes", list.to_str().unwrap()]);
    let shard = folder.dir.join("set").join("00000.shard");
    let whole = std::fs::read(&shard).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0);
    std::fs::write(&shard, damaged).unwrap();
    let mut command = prep();
    command.arg("repair").arg(folder.dir.join("set")).arg("--from").arg(&folder.root).args(SENSOR).assert().success();
    assert!(std::fs::read(&shard).unwrap() == whole);
}

#[test]
fn lists_of_classes_are_compared_name_by_name() {
    let dir = scratch();
    let file = |name: &str, classes: &'static [&'static str]| {
        let recording = Recording { names: classes.to_vec(), labels: vec![0, 0], ..Recording::random(1, 2, 20) };
        recording.write(&dir.join(name))
    };
    let files = [file("a.h5", &["a", "b"]), file("b.h5", &["a, b"])];
    let words = ["list of classes differs", "expected a, b, got \"a, b\""];
    refuses(&mut convert(&files, &dir.join("none")), 4, &words);
    let sets = [dir.convert(&[&files[0]], "one", &[]), dir.convert(&[&files[1]], "two", &[])];
    let mut diff = prep();
    diff.arg("diff").args(&sets);
    says(&String::from_utf8(diff.output().unwrap().stdout).unwrap(), &["classes"]);
    refuses(prep().arg("merge").arg(dir.join("none")).args(&sets), 4, &["expected a, b, got \"a, b\""]);
}
