//! How far the emptying of a node is: pure, from what its nodes last said of each shard.

use std::collections::BTreeSet;

use wire::NodeName;
use wire::membership::{Draining, ShardEntry, ShardReplica};

/// What a node that is to be emptied still holds, and how much others have yet to copy before that can go.
pub(super) fn left(
    shards: &[ShardEntry],
    node: &NodeName,
    draining: &BTreeSet<NodeName>,
    copies: u8,
) -> Draining {
    let held = shards.iter().filter_map(|shard| {
        let own = shard.replicas.iter().find(|replica| replica.node == *node);
        Some(bytes_left(shard, own?, (draining, copies)))
    });
    held.fold(NOTHING, |sum, bytes| Draining {
        replicas_left: sum.replicas_left + 1,
        bytes_left: sum.bytes_left + bytes,
    })
}

const NOTHING: Draining = Draining {
    replicas_left: 0,
    bytes_left: 0,
};

/// A shard of 64 GiB leaves after hours, all at once: what the replicas that take its place have already got
/// counts as done. It leaves when the last one of them is in sync.
fn bytes_left(
    shard: &ShardEntry,
    own: &ShardReplica,
    (draining, copies): (&BTreeSet<NodeName>, u8),
) -> u64 {
    let staying = shard.replicas.iter();
    let staying = staying.filter(|replica| !draining.contains(&replica.node));
    let whole = own.progress.bytes;
    // One has yet to begin.
    if staying.clone().count() < usize::from(copies) {
        return whole;
    }
    let joining = staying.filter(|replica| !replica.in_sync);
    let got = joining.map(|replica| replica.progress.bytes).min();
    got.map_or(0, |got| whole.saturating_sub(got))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a name")
    }

    /// A shard with these replicas: where they are, whether in sync, and how many bytes they have.
    fn shard(replicas: &[(&str, bool, u64)]) -> ShardEntry {
        let replicas: Vec<_> = replicas
            .iter()
            .map(|(node, in_sync, bytes)| {
                json!({"node": node, "role": "follower", "in_sync": in_sync, "bytes": bytes})
            })
            .collect();
        let entry = json!({
            "shard": 1, "state": "open", "epoch": 1, "leader": "node1", "in_sync": [], "eligible": [],
            "min_in_sync": 2, "degraded": false, "bytes": 0, "contents": 0, "replicas": replicas,
        });
        serde_json::from_value(entry).expect("reads")
    }

    fn left_of(shards: &[ShardEntry]) -> (u64, u64) {
        let left = left(shards, &name("node1"), &[name("node1")].into(), 2);
        (left.replicas_left, left.bytes_left)
    }

    // If this fails, an operator sees 0 % and no estimate for the hours that a large shard is copied.
    #[test]
    fn what_the_next_replica_has_already_is_done() {
        let waiting = shard(&[("node1", true, 100), ("node2", true, 100)]);
        assert_eq!(left_of(std::slice::from_ref(&waiting)), (1, 100));
        let under_way = shard(&[
            ("node1", true, 100),
            ("node2", true, 100),
            ("node3", false, 30),
        ]);
        assert_eq!(left_of(&[waiting.clone(), under_way]), (2, 170));
        let copied = shard(&[
            ("node1", true, 100),
            ("node2", true, 100),
            ("node3", true, 90),
        ]);
        assert_eq!(left_of(&[copied]), (1, 0), "it goes at any moment");
        // The follower rewrites its log as it likes, and may hold more.
        let longer = shard(&[
            ("node1", true, 100),
            ("node2", true, 100),
            ("node3", false, 130),
        ]);
        assert_eq!(left_of(&[longer]), (1, 0));
        // Of two that have to come, only one has begun.
        let alone = shard(&[("node1", true, 100), ("node3", false, 30)]);
        assert_eq!(left_of(&[alone]), (1, 100));
        assert_eq!(left_of(&[shard(&[("node2", true, 100)])]), (0, 0));
    }

    // If this fails, a copy on another node that is to be emptied as well counts as one that stays.
    #[test]
    fn what_drains_too_takes_nobody_s_place() {
        let both = shard(&[
            ("node1", true, 100),
            ("node2", true, 100),
            ("node3", true, 100),
        ]);
        let draining = [name("node1"), name("node2")].into();
        let left = left(&[both], &name("node1"), &draining, 2);
        assert_eq!((left.replicas_left, left.bytes_left), (1, 100));
    }
}
