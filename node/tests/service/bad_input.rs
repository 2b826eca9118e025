//! What programs with faults, and people with bad intentions, send.

use reqwest::{Method, StatusCode};
use wire::{Code, ContentId, ShardNo};

use crate::support::{Cluster, connect, error, noise, read_answer, receipt, send};

// If this fails, a wrong address is answered with something that programs cannot read.
#[tokio::test]
async fn wrong_routes_and_methods_are_told_as_such() {
    let cluster = Cluster::start(1).await;
    for path in [
        "/",
        "/nothing",
        "/store/a/b",
        "/../../etc/passwd",
        "/retrieve",
    ] {
        assert_eq!(
            error(cluster.get(0, path).await).await.code,
            Code::NoRoute,
            "{path}"
        );
    }
    let id = cluster.mint(0).await;
    for (method, path, allowed) in [
        (Method::GET, "/store".to_owned(), "POST"),
        (Method::POST, format!("/store/{id}"), "PUT"),
        (Method::DELETE, format!("/retrieve/{id}"), "GET, HEAD"),
        (Method::GET, format!("/delete/{id}"), "DELETE"),
        (Method::PATCH, "/update".to_owned(), "PUT, POST"),
        (Method::POST, "/stats".to_owned(), "GET, HEAD"),
    ] {
        let answer = cluster.ask(method, 0, &path).send().await.expect("answers");
        assert_eq!(answer.headers()["allow"], allowed);
        assert_eq!(error(answer).await.code, Code::MethodNotAllowed, "{path}");
    }
    // A slash at the end is no other route.
    assert_eq!(cluster.get(0, "/stats/").await.status(), StatusCode::OK);
    assert_eq!(
        cluster.get(0, "/health/live/").await.status(),
        StatusCode::OK
    );
    cluster.stop().await;
}

// If this fails, an id that was mistyped is said to have no content, or makes one.
#[tokio::test]
async fn ids_that_can_name_nothing_here_are_refused() {
    let cluster = Cluster::start(1).await;
    for id in ["x", "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "%00", "%ff%fe"] {
        for (method, route) in [
            (Method::GET, "retrieve"),
            (Method::PUT, "store"),
            (Method::PUT, "update"),
            (Method::DELETE, "delete"),
            (Method::GET, "info"),
        ] {
            let path = format!("/{route}/{id}");
            let answer = cluster.ask(method, 0, &path).send().await.expect("answers");
            assert_eq!(error(answer).await.code, Code::MalformedId, "{path}");
        }
    }
    let now = cluster.mint(0).await.time_ms();
    let year = 365 * 24 * 3_600_000;
    for (what, shard, time, code) in [
        ("of another shard", 77, now - 60_000, Code::IdRefused),
        ("from last year", 1, now - year, Code::IdRefused),
        ("from next year", 1, now + year, Code::IdRefused),
    ] {
        let id = ContentId::mint(ShardNo(shard), time, 1);
        let put = cluster
            .ask(Method::PUT, 0, &format!("/store/{id}"))
            .body("x");
        assert_eq!(
            error(put.send().await.expect("answers")).await.code,
            code,
            "{what}"
        );
        let get = cluster.get(0, &format!("/retrieve/{id}")).await;
        assert_eq!(error(get).await.code, Code::NotFound, "{what}");
        let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{id}"));
        let delete = delete.send().await.expect("answers");
        assert_eq!(error(delete).await.code, Code::NotFound, "{what}");
    }
    cluster.stop().await;
}

// If this fails, a file that broke off on its way is kept as if it were whole.
#[tokio::test]
async fn a_body_that_is_cut_short_leaves_nothing() {
    let cluster = Cluster::start(1).await;
    let url = cluster.url(0);
    let half = noise(2 << 20, 4);
    for (framing, body) in [
        ("Content-Length: 9", b"12345".to_vec()),
        ("Content-Length: 4000000", half.clone()),
        ("Transfer-Encoding: chunked", b"5\r\n12345\r\n".to_vec()),
        ("Transfer-Encoding: chunked", b"5\r\n123".to_vec()),
    ] {
        let id = cluster.mint(0).await;
        let head = format!("PUT /store/{id} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        let answer = send(&url, &[head.as_bytes(), &body].concat()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, Code::BodyCutShort),
            "{framing}"
        );
        // The id is free: the same upload can be sent again.
        let again = cluster
            .ask(Method::PUT, 0, &format!("/store/{id}"))
            .body("whole");
        let again = again.send().await.expect("answers");
        if again.status() == StatusCode::CONFLICT {
            // The broken upload's end is written at the latest within a second.
            cluster
                .until("the broken upload has ended", || async {
                    let again = cluster
                        .ask(Method::PUT, 0, &format!("/store/{id}"))
                        .body("whole");
                    again.send().await.expect("answers").status() == StatusCode::OK
                })
                .await;
        }
        assert_eq!(cluster.bytes(0, id).await, b"whole");
    }
    assert_eq!(cluster.stats(0).await.contents, 4);
    cluster.stop().await;
}

