//! Whether the bytes on disk are explained by what the nodes say of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use wire::membership::NodesAnswer;
use wire::routes;
use wire::stats::{NodeStats, Space};

use super::ledger::{HEAD_BYTES, Ledger};
use crate::fleet::Fleet;
use crate::http;

/// How long giving space back may take in the background: what a failing disk could not read is read again
/// after a rest that is at the most as long as the disk failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is there whatever is stored: directories, records of shards, an index of an empty log.
const FIXED_BYTES: u64 = 4 << 20;

/// A log's last segment is never rewritten, whatever of it is dead.
const SEGMENT_BYTES: u64 = 256 << 20;

/// What a log may have allocated ahead of its end, and the headers of its segments.
const AHEAD_BYTES: u64 = 9 << 20;

/// The share of a log that alignment takes at the most: a payload from 64 KiB on begins at a block of
/// 4 KiB, and a small record's header is many times as long as what it is aligned to.
const ALIGNED_SHARE: u64 = 8;

/// What a node says of its disk, and what is there.
struct Told {
    name: String,
    stats: NodeStats,
    on_disk: u64,
    /// Logs that it keeps.
    logs: u64,
}

/// What all copies hold together at the most, and must hold at least.
#[derive(Debug)]
struct Bounds {
    contents: u64,
    live_min: u64,
    live_max: u64,
    /// What was superseded. It only grows, so that it says little after hours.
    dead_max: u64,
}

