//! A cluster of a distributor and two nodes, as it tells of itself.

use wire::history::{HistoryPoint, Measures, StatsHistory};
use wire::integrity::{GivenUp, LostRecords, LostReport, ReplicaScrub, ScrubReport};
use wire::membership::{
    Draining, Health, Heartbeat, HeartbeatAnswer, NodeEntry, NodeShard, NodesAnswer, Progress,
    ReplicaReport, ReplicaRole, ServiceRole, ShardEntry, ShardReplica,
};
use wire::shard::ShardState;
use wire::stats::{ClusterStats, NodeStats, Space, Traffic};
use wire::{Epoch, Lsn, Position, ShardNo};

use super::shards::{CLUSTER, INCARNATION, map, record};
use super::{NODE_URL, of};

fn progress() -> Progress {
    Progress {
        position: Some(Lsn(1207)),
        committed: Some(Lsn(1207)),
        lag: Some(0),
        bytes: 8_388_608,
        contents: 412,
        damaged: 0,
        halted: false,
    }
}

/// The node that leads the shard.
pub(super) fn entry() -> NodeEntry {
    NodeEntry {
        host: "127.0.0.1".to_owned(),
        port: 8001,
        public_url: NODE_URL.to_owned(),
        role: ServiceRole::Node,
        health: Health::Up,
        shards: vec![NodeShard {
            shard: ShardNo(1),
            role: ReplicaRole::Leader,
            state: ShardState::Open,
            epoch: Epoch(3),
            in_sync: true,
            degraded: false,
            progress: progress(),
        }],
        draining: None,
    }
}

/// A node that is emptied.
pub fn draining() -> NodeEntry {
    let left = Draining {
        replicas_left: 1,
        bytes_left: 8_388_608,
    };
    NodeEntry {
        draining: Some(left),
        ..entry()
    }
}

fn follower() -> NodeEntry {
    let led = entry().shards.remove(0);
    NodeEntry {
        port: 8002,
        public_url: "http://127.0.0.1:8002".to_owned(),
        shards: vec![NodeShard {
            role: ReplicaRole::Follower,
            ..led
        }],
        ..entry()
    }
}

fn distributor() -> NodeEntry {
    NodeEntry {
        port: 8000,
        public_url: "http://127.0.0.1:8000".to_owned(),
        role: ServiceRole::Distributor,
        shards: Vec::new(),
        ..entry()
    }
}

fn shard() -> ShardEntry {
    let replica = |node, role| ShardReplica {
        node: of(node),
        role,
        in_sync: true,
        progress: progress(),
    };
    ShardEntry {
        shard: ShardNo(1),
        state: ShardState::Open,
        epoch: Epoch(3),
        leader: Some(of("node1")),
        in_sync: vec![of("node1"), of("node2")],
        eligible: Vec::new(),
        min_in_sync: 2,
        degraded: false,
        waits: false,
        bytes: 8_388_608,
        contents: 412,
        replicas: vec![
            replica("node1", ReplicaRole::Leader),
            replica("node2", ReplicaRole::Follower),
        ],
    }
}

pub(super) fn services() -> NodesAnswer {
    let nodes = [
        (of("dist"), distributor()),
        (of("node1"), entry()),
        (of("node2"), follower()),
    ];
    NodesAnswer {
        cluster: of(CLUSTER),
        copies: Some(2),
        coordinator: Some(true),
        nodes: nodes.into(),
        shards: vec![shard()],
        rebalancing: false,
    }
}

/// The cluster while replicas are moved.
pub fn rebalancing() -> NodesAnswer {
    NodesAnswer {
        rebalancing: true,
        ..services()
    }
}

fn report() -> ReplicaReport {
    let record = record();
    ReplicaReport {
        shard: ShardNo(1),
        replica: record.replicas[0].replica,
        record_lineage: record.lineage,
        record_version: record.version,
        record_mark: Some(record.mark()),
        record: None,
        end: Position {
            epoch: Epoch(3),
            lsn: Lsn(1207),
        },
        committed: Lsn(1207),
        bytes: 8_388_608,
        contents: 412,
        damaged: 0,
        halted: false,
        complete: true,
        log: Some(record.log),
    }
}

