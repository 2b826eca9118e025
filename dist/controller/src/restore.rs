//! A register that went back in time: the highest record that any node holds is the truth.

use std::collections::{BTreeMap, BTreeSet};

use wire::ShardNo;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Revision, ShardRecord};

use crate::bugs::Bug;
use crate::{Change, Reason, Situation, changed};

/// Whether a node holds a newer record than the register, and did not send it along.
pub fn wants_records(records: &BTreeMap<ShardNo, ShardRecord>, heartbeat: &Heartbeat) -> bool {
    let mut reports = heartbeat.replicas.iter();
    reports.any(|report| is_withheld(records, report))
}

fn is_withheld(records: &BTreeMap<ShardNo, ShardRecord>, report: &ReplicaReport) -> bool {
    let present = records.get(&report.shard);
    report.record.is_none() && is_lost(present, report.revision(), report.record_mark)
}

/// Whether the register once had a record that a node holds, and does not know it any more: what it
/// knows is lower, or another one of that revision, since it went on another way from further back.
pub fn is_lost(present: Option<&ShardRecord>, revision: Revision, mark: Option<u32>) -> bool {
    let known = present.map_or(Revision::NONE, ShardRecord::known);
    let is_another = |present: &ShardRecord| {
        present.revision() == revision && mark.is_some_and(|mark| mark != present.mark())
    };
    revision > known || present.is_some_and(is_another)
}

/// The highest record that any node reports, where the register lost it: in the next
/// lineage, so that what the register lost and some node may still obey is below it whatever its
/// version, and at the same version, so that a higher record is recognised that is reported later.
///
/// It has no leader: whoever was not heard may hold a later record, so nobody leads before everyone
/// whom it names was heard, for a session. Each change that anyone ever acted on was persisted by
/// someone whom the record before it names, but for a replica that was added, which changes no set; so
/// when all were heard, no higher one was acted on.
///
/// A leader that begins an epoch also asks the catalog where it is, which may have gone back
/// together with the register.
pub(crate) fn restore(situation: Situation<'_>) -> Vec<Change> {
    if situation.policy.bugs.has(Bug::RollbackUnnoticed) {
        return Vec::new();
    }
    let is_settled = |shard: &ShardNo| {
        let present = situation.records.get(shard);
        situation.policy.bugs.has(Bug::FirstReportRestored)
            && present.is_some_and(ShardRecord::is_restored)
    };
    let mut highest: BTreeMap<ShardNo, &ShardRecord> = BTreeMap::new();
    let mut overtaken = BTreeSet::new();
    for told in told(situation).filter(|told| !is_settled(&told.record.shard)) {
        let record = told.record;
        if told.counts() {
            let best = highest.entry(record.shard).or_insert(record);
            if record.revision() > best.revision() {
                *best = record;
            }
        } else if told.is_branch() {
            overtaken.insert(record.shard);
        }
    }
    overtaken.retain(|shard| !highest.contains_key(shard));
    let present = |record: &ShardRecord| situation.records.get(&record.shard);
    let restored = highest.into_values().map(|record| Change {
        expected: present(record).map_or(Revision::NONE, ShardRecord::revision),
        record: begun_anew(record, present(record)),
        reason: Reason::Restored,
    });
    let passed = overtaken.iter().filter_map(|shard| {
        let led = situation
            .records
            .get(shard)
            .filter(|r| r.leader.is_some())?;
        Some(changed(led, Reason::Restored, |_| {}))
    });
    restored.chain(passed).collect()
}

/// An epoch is over for good: the register may have begun one that the restored record does not know of.
fn begun_anew(record: &ShardRecord, present: Option<&ShardRecord>) -> ShardRecord {
    ShardRecord {
        lineage: record.lineage + 1,
        epoch: present.map_or(record.epoch, |present| present.epoch.max(record.epoch)),
        leader: None,
        ..record.clone()
    }
}

/// A record that a node obeys, and that the register lost.
struct Told<'a> {
    record: &'a ShardRecord,
    present: Option<&'a ShardRecord>,
    /// Whether the record, and the register's, name the replica of which it was told.
    is_named: bool,
    is_named_now: bool,
    /// The record does not name the node at all.
    leaves: bool,
}

impl Told<'_> {
    /// Whether it is a later one than the register's, told by who acted on it: a member, be it one that
    /// it takes out.
    fn counts(&self) -> bool {
        match self.is_same_revision() {
            true => self.is_named && self.is_named_now,
            false => self.is_named || (self.leaves && self.is_named_now),
        }
    }

    /// Whether it and the register's came about side by side, and only the register's was acted on by the
    /// members. Whoever obeys it takes the register's for no newer one.
    fn is_branch(&self) -> bool {
        self.is_same_revision() && !self.counts()
    }

    fn is_same_revision(&self) -> bool {
        let present = self.present.map(ShardRecord::revision);
        present == Some(self.record.revision())
    }
}

/// The records that nodes obey, and sent, and that the register lost.
fn told(situation: Situation<'_>) -> impl Iterator<Item = Told<'_>> {
    situation.nodes.iter().flat_map(move |(name, seen)| {
        seen.heartbeat.replicas.iter().filter_map(move |report| {
            let record = report.record.as_ref()?;
            let present = situation.records.get(&record.shard);
            let names = |record: &ShardRecord| {
                let member = record.member_on(name);
                member.is_some_and(|member| member.replica == report.replica)
            };
            let told = Told {
                record,
                present,
                is_named: names(record),
                is_named_now: present.is_some_and(names),
                leaves: record.member_on(name).is_none(),
            };
            let is_of_it = record.shard == report.shard && !record.is_restored();
            let is_same_log = present.is_none_or(|present| present.log == record.log);
            let is_news = is_lost(present, record.revision(), Some(record.mark()));
            (is_of_it && is_same_log && is_news).then_some(told)
        })
    })
}

/// Shards of which a living node holds a newer record that it has not sent yet.
pub(crate) fn unreported(situation: Situation<'_>) -> Vec<ShardNo> {
    if situation.policy.bugs.has(Bug::RollbackUnnoticed) {
        return Vec::new();
    }
    let alive = situation.nodes.values().filter(|seen| seen.alive);
    alive
        .flat_map(|seen| &seen.heartbeat.replicas)
        .filter(|report| is_withheld(situation.records, report))
        .map(|report| report.shard)
        .collect()
}
