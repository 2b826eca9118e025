//! Whether the catalog lists what there is, and nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::content::{ContentPage, Status};
use wire::stats::NodeStats;
use wire::{ContentId, routes};

use super::ledger::{Ledger, Version};
use crate::fleet::Fleet;
use crate::http;

/// How long listing may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Compares the catalog with what the clients know, until they agree or patience ends: what was
/// committed just before a kill is listed a little after the restart.
///
/// # Errors
/// When a service does not answer.
pub async fn differences(fleet: &Fleet, ledgers: &[&Ledger]) -> anyhow::Result<Vec<String>> {
    differences_within(fleet, ledgers, PATIENCE).await
}

/// As [`differences`], with as much patience as is given.
///
/// # Errors
/// When a node does not answer.
pub async fn differences_within(
    fleet: &Fleet,
    ledgers: &[&Ledger],
    patience: Duration,
) -> anyhow::Result<Vec<String>> {
    let client = http::client()?;
    let deadline = Instant::now() + patience;
    loop {
        let different = match rows(&client, fleet.url()).await {
            Ok(rows) => compare(rows, ledgers),
            // A catalog that was away a moment ago.
            Err(error) => vec![format!("the catalog cannot be read: {error:#}")],
        };
        let unlisted = unlisted(&client, fleet).await?;
        if different.is_empty() && unlisted == 0 {
            return Ok(different);
        }
        if Instant::now() >= deadline {
            let late = format!("after {patience:?}, {unlisted} records are not listed");
            return Ok(different.into_iter().chain([late]).collect());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn compare(mut rows: BTreeMap<ContentId, Version>, ledgers: &[&Ledger]) -> Vec<String> {
    let mut different = Vec::new();
    for (id, expected) in ledgers.iter().flat_map(|ledger| &ledger.contents) {
        let row = rows.remove(id);
        if !expected.allows(row) {
            different.push(format!("{id}: listed as {row:?}, expected {expected:?}"));
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
    use super::super::ledger::Expectation;
    use super::*;
    use wire::{Checksum, ShardNo};

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
                former: Vec::new(),
                certain: Some(version(2)),
                possible: None,
                sent: vec![version(2)],
                touched: false,
            };
            ledger.contents.insert(id(random), expected);
        }
        let unsure = Expectation {
            certain: Some(version(1)),
            possible: Some(None),
            ..Expectation::default()
        };
        ledger.contents.insert(id(3), unsure);
        let rows = |list: &[(u64, u64)]| list.iter().map(|(r, n)| (id(*r), version(*n))).collect();
        let whole = [(0, 2), (1, 2), (2, 2), (3, 1)];
        assert!(compare(rows(&whole), &[&ledger]).is_empty());
        assert!(compare(rows(&whole[..3]), &[&ledger]).is_empty());
        assert_eq!(
            compare(rows(&[(0, 2), (1, 1), (3, 2), (7, 1)]), &[&ledger]).len(),
            4
        );
    }
}
