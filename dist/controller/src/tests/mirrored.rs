//! Replicas that come and go: repair and its limits, surplus replicas, draining, halted replicas.

use super::{World, heartbeat, name, report};
use crate::{Change, REPAIR_DELAY_MS, Reason, Seen};
use uuid::Uuid;
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Epoch, NodeName, ShardNo};

pub(super) fn node(n: u128) -> NodeName {
    name(&format!("node{n}"))
}

/// The replica of a shard on a node.
pub(super) fn member(shard: u16, n: u128) -> Member {
    Member {
        node: node(n),
        replica: Uuid::from_u128(u128::from(shard) * 1_000 + n),
    }
}

pub(super) fn members(shard: u16, nodes: &[u128]) -> Vec<Member> {
    nodes.iter().map(|n| member(shard, *n)).collect()
}

impl World {
    /// So many nodes, all alive and empty.
    pub(super) fn of(nodes: u128, copies: u8) -> World {
        let mut world = World {
            copies,
            ..World::fresh()
        };
        for n in 1..=nodes {
            world.hear(&format!("node{n}"), heartbeat(n, 100_000 + n));
        }
        world
    }

    /// A shard on these nodes, all of them in sync; the first one leads.
    pub(super) fn with(mut self, shard: u16, nodes: &[u128]) -> World {
        let record = ShardRecord {
            shard: ShardNo(shard),
            log: 7,
            epoch: Epoch(1),
            leader: Some(Leader {
                member: member(shard, nodes[0]),
                incarnation: Uuid::from_u128(nodes[0]),
            }),
            in_sync: members(shard, nodes),
            eligible: Vec::new(),
            replicas: members(shard, nodes),
            min_in_sync: self.copies.min(2),
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        };
        for n in nodes {
            let mut held = report(&record);
            held.replica = member(shard, *n).replica;
            self.seen(*n).heartbeat.replicas.push(held);
        }
        self.records.insert(record.shard, record);
        self
    }

    pub(super) fn seen(&mut self, n: u128) -> &mut Seen {
        self.nodes.get_mut(&node(n)).expect("a known node")
    }

    pub(super) fn silence(&mut self, n: u128, for_ms: u64) {
        let seen = self.seen(n);
        (seen.alive, seen.silent_ms) = (false, for_ms);
    }

    pub(super) fn shard(&mut self, shard: u16) -> &mut ShardRecord {
        self.records
            .get_mut(&ShardNo(shard))
            .expect("a known shard")
    }

    pub(super) fn replica(&mut self, shard: u16, n: u128) -> &mut wire::membership::ReplicaReport {
        let replicas = &mut self.seen(n).heartbeat.replicas;
        let held = replicas
            .iter_mut()
            .find(|held| held.shard == ShardNo(shard));
        held.expect("a held replica")
    }

    /// These nodes say that they obey the shard's record as it is.
    fn confirm(&mut self, shard: u16, nodes: &[u128]) {
        let mark = self.shard(shard).mark();
        for n in nodes {
            self.replica(shard, *n).record_mark = Some(mark);
        }
    }

    /// The changes of one kind.
    pub(super) fn of_kind(&self, reason: Reason) -> Vec<Change> {
        let mut changes = self.decide();
        changes.retain(|change| change.reason == reason);
        changes
    }

    /// Where replicas are added.
    pub(super) fn added(&self) -> Vec<(u16, NodeName)> {
        let changes = self.of_kind(Reason::Added).into_iter();
        let added = changes.map(|change| {
            let last = change.record.replicas.last().expect("one was added");
            (change.record.shard.0, last.node.clone())
        });
        added.collect()
    }
}

// If this fails, every restart of a machine copies all that it holds, or a lost one is never
// replaced.
#[test]
fn a_silent_node_is_replaced_after_the_delay() {
    let mut world = World::of(4, 3).with(1, &[1, 2, 3]);
    world.silence(3, REPAIR_DELAY_MS - 1);
    assert_eq!(world.added(), []);
    world.silence(3, REPAIR_DELAY_MS);
    assert_eq!(world.added(), [(1, node(4))]);
    world.may_make = false;
    assert_eq!(world.added(), [], "before a session nobody is judged");
}

// If this fails, copies fill the fullest disk.
#[test]
fn a_copy_goes_where_the_most_room_is() {
    let mut world = World::of(5, 2).with(1, &[1]).with(2, &[3]).with(3, &[4]);
    world.replica(2, 3).bytes = 500 << 20;
    world.replica(3, 4).bytes = 50 << 20;
    world.seen(2).alive = false;
    world.seen(5).heartbeat = world.seen(4).heartbeat.clone();
    world.seen(5).heartbeat.replicas[0].bytes = 80 << 20;
    world.seen(5).heartbeat.offer = Uuid::from_u128(55);
    let added = world.added();
    assert!(added.contains(&(1, node(4))), "{added:?}");
}

