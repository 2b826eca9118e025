//! Crashes by the thousand: a seeded mixture of everything that the store can do loses its power
//! at every operation of the disk, with several subsets of what was not synced persisting; opened
//! again, the store must hold exactly what a plain list of changes says.
//!
//! `STORE_CRASH_SEEDS=100..200` runs the workloads of other seeds than the usual few.
//! `STORE_CRASH_CASE=seed:stop:crash` replays one failing case.

mod answers;
mod check;
mod crash;
mod expectation;
mod follow;
mod plan;
mod requests;
mod workload;
mod world;

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crash::{Case, operations, wreck};
use follow::History;

const SEEDS: Range<u64> = 0..100;
const CRASHES: u64 = 4;
const STATES_MIN: u64 = 10_000;

const FOLLOWER_SEEDS: Range<u64> = 0..30;
const FOLLOWER_CRASHES: u64 = 4;
const FOLLOWER_STATES_MIN: u64 = 4_000;

/// More failures than this tell nothing new.
const FAILURES_MAX: usize = 20;

/// What was tried, and what failed.
#[derive(Default)]
struct Report {
    states: u64,
    failures: Vec<String>,
}

impl Report {
    /// Crashes a workload at one operation, in several ways.
    fn try_stop(&mut self, seed: u64, stop: u64, crashes: impl IntoIterator<Item = u64>) {
        let mut case = Case {
            seed,
            stop,
            crash: 0,
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let wreck = wreck(seed, stop);
            for crash in crashes {
                case.crash = crash;
                wreck.check(crash);
                self.states += 1;
            }
        }));
        if let Err(panic) = outcome {
            self.failures
                .push(format!("STORE_CRASH_CASE={case} {}", message(&*panic)));
        }
    }

    fn try_seed(&mut self, seed: u64) {
        let whole = catch_unwind(|| operations(seed));
        let Ok(operations) = whole else {
            self.failures
                .push(format!("seed {seed} fails without a crash"));
            return;
        };
        for stop in 0..=operations {
            let crashes = (0..CRASHES).map(|crash| seed << 40 ^ stop << 16 ^ crash);
            self.try_stop(seed, stop, crashes);
            if self.failures.len() >= FAILURES_MAX {
                return;
            }
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or(panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// The seeds to run: the usual ones, or those that the environment names.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("STORE_CRASH_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").expect("STORE_CRASH_SEEDS=from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

// If this fails, a power loss costs users contents that were acknowledged, brings deleted ones
// back, or shows halves of uploads.
#[test]
fn after_a_crash_at_any_operation_the_store_holds_what_it_acknowledged() {
    let mut report = Report::default();
    if let Ok(case) = std::env::var("STORE_CRASH_CASE") {
        let Case { seed, stop, crash } = case.parse().expect("STORE_CRASH_CASE=seed:stop:crash");
        report.try_stop(seed, stop, [crash]);
    } else {
        seeds().for_each(|seed| report.try_seed(seed));
        let enough = report.states >= STATES_MIN || seeds() != SEEDS;
        assert!(
            enough || !report.failures.is_empty(),
            "only {} crash states",
            report.states
        );
    }
    let Report { states, failures } = report;
    assert!(
        failures.is_empty(),
        "after {states} crash states:\n{}",
        failures.join("\n")
    );
}

// If this fails, a mirror that loses its power while it catches up has lost what it acknowledged,
// or calls itself damaged for ever.
#[test]
fn after_a_crash_at_any_operation_a_follower_has_all_it_synced_and_nothing_is_damaged() {
    let mut states = 0;
    for seed in FOLLOWER_SEEDS {
        let history = History::of(seed);
        for stop in 0..=history.operations(seed) {
            let wreck = history.wreck(seed, stop);
            for crash in 0..FOLLOWER_CRASHES {
                let crash = seed << 40 ^ stop << 16 ^ crash;
                let outcome = catch_unwind(AssertUnwindSafe(|| history.check(&wreck, crash)));
                if let Err(panic) = outcome {
                    panic!(
                        "seed {seed}, stop {stop}, crash {crash}: {}",
                        message(&*panic)
                    );
                }
                states += 1;
            }
        }
    }
    assert!(states >= FOLLOWER_STATES_MIN, "only {states} crash states");
}

// If this fails, a failing crash cannot be replayed from its seed.
#[test]
fn the_same_seed_does_the_same_to_the_disk() {
    for seed in 0..4 {
        assert_eq!(operations(seed), operations(seed));
    }
}
