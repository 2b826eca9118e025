//! Whether the bytes on disk are explained by what the nodes say of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::routes;
use wire::stats::{NodeStats, Space};

use super::ledger::Ledger;
use crate::fleet::Fleet;
use crate::http;

/// How long giving space back may take in the background.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one record takes beside its payload, at the most: header, block checksums, alignment.
const RECORD_BYTES: u64 = 8 * 1024;

/// What is there whatever is stored: directories, records of shards, an index of an empty log.
const FIXED_BYTES: u64 = 4 << 20;

/// Says what is wrong with the space that the nodes use; nothing when it is explained within a
/// few seconds.
///
/// # Errors
/// When a node does not answer.
pub async fn explained(fleet: &Fleet, ledgers: &[&Ledger]) -> anyhow::Result<Vec<String>> {
    let client = http::client()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut nodes = Vec::new();
        for (place, node) in (1..).zip(fleet.node_urls()) {
            let stats: NodeStats =
                http::json(client.get(format!("{node}{}", routes::STATS))).await?;
            nodes.push((
                fleet.name(place).to_owned(),
                stats,
                on_disk(&fleet.data(place))?,
            ));
        }
        let wrong = compare(&nodes, ledgers, fleet.copies());
        if wrong.is_empty() || Instant::now() >= deadline {
            return Ok(wrong);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Compares what all nodes hold with what there is, so many times.
fn compare(nodes: &[(String, NodeStats, u64)], ledgers: &[&Ledger], copies: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut total = Space::default();
    for (name, stats, on_disk) in nodes {
        wrong.extend(unbalanced(name, stats, *on_disk));
        total.add(&stats.space);
    }
    let contents: u64 = nodes.iter().map(|(_, stats, _)| stats.contents).sum();
    let live = ledgers.iter().flat_map(|ledger| ledger.live());
    let (count, bytes) = live.fold((0, 0), |(n, sum), (_, version)| (n + 1, sum + version.size));
    if contents != copies * count {
        wrong.push(format!(
            "the nodes count {contents} contents, there are {count}, {copies} times"
        ));
    }
    let tried: u64 = ledgers.iter().map(|ledger| ledger.tried).sum();
    let superseded: u64 = ledgers.iter().map(|ledger| ledger.small_superseded).sum();
    let least_live = copies * bytes;
    let most_live = copies * (bytes + bytes / 50 + tried * RECORD_BYTES);
    if total.live < least_live || total.live > most_live {
        wrong.push(format!(
            "{} bytes are live; contents have {bytes}, {copies} times",
            total.live
        ));
    }
    let most_dead = copies * (superseded + tried * RECORD_BYTES);
    if total.dead > most_dead {
        wrong.push(format!(
            "{} bytes are dead; small records explain {most_dead}",
            total.dead
        ));
    }
    wrong
}

/// The sums that every node's statistics must keep.
fn unbalanced(name: &str, stats: &NodeStats, on_disk: u64) -> Option<String> {
    let Space {
        log,
        live,
        dead,
        holes,
        overhead,
        ..
    } = stats.space;
    let kept = log.checked_sub(holes);
    if kept != Some(live + dead + overhead) {
        return Some(format!(
            "{name}: log − holes is not live + dead + overhead: {:?}",
            stats.space
        ));
    }
    // The disk holds whole blocks, and preallocated ones beyond a file's end.
    if on_disk.abs_diff(stats.storage) > FIXED_BYTES || kept > Some(stats.storage) {
        return Some(format!(
            "{name}: {on_disk} bytes on disk, statistics say {stats:?}"
        ));
    }
    None
}

/// The bytes that a folder takes on its disk, holes not counted.
///
/// # Errors
/// When the folder cannot be read.
pub fn on_disk(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A segment may be rewritten and removed while this looks.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            bytes += on_disk(&entry.path())?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(space: Space) -> NodeStats {
        NodeStats {
            storage: 100 << 20,
            space,
            ..NodeStats::default()
        }
    }

    // If this fails, a leak on disk goes unnoticed.
    #[test]
    fn space_that_nobody_accounts_for_is_found() {
        let balanced = Space {
            log: 90,
            live: 50,
            dead: 10,
            overhead: 20,
            holes: 10,
            ..Space::default()
        };
        assert_eq!(unbalanced("node1", &stats(balanced), 100 << 20), None);
        assert!(
            unbalanced(
                "node1",
                &stats(Space {
                    dead: 11,
                    ..balanced
                }),
                100 << 20
            )
            .is_some()
        );
        assert!(unbalanced("node1", &stats(balanced), 200 << 20).is_some());
        let nodes = [("node1".to_owned(), stats(Space::default()), 100 << 20)];
        assert!(compare(&nodes, &[], 2).is_empty());
        let leaked = Space {
            log: 10 << 20,
            dead: 10 << 20,
            ..Space::default()
        };
        let nodes = [("node1".to_owned(), stats(leaked), 100 << 20)];
        assert_eq!(compare(&nodes, &[], 2).len(), 1);
    }
}
