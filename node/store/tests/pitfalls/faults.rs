//! A disk that fails, and a disk that is full, are two things.

use bytes::Bytes;
use store::disk::simulated::{Failure, Operation};
use store::{AppendError, ChangeError, How, ReadError};

use crate::stage::{GEOMETRY, Stage, body, stage};

fn is_full<T: std::fmt::Debug>(result: &Result<T, ChangeError>) -> bool {
    matches!(result, Err(ChangeError::Append(AppendError::Full { .. })))
}

fn is_poisoned<T: std::fmt::Debug>(result: &Result<T, ChangeError>) -> bool {
    matches!(result, Err(ChangeError::Append(AppendError::Poisoned(_))))
}

// If this fails, an upload is acknowledged by a sync that followed a failed one, and is lost.
#[test]
fn a_failed_sync_stops_the_log_for_ever_and_its_reason_stays() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let (lost, _) = stage.append(&body(2, 2_000));
    let synced = stage.store.positions().synced;
    stage.disk.fail(Operation::Sync, 0, Failure::Io);
    let job = stage
        .store
        .flush()
        .expect("healthy so far")
        .expect("something is unsynced");
    let first = stage.store.synced(job.run()).expect_err("as planned");
    assert_eq!(
        first.error.raw_os_error(),
        Some(5),
        "the reason is told: {first}"
    );

    // The disk would work again; the log does not try.
    let id = stage.mint();
    assert!(is_poisoned(&stage.try_put(
        id,
        &Bytes::from_static(b"x"),
        How::Create
    )));
    assert!(is_poisoned(&stage.store.delete(kept, None, stage.now_ms)));
    stage.disk.fail(Operation::Write, 0, Failure::NoSpace);
    for _ in 0..3 {
        let again = stage.store.flush().expect_err("poisoned");
        assert_eq!(
            again.to_string(),
            first.to_string(),
            "the first reason stays"
        );
    }
    assert_eq!(
        stage.store.positions().synced,
        synced,
        "nothing more is acknowledged"
    );
    stage.read(kept).expect("reads go on");

    stage.restart();
    stage.begin(2);
    stage.settle();
    stage.read(kept).expect("it was acknowledged");
    match stage.read(lost) {
        Ok(bytes) => assert_eq!(bytes, body(2, 2_000), "whole, or not there"),
        Err(error) => assert!(matches!(error, ReadError::NotFound)),
    }
}

// If this fails, a failed write of a large body is taken for a full disk, or is retried.
#[test]
fn a_failed_write_stops_the_log() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let id = stage.mint();
    stage.disk.fail(Operation::Write, 0, Failure::Io);
    let failed = stage.try_put(id, &body(2, 200_000), How::Create);
    assert!(is_poisoned(&failed), "{failed:?}");
    assert!(stage.store.flush().is_err());
    stage.restart();
    stage.begin(2);
    stage.settle();
    stage.read(kept).expect("it was acknowledged");
    assert!(matches!(stage.read(id), Err(ReadError::NotFound)));
}

// If this fails, a refusal to reserve space for other reasons than a full disk is called "full".
#[test]
fn a_broken_disk_is_not_a_full_one() {
    let mut stage = stage();
    stage.disk.fail(Operation::Allocate, 0, Failure::Io);
    let id = stage.mint();
    let failed = stage.try_put(id, &body(1, 400_000), How::Create);
    assert!(is_poisoned(&failed), "{failed:?}");
}

