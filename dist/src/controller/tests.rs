//! The office and what is carried out in it, before a register in memory.

use super::{Controller, Policy};
use crate::catalog::Identity;
use crate::coordinator::{Coordinator, CoordinatorError, Term};
use crate::members::Members;
use crate::metrics::Metrics;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Revision, ShardChanged, ShardRecord};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

const SESSION: Duration = Duration::from_millis(400);

/// A register that does what it is told to.
#[derive(Default)]
struct Register {
    records: Mutex<BTreeMap<ShardNo, ShardRecord>>,
    office: Mutex<Office>,
    /// The next change is made, and its answer is lost.
    loses_an_answer: AtomicBool,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Office {
    #[default]
    Given,
    Refused,
    Away,
}

impl Register {
    fn set(&self, office: Office) {
        *self.office.lock().expect("no panic") = office;
    }

    fn away(&self) -> Result<(), CoordinatorError> {
        let away = *self.office.lock().expect("no panic") == Office::Away;
        if away {
            Err(CoordinatorError::Unavailable("cut".to_owned()))
        } else {
            Ok(())
        }
    }

    fn shards(&self) -> usize {
        self.records.lock().expect("no panic").len()
    }
}

impl Coordinator for Register {
    fn records(&self) -> BoxFuture<'_, Result<Vec<ShardRecord>, CoordinatorError>> {
        let records = self
            .records
            .lock()
            .expect("no panic")
            .values()
            .cloned()
            .collect();
        let answer = self.away().map(|()| records);
        async { answer }.boxed()
    }

    fn change<'a>(
        &'a self,
        expected: Revision,
        record: &'a ShardRecord,
    ) -> BoxFuture<'a, Result<ShardChanged, CoordinatorError>> {
        let answer = self.away().map(|()| {
            let mut records = self.records.lock().expect("no panic");
            let present = records
                .get(&record.shard)
                .map_or(Revision::NONE, ShardRecord::revision);
            let changed = present == expected;
            if changed {
                records.insert(record.shard, record.clone());
            }
            ShardChanged {
                changed,
                record: records[&record.shard].clone(),
            }
        });
        let lost = self.loses_an_answer.swap(false, Ordering::Relaxed);
        let gone = Err(CoordinatorError::Unavailable("late".to_owned()));
        let answer = if lost { gone } else { answer };
        async { answer }.boxed()
    }

    fn campaign(
        &self,
        _: Uuid,
        _: Duration,
    ) -> BoxFuture<'_, Result<Option<Term>, CoordinatorError>> {
        let given = *self.office.lock().expect("no panic") == Office::Given;
        let answer = self.away().map(|()| given.then_some(Term { number: 1 }));
        async { answer }.boxed()
    }

    fn resign(&self, _: Uuid) -> BoxFuture<'_, Result<(), CoordinatorError>> {
        self.set(Office::Refused);
        async { Ok(()) }.boxed()
    }
}

struct Scene {
    register: Arc<Register>,
    members: Arc<Members>,
    controller: Controller,
}

impl Scene {
    fn new(new: bool, adopted: bool) -> Self {
        Scene::with(new, adopted, (SESSION, Policy::of(1)))
    }

    fn with(new: bool, adopted: bool, wanted: (Duration, Policy)) -> Self {
        Scene::hearing(Duration::from_secs(60), (new, adopted), wanted)
    }

    /// Who is not heard for so long is silent.
    fn hearing(
        silent_after: Duration,
        (new, adopted): (bool, bool),
        wanted: (Duration, Policy),
    ) -> Self {
        let register: Arc<Register> = Arc::default();
        let members = Arc::new(Members::new(silent_after));
        let identity = Identity {
            cluster: Uuid::from_u128(1),
            adopted,
            new,
        };
        let coordinator: Arc<dyn Coordinator> = Arc::<Register>::clone(&register);
        let controller = Controller::new(
            coordinator,
            Arc::clone(&members),
            identity,
            wanted,
            Arc::new(Metrics::new()),
        );
        Scene {
            register,
            members,
            controller,
        }
    }

