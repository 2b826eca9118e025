//! What the log says of requests.

use super::{Process, client, program};

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
