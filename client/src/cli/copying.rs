//! Whether the cluster can make the copies that it lacks: pure, from what distributors say of it. The controller
//! decides (`dist/controller/src/repair.rs`, `room.rs`); this tells people what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use wire::NodeName;
use wire::membership::{Health, NodesAnswer, ServiceRole, ShardEntry};
use wire::stats::NodeStats;

/// What to do while too many nodes are away.
pub(super) const OUTAGE: &str = "nothing is copied while more than a third of the nodes that hold something is away: bring them \
                                 back, or `client remove --force` those that are gone for good";

/// What nodes said of themselves, as far as they did.
pub(super) type Stats = BTreeMap<NodeName, Option<NodeStats>>;

/// Whether more than a third of the nodes that hold something is away: then it is more likely the network, and
/// nothing is copied. The controller counts those that it awaits and nobody has heard of yet, too; from here they
/// look like those that were removed, which nobody awaits.
pub(super) fn is_outage(cluster: &NodesAnswer) -> bool {
    let replicas = cluster.shards.iter().flat_map(|shard| &shard.replicas);
    let holders: BTreeSet<&NodeName> = replicas.map(|replica| &replica.node).collect();
    let known = || holders.iter().filter_map(|name| cluster.nodes.get(*name));
    let away = known().filter(|entry| entry.health == Health::Down).count();
    away * 3 > known().count()
}

/// How many of these shards have fewer copies than they shall have, on nodes that keep theirs, and no node that
/// can take another one.
pub(super) fn stuck<'a>(
    cluster: &NodesAnswer,
    stats: &Stats,
    shards: impl Iterator<Item = &'a ShardEntry>,
) -> usize {
    shards
        .filter(|shard| cluster.is_stuck(shard, stats))
        .count()
}

/// What to do about shards that are [`stuck`].
pub(super) fn stuck_in_words(stuck: usize) -> Option<String> {
    let s = if stuck == 1 { "" } else { "s" };
    let words =
        || format!("no other node can take {stuck} shard{s}: add a node, or lower `copies`");
    (stuck > 0).then(words)
}

/// How much a node may hold, in bytes; none while it has not told.
pub(super) fn room_of(stats: &Stats, node: &NodeName) -> Option<u64> {
    let told = stats.get(node).and_then(Option::as_ref)?;
    (told.max_storage > 0).then_some(told.max_storage)
}

/// Nodes that have not told how much they may hold, where others have. While one of them lives, no moves begin;
/// from here one that does not answer looks like one that is gone.
pub(super) fn untold<'a>(cluster: &'a NodesAnswer, stats: &Stats) -> Vec<&'a NodeName> {
    let nodes = cluster
        .nodes
        .iter()
        .filter(|(_, entry)| entry.role == ServiceRole::Node && entry.draining.is_none());
    let (told, untold): (Vec<&NodeName>, Vec<&NodeName>) = nodes
        .map(|(name, _)| name)
        .partition(|name| room_of(stats, name).is_some());
    if told.is_empty() { told } else { untold }
}

