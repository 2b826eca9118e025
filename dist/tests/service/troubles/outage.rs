//! The catalog goes away in the middle of work, and comes back.

use crate::support::chaos_proxy::ChaosProxy;
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, ask, at, brief, config, row, upserts};
use dist::catalog::{NameFilter, PageQuery, QueryError, open};
use pgtest::Postgres;
use serde_json::json;
use std::time::{Duration, Instant};
use wire::Position;

async fn proxied() -> (ChaosProxy, Fresh, Service) {
    let fresh = Fresh::postgres();
    let proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let dist = Service::start(config(&proxy.through(&fresh.url))).await;
    (proxy, fresh, dist)
}

/// What works without the catalog, and what says so.
async fn check_without_catalog(dist: &Service, node: &FakeNode, known: wire::ContentId) {
    let asked = Instant::now();
    assert_eq!(dist.ask("GET", "/store").await.0, 200);
    assert_eq!(node.beat(dist).await.status(), 200);
    assert_eq!(dist.ask("GET", "/nodes").await.0, 200);
    let item = dist.json(&format!("/content/{known}")).await;
    assert_eq!(item["status"], "PENDING");
    for path in ["/content", "/health/ready"] {
        let (status, error) = dist.ask("GET", path).await;
        assert_eq!(
            (status, &error["code"]),
            (503, &json!("catalog_unavailable")),
            "{path}"
        );
    }
    let (status, error) = dist.list(vec![ask(1)]).await;
    assert_eq!(
        (status, &error["code"]),
        (503, &json!("catalog_unavailable"))
    );
    assert_eq!(dist.ask("GET", "/health/live").await.0, 200);
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        asked.elapsed()
    );
}

/// Until the distributor knows that the catalog is away; the node lives on meanwhile.
async fn until_away(dist: &Service, node: &FakeNode) {
    dist.until(async || {
        node.beat(dist).await;
        dist.ask("GET", "/health/ready").await.0 == 503
    })
    .await;
}

// If this fails, uploads stop when the database is restarted, or the distributor must be.
#[tokio::test]
async fn everything_but_the_catalog_goes_on_while_it_is_away() {
    let (mut proxy, _fresh, dist) = proxied().await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let known = node.knows(shard, 1, 1);
    for round in 0..3 {
        proxy.cut().await;
        until_away(&dist, &node).await;
        check_without_catalog(&dist, &node, known).await;
        proxy.restore().await;
        dist.until(async || dist.ask("GET", "/health/ready").await.0 == 200)
            .await;
        let (after, upto) = (position(round), position(round + 1));
        let (status, listed) = dist
            .list(vec![upserts(
                shard.0,
                after,
                upto,
                [row(shard.0, round + 2)],
            )])
            .await;
        assert_eq!(
            (status, &listed["parts"][0]["applied"]),
            (200, &json!(true))
        );
    }
    assert_eq!(
        dist.json("/content").await["items"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    dist.stop().await;
}

fn position(round: u64) -> Position {
    if round == 0 {
        Position::default()
    } else {
        at(1, round)
    }
}

// If this fails, a database whose network hangs makes every client hang with it.
#[tokio::test]
async fn a_database_that_hangs_counts_as_away() {
    let (mut proxy, _fresh, dist) = proxied().await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let known = node.knows(shard, 1, 1);
    proxy.stall();
    dist.until(async || {
        node.beat(&dist).await;
        dist.ask("GET", "/health/ready").await.0 == 503
    })
    .await;
    check_without_catalog(&dist, &node, known).await;
    proxy.restore().await;
    dist.until(async || dist.ask("GET", "/content").await.0 == 200)
        .await;
    dist.stop().await;
}

// If this fails, who searches by the beginning of a name while the database hangs is told to ask for something
// else, and no client asks again.
#[tokio::test]
async fn a_search_in_a_database_that_hangs_is_not_taken_for_a_long_one() {
    let fresh = Fresh::postgres();
    let mut proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let opened = open(&proxy.through(&fresh.url)).await.expect("opens");
    let search = PageQuery {
        filename: Some(NameFilter::Prefix("a".to_owned())),
        ..PageQuery::default()
    };
    let page = opened.catalog.page(&search).await;
    page.expect("its connection is there");
    proxy.stall();
    let away = opened.catalog.page(&search).await;
    assert!(matches!(away, Err(QueryError::Unavailable(_))), "{away:?}");
    proxy.restore().await;
    opened.catalog.page(&search).await.expect("it is back");
}

// If this fails, a listing whose answer was lost is counted twice, or a part of it is missing.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_applied_once() {
    let fresh = Fresh::postgres();
    let proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let catalog = open(&proxy.through(&fresh.url))
        .await
        .expect("opens")
        .catalog;
    let part = |round: u64| {
        let rows = [row(1, 2 * round), row(1, 2 * round + 1)];
        [upserts(1, position(round), position(round + 1), rows)]
    };
    catalog
        .list(&part(0))
        .await
        .expect("the connection is there");
    for round in 1..6 {
        proxy.swallow_next_answer();
        // It was listed, and nobody knows: asked again, the catalog says where it is.
        let told = catalog
            .list(&part(round))
            .await
            .expect("listed, or asked again");
        assert!(proxy.has_swallowed());
        assert_eq!(brief(&told), [(1, false, position(round + 1))]);
    }
    let totals = catalog.totals().await.expect("totals");
    assert_eq!((totals[0].contents, totals[0].listed), (12, position(6)));
}

// If this fails, a restart of PostgreSQL needs a restart of the distributor.
#[tokio::test]
async fn a_database_server_that_restarts_is_found_again() {
    let mut postgres = Postgres::start().expect("PostgreSQL starts");
    let url = postgres.fresh_database().expect("a database");
    let dist = Service::start(config(&url)).await;
    let node = FakeNode::start("node1").await;
    node.beat(&dist).await;
    dist.list(vec![upserts(1, position(0), position(1), [row(1, 1)])])
        .await;
    postgres.stop_server();
    until_away(&dist, &node).await;
    postgres.start_server().expect("starts again");
    dist.until(async || dist.ask("GET", "/content").await.0 == 200)
        .await;
    let (status, told) = dist.list(vec![ask(1)]).await;
    assert_eq!(
        (status, &told["parts"][0]["listed"]["lsn"]),
        (200, &json!(1))
    );
    dist.stop().await;
}

// If this fails, somebody who empties the database under a running distributor gets it filled
// with half of a cluster.
#[tokio::test]
async fn a_database_that_was_replaced_is_not_written_to() {
    let fresh = Fresh::postgres();
    let dist = Service::start(config(&fresh.url)).await;
    let node = FakeNode::start("node1").await;
    node.beat(&dist).await;
    let name = fresh.url.rsplit('/').next().expect("a name");
    let postgres = Postgres::shared();
    let replace = "update cluster set uuid = '00000000-0000-4000-8000-000000000001'";
    postgres.query(name, replace).expect("replaced");
    until_away(&dist, &node).await;
    assert_eq!(
        dist.list(vec![upserts(1, position(0), position(1), [row(1, 1)])])
            .await
            .0,
        503
    );
    assert_eq!(
        postgres
            .query(name, "select count(*) from content")
            .expect("counted"),
        "0"
    );
    dist.stop().await;
}
