//! A catch-up costs one sync, and ends when it is calm and all of it is synced.

use wire::Lsn;

use super::{carry_out, due};
use crate::disk::simulated::{Failure, Operation};
use crate::record::Record;
use crate::stage::{Stage, body, names};
use crate::{AppendError, ReplicateError};

/// Longer than headers are not relied on after the last record of a catch-up.
const CALM_MS: u64 = 10_000;

/// The records of a leader that committed each before the next.
fn old_log(contents: u64) -> Vec<Record> {
    let mut leader = Stage::without_epoch();
    leader.store.keep_appended();
    leader.lead();
    for n in 0..contents {
        leader.put(n, &body(n, 10_000));
        leader.settle();
    }
    leader.store.take_appended()
}

fn take(follower: &mut Stage, records: &[Record]) -> Result<(), ReplicateError> {
    for record in records {
        let lsn = record.head.lsn;
        follower.store.replicate(record.clone(), lsn)?;
    }
    Ok(())
}

fn stands_alone(follower: &Stage) -> bool {
    follower.store.log.marker.stands_alone()
}

/// A follower that took some records and synced none of them.
fn catching_up(records: &[Record]) -> Stage {
    let mut follower = Stage::without_epoch();
    take(&mut follower, records).expect("in order");
    assert!(stands_alone(&follower));
    follower
}

/// What is due at this moment and `after_ms` later.
fn due_after(follower: &mut Stage, after_ms: u64) -> Vec<&'static str> {
    assert_eq!(due(follower).0, Vec::<&str>::new());
    follower.now_ms += after_ms;
    due(follower).0
}

// If this fails, a follower in the in-sync set pays for syncs that it does not need.
#[test]
fn a_follower_that_is_in_sync_writes_no_marker() {
    let records = old_log(20);
    let mut follower = Stage::without_epoch();
    for record in &records {
        take(&mut follower, std::slice::from_ref(record)).expect("in order");
        follower.sync();
    }
    assert!(!stands_alone(&follower));
    assert_eq!(due_after(&mut follower, 2 * CALM_MS), Vec::<&str>::new());
}

// If this fails, an old log is copied at the pace of one sync for each batch that it was made of.
#[test]
fn a_whole_catch_up_costs_one_sync() {
    let records = old_log(20);
    let (first, rest) = records.split_at(3);
    let mut follower = catching_up(first);
    let operations = follower.disk.operations();
    for record in rest {
        take(&mut follower, std::slice::from_ref(record)).expect("in order");
    }
    // What is written is the records' business: none of it is a sync, or the marker's.
    follower.disk.fail(Operation::Sync, 0, Failure::Io);
    let job = follower.store.flush().expect("a healthy disk");
    let done = job.expect("nothing is synced").run();
    assert!(follower.store.synced(done).is_err(), "the first sync since");
    assert!(follower.disk.operations() > operations);
}

// If this fails, headers are trusted while they tell of what is not synced, or never again.
#[test]
fn headers_count_again_when_all_is_synced_and_calm() {
    let records = old_log(6);
    let mut follower = catching_up(&records[..4]);
    assert_eq!(due_after(&mut follower, 2 * CALM_MS), Vec::<&str>::new());
    follower.sync();
    take(&mut follower, &records[4..5]).expect("in order");
    assert_eq!(due(&mut follower).0, Vec::<&str>::new(), "in sync, but new");
    follower.sync();
    assert_eq!(due_after(&mut follower, CALM_MS - 1), Vec::<&str>::new());
    follower.now_ms += 1;
    let (named, chores) = due(&mut follower);
    assert_eq!(named, ["trust"]);
    assert_eq!(due(&mut follower).0, Vec::<&str>::new(), "one at a time");
    carry_out(&mut follower, chores).expect("a healthy disk");
    assert!(!stands_alone(&follower));
    assert_eq!(due_after(&mut follower, 2 * CALM_MS), Vec::<&str>::new());
}

// If this fails, a clock that was set back keeps a follower from trusting headers for years.
#[test]
fn a_clock_that_goes_back_starts_the_calm_anew() {
    let mut follower = catching_up(&old_log(3));
    follower.sync();
    assert_eq!(due(&mut follower).0, Vec::<&str>::new());
    follower.now_ms -= 1_000_000;
    assert_eq!(due_after(&mut follower, CALM_MS), ["trust"]);
}

