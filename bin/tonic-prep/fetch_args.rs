//! The command `fetch`, which downloads a data set and unpacks it, and its arguments.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tonic_base::{BaseFault, DirLock, Error as BaseError, Progress, check_space, human_bytes, in_order, publish};
use tonic_prep::{Dataset, Download, is_archive, unpack};
use tonic_remote::{Error as RemoteError, KEPT, Patience, RemoteFile, below, md5_of};

use crate::dataset_args::{dataset, next_commands};
use crate::remote_args::NetworkArgs;
use crate::shared_advice::Cause;
use crate::write_args::verbosity;

/// File in the directory of the data set. It lists the fetched files, and the files unpacked from each archive.
const RECORD: &str = ".fetched.json";
/// Maximum number of concurrent requests for file sizes.
const ASKED: usize = 8;

#[derive(Args)]
pub(crate) struct FetchArgs {
    /// Name of the data set; `tonic-prep datasets` lists them
    name: String,
    /// Directory of the data set [default: NAME]
    dir: Option<PathBuf>,
    /// Fetch only these splits or recordings
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    split: Vec<String>,
    /// URL of a folder with the same files, such as a mirror: https://, file://, s3:// or az://
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
}

/// The files that have been fetched to a directory, by their names.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Record(BTreeMap<String, Fetched>);

/// A file that was fetched and, if it is an archive, unpacked.
#[derive(Clone, Serialize, Deserialize)]
struct Fetched {
    md5: String,
    /// Names of the unpacked files and folders. Empty if the file is not an archive.
    unpacked: Vec<String>,
}

impl Record {
    fn read(dir: &Path) -> Record {
        std::fs::read(dir.join(RECORD)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Whether a file has been fetched and is still there. Of an archive, the unpacked files and folders must be there;
    /// only their names are compared.
    ///
    /// # Errors
    /// [`BaseError::Corrupt`] if a file that is no archive has another MD5 than when it was fetched.
    fn has(&self, dir: &Path, download: &Download) -> anyhow::Result<bool> {
        let Some(fetched) = self.0.get(&download.file) else { return Ok(false) };
        if is_archive(&download.file) {
            return Ok(fetched.unpacked.iter().all(|name| dir.join(&download.into).join(name).exists()));
        }
        let path = dir.join(&download.file);
        if !path.exists() {
            return Ok(false);
        }
        let md5 = md5_of(&path)?;
        if md5 != fetched.md5 {
            let expected = format!("{}, as it was fetched (remove the file to fetch it again)", fetched.md5);
            return Err(BaseError::corrupt(&path, "md5", expected, md5).into());
        }
        Ok(true)
    }
}

/// A fetch that is under way.
struct Fetch<'a> {
    set: &'static Dataset,
    dir: &'a Path,
    record: Record,
    bytes: u64,
    files: u64,
    notes: Vec<String>,
}

impl FetchArgs {
    /// Fetches the data set. Returns the result as JSON, and as text for the user.
    pub(crate) fn run(&self, quiet: bool) -> anyhow::Result<(Value, String)> {
        let set = dataset(&self.name)?;
        let dir = self.dir.clone().unwrap_or_else(|| set.name.clone().into());
        let (splits, mut downloads) = self.chosen(set)?;
        if let Some(from) = &self.from {
            for download in &mut downloads {
                download.url = below(from, &download.file)?;
            }
        }
        std::fs::create_dir_all(&dir).map_err(BaseError::io(&dir, "create the directory"))?;
        let _lock = DirLock::take(&dir)?;
        let mut fetch = Fetch { set, dir: &dir, record: Record::read(&dir), bytes: 0, files: 0, notes: Vec::new() };
        let mut there: Vec<Download> = Vec::new();
        for download in std::mem::take(&mut downloads) {
            let list = if fetch.record.has(&dir, &download)? { &mut there } else { &mut downloads };
            list.push(download);
        }
        let archives = there.iter().filter(|download| is_archive(&download.file)).count();
        if archives > 0 {
            let note = "archives were unpacked before; of their files, only the names were compared";
            fetch.notes.push(format!("{archives} {note}"));
        }
        let there = there.len();
        // Files that the user has put into the directory need no download.
        let (brought, missing): (Vec<_>, Vec<_>) =
            downloads.iter().partition(|download| dir.join(&download.file).is_file());
        for download in &brought {
            fetch.take_brought(download)?;
        }
        fetch.check_by_hand(&missing)?;
        fetch.download(&missing, self.network.patience(), quiet || self.network.json)?;
        let next = next_commands(set, &dir, &splits);
        let files: Vec<Value> = fetch
            .record
            .0
            .iter()
            .map(|(file, Fetched { md5, unpacked })| json!({"file": file, "md5": md5, "unpacked": unpacked}))
            .collect();
        let value = json!({
            "dataset": set.name, "dir": dir, "fetched_bytes": fetch.bytes, "fetched": missing.len(),
            "brought": brought.len(), "there": there, "unpacked_files": fetch.files, "files": files, "next": next,
            "notes": fetch.notes,
        });
        if !quiet {
            fetch.notes.iter().for_each(|note| eprintln!("fetch: note: {note}"));
        }
        let brought = if brought.is_empty() { String::new() } else { format!(", {} brought by hand", brought.len()) };
        let text = format!(
            "{}: {} files fetched ({}){brought}, {there} there already, {} files unpacked\n{}",
            dir.display(),
            missing.len(),
            human_bytes(fetch.bytes),
            fetch.files,
            next.iter().map(|command| format!("next: {command}")).collect::<Vec<_>>().join("\n"),
        );
        Ok((value, text))
    }

