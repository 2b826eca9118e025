//! The catalog: a view of the nodes' logs, in PostgreSQL or SQLite.
//!
//! This module owns all SQL over contents, and how far each shard's log was followed. It must not
//! know HTTP, placement, or who leads a shard.

mod error;
mod history;
mod listing;
mod open;
mod postgres;
mod prefix;
#[cfg(test)]
pub(crate) mod slow;
mod sqlite;
mod unlistable;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;
use wire::content::{ContentRow, Status};
use wire::history::HistoryPoint;
use wire::listing::{ListingOutcome, ListingPart};
use wire::membership::{Heartbeat, ServiceRole};
use wire::{ContentId, NodeName, Position, ShardNo};

pub use error::{AdoptError, OpenError, QueryError};
pub use history::{HistoryQuery, LEVELS, Level, Sample};
pub use open::{Database, open};
pub(crate) use postgres::{Line, in_time};
pub(crate) use sqlite::{Writer as SqliteWriter, name as name_sqlite_error};

/// A row of the catalog, and whether the database took it as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The content's metadata; sanitized when `status` is [`Status::Unlistable`].
    pub row: ContentRow,
    /// [`Status::Ok`] or [`Status::Unlistable`], never [`Status::Pending`].
    pub status: Status,
}

/// Which contents a page shows.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PageQuery {
    /// Only what comes after this id.
    pub after: Option<ContentId>,
    /// In an order by name: the name that the content `after` had.
    pub after_name: Option<String>,
    /// In which order.
    pub order: PageOrder,
    /// At most so many.
    pub limit: usize,
    /// Only these names.
    pub filename: Option<NameFilter>,
    /// Only this collection.
    pub collection: Option<String>,
}

/// In which order pages show contents. Each is that of an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PageOrder {
    /// By id, which is by time.
    #[default]
    Oldest,
    /// By id, backwards.
    Newest,
    /// By file name, and by id where names are equal.
    Name,
    /// By file name, backwards.
    NameBackwards,
}

impl PageOrder {
    /// Whether it goes by file names.
    pub fn is_by_name(self) -> bool {
        matches!(self, PageOrder::Name | PageOrder::NameBackwards)
    }

    /// Whether it goes backwards.
    pub(crate) fn is_backwards(self) -> bool {
        matches!(self, PageOrder::Newest | PageOrder::NameBackwards)
    }
}

/// Which file names a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameFilter {
    /// This name alone.
    Exactly(String),
    /// All names that begin so.
    Prefix(String),
}

/// Which cluster a database belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// Whether the UUID was taken over from nodes, for a rebuild.
    pub adopted: bool,
    /// Whether the database was empty, and was given this UUID just now.
    pub new: bool,
}

/// How far the catalog has followed one shard, and what it found there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardTotals {
    /// Which shard.
    pub shard: ShardNo,
    /// The last record that was applied.
    pub listed: Position,
    /// Contents of the shard.
    pub contents: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// What one distributor tells the others of a service that it heard from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// The service's name.
    pub name: NodeName,
    /// What it is.
    pub role: ServiceRole,
    /// Base URI for other services.
    pub internal_url: String,
    /// Base URI for clients.
    pub public_url: String,
    /// Its process.
    pub incarnation: Uuid,
    /// The last heartbeat; none of a distributor.
    pub heartbeat: Option<Heartbeat>,
    /// How long ago it was heard.
    pub age: Duration,
}

/// What all distributors of the cluster know together.
#[derive(Clone, Debug, PartialEq)]
pub struct Board {
    /// The cluster that the database belongs to at this moment; none when the database is empty.
    pub cluster: Option<Uuid>,
    /// Every service ever heard of, by any distributor, and not removed.
    pub sightings: Vec<Sighting>,
    /// The nodes that shall hold nothing any more.
    pub draining: BTreeSet<NodeName>,
    /// Whether nodes are to become equally full.
    pub rebalancing: bool,
    /// Removed services, and the process of each that must not come back.
    pub removed: BTreeMap<NodeName, Uuid>,
}

/// The connections that answer questions, as they are at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Connections {
    /// In use.
    pub busy: u32,
    /// Open, and not in use.
    pub idle: u32,
    /// The most that there may be.
    pub most: u32,
}

