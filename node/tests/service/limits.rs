//! What a node refuses because it is too much, too large or too slow.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use wire::Code;

use crate::support::{Cluster, connect, error, noise, read_answer, receipt};

// If this fails, a full node takes uploads that it cannot keep, or cannot be emptied.
#[tokio::test]
async fn a_full_node_refuses_before_the_body_and_still_deletes() {
    let cluster = Cluster::start_with(1, |config| config.max_storage = Some(40_000_000)).await;
    let stored = cluster.store(0, &noise(8_000_000, 11)).await;
    let id = cluster.mint(0).await;
    let head = format!("PUT /store/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: 35000000\r\n\r\n");
    // Nothing of the body is sent: the answer comes all the same, and the connection ends.
    let answer = read_answer(connect(&cluster.url(0), head.as_bytes()).await).await;
    assert_eq!((answer.status, answer.code()), (507, Code::StorageFull));
    assert!(answer.head.contains("connection: close"), "{}", answer.head);

    // Without a length it is noticed in the middle, and nothing is left of it.
    let body = noise(35_000_000, 12);
    let pieces: Vec<_> = body
        .chunks(1 << 16)
        .map(|piece| Ok::<_, String>(piece.to_vec()))
        .collect();
    let pieces = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let put = cluster
        .ask(Method::PUT, 0, &format!("/store/{id}"))
        .body(pieces);
    match put.send().await {
        // The connection is closed on the rest: the answer's own body may be lost with it, or all of it.
        Ok(answer) => assert_eq!(answer.status().as_u16(), Code::StorageFull.status()),
        Err(error) => assert!(error.is_request() || error.is_body(), "{error:?}"),
    }
    let gone = cluster.get(0, &format!("/retrieve/{id}")).await;
    assert_eq!(error(gone).await.code, Code::NotFound);

    assert_eq!(cluster.bytes(0, stored.id).await.len(), 8_000_000);
    let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{}", stored.id));
    receipt(delete.send().await.expect("answers")).await;
    cluster
        .until("there is room again", || async {
            let id = cluster.mint(0).await;
            let put = cluster
                .ask(Method::PUT, 0, &format!("/store/{id}"))
                .body(noise(20_000_000, 13));
            put.send()
                .await
                .is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await;
    cluster.stop().await;
}

// If this fails, a sender is borne for ever, or not as long as one should be: each part says how. Both
// at the same time: each waits until a node bears a pause no longer.
#[tokio::test]
async fn pauses_are_borne_by_what_was_sent() {
    tokio::join!(
        a_stalled_body_is_cut_off_and_hurts_nobody(),
        who_sent_enough_may_pause(),
    );
}

// If this fails, a few stalled senders hold a node's memory and connections for ever.
async fn a_stalled_body_is_cut_off_and_hurts_nobody() {
    let cluster = Cluster::start(1).await;
    let (form, raw) = (cluster.mint(0).await, cluster.mint(0).await);
    let start = Instant::now();
    let raw = format!("PUT /store/{raw} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc");
    let form = format!(
        "PUT /update/{form} HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\nContent-Type: \
         multipart/form-data; boundary=B\r\n\r\n--B\r\nContent-Disposition: form-data; name=file"
    );
    let raw = connect(&cluster.url(0), raw.as_bytes()).await;
    let form = connect(&cluster.url(0), form.as_bytes()).await;
    let others = async {
        for seed in 0..20 {
            let stored = cluster.store(0, &noise(100_000, seed)).await;
            assert_eq!(cluster.bytes(0, stored.id).await.len(), 100_000);
        }
    };
    let (raw, form, ()) = tokio::join!(read_answer(raw), read_answer(form), others);
    assert_eq!((raw.status, raw.code()), (408, Code::TooSlow));
    assert_eq!((form.status, form.code()), (408, Code::TooSlow));
    assert!(
        start.elapsed() < Duration::from_secs(16),
        "{:?}",
        start.elapsed()
    );
    let uploads = || async { cluster.stats(0).await.uploads_in_flight == 0 };
    cluster.until("the uploads have ended", uploads).await;
    assert_eq!(cluster.stats(0).await.bytes_promised, 0);
    cluster.stop().await;
}

// If this fails, `slow-program | client upload -` is cut off at the program's first pause.
async fn who_sent_enough_may_pause() {
    let cluster = Cluster::start(1).await;
    let (id, bytes) = (cluster.mint(0).await, noise(300_000, 15));
    let head = format!(
        "PUT /store/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    );
    let (start, rest) = bytes.split_at(200_000);
    let request = [head.as_bytes(), start].concat();
    let mut paused = connect(&cluster.url(0), &request).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    tokio::io::AsyncWriteExt::write_all(&mut paused, rest)
        .await
        .expect("sends");
    assert_eq!(read_answer(paused).await.status, 200);
    assert!(cluster.bytes(0, id).await == bytes);
    cluster.stop().await;
}

// If this fails, an absurd length is believed.
#[tokio::test]
async fn what_is_too_large_is_refused_at_once() {
    let cluster = Cluster::start(1).await;
    let id = cluster.mint(0).await;
    let refused = async |route: &str| {
        let length = (1_u64 << 40) + 1;
        let head =
            format!("PUT /{route}/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let start = Instant::now();
        let mut stream = connect(&cluster.url(0), head.as_bytes()).await;
        if route == "describe" {
            let body = vec![b' '; 100_000];
            tokio::io::AsyncWriteExt::write_all(&mut stream, &body)
                .await
                .expect("sends");
        }
        let answer = read_answer(stream).await;
        assert!([404, 413].contains(&answer.status), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(6));
    };
    tokio::join!(refused("store"), refused("describe"));
    cluster.stop().await;
}

// If this fails, measures say nothing of what happened.
#[tokio::test]
async fn measures_count_what_happened() {
    let cluster = Cluster::start(1).await;
    // Waits for its listing, however slow: only what is waited for is measured.
    let path = format!("/store/{}?wait=listed", cluster.mint(0).await);
    let upload = cluster.ask(Method::PUT, 0, &path).body(noise(10_000, 14));
    let stored = receipt(upload.send().await.expect("answers")).await;
    cluster.bytes(0, stored.id).await;
    let lines = [
        "acequia_node_sent_bytes_total 10000",
        "acequia_node_http_requests_total{route=\"/store/{id}\",method=\"PUT\",status=\"200\"} 1",
        "acequia_node_replicas{standing=\"leading\"} 1",
        "acequia_node_listing_delay_seconds_count 1",
        "acequia_node_changes_total{change=\"uploaded\"} 1",
        "acequia_node_listing_stalled_seconds 0",
    ];
    // An answer may be read before the request that it answers is counted.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = cluster.get(0, "/metrics").await.text().await.expect("text");
        let missing: Vec<_> = lines.iter().filter(|line| !text.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{missing:?} is missing in\n{text}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Distributors have told it of its shard, in bodies of some hundred bytes.
    let text = cluster.get(0, "/metrics").await.text().await.expect("text");
    let received = text
        .lines()
        .find_map(|line| line.strip_prefix("acequia_node_received_bytes_total "))
        .and_then(|bytes| bytes.parse::<u64>().ok());
    assert!(received.is_some_and(|bytes| (10_000..20_000).contains(&bytes)));
    let stats = cluster.stats(0).await;
    assert_eq!(
        (stats.contents, stats.shards_led, stats.shards_open),
        (1, 1, 1)
    );
    assert!(stats.storage >= 10_000 && stats.max_storage > stats.storage);
    assert_eq!(
        cluster.get(0, "/health/ready").await.status(),
        StatusCode::OK
    );
    cluster.stop().await;
}
