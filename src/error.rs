//! What can go wrong, a variant for each fault, each saying where, what was expected and what was found.
//!
//! The faults fall into kinds ([`Error::exit_code`]): a script that drives the binaries tells a bad recording from a
//! damaged set, and both from a full disk, by the exit code alone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that the library refuses or fails to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: no such file, no permission, no space.
    #[error("{}: cannot {action}: {source}{}", .path.display(), hint(.source))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as it follows "cannot".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The user pressed Ctrl-C, or the system asked the process to end.
    #[error("interrupted: {saved}")]
    Interrupted {
        /// What is kept, and how to go on.
        saved: String,
    },
    /// A request that cannot be carried out as it was put.
    #[error("{what}: expected {expected}, got {got}")]
    Usage {
        /// The argument or setting.
        what: String,
        /// What it takes.
        expected: String,
        /// What it was.
        got: String,
    },
    /// What was asked for is not to be had in this build or on this machine.
    #[error("{what} is not available: {why}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// Why it is not there, and what to do instead.
        why: String,
    },
    /// A disk on which what is to be written has no room.
    #[error("{}: expected room for about {needed}, got {free} free: free some space, or write elsewhere", .path.display())]
    NoSpace {
        /// The output.
        path: PathBuf,
        /// What it would take.
        needed: String,
        /// What there is.
        free: String,
    },
    /// An output that is already there.
    #[error("{} exists already: {remedy}", .path.display())]
    Exists {
        /// The directory or file.
        path: PathBuf,
        /// What the user can do.
        remedy: &'static str,
    },
    /// Another process is writing the same output.
    #[error("{} is being written by another process", .path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },

    /// A recording that is no HDF5 file, or a damaged one.
    #[error("{}: expected an HDF5 file, got {got}", .path.display())]
    NotHdf5 {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        got: String,
    },
    /// A recording that lacks a dataset of its layout.
    #[error("{}: expected a dataset {dataset} ({layout} layout), got none; the file has {present}", .path.display())]
    MissingDataset {
        /// The file.
        path: PathBuf,
        /// The dataset's path inside it.
        dataset: String,
        /// The layout that asks for it.
        layout: &'static str,
        /// What there is at the top of the file.
        present: String,
    },
    /// A dataset of another type or shape than the layout has.
    #[error("{}: {dataset}: expected {expected}, got {got}", .path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The dataset's path inside it.
        dataset: String,
        /// The layout's type.
        expected: String,
        /// The file's type.
        got: String,
    },
    /// HDF5 could not read what the file's own directory promises: it is cut short or damaged.
    #[error("{}: {place}: cannot be read, the file is damaged or cut short ({reason})", .path.display())]
    DamagedRecording {
        /// The file.
        path: PathBuf,
        /// Dataset and samples.
        place: String,
        /// libhdf5's words.
        reason: String,
    },
    /// A sample that contradicts itself or its sensor.
    #[error("{}: sample {sample}: {what}: expected {expected}, got {got}", .path.display())]
    BadSample {
        /// The file.
        path: PathBuf,
        /// Its number in the file.
        sample: u64,
        /// The place or quantity.
        what: String,
        /// What the layout or the sensor allows.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// A file, or files, of no layout that is known here.
    #[error("{}: no layout fits: looked for {looked}; {has}. With --map the columns of any HDF5 file are read", .path.display())]
    UnknownLayout {
        /// The file.
        path: PathBuf,
        /// The layouts, by what they are known by.
        looked: String,
        /// What the file has.
        has: String,
    },
    /// A folder that is no folder of recordings.
    #[error("{}: expected {expected}, got {got}", .path.display())]
    BadFolder {
        /// The folder.
        path: PathBuf,
        /// What belongs in it.
        expected: String,
        /// What is in it.
        got: String,
    },
    /// A table of labels that makes no sense.
    #[error("{}: line {line}: expected {expected}, got {got}", .path.display())]
    BadTable {
        /// The CSV file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What belongs there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A recipe that cannot be read or makes no sense.
    #[error("recipe{}: {place}: expected {expected}, got {got}", .path.as_ref().map_or(String::new(), |p| format!(" {}", p.display())))]
    BadRecipe {
        /// The recipe's file, if it came from one.
        path: Option<PathBuf>,
        /// The transform and the parameter.
        place: String,
        /// What it takes.
        expected: String,
        /// What it was.
        got: String,
    },

    /// A directory that holds no shard set at all.
    #[error("{}: expected a shard set, got {got}", .path.display())]
    NotASet {
        /// The directory.
        path: PathBuf,
        /// What it is instead.
        got: String,
    },
    /// A set whose conversion has not ended.
    #[error("{}: the set is incomplete: {missing}", .path.display())]
    Incomplete {
        /// The set's directory.
        path: PathBuf,
        /// What is not there yet, and how to go on.
        missing: String,
    },
    /// A file of a format version that this program does not know.
    #[error("{}: incompatible: expected format version {expected}, got {got}", .path.display())]
    Incompatible {
        /// The shard or manifest.
        path: PathBuf,
        /// The version read here.
        expected: String,
        /// The file's version.
        got: String,
    },
    /// Bytes that are not what was written.
    #[error("{}: corrupt: {place}: expected {expected}, got {got}", .path.display())]
    Corrupt {
        /// The shard or manifest.
        path: PathBuf,
        /// The field, the chunk and its samples.
        place: String,
        /// What the format or a checksum says.
        expected: String,
        /// What was found.
        got: String,
    },
    /// Two sets, or a set and a model, that do not belong together.
    #[error("{}: {field} differs from {}: expected {expected}, got {got}", .path.display(), .other.display())]
    Mismatch {
        /// The set at fault.
        path: PathBuf,
        /// What it is held against.
        other: PathBuf,
        /// The first field that differs.
        field: String,
        /// The other's value.
        expected: String,
        /// This one's.
        got: String,
    },
    /// A chunk that the format cannot hold.
    #[error("chunk {chunk}: expected at most {expected}, got {got}: use a smaller --chunk-samples")]
    ChunkTooLarge {
        /// The chunk's number in the set.
        chunk: u64,
        /// The format's limit.
        expected: String,
        /// What the chunk has.
        got: String,
    },

    /// A picture could not be drawn.
    #[error("cannot draw {what}: {reason}")]
    Plot {
        /// The picture.
        what: String,
        /// The drawing library's words.
        reason: String,
    },
    /// A thread of the program panicked; its message has been printed.
    #[error("a worker thread ended unexpectedly while it had to {doing}")]
    WorkerLost {
        /// What it was doing.
        doing: &'static str,
    },
    /// A model file that cannot be read or written.
    #[cfg(feature = "train")]
    #[error("{}: {source}", .path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::train::export::safetensors::ModelError,
    },
    /// A batch that does not fit the network.
    #[cfg(feature = "train")]
    #[error(transparent)]
    Kernel(#[from] crate::train::kernel::KernelError),
    /// The GPU's driver or its compiler refused.
    #[cfg(feature = "train")]
    #[error("cannot {doing}: {what}")]
    Cuda {
        /// What was tried, as it follows "cannot".
        doing: String,
        /// The name of the code that came back and what it stands for, or the first lines of a compiler's log.
        what: String,
    },
    /// A GPU whose memory is full.
    #[cfg(feature = "train")]
    #[error(
        "{what}: expected {needed} of free memory, got {free}: a smaller --batch-size or --hidden, or --cache host, takes less"
    )]
    DeviceMemory {
        /// The device, or what was to be put on it.
        what: String,
        /// What it would take.
        needed: String,
        /// What there is.
        free: String,
    },
    /// Training went off the rails.
    #[cfg(feature = "train")]
    #[error("the loss is {loss} at epoch {epoch}, batch {batch}: {remedy}")]
    Diverged {
        /// NaN or infinity.
        loss: f64,
        /// Counted from 1.
        epoch: u64,
        /// Counted from 1.
        batch: u64,
        /// The last good checkpoint, and what to try.
        remedy: String,
    },
}

