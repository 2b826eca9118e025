//! A follower that catches up takes records whose headers tell of commits that it has not synced
//! itself: an old log comes faster than it can be synced.
//!
//! Recovery takes what a header calls committed for durable here, and damage below it for damage.
//! A power loss in the middle of a catch-up left some of the unsynced records and not others; what
//! was missing was damage for ever, where it is a tail to be cut, and fetched again.

use store::disk::simulated::Random;
use store::{Record, ReplicateError};
use wire::Lsn;

use crate::stage::{Stage, bare_stage, body, stage};

/// Longer than headers are not relied on after the last record of a catch-up.
const CALM_MS: u64 = 60_000;

/// The records of a leader that committed each before the next, and how many contents they made.
fn old_log(sizes: &[usize]) -> Vec<Record> {
    let mut leader = stage();
    leader.store.keep_appended();
    for (n, size) in (1..).zip(sizes) {
        leader.stored(&body(n, *size));
    }
    let epoch = super::record(&leader, 1);
    let rest = leader.store.take_appended();
    std::iter::once(epoch).chain(rest).collect()
}

fn take(follower: &mut Stage, record: &Record) -> Result<Lsn, ReplicateError> {
    let lsn = record.head.lsn;
    follower.store.replicate(record.clone(), lsn)
}

/// Takes what follows, syncs after every few records, and commits what the leader had committed;
/// until the power goes. Returns what was synced.
fn catch_up(follower: &mut Stage, records: &[Record], mut random: Random) -> Lsn {
    let end = follower.store.positions().appended.lsn;
    for record in &records[end.0 as usize..] {
        if take(follower, record).is_err() {
            break;
        }
        if random.chance(1, 5) {
            let Ok(Some(job)) = follower.store.flush() else {
                break;
            };
            if follower.store.synced(job.run()).is_err() {
                break;
            }
        }
        let commit = record.head.commit.min(follower.store.positions().synced);
        follower.store.commit_to(commit, &mut Vec::new());
        follower.now_ms += random.below(2) * CALM_MS;
        if random.chance(1, 4) {
            for chore in follower.store.chores(follower.now_ms) {
                drop(follower.store.finish(chore.run(&mut |_| true)));
            }
        }
    }
    follower.store.positions().synced
}

/// A follower that was started again loses nothing that was synced, and goes on to the end.
fn goes_on(follower: &mut Stage, records: &[Record], synced: Lsn) {
    assert_eq!(follower.store.usage().damaged, 0, "nothing was damaged");
    let positions = follower.store.positions();
    let end = positions.appended.lsn;
    assert!(end >= synced, "{end} of {synced} are left");
    assert!(positions.committed <= end);
    for record in &records[end.0 as usize..] {
        take(follower, record).expect("it follows");
    }
    follower.settle();
    let mut cursor = follower.store.reader().cursor(Lsn::ZERO);
    for record in records {
        let copy = cursor.next_record().expect("a healthy disk");
        assert_eq!(copy.as_ref(), Some(record));
    }
    assert_eq!(follower.store.usage().damaged, 0);
}

// If this fails, a mirror that lost its power while it caught up calls itself damaged for ever, or
// has lost what it had acknowledged.
#[test]
fn a_power_loss_in_the_middle_of_a_catch_up_damages_nothing() {
    let records = old_log(&[
        700, 9_000, 3, 70_000, 5_000, 20, 20, 130_000, 600, 40_000, 1, 800,
    ]);
    for run in 0..8 {
        let mut whole = bare_stage();
        catch_up(&mut whole, &records, Random::new(run));
        let begun = bare_stage().disk.operations();
        for stop in begun..=whole.disk.operations() {
            let mut follower = bare_stage();
            follower.disk.stop_after(stop);
            let synced = catch_up(&mut follower, &records, Random::new(run));
            for seed in 0..6 {
                let disk = follower.disk.crash(stop << 8 | seed);
                goes_on(&mut follower.on(disk), &records, synced);
            }
        }
    }
}