    /// Returns the names of the chosen splits and recordings, and their files.
    fn chosen(&self, set: &Dataset) -> Result<(Vec<String>, Vec<Download>), BaseError> {
        let (mut splits, mut downloads) = (Vec::new(), Vec::new());
        let mut unused: Vec<&String> = self.split.iter().collect();
        for split in &set.splits {
            let names: Vec<&str> = split.name.split(',').collect();
            let named = |name: &str| self.split.iter().any(|chosen| chosen == name);
            unused.retain(|chosen| !names.contains(&chosen.as_str()));
            let chosen_names = names.iter().filter(|name| self.split.is_empty() || named(name));
            let before = splits.len();
            splits.extend(chosen_names.map(|name| (*name).to_string()));
            let whole = splits.len() > before;
            for download in split.downloads() {
                unused.retain(|chosen| **chosen != download.recording);
                if whole || named(&download.recording) {
                    if !whole && !splits.contains(&download.recording) {
                        splits.push(download.recording.clone());
                    }
                    downloads.push(download);
                }
            }
        }
        if let Some(unknown) = unused.first() {
            let splits: Vec<&str> = set.splits.iter().map(|split| split.name.as_str()).collect();
            let expected = format!("{}, or a recording that tonic-prep datasets {} lists", splits.join(","), set.name);
            return Err(BaseError::usage("split", expected, unknown));
        }
        Ok((splits, downloads))
    }
}

impl Fetch<'_> {
    /// Checks and unpacks a file that the user has put into the directory.
    fn take_brought(&mut self, download: &Download) -> anyhow::Result<()> {
        let path = self.dir.join(&download.file);
        let md5 = md5_of(&path)?;
        if download.md5.as_ref().is_some_and(|expected| *expected != md5) {
            let expected = download.md5.clone().unwrap_or_default();
            return Err(BaseError::corrupt(&path, "md5", expected, md5).into());
        }
        self.keep(download, md5)
    }

    /// Unpacks a fetched file, if it is an archive, and adds it to the record.
    fn keep(&mut self, download: &Download, md5: String) -> anyhow::Result<()> {
        let mut unpacked = Vec::new();
        if is_archive(&download.file) {
            let done = unpack(&self.dir.join(&download.file), &self.dir.join(&download.into))?;
            self.files += done.files;
            unpacked = done.names;
        }
        if download.md5.is_none() {
            self.notes.push(format!("no md5 of {} is known; it has {md5}", download.file));
        }
        self.record.0.insert(download.file.clone(), Fetched { md5, unpacked });
        Ok(publish(&self.dir.join(RECORD), &serde_json::to_vec_pretty(&self.record)?)?)
    }

    /// Returns an error with instructions if some of the `missing` files have to be fetched by hand.
    fn check_by_hand(&self, missing: &[&Download]) -> Result<(), BaseError> {
        let files: Vec<String> =
            missing.iter().filter(|file| file.url.is_empty()).map(|file| file.file.clone()).collect();
        let (Some(hand), false) = (&self.set.by_hand, files.is_empty()) else { return Ok(()) };
        let why = format!(
            "{}. Open {} in a browser, save {} in {} and run the same command again, which checks and unpacks it",
            hand.why,
            hand.from,
            files.join(" and "),
            self.dir.display(),
        );
        Err(BaseError::unavailable(format!("a download of {}", self.set.title), why))
    }

    fn download(&mut self, missing: &[&Download], patience: Patience, quiet: bool) -> anyhow::Result<()> {
        let mut files: Vec<RemoteFile> = Vec::new();
        in_order(
            0..missing.len() as u64,
            ASKED.min(missing.len()),
            KEPT,
            || Ok(()),
            |(), number| RemoteFile::open(&missing[number as usize].url, patience),
            |file| {
                files.push(file);
                Ok::<(), RemoteError>(())
            },
        )?;
        let total = files.iter().map(RemoteFile::bytes).sum();
        let there = missing.iter().map(|download| RemoteFile::there(&self.dir.join(&download.file))).sum();
        check_space(self.dir, total, there)?;
        let progress = Progress::start(verbosity(quiet), "fetch", total, "B");
        for (file, download) in files.iter().zip(missing) {
            let target = self.dir.join(&download.file);
            let folder = target.parent().unwrap_or(self.dir);
            std::fs::create_dir_all(folder).map_err(BaseError::io(folder, "create the directory"))?;
            progress.say(|| download.file.clone());
            let md5 = file.fetch(&target, download.md5.as_deref(), &progress)?;
            self.bytes += file.bytes();
            let kept = self.keep(download, md5);
            if kept.is_err() && download.md5.is_none() {
                // Otherwise, the next run would take the file for one that the user has put into the directory.
                std::fs::remove_file(&target).map_err(BaseError::io(&target, "remove the damaged file"))?;
            }
            kept?;
            if is_archive(&download.file) {
                std::fs::remove_file(&target).map_err(BaseError::io(&target, "remove the archive"))?;
            }
        }
        progress.finish();
        Ok(())
    }
}

/// Returns what the user can do if a file cannot be downloaded. `None` for other errors.
pub(crate) fn advice(cause: &Cause) -> Option<String> {
    match cause.downcast_ref()? {
        RemoteError::NotFetched { .. } | RemoteError::Replaced { .. } => Some(
            "run the same command again to continue; --from URL takes a mirror; a file that a browser saves in the \
             directory, under its name in tonic-prep datasets NAME, is taken too"
                .into(),
        ),
        _ => None,
    }
}
