//! A truncation beside what is under way: syncs and chores of the history that it cut.

use bytes::Bytes;
use store::SyncJob;
use wire::{ContentId, Lsn};

use crate::stage::{Stage, body, segments, stage};

const SEEDS: u64 = 100;

/// Appends contents until a new segment is begun; returns the last of the old segment, and its
/// bytes.
fn fill_a_segment(stage: &mut Stage) -> (ContentId, Bytes, Lsn) {
    let (mut last, mut seed) = (None, 0);
    let before = segments(&stage.disk).len();
    loop {
        let bytes = body(seed, 60_000);
        let (id, outcome) = stage.append(&bytes);
        if segments(&stage.disk).len() > before {
            return last.expect("a segment holds more than one");
        }
        last = Some((id, bytes, outcome.lsn));
        seed += 1;
    }
}

fn job(stage: &mut Stage) -> SyncJob {
    stage
        .store
        .flush()
        .expect("a healthy disk")
        .expect("something is unsynced")
}

/// Whatever a power loss leaves, all that was acknowledged is there.
fn assert_survives(stage: &Stage, id: ContentId, bytes: &Bytes) {
    for seed in 0..SEEDS {
        let mut after = stage.on(stage.disk.crash(seed));
        after.lead();
        assert_eq!(
            after.read(id).expect("it was acknowledged"),
            bytes,
            "seed {seed}"
        );
    }
}

// If this fails, an upload is acknowledged because records were synced that a truncation cut, and
// that had its position before.
#[test]
fn a_sync_of_a_history_that_was_cut_says_nothing_of_the_new_one() {
    let mut stage = stage();
    let committed = stage.store.positions().committed;
    for seed in 0..5 {
        stage.append(&body(seed, 1_000));
    }
    let done = job(&mut stage).run();
    stage
        .store
        .truncate_after(committed)
        .expect("a healthy disk");
    stage.begin(2);
    stage.append(&body(9, 1_000));
    let synced = stage.store.synced(done).expect("a healthy disk");
    assert_eq!(synced, committed, "nothing of the new history was synced");
    assert!(stage.settle().len() > 1, "and then it is");
}

// If this fails, a new leader's follower loses acknowledged contents in a power loss: a sync that
// had not run yet took the full segment's file with it.
#[test]
fn what_is_called_synced_after_a_truncation_is_durable() {
    let mut stage = stage();
    let (id, bytes, last) = fill_a_segment(&mut stage);
    let job = job(&mut stage);
    stage.store.truncate_after(last).expect("a healthy disk");
    let synced = stage.store.positions().synced;
    stage.store.commit_to(synced, &mut Vec::new());
    if synced >= last {
        assert_survives(&stage, id, &bytes);
    }
    stage.begin(2);
    let done = job.run();
    stage.store.synced(done).expect("a healthy disk");
    stage.settle();
    assert_survives(&stage, id, &bytes);
}

// If this fails, an acknowledged content is cut off by a chore that knew the segment as it was
// before the truncation, or an index file hides it from the next start.
#[test]
fn a_chore_from_before_a_truncation_does_no_harm_after_it() {
    let mut stage = stage();
    let (kept, kept_bytes, last) = fill_a_segment(&mut stage);
    stage.settle_known();
    let chores = stage.store.chores(stage.now_ms);
    assert!(!chores.is_empty(), "a full segment is to be sealed");
    let cut = stage.store.positions().committed;
    assert!(cut >= last);
    stage.store.truncate_after(cut).expect("a healthy disk");
    stage.begin(2);
    let bytes = body(77, 3_000);
    let after = stage.stored(&bytes);
    for chore in chores {
        let done = chore.run(&mut |_| true);
        stage.store.finish(done).expect("a healthy disk");
    }
    stage.settle();
    assert_survives(&stage, after, &bytes);
    assert_survives(&stage, kept, &kept_bytes);
}

// If this fails, the same with a truncation right behind the full segment.
#[test]
fn a_chore_of_the_last_segment_that_stays_does_no_harm() {
    let mut stage = stage();
    let (_, _, last) = fill_a_segment(&mut stage);
    stage.sync();
    stage.store.commit_to(last, &mut Vec::new());
    let chores = stage.store.chores(stage.now_ms);
    assert!(!chores.is_empty(), "a full segment is to be sealed");
    stage.store.truncate_after(last).expect("a healthy disk");
    stage.begin(2);
    let bytes = body(77, 3_000);
    let after = stage.stored(&bytes);
    for chore in chores {
        let done = chore.run(&mut |_| true);
        stage.store.finish(done).expect("a healthy disk");
    }
    assert_survives(&stage, after, &bytes);
}

// If this fails, a follower with a full disk cannot follow a new leader.
#[test]
fn a_truncation_needs_no_room() {
    let mut stage = stage();
    let (kept, bytes, last) = fill_a_segment(&mut stage);
    stage.sync();
    stage.store.commit_to(last, &mut Vec::new());
    stage.disk.set_capacity(Some(0));
    stage
        .store
        .truncate_after(last)
        .expect("nothing new is kept");
    assert_eq!(stage.store.positions().appended.lsn, last);
    stage.disk.set_capacity(None);
    stage.begin(2);
    let after = stage.stored(&body(77, 3_000));
    stage.read(after).expect("there is room again");
    assert_survives(&stage, kept, &bytes);
}
