//! Group commit: what a job covers, and that a failure is the last word.

use wire::Lsn;

use super::{Bench, Room};
use crate::disk::simulated::{Failure, Operation};
use crate::poison::AppendError;

// If this fails, an idle node wears its disk out.
#[test]
fn there_is_no_job_when_nothing_is_unsynced() {
    let mut bench = Bench::new();
    // A new segment file is unsynced, though it has no record.
    bench.sync();
    assert!(bench.log.flush().expect("a healthy disk").is_none());
    bench.append(1);
    bench.sync();
    assert!(bench.log.flush().expect("a healthy disk").is_none());
}

// If this fails, an acknowledgement does not wait for the sync that covers it.
#[test]
fn a_job_covers_what_was_appended_before_it_and_no_more() {
    let mut bench = Bench::new();
    bench.append(100);
    bench.append(100);
    let job = bench.log.flush().expect("healthy").expect("a job");
    bench.append(100);
    assert_eq!(bench.log.finish_sync(job.run()).expect("synced"), Lsn(2));
    assert_eq!(bench.sync(), Lsn(3));
}

// If this fails, a later sync is taken for the proof of an earlier one.
#[test]
fn one_job_is_under_way_at_a_time() {
    let mut bench = Bench::new();
    bench.append(100);
    let job = bench.log.flush().expect("healthy").expect("a job");
    bench.append(100);
    assert!(bench.log.flush().expect("a healthy disk").is_none());
    assert_eq!(bench.written(), [1, 2], "but the buffer is written");
    bench.log.finish_sync(job.run()).expect("a healthy disk");
    assert!(bench.log.flush().expect("a healthy disk").is_some());
}

// If this fails, a content that was acknowledged is gone after a power loss.
#[test]
fn what_was_synced_outlives_a_power_loss_also_over_several_segments() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.append(20_000);
    }
    assert!(bench.log.segments.len() >= 3);
    assert_eq!(bench.sync(), Lsn(40));
    for _ in 0..20 {
        bench.append(20_000);
    }
    let (low, high) = bench.left_after_power_loss();
    assert!(low >= 40, "only {low} are left");
    assert!(high <= 60);
}

// If this fails, these tests believe in durability that nobody asked for.
#[test]
fn what_was_not_synced_may_be_lost() {
    let mut bench = Bench::new();
    bench.sync();
    for _ in 0..10 {
        bench.append(1_000);
    }
    bench.log.write_buffer().expect("a healthy disk");
    let (low, _) = bench.left_after_power_loss();
    assert!(low < 10, "nothing was lost in any power loss");
}

// If this fails, contents in a new segment are lost with the name of its file.
#[test]
fn a_new_segments_name_is_made_durable_with_its_first_record() {
    let mut bench = Bench::new();
    bench.append(10);
    bench.sync();
    for seed in 0..40 {
        let (log, _) = super::open(&bench.disk.crash(seed), bench.log.geometry);
        assert_eq!(log.appended().lsn, Lsn(1), "seed {seed}");
    }
}

// If this fails, a sync that is tried again hides that its data were dropped.
#[test]
fn a_failed_sync_stops_the_log_and_its_reason_stays() {
    for operation in [Operation::Sync, Operation::SyncDir] {
        let mut bench = Bench::new();
        bench.append(10);
        bench.disk.fail(operation, 0, Failure::Io);
        let job = bench.log.flush().expect("healthy").expect("a job");
        let reason = bench.log.finish_sync(job.run()).expect_err("it failed");
        assert_eq!(reason.step, "sync");
        assert_eq!(bench.log.synced(), Lsn::ZERO, "nothing is acknowledged");
        bench.disk.fail(Operation::Write, 0, Failure::NoSpace);
        for _ in 0..3 {
            let refused = bench.try_append(100_000, Room::Content);
            let Err(AppendError::Poisoned(later)) = refused else {
                panic!("a stopped log takes nothing: {refused:?}");
            };
            assert_eq!(later.to_string(), reason.to_string());
            assert!(bench.log.flush().is_err() && bench.log.check().is_err());
        }
    }
}

// If this fails, a body of which a part was written is acknowledged by the next sync.
#[test]
fn a_failed_write_stops_the_log() {
    for failure in [Failure::Io, Failure::NoSpace] {
        let mut bench = Bench::new();
        bench.append(10);
        bench.disk.fail(Operation::Write, 0, failure);
        let reason = bench.log.flush().expect_err("the write fails");
        assert_eq!(reason.step, "write");
        assert!(bench.log.write_buffer().is_err());
        let refused = bench.try_append(1, Room::Control);
        assert!(matches!(refused, Err(AppendError::Poisoned(_))));
    }
}

// If this fails, one outcome is counted for two jobs.
#[test]
#[should_panic(expected = "a job's outcome is taken once")]
fn an_outcome_belongs_to_one_job() {
    let (mut one, mut other) = (Bench::new(), Bench::new());
    one.append(1);
    other.append(1);
    let job = one.log.flush().expect("healthy").expect("a job");
    let taken = other.log.finish_sync(job.run());
    panic!("a foreign outcome was taken: {}", taken.is_ok());
}
