//! The record of one shard, and what is decided on it.

use wire::membership::{NodeAddress, ShardMap};
use wire::recovery::{
    HeldCopy, KnownCopy, Loss, Part, ShardRecovered, WaitingShard, WaitingShards,
};
use wire::shard::{Leader, Member, ShardNews, ShardRecord, ShardState};
use wire::{Epoch, Lsn, Position, ShardNo};

use super::{NODE_URL, of};

/// The cluster's UUID.
pub(super) const CLUSTER: &str = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";

/// The process of the node that leads.
pub(super) const INCARNATION: &str = "5d2f0f4c-7a56-4b8c-8f0d-0b7e2f6a91d4";

fn member(node: &str, replica: &str) -> Member {
    Member {
        node: of(node),
        replica: of(replica),
    }
}

pub(super) fn record() -> ShardRecord {
    let leader = member("node1", "0f6b3c1e-92a4-4f5d-b1f4-3f7ad0c2e815");
    let follower = member("node2", "7e1c84d2-0c0b-4d5e-9e57-c4a1f36b2d90");
    ShardRecord {
        shard: ShardNo(1),
        log: 7_253_119_846_510_283,
        epoch: Epoch(3),
        leader: Some(Leader {
            member: leader.clone(),
            incarnation: of(INCARNATION),
        }),
        in_sync: vec![leader.clone(), follower.clone()],
        eligible: Vec::new(),
        replicas: vec![leader, follower],
        min_in_sync: 2,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 5,
    }
}

/// The record after the follower was lost.
pub(super) fn changed() -> ShardRecord {
    let record = record();
    ShardRecord {
        in_sync: record.in_sync[..1].to_vec(),
        degraded: true,
        version: record.version + 1,
        ..record
    }
}

pub(super) fn news() -> ShardNews {
    ShardNews {
        cluster: of(CLUSTER),
        record: changed(),
    }
}

pub(super) fn map() -> ShardMap {
    let address = |internal: &str, public: &str| NodeAddress {
        internal_url: internal.to_owned(),
        public_url: public.to_owned(),
    };
    let nodes = [
        (of("node1"), address("http://10.0.0.1:8001", NODE_URL)),
        (
            of("node2"),
            address("http://10.0.0.2:8001", "http://127.0.0.1:8002"),
        ),
    ];
    ShardMap {
        shards: vec![record()],
        nodes: nodes.into(),
    }
}

fn loss() -> Loss {
    Loss {
        records: 2,
        more: true,
    }
}

pub(super) fn waiting() -> WaitingShards {
    let position = |lsn| Position {
        epoch: Epoch(3),
        lsn: Lsn(lsn),
    };
    let [leader, follower] = [0, 1].map(|place| record().replicas.remove(place));
    let held = HeldCopy {
        end: position(1205),
        committed: Lsn(1205),
        contents: 410,
        bytes: 8_388_608,
        damaged: 0,
        halted: false,
        complete: true,
    };
    let left = KnownCopy {
        node: follower.node,
        replica: follower.replica,
        part: Part::Outside,
        alive: true,
        held: Some(held),
        loss: Some(loss()),
        objections: Vec::new(),
    };
    let gone = KnownCopy {
        node: leader.node.clone(),
        replica: leader.replica,
        part: Part::InSync,
        alive: false,
        held: None,
        loss: None,
        objections: Vec::new(),
    };
    WaitingShards {
        items: vec![WaitingShard {
            shard: ShardNo(1),
            state: ShardState::Open,
            epoch: Epoch(3),
            leader: Some(leader.node),
            restored: false,
            listed: position(1207),
            copies: vec![left, gone],
        }],
    }
}

pub(super) fn recovered() -> ShardRecovered {
    ShardRecovered {
        shard: ShardNo(1),
        node: of("node2"),
        epoch: Epoch(4),
        over: vec![of("node1")],
        loss: loss(),
    }
}
