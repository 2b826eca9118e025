//! The coordinator: where shard records are agreed, and the controller is elected.
//!
//! It must not know why a record changes, nor what a catalog is. The trait is free of SQL: beside
//! the two of the catalog's database stands one of ZooKeeper.

mod postgres;
mod sqlite;
mod zookeeper;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use uuid::Uuid;
use wire::shard::{Revision, ShardChanged, ShardRecord};

pub(crate) use postgres::PostgresCoordinator;
pub(crate) use sqlite::SqliteCoordinator;
pub use zookeeper::{ZooKeeperAddress, ZooKeeperAddressError, ZooKeeperError};

/// Why the coordinator has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// It does not answer, or the connection was lost on the way: a change may have been made.
    #[error("the coordinator does not answer: {0}")]
    Unavailable(String),
    /// It answered with something that cannot be used.
    #[error("the coordinator failed: {0}")]
    Failed(String),
    /// The caller's record is not one that could follow any.
    #[error("shard {shard}: a record of revision {revision} cannot follow {expected}")]
    Order {
        /// Which shard.
        shard: wire::ShardNo,
        /// The revision that the caller saw.
        expected: Revision,
        /// That of the record that it offers.
        revision: Revision,
    },
}

/// A controller's term of office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Grows whenever the office changes hands or was vacant.
    pub number: u64,
}

/// A register of shard records with compare-and-set, and an election with a lease.
///
/// Every implementation MUST keep these, and the conformance suite checks them on each:
/// - [`change`](Coordinator::change) replaces a shard's record exactly if the present revision
///   is `expected` ([`Revision::NONE`]: there is none); of several callers with the same `expected` one succeeds.
///   A change that was made is durable when the call returns, and seen by every later
///   [`records`](Coordinator::records) of any distributor.
/// - At most one candidate holds the office at any moment of the coordinator's own clock; a lease
///   that ran out is free for everyone. Callers' clocks decide nothing.
/// - A term's number grows with each change of the holder, and when a holder comes back after its
///   lease ran out.
/// - After a [`CoordinatorError::Unavailable`] a change may have been made or not: read again and
///   compare before trying again.
pub trait Coordinator: Send + Sync {
    /// All records in ascending order of shards.
    fn records(&self) -> BoxFuture<'_, Result<Vec<ShardRecord>, CoordinatorError>>;

    /// Replaces the record whose revision is `expected` by one of a higher revision. Answers the
    /// record as it is then, whether it was changed or not.
    fn change<'a>(
        &'a self,
        expected: Revision,
        record: &'a ShardRecord,
    ) -> BoxFuture<'a, Result<ShardChanged, CoordinatorError>>;

    /// Takes the office, or keeps it, for `lease` from now. None while another one holds it.
    fn campaign(
        &self,
        candidate: Uuid,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Option<Term>, CoordinatorError>>;

    /// Gives the office back, so that another one need not wait for the lease to run out.
    fn resign(&self, candidate: Uuid) -> BoxFuture<'_, Result<(), CoordinatorError>>;
}

/// Opens a coordinator in ZooKeeper for the leases of a `session`, and makes what is missing there.
///
/// # Errors
/// When no server answers within ten seconds, when ZooKeeper grants no session that outlives such a
/// lease, or when another cluster than this one keeps its records under the path.
pub async fn open_zookeeper(
    address: &ZooKeeperAddress,
    session: Duration,
    cluster: Uuid,
) -> Result<Arc<dyn Coordinator>, ZooKeeperError> {
    let coordinator = zookeeper::ZooKeeperCoordinator::open(address, session, cluster).await?;
    Ok(Arc::new(coordinator))
}

fn check_order(expected: Revision, record: &ShardRecord) -> Result<(), CoordinatorError> {
    if record.version > 0 && record.revision() > expected {
        return Ok(());
    }
    let (shard, revision) = (record.shard, record.revision());
    Err(CoordinatorError::Order {
        shard,
        expected,
        revision,
    })
}

/// The answer to a change that found another revision, or none.
fn unchanged(
    present: Option<ShardRecord>,
    offered: &ShardRecord,
) -> Result<ShardChanged, CoordinatorError> {
    match present {
        Some(record) => Ok(ShardChanged {
            changed: false,
            record,
        }),
        None => Err(CoordinatorError::Failed(format!(
            "shard {} has no record that {} could follow",
            offered.shard,
            offered.revision()
        ))),
    }
}
