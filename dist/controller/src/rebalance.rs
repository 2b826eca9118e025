//! Replicas move from the fullest to the emptiest nodes, when an operator asks for it: those that hold the
//! most and the least of what they have room for.
//!
//! A move is three changes, each decided anew from what is there: a replica is added on the emptier
//! node; when it is in sync, and the fuller node leads, it hands over to another member; then the replica
//! on the fullest node is the surplus that [`decide`](crate::decide) removes. So the shard never has
//! fewer copies than before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use wire::NodeName;
use wire::shard::{Member, ShardRecord};

use crate::hand_over::{hand_over_to, heir};
use crate::make::Offers;
use crate::repair::is_outage;
use crate::room::{Scale, bytes, fits, is_full};
use crate::{Change, Reason, Situation, changed};

/// Nodes count as equally full when they differ by less than this share of the fullest.
const SPREAD_PERCENT_MAX: u64 = 10;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// To be made before what [`decide`](crate::decide) says, which may follow from it.
    pub changes: Vec<Change>,
    /// Nothing is under way, and no move would make the nodes more equal.
    pub done: bool,
}

/// What each node holds of the replicas that records name, in bytes as they weigh there.
type Loads<'a> = BTreeMap<&'a NodeName, u64>;

/// Decides the next steps. Each node takes part in one move at a time.
pub fn rebalance(situation: Situation<'_>) -> Rebalance {
    let nothing = Rebalance {
        changes: Vec::new(),
        done: false,
    };
    if !situation.may_judge || is_outage(situation) {
        return nothing;
    }
    let loads = loads(situation);
    let records = || situation.records.values();
    let moving = |record: &&ShardRecord| is_moving(situation, record);
    let mut changes: Vec<Change> = records()
        .filter(moving)
        .filter_map(|record| hand_on(situation, &loads, record))
        .collect();
    let is_under_way = records().any(|record| moving(&record));
    let scale = Scale::new(situation);
    if !scale.is_partial {
        changes.extend(begin(situation, &loads, &scale));
    }
    Rebalance {
        done: changes.is_empty() && !is_under_way && !scale.is_partial,
        changes,
    }
}

fn loads<'a>(situation: Situation<'a>) -> Loads<'a> {
    let usable = situation.nodes.iter();
    let usable = usable.filter(|(name, seen)| seen.alive && !situation.draining.contains(*name));
    let mut loads: Loads<'a> = usable.map(|(name, _)| (name, 0)).collect();
    for record in situation.records.values() {
        for member in &record.replicas {
            if let Some(load) = loads.get_mut(&member.node) {
                *load += bytes(situation, record, member);
            }
        }
    }
    let scale = Scale::new(situation);
    for (name, load) in &mut loads {
        *load = scale.weigh(name, *load);
    }
    loads
}

/// Whether a shard has more replicas than it shall have, or some that are not in sync: then a move or
/// a repair is under way.
fn is_moving(situation: Situation<'_>, record: &ShardRecord) -> bool {
    record.replicas.len() > usize::from(situation.policy.copies)
        || record.in_sync.len() < record.replicas.len()
}

/// With a surplus that is in sync, the fullest node hands over, so that its replica can go.
fn hand_on(situation: Situation<'_>, loads: &Loads<'_>, record: &ShardRecord) -> Option<Change> {
    let is_whole = record.in_sync.len() == record.replicas.len() && !record.degraded;
    let leader = &record.leader.as_ref()?.member;
    let load = |member: &Member| loads.get(&member.node).copied();
    let fullest = record.replicas.iter().max_by_key(|member| load(member))?;
    if !is_whole || fullest != leader || heir(situation, record).is_some() {
        return None;
    }
    let others = record.in_sync.iter().filter(|member| *member != leader);
    let living = others.filter(|member| situation.holder(record.shard, member).is_some());
    let loaded = living.filter_map(|member| Some((load(member)?, member)));
    let (_, successor) = loaded.min()?;
    Some(hand_over_to(record, successor))
}

/// A new replica on the emptiest node with room, of a shard on the fullest; then of the next two nodes.
fn begin(situation: Situation<'_>, loads: &Loads<'_>, scale: &Scale<'_>) -> Vec<Change> {
    let moving = situation
        .records
        .values()
        .filter(|record| is_moving(situation, record));
    let busy: BTreeSet<&NodeName> = moving
        .flat_map(|record| &record.replicas)
        .map(|member| &member.node)
        .collect();
    let free = loads.iter().filter(|(name, _)| !busy.contains(*name));
    let mut free: Vec<(u64, &NodeName)> = free.map(|(name, load)| (*load, *name)).collect();
    free.sort();
    let mut offers = Offers::new(situation, &[]);
    let mut changes = Vec::new();
    while let Some((most, fullest)) = free.pop() {
        let mut open = free.iter();
        let open = open.find(|(_, name)| !is_full(&situation.nodes[*name]));
        let Some(&(least, emptiest)) = open else {
            break;
        };
        let gap = most - least;
        if gap * 100 < most * SPREAD_PERCENT_MAX || gap == 0 {
            break;
        }
        let moved = candidate(situation, scale, (fullest, emptiest), gap);
        let begun = moved.and_then(|record| {
            let member = offers.take(emptiest, &situation.nodes[emptiest])?;
            Some(changed(record, Reason::Added, |next| {
                next.replicas.push(member);
            }))
        });
        if let Some(change) = begun {
            // Its other nodes take part, too.
            let taken: BTreeSet<&NodeName> = situation.records[&change.record.shard]
                .replicas
                .iter()
                .map(|member| &member.node)
                .chain([emptiest])
                .collect();
            free.retain(|(_, name)| !taken.contains(name));
            changes.push(change);
        }
    }
    changes
}

/// The shard whose move brings two nodes closest to each other; none if each would only change their
/// places, or has no room there.
fn candidate<'a>(
    situation: Situation<'a>,
    scale: &Scale<'_>,
    (from, to): (&NodeName, &NodeName),
    gap: u64,
) -> Option<&'a ShardRecord> {
    let movable = situation.records.values().filter(|record| {
        !is_moving(situation, record)
            && !record.degraded
            && record.member_on(to).is_none()
            && record
                .leader
                .as_ref()
                .is_some_and(|leader| situation.holder(record.shard, &leader.member).is_some())
    });
    let sized = movable.filter_map(|record| {
        let size = bytes(situation, record, record.member_on(from)?);
        let (less, more) = (scale.weigh(from, size), scale.weigh(to, size));
        let fits = fits(&situation.nodes[to], size);
        (0 < less && more < gap && fits).then_some((record, less + more))
    });
    let best = sized.min_by_key(|(record, moved)| {
        let left = gap.abs_diff(*moved);
        (left, Reverse(*moved), record.shard)
    });
    best.map(|(record, _)| record)
}

#[cfg(test)]
mod tests;
