//! What the controller decides: pure, from what it knows to changes of shard records.
//!
//! No I/O, no clock, no randomness: the same situation gives the same changes. Each change is a
//! compare-and-set, so a controller that was deposed without knowing it changes nothing twice.
//! `docs/replication.md` has the rules.

mod behind;
mod bugs;
mod elect;
mod gather;
mod hand_over;
mod make;
mod rebalance;
mod recover;
mod repair;
mod restore;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Member, Revision, ShardRecord, ShardState};
use wire::{NodeName, ShardNo};

pub use behind::behind;
pub use bugs::{Bug, Bugs};
pub use gather::gather;
pub use rebalance::{Rebalance, rebalance};
pub use recover::{Listed, RecoverRefused, Recovery, recover, waiting, waits};
pub use repair::{is_outage, outage};
pub use restore::{is_lost, wants_records};
pub use room::Room;

/// A node may be silent for so long before its replicas are made anew elsewhere, in milliseconds:
/// longer than a restart of its machine takes.
pub const REPAIR_DELAY_MS: u64 = 10 * 60 * 1000;

/// What is known of one node.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What it last said.
    pub heartbeat: Heartbeat,
    /// For how long it has been known, in milliseconds.
    pub known_ms: u64,
    /// Whether it was heard within a session.
    pub alive: bool,
    /// How long ago it was heard, in milliseconds.
    pub silent_ms: u64,
    /// How much more it may be sent; none while it has not told.
    pub room: Option<Room>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many replicas each shard shall have, 1 to 5.
    pub copies: u8,
    /// A silent node's replicas are made anew after so long, in milliseconds.
    pub repair_delay_ms: u64,
    /// Bugs that a simulator switched on.
    pub bugs: Bugs,
}

impl Policy {
    /// The policy of so many copies.
    pub fn of(copies: u8) -> Policy {
        Policy {
            copies,
            repair_delay_ms: REPAIR_DELAY_MS,
            bugs: Bugs::default(),
        }
    }

    /// The fewest members of a set that commit: with one copy one, else two.
    pub fn min_in_sync(&self) -> u8 {
        self.copies.clamp(1, 2)
    }
}

/// Whether new shards may be made, and which nodes hold their other copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Not now: they may be numbered on a fresh catalog at once, otherwise after a session, when
    /// every node that lives has said which shards it holds.
    No,
    /// Those with the most room: who has no offer is about to have one, in a new cluster where all
    /// make their first replicas.
    WithBest,
    /// Whoever has an offer: nobody waits for ever for a node whose disk hangs.
    WithAny,
}

impl Making {
    /// When to make shards: if it may be done at all, with the best at first.
    pub fn after(may_number: bool, in_office: Duration, session: Duration) -> Making {
        match may_number {
            false => Making::No,
            true if in_office < session * PATIENCE_SESSIONS => Making::WithBest,
            true => Making::WithAny,
        }
    }
}

/// For so many sessions in office new shards wait for the nodes with the most room.
const PATIENCE_SESSIONS: u32 = 10;

/// What the controller knows.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The register.
    pub records: &'a BTreeMap<ShardNo, ShardRecord>,
    /// Every node that was ever heard.
    pub nodes: &'a BTreeMap<NodeName, Seen>,
    /// The nodes that shall hold nothing.
    pub draining: &'a BTreeSet<NodeName>,
    /// Whether new shards may be made, and with whom.
    pub making: Making,
    /// Whether a silent node may be called dead: after a whole session in office with the register
    /// at hand.
    pub may_judge: bool,
    /// What is wanted.
    pub policy: Policy,
}

/// One change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision that the register must have.
    pub expected: Revision,
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
    /// The leader is dead, or its process is another one than before.
    Elected,
    /// The leader's node drains, or is the fullest: it is to hand over to the first of the replicas.
    HandedOver,
    /// The shard is full.
    Full,
    /// The leader does not hold its replica any more, and nobody else can lead.
    Lost,
    /// A node leads no open shard.
    Made,
    /// The catalog went back, and the leader does not know it.
    Behind,
    /// The shard has fewer replicas than it shall have.
    Added,
    /// The shard has more replicas than it shall have.
    Removed,
    /// Fewer copies are wanted than when the shard was made, and it has no more than that.
    Eased,
    /// An operator chose a copy, since all who had everything are gone.
    Recovered,
}

