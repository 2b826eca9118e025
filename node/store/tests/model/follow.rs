//! A follower of a leader that went before it: it takes the leader's records faster than it syncs
//! them, so their headers tell of commits that it has not synced; and loses its power at every
//! operation.

use std::sync::Arc;

use store::disk::simulated::{Random, SimulatedDisk};
use store::{Record, Store};
use wire::Lsn;

use crate::check::{check_committed, check_space, check_store};
use crate::crash::{open, upkeep};
use crate::expectation::Expectation;
use crate::plan::Plan;
use crate::workload;
use crate::world::{LOG, Step, World, start};

/// What a leader wrote, and what that means.
#[derive(Clone)]
pub(crate) struct History {
    records: Arc<Vec<Record>>,
    expected: Expectation,
    now_ms: u64,
    plan: Plan,
}

/// A follower, and what it has promised.
struct Follower {
    disk: SimulatedDisk,
    store: Store,
    random: Random,
    synced: u64,
    committed: u64,
}

/// What is left of a follower whose power went.
pub(crate) struct FollowerWreck {
    disk: SimulatedDisk,
    synced: u64,
    committed: u64,
}

impl History {
    /// What the workload of a seed writes at a leader that nothing happens to.
    pub(crate) fn of(seed: u64) -> History {
        let plan = Plan {
            breaks: false,
            full: false,
            ..Plan::of(seed)
        };
        let disk = SimulatedDisk::new(seed);
        let store = start(&disk, plan.geometry()).expect("an empty disk");
        let mut world = World::new(disk, store, Expectation::default(), seed);
        world.store.keep_appended();
        workload::run(&mut world, plan).expect("nothing fails on a healthy disk");
        world.settle().expect("nothing fails on a healthy disk");
        let mut records: Vec<Record> = Vec::new();
        for record in world.store.take_appended() {
            records.push(through_a_frame(&record));
        }
        History {
            records: Arc::new(records),
            expected: world.expected,
            now_ms: world.now_ms,
            plan,
        }
    }

    fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// The record of an lsn: a leader has no gaps.
    fn record(&self, lsn: u64) -> &Record {
        let record = &self.records[lsn as usize - 1];
        assert_eq!(record.head.lsn, Lsn(lsn));
        record
    }

    /// What a store must show that has committed up to `committed`.
    fn expected_at(&self, appended: u64, committed: u64) -> Expectation {
        let mut expected = self.expected.clone();
        expected.truncate_after(appended);
        expected.committed = committed;
        expected
    }

    /// A follower of it that loses its power after so many operations.
    pub(crate) fn wreck(&self, seed: u64, stop: u64) -> FollowerWreck {
        let disk = SimulatedDisk::new(seed);
        disk.stop_after(stop);
        let Ok(store) = start(&disk, self.plan.geometry()) else {
            return FollowerWreck {
                disk,
                synced: 0,
                committed: 0,
            };
        };
        let mut follower = Follower {
            disk,
            store,
            random: Random::new(seed),
            synced: 0,
            committed: 0,
        };
        let outcome = follower.follow(self);
        assert_eq!(outcome.is_err(), follower.disk.stopped());
        FollowerWreck {
            disk: follower.disk,
            synced: follower.synced,
            committed: follower.committed,
        }
    }

    /// How many operations it takes to follow to the end.
    pub(crate) fn operations(&self, seed: u64) -> u64 {
        self.wreck(seed, u64::MAX).disk.operations()
    }

