//! Errors of sets on servers.

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_shard::{Error as ShardError, Id};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of sending, fetching or reading a set on a server. It shows URLs without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that is not specific to servers. A network error is [`BaseError::Io`]; its path is the URL.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// An error of the set itself, such as damaged bytes.
    #[error("{0}")]
    Shard(#[from] ShardError),
    /// A text that is not a valid URL of a set, or a URL that cannot be used here.
    #[error("{url}: expected {expected}, got {got}")]
    BadUrl {
        /// The text, without credentials.
        url: String,
        /// What was expected in the URL.
        expected: &'static str,
        /// What the text has instead.
        got: String,
    },
    /// An attempt to write to a web server, which is read only.
    #[error(
        "{url}: expected a place that can be written (file://, s3:// or az://), got a web server, which is read only"
    )]
    ReadOnly {
        /// The URL that was to be written to.
        url: String,
    },
    /// The set at the URL is not the one that was asked for.
    #[error("{url}: expected the set {expected}, got {got}")]
    OtherSet {
        /// The URL of the set.
        url: String,
        /// Id of the set that was asked for.
        expected: Id,
        /// Id of the set that the URL has instead.
        got: Id,
    },
    /// While this process sent a set, another process made its own set the latest one at the URL.
    #[error(
        "{url}: another process has made {theirs} the latest set meanwhile; {ours} is complete beside it, but not the latest"
    )]
    Overtaken {
        /// The URL of `latest.json`.
        url: String,
        /// Id of the set that this process has sent.
        ours: Id,
        /// Id of the other process's set, which is the latest one now.
        theirs: String,
    },
    /// The set cannot be sent, because another process is removing it from the URL.
    #[error("{url}: expected a set that stays, got {id}, which `prune` is removing")]
    BeingPruned {
        /// The URL that the set was to be sent to.
        url: String,
        /// Id of the set.
        id: Id,
    },
    /// A file that cannot be downloaded.
    #[error("{url}: {why}")]
    NotFetched {
        /// The URL of the file.
        url: String,
        /// What is wrong with the server's answer or with the file.
        why: String,
    },
    /// A file on a server that was replaced while it was read.
    #[error("{url}: expected the file that was there before, got another one: it was replaced meanwhile")]
    Replaced {
        /// The URL of the file.
        url: String,
    },
}

/// Converts an error of a server to the error type of functions that read sets.
impl From<Error> for ShardError {
    fn from(error: Error) -> ShardError {
        match error {
            Error::Shard(error) => error,
            Error::Base(error) => error.into(),
            Error::OtherSet { url, expected, got } => ShardError::Mismatch {
                path: url.clone().into(),
                other: format!("{url}#{expected}").into(),
                field: "the id of the set".into(),
                expected: expected.to_string(),
                got: got.to_string(),
            },
            other => BaseError::Unavailable { what: "the set".into(), why: other.to_string() }.into(),
        }
    }
}
