//! Nodes' disks, what waits to be listed, and which versions run.

use std::collections::BTreeMap;

use wire::limits::{
    LISTING_OPERATIONS_MAX, STORAGE_PERCENT_PLACED_MAX, STORAGE_PERCENT_STORED_MAX,
    STORAGE_PERCENT_TOLD,
};
use wire::stats::NodeStats;

use crate::ui::human;

use super::examined::{Examined, Service};
use super::finding::Finding;

/// One segment of a log: with less, nothing is rewritten, and little is given back.
const DISK_FREE_MIN: u64 = 256 << 20;

/// This client's.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in &examined.nodes {
        let stats = service
            .answers
            .as_ref()
            .ok()
            .and_then(|answers| answers.own.stats.as_ref().ok());
        if let Some(stats) = stats {
            findings.push(storage(&service.name, stats));
            findings.extend(listing(&service.name, stats));
        }
    }
    let distributors = examined.distributors.iter().filter_map(version);
    let nodes = examined.nodes.iter().filter_map(version);
    findings.extend(versions(&distributors.chain(nodes).collect::<Vec<_>>()));
    findings
}

fn storage(name: &str, stats: &NodeStats) -> Finding {
    let NodeStats {
        storage,
        storagep,
        max_storage,
        disk_free,
        ..
    } = stats;
    let (used, most) = (human::size(*storage), human::size(*max_storage));
    let free = human::size(*disk_free);
    let finding = Finding::ok(
        "storage",
        name,
        format!("{storagep:.1} % of {most} used ({used}), {free} free on its disk"),
    );
    let room = "delete contents, raise MAX_STORAGE, or start another node and `client rebalance`";
    if *disk_free < DISK_FREE_MIN {
        finding.demand(format!("its disk is full: make room on it; {room}"))
    } else if *storagep > STORAGE_PERCENT_STORED_MAX {
        finding.demand(format!("it refuses uploads: {room}"))
    } else if *storagep > STORAGE_PERCENT_PLACED_MAX {
        finding.demand(format!("no new contents are sent to it: {room}"))
    } else if *storagep > STORAGE_PERCENT_TOLD {
        finding.advise(format!(
            "at {STORAGE_PERCENT_PLACED_MAX} % it gets no new contents: {room}"
        ))
    } else {
        finding
    }
}

fn listing(name: &str, stats: &NodeStats) -> Option<Finding> {
    let batch = LISTING_OPERATIONS_MAX as u64;
    (stats.unlisted > batch).then(|| {
        let found = format!("{} changes are not in the catalog yet", stats.unlisted);
        let remedy = "look again: if it grows, the catalog is away or slow; nothing is lost";
        Finding::ok("listing", name, found).advise(remedy)
    })
}

fn version<T>(service: &Service<T>) -> Option<(&str, &str)> {
    let version = service.answers.as_ref().ok()?.version.as_ref().ok()?;
    Some((service.name.as_str(), version.as_str()))
}

/// Whether all services are of one version, and this client as well.
fn versions(all: &[(&str, &str)]) -> Option<Finding> {
    let mut named: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in all {
        named.entry(version).or_default().push(name);
    }
    let each = named
        .iter()
        .map(|(version, names)| format!("{version} ({})", names.join(", ")));
    let found = each.collect::<Vec<_>>().join("; ");
    let finding = Finding::ok("versions", "all", found);
    match named.len() {
        0 => None,
        1 if named.contains_key(VERSION) => Some(finding),
        1 => Some(finding.advise(format!("this client is of version {VERSION}: take theirs"))),
        _ => Some(finding.demand("finish the upgrade: restart the others with the same version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    // If this fails, uploads are refused before anybody was told that a disk fills.
    #[test]
    fn a_disk_is_told_before_it_is_full() {
        let level = |storagep, disk_free| {
            let stats = NodeStats {
                storagep,
                disk_free,
                ..NodeStats::default()
            };
            storage("node1", &stats).level
        };
        assert_eq!(level(80.0, 1 << 40), Level::Ok);
        assert_eq!(level(80.1, 1 << 40), Level::Advice);
        assert_eq!(level(90.1, 1 << 40), Level::Problem);
        assert_eq!(level(95.1, 1 << 40), Level::Problem);
        assert_eq!(
            level(1.0, DISK_FREE_MIN - 1),
            Level::Problem,
            "something else filled it"
        );
    }

    // If this fails, a catalog that falls behind is not noticed, or a busy moment is taken for it.
    #[test]
    fn only_more_than_a_batch_waits() {
        let found = |unlisted| {
            let stats = NodeStats {
                unlisted,
                ..NodeStats::default()
            };
            listing("node1", &stats).map(|finding| finding.level)
        };
        assert_eq!((found(4096), found(4097)), (None, Some(Level::Advice)));
    }

    // If this fails, an upgrade that stopped in the middle goes on unnoticed.
    #[test]
    fn versions_that_differ_are_told_with_who_has_them() {
        let level = |all: &[(&str, &str)]| versions(all).map(|finding| finding.level);
        assert_eq!(level(&[]), None);
        assert_eq!(
            level(&[("dist", VERSION), ("node1", VERSION)]),
            Some(Level::Ok)
        );
        assert_eq!(
            level(&[("dist", "9.9.9"), ("node1", "9.9.9")]),
            Some(Level::Advice)
        );
        let mixed = versions(&[("dist", "9.9.9"), ("node1", VERSION), ("node2", VERSION)]);
        let mixed = mixed.expect("told");
        assert_eq!(mixed.level, Level::Problem);
        assert_eq!(
            mixed.found,
            format!("{VERSION} (node1, node2); 9.9.9 (dist)")
        );
    }
}
