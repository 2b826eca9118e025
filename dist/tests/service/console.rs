//! The web console over HTTP: keys, forgery, transfers, and what it costs.

mod deletes;
mod nodes;
mod sentence;

use crate::support::chaos_proxy::ChaosProxy;
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, config};
use dist::{Access, Anonymous};
use pgtest::Postgres;
use reqwest::{Response, StatusCode};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A distributor that asks for the key `k=é`.
async fn locked(fresh: &Fresh, anonymous: Anonymous) -> Service {
    let access = Access {
        cluster_key: None,
        access_key: Some("k=é".to_owned()),
        anonymous,
    };
    let config = dist::Config {
        access,
        ..fresh.config()
    };
    Service::start(config).await
}

fn client() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none());
    client.build().expect("a client")
}

/// Asks for a page as a browser does, which tells its cookie and where its page is from.
async fn browse(dist: &Service, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let method = method.parse().expect("a method");
    let mut request = client().request(method, format!("{}{path}", dist.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Signs in; gives the cookie as it is sent back.
async fn sign_in(dist: &Service, key: &str) -> Result<String, StatusCode> {
    let form = client()
        .post(format!("{}/console/sign-in", dist.url()))
        .header(OWN.0, OWN.1)
        .body(format!("key={key}&next=%2Fconsole%2Flog"));
    let answer = form.send().await.expect("an answer");
    if answer.status() != StatusCode::SEE_OTHER {
        return Err(answer.status());
    }
    assert_eq!(header(&answer, "location"), "/console/log");
    let cookie = header(&answer, "set-cookie").to_owned();
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict"), "{cookie}");
    Ok(cookie.split(';').next().unwrap_or("").to_owned())
}

// If this fails, a key that was set keeps its owner out of the console, or lets others in.
#[tokio::test]
async fn the_key_opens_the_console_and_nothing_else() {
    let dist = locked(&Fresh::sqlite(), Anonymous::None).await;
    for path in [
        "/",
        "/console/contents?sort=name",
        "/console/live",
        "/console/nodes/node1",
        "/console/charts?node=node1",
        "/console/upload",
    ] {
        let answer = browse(&dist, "GET", path, &[]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{path}");
        assert!(
            header(&answer, "location").starts_with("/console/sign-in?next=%2F"),
            "{path}"
        );
    }
    let asset = browse(&dist, "GET", "/console/assets/console.css", &[]).await;
    assert_eq!(asset.status(), StatusCode::OK);
    assert_eq!(sign_in(&dist, "wrong").await, Err(StatusCode::UNAUTHORIZED));
    let cookie = sign_in(&dist, "k%3D%C3%A9")
        .await
        .expect("the key opens it");
    let page = browse(&dist, "GET", "/", &[("cookie", &cookie)]).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.expect("a page").contains("Sign out"));
    // A cookie is sent by itself, also for others: it opens pages alone.
    let api = browse(&dist, "GET", "/content", &[("cookie", &cookie)]).await;
    assert_eq!(api.status(), StatusCode::UNAUTHORIZED);
    let out = browse(
        &dist,
        "POST",
        "/console/sign-out",
        &[("cookie", &cookie), OWN],
    )
    .await;
    assert!(header(&out, "set-cookie").contains("Max-Age=0"));
    dist.stop().await;
}

// If this fails, who may only read sees nothing, or is let to change.
#[tokio::test]
async fn readers_read_and_change_nothing() {
    let dist = locked(&Fresh::sqlite(), Anonymous::Read).await;
    let page = browse(&dist, "GET", "/console/contents", &[]).await;
    let text = page.text().await.expect("a page");
    assert!(
        text.contains("Sign in") && !text.contains("/console/upload"),
        "{text}"
    );
    let upload = browse(&dist, "GET", "/console/upload", &[]).await;
    assert_eq!(upload.status(), StatusCode::SEE_OTHER);
    let id = "01a1fc2b-96da-8000-8630-5262874386d8";
    for (method, path) in [
        ("PUT", "/console/store?filename=a".to_owned()),
        ("PUT", format!("/console/contents/{id}?filename=a")),
        ("POST", format!("/console/contents/{id}/delete")),
    ] {
        let answer = browse(&dist, method, &path, &[OWN]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    dist.stop().await;
}

// If this fails, any page on the web deletes contents through a visitor's browser.
#[tokio::test]
async fn pages_of_others_change_nothing() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let id = "01a1fc2b-96da-8000-8630-5262874386d8";
    let delete = format!("/console/contents/{id}/delete");
    let evil = ("origin", "https://evil.example");
    let own = ("origin", dist.url());
    let refused = StatusCode::UNAUTHORIZED;
    for (headers, expected) in [
        (&[][..], refused),
        (&[evil], refused),
        (&[("sec-fetch-site", "cross-site")], refused),
        (&[OWN, ("host", "rebound.evil.example")], refused),
        (&[own], StatusCode::NOT_FOUND),
        (&[OWN], StatusCode::NOT_FOUND),
    ] {
        let answer = browse(&dist, "POST", &delete, headers).await;
        assert_eq!(answer.status(), expected, "{headers:?}");
    }
    let order = |headers: &'static [(&str, &str)]| browse(&dist, "POST", "/rebalance", headers);
    assert_eq!(
        order(&[("sec-fetch-site", "cross-site")]).await.status(),
        refused
    );
    assert_eq!(order(&[]).await.status(), StatusCode::OK);
    dist.stop().await;
}

// If this fails, a stranger's page frames the console, or a script gets into it.
#[tokio::test]
async fn every_page_carries_its_policy() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    for (path, status) in [
        ("/", 200),
        ("/console/contents", 200),
        ("/console/shards", 200),
        ("/console/log", 200),
        ("/console/upload", 200),
        ("/console/sign-in", 200),
        ("/console/nowhere", 404),
        ("/console/nodes/node9", 404),
        ("/console/nodes/a%20b", 404),
        ("/console/contents/x", 400),
    ] {
        let answer = browse(&dist, "GET", path, &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let policy = header(&answer, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'"),
            "{path}: {policy}"
        );
        assert!(policy.ends_with("frame-ancestors 'none'") && !policy.contains("unsafe"));
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(
            header(&answer, "content-type"),
            "text/html; charset=utf-8",
            "{path}"
        );
    }
    let page = browse(&dist, "GET", "/", &[])
        .await
        .text()
        .await
        .expect("a page");
    let (_, style) = page
        .split_once("href=\"/console/assets/console.css")
        .expect("a style");
    let query = style.split('"').next().expect("a query");
    let style = browse(
        &dist,
        "GET",
        &format!("/console/assets/console.css{query}"),
        &[],
    )
    .await;
    assert!(header(&style, "cache-control").contains("immutable"));
    let unknown = browse(&dist, "GET", "/nowhere", &[]).await;
    assert_eq!(header(&unknown, "content-type"), "application/json");
    dist.stop().await;
}

const RECEIPT: &str = r#"{"id":"x","nodes":["node1"]}"#;

// If this fails, a file that is uploaded in the browser arrives changed, unnamed, or not at all.
#[tokio::test]
async fn files_pass_through_to_the_node() {
    // The node is there still when this test asks for the last time.
    let config = dist::Config {
        session: SESSION * 10,
        ..Fresh::sqlite().config()
    };
    let dist = Service::start(config).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    node.answer("PUT /store/", 200, RECEIPT);
    node.answer("PUT /update/", 507, r#"{"status":"error"}"#);
    let put = async |path: &str| {
        let request = dist.request("PUT", path).header(OWN.0, OWN.1);
        let request = request.header("content-type", "text/x").body("the bytes");
        let answer = request.send().await.expect("an answer");
        (
            answer.status().as_u16(),
            answer.text().await.expect("a body"),
        )
    };
    let stored = put("/console/store?filename=a%20b%2F%C3%A9&size=9").await;
    assert_eq!(stored, (200, RECEIPT.to_owned()));
    let calls = node.calls("PUT /store/");
    assert_eq!(calls.len(), 1);
    assert!(
        calls[0].line.contains("?filename=a%20b%2F%C3%A9 "),
        "{}",
        calls[0].line
    );
    assert_eq!(calls[0].body, "the bytes");
    assert_eq!(calls[0].headers["content-type"], "text/x");
    assert_eq!(calls[0].headers["content-length"], "9");

    let id = node.knows(shard, 1, 1);
    let (status, _) = put(&format!("/console/contents/{id}?filename=c")).await;
    assert_eq!(status, 507);
    assert_eq!(
        node.calls(&format!("PUT /update/{id}?filename=c ")).len(),
        1
    );
    let (status, _) = put("/console/store").await;
    assert_eq!(status, 400);
    dist.stop().await;
}

/// Begins to upload as a browser whose user lost the network, and gives the answer.
async fn upload_a_part(dist: &Service) -> String {
    let address = dist.url().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let head = format!(
        "PUT /console/store?filename=a&size=100 HTTP/1.1\r\nHost: {address}\r\n\
         {}: {}\r\nContent-Length: 100\r\n\r\nabc",
        OWN.0, OWN.1
    );
    stream.write_all(head.as_bytes()).await.expect("is sent");
    let (mut answer, mut piece) = (String::new(), [0; 1024]);
    while !answer.contains('}') {
        let read = stream.read(&mut piece).await.expect("an answer");
        assert!(read > 0, "it ended after {answer:?}");
        answer += &String::from_utf8_lossy(&piece[..read]);
    }
    answer
}

// If this fails, browsers that fell silent hold uploads for ever, or do not say why one failed.
#[tokio::test]
async fn an_upload_that_stalls_ends() {
    tokio::join!(a_node_ends_it(), a_node_waits_for_ever());
}

async fn a_node_ends_it() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    node.answer("PUT /store/", 408, r#"{"message":"too slow for the node"}"#);
    let (begun, nodes) = (Instant::now(), Duration::from_secs(10));
    node.is_hasty("PUT /store/");
    let refused = upload_a_part(&dist).await;
    assert!(refused.starts_with("HTTP/1.1 408 "), "{refused}");
    assert!(refused.contains("too slow for the node"), "{refused}");
    assert!(begun.elapsed() < nodes, "{:?}", begun.elapsed());
    dist.stop().await;
}

async fn a_node_waits_for_ever() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let silent = tokio::time::timeout(Duration::from_secs(30), upload_a_part(&dist));
    let (silent, ()) = tokio::join!(silent, async {
        // It stays a node that is heard meanwhile.
        for _ in 0..30 {
            node.beat(&dist).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let silent = silent.expect("it ends");
    assert!(silent.starts_with("HTTP/1.1 408 "), "{silent}");
    assert!(
        silent.contains("too_slow") && silent.contains("nothing of the file came for 15 s"),
        "{silent}"
    );
    dist.stop().await;
}

// If this fails, a stored page is opened beside the console and acts in its name.
#[tokio::test]
async fn bytes_come_back_as_no_page_of_ours() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let id = node.knows(shard, 1, 1);
    node.answer(&format!("GET /retrieve/{id}"), 200, "<script>");
    let path = format!("/console/contents/{id}/bytes?version=1");
    let answer = browse(&dist, "GET", &path, &[("range", "bytes=0-3")]).await;
    let policy = header(&answer, "content-security-policy");
    assert!(
        policy.starts_with("sandbox; default-src 'none'"),
        "{policy}"
    );
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "etag"), "\"e\"");
    assert_eq!(answer.text().await.expect("bytes"), "<script>");
    let calls = node.calls("GET /retrieve/");
    assert!(calls[0].line.contains("?version=1 "), "{}", calls[0].line);
    assert_eq!(calls[0].headers["range"], "bytes=0-3");
    dist.stop().await;
}

/// Reads a stream of events until it contains something.
async fn until_told(stream: &mut Response, text: &str) {
    let mut told = String::new();
    let read = async {
        while let Some(part) = stream.chunk().await.expect("a stream") {
            told.push_str(&String::from_utf8_lossy(&part));
            if told.contains(text) {
                return;
            }
        }
        panic!("the stream ended before `{text}`");
    };
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .expect("in time");
}

// If this fails, pages do not change by themselves, or the service cannot end while one is open.
#[tokio::test]
async fn everyone_who_watches_is_told() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let mut first = browse(&dist, "GET", "/console/live", &[]).await;
    let mut second = browse(&dist, "GET", "/console/live", &[]).await;
    let mut shards = browse(&dist, "GET", "/console/shards/live", &[]).await;
    assert_eq!(header(&first, "content-type"), "text/event-stream");
    until_told(&mut first, "No storage node has come yet").await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    until_told(&mut first, "id=\\\"node-node1\\\"").await;
    until_told(&mut second, "id=\\\"node-node1\\\"").await;
    until_told(&mut shards, "<b>node1</b>").await;
    let ended = Instant::now();
    dist.stop().await;
    assert!(
        ended.elapsed() < Duration::from_secs(2),
        "{:?}",
        ended.elapsed()
    );
    assert!(!matches!(first.chunk().await, Ok(Some(_))));
}

// If this fails, the first page of a large cluster takes so long that nobody looks at it.
#[tokio::test]
async fn the_overview_of_a_hundred_nodes_is_there_at_once() {
    let config = dist::Config {
        session: SESSION * 50,
        // A hundred nodes that are asked all the time would leave the page no core.
        poll: Duration::from_secs(2),
        ..Fresh::sqlite().config()
    };
    let dist = Service::start(config).await;
    let mut nodes = Vec::new();
    for number in 1..=100 {
        let mut node = FakeNode::start(&format!("node{number}")).await;
        node.obey(&dist).await;
        nodes.push(node);
    }
    // A machine that is busy with other things may hold any one page up.
    dist.until(async || {
        let asked = Instant::now();
        let page = browse(&dist, "GET", "/", &[]).await;
        let text = page.text().await.expect("a page");
        let took = asked.elapsed();
        assert_eq!(text.matches("<article").count(), 100);
        took < Duration::from_millis(200)
    })
    .await;
    dist.stop().await;
}

// If this fails, whoever looks for the reason of an outage waits for the database, too.
#[tokio::test]
async fn nodes_are_seen_while_the_database_is_silent() {
    let fresh = Fresh::postgres();
    let mut proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let dist = Service::start(config(&proxy.through(&fresh.url))).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    proxy.cut().await;
    let asked = Instant::now();
    let page = browse(&dist, "GET", "/", &[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let text = page.text().await.expect("a page");
    assert!(text.contains("id=\"node-node1\""), "{text}");
    assert!(
        asked.elapsed() < Duration::from_secs(3),
        "{:?}",
        asked.elapsed()
    );
    dist.until(async || {
        let list = browse(&dist, "GET", "/console/contents", &[]).await;
        let status = list.status();
        let text = list.text().await.expect("a page");
        status == StatusCode::SERVICE_UNAVAILABLE
            && text.contains("The catalog database does not answer")
    })
    .await;
    proxy.restore().await;
    dist.until(async || {
        browse(&dist, "GET", "/console/contents", &[])
            .await
            .status()
            == 200
    })
    .await;
    dist.stop().await;
}
