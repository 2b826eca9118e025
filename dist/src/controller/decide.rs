//! What the controller decides: pure, from what it knows to changes of shard records.
//!
//! No I/O, no clock, no randomness: the same situation gives the same changes. Each change is a
//! compare-and-set, so a controller that was deposed without knowing it changes nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wire::limits::SHARD_BYTES_MAX;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Epoch, NodeName, Position, ShardNo};

/// What is known of one node.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it last said.
    pub heartbeat: Heartbeat,
    /// Whether it was heard within a session.
    pub alive: bool,
}

/// What the controller knows.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The register.
    pub records: &'a BTreeMap<ShardNo, ShardRecord>,
    /// Every node that was ever heard.
    pub nodes: &'a BTreeMap<NodeName, Seen>,
    /// Whether new shards may be numbered: on a fresh catalog at once, otherwise after a session,
    /// when every node that lives has said which shards it holds.
    pub may_make: bool,
}

/// One change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The version that the register must have; 0 for none.
    pub expected: u64,
    /// The record as it shall be.
    pub record: ShardRecord,
    /// Why.
    pub reason: Reason,
}

/// Why a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A node holds a newer record than the register: the register went back in time.
    Restored,
    /// The leader's process is another one than before.
    Elected,
    /// The shard is full.
    Full,
    /// The leader does not hold its replica any more.
    Lost,
    /// A node leads no open shard.
    Made,
    /// The catalog went back, and the leader does not know it.
    Behind,
}

/// Decides. At most one change for each shard; ask again when they are made.
pub fn decide(situation: Situation<'_>) -> Vec<Change> {
    let restored = restore(situation);
    let rolled_back: BTreeSet<ShardNo> = restored
        .iter()
        .map(|change| change.record.shard)
        .chain(unreported(situation))
        .collect();
    let settled = situation
        .records
        .values()
        .filter(|r| !rolled_back.contains(&r.shard));
    let mut changes: Vec<Change> = settled
        .filter_map(|record| follow_leader(situation, record))
        .collect();
    changes.extend(restored);
    if situation.may_make && rolled_back.is_empty() {
        changes.extend(make(situation));
    }
    changes
}

/// Shards whose catalog stands still behind its leader's commit, although the leader lists nothing:
/// the catalog comes from an old backup, and the leader thinks that it has everything. In a new
/// epoch it asks.
///
/// `before` and `now` are the catalog's positions a session apart; `heard` are the shards of which
/// something was listed meanwhile.
pub(crate) fn behind(
    situation: Situation<'_>,
    before: &BTreeMap<ShardNo, Position>,
    now: &BTreeMap<ShardNo, Position>,
    heard: &BTreeSet<ShardNo>,
) -> Vec<Change> {
    let position = |positions: &BTreeMap<ShardNo, Position>, shard| {
        positions.get(&shard).copied().unwrap_or_default()
    };
    let still = situation.records.values().filter(|record| {
        !heard.contains(&record.shard)
            && position(before, record.shard) == position(now, record.shard)
    });
    let changes = still.filter_map(|record| {
        let leader = record.leader.as_ref()?;
        let seen = situation.nodes.get(&leader.member.node)?;
        let report = report_of(&seen.heartbeat, &leader.member)?;
        let process = seen.heartbeat.incarnation;
        let lists = seen.alive && leader.incarnation == process;
        (lists && report.committed > position(now, record.shard).lsn)
            .then(|| changed(record, Reason::Behind, |next| elect(next, process)))
    });
    changes.collect()
}

/// Whether a node holds a newer record than the register, and did not send it along.
pub(crate) fn wants_records(
    records: &BTreeMap<ShardNo, ShardRecord>,
    heartbeat: &Heartbeat,
) -> bool {
    heartbeat
        .replicas
        .iter()
        .any(|report| report.record.is_none() && report.record_version > version(records, report))
}

fn version(records: &BTreeMap<ShardNo, ShardRecord>, report: &ReplicaReport) -> u64 {
    records
        .get(&report.shard)
        .map_or(0, |record| record.version)
}

/// The highest version that any node reports, where the register has a lower one.
fn restore(situation: Situation<'_>) -> Vec<Change> {
    let mut highest: BTreeMap<ShardNo, &ShardRecord> = BTreeMap::new();
    for (report, record) in reported_records(situation) {
        if record.version <= version(situation.records, report) {
            continue;
        }
        let best = highest.entry(record.shard).or_insert(record);
        if record.version > best.version {
            *best = record;
        }
    }
    let of_same_log = |record: &&ShardRecord| {
        situation
            .records
            .get(&record.shard)
            .is_none_or(|present| present.log == record.log)
    };
    highest
        .into_values()
        .filter(of_same_log)
        .map(|record| Change {
            expected: situation
                .records
                .get(&record.shard)
                .map_or(0, |present| present.version),
            record: begun_anew(situation, record),
            reason: Reason::Restored,
        })
        .collect()
}

/// A restored record, in an epoch of its own once all its replicas have reported: the lost register
/// may have known a later one. A leader that begins an epoch also asks the catalog where it is,
/// which may have gone back together with the register.
fn begun_anew(situation: Situation<'_>, record: &ShardRecord) -> ShardRecord {
    let mut next = record.clone();
    let holder = |member: &Member| {
        let seen = situation.nodes.get(&member.node)?;
        let holds = seen.alive && report_of(&seen.heartbeat, member).is_some();
        holds.then_some(&seen.heartbeat)
    };
    let leader = record
        .leader
        .as_ref()
        .and_then(|leader| holder(&leader.member));
    if let Some(heartbeat) = leader
        && record
            .replicas
            .iter()
            .all(|member| holder(member).is_some())
    {
        elect(&mut next, heartbeat.incarnation);
        next.version += 1;
    }
    next
}

