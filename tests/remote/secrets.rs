//! Tests that no command prints credentials or writes them to a file.

use std::path::Path;

use crate::bench::Bench;
use crate::server::{Fault, Kind, Server};

const ALL: Kind = Kind { ranges: true, tags: true };
/// A text that every credential in these tests contains. It is valid base64, as a key of Azure must be.
const MARKER: &str = "MARKERmarkerMARKERmarker";
/// What HTTP sends for the user `me` with the password [`MARKER`], in base64.
const SENT: &str = "bWU6TUFSS0VSbWFya2VyTUFSS0VSbWFya2Vy";

/// The commands of `tonic-prep` that take URLs. `URL` stands for the URL, `OUT` for a new name.
const COMMANDS: &[&[&str]] = &[
    &["push", "set", "URL", "--timeout", "1"],
    &["pull", "URL", "OUT", "--timeout", "1"],
    &["pull", "URL", "OUT", "--samples", "..20", "--timeout", "1"],
    &["prune", "URL", "--keep", "1", "--timeout", "1"],
    &["info", "URL"],
    &["info", "URL#ID"],
    &["info", "URL#short"],
    &["verify", "URL"],
    &["ls", "URL"],
    &["cat", "URL", "--sample", "0"],
    &["show", "URL", "--sample", "0", "-o", "OUT.png"],
    &["stats", "URL"],
    &["export", "URL", "-o", "OUT"],
    &["diff", "URL", "set"],
    &["subset", "OUT", "URL", "--samples", "..20"],
    &["merge", "OUT", "URL"],
    &["repair", "set", "--from", "URL"],
    &["lock", "OUT", "URL"],
    &["lock", "OUT", "name=URL"],
];
/// The commands of `tonic-train`.
const TRAINING: &[&[&str]] = &[
    &[
        "fit",
        "--train",
        "URL",
        "--valid",
        "URL",
        "-o",
        "OUT",
        "--epochs",
        "1",
        "--hidden",
        "8",
        "--remote-cache",
        "cache",
    ],
    &["eval", "--model", "run", "--data", "URL"],
];

/// Panics if a file below the folder `dir` contains [`MARKER`] or [`SENT`].
fn search(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let has = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!has(MARKER) && !has(SENT), "{} has a secret", path.display());
        }
    }
}

/// Runs all commands with the set at `url`. Returns how many of them succeeded. `made` counts the commands of all
/// calls.
fn run_all(bench: &Bench, url: &str, made: &mut usize) -> usize {
    let (mut commands, mut succeeded) = (COMMANDS.iter().map(|words| ("tonic-prep", *words)).collect::<Vec<_>>(), 0);
    if cfg!(feature = "train") {
        commands.extend(TRAINING.iter().map(|words| ("tonic-train", *words)));
    }
    let id = bench.id("set");
    for (program, words) in commands {
        *made += 1;
        let word = |word: &&str| {
            word.replace("URL", url).replace("OUT", &format!("out{made}")).replace("#ID", &format!("#{id}"))
        };
        let words: Vec<String> = words.iter().map(word).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let done = bench.program(program, &words).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        for secret in [MARKER, SENT] {
            assert!(!text.contains(secret), "{program} {words:?} shows a secret: {text}");
        }
        assert!(done.status.code().is_some_and(|code| code != 101), "{text}");
        succeeded += usize::from(done.status.success());
    }
    search(&bench.path(""));
    succeeded
}

#[test]
fn credentials_are_neither_shown_nor_written() {
    let mut bench = Bench::with_set();
    if cfg!(feature = "train") {
        let words = ["fit", "--train", "set", "-o", "run", "--epochs", "1", "--hidden", "8", "-q"];
        bench.program("tonic-train", &words).assert().success();
    }
    let served = tempfile::tempdir().unwrap();
    for folder in ["ssc", "lab/ssc", "devstoreaccount1/lab/ssc"] {
        bench.run(&["push", "set", &format!("file://{}/{folder}", served.path().display())]);
    }
    let right = Server::of(served.path());
    let echo = Server::start(served.path(), ALL, |_, _| Some(Fault::Echo(403)));
    let (mut made, mut results) = (0, Vec::new());
    for server in [&right, &echo] {
        let host = server.url.strip_prefix("http://").unwrap();
        let signed = format!("sv=2023-11-03&sig={MARKER}%3D");
        let azure = [("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", &server.url)];
        let s3 = [("AWS_ENDPOINT_URL", &*server.url), ("AWS_ALLOW_HTTP", "true"), ("AWS_ACCESS_KEY_ID", "me")];
        let keys = [("AWS_SECRET_ACCESS_KEY", MARKER), ("AWS_SESSION_TOKEN", MARKER)];
        let places = [
            (format!("http://me:{MARKER}@{host}/ssc?{signed}"), vec![]),
            ("s3://lab/ssc".into(), [&s3[..], &keys].concat()),
            ("az://lab/ssc".into(), [&azure[..], &[("AZURE_STORAGE_ACCOUNT_KEY", MARKER)]].concat()),
            ("az://lab/ssc".into(), [&azure[..], &[("AZURE_STORAGE_SAS_TOKEN", &*signed)]].concat()),
            (
                "az://lab/ssc".into(),
                [&azure[..], &[("AZURE_STORAGE_ACCOUNT_KEY", "MARKERmarkerMARKERmarker%%%")]].concat(),
            ),
            (format!("ftp://me:{MARKER}@{host}/ssc?{signed}"), vec![]),
            (format!("https://me:{MARKER}@[bad/ssc?{signed}"), vec![]),
        ];
        // The last three places don't reach a server.
        let count = if made == 0 { places.len() } else { places.len() - 3 };
        for (url, variables) in places.into_iter().take(count) {
            bench.variables = variables.into_iter().map(|(name, value)| (name, value.to_string())).collect();
            results.push(run_all(&bench, &url, &mut made));
        }
    }
    // The first four results are from the right server with valid credentials. All other attempts fail.
    assert!(results[..4].iter().all(|succeeded| *succeeded >= 12), "{results:?}");
    assert!(results[4..].iter().all(|succeeded| *succeeded == 0), "{results:?}");
}

#[test]
fn a_sweep_refuses_urls_with_credentials() {
    let bench = Bench::with_set();
    for url in [format!("http://me:{MARKER}@127.0.0.1:1/x"), format!("http://127.0.0.1:1/x?sig={MARKER}")] {
        for options in
            [format!("train = '{url}'\n[vary]\nseed = [1, 2]"), format!("train = 'set'\n[vary]\nvalid = ['{url}']")]
        {
            std::fs::write(bench.path("spec.toml"), options).unwrap();
            let done = bench.program("tonic-train", &["sweep", "spec.toml", "-o", "plan"]).assert().code(2);
            let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
            assert!(said.contains("without user, password and query") && !said.contains(MARKER), "{said}");
            assert!(!bench.path("plan").exists());
        }
    }
}
