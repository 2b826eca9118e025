//! Nodes that are to be emptied and cannot be, by the controller's rule of who can take a replica
//! (`dist/controller/src/repair.rs`, `room.rs`). `client` tells the same (`client/src/cli/copying.rs`).

use std::collections::BTreeSet;

use wire::NodeName;
use wire::limits::{ROOM_PERCENT_MIN, STORAGE_PERCENT_PLACED_MAX};
use wire::membership::{Health, NodeEntry, ServiceRole, ShardEntry};
use wire::stats::NodeStats;

use super::words::names;
use super::{Cluster, Verdict, warn};
use crate::console::figures::counted;

/// Some whose shards no other node can take.
pub(super) fn stuck(cluster: &Cluster) -> Option<Verdict> {
    let wanted = cluster.nodes.copies.map_or(0, usize::from);
    let shards = cluster.nodes.shards.iter();
    let stuck = shards
        .filter(|shard| leaving(cluster, shard).next().is_some())
        .filter(|shard| staying(cluster, shard) < wanted && !can_be_taken(cluster, shard));
    let stuck: Vec<&ShardEntry> = stuck.collect();
    let nodes = stuck.iter().flat_map(|shard| leaving(cluster, shard));
    let nodes: BTreeSet<&str> = nodes.map(NodeName::as_str).collect();
    (!nodes.is_empty()).then(|| {
        let nodes = names(&Vec::from_iter(nodes));
        let shards = counted(stuck.len() as u64, "shard");
        warn(
            format!("{nodes} cannot be emptied: no other node can take {shards}."),
            "Add a node, make room on one, or lower `COPIES`; `client drain NODE --undo` ends the drain.",
        )
    })
}

/// The nodes of a shard that are to be emptied.
fn leaving<'a>(cluster: &'a Cluster, shard: &'a ShardEntry) -> impl Iterator<Item = &'a NodeName> {
    let nodes = shard.replicas.iter().map(|replica| &replica.node);
    nodes.filter(|node| {
        let entry = cluster.nodes.nodes.get(*node);
        entry.is_some_and(|entry| entry.draining.is_some())
    })
}

/// Replicas on nodes that are known, and not to be emptied.
fn staying(cluster: &Cluster, shard: &ShardEntry) -> usize {
    let entries = shard.replicas.iter();
    let entries = entries.filter_map(|replica| cluster.nodes.nodes.get(&replica.node));
    entries.filter(|entry| entry.draining.is_none()).count()
}

fn can_be_taken(cluster: &Cluster, shard: &ShardEntry) -> bool {
    let is_usable = |entry: &NodeEntry| {
        let is_up = entry.health == Health::Up && entry.draining.is_none();
        entry.role == ServiceRole::Node && is_up
    };
    let holds = |name: &NodeName| shard.replicas.iter().any(|replica| replica.node == *name);
    let others = cluster.nodes.nodes.iter();
    let mut others = others.filter(|(name, entry)| is_usable(entry) && !holds(name));
    others.any(|(name, _)| {
        let told = cluster.stats_of(name);
        told.is_none_or(|stats| has_room(stats, shard.bytes))
    })
}

/// Whether so much more is placed at a node.
fn has_room(stats: &NodeStats, bytes: u64) -> bool {
    let total = stats.max_storage as f64 * STORAGE_PERCENT_PLACED_MAX / 100.0;
    let placed = total - stats.storage as f64;
    let free = placed.min(stats.disk_free as f64) - stats.bytes_promised as f64;
    // One that does not know itself yet may have room.
    total <= 0.0 || free > total * ROOM_PERCENT_MIN as f64 / 100.0 && free >= bytes as f64
}
