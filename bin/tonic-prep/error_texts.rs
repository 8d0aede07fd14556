//! Tests the text of every error that `tonic-prep` can show. The text has to say what happened, where, what was
//! expected, what was found, and what to type next.

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use tonic_base::Error as Base;
use tonic_prep::{Absence, ClockRemedy, ClockTimes, Error as Prep, FolderKind, Remedy, RowEvents, TimeUnit};
use tonic_report::Error as Report;
use tonic_sets::Error as Sets;
use tonic_shard::{Error as Shard, Part};

use crate::advice::{prep_advice, sets_advice};
use crate::cli::Cli;
use crate::errors::tests::{Case, case, check, has_every_variant};

const CONVERT: [&str; 5] = ["tonic-prep", "convert", "in.h5", "-o", "out"];

fn file() -> PathBuf {
    "in.h5".into()
}

fn words(words: &str) -> String {
    words.into()
}

fn base() -> Vec<Case> {
    let io = |kind, next| {
        let source = IoError::new(kind, "because");
        case(Base::Io { path: file(), action: "open it", source }, &["in.h5: cannot open it: because"], next)
    };
    vec![
        io(ErrorKind::NotFound, "check the path"),
        io(ErrorKind::PermissionDenied, "ls -ld"),
        io(ErrorKind::StorageFull, "--resume"),
        case(Base::Interrupted { saved: words("2 shards are kept") }, &["2 shards are kept"], "with --resume"),
        case(
            Base::Usage { what: words("chunk_samples"), expected: words("1 to 9"), got: words("10") },
            &["--chunk-samples: expected 1 to 9, got 10"],
            "",
        ),
        case(Base::Unavailable { what: words("it"), why: words("use that") }, &["it is not available: use that"], ""),
        case(
            Base::NoSpace { path: file(), needed: words("9 GB"), free: words("1 GB") },
            &["in.h5: expected room for about 9 GB, got 1 GB free: free some space, or write elsewhere"],
            "",
        ),
        case(
            Base::Exists { path: file(), why: "it holds a set" },
            &["in.h5 exists already: it holds a set"],
            "another output",
        ),
        case(
            Base::Exists { path: "src".into(), why: "it holds a set" },
            &["src exists"],
            "name another output, or continue",
        ),
        case(Base::Busy { path: file() }, &["in.h5 is being written"], "wait until it has ended"),
        case(
            corrupt("a/00000.shard"),
            &["00000.shard: corrupt: chunk 3: expected 1, got 2"],
            "tonic-prep repair a --from COPY",
        ),
        case(corrupt("a/manifest.json"), &["manifest.json: corrupt"], "tonic-prep repair a --from COPY"),
        case(corrupt("report.json"), &["report.json: corrupt"], "from a copy"),
        case(Base::WorkerLost { doing: "hash it" }, &["had to hash it"], "report"),
    ]
}

fn corrupt(path: &str) -> Base {
    Base::Corrupt { path: path.into(), place: words("chunk 3"), expected: words("1"), got: words("2") }
}

fn mismatch(field: &str, other: &str) -> Shard {
    let (expected, got) = (words("this"), words("that"));
    Shard::Mismatch { path: "a set".into(), other: other.into(), field: field.into(), expected, got }
}

