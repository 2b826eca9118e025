//! A register that went back in time: the highest record that any node holds is the truth.

use std::collections::BTreeMap;

use wire::ShardNo;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Revision, ShardRecord};

use crate::bugs::Bug;
use crate::{Change, Reason, Situation};

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
fn is_lost(present: Option<&ShardRecord>, revision: Revision, mark: Option<u32>) -> bool {
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
/// someone whom the record before it names; so when all were heard, no higher one was acted on.
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
    for record in reported_records(situation) {
        let present = situation.records.get(&record.shard);
        let is_news = is_lost(present, record.revision(), Some(record.mark()));
        if is_news && !is_settled(&record.shard) {
            let best = highest.entry(record.shard).or_insert(record);
            if record.revision() > best.revision() {
                *best = record;
            }
        }
    }
    let present = |record: &ShardRecord| situation.records.get(&record.shard);
    let of_same_log =
        |record: &&ShardRecord| present(record).is_none_or(|present| present.log == record.log);
    highest
        .into_values()
        .filter(of_same_log)
        .map(|record| Change {
            expected: present(record).map_or(Revision::NONE, ShardRecord::revision),
            record: begun_anew(record),
            reason: Reason::Restored,
        })
        .collect()
}

fn begun_anew(record: &ShardRecord) -> ShardRecord {
    ShardRecord {
        lineage: record.lineage + 1,
        leader: None,
        ..record.clone()
    }
}

/// The records that nodes obey, and sent, of shards that they are members of.
fn reported_records(situation: Situation<'_>) -> impl Iterator<Item = &ShardRecord> {
    situation.nodes.iter().flat_map(|(name, seen)| {
        seen.heartbeat.replicas.iter().filter_map(move |report| {
            let record = report.record.as_ref()?;
            let member = record.member_on(name)?;
            let is_own = record.shard == report.shard && member.replica == report.replica;
            (is_own && !record.is_restored()).then_some(record)
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