// If this fails, one node of a new cluster holds a copy of every shard, and another one of its own only.
#[test]
fn nearly_empty_copies_are_spread_by_their_number() {
    let mut world = World::of(3, 2).with(1, &[1, 2]).with(2, &[3, 1]);
    // Leaders have written their first records; the followers have not heard of them yet.
    world.replica(1, 1).bytes = 0;
    world.replica(2, 3).bytes = 4_096;
    let made = world.of_kind(Reason::Made);
    let holders = |change: &Change| -> Vec<NodeName> {
        let replicas = change.record.replicas.iter();
        replicas.map(|member| member.node.clone()).collect()
    };
    let made: Vec<Vec<NodeName>> = made.iter().map(holders).collect();
    assert_eq!(made, [[node(2), node(3)]]);
}

// If this fails, a shard that is one loss from its end waits behind one that has two copies.
#[test]
fn the_fewest_copies_come_first() {
    let world = World::of(3, 3).with(1, &[1, 2]).with(2, &[2]);
    // Node 3 alone can take one of shard 1, and offers one replica at a time.
    assert_eq!(world.added()[0].0, 2);
    assert!(!world.added().contains(&(1, node(3))));
}

// If this fails, repair takes a disk, or the network, away from clients.
#[test]
fn few_copies_are_made_at_a_time() {
    let joining = |world: &mut World, shard: u16, n: u128| {
        let joiner = member(shard, n);
        let mut held = report(world.shard(shard));
        held.replica = joiner.replica;
        world.shard(shard).replicas.push(joiner);
        world.seen(n).heartbeat.replicas.push(held);
    };
    let mut world = World::of(2, 2).with(1, &[1]).with(2, &[1]).with(3, &[1]);
    joining(&mut world, 1, 2);
    assert_eq!(world.added(), [(2, node(2))]);
    joining(&mut world, 2, 2);
    assert_eq!(world.added(), [], "two on one node");

    let mut world = World::of(12, 2);
    for shard in 1..=9 {
        world = world.with(shard, &[1]);
    }
    for shard in 1..=7 {
        joining(&mut world, shard, u128::from(shard) + 1);
    }
    assert_eq!(world.added().len(), 1, "eight in the cluster");
    joining(&mut world, 8, 9);
    assert_eq!(world.added(), []);
}

// If this fails, a network that is cut in two makes each half copy everything.
#[test]
fn nothing_is_copied_while_over_a_third_look_dead() {
    let mut world = World::of(6, 3).with(1, &[1, 2, 3]).with(2, &[4, 5, 6]);
    world.silence(3, REPAIR_DELAY_MS);
    world.silence(6, REPAIR_DELAY_MS);
    assert_eq!(world.added().len(), 2, "a third");
    world.silence(5, 2_000);
    assert_eq!(world.added(), [], "over a third");
}

// If this fails, machines that were retired and never removed switch repair off for ever, and the
// next disk that fails takes the last copies with it.
#[test]
fn dead_nodes_that_hold_nothing_are_no_outage() {
    let mut world = World::of(7, 2).with(1, &[2, 1]).with(2, &[2, 3]);
    for retired in 5..=7 {
        world.silence(retired, REPAIR_DELAY_MS);
    }
    world.silence(1, REPAIR_DELAY_MS);
    assert_eq!(world.added(), [(1, node(4))], "one of three");
    world.silence(3, 2_000);
    assert_eq!(world.added(), [], "two of three, whoever else lives");
}

// If this fails, shards keep more copies than they shall, or lose one that is needed.
#[test]
fn a_surplus_replica_leaves_from_the_fullest_node() {
    let mut world = World::of(3, 2).with(1, &[1, 2, 3]);
    world.replica(1, 1).bytes = 900;
    world.replica(1, 2).bytes = 500;
    world.replica(1, 3).bytes = 100;
    let removed = world.of_kind(Reason::Removed);
    assert_eq!(removed.len(), 1);
    let record = &removed[0].record;
    assert_eq!(record.replicas, members(1, &[1, 3]), "never the leader's");
    assert_eq!(record.in_sync, members(1, &[1, 3]));

    world.shard(1).in_sync = members(1, &[1, 2]);
    world.confirm(1, &[1, 2, 3]);
    assert!(
        world.of_kind(Reason::Removed).is_empty(),
        "one still copies"
    );
    world.shard(1).in_sync = members(1, &[1, 2, 3]);
    world.shard(1).degraded = true;
    world.confirm(1, &[1, 2, 3]);
    assert!(world.of_kind(Reason::Removed).is_empty(), "degraded");
}

// If this fails, a copy that nobody needs stays for as long as another one is about to lead.
#[test]
fn a_surplus_replica_need_not_wait_for_another_ones_office() {
    let mut world = World::of(3, 2).with(1, &[1, 2, 3]);
    world.shard(1).replicas = members(1, &[2, 1, 3]);
    world.confirm(1, &[1, 2, 3]);
    world.replica(1, 3).bytes = 900;
    let removed = world.of_kind(Reason::Removed);
    assert_eq!(removed[0].record.replicas, members(1, &[2, 1]));
    world.replica(1, 1).bytes = 1_000;
    let removed = world.of_kind(Reason::Removed);
    assert!(removed.is_empty(), "node1 goes, when it has handed over");
}

