//! One test for each rule of the controller.

mod mirrored;
mod recover;
mod repair;
mod restore;
mod room;

use super::{Change, Making, Policy, Reason, Seen, Situation, behind, decide};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;
use wire::limits::SHARD_BYTES_MAX;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Revision, ShardRecord, ShardState};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

fn name(text: &str) -> NodeName {
    text.parse().expect("a valid name")
}

fn heartbeat(incarnation: u128, offer: u128) -> Heartbeat {
    Heartbeat {
        cluster: None,
        incarnation: Uuid::from_u128(incarnation),
        offer: Uuid::from_u128(offer),
        internal_url: "http://127.0.0.1:1".to_owned(),
        public_url: "http://127.0.0.1:1".to_owned(),
        replicas: Vec::new(),
        map_version: 0,
        parting: false,
        linked: None,
    }
}

fn report(record: &ShardRecord) -> ReplicaReport {
    ReplicaReport {
        shard: record.shard,
        replica: record.replicas[0].replica,
        record_lineage: record.lineage,
        record_version: record.version,
        record_mark: Some(record.mark()),
        record: None,
        end: Position::default(),
        committed: Lsn::ZERO,
        bytes: 0,
        contents: 0,
        damaged: 0,
        halted: false,
        complete: true,
        log: None,
    }
}

/// A register and nodes, on which decisions are carried out as the shell does.
#[derive(Default)]
struct World {
    records: BTreeMap<ShardNo, ShardRecord>,
    nodes: BTreeMap<NodeName, Seen>,
    may_make: bool,
    /// No session has passed yet.
    early: bool,
    /// More than one, for the rules of mirrored shards.
    copies: u8,
    draining: BTreeSet<NodeName>,
}

impl World {
    fn fresh() -> Self {
        World {
            may_make: true,
            copies: 1,
            ..World::default()
        }
    }

    fn hear(&mut self, node: &str, heartbeat: Heartbeat) {
        self.nodes.insert(
            name(node),
            Seen {
                heartbeat,
                known_ms: 5_000,
                alive: true,
                silent_ms: 0,
                room: None,
            },
        );
    }

    fn decide(&self) -> Vec<Change> {
        let World {
            records,
            nodes,
            may_make,
            copies,
            draining,
            ..
        } = self;
        decide(Situation {
            records,
            nodes,
            draining,
            making: match (may_make, self.early) {
                (false, _) => Making::No,
                (true, true) => Making::WithBest,
                (true, false) => Making::WithAny,
            },
            may_judge: *may_make && !self.early,
            policy: Policy::of(*copies),
        })
    }

    fn apply(&mut self) -> Vec<Reason> {
        let changes = self.decide();
        for change in &changes {
            let present = self
                .records
                .get(&change.record.shard)
                .map_or(Revision::NONE, ShardRecord::revision);
            assert_eq!(
                present, change.expected,
                "a compare-and-set that cannot succeed"
            );
            assert!(change.record.revision() > change.expected);
            self.records
                .insert(change.record.shard, change.record.clone());
        }
        changes.into_iter().map(|change| change.reason).collect()
    }

    /// A node that has made the replica of its open shard.
    fn with_shard(node: &str) -> Self {
        let mut world = World::fresh();
        world.hear(node, heartbeat(1, 10));
        assert_eq!(world.apply(), [Reason::Made]);
        let mut holding = heartbeat(1, 11);
        holding.replicas.push(report(&world.records[&ShardNo(1)]));
        world.hear(node, holding);
        assert_eq!(world.apply(), []);
        world
    }

    /// A node that has made all its replicas, and makes an offer.
    fn offer(&mut self, n: u128, offer: u128) {
        let node = name(&format!("node{n}"));
        let mut fresh = heartbeat(n, offer);
        for record in self.records.values() {
            let mut members = record.replicas.iter();
            if let Some(member) = members.find(|member| member.node == node) {
                let mut held = report(record);
                held.replica = member.replica;
                fresh.replicas.push(held);
            }
        }
        let room = self.nodes[&node].room;
        self.hear(node.as_str(), fresh);
        self.nodes.get_mut(&node).expect("known").room = room;
    }

    fn heartbeat(&mut self, node: &str) -> &mut Heartbeat {
        &mut self
            .nodes
            .get_mut(&name(node))
            .expect("a known node")
            .heartbeat
    }
}

