use zip::write::SimpleFileOptions;

use super::*;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tonic-prep-unpack-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes an archive and unpacks it. Asserts that nothing was left behind, and returns the error.
    fn refusal(&self, name: &str, bytes: &[u8]) -> String {
        let archive = self.0.join(name);
        std::fs::write(&archive, bytes).unwrap();
        let error = unpack(&archive, &self.0.join("out")).unwrap_err().to_string();
        assert_eq!(std::fs::read_dir(self.0.join("out")).unwrap().count(), 0, "{error}");
        assert!(!self.0.join("evil").exists() && !self.0.join("out/evil").exists(), "{error}");
        error
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tarred(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if !kind.is_file() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

#[test]
fn archives_of_each_kind_are_unpacked_also_within_another() {
    let folder = Folder::new("kinds");
    let file = tar::EntryType::Regular;
    let tar = tarred(&[("./1/x.npy", file, b"one"), ("2/x.npy", file, b"two")]);
    let nested = zipped(&[("cats.zip", &zipped(&[("cat/1.bin", b"meow")])), ("more/dogs.tar", &tar), ("a.txt", b"")]);
    for (name, bytes, names, files) in [
        ("a.zip", nested, vec!["a.txt", "cat", "more"], 4),
        ("b.tar.gz", gzipped(&tar), vec!["1", "2"], 2),
        ("c.tar", tar, vec!["1", "2"], 2),
        ("d-ubyte.gz", gzipped(b"plain"), vec!["d-ubyte"], 1),
    ] {
        let archive = folder.0.join(name);
        std::fs::write(&archive, bytes).unwrap();
        let out = folder.0.join("out");
        let done = unpack(&archive, &out).unwrap();
        assert_eq!((done.files, &done.names), (files, &names.into_iter().map(String::from).collect()), "{name}");
    }
    let read = |path: &str| std::fs::read(folder.0.join("out").join(path)).unwrap();
    assert_eq!(
        (read("cat/1.bin"), read("more/1/x.npy"), read("2/x.npy")),
        (b"meow".into(), b"one".into(), b"two".into())
    );
    assert_eq!(read("d-ubyte"), b"plain");
    assert!(!folder.0.join("out/cats.zip").exists());
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    use tar::EntryType;
    let folder = Folder::new("hostile");
    for name in ["../evil", "/tmp/evil", "a/../../evil", "a\\..\\evil"] {
        let error = folder.refusal("a.zip", &zipped(&[("good", b"1"), (name, b"2")]));
        assert!(error.contains("leads out") || error.contains("a character"), "{name}: {error}");
        let error = folder.refusal("a.tar", &tarred(&[(name, EntryType::Regular, b"2")]));
        assert!(error.contains("leads out") || error.contains("a character"), "{name}: {error}");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
        let error = folder.refusal("a.tar.gz", &gzipped(&tarred(&[("x", kind, b"")])));
        assert!(error.contains("x: cannot be read: it is a link or a device"), "{error}");
    }
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.add_symlink("x", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    assert!(folder.refusal("a.zip", &zip.finish().unwrap().into_inner()).contains("it is a link"));
    let twice = tarred(&[("x", EntryType::Regular, b"1"), ("x", EntryType::Regular, b"2")]);
    assert!(folder.refusal("a.tar", &twice).contains("occurs twice"));
    let whole = zipped(&[("x", &[7; 100_000])]);
    folder.refusal("a.zip", &whole[..whole.len() / 2]);
    let mut flipped = zipped(&[("x", b"some content")]);
    flipped[33] ^= 1;
    folder.refusal("a.zip", &flipped);
    let tar = gzipped(&tarred(&[("x", EntryType::Regular, &[7; 100_000])]));
    folder.refusal("a.tar.gz", &tar[..tar.len() / 2]);
    assert!(folder.refusal("a.zip", b"<html>").contains("first bytes"));
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_disk() {
    let folder = Folder::new("bomb");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..65).for_each(|_| gz.write_all(&[0; 1 << 20]).unwrap());
    let bomb = gz.finish().unwrap();
    assert!(folder.refusal("a.gz", &bomb).contains("expected at most 67.1 MB"));
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("x", SimpleFileOptions::default().large_file(true)).unwrap();
    (0..65).for_each(|_| zip.write_all(&[0; 1 << 20]).unwrap());
    assert!(folder.refusal("a.zip", &zip.finish().unwrap().into_inner()).contains("expected at most 67.1 MB"));
}

#[test]
fn a_long_name_is_refused_before_it_fills_the_memory() {
    let folder = Folder::new("names");
    let name = |length| {
        let name = vec![b'a'; length];
        tarred(&[("././@LongLink", tar::EntryType::GNULongName, &name), ("x", tar::EntryType::Regular, b"1")])
    };
    let error = folder.refusal("a.tar.gz", &gzipped(&name(2 << 20)));
    assert!(error.contains("more than 1048576 bytes before a member"), "{error}");
    let archive = folder.0.join("b.tar");
    std::fs::write(&archive, name(120)).unwrap();
    assert_eq!(unpack(&archive, &folder.0.join("out")).unwrap().names, ["a".repeat(120)]);
}

#[test]
fn the_number_of_members_is_checked_before_they_are_listed() {
    let folder = Folder::new("members");
    let mut zip = zipped(&[("x", b"1")]);
    // Insert a zip64 end record and its locator before the end record.
    let (at, end) = (zip.len() as u64, zip.split_off(zip.len() - 22));
    let mut record = [0; 56];
    record[..4].copy_from_slice(b"PK\x06\x06");
    record[4] = 44;
    record[32..40].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let place = at - 22;
    zip.extend(record);
    zip.extend([b"PK\x06\x07\0\0\0\0".as_slice(), &place.to_le_bytes(), &[1, 0, 0, 0]].concat());
    zip.extend(end);
    let error = folder.refusal("a.zip", &zip);
    assert!(error.contains("it has 1099511627776 members, and at most 4194304 are read"), "{error}");
}
