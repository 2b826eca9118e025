//! The catalog is lost, or comes from an old backup.

use crate::support::fake_node::FakeNode;
use crate::support::{
    Fresh, SESSION, Service, answer, ask, at, config, follow, free_port, row, upserts,
};
use dist::catalog::open;
use dist::{Progress, Rebuild, RebuildError};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;
use wire::listing::{ListedOperation, ListingBatch};
use wire::shard::ShardRecord;
use wire::{Lsn, Position, ShardNo};

crate::on_both_databases!(
    a_lost_catalog_is_filled_from_nodes,
    an_empty_database_waits_for_the_right_command,
    a_rebuild_is_refused_where_it_would_do_harm,
    an_old_register_is_restored_from_nodes,
);

crate::on_zookeeper!(
    a_lost_catalog_is_filled_from_nodes,
    an_empty_database_waits_for_the_right_command,
    an_old_register_is_restored_from_nodes,
);

/// A node that obeyed a cluster whose catalog is gone.
async fn orphan(cluster: Uuid) -> (FakeNode, ShardRecord) {
    let lost = Fresh::sqlite();
    let dist = Service::start(config(&lost.url)).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let mut record: ShardRecord =
        serde_json::from_value(dist.json("/shards/1").await).expect("a record");
    dist.stop().await;
    record.version = 9;
    record.epoch.0 = 4;
    node.heartbeat.cluster = Some(cluster);
    node.heartbeat.map_version = 1;
    let report = &mut node.heartbeat.replicas[0];
    report.record_version = 9;
    report.record = Some(record.clone());
    report.end = at(4, 3);
    report.committed = Lsn(3);
    (node, record)
}

/// Remembers what a rebuild reports.
fn recorder() -> (Arc<Mutex<Vec<Progress>>>, impl FnMut(&Progress)) {
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let report = {
        let seen = Arc::clone(&seen);
        move |progress: &Progress| seen.lock().expect("no panic").push(progress.clone())
    };
    (seen, report)
}