    fn hear(&self, node: &str) {
        let name: NodeName = node.parse().expect("a name");
        let heartbeat = Heartbeat {
            cluster: None,
            incarnation: Uuid::new_v4(),
            offer: Uuid::new_v4(),
            internal_url: "http://n".to_owned(),
            public_url: "http://n".to_owned(),
            replicas: Vec::new(),
            map_version: 0,
            parting: false,
            linked: None,
        };
        self.members.hear(&name, &heartbeat, Instant::now());
    }

    /// What a node last said, once more.
    fn beat(&self, node: &str) {
        let (name, now): (NodeName, _) = (node.parse().expect("a name"), Instant::now());
        let heartbeat = self.members.seen(now)[&name].heartbeat.clone();
        self.members.hear(&name, &heartbeat, now);
    }

    /// The nodes that a shard's record names have made its replicas, and make another offer.
    fn make_replicas(&self, shard: ShardNo) {
        let record = self.members.record(shard).expect("a record");
        for member in record.replicas {
            let now = Instant::now();
            let mut heartbeat = self.members.seen(now)[&member.node].heartbeat.clone();
            heartbeat.offer = Uuid::new_v4();
            heartbeat.replicas.push(ReplicaReport {
                shard,
                replica: member.replica,
                record_lineage: 0,
                record_version: record.version,
                record_mark: None,
                record: None,
                end: Position::default(),
                committed: Lsn::ZERO,
                bytes: 0,
                contents: 0,
                damaged: 0,
                halted: false,
                complete: true,
                log: None,
            });
            self.members.hear(&member.node, &heartbeat, now);
        }
    }

    /// Ticks until something is so.
    async fn tick_until(&self, is_so: impl Fn(&Scene) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < SESSION * 50, "many sessions passed");
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.controller.tick().await.expect("answered");
        }
    }

    /// Waits until something is so while nobody ticks, as when the catalog is away.
    async fn pause_until(&self, is_so: impl Fn(&Controller) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.controller) {
            assert!(begun.elapsed() < SESSION * 50, "many sessions passed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

// If this fails, a fresh cluster waits a session for its first upload.
#[tokio::test]
async fn a_fresh_catalog_makes_shards_at_the_first_heartbeat() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    scene.hear("node1");
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 1);
    assert_eq!(scene.members.records().len(), 1);
}

// If this fails, a restarted or rebuilding distributor gives away numbers that nodes still use.
#[tokio::test]
async fn any_other_catalog_waits_a_session_first() {
    for (new, adopted) in [(false, false), (true, true)] {
        let scene = Scene::new(new, adopted);
        scene.controller.tick().await.expect("in office");
        scene.hear("node1");
        scene.controller.heard().await;
        assert_eq!(scene.register.shards(), 0, "new {new}, adopted {adopted}");
        let begun = Instant::now();
        while scene.register.shards() == 0 {
            assert!(
                begun.elapsed() < SESSION * 50,
                "a session passed and nothing is made"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
            scene.controller.tick().await.expect("in office");
        }
        assert!(begun.elapsed() >= SESSION / 2);
    }
}

// If this fails, with a long session a new cluster has one shard until the next tick.
#[tokio::test]
async fn when_nodes_have_gathered_their_shards_are_made_before_the_next_tick() {
    let wanted = (Duration::from_secs(60), Policy::of(2));
    let scene = Scene::with(true, false, wanted);
    scene.controller.tick().await.expect("in office");
    for node in ["node1", "node2", "node3"] {
        scene.hear(node);
    }
    scene.controller.heard().await;
    scene.make_replicas(ShardNo(1));
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 1, "others may be about to come");
    let made = scene.pause_until(|_| scene.register.shards() == 2);
    tokio::select! {
        () = scene.controller.watch_gathering() => panic!("it goes on for ever"),
        () = made => {}
    }
}

