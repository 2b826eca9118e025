//! Shards and their replicas as people see them: pure, from records and heartbeats.

use std::collections::{BTreeMap, BTreeSet};

use wire::membership::{NodeShard, Progress, ReplicaReport, ReplicaRole, ShardEntry, ShardReplica};
use wire::shard::{Member, ShardRecord};
use wire::{NodeName, ShardNo};

use crate::controller::Seen;

/// What records and heartbeats say together.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The register.
    pub(crate) records: &'a BTreeMap<ShardNo, ShardRecord>,
    /// Every node that was heard.
    pub(crate) nodes: &'a BTreeMap<NodeName, Seen>,
}

impl<'a> View<'a> {
    /// Every shard, in ascending order; `waiting` are those that wait for an operator.
    pub(crate) fn shards(self, waiting: &BTreeSet<ShardNo>) -> Vec<ShardEntry> {
        let each = self.records.values().map(|record| ShardEntry {
            waits: waiting.contains(&record.shard),
            ..self.shard(record)
        });
        each.collect()
    }

    /// The replicas of one node.
    pub(crate) fn replicas_on(self, node: &NodeName) -> Vec<NodeShard> {
        let held = self.records.values().filter_map(|record| {
            let member = record.member_on(node)?;
            Some(NodeShard {
                shard: record.shard,
                role: role(record, member),
                state: record.state,
                epoch: record.epoch,
                in_sync: record.in_sync.contains(member),
                degraded: record.degraded,
                progress: self.progress(record, member),
            })
        });
        held.collect()
    }

    /// Live contents, each counted once.
    pub(crate) fn contents(self) -> u64 {
        let each = self.records.values();
        each.map(|record| self.main_report(record).map_or(0, |report| report.contents))
            .sum()
    }

    fn shard(self, record: &ShardRecord) -> ShardEntry {
        let main = self.main_report(record);
        let names = |members: &[Member]| members.iter().map(|member| member.node.clone()).collect();
        let mut replicas: Vec<ShardReplica> = record
            .replicas
            .iter()
            .map(|member| ShardReplica {
                node: member.node.clone(),
                role: role(record, member),
                in_sync: record.in_sync.contains(member),
                progress: self.progress(record, member),
            })
            .collect();
        replicas.sort_by_key(|replica| (replica.role != ReplicaRole::Leader, replica.node.clone()));
        ShardEntry {
            shard: record.shard,
            state: record.state,
            epoch: record.epoch,
            leader: record.leader.as_ref().map(|l| l.member.node.clone()),
            in_sync: names(&record.in_sync),
            eligible: names(&record.eligible),
            min_in_sync: record.min_in_sync,
            degraded: record.degraded,
            waits: false,
            bytes: main.map_or(0, |report| report.bytes),
            contents: main.map_or(0, |report| report.contents),
            replicas,
        }
    }

    fn progress(self, record: &ShardRecord, member: &Member) -> Progress {
        let Some(report) = self.report(record.shard, member) else {
            return Progress::default();
        };
        let leader = record.leader.as_ref();
        let leader = leader.and_then(|leader| self.report(record.shard, &leader.member));
        Progress {
            position: Some(report.end.lsn),
            committed: Some(report.committed),
            lag: leader.map(|leader| leader.end.lsn.0.saturating_sub(report.end.lsn.0)),
            bytes: report.bytes,
            contents: report.contents,
            damaged: report.damaged,
            halted: report.halted,
        }
    }

    /// What the leader last said of a shard; without one, the member of the set that has the most.
    fn main_report(self, record: &ShardRecord) -> Option<&'a ReplicaReport> {
        let leader = record.leader.as_ref();
        let of_leader = leader.and_then(|leader| self.report(record.shard, &leader.member));
        let in_sync = record
            .in_sync
            .iter()
            .filter_map(|member| self.report(record.shard, member));
        of_leader.or_else(|| in_sync.max_by_key(|report| report.end.lsn))
    }

    fn report(self, shard: ShardNo, member: &Member) -> Option<&'a ReplicaReport> {
        let reports = &self.nodes.get(&member.node)?.heartbeat.replicas;
        reports
            .iter()
            .find(|report| report.shard == shard && report.replica == member.replica)
    }
}

fn role(record: &ShardRecord, member: &Member) -> ReplicaRole {
    let leader = record.leader.as_ref();
    if leader.is_some_and(|leader| leader.member == *member) {
        ReplicaRole::Leader
    } else {
        ReplicaRole::Follower
    }
}
