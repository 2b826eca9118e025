//! New shards, and the offers under which nodes make replicas.

use std::collections::BTreeSet;

use uuid::Uuid;
use wire::membership::Heartbeat;
use wire::shard::{Leader, Member, Revision, ShardRecord, ShardState};
use wire::{Epoch, NodeName, ShardNo};

use crate::gather::gather;
use crate::room::{by_room, has_room, is_full};
use crate::{Change, Making, Reason, Seen, Situation, has};

/// Each living node offers one UUID at a time; it is taken once.
pub(crate) struct Offers {
    taken: BTreeSet<Uuid>,
}

impl Offers {
    /// All but those that records name, be it ones that are restored at this moment.
    pub(crate) fn new(situation: Situation<'_>, restored: &[Change]) -> Offers {
        let restored = restored.iter().map(|change| &change.record);
        let records = situation.records.values().chain(restored);
        let members = records.flat_map(|record| &record.replicas);
        Offers {
            taken: members.map(|member| member.replica).collect(),
        }
    }

    /// Whether this node's offer can be taken.
    fn is_free(&self, seen: &Seen) -> bool {
        !self.taken.contains(&seen.heartbeat.offer)
    }

    /// The member that this node would make; none if its offer is taken already.
    pub(crate) fn take(&mut self, node: &NodeName, seen: &Seen) -> Option<Member> {
        let replica = seen.heartbeat.offer;
        self.taken.insert(replica).then(|| Member {
            node: node.clone(),
            replica,
        })
    }
}

/// A new shard for each living node with room that leads no open one, with all its copies at once if
/// there are nodes for them. Who finds no offer left has its turn when the nodes have made theirs, and
/// offer anew.
///
/// While nodes [gather], who is to hold the other copies may come next: there is one mirrored shard
/// meanwhile, for whoever cannot wait.
pub(crate) fn make(situation: Situation<'_>, offers: &mut Offers) -> Vec<Change> {
    let mut number = highest_number(situation);
    let mut changes = Vec::new();
    let copies = usize::from(situation.policy.copies);
    let living = by_room(situation);
    if living.len() < copies && !situation.may_judge {
        return changes;
    }
    let hosts = Hosts::new(living, copies);
    let nodes = &hosts.nodes;
    let mut needy: Vec<&(&NodeName, &Seen)> = nodes
        .iter()
        .filter(|(name, seen)| !hosts.has_open(situation, name, &seen.heartbeat))
        .collect();
    needy.sort_by_key(|(name, _)| *name);
    let gathers = gather(situation.nodes).is_some();
    for (name, seen) in needy {
        let free = nodes
            .iter()
            .filter(|(_, seen)| offers.is_free(seen))
            .count();
        let Some(next) = number.checked_add(1) else {
            break;
        };
        if copies > 1 && number > 0 && gathers {
            break;
        }
        if !offers.is_free(seen) || free < copies.min(nodes.len()) {
            continue;
        }
        let others = nodes.iter().filter(|(other, _)| other != name);
        let mut best = others.take(copies.saturating_sub(1));
        if situation.making == Making::WithBest && !best.all(|(_, seen)| offers.is_free(seen)) {
            continue;
        }
        if let Some(leader) = offers.take(name, seen) {
            number = next;
            let others = hosts.take_others(name, copies, offers);
            changes.push(new_shard(situation, ShardNo(next), (leader, seen), others));
        }
    }
    changes
}

/// The nodes that new shards are made on, those with the most room first.
struct Hosts<'a> {
    nodes: Vec<(&'a NodeName, &'a Seen)>,
    /// Whether these have room. If too few nodes have some for all copies of a shard, all living ones are
    /// hosts: whoever is full refuses what it is sent, and says why.
    have_room: bool,
}

impl<'a> Hosts<'a> {
    fn new(living: Vec<(&'a NodeName, &'a Seen)>, copies: usize) -> Hosts<'a> {
        let with_room = living.iter().filter(|(_, seen)| !is_full(seen)).copied();
        let with_room: Vec<(&NodeName, &Seen)> = with_room.collect();
        let have_room = with_room.len() >= copies.min(living.len());
        Hosts {
            nodes: if have_room { with_room } else { living },
            have_room,
        }
    }

    /// Whether a node has an open shard to take uploads for: one that it leads, or, with mirrors, one
    /// whose first replica it holds, whoever leads at present. One with a copy on a node that is full
    /// takes nothing.
    fn has_open(&self, situation: Situation<'_>, name: &NodeName, heartbeat: &Heartbeat) -> bool {
        situation.records.values().any(|record| {
            let is_here = |member: &Member| member.node == *name;
            let holds = |member: &Member| is_here(member) && has(heartbeat, record.shard, member);
            let leader = record.leader.as_ref().map(|leader| &leader.member);
            let is_its = leader.is_some_and(holds) || record.replicas.first().is_some_and(holds);
            let takes = !self.have_room || has_room(situation, record);
            record.state == ShardState::Open && is_its && takes
        })
    }

    /// The members beside the leader.
    fn take_others(&self, leader: &NodeName, copies: usize, offers: &mut Offers) -> Vec<Member> {
        let others = self.nodes.iter().filter(|(name, _)| *name != leader);
        let members = others.filter_map(|(name, seen)| offers.take(name, seen));
        members.take(copies.saturating_sub(1)).collect()
    }
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

fn new_shard(
    situation: Situation<'_>,
    shard: ShardNo,
    (member, seen): (Member, &Seen),
    others: Vec<Member>,
) -> Change {
    let mut replicas = vec![member.clone()];
    replicas.extend(others);
    let record = ShardRecord {
        shard,
        log: log_id(member.replica),
        epoch: Epoch(1),
        leader: Some(Leader {
            member: member.clone(),
            incarnation: seen.heartbeat.incarnation,
        }),
        in_sync: vec![member],
        eligible: Vec::new(),
        replicas,
        min_in_sync: situation.policy.min_in_sync(),
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    };
    Change {
        expected: Revision::NONE,
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
