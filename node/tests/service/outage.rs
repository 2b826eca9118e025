//! Without the distributor, or with the wrong one.

use std::time::{Duration, Instant};

use reqwest::{Method, Response, StatusCode};
use wire::content::Status;
use wire::{Code, ContentId};

use crate::support::{Cluster, error, receipt};

// If this fails, the data path stops when the distributor does, or changes are never listed.
#[tokio::test]
async fn a_node_works_on_without_its_distributor_and_lists_later() {
    let mut cluster = Cluster::start(1).await;
    let mut before = Vec::new();
    for _ in 0..5 {
        before.push(cluster.store(0, b"before").await.id);
    }
    let ids = [cluster.mint(0).await, cluster.mint(0).await];
    cluster.stop_dist().await;

    for id in ids {
        let put = cluster
            .ask(Method::PUT, 0, &format!("/store/{id}"))
            .body("without");
        assert_eq!(
            receipt(put.send().await.expect("answers")).await.status,
            Status::Pending
        );
    }
    // Once it is known that nobody answers, nobody is waited for. A disk may hold any one up.
    let mut fastest = Duration::MAX;
    for id in &before {
        let start = Instant::now();
        let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{id}"));
        let deleted = receipt(delete.send().await.expect("answers")).await;
        fastest = fastest.min(start.elapsed());
        assert_eq!(deleted.status, Status::Pending);
    }
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
    assert_eq!(cluster.bytes(0, ids[0]).await, b"without");
    assert_eq!(
        cluster.get(0, "/health/ready").await.status(),
        StatusCode::OK
    );

    cluster.start_dist().await;
    cluster
        .until("everything is listed", || async {
            let mut all = true;
            for id in ids {
                all &= cluster.listed(id).await.is_some();
            }
            for id in &before {
                all &= cluster.listed(*id).await.is_none();
            }
            all
        })
        .await;
    let unlisted = || async { cluster.stats(0).await.unlisted == 0 };
    cluster.until("nothing is unlisted", unlisted).await;
    cluster.stop().await;
}

/// What `/metrics` says of the records that are not listed.
async fn unlisted_metric(cluster: &Cluster) -> f64 {
    let text = cluster.get(0, "/metrics").await.text().await.expect("text");
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix("acequia_node_unlisted_records "));
    let value = values.next().and_then(|value| value.parse().ok());
    value.expect("it is measured")
}

// If this fails, an operator believes that the catalog has everything, although nobody has asked it.
#[tokio::test]
async fn what_is_not_known_to_be_listed_after_a_restart_counts_as_unlisted() {
    let mut cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"bytes").await;
    cluster
        .until("it is known to be listed", || async {
            cluster.stats(0).await.unlisted == 0
        })
        .await;
    assert!(cluster.listed(stored.id).await.is_some());
    cluster.stop_dist().await;
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    assert!(cluster.stats(0).await.unlisted > 0);
    assert!(unlisted_metric(&cluster).await > 0.0);

    cluster.start_dist().await;
    cluster
        .until("the catalog was asked", || async {
            let leads = cluster.stats(0).await.shards_led > 0;
            leads && unlisted_metric(&cluster).await < 0.5
        })
        .await;
    assert_eq!(cluster.stats(0).await.unlisted, 0);
    cluster.stop().await;
}

async fn put(cluster: &Cluster, id: ContentId) -> Response {
    let request = cluster
        .ask(Method::PUT, 0, &format!("/store/{id}"))
        .body("x");
    request.send().await.expect("answers")
}

// If this fails, a node that is started while the distributor is away serves nothing; or it writes
// in a term that may have ended.
#[tokio::test]
async fn a_node_that_starts_alone_reads_and_does_not_write() {
    let mut cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"bytes").await;
    let id = cluster.mint(0).await;
    cluster.stop_dist().await;
    cluster.stop_node(0).await;
    cluster.start_node(0).await;

    assert_eq!(cluster.bytes(0, stored.id).await, b"bytes");
    let refused = put(&cluster, id).await;
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(error(refused).await.code, Code::NoLeader);

    cluster.start_dist().await;
    cluster
        .until("it leads again", || async {
            put(&cluster, id).await.status() == StatusCode::OK
        })
        .await;
    assert_eq!(cluster.bytes(0, id).await, b"x");
    cluster.stop().await;
}

// If this fails, changes that were made while the node stopped are never listed.
#[tokio::test]
async fn what_was_not_listed_before_a_restart_is_listed_after_it() {
    let mut cluster = Cluster::start(1).await;
    let ids = [cluster.mint(0).await, cluster.mint(0).await];
    cluster.stop_dist().await;
    for id in ids {
        let put = cluster
            .ask(Method::PUT, 0, &format!("/store/{id}"))
            .body("x");
        receipt(put.send().await.expect("answers")).await;
    }
    cluster.stop_node(0).await;
    cluster.start_dist().await;
    cluster.start_node(0).await;
    cluster
        .until("everything is listed", || async {
            cluster.listed(ids[0]).await.is_some() && cluster.listed(ids[1]).await.is_some()
        })
        .await;
    cluster.stop().await;
}
