//! Errors that any crate can return: I/O, usage, interruption and damaged files.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that any crate can return, such as an error of the operating system, a wrong argument or a damaged file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system returned an error, such as "no such file" or "no space left".
    #[error("{}: cannot {action}: {source}", .path.display())]
    Io {
        /// Path of the file or directory.
        path: PathBuf,
        /// What was tried, as text that follows the word "cannot" in the message: `"read the manifest"`.
        action: &'static str,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The user pressed Ctrl-C, or the system asked the process to end.
    #[error("interrupted: {saved}")]
    Interrupted {
        /// Text for the error message: what was saved before the program stopped.
        saved: String,
    },
    /// The value of an argument or a setting cannot be used.
    #[error("{what}: expected {expected}, got {got}")]
    Usage {
        /// Name of the argument or setting.
        what: String,
        /// Values that the argument or setting accepts.
        expected: String,
        /// Value that was given.
        got: String,
    },
    /// The request needs something that this build or this machine doesn't have.
    #[error("{what} is not available: {why}")]
    Unavailable {
        /// Feature or device that was asked for.
        what: String,
        /// Why it isn't available, or what to do instead.
        why: String,
    },
    /// The disk has too little free space for the output.
    #[error(
        "{}: expected room for about {needed}, got {free} free: free some space, or write elsewhere",
        .path.display()
    )]
    NoSpace {
        /// Output file or directory.
        path: PathBuf,
        /// Space that the output needs, as text with a unit, such as "1.2 GB".
        needed: String,
        /// Free space on the disk, as text with a unit.
        free: String,
    },
    /// The output exists already.
    #[error("{} exists already: {why}", .path.display())]
    Exists {
        /// Existing file or directory.
        path: PathBuf,
        /// Text for the error message: why the program doesn't write to `path`.
        why: &'static str,
    },
    /// Another process is writing the same output.
    #[error("{} is being written by another process", .path.display())]
    Busy {
        /// Directory that the other process has locked.
        path: PathBuf,
    },
    /// A file is damaged, or its content breaks the rules of its format.
    #[error("{}: corrupt: {place}: expected {expected}, got {got}", .path.display())]
    Corrupt {
        /// The damaged or invalid file.
        path: PathBuf,
        /// Where in the file the damage is: a field, or a chunk and its samples.
        place: String,
        /// Value that the format or a checksum requires.
        expected: String,
        /// Value that was found.
        got: String,
    },
    /// A worker thread panicked. The message of the panic has already been printed.
    #[error("a worker thread ended unexpectedly while it had to {doing}")]
    WorkerLost {
        /// Work of the thread, as text that follows the words "had to" in the message: `"load batches"`.
        doing: &'static str,
    },
}

/// Constructors for variants of [`Error`], such as `Error::io(path, action)`, in the error type of the calling crate.
pub trait BaseFault: From<Error> {
    /// Returns a closure for `map_err`. It makes an [`Error::Io`] from an error of the operating system.
    fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::Io { path, action, source }.into()
    }

    /// Makes an [`Error::Usage`].
    fn usage(what: impl Into<String>, expected: impl Into<String>, got: impl Display) -> Self {
        Error::Usage { what: what.into(), expected: expected.into(), got: got.to_string() }.into()
    }

    /// Makes an [`Error::Unavailable`].
    fn unavailable(what: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Unavailable { what: what.into(), why: why.into() }.into()
    }

    /// Makes an [`Error::Interrupted`].
    fn interrupted(saved: impl Into<String>) -> Self {
        Error::Interrupted { saved: saved.into() }.into()
    }

    /// Makes an [`Error::Corrupt`].
    fn corrupt(path: &Path, place: impl Into<String>, expected: impl Display, got: impl Display) -> Self {
        let (expected, got) = (expected.to_string(), got.to_string());
        Error::Corrupt { path: path.into(), place: place.into(), expected, got }.into()
    }

    /// Makes an [`Error::Exists`].
    fn exists(path: &Path, why: &'static str) -> Self {
        Error::Exists { path: path.into(), why }.into()
    }
}

impl<E: From<Error>> BaseFault for E {}
