//! Nodes that join, fall silent, change their shards and leave, on both databases.

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, answer, config};
use serde_json::json;
use uuid::Uuid;
use wire::ShardNo;
use wire::shard::{ChangeShard, Leader, Member, ShardRecord};

crate::on_both_databases!(
    a_silent_node_is_not_used_until_it_answers,
    a_restarted_node_leads_in_a_new_epoch,
    a_changed_record_is_told_at_once,
    a_node_of_another_cluster_is_refused,
    a_second_node_under_one_name_is_refused,
    records_change_by_compare_and_set,
    a_drained_node_is_emptied_and_removed,
    a_dead_node_is_removed_by_force,
    a_new_node_gets_its_share,
);

// If this fails, uploads are sent to a node that is down, or never again to one that was.
async fn a_silent_node_is_not_used_until_it_answers(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    node.stop().await;
    dist.until(async || {
        node.beat(&dist).await;
        dist.ask("GET", "/store").await.0 == 503
    })
    .await;
    assert_eq!(
        dist.json("/nodes").await["nodes"]["node1"]["health"],
        "down"
    );
    assert_eq!(dist.json("/stats").await["nodes"]["node1"], json!(null));
    node.listen().await;
    dist.until(async || {
        node.beat(&dist).await;
        dist.ask("GET", "/store").await.0 == 200
    })
    .await;

    // It answers and says nothing any more: its heartbeats are stuck.
    dist.until(async || dist.ask("GET", "/store").await.0 == 503)
        .await;
    node.beat(&dist).await;
    dist.until(async || dist.ask("GET", "/store").await.0 == 200)
        .await;
    dist.stop().await;
}

// If this fails, a node that crashed writes two records under one position.
async fn a_restarted_node_leads_in_a_new_epoch(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    node.restart();
    let answer = node.obey(&dist).await;
    let record = answer.map.expect("a new map").shards.remove(0);
    assert_eq!(
        (record.shard, record.epoch.0, record.version),
        (shard, 2, 2)
    );
    assert!(record.is_led_by(&node.name, node.heartbeat.incarnation));
    let again = node.obey(&dist).await;
    assert_eq!(again.map, None, "the node has this map already");
    dist.stop().await;
}

// If this fails, a failover takes longer by as much as heartbeats are apart.
async fn a_changed_record_is_told_at_once(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let told = format!("POST /shards/{shard} ");
    dist.until(async || !node.calls(&told).is_empty()).await;
    let news: wire::shard::ShardNews =
        serde_json::from_str(&node.calls(&told)[0].body).expect("news");
    assert_eq!(Some(news.cluster), node.heartbeat.cluster);
    assert_eq!(news.record.shard, shard);
    dist.stop().await;
}

// If this fails, a typo in DATABASE_URL binds nodes to an empty catalog.
async fn a_node_of_another_cluster_is_refused(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    node.heartbeat.cluster = Some(Uuid::new_v4());
    let response = node.beat(&dist).await;
    assert_eq!(response.status(), 409);
    let error: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(error["code"], "wrong_cluster");
    assert_eq!(dist.json("/nodes").await["nodes"]["node1"], json!(null));
    let mut posing = FakeNode::start("dist7").await;
    assert_eq!(posing.beat(&dist).await.status(), 400);
    posing.heartbeat.internal_url = "nowhere".to_owned();
    posing.name = "node7".parse().expect("a name");
    assert_eq!(posing.beat(&dist).await.status(), 400);
    dist.stop().await;
}

// If this fails, a copied configuration makes two machines undo each other's shards, and loses what only one of
// them has.
async fn a_second_node_under_one_name_is_refused(fresh: Fresh) {
    // It waits for one end of a session, and speaks within one before.
    let config = dist::Config {
        session: SESSION * 5,
        ..config(&fresh.url)
    };
    let dist = Service::start(config).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let mut twin = FakeNode::start("node1").await;
    twin.heartbeat.incarnation = Uuid::new_v4();
    let response = twin.beat(&dist).await;
    assert_eq!(response.status(), 409);
    let error: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(error["code"], "name_taken");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&node.heartbeat.internal_url), "{message}");
    // Started anew where it was, it is the same one.
    node.restart();
    assert_eq!(node.beat(&dist).await.status(), 200);
    assert_eq!(twin.beat(&dist).await.status(), 409);
    // One that ends makes way at once, one that is silent after a session.
    node.heartbeat.parting = true;
    assert_eq!(node.beat(&dist).await.status(), 200);
    assert_eq!(twin.beat(&dist).await.status(), 200);
    assert_eq!(node.beat(&dist).await.status(), 409);
    dist.until(async || node.beat(&dist).await.status() == 200)
        .await;
    dist.stop().await;
}