/// Decides. At most one change for each shard; ask again when they are made.
pub fn decide(situation: Situation<'_>) -> Vec<Change> {
    let restored = restore::restore(situation);
    let rolled_back: BTreeSet<ShardNo> = restored
        .iter()
        .map(|change| change.record.shard)
        .chain(restore::unreported(situation))
        .collect();
    let settled: Vec<&ShardRecord> = situation
        .records
        .values()
        .filter(|record| !rolled_back.contains(&record.shard))
        .collect();
    let mut changes: Vec<Change> = settled
        .iter()
        .filter_map(|record| {
            elect::elect(situation, record)
                .or_else(|| hand_over::hand_over(situation, record))
                .or_else(|| full(situation, record))
        })
        .collect();
    let changed: BTreeSet<ShardNo> = changes.iter().map(|change| change.record.shard).collect();
    let rest = settled
        .iter()
        .filter(|record| !changed.contains(&record.shard));
    let rest: Vec<&ShardRecord> = rest.copied().collect();
    let mut offers = make::Offers::new(situation, &restored);
    changes.extend(repair::repair(situation, &rest, &mut offers));
    changes.extend(restored);
    if situation.making != Making::No && rolled_back.is_empty() {
        changes.extend(make::make(situation, &mut offers));
    }
    changes
}

/// Closes a shard whose log is full.
fn full(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let leader = record.leader.as_ref()?;
    let report = situation.holder(record.shard, &leader.member)?.1;
    let full = report.bytes >= wire::limits::SHARD_BYTES_MAX && record.state == ShardState::Open;
    full.then(|| changed(record, Reason::Full, close))
}

fn close(record: &mut ShardRecord) {
    record.state = ShardState::Closed;
}

fn changed(record: &ShardRecord, reason: Reason, change: impl FnOnce(&mut ShardRecord)) -> Change {
    let mut next = record.clone();
    change(&mut next);
    next.version += 1;
    Change {
        expected: record.revision(),
        record: next,
        reason,
    }
}

/// What a node said of this replica of this shard. An offer that was made good, and left again since, may still
/// look like one, and be taken for another shard.
fn report_of<'a>(
    heartbeat: &'a Heartbeat,
    shard: ShardNo,
    member: &Member,
) -> Option<&'a ReplicaReport> {
    heartbeat
        .replicas
        .iter()
        .find(|report| report.shard == shard && report.replica == member.replica)
}

/// Whether a node holds a replica, or will make it when it hears that it shall.
fn has(heartbeat: &Heartbeat, shard: ShardNo, member: &Member) -> bool {
    heartbeat.offer == member.replica || report_of(heartbeat, shard, member).is_some()
}

impl<'a> Situation<'a> {
    /// What a living node says of a replica that it holds, and that works.
    fn holder(
        &self,
        shard: ShardNo,
        member: &Member,
    ) -> Option<(&'a Heartbeat, &'a ReplicaReport)> {
        let seen = self.alive(&member.node)?;
        let report = report_of(&seen.heartbeat, shard, member).filter(|report| !report.halted)?;
        Some((&seen.heartbeat, report))
    }

    /// Whether a living node has said what it has of a replica: it holds it, be it halted, or has
    /// not made it yet; or it made it for another shard, and so never will for this one.
    fn is_heard(&self, member: &Member) -> bool {
        let is_it = |seen: &Seen| {
            let mut held = seen.heartbeat.replicas.iter();
            seen.heartbeat.offer == member.replica || held.any(|r| r.replica == member.replica)
        };
        self.alive(&member.node).is_some_and(is_it)
    }

    /// Whether a living node is without a replica of its own: its disk was replaced.
    fn is_replaced(&self, shard: ShardNo, member: &Member) -> bool {
        let seen = self.alive(&member.node);
        seen.is_some_and(|seen| !has(&seen.heartbeat, shard, member))
    }

    fn alive(&self, node: &NodeName) -> Option<&'a Seen> {
        self.nodes.get(node).filter(|seen| seen.alive)
    }
}

#[cfg(test)]
mod tests;
