//! A register that went back in time: the highest version that any node holds is the truth.

use std::collections::BTreeMap;

use wire::ShardNo;
use wire::limits::RESTORED_AHEAD;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::ShardRecord;

use crate::bugs::Bug;
use crate::{Change, Reason, Situation};

/// Whether a node holds a newer record than the register, and did not send it along.
pub fn wants_records(records: &BTreeMap<ShardNo, ShardRecord>, heartbeat: &Heartbeat) -> bool {
    heartbeat
        .replicas
        .iter()
        .any(|report| report.record.is_none() && report.record_version > version(records, report))
}

/// The version of what is known: of a record that was restored and has no leader yet, the version
/// that it was restored from.
fn known(records: &BTreeMap<ShardNo, ShardRecord>, report: &ReplicaReport) -> u64 {
    let Some(record) = records.get(&report.shard) else {
        return 0;
    };
    let is_restored = record.leader.is_none() && Some(record) != report.record.as_ref();
    record.version
        - if is_restored {
            RESTORED_AHEAD.min(record.version)
        } else {
            0
        }
}

fn version(records: &BTreeMap<ShardNo, ShardRecord>, report: &ReplicaReport) -> u64 {
    records
        .get(&report.shard)
        .map_or(0, |record| record.version)
}

/// The highest version that any node reports, where the register has a lower one.
///
/// Versions up to [`RESTORED_AHEAD`] above it may have been lost, and still be obeyed somewhere: the
/// restored record is above them all. It is restored without a leader: the lost register may have known a later record, so nobody
/// leads before everyone it names was heard. A leader that begins an epoch also asks the catalog
/// where it is, which may have gone back together with the register.
pub(crate) fn restore(situation: Situation<'_>) -> Vec<Change> {
    if situation.policy.bugs.has(Bug::RollbackUnnoticed) {
        return Vec::new();
    }
    let mut highest: BTreeMap<ShardNo, &ShardRecord> = BTreeMap::new();
    for (report, record) in reported_records(situation) {
        if record.version <= known(situation.records, report) {
            continue;
        }
        let best = highest.entry(record.shard).or_insert(record);
        if record.version > best.version {
            *best = record;
        }
    }
    let present = |record: &ShardRecord| situation.records.get(&record.shard);
    let of_same_log =
        |record: &&ShardRecord| present(record).is_none_or(|present| present.log == record.log);
    highest
        .into_values()
        .filter(of_same_log)
        .map(|record| Change {
            expected: present(record).map_or(0, |present| present.version),
            record: begun_anew(situation, record),
            reason: Reason::Restored,
        })
        .collect()
}

fn begun_anew(situation: Situation<'_>, record: &ShardRecord) -> ShardRecord {
    let mut next = record.clone();
    next.leader = None;
    next.version += RESTORED_AHEAD - 1;
    let elected = crate::elect::elect(situation, &next);
    next.version += 1;
    elected.map_or(next, |change| change.record)
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
pub(crate) fn unreported(situation: Situation<'_>) -> Vec<ShardNo> {
    if situation.policy.bugs.has(Bug::RollbackUnnoticed) {
        return Vec::new();
    }
    let alive = situation.nodes.values().filter(|seen| seen.alive);
    alive
        .flat_map(|seen| &seen.heartbeat.replicas)
        .filter(|report| report.record.is_none())
        .filter(|report| report.record_version > version(situation.records, report))
        .map(|report| report.shard)
        .collect()
}
