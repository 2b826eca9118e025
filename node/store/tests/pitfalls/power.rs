//! Power losses that found what others did not think of; each is told by its test's name.

use std::sync::Arc;

use store::disk::Disk;
use store::{AppendError, ChangeError, How, ReadError, Store};
use wire::Lsn;

use crate::stage::{GEOMETRY, LOG, Stage, body, dir, segments, stage};

const SEEDS: u64 = 200;

// If this fails, a full disk and then a power loss cost acknowledged deletes: the file of a segment
// that found no room, and was removed again, comes back and ends the log before them.
#[test]
fn a_segment_that_was_given_up_does_not_come_back() {
    let mut stage = stage();
    let mut ids = Vec::new();
    let refused = loop {
        // Enough for what is reserved; not for another segment.
        stage.disk.set_capacity(Some(stage.disk.used() + 60_000));
        let id = stage.mint();
        match stage.try_put(id, &body(1, 50_000), How::Create) {
            Ok(_) => ids.push(id),
            Err(error) => break error,
        }
        if segments(&stage.disk).len() > 1 {
            panic!("the segment is full before the disk is");
        }
    };
    assert!(
        matches!(refused, ChangeError::Append(AppendError::Full { .. })),
        "{refused}"
    );
    stage.settle();
    for id in &ids {
        stage.delete(*id);
    }
    stage.settle();
    for seed in 0..SEEDS {
        let disk = stage.disk.crash(seed);
        disk.set_capacity(None);
        let mut after = stage.on(disk);
        after.lead();
        for id in &ids {
            let read = after.read(*id);
            assert!(
                matches!(read, Err(ReadError::Deleted)),
                "seed {seed}: it was acknowledged"
            );
        }
    }
}

// If this fails, a node that lost its power before it stored anything calls itself damaged for
// ever.
#[test]
fn a_log_that_was_never_synced_is_empty_and_not_damaged() {
    let mut stage = Stage::bare(3, GEOMETRY);
    stage.begin(1);
    while segments(&stage.disk).len() < 3 {
        stage.append(&body(1, 60_000));
    }
    for seed in 0..SEEDS {
        let mut after = stage.on(stage.disk.crash(seed));
        assert_eq!(after.store.positions().committed, Lsn::ZERO);
        assert_eq!(after.store.usage().damaged, 0, "seed {seed}");
        after.now_ms += 1_000;
        after.begin(2);
        after.settle();
        let bytes = body(seed, 1_000);
        let id = after.stored(&bytes);
        after.restart();
        let mut again = after;
        again.lead();
        assert_eq!(
            again.read(id).expect("it was acknowledged"),
            bytes,
            "seed {seed}"
        );
        assert_eq!(again.store.usage().damaged, 0, "seed {seed}");
    }
}

// If this fails, what readers saw as updated or deleted is back after one more restart.
#[test]
fn a_commit_that_a_restart_relied_on_is_not_forgotten_by_the_next() {
    let mut stage = stage();
    let id = stage.stored(&body(1, 2_000));
    stage.delete(id);
    stage.settle();
    // The only record that tells this commit is torn, and so is cut.
    let (_, teller) = stage.append(&body(2, 2_000));
    stage.sync();
    let (path, start) = stage.find_record(teller.lsn);
    stage
        .disk
        .flip_bit(&path, start + 1_000, 0)
        .expect("it is synced");
    stage.restart();
    let first = stage.store.positions();
    assert_eq!(first.appended.lsn, teller.lsn.previous());
    assert!(
        matches!(stage.read(id), Err(ReadError::Deleted)),
        "the restart knows the commit"
    );
    stage.restart();
    assert_eq!(stage.store.positions(), first);
    assert!(
        matches!(stage.read(id), Err(ReadError::Deleted)),
        "and so does the next"
    );
}

