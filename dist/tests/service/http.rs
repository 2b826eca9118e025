//! The HTTP interface, on both databases.

use std::time::Duration;

use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, answer, ask, at, config, follow, row, upserts};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;
use wire::listing::ListedOperation;
use wire::shard::{ChangeShard, ShardRecord};
use wire::{ContentId, Position};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

crate::on_both_databases!(
    a_node_that_joins_takes_uploads,
    what_is_listed_is_found_paged_and_gone_when_deleted,
    what_is_not_listed_yet_is_asked_of_the_leader,
    changes_go_to_the_leader,
    bad_requests_get_the_right_error,
    batches_that_no_node_sends_are_refused,
    keys_open_their_routes,
    everything_is_there_after_a_restart,
    many_places_are_spread,
    refused_rows_are_counted_once,
    a_forward_waits_for_the_next_leader,
    who_is_connected_is_told_that_it_stops,
);

fn start() -> Position {
    Position::default()
}

/// Nodes are there still when this test asks for the last time.
fn lasting(fresh: &Fresh) -> dist::Config {
    dist::Config {
        session: SESSION * 10,
        ..fresh.config()
    }
}

// If this fails, a fresh cluster takes no uploads.
async fn a_node_that_joins_takes_uploads(fresh: Fresh) {
    let dist = Service::start(lasting(&fresh)).await;
    let (status, error) = dist.ask("GET", "/store").await;
    assert_eq!((status, &error["code"]), (503, &json!("no_node")));
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;

    let response = dist
        .request("GET", "/store?size=10&explain=true")
        .send()
        .await
        .expect("a place");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let place: serde_json::Value = response.json().await.expect("JSON");
    assert_eq!(place["uri"], format!("{}/store", node.heartbeat.public_url));
    assert_eq!(place["node"], "node1");
    let id: ContentId = serde_json::from_value(place["id"].clone()).expect("an id");
    assert_eq!(id.shard(), shard);
    assert_eq!(place["explain"][0]["chosen"], true);
    assert!(
        place["explain"][0]["parts"]["storage"]
            .as_f64()
            .is_some_and(|part| part > 0.99)
    );

    let (status, error) = dist.ask("GET", "/store?size=1073741824").await;
    assert_eq!((status, &error["code"]), (507, &json!("storage_full")));

    let nodes = dist.json("/nodes").await;
    assert_eq!(nodes["nodes"]["dist"]["role"], "distributor");
    assert_eq!(nodes["nodes"]["node1"]["shards"][0]["role"], "leader");
    assert_eq!(nodes["nodes"]["node1"]["shards"][0]["in_sync"], true);
    let shown = &nodes["shards"][0];
    assert_eq!(
        (&shown["leader"], &shown["min_in_sync"]),
        (&json!("node1"), &json!(1))
    );
    assert_eq!(shown["replicas"][0]["lag"], 0);
    let stats = dist.json("/stats").await;
    assert_eq!(stats["total"]["max_storage"], 1 << 30);
    assert_eq!(stats["contents_led"], 0);
    assert_eq!(stats["shards"], nodes["shards"]);
    dist.stop().await;
}

// If this fails, a file that was stored is not found, or one that was deleted still is.
async fn what_is_listed_is_found_paged_and_gone_when_deleted(fresh: Fresh) {
    let dist = Service::start(lasting(&fresh)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await.0;
    let rows = (1..=5).map(|number| row(shard, number));
    let (status, answer) = dist
        .list(vec![upserts(shard, start(), at(1, 5), rows)])
        .await;
    assert_eq!(
        (status, &answer["parts"][0]["applied"]),
        (200, &json!(true))
    );

    let id = row(shard, 3).id;
    let item = dist.json(&format!("/content/{id}/")).await;
    assert_eq!(
        (&item["status"], &item["filename"]),
        (&json!("OK"), &json!("file3.txt"))
    );
    assert_eq!(item["uri"], node.heartbeat.public_url);
    assert_eq!(
        item["url"],
        format!("{}/retrieve/{id}", node.heartbeat.public_url)
    );

    let page = dist.json("/content?limit=3").await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3));
    let next = page["next"].as_str().expect("more pages");
    let last = dist.json(&format!("/content?limit=2&after={next}")).await;
    assert_eq!(last["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        last["next"],
        json!(null),
        "five contents end with the second page"
    );
    let found = dist.json("/content?filename=file4*").await;
    assert_eq!(found["items"][0]["id"], row(shard, 4).id.to_string());

    let gone = follow(shard, at(1, 5), at(1, 6), vec![ListedOperation::Delete(id)]);
    dist.list(vec![gone]).await;
    let path = format!("/content/{id}");
    let deleted = r#"{"status":"error","code":"deleted","message":"gone","request_id":"x"}"#;
    node.answer(&format!("GET /info/{id}"), 410, deleted);
    let (status, error) = dist.ask("GET", &path).await;
    assert_eq!((status, &error["code"]), (410, &json!("deleted")));
    dist.stop().await;
}

