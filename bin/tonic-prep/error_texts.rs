//! Tests the text of every error that `tonic-prep` can show: what happened, where, and what to type next.

mod prep;

use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use tonic_base::Error as Base;
use tonic_prep::Error as Prep;
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
        case(
            Remote::NotFetched { url: url(), why: words("the server has no such file") },
            &["s3://a/b: the server has no such file"],
            "--from URL takes a mirror",
        ),
        case(
            Remote::Replaced { url: url() },
            &["s3://a/b: expected the file that was there before, got another one"],
            "run the same command again",
        ),
    ]
}

#[cfg(feature = "remote")]
#[test]
fn every_error_of_servers_says_what_to_type_next() {
    has_every_variant(include_str!("../../src/remote/error.rs"), "Error", &remote());
    let push = ["tonic-prep", "push", "set", "s3://a/b"];
    let advice = |cause: &crate::shared_advice::Cause| {
        crate::remote_args::advice(cause).or_else(|| crate::fetch_args::advice(cause))
    };
    check::<Cli>(&push, |cause| advice(cause).or_else(|| prep_advice(cause)), &remote());
}

/// File and name of each enum of errors. Every variant of these enums must have a test case.
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
                // Only in a derive, `)]` follows. So the next line itself doesn't count.
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
    // Some cases name folders by their paths from the root of the repository.
    std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
    for (source, cases) in [
        (include_str!("../../src/base/error.rs"), base()),
        (include_str!("../../src/shard/error.rs"), shard()),
        (include_str!("../../src/report/error.rs"), report()),
        (include_str!("../../src/prep/error.rs"), prep::prep()),
        (include_str!("../../src/sets/error.rs"), sets()),
    ] {
        has_every_variant(source, "Error", &cases);
        check::<Cli>(&CONVERT, |cause| prep_advice(cause).or_else(|| sets_advice(cause)), &cases);
    }
    let prep = prep::prep();
    let (reasons, remedies) = (include_str!("../../src/prep/reason.rs"), include_str!("../../src/prep/remedy.rs"));
    for (source, name) in
        [(reasons, "Absence"), (reasons, "FolderKind"), (remedies, "Remedy"), (remedies, "ClockRemedy")]
    {
        has_every_variant(source, name, &prep);
    }
}
