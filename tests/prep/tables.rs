//! Tests of tables of labels, in the forms that people and spreadsheets write.

use std::path::PathBuf;

use super::camera::Camera;
use super::folder::Folder;
use super::recording::{convert, prep, refuses, samples, says, scratch};

/// A folder with recordings of 10, 20, 30 and 40 events, and the path of a table of their labels.
struct Labelled {
    folder: Folder,
    table: PathBuf,
}

impl Labelled {
    fn new() -> Labelled {
        let folder = Folder::of(&["rec 1 \u{e9}.npy", "rec 2 \u{e9}.npz", "sub/rec 3.npy", "sub/x.v2.npy"]);
        let table = folder.dir.join("labels.csv");
        Labelled { folder, table }
    }

    /// Converts the folder with `text` as the table of labels. Returns (label, number of events) of each sample, and
    /// the class names.
    fn convert(&self, text: impl AsRef<[u8]>) -> (Vec<(u32, u64)>, Vec<String>) {
        std::fs::write(&self.table, text).unwrap();
        let (found, classes, _) = self.folder.convert(&["--labels", self.table.to_str().unwrap()]);
        (found, classes)
    }

    fn refuses(&self, text: impl AsRef<[u8]>, words: &[&str]) {
        std::fs::write(&self.table, text).unwrap();
        let words = [&["labels.csv: "], words].concat();
        self.folder.refuses(&["--labels", self.table.to_str().unwrap()], 3, &words);
    }
}

#[test]
fn a_table_is_read_from_any_program() {
    let labelled = Labelled::new();
    let expected = (vec![(0, 10), (1, 20)], vec!["0".to_string(), "1".into()]);
    for text in [
        "rec 1 é.npy,0\nrec 2 é.npz,1\n",
        "file,label\nrec 1 é.npy,0\nrec 2 é.npz,1\n",
        "file;label\nrec 1 é.npy;0\nrec 2 é.npz;1\n",
        "rec 1 é.npy;0\nrec 2 é.npz;1\n",
        "sep=;\nfile;label\nrec 1 é.npy;0\nrec 2 é.npz;1\n",
        "file\tlabel\nrec 1 é.npy\t0\nrec 2 é.npz\t1\n",
        "\u{feff}file,label\r\nrec 1 é.npy,0\r\nrec 2 é.npz,1\r\n",
        "file,label\rrec 1 é.npy,0\rrec 2 é.npz,1\r",
        ",file,label\n0,rec 1 é.npy,0\n1,rec 2 é.npz,1\n",
        "Unnamed: 0,filename,class\n0,rec 1 é.npy,0\n1,rec 2 é.npz,1\n",
        "label,file\n0,rec 1 é.npy\n1,rec 2 é.npz\n",
        "Label;Note;File Name\n0;a, b;rec 1 é.npy\n1;;rec 2 é.npz\n",
        "file,category\nrec 1 é.npy,0\nrec 2 é.npz,1\n",
        "file,label,\n\"rec 1 é.npy\",\"0\",\nrec 2 é.npz,1,\n,,\n",
        "file,label\nrec 1 é.npy,0,,\nrec 2 é.npz,1\n\n",
        "rec 1 é,0\nrec 2 é,1\n",
        ".\\rec 1 é.npy,0\n./rec 2 é.npz,1\n",
        "data\\rec 1 é.npy,0\ndata/rec 2 é,1\n",
        "rec 1 e\u{301}.npy,0\nrec 2 e\u{301},1\n",
    ] {
        assert_eq!(labelled.convert(text), expected, "{text:?}");
    }
    let absolute = format!("{0}/rec 1 é.npy,0\n{0}/rec 2 é.npz,1\n", labelled.folder.root.display());
    assert_eq!(labelled.convert(absolute), expected);
    for text in ["sub\\rec 3.npy,a\nsub\\x.v2,b\n", "rec 3,a\nx.v2.npy,b\n"] {
        assert_eq!(labelled.convert(text).0, [(0, 30), (1, 40)], "{text:?}");
    }
    // These classes have names of columns, but the first row is still a row.
    let words = labelled.convert("rec 1 é.npy,word\nrec 2 é.npz,class\n");
    assert_eq!(words, (vec![(1, 10), (0, 20)], vec!["class".into(), "word".into()]));
}

#[test]
fn names_in_another_normal_form_are_found_in_both_directions() {
    let folder = Folder::of(&["e\u{301}.npy"]);
    let table = folder.dir.join("t.csv");
    for name in ["\u{e9}.npy", "e\u{301}.npy", "\u{e9}"] {
        std::fs::write(&table, format!("{name},a\n")).unwrap();
        assert_eq!(folder.convert(&["--labels", table.to_str().unwrap()]).0, [(0, 10)], "{name:?}");
    }
}

