//! Unclean recovery: an operator chooses a copy when all who have everything are gone.
//!
//! The ordinary rules never lose what was acknowledged, and so may wait for ever. What is chosen
//! here is the shard from then on; what only others had is lost.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wire::membership::ReplicaReport;
use wire::recovery::{HeldCopy, KnownCopy, Loss, Objection, Part, RecoverShard, WaitingShard};
use wire::shard::{Leader, Member, ShardRecord};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

use crate::elect::{elect, is_led};
use crate::restore::{restore, unreported};
use crate::{Change, Reason, Situation, changed, report_of};

/// Where the catalog is in each shard.
pub type Listed = BTreeMap<ShardNo, Position>;

/// A recovery that may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The change of the record.
    pub change: Change,
    /// The copy that was chosen.
    pub chosen: KnownCopy,
    /// What is lost.
    pub loss: Loss,
    /// The nodes whose copies are given up.
    pub over: Vec<NodeName>,
    /// Where the catalog is.
    pub listed: Position,
    /// Where the catalog is to be put before the record changes: a position that is in no log, so
    /// that whoever leads then shows everything that it has. A copy may lack older contents than its
    /// last record tells, since what was dead at its leader was never sent to it.
    pub unlisted: Position,
}

/// Why nothing is recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoverRefused {
    /// There is no such shard.
    NoShard,
    /// It is too early to tell who lives, or a node is about to tell of a later record.
    Unsettled,
    /// It is led, or somebody can be elected.
    NotWaiting,
    /// The node is not heard, or has no copy of this shard's log.
    NoCopy,
    /// What speaks against the copy without force.
    NeedsForce(Vec<Objection>),
}

/// The shards that wait for an operator, and their copies.
pub fn waiting(situation: Situation<'_>, listed: &Listed) -> Vec<WaitingShard> {
    let records = situation.records.values();
    let waiting = records.filter(|record| waits(situation, record));
    let each = waiting.map(|record| WaitingShard {
        shard: record.shard,
        state: record.state,
        epoch: record.epoch,
        leader: record.leader.as_ref().map(|l| l.member.node.clone()),
        restored: record.is_restored(),
        listed: listed.get(&record.shard).copied().unwrap_or_default(),
        copies: copies(situation, record, listed),
    });
    each.collect()
}

/// Whether nobody leads a shard, and nobody will by the ordinary rules as long as those who are away
/// stay away. Nobody waits as long as it is too early to tell who lives.
pub fn waits(situation: Situation<'_>, record: &ShardRecord) -> bool {
    let is_elected = || {
        let change = elect(situation, record);
        change.is_some_and(|change| change.reason == Reason::Elected)
    };
    !is_led(situation, record) && !is_elected() && is_settled(situation, record.shard)
}

fn is_settled(situation: Situation<'_>, shard: ShardNo) -> bool {
    let restored = || {
        restore(situation)
            .iter()
            .any(|change| change.record.shard == shard)
    };
    situation.may_judge && !unreported(situation).contains(&shard) && !restored()
}

/// Decides on an operator's choice.
///
/// # Errors
/// When the shard waits for nobody, the copy is not at hand, or something speaks against it and no
/// force is used.
pub fn recover(
    situation: Situation<'_>,
    listed: &Listed,
    shard: ShardNo,
    choice: &RecoverShard,
) -> Result<Recovery, RecoverRefused> {
    let record = situation.records.get(&shard);
    let record = record.ok_or(RecoverRefused::NoShard)?;
    if !is_settled(situation, shard) {
        return Err(RecoverRefused::Unsettled);
    }
    if !waits(situation, record) {
        return Err(RecoverRefused::NotWaiting);
    }
    let copies = copies(situation, record, listed);
    let mut of_node = copies.iter().filter(|copy| copy.node == choice.node);
    let at_hand = of_node.find_map(|copy| Some((copy, copy.loss?)));
    let seen = situation.alive(&choice.node);
    let (Some((chosen, loss)), Some(seen)) = (at_hand, seen) else {
        return Err(RecoverRefused::NoCopy);
    };
    if !choice.force && !chosen.objections.is_empty() {
        return Err(RecoverRefused::NeedsForce(chosen.objections.clone()));
    }
    let leader = Leader {
        member: Member {
            node: chosen.node.clone(),
            replica: chosen.replica,
        },
        incarnation: seen.heartbeat.incarnation,
    };
    let listed = listed.get(&shard).copied().unwrap_or_default();
    let last = last_epoch(situation, record, listed);
    let others = copies.iter().filter(|copy| copy.replica != chosen.replica);
    Ok(Recovery {
        change: begin_anew(situation, record, (leader, last)),
        chosen: chosen.clone(),
        loss,
        over: others.map(|copy| copy.node.clone()).collect(),
        listed,
        unlisted: Position {
            epoch: last,
            lsn: Lsn::ZERO,
        },
    })
}

/// The record from which the chosen copy is the shard. In a lineage above all that is known, so that
/// whoever comes back with a record of the old ones is not taken for one who knows better; and
/// without the others, which may have gone elsewhere: their logs go to quarantine when they come
/// back, and copies are made anew.
fn begin_anew(
    situation: Situation<'_>,
    record: &ShardRecord,
    (leader, last): (Leader, Epoch),
) -> Change {
    let reported = reports(situation, record).map(|(_, report)| report.record_lineage);
    let lineage = reported.max().unwrap_or(0).max(record.lineage) + 1;
    changed(record, Reason::Recovered, |next| {
        next.lineage = lineage;
        next.epoch = last.next();
        next.in_sync = vec![leader.member.clone()];
        next.eligible.clear();
        next.replicas = vec![leader.member.clone()];
        next.degraded = next.min_in_sync > 1;
        next.leader = Some(leader);
    })
}

