//! What a distributor says of its cluster.

use serde_json::{Value, json};
use wire::Code;

use super::exchange::{Reply, refuse};

fn entry(url: &str, role: &str, shards: &Value) -> Value {
    let port = url
        .rsplit(':')
        .next()
        .expect("a port")
        .parse::<u16>()
        .expect("a number");
    json!({
        "host": "127.0.0.1", "port": port, "public_url": url, "role": role,
        "health": "up", "shards": shards,
    })
}

pub(super) fn storage_node(url: &str, left: Option<u64>) -> Value {
    let led = json!([{"shard": 1, "role": "leader", "state": "open"}]);
    let mut node = entry(url, "node", &led);
    if let Some(left) = left {
        node["draining"] = json!({"replicas_left": left, "bytes_left": left * 1024});
    }
    node
}

pub(super) fn nodes(url: &str, left: Option<u64>, rebalancing: bool, waits: bool) -> Reply {
    let replica = json!({
        "node": "node1", "role": "leader", "in_sync": true, "position": 7, "committed": 7,
        "lag": 0, "bytes": 2048, "contents": 3, "damaged": 0,
    });
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "in_sync": ["node1"],
        "eligible": [], "min_in_sync": 1, "degraded": false, "waits": waits, "bytes": 2048,
        "contents": 3,
        "replicas": [replica],
    });
    let nodes = json!({
        "dist": entry(url, "distributor", &json!([])),
        "node1": storage_node(url, left),
    });
    Reply::json(
        200,
        &json!({
            "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
            "copies": 1,
            "nodes": nodes,
            "shards": [shard],
            "rebalancing": rebalancing,
        }),
    )
}

/// `node2` leads shard 1, and `node3` has so much of it; none: all.
pub(super) fn copying(url: &str, has: Option<u64>) -> Reply {
    let in_sync: &[&str] = if has.is_some() {
        &["node2"]
    } else {
        &["node2", "node3"]
    };
    let replica = |node: &str, role: &str, bytes: u64| json!({"node": node, "role": role, "in_sync": in_sync.contains(&node), "bytes": bytes});
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 5, "leader": "node2", "in_sync": in_sync,
        "eligible": [], "min_in_sync": 2, "degraded": true, "bytes": 2048, "contents": 3,
        "replicas": [replica("node2", "leader", 2048), replica("node3", "follower", has.unwrap_or(2048))],
    });
    let node = entry(url, "node", &json!([]));
    Reply::json(
        200,
        &json!({
            "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "copies": 2,
            "nodes": {"node2": node, "node3": node}, "shards": [shard],
        }),
    )
}

/// Shard 1 waits: `node1` is away, `node2` has a copy that is behind, `node3` one that is more so.
pub(super) fn waiting(waits: bool) -> Reply {
    let held = |lsn: u64| {
        json!({
            "end": {"epoch": 4, "lsn": lsn}, "committed": lsn, "contents": 3, "bytes": 2048,
            "damaged": 0, "halted": false, "complete": true,
        })
    };
    let replica = "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633";
    let copies = json!([
        {"node": "node2", "replica": replica, "part": "outside", "alive": true, "held": held(5),
         "loss": {"records": 2, "more": true}, "objections": []},
        {"node": "node3", "replica": replica, "part": "outside", "alive": true, "held": held(4),
         "loss": {"records": 3, "more": true}, "objections": ["behind"]},
        {"node": "node1", "replica": replica, "part": "in_sync", "alive": false, "held": held(7),
         "loss": null, "objections": []},
    ]);
    let shard = json!({
        "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "restored": false,
        "listed": {"epoch": 4, "lsn": 7}, "copies": copies,
    });
    let items = if waits { vec![shard] } else { Vec::new() };
    Reply::json(200, &json!({ "items": items }))
}

pub(super) fn recovered(body: &[u8]) -> Reply {
    let choice: Value = serde_json::from_slice(body).expect("JSON");
    if choice["node"] == "node1" {
        return refuse(Code::NoCopy);
    }
    if choice["node"] == "node3" && choice["force"] != true {
        return refuse(Code::NeedsForce);
    }
    Reply::json(
        200,
        &json!({
            "shard": 1, "node": choice["node"], "epoch": 5, "over": ["node1"],
            "loss": {"records": 2, "more": true},
        }),
    )
}

pub(super) fn stats() -> Reply {
    let node = json!(wire::stats::NodeStats {
        storage: 1 << 20,
        ..Default::default()
    });
    Reply::json(
        200,
        &json!({"nodes": {"node1": node, "node2": null}, "total": node}),
    )
}

/// A past that nothing was recorded of.
pub(super) fn history() -> Reply {
    let history = wire::history::StatsHistory {
        node: None,
        from: wire::Timestamp(0),
        to: wire::Timestamp(5_000),
        step_s: 5,
        points: Vec::new(),
    };
    Reply::json(200, &json!(history))
}
