//! Contents from their upload to their end, over restarts.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use wire::Code;
use wire::content::Status;

use crate::support::{Cluster, error, noise, receipt};

// If this fails, the node does not do its main job.
#[tokio::test]
async fn a_content_lives_through_updates_and_restarts_until_it_is_deleted() {
    let mut cluster = Cluster::start(1).await;
    let first = cluster.store(0, b"first").await;
    assert_eq!(
        (first.version, first.size, first.status),
        (1, 5, Status::Ok)
    );
    assert_eq!(
        first.message,
        format!("Content successfully uploaded. ID: {}", first.id)
    );
    assert_eq!(first.checksum.0, *blake3::hash(b"first").as_bytes());
    assert_eq!(
        cluster.listed(first.id).await.expect("is listed")["filename"],
        "a.txt"
    );
    assert_eq!(cluster.bytes(0, first.id).await, b"first");

    let path = format!("/update/{}", first.id);
    let update = cluster.ask(Method::PUT, 0, &path).body("second, longer");
    let second = receipt(update.send().await.expect("answers")).await;
    assert_eq!((second.version, second.filename.as_str()), (2, "a.txt"));
    assert_eq!(cluster.bytes(0, first.id).await, b"second, longer");

    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    assert_eq!(cluster.bytes(0, first.id).await, b"second, longer");

    let path = format!("/delete/{}", first.id);
    for _ in 0..2 {
        let delete = cluster
            .ask(Method::DELETE, 0, &path)
            .send()
            .await
            .expect("answers");
        assert_eq!(receipt(delete).await.version, 2);
    }
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    let gone = cluster.get(0, &format!("/retrieve/{}", first.id)).await;
    assert_eq!(error(gone).await.code, Code::Deleted);
    assert!(cluster.listed(first.id).await.is_none());
    cluster.stop().await;
}

// If this fails, files larger than one record come back damaged, or not at all.
#[tokio::test]
async fn a_large_content_is_stored_in_chunks_and_given_back_whole() {
    let mut cluster = Cluster::start(1).await;
    let bytes = noise((5 << 20) + 3, 1);
    let stored = cluster.store(0, &bytes).await;
    assert_eq!(stored.checksum.0, *blake3::hash(&bytes).as_bytes());
    assert!(cluster.bytes(0, stored.id).await == bytes);

    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    assert!(cluster.bytes(0, stored.id).await == bytes);
    // Across the border of two chunks.
    let part = cluster
        .ask(Method::GET, 0, &format!("/retrieve/{}", stored.id))
        .header("range", "bytes=1048570-2097160")
        .send()
        .await
        .expect("answers");
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert!(part.bytes().await.expect("a body") == bytes[1_048_570..=2_097_160]);
    cluster.stop().await;
}

// If this fails, deleting files makes no room for others.
#[tokio::test]
async fn the_space_of_a_deleted_content_is_given_back() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, &noise(8 << 20, 2)).await;
    let before = cluster.stats(0).await;
    let path = format!("/delete/{}", stored.id);
    receipt(
        cluster
            .ask(Method::DELETE, 0, &path)
            .send()
            .await
            .expect("answers"),
    )
    .await;
    let deleted = Instant::now();
    cluster
        .until("the space is free", || async {
            cluster.stats(0).await.storage + (8 << 20) <= before.storage
        })
        .await;
    assert!(deleted.elapsed() < Duration::from_secs(5));
    let space = cluster.stats(0).await.space;
    assert_eq!(
        space.live + space.dead + space.overhead,
        space.log - space.holes
    );
    cluster.stop().await;
}

// If this fails, nobody can tell from the log what happened to a content, and in which term.
#[tokio::test]
async fn the_log_tells_every_operation_and_term() {
    let mut cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"x").await;
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    let update = cluster
        .ask(Method::PUT, 0, &format!("/update/{}", stored.id))
        .body("y");
    receipt(update.send().await.expect("answers")).await;
    let describe = cluster
        .ask(Method::PUT, 0, &format!("/describe/{}", stored.id))
        .body(r#"{"filename":"b.txt","attributes":{"k":[1]}}"#);
    assert_eq!(
        receipt(describe.send().await.expect("answers"))
            .await
            .filename,
        "b.txt"
    );
    let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{}", stored.id));
    receipt(delete.send().await.expect("answers")).await;

    let log = cluster.log(0).await;
    let told: Vec<_> = log
        .iter()
        .map(|line| {
            (
                line["operation"].as_str().expect("a word"),
                line["epoch"].as_u64(),
            )
        })
        .collect();
    let expected = [
        ("epoch", Some(1)),
        ("upload", Some(1)),
        ("epoch", Some(2)),
        ("update", Some(2)),
        ("describe", Some(2)),
        ("delete", Some(2)),
    ];
    assert_eq!(told, expected);
    let lsns: Vec<_> = log
        .iter()
        .map(|line| line["lsn"].as_u64().expect("a number"))
        .collect();
    assert_eq!(lsns, [1, 2, 3, 4, 5, 6]);
    assert_eq!(log[1]["id"], stored.id.to_string());
    assert_eq!(log[1]["hash"], stored.checksum.to_string());

    let page = cluster
        .get(0, "/log?shard=1&after=4&limit=1")
        .await
        .text()
        .await
        .expect("text");
    assert!(
        page.lines().count() == 1 && page.contains("\"describe\""),
        "{page}"
    );
    assert_eq!(
        error(cluster.get(0, "/log?shard=9").await).await.code,
        Code::NotFound
    );
    cluster.stop().await;
}

// If this fails, changed names and attributes are not what the catalog and downloads show.
#[tokio::test]
async fn metadata_is_changed_without_the_bytes() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"x").await;
    let path = format!("/describe/{}", stored.id);
    let change = |body: &'static str| cluster.ask(Method::PUT, 0, &path).body(body).send();
    let body = r#"{"filename":"été.html","content_type":"text/html"}"#;
    let described = receipt(change(body).await.expect("answers")).await;
    assert_eq!((described.version, described.status), (1, Status::Ok));
    assert_eq!(
        cluster.listed(stored.id).await.expect("is listed")["filename"],
        "été.html"
    );
    let answer = cluster.get(0, &format!("/retrieve/{}", stored.id)).await;
    assert_eq!(answer.headers()["content-type"], "text/html");

    let info = cluster.get(0, &format!("/info/{}", stored.id)).await;
    let row: wire::content::ContentRow = info.json().await.expect("a row");
    assert_eq!(
        (row.filename.as_str(), row.version, row.size),
        ("été.html", 1, 1)
    );

    for (body, code) in [
        ("{}", Code::MalformedRequest),
        ("{", Code::MalformedRequest),
        (r#"{"size":1}"#, Code::MalformedRequest),
        (r#"{"filename":"a\nb"}"#, Code::InvalidMetadata),
        (r#"{"content_type":"x"}"#, Code::InvalidMetadata),
    ] {
        assert_eq!(
            error(change(body).await.expect("answers")).await.code,
            code,
            "{body}"
        );
    }
    cluster.stop().await;
}
