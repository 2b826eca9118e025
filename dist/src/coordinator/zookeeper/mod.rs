//! The coordinator in ZooKeeper: shard records as nodes, the office as an ephemeral one.
//!
//! Under the path of a cluster:
//!
//! ```text
//! cluster              the cluster's UUID: one path serves one cluster
//! shards               touched by every change of a record
//! shards/17            the record of shard 17, as JSON
//! controller           the number of the last term
//! controller/office    who holds it, as JSON; goes with its session
//! ```
//!
//! Nothing is ever decided by a watch, and nothing by a read that did not `sync` first; what a lost
//! connection leaves open is [`CoordinatorError::Unavailable`], and the caller reads again.

mod address;
mod election;
mod error;
mod register;
mod session;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use uuid::Uuid;
use wire::shard::{Revision, ShardChanged, ShardRecord};

use super::{Coordinator, CoordinatorError, Term};
use election::Election;
use register::Register;
use session::{Sessions, Terms};

pub use address::{ZooKeeperAddress, ZooKeeperAddressError};
pub use error::ZooKeeperError;

const CLUSTER: &str = "/cluster";
const SHARDS: &str = "/shards";
const CONTROLLER: &str = "/controller";
const OFFICE: &str = "/controller/office";

/// A call takes half of the distributor's session, within these: what waits for it (a tick of the
/// controller, a heartbeat) must not take a whole one.
const CALL_TIME_MAX: Duration = Duration::from_secs(2);
const CALL_TIME_MIN: Duration = Duration::from_millis(500);

/// How long ZooKeeper must wait for a silent session, so that a lease of this length that began
/// with the session's last write is over before. A third more than the lease: a server tells the
/// leader of its sessions every half tick, and no session is shorter than two ticks.
fn silence_for(lease: Duration) -> Duration {
    let millis = (lease + lease / 3).as_millis();
    // ZooKeeper counts them in 31 bits, and grants less than a minute unless it is told to.
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Shard records and the election as nodes of ZooKeeper.
pub(crate) struct ZooKeeperCoordinator {
    place: String,
    call_time_max: Duration,
    sessions: Arc<Sessions>,
    register: Register,
    election: Arc<Election>,
}

impl ZooKeeperCoordinator {
    /// Gets a session, and makes what is missing under the path.
    pub(crate) async fn open(
        address: &ZooKeeperAddress,
        lease_max: Duration,
        cluster: Uuid,
    ) -> Result<Self, ZooKeeperError> {
        let call_time_max = (lease_max / 2).clamp(CALL_TIME_MIN, CALL_TIME_MAX);
        let terms = Terms {
            address: address.clone(),
            silence: silence_for(lease_max),
            cluster,
        };
        let sessions = Arc::new(Sessions::open(terms).await?);
        Ok(ZooKeeperCoordinator {
            place: address.to_string(),
            call_time_max,
            election: Arc::new(Election::new(Arc::clone(&sessions), call_time_max)),
            sessions,
            register: Register::default(),
        })
    }

    /// Nobody waits longer for ZooKeeper, whatever it or the network does.
    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, CoordinatorError>>,
    ) -> Result<T, CoordinatorError> {
        let (place, time_max) = (&self.place, self.call_time_max);
        let late = format!("{place}: no answer within {time_max:?}");
        let outcome = timeout(time_max, call).await;
        outcome.unwrap_or(Err(CoordinatorError::Unavailable(late)))
    }
}

impl Coordinator for ZooKeeperCoordinator {
    fn records(&self) -> BoxFuture<'_, Result<Vec<ShardRecord>, CoordinatorError>> {
        self.in_time(async {
            let session = self.sessions.connected().await?;
            self.register.records(&session).await
        })
        .boxed()
    }

    fn change<'a>(
        &'a self,
        expected: Revision,
        record: &'a ShardRecord,
    ) -> BoxFuture<'a, Result<ShardChanged, CoordinatorError>> {
        self.in_time(async move {
            let session = self.sessions.connected().await?;
            register::change(&session, expected, record).await
        })
        .boxed()
    }

    fn campaign(
        &self,
        candidate: Uuid,
        lease: Duration,
    ) -> BoxFuture<'_, Result<Option<Term>, CoordinatorError>> {
        self.in_time(self.election.campaign(candidate, lease))
            .boxed()
    }

    fn resign(&self, candidate: Uuid) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        self.in_time(self.election.resign(candidate)).boxed()
    }
}
