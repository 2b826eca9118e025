//! Who copies, and for whom changes wait.

use store::disk::FileSystem;
use wire::Epoch;

use super::*;

const SHARD: ShardNo = ShardNo(1);

fn member(node: &str, number: u128) -> Member {
    Member {
        node: node.parse().expect("a name"),
        replica: Uuid::from_u128(number),
    }
}

fn record(in_sync: Vec<Member>) -> ShardRecord {
    ShardRecord {
        shard: SHARD,
        log: 7,
        epoch: Epoch(1),
        leader: None,
        in_sync,
        eligible: Vec::new(),
        replicas: vec![member("node1", 1), member("node2", 2)],
        min_in_sync: 2,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    }
}

// If this fails, every upload waits for the syncs of copies that are being made, or a member of the
// set is held to the rate of those.
#[test]
fn who_is_outside_of_the_set_copies() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::create(Arc::new(FileSystem), folder.path(), 7).expect("makes a log");
    let nature = Nature {
        shard: SHARD,
        replica: Uuid::from_u128(1),
        log: 7,
        consistent_from: None,
    };
    let me = Me {
        name: "node1".parse().expect("a name"),
        incarnation: Uuid::from_u128(9),
    };
    let mut replica = Replica::new(&nature, store, &me, 1000);
    replica.standing = Standing::Following;
    assert!(replica.is_copying(), "nothing is known of the set");
    replica.record = Some(record(vec![member("node2", 2)]));
    assert!(replica.is_copying());
    assert!(replica.commits_with(&"node2".parse().expect("a name")));
    replica.record = Some(record(vec![member("node2", 2), member("node1", 5)]));
    assert!(
        replica.is_copying(),
        "an earlier replica of this node was in"
    );
    replica.record = Some(record(vec![member("node2", 2), member("node1", 1)]));
    assert!(!replica.is_copying());
    replica.standing = Standing::Leading;
    replica.record = Some(record(vec![member("node1", 1)]));
    assert!(!replica.is_copying());
    assert!(!replica.commits_with(&"node2".parse().expect("a name")));
}
