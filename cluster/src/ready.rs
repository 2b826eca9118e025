//! Waiting until the services have found together.

use std::collections::BTreeMap;
use std::time::Duration;

use dist::Excluded;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};
use wire::NodeName;
use wire::membership::{Health, NodeEntry, NodesAnswer};
use wire::placement::{Candidate, Place};
use wire::routes;

/// A first start makes shards, a later one reads indexes; half a minute is plenty for both.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// How often the distributor is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A node whose mirrors start with it is short of copies for a moment; longer, they are not there.
const SHORT_TIME_MAX: Duration = Duration::from_secs(5);

/// What ends by itself when a node has started. A node that is full, or drains, will not change by
/// waiting; what it holds can be read.
const PASSING: [Excluded; 3] = [Excluded::Down, Excluded::NoShard, Excluded::Unknown];

/// Not every node has joined within half a minute.
#[derive(Debug, thiserror::Error)]
#[error("not ready after {} s: {reason}", READY_TIME_MAX.as_secs())]
pub struct NotReady {
    reason: String,
}

/// Waits until the distributor at `url` would send uploads to each of these nodes, as far as they have
/// room for any.
pub(crate) async fn wait(url: &str, nodes: &[NodeName]) -> Result<(), NotReady> {
    if nodes.is_empty() {
        return Ok(());
    }
    let client = client()?;
    let (begun, deadline) = (Instant::now(), Instant::now() + READY_TIME_MAX);
    loop {
        let may_be_short = begun.elapsed() >= SHORT_TIME_MAX;
        match missing(&client, url, nodes, may_be_short).await {
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
async fn missing(
    client: &reqwest::Client,
    url: &str,
    nodes: &[NodeName],
    may_be_short: bool,
) -> Option<String> {
    let answer = client
        .get(format!("{url}{}?explain=true", routes::STORE))
        .send()
        .await;
    let answer = match answer {
        Ok(answer) if answer.status().is_success() => answer,
        Ok(answer) if answer.status() == StatusCode::INSUFFICIENT_STORAGE => {
            return down(client, url, nodes).await;
        }
        Ok(answer) => return Some(format!("{url} answers {}", answer.status())),
        Err(error) => return Some(format!("{url} does not answer: {error}")),
    };
    match answer.json::<Place>().await {
        Ok(place) => {
            let candidates = place.explain.unwrap_or_default();
            unready(&candidates, nodes, may_be_short)
        }
        Err(error) => Some(format!("{url} answers what is no place: {error}")),
    }
}

/// Where no node has room, nothing is gained by waiting but for those that are not there yet: says which.
async fn down(client: &reqwest::Client, url: &str, nodes: &[NodeName]) -> Option<String> {
    let asked = client.get(format!("{url}{}", routes::NODES)).send().await;
    let answer = match asked {
        Ok(answer) => answer.json::<NodesAnswer>().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => absent(&answer.nodes, nodes),
        Err(error) => Some(format!("{url} does not answer: {error}")),
    }
}

fn absent(known: &BTreeMap<NodeName, NodeEntry>, nodes: &[NodeName]) -> Option<String> {
    let is_up = |name: &&NodeName| {
        let entry = known.get(*name);
        entry.is_some_and(|entry| entry.health == Health::Up)
    };
    let absent = nodes.iter().find(|name| !is_up(name));
    absent.map(|name| format!("{name} is not up"))
}

/// Says which of these nodes is not ready, and why.
fn unready(candidates: &[Candidate], nodes: &[NodeName], may_be_short: bool) -> Option<String> {
    nodes.iter().find_map(|name| {
        let why = match candidates.iter().find(|c| c.node == *name) {
            Some(candidate) => passing(candidate, may_be_short)?,
            None => "the distributor does not know it",
        };
        Some(format!("{name} is not used: {why}"))
    })
}

/// Why a node is not used yet; none when it is, or will not be for waiting.
fn passing(candidate: &Candidate, may_be_short: bool) -> Option<&str> {
    let why = candidate.excluded.as_deref()?;
    let short = (!may_be_short).then_some(Excluded::Degraded);
    let mut passing = PASSING.into_iter().chain(short);
    passing
        .any(|passing| passing.to_string() == why)
        .then_some(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().expect("a valid name")
    }

    fn candidate(node: &str, excluded: Option<Excluded>) -> Candidate {
        Candidate {
            degraded: false,
            node: name(node),
            chosen: false,
            compared: false,
            score: None,
            parts: None,
            excluded: excluded.map(|excluded| excluded.to_string()),
        }
    }

    /// What is missing when node 1 is used, and node 2 is not for this reason.
    fn missing_when(second: Option<Excluded>) -> Option<String> {
        let candidates = [candidate("node1", None), candidate("node2", second)];
        unready(&candidates, &[name("node1"), name("node2")], true)
    }

    // If this fails, a cluster says that it is ready and the first upload is refused.
    #[test]
    fn a_node_that_is_about_to_be_used_is_waited_for() {
        assert_eq!(missing_when(None), None);
        for passing in [Excluded::Down, Excluded::NoShard, Excluded::Unknown] {
            let expected = format!("node2 is not used: {passing}");
            assert_eq!(missing_when(Some(passing)), Some(expected));
        }
        let alone = [candidate("node1", None)];
        let both = [name("node1"), name("node2")];
        assert_eq!(
            unready(&alone, &both, true).as_deref(),
            Some("node2 is not used: the distributor does not know it")
        );
        let short = [
            candidate("node1", None),
            candidate("node2", Some(Excluded::Degraded)),
        ];
        assert!(unready(&short, &both, false).is_some());
        assert_eq!(
            absent(&BTreeMap::new(), &both).as_deref(),
            Some("node1 is not up")
        );
    }

    // If this fails, a cluster does not start any more once a disk is nearly full, or a copy is lost,
    // and nothing of it can be read or deleted.
    #[test]
    fn a_node_that_has_no_room_is_not_waited_for() {
        let lasting = [
            Excluded::Full,
            Excluded::CopyFull,
            Excluded::Degraded,
            Excluded::Draining,
        ];
        for lasting in lasting {
            assert_eq!(missing_when(Some(lasting)), None, "{lasting}");
        }
    }
}
