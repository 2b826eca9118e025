//! Waiting until the services have found together.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::NodeName;
use wire::membership::{Health, NodeEntry, NodesAnswer, ReplicaRole};
use wire::placement::Place;
use wire::routes;

/// A first start makes shards, a later one reads indexes; half a minute is plenty for both.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// How often the distributor is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Not every node takes uploads within half a minute.
#[derive(Debug, thiserror::Error)]
#[error("not ready after {} s: {reason}", READY_TIME_MAX.as_secs())]
pub struct NotReady {
    reason: String,
}

/// Waits until the distributor at `url` would send uploads to each of these nodes, or the node holds
/// copies of what others lead, all in sync: a node that comes back leads nothing at first.
pub(crate) async fn wait(url: &str, nodes: &[NodeName]) -> Result<(), NotReady> {
    if nodes.is_empty() {
        return Ok(());
    }
    let client = client()?;
    let deadline = Instant::now() + READY_TIME_MAX;
    loop {
        match missing(&client, url, nodes).await {
            None => return Ok(()),
            Some(reason) if Instant::now() >= deadline => return Err(NotReady { reason }),
            Some(_) => sleep(ASK_EVERY).await,
        }
    }
}

fn client() -> Result<reqwest::Client, NotReady> {
    // Another crate of this process may have installed it before: that is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .map_err(|error| NotReady {
            reason: format!("cannot make an HTTP client: {error}"),
        })
}

/// What is missing; none when nothing is.
async fn missing(client: &reqwest::Client, url: &str, nodes: &[NodeName]) -> Option<String> {
    let place = format!("{url}{}?explain=true", routes::STORE);
    let known = format!("{url}{}", routes::NODES);
    let unused = async {
        let other = |error: serde_json::Error| format!("{url} answers something else: {error}");
        let place = ask(client, &place).await?;
        let place: Place = serde_json::from_str(&place).map_err(other)?;
        let known = ask(client, &known).await?;
        let known: NodesAnswer = serde_json::from_str(&known).map_err(other)?;
        Ok(unused(&place, &known, nodes))
    };
    unused.await.unwrap_or_else(Some)
}

async fn ask(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| format!("{url} does not answer: {error}"))?;
    if !answer.status().is_success() {
        return Err(format!("{url} answers {}", answer.status()));
    }
    let text = answer.text().await;
    text.map_err(|error| format!("{url} does not answer: {error}"))
}

/// Says which of these nodes placement does not use, and why.
fn unused(place: &Place, known: &NodesAnswer, nodes: &[NodeName]) -> Option<String> {
    let candidates = place.explain.as_deref().unwrap_or_default();
    let follows = |(_, entry): &(&NodeName, &NodeEntry)| {
        let mut shards = entry.shards.iter();
        entry.health == Health::Up
            && !entry.shards.is_empty()
            && shards.all(|held| held.role == ReplicaRole::Follower && held.in_sync)
    };
    let followers = known.nodes.iter().filter(follows).map(|(name, _)| name);
    let used: BTreeSet<&NodeName> = candidates
        .iter()
        .filter(|c| c.excluded.is_none())
        .map(|c| &c.node)
        .chain(followers)
        .collect();
    let name = nodes.iter().find(|name| !used.contains(name))?;
    let why = candidates
        .iter()
        .find(|c| c.node == *name)
        .and_then(|c| c.excluded.as_deref());
    Some(format!(
        "{name} is not used: {}",
        why.unwrap_or("the distributor does not know it")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::position::ShardNo;
    use wire::{ContentId, placement::Candidate};

    // If this fails, a cluster says that it is ready and the first upload is refused.
    #[test]
    fn every_node_must_be_used() {
        let names: Vec<NodeName> = ["node1", "node2"]
            .iter()
            .map(|name| name.parse().expect("a valid name"))
            .collect();
        let candidate = |name: &NodeName, excluded: Option<&str>| Candidate {
            degraded: false,
            node: name.clone(),
            chosen: false,
            compared: false,
            score: None,
            parts: None,
            excluded: excluded.map(str::to_owned),
        };
        let place = |explain| Place {
            uri: String::new(),
            node: names[0].clone(),
            id: ContentId::mint(ShardNo(1), 0, 0),
            explain,
        };
        let known = |role: &str, in_sync: bool| -> NodesAnswer {
            let held = serde_json::json!({
                "shard": 1, "role": role, "state": "open", "in_sync": in_sync,
            });
            let node = serde_json::json!({
                "host": "h", "port": 1, "public_url": "http://h", "role": "node",
                "health": "up", "shards": [held],
            });
            let answer = serde_json::json!({
                "cluster": "c9a646d3-9c61-4cb7-bfcd-ee2522c8f633", "nodes": {"node2": node},
            });
            serde_json::from_value(answer).expect("reads")
        };
        let alone = vec![candidate(&names[0], None)];
        for (role, in_sync, is_ready) in [
            ("follower", true, true),
            ("follower", false, false),
            ("leader", true, false),
        ] {
            let missing = unused(&place(Some(alone.clone())), &known(role, in_sync), &names);
            assert_eq!(missing.is_none(), is_ready, "{role}, in sync: {in_sync}");
        }
        let leading = known("leader", true);
        let unused = |explain| unused(&place(explain), &leading, &names);
        let both = vec![candidate(&names[0], None), candidate(&names[1], None)];
        assert_eq!(unused(Some(both)), None);
        let down = vec![
            candidate(&names[0], None),
            candidate(&names[1], Some("no answer")),
        ];
        assert_eq!(
            unused(Some(down)).as_deref(),
            Some("node2 is not used: no answer")
        );
        assert_eq!(
            unused(None).as_deref(),
            Some("node1 is not used: the distributor does not know it")
        );
    }
}
