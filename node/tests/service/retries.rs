//! Requests that are sent again because their answer was lost.

use reqwest::{Method, Response};
use wire::{Code, ContentId};

use crate::support::{Cluster, connect, error, noise, read_answer, receipt};

async fn send(
    cluster: &Cluster,
    route: &str,
    id: ContentId,
    bytes: &[u8],
    if_match: Option<&str>,
) -> Response {
    let request = cluster
        .ask(Method::PUT, 0, &format!("/{route}/{id}"))
        .body(bytes.to_vec());
    let request = match if_match {
        Some(tag) => request.header("if-match", tag),
        None => request,
    };
    request.send().await.expect("answers")
}

// If this fails, a retried upload is stored twice, or overwrites another, or brings back the dead.
#[tokio::test]
async fn an_upload_can_be_repeated_and_nothing_else_takes_its_id() {
    let cluster = Cluster::start(1).await;
    for bytes in [noise(1000, 7), noise(2_500_000, 8)] {
        let id = cluster.mint(0).await;
        let first = receipt(send(&cluster, "store", id, &bytes, None).await).await;
        let again = receipt(send(&cluster, "store", id, &bytes, None).await).await;
        assert_eq!(first, again);
        let mut other = bytes.clone();
        other[0] ^= 1;
        let conflict = send(&cluster, "store", id, &other, None).await;
        assert_eq!(error(conflict).await.code, Code::Conflict);
        assert!(cluster.bytes(0, id).await == bytes);

        let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{id}"));
        receipt(delete.send().await.expect("answers")).await;
        let late = send(&cluster, "store", id, &bytes, None).await;
        assert_eq!(error(late).await.code, Code::Deleted);
        let late = send(&cluster, "update", id, &bytes, None).await;
        assert_eq!(error(late).await.code, Code::Deleted);
    }
    assert_eq!(cluster.stats(0).await.contents, 0);
    cluster.stop().await;
}

// If this fails, two people who change a content overwrite each other, or a retried update is
// refused although it was made.
#[tokio::test]
async fn an_update_can_demand_a_version_and_be_repeated() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"one").await;
    let tag = format!("\"{}\"", stored.checksum.hex());
    let updated = receipt(send(&cluster, "update", stored.id, b"two", Some(&tag)).await).await;
    assert_eq!(updated.version, 2);
    let again = receipt(send(&cluster, "update", stored.id, b"two", Some(&tag)).await).await;
    assert_eq!(again, updated);
    let late = send(&cluster, "update", stored.id, b"three", Some(&tag)).await;
    assert_eq!(error(late).await.code, Code::PreconditionFailed);
    for tag in ["\"nonsense\"", "W/\"weak\""] {
        let refused = send(&cluster, "update", stored.id, b"three", Some(tag)).await;
        assert_eq!(error(refused).await.code, Code::PreconditionFailed, "{tag}");
    }
    let any = receipt(send(&cluster, "update", stored.id, b"three", Some("*")).await).await;
    assert_eq!(any.version, 3);

    let delete = |tag: String| {
        let request = cluster.ask(Method::DELETE, 0, &format!("/delete/{}", stored.id));
        request.header("if-match", tag).send()
    };
    let refused = delete(tag).await.expect("answers");
    assert_eq!(error(refused).await.code, Code::PreconditionFailed);
    receipt(
        delete(format!("\"{}\"", any.checksum.hex()))
            .await
            .expect("answers"),
    )
    .await;
    cluster.stop().await;
}

// If this fails, a delete that was made is told as refused, because its answer was lost and it was sent
// again.
#[tokio::test]
async fn a_delete_that_demands_a_version_can_be_repeated() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"one").await;
    let tag = format!("\"{}\"", stored.checksum.hex());
    let two = receipt(send(&cluster, "update", stored.id, b"two", Some(&tag)).await).await;
    let current = format!("\"{}\"", two.checksum.hex());
    let delete = |tag: &str| {
        let request = cluster.ask(Method::DELETE, 0, &format!("/delete/{}", stored.id));
        request.header("if-match", tag).send()
    };
    let of = |receipt: wire::content::Receipt| (receipt.id, receipt.version, receipt.checksum);
    let first = receipt(delete(&current).await.expect("answers")).await;
    let list = format!("{tag}, {current}");
    for repeated in [current.as_str(), "*", list.as_str()] {
        let again = receipt(delete(repeated).await.expect("answers")).await;
        assert_eq!(of(again), of(first.clone()), "{repeated}");
    }
    for another in [tag.as_str(), "\"nonsense\"", "W/\"weak\""] {
        let refused = delete(another).await.expect("answers");
        assert_eq!(error(refused).await.code, Code::Deleted, "{another}");
    }
    cluster.stop().await;
}

// If this fails, two uploads of one id at once end in a mixture of both.
#[tokio::test]
async fn an_upload_that_still_runs_is_not_disturbed() {
    let cluster = Cluster::start(1).await;
    let (id, bytes) = (cluster.mint(0).await, noise(3 << 20, 9));
    let head = format!(
        "PUT /store/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    );
    let (start, rest) = bytes.split_at(2 << 20);
    let request = [head.as_bytes(), start].concat();
    let mut running = connect(&cluster.url(0), &request).await;
    cluster
        .until("the first has begun", || async {
            cluster.stats(0).await.space.live > 1 << 20
        })
        .await;
    let second = send(&cluster, "store", id, &noise(2 << 20, 10), None).await;
    assert_eq!(error(second).await.code, Code::InProgress);
    tokio::io::AsyncWriteExt::write_all(&mut running, rest)
        .await
        .expect("sends");
    assert_eq!(read_answer(running).await.status, 200);
    assert!(cluster.bytes(0, id).await == bytes);
    cluster.stop().await;
}