    /// Opens a follower's log after one of the crashes that are possible: nothing that was synced
    /// is lost, nothing is damaged, and it goes on to the end.
    pub(crate) fn check(&self, wreck: &FollowerWreck, crash: u64) {
        let mut random = Random::new(crash);
        let mut disk = if random.chance(1, 8) {
            wreck.disk.kill()
        } else {
            wreck.disk.crash(crash)
        };
        if random.chance(1, 3) {
            // The power goes a second time, in the middle of recovery.
            disk.stop_after(random.below(16));
            drop(start(&disk, self.plan.geometry()));
            disk = disk.crash(random.bits());
        }
        let mut store = open(&disk, self.plan);
        let positions = store.positions();
        let (end, committed) = (positions.appended.lsn.0, positions.committed.0);
        assert!(end >= wreck.synced, "{end} of {} are left", wreck.synced);
        assert!(committed <= end);
        check_store(&mut store, &self.expected_at(end, committed), self.now_ms);
        drop(store);
        let store = open(&disk, self.plan);
        assert_eq!(
            store.positions(),
            positions,
            "a second start finds the same"
        );
        let mut follower = Follower {
            disk,
            store,
            random,
            synced: end,
            committed: wreck.committed.max(committed).min(end),
        };
        follower.follow(self).expect("the disk is healthy");
        follower.finish(self);
    }
}

/// A record as it comes out of a frame at a follower.
fn through_a_frame(record: &Record) -> Record {
    let (head, payload) = (record.head_bytes().clone(), record.payload.bytes().clone());
    Record::from_parts(head, payload, LOG).expect("an intact record")
}

impl Follower {
    fn appended(&self) -> u64 {
        self.store.positions().appended.lsn.0
    }

    /// Takes the leader's records to their end, in a seeded order of everything else.
    fn follow(&mut self, history: &History) -> Step {
        let mut now_ms = history.now_ms;
        while self.appended() < history.end() {
            now_ms += self.random.below(4_000);
            match self.random.below(40) {
                0..28 => self.take(history)?,
                28..33 => self.sync()?,
                33..36 => self.commit(history),
                36..39 => self.chores(now_ms)?,
                _ => self.truncate(history)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, history: &History) -> Step {
        let lsn = self.appended() + 1;
        let record = history.record(lsn).clone();
        self.store.replicate(record, Lsn(lsn))?;
        Ok(())
    }

    fn sync(&mut self) -> Step {
        if let Some(job) = self.store.flush()? {
            self.synced = self.store.synced(job.run())?.0;
        }
        Ok(())
    }

    /// Commits what the leader had committed when it wrote the last record that is here.
    fn commit(&mut self, history: &History) {
        let Some(end) = self.appended().checked_sub(1) else {
            return;
        };
        let told = history.record(end + 1).head.commit.0;
        let lsn = told.min(self.synced).max(self.committed);
        let mut committed = Vec::new();
        let before = history.expected_at(end + 1, self.store.positions().committed.0);
        self.store.commit_to(Lsn(lsn), &mut committed);
        check_committed(&before, lsn, &committed);
        self.committed = lsn;
    }

    fn chores(&mut self, now_ms: u64) -> Step {
        for chore in self.store.chores(now_ms) {
            let done = chore.run(&mut |_| true);
            if let Err(error) = self.store.finish(done) {
                assert!(self.disk.stopped(), "{error}");
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// A new leader has all that an old one committed, and not all of the rest; here the same
    /// records come again.
    fn truncate(&mut self, history: &History) -> Step {
        let high = self.appended();
        let told = high
            .checked_sub(1)
            .map_or(0, |_| history.record(high).head.commit.0);
        let lsn = self.random.between(told.max(self.committed), high);
        self.synced = self.synced.min(lsn);
        self.store.truncate_after(Lsn(lsn))?;
        self.synced = self.store.positions().synced.0;
        Ok(())
    }

    /// Commits all of it: it is the same store as the leader's.
    fn finish(&mut self, history: &History) {
        self.sync().expect("the disk is healthy");
        let end = Lsn(history.end());
        self.store.commit_to(end, &mut Vec::new());
        upkeep(&mut self.store, history.now_ms);
        let expected = history.expected_at(end.0, end.0);
        check_store(&mut self.store, &expected, history.now_ms);
        check_space(&self.disk, &self.store, &expected.view(end.0));
    }
}
