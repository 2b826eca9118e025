//! Nodes' pages: their own history, and nobody else's.

use super::{browse, header};
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service};
use dist::catalog::Sample;
use reqwest::StatusCode;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::NodeName;
use wire::history::Measures;

/// What was recorded of the last ten minutes: so many bytes came in at each node, and at all.
async fn remember(fresh: &Fresh, nodes: &[(&str, f64)]) {
    let catalog = fresh.open().await.catalog;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_s = now.expect("it is after 1970").as_secs();
    let measures = |bytes_in_per_s| Measures {
        nodes: 1.0,
        bytes_in_per_s,
        ..Measures::default()
    };
    let each = nodes.iter().map(|(name, bytes)| {
        let name: NodeName = name.parse().expect("a name");
        (name, measures(*bytes))
    });
    let nodes_measures = Vec::from_iter(each);
    for minute in 0..10 {
        let sample = Sample {
            at_s: now_s - 60 * minute,
            nodes: nodes_measures.clone(),
            cluster: measures(nodes.iter().map(|(_, bytes)| bytes).sum()),
        };
        catalog.record(&sample).await.expect("recorded");
    }
    catalog.close().await;
}

// If this fails, whoever looks for the slow node sees the load of all, or of another one.
#[tokio::test]
async fn every_node_s_page_has_its_own_charts() {
    let fresh = Fresh::sqlite();
    remember(&fresh, &[("node1", 3072.0), ("node2", 5120.0)]).await;
    let dist = Service::start(fresh.config()).await;
    for name in ["node1", "node2"] {
        FakeNode::start(name).await.join(&dist).await;
    }
    let text = async |path: &str| {
        let answer = browse(&dist, "GET", path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.expect("a page")
    };
    // Twice: what was drawn is kept for a moment.
    for _ in 0..2 {
        for (whose, at_most) in [
            ("/?range=1h", "at most 8.0 KiB/s"),
            ("/console/nodes/node1?range=1h", "at most 3.0 KiB/s"),
            ("/console/nodes/node2?range=1h", "at most 5.0 KiB/s"),
            ("/console/charts?range=1h&node=node1", "at most 3.0 KiB/s"),
            ("/console/charts?range=1h", "at most 8.0 KiB/s"),
        ] {
            let page = text(whose).await;
            let said = format!("aria-label=\"Throughput: {at_most}\"");
            assert!(page.contains(&said), "{whose}: {page}");
        }
    }
    let page = text("/console/nodes/node1").await;
    assert!(page.contains("id=\"node-node1\"") && !page.contains("id=\"node-node2\""));
    let unknown = browse(&dist, "GET", "/console/charts?node=node9", &[]).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    let page = browse(&dist, "GET", "/console/nodes/node9", &[]).await;
    assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
    dist.stop().await;
}