impl Error {
    /// An [`Error::Io`] for `map_err`.
    pub fn io(path: impl Into<PathBuf>, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, action, source }
    }

    /// An [`Error::Corrupt`].
    pub fn corrupt(
        path: &Path,
        place: impl Into<String>,
        expected: impl std::fmt::Display,
        got: impl std::fmt::Display,
    ) -> Error {
        Error::Corrupt { path: path.into(), place: place.into(), expected: expected.to_string(), got: got.to_string() }
    }

    /// The same fault of a set, with more words on its place.
    pub(crate) fn with_place(self, words: &str) -> Error {
        match self {
            Error::Corrupt { path, place, expected, got } => {
                Error::Corrupt { path, place: format!("{place} ({words})"), expected, got }
            }
            Error::Incomplete { path, missing } => Error::Incomplete { path, missing: format!("{missing} ({words})") },
            other => other,
        }
    }

    /// An [`Error::Usage`].
    pub fn usage(what: impl Into<String>, expected: impl Into<String>, got: impl std::fmt::Display) -> Error {
        Error::Usage { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    /// Refuses what is at `path` beside `other` if one of the fields (name, expected, got) differs.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first that does.
    pub fn refuse_difference(path: &Path, other: &Path, fields: [(&str, String, String); 3]) -> Result<()> {
        match fields.into_iter().find(|(_, expected, got)| expected != got) {
            None => Ok(()),
            Some((field, expected, got)) => {
                let (expected, got) = first_different_lines(&expected, &got);
                Err(Error::Mismatch {
                    path: path.into(),
                    other: other.into(),
                    field: field.into(),
                    expected: expected.into(),
                    got: got.into(),
                })
            }
        }
    }

    /// The exit code of a binary that ends with this error:
    /// 1 the system refused (no such file, no permission, disk full, the GPU's driver or memory), 2 usage, 3 a bad recording or recipe, 4 a damaged, incomplete, foreign or mismatched
    /// set, 5 training diverged, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Io { .. }
            | Error::NoSpace { .. }
            | Error::Busy { .. }
            | Error::Plot { .. }
            | Error::WorkerLost { .. } => 1,
            #[cfg(feature = "train")]
            Error::Cuda { .. } | Error::DeviceMemory { .. } => 1,
            Error::Usage { .. } | Error::Unavailable { .. } | Error::Exists { .. } | Error::ChunkTooLarge { .. } => 2,
            Error::NotHdf5 { .. }
            | Error::MissingDataset { .. }
            | Error::WrongType { .. }
            | Error::DamagedRecording { .. }
            | Error::BadSample { .. }
            | Error::UnknownLayout { .. }
            | Error::BadTable { .. }
            | Error::BadFolder { .. }
            | Error::BadRecipe { .. } => 3,
            Error::NotASet { .. }
            | Error::Incomplete { .. }
            | Error::Incompatible { .. }
            | Error::Corrupt { .. }
            | Error::Mismatch { .. } => 4,
            #[cfg(feature = "train")]
            Error::Kernel(_) | Error::Model { .. } => 4,
            #[cfg(feature = "train")]
            Error::Diverged { .. } => 5,
            Error::Interrupted { .. } => 130,
        }
    }
}

/// How a binary ends that ends with an error: says it on stderr and gives the exit code.
///
/// An output whose reader has read enough (`| head`) is no fault.
pub fn report(program: &str, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    eprintln!("{program}: error: {}", with_causes(error));
    ExitCode::from(error.downcast_ref::<Error>().map_or(1, Error::exit_code))
}

/// An error and its causes in one line, leaving out a cause that the words before it have said already.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// Whether a binary's output went to a reader that has read enough.
fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let source = match error.downcast_ref::<Error>() {
        Some(Error::Io { source, .. }) => Some(source),
        _ => error.downcast_ref::<std::io::Error>(),
    };
    source.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Of two texts that differ, the first lines that do.
fn first_different_lines<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let (mut a_lines, mut b_lines) = (a.trim().lines(), b.trim().lines());
    loop {
        match (a_lines.next(), b_lines.next()) {
            (Some(a), Some(b)) if a == b => {}
            (None, None) => return (a, b),
            (a, b) => return (a.unwrap_or("nothing more"), b.unwrap_or("nothing more")),
        }
    }
}

/// What to do about the commonest refusals of a system.
fn hint(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            "; what is complete stays: free some space and run again with --resume (convert and fit have it)"
        }
        _ => "",
    }
}
