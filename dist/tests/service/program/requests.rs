//! What the log says of requests.

use super::reload::Process;

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// If this fails, nobody finds in the log what became of a request that did not fail, as the documents promise.
#[tokio::test]
async fn a_log_of_debug_names_every_request() {
    let dist = Process::start("log: info,dist=debug");
    let request = dist.service().request("GET", "/nodes?of=nobody");
    let request = request.header("x-request-id", "mine");
    let answer = request.header("traceparent", TRACE).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let line = loop {
        let line = dist.says("answered");
        if line.contains("\"mine\"") {
            break line;
        }
    };
    for part in ["DEBUG", "GET", "/nodes", "200", &TRACE[3..35]] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    assert!(
        !line.contains("nobody"),
        "its route, and nothing else: {line}"
    );
}
