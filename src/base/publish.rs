//! Atomic writes: a file appears whole or not at all.
//!
//! A file is written under a temporary name in the same directory, synced, and renamed. So a killed process leaves the
//! old file or the new one.

use crate::error::BaseFault;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};

/// Temporary files of this process that are not published yet.
static DRAFTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn drafts() -> MutexGuard<'static, Vec<PathBuf>> {
    DRAFTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes all temporary files of this process before it ends. After this call, a thread that creates or drops a
/// [`Draft`] waits until the process ends. So no new temporary file appears.
#[cfg(unix)]
pub(crate) fn discard_drafts() {
    let drafts = drafts();
    for file in drafts.iter() {
        let _ = std::fs::remove_file(file);
    }
    std::mem::forget(drafts);
}

/// A file under a temporary name. Dropping the draft deletes the file, unless it was published.
#[derive(Debug)]
pub struct Draft {
    /// Temporary file, open for reading and writing.
    pub file: File,
    target: PathBuf,
    temporary: PathBuf,
    published: bool,
}

impl Draft {
    /// Creates a temporary file with a unique name in the directory of `target`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be created.
    pub fn create(target: &Path) -> Result<Draft> {
        let temporary = temporary_sibling(target);
        let mut drafts = drafts();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(Error::io(&temporary, "create the file"))?;
        drafts.push(temporary.clone());
        Ok(Draft { file, target: target.into(), temporary, published: false })
    }

    /// Path of the temporary file.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Appends bytes to the temporary file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io(&self.target, "write the file"))
    }

    /// Like [`Draft::publish`], but if the target exists already, changes nothing and returns false.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish_new(&mut self) -> Result<bool> {
        self.file.sync_all().map_err(Error::io(&self.temporary, "write to disk"))?;
        let placed = match std::fs::hard_link(&self.temporary, &self.target) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            // On a file system without hard links, another writer may create the target between `exists` and `rename`.
            Err(_) if self.target.exists() => return Ok(false),
            Err(_) => std::fs::rename(&self.temporary, &self.target),
            linked => linked,
        };
        placed.map_err(Error::io(&self.target, "bring the file into place"))?;
        sync_parent(&self.target).map(|()| true)
    }

    /// Syncs the temporary file, renames it to its target and syncs the directory.
    ///
    /// # Errors
    /// [`Error::Io`]. The target is unchanged, unless only the sync of the directory failed.
    pub fn publish(mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.temporary, "write to disk"))?;
        std::fs::rename(&self.temporary, &self.target).map_err(Error::io(&self.target, "bring the file into place"))?;
        self.published = true;
        sync_parent(&self.target)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_file(&self.temporary);
        }
        drafts().retain(|file| *file != self.temporary);
    }
}

/// Writes `bytes` to `target` atomically.
///
/// # Errors
/// [`Error::Io`]. The target is unchanged, unless only the sync of the directory failed.
pub fn publish(target: &Path, bytes: &[u8]) -> Result<()> {
    let mut draft = Draft::create(target)?;
    draft.write(bytes)?;
    draft.publish()
}

/// Removes a file if it exists, and syncs its directory.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, "remove the file")(e)),
        _ => sync_parent(path),
    }
}

/// Total size in bytes of the files directly inside `dir`; 0 if there is no such directory.
pub fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// Returns the final name of a temporary file. This is NAME for `.NAME.HOST-PID-NUMBER.tmp`, and also for `.NAME.tmp`,
/// which earlier versions used. `None` for other names.
pub fn drafted(name: &str) -> Option<&str> {
    let name = name.strip_prefix('.')?.strip_suffix(".tmp")?;
    Some(Owner::of(name).map_or(name, |(target, _)| target))
}

