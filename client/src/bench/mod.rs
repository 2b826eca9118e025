//! Load for measuring a cluster: uploads and reads of contents of one size, at a concurrency.
//!
//! It makes its own light HTTP/1.1 connections, one for each worker and node, so that one core of
//! the client can keep a whole cluster busy. It does not retry: what fails is counted. Latency is
//! that of the request to the node; places are asked for in batches, beside it.

pub mod address;
pub mod chunked;
pub mod connection;
mod get;
pub mod head;
mod load;
mod payload;
mod places;
pub mod probe;
pub mod report;
mod upload;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use wire::{Checksum, Code, ContentId, ShardNo};

use address::ParseAddressError;
use connection::ExchangeError;
use report::Report;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// After a failed operation, so that a dead node is not asked a million times.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// One operation in so many has its hash compared.
const HASHED_ONE_IN: u64 = 64;

/// What load to make.
#[derive(Clone, Debug)]
pub struct Load {
    /// The distributor's base URI.
    pub endpoint: String,
    /// The cluster's access key, where it demands one.
    pub access_key: Option<String>,
    /// The size of a content, in bytes.
    pub size: u64,
    /// Operations under way at once, over all threads.
    pub concurrency: usize,
    /// Threads of this process.
    pub threads: usize,
    /// When to stop.
    pub bound: Bound,
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// After so many operations.
    Count(u64),
    /// After this time.
    Duration(Duration),
}

/// A content that the benchmark may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: ContentId,
    /// The base URI of the node that has it.
    pub node: String,
    /// Its size and hash, where they are known.
    pub expected: Option<(u64, Checksum)>,
}

/// Why a benchmark could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A URI that it cannot use.
    #[error(transparent)]
    Address(#[from] ParseAddressError),
    /// The distributor does not answer.
    #[error("cannot ask {what}")]
    Exchange {
        /// For what.
        what: &'static str,
        /// Why.
        source: ExchangeError,
    },
    /// It refuses.
    #[error("{what}: {word}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The code, as a word.
        word: String,
        /// The code, where it is one of ours.
        code: Option<Code>,
    },
    /// It answers, but not as a distributor does.
    #[error("the distributor's answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// The file of ids cannot be read or written.
    #[error("cannot use {} for ids: {message}", path.display())]
    Ids {
        /// Which file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// There is nothing to read.
    #[error("there is no content to read")]
    NoContent,
    /// Nobody leads the shard of a content.
    #[error("no node leads shard {0}")]
    NoLeader(ShardNo),
    /// The folder's disk cannot be measured.
    #[error("cannot {step} in {}", folder.display())]
    Probe {
        /// What was tried.
        step: &'static str,
        /// Where.
        folder: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No runtime could be started.
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    /// A thread panicked.
    #[error("a thread of the benchmark failed")]
    Thread,
}

/// Uploads contents; gives the report, and what was stored if `keep` says so.
///
/// # Errors
/// When the load cannot be made at all; failed operations are in the report.
pub fn upload(load: &Load, keep: Keep) -> Result<(Report, Vec<Stored>), BenchError> {
    upload::run(load, keep)
}

/// Reads contents at random.
///
/// # Errors
/// When the load cannot be made at all; failed operations are in the report.
pub fn get(load: &Load, contents: &[Stored]) -> Result<Report, BenchError> {
    get::run(load, contents)
}

/// Finds the nodes of contents whose ids are known, through the shard map.
///
/// # Errors
/// When the distributor does not tell, or nobody leads one of their shards.
pub fn locate(load: &Load, ids: &[ContentId]) -> Result<Vec<Stored>, BenchError> {
    places::locate(load, ids)
}

/// Whether an upload benchmark remembers what it stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it: 100 bytes each.
    All,
    /// Nothing.
    Nothing,
}