// If this fails, a machine that is to be switched off keeps what only it has, or gets more.
#[test]
fn a_draining_node_is_replaced_and_then_left() {
    let mut world = World::of(3, 2).with(1, &[1, 2]);
    world.draining.insert(node(2));
    assert_eq!(world.added(), [(1, node(3))]);
    assert!(world.of_kind(Reason::Removed).is_empty());

    let mut world = World::of(3, 2).with(1, &[1, 2, 3]);
    world.draining.insert(node(2));
    world.replica(1, 3).bytes = 900;
    let removed = world.of_kind(Reason::Removed);
    assert_eq!(removed[0].record.replicas, members(1, &[1, 3]));
    assert_eq!(world.added(), []);

    let mut world = World::of(2, 2).with(1, &[1]);
    world.draining.insert(node(2));
    assert_eq!(world.added(), [], "it gets nothing new");
}

// If this fails, a shard goes to the very machine that is to be switched off.
#[test]
fn a_draining_node_is_elected_last() {
    let mut world = World::of(3, 3).with(1, &[1, 2, 3]);
    world.silence(1, 2_000);
    world.replica(1, 2).end.lsn = wire::Lsn(90);
    world.draining.insert(node(2));
    let elected = world.of_kind(Reason::Elected);
    let leader = elected[0].record.leader.as_ref().expect("a leader");
    assert_eq!(leader.member.node, node(3));
    world.silence(3, 2_000);
    let elected = world.of_kind(Reason::Elected);
    let leader = elected[0].record.leader.as_ref().expect("a leader");
    assert_eq!(leader.member.node, node(2));
}

// If this fails, a log that failed a sync costs a copy of all its contents, or leads on.
#[test]
fn a_halted_replica_leads_nothing_and_is_not_replaced() {
    let mut world = World::of(4, 3).with(1, &[1, 2, 3]);
    world.replica(1, 1).halted = true;
    let elected = world.of_kind(Reason::Elected);
    let record = &elected[0].record;
    assert_eq!(record.in_sync, members(1, &[2, 3]));
    assert_eq!(record.replicas, members(1, &[1, 2, 3]));
    assert_eq!(world.added(), []);
    assert!(world.of_kind(Reason::Removed).is_empty());
    assert_eq!(world.apply()[0], Reason::Elected);
    assert_eq!(world.added(), [], "it is on its node, and will start again");
    assert!(world.of_kind(Reason::Removed).is_empty());
}

// If this fails, a sole replica that halts closes its shard for ever.
#[test]
fn a_sole_halted_replica_is_not_lost() {
    let mut world = World::of(1, 1).with(1, &[1]);
    world.replica(1, 1).halted = true;
    assert_eq!(world.apply(), []);
    world.seen(1).heartbeat.incarnation = Uuid::from_u128(77);
    world.replica(1, 1).halted = false;
    assert_eq!(world.apply(), [Reason::Elected]);
}

// If this fails, copies that nobody asks for any more stay, and with one of them lost the shard is called
// short for ever.
#[test]
fn fewer_copies_may_be_asked_for_later() {
    let mut world = World::of(2, 2).with(1, &[1, 2]);
    assert_eq!(world.shard(1).min_in_sync, 2);
    world.copies = 1;
    let removed = world.of_kind(Reason::Removed);
    assert_eq!(removed.len(), 1);
    let record = &removed[0].record;
    assert_eq!(record.in_sync, members(1, &[1]));
    assert_eq!((record.min_in_sync, record.degraded), (1, false));
}

// If this fails, a cluster of which a machine was lost for good calls its shards degraded for ever,
// though an operator asks for as many copies as there are.
#[test]
fn fewer_copies_may_be_asked_for_after_a_node_was_lost() {
    let degraded = || {
        let mut world = World::of(3, 2).with(1, &[1, 2]).with(2, &[1, 3]);
        world.shard(1).in_sync = members(1, &[1]);
        world.shard(1).degraded = true;
        world.confirm(1, &[1, 2]);
        world.silence(2, REPAIR_DELAY_MS);
        world.copies = 1;
        world
    };
    let changes = degraded().of_kind(Reason::Removed);
    let of_first = |change: &&Change| change.record.shard == ShardNo(1);
    let change = changes.iter().find(of_first).expect("it leaves");
    let record = &change.record;
    assert_eq!(record.replicas, members(1, &[1]));
    assert_eq!(record.in_sync, members(1, &[1]));
    assert_eq!((record.min_in_sync, record.degraded), (1, false));

    let mut still_wanted = degraded();
    still_wanted.copies = 2;
    assert!(still_wanted.of_kind(Reason::Removed).is_empty());
    let mut back_soon = degraded();
    back_soon.silence(2, REPAIR_DELAY_MS - 1);
    let changes = back_soon.of_kind(Reason::Removed);
    assert_eq!(changes.iter().find(of_first), None);
}