/// The records that nodes sent of shards that they are members of.
fn reported_records(
    situation: Situation<'_>,
) -> impl Iterator<Item = (&ReplicaReport, &ShardRecord)> {
    situation.nodes.iter().flat_map(|(name, seen)| {
        seen.heartbeat.replicas.iter().filter_map(move |report| {
            let record = report.record.as_ref()?;
            let member = record.member_on(name)?;
            (record.shard == report.shard && member.replica == report.replica)
                .then_some((report, record))
        })
    })
}

/// Shards of which a living node holds a newer record that it has not sent yet.
fn unreported(situation: Situation<'_>) -> Vec<ShardNo> {
    let alive = situation.nodes.values().filter(|seen| seen.alive);
    alive
        .flat_map(|seen| &seen.heartbeat.replicas)
        .filter(|report| report.record.is_none())
        .filter(|report| report.record_version > version(situation.records, report))
        .map(|report| report.shard)
        .collect()
}

/// What the state of the leader's process asks of a record.
fn follow_leader(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let leader = record.leader.as_ref()?;
    let seen = situation
        .nodes
        .get(&leader.member.node)
        .filter(|seen| seen.alive)?;
    let heartbeat = &seen.heartbeat;
    let held = report_of(heartbeat, &leader.member);
    let Some(report) = held else {
        // Not made yet is not lost: the node makes it when it hears of the record.
        let offered = heartbeat.offer == leader.member.replica;
        let lost = !offered && situation.may_make && record.state == ShardState::Open;
        return lost.then(|| changed(record, Reason::Lost, close));
    };
    if leader.incarnation != heartbeat.incarnation {
        let incarnation = heartbeat.incarnation;
        return Some(changed(record, Reason::Elected, |next| {
            elect(next, incarnation)
        }));
    }
    let full = report.bytes >= SHARD_BYTES_MAX && record.state == ShardState::Open;
    full.then(|| changed(record, Reason::Full, close))
}

fn report_of<'a>(heartbeat: &'a Heartbeat, member: &Member) -> Option<&'a ReplicaReport> {
    heartbeat
        .replicas
        .iter()
        .find(|report| report.replica == member.replica)
}

fn close(record: &mut ShardRecord) {
    record.state = ShardState::Closed;
}

/// The same member leads on, as another process: in an epoch of its own.
fn elect(record: &mut ShardRecord, incarnation: Uuid) {
    record.epoch = record.epoch.next();
    if let Some(leader) = &mut record.leader {
        leader.incarnation = incarnation;
    }
}

fn changed(record: &ShardRecord, reason: Reason, change: impl FnOnce(&mut ShardRecord)) -> Change {
    let mut next = record.clone();
    change(&mut next);
    next.version += 1;
    Change {
        expected: record.version,
        record: next,
        reason,
    }
}

/// A new shard for each living node that leads no open one.
fn make(situation: Situation<'_>) -> Vec<Change> {
    let mut number = highest_number(situation);
    let needy = situation.nodes.iter().filter(|(name, seen)| {
        seen.alive
            && !situation
                .records
                .values()
                .any(|r| leads_open(r, name, &seen.heartbeat))
    });
    let mut changes = Vec::new();
    for (name, seen) in needy {
        let Some(next) = number.checked_add(1) else {
            break;
        };
        number = next;
        changes.push(new_shard(ShardNo(number), name, &seen.heartbeat));
    }
    changes
}

/// The highest number that the register or any node knows: a number is never used twice.
fn highest_number(situation: Situation<'_>) -> u16 {
    let reports = situation
        .nodes
        .values()
        .flat_map(|seen| &seen.heartbeat.replicas);
    let reported = reports.map(|report| report.shard.0);
    let recorded = situation.records.keys().map(|shard| shard.0);
    recorded.chain(reported).max().unwrap_or(0)
}

fn leads_open(record: &ShardRecord, name: &NodeName, heartbeat: &Heartbeat) -> bool {
    record.state == ShardState::Open
        && record.leader.as_ref().is_some_and(|leader| {
            leader.member.node == *name
                && (heartbeat.offer == leader.member.replica
                    || report_of(heartbeat, &leader.member).is_some())
        })
}

fn new_shard(shard: ShardNo, name: &NodeName, heartbeat: &Heartbeat) -> Change {
    let member = Member {
        node: name.clone(),
        replica: heartbeat.offer,
    };
    let leader = Leader {
        member: member.clone(),
        incarnation: heartbeat.incarnation,
    };
    let record = ShardRecord {
        shard,
        log: log_id(heartbeat.offer),
        epoch: Epoch(1),
        leader: Some(leader),
        in_sync: vec![member.clone()],
        eligible: Vec::new(),
        replicas: vec![member],
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        version: 1,
    };
    Change {
        expected: 0,
        record,
        reason: Reason::Made,
    }
}

/// The replica's UUID is new and random, and so is half of it folded onto the other.
fn log_id(replica: Uuid) -> u64 {
    let (high, low) = replica.as_u64_pair();
    match high ^ low {
        0 => 1,
        id => id,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
