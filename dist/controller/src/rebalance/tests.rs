//! Moves, carried out on a register and nodes as the shell does.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

use super::rebalance;
use crate::{Change, Making, Policy, Reason, Room, Seen, Situation, decide};

fn node(number: u16) -> NodeName {
    format!("node{number}").parse().expect("a valid name")
}

struct World {
    records: BTreeMap<ShardNo, ShardRecord>,
    nodes: BTreeMap<NodeName, Seen>,
    draining: BTreeSet<NodeName>,
    copies: u8,
    offers: u128,
}

impl World {
    /// So many nodes, all empty.
    fn new(nodes: u16, copies: u8) -> World {
        let mut world = World {
            records: BTreeMap::new(),
            nodes: BTreeMap::new(),
            draining: BTreeSet::new(),
            copies,
            offers: 1000,
        };
        for number in 1..=nodes {
            let offer = world.offer();
            let heartbeat = Heartbeat {
                cluster: None,
                incarnation: Uuid::from_u128(u128::from(number)),
                offer,
                internal_url: "http://n".to_owned(),
                public_url: "http://n".to_owned(),
                replicas: Vec::new(),
                map_version: 0,
                parting: false,
                linked: None,
            };
            let seen = Seen {
                heartbeat,
                known_ms: 5_000,
                alive: true,
                silent_ms: 0,
                room: None,
            };
            world.nodes.insert(node(number), seen);
        }
        world
    }

    fn offer(&mut self) -> Uuid {
        self.offers += 1;
        Uuid::from_u128(self.offers)
    }

    /// A closed shard of so many bytes on these nodes, the first of which leads.
    fn shard(&mut self, number: u16, bytes: u64, on: &[u16]) {
        let shard = ShardNo(number);
        let members: Vec<Member> = on
            .iter()
            .map(|number| Member {
                node: node(*number),
                replica: self.offer(),
            })
            .collect();
        for member in &members {
            self.hold(shard, member, bytes);
        }
        let record = ShardRecord {
            shard,
            log: 1,
            epoch: Epoch(1),
            leader: Some(Leader {
                member: members[0].clone(),
                incarnation: self.nodes[&members[0].node].heartbeat.incarnation,
            }),
            in_sync: members.clone(),
            eligible: Vec::new(),
            replicas: members,
            min_in_sync: Policy::of(self.copies).min_in_sync(),
            degraded: false,
            state: ShardState::Closed,
            lineage: 0,
            version: 1,
        };
        self.records.insert(shard, record);
    }

    fn hold(&mut self, shard: ShardNo, member: &Member, bytes: u64) {
        let offer = self.offer();
        let seen = self.nodes.get_mut(&member.node).expect("a node");
        seen.heartbeat.replicas.push(ReplicaReport {
            shard,
            replica: member.replica,
            record_lineage: 0,
            record_version: 1,
            record_mark: None,
            record: None,
            end: Position::default(),
            committed: Lsn::ZERO,
            bytes,
            contents: 0,
            damaged: 0,
            halted: false,
            complete: true,
            log: None,
        });
        seen.heartbeat.offer = offer;
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            records: &self.records,
            nodes: &self.nodes,
            draining: &self.draining,
            making: Making::No,
            may_judge: true,
            policy: Policy::of(self.copies),
        }
    }

    fn apply(&mut self, changes: Vec<Change>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        for change in changes {
            let present = &self.records[&change.record.shard];
            assert_eq!(present.revision(), change.expected, "cannot succeed");
            assert!(change.record.in_sync.len() >= present.in_sync.len().min(self.copies.into()));
            reasons.push(change.reason);
            self.records.insert(change.record.shard, change.record);
        }
        reasons
    }

    /// One round of the shell; then what was added is copied, and joins; what was removed is
    /// deleted, and all have heard of it.
    fn round(&mut self) -> (Vec<Reason>, bool) {
        let next = rebalance(self.situation());
        let mut reasons = self.apply(next.changes);
        let changes = decide(self.situation());
        reasons.extend(self.apply(changes));
        for record in self.records.clone().into_values() {
            let joining: Vec<Member> = record
                .replicas
                .iter()
                .filter(|member| !record.in_sync.contains(member))
                .cloned()
                .collect();
            for member in joining {
                let leader = &record.leader.as_ref().expect("is led").member;
                let bytes = crate::room::bytes(self.situation(), &record, leader);
                self.hold(record.shard, &member, bytes);
                let stored = self.records.get_mut(&record.shard).expect("is there");
                stored.in_sync.push(member);
                stored.version += 1;
            }
        }
        let World { records, nodes, .. } = self;
        for record in records.values_mut() {
            obey(record, nodes);
        }
        for (name, seen) in nodes {
            seen.heartbeat.replicas.retain(|report| {
                let member = records[&report.shard].member_on(name);
                member.is_some_and(|member| member.replica == report.replica)
            });
            for report in &mut seen.heartbeat.replicas {
                report.record_version = records[&report.shard].version;
            }
        }
        (reasons, next.done)
    }

    fn settle(&mut self) -> Vec<u64> {
        for _ in 0..200 {
            if self.round().1 {
                let loads = super::loads(self.situation());
                return loads.into_values().collect();
            }
        }
        panic!("it never ends");
    }
}

