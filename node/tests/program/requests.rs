//! What the log says of requests.

use reqwest::{Method, StatusCode};
use rustix::process::Signal;
use wire::ContentId;

use super::{Process, Story, client, distributor, program};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// If this fails, nobody finds in a node's log what became of a request that did not fail, as the documents
// promise.
#[tokio::test]
async fn a_log_of_debug_names_every_request() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = [("LOG", "info,node=debug"), ("PORT", "0")];
    let node = Process::start(program(&folder).envs(start));
    let request = client().get(format!("{}/stats?of=nobody", node.url));
    let request = request.header("x-request-id", "mine");
    let answer = request.header("traceparent", TRACE).send().await;
    assert_eq!(answer.expect("answers").status(), 200);
    let line = loop {
        let line = node.says("answered");
        if line.contains("\"mine\"") {
            break line;
        }
    };
    for part in ["DEBUG", "GET", "/stats", "200", &TRACE[3..35]] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert!(
        !line.contains("nobody"),
        "its route, and nothing else: {line}"
    );
}

// If this fails, nobody finds in a node's log what verifications came to: that copies are missing, or that
// anything was verified at all.
#[tokio::test]
async fn what_verifications_came_to_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let dist = distributor(&folder).await;
    let arguments = ["--port", "0", "--dist", dist.url(), "--log", "info"];
    let process = Process::start(program(&folder).args(arguments));
    let story = Story {
        http: client(),
        dist: dist.url().to_owned(),
        node: process.url.clone(),
    };
    story.used().await;
    let id = story.place().await.expect("a place").id;
    let (store, delete) = (format!("/store/{id}"), format!("/delete/{id}"));
    let status = story.change(Method::PUT, store, b"some bytes".to_vec());
    assert_eq!(status.await, Some(StatusCode::OK));
    let unknown = ContentId::mint(id.shard(), id.time_ms(), 1);
    for (id, expected) in [(id, 200), (id, 200), (unknown, 404)] {
        let url = format!("{}/verify/{id}", process.url);
        let answer = story.http.get(url).send().await.expect("answers");
        assert_eq!(answer.status(), expected);
    }
    let line = process.says("a copy to be verified is absent");
    let is_told = |line: &str, id: ContentId, why| {
        line.contains(&format!("id={id}")) && line.contains("INFO") && line.contains(why)
    };
    assert!(is_told(&line, unknown, "no such content"), "{line}");

    let status = story.change(Method::DELETE, delete, Vec::new());
    assert_eq!(status.await, Some(StatusCode::OK));
    let url = format!("{}/verify/{id}", process.url);
    let answer = story.http.get(url).send().await.expect("answers");
    assert_eq!(answer.status(), StatusCode::GONE);
    let line = process.says("a copy to be verified is absent");
    assert!(is_told(&line, id, "deleted"), "{line}");

    // At its end it does not keep the last minute's for itself.
    process.signal(Signal::TERM);
    let line = process.says("copies were verified");
    let sums = "copies=4 agreeing=2 absent=2 wrong=0";
    assert!(line.contains("INFO") && line.contains(sums), "{line}");
    assert_eq!(process.end(), Some(0));
    dist.stop().await;
}
