//! Who leads: a living member of the set, else of those eligible, else nobody.

use std::cmp::Reverse;

use uuid::Uuid;
use wire::shard::{Leader, Member, ShardRecord, ShardState};

use crate::bugs::Bug;
use crate::{Change, Making, Reason, Situation, changed, close, has};

/// The next epoch, if the leader is dead or another process. If nobody can lead, the record stays
/// as it is, and the shard waits.
pub(crate) fn elect(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let Some(leader) = &record.leader else {
        return elect_after_restoring(situation, record);
    };
    match (
        situation.alive(&leader.member.node),
        situation.holder(record.shard, &leader.member),
    ) {
        (Some(_), Some((heartbeat, _))) if heartbeat.incarnation == leader.incarnation => None,
        (Some(_), Some(_)) => candidate(situation, record),
        // Not made yet is not lost: the node makes it when it hears of the record.
        (Some(seen), None) if seen.heartbeat.offer == leader.member.replica => None,
        (Some(seen), None) if has(&seen.heartbeat, record.shard, &leader.member) => {
            candidate(situation, record)
        }
        (Some(_), None) => candidate(situation, record).or_else(|| lost(situation, record)),
        (None, _) if situation.may_judge => candidate(situation, record),
        (None, _) => None,
    }
}

/// Whether a living process leads, or will as soon as it has made its replica.
pub(crate) fn is_led(situation: Situation<'_>, record: &ShardRecord) -> bool {
    record.leader.as_ref().is_some_and(|leader| {
        let seen = situation.alive(&leader.member.node);
        match situation.holder(record.shard, &leader.member) {
            Some((heartbeat, _)) => heartbeat.incarnation == leader.incarnation,
            None => seen.is_some_and(|seen| seen.heartbeat.offer == leader.member.replica),
        }
    })
}

/// The register went back, and the record was restored without a leader: someone who was not heard
/// may know of a later one.
fn elect_after_restoring(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    // A session long, because a node may have reported before it heard what the register then lost.
    let mut replicas = record.replicas.iter();
    let all_heard = situation.may_judge && replicas.all(|member| situation.is_heard(member));
    let elects = all_heard || situation.policy.bugs.has(Bug::ElectUnheard);
    let elected = || candidate(situation, record).or_else(|| unmade(situation, record));
    elects.then(elected).flatten()
}

/// The leader that never heard of its shard, and so never made its replica: nobody holds anything.
fn unmade(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let mut in_sync = record.in_sync.iter();
    let (member, seen) = in_sync.find_map(|member| {
        let seen = situation.alive(&member.node)?;
        (seen.heartbeat.offer == member.replica).then_some((member, seen))
    })?;
    let leader = Leader {
        member: member.clone(),
        incarnation: seen.heartbeat.incarnation,
    };
    Some(changed(record, Reason::Elected, |next| {
        next.epoch = next.epoch.next();
        next.leader = Some(leader);
    }))
}

fn lost(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let is_open = record.state == ShardState::Open;
    (situation.making != Making::No && is_open).then(|| changed(record, Reason::Lost, close))
}

/// Elects the best candidate; none if there is nobody, or if someone better may only not have been
/// heard yet.
pub(crate) fn candidate(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    // The register may have gone back: whoever acted on a later record is one of these.
    let unheard = |member: &Member| !situation.is_heard(member);
    let waits = !situation.may_judge && !situation.policy.bugs.has(Bug::ElectUnheard);
    if waits && record.replicas.iter().any(unheard) {
        return None;
    }
    let eligible = if situation.policy.bugs.has(Bug::ElectOutside) {
        &record.replicas
    } else {
        &record.eligible
    };
    let of = |members| best(situation, record, members);
    let successor = of(&record.in_sync).or_else(|| of(eligible))?;
    Some(changed(record, Reason::Elected, |next| {
        take_office(situation, next, successor);
    }))
}

/// The least damaged, then the one with the most: it has fewest to catch up with. But whoever led comes last:
/// damage to the end of its log is cut off as a torn write is when it starts again, and what the others have is
/// known only from before.
pub(crate) fn best<'a>(
    situation: Situation<'_>,
    record: &ShardRecord,
    members: impl IntoIterator<Item = &'a Member>,
) -> Option<(Member, Uuid)> {
    let living = members.into_iter().filter_map(|member| {
        let (heartbeat, report) = situation.holder(record.shard, member)?;
        Some((member, heartbeat.incarnation, report))
    });
    let best = living.min_by_key(|(member, _, report)| {
        let end = report.end;
        let leaves = situation.draining.contains(&member.node) || is_parting(situation, member);
        let led = record.leader.as_ref().is_some_and(|l| l.member == **member);
        (
            leaves,
            led,
            report.damaged,
            Reverse((end.epoch, end.lsn)),
            (*member).clone(),
        )
    });
    best.map(|(member, incarnation, _)| (member.clone(), incarnation))
}

/// Whether the member's process is about to end.
pub(crate) fn is_parting(situation: Situation<'_>, member: &Member) -> bool {
    let seen = situation.alive(&member.node);
    seen.is_some_and(|seen| seen.heartbeat.parting)
}

/// The elected leads in the next epoch, with the living members of the old set. If those are too
/// few to commit, the others still have all that is committed, and stay eligible.
fn take_office(
    situation: Situation<'_>,
    record: &mut ShardRecord,
    (member, incarnation): (Member, Uuid),
) {
    let bugs = situation.policy.bugs;
    let old = record.in_sync.iter().chain(&record.eligible).cloned();
    let old: Vec<Member> = old.collect();
    if record.in_sync.contains(&member) {
        record
            .in_sync
            .retain(|other| *other == member || situation.holder(record.shard, other).is_some());
    } else {
        record.in_sync = vec![member.clone()];
    }
    let is_small = record.in_sync.len() < usize::from(record.min_in_sync) && !record.degraded;
    record.eligible = if is_small || bugs.has(Bug::EligibleAfterElection) {
        let others = old.into_iter();
        others
            .filter(|other| !record.in_sync.contains(other))
            .collect()
    } else {
        Vec::new()
    };
    record.degraded |= is_small && bugs.has(Bug::ElectionDegrades);
    if !bugs.has(Bug::SameEpoch) {
        record.epoch = record.epoch.next();
    }
    record.leader = Some(Leader {
        member,
        incarnation,
    });
}
