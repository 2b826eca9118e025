//! ZooKeeper goes away in the middle of work, and comes back.

use crate::coordinator::{record, revision};
use crate::support::chaos_proxy::ChaosProxy;
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, at, config, coordinator, fresh_path, row, upserts};
use dist::coordinator::{Coordinator, CoordinatorError, open_zookeeper};
use pgtest::Postgres;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::Position;
use zktest::ZooKeeper;

const CANDIDATE: Uuid = Uuid::from_u128(1);

/// How long anybody waits for a coordinator of these tests, on a machine with busy cores.
const CALL_TIME_MAX: Duration = Duration::from_millis(500 + 500);

/// Every call says in time that nobody answers.
async fn check_away(coordinator: &Arc<dyn Coordinator>) {
    let next = record(1, 9);
    for call in 0..4 {
        let begun = Instant::now();
        let error = match call {
            0 => coordinator.records().await.err(),
            1 => coordinator.change(revision(8), &next).await.err(),
            2 => coordinator.campaign(CANDIDATE, SESSION).await.err(),
            _ => coordinator.resign(CANDIDATE).await.err(),
        };
        let took = begun.elapsed();
        assert!(
            matches!(error, Some(CoordinatorError::Unavailable(_))),
            "{call}: {error:?}"
        );
        assert!(took < CALL_TIME_MAX, "{call} took {took:?}");
    }
}