// If this fails, a full disk stops a replica that could still read and delete.
#[test]
fn a_full_disk_is_full_and_nothing_else() {
    let mut stage = stage();
    let kept = body(0, 50_000);
    let first = stage.stored(&kept);
    stage.disk.set_capacity(Some(stage.disk.used() + 300_000));
    let mut ids = vec![first];
    let refused = loop {
        let id = stage.mint();
        let before = stage.store.positions();
        let result = stage.try_put(id, &body(ids.len() as u64, 50_000), How::Create);
        if result.is_ok() {
            ids.push(id);
            stage.settle();
            continue;
        }
        assert!(is_full(&result), "{result:?}");
        assert_eq!(stage.store.positions(), before, "a refusal appends nothing");
        break id;
    };
    assert!(ids.len() > 3, "some found room");
    assert_eq!(stage.read(first).expect("reads go on"), kept);
    assert!(matches!(stage.read(refused), Err(ReadError::NotFound)));
    let space = stage.store.usage().space;
    assert_eq!(
        space.live + space.dead + space.overhead,
        space.log - space.holes
    );

    let outcome = stage.delete(ids[1]);
    stage.settle();
    assert_eq!(outcome.version, 1);
    assert!(matches!(stage.read(ids[1]), Err(ReadError::Deleted)));

    stage.disk.set_capacity(None);
    let id = stage.stored(&body(99, 50_000));
    stage.read(id).expect("room came back, and with it uploads");
}

// If this fails, nothing can be deleted on a full disk, so it stays full.
#[test]
fn many_deletes_and_an_epoch_find_room_on_a_full_disk() {
    let mut stage = stage();
    let mut ids: Vec<_> = (0..100).map(|n| stage.append(&body(n, 500)).0).collect();
    stage.settle();
    stage.disk.set_capacity(Some(stage.disk.used()));
    loop {
        let id = stage.mint();
        match stage.try_put(id, &body(7, 3_000), How::Create) {
            Ok(_) => ids.push(id),
            full => {
                assert!(is_full(&full), "{full:?}");
                break;
            }
        }
    }
    stage.settle();
    stage.begin(2);
    for id in &ids {
        let deleted = stage.store.delete(*id, None, stage.now_ms);
        deleted.unwrap_or_else(|error| panic!("a delete finds no room: {error}"));
    }
    stage.settle();
    for id in ids {
        assert!(matches!(stage.read(id), Err(ReadError::Deleted)));
    }
}

// If this fails, a disk that is full while a new segment is begun stops the replica for good.
#[test]
fn a_disk_that_is_full_at_the_end_of_a_segment_recovers() {
    let mut stage = stage();
    let mut stored = 0;
    for round in 0..40 {
        // Just enough for what is reserved already: sooner or later a new segment is due.
        stage.disk.set_capacity(Some(stage.disk.used()));
        let id = stage.mint();
        let refused = stage.try_put(id, &body(round, 64_000), How::Create);
        assert!(refused.is_ok() || is_full(&refused), "{refused:?}");
        stored += u64::from(refused.is_ok());
        stage.disk.set_capacity(None);
        stage.append(&body(round, 64_000));
        stage.settle();
        stored += 1;
    }
    assert!(stored < 80, "some were refused");
    assert_eq!(stage.store.usage().contents, stored);
    stage.restart();
    stage.begin(2);
    stage.settle();
    assert_eq!(stage.store.usage().contents, stored);
}

// If this fails, a process that was restarted after a failed sync acknowledges what the kernel still
// shows and the disk never got.
#[test]
fn a_restart_after_a_failed_sync_believes_the_disk_and_not_the_cache() {
    let mut kept = 0;
    for log in 1..100 {
        let mut stage = Stage::of(log, GEOMETRY);
        let bytes = body(log, 3_000);
        let (id, _) = stage.append(&bytes);
        stage.disk.fail(Operation::Sync, 0, Failure::Io);
        let job = stage
            .store
            .flush()
            .expect("healthy so far")
            .expect("something is unsynced");
        stage.store.synced(job.run()).expect_err("as planned");
        stage.restart();
        stage.lead();
        let acknowledged = stage.read(id).is_ok();
        let mut after = stage.on(stage.disk.crash(log));
        after.lead();
        if acknowledged {
            assert_eq!(
                after.read(id).expect("it was acknowledged"),
                bytes,
                "log {log}"
            );
            kept += 1;
        }
    }
    assert!(0 < kept && kept < 99, "{kept} of 99 had reached the disk");
}
