//! A node goes away and comes back, while the others serve.

use std::collections::BTreeSet;
use std::time::Duration;

use cluster::{Options, Running};
use reqwest::Client;
use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::membership::{Health, NodesAnswer};
use wire::placement::{Place, Places};
use wire::{ContentId, routes};

/// How long a distributor may take to notice.
const PATIENCE: Duration = Duration::from_secs(20);

async fn places(client: &Client, cluster: &Running) -> Vec<Place> {
    let url = format!("{}{}?count=60", cluster.url(), routes::STORE);
    let answer = client
        .get(url)
        .send()
        .await
        .expect("the distributor answers");
    answer.json::<Places>().await.expect("places").items
}

/// Places on both nodes, as soon as each has a shard of its own.
async fn places_on_both(client: &Client, cluster: &Running) -> Vec<Place> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let all = places(client, cluster).await;
        let used: BTreeSet<&str> = all.iter().map(|place| place.node.as_str()).collect();
        if used == BTreeSet::from(["node1", "node2"]) {
            return all;
        }
        assert!(
            Instant::now() < deadline,
            "uploads are spread over the nodes: {used:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

async fn upload(client: &Client, place: &Place) -> Receipt {
    let url = format!("{}/{}", place.uri, place.id);
    let body = format!("the bytes of {}", place.id);
    let answer = client
        .put(url)
        .body(body)
        .send()
        .await
        .expect("the node answers");
    answer.json().await.expect("a receipt")
}

/// Reads a content, as soon as its shard has a leader.
async fn read(client: &Client, node: &str, id: ContentId) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = client.get(routes::retrieve(node, id)).send().await;
        let answer = asked.expect("the node answers");
        if answer.status() != 503 || Instant::now() >= deadline {
            return answer.text().await.expect("text");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_for(client: &Client, cluster: &Running, node: &str, health: Health) {
    let deadline = Instant::now() + PATIENCE;
    let url = format!("{}{}", cluster.url(), routes::NODES);
    loop {
        let answer = client
            .get(&url)
            .send()
            .await
            .expect("the distributor answers");
        let nodes: NodesAnswer = answer.json().await.expect("nodes");
        let found = nodes.nodes.iter().find(|(name, _)| name.as_str() == node);
        if found.is_some_and(|(_, entry)| entry.health == health) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{node} is not {health:?}: {nodes:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

// If this fails, uploads are sent to a node that is away, or its contents are gone when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_is_not_used_until_it_is_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let options = Options {
        data,
        port: 0,
        nodes: 2,
        ..Options::default()
    };
    let mut cluster = cluster::start(options).await.expect("the cluster starts");
    let client = Client::builder()
        .no_proxy()
        .build()
        .expect("an HTTP client");
    let before: Vec<(String, String)> = cluster
        .nodes()
        .map(|(name, url)| (name.to_string(), url.to_owned()))
        .collect();

    let all = places_on_both(&client, &cluster).await;
    let place = all
        .iter()
        .find(|place| place.node.as_str() == "node1")
        .expect("was used");
    let receipt = upload(&client, place).await;

    cluster.stop_node(0).await;
    wait_for(&client, &cluster, "node1", Health::Down).await;
    let rest = places(&client, &cluster).await;
    assert!(
        rest.iter().all(|place| place.node.as_str() == "node2"),
        "{rest:?}"
    );
    upload(&client, &rest[0]).await;

    cluster.start_node(0).await.expect("the node starts again");
    wait_for(&client, &cluster, "node1", Health::Up).await;
    let after: Vec<(String, String)> = cluster
        .nodes()
        .map(|(name, url)| (name.to_string(), url.to_owned()))
        .collect();
    assert_eq!(before, after, "a node keeps its address");
    let bytes = read(&client, &after[0].1, receipt.id).await;
    assert_eq!(bytes, format!("the bytes of {}", receipt.id));
    cluster.stop().await;
}

// If this fails, a cluster that was stopped in good order comes back with less than it had.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_started_again_has_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let options = Options {
        data,
        port: 0,
        nodes: 2,
        ..Options::default()
    };
    let cluster = cluster::start(options.clone())
        .await
        .expect("the cluster starts");
    let client = Client::builder()
        .no_proxy()
        .build()
        .expect("an HTTP client");
    let mut stored = Vec::new();
    for place in places(&client, &cluster).await {
        stored.push((place.node.to_string(), upload(&client, &place).await.id));
    }
    cluster.stop().await;

    let again = cluster::start(options)
        .await
        .expect("the cluster starts again");
    for (node, id) in stored {
        let url = again
            .nodes()
            .find(|(name, _)| name.as_str() == node)
            .expect("is there")
            .1;
        assert_eq!(read(&client, url, id).await, format!("the bytes of {id}"));
    }
    again.stop().await;
}
