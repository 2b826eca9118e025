//! Payloads of dead records are given back.

use wire::Lsn;

use super::{carry_out, due, rest};
use crate::disk::Disk;
use crate::disk::simulated::{Failure, Operation};
use crate::stage::{GEOMETRY, LOG, Stage, UPDATE, body, id};
use crate::{Geometry, How, ReadError};

const LARGE: usize = 66_000;
const PAGES: u64 = 65_536;

fn holes(stage: &Stage) -> u64 {
    stage.store.usage().space.holes
}

/// A large content that was deleted, and one that was not.
fn one_deleted() -> Stage {
    let mut stage = Stage::new();
    stage.put(1, &body(1, LARGE));
    stage.put(2, &body(2, LARGE));
    stage.settle();
    stage.delete(1);
    stage.settle();
    stage
}

// If this fails, a deleted gigabyte stays on the disk, or a live one goes.
#[test]
fn the_whole_pages_of_a_dead_payload_go_and_nothing_else() {
    let mut stage = one_deleted();
    let used = stage.disk.used();
    let (named, chores) = due(&mut stage);
    assert_eq!(named, ["punch"]);
    assert_eq!(holes(&stage), 0);
    carry_out(&mut stage, chores).expect("a healthy disk");
    assert_eq!(holes(&stage), PAGES);
    assert_eq!(used - stage.disk.used(), PAGES);
    assert_eq!(stage.read(2).expect("live"), body(2, LARGE));
    assert!(matches!(stage.read(1), Err(ReadError::Deleted)));
    stage.assert_accounts();
    assert_eq!(due(&mut stage).0, Vec::<&str>::new(), "once");
}

// If this fails, the space of small contents is punched out in vain, page by page.
#[test]
fn payloads_below_64_kib_are_left_to_rewriting() {
    let mut stage = Stage::new();
    for (n, length) in [(1, 65_535), (2, 65_536), (3, 100)] {
        stage.put(n, &body(n, length));
        stage.settle();
        stage.delete(n);
        stage.settle();
    }
    stage.upkeep();
    assert_eq!(holes(&stage), 65_536);
}

// If this fails, what an update or an abort replaced stays on the disk for ever.
#[test]
fn updates_aborts_and_new_epochs_give_space_back() {
    let mut stage = Stage::new();
    stage.upload(1, &body(1, 2 * LARGE), LARGE);
    stage.settle();
    stage.try_put(1, &body(2, 100), UPDATE).expect("room");
    stage.settle();
    stage.upkeep();
    assert_eq!(holes(&stage), 2 * PAGES);
    let open = stage.begin_upload(2, &body(3, LARGE), LARGE, How::Create);
    stage
        .store
        .abort(open.expect("new"), stage.now_ms)
        .expect("room");
    stage.settle();
    stage.upkeep();
    assert_eq!(holes(&stage), 3 * PAGES);
    stage.assert_accounts();
    let mut stage = Stage::new();
    let cut_off = stage.begin_upload(3, &body(4, LARGE), LARGE, How::Create);
    cut_off.expect("new");
    stage.settle();
    stage.upkeep();
    assert_eq!(holes(&stage), 0, "it is open");
    stage.lead();
    stage.upkeep();
    assert_eq!(holes(&stage), PAGES);
    stage.assert_accounts();
}

// If this fails, a content whose delete can still be undone has lost its bytes.
#[test]
fn nothing_goes_before_its_successor_is_committed() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, LARGE));
    stage.settle();
    stage.delete(1);
    stage.sync();
    assert_eq!(due(&mut stage).0, Vec::<&str>::new());
    let end = stage.store.positions().committed;
    stage.store.truncate_after(end).expect("a healthy disk");
    stage.upkeep();
    assert_eq!(stage.read(1).expect("the delete is undone"), body(1, LARGE));
}

// If this fails, a power loss after a punch cuts off acknowledged records behind the hole.
#[test]
fn the_commit_is_durable_before_the_payload_goes() {
    let mut stage = one_deleted();
    let chores = due(&mut stage).1;
    assert_eq!(stage.store.log.marker.commit(), Lsn::ZERO);
    carry_out(&mut stage, chores).expect("a healthy disk");
    assert_eq!(stage.store.log.marker.commit(), Lsn(4));
    for seed in 0..20 {
        let (store, recovery) = crate::stage::open(&stage.disk.crash(seed)).expect("opens");
        assert_eq!(recovery.damaged + recovery.quarantined_bytes, 0);
        assert_eq!(store.positions().committed, Lsn(4));
        assert!(store.reader().open(id(2)).is_ok());
    }
}