impl Connections {
    fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Self {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        Connections {
            busy: pool.size().saturating_sub(idle),
            idle,
            most: pool.options().get_max_connections(),
        }
    }
}

/// What an operator has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order<'a> {
    /// This node shall hold nothing any more.
    Drain(&'a NodeName),
    /// This node is one like the others again.
    Undrain(&'a NodeName),
    /// This node is gone for good: its row goes, and its last process is remembered.
    Remove(&'a NodeName),
    /// Nodes shall become equally full.
    Rebalance,
    /// They are, or need not.
    Settle,
}

/// The metadata of all contents, and how far each shard's log was followed.
///
/// Every implementation MUST keep these, and the conformance suite checks them on each:
/// - [`list`](Catalog::list) is atomic for each part: its operations and the shard's new position
///   become visible together or not at all, and are durable when the call returns.
///   The end of a walk alone is not: rows that the walk did not show go in batches, each of a bounded time,
///   before the position moves. One that was cut off goes on when the same part is sent again.
/// - A part is applied only if the catalog's position equals the part's `after`; so a part sent
///   twice is applied once. A part that does not match changes nothing, is reported with the
///   catalog's position, and never keeps other parts from being applied.
/// - Each shard's count and bytes equal the sums over its rows whenever no call is running.
/// - A row that the database refuses never blocks listing: it is listed with sanitized fields as
///   [`Status::Unlistable`].
/// - After a [`QueryError::Unavailable`] the call may have taken effect or not; sending the same
///   parts again is harmless.
/// - A page that would take long in the order that is asked for is [`QueryError::TooLong`], and keeps nobody
///   else from the database.
/// - When the database is away, calls fail within a few seconds; when it is back, they succeed
///   again without a restart.
pub trait Catalog: Send + Sync {
    /// Reads which cluster the database belongs to; an empty one is given `fresh`.
    fn identify(&self, fresh: Uuid) -> BoxFuture<'_, Result<Identity, QueryError>>;

    /// Takes over the UUID of a cluster whose catalog was lost. A database that already belongs
    /// to it stays as it is.
    ///
    /// # Errors
    /// When the database holds contents or shard records of another cluster.
    fn adopt(&self, cluster: Uuid) -> BoxFuture<'_, Result<(), AdoptError>>;

    /// Applies parts of the nodes' logs: one outcome for each part, in the same order.
    ///
    /// At most one part for each shard. Durable when it returns.
    fn list<'a>(
        &'a self,
        parts: &'a [ListingPart],
    ) -> BoxFuture<'a, Result<Vec<ListingOutcome>, QueryError>>;

    /// The rows of those of the contents that are listed, in any order.
    fn contents<'a>(
        &'a self,
        ids: &'a [ContentId],
    ) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>>;

    /// A page of contents, in the order that is asked for.
    fn page<'a>(&'a self, query: &'a PageQuery) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>>;

    /// Every followed shard's position and totals, in ascending order.
    fn totals(&self) -> BoxFuture<'_, Result<Vec<ShardTotals>, QueryError>>;

    /// Tells the other distributors what was heard here, and reads what they heard.
    ///
    /// A sighting that is older than what the board shows is ignored.
    fn exchange<'a>(&'a self, heard: &'a [Sighting]) -> BoxFuture<'a, Result<Board, QueryError>>;

    /// Writes down what an operator decided. Repeating it is harmless.
    fn order<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<(), QueryError>>;

    /// Adds a sample to the history. After a [`QueryError::Unavailable`] it may be there; added twice,
    /// it counts twice in the averages of its steps, which nothing depends on.
    fn record<'a>(&'a self, sample: &'a Sample) -> BoxFuture<'a, Result<(), QueryError>>;

    /// Forgets steps of the history that are older than [`LEVELS`] tell, a bounded number of them.
    fn forget(&self, now_s: u64) -> BoxFuture<'_, Result<(), QueryError>>;

    /// Averages over steps, in ascending order; steps without a sample are left out.
    fn history<'a>(
        &'a self,
        query: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, QueryError>>;

    /// The connections that answer questions. Asks nobody.
    fn connections(&self) -> Connections;

    /// Closes the connections; calls fail from then on.
    fn close(&self) -> BoxFuture<'_, ()>;
}