fn shard() -> Vec<Case> {
    vec![
        case(Shard::Base(corrupt("a/00000.shard")), &["chunk 3: expected 1, got 2"], "tonic-prep verify a "),
        case(Shard::NotASet { path: file(), got: words("a file") }, &["in.h5: expected a shard set, got a file"], "-o"),
        case(
            Shard::Incomplete { path: file(), missing: words("00001.shard") },
            &["in.h5: the set is incomplete: 00001"],
            "with --resume",
        ),
        case(
            Shard::Incompatible { path: file(), expected: words("2"), got: words("3") },
            &["in.h5: incompatible: expected format version 2, got 3"],
            "convert the recordings again",
        ),
        case(
            mismatch("classes", "src"),
            &["a set: classes differs from src: expected this, got that"],
            "src has no class that: if it is another spelling, rename it and convert the recordings of 'a set' again",
        ),
        case(mismatch("list of classes", "none"), &["list of classes"], "--classes FILE"),
        case(mismatch("part", "src"), &["part differs"], "every part of one set once"),
        case(mismatch("recipe", "src"), &["recipe differs"], "'a set' again with --recipe-of src"),
        case(mismatch("shape", "src"), &["shape differs"], "'a set' again with --recipe-of src"),
        case(mismatch("zstd level", "src"), &["zstd level differs"], "the options of src, which tonic-prep info shows"),
        case(mismatch("sensor", "none"), &["sensor differs"], "--sensor W,H,P sets one for all"),
        case(mismatch("recipe", "out/unfinished"), &["recipe differs"], "another --output"),
        case(mismatch("samples", "out/unfinished"), &["samples differs"], "another --output"),
        case(mismatch("level", "out/unfinished"), &["level differs"], "give --level this, as it began"),
        case(mismatch("part", "out/unfinished"), &["part differs"], "give --part this, as it began"),
        case(mismatch("tool", "out/unfinished"), &["tool differs"], "with the version that began it"),
        case(
            mismatch("classes", "out/unfinished"),
            &["classes differs"],
            "give --classes, --classes-of and the labels",
        ),
        case(
            Shard::ChunkTooLarge { chunk: 4, expected: words("1 GiB"), got: words("2 GiB") },
            &["chunk 4: expected at most 1 GiB, got 2 GiB"],
            "a smaller --chunk-samples",
        ),
    ]
}