async fn until_back(coordinator: &Arc<dyn Coordinator>) {
    let wait = async {
        while coordinator.records().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let back = tokio::time::timeout(Duration::from_secs(20), wait).await;
    back.expect("it comes back");
}

// If this fails, a restart of ZooKeeper loses records, or needs a restart of the distributor.
#[tokio::test]
async fn a_server_that_restarts_is_found_again_with_everything() {
    let mut zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
    let coordinator = coordinator(&fresh_path(&zookeeper), SESSION).await;
    let mut version = 0;
    let mut last_term = 0;
    for _ in 0..3 {
        let changed = coordinator
            .change(revision(version), &record(1, version + 1))
            .await;
        assert!(changed.expect("an answer").changed);
        version += 1;
        let term = coordinator
            .campaign(CANDIDATE, SESSION)
            .await
            .expect("an answer");
        assert!(term.is_some_and(|term| term.number >= last_term));
        last_term = term.map_or(0, |term| term.number);
        zookeeper.stop_server();
        check_away(&coordinator).await;
        zookeeper.start_server().expect("starts again");
        let started = Instant::now();
        until_back(&coordinator).await;
        let took = started.elapsed();
        assert!(took < Duration::from_secs(5), "found again after {took:?}");
        assert_eq!(
            coordinator.records().await.expect("records"),
            [record(1, version)]
        );
        // Whoever was in office before the server went may still have to wait for its session.
        while coordinator
            .campaign(CANDIDATE, SESSION)
            .await
            .expect("an answer")
            .is_none()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

// If this fails, a ZooKeeper that hangs makes heartbeats and clients hang with it.
#[tokio::test]
async fn a_server_that_stands_still_counts_as_away() {
    let zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
    let coordinator = coordinator(&fresh_path(&zookeeper), SESSION).await;
    assert!(
        coordinator
            .change(revision(0), &record(1, 1))
            .await
            .expect("an answer")
            .changed
    );
    let before = coordinator
        .campaign(CANDIDATE, SESSION)
        .await
        .expect("an answer");
    for _ in 0..2 {
        zookeeper.pause_server().expect("stands still");
        check_away(&coordinator).await;
        check_away(&coordinator).await;
        zookeeper.resume_server().expect("goes on");
        until_back(&coordinator).await;
        assert_eq!(
            coordinator.records().await.expect("records"),
            [record(1, 1)]
        );
    }
    let after = loop {
        let term = coordinator
            .campaign(CANDIDATE, SESSION)
            .await
            .expect("an answer");
        if term.is_some() {
            break term;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let number = |term: Option<dist::coordinator::Term>| term.map(|term| term.number);
    assert!(number(after) > number(before), "its lease ran out long ago");
}

// If this fails, uploads stop, or vanish from the list, when ZooKeeper is restarted.
#[tokio::test]
async fn a_distributor_goes_on_without_zookeeper_and_decides_again_with_it() {
    let mut zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
    let mut fresh = Fresh::sqlite();
    fresh.coordinator = Some(fresh_path(&zookeeper));
    let dist = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let listed = dist.list(vec![upserts(
        shard.0,
        Position::default(),
        at(1, 1),
        [row(shard.0, 1)],
    )]);
    assert_eq!(listed.await.1["parts"][0]["applied"], json!(true));
    let shards = dist.json("/shards").await;

    zookeeper.stop_server();
    dist.until(async || metric(&dist, "acequia_dist_coordinator_up 0").await)
        .await;
    assert_eq!(dist.json("/nodes").await["coordinator"], json!(false));
    assert_eq!(dist.ask("GET", "/health/ready").await.0, 200);
    assert_eq!(dist.ask("GET", "/store").await.0, 200);
    assert_eq!(node.beat(&dist).await.status(), 200);
    assert_eq!(dist.json("/shards").await, shards);
    let listed = dist.list(vec![upserts(
        shard.0,
        at(1, 1),
        at(1, 2),
        [row(shard.0, 2)],
    )]);
    assert_eq!(listed.await.1["parts"][0]["applied"], json!(true));
    assert_eq!(
        dist.json("/content").await["items"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    // Nothing is decided meanwhile: a new node gets no shard.
    let mut late = FakeNode::start("node2").await;
    late.obey(&dist).await;
    assert!(late.heartbeat.replicas.is_empty());

    zookeeper.start_server().expect("starts again");
    dist.until(async || {
        node.beat(&dist).await;
        late.obey(&dist).await;
        !late.heartbeat.replicas.is_empty()
    })
    .await;
    assert_eq!(dist.json("/nodes").await["coordinator"], json!(true));
    let known = dist.json("/shards").await;
    dist.stop().await;

    // The next process finds in ZooKeeper what was agreed.
    let next = Service::start(fresh.config()).await;
    assert_eq!(next.json("/shards").await["shards"], known["shards"]);
    next.stop().await;
}

// If this fails, a controller that does not hear what others hear takes living nodes for dead ones.
#[tokio::test]
async fn a_distributor_without_its_catalog_leaves_the_office() {
    let fresh = Fresh::postgres();
    let address = fresh_path(ZooKeeper::shared());
    let mut proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let mut own = config(&proxy.through(&fresh.url));
    own.coordinator = Some(address.clone());
    let dist = Service::start(own).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let cluster = dist.running.as_ref().map(dist::Running::cluster);
    let other = open_zookeeper(&address, SESSION, cluster.expect("it runs")).await;
    let other = other.expect("the coordinator opens");
    let campaign = async || other.campaign(CANDIDATE, SESSION).await.expect("an answer");
    assert_eq!(campaign().await, None);

    proxy.cut().await;
    dist.until(async || campaign().await.is_some()).await;
    dist.until(async || {
        let says = async |line| metric(&dist, line).await;
        says("acequia_dist_controller 0").await && says("acequia_dist_coordinator_up 0").await
    })
    .await;
    other.resign(CANDIDATE).await.expect("an answer");
    let mut late = FakeNode::start("node2").await;
    late.obey(&dist).await;
    assert!(late.heartbeat.replicas.is_empty());

    proxy.restore().await;
    dist.until(async || {
        late.obey(&dist).await;
        !late.heartbeat.replicas.is_empty()
    })
    .await;
    assert!(metric(&dist, "acequia_dist_coordinator_up 1").await);
    dist.stop().await;
}

async fn metric(dist: &Service, line: &str) -> bool {
    let answer = dist
        .request("GET", "/metrics")
        .send()
        .await
        .expect("an answer");
    let text = answer.text().await.expect("text");
    text.lines().any(|each| each == line)
}
