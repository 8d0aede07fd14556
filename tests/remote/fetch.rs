//! Tests of `fetch`: data sets from a server that makes mistakes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json as value;
use tonic_toolkit::base::{Progress, Verbosity};
use tonic_toolkit::remote::{Patience, RemoteFile, md5_of};

use crate::bench::{Bench, json};
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };
const NAME: &str = "thun_00_a_events_left.zip";

/// Returns `bytes` pseudorandom bytes.
fn noise(seed: &str, bytes: usize) -> Vec<u8> {
    let mut all = vec![0; bytes];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut all);
    all
}

fn zipped(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file(name, stored).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

/// Returns the fault of a server that dies during request 1, counted from 0. The answer to request 1 ends after `bytes`
/// bytes. All later requests get status 503. `number` is the number of the request.
fn broken_after(bytes: usize, number: u64) -> Fault {
    if number == 1 { Fault::Cut(bytes) } else { Fault::Status(503) }
}

/// Makes the folder `mirror` with the two files of a recording of DSEC. The program knows no MD5 of these files.
fn mirror(bench: &Bench, bytes: usize) {
    std::fs::create_dir_all(bench.path("mirror")).unwrap();
    for side in ["left", "right"] {
        let name = format!("mirror/thun_00_a_events_{side}.zip");
        std::fs::write(bench.path(&name), zipped("events.h5", &noise(side, bytes))).unwrap();
    }
}

fn check_unpacked(bench: &Bench, dir: &str, bytes: usize) {
    for side in ["left", "right"] {
        let file = bench.path(dir).join(format!("thun_00_a/events_{side}/events.h5"));
        assert!(std::fs::read(&file).unwrap() == noise(side, bytes), "{}", file.display());
    }
    let names =
        |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let mut left = names(&bench.path(dir));
    left.sort();
    assert_eq!(left, [".fetched.json", "thun_00_a"], "no archives, parts and locks");
}

fn fetch<'a>(url: &'a str, dir: &'a str) -> [&'a str; 7] {
    ["fetch", "dsec", dir, "--split", "thun_00_a", "--from", url]
}

#[test]
fn a_data_set_is_fetched_unpacked_and_not_fetched_again() {
    let bench = Bench::empty();
    mirror(&bench, 100_000);
    for url in [Server::of(&bench.path("mirror")).url, bench.url("mirror")] {
        let dir = format!("data{}", url.len());
        let said = json(&bench.run(&[&fetch(&url, &dir)[..], &["--json"]].concat()));
        assert_eq!((&said["fetched"], &said["unpacked_files"], &said["there"]), (&value!(2), &value!(2), &value!(0)));
        assert_eq!(
            said["next"],
            value!([format!("tonic-prep convert --dataset dsec {dir} -o shards/dsec-thun_00_a --split thun_00_a")])
        );
        check_unpacked(&bench, &dir, 100_000);
        let notes = said["notes"].as_array().unwrap();
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].as_str().unwrap().starts_with("no md5 of thun_00_a_events_left.zip is known; it has "));
        let said = json(&bench.run(&[&fetch(&url, &dir)[..], &["--json"]].concat()));
        assert_eq!((&said["fetched"], &said["there"], &said["fetched_bytes"]), (&value!(0), &value!(2), &value!(0)));
        let note = "2 archives were unpacked before; of their files, only the names were compared";
        assert_eq!(said["notes"], value!([note]));
        // What was removed is fetched again, and nothing else.
        std::fs::remove_dir_all(bench.path(&dir).join("thun_00_a/events_left")).unwrap();
        let said = json(&bench.run(&[&fetch(&url, &dir)[..], &["--json"]].concat()));
        assert_eq!((&said["fetched"], &said["there"]), (&value!(1), &value!(1)));
        check_unpacked(&bench, &dir, 100_000);
    }
}

#[test]
fn connections_that_drop_lose_nothing() {
    let bench = Bench::empty();
    mirror(&bench, 300_000);
    for (i, (ranges, tags)) in [(true, true), (true, false), (false, true), (false, false)].into_iter().enumerate() {
        let cut = |_: &str, number: u64| (1..6).contains(&number).then_some(Fault::Cut(50_000 * number as usize));
        let server = Server::start(&bench.path("mirror"), Kind { ranges, tags }, cut);
        let dir = format!("data{i}");
        bench.run(&fetch(&server.url, &dir));
        check_unpacked(&bench, &dir, 300_000);
    }
}