// If this fails, an upload whose receipt says PENDING cannot be found by its id.
async fn what_is_not_listed_yet_is_asked_of_the_leader(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let id = node.knows(shard, 1, 1);
    let item = dist.json(&format!("/content/{id}")).await;
    assert_eq!(
        (&item["status"], &item["version"]),
        (&json!("PENDING"), &json!(1))
    );

    dist.list(vec![upserts(shard.0, start(), at(1, 1), [row(shard.0, 1)])])
        .await;
    assert_eq!(dist.json(&format!("/content/{id}")).await["status"], "OK");
    node.knows(shard, 1, 2);
    let item = dist.json(&format!("/content/{id}?min_version=2")).await;
    assert_eq!(
        (&item["status"], &item["version"]),
        (&json!("PENDING"), &json!(2))
    );

    let unknown = row(shard.0, 99).id;
    assert_eq!(dist.ask("GET", &format!("/content/{unknown}")).await.0, 404);
    let elsewhere = row(4242, 1).id;
    assert_eq!(
        dist.ask("GET", &format!("/content/{elsewhere}")).await.0,
        404
    );
    node.stop().await;
    let (status, error) = dist.ask("GET", &format!("/content/{unknown}")).await;
    assert_eq!((status, &error["code"]), (503, &json!("no_leader")));
    dist.stop().await;
}

// If this fails, a description or a deletion is lost, or overwrites another one.
async fn changes_go_to_the_leader(fresh: Fresh) {
    let mut keyed = config(&fresh.url);
    keyed.access.cluster_key = Some("c".to_owned());
    let dist = Service::start(keyed).await;
    let mut node = FakeNode::start("node1").await;
    let service = Service::at(dist.url());
    let key = |request: reqwest::RequestBuilder| request.header("x-cluster-key", "c");
    let first = key(dist.post("/nodes/node1/heartbeat")).json(&node.heartbeat);
    let told: wire::membership::HeartbeatAnswer = first
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("JSON");
    let record: ShardRecord = told.map.expect("a map").shards.remove(0);
    assert_eq!(record.replicas[0].replica, node.heartbeat.offer);

    let id = row(record.shard.0, 1).id;
    node.answer(&format!("PUT /describe/{id}"), 200, r#"{"version":1}"#);
    node.answer(
        &format!("DELETE /delete/{id}"),
        412,
        r#"{"code":"precondition_failed"}"#,
    );
    let body = json!({"filename": "b.txt"});
    let put = key(service
        .request("PUT", &format!("/content/{id}"))
        .json(&body));
    let response = put
        .header("if-match", "\"e\"")
        .header("x-request-id", "mine")
        .header("traceparent", TRACE)
        .header("tracestate", "vendor=1");
    let response = response.send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["etag"]),
        (200, &"\"e\"".parse().expect("a value"))
    );
    let call = node.calls("PUT /describe").pop().expect("a call");
    assert_eq!(
        (
            call.headers["if-match"].as_str(),
            call.headers["x-cluster-key"].as_str()
        ),
        ("\"e\"", "c")
    );
    assert_eq!(call.headers["x-request-id"], "mine");
    assert_eq!(call.headers["traceparent"], TRACE);
    assert_eq!(call.headers["tracestate"], "vendor=1");
    assert_eq!(call.body, body.to_string());

    let delete = key(service.request("DELETE", &format!("/content/{id}")));
    assert_eq!(
        answer(delete).await,
        (412, json!({"code": "precondition_failed"}))
    );
    let unknown = json!({"filenam": "b.txt"});
    let put = key(service
        .request("PUT", &format!("/content/{id}"))
        .json(&unknown));
    assert_eq!(answer(put).await.0, 400);

    // The leader says that it is none, and nobody else is known: nothing was changed.
    node.answer(&format!("DELETE /delete/{id}"), 421, "{}");
    let delete = key(service.request("DELETE", &format!("/content/{id}")));
    assert_eq!(answer(delete).await.1["code"], "no_leader");
    node.stop().await;
    dist.stop().await;
}