// If this fails, nobody is told that copies are not made anew, or for ever.
#[tokio::test]
async fn that_nothing_is_copied_is_known_while_it_is_so() {
    let scene = Scene::hearing(SESSION, (true, false), (SESSION, Policy::of(2)));
    for node in ["node1", "node2"] {
        scene.hear(node);
    }
    let beaten = |nodes: &'static [&str], holds: bool| {
        move |scene: &Scene| {
            nodes.iter().for_each(|node| scene.beat(node));
            scene.controller.is_settled() && scene.controller.holds_copying() == holds
        }
    };
    let all: &[&str] = &["node1", "node2"];
    scene.tick_until(beaten(all, false)).await;
    assert!(scene.register.shards() > 0, "both hold something");
    scene.tick_until(beaten(&["node1"], true)).await;
    scene.register.set(Office::Refused);
    scene.controller.tick().await.expect("answered");
    assert!(!scene.controller.holds_copying(), "another one decides");
    scene.register.set(Office::Given);
    scene.tick_until(beaten(&["node1"], true)).await;
    scene.tick_until(beaten(all, false)).await;
}

// If this fails, after the catalog was lost or put back, all copies of a node that starts a little later than the
// others are made anew at once.
#[tokio::test]
async fn nobody_is_replaced_at_once_for_being_unknown() {
    let wanted = (SESSION, Policy::of(2));
    let before = Scene::with(true, false, wanted);
    for node in ["node1", "node2", "node3", "node4"] {
        before.hear(node);
    }
    let made = Cell::new(0);
    let make = |scene: &Scene| {
        while made.get() < scene.register.shards() {
            made.set(made.get() + 1);
            let number = u16::try_from(made.get()).expect("a few");
            scene.make_replicas(ShardNo(number));
        }
        made.get() >= 4
    };
    before.tick_until(make).await;
    let now = Instant::now();
    let records = before.members.records();
    let unknown = records[&ShardNo(1)].replicas[1].node.clone();
    let after = Scene::with(false, false, wanted);
    *after.register.records.lock().expect("no panic") = records;
    after.members.exchanged(Some(now));
    for (name, seen) in before.members.seen(now) {
        if name != unknown {
            after.members.hear(&name, &seen.heartbeat, now);
        }
    }
    after.tick_until(|_| now.elapsed() > SESSION * 3).await;
    assert!(after.controller.is_settled(), "it may judge");
    for (shard, record) in after.members.records() {
        assert_eq!(record.replicas.len(), 2, "{shard}: {record:?}");
    }
}

// If this fails, two distributors decide at the same time.
#[tokio::test]
async fn without_the_office_nothing_is_decided() {
    let scene = Scene::new(true, false);
    scene.register.set(Office::Refused);
    scene.controller.tick().await.expect("answered");
    scene.hear("node1");
    scene.controller.heard().await;
    assert!(!scene.controller.in_office());
    assert_eq!(scene.register.shards(), 0);
    scene.register.set(Office::Given);
    scene.controller.tick().await.expect("answered");
    assert!(scene.controller.in_office());
    assert_eq!(scene.register.shards(), 1);
    scene.controller.resign().await;
    scene.hear("node2");
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 1);
}

// If this fails, a controller that is cut off from the register believes in its office for ever.
#[tokio::test]
async fn the_office_ends_with_the_lease_when_the_register_is_away() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    scene.register.set(Office::Away);
    let begun = Instant::now();
    while scene.controller.in_office() {
        scene
            .controller
            .tick()
            .await
            .expect_err("the register is away");
        assert!(begun.elapsed() < SESSION * 50, "the lease ran out long ago");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        begun.elapsed() >= SESSION / 2,
        "the lease holds while it lasts"
    );
}

// If this fails, what someone else wrote into the register is overwritten in memory by what this
// distributor wanted.
#[tokio::test]
async fn a_change_that_lost_takes_over_what_won() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    scene.hear("node1");
    scene.controller.heard().await;
    let mut theirs = scene.members.record(ShardNo(1)).expect("a record");
    theirs.version = 40;
    theirs.epoch = Epoch(5);
    let stored = || scene.register.records.lock().expect("no panic").clone();
    scene
        .register
        .records
        .lock()
        .expect("no panic")
        .insert(ShardNo(1), theirs);
    scene.hear("node1");
    scene.controller.heard().await;
    // The decision is made again, on theirs: the new process does not hold the replica.
    let record = &stored()[&ShardNo(1)];
    assert_eq!((record.epoch, record.version), (Epoch(5), 41));
    assert_eq!(scene.members.records(), stored());
}

