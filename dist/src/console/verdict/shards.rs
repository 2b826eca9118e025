//! Shards that nobody leads, that lack copies, or whose copies are not as they should be.

use std::collections::BTreeSet;

use wire::membership::{Health, NodesAnswer, ShardEntry, ShardReplica};

use super::words::{agreeing, names, number};
use super::{Cluster, Verdict, bad, warn};
use crate::console::figures::count;

/// Changes that wait for the catalog are a backlog from here on.
const UNLISTED_MANY: u64 = 10_000;

/// Copies whose log failed: worse where no other one leads.
pub(super) fn halted(cluster: &Cluster) -> Option<Verdict> {
    const ADVICE: &str = "Look after the disk there, then start the node again: it reads everything back and catches up. The node's log says what failed.";
    let shards = &cluster.nodes.shards;
    // One that waits may still name the leader that it had.
    let leaderless = |shard: &&ShardEntry| shard.waits || shard.leader.is_none();
    let leaderless: Vec<_> = shards
        .iter()
        .filter(leaderless)
        .filter_map(|shard| {
            halted_in(&cluster.nodes, shard).find(|replica| may_lead(shard, replica))
        })
        .collect();
    if !leaderless.is_empty() {
        let have = number(leaderless.len() as u64, "shard", ["has", "have"]);
        let on = places(&leaderless);
        let sentence = format!("{have} no leader, because of logs that failed on {on}.");
        return Some(bad(sentence, ADVICE));
    }
    let halted = shards
        .iter()
        .flat_map(|shard| halted_in(&cluster.nodes, shard));
    let halted: Vec<_> = halted.collect();
    let all = halted.len() as u64;
    (all > 0).then(|| {
        let copies = agreeing(all, ["copy", "copies"]);
        let take = agreeing(all, ["takes no part: its log", "take no part: their logs"]);
        let on = places(&halted);
        let sentence = format!("{} {copies} on {on} {take} failed.", count(all));
        warn(sentence, ADVICE)
    })
}

/// The copies of a shard whose log failed, and which a restart of a node that runs would mend.
fn halted_in<'a>(
    nodes: &'a NodesAnswer,
    shard: &'a ShardEntry,
) -> impl Iterator<Item = &'a ShardReplica> {
    let is_up = |replica: &&ShardReplica| {
        let entry = nodes.nodes.get(&replica.node);
        entry.is_some_and(|entry| entry.health == Health::Up)
    };
    let replicas = shard.replicas.iter();
    replicas
        .filter(|replica| replica.progress.halted)
        .filter(is_up)
}

/// Whether it would lead if it took part; others have not everything.
fn may_lead(shard: &ShardEntry, replica: &ShardReplica) -> bool {
    let mut named = shard.in_sync.iter().chain(&shard.eligible);
    named.any(|node| *node == replica.node)
}

fn places(replicas: &[&ShardReplica]) -> String {
    let each = replicas.iter().map(|replica| replica.node.as_str());
    let each: BTreeSet<&str> = each.collect();
    names(&Vec::from_iter(each))
}

/// Some that wait for an operator.
pub(super) fn waiting(cluster: &Cluster) -> Option<Verdict> {
    let waiting = counting(cluster, |shard| shard.waits);
    (waiting > 0).then(|| {
        let wait = number(waiting, "shard", ["waits", "wait"]);
        bad(
            format!("{wait} for nodes that have all of it."),
            "Bring those nodes back. If they are lost for good, `client recover` shows what copies are left.",
        )
    })
}

/// Some that nobody leads.
pub(super) fn leaderless(cluster: &Cluster) -> Option<Verdict> {
    let leaderless = counting(cluster, |shard| shard.leader.is_none());
    (leaderless > 0).then(|| {
        let have = number(leaderless, "shard", ["has", "have"]);
        bad(
            format!("{have} no leader at this moment."),
            "Another copy takes over within seconds. If it does not, bring the silent nodes back.",
        )
    })
}

/// Some of which there are fewer copies than there should be.
pub(super) fn short_of_copies(cluster: &Cluster) -> Option<Verdict> {
    let wanted = cluster.nodes.copies.map_or(0, usize::from);
    let short = counting(cluster, |shard| {
        let kept = shard.replicas.len();
        shard.degraded || kept < wanted || shard.replicas.iter().any(|replica| !replica.in_sync)
    });
    (short > 0).then(|| {
        let have = number(short, "shard", ["has", "have"]);
        warn(
            format!("{have} fewer copies in sync than there should be."),
            "Copies catch up or are made anew by themselves; this needs enough nodes with room.",
        )
    })
}

fn counting(cluster: &Cluster, is_such: impl Fn(&ShardEntry) -> bool) -> u64 {
    let shards = cluster.nodes.shards.iter();
    shards.filter(|shard| is_such(shard)).count() as u64
}

/// Copies that are not as they were written.
pub(super) fn damaged(cluster: &Cluster) -> Option<Verdict> {
    let damaged = cluster.stats.total.damaged;
    (damaged > 0).then(|| {
        let are = agreeing(damaged, ["copy is", "copies are"]);
        warn(
            format!("{} {are} damaged.", count(damaged)),
            "What another node has whole is repaired by itself. If this stays, there is no such node: the nodes' logs name the records that cannot be repaired, and `client verify ID` compares all copies. A disk may be failing.",
        )
    })
}

/// Changes that the catalog does not show yet.
pub(super) fn unlisted(cluster: &Cluster) -> Option<Verdict> {
    let unlisted = cluster.stats.total.unlisted;
    (unlisted > UNLISTED_MANY).then(|| {
        let wait = number(unlisted, "change", ["waits", "wait"]);
        warn(
            format!("{wait} for the catalog."),
            "All are stored. If the number grows, the database is too slow for this load.",
        )
    })
}
