//! Errors of sets on servers.

pub(crate) use tonic_base::BaseFault;
use tonic_base::Error as BaseError;
use tonic_shard::{Error as ShardError, Id};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of sending, fetching or reading a set on a server. URLs in it are without credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An error that is not specific to servers. Errors of the network are `Io`, with the URL of the object as the path.
    #[error("{0}")]
    Base(#[from] BaseError),
    /// An error of a set.
    #[error("{0}")]
    Shard(#[from] ShardError),
    /// A text that is no URL of a set.
    #[error("{url}: expected {expected}, got {got}")]
    BadUrl {
        /// The text, without credentials.
        url: String,
        /// What an URL of a set can have.
        expected: &'static str,
        /// What the text has instead.
        got: String,
    },
    /// A URL that a program cannot write to.
    #[error(
        "{url}: expected a place that can be written (file://, s3:// or az://), got a web server, which is read only"
    )]
    ReadOnly {
        /// The URL.
        url: String,
    },
    /// The set at the URL is another one than the one that was asked for.
    #[error("{url}: expected the set {expected}, got {got}")]
    OtherSet {
        /// The URL.
        url: String,
        /// Id of the set that was asked for.
        expected: Id,
        /// Id of the set that is there.
        got: Id,
    },
    /// Another process made its set the latest one while this one was sent.
    #[error(
        "{url}: another process has made {theirs} the latest set meanwhile; {ours} is complete beside it, but not the latest"
    )]
    Overtaken {
        /// The URL.
        url: String,
        /// Id of the set that was sent.
        ours: Id,
        /// Id of the set that is the latest one now.
        theirs: String,
    },
    /// A set that is to be sent but is being removed by another process.
    #[error("{url}: expected a set that stays, got {id}, which `prune` is removing")]
    BeingPruned {
        /// The URL.
        url: String,
        /// Id of the set.
        id: Id,
    },
}

/// For readers of sets, which know only the errors of sets.
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