/// Says that a node is there until it is told that it is not wanted.
async fn beat_on(node: FakeNode, dist: Service) {
    while node.beat(&dist).await.status() == 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// If this fails, a lost database loses the names of everything that is stored.
async fn a_lost_catalog_is_filled_from_nodes(fresh: Fresh) {
    let cluster = Uuid::new_v4();
    let (node, record) = orphan(cluster).await;
    let mut own = fresh.config();
    own.bind.set_port(free_port());
    let dist = Service::at(&format!("http://{}", own.bind));
    let plan = Rebuild {
        adopt: cluster,
        nodes: vec![node.name.clone()],
        distributors: Vec::new(),
    };
    let (seen, report) = recorder();
    let rebuild = tokio::spawn(dist::rebuild(own, plan, report));
    dist.until(async || dist.request("GET", "/health/live").send().await.is_ok())
        .await;

    node.beat(&dist).await;
    dist.until(async || {
        node.beat(&dist).await;
        let shard = dist.json("/shards").await["shards"][0].clone();
        shard["lineage"] == 1 && shard["leader"].is_object()
    })
    .await;
    let restored: ShardRecord =
        serde_json::from_value(dist.json("/shards/1").await).expect("a record");
    assert!(restored.epoch > record.epoch, "it lists anew");
    assert_eq!(restored.log, record.log);
    let half = upserts(1, Position::default(), at(4, 2), [row(1, 1), row(1, 2)]);
    assert_eq!(dist.list(vec![half]).await.0, 200);
    let waiting = tokio::time::Instant::now();
    while waiting.elapsed() < SESSION * 3 {
        node.beat(&dist).await;
        assert!(!rebuild.is_finished(), "the node holds one record more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        dist.list(vec![upserts(1, at(4, 2), at(4, 3), [row(1, 3)])])
            .await
            .0,
        200
    );
    let beat = tokio::spawn(beat_on(node, dist));
    tokio::time::timeout(Duration::from_secs(20), rebuild)
        .await
        .expect("it ends")
        .expect("no panic")
        .expect("complete");
    beat.abort();
    let last = seen
        .lock()
        .expect("no panic")
        .last()
        .cloned()
        .expect("progress");
    assert_eq!((last.contents, last.listed, last.shards), (3, 1, 1));
    let text = last.to_string();
    assert_eq!(text, "3 contents listed, 1 of 1 shards complete");

    let dist = Service::start(fresh.config()).await;
    assert_eq!(dist.json("/nodes").await["cluster"], cluster.to_string());
    assert_eq!(
        dist.json("/content").await["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    dist.stop().await;
}

// If this fails, an empty database in front of a full cluster is taken for the cluster's.
async fn an_empty_database_waits_for_the_right_command(fresh: Fresh) {
    let (node, _) = orphan(Uuid::new_v4()).await;
    let dist = Service::start(fresh.config()).await;
    let part = upserts(1, Position::default(), at(4, 2), [row(1, 1)]);
    let (status, error) = dist.list(vec![part.clone()]).await;
    assert_eq!(
        (status, &error["code"]),
        (503, &json!("catalog_unavailable"))
    );
    assert_eq!(node.beat(&dist).await.status(), 409);
    assert_eq!(dist.list(vec![part.clone()]).await.0, 503);
    assert_eq!(dist.json("/shards").await["shards"], json!([]));

    // Another node of the same name, of this cluster; the stranger comes back after it.
    FakeNode::start("node1").await.beat(&dist).await;
    assert_eq!(dist.list(vec![ask(1)]).await.0, 200);
    assert_eq!(node.beat(&dist).await.status(), 409);
    assert_eq!(dist.list(vec![part]).await.0, 503);
    assert_eq!(dist.json("/content").await["items"], json!([]));
    dist.stop().await;
}

// If this fails, a rebuild by mistake mixes two clusters, or takes nodes from a living catalog.
async fn a_rebuild_is_refused_where_it_would_do_harm(fresh: Fresh) {
    let serving = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&serving).await;
    let other = Fresh::sqlite();
    let plan = |distributors: Vec<String>| Rebuild {
        adopt: Uuid::from_u128(7),
        nodes: Vec::new(),
        distributors,
    };
    let beside = dist::rebuild(
        config(&other.url),
        plan(vec![serving.url().to_owned()]),
        |_| {},
    );
    assert!(matches!(beside.await, Err(RebuildError::Alive { .. })));
    serving.stop().await;
    let full = dist::rebuild(fresh.config(), plan(Vec::new()), |_| {}).await;
    match full {
        Err(RebuildError::Adopt(error)) => {
            let text = error.to_string();
            assert!(text.contains("holds 0 contents and 1 shards"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

// If this fails, a register from an old backup sends a node back to an epoch that is over, or
// gives the number of its shard to another one.
async fn an_old_register_is_restored_from_nodes(fresh: Fresh) {
    let dist = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let mut newer: ShardRecord =
        serde_json::from_value(dist.json(&format!("/shards/{shard}")).await).expect("a record");
    dist.stop().await;
    // The node went on with another distributor, whose catalog is lost since.
    newer.version = 30;
    newer.epoch.0 = 12;
    node.heartbeat.replicas[0].record_version = 30;
    node.heartbeat
        .replicas
        .push(node.heartbeat.replicas[0].clone());
    node.heartbeat.replicas[1].shard = ShardNo(50);
    node.heartbeat.replicas[1].replica = Uuid::from_u128(50);
    let mut second = newer.clone();
    second.shard = ShardNo(50);
    second.log = 50;
    for member in second.replicas.iter_mut().chain(&mut second.in_sync) {
        member.replica = Uuid::from_u128(50);
    }
    if let Some(leader) = &mut second.leader {
        leader.member.replica = Uuid::from_u128(50);
    }

    let dist = Service::start(fresh.config()).await;
    assert!(node.obey(&dist).await.want_records);
    assert_eq!(
        dist.json("/shards").await["shards"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    node.heartbeat.replicas[0].record = Some(newer.clone());
    node.heartbeat.replicas[1].record = Some(second);
    assert!(!node.obey(&dist).await.want_records);
    dist.until(async || {
        node.beat(&dist).await;
        dist.json("/shards").await["shards"][1]["leader"].is_object()
    })
    .await;
    let shards = dist.json("/shards").await["shards"].clone();
    assert_eq!(
        (
            &shards[0]["lineage"],
            &shards[0]["version"],
            &shards[0]["epoch"]
        ),
        (&json!(1), &json!(31), &json!(13))
    );
    assert_eq!(shards[1]["shard"], 50);

    let mut joiner = FakeNode::start("node2").await;
    dist.until(async || {
        node.beat(&dist).await;
        joiner.obey(&dist).await;
        !joiner.heartbeat.replicas.is_empty()
    })
    .await;
    assert_eq!(
        joiner.heartbeat.replicas[0].shard,
        ShardNo(51),
        "no number is used twice"
    );
    dist.stop().await;
}

// If this fails, what was deleted after the backup was taken comes back with it.
#[tokio::test]
async fn an_old_backup_rolls_forward() {
    let fresh = Fresh::sqlite();
    let path = fresh
        .url
        .strip_prefix("sqlite://")
        .expect("a file")
        .to_owned();
    let backup = format!("{path}.backup");
    let catalog = fresh.open().await.catalog;
    catalog
        .list(&[upserts(
            1,
            Position::default(),
            at(1, 2),
            [row(1, 1), row(1, 2)],
        )])
        .await
        .expect("listed");
    catalog.close().await;
    std::fs::copy(&path, &backup).expect("a backup");
    let since = [
        follow(
            1,
            at(1, 2),
            at(1, 3),
            vec![ListedOperation::Delete(row(1, 1).id)],
        ),
        upserts(1, at(1, 3), at(2, 5), [row(1, 3)]),
    ];
    let catalog = fresh.open().await.catalog;
    for part in &since {
        assert!(
            catalog
                .list(std::slice::from_ref(part))
                .await
                .expect("listed")[0]
                .applied
        );
    }
    catalog.close().await;
    std::fs::rename(&backup, &path).expect("restored");

    // What a node does: it goes on where the catalog says that it is.
    let dist = Service::start(fresh.config()).await;
    FakeNode::start("node1").await.beat(&dist).await;
    let batch = |part| ListingBatch {
        node: "node1".parse().expect("a name"),
        parts: vec![part],
    };
    let (_, told) = answer(dist.post("/content").json(&batch(since[1].clone()))).await;
    assert_eq!(
        told["parts"][0],
        json!({"shard": 1, "applied": false, "listed": {"epoch": 1, "lsn": 2}})
    );
    for part in since {
        assert_eq!(dist.list(vec![part]).await.1["parts"][0]["applied"], true);
    }
    let items = dist.json("/content").await["items"].clone();
    let ids: Vec<_> = items
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["id"])
        .collect();
    assert_eq!(ids, [&json!(row(1, 2).id), &json!(row(1, 3).id)]);
    dist.stop().await;
}

// If this fails, what was stored after the backup is not shown until somebody writes to its shard.
#[tokio::test]
async fn a_leader_that_thinks_all_is_listed_is_made_to_ask() {
    let fresh = Fresh::sqlite();
    let dist = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let part = upserts(shard.0, Position::default(), at(1, 1), [row(shard.0, 1)]);
    dist.list(vec![part]).await;
    dist.stop().await;

    // What the backup does not know of.
    node.heartbeat.replicas[0].committed = Lsn(2);
    let dist = Service::start(fresh.config()).await;
    dist.until(async || {
        node.beat(&dist).await;
        dist.json("/shards").await["shards"][0]["epoch"] == 2
    })
    .await;
    let (_, told) = dist.list(vec![ask(shard.0)]).await;
    assert_eq!(told["parts"][0]["listed"]["lsn"], 1);
    dist.stop().await;
}

// If this fails, a typo in COORDINATOR or DATABASE_URL puts a cluster's shards before another's
// contents, or a lost catalog cannot be rebuilt where its shard records are still there.
#[tokio::test]
async fn an_empty_database_before_the_records_of_a_cluster_is_refused_until_it_adopts_it() {
    let first = Fresh::zookeeper();
    let dist = Service::start(first.config()).await;
    let cluster = dist.running.as_ref().expect("it runs").cluster();
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let record = dist.json(&format!("/shards/{}", shard.0)).await;
    dist.stop().await;

    let mut fresh = Fresh::sqlite();
    fresh.coordinator.clone_from(&first.coordinator);
    let refused = dist::start(fresh.config()).await.err().expect("is refused");
    let text = refused.to_string();
    let command = format!("dist rebuild --adopt {cluster}");
    assert!(text.contains(&command) && !text.contains('\n'), "{text}");
    let plan = |adopt: Uuid| Rebuild {
        adopt,
        nodes: vec![node.name.clone()],
        distributors: Vec::new(),
    };
    let wrong = dist::rebuild(fresh.config(), plan(Uuid::from_u128(9)), |_| {}).await;
    assert!(matches!(wrong, Err(RebuildError::Start(_))), "{wrong:?}");
    let catalog = open(&fresh.url).await.expect("opens").catalog;
    let identity = catalog.identify(cluster).await.expect("an answer");
    assert_ne!(identity.cluster, Uuid::from_u128(9), "it adopted nothing");
    catalog.close().await;
    drop(catalog);

    let mut own = fresh.config();
    own.bind.set_port(free_port());
    let dist = Service::at(&format!("http://{}", own.bind));
    let rebuild = tokio::spawn(dist::rebuild(own, plan(cluster), |_| {}));
    dist.until(async || dist.request("GET", "/health/live").send().await.is_ok())
        .await;
    let found = dist.json(&format!("/shards/{}", shard.0)).await;
    assert_eq!(found["log"], record["log"], "as it was agreed on");
    let beat = tokio::spawn(beat_on(node, dist));
    let ended = tokio::time::timeout(Duration::from_secs(20), rebuild).await;
    ended
        .expect("it ends")
        .expect("no panic")
        .expect("complete");
    beat.abort();
}

// If this fails, the same goes on for ever where nodes speak to another distributor than the controller.
#[tokio::test]
async fn an_old_register_is_restored_by_a_controller_whom_no_node_tells() {
    let fresh = Fresh::postgres();
    let in_office = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&in_office).await;
    let shown = format!("/shards/{shard}");
    let mut newer: ShardRecord =
        serde_json::from_value(in_office.json(&shown).await).expect("a record");
    let mut second = fresh.config();
    second.name = "dist2".parse().expect("a name");
    let dist = Service::start(second).await;
    newer.version = 30;
    newer.epoch.0 = 12;
    node.heartbeat.replicas[0].record_version = 30;
    dist.until(async || node.obey(&dist).await.want_records)
        .await;
    // Nodes send records with one heartbeat alone.
    node.heartbeat.replicas[0].record = Some(newer);
    assert!(!node.obey(&dist).await.want_records);
    node.heartbeat.replicas[0].record = None;
    dist.until(async || {
        node.beat(&dist).await;
        let record = in_office.json(&shown).await;
        record["lineage"] == 1 && record["leader"].is_object()
    })
    .await;
    dist.stop().await;
    in_office.stop().await;
}
