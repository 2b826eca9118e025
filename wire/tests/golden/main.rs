//! The exact JSON of every body that two processes exchange. A change here is a change that running
//! clusters, and programs of other people, will notice.

mod content;
mod listing;
mod membership;
mod node;
mod placement;
mod recovery;
mod shard;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Checksum, ContentId, Epoch, Lsn, NodeName, Position, ShardNo, Timestamp};

/// A value is written as exactly this text, and the text is read back as the value.
fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T, text: &str) {
    let text: String = text.lines().map(str::trim_start).collect();
    let written = serde_json::to_string(value).expect("it can be written");
    assert_eq!(written, text);
    let read: T = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(&read, value);
}

/// A text is refused as this type, with these words in the reason.
fn refused<T: DeserializeOwned + Debug>(text: &str, reason: &str) {
    let error = serde_json::from_str::<T>(text).expect_err(text);
    assert!(error.to_string().contains(reason), "{text}: {error}");
}

fn node(name: &str) -> NodeName {
    name.parse().expect("a valid name")
}

fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), 1_700_000_000_000, n)
}

fn checksum(byte: u8) -> Checksum {
    Checksum([byte; 32])
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn position(epoch: u64, lsn: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

fn time(ms: u64) -> Timestamp {
    Timestamp(1_700_000_000_000 + ms)
}

fn member(node_name: &str, replica: u128) -> Member {
    Member {
        node: node(node_name),
        replica: uuid(replica),
    }
}

/// A shard's record with a leader and a follower.
fn shard_record() -> ShardRecord {
    let (leader, follower) = (member("node1", 1), member("node2", 2));
    ShardRecord {
        shard: ShardNo(7),
        log: 99,
        epoch: Epoch(3),
        leader: Some(Leader {
            member: leader.clone(),
            incarnation: uuid(5),
        }),
        in_sync: vec![leader.clone()],
        eligible: vec![follower.clone()],
        replicas: vec![leader, follower],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 4,
    }
}

/// How [`shard_record`] is written.
const SHARD_RECORD: &str = r#"{"shard":7,"log":99,"epoch":3,
    "leader":{"member":{"node":"node1","replica":"00000000-0000-0000-0000-000000000001"},
    "incarnation":"00000000-0000-0000-0000-000000000005"},
    "in_sync":[{"node":"node1","replica":"00000000-0000-0000-0000-000000000001"}],
    "eligible":[{"node":"node2","replica":"00000000-0000-0000-0000-000000000002"}],
    "replicas":[{"node":"node1","replica":"00000000-0000-0000-0000-000000000001"},
    {"node":"node2","replica":"00000000-0000-0000-0000-000000000002"}],
    "min_in_sync":1,"degraded":false,"state":"open","lineage":0,"version":4}"#;