/// The leader lays its office down for the first of the replicas, when that is in the set.
fn obey(record: &mut ShardRecord, nodes: &BTreeMap<NodeName, Seen>) {
    let first = record.replicas[0].clone();
    let leads = record.leader.as_ref().is_some_and(|l| l.member == first);
    if !leads && record.in_sync.contains(&first) {
        record.epoch = record.epoch.next();
        record.version += 1;
        record.leader = Some(Leader {
            incarnation: nodes[&first.node].heartbeat.incarnation,
            member: first,
        });
    }
}

// If this fails, the only copy of a shard goes before another one is made, or never goes.
#[test]
fn a_single_copy_is_added_then_led_then_removed() {
    let mut world = World::new(2, 1);
    world.shard(1, 100, &[1]);
    world.shard(2, 80, &[1]);
    assert_eq!(world.round(), (vec![Reason::Added], false));
    let moved = Reason::HandedOver;
    assert_eq!(world.round(), (vec![moved], false));
    assert_eq!(world.round(), (vec![Reason::Removed], false));
    assert_eq!(world.settle(), [80, 100]);
    let record = &world.records[&ShardNo(1)];
    assert_eq!(record.replicas[0].node, node(2));
}

// If this fails, a new node stays empty, or shards go round in circles.
#[test]
fn nodes_become_about_equally_full() {
    for copies in [1, 2, 3] {
        let mut world = World::new(6, copies);
        for number in 1..=60 {
            let on: Vec<u16> = (0..u16::from(copies))
                .map(|n| (number + n) % 4 + 1)
                .collect();
            world.shard(number, 90 + u64::from(number % 7), &on);
        }
        let loads = world.settle();
        let (least, most) = (loads.iter().min(), loads.iter().max());
        let (least, most) = (*least.expect("a node"), *most.expect("a node"));
        assert!((most - least) * 100 <= most * 15, "{copies}: {loads:?}");
        for record in world.records.values() {
            assert_eq!(record.replicas.len(), usize::from(copies));
            let nodes: BTreeSet<&NodeName> = record.replicas.iter().map(|m| &m.node).collect();
            assert_eq!(nodes.len(), record.replicas.len(), "on different nodes");
        }
    }
}

// If this fails, moves compete for a disk, and with the clients.
#[test]
fn each_node_takes_part_in_one_move_at_a_time() {
    let mut world = World::new(4, 1);
    for number in 1..=8 {
        world.shard(number, 100, &[number % 2 + 1]);
    }
    let begun = rebalance(world.situation()).changes;
    assert_eq!(begun.len(), 2);
    let to: BTreeSet<&NodeName> = begun
        .iter()
        .map(|change| &change.record.replicas[1].node)
        .collect();
    assert_eq!(to.len(), 2);
    world.apply(begun);
    assert!(
        rebalance(world.situation()).changes.is_empty(),
        "all are busy"
    );
}

