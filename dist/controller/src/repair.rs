//! As many replicas as there shall be: new ones for those that are gone for good, and none too many.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use wire::NodeName;
use wire::shard::{Member, ShardRecord};

use crate::hand_over::heir;
use crate::make::Offers;
use crate::room::{Scale, by_room, fits, is_full, load, shard_bytes};
use crate::{Change, Reason, Seen, Situation, changed};

/// Copies under way to one node at a time: more would only share its disk.
const COPIES_PER_NODE_MAX: usize = 2;

/// Copies under way in the cluster at a time: what is left of the network is the clients'.
const COPIES_MAX: usize = 8;

/// Adds and removes replicas, the shards with the fewest copies first.
pub(crate) fn repair(
    situation: Situation<'_>,
    records: &[&ShardRecord],
    offers: &mut Offers,
) -> Vec<Change> {
    if !situation.may_judge || is_outage(situation) {
        return Vec::new();
    }
    let mut records: Vec<&ShardRecord> = records
        .iter()
        .copied()
        .filter(|r| r.leader.is_some())
        .collect();
    records.sort_by_key(|record| (record.in_sync.len(), record.shard));
    let mut under_way = copies_under_way(situation);
    let mut changes = Vec::new();
    for record in records {
        let change = add(situation, record, (offers, &mut under_way));
        let change = change.or_else(|| remove(situation, record));
        changes.extend(change.or_else(|| ease(situation, record)));
    }
    changes
}

/// The nodes that hold something and look dead, if that is over a third of those that do: more likely it is
/// the network, and copying makes it worse. A machine that is gone for good, and holds nothing, is no sign of
/// that.
pub fn outage<'a>(situation: Situation<'a>) -> BTreeSet<&'a NodeName> {
    let records = situation.records.values();
    let members = records.flat_map(|record| &record.replicas);
    let mut holders: BTreeSet<&NodeName> = members.map(|member| &member.node).collect();
    holders.retain(|name| situation.nodes.contains_key(*name));
    let all = holders.len();
    holders.retain(|name| situation.alive(name).is_none());
    if holders.len() * 3 <= all {
        holders.clear();
    }
    holders
}

/// Whether there is one: nothing is copied then.
pub fn is_outage(situation: Situation<'_>) -> bool {
    !outage(situation).is_empty()
}

/// Copies that are not in sync yet, by the node that makes them.
fn copies_under_way(situation: Situation<'_>) -> BTreeMap<NodeName, usize> {
    let mut under_way = BTreeMap::new();
    for record in situation.records.values() {
        let joining = record
            .replicas
            .iter()
            .filter(|member| !record.in_sync.contains(member));
        for member in joining.filter(|member| counts(situation, record, member)) {
            *under_way.entry(member.node.clone()).or_default() += 1;
        }
    }
    under_way
}

/// Whether a replica is one of those that there shall be: not on a node that drains, or is gone for
/// longer than the repair delay.
fn counts(situation: Situation<'_>, record: &ShardRecord, member: &Member) -> bool {
    let seen = situation.nodes.get(&member.node);
    let in_time = |seen: &Seen| seen.alive || seen.silent_ms < situation.policy.repair_delay_ms;
    seen.is_some_and(in_time)
        && !situation.is_replaced(record.shard, member)
        && !situation.draining.contains(&member.node)
}

/// Whether a replica outside of the set is not on its living node any more: the disk was replaced,
/// and the node may take a new one. That goes for an eligible one too once the leader has begun its
/// epoch, and so has everything: else its node could never take another.
fn is_lost(situation: Situation<'_>, record: &ShardRecord, member: &Member) -> bool {
    let leads = record
        .leader
        .as_ref()
        .is_some_and(|leader| leader.member == *member);
    let is_led = record.leader.as_ref().is_some_and(|leader| {
        let held = situation.holder(record.shard, &leader.member);
        held.is_some_and(|(heartbeat, report)| {
            heartbeat.incarnation == leader.incarnation && report.end.epoch == record.epoch
        })
    });
    let is_named = record.in_sync.contains(member) || (record.eligible.contains(member) && !is_led);
    situation.is_replaced(record.shard, member) && !leads && !is_named
}