// If this fails, a folder that was restored without its holes filled stops a replica on a full
// disk, where it should say that the disk is full.
#[test]
fn reserved_space_that_is_a_hole_after_a_restart_is_reserved_again() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let path = segments(&stage.disk).remove(0);
    let file = stage.disk.open(&path).expect("it is there");
    let length = file.len().expect("healthy");
    file.punch(8_192, length - 8_192).expect("healthy");
    file.sync_data().expect("healthy");
    drop(file);
    stage.disk.set_capacity(Some(stage.disk.used() + 8_192));
    stage.restart();
    stage.begin(2);
    stage.settle();
    let id = stage.mint();
    let refused = stage.try_put(id, &body(2, 50_000), How::Create);
    let full = matches!(refused, Err(ChangeError::Append(AppendError::Full { .. })));
    assert!(full, "{refused:?}");
    stage.settle();
    stage.read(kept).expect("reads go on");
}

// If this fails, a node does not start after a power loss because its disk is full.
#[test]
fn a_torn_tail_is_cut_on_a_full_disk_too() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let (torn, outcome) = stage.append(&body(2, 100_000));
    stage.sync();
    let (path, start) = stage.find_record(outcome.lsn);
    stage
        .disk
        .flip_bit(&path, start + 50_000, 0)
        .expect("it is synced");
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.restart();
    stage.lead();
    stage.read(kept).expect("it was acknowledged");
    assert!(matches!(stage.read(torn), Err(ReadError::NotFound)));
}

// If this fails, a node does not start on a full disk when the first page of its newest segment did
// not reach the disk.
#[test]
fn a_segment_header_that_is_missing_on_a_full_disk_does_not_stop_the_replica() {
    let mut stage = stage();
    let bytes = body(1, 2_000);
    let kept = stage.stored(&bytes);
    let path = segments(&stage.disk).remove(0);
    let file = stage.disk.open(&path).expect("it is there");
    file.punch(0, 4_096).expect("healthy");
    file.sync_data().expect("healthy");
    drop(file);
    stage.disk.set_capacity(Some(stage.disk.used()));
    stage.restart();
    stage.disk.set_capacity(None);
    stage.lead();
    assert_eq!(stage.read(kept).expect("its record is intact"), bytes);
    stage.restart();
    stage.lead();
    assert_eq!(stage.read(kept).expect("its record is intact"), bytes);
}

// If this fails, a process that is killed while it rewrites a segment, and a power loss while it
// starts again, cost all contents of that segment: the old file is gone, and the new one's name.
#[test]
fn a_rewritten_segment_is_not_lost_between_a_kill_and_a_power_loss() {
    let mut stage = stage();
    let mut ids = Vec::new();
    while segments(&stage.disk).len() < 2 {
        ids.push(stage.append(&body(ids.len() as u64, 40_000)).0);
    }
    stage.settle();
    for id in ids.iter().skip(1).step_by(2) {
        stage.delete(*id);
    }
    stage.settle_known();
    for at in 0..60 {
        let mut killed = stage.on(stage.disk.kill());
        killed.disk.stop_after(killed.disk.operations() + at);
        while !killed.disk.stopped() {
            let chores = killed.store.chores(killed.now_ms);
            if chores.is_empty() {
                break;
            }
            for chore in chores {
                // It comes to nothing when the process is killed.
                drop(killed.store.finish(chore.run(&mut |_| true)));
            }
        }
        for recovery in 0..10 {
            let disk = killed.disk.kill();
            disk.stop_after(recovery);
            drop(Store::open_with(
                Arc::new(disk.clone()),
                dir(),
                LOG,
                GEOMETRY,
            ));
            for seed in 0..8 {
                let mut after = stage.on(disk.crash(seed));
                after.lead();
                for (number, id) in ids.iter().enumerate().step_by(6) {
                    let bytes = after.read(*id).expect("it is live");
                    assert_eq!(
                        bytes,
                        body(number as u64, 40_000),
                        "{at}, {recovery}, {seed}"
                    );
                }
            }
        }
    }
}
