//! Shards whose catalog went back without their leader's knowing.

use std::collections::{BTreeMap, BTreeSet};

use wire::shard::Leader;
use wire::{Position, ShardNo};

use crate::{Change, Reason, Situation, changed};

/// Shards whose catalog stands still behind its leader's commit, although the leader lists nothing:
/// the catalog comes from an old backup, and the leader thinks that it has everything. In a new
/// epoch it asks.
///
/// `before` and `now` are the catalog's positions a session apart; `heard` are the shards of which
/// something was listed meanwhile.
pub fn behind(
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
        let (heartbeat, report) = situation.holder(record.shard, &leader.member)?;
        let process = heartbeat.incarnation;
        let lists = leader.incarnation == process;
        (lists && report.committed > position(now, record.shard).lsn).then(|| {
            changed(record, Reason::Behind, |next| {
                next.epoch = record.epoch.next();
                next.leader = Some(Leader {
                    incarnation: process,
                    ..leader.clone()
                });
            })
        })
    });
    changes.collect()
}
