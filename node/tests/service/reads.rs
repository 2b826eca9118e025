//! Reading: headers, conditions, ranges, and the way to the right node.

use reqwest::{Method, Response, StatusCode};
use wire::Code;

use crate::support::{Cluster, error, noise, receipt};

async fn read(cluster: &Cluster, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = cluster.ask(Method::GET, 0, path);
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().await.expect("answers")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("text"))
}

// If this fails, browsers and caches treat contents wrongly, or a stored page acts as the server.
#[tokio::test]
async fn an_answer_says_what_it_is() {
    let cluster = Cluster::start(1).await;
    let put = format!("/store/{}?filename=%C3%A9.html", cluster.mint(0).await);
    let put = cluster.ask(Method::PUT, 0, &put).body("<html>");
    let stored = receipt(put.send().await.expect("answers")).await;
    let path = format!("/retrieve/{}", stored.id);
    let etag = format!("\"{}\"", stored.checksum.hex());

    for method in [Method::GET, Method::HEAD] {
        let answer = cluster
            .ask(method.clone(), 0, &path)
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), StatusCode::OK);
        for (name, value) in [
            ("content-type", "text/html"),
            ("content-length", "6"),
            ("etag", &etag),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
            (
                "content-disposition",
                "inline; filename=\"_.html\"; filename*=UTF-8''%C3%A9.html",
            ),
            ("cache-control", "no-cache"),
            ("x-content-version", "1"),
        ] {
            assert_eq!(header(&answer, name), value, "{method} {name}");
        }
        assert!(header(&answer, "last-modified").ends_with(" GMT"));
        let body = answer.bytes().await.expect("a body");
        assert_eq!(
            &body[..],
            if method == Method::HEAD {
                &b""[..]
            } else {
                &b"<html>"[..]
            }
        );
    }
    let saved = read(&cluster, &format!("{path}?download=true"), &[]).await;
    assert!(header(&saved, "content-disposition").starts_with("attachment; "));
    let fixed = read(&cluster, &format!("{path}?version=1"), &[]).await;
    assert_eq!(
        header(&fixed, "cache-control"),
        "public, max-age=31536000, immutable"
    );
    let other = read(&cluster, &format!("{path}?version=2"), &[]).await;
    assert_eq!(error(other).await.code, Code::NotFound);
    cluster.stop().await;
}

// If this fails, asking how long a content is reads all of it from the disk, and counts as sent.
#[tokio::test]
async fn a_head_reads_nothing() {
    let cluster = Cluster::start(1).await;
    for bytes in [noise(1_000, 3), noise(3_000_000, 4)] {
        let stored = cluster.store(0, &bytes).await;
        let path = format!("/retrieve/{}", stored.id);
        let head = cluster.ask(Method::HEAD, 0, &path).send().await;
        let head = head.expect("answers");
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(header(&head, "content-length"), bytes.len().to_string());
        let traffic = cluster.stats(0).await.traffic;
        assert_eq!(traffic.bytes_out, 0);
    }
    cluster.stop().await;
}

// If this fails, a cache keeps on saying that a content is not there, or damaged, when it long is whole.
#[tokio::test]
async fn no_error_is_kept_by_a_cache() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"x").await;
    let unknown = cluster.mint(0).await;
    let delete = cluster.ask(Method::DELETE, 0, &format!("/delete/{}", stored.id));
    receipt(delete.send().await.expect("answers")).await;
    for (path, status) in [
        (format!("/retrieve/{unknown}"), 404),
        (format!("/retrieve/{}", stored.id), 410),
        ("/retrieve/nonsense".to_owned(), 400),
        ("/nowhere".to_owned(), 404),
        ("/store".to_owned(), 405),
    ] {
        let answer = read(&cluster, &path, &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store", "{path}");
    }
    cluster.stop().await;
}

// If this fails, caches fetch again what they have, or keep what has changed.
#[tokio::test]
async fn conditions_are_obeyed() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"bytes").await;
    let path = format!("/retrieve/{}", stored.id);
    let etag = format!("\"{}\"", stored.checksum.hex());
    let date = header(&read(&cluster, &path, &[]).await, "last-modified").to_owned();
    for (name, value, status) in [
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", &date, 304),
        ("if-match", &etag, 200),
        ("if-match", "\"other\"", 412),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 412),
    ] {
        let answer = read(&cluster, &path, &[(name, value)]).await;
        assert_eq!(answer.status().as_u16(), status, "{name}: {value}");
        match status {
            304 => {
                assert_eq!(header(&answer, "etag"), etag);
                assert_eq!(answer.bytes().await.expect("a body").len(), 0);
            }
            412 => assert_eq!(error(answer).await.code, Code::PreconditionFailed),
            _ => assert_eq!(answer.bytes().await.expect("a body"), "bytes"),
        }
    }
    cluster.stop().await;
}

