//! The chain `appended >= synced >= committed`, and what a stopped log still does.

use wire::{Epoch, Lsn};

use crate::disk::simulated::{Failure, Operation};
use crate::stage::{Stage, body};
use crate::{ChangeError, How, ReadError};

fn assert_chain(stage: &Stage) {
    let positions = stage.store.positions();
    assert!(positions.appended.lsn >= positions.synced, "{positions:?}");
    assert!(positions.synced >= positions.committed, "{positions:?}");
}

// If this fails, a node reports that it holds what it does not.
#[test]
fn positions_move_one_behind_the_other() {
    let mut stage = Stage::new();
    for n in 0..30 {
        stage.put(n, &body(n, 500));
        assert_chain(&stage);
        if n % 3 == 0 {
            stage.sync();
            assert_chain(&stage);
            assert_eq!(stage.store.positions().synced, Lsn(n + 2));
        }
        if n % 7 == 0 {
            let synced = stage.store.positions().synced;
            stage.store.commit_to(synced, &mut Vec::new());
            assert_chain(&stage);
            assert_eq!(stage.store.positions().committed, synced);
        }
    }
}

// If this fails, a broken disk takes the contents that can still be read along.
#[test]
fn a_stopped_log_is_read_and_not_written() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 500));
    stage.settle();
    stage.put(2, &body(2, 500));
    stage.disk.fail(Operation::Sync, 0, Failure::Io);
    let job = stage.store.flush().expect("healthy").expect("a job");
    let reason = stage.store.synced(job.run()).expect_err("it fails");
    let check = stage.store.check().expect_err("it is stopped");
    assert_eq!(check.to_string(), reason.to_string());
    assert_eq!(stage.read(1).expect("committed"), body(1, 500));
    assert!(matches!(stage.read(2), Err(ReadError::NotFound)));
    let put = stage.try_put(3, &body(3, 500), How::Create);
    assert!(matches!(put, Err(ChangeError::Append(_))), "{put:?}");
    assert!(stage.store.begin_epoch(Epoch(9), stage.now_ms).is_err());
    assert!(stage.store.chores(stage.now_ms).is_empty());
    assert_chain(&stage);
}

// If this fails, a node whose disk failed once is of no use any more.
#[test]
fn a_stopped_log_goes_on_after_it_was_opened_again() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 500));
    stage.settle_durably();
    stage.put(2, &body(2, 500));
    stage.disk.fail(Operation::Sync, 0, Failure::Io);
    let job = stage.store.flush().expect("healthy").expect("a job");
    assert!(stage.store.synced(job.run()).is_err());
    stage.restart();
    stage.lead();
    assert_eq!(stage.read(1).expect("committed"), body(1, 500));
    stage.put(3, &body(3, 500));
    stage.settle();
    assert_eq!(stage.read(3).expect("stored"), body(3, 500));
    if let Ok(bytes) = stage.read(2) {
        assert_eq!(bytes, body(2, 500), "it was never acknowledged");
    }
}

// If this fails, placement and the operator are told of other space than the disk has.
#[test]
fn usage_is_what_the_files_are() {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 3);
    for n in (0..contents).step_by(5) {
        stage.delete(n);
    }
    stage.upload(contents, &body(1, 150_000), 70_000);
    stage.settle();
    let before = stage.store.usage();
    assert!(before.space.dead > 0 && before.space.index == 0);
    stage.assert_accounts();
    stage.upkeep();
    let usage = stage.store.usage();
    assert!(usage.space.index > 0, "index files were written");
    assert_eq!(usage.contents, contents - contents.div_ceil(5) + 1);
    let lengths: u64 = stage
        .store
        .log
        .segments
        .iter()
        .map(|state| state.segment.file.len().expect("healthy"))
        .sum();
    assert_eq!(usage.space.log, lengths);
    stage.assert_accounts();
}