fn prep() -> Vec<Case> {
    let (expected, got, place) = (words("this"), words("that"), words("there"));
    let missing = |absence, next| {
        let (path, dataset, what) = (file(), words("events/t"), words("0..9 are missing"));
        case(Prep::MissingData { path, dataset, what, absence }, &["in.h5: events/t: 0..9 are missing"], next)
    };
    let folder = |kind, next| {
        case(
            Prep::NotClasses { path: file(), got: words("a, b"), kind },
            &["in.h5: expected a folder for each class, got a, b"],
            next,
        )
    };
    let wrong_type = |mapped, next| {
        let (path, dataset, expected, got) = (file(), words("t"), words("this"), words("that"));
        case(Prep::WrongType { path, dataset, expected, got, mapped }, &["in.h5: t: expected this, got that"], next)
    };
    let times = |probable, alone, next| {
        let (path, place, expected, got) = (file(), words("times"), words("a second"), words("a year"));
        let assumed = TimeUnit::Seconds;
        case(
            Prep::ImplausibleTimes { path, place, expected, got, assumed, probable, alone },
            &["in.h5: times: expected a second, got a year"],
            next,
        )
    };
    let utf8 = |encoding, next| {
        case(
            Prep::NotUtf8 { path: "a b.csv".into(), line: 2, got: words("UTF-16"), encoding },
            &["a b.csv: line 2: expected text in UTF-8, got UTF-16"],
            next,
        )
    };
    let events = |range: &str| range.parse().unwrap();
    let trouble = |remedy, period, next| {
        let (place, got) = (words("times"), words("a reset at event 9"));
        case(
            Prep::ClockTrouble { path: file(), place, got, remedy, period },
            &["in.h5: times: expected a clock that goes on, got a reset at event 9"],
            next,
        )
    };
    let clock = |remedy, next| trouble(remedy, None, next);
    let keep = |clocks| {
        let times = ClockTimes { from: words("0.5"), to: words("9.5"), events: 7, unit: TimeUnit::Seconds };
        ClockRemedy::Keep { clocks: vec![times; clocks], removed: 3 }
    };
    let of_rows = |rows: [Option<u64>; 2], more, next| {
        let row = |row: Option<u64>| {
            let (arrays, events) = ([words("a"), words("b")], vec![events("0..4"), events("6..9")]);
            RowEvents { arrays, row, events, in_parts: row.is_none() }
        };
        clock(ClockRemedy::OfRows { rows: rows.map(row).to_vec(), more }, next)
    };
    let unit = |multiple, next| {
        case(
            Prep::OddUnit { path: file(), place: words("units of t"), got: words("10 us"), multiple },
            &["in.h5: units of t: expected a unit of time (s, ms, us or ns), got 10 us"],
            next,
        )
    };
    let lost = |converted, next| {
        let (path, most, got, reasons) = (file(), words("1%"), words("9%"), words("cropped"));
        case(
            Prep::TooMuchLost { path, most, got, reasons, converted },
            &["in.h5: expected at most 1% of the events to be lost, got 9%: cropped"],
            next,
        )
    };
    let little_memory = |samples, text, next| {
        let (path, step, needed, free) = (file(), "Denoise", words("4 GB"), words("2 GB"));
        case(
            Prep::TooLittleMemory { path, sample: 7, events: 99, samples, step, needed, free },
            &["in.h5: sample 7: expected about 4 GB of free memory, because", text],
            next,
        )
    };
    let outside = |origin, lowest, next| {
        let (path, expected, got) = (file(), words("this"), words("that"));
        case(
            Prep::OutsideSensor { path, sample: 7, event: 8, expected, got, origin, lowest },
            &["in.h5: sample 7: event 8: expected this, got that"],
            next,
        )
    };
    let pixels = |least, most, next| {
        let (path, field) = (file(), words("x"));
        case(Prep::NotPixels { path, field, least, most }, &["in.h5: x: expected pixels, got fractions from "], next)
    };
    let columns = |remedies, next| {
        let (path, place, expected, got) = (file(), words("events"), words("t, x"), words("a, b"));
        case(Prep::Columns { path, place, expected, got, remedies }, &["in.h5: events: expected t, x, got a, b"], next)
    };
    let copy = |command: &[&str], file, with| Remedy::Copy {
        words: command.iter().map(|word| words(word)).collect(),
        file: words(file),
        with,
    };
    let foreign = |command, next| {
        let (path, place, expected, format) = (file(), String::new(), words("this"), words("MAT"));
        let reader = words("scipy reads it");
        case(
            Prep::Foreign { path, place, expected, format, reader, command },
            &["in.h5: expected this, got MAT: scipy reads it"],
            next,
        )
    };
    let unknown = |maps, next| {
        let (path, looked, has) = (file(), words("events/t"), words("it has a"));
        case(
            Prep::UnknownLayout { path, looked, has, maps },
            &["in.h5: no layout fits: looked for events/t; it has a"],
            next,
        )
    };
    let sample = |what: &str, next| {
        let (path, what, expected, got) = (file(), words(what), words("this"), words("that"));
        case(
            Prep::BadSample { path, sample: 7, what, expected, got },
            &["in.h5: sample 7: ", "expected this, got that"],
            next,
        )
    };
    vec![
        case(Prep::Base(corrupt("x.shard")), &["chunk 3"], "repair"),
        case(Prep::Shard(mismatch("recipe", "src")), &["recipe"], "--recipe-of src"),
        case(
            Prep::NotARecording { path: file(), expected: expected.clone(), got: got.clone() },
            &["in.h5: expected this, got that"],
            "--help",
        ),
        case(
            Prep::MissingDataset { path: file(), dataset: words("events/t"), layout: "dsec", present: words("a, b") },
            &["in.h5: expected a dataset events/t (dsec layout), got none; the file has a, b"],
            "--map",
        ),
        case(
            Prep::MissingDataset {
                path: file(),
                dataset: words("labels"),
                layout: "Heidelberg",
                present: words("spikes/times (float32, shape [9])"),
            },
            &[
                "expected a dataset labels (Heidelberg layout), got none; the file has spikes/times (float32, shape [9])",
            ],
            "f[\"labels\"] = f[NAME]",
        ),
        case(
            Prep::NoPixel { path: file(), sample: 7, event: 8, got: words("x = NaN, y = 1") },
            &["in.h5: sample 7: event 8: expected x and y that are finite, got x = NaN, y = 1"],
            "; --lenient leaves out what has no pixel",
        ),
        case(
            Prep::NoEvents { path: file(), got: words("an empty array") },
            &["in.h5: expected events, got an empty array"],
            "np.savez(\"empty.npz\", t=[], x=[], y=[], p=[])",
        ),
        wrong_type(true, "--map"),
        wrong_type(false, "del f[\"t\"]; f[\"t\"] = CORRECTED"),
        case(
            Prep::DamagedRecording { path: file(), place: place.clone(), reason: words("no filter") },
            &["in.h5: there: cannot be read: no filter"],
            "save it anew",
        ),
        missing(Absence::VirtualSource, "HDF5_VDS_PREFIX"),
        missing(Absence::RawFile, "HDF5_EXTFILE_PREFIX"),
        missing(Absence::NeverWritten, "look for a copy"),
        missing(Absence::Link, "--map"),
        sample("frames", "--time-unit"),
        sample("times", "--map t=FIELD,... names another"),
        sample("labels", "h5py or NumPy"),
        case(
            Prep::SampleTooLarge { path: file(), sample: 7, most: 10, got: 11, step: "Denoise" },
            &["in.h5: sample 7: events: expected at most 10, because Denoise needs all of them at once, got 11"],
            "--sample-duration",
        ),
        little_memory(1, "Denoise needs all of its 99 events at once, got 2 GB", "; cut the recording"),
        little_memory(3, "events at once (3 such samples at the same time), got 2 GB", "take fewer --threads"),
        outside(None, None, "; --sensor W,H,P gives the size"),
        outside(None, Some([-64, 0]), "save a copy in which 64 is added to x (in NumPy: x = x.astype(\"i8\") + 64)"),
        outside(Some(1), None, "--origin 1"),
        outside(Some(0), None, "--origin 0"),
        columns(Vec::new(), "name another column with --map"),
        columns(vec![Remedy::Map("t=a b,x=x".into())], "type --map 't=a b,x=x'"),
        columns(
            vec![Remedy::Columns("t,x,y,p".into()), Remedy::Sensor("9,9,2".into())],
            "type --columns t,x,y,p; only if no field has them: --sensor 9,9,2",
        ),
        columns(vec![Remedy::Sensor("9,9,2".into())], "type --sensor 9,9,2"),
        columns(vec![copy(&["cp", "a b", "c"], "c", Vec::new())], "type cp 'a b' c, and convert c"),
        columns(
            vec![copy(&["cp"], "c", vec![Remedy::Unit(TimeUnit::Seconds), Remedy::Columns("t,x".into())])],
            "and convert c with --time-unit s --columns t,x",
        ),
        pixels(0.25, 0.75, "floor(x * W)"),
        pixels(0.0, 1.0, "round(x * (W - 1))"),
        pixels(-1.0, 0.5, "round((x + 1) / 2 * (W - 1))"),
        pixels(7.25, 7.75, "numbers of pixels"),
        foreign(None, "then convert the HDF5, .npy or .npz file"),
        foreign(
            Some(Box::new(copy(&["unzip", "in h5"], "", Vec::new()))),
            "type unzip 'in h5', and convert what that gives",
        ),
        times(Some(TimeUnit::Milliseconds), false, "--time-unit ms"),
        times(Some(TimeUnit::Milliseconds), true, "a copy of it in s, with its times divided by 1000"),
        times(None, false, "--time-unit s takes them"),
        unit(Some(10.0), "multiplied by 10 (t * 10, with h5py or NumPy), and convert it with --time-unit us"),
        unit(Some(0.5), "multiplied by 500 (t * 500, with h5py or NumPy), and convert it with --time-unit ns"),
        unit(None, "--time-unit s, ms, us or ns"),
        trouble(ClockRemedy::Sort, Some("4096".into()), "t = np.unwrap(t.astype(\"i8\"), period=4096)"),
        clock(ClockRemedy::Unwrap, "--unwrap"),
        clock(ClockRemedy::Sort, "--allow-clock-trouble sorts all events by time"),
        clock(ClockRemedy::TakeOut(vec![events("9..10")]), "(in NumPy: np.delete(events, np.s_[9:10]))"),
        clock(ClockRemedy::TakeOut(vec![events("0..1"), events("9..10")]), "np.delete(events, np.r_[0:1, 9:10])"),
        clock(keep(1), "keep = (t >= 0.5) & (t <= 9.5) (7 events), which removes 3 events;"),
        clock(keep(2), "(7 events) or keep = (t >= 0.5) & (t <= 9.5) (7 events); each clock by itself"),
        of_rows(
            [Some(7), Some(9)],
            0,
            "for rows, out in [([7, 9], numpy.r_[0:4, 6:9])] for row in rows for n in [\"a\", \"b\"]]'; --allow",
        ),
        of_rows([Some(7), Some(9)], 5, "(these are 2 samples; 5 more are named next; faults of another kind"),
        of_rows([None; 2], 0, "only not in order; if its clock started again, take that out"),
        of_rows([None; 2], 0, "for names, out in [([\"a\", \"b\"], numpy.r_[0:4, 6:9]), ([\"a\", \"b\"], numpy"),
        clock(ClockRemedy::Parts(vec![events("1..")]), "leave the others out, with --events 1..;"),
        clock(
            ClockRemedy::Parts(vec![events("..9"), events("9..")]),
            "convert each part by itself, with --events ..9 or --events 9..",
        ),
        unknown(Vec::new(), "np.savez"),
        unknown(vec![Remedy::Map("t=a,x=b".into()), Remedy::Map("t=c,x=d".into())], "--map t=a,x=b or --map t=c,x=d"),
        folder(FolderKind::Parts(Vec::new()), "--class-level 1"),
        folder(FolderKind::PartsOfEach, "--class-level 1"),
        folder(FolderKind::SameFiles { file: words("lab/wave.npy"), class: words("wave") }, "as lab/wave.npy,wave;"),
        folder(FolderKind::Loose(2), "(in.h5/*/CLASS) or away; or --labels"),
        folder(FolderKind::Groups, "--labels with a table"),
        folder(FolderKind::Above(2), "--class-level 2"),
        case(
            Prep::UnknownClass {
                path: file(),
                line: Some(3),
                list: "list.txt".into(),
                expected: expected.clone(),
                got: got.clone(),
            },
            &["in.h5: line 3: expected classes of list.txt (this), got that"],
            "add them to the end of the list",
        ),
        utf8(Some("UTF-16"), "iconv -f UTF-16 -t UTF-8 'a b.csv' > utf8.csv"),
        utf8(None, "CSV UTF-8"),
        case(
            Prep::BadTable { path: file(), line: 4, expected: expected.clone(), got: got.clone() },
            &["in.h5: line 4: expected this, got that"],
            "correct that line",
        ),
        lost(true, "--resume"),
        lost(false, "--max-loss"),
        case(
            Prep::BadRecipe { path: Some("r.toml".into()), place, expected, got },
            &["recipe r.toml: there: expected this, got that"],
            "tonic-prep transforms",
        ),
    ]
}

