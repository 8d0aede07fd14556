//! The BLAKE3 sums of the files of a run, in `sums.json`. They show whether a byte of a file has changed.
//!
//! The sums are removed before a file changes, and written after the last change. A run has no sums if its process was
//! killed in between, or if an earlier version of this program wrote it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use tonic_base::{publish, remove_file};

use crate::error::{BaseFault, Error, Result};
use crate::run::folder::{BEST, MODEL, REESTIMATED, SUMS, TEST};
use crate::run::{checkpoint, config, metrics};

/// Names of the files that have a sum.
const SUMMED: [&str; 7] =
    [config::FILE_NAME, checkpoint::FILE_NAME, metrics::FILE_NAME, BEST, MODEL, TEST, REESTIMATED];

/// Calls `change`, which changes files of the run in the folder `run`, and renews the sums. If `change` returns an
/// error, the run has no sums.
pub(super) fn update(run: &Path, change: impl FnOnce() -> Result<()>) -> Result<()> {
    remove_file(&run.join(SUMS))?;
    change()?;
    write(run)
}

/// Writes the sums of the files in the folder `run`.
fn write(run: &Path) -> Result<()> {
    let mut sums = BTreeMap::new();
    for name in SUMMED {
        if let Some(sum) = sum(&run.join(name))? {
            sums.insert(name, sum);
        }
    }
    let text = serde_json::to_string_pretty(&sums).expect("sums are JSON") + "\n";
    Ok(publish(&run.join(SUMS), text.as_bytes())?)
}

/// Compares the files of a run that have sums, except model.safetensors, with these sums. Returns false if the run has
/// no sums.
///
/// # Errors
/// The errors of [`check`].
pub(super) fn check_state(run: &Path) -> Result<bool> {
    SUMMED.iter().filter(|&&name| name != MODEL).try_for_each(|name| check(run, name))?;
    Ok(exist(run))
}

/// Returns whether the run in the folder `run` has sums.
pub(super) fn exist(run: &Path) -> bool {
    run.join(SUMS).exists()
}

/// Compares config.toml and the results of a run, metrics.jsonl, test.json and reestimated.json, with their sums.
///
/// # Errors
/// The errors of [`check`].
pub(crate) fn check_results(run: &Path) -> Result<()> {
    [config::FILE_NAME, metrics::FILE_NAME, TEST, REESTIMATED].iter().try_for_each(|name| check(run, name))
}

/// Compares the file `name` of a run with its sum. Does nothing if the file has no sum. It is no error if another
/// process saves the run at the same time.
///
/// # Errors
/// [`Corrupt`](tonic_base::Error::Corrupt) if the file is missing or has another sum, or if the sums cannot be read;
/// [`Io`](tonic_base::Error::Io).
pub(super) fn check(run: &Path, name: &str) -> Result<()> {
    let Some(expected) = read(run)?.remove(name) else { return Ok(()) };
    let got = sum(&run.join(name))?;
    // If the stored sum has changed since the first `read`, another process has saved the run.
    if got.as_ref() == Some(&expected) || read(run)?.get(name) != Some(&expected) {
        return Ok(());
    }
    let got = got.unwrap_or_else(|| "no file".into());
    Err(Error::corrupt(&run.join(name), "blake3", format!("{expected}, as in {SUMS}"), got))
}

/// Reads the sums of a run. The map is empty if there are none.
fn read(run: &Path) -> Result<BTreeMap<String, String>> {
    let path = run.join(SUMS);
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Error::io(&path, "read the sums")(error)),
        Ok(text) => serde_json::from_slice(&text).map_err(|e| Error::corrupt(&path, "JSON", "sums of files", e)),
    }
}

/// Returns the sum of a file in hexadecimal digits, or `None` if there is no such file.
fn sum(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(blake3::hash(&bytes).to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path, "read the file")(error)),
    }
}
