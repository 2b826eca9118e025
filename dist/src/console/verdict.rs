//! The cluster in one sentence: that it is healthy, or what to do.

mod clocks;
mod drains;
mod nodes;
mod shards;
mod versions;
mod words;

use std::cmp::Reverse;

use wire::membership::{Health, ServiceRole};

use super::overview::Cluster;
use words::number;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing is to be done.
    Well,
    /// It serves; something should be looked at.
    Warn,
    /// Something does not work.
    Bad,
}

/// The sentence, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    pub(crate) sentence: String,
    pub(crate) advice: Option<&'static str>,
}

/// Finds something that is the matter.
type Look = fn(&Cluster) -> Option<Verdict>;

/// Everything that is looked for. Of what is equally bad the first is told: what comes later is often
/// its consequence, or cannot be mended before.
const LOOKS: [Look; 17] = [
    nodes::none,
    catalog_away,
    coordinator_away,
    shards::halted,
    shards::waiting,
    shards::leaderless,
    nodes::copying_held,
    nodes::away,
    nodes::distributors_away,
    shards::damaged,
    shards::short_of_copies,
    clocks::wrong,
    nodes::full,
    drains::stuck,
    nodes::nearly_full,
    shards::unlisted,
    versions::differ,
];

/// The worst of what is the matter.
pub(crate) fn verdict(cluster: &Cluster) -> Verdict {
    let found = LOOKS.iter().filter_map(|look| look(cluster));
    let worst = found.min_by_key(|verdict| Reverse(verdict.level));
    worst.unwrap_or_else(|| well(cluster))
}

fn well(cluster: &Cluster) -> Verdict {
    let up = services(cluster, ServiceRole::Node, Health::Up).len() as u64;
    let up = number(up, "node", ["is", "are"]);
    Verdict {
        level: Level::Well,
        sentence: format!("All is well: {up} up, and every shard has its copies in sync."),
        advice: None,
    }
}

/// While it is away, nobody knows whether the coordinator answers: distributors do not ask it then.
fn catalog_away(cluster: &Cluster) -> Option<Verdict> {
    (!cluster.catalog_up).then(|| {
        bad(
            "The catalog database does not answer.".to_owned(),
            "Uploads and reads by link go on, and are listed when it is back; a leader that is lost is not replaced meanwhile. Look after the database at DATABASE_URL.",
        )
    })
}

/// This is also when nobody is in office: as long as it answers, whoever asks takes a vacant office.
fn coordinator_away(cluster: &Cluster) -> Option<Verdict> {
    (!cluster.coordinator_up).then(|| {
        bad(
            "The coordinator does not answer this distributor.".to_owned(),
            "Uploads, reads and lists go on, but a leader that is lost is not replaced, unless another distributor can. Look after ZooKeeper if COORDINATOR names it, else after the database.",
        )
    })
}

fn bad(sentence: String, advice: &'static str) -> Verdict {
    Verdict {
        level: Level::Bad,
        sentence,
        advice: Some(advice),
    }
}

fn warn(sentence: String, advice: &'static str) -> Verdict {
    Verdict {
        level: Level::Warn,
        sentence,
        advice: Some(advice),
    }
}

/// The names of the services of this kind that are so.
fn services(cluster: &Cluster, role: ServiceRole, health: Health) -> Vec<&str> {
    let each = cluster.nodes.nodes.iter();
    each.filter(|(_, entry)| entry.role == role && entry.health == health)
        .map(|(name, _)| name.as_str())
        .collect()
}