fn add(
    situation: Situation<'_>,
    record: &ShardRecord,
    (offers, under_way): (&mut Offers, &mut BTreeMap<NodeName, usize>),
) -> Option<Change> {
    // Only from a leader can a new replica learn what it shall hold.
    situation.holder(record.shard, &record.leader.as_ref()?.member)?;
    let counting = record
        .replicas
        .iter()
        .filter(|member| counts(situation, record, member));
    let enough = counting.count() >= usize::from(situation.policy.copies);
    if enough || under_way.values().sum::<usize>() >= COPIES_MAX {
        return None;
    }
    let has_one = |name: &NodeName| record.member_on(name).is_some();
    let busy = |name: &NodeName| under_way.get(name).copied().unwrap_or(0) >= COPIES_PER_NODE_MAX;
    // A copy that does not fit would fill the disk, and end there.
    let whole = shard_bytes(situation, record);
    let takes = |seen: &Seen| !is_full(seen) && fits(seen, whole);
    let (name, member) = by_room(situation)
        .into_iter()
        .filter(|(name, seen)| !has_one(name) && !busy(name) && takes(seen))
        .find_map(|(name, seen)| Some((name, offers.take(name, seen)?)))?;
    *under_way.entry(name.clone()).or_default() += 1;
    Some(changed(record, Reason::Added, |next| {
        next.replicas.push(member);
        next.min_in_sync = situation.policy.min_in_sync();
    }))
}

/// One replica too many, when those that count are all in sync: one that does not count leaves
/// first, then the one on the fullest node; never the leader.
fn remove(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    if let Some(lost) = record
        .replicas
        .iter()
        .find(|member| is_lost(situation, record, member))
    {
        return Some(changed(record, Reason::Removed, |next| {
            next.replicas.retain(|member| member != lost);
            next.eligible.retain(|member| member != lost);
        }));
    }
    let copies = usize::from(situation.policy.copies);
    let leads = |member: &Member| record.leader.as_ref().is_some_and(|l| l.member == *member);
    let counting = record
        .replicas
        .iter()
        .filter(|member| counts(situation, record, member));
    let (mut kept, mut in_sync) = (0, 0);
    for member in counting {
        kept += 1;
        in_sync += usize::from(record.in_sync.contains(member));
    }
    if record.replicas.len() <= copies || in_sync < copies || in_sync < kept {
        return None;
    }
    // A degraded set is too small already.
    let is_needed = |member: &Member| record.degraded && record.in_sync.contains(member);
    // A leader that is about to lay its office down may be the one that goes, when it has done so.
    let may_leave = |member: &Member| !leads(member) || heir(situation, record).is_some();
    let others = record.replicas.iter();
    let others = others.filter(|member| may_leave(member) && !is_needed(member));
    let scale = Scale::new(situation);
    let leaving = others.min_by_key(|member| {
        let seen = situation.nodes.get(&member.node);
        let load = seen.map(|seen| scale.weigh(&member.node, load(&seen.heartbeat)));
        let load = load.unwrap_or(u64::MAX);
        (
            counts(situation, record, member),
            Reverse(load),
            (*member).clone(),
        )
    })?;
    if leads(leaving) || has_to_hear(situation, record, leaving) {
        return None;
    }
    let stays = record.in_sync.iter().filter(|member| *member != leaving);
    // Fewer copies may be asked for than when the shard was made.
    let least = record.min_in_sync.min(situation.policy.min_in_sync());
    let enough = stays.count() >= usize::from(least);
    enough.then(|| {
        changed(record, Reason::Removed, |next| {
            next.min_in_sync = least;
            next.degraded = false;
            next.replicas.retain(|member| member != leaving);
            next.in_sync.retain(|member| member != leaving);
            next.eligible.clear();
        })
    })
}

/// Whether a living member of the set does not know the record yet. If it led until now, its hello to the one that
/// leads tells that it serves no more; without it, nothing is committed for a session. And if nobody heard
/// yet that it was made, its offer would be taken for another shard.
fn has_to_hear(situation: Situation<'_>, record: &ShardRecord, leaving: &Member) -> bool {
    let Some(seen) = situation.alive(&leaving.node) else {
        return false;
    };
    let has_to = match situation.holder(record.shard, leaving) {
        // Whoever has the epoch's first record said hello before. Nobody is waited for who cannot keep records:
        // the leader takes it out of the set.
        Some((_, report)) => {
            report.end.epoch != record.epoch && report.revision() != record.revision()
        }
        None => seen.heartbeat.offer == leaving.replica,
    };
    has_to && record.in_sync.contains(leaving)
}

/// A shard that has as few copies as are wanted is not short of them any more. What goes with the surplus of
/// others has nothing to go with here: its other copies were lost before fewer were asked for.
fn ease(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let least = situation.policy.min_in_sync();
    let is_whole = record.replicas.len() <= usize::from(situation.policy.copies)
        && record.in_sync.len() == record.replicas.len();
    (record.min_in_sync > least && is_whole).then(|| {
        changed(record, Reason::Eased, |next| {
            next.min_in_sync = least;
            next.degraded = false;
            next.eligible.clear();
        })
    })
}
