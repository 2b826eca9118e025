//! Which shards cannot get the copies that they lack, as far as answers of distributors tell: what services and
//! clients say of it in the same way. The controller decides by the same rule, from what it hears itself
//! (`dist/controller/src/repair.rs`, `room.rs`).

use std::collections::BTreeMap;

use super::{Health, NodeEntry, NodesAnswer, ServiceRole, ShardEntry};
use crate::NodeName;
use crate::body::stats::NodeStats;
use crate::limits::{ROOM_PERCENT_MIN, STORAGE_PERCENT_PLACED_MAX};

impl NodesAnswer {
    /// Whether a shard has fewer copies than it shall have, on nodes that keep theirs, and no node can take
    /// another one. `stats` is what nodes said of themselves, as far as they did.
    pub fn is_stuck(
        &self,
        shard: &ShardEntry,
        stats: &BTreeMap<NodeName, Option<NodeStats>>,
    ) -> bool {
        let wanted = self.copies.map_or(0, usize::from);
        self.staying(shard) < wanted && !self.can_be_taken(shard, stats)
    }

    /// Replicas on nodes that are known, and not to be emptied.
    fn staying(&self, shard: &ShardEntry) -> usize {
        let entries = shard.replicas.iter();
        let entries = entries.filter_map(|replica| self.nodes.get(&replica.node));
        entries.filter(|entry| entry.draining.is_none()).count()
    }

    fn can_be_taken(
        &self,
        shard: &ShardEntry,
        stats: &BTreeMap<NodeName, Option<NodeStats>>,
    ) -> bool {
        let is_usable = |entry: &NodeEntry| {
            let is_up = entry.health == Health::Up && entry.draining.is_none();
            entry.role == ServiceRole::Node && is_up
        };
        let holds = |name: &NodeName| shard.replicas.iter().any(|replica| replica.node == *name);
        let nodes = self.nodes.iter();
        let mut others = nodes.filter(|(name, entry)| is_usable(entry) && !holds(name));
        others.any(|(name, _)| {
            let told = stats.get(name).and_then(Option::as_ref);
            told.is_none_or(|stats| has_room(stats, shard.bytes))
        })
    }
}

/// Whether so much more is placed at a node.
fn has_room(stats: &NodeStats, bytes: u64) -> bool {
    let total = stats.max_storage as f64 * STORAGE_PERCENT_PLACED_MAX / 100.0;
    let placed = total - stats.storage as f64;
    let free = placed.min(stats.disk_free as f64) - stats.bytes_promised as f64;
    // One that does not know itself yet may have room.
    total <= 0.0 || free > total * ROOM_PERCENT_MIN as f64 / 100.0 && free >= bytes as f64
}