fn sets() -> Vec<Case> {
    vec![
        case(Sets::Base(corrupt("x.shard")), &["chunk 3"], "repair"),
        case(Sets::Shard(mismatch("recipe", "src")), &["recipe"], "--recipe-of src"),
        case(
            Sets::Prep(Prep::BadTable { path: file(), line: 4, expected: words("this"), got: words("that") }),
            &["line 4"],
            "correct",
        ),
        case(
            Sets::Report(Report::Plot { what: words("a page"), reason: words("why") }),
            &["cannot draw a page: why"],
            "report",
        ),
        case(
            Sets::MissingParts {
                path: file(),
                missing: words("2, 3"),
                part: Part { index: 2, of: 4 },
                given: vec![(1, PathBuf::from("parts/1"))],
                command: ["tonic-prep", "convert", "my file.h5"].map(String::from).into(),
            },
            &["in.h5: the set is incomplete: 2, 3"],
            "--part",
        ),
    ]
}

fn report() -> Vec<Case> {
    let plot = Report::Plot { what: words("a page"), reason: words("why") };
    vec![
        case(Report::Base(corrupt("report.json")), &["chunk 3"], "copy"),
        case(plot, &["cannot draw a page: why"], "report"),
    ]
}

#[cfg(feature = "remote")]
fn remote() -> Vec<Case> {
    use tonic_remote::Error as Remote;
    let (url, id) = (|| words("s3://a/b"), || "0".repeat(64).parse().unwrap());
    vec![
        case(Remote::Base(corrupt("s3://a/b/0.shard")), &["s3://a/b/0.shard: corrupt"], "pull again"),
        case(
            Remote::Shard(Shard::NotASet { path: "s3://a/b".into(), got: words("no latest.json") }),
            &["s3://a/b: ", "no latest.json"],
            "name the URL",
        ),
        case(
            Remote::BadUrl { url: url(), expected: "a scheme", got: words("none") },
            &["s3://a/b: expected a scheme, got none"],
            "s3://BUCKET/NAME",
        ),
        case(
            Remote::ReadOnly { url: url() },
            &["s3://a/b: expected a place that can be written"],
            "push to the folder",
        ),
        case(
            Remote::OtherSet { url: url(), expected: id(), got: id() },
            &["s3://a/b: expected the set 0000"],
            "names the set itself",
        ),
        case(
            Remote::Overtaken { url: url(), ours: id(), theirs: words("another") },
            &["s3://a/b: another process has made another the latest set"],
            "push again",
        ),
        case(
            Remote::BeingPruned { url: url(), id: id() },
            &["s3://a/b: expected a set that stays", "`prune` is removing"],
            "push again when prune has ended",
        ),
    ]
}

