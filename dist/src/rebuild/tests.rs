//! When a rebuild is complete.

use super::{Progress, measure};
use crate::controller::Seen;
use std::collections::BTreeMap;
use uuid::Uuid;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

fn name(text: &str) -> NodeName {
    text.parse().expect("a valid name")
}

fn record() -> ShardRecord {
    let member = Member {
        node: name("node1"),
        replica: Uuid::from_u128(1),
    };
    ShardRecord {
        shard: ShardNo(1),
        log: 1,
        epoch: Epoch(1),
        leader: Some(Leader {
            member: member.clone(),
            incarnation: Uuid::from_u128(2),
        }),
        in_sync: vec![member.clone()],
        eligible: Vec::new(),
        replicas: vec![member],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    }
}

fn seen(committed: u64) -> Seen {
    let report = ReplicaReport {
        shard: ShardNo(1),
        replica: Uuid::from_u128(1),
        record_lineage: 0,
        record_version: 1,
        record_mark: None,
        record: None,
        end: Position::default(),
        committed: Lsn(committed),
        bytes: 0,
        contents: 0,
        damaged: 0,
        halted: false,
        complete: true,
        log: None,
    };
    let heartbeat = Heartbeat {
        cluster: None,
        incarnation: Uuid::from_u128(2),
        offer: Uuid::from_u128(3),
        internal_url: String::new(),
        public_url: String::new(),
        replicas: vec![report],
        map_version: 0,
        parting: false,
        linked: None,
    };
    Seen {
        heartbeat,
        known_ms: 5_000,
        alive: true,
        silent_ms: 0,
        room: None,
    }
}

fn progress(seen: Option<Seen>, listed: u64, expected: &[&str]) -> Progress {
    let records = BTreeMap::from([(ShardNo(1), record())]);
    let nodes = seen.into_iter().map(|seen| (name("node1"), seen)).collect();
    let position = Position {
        epoch: Epoch(1),
        lsn: Lsn(listed),
    };
    let listed = BTreeMap::from([(ShardNo(1), position)]);
    let expected: Vec<NodeName> = expected.iter().map(|text| name(text)).collect();
    measure(&records, &nodes, &listed, &expected)
}

// If this fails, a rebuild ends before everything is listed, or never.
#[test]
fn complete_is_when_every_leader_is_listed_up_to_its_commit() {
    assert!(progress(Some(seen(10)), 10, &["node1"]).is_complete());
    assert!(!progress(Some(seen(10)), 9, &[]).is_complete());
    assert!(!progress(Some(seen(10)), 10, &["node1", "node2"]).is_complete());
}

// If this fails, a rebuild forgets a node that is down.
#[test]
fn a_silent_node_is_waited_for() {
    let silent = Seen {
        alive: false,
        silent_ms: 5_000,
        ..seen(10)
    };
    let waiting = progress(Some(silent), 10, &[]);
    assert!(!waiting.is_complete());
    assert_eq!(waiting.missing_replicas, 1);
    assert!(
        waiting.to_string().ends_with("waiting for node1"),
        "{waiting}"
    );
    assert!(!progress(None, 10, &[]).is_complete());
}

// If this fails, a rebuild in front of no nodes at all claims success.
#[test]
fn nothing_is_not_complete() {
    let nothing = measure(&BTreeMap::new(), &BTreeMap::new(), &BTreeMap::new(), &[]);
    assert!(!nothing.is_complete());
}
