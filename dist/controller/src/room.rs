//! Which nodes have room for more, and for how much more than others.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use wire::NodeName;
use wire::limits::ROOM_PERCENT_MIN;
use wire::membership::Heartbeat;
use wire::shard::{Member, ShardRecord, ShardState};

use crate::{Seen, Situation, report_of};

/// How much more placement sends to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What may still come there, in bytes.
    pub free_bytes: u64,
    /// What might if the node held nothing, in bytes.
    pub total_bytes: u64,
}

/// What a replica counts for where rooms are not known, however little it holds, in bytes: those of a
/// new cluster are spread by their number, and not by who wrote its first record first.
const REPLICA_BYTES_MIN: u64 = 16 << 20;

impl Room {
    fn is_full(self) -> bool {
        self.free_bytes <= self.total_bytes / 100 * ROOM_PERCENT_MIN
    }
}

/// Whether a node is known to have no room.
pub(crate) fn is_full(seen: &Seen) -> bool {
    seen.room.is_some_and(Room::is_full)
}

/// Whether a node has room for so much more, as far as is known.
pub(crate) fn fits(seen: &Seen, bytes: u64) -> bool {
    seen.room.is_none_or(|room| bytes <= room.free_bytes)
}

/// Whether every member of a shard's set can take new content, as far as is known: it takes room on
/// each of them.
pub(crate) fn has_room(situation: Situation<'_>, record: &ShardRecord) -> bool {
    let mut members = record.in_sync.iter();
    members.all(|member| {
        let seen = situation.nodes.get(&member.node);
        !seen.is_some_and(is_full)
    })
}

/// Living nodes that may hold more, those with the most room first.
///
/// Room counts as shared out among the open shards that a node has a replica of (the method of D'Hondt):
/// so over time each node is given new ones in proportion to its room.
pub(crate) fn by_room<'a>(situation: Situation<'a>) -> Vec<(&'a NodeName, &'a Seen)> {
    let usable = situation.nodes.iter();
    let usable = usable.filter(|(name, seen)| {
        seen.alive && !seen.heartbeat.parting && !situation.draining.contains(*name)
    });
    let mut nodes: Vec<(&NodeName, &Seen)> = usable.collect();
    let rooms = nodes.iter().filter_map(|(_, seen)| seen.room);
    // Who has not told yet is not taken for an empty one.
    let least = rooms.map(|room| room.free_bytes).min();
    let claims = claims(situation);
    nodes.sort_by_cached_key(|(name, seen)| {
        let claim = claims.get(*name).copied().unwrap_or_default();
        let free = seen.room.map(|room| room.free_bytes).or(least);
        let share = free.map(|free| free.saturating_sub(claim.coming_bytes) / (claim.open + 1));
        (Reverse(share), taken(&seen.heartbeat), (*name).clone())
    });
    nodes
}

/// What will take room on a node.
#[derive(Clone, Copy, Default)]
struct Claim {
    /// Open shards of which it has a replica.
    open: u64,
    /// What is still to be copied there, in bytes.
    coming_bytes: u64,
}

fn claims<'a>(situation: Situation<'a>) -> BTreeMap<&'a NodeName, Claim> {
    let mut claims: BTreeMap<&NodeName, Claim> = BTreeMap::new();
    for record in situation.records.values() {
        let whole = shard_bytes(situation, record);
        for member in &record.replicas {
            let claim = claims.entry(&member.node).or_default();
            claim.open += u64::from(record.state == ShardState::Open);
            if !record.in_sync.contains(member) {
                claim.coming_bytes += whole.saturating_sub(bytes(situation, record, member));
            }
        }
    }
    claims
}

/// What the leader of a shard holds of it, in bytes.
pub(crate) fn shard_bytes(situation: Situation<'_>, record: &ShardRecord) -> u64 {
    let leader = record.leader.as_ref();
    leader.map_or(0, |leader| bytes(situation, record, &leader.member))
}

/// What a replica takes on its node, in bytes.
pub(crate) fn bytes(situation: Situation<'_>, record: &ShardRecord, member: &Member) -> u64 {
    let seen = situation.nodes.get(&member.node);
    let report = seen.and_then(|seen| report_of(&seen.heartbeat, record.shard, member));
    report.map_or(0, |report| report.bytes)
}

/// What a node has taken on, in bytes.
fn taken(heartbeat: &Heartbeat) -> u64 {
    let held = heartbeat.replicas.iter();
    held.map(|report| report.bytes.max(REPLICA_BYTES_MIN)).sum()
}

/// What a node holds, in bytes.
pub(crate) fn load(heartbeat: &Heartbeat) -> u64 {
    heartbeat.replicas.iter().map(|report| report.bytes).sum()
}

/// What a byte weighs on each node: twice as much as on another one that may hold twice as much. So
/// nodes of different sizes are equally full when what they hold weighs the same.
pub(crate) struct Scale<'a> {
    totals: BTreeMap<&'a NodeName, u64>,
    mean: u64,
    /// Whether the rooms of some living nodes are known, and not those of all: then each byte weighs the
    /// same, for the moment.
    pub(crate) is_partial: bool,
}

impl<'a> Scale<'a> {
    pub(crate) fn new(situation: Situation<'a>) -> Scale<'a> {
        let nodes = situation.nodes.iter();
        let living = nodes.filter(|(name, seen)| seen.alive && !situation.draining.contains(*name));
        let living: Vec<(&NodeName, &Seen)> = living.collect();
        let known = living
            .iter()
            .filter_map(|(name, seen)| Some((*name, seen.room?.total_bytes)));
        let totals: BTreeMap<&NodeName, u64> = known.collect();
        let is_partial = !totals.is_empty() && totals.len() < living.len();
        if totals.is_empty() || is_partial {
            return Scale {
                totals: BTreeMap::new(),
                mean: 1,
                is_partial,
            };
        }
        let count = totals.len() as u64;
        Scale {
            mean: totals.values().map(|total| total / count).sum(),
            totals,
            is_partial,
        }
    }

    /// What so many bytes weigh on a node. Rounded up: two parts together weigh no more than each by itself, so
    /// a move that shall make nodes more equal does not change their places.
    pub(crate) fn weigh(&self, node: &NodeName, bytes: u64) -> u64 {
        let Some(total) = self.totals.get(node) else {
            return bytes;
        };
        let weight = u128::from(bytes) * u128::from(self.mean);
        let weight = weight.div_ceil(u128::from(*total).max(1));
        u64::try_from(weight).unwrap_or(u64::MAX)
    }
}
