//! What pages say when something is away.

use crate::stage::Stage;
use pgtest::Postgres;

// If this fails, a page goes on showing a node that is dead, until somebody loads it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_and_returns_is_seen_at_once() {
    let mut stage = Stage::set(None).await;
    stage.open("/").await;
    stage.says("#verdict", "All is well: 3 nodes are up").await;
    stage
        .until("document.querySelectorAll('.node').length === 3")
        .await;
    stage.until("(document.body.dataset.same = 'yes')").await;
    stage.cluster.stop_node(1).await;
    stage.says("#node-node2.down", "does not answer").await;
    stage.says("#verdict", "node2 does not answer").await;
    stage.cluster.start_node(1).await.expect("starts again");
    stage
        .until("document.querySelector('#node-node2:not(.down)')")
        .await;
    stage.says("#verdict", "All is well: 3 nodes are up").await;
    // It is the page that was opened first.
    stage.until("document.body.dataset.same === 'yes'").await;
    stage.end().await;
}

// If this fails, whoever looks for the reason of an outage sees a blank page.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_explained() {
    let mut postgres = Postgres::start().expect("PostgreSQL starts");
    let database = postgres.fresh_database().expect("a database");
    let stage = Stage::set(Some(database)).await;
    let id = stage.store("kept.txt", b"still there").await;
    stage.open("/").await;
    stage.says("#verdict", "All is well").await;
    postgres.stop_server();
    stage
        .says("#verdict", "The catalog database does not answer")
        .await;
    stage.open("/").await;
    stage
        .until("document.querySelectorAll('.node:not(.down)').length === 3")
        .await;
    stage.says("#charts", "which does not answer").await;
    stage.open("/console/contents").await;
    stage
        .says("h1", "The catalog database does not answer")
        .await;
    stage.says("main", "Try again").await;
    stage.open(&format!("/console/contents/{id}")).await;
    stage.says(".preview pre", "still there").await;
    postgres.start_server().expect("starts again");
    stage.open("/").await;
    stage.says("#verdict", "All is well").await;
    stage.open("/console/contents").await;
    stage.says("tbody", "kept.txt").await;
    stage.leave().await;
}

// If this fails, an upload that failed looks like one that is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_upload_says_why_and_can_be_tried_again() {
    let mut stage = Stage::set(None).await;
    for place in 0..3 {
        stage.cluster.stop_node(place).await;
    }
    stage.open("/").await;
    stage.says("#verdict", "No storage node answers").await;
    stage.open("/console/upload").await;
    let file = stage.file("a.txt", b"a");
    stage.choose("#files", &[&file]).await;
    stage
        .says(
            ".transfer.failed",
            "Not stored: no storage node can take an upload",
        )
        .await;
    stage.cluster.start_stopped().await.expect("start again");
    stage.click(".transfer button").await;
    stage.says(".transfer.done", "stored on").await;
    stage.open("/console/contents/no-id").await;
    stage.says("h1", "The address cannot be read").await;
    stage.open("/console/nowhere").await;
    stage.says("h1", "There is no such page").await;
    stage.leave().await;
}