// If this fails, a chore that ends one catch-up takes the next one's protection away.
#[test]
fn a_catch_up_that_goes_on_is_not_ended_by_an_old_chore() {
    let records = old_log(8);
    for late in [false, true] {
        let mut follower = catching_up(&records[..3]);
        follower.sync();
        assert_eq!(due(&mut follower).0, Vec::<&str>::new());
        follower.now_ms += CALM_MS;
        let mut chores = follower.store.chores(follower.now_ms);
        let chore = chores.pop().expect("it is calm");
        let mut run = Some(chore);
        let mut done = None;
        if !late {
            done = run.take().map(|chore| chore.run(&mut |_| true));
            assert!(!stands_alone(&follower));
        }
        take(&mut follower, &records[3..6]).expect("in order");
        let done = done.or_else(|| run.map(|chore| chore.run(&mut |_| true)));
        follower
            .store
            .finish(done.expect("it ran"))
            .expect("healthy");
        assert!(stands_alone(&follower), "late: {late}");
        let job = follower.store.flush().expect("a healthy disk");
        for seed in 0..20 {
            let after = follower.on(follower.disk.crash(seed));
            assert_eq!(after.store.usage().damaged, 0, "late: {late}, seed {seed}");
        }
        drop(job);
    }
}

// If this fails, a follower relies on a marker that its disk may not have.
#[test]
fn a_stand_that_could_not_be_ended_or_begun_is_not_relied_on() {
    let records = old_log(8);
    let mut follower = catching_up(&records[..3]);
    follower.sync();
    assert_eq!(due(&mut follower).0, Vec::<&str>::new());
    follower.now_ms += CALM_MS;
    let (_, chores) = due(&mut follower);
    follower.disk.fail(Operation::Sync, 0, Failure::Io);
    let failed = carry_out(&mut follower, chores).expect_err("the disk failed");
    assert_eq!(failed.step, "end a catch-up");
    take(&mut follower, &records[3..6]).expect("it is written again");
    for seed in 0..40 {
        let after = follower.on(follower.disk.crash(seed));
        assert_eq!(after.store.usage().damaged, 0, "seed {seed}");
    }

    let mut refused = Stage::without_epoch();
    take(&mut refused, &records[..1]).expect("it tells of nothing");
    refused.disk.fail(Operation::Sync, 0, Failure::Io);
    let stopped = take(&mut refused, &records[1..2]);
    let is_stopped = matches!(
        stopped,
        Err(ReplicateError::Append(AppendError::Poisoned(_)))
    );
    assert!(is_stopped, "{stopped:?}");
    assert_eq!(refused.store.positions().appended.lsn, Lsn(1));
    assert!(refused.store.check().is_err());
}

// If this fails, a follower that loses its power near the end of a long catch-up reads all of it
// again before it starts.
#[test]
fn a_full_segment_is_known_committed_when_it_gets_its_index_file() {
    let records = old_log(60);
    let mut follower = catching_up(&records);
    follower.sync();
    let last = records.last().expect("a record").head.lsn;
    follower.store.commit_to(last.previous(), &mut Vec::new());
    follower.upkeep();
    assert!(stands_alone(&follower));
    let sealed = names(&follower.disk, ".idx").len();
    assert!(sealed >= 2);
    let state = &follower.store.log.segments[sealed - 1];
    assert!(follower.store.log.marker.commit() >= state.last);
}

// If this fails, a mirror that was started again shows less than it had already shown.
#[test]
fn after_recovery_headers_count_as_far_as_their_records_are_left() {
    let records = old_log(10);
    let (first, rest) = records.split_at(6);
    let mut follower = catching_up(first);
    follower.sync();
    take(&mut follower, rest).expect("in order");
    let job = follower.store.flush().expect("a healthy disk");
    let mut cut = 0;
    for seed in 0..20 {
        let mut after = follower.on(follower.disk.crash(seed));
        assert!(!stands_alone(&after));
        let positions = after.store.positions();
        let end = positions.appended.lsn;
        assert!(end >= Lsn(6), "what was synced stays");
        assert_eq!(positions.committed, end.previous(), "by the last header");
        cut += u32::from(end < Lsn(11));
        after.restart();
        assert_eq!(after.store.positions(), positions);
    }
    assert!(cut > 5, "only {cut} crashes lost something");
    drop(job);
}