// If this fails, a shard in trouble is moved about, or an equal cluster is never at rest.
#[test]
fn nothing_moves_that_need_not_or_must_not() {
    let mut world = World::new(2, 1);
    world.shard(1, 100, &[1]);
    assert!(
        rebalance(world.situation()).done,
        "it would only change places"
    );
    world.shard(2, 95, &[2]);
    assert!(rebalance(world.situation()).done);

    let mut world = World::new(3, 2);
    world.shard(1, 100, &[1, 2]);
    world.shard(2, 100, &[1, 2]);
    let mut degraded = World::new(3, 2);
    degraded.records.clone_from(&world.records);
    degraded.nodes.clone_from(&world.nodes);
    for record in degraded.records.values_mut() {
        record.degraded = true;
    }
    assert_eq!(rebalance(degraded.situation()).changes, []);
    world.draining.insert(node(3));
    assert_eq!(
        rebalance(world.situation()).changes,
        [],
        "nothing comes there"
    );
    world.draining.clear();
    assert_eq!(rebalance(world.situation()).changes.len(), 1);
    let dead = world.nodes.get_mut(&node(1)).expect("a node");
    dead.alive = false;
    let changes = rebalance(world.situation()).changes;
    assert!(
        changes.is_empty(),
        "nobody can be asked for a copy: {changes:?}"
    );
}

impl World {
    /// Tells how much more a node takes, of how much.
    fn room(&mut self, number: u16, free_bytes: u64, total_bytes: u64) {
        let room = Room {
            free_bytes,
            total_bytes,
        };
        let seen = self.nodes.get_mut(&node(number)).expect("a node");
        seen.room = Some(room);
    }
}

// If this fails, rebalancing fills the small nodes of a cluster, and ends in 507 while the large ones are
// empty.
#[test]
fn nodes_of_different_sizes_become_equally_full() {
    let mut world = World::new(3, 1);
    for number in 1..=20 {
        world.shard(number, 100, &[number % 2 + 1]);
    }
    world.room(1, 0, 1_000);
    world.room(2, 9_000, 10_000);
    world.room(3, 10_000, 10_000);
    let loads = world.settle();
    let held = |number: u16| {
        let reports = &world.nodes[&node(number)].heartbeat.replicas;
        reports.iter().map(|report| report.bytes).sum::<u64>()
    };
    assert_eq!([held(1), held(2), held(3)], [100, 1_000, 900], "{loads:?}");
}

// If this fails, rebalancing moves shards onto a disk that is full of other things, or stops because of
// one.
#[test]
fn nothing_moves_onto_a_node_without_room() {
    let mut world = World::new(3, 1);
    for number in 1..=4 {
        world.shard(number, 100, &[1]);
    }
    world.room(1, 600, 1_000);
    world.room(2, 10, 1_000);
    world.room(3, 1_000, 1_000);
    let begun = rebalance(world.situation()).changes;
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0].record.replicas[1].node, node(3));
    world.room(3, 99, 1_000);
    assert_eq!(rebalance(world.situation()).changes, [], "too large for it");
}

// If this fails, an order to rebalance is taken back, or carried out by half, before nodes have told their
// rooms.
#[test]
fn moves_begin_when_all_rooms_are_known() {
    let mut world = World::new(2, 1);
    for number in 1..=4 {
        world.shard(number, 100, &[1]);
    }
    world.room(1, 600, 1_000);
    let next = rebalance(world.situation());
    assert_eq!((next.changes.len(), next.done), (0, false));
    world.room(2, 1_000, 1_000);
    assert_eq!(rebalance(world.situation()).changes.len(), 1);
}
