//! What every handler has: one running node, seen from a request.

use std::time::Instant;

use rand::Rng;
use service::access::Gate;
use service::current::Current;
use tokio::sync::Semaphore;
use wire::content::Receipt;
use wire::stats::{NodeStats, Space};
use wire::{ContentId, NodeName};

use crate::clock;
use crate::driver::Handle;
use crate::driver::command::Ack;
use crate::driver::table::{ReplicaView, Standing};
use crate::gauges::Gauges;
use crate::links::Acceptor;
use crate::membership::heartbeat::Map;
use crate::metrics::Metrics;
use crate::others::Others;
use crate::scrub::ScrubView;

/// A running node.
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) access: Gate,
    pub(crate) cors_origins: Current<Vec<String>>,
    pub(crate) handle: Handle,
    pub(crate) links: Acceptor,
    pub(crate) scrubs: ScrubView,
    pub(crate) others: Others,
    /// Bounds the records that are read for other nodes' repairs.
    pub(crate) record_reads: Semaphore,
    /// Bounds the contents that are verified.
    pub(crate) verifications: Semaphore,
    pub(crate) map: Map,
    pub(crate) metrics: std::sync::Arc<Metrics>,
    pub(crate) traces: telemetry::Traces,
    pub(crate) gauges: Gauges,
    pub(crate) started: Instant,
}

impl Node {
    /// A fresh id in one of the shards that take new contents here; none if there is no such shard.
    pub(crate) fn mint(&self) -> Option<ContentId> {
        let replicas = self.handle.table().replicas();
        let open: Vec<_> = replicas
            .values()
            .filter(|replica| replica.is_to_be_open())
            .collect();
        let mut random = rand::rng();
        let chosen = open.get(random.random_range(0..open.len().max(1)))?;
        Some(ContentId::mint(
            chosen.shard,
            clock::now_ms(),
            random.random(),
        ))
    }

    /// What an acknowledgement is worth, and how it is put to people: `done` is what was done.
    pub(crate) fn receipt(&self, id: ContentId, ack: Ack, done: &'static str) -> Receipt {
        self.metrics.changed(done);
        let replica = self.handle.table().replica(id.shard());
        let record = replica.as_ref().and_then(|replica| replica.record.as_ref());
        let outcome = ack.outcome;
        Receipt {
            id,
            message: format!("Content successfully {done}. ID: {id}"),
            filename: outcome.filename,
            version: outcome.version,
            size: outcome.size,
            checksum: outcome.checksum,
            nodes: record.map_or_else(
                || vec![self.name.clone()],
                |record| {
                    record
                        .in_sync
                        .iter()
                        .map(|member| member.node.clone())
                        .collect()
                },
            ),
            degraded: record.is_some_and(|record| record.degraded),
            status: ack.status,
        }
    }

    /// What `GET /stats` says.
    #[expect(clippy::cast_precision_loss, reason = "a percentage need not be exact")]
    pub(crate) fn stats(&self) -> NodeStats {
        let sample = self.gauges.sample();
        let admission = self.handle.admission();
        let (storage, max_storage) = (admission.used(), admission.max_storage());
        let mut stats = NodeStats {
            memory: sample.memory,
            storage,
            storagep: 100.0 * storage as f64 / max_storage.max(1) as f64,
            max_storage,
            cpu: sample.cpu,
            memory_available: sample.memory_available,
            memory_total: sample.memory_total,
            disk_free: sample.disk.free,
            uploads_in_flight: admission.uploads(),
            bytes_promised: admission.promised(),
            shards_led: 0,
            shards_open: 0,
            contents: 0,
            space: Space::default(),
            unlisted: 0,
            damaged: 0,
            traffic: self.metrics.traffic(),
            uptime_s: self.started.elapsed().as_secs(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        for replica in self.handle.table().replicas().values() {
            add_replica(&mut stats, replica);
            if self.lists(replica) {
                stats.unlisted += unlisted(replica);
            }
        }
        stats
    }

    /// Whether it is this node that has the replica's changes listed: also before it leads again
    /// after a restart, and after the log failed.
    pub(crate) fn lists(&self, replica: &ReplicaView) -> bool {
        let record = replica.record.as_ref();
        let leader = record.and_then(|record| record.leader.as_ref());
        leader.is_some_and(|leader| {
            leader.member.node == self.name && leader.member.replica == replica.replica
        })
    }

    /// Shards whose log failed.
    fn poisoned(&self) -> u64 {
        let replicas = self.handle.table().replicas();
        replicas
            .values()
            .filter(|replica| replica.standing == Standing::Poisoned)
            .count() as u64
    }

    /// Why this node is not ready to serve; none if it is.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        let replicas = self.handle.table().replicas();
        let presence = self.handle.presence();
        let serves = |replica: &ReplicaView| replica.is_readable() || replica.serves_when_asked();
        if !presence.lives() {
            Some("the disk thread has ended: restart the node")
        } else if self.poisoned() > 0 {
            Some("a shard's log failed: restart the node, and look after its disk")
        } else if replicas.values().any(|replica| serves(replica)) {
            None
        } else if !replicas.is_empty() {
            Some(
                "no shard that is held can be served: no leader is known, or it does not hear its set",
            )
        } else if presence.map_version() == 0 {
            Some("no shard is held yet: no distributor has answered")
        } else {
            Some("no shard is held: none was given to this node")
        }
    }
}

fn add_replica(stats: &mut NodeStats, replica: &ReplicaView) {
    let measures = replica.gauge.measures();
    let leads = replica.standing == Standing::Leading;
    stats.shards_led += u64::from(leads);
    stats.shards_open += u64::from(replica.is_open());
    stats.contents += measures.usage.contents;
    stats.space.add(&measures.usage.space);
    stats.damaged += replica.reader.damage_count();
}

/// Committed records that the catalog is not known to have: after a restart all of them, until it
/// was asked.
fn unlisted(replica: &ReplicaView) -> u64 {
    let committed = replica.gauge.measures().committed.0;
    committed.saturating_sub(replica.gauge.listed().0)
}
