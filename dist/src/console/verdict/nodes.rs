//! Nodes and distributors that are away, and nodes that are full.

use wire::NodeName;
use wire::limits::{STORAGE_PERCENT_PLACED_MAX, STORAGE_PERCENT_TOLD};
use wire::membership::{Health, ServiceRole};

use super::words::{agreeing, all, names};
use super::{Cluster, Verdict, bad, services, warn};

/// None that answers.
pub(super) fn none(cluster: &Cluster) -> Option<Verdict> {
    let down = services(cluster, ServiceRole::Node, Health::Down);
    if !services(cluster, ServiceRole::Node, Health::Up).is_empty() {
        return None;
    }
    if down.is_empty() {
        return Some(warn(
            "No storage node has come yet.".to_owned(),
            "Start a node and tell it where this distributor is: `node --dist URL`.",
        ));
    }
    Some(bad(
        format!("No storage node answers ({}).", names(&down)),
        "Nothing can be read or stored. Start the nodes again; what they keep is on their disks.",
    ))
}

/// So many that hold something that nothing is copied.
pub(super) fn copying_held(cluster: &Cluster) -> Option<Verdict> {
    let silent = cluster.copying_held_by.iter().map(NodeName::as_str);
    let silent: Vec<&str> = silent.collect();
    (!silent.is_empty()).then(|| {
        let away = all(&silent, ["does", "do"]);
        bad(
            format!("{away} not answer: over a third of the nodes that hold something, so nothing is copied."),
            "So many at once may be the network. Bring them back, or remove those that are gone for good with `client remove --force`.",
        )
    })
}

/// Some that do not answer.
pub(super) fn away(cluster: &Cluster) -> Option<Verdict> {
    let down = services(cluster, ServiceRole::Node, Health::Down);
    (!down.is_empty()).then(|| {
        let away = all(&down, ["does", "do"]);
        warn(
            format!("{away} not answer; the others have taken over."),
            "Start it again, or, if it is gone for good, remove it with `client remove --force`.",
        )
    })
}

/// Other distributors that do not answer.
pub(super) fn distributors_away(cluster: &Cluster) -> Option<Verdict> {
    let down = services(cluster, ServiceRole::Distributor, Health::Down);
    (!down.is_empty()).then(|| {
        let away = all(&down, ["does", "do"]);
        warn(
            format!("{away} not answer; this distributor does."),
            "Start it again, or, if it is gone for good, remove it with `client remove`.",
        )
    })
}

/// Some that take nothing any more.
pub(super) fn full(cluster: &Cluster) -> Option<Verdict> {
    let full = cluster.stats.nodes.iter().filter(|(_, stats)| {
        let share = stats.as_ref().map(|stats| stats.storagep);
        share.is_some_and(|share| share > STORAGE_PERCENT_PLACED_MAX)
    });
    let full: Vec<&str> = full.map(|(name, _)| name.as_str()).collect();
    (!full.is_empty()).then(|| {
        let are = all(&full, ["is", "are"]);
        let take = agreeing(full.len() as u64, ["takes", "take"]);
        warn(
            format!("{are} full and {take} no new content."),
            "Others take it while they have room. Add nodes, raise MAX_STORAGE, or delete something.",
        )
    })
}

/// All together are soon full.
pub(super) fn nearly_full(cluster: &Cluster) -> Option<Verdict> {
    let share = cluster.stats.total.storagep;
    (share > STORAGE_PERCENT_TOLD).then(|| {
        warn(
            format!("The storage is {share:.0} % full."),
            "Add nodes or raise MAX_STORAGE: above 90 % nodes take no new content.",
        )
    })
}