// If this fails, a fresh cluster takes no uploads, or has more shards than disks.
#[test]
fn each_node_gets_one_open_shard_under_its_offer() {
    let mut world = World::fresh();
    world.hear("node1", heartbeat(1, 10));
    world.hear("node2", heartbeat(2, 20));
    assert_eq!(world.apply(), [Reason::Made, Reason::Made]);
    assert_eq!(world.apply(), []);
    let record = &world.records[&ShardNo(2)];
    let leader = record.leader.as_ref().expect("a leader");
    assert_eq!(
        (record.version, record.epoch, record.state),
        (1, Epoch(1), ShardState::Open)
    );
    assert_eq!(leader.member.node, name("node2"));
    assert_eq!(leader.member.replica, Uuid::from_u128(20));
    assert_eq!(leader.incarnation, Uuid::from_u128(2));
    assert_eq!(record.in_sync, record.replicas);
    assert!(record.log != 0 && record.log != world.records[&ShardNo(1)].log);
}

// If this fails, of three nodes of a new cluster one holds a copy of everything, and another one of a
// third: the disks fill as unevenly.
#[test]
fn a_new_clusters_copies_are_spread_evenly() {
    let mut world = World {
        copies: 2,
        early: true,
        ..World::fresh()
    };
    world.hear("node1", heartbeat(1, 10));
    world.hear("node2", heartbeat(2, 20));
    world.nodes.get_mut(&name("node2")).expect("known").known_ms = 0;
    assert_eq!(world.apply(), [Reason::Made]);
    world.offer(1, 11);
    world.offer(2, 21);
    world.nodes.get_mut(&name("node2")).expect("known").known_ms = 400;
    assert_eq!(world.apply(), [], "the third one may be about to register");
    world.hear("node3", heartbeat(3, 30));
    world.nodes.get_mut(&name("node2")).expect("known").known_ms = 600;
    // In this order they have made their replicas, and offer anew.
    let order = [1, 1, 2, 3, 1, 2, 3];
    for (round, n) in (0..).zip(order) {
        world.apply();
        world.offer(n, 100 * n + round);
    }
    world.apply();
    let held = |n: u128| {
        let copies = world.records.values().flat_map(|record| &record.replicas);
        copies
            .filter(|held| held.node == name(&format!("node{n}")))
            .count()
    };
    assert_eq!([held(1), held(2), held(3)], [2, 2, 2]);
}

// If this fails, a fresh mirrored cluster begins with shards of one copy, which take nothing.
#[test]
fn a_mirrored_shard_is_made_with_all_its_copies() {
    let mut world = World {
        copies: 2,
        early: true,
        ..World::fresh()
    };
    world.hear("node1", heartbeat(1, 10));
    assert_eq!(world.apply(), [], "the other one may be about to register");
    world.hear("node2", heartbeat(2, 20));
    world.hear("node3", heartbeat(3, 30));
    assert_eq!(world.apply(), [Reason::Made], "one offer is left");
    let first = &world.records[&ShardNo(1)];
    assert_eq!((first.replicas.len(), first.min_in_sync), (2, 2));
    world.hear("node1", heartbeat(1, 11));
    world.hear("node2", heartbeat(2, 21));
    assert!(world.apply().contains(&Reason::Made));
    let mut alone = World {
        copies: 2,
        ..World::fresh()
    };
    alone.hear("node1", heartbeat(1, 10));
    assert_eq!(
        alone.apply(),
        [Reason::Made],
        "nobody else came in a session"
    );
}

// If this fails, a restarted distributor gives a number away that a node still uses.
#[test]
fn no_new_shards_before_everyone_was_heard() {
    let mut world = World::default();
    world.hear("node1", heartbeat(1, 10));
    assert_eq!(world.apply(), []);
    let mut other = World::with_shard("node2");
    let mut holding = other.heartbeat("node2").clone();
    holding.replicas[0].shard = ShardNo(41);
    world.hear("node2", holding);
    world.may_make = true;
    world.nodes.get_mut(&name("node2")).expect("known").alive = false;
    world.heartbeat("node2").replicas[0].record_version = 0;
    assert_eq!(world.apply(), [Reason::Made]);
    assert!(
        world.records.contains_key(&ShardNo(42)),
        "{:?}",
        world.records.keys()
    );
}

// If this fails, a restarted node appends in an epoch that it led before its crash, and two
// records share one position.
#[test]
fn a_new_process_leads_in_a_new_epoch() {
    let mut world = World::with_shard("node1");
    world.heartbeat("node1").incarnation = Uuid::from_u128(99);
    assert_eq!(world.apply(), [Reason::Elected]);
    assert_eq!(world.apply(), []);
    let record = &world.records[&ShardNo(1)];
    assert_eq!((record.epoch, record.version), (Epoch(2), 2));
    let leader = record.leader.as_ref().expect("a leader");
    assert_eq!(leader.incarnation, Uuid::from_u128(99));
    assert_eq!(leader.member, record.replicas[0]);
}