// If this fails, interrupted downloads cannot be resumed, or are sewn together wrongly.
#[tokio::test]
async fn ranges_give_exactly_their_bytes() {
    let cluster = Cluster::start(1).await;
    let bytes = noise(3_000_000, 5);
    let stored = cluster.store(0, &bytes).await;
    let path = format!("/retrieve/{}", stored.id);
    let etag = format!("\"{}\"", stored.checksum.hex());
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=65530-65545", 65_530..65_546),
        ("bytes=1000000-", 1_000_000..3_000_000),
        ("bytes=-5", 2_999_995..3_000_000),
        ("bytes=2999999-9999999", 2_999_999..3_000_000),
    ] {
        let part = read(&cluster, &path, &[("range", range), ("if-range", &etag)]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let told = format!("bytes {}-{}/3000000", expected.start, expected.end - 1);
        assert_eq!(header(&part, "content-range"), told);
        assert!(
            part.bytes().await.expect("a body") == bytes[expected],
            "{range}"
        );
    }
    let outside = read(&cluster, &path, &[("range", "bytes=3000000-")]).await;
    assert_eq!(header(&outside, "content-range"), "bytes */3000000");
    assert_eq!(error(outside).await.code, Code::RangeNotSatisfiable);
    for headers in [
        [("range", "bytes=0-4"), ("if-range", "\"older\"")],
        [("range", "bytes=5-1"), ("x", "y")],
        [("range", "bytes=0-,0-,0-,0-"), ("x", "y")],
    ] {
        let whole = read(&cluster, &path, &headers).await;
        assert_eq!(whole.status(), StatusCode::OK, "{headers:?}");
        assert!(whole.bytes().await.expect("a body") == bytes);
    }
    cluster.stop().await;
}

// If this fails, programs that fetch several parts at once get a mixture.
#[tokio::test]
async fn several_ranges_come_as_parts() {
    let cluster = Cluster::start(1).await;
    let bytes = noise(2_000_000, 6);
    let stored = cluster.store(0, &bytes).await;
    let path = format!("/retrieve/{}", stored.id);
    let ranges = [10..20, 1_048_570..1_048_590, 1_999_999..2_000_000];
    let value = "bytes=10-19, 1048570-1048589, -1";
    let answer = read(&cluster, &path, &[("range", value)]).await;
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    let kind = header(&answer, "content-type").to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("a boundary");
    let length: usize = header(&answer, "content-length").parse().expect("a number");
    let body = answer.bytes().await.expect("a body");
    assert_eq!(body.len(), length);
    let mut expected = Vec::new();
    for range in ranges {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {}-{}/2000000\r\n\r\n",
            range.start,
            range.end - 1
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&bytes[range]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(body == expected);
    cluster.stop().await;
}

// If this fails, a client that asks the wrong node finds nothing, or writes past the leader.
#[tokio::test]
async fn the_wrong_node_knows_the_right_one() {
    let cluster = Cluster::start(2).await;
    let stored = cluster.store(1, b"there").await;
    let there = cluster.url(1);
    let path = format!("/retrieve/{}?download=true", stored.id);
    cluster
        .until("node 1 has heard of the shard", || async {
            cluster.get(0, &path).await.status() == StatusCode::TEMPORARY_REDIRECT
        })
        .await;
    let sent_on = read(&cluster, &path, &[]).await;
    assert_eq!(header(&sent_on, "location"), format!("{there}{path}"));
    let info = read(&cluster, &format!("/info/{}", stored.id), &[]).await;
    assert_eq!(
        header(&info, "location"),
        format!("{there}/info/{}", stored.id)
    );
    for (method, route) in [
        (Method::PUT, "store"),
        (Method::PUT, "update"),
        (Method::DELETE, "delete"),
    ] {
        let path = format!("/{route}/{}", stored.id);
        let refused = cluster
            .ask(method, 0, &path)
            .body("x")
            .send()
            .await
            .expect("answers");
        let refused = error(refused).await;
        assert_eq!(
            (refused.code, refused.leader),
            (Code::WrongNode, Some(there.clone())),
            "{path}"
        );
    }
    assert_eq!(cluster.bytes(1, stored.id).await, b"there");
    cluster.stop().await;
}

// If this fails, pages of the distributors cannot use the nodes, or any page can.
#[tokio::test]
async fn pages_of_named_origins_may_read() {
    let cluster = Cluster::start(1).await;
    let stored = cluster.store(0, b"x").await;
    let path = format!("/retrieve/{}", stored.id);
    let friend = read(&cluster, &path, &[("origin", "http://page.example")]).await;
    assert_eq!(
        header(&friend, "access-control-allow-origin"),
        "http://page.example"
    );
    let stranger = read(&cluster, &path, &[("origin", "http://other.example")]).await;
    assert_eq!(header(&stranger, "access-control-allow-origin"), "");
    let preflight = cluster
        .ask(Method::OPTIONS, 0, "/store")
        .header("origin", "http://page.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .expect("answers");
    assert_eq!(preflight.status(), StatusCode::NO_CONTENT);
    assert!(header(&preflight, "access-control-allow-methods").contains("POST"));
    cluster.stop().await;
}

// If this fails, what watches a node with HEAD, as load balancers do, takes it for one that refuses.
#[tokio::test]
async fn what_is_shown_is_told_of_without_its_body() {
    let cluster = Cluster::start(1).await;
    for path in [
        "/docs",
        "/docs/page.js",
        "/openapi.json",
        "/metrics",
        "/stats",
        "/health/live",
        "/health/ready",
    ] {
        let of = async |method| cluster.ask(method, 0, path).send().await.expect("answers");
        let (get, head) = (of(Method::GET).await, of(Method::HEAD).await);
        assert_eq!(
            (head.status(), get.status()),
            (StatusCode::OK, StatusCode::OK)
        );
        for name in ["content-type", "cache-control", "content-security-policy"] {
            assert_eq!(header(&head, name), header(&get, name), "{path}: {name}");
        }
        assert!(header(&head, "content-length") > "0", "{path}");
        assert_eq!(head.bytes().await.expect("ends").len(), 0, "{path}");
        let post = of(Method::POST).await;
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(header(&post, "allow"), "GET, HEAD", "{path}");
    }
    cluster.stop().await;
}