/// The highest epoch that anyone is known to have used.
fn last_epoch(situation: Situation<'_>, record: &ShardRecord, listed: Position) -> Epoch {
    let used = reports(situation, record).map(|(_, report)| report.end.epoch);
    used.chain([record.epoch, listed.epoch])
        .max()
        .unwrap_or_default()
}

/// What any node, alive or not, last said of copies of this shard's log.
fn reports<'a>(
    situation: Situation<'a>,
    record: &ShardRecord,
) -> impl Iterator<Item = (&'a NodeName, &'a ReplicaReport)> {
    let (shard, log) = (record.shard, record.log);
    situation.nodes.iter().flat_map(move |(name, seen)| {
        let held = seen.heartbeat.replicas.iter();
        held.filter(move |report| report.shard == shard && is_of(report, log))
            .map(move |report| (name, report))
    })
}

/// Whether a report is of this log; an older node does not tell.
fn is_of(report: &ReplicaReport, log: u64) -> bool {
    report.log.is_none_or(|its| its == log)
}

fn copies(situation: Situation<'_>, record: &ShardRecord, listed: &Listed) -> Vec<KnownCopy> {
    let listed = listed.get(&record.shard).copied().unwrap_or_default();
    let mut members: Vec<Member> = record.replicas.clone();
    let reported = reports(situation, record).map(|(node, report)| Member {
        node: node.clone(),
        replica: report.replica,
    });
    for member in reported {
        if !members.contains(&member) {
            members.push(member);
        }
    }
    let known = reports(situation, record).map(|(_, report)| report.end);
    let furthest = known.chain([listed]).max().unwrap_or_default();
    let mut copies: Vec<KnownCopy> = members
        .iter()
        .map(|member| copy(situation, record, member, furthest))
        .collect();
    object_to_the_lesser(&mut copies);
    copies.sort_by_key(|copy| {
        let end = copy.held.map(|held| held.end);
        (
            copy.loss.is_none(),
            copy.loss,
            Reverse(end),
            copy.node.clone(),
        )
    });
    copies
}

fn copy(
    situation: Situation<'_>,
    record: &ShardRecord,
    member: &Member,
    furthest: Position,
) -> KnownCopy {
    let seen = situation.nodes.get(&member.node);
    let alive = seen.is_some_and(|seen| seen.alive);
    let report = seen.and_then(|seen| report_of(&seen.heartbeat, record.shard, member));
    let report = report.filter(|report| is_of(report, record.log));
    let part = part(record, member);
    let held = report.map(|report| HeldCopy {
        end: report.end,
        committed: report.committed,
        contents: report.contents,
        bytes: report.bytes,
        damaged: report.damaged,
        halted: report.halted,
        complete: report.complete,
    });
    let at_hand = held.filter(|_| alive);
    KnownCopy {
        node: member.node.clone(),
        replica: member.replica,
        part,
        alive,
        held,
        loss: at_hand.map(|held| loss(record, part, &held, furthest)),
        objections: at_hand.map(|held| objections(&held)).unwrap_or_default(),
    }
}

fn part(record: &ShardRecord, member: &Member) -> Part {
    if record.in_sync.contains(member) {
        Part::InSync
    } else if record.eligible.contains(member) {
        Part::Eligible
    } else if record.replicas.contains(member) {
        Part::Outside
    } else {
        Part::Unnamed
    }
}

/// What is lost at most of what is known. A member of the set has everything acknowledged, unless
/// the record itself is only the latest that was found. Logs that end in the same epoch agree as far
/// as both go; those of different ones agree for certain only up to the commit.
fn loss(record: &ShardRecord, part: Part, held: &HeldCopy, furthest: Position) -> Loss {
    let has_all = matches!(part, Part::InSync | Part::Eligible);
    if has_all && !record.is_restored() {
        return Loss {
            records: 0,
            more: false,
        };
    }
    let certain = if held.end.epoch == furthest.epoch {
        held.end.lsn
    } else {
        held.committed
    };
    Loss {
        records: furthest.lsn.0.saturating_sub(certain.0),
        more: true,
    }
}

fn objections(held: &HeldCopy) -> Vec<Objection> {
    let all = [
        (held.halted, Objection::Halted),
        (held.damaged > 0, Objection::Damaged),
        (!held.complete, Objection::Incomplete),
        (held.end.lsn == Lsn::ZERO, Objection::Empty),
    ];
    let speaking = all.into_iter().filter(|(speaks, _)| *speaks);
    speaking.map(|(_, objection)| objection).collect()
}

/// Whether a log that ends at `end` has nothing that a longer one of the same epoch lacks.
fn is_part(end: Position, of: Position) -> bool {
    end.epoch == of.epoch && end.lsn < of.lsn
}

/// Nobody needs to lose what another living copy has.
fn object_to_the_lesser(copies: &mut [KnownCopy]) {
    let at_hand = copies.iter().filter(|copy| copy.alive);
    let held: Vec<HeldCopy> = at_hand.filter_map(|copy| copy.held).collect();
    for copy in copies.iter_mut().filter(|copy| copy.alive) {
        let Some(own) = copy.held else {
            continue;
        };
        // Logs that end in the same epoch agree as far as both go.
        let has_more = |other: &HeldCopy| {
            let knows_more = other.committed > own.committed;
            other.end > own.end || knows_more && !is_part(other.end, own.end)
        };
        if held.iter().any(has_more) {
            copy.objections.insert(0, Objection::Behind);
        }
    }
}