#[test]
fn an_interrupted_download_goes_on_where_it_ended() {
    let bench = Bench::empty();
    mirror(&bench, 3_000_000);
    let stalling = |name: &str, number: u64| (name == NAME && number == 1).then_some(Fault::Stall(2_000_000));
    let server = Server::start(&bench.path("mirror"), ALL, stalling);
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("tonic-prep"))
        .args(fetch(&server.url, "data"))
        .current_dir(bench.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let part = bench.path("data").join(format!(".{NAME}.part"));
    let start = Instant::now();
    while part.metadata().map_or(0, |meta| meta.len()) < 1_900_000 {
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let there = part.metadata().unwrap().len();
    let before = server.sent.load(Ordering::Relaxed);
    bench.run(&fetch(&server.url, "data"));
    check_unpacked(&bench, "data", 3_000_000);
    let sent = server.sent.load(Ordering::Relaxed) - before;
    assert!(sent < 6_100_000 - there, "{sent} bytes, although {there} were there");
}

#[test]
fn a_file_that_is_replaced_is_begun_anew() {
    // The file is replaced in the middle of a download, and between two calls.
    let bench = Bench::empty();
    mirror(&bench, 400_000);
    std::fs::create_dir(bench.path("served")).unwrap();
    let (old, new) =
        (zipped("events.h5", &noise("old", 400_000)), std::fs::read(bench.path("mirror").join(NAME)).unwrap());
    std::fs::copy(bench.path("mirror/thun_00_a_events_right.zip"), bench.path("served/thun_00_a_events_right.zip"))
        .unwrap();
    let file = bench.path("served").join(NAME);
    std::fs::write(&file, &old).unwrap();
    let done = AtomicBool::new(false);
    let (path, bytes) = (file.clone(), new.clone());
    // The ETags of this server change with the content.
    let replacing = move |name: &str, number: u64| {
        let is_left = name == NAME;
        if is_left && number == 2 && !done.swap(true, Ordering::Relaxed) {
            std::fs::write(&path, &bytes).unwrap();
        }
        (is_left && number == 1).then_some(Fault::Cut(150_000))
    };
    let server = Server::start_tagging(&bench.path("served"), replacing);
    bench.run(&fetch(&server.url, "data"));
    check_unpacked(&bench, "data", 400_000);

    std::fs::write(&file, &old).unwrap();
    let broken = |name: &str, number: u64| (name == NAME && number > 0).then_some(broken_after(150_000, number));
    let server = Server::start_tagging(&bench.path("served"), broken);
    bench.refuses(&[&fetch(&server.url, "again")[..], &["--timeout", "1"]].concat(), 1, &[NAME]);
    std::fs::write(&file, &new).unwrap();
    bench.run(&fetch(&Server::start_tagging(&bench.path("served"), |_, _| None).url, "again"));
    check_unpacked(&bench, "again", 400_000);
}

#[test]
fn servers_that_fail_are_told_with_what_to_do() {
    let bench = Bench::empty();
    mirror(&bench, 50_000);
    let faults = [
        (Fault::Status(404), "no such file"),
        (Fault::Status(403), "403"),
        (Fault::Status(503), "503"),
        (Fault::Busy(503, 100), "asked again in 100 s"),
        (Fault::Page(200, "text/html", "<html>log in</html>"), "HTML page"),
        (Fault::Page(202, "text/plain", ""), "202"),
        (Fault::EndlessPage(500), "500"),
        (Fault::Redirect("http://127.0.0.1:1/gone"), "cannot read"),
        (Fault::Longer(1_000), "cannot read"),
        (Fault::Stall(100), "arrive"),
        (Fault::Endless, "expected room for about 1125"),
        (Fault::Header("Content-Encoding: gzip"), "compression"),
        (Fault::Chunked(1_000_000, true), "Content-Length"),
    ];
    for (i, (fault, words)) in faults.into_iter().enumerate() {
        let kind = Kind { ranges: false, tags: true };
        let server = Server::start(&bench.path("mirror"), kind, move |name, _| (name == NAME).then_some(fault));
        let (dir, start) = (format!("data{i}"), Instant::now());
        let text = bench.refuses(&[&fetch(&server.url, &dir)[..], &["--timeout", "1"]].concat(), 1, &[]);
        assert!(text.contains(words) || words == "arrive" && text.contains("timed out"), "{fault:?}: {text}");
        assert!(text.contains(NAME) || words.starts_with("expected room"), "{fault:?}: {text}");
        assert!(words.starts_with("expected room") || text.contains("--from URL"), "{fault:?}: {text}");
        assert!(start.elapsed() < Duration::from_secs(20), "{fault:?}");
        assert!(!bench.path(&dir).join(NAME).exists() && !bench.path(&dir).join("thun_00_a").exists(), "{fault:?}");
        bench.run(&fetch(&Server::of(&bench.path("mirror")).url, &dir));
        check_unpacked(&bench, &dir, 50_000);
    }
}

/// Fetches a file of a server with the library.
fn get(server: &Server, name: &str, target: &Path, md5: Option<&str>) -> Result<String, String> {
    let patience = Patience { timeout: Duration::from_secs(1) };
    let file = RemoteFile::open(&format!("{}/{name}", server.url), patience).map_err(|e| e.to_string())?;
    let progress = Progress::start(Verbosity::Quiet, "fetch", file.bytes(), "B");
    file.fetch(target, md5, &progress).map_err(|e| e.to_string())
}

#[test]
fn hashes_are_checked_before_a_file_gets_its_name() {
    let bench = Bench::empty();
    std::fs::write(bench.path("x.bin"), "hello world\n").unwrap();
    let right = "6f5902ac237024bdd0c176cb93063dc4";
    let target = bench.path("copy.bin");
    let server = Server::of(&bench.path(""));
    let error = get(&server, "x.bin", &target, Some(&"0".repeat(32))).unwrap_err();
    assert!(error.contains(&format!("md5 {}, got one with {right}", "0".repeat(32))), "{error}");
    assert!(!target.exists() && !bench.path(".copy.bin.part").exists());
    assert_eq!(get(&server, "x.bin", &target, Some(right)).unwrap(), right);
    assert_eq!(get(&server, "x.bin", &target, None).unwrap(), right);
    // A bit that flips on the way: the bytes before the break and after it are checked together.
    let flip = Arc::new(AtomicU64::new(0));
    let counted = flip.clone();
    let server = Server::start(&bench.path(""), ALL, move |_, number| {
        counted.fetch_add(1, Ordering::Relaxed);
        (number == 1).then_some(Fault::Flip(3))
    });
    std::fs::remove_file(&target).unwrap();
    assert!(get(&server, "x.bin", &target, Some(right)).unwrap_err().contains("md5"));
    assert!(!target.exists());
    assert_eq!(get(&server, "x.bin", &target, Some(right)).unwrap(), right);
    assert!(flip.load(Ordering::Relaxed) > 2);
}

#[test]
fn bytes_of_a_version_that_cannot_be_told_are_used_only_if_a_hash_proves_them() {
    let bench = Bench::empty();
    let (old, new) = (noise("old", 200_000), noise("new", 200_000));
    let file = bench.path("x.bin");
    let md5 = |bytes: &[u8]| {
        std::fs::write(bench.path("y.bin"), bytes).unwrap();
        get(&Server::of(&bench.path("")), "y.bin", &bench.path("z.bin"), None).unwrap()
    };
    let new_md5 = md5(&new);
    for known in [None, Some(new_md5.as_str())] {
        std::fs::write(&file, &old).unwrap();
        let plain = Kind { ranges: true, tags: false };
        let target = bench.path("copy.bin");
        let _ = std::fs::remove_file(&target);
        let part = bench.path(".copy.bin.part");
        let broken = |_: &str, number: u64| (number > 0).then_some(broken_after(90_000, number));
        get(&Server::start(&bench.path(""), plain, broken), "x.bin", &target, known).unwrap_err();
        assert_eq!(part.metadata().unwrap().len(), 90_000);
        std::fs::write(&file, &new).unwrap();
        let server = Server::start(&bench.path(""), plain, |_, _| None);
        assert_eq!(get(&server, "x.bin", &target, known).unwrap(), new_md5);
        assert!(std::fs::read(&target).unwrap() == new);
    }
}

#[test]
fn files_that_were_brought_by_hand_are_checked_and_unpacked() {
    let bench = Bench::empty();
    let words = ["fetch", "n-cars", "cars"];
    let text = bench.refuses(&words, 2, &["N-CARS", "a form has to be filled in", "https://www.prophesee.ai"]);
    assert!(text.contains("save Prophesee_Dataset_n_cars.zip in cars and run the same command again"), "{text}");
    std::fs::write(bench.path("cars/Prophesee_Dataset_n_cars.zip"), zipped("n-cars/train/cars/1.dat", b"x")).unwrap();
    let said = json(&bench.run(&[&words[..], &["--json"]].concat()));
    assert_eq!((&said["brought"], &said["fetched"], &said["unpacked_files"]), (&value!(1), &value!(0), &value!(1)));
    let commands = ["train", "test"]
        .map(|split| format!("tonic-prep convert --dataset ncars cars -o shards/ncars-{split} --split {split}"));
    assert_eq!(said["next"], value!(commands));
    assert!(bench.path("cars/n-cars/train/cars/1.dat").exists());
    assert!(bench.path("cars/Prophesee_Dataset_n_cars.zip").exists(), "the user's own file stays");
    assert_eq!(json(&bench.run(&[&words[..], &["--json"]].concat()))["there"], 1);
    std::fs::create_dir(bench.path("lip")).unwrap();
    std::fs::write(bench.path("lip/DVS-Lip.zip"), "half").unwrap();
    bench.refuses(&["fetch", "dvslip", "lip"], 4, &["lip/DVS-Lip.zip: corrupt: md5: expected 2dcb9592"]);
    bench.refuses(&["fetch", "mnist"], 2, &["expected one of asldvs", "got mnist"]);
    bench.refuses(&["fetch", "dsec", "--split", "valid"], 2, &["--split", "train,test", "got valid"]);
}

#[test]
fn files_that_changed_since_they_were_fetched_are_told() {
    let bench = Bench::empty();
    let (name, words) =
        ("motorcycle/motorcycle_data.bag", ["fetch", "mvsec", "data", "--split", "motorcycle", "--json"]);
    let file = bench.path("data").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "a bag").unwrap();
    let record = value!({name: {"md5": md5_of(&file).unwrap(), "unpacked": []}});
    std::fs::write(bench.path("data/.fetched.json"), record.to_string()).unwrap();
    assert_eq!(json(&bench.run(&words))["there"], 1);
    std::fs::write(&file, "a ba").unwrap();
    let text = bench.refuses(&words, 4, &["motorcycle_data.bag: corrupt: md5: expected"]);
    assert!(text.contains("as it was fetched (remove the file to fetch it again)"), "{text}");
}

