//! Waiting until the services have found together.

use std::time::Duration;

use dist::Excluded;
use reqwest::StatusCode;
use tokio::time::{Instant, sleep};
use wire::NodeName;
use wire::placement::{Candidate, Place};
use wire::routes;

/// A first start makes shards, a later one reads indexes; half a minute is plenty for both.
const READY_TIME_MAX: Duration = Duration::from_secs(30);

/// How often the distributor is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(20);

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
        Ok(answer) => return refused(url, answer.status()),
        Err(error) => return Some(format!("{url} does not answer: {error}")),
    };
    match answer.json::<Place>().await {
        Ok(place) => unready(place.explain.as_deref().unwrap_or_default(), nodes),
        Err(error) => Some(format!("{url} answers what is no place: {error}")),
    }
}

/// What is missing when there is no place. If only room is, nothing is gained by waiting.
fn refused(url: &str, status: StatusCode) -> Option<String> {
    (status != StatusCode::INSUFFICIENT_STORAGE).then(|| format!("{url} answers {status}"))
}

/// Says which of these nodes is not ready, and why.
fn unready(candidates: &[Candidate], nodes: &[NodeName]) -> Option<String> {
    nodes.iter().find_map(|name| {
        let why = match candidates.iter().find(|c| c.node == *name) {
            Some(candidate) => passing(candidate)?,
            None => "the distributor does not know it",
        };
        Some(format!("{name} is not used: {why}"))
    })
}

/// Why a node is not used yet; none when it is, or will not be for waiting.
fn passing(candidate: &Candidate) -> Option<&str> {
    let why = candidate.excluded.as_deref()?;
    PASSING
        .iter()
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
        unready(&candidates, &[name("node1"), name("node2")])
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
        assert_eq!(
            unready(&alone, &[name("node1"), name("node2")]).as_deref(),
            Some("node2 is not used: the distributor does not know it")
        );
        let status = StatusCode::SERVICE_UNAVAILABLE;
        assert!(refused("http://d", status).is_some());
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
        assert_eq!(refused("http://d", StatusCode::INSUFFICIENT_STORAGE), None);
    }
}