// If this fails, a client with a mistake cannot tell what it was.
async fn bad_requests_get_the_right_error(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let cases = [
        ("GET", "/nothing", 404, "no_route"),
        ("POST", "/store", 405, "method_not_allowed"),
        ("DELETE", "/content", 405, "method_not_allowed"),
        ("GET", "/content/x", 400, "malformed_id"),
        ("DELETE", "/content/x", 400, "malformed_id"),
        ("PUT", "/content/x", 400, "malformed_id"),
        (
            "GET",
            "/content/c9a646d3-9c61-4cb7-bfcd-ee2522c8f633",
            400,
            "malformed_id",
        ),
        ("GET", "/content?limit=0", 400, "malformed_request"),
        ("GET", "/content?limit=1001", 400, "malformed_request"),
        ("GET", "/content?limit=x", 400, "malformed_request"),
        ("GET", "/content?after=x", 400, "malformed_id"),
        ("GET", "/content?filename=%00", 400, "malformed_request"),
        ("GET", "/content?collection=A", 400, "malformed_request"),
        ("GET", "/store?count=0", 400, "malformed_request"),
        ("GET", "/store?count=1001", 400, "malformed_request"),
        ("GET", "/store?size=-1", 400, "malformed_request"),
        ("GET", "/shards/70000", 400, "malformed_request"),
        ("GET", "/shards/1", 404, "not_found"),
        ("POST", "/content", 400, "malformed_request"),
        ("POST", "/nodes/Node/heartbeat", 400, "malformed_request"),
    ];
    for (method, path, status, code) in cases {
        let (got, error) = dist.ask(method, path).await;
        assert_eq!(
            (got, error["code"].as_str()),
            (status, Some(code)),
            "{method} {path}: {error}"
        );
        assert_eq!(error["status"], "error");
    }
    let response = dist
        .request("DELETE", "/stats")
        .send()
        .await
        .expect("an answer");
    assert_eq!(response.headers()["allow"], "GET");
    for (sent, kept) in [
        ("abc-1", true),
        ("two words", false),
        (&"x".repeat(65), false),
    ] {
        let request = dist.request("GET", "/nothing").header("x-request-id", sent);
        let response = request.send().await.expect("an answer");
        let named = response.headers()["x-request-id"]
            .to_str()
            .expect("text")
            .to_owned();
        assert_eq!(named == sent, kept, "{named}");
        let error: serde_json::Value = response.json().await.expect("JSON");
        assert_eq!(error["request_id"], named);
    }
    let head = dist
        .request("HEAD", "/health/ready")
        .send()
        .await
        .expect("an answer");
    assert_eq!(head.status(), 200);
    dist.stop().await;
}

// If this fails, a confused node breaks the catalog's counts or its order.
async fn batches_that_no_node_sends_are_refused(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let malformed = [
        vec![ask(2), ask(1)],
        vec![ask(1), ask(1)],
        vec![upserts(1, start(), at(1, 1), [row(2, 1)])],
        vec![follow(
            1,
            start(),
            at(1, 1),
            vec![ListedOperation::Delete(row(2, 1).id)],
        )],
    ];
    for parts in malformed {
        let (status, error) = dist.list(parts).await;
        assert_eq!(
            (status, &error["code"]),
            (400, &json!("malformed_request")),
            "{error}"
        );
    }
    let many = (0..4097).map(|number| row(1, number));
    let (status, error) = dist.list(vec![upserts(1, start(), at(1, 9), many)]).await;
    assert_eq!(
        (status, &error["code"]),
        (413, &json!("too_large")),
        "{error}"
    );
    let (status, error) = answer(dist.post("/content").body(vec![b' '; 17 << 20])).await;
    assert_eq!(
        (status, &error["code"]),
        (413, &json!("too_large")),
        "{error}"
    );
    dist.stop().await;
}

