//! The cluster in one sentence: that it is healthy, or what to do.

use wire::limits::{STORAGE_PERCENT_PLACED_MAX, STORAGE_PERCENT_TOLD};
use wire::membership::{Health, NodesAnswer, ServiceRole};
use wire::stats::ClusterStats;

use super::figures::{count, counted};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Changes that wait for the catalog are a backlog from here on.
const UNLISTED_MANY: u64 = 10_000;

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

/// The worst of what is the matter.
pub(crate) fn verdict(nodes: &NodesAnswer, stats: &ClusterStats, catalog_up: bool) -> Verdict {
    let storage = || {
        let each = nodes.nodes.iter();
        each.filter(|(_, entry)| entry.role == ServiceRole::Node)
    };
    let down: Vec<&str> = storage()
        .filter(|(_, entry)| entry.health == Health::Down)
        .map(|(name, _)| name.as_str())
        .collect();
    let up = storage().count() - down.len();
    stopped(nodes, up, &down, catalog_up)
        .or_else(|| weakened(nodes, stats, &down))
        .unwrap_or_else(|| Verdict {
            level: Level::Well,
            sentence: format!(
                "All is well: {} up, and every shard has its copies in sync.",
                are(up as u64, "node")
            ),
            advice: None,
        })
}

/// What does not work at all.
fn stopped(nodes: &NodesAnswer, up: usize, down: &[&str], catalog_up: bool) -> Option<Verdict> {
    if up == 0 && down.is_empty() {
        return Some(warn(
            "No storage node has come yet.".to_owned(),
            "Start a node and tell it where this distributor is: `node --dist URL`.",
        ));
    }
    if up == 0 {
        return Some(bad(
            format!("No storage node answers ({}).", names(down)),
            "Nothing can be read or stored. Start the nodes again; what they keep is on their disks.",
        ));
    }
    let waiting = nodes.shards.iter().filter(|shard| shard.waits).count();
    if waiting > 0 {
        return Some(bad(
            format!("{} for nodes that have all of it.", waits(waiting as u64)),
            "Bring those nodes back. If they are lost for good, `client recover` shows what copies are left.",
        ));
    }
    let leaderless = nodes.shards.iter().filter(|shard| shard.leader.is_none());
    let leaderless = leaderless.count() as u64;
    if leaderless > 0 {
        return Some(bad(
            format!("{} no leader at this moment.", have(leaderless, "shard")),
            "Another copy takes over within seconds. If it does not, bring the silent nodes back.",
        ));
    }
    (!catalog_up).then(|| {
        bad(
            "The catalog database does not answer.".to_owned(),
            "Uploads and reads by link go on, and are listed when it is back. Look after the database at DATABASE_URL.",
        )
    })
}

/// What works, and is less than it should be.
fn weakened(nodes: &NodesAnswer, stats: &ClusterStats, down: &[&str]) -> Option<Verdict> {
    if !down.is_empty() {
        return Some(warn(
            format!("{} not answer; the others have taken over.", does(down)),
            "Start it again, or, if it is gone for good, remove it with `client remove --force`.",
        ));
    }
    let distributors = nodes.nodes.iter().filter(|(_, entry)| {
        entry.role == ServiceRole::Distributor && entry.health == Health::Down
    });
    let distributors: Vec<&str> = distributors.map(|(name, _)| name.as_str()).collect();
    if !distributors.is_empty() {
        return Some(warn(
            format!("{} not answer; this distributor does.", does(&distributors)),
            "Start it again, or, if it is gone for good, remove it with `client remove`.",
        ));
    }
    if stats.total.damaged > 0 {
        return Some(warn(
            format!(
                "{} damaged and being repaired.",
                damaged(stats.total.damaged)
            ),
            "If this stays, look at the nodes' logs: a disk may be failing.",
        ));
    }
    let wanted = nodes.copies.map_or(0, usize::from);
    let behind = |shard: &&wire::membership::ShardEntry| {
        let kept = shard.replicas.len();
        shard.degraded || kept < wanted || shard.replicas.iter().any(|replica| !replica.in_sync)
    };
    let degraded = nodes.shards.iter().filter(behind).count() as u64;
    if degraded > 0 {
        return Some(warn(
            format!(
                "{} fewer copies in sync than there should be.",
                have(degraded, "shard")
            ),
            "Copies catch up or are made anew by themselves; this needs enough nodes with room.",
        ));
    }
    let full = stats.nodes.iter().filter(|(_, stats)| {
        let share = stats.as_ref().map(|stats| stats.storagep);
        share.is_some_and(|share| share > STORAGE_PERCENT_PLACED_MAX)
    });
    let full: Vec<&str> = full.map(|(name, _)| name.as_str()).collect();
    if !full.is_empty() {
        return Some(warn(
            format!("{} full and {} no new content.", be(&full), take(&full)),
            "Others take it while they have room. Add nodes, raise MAX_STORAGE, or delete something.",
        ));
    }
    if stats.total.storagep > STORAGE_PERCENT_TOLD {
        return Some(warn(
            format!("The storage is {:.0} % full.", stats.total.storagep),
            "Add nodes or raise MAX_STORAGE: above 90 % nodes take no new content.",
        ));
    }
    (stats.total.unlisted > UNLISTED_MANY).then(|| {
        warn(
            format!(
                "{} for the catalog.",
                counted(stats.total.unlisted, "change") + " wait"
            ),
            "All are stored. If the number grows, the database is too slow for this load.",
        )
    })
}

fn names(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    match names.len() {
        0..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

fn are(number: u64, noun: &str) -> String {
    format!(
        "{} {}",
        counted(number, noun),
        if number == 1 { "is" } else { "are" }
    )
}

fn have(number: u64, noun: &str) -> String {
    format!(
        "{} {}",
        counted(number, noun),
        if number == 1 { "has" } else { "have" }
    )
}

fn damaged(number: u64) -> String {
    match number {
        1 => "1 copy is".to_owned(),
        _ => format!("{} copies are", count(number)),
    }
}

fn waits(number: u64) -> String {
    format!(
        "{} {}",
        counted(number, "shard"),
        if number == 1 { "waits" } else { "wait" }
    )
}

fn be(nodes: &[&str]) -> String {
    let verb = if nodes.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", names(nodes))
}

fn take(nodes: &[&str]) -> &'static str {
    if nodes.len() == 1 { "takes" } else { "take" }
}

fn does(down: &[&str]) -> String {
    format!(
        "{} {}",
        names(down),
        if down.len() == 1 { "does" } else { "do" }
    )
}
