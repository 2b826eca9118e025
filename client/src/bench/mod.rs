//! Load for measuring a cluster, or a plain HTTP server beside it: uploads, reads, updates, deletes,
//! metadata and pages of the catalog, each alone or mixed, at a concurrency.
//!
//! It makes its own light HTTP/1.1 connections, one for each worker and service, and its bodies are
//! prepared beforehand, so that one core of the client can keep a whole cluster busy. It does not
//! retry: what fails is counted. Latency is that of the request itself; places are asked for in
//! batches, beside it. What is read is compared with what was stored.

pub mod http;
mod load;
pub mod mix;
mod payload;
mod places;
pub mod probe;
pub mod report;
pub mod sizes;
pub mod usage;
mod work;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use wire::{Checksum, Code, ContentId, ShardNo};

use http::address::ParseAddressError;
use http::connection::ExchangeError;
use mix::Mix;
use report::Report;
use sizes::Sizes;

/// After a failed operation, so that a dead node is not asked a million times.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(20);

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A cluster, by its distributor's base URI.
    Cluster(String),
    /// A folder of a plain HTTP server, by its URI: contents are put and read there under their ids.
    Plain(String),
}

/// What load to make.
#[derive(Clone, Debug)]
pub struct Load {
    /// On whom.
    pub target: Target,
    /// The cluster's access key, where it demands one.
    pub access_key: Option<String>,
    /// The sizes of contents.
    pub sizes: Sizes,
    /// Operations under way at once, over all threads.
    pub concurrency: usize,
    /// Threads of this process.
    pub threads: usize,
    /// When to stop.
    pub bound: Bound,
    /// Contents in one upload: one is the request's body, several are a form.
    pub files_per_request: usize,
    /// What a change's answer waits for.
    pub wait: Wait,
    /// One content in so many has its bytes hashed and compared.
    pub hashed_one_in: u64,
    /// Rows in a page of the catalog.
    pub page_rows: usize,
}

impl Load {
    /// A load of 1 KiB, 16 at once, for ten seconds.
    pub fn on(target: Target) -> Self {
        Load {
            target,
            access_key: None,
            sizes: Sizes::fixed(1024),
            concurrency: 16,
            threads: 1,
            bound: Bound::Duration(Duration::from_secs(10)),
            files_per_request: 1,
            wait: Wait::Both,
            hashed_one_in: 16,
            page_rows: wire::limits::PAGE_ROWS_MAX,
        }
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// After so many requests.
    Count(u64),
    /// After this time.
    Duration(Duration),
}

/// What the answer to an upload, update or delete waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// All in-sync mirrors have synced it.
    Committed,
    /// The catalog has it.
    Listed,
    /// One in sixteen for the first, the rest for the second: so both are measured in one load.
    Both,
}

/// A content that the load may read, change or delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its id.
    pub id: ContentId,
    /// The base URI of the node that has it.
    pub node: String,
    /// Its size and hash, where they are known.
    pub expected: Option<(u64, Checksum)>,
}

/// Whether an upload benchmark remembers what it stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// All of it: 100 bytes each.
    All,
    /// Nothing.
    Nothing,
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
    #[error("there is no content to read, change or delete")]
    NoContent,
    /// The probe's uploads failed.
    #[error("an upload failed: {0}")]
    Upload(String),
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

/// Makes the load; gives the report, and what was stored if `keep` says so.
///
/// `contents` are those that it may read and change: a mixed load reads these, and updates and
/// deletes only what it has itself uploaded.
///
/// # Errors
/// When the load cannot be made at all; failed operations are in the report.
pub fn run(
    load: &Load,
    mix: &Mix,
    contents: &[Stored],
    keep: Keep,
) -> Result<(Report, Vec<Stored>), BenchError> {
    work::run(load, mix, contents, keep)
}

/// Finds the nodes of contents whose ids are known, through the shard map.
///
/// # Errors
/// When the distributor does not tell, or nobody leads one of their shards.
pub fn locate(load: &Load, ids: &[ContentId]) -> Result<Vec<Stored>, BenchError> {
    places::locate(load, ids)
}