/// Whether no replica leads two shards.
fn each_leads_one(records: &BTreeMap<ShardNo, ShardRecord>) -> bool {
    let leaders = records.values().filter_map(|record| record.leader.as_ref());
    let replicas: BTreeSet<Uuid> = leaders.map(|leader| leader.member.replica).collect();
    replicas.len() == records.len()
}

// If this fails, an offer that was taken by a change without an answer is taken again, and a shard waits for ever
// for a replica that leads another one.
#[tokio::test]
async fn after_a_lost_answer_the_register_is_read_before_anything_is_decided() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    scene.hear("node2");
    scene
        .register
        .loses_an_answer
        .store(true, Ordering::Relaxed);
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 1);
    scene.hear("node1");
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 1, "it was not read again");
    scene.tick_until(|scene| scene.register.shards() == 2).await;
    assert!(each_leads_one(&scene.members.records()));
}

// If this fails, the same comes of a change that another controller made.
#[tokio::test]
async fn after_a_lost_race_no_offer_is_taken_that_the_winner_may_have_taken() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    scene.hear("node2");
    scene.controller.heard().await;
    // Another one made it; here nobody heard of it.
    scene.members.set_records(Vec::new());
    scene.hear("node1");
    scene.controller.heard().await;
    assert_eq!(scene.register.shards(), 2);
    assert!(each_leads_one(&scene.members.records()));
}

// If this fails, a deposed leader builds on a register that was put back to a backup while the
// catalog, and the register with it, was away.
#[tokio::test]
async fn proposals_wait_a_session_after_nobody_asked_for_one() {
    let scene = Scene::new(false, false);
    scene
        .tick_until(|scene| scene.controller.takes_proposals())
        .await;
    scene
        .pause_until(|controller| !controller.takes_proposals())
        .await;
    let back = Instant::now();
    scene.controller.tick().await.expect("answered");
    assert!(!scene.controller.takes_proposals());
    scene
        .tick_until(|scene| scene.controller.takes_proposals())
        .await;
    assert!(back.elapsed() >= SESSION);
}

// If this fails, a young cluster whose database was put back takes proposals on the past.
#[tokio::test]
async fn a_fresh_catalog_that_was_away_is_not_fresh_any_more() {
    let scene = Scene::new(true, false);
    scene.controller.tick().await.expect("in office");
    assert!(scene.controller.takes_proposals());
    scene
        .pause_until(|controller| !controller.hears_register())
        .await;
    scene.controller.tick().await.expect("answered");
    assert!(!scene.controller.takes_proposals());
}

// If this fails, dashboards show a controller for as long as the catalog is away.
#[tokio::test]
async fn the_office_ends_with_the_lease_when_nobody_ticks() {
    let scene = Scene::new(false, false);
    let begun = Instant::now();
    scene.controller.tick().await.expect("in office");
    assert!(scene.controller.in_office() && scene.controller.hears_register());
    scene
        .pause_until(|controller| !controller.in_office() && !controller.hears_register())
        .await;
    assert!(begun.elapsed() >= SESSION, "the lease lasts");
    scene.controller.tick().await.expect("in office");
    assert!(scene.controller.in_office() && scene.controller.hears_register());
}

// If this fails, whoever was in office before a register was put back decides by it at once, and gives
// numbers away that nodes use.
#[tokio::test]
async fn the_same_term_after_the_lease_is_a_new_time_in_office() {
    let scene = Scene::new(false, false);
    scene
        .tick_until(|scene| scene.controller.takes_proposals())
        .await;
    scene
        .pause_until(|controller| !controller.in_office())
        .await;
    scene.hear("node1");
    scene.controller.tick().await.expect("in office");
    assert_eq!(scene.register.shards(), 0);
    scene.tick_until(|scene| scene.register.shards() == 1).await;
}
