//! Several distributors before one database.

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, ask, at, config, row, upserts};
use serde_json::json;
use wire::Position;

async fn second(fresh: &Fresh) -> Service {
    let mut own = config(&fresh.url);
    own.name = "dist2".parse().expect("a name");
    Service::start(own).await
}

async fn controllers(all: &[&Service]) -> usize {
    let mut count = 0;
    for dist in all {
        let metrics = dist
            .request("GET", "/metrics")
            .send()
            .await
            .expect("an answer");
        let text = metrics.text().await.expect("text");
        count += usize::from(text.lines().any(|line| line == "acequia_dist_controller 1"));
    }
    count
}

// If this fails, a second distributor knows nothing of the nodes that speak to the first, or both
// make shards.
#[tokio::test]
async fn they_know_the_same_and_one_decides() {
    let fresh = Fresh::postgres();
    let first = Service::start(config(&fresh.url)).await;
    let second = second(&fresh).await;
    let mut here = FakeNode::start("node1").await;
    let mut there = FakeNode::start("node2").await;
    here.join(&first).await;
    let mut shard = None;
    second
        .until(async || {
            here.beat(&first).await;
            there.obey(&second).await;
            shard = there.heartbeat.replicas.first().map(|report| report.shard);
            shard.is_some()
        })
        .await;
    assert_eq!(
        shard.map(|shard| shard.0),
        Some(2),
        "the controller heard of it from the board"
    );
    for dist in [&first, &second] {
        dist.until(async || {
            here.beat(&first).await;
            there.beat(&second).await;
            let nodes = dist.json("/nodes").await["nodes"].clone();
            ["dist", "dist2", "node1", "node2"]
                .iter()
                .all(|name| nodes[name]["health"] == "up")
        })
        .await;
        assert_eq!(dist.ask("GET", "/store").await.0, 200);
    }
    assert_eq!(first.json("/shards").await, second.json("/shards").await);
    first
        .until(async || controllers(&[&first, &second]).await == 1)
        .await;

    // What one lists the other shows, and a batch that was sent to both is applied once.
    let part = upserts(1, Position::default(), at(1, 1), [row(1, 1)]);
    let both = tokio::join!(first.list(vec![part.clone()]), second.list(vec![part]));
    let applied = [both.0.1, both.1.1]
        .iter()
        .filter(|a| a["parts"][0]["applied"] == true)
        .count();
    assert_eq!(applied, 1);
    assert_eq!(
        second.list(vec![ask(1)]).await.1["parts"][0]["listed"]["lsn"],
        json!(1)
    );
    assert_eq!(first.json("/content").await, second.json("/content").await);

    // The office changes hands when its holder stops.
    first.stop().await;
    second
        .until(async || controllers(&[&second]).await == 1)
        .await;
    second.stop().await;
}
