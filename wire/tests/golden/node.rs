//! What a node tells of itself: statistics and the operation log.

use std::collections::BTreeMap;

use wire::integrity::{ReplicaScrub, ScrubReport, Verified};
use wire::operation::{Operation, OperationKind};
use wire::stats::{ClusterStats, NodeStats, Space, Traffic};
use wire::{Epoch, Lsn, ShardNo};

use super::{checksum, golden, id, node, refused, time};

fn stats() -> NodeStats {
    NodeStats {
        memory: 1,
        storage: 2,
        storagep: 3.5,
        max_storage: 4,
        cpu: 5.5,
        memory_available: 6,
        memory_total: 7,
        disk_free: 8,
        uploads_in_flight: 9,
        bytes_promised: 10,
        shards_led: 11,
        shards_open: 12,
        contents: 13,
        space: Space {
            log: 21,
            live: 22,
            dead: 23,
            holes: 24,
            overhead: 25,
            index: 26,
            compacted: 27,
            quarantine: 28,
        },
        unlisted: 14,
        damaged: 15,
        traffic: Traffic {
            uploads: 31,
            upload_us: 32,
            bytes_in: 33,
            reads: 34,
            read_us: 35,
            bytes_out: 36,
        },
        uptime_s: 16,
        version: "0.1.0".to_owned(),
    }
}

const STATS: &str = r#"{"memory":1,"storage":2,"storagep":3.5,"max_storage":4,"cpu":5.5,
    "memory_available":6,"memory_total":7,"disk_free":8,"uploads_in_flight":9,
    "bytes_promised":10,"shards_led":11,"shards_open":12,"contents":13,
    "space":{"log":21,"live":22,"dead":23,"holes":24,"overhead":25,"index":26,"compacted":27,"quarantine":28},
    "unlisted":14,"damaged":15,
    "traffic":{"uploads":31,"upload_us":32,"bytes_in":33,"reads":34,"read_us":35,"bytes_out":36},
    "uptime_s":16,"version":"0.1.0"}"#;

// If this fails, placement takes a node's memory for its storage.
#[test]
fn the_statistics_of_a_node() {
    golden(&stats(), STATS);
}

// If this fails, a node that does not answer looks like an empty one.
#[test]
fn the_statistics_of_a_cluster() {
    let cluster = ClusterStats {
        nodes: BTreeMap::from([(node("node2"), None), (node("node1"), Some(stats()))]),
        total: stats(),
        contents_led: 9,
        shards: Vec::new(),
    };
    golden(
        &cluster,
        &format!(
            r#"{{"nodes":{{"node1":{STATS},"node2":null}},"total":{STATS},"contents_led":9,"shards":[]}}"#
        ),
    );
}

// If this fails, the space of a node is not the sum of its replicas'.
#[test]
fn space_is_added_part_by_part() {
    let mut sum = stats().space;
    sum.add(&Space {
        log: 100,
        live: 200,
        dead: 300,
        holes: 400,
        overhead: 500,
        index: 600,
        compacted: 700,
        quarantine: 800,
    });
    let expected = Space {
        log: 121,
        live: 222,
        dead: 323,
        holes: 424,
        overhead: 525,
        index: 626,
        compacted: 727,
        quarantine: 828,
    };
    assert_eq!(sum, expected);
    let mut none = Space::default();
    none.add(&expected);
    assert_eq!(none, expected);
}

// If this fails, `client verify` takes one node's hash for another's, or an old node's for none.
#[test]
fn a_content_as_it_is_on_the_disk() {
    let verified = Verified {
        id: id(1),
        version: 2,
        size: 3,
        checksum: checksum(0x11),
        lsn: Lsn(4),
        ok: true,
    };
    golden(
        &verified,
        r#"{"id":"018bcfe5-6800-8000-8400-000000000001","version":2,"size":3,
        "checksum":"blake3:1111111111111111111111111111111111111111111111111111111111111111",
        "lsn":4,"ok":true}"#,
    );
}

// If this fails, an operator does not see whether copies are looked after.
#[test]
fn how_far_scrubs_are() {
    let report = ScrubReport {
        bytes_per_s: 1,
        replicas: vec![ReplicaScrub {
            shard: ShardNo(1),
            begun: None,
            share: 0.5,
            records: 2,
            bytes: 3,
            findings: 4,
            finished: Some(time(0)),
            next: time(1000),
        }],
    };
    golden(
        &report,
        r#"{"bytes_per_s":1,"replicas":[{"shard":1,"begun":null,"share":0.5,"records":2,
        "bytes":3,"findings":4,"finished":"2023-11-14T22:13:20.000Z",
        "next":"2023-11-14T22:13:21.000Z"}]}"#,
    );
}

// If this fails, a program that follows the operation log breaks.
#[test]
fn a_line_of_the_operation_log() {
    let epoch = Operation {
        shard: ShardNo(1),
        lsn: Lsn(1),
        epoch: Epoch(2),
        operation: OperationKind::Epoch,
        id: None,
        version: None,
        size: None,
        hash: None,
        time: time(0),
    };
    golden(
        &epoch,
        r#"{"shard":1,"lsn":1,"epoch":2,"operation":"epoch",
        "time":"2023-11-14T22:13:20.000Z"}"#,
    );
    let upload = Operation {
        lsn: Lsn(2),
        operation: OperationKind::Upload,
        id: Some(id(1)),
        version: Some(1),
        size: Some(0),
        hash: Some(checksum(0x11)),
        ..epoch
    };
    golden(
        &upload,
        r#"{"shard":1,"lsn":2,"epoch":2,"operation":"upload",
        "id":"018bcfe5-6800-8000-8400-000000000001","version":1,"size":0,
        "hash":"blake3:1111111111111111111111111111111111111111111111111111111111111111",
        "time":"2023-11-14T22:13:20.000Z"}"#,
    );
}

// If this fails, an update is shown as an upload.
#[test]
fn every_operation_has_its_word() {
    for (kind, word) in [
        (OperationKind::Upload, r#""upload""#),
        (OperationKind::Update, r#""update""#),
        (OperationKind::Describe, r#""describe""#),
        (OperationKind::Delete, r#""delete""#),
        (OperationKind::Epoch, r#""epoch""#),
    ] {
        golden(&kind, word);
    }
    refused::<OperationKind>(r#""Upload""#, "unknown variant");
}
