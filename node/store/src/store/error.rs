//! Why a change was not made.

use wire::id::RefuseNewId;
use wire::{Checksum, Epoch, Lsn};

use crate::poison::AppendError;

/// Why a leader did not make a change. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The content was deleted; its id is never used again.
    #[error("the content was deleted")]
    Deleted,
    /// The id names other bytes already.
    #[error("the id names other bytes already")]
    Conflict,
    /// A chunked upload under this id is still open.
    #[error("an upload under this id is still running")]
    InProgress,
    /// The id may not name a new content.
    #[error(transparent)]
    IdRefused(#[from] RefuseNewId),
    /// No such content.
    #[error("no such content")]
    NotFound,
    /// The current version is another one than the request demands.
    #[error("the current version is {current}")]
    PreconditionFailed {
        /// The current version's hash.
        current: Checksum,
    },
    /// No such upload is open: it was ended, by an abort or by a new epoch.
    #[error("no such upload is open")]
    NoSuchUpload,
    /// What is known of this id here is damaged.
    #[error("the content's record is damaged here")]
    Damaged,
    /// The record was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Why a follower did not take a record. Nothing is appended then.
#[derive(Debug, thiserror::Error)]
pub enum ReplicateError {
    /// The record does not follow the last one.
    #[error("the record's lsn is {found}, the log ends at {end}")]
    Order {
        /// The record's.
        found: Lsn,
        /// The last one appended.
        end: Lsn,
    },
    /// The record is of an older epoch than the last one.
    #[error("the record's epoch is {found}, the log is in {current}")]
    Epoch {
        /// The record's.
        found: Epoch,
        /// The last record's.
        current: Epoch,
    },
    /// The record contradicts the records before it.
    #[error("the record contradicts the log: {0}")]
    Contradiction(&'static str),
    /// The record was not appended.
    #[error(transparent)]
    Append(#[from] AppendError),
}
