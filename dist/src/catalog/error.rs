//! Why the catalog could not answer.

use std::path::PathBuf;

use uuid::Uuid;

use super::PageOrder;

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The database does not answer, or the connection was lost on the way: a change may have
    /// been made.
    #[error("the catalog database does not answer: {0}")]
    Unavailable(String),
    /// The database refused a value.
    #[error("the catalog database refused a value: {0}")]
    Refused(String),
    /// The database answered with an error that names no value of ours.
    #[error("the catalog database failed: {0}")]
    Failed(String),
    /// The database ended the statement, as its time was over: a change was not made.
    #[error("the catalog database ended a statement: {0}")]
    Ended(String),
    /// The answer in this order would take so long that others had to wait for it; another order may not.
    #[error("the question reads too much of the catalog to be answered in time")]
    TooLong(PageOrder),
    /// A value in the database cannot be read back.
    #[error("the catalog's column {column} cannot be read: {detail}")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What is wrong with its value.
        detail: String,
    },
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of no database that we know.
    #[error(
        "DATABASE_URL: `{0}` is neither sqlite://… nor postgres://… (for instance sqlite://data/catalog.db)"
    )]
    Scheme(String),
    /// The URL cannot be read.
    #[error("DATABASE_URL: {0}")]
    Url(String),
    /// The database does not answer.
    #[error("the database at {place} cannot be reached: {detail}")]
    Unreachable {
        /// Where, without a password.
        place: String,
        /// The database's or the system's words.
        detail: String,
    },
    /// The database's tables cannot be brought up to date.
    #[error("the database at {place} cannot be migrated: {detail}")]
    Migrate {
        /// Where, without a password.
        place: String,
        /// What failed.
        detail: String,
    },
    /// A folder or the lock beside a SQLite database cannot be made.
    #[error("{path}: {source}")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A second distributor on one SQLite database.
    #[error(
        "{0} is in use by another distributor (SQLite serves exactly one; PostgreSQL serves many)"
    )]
    InUse(PathBuf),
}

/// Why a database cannot take over a cluster's UUID.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The database holds something of another cluster.
    #[error(
        "the database belongs to cluster {cluster} and holds {contents} contents and {shards} shards; a rebuild needs an empty one"
    )]
    NotEmpty {
        /// The cluster it belongs to.
        cluster: Uuid,
        /// Its rows.
        contents: u64,
        /// Its shard records.
        shards: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// An error's words on one line: databases like to explain themselves over several.
pub(super) fn one_line(error: &dyn std::error::Error) -> String {
    error.to_string().replace('\n', " ")
}