// If this fails, two members of a shard overwrite each other's changes of its record.
async fn records_change_by_compare_and_set(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let path = format!("/shards/{shard}");
    let mut record: ShardRecord = serde_json::from_value(dist.json(&path).await).expect("a record");
    record.degraded = true;
    record.version = 2;
    let change = |record: &ShardRecord, path: &str| {
        answer(dist.post(path).json(&ChangeShard {
            record: record.clone(),
        }))
    };
    let (status, body) = change(&record, &path).await;
    assert_eq!((status, &body["changed"]), (200, &json!(true)));
    let (status, body) = change(&record, &path).await;
    assert_eq!(
        (status, &body["changed"], &body["record"]["version"]),
        (200, &json!(false), &json!(2))
    );
    assert_eq!(dist.json(&path).await["degraded"], true);
    assert_eq!(dist.json("/shards").await["shards"][0]["version"], 2);
    assert_eq!(change(&record, "/shards/77").await.0, 400);
    let other_log = ShardRecord {
        log: record.log + 1,
        version: 3,
        ..record.clone()
    };
    assert_eq!(change(&other_log, &path).await.0, 400);
    let made = ShardRecord {
        shard: ShardNo(78),
        version: 1,
        ..record
    };
    assert_eq!(
        change(&made, "/shards/78").await.0,
        400,
        "only the controller makes shards"
    );
    dist.stop().await;
}

/// What a leader does: whoever holds a replica is taken into the set, and the first of the replicas leads
/// in its place, when that is another node's.
async fn lead(dist: &Service, mut record: ShardRecord, other: &FakeNode) {
    let missing = |held: &&Member| !record.in_sync.contains(held);
    let missing = record.replicas.iter().find(missing).cloned();
    let heir = record.replicas[0].clone();
    let is_led = record.is_led_by(&other.name, other.heartbeat.incarnation);
    if let Some(missing) = missing {
        record.in_sync.push(missing);
    } else if heir.node == other.name && !is_led {
        record.epoch = record.epoch.next();
        record.leader = Some(Leader {
            member: heir,
            incarnation: other.heartbeat.incarnation,
        });
    } else {
        return;
    }
    record.version += 1;
    let path = format!("/shards/{}", record.shard);
    answer(dist.post(&path).json(&ChangeShard { record })).await;
}

// If this fails, a node cannot be taken out of a cluster, or leaves with the only copy of something.
async fn a_drained_node_is_emptied_and_removed(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let (mut first, mut second) = (
        FakeNode::start("node1").await,
        FakeNode::start("node2").await,
    );
    first.join(&dist).await;
    second.join(&dist).await;
    let (status, error) = dist.ask("DELETE", "/nodes/node1").await;
    assert_eq!((status, &error["code"]), (409, &json!("node_in_use")));
    let (status, error) = dist.ask("POST", "/nodes/node9/drain").await;
    assert_eq!((status, &error["code"]), (404, &json!("not_found")));

    let (status, entry) = dist.ask("POST", "/nodes/node1/drain").await;
    assert_eq!(status, 200);
    assert_eq!(entry["draining"]["replicas_left"], 1);
    first.beat(&dist).await;
    second.beat(&dist).await;
    let place = dist.json("/store?explain=true").await;
    assert_eq!(place["node"], "node2");
    assert_eq!(place["explain"][0]["excluded"], "it is draining");
    first.beat(&dist).await;
    let (status, error) = dist.ask("DELETE", "/nodes/node1?force=true").await;
    assert_eq!((status, &error["code"]), (409, &json!("node_in_use")));

    // The other node makes a copy, which joins; then its leader hands over, then the old copy goes.
    let record = async |dist: &Service| -> ShardRecord {
        let record = dist.json("/shards/1").await;
        serde_json::from_value(record).expect("a record")
    };
    let mut empty = false;
    let begun = std::time::Instant::now();
    while !empty {
        assert!(begun.elapsed().as_secs() < 20, "it holds in time");
        first.obey(&dist).await;
        second.obey(&dist).await;
        lead(&dist, record(&dist).await, &second).await;
        let nodes = dist.json("/nodes").await;
        empty = nodes["nodes"]["node1"]["draining"]["replicas_left"] == 0;
    }
    let now = record(&dist).await;
    assert!(now.is_led_by(&second.name, second.heartbeat.incarnation));
    assert_eq!(now.replicas.len(), 1);

    // A restart of the distributor knows of it still.
    dist.stop().await;
    let dist = Service::start(config(&fresh.url)).await;
    let nodes = dist.json("/nodes").await;
    assert_eq!(nodes["nodes"]["node1"]["draining"]["replicas_left"], 0);
    let (status, removed) = dist.ask("DELETE", "/nodes/node1").await;
    assert_eq!((status, removed), (200, json!({"node": "node1"})));
    assert_eq!(dist.json("/nodes").await["nodes"]["node1"], json!(null));
    let refused = first.beat(&dist).await;
    let refused: serde_json::Value = refused.json().await.expect("JSON");
    assert_eq!(refused["code"], "node_removed");
    first.restart();
    assert_eq!(first.beat(&dist).await.status(), 200, "a new start returns");
    let nodes = dist.json("/nodes").await;
    assert_eq!(nodes["nodes"]["node1"]["draining"], json!(null));
    dist.stop().await;
}

