//! Waiting until the services have found together.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::NodeName;
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

/// Waits until the distributor at `url` would send uploads to each of these nodes.
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
    let answer = client
        .get(format!("{url}{}?explain=true", routes::STORE))
        .send()
        .await;
    let answer = match answer {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(answer) => return Some(format!("{url} answers {}", answer.status())),
        Err(error) => return Some(format!("{url} does not answer: {error}")),
    };
    match answer.json::<Place>().await {
        Ok(place) => unused(&place, nodes),
        Err(error) => Some(format!("{url} answers what is no place: {error}")),
    }
}

/// Says which of these nodes placement does not use, and why.
fn unused(place: &Place, nodes: &[NodeName]) -> Option<String> {
    let candidates = place.explain.as_deref().unwrap_or_default();
    let used: BTreeSet<&NodeName> = candidates
        .iter()
        .filter(|c| c.excluded.is_none())
        .map(|c| &c.node)
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
        let unused = |explain| unused(&place(explain), &names);
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
