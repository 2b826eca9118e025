//! What the overview's sentence knows beside what the JSON API tells.

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, fresh_path};
use std::time::Duration;
use zktest::ZooKeeper;

/// Waits until the sentence begins so, while nodes say that they are there.
async fn until_said(dist: &Service, nodes: &[&FakeNode], begins: &str) {
    let mut said = String::new();
    let wait = async {
        while !said.starts_with(begins) {
            for node in nodes {
                node.beat(dist).await;
            }
            let page = super::browse(dist, "GET", "/", &[]).await;
            let page = page.text().await.expect("a page");
            let (_, sentence) = page.split_once("<h1>").expect("a sentence");
            said = sentence.split('<').next().unwrap_or_default().to_owned();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{begins}: it says {said}");
}

// If this fails, all is said to be well while nobody is elected, or while a node waits for its restart.
#[tokio::test]
async fn the_sentence_knows_who_must_be_mended() {
    let mut zookeeper = ZooKeeper::start().expect("ZooKeeper starts");
    let mut fresh = Fresh::sqlite();
    fresh.coordinator = Some(fresh_path(&zookeeper));
    let dist = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    until_said(&dist, &[&node], "All is well: 1 node is up").await;
    zookeeper.stop_server();
    until_said(&dist, &[&node], "The coordinator does not answer").await;
    zookeeper.start_server().expect("starts again");
    until_said(&dist, &[&node], "All is well: 1 node is up").await;
    node.heartbeat.replicas[0].halted = true;
    until_said(&dist, &[&node], "1 shard has no leader, because of logs").await;
    dist.stop().await;
}

// If this fails, somebody waits for copies that nobody makes.
#[tokio::test]
async fn the_sentence_knows_that_copying_is_held_back() {
    let fresh = Fresh::sqlite();
    let copies = wire::Copies::default_on(2);
    let config = dist::Config {
        copies,
        ..fresh.config()
    };
    let dist = Service::start(config).await;
    let mut nodes = [
        FakeNode::start("node1").await,
        FakeNode::start("node2").await,
    ];
    dist.until(async || {
        for node in &mut nodes {
            node.obey(&dist).await;
        }
        let nodes = dist.json("/nodes").await;
        nodes["shards"][0]["replicas"][1]["node"].is_string()
    })
    .await;
    let leader = dist.json("/nodes").await["shards"][0]["leader"].clone();
    let [leads, follows] = match leader == "node1" {
        true => ["node1", "node2"],
        false => ["node2", "node1"],
    };
    let alive = nodes.iter().filter(|node| node.name.as_str() == leads);
    let said = format!("{follows} does not answer: over a third of the nodes");
    until_said(&dist, &Vec::from_iter(alive), &said).await;
    dist.stop().await;
}
