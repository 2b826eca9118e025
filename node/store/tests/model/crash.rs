//! One crash: a workload that loses its power at an operation, the disk as that may leave it, and
//! what must hold when the store is opened again.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use store::Store;
use store::disk::simulated::{Random, SimulatedDisk};

use crate::check::{check_space, check_store};
use crate::expectation::Expectation;
use crate::plan::Plan;
use crate::workload;
use crate::world::{Stopped, World, start};

/// More rounds of upkeep than any of these logs can need.
const UPKEEP_ROUNDS_MAX: usize = 500;

/// Names one crash state; the same case gives the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// Decides the workload.
    pub(crate) seed: u64,
    /// The power goes after so many operations of the disk.
    pub(crate) stop: u64,
    /// Decides which of the unsynced sectors and names arrived.
    pub(crate) crash: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.seed, self.stop, self.crash)
    }
}

impl FromStr for Case {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        let mut parts = text.splitn(3, ':').chain(std::iter::repeat(""));
        let mut next = || parts.next().unwrap_or_default().parse();
        Ok(Case {
            seed: next()?,
            stop: next()?,
            crash: next()?,
        })
    }
}

/// What is left when a workload was stopped.
pub(crate) struct Wreck {
    disk: SimulatedDisk,
    expected: Expectation,
    epoch: u64,
    now_ms: u64,
    plan: Plan,
}

/// Runs the workload of a seed until `stop`.
pub(crate) fn wreck(seed: u64, stop: u64) -> Wreck {
    let disk = SimulatedDisk::new(seed);
    disk.stop_after(stop);
    let plan = Plan::of(seed);
    let Ok(store) = start(&disk, plan.geometry()) else {
        let expected = Expectation::default();
        return Wreck {
            disk,
            expected,
            epoch: 0,
            now_ms: 1_700_000_000_000,
            plan,
        };
    };
    let mut world = World::new(disk, store, Expectation::default(), seed);
    match workload::run(&mut world, plan) {
        Err(Stopped(reason)) => assert!(
            world.disk.stopped() || plan.breaks,
            "the store stopped by itself: {reason}"
        ),
        Ok(()) => assert!(!world.disk.stopped(), "a lost power went unnoticed"),
    }
    let World {
        disk,
        expected,
        epoch,
        now_ms,
        ..
    } = world;
    Wreck {
        disk,
        expected,
        epoch,
        now_ms,
        plan,
    }
}

/// How many operations the whole workload of a seed takes.
pub(crate) fn operations(seed: u64) -> u64 {
    wreck(seed, u64::MAX).disk.operations()
}

impl Wreck {
    /// Opens the store again after one of the crashes that are possible, and checks everything.
    pub(crate) fn check(&self, crash: u64) {
        let mut random = Random::new(crash);
        // A killed process is the crash in which everything arrived and nothing is durable.
        let disk = if random.chance(1, 8) {
            self.disk.kill()
        } else {
            self.disk.crash(crash)
        };
        let disk = interrupt_recovery(disk, self.plan, &mut random);
        let mut world = self.reopen(disk, self.expected.clone(), random.bits());
        if random.chance(1, 3) {
            let plan = self.plan.afterwards();
            workload::run(&mut world, plan).expect("nothing fails on a healthy disk");
            let World {
                disk,
                expected,
                epoch,
                now_ms,
                ..
            } = world;
            let wreck = Wreck {
                disk,
                expected,
                epoch,
                now_ms,
                plan,
            };
            let disk = wreck.disk.crash(random.bits());
            drop(wreck.reopen(disk, wreck.expected.clone(), 0));
        }
    }

    /// Opens, compares, opens again, begins an epoch, commits all that survived, and compares.
    fn reopen(&self, disk: SimulatedDisk, mut expected: Expectation, seed: u64) -> World {
        let mut store = open(&disk, self.plan);
        let first = store.positions();
        let appended = first.appended.lsn.0;
        assert!(
            appended >= expected.synced,
            "{appended} of {} are left",
            expected.synced
        );
        assert!(
            first.committed.0 <= expected.committed,
            "{first:?}: nobody committed that"
        );
        assert!(first.committed <= first.synced && first.synced <= first.appended.lsn);
        expected.truncate_after(appended);
        expected.synced = first.synced.0;
        expected.committed = first.committed.0;
        check_store(&mut store, &expected, self.now_ms);
        drop(store);

        let mut store = open(&disk, self.plan);
        assert_eq!(store.positions(), first, "a second start finds the same");
        check_store(&mut store, &expected, self.now_ms);

        let mut world = World::new(disk, store, expected, seed);
        world.epoch = self.epoch;
        world.now_ms = self.now_ms;
        world.disk.set_capacity(None);
        world.begin_epoch().expect("the disk is healthy");
        world.settle().expect("the disk is healthy");
        upkeep(&mut world.store, world.now_ms);
        check_store(&mut world.store, &world.expected, world.now_ms);
        let view = world.expected.view(world.expected.committed);
        check_space(&world.disk, &world.store, &view);
        world
    }
}

pub(crate) fn open(disk: &SimulatedDisk, plan: Plan) -> Store {
    start(disk, plan.geometry())
        .unwrap_or_else(|error| panic!("the log cannot be opened again: {error}"))
}

/// Sometimes the power goes a second time, in the middle of recovery.
fn interrupt_recovery(disk: SimulatedDisk, plan: Plan, random: &mut Random) -> SimulatedDisk {
    if !random.chance(1, 4) {
        return disk;
    }
    disk.stop_after(2 + random.below(12));
    drop(start(&disk, plan.geometry()));
    disk.crash(random.bits())
}

/// Carries out chores until there are none left.
pub(crate) fn upkeep(store: &mut Store, now_ms: u64) {
    for _ in 0..UPKEEP_ROUNDS_MAX {
        let chores = store.chores(now_ms);
        if chores.is_empty() {
            return;
        }
        for chore in chores {
            let done = chore.run(&mut |_| true);
            store.finish(done).expect("the disk is healthy");
        }
    }
    panic!("upkeep never comes to an end");
}