#[cfg(feature = "remote")]
#[test]
fn every_error_of_servers_says_what_to_type_next() {
    has_every_variant(include_str!("../../src/remote/error.rs"), "Error", &remote());
    let push = ["tonic-prep", "push", "set", "s3://a/b"];
    check::<Cli>(&push, |cause| crate::remote_args::advice(cause).or_else(|| prep_advice(cause)), &remote());
}

/// Enums of errors whose variants this file and that of `tonic-train` check, each with the file that it is in.
const CHECKED: [(&str, &str); 9] = [
    ("base/error.rs", "Error"),
    ("prep/error.rs", "Error"),
    ("remote/error.rs", "Error"),
    ("report/error.rs", "Error"),
    ("sets/error.rs", "Error"),
    ("shard/error.rs", "Error"),
    ("train/error.rs", "Error"),
    ("train/error.rs", "KernelError"),
    ("train/error.rs", "ModelError"),
];

#[test]
fn every_enum_of_errors_is_checked() {
    let (root, mut found) = (Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")), Vec::new());
    let mut folders = vec![root.join("src"), root.join("bin")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let (source, name) = (std::fs::read_to_string(&path).unwrap(), path.strip_prefix(root).unwrap());
                // This line itself is no derive.
                let derives = source.split("thiserror::Error").skip(1).filter(|after| after.starts_with(")]"));
                let after = derives.filter_map(|after| after.split_once(" enum ")?.1.split_once(' '));
                found.extend(after.map(|(error, _)| (name.display().to_string(), error.to_string())));
                let own = ["impl std::error::Error", "impl Error"].map(|own| [own, " for "].concat());
                assert!(!own.iter().any(|own| source.contains(own)), "{}: an error without a derive", name.display());
            }
        }
    }
    found.sort();
    assert_eq!(found, CHECKED.map(|(file, error)| (format!("src/{file}"), error.into())));
}

#[test]
fn every_error_says_what_to_type_next() {
    // Some cases name folders of the repository.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
    for (source, cases) in [
        (include_str!("../../src/base/error.rs"), base()),
        (include_str!("../../src/shard/error.rs"), shard()),
        (include_str!("../../src/report/error.rs"), report()),
        (include_str!("../../src/prep/error.rs"), prep()),
        (include_str!("../../src/sets/error.rs"), sets()),
    ] {
        has_every_variant(source, "Error", &cases);
        check::<Cli>(&CONVERT, |cause| prep_advice(cause).or_else(|| sets_advice(cause)), &cases);
    }
    let prep = prep();
    let (errors, remedies) = (include_str!("../../src/prep/error.rs"), include_str!("../../src/prep/remedy.rs"));
    for (source, name) in [(errors, "Absence"), (errors, "FolderKind"), (remedies, "Remedy"), (remedies, "ClockRemedy")]
    {
        has_every_variant(source, name, &prep);
    }
}