#[test]
fn archives_that_lead_elsewhere_and_credentials_are_kept_out() {
    let bench = Bench::empty();
    mirror(&bench, 1_000);
    std::fs::write(bench.path("mirror").join(NAME), zipped("../../evil", b"x")).unwrap();
    let url = Server::of(&bench.path("mirror")).url;
    bench.refuses(&fetch(&url, "deep/data"), 3, &["../../evil", "leads out of the folder"]);
    assert!(!bench.path("deep/evil").exists() && !bench.path("evil").exists());
    let secret = format!("{}?sig=hidden", url.replace("http://", "http://me:secret@"));
    std::fs::remove_file(bench.path("mirror").join(NAME)).unwrap();
    let text = bench.refuses(&fetch(&secret, "data"), 1, &[NAME]);
    assert!(!text.contains("secret") && !text.contains("hidden"), "{text}");
}

#[test]
fn a_damaged_archive_whose_hash_is_unknown_is_fetched_again() {
    let bench = Bench::empty();
    mirror(&bench, 1_000);
    let whole = std::fs::read(bench.path("mirror").join(NAME)).unwrap();
    let mut damaged = whole.clone();
    damaged[60] ^= 1;
    std::fs::write(bench.path("mirror").join(NAME), damaged).unwrap();
    let url = Server::of(&bench.path("mirror")).url;
    bench.refuses(&fetch(&url, "data"), 3, &[NAME, "events.h5: cannot be read"]);
    assert!(!bench.path("data").join(NAME).exists(), "it would be taken for a file that was brought by hand");
    std::fs::write(bench.path("mirror").join(NAME), whole).unwrap();
    let url = Server::of(&bench.path("mirror")).url;
    bench.run(&fetch(&url, "data"));
    check_unpacked(&bench, "data", 1_000);
}

