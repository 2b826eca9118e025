//! New shards, and the offers under which nodes make replicas.

use std::collections::BTreeSet;

use uuid::Uuid;
use wire::membership::Heartbeat;
use wire::shard::{Leader, Member, Revision, ShardRecord, ShardState};
use wire::{Epoch, NodeName, ShardNo};

use crate::{Change, Making, Reason, Seen, Situation, has};

/// Each living node offers one UUID at a time; it is taken once.
pub(crate) struct Offers {
    taken: BTreeSet<Uuid>,
}

impl Offers {
    pub(crate) fn new(situation: Situation<'_>) -> Offers {
        let members = situation
            .records
            .values()
            .flat_map(|record| &record.replicas);
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

/// Living nodes that may hold more, those with the most room first.
pub(crate) fn by_room<'a>(situation: Situation<'a>) -> Vec<(&'a NodeName, &'a Seen)> {
    let usable = situation.nodes.iter();
    let usable = usable.filter(|(name, seen)| {
        seen.alive && !seen.heartbeat.parting && !situation.draining.contains(*name)
    });
    let mut nodes: Vec<(&NodeName, &Seen)> = usable.collect();
    nodes.sort_by_key(|(name, seen)| (taken(&seen.heartbeat), (*name).clone()));
    nodes
}

/// What a replica counts for, however little it holds, in bytes: those of a new cluster are spread by
/// their number, and not by who wrote its first record first.
const REPLICA_BYTES_MIN: u64 = 16 << 20;

/// When so long nobody new has registered, in milliseconds, those that start together have.
const GATHER_MS: u64 = 500;

/// What a node has taken on, in bytes.
fn taken(heartbeat: &Heartbeat) -> u64 {
    let held = heartbeat.replicas.iter();
    held.map(|report| report.bytes.max(REPLICA_BYTES_MIN)).sum()
}

/// What a node holds, in bytes.
pub(crate) fn load(heartbeat: &Heartbeat) -> u64 {
    heartbeat.replicas.iter().map(|report| report.bytes).sum()
}

/// A new shard for each living node that leads no open one, with all its copies at once if there are
/// nodes for them. Who finds no offer left has its turn when the nodes have made theirs, and offer
/// anew.
///
/// While nodes register one after the other, who is to hold the other copies may come next: there is
/// one mirrored shard meanwhile, for whoever cannot wait.
pub(crate) fn make(situation: Situation<'_>, offers: &mut Offers) -> Vec<Change> {
    let mut number = highest_number(situation);
    let mut changes = Vec::new();
    let nodes = by_room(situation);
    let copies = usize::from(situation.policy.copies);
    if nodes.len() < copies && !situation.may_judge {
        return changes;
    }
    let mut needy: Vec<&(&NodeName, &Seen)> = nodes
        .iter()
        .filter(|(name, seen)| !has_open(situation, name, &seen.heartbeat))
        .collect();
    needy.sort_by_key(|(name, _)| *name);
    let gathers = nodes.iter().any(|(_, seen)| seen.known_ms < GATHER_MS);
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
            changes.push(new_shard(situation, ShardNo(next), (leader, seen), offers));
        }
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

/// Whether a node has an open shard to take uploads for: one that it leads, or, with mirrors, one
/// whose first replica it holds, whoever leads at present.
fn has_open(situation: Situation<'_>, name: &NodeName, heartbeat: &Heartbeat) -> bool {
    let holds = |member: &Member| member.node == *name && has(heartbeat, member);
    situation.records.values().any(|record| {
        let leads = record
            .leader
            .as_ref()
            .is_some_and(|leader| holds(&leader.member));
        record.state == ShardState::Open && (leads || record.replicas.first().is_some_and(holds))
    })
}

fn new_shard(
    situation: Situation<'_>,
    shard: ShardNo,
    (member, seen): (Member, &Seen),
    offers: &mut Offers,
) -> Change {
    let mut replicas = vec![member.clone()];
    for (name, other) in by_room(situation) {
        if replicas.len() < usize::from(situation.policy.copies) && *name != member.node {
            replicas.extend(offers.take(name, other));
        }
    }
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