/// Whether a temporary file can be removed because no process writes to it any more. This is so in three cases:
///
/// - The process in the file's name ran on this machine and has ended.
/// - Nothing was written to the file for an hour.
/// - The file's name contains no process, as in earlier versions.
pub fn is_abandoned(path: &Path) -> bool {
    /// How long a temporary file must stay unchanged until it counts as abandoned.
    const SILENCE: Duration = Duration::from_secs(3600);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let owner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".tmp")).and_then(Owner::of);
    match owner {
        None => true, // from an earlier version, which had at most one writer: the process with the directory's lock
        Some((_, owner)) if owner.host == *HOST && !owner.lives() => true,
        Some(_) => std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|written| written.elapsed().is_ok_and(|silent| silent > SILENCE)),
    }
}

/// The process that writes a temporary file, as the file's name gives it: `.TARGET.HOST-PID-NUMBER.tmp`.
struct Owner<'a> {
    host: &'a str,
    process: i32,
}

impl Owner<'_> {
    /// Splits `TARGET.HOST-PID-NUMBER` into the target's name and the owner. `None` if the name has no owner.
    fn of(name: &str) -> Option<(&str, Owner<'_>)> {
        let (target, owner) = name.rsplit_once('.')?;
        let (rest, number) = owner.rsplit_once('-')?;
        let (host, process) = rest.rsplit_once('-')?;
        number.parse::<u64>().ok()?;
        Some((target, Owner { host, process: process.parse().ok()? }))
    }

    fn lives(&self) -> bool {
        #[cfg(unix)]
        {
            let process = rustix::process::Pid::from_raw(self.process);
            process.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
        }
        #[cfg(not(unix))]
        true
    }
}

/// Name of this machine, with underscores instead of dots and slashes.
static HOST: LazyLock<String> = LazyLock::new(|| {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").unwrap_or_default();
    name.replace(['.', '/'], "_")
});

fn temporary_sibling(target: &Path) -> PathBuf {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{}-{number}.tmp", *HOST, std::process::id()));
    target.with_file_name(name)
}

fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|d| d.sync_all()).map_err(Error::io(parent, "sync the directory"))
}

/// Removes abandoned temporary files in `dir` ([`is_abandoned`]). Keeps a file if `is_ours` is false for its final
/// name.
///
/// # Errors
/// [`Error::Io`].
pub fn remove_abandoned(dir: &Path, is_ours: impl Fn(&str) -> bool) -> Result<()> {
    let listing = std::fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    for file in listing.map_err(Error::io(dir, "list the directory"))?.iter().map(std::fs::DirEntry::path) {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if drafted(&name).is_some_and(&is_ours) && is_abandoned(&file) {
            remove_file(&file)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_files_tell_their_target_and_whether_their_process_has_ended() {
        let dir = std::env::temp_dir().join(format!("tonic-base-drafts-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let target = dir.join("00001.shard");
        let (mut draft, other) = (Draft::create(&target).unwrap(), Draft::create(&target).unwrap());
        assert_ne!(draft.path(), other.path(), "two writers of one target have two files");
        let name = draft.path().file_name().unwrap().to_str().unwrap().to_string();
        assert_eq!(drafted(&name), Some("00001.shard"));
        assert!(!is_abandoned(draft.path()));

        let process = |id: u32| dir.join(name.replace(&format!("-{}-", std::process::id()), &format!("-{id}-")));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(is_abandoned(&process(child.id())), "a process that has ended");
        let elsewhere = dir.join(".00001.shard.another_host-1-0.tmp");
        std::fs::write(&elsewhere, "").unwrap();
        assert!(!is_abandoned(&elsewhere), "a machine whose processes are not seen from here");
        let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
        File::options().write(true).open(&elsewhere).unwrap().set_modified(long_ago).unwrap();
        assert!(is_abandoned(&elsewhere));
        for (name, target) in [(".a.b.tmp", Some("a.b")), (".a-1-2.tmp", Some("a-1-2")), ("a.tmp", None), (".a", None)]
        {
            assert_eq!(drafted(name), target, "{name}");
        }

        draft.file.write_all(b"whole").unwrap();
        draft.publish().unwrap();
        drop(other);
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 2, "the target, and the other machine's file");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
