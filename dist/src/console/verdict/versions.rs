//! Which versions of the program run: an upgrade is not at its end before they are all the same.

use std::collections::BTreeMap;

use super::words::names;
use super::{Cluster, Verdict, warn};

/// Services of different versions. What other distributors run is not known here.
pub(super) fn differ(cluster: &Cluster) -> Option<Verdict> {
    let own = ("this distributor", &cluster.stats.total);
    let nodes = cluster.stats.nodes.iter();
    let nodes = nodes.filter_map(|(name, stats)| Some((name.as_str(), stats.as_ref()?)));
    let mut running: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, stats) in std::iter::once(own).chain(nodes) {
        // Whoever does not tell is not judged.
        if !stats.version.is_empty() {
            running.entry(&stats.version).or_default().push(name);
        }
    }
    (running.len() > 1).then(|| {
        let each = running
            .iter()
            .map(|(version, who)| format!("{version} ({})", names(who)));
        let each: Vec<String> = each.collect();
        warn(
            format!("Services are of different versions: {}.", each.join("; ")),
            "Finish the upgrade: restart the others with the same version.",
        )
    })
}
