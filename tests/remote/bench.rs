//! A temporary folder with a set, in which the tests run the programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tonic_toolkit::shard::Manifest;

/// A temporary folder, which is the working directory of the programs.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    /// Environment variables of the programs. If a name occurs twice, the last value counts.
    pub variables: Vec<(&'static str, String)>,
}

impl Bench {
    pub(crate) fn empty() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Makes a temporary folder with a set of several shards in the folder `set`.
    pub(crate) fn with_set() -> Bench {
        let bench = Bench::empty();
        bench.convert("set", 300, 1);
        bench
    }

    /// Converts a synthetic recording of `samples` samples to a set in the folder `name`.
    pub(crate) fn convert(&self, name: &str, samples: u64, seed: u64) {
        let recording = format!("{name}.h5");
        let numbers = (samples.to_string(), seed.to_string());
        self.run(&["synth", "-o", &recording, "--samples", &numbers.0, "--seed", &numbers.1]);
        self.run(&["convert", &recording, "-o", name, "--shard-size", "128k", "--chunk-samples", "16"]);
    }

    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = self.program("tonic-prep", arguments);
        command.arg("--quiet");
        command
    }

    pub(crate) fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin(name).unwrap();
        command.current_dir(self.dir.path()).args(arguments);
        for (name, _) in std::env::vars().filter(|(name, _)| is_of_a_server(name)) {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().cloned());
        command
    }

    /// Runs `tonic-prep`, which must succeed. Returns its stdout.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let done = self.tool(arguments).assert().success();
        String::from_utf8(done.get_output().stdout.clone()).unwrap()
    }

    /// Runs `tonic-prep`, which must end with the exit code `code` and all of `words` in its stderr. Returns the
    /// stderr.
    pub(crate) fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let done = self.tool(arguments).timeout(std::time::Duration::from_secs(60)).assert().code(code);
        let text = String::from_utf8(done.get_output().stderr.clone()).unwrap();
        words.iter().for_each(|word| assert!(text.contains(word), "{word}: {text}"));
        text
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    pub(crate) fn id(&self, name: &str) -> String {
        Manifest::read(&self.path(name)).unwrap().set_id.to_string()
    }
}

/// Returns whether an environment variable of this machine could lead the programs to another server.
fn is_of_a_server(name: &str) -> bool {
    name.starts_with("AWS_") || name.starts_with("AZUR") || name.to_lowercase().ends_with("_proxy")
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Returns the names and the bytes of all files in a folder, except hidden files.
pub(crate) fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let named = files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path));
    let shown = named.filter(|(name, _)| !name.starts_with('.'));
    shown.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
}