// If this fails, somebody without a key reads or changes what he must not.
async fn keys_open_their_routes(fresh: Fresh) {
    let mut keyed = config(&fresh.url);
    keyed.access.cluster_key = Some("c".to_owned());
    keyed.access.access_key = Some("k".to_owned());
    let dist = Service::start(keyed).await;
    let with = async |method: &str, path: &str, name: &str, value: &str| {
        let request = dist
            .request(method, path)
            .header(name, value)
            .body(vec![b'x'; 300_000]);
        request
            .send()
            .await
            .expect("an answer, not a reset")
            .status()
            .as_u16()
    };
    assert_eq!(with("GET", "/health/live", "x-none", "").await, 200);
    for (method, path) in [("GET", "/content"), ("GET", "/store"), ("POST", "/content")] {
        assert_eq!(
            with(method, path, "x-none", "").await,
            401,
            "{method} {path}"
        );
        assert_eq!(
            with(method, path, "authorization", "Bearer c").await,
            401,
            "{method} {path}"
        );
    }
    assert_eq!(
        with("GET", "/content", "authorization", "bearer k").await,
        200
    );
    assert_eq!(
        with("POST", "/content", "authorization", "Bearer k").await,
        401
    );
    assert_eq!(with("POST", "/content", "x-cluster-key", "c").await, 400);
    assert_eq!(with("GET", "/shards", "x-cluster-key", "c").await, 200);
    let preflight = dist
        .request("OPTIONS", "/content")
        .header("origin", dist.url());
    let response = preflight.send().await.expect("an answer");
    assert_eq!(
        response.headers()["access-control-allow-origin"],
        dist.url()
    );
    let foreign = dist
        .request("OPTIONS", "/content")
        .header("origin", "http://evil.example");
    let response = foreign.send().await.expect("an answer");
    assert!(
        !response
            .headers()
            .contains_key("access-control-allow-origin")
    );
    dist.stop().await;
}

