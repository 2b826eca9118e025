//! A disk that gives back other bytes than it was given.

use reqwest::{Method, StatusCode};
use wire::{Code, ShardNo};

use crate::support::{Cluster, error, flip, noise, receipt};

/// The only replica.
const ONLY: (usize, ShardNo) = (0, ShardNo(1));

// If this fails, a client gets wrong bytes and takes them for right ones.
#[tokio::test]
async fn damaged_bytes_never_leave_and_hide_nothing_else() {
    let cluster = Cluster::start(1).await;
    let (small, large) = (noise(1000, 20), noise(3 << 20, 21));
    let [small_id, other_id, large_id] = [
        cluster.store(0, &small).await.id,
        cluster.store(0, b"other").await.id,
        cluster.store(0, &large).await.id,
    ];
    flip(&cluster, ONLY, &small[500..600]);
    flip(&cluster, ONLY, &large[2_000_000..2_000_100]);

    let answer = cluster.get(0, &format!("/retrieve/{small_id}")).await;
    assert_eq!(error(answer).await.code, Code::Damaged);

    // The head was sent before the damage was met: the connection ends early.
    let path = format!("/retrieve/{large_id}");
    let answer = cluster.get(0, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(
        answer.bytes().await.is_err(),
        "a broken content looks whole"
    );
    // What is not damaged of it can be had.
    let part = cluster
        .ask(Method::GET, 0, &path)
        .header("range", "bytes=0-1048575");
    let part = part
        .send()
        .await
        .expect("answers")
        .bytes()
        .await
        .expect("a body");
    assert!(part == large[..1 << 20]);

    assert_eq!(cluster.bytes(0, other_id).await, b"other");
    assert_eq!(
        cluster.get(0, "/health/ready").await.status(),
        StatusCode::OK
    );
    cluster.stop().await;
}

// If this fails, a disk that fails in one content takes the whole node with it at the next start.
#[tokio::test]
async fn a_node_with_damage_starts_and_serves_the_rest() {
    let mut cluster = Cluster::start(1).await;
    let (small, large) = (noise(2000, 22), noise(100_000, 23));
    let small_id = cluster.store(0, &small).await.id;
    let large_id = cluster.store(0, &large).await.id;
    let last = cluster.store(0, b"last").await.id;
    cluster.stop_node(0).await;
    flip(&cluster, ONLY, &small[100..200]);
    flip(&cluster, ONLY, &large[70_000..70_100]);
    cluster.start_node(0).await;

    for id in [small_id, large_id] {
        let answer = cluster.get(0, &format!("/retrieve/{id}")).await;
        assert_eq!(error(answer).await.code, Code::Damaged);
    }
    assert_eq!(cluster.bytes(0, last).await, b"last");
    assert_eq!(cluster.store(0, b"new").await.version, 1);
    cluster.stop().await;
}

// If this fails, a small content whose only copy is damaged can never be replaced, not even with the
// bytes that it should have.
#[tokio::test]
async fn a_damaged_content_can_be_replaced() {
    let cluster = Cluster::start(1).await;
    let bytes = noise(1000, 24);
    let stored = cluster.store(0, &bytes).await;
    flip(&cluster, ONLY, &bytes[500..600]);
    let path = format!("/retrieve/{}", stored.id);
    assert_eq!(error(cluster.get(0, &path).await).await.code, Code::Damaged);
    let info = cluster.get(0, &format!("/info/{}", stored.id)).await;
    assert_eq!(info.status(), StatusCode::OK, "its head is as it was");

    let update = cluster.ask(Method::PUT, 0, &format!("/update/{}", stored.id));
    let if_match = format!("\"{}\"", stored.checksum.hex());
    let update = update.header("if-match", if_match).body(bytes.clone());
    let updated = receipt(update.send().await.expect("answers")).await;
    assert_eq!((updated.version, updated.filename.as_str()), (2, "a.txt"));
    assert_eq!(cluster.bytes(0, stored.id).await, bytes);
    cluster.stop().await;
}