// If this fails, a request that lies about its length spoils the one behind it.
#[tokio::test]
async fn what_comes_after_the_length_is_no_part_of_the_content() {
    let cluster = Cluster::start(1).await;
    let id = cluster.mint(0).await;
    let request = format!(
        "PUT /store/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345and more bytes\r\n\r\n"
    );
    let answer = send(&cluster.url(0), request.as_bytes()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(cluster.bytes(0, id).await, b"12345");

    for bad in [
        "Content-Length: -1",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: five",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
    ] {
        let id = cluster.mint(0).await;
        let request = format!("PUT /store/{id} HTTP/1.1\r\nHost: x\r\n{bad}\r\n\r\n12345");
        let answer = send(&cluster.url(0), request.as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{bad}: {answer:?}");
    }
    assert_eq!(cluster.stats(0).await.contents, 1);
    cluster.stop().await;
}

// If this fails, a file's name breaks headers, terminals, or the catalog.
#[tokio::test]
async fn names_are_kept_or_refused_and_never_changed() {
    let cluster = Cluster::start(1).await;
    let put = async |query: String| {
        let path = format!("/store/{}?{query}", cluster.mint(0).await);
        cluster
            .ask(Method::PUT, 0, &path)
            .body("x")
            .send()
            .await
            .expect("answers")
    };
    for (query, code) in [
        (
            format!("filename={}", "x".repeat(4096)),
            Code::InvalidMetadata,
        ),
        ("filename=a%00b".to_owned(), Code::InvalidMetadata),
        (
            "filename=a%0d%0aSet-Cookie:x".to_owned(),
            Code::InvalidMetadata,
        ),
        ("filename=".to_owned(), Code::InvalidMetadata),
        ("filename=%ff".to_owned(), Code::MalformedRequest),
        ("filename=a&filename=b".to_owned(), Code::MalformedRequest),
        ("collection=No%20Such".to_owned(), Code::InvalidMetadata),
        ("attributes=1".to_owned(), Code::InvalidMetadata),
        ("wait=maybe".to_owned(), Code::MalformedRequest),
    ] {
        assert_eq!(error(put(query.clone()).await).await.code, code, "{query}");
    }
    for (query, name) in [
        ("filename=../../x", "../../x"),
        ("filename=C:%5Cx", "C:\\x"),
        ("filename=%F0%9F%8E%89+%22%3B.txt", "🎉 \";.txt"),
    ] {
        let stored = receipt(put(query.to_owned()).await).await;
        assert_eq!(stored.filename, name);
        let listed = cluster.listed(stored.id).await.expect("is listed");
        assert_eq!(listed["filename"], name);
    }
    assert_eq!(cluster.stats(0).await.contents, 3);
    cluster.stop().await;
}

// If this fails, `curl -T` of a large file waits a second before each upload.
#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    let cluster = Cluster::start(1).await;
    let id = cluster.mint(0).await;
    let head = format!(
        "PUT /store/{id} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\
         Connection: close\r\n\r\n"
    );
    let mut stream = connect(&cluster.url(0), head.as_bytes()).await;
    let mut go_on = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut go_on)
        .await
        .expect("is told");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"body")
        .await
        .expect("sends");
    assert_eq!(read_answer(stream).await.status, 200);
    assert_eq!(cluster.bytes(0, id).await, b"body");
    cluster.stop().await;
}

// If this fails, bytes that were changed on their way are stored and acknowledged.
#[tokio::test]
async fn a_body_is_held_against_its_digest() {
    let cluster = Cluster::start(1).await;
    let put = async |digest: String| {
        let path = format!("/store/{}", cluster.mint(0).await);
        let request = cluster
            .ask(Method::PUT, 0, &path)
            .header("repr-digest", digest);
        request.body("body").send().await.expect("answers")
    };
    let right = "sha-256=:Iw2DWNyOiJC0xY3utikS7i8gNXrpKlzIYbmOaP4xrLU=:";
    assert_eq!(put(right.to_owned()).await.status(), StatusCode::OK);
    let wrong = right.replace("Iw2", "Iw3");
    assert_eq!(error(put(wrong).await).await.code, Code::DigestMismatch);
    assert_eq!(
        error(put("sha-256=body".to_owned()).await).await.code,
        Code::MalformedRequest
    );
    let unknown = put("sha-512=:AAAA:".to_owned()).await;
    assert_eq!(
        unknown.status(),
        StatusCode::OK,
        "what cannot be checked is not checked"
    );
    cluster.stop().await;
}
