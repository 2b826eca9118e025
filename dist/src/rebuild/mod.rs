//! Filling an empty catalog from the nodes, after the old one was lost.
//!
//! A rebuild is a distributor with an empty database that takes the lost one's place: nodes report
//! the records that they obey, and list what they hold, as they always do. This module only takes
//! over the cluster's UUID, and tells when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use service::access::Gate;
use uuid::Uuid;
use wire::membership::ReplicaReport;
use wire::shard::{Member, ShardRecord};
use wire::{Lsn, NodeName, Position, ShardNo};

use crate::app::{Running, StartError, coordinated, start_on};
use crate::catalog::{self, AdoptError, QueryError};
use crate::config::Config;
use crate::controller::Seen;
use crate::peer::Peer;

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What shall be rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuild {
    /// The cluster whose catalog was lost.
    pub adopt: Uuid,
    /// Nodes that must report before it is done; nodes that report by themselves are added.
    pub nodes: Vec<NodeName>,
    /// Base URIs of other distributors, which must not serve meanwhile.
    pub distributors: Vec<String>,
}

/// How far a rebuild has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nodes that must report and did not yet.
    pub missing_nodes: BTreeSet<NodeName>,
    /// Replicas that records name and whose nodes did not report them.
    pub missing_replicas: usize,
    /// Shards that are known.
    pub shards: usize,
    /// Shards that are listed up to their leaders' commit.
    pub listed: usize,
    /// Contents in the catalog.
    pub contents: u64,
}

/// Why a rebuild does not begin, or does not end well.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The distributor does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database cannot take over the cluster.
    #[error(transparent)]
    Adopt(#[from] AdoptError),
    /// The catalog failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// Another distributor serves: the nodes obey its register.
    #[error(
        "a distributor at {url} serves cluster {cluster}; stop it first, its catalog is not lost"
    )]
    Alive {
        /// Where.
        url: String,
        /// Which cluster.
        cluster: Uuid,
    },
}

impl Progress {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing_nodes.is_empty()
            && self.missing_replicas == 0
            && self.shards > 0
            && self.listed == self.shards
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress {
            shards,
            listed,
            contents,
            missing_replicas,
            ..
        } = self;
        write!(
            f,
            "{contents} contents listed, {listed} of {shards} shards complete"
        )?;
        if *missing_replicas > 0 {
            write!(f, ", {missing_replicas} replicas not reported")?;
        }
        if !self.missing_nodes.is_empty() {
            let names: Vec<&str> = self.missing_nodes.iter().map(NodeName::as_str).collect();
            write!(f, ", waiting for {}", names.join(", "))?;
        }
        Ok(())
    }
}

/// Rebuilds a catalog; returns when it is complete. `report` is called whenever something moved.
///
/// # Errors
/// When the database belongs to another cluster and holds something of it, when another
/// distributor serves, or when the catalog fails. What was listed until then stays, and a later
/// rebuild goes on from there.
pub async fn rebuild(
    config: Config,
    plan: Rebuild,
    mut report: impl FnMut(&Progress),
) -> Result<(), RebuildError> {
    let gate = Gate::new(&config.access, config.bind).map_err(StartError::from)?;
    refuse_beside(&config, &plan.distributors).await?;
    let database = catalog::open(&config.database_url)
        .await
        .map_err(StartError::from)?;
    // First, so that a database in front of another cluster's records stays as it is.
    let database = coordinated(&config, database, plan.adopt).await?;
    database.catalog.adopt(plan.adopt).await?;
    let identity = database.catalog.identify(plan.adopt).await?;
    let session = config.session;
    let started = Instant::now();
    let running = start_on(config, gate, database, identity).await?;
    let mut last = None;
    let outcome = loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let progress = match look(&running, &plan.nodes).await {
            Ok(progress) => progress,
            Err(error) => break Err(error.into()),
        };
        if last.as_ref() != Some(&progress) {
            report(&progress);
        }
        // Within a session every node that lives has reported.
        if progress.is_complete() && started.elapsed() > session {
            break Ok(());
        }
        last = Some(progress);
    };
    running.stop().await;
    outcome
}

async fn refuse_beside(config: &Config, distributors: &[String]) -> Result<(), RebuildError> {
    let peer = Peer::new(&config.access).map_err(|error| StartError::Client(error.to_string()))?;
    for url in distributors {
        if let Ok(answer) = peer.cluster(url).await {
            return Err(RebuildError::Alive {
                url: url.clone(),
                cluster: answer.cluster,
            });
        }
    }
    Ok(())
}

async fn look(running: &Running, expected: &[NodeName]) -> Result<Progress, QueryError> {
    let shared = running.shared();
    let totals = shared.catalog.totals().await?;
    let listed: BTreeMap<ShardNo, Position> = totals
        .iter()
        .map(|totals| (totals.shard, totals.listed))
        .collect();
    let mut progress = measure(
        &shared.members.records(),
        &shared.members.seen(Instant::now()),
        &listed,
        expected,
    );
    progress.contents = totals.iter().map(|totals| totals.contents).sum();
    Ok(progress)
}

/// What is missing: pure.
fn measure(
    records: &BTreeMap<ShardNo, ShardRecord>,
    nodes: &BTreeMap<NodeName, Seen>,
    listed: &BTreeMap<ShardNo, Position>,
    expected: &[NodeName],
) -> Progress {
    let alive = |name: &NodeName| nodes.get(name).filter(|seen| seen.alive);
    let named = records
        .values()
        .flat_map(|record| &record.replicas)
        .map(|member| &member.node);
    let missing = |name: &&NodeName| alive(name).is_none();
    let committed = |record: &ShardRecord| -> Option<Lsn> {
        let leader = &record.leader.as_ref()?.member;
        let reports = &alive(&leader.node)?.heartbeat.replicas;
        reports
            .iter()
            .find(|report| report.shard == record.shard && report.replica == leader.replica)
            .map(|r| r.committed)
    };
    let lacking = |record: &ShardRecord| {
        let is_it = |member: &Member, report: &ReplicaReport| {
            report.shard == record.shard && report.replica == member.replica
        };
        let held = |member: &&Member| {
            let seen = alive(&member.node);
            seen.is_some_and(|seen| seen.heartbeat.replicas.iter().any(|r| is_it(member, r)))
        };
        record.replicas.len() - record.replicas.iter().filter(held).count()
    };
    let complete = |record: &&ShardRecord| {
        let position = listed.get(&record.shard).copied().unwrap_or_default();
        committed(record).is_some_and(|committed| position.lsn >= committed)
    };
    Progress {
        missing_nodes: named.chain(expected).filter(missing).cloned().collect(),
        missing_replicas: records.values().map(lacking).sum(),
        shards: records.len(),
        listed: records.values().filter(complete).count(),
        contents: 0,
    }
}

#[cfg(test)]
mod tests;
