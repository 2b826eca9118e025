//! Deleting in the console: at the leader, as by the interface of programs.

use super::{OWN, client};
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, row};
use reqwest::StatusCode;

// If this fails, a delete takes a version that nobody looked at, or fails for good because the leader was deposed a
// moment ago.
#[tokio::test]
async fn what_was_seen_is_deleted_where_the_leader_is() {
    let dist = Service::start(Fresh::sqlite().config()).await;
    let mut node = FakeNode::start("node1").await;
    let shard = node.join(&dist).await;
    let id = row(shard.0, 1).id;
    node.answer(&format!("DELETE /delete/{id}"), 421, "{}");
    let url = format!("{}/console/contents/{id}/delete", dist.url());
    let request = client().post(url).header(OWN.0, OWN.1);
    let form = request.body("match=%22e%22");
    let answer = form.send().await.expect("an answer");
    // Nobody else is known to lead: it may be asked again, and nothing was changed.
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = answer.text().await.expect("a page");
    assert!(page.contains("no_leader"), "{page}");
    let call = node.calls("DELETE /delete").pop().expect("a call");
    assert_eq!(call.headers["if-match"], "\"e\"");
    dist.stop().await;
}