#[test]
fn a_row_that_fits_no_file_or_several_is_refused_with_its_line() {
    let labelled = Labelled::new();
    let refused = |text: &str, words: &[&str]| labelled.refuses(text, words);
    refused("rec 1 é.npy,0\nrec 9.npy,1\n", &["line 2: expected a file of", "got rec 9.npy"]);
    refused("rec 1 é.npy,0\nb.npy,1\nc.npy,1\n", &["line 2:", "got b.npy (2 rows name files that are not there)"]);
    refused("rec 3.aedat,0\n", &["line 1:", "got rec 3.aedat, while there is sub/rec 3.npy"]);
    refused("other/rec 3.npy,0\n", &["line 1: expected a file of", "got other/rec 3.npy"]);
    refused("0,rec 1 é.npy\n", &["line 1: expected a file of", "or names of columns such as file,label, got 0"]);
    refused("0,rec 1 é.npy,a\n", &["line 1: expected a time", "or a first line that names the columns"]);
    refused("rec 3,0\nsub/rec 3.npy,0\n", &["line 2: expected each file once", "line 1 has sub/rec 3.npy"]);
    refused("file,label\nrec 1 é.npy,\n", &["line 2: expected a label, got none for \"rec 1 é.npy\""]);
    refused("file,label\n,a\n", &["line 2: expected a file, got none"]);
    refused("file,label,class\nrec 3,a,b\n", &["line 1: expected one column of labels, got label and class"]);
    refused("file,label\n\"rec 3,a\n", &["line 2: expected quotes that are closed"]);
    labelled.folder.put("sub/rec 3.npz", &Camera::random(1, 5, 100));
    refused("rec 3,0\n", &["line 1:", "rec 3, of which there are several"]);
    assert_eq!(labelled.convert("rec 3.npz,0\n").0, [(0, 5)]);
}

#[test]
fn tables_in_other_encodings_are_refused_with_the_line_and_the_way_out() {
    let labelled = Labelled::new();
    let text = "file,label\nrec 1 é.npy,0\n";
    let units = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let (little, big) = (units(u16::to_le_bytes), units(u16::to_be_bytes));
    for (bytes, words) in [
        (
            [&[0xff, 0xfe][..], &little].concat(),
            &["line 1", "got UTF-16", "iconv -f UTF-16 -t UTF-8", "labels.csv"][..],
        ),
        ([&[0xfe, 0xff][..], &big].concat(), &["line 1", "got UTF-16"]),
        ([0xff, 0xfe, 0, 0, b'a', 0, 0, 0].to_vec(), &["line 1", "got UTF-32", "iconv -f UTF-32 -t UTF-8"]),
        (little, &["line 1", "UTF-16LE without a byte order mark", "iconv -f UTF-16LE"]),
        (big, &["line 1", "UTF-16BE without a byte order mark"]),
        (b"file,label\nrec 1 \xe9.npy,0\n".to_vec(), &["line 2", "0xe9", "rec 1 é.npy,0", "WINDOWS-1252"]),
        (b"PK\x03\x04xlsx".to_vec(), &["line 1", "a zip archive, such as a spreadsheet", "CSV UTF-8"]),
        (b"file,label\na\0,b\n".to_vec(), &["line 2", "a zero byte"]),
    ] {
        labelled.refuses(bytes, &[&["expected text in UTF-8"], words].concat());
    }
}

#[test]
fn a_table_in_the_folder_is_not_a_recording() {
    let folder = Folder::of(&["1.npy", "2.npy", "3.npy"]);
    std::fs::write(folder.root.join("train.csv"), "file,label\n1.npy,a\n2.npy,b\n").unwrap();
    std::fs::write(folder.root.join("test.csv"), "file,label\n3.npy,a\n").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.root.join("train.csv"), folder.dir.join("link.csv")).unwrap();
    let absolute = folder.root.join("train.csv").display().to_string();
    let link = folder.dir.join(if cfg!(unix) { "link.csv" } else { "data/train.csv" }).display().to_string();
    for (input, table) in [
        (".", "train.csv"),
        (".", "./train.csv"),
        (".", &absolute),
        ("../data", &link),
        ("../data/", "../data/train.csv"),
    ] {
        let set = folder.dir.join("set");
        let mut command = prep();
        command.current_dir(&folder.root).args([
            "convert",
            input,
            "--labels",
            table,
            "--sensor",
            "40,30,2",
            "--overwrite",
        ]);
        let said =
            String::from_utf8(command.arg("-o").arg(&set).assert().success().get_output().stderr.clone()).unwrap();
        says(&said, &["skipped: 1 (1 .csv)", &format!("1 files are not in {table}; they were left out")]);
        let found: Vec<_> = samples(&set).iter().map(|sample| (sample.label, sample.ledger.events_in)).collect();
        assert_eq!(found, [(0, 10), (1, 20)], "{input} {table}");
    }
}

#[test]
fn recordings_by_themselves_find_their_rows_alike() {
    let dir = scratch();
    let file = Camera::at(&[0, 10, 20, 30]).npy(&dir.join("a é.npy"));
    let table = dir.join("t.csv");
    let run = |text: &str| {
        std::fs::write(&table, text).unwrap();
        let set = dir.join("set");
        let mut command = convert(&[&file], &set);
        command.args(["--sensor", "40,30,2", "--overwrite", "--labels"]).arg(&table).assert().success();
        samples(&set).iter().map(|sample| (sample.label, sample.ledger.events_in)).collect::<Vec<_>>()
    };
    let name = dir.file_name().unwrap().to_str().unwrap();
    for row in ["a é.npy", "a e\u{301}", ".\\a é.npy", &format!("{name}\\a é"), file.to_str().unwrap()] {
        assert_eq!(run(&format!("other,0,9,x\n{row},0,20,y\n{row},20,31,x\n")), [(1, 2), (0, 2)], "{row}");
    }
    assert_eq!(run("start;end;label\n0,00002 s;0,00004 s;x\n"), [(0, 2)], "decimal commas between semicolons");
    std::fs::write(&table, "other/a é.npy,0,20,y\n").unwrap();
    refuses(
        convert(&[&file], &dir.join("none")).arg("--labels").arg(&table),
        2,
        &["at least one with a row in the table of labels"],
    );
}
