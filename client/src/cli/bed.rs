//! A cluster, a content, and what nodes say of it, for tests of several commands.

use wire::content::ContentRow;
use wire::integrity::Verified;
use wire::membership::NodesAnswer;
use wire::{Checksum, Code, ContentId, ErrorBody, Lsn, ShardNo, Timestamp};

use crate::api::RequestError;

/// A service's refusal.
pub(super) fn refused(code: Code) -> RequestError {
    RequestError::Refused {
        url: "http://127.0.0.1:8001/x".to_owned(),
        body: Box::new(ErrorBody::new(code, "no", "r-1")),
        retry_after: None,
    }
}

/// A content of shard 1, in its second version.
pub(super) fn row() -> ContentRow {
    ContentRow {
        id: ContentId::mint(ShardNo(1), 1_769_860_800_000, 1),
        filename: "a.txt".to_owned(),
        size: 5,
        content_type: "text/plain".to_owned(),
        checksum: Checksum([7; 32]),
        version: 2,
        collection: None,
        attributes: None,
        created_date: Timestamp(1_769_860_800_100),
        updated_date: Timestamp(1_769_860_900_000),
    }
}

/// What a node that read it again says of it; changed so.
pub(super) fn verified(change: impl FnOnce(&mut Verified)) -> Verified {
    let row = row();
    let mut verified = Verified {
        id: row.id,
        version: row.version,
        size: row.size,
        checksum: row.checksum,
        lsn: Lsn(9),
        ok: true,
    };
    change(&mut verified);
    verified
}

/// `dist`, `node1` and `node2`, with one shard on both nodes.
pub(super) fn cluster() -> NodesAnswer {
    let entry = |port: u16, role: &str| {
        serde_json::json!({
            "host": "127.0.0.1", "port": port, "public_url": format!("http://127.0.0.1:{port}"),
            "role": role, "health": "up", "shards": [],
        })
    };
    let replica = |node: &str, role: &str| serde_json::json!({"node": node, "role": role, "in_sync": true, "position": 7, "lag": 0});
    let answer = serde_json::json!({
        "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
        "copies": 2,
        "nodes": {
            "dist": entry(8000, "distributor"), "node1": entry(8001, "node"), "node2": entry(8002, "node"),
        },
        "shards": [{
            "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "in_sync": ["node1", "node2"],
            "eligible": [], "min_in_sync": 2, "degraded": false, "bytes": 2048, "contents": 3,
            "replicas": [replica("node1", "leader"), replica("node2", "follower")],
        }],
    });
    serde_json::from_value(answer).expect("reads")
}
