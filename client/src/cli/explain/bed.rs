//! A shard and its nodes, for tests.

use wire::membership::NodesAnswer;

/// Shard 1 is led by `node1` in epoch 4, and on `node2`.
pub(super) fn nodes() -> NodesAnswer {
    let entry = |port: u16| {
        serde_json::json!({
            "host": "h", "port": port, "public_url": format!("http://h:{port}"), "role": "node",
            "health": "up", "shards": [],
        })
    };
    let replica = |node: &str, role: &str| {
        serde_json::json!({
            "node": node, "role": role, "in_sync": true, "position": 12, "committed": 12, "lag": 0,
        })
    };
    let answer = serde_json::json!({
        "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
        "nodes": {"node1": entry(1), "node2": entry(2)},
        "shards": [{
            "shard": 1, "state": "open", "epoch": 4, "leader": "node1", "in_sync": ["node1", "node2"],
            "eligible": [], "min_in_sync": 2, "degraded": false, "bytes": 2048, "contents": 3,
            "replicas": [replica("node1", "leader"), replica("node2", "follower")],
        }],
    });
    serde_json::from_value(answer).expect("reads")
}