/// What moves wait for while nodes are [`untold`].
pub(super) fn untold_in_words(untold: &[&NodeName]) -> Option<String> {
    let names: Vec<&str> = untold.iter().map(|name| name.as_str()).collect();
    let names = names.join(" or ");
    let words =
        || format!("nothing begins while {names} lives and has not told how much it may hold");
    (!untold.is_empty()).then(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bed;
    use wire::membership::{Draining, NodeEntry};

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    fn entry<'a>(cluster: &'a mut NodesAnswer, node: &str) -> &'a mut NodeEntry {
        cluster.nodes.get_mut(&name(node)).expect("a node")
    }

    fn drain(cluster: &mut NodesAnswer, node: &str) {
        entry(cluster, node).draining = Some(Draining {
            replicas_left: 1,
            bytes_left: 1,
        });
    }

    fn stuck_in(cluster: &NodesAnswer, stats: &Stats) -> usize {
        stuck(cluster, stats, cluster.shards.iter())
    }

    // If this fails, an operator waits for ever for a drain that cannot end, or adds a node for nothing.
    #[test]
    fn a_shard_that_nobody_can_take_is_stuck() {
        let mut cluster = bed::cluster();
        let none = Stats::new();
        assert_eq!(stuck_in(&cluster, &none), 0, "both copies stay");
        drain(&mut cluster, "node2");
        assert_eq!(stuck_in(&cluster, &none), 1, "two nodes, two copies");
        cluster.copies = Some(1);
        assert_eq!(stuck_in(&cluster, &none), 0, "one stays");
        cluster.copies = Some(2);
        let third = entry(&mut cluster, "node1").clone();
        cluster.nodes.insert(name("node3"), third);
        assert_eq!(stuck_in(&cluster, &none), 0);
        let with = |storage, disk_free| -> Stats {
            let (max_storage, bytes_promised) = (100_000, 0);
            let told = NodeStats {
                storage,
                disk_free,
                max_storage,
                bytes_promised,
                ..NodeStats::default()
            };
            [(name("node3"), Some(told))].into()
        };
        assert_eq!(stuck_in(&cluster, &with(0, 1 << 40)), 0);
        assert_eq!(stuck_in(&cluster, &with(88_500, 1 << 40)), 1, "it is full");
        assert_eq!(stuck_in(&cluster, &with(0, 2_047)), 1, "its disk is");
        entry(&mut cluster, "node3").health = Health::Down;
        assert_eq!(stuck_in(&cluster, &none), 1);
        entry(&mut cluster, "node3").health = Health::Up;
        drain(&mut cluster, "node3");
        assert_eq!(stuck_in(&cluster, &none), 1);
        assert_eq!(stuck_in_words(0), None);
        let words = stuck_in_words(2).expect("told");
        assert_eq!(
            words,
            "no other node can take 2 shards: add a node, or lower `copies`"
        );
    }

    // If this fails, an operator is not told whom moves wait for, or is told so of a cluster that nobody asked yet.
    #[test]
    fn moves_wait_for_all_to_tell_their_room() {
        let cluster = bed::cluster();
        let told = |rooms: &[(&str, u64)]| -> Stats {
            let node = |(node, max_storage): &(&str, u64)| {
                let max_storage = *max_storage;
                let told = NodeStats {
                    max_storage,
                    ..NodeStats::default()
                };
                (name(node), Some(told))
            };
            rooms.iter().map(node).collect()
        };
        let words = |rooms: &[(&str, u64)]| untold_in_words(&untold(&cluster, &told(rooms)));
        assert_eq!(words(&[]), None, "each byte weighs the same");
        assert_eq!(words(&[("node1", 9), ("node2", 9)]), None);
        let wait = "nothing begins while node2 lives and has not told how much it may hold";
        assert_eq!(words(&[("node1", 9)]).as_deref(), Some(wait));
        assert_eq!(words(&[("node1", 9), ("node2", 0)]).as_deref(), Some(wait));
        let mut emptied = cluster.clone();
        drain(&mut emptied, "node2");
        assert!(untold(&emptied, &told(&[("node1", 9)])).is_empty());
    }

    // If this fails, an operator waits ten minutes for copies that nobody makes.
    #[test]
    fn more_than_a_third_away_is_an_outage() {
        let mut cluster = bed::cluster();
        assert!(!is_outage(&cluster));
        entry(&mut cluster, "node2").health = Health::Down;
        assert!(is_outage(&cluster), "one of two");
        let mut third = cluster.shards[0].replicas[0].clone();
        third.node = name("node3");
        cluster.shards[0].replicas.push(third);
        assert!(is_outage(&cluster), "what was removed is not counted");
        let up = entry(&mut cluster, "node1").clone();
        cluster.nodes.insert(name("node3"), up);
        assert!(!is_outage(&cluster), "one of three");
        entry(&mut cluster, "dist").health = Health::Down;
        assert!(!is_outage(&cluster), "distributors hold nothing");
    }
}
