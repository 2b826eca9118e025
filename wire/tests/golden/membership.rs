//! Heartbeats, the shard map, and `GET /nodes`.

use std::collections::BTreeMap;

use wire::membership::{
    Draining, Health, Heartbeat, HeartbeatAnswer, NodeAddress, NodeEntry, NodeShard, NodesAnswer,
    Progress, ReplicaReport, ReplicaRole, ServiceRole, ShardEntry, ShardMap, ShardReplica,
};
use wire::shard::ShardState;
use wire::{Epoch, Lsn, ShardNo};

use super::{SHARD_RECORD, golden, node, position, refused, shard_record, uuid};

fn report() -> ReplicaReport {
    ReplicaReport {
        shard: ShardNo(7),
        replica: uuid(1),
        record_lineage: 0,
        record_version: 4,
        record_mark: Some(7),
        record: None,
        end: position(3, 20),
        committed: Lsn(19),
        bytes: 4096,
        contents: 12,
        damaged: 0,
        halted: false,
        complete: true,
        log: Some(99),
    }
}

const REPORT: &str = r#"{"shard":7,"replica":"00000000-0000-0000-0000-000000000001",
    "record_lineage":0,"record_version":4,"record_mark":7,"end":{"epoch":3,"lsn":20},"committed":19,"bytes":4096,
    "contents":12,"damaged":0,"halted":false,"complete":true,"log":99}"#;

// If this fails, a node of another version is not seen, and its contents are not found.
#[test]
fn a_heartbeat() {
    let fresh = Heartbeat {
        cluster: None,
        incarnation: uuid(5),
        offer: uuid(6),
        internal_url: "http://10.0.0.1:8001".to_owned(),
        public_url: "https://files.example.com".to_owned(),
        replicas: vec![report()],
        map_version: 0,
        parting: false,
        linked: None,
    };
    let text = format!(
        r#"{{"cluster":null,"incarnation":"00000000-0000-0000-0000-000000000005",
        "offer":"00000000-0000-0000-0000-000000000006",
        "internal_url":"http://10.0.0.1:8001","public_url":"https://files.example.com",
        "replicas":[{REPORT}],"map_version":0}}"#
    );
    golden(&fresh, &text);
    let member = Heartbeat {
        cluster: Some(uuid(9)),
        linked: Some(["node2".parse().expect("a name")].into()),
        ..fresh
    };
    let text = text
        .replace("null", r#""00000000-0000-0000-0000-000000000009""#)
        .replace(
            r#""map_version":0"#,
            r#""map_version":0,"linked":["node2"]"#,
        );
    golden(&member, &text);
}