#[test]
fn a_full_disk_is_told_before_and_during_a_download() {
    let bench = Bench::empty();
    mirror(&bench, 400_000);
    let url = Server::of(&bench.path("mirror")).url;
    let program = assert_cmd::cargo::cargo_bin("tonic-prep").display().to_string();
    let shell = |script: &str| {
        let done = Command::new("sh").args(["-c", script]).current_dir(bench.path("")).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let line = |dir: &str| format!("{program} fetch dsec {dir} --split thun_00_a --from {url} -q");
    // A limit on the size of files acts like a disk that fills.
    let (code, text) = shell(&format!("trap '' XFSZ; ulimit -f 100; {}", line("data")));
    assert!(code == Some(1) && text.contains("cannot write") && text.contains("free some space"), "{code:?} {text}");
    assert!(!bench.path("data/thun_00_a").exists());
    bench.run(&fetch(&url, "data"));
    check_unpacked(&bench, "data", 400_000);
    std::fs::create_dir(bench.path("disk")).unwrap();
    let script = format!("unshare -m sh -c 'mount -t tmpfs -o size=600k none disk || exit 9; {}'", line("disk/data"));
    match shell(&script) {
        (Some(9) | Some(127), _) => println!("skipped: mounting a small disk takes root and unshare"),
        (code, text) => assert!(code == Some(1) && text.contains("expected room"), "{code:?} {text}"),
    }
}