/// Says what is wrong with the space that the nodes use; nothing when it is explained within a
/// few seconds.
///
/// # Errors
/// When a node does not answer.
pub async fn explained(fleet: &Fleet, ledgers: &[&Ledger]) -> anyhow::Result<Vec<String>> {
    let client = http::client()?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asked = client.get(format!("{}{}", fleet.url(), routes::NODES));
        let cluster: NodesAnswer = http::json(asked).await?;
        let mut nodes = Vec::new();
        for (place, node) in fleet.node_places().zip(fleet.node_urls()) {
            let stats: NodeStats =
                http::json(client.get(format!("{node}{}", routes::STATS))).await?;
            let name = fleet.name(place).to_owned();
            nodes.push(Told {
                stats,
                on_disk: on_disk(&fleet.data(place))?,
                logs: logs(&cluster, &name),
                name,
            });
        }
        let epochs = cluster.shards.iter().map(|entry| entry.epoch.0).sum();
        let wrong = compare(&nodes, &Bounds::of(ledgers, epochs, fleet.copies()));
        if wrong.is_empty() || Instant::now() >= deadline {
            return Ok(wrong);
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// How many replicas a node has.
fn logs(cluster: &NodesAnswer, name: &str) -> u64 {
    let replicas = cluster.shards.iter().flat_map(|entry| &entry.replicas);
    let own = replicas.filter(|replica| replica.node.as_str() == name);
    own.count() as u64
}

impl Bounds {
    /// What must be there: the contents of the ledgers, `copies` times, after so many epochs. Beside
    /// them only a delete is needed of what is gone, and the first record of each epoch.
    fn of(ledgers: &[&Ledger], epochs: u64, copies: u64) -> Bounds {
        let mut bounds = Bounds {
            contents: 0,
            live_min: 0,
            live_max: copies * epochs * HEAD_BYTES,
            dead_max: 0,
        };
        for ledger in ledgers {
            for (_, version) in ledger.live() {
                bounds.contents += copies;
                bounds.live_min += copies * version.size;
                bounds.live_max += copies * version.bytes_max();
            }
            bounds.live_max += copies * ledger.gone() * HEAD_BYTES;
            bounds.dead_max += copies * ledger.dead_bytes;
        }
        // The first record of an epoch is no change of a client's.
        bounds.dead_max += copies * epochs * HEAD_BYTES;
        bounds
    }
}

/// Compares what all nodes hold with what there is.
fn compare(nodes: &[Told], bounds: &Bounds) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut total = Space::default();
    for node in nodes {
        wrong.extend(unbalanced(&node.name, &node.stats, node.on_disk));
        wrong.extend(unreclaimed(node));
        total.add(&node.stats.space);
    }
    let contents: u64 = nodes.iter().map(|node| node.stats.contents).sum();
    let Space { live, dead, .. } = total;
    if contents != bounds.contents {
        let there = bounds.contents;
        wrong.push(format!(
            "the nodes count {contents} copies, there are {there}"
        ));
    }
    if live < bounds.live_min || live > bounds.live_max {
        wrong.push(format!(
            "{live} bytes are live, which {bounds:?} do not explain"
        ));
    }
    if dead > bounds.dead_max {
        wrong.push(format!(
            "{dead} bytes are dead, which {bounds:?} do not explain"
        ));
    }
    wrong
}

/// What does not grow, however long a node runs: sealed segments are rewritten when a third of them is
/// dead, and what a log takes beside its records is a share of it.
fn unreclaimed(node: &Told) -> Option<String> {
    let Space {
        log,
        live,
        dead,
        overhead,
        ..
    } = node.stats.space;
    let dead_max = node.logs * SEGMENT_BYTES + live;
    let overhead_max = node.logs * AHEAD_BYTES + log / ALIGNED_SHARE;
    (dead > dead_max || overhead > overhead_max).then(|| {
        let (name, space, logs) = (&node.name, &node.stats.space, node.logs);
        format!("{name}: space does not come back in {logs} logs: {space:?}")
    })
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
    use super::super::ledger::{Expectation, Version};
    use super::*;
    use wire::{Checksum, ContentId, ShardNo};

    fn stats(space: Space) -> NodeStats {
        NodeStats {
            storage: 100 << 20,
            space,
            ..NodeStats::default()
        }
    }

    fn told(space: Space) -> Told {
        Told {
            name: "node1".to_owned(),
            stats: stats(space),
            on_disk: 100 << 20,
            logs: 1,
        }
    }

    /// So much live, dead and beside it, in sums that are right.
    fn of(live: u64, dead: u64, overhead: u64) -> Space {
        Space {
            log: live + dead + overhead,
            live,
            dead,
            overhead,
            ..Space::default()
        }
    }

    // If this fails, a leak on disk goes unnoticed.
    #[test]
    fn space_that_nobody_accounts_for_is_found() {
        let balanced = Space {
            log: 90,
            holes: 10,
            ..of(50, 10, 20)
        };
        let is_balanced = |space, on_disk| unbalanced("node1", &stats(space), on_disk).is_none();
        assert!(is_balanced(balanced, 100 << 20));
        let other = Space {
            dead: 11,
            ..balanced
        };
        assert!(!is_balanced(other, 100 << 20));
        assert!(!is_balanced(balanced, 200 << 20));
        let none = Bounds::of(&[], 0, 2);
        assert!(compare(&[told(Space::default())], &none).is_empty());
        assert_eq!(compare(&[told(of(0, 10 << 20, 0))], &none).len(), 1);
        assert_eq!(compare(&[told(of(10 << 20, 0, 0))], &none).len(), 1);
    }

    // If this fails, the longer a run is, the more a node may keep of what nobody needs.
    #[test]
    fn what_may_be_there_does_not_grow_with_what_was_done() {
        let mut ledger = Ledger::default();
        for random in 0..1000 {
            let expected = Expectation {
                node: String::new(),
                former: Vec::new(),
                certain: (random == 0).then_some(Version {
                    number: 1,
                    size: 5 << 20,
                    checksum: Checksum([1; 32]),
                }),
                possible: None,
                sent: Vec::new(),
                touched: false,
            };
            let id = ContentId::mint(ShardNo(1), 0, random);
            ledger.contents.insert(id, expected);
        }
        ledger.dead_bytes = 1 << 50;
        let bounds = Bounds::of(&[&ledger], 3, 1);
        let compare = |space| {
            let mut node = told(space);
            node.stats.contents = 1;
            node.stats.storage = space.log;
            node.on_disk = space.log;
            compare(&[node], &bounds)
        };
        assert!(compare(of(5 << 20, 0, 0)).is_empty());
        assert!(compare(of((5 << 20) + 800_000, 200 << 20, 8 << 20)).is_empty());
        assert_eq!(compare(of(7 << 20, 0, 0)).len(), 1, "live for nobody");
        assert_eq!(
            compare(of(5 << 20, 300 << 20, 0)).len(),
            1,
            "never rewritten"
        );
        assert_eq!(compare(of(5 << 20, 0, 20 << 20)).len(), 1, "beside records");
    }
}