// If this fails, a restarted distributor forgets contents, or gives a node a second shard.
async fn everything_is_there_after_a_restart(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    dist.list(vec![upserts(shard.0, start(), at(1, 1), [row(shard.0, 1)])])
        .await;
    let cluster = dist.running.as_ref().expect("it runs").cluster();
    dist.stop().await;

    let dist = Service::start(config(&fresh.url)).await;
    assert_eq!(dist.running.as_ref().expect("it runs").cluster(), cluster);
    assert_eq!(
        dist.json("/content").await["items"][0]["id"],
        row(shard.0, 1).id.to_string()
    );
    assert_eq!(node.join(&dist).await, shard);
    let (_, listed) = dist.list(vec![ask(shard.0)]).await;
    assert_eq!(listed["parts"][0]["listed"], json!({"epoch": 1, "lsn": 1}));
    let map = node.obey(&dist).await;
    assert_eq!(map.map, None);
    assert_eq!(
        dist.json("/shards").await["shards"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    dist.stop().await;
}

// If this fails, nobody learns that the database refuses what nodes hold.
async fn refused_rows_are_counted_once(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let shard = FakeNode::start("node1").await.join(&dist).await.0;
    let mut refused = row(shard, 1);
    refused.filename = String::new();
    let part = || upserts(shard, start(), at(1, 2), [refused.clone(), row(shard, 2)]);
    for applied in [true, false] {
        let (status, answer) = dist.list(vec![part()]).await;
        assert_eq!(
            (status, &answer["parts"][0]["applied"]),
            (200, &json!(applied))
        );
        let metrics = dist.request("GET", "/metrics").send().await;
        let text = metrics.expect("an answer").text().await.expect("text");
        let line = "acequia_dist_unlistable_rows_total 1";
        assert!(text.lines().any(|each| each == line), "{text}");
    }
    dist.stop().await;
}

// If this fails, a client that asks for many places at once loads one node with all of them.
async fn many_places_are_spread(fresh: Fresh) {
    let dist = Service::start(config(&fresh.url)).await;
    let mut nodes = Vec::new();
    for name in ["node1", "node2", "node3"] {
        let mut node = FakeNode::start(name).await;
        node.join(&dist).await;
        nodes.push(node);
    }
    for node in &nodes {
        node.beat(&dist).await;
    }
    let places = dist.json("/store?count=300&size=1000").await;
    let items = places["items"].as_array().expect("places");
    let ids: std::collections::BTreeSet<_> = items.iter().map(|item| item["id"].as_str()).collect();
    assert_eq!((items.len(), ids.len()), (300, 300));
    for node in &nodes {
        let share = items
            .iter()
            .filter(|item| item["node"] == node.name.as_str())
            .count();
        assert!((80..=120).contains(&share), "{} gets {share}", node.name);
    }
    let metrics = dist
        .request("GET", "/metrics")
        .send()
        .await
        .expect("an answer");
    let text = metrics.text().await.expect("text");
    for line in [
        "acequia_dist_places_total{node=\"node1\"}",
        "acequia_dist_node_up{node=\"node2\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    dist.stop().await;
}

// If this fails, a delete or a look-up fails whenever a node dies, although another one takes over.
async fn a_forward_waits_for_the_next_leader(fresh: Fresh) {
    let mut slow = config(&fresh.url);
    slow.session = std::time::Duration::from_secs(2);
    let dist = Service::start(slow).await;
    let (mut first, mut second) = (
        FakeNode::start("node1").await,
        FakeNode::start("node2").await,
    );
    let shard = first.join(&dist).await;
    second.join(&dist).await;
    let id = second.knows(shard, 1, 3);
    second.answer(&format!("DELETE /delete/{id}"), 200, r#"{"version":3}"#);
    let not_led = r#"{"status":"error","code":"no_leader","message":"m","request_id":"r"}"#;
    first.answer(&format!("DELETE /delete/{id}"), 503, not_led);
    first.answer(&format!("GET /info/{id}"), 503, not_led);

    let copy = wire::membership::ReplicaReport {
        replica: Uuid::new_v4(),
        ..first.heartbeat.replicas[0].clone()
    };
    let member = wire::shard::Member {
        node: second.name.clone(),
        replica: copy.replica,
    };
    second.heartbeat.replicas.push(copy);
    second.beat(&dist).await;

    let content = format!("/content/{id}");
    let hand_over = async {
        // Time for both requests to meet the old leader.
        while first.calls("DELETE").is_empty() || first.calls("GET /info").is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let path = format!("/shards/{shard}");
        let mut record: ShardRecord =
            serde_json::from_value(dist.json(&path).await).expect("a record");
        record.leader = Some(wire::shard::Leader {
            member: member.clone(),
            incarnation: second.heartbeat.incarnation,
        });
        record.replicas.push(member.clone());
        record.in_sync.push(member);
        record.epoch = record.epoch.next();
        record.version += 1;
        let change = ChangeShard { record };
        let (_, body) = answer(dist.post(&path).json(&change)).await;
        assert_eq!(body["changed"], true);
    };
    let (deleted, looked, ()) = tokio::join!(
        dist.ask("DELETE", &content),
        dist.ask("GET", &content),
        hand_over
    );
    assert_eq!(deleted, (200, json!({"version": 3})));
    assert_eq!((looked.0, &looked.1["version"]), (200, &json!(3)));
    dist.stop().await;
}

// If this fails, a client's next request goes to a distributor that has ended meanwhile, and is lost.
async fn who_is_connected_is_told_that_it_stops(fresh: Fresh) {
    let mut dist = Service::start(config(&fresh.url)).await;
    let address = dist.url().trim_start_matches("http://").to_owned();
    let mut connection = TcpStream::connect(&address).await.expect("connects");
    let mut ask = async || {
        let request = b"GET /health/live HTTP/1.1\r\nhost: dist\r\n\r\n";
        connection.write_all(request).await.expect("is sent");
        let mut answer = vec![0; 4096];
        let length = connection.read(&mut answer).await.expect("is answered");
        String::from_utf8_lossy(&answer[..length]).to_lowercase()
    };
    let before = ask().await;
    assert!(before.starts_with("http/1.1 200") && !before.contains("connection: close"));
    let running = dist.running.take().expect("it runs");
    let mut stopping = std::pin::pin!(running.stop());
    // For a tenth of a second it takes those who were in time. It goes on when it is polled again:
    // after the answer, however late that comes.
    assert!(futures_util::poll!(stopping.as_mut()).is_pending());
    // If it had ended already, this is noticed.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let last = ask().await;
    assert!(last.starts_with("http/1.1 200"), "{last}");
    assert!(last.contains("connection: close"), "{last}");
    stopping.await;
    let refused = TcpStream::connect(&address).await.expect_err("is gone");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