// If this fails, a leader whose disk lost the end of its log leads again after a quick restart, over the head
// of who has everything, and takes what was acknowledged away.
#[test]
fn who_led_and_was_restarted_leads_only_if_nobody_else_can() {
    let mut world = World::of(2, 2).with(1, &[1, 2]);
    let end = |lsn| Position {
        epoch: Epoch(1),
        lsn: Lsn(lsn),
    };
    world.seen(1).heartbeat.incarnation = Uuid::from_u128(99);
    world.replica(1, 1).end = end(27);
    // What it said before it acknowledged more.
    world.replica(1, 2).end = end(26);
    let leader = |world: &World| {
        let elected = world.of_kind(Reason::Elected);
        let leader = elected[0].record.leader.as_ref().expect("a leader");
        leader.member.node.clone()
    };
    assert_eq!(leader(&world), name("node2"));
    world.silence(2, 3_000);
    assert_eq!(leader(&world), name("node1"));
}

// If this fails, a node that is merely silent loses its shards.
#[test]
fn nothing_happens_to_the_shards_of_a_silent_node() {
    let mut world = World::with_shard("node1");
    world.heartbeat("node1").incarnation = Uuid::from_u128(99);
    world.nodes.get_mut(&name("node1")).expect("known").alive = false;
    assert_eq!(world.apply(), []);
}

// If this fails, a shard's log grows without end.
#[test]
fn a_full_shard_is_closed_and_followed_by_a_new_one() {
    let mut world = World::with_shard("node1");
    world.heartbeat("node1").replicas[0].bytes = SHARD_BYTES_MAX - 1;
    assert_eq!(world.apply(), []);
    world.heartbeat("node1").replicas[0].bytes = SHARD_BYTES_MAX;
    assert_eq!(world.apply(), [Reason::Full]);
    assert_eq!(world.records[&ShardNo(1)].state, ShardState::Closed);
    assert_eq!(world.apply(), [Reason::Made]);
    assert_eq!(world.records[&ShardNo(2)].state, ShardState::Open);
    assert_eq!(world.apply(), []);
}

// If this fails, uploads are sent to a shard whose disk was replaced.
#[test]
fn a_lost_replica_takes_no_new_content() {
    let mut world = World::with_shard("node1");
    world.hear("node1", heartbeat(2, 12));
    assert_eq!(world.apply(), [Reason::Lost, Reason::Made]);
    assert_eq!(world.records[&ShardNo(1)].state, ShardState::Closed);
    assert_eq!(world.records[&ShardNo(1)].epoch, Epoch(1));
    assert_eq!(world.records[&ShardNo(2)].state, ShardState::Open);
    assert_eq!(world.apply(), []);
}

// If this fails, a node whose replica is not made yet gets a shard with every heartbeat.
#[test]
fn an_offer_under_which_a_shard_was_made_counts_as_held() {
    let mut world = World::fresh();
    world.hear("node1", heartbeat(1, 10));
    assert_eq!(world.apply(), [Reason::Made]);
    world.hear("node1", heartbeat(1, 10));
    assert_eq!(world.apply(), []);
}

// If this fails, a catalog from an old backup never shows what was stored since in a shard that
// nobody writes to, or a shard that is being listed loses its leader's epoch.
#[test]
fn a_catalog_that_stands_still_behind_a_silent_leader_is_asked_for_again() {
    let mut world = World::with_shard("node1");
    world.heartbeat("node1").replicas[0].committed = Lsn(9);
    let listed = |lsn| {
        let position = Position {
            epoch: Epoch(1),
            lsn: Lsn(lsn),
        };
        BTreeMap::from([(ShardNo(1), position)])
    };
    let decide = |world: &World, before, now, heard: &[ShardNo]| {
        let World {
            records,
            nodes,
            may_make,
            ..
        } = world;
        let situation = Situation {
            records,
            nodes,
            draining: &BTreeSet::new(),
            making: match may_make {
                true => Making::WithAny,
                false => Making::No,
            },
            may_judge: *may_make,
            policy: Policy::of(1),
        };
        behind(
            situation,
            &listed(before),
            &listed(now),
            &heard.iter().copied().collect(),
        )
    };
    let changes = decide(&world, 4, 4, &[]);
    assert_eq!((changes.len(), changes[0].reason), (1, Reason::Behind));
    assert_eq!(
        (changes[0].record.epoch, changes[0].record.version),
        (Epoch(2), 2)
    );
    assert!(
        decide(&world, 4, 5, &[]).is_empty(),
        "another distributor lists it"
    );
    assert!(
        decide(&world, 4, 4, &[ShardNo(1)]).is_empty(),
        "it is being listed here"
    );
    assert!(decide(&world, 9, 9, &[]).is_empty(), "all is listed");
    world.heartbeat("node1").incarnation = Uuid::from_u128(77);
    assert!(
        decide(&world, 4, 4, &[]).is_empty(),
        "its next epoch comes anyway"
    );
}