// If this fails, a payload goes although nobody can tell after a crash that it may.
#[test]
fn nothing_goes_when_the_marker_cannot_be_raised() {
    for operation in [Operation::Write, Operation::Sync] {
        let mut stage = one_deleted();
        let chores = due(&mut stage).1;
        stage.disk.fail(operation, 0, Failure::Io);
        let error = carry_out(&mut stage, chores).expect_err("it fails");
        assert_eq!(error.step, "give space back");
        assert_eq!(holes(&stage), 0);
        stage.assert_accounts();
        rest(&mut stage);
        stage.upkeep();
        assert_eq!(holes(&stage), PAGES, "it was tried again");
    }
}

// If this fails, one failed punch keeps the space of many contents.
#[test]
fn a_punch_that_failed_is_tried_again() {
    let mut stage = one_deleted();
    stage.delete(2);
    stage.settle();
    let chores = due(&mut stage).1;
    stage.disk.fail(Operation::Punch, 1, Failure::Io);
    carry_out(&mut stage, chores).expect_err("the second fails");
    assert_eq!(holes(&stage), PAGES);
    assert!(stage.store.check().is_ok(), "the log is not stopped");
    rest(&mut stage);
    stage.upkeep();
    assert_eq!(holes(&stage), 2 * PAGES);
    stage.assert_accounts();
}

// If this fails, a download ends in zeros.
#[test]
fn a_payload_waits_for_its_last_reader() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, LARGE));
    stage.upload(2, &body(2, 2 * LARGE), LARGE);
    stage.settle();
    let reader = stage.store.reader();
    let put = reader.open(id(1)).expect("live");
    let (first, second) = (reader.open(id(2)), reader.open(id(2)));
    stage.delete(1);
    stage.delete(2);
    stage.settle();
    stage.upkeep();
    assert_eq!(holes(&stage), 0);
    drop(put);
    stage.upkeep();
    assert_eq!(holes(&stage), PAGES);
    drop(first);
    stage.upkeep();
    assert_eq!(holes(&stage), PAGES, "the second still reads");
    let second = second.expect("live");
    assert_eq!(
        second.read(LARGE as u64, 500).expect("held"),
        body(2, 2 * LARGE)[LARGE..][..500]
    );
    drop(second);
    stage.upkeep();
    assert_eq!(holes(&stage), 3 * PAGES);
    stage.assert_accounts();
}

// If this fails, space that was not given back before a restart stays taken.
#[test]
fn a_restart_finds_what_is_still_to_go() {
    let mut stage = one_deleted();
    stage.settle_durably();
    stage.restart();
    assert_eq!(holes(&stage), 0);
    stage.upkeep();
    assert_eq!(holes(&stage), PAGES);
    stage.settle_durably();
    stage.restart();
    stage.upkeep();
    assert_eq!(holes(&stage), PAGES);
    stage.assert_accounts();
}

/// So many chunks that the list of them is as long as a payload that is given back.
const MANY: usize = 4_096;

/// A deleted content of so many chunks, in one segment, after its upkeep.
fn deleted_in_many_chunks() -> Stage {
    let geometry = Geometry {
        segment_bytes: 8 << 20,
        ..GEOMETRY
    };
    let mut stage = Stage::of(LOG, geometry);
    stage.upload(1, &body(1, 100 * MANY), 100);
    stage.settle();
    stage.delete(1);
    stage.settle_durably();
    stage.upkeep();
    stage
}

// If this fails, the space of a deleted content of over 4 GiB is never given back after a restart.
#[test]
fn a_restart_knows_the_chunks_of_a_dead_content_whatever_their_number() {
    let mut stage = deleted_in_many_chunks();
    let before = stage.store.usage().space;
    stage.restart();
    stage.upkeep();
    let after = stage.store.usage().space;
    assert_eq!(
        (after.live, after.dead, after.holes),
        (before.live, before.dead, before.holes)
    );
    stage.assert_accounts();
}

// If this fails, what an earlier version deleted of such contents stays on the disk for ever.
#[test]
fn a_restart_knows_the_chunks_of_a_dead_content_whose_list_is_gone() {
    let mut stage = deleted_in_many_chunks();
    let before = stage.store.usage().space;
    let (path, commit) = stage.place_of(Lsn(MANY as u64 + 2)).expect("it stays");
    let payload_at = commit.lengths.payload_start(commit.start);
    let file = stage.disk.open(&path).expect("it is there");
    file.punch(payload_at, commit.lengths.payload)
        .expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    stage.restart();
    let after = stage.store.usage().space;
    assert_eq!((after.live, after.dead), (before.live, before.dead));
}
