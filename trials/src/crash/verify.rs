//! Reads everything back, from the nodes and from the catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep};
use wire::content::{ContentPage, Status};
use wire::error::Retry;
use wire::stats::NodeStats;
use wire::{Checksum, Code, ContentId, ErrorBody, routes};

use super::ledger::{Ledger, State, Version};
use super::worker::Worker;
use crate::fleet::Fleet;
use crate::http;

/// How long a service that has just started may refuse to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Contents that were not touched in a round are read with this chance.
const UNTOUCHED_READ: f64 = 0.05;

/// What a look at one content shows.
#[derive(Debug)]
pub enum Seen {
    /// It is there, or it is not.
    State(State),
    /// The node does not say at this moment.
    Away(String),
    /// An answer that must not be.
    Wrong(String),
}

/// Reads one content from its node.
pub async fn look(client: &reqwest::Client, node: &str, id: ContentId) -> Seen {
    let answer = match client.get(routes::retrieve(node, id)).send().await {
        Ok(answer) => answer,
        Err(error) => return Seen::Away(error.to_string()),
    };
    let status = answer.status();
    let number = answer
        .headers()
        .get(routes::VERSION_HEADER)
        .and_then(|v| v.to_str().ok());
    let number = number.and_then(|text| text.parse::<u64>().ok());
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return Seen::Away(error.to_string()),
    };
    if status.is_success() {
        let Some(number) = number else {
            return Seen::Wrong(format!("{status} without {}", routes::VERSION_HEADER));
        };
        let checksum = Checksum(*blake3::hash(&body).as_bytes());
        return Seen::State(Some(Version {
            number,
            size: body.len() as u64,
            checksum,
        }));
    }
    match serde_json::from_slice::<ErrorBody>(&body).map(|error| error.code) {
        Ok(Code::NotFound | Code::Deleted) => Seen::State(None),
        Ok(code) if code.retry() == Retry::Never || code == Code::Damaged => {
            Seen::Wrong(format!("{status}: {}", String::from_utf8_lossy(&body)))
        }
        Ok(code) => Seen::Away(format!("{code:?}")),
        Err(_) => Seen::Wrong(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

/// Reads a worker's contents back and settles what was open: those that it touched and some of
/// the others, or everything. Gives how many, and what is wrong.
pub async fn contents(worker: &mut Worker, everything: bool) -> (u64, Vec<String>) {
    let (mut verified, mut violations) = (0, Vec::new());
    for (id, expected) in &mut worker.ledger.contents {
        if !everything && !expected.touched && !worker.chance.random_bool(UNTOUCHED_READ) {
            continue;
        }
        verified += 1;
        match look_patiently(&worker.client, &expected.node, *id).await {
            Seen::State(seen) => {
                if !expected.allows(seen) {
                    violations.push(format!("{id}: found {seen:?}, expected {expected:?}"));
                }
                expected.settle(seen);
            }
            Seen::Wrong(why) | Seen::Away(why) => violations.push(format!("{id}: {why}")),
        }
    }
    (verified, violations)
}

async fn look_patiently(client: &reqwest::Client, node: &str, id: ContentId) -> Seen {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look(client, node, id).await {
            Seen::Away(_) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
            seen => return seen,
        }
    }
}

/// Compares the catalog with what the clients know, until they agree or patience ends: what was
/// committed just before a kill is listed a little after the restart.
///
/// # Errors
/// When a service does not answer.
pub async fn catalog(fleet: &Fleet, ledgers: &[&Ledger]) -> anyhow::Result<Vec<String>> {
    let client = http::client()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let different = compare(rows(&client, fleet.url()).await?, ledgers);
        let unlisted = unlisted(&client, fleet).await?;
        if different.is_empty() && unlisted == 0 {
            return Ok(different);
        }
        if Instant::now() >= deadline {
            let late = format!("after {PATIENCE:?}, {unlisted} records are not listed");
            return Ok(different.into_iter().chain([late]).collect());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn compare(mut rows: BTreeMap<ContentId, Version>, ledgers: &[&Ledger]) -> Vec<String> {
    let mut different = Vec::new();
    for (id, version) in ledgers.iter().flat_map(|ledger| ledger.live()) {
        match rows.remove(id) {
            Some(row) if row == *version => {}
            other => different.push(format!("{id}: listed as {other:?}, is {version:?}")),
        }
    }
    different.extend(
        rows.keys()
            .map(|id| format!("{id}: listed, and nothing is there")),
    );
    different
}

async fn unlisted(client: &reqwest::Client, fleet: &Fleet) -> anyhow::Result<u64> {
    let mut unlisted = 0;
    for node in fleet.node_urls() {
        let stats: NodeStats = http::json(client.get(format!("{node}{}", routes::STATS))).await?;
        unlisted += stats.unlisted;
    }
    Ok(unlisted)
}

async fn rows(
    client: &reqwest::Client,
    dist: &str,
) -> anyhow::Result<BTreeMap<ContentId, Version>> {
    let mut rows = BTreeMap::new();
    let mut after = String::new();
    loop {
        let url = format!("{dist}{}?limit=1000{after}", routes::CONTENT);
        let page: ContentPage = http::json(client.get(url)).await?;
        for item in page.items {
            anyhow::ensure!(
                item.status == Status::Ok,
                "{} is {:?}",
                item.row.id,
                item.status
            );
            let version = Version {
                number: item.row.version,
                size: item.row.size,
                checksum: item.row.checksum,
            };
            rows.insert(item.row.id, version);
        }
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::ledger::Expectation;
    use wire::ShardNo;

    // If this fails, a catalog that lost or kept a row passes for one that is right.
    #[test]
    fn every_difference_is_named() {
        let version = |number| Version {
            number,
            size: 1,
            checksum: Checksum([1; 32]),
        };
        let id = |random| ContentId::mint(ShardNo(1), 0, random);
        let mut ledger = Ledger::default();
        for random in 0..3 {
            let expected = Expectation {
                node: String::new(),
                certain: Some(version(2)),
                possible: None,
                touched: false,
            };
            ledger.contents.insert(id(random), expected);
        }
        let rows = |list: &[(u64, u64)]| list.iter().map(|(r, n)| (id(*r), version(*n))).collect();
        assert!(compare(rows(&[(0, 2), (1, 2), (2, 2)]), &[&ledger]).is_empty());
        assert_eq!(
            compare(rows(&[(0, 2), (1, 1), (7, 1)]), &[&ledger]).len(),
            3
        );
    }
}