// If this fails, a register that was rolled back is not restored from the nodes.
#[test]
fn a_report_with_its_record() {
    let with_record = ReplicaReport {
        record: Some(shard_record()),
        ..report()
    };
    let text = REPORT.replace(r#""end""#, &format!(r#""record":{SHARD_RECORD},"end""#));
    golden(&with_record, &text);
    golden(&report(), REPORT);
    let older = REPORT
        .replace(r#""record_lineage":0,"#, "")
        .replace(r#","halted":false,"complete":true,"log":99"#, "");
    let older: ReplicaReport = serde_json::from_str(&older).expect("what is absent is no");
    let expected = ReplicaReport {
        complete: false,
        log: None,
        ..report()
    };
    assert_eq!(older, expected);
}

// If this fails, a node obeys an old shard map, or never learns of a new one.
#[test]
fn the_answer_to_a_heartbeat() {
    let same = HeartbeatAnswer {
        cluster: uuid(9),
        session_ms: 3_000,
        map_version: 8,
        map: None,
        want_records: false,
    };
    let head = r#"{"cluster":"00000000-0000-0000-0000-000000000009","session_ms":3000,
        "map_version":8,"#;
    golden(&same, &format!(r#"{head}"want_records":false}}"#));
    let older = format!(r#"{head}"map":null}}"#);
    let older: HeartbeatAnswer = serde_json::from_str(&older).expect("what is absent is no");
    assert_eq!(older, same);
    let changed = HeartbeatAnswer {
        map: Some(ShardMap::default()),
        want_records: true,
        ..same
    };
    golden(
        &changed,
        &format!(r#"{head}"map":{{"shards":[],"nodes":{{}}}},"want_records":true}}"#),
    );
}

// If this fails, a content's shard is known and nobody knows where its leader is.
#[test]
fn a_shard_map() {
    let address = NodeAddress {
        internal_url: "http://a".to_owned(),
        public_url: "http://b".to_owned(),
    };
    let map = ShardMap {
        shards: vec![shard_record()],
        nodes: BTreeMap::from([(node("node2"), address.clone()), (node("node1"), address)]),
    };
    let address = r#"{"internal_url":"http://a","public_url":"http://b"}"#;
    golden(
        &map,
        &format!(
            r#"{{"shards":[{SHARD_RECORD}],"nodes":{{"node1":{address},"node2":{address}}}}}"#
        ),
    );
    refused::<ShardMap>(r#"{"shards":[],"nodes":{"Node 1":{}}}"#, "the node's name");
}

/// A distributor, and a node that drains.
fn entries() -> (NodeEntry, NodeEntry) {
    let distributor = NodeEntry {
        host: "127.0.0.1".to_owned(),
        port: 8000,
        public_url: "http://127.0.0.1:8000".to_owned(),
        role: ServiceRole::Distributor,
        health: Health::Up,
        shards: Vec::new(),
        draining: None,
    };
    let storage = NodeEntry {
        port: 8001,
        public_url: "http://127.0.0.1:8001".to_owned(),
        role: ServiceRole::Node,
        health: Health::Down,
        shards: vec![
            NodeShard {
                shard: ShardNo(1),
                role: ReplicaRole::Leader,
                state: ShardState::Open,
                epoch: Epoch(3),
                in_sync: true,
                degraded: true,
                progress: Progress {
                    position: Some(Lsn(9)),
                    committed: Some(Lsn(8)),
                    lag: Some(0),
                    bytes: 7,
                    contents: 6,
                    damaged: 5,
                    halted: true,
                },
            },
            NodeShard {
                shard: ShardNo(2),
                role: ReplicaRole::Follower,
                state: ShardState::Closed,
                epoch: Epoch(4),
                in_sync: false,
                degraded: false,
                progress: Progress::default(),
            },
        ],
        draining: Some(Draining {
            replicas_left: 2,
            bytes_left: 7,
        }),
        ..distributor.clone()
    };
    (distributor, storage)
}

// If this fails, people and scripts that look at `GET /nodes` see something else.
#[test]
fn the_nodes_of_a_cluster() {
    let (distributor, storage) = entries();
    let answer = NodesAnswer {
        cluster: uuid(9),
        copies: Some(2),
        coordinator: Some(true),
        nodes: BTreeMap::from([(node("node1"), storage), (node("dist"), distributor)]),
        shards: Vec::new(),
        rebalancing: false,
    };
    let none = r#""position":null,"committed":null,"lag":null,"bytes":0,"contents":0,"damaged":0,"halted":false"#;
    let text = format!(
        r#"{{"cluster":"00000000-0000-0000-0000-000000000009","copies":2,"coordinator":true,"nodes":{{
        "dist":{{"host":"127.0.0.1","port":8000,"public_url":"http://127.0.0.1:8000",
        "role":"distributor","health":"up","shards":[]}},
        "node1":{{"host":"127.0.0.1","port":8001,"public_url":"http://127.0.0.1:8001",
        "role":"node","health":"down","shards":[
        {{"shard":1,"role":"leader","state":"open","epoch":3,"in_sync":true,"degraded":true,
        "position":9,"committed":8,"lag":0,"bytes":7,"contents":6,"damaged":5,"halted":true}},
        {{"shard":2,"role":"follower","state":"closed","epoch":4,"in_sync":false,
        "degraded":false,{none}}}],"draining":{{"replicas_left":2,"bytes_left":7}}}}}},
        "shards":[],"rebalancing":false}}"#
    );
    golden(&answer, &text);
    let (older, _) = text.rsplit_once(',').expect("rebalancing comes last");
    let (older, _) = older.rsplit_once(',').expect("shards come before it");
    let older = format!("{older}}}").replace(r#""copies":2,"coordinator":true,"#, "");
    let older: NodesAnswer = serde_json::from_str(&older).expect("an older distributor's is read");
    let (copies, coordinator) = (None, None);
    let told = NodesAnswer {
        copies,
        coordinator,
        ..answer
    };
    assert_eq!(older, told);
}

// If this fails, scripts that look after a cluster's shards see something else.
#[test]
fn a_shard_with_its_replicas() {
    let shard = ShardEntry {
        shard: ShardNo(3),
        state: ShardState::Open,
        epoch: Epoch(2),
        leader: Some(node("node1")),
        in_sync: vec![node("node1")],
        eligible: vec![node("node2")],
        min_in_sync: 2,
        degraded: false,
        waits: true,
        bytes: 10,
        contents: 4,
        replicas: vec![ShardReplica {
            node: node("node1"),
            role: ReplicaRole::Leader,
            in_sync: true,
            progress: Progress {
                lag: Some(0),
                ..Progress::default()
            },
        }],
    };
    golden(
        &shard,
        r#"{"shard":3,"state":"open","epoch":2,"leader":"node1","in_sync":["node1"],
        "eligible":["node2"],"min_in_sync":2,"degraded":false,"waits":true,"bytes":10,"contents":4,
        "replicas":[{"node":"node1","role":"leader","in_sync":true,"position":null,
        "committed":null,"lag":0,"bytes":0,"contents":0,"damaged":0,
        "halted":false}]}"#,
    );
}