// If this fails, a node whose disk burned stays in every list for ever.
async fn a_dead_node_is_removed_by_force(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    node.stop().await;
    dist.until(async || {
        let nodes = dist.json("/nodes").await;
        nodes["nodes"]["node1"]["health"] == "down"
    })
    .await;
    let (status, error) = dist.ask("DELETE", "/nodes/node1").await;
    assert_eq!((status, &error["code"]), (409, &json!("node_in_use")));
    let (status, _) = dist.ask("DELETE", "/nodes/node1?force=true").await;
    assert_eq!(status, 200);
    assert_eq!(dist.json("/nodes").await["nodes"]["node1"], json!(null));
    let (status, _) = dist.ask("DELETE", "/nodes/node1").await;
    assert_eq!(status, 404);
    dist.stop().await;
}

// If this fails, a node that was added to a full cluster stays empty.
async fn a_new_node_gets_its_share(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let (mut first, mut second) = (
        FakeNode::start("node1").await,
        FakeNode::start("node2").await,
    );
    // There is room for both on either of them.
    let stats = wire::stats::NodeStats {
        max_storage: 1 << 40,
        disk_free: 1 << 40,
        ..wire::stats::NodeStats::default()
    };
    let stats = serde_json::to_string(&stats).expect("JSON");
    first.answer("GET /stats", 200, &stats);
    second.answer("GET /stats", 200, &stats);
    first.join(&dist).await;
    // Its first shard is full, and another one follows.
    first.heartbeat.replicas[0].bytes = wire::limits::SHARD_BYTES_MAX;
    dist.until(async || {
        first.obey(&dist).await;
        first.heartbeat.replicas.len() == 2
    })
    .await;
    first.heartbeat.replicas[1].bytes = wire::limits::SHARD_BYTES_MAX / 2;
    second.join(&dist).await;
    assert_eq!(dist.json("/nodes").await["rebalancing"], false);
    let (status, ordered) = dist.ask("POST", "/rebalance").await;
    assert_eq!((status, &ordered["rebalancing"]), (200, &json!(true)));

    let moved = |nodes: &serde_json::Value| {
        let shards = nodes["shards"].as_array().expect("shards");
        let of = |shard: &&serde_json::Value| {
            shard["leader"] == "node2" && shard["bytes"].as_u64() > Some(1)
        };
        shards.iter().filter(of).count()
    };
    dist.until(async || {
        first.obey(&dist).await;
        second.obey(&dist).await;
        let nodes = dist.json("/nodes").await;
        for shard in nodes["shards"].as_array().expect("shards") {
            let path = format!("/shards/{}", shard["shard"]);
            let record: ShardRecord =
                serde_json::from_value(dist.json(&path).await).expect("a record");
            let missing = record
                .replicas
                .iter()
                .find(|member| !record.in_sync.contains(member));
            if let Some(copied) = missing {
                let mut copies = second.heartbeat.replicas.iter_mut();
                let Some(held) = copies.find(|held| held.replica == copied.replica) else {
                    continue;
                };
                held.bytes = shard["bytes"].as_u64().expect("a number");
            }
            lead(&dist, record, &second).await;
        }
        nodes["rebalancing"] == false
    })
    .await;
    assert_eq!(moved(&dist.json("/nodes").await), 1);
    let (status, _) = dist.ask("DELETE", "/rebalance").await;
    assert_eq!(status, 200);
    dist.stop().await;
}