pub(super) fn heartbeat() -> Heartbeat {
    Heartbeat {
        cluster: Some(of(CLUSTER)),
        incarnation: of(INCARNATION),
        offer: of("b9d1c5ab-7c59-4d0f-9a0e-2f1b6f1c3a77"),
        internal_url: "http://10.0.0.1:8001".to_owned(),
        public_url: NODE_URL.to_owned(),
        replicas: vec![report()],
        map_version: 4_611_686_018,
        parting: false,
        linked: Some([of("node2")].into()),
    }
}

pub(super) fn heard() -> HeartbeatAnswer {
    HeartbeatAnswer {
        cluster: of(CLUSTER),
        session_ms: 3000,
        map_version: 4_611_686_019,
        map: Some(map()),
        want_records: false,
    }
}

pub(super) fn stats() -> NodeStats {
    NodeStats {
        memory: 41_943_040,
        storage: 8_650_752,
        storagep: 0.08,
        max_storage: 10_737_418_240,
        cpu: 12.5,
        memory_available: 6_442_450_944,
        memory_total: 8_589_934_592,
        disk_free: 53_687_091_200,
        uploads_in_flight: 1,
        bytes_promised: 65_536,
        shards_led: 1,
        shards_open: 1,
        contents: 412,
        space: space(),
        unlisted: 0,
        damaged: 0,
        traffic: traffic(),
        uptime_s: 86_400,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn space() -> Space {
    Space {
        log: 8_388_608,
        live: 7_340_032,
        dead: 524_288,
        holes: 262_144,
        overhead: 262_144,
        index: 16_384,
        compacted: 0,
        quarantine: 0,
    }
}

fn traffic() -> Traffic {
    Traffic {
        uploads: 430,
        upload_us: 3_440_000,
        bytes_in: 7_864_320,
        reads: 2_150,
        read_us: 860_000,
        bytes_out: 39_321_600,
    }
}

pub(super) fn figures() -> ClusterStats {
    let nodes = [(of("node1"), Some(stats())), (of("node2"), None)];
    ClusterStats {
        nodes: nodes.into(),
        total: stats(),
        contents_led: 412,
        shards: vec![shard()],
    }
}

pub(super) fn history() -> StatsHistory {
    let measures = Measures {
        nodes: 2.0,
        cpu: 12.5,
        memory: 83_886_080.0,
        storage: 17_301_504.0,
        max_storage: 21_474_836_480.0,
        contents: 824.0,
        unlisted: 0.0,
        uploads_in_flight: 1.0,
        uploads_per_s: 4.0,
        upload_busy: 0.032,
        bytes_in_per_s: 65_536.0,
        reads_per_s: 20.0,
        read_busy: 0.008,
        bytes_out_per_s: 327_680.0,
    };
    StatsHistory {
        node: None,
        from: of("2026-11-21T03:00:00.000Z"),
        to: of("2026-11-21T04:00:00.000Z"),
        step_s: 60,
        points: vec![HistoryPoint::new(
            of("2026-11-21T03:34:00.000Z"),
            12,
            measures,
        )],
    }
}

pub(super) fn scrubs() -> ScrubReport {
    ScrubReport {
        bytes_per_s: 8_388_608,
        replicas: vec![ReplicaScrub {
            shard: ShardNo(1),
            begun: None,
            share: 1.0,
            records: 413,
            bytes: 7_340_032,
            findings: 0,
            finished: Some(of("2026-11-20T22:10:00.000Z")),
            next: of("2026-12-20T22:10:00.000Z"),
        }],
    }
}

pub(super) fn lost() -> LostReport {
    LostReport {
        replicas: vec![LostRecords {
            shard: ShardNo(1),
            records: 1,
            first: Lsn(1207),
            last: Lsn(1207),
            held_by: None,
            unasked: Vec::new(),
        }],
    }
}

pub(super) fn given_up() -> GivenUp {
    GivenUp {
        shard: ShardNo(1),
        node: of("node1"),
        records: 1,
        first: Lsn(1207),
        last: Lsn(1207),
        left: 0,
        lasting: true,
    }
}
