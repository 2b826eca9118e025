//! Nodes that are to be emptied and cannot be.

use std::collections::BTreeSet;

use wire::NodeName;
use wire::membership::ShardEntry;

use super::words::names;
use super::{Cluster, Verdict, warn};
use crate::console::figures::counted;

/// Some whose shards no other node can take.
pub(super) fn stuck(cluster: &Cluster) -> Option<Verdict> {
    let stats = &cluster.stats.nodes;
    let shards = cluster.nodes.shards.iter();
    let stuck = shards
        .filter(|shard| leaving(cluster, shard).next().is_some())
        .filter(|shard| cluster.nodes.is_stuck(shard, stats));
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
