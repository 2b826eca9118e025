//! How recovery knows what was committed.

use wire::{Epoch, Lsn};

use super::{assert_reads, lsn, sealed, stored};
use crate::ReadError;
use crate::disk::Disk;
use crate::stage::{Stage, body, dir, names};

// If this fails, contents that were committed are not served after a restart.
#[test]
fn the_highest_commit_in_a_header_counts() {
    let mut stage = Stage::new();
    stage.put(0, &body(0, 700));
    stage.put(1, &body(1, 700));
    stage.settle();
    stage.put(2, &body(2, 700));
    stage.sync();
    stage.restart();
    assert_eq!(stage.store.positions().committed, lsn(1));
    assert_reads(&stage, 0..2, 700);
}

// If this fails, a restart trusts records that no leader may have committed.
#[test]
fn a_commit_that_stands_nowhere_is_not_known() {
    let mut stage = Stage::new();
    stage.put(0, &body(0, 700));
    stage.settle();
    stage.restart();
    let positions = stage.store.positions();
    // The put's header carries the commit of the epoch's first record.
    assert_eq!(positions.committed, Lsn(1));
    assert_eq!((positions.appended.lsn, positions.synced), (lsn(0), lsn(0)));
    assert!(matches!(stage.read(0), Err(ReadError::NotFound)));
    stage.lead();
    assert_reads(&stage, [0], 700);
}

// If this fails, recovery cuts off what space was given back in trust of.
#[test]
fn the_marker_counts_when_it_is_the_highest() {
    let mut stage = stored(3);
    stage.restart();
    assert_eq!(stage.store.positions().committed, lsn(2));
    assert_reads(&stage, 0..3, 700);
}

// If this fails, a log without its marker does not start, or forgets what its headers tell.
#[test]
fn a_lost_marker_leaves_what_the_headers_tell() {
    let stage = stored(3);
    let disk = stage.disk.kill();
    drop(stage);
    disk.remove(&dir().join("commit")).expect("it is there");
    let (store, _) = crate::stage::open(&disk).expect("the log can be opened");
    assert_eq!(store.positions().committed, Lsn(1));
    assert_eq!(store.positions().appended.lsn, lsn(2));
    assert_eq!(store.usage().contents, 0, "they are pending");
}

// If this fails, every restart reads all data.
#[test]
fn an_index_file_tells_the_commit_and_the_records_of_its_segment() {
    let (mut stage, contents) = sealed(4);
    let recovery = stage.restart();
    assert_eq!((recovery.segments, recovery.scanned), (4, 1));
    assert_eq!(recovery.damaged + recovery.quarantined_bytes, 0);
    assert_reads(&stage, 0..contents, 10_000);
    stage.assert_accounts();
}

// If this fails, contents of full segments wait for a new leader before they are served.
#[test]
fn the_commit_in_an_index_file_counts() {
    let (stage, _) = sealed(3);
    let index = names(&stage.disk, ".idx").last().cloned();
    let before = stage.store.log.segments[1].commit;
    let disk = stage.disk.kill();
    let last = names(&disk, ".seg").last().cloned();
    let paths = ["commit".to_owned(), last.expect("a segment")];
    for name in paths {
        disk.remove(&dir().join(name)).expect("it is there");
    }
    let (store, recovery) = crate::stage::open(&disk).expect("the log can be opened");
    assert_eq!(recovery.scanned, 0, "{index:?} tells all");
    assert_eq!(store.positions().committed, before);
    assert!(before > Lsn(1));
}

// If this fails, a leader decides on what it alone has, or forgets what it appended.
#[test]
fn records_above_the_commit_are_pending() {
    let mut stage = stored(2);
    stage.delete(0);
    stage.update(1, &body(10, 50));
    stage.put(2, &body(2, 700));
    stage.sync();
    stage.restart();
    assert_reads(&stage, 0..2, 700);
    assert!(matches!(stage.read(2), Err(ReadError::NotFound)));
    assert_eq!(stage.store.usage().contents, 2);
    stage.begin(2);
    let again = stage.store.delete(crate::stage::id(0), None, stage.now_ms);
    assert!(
        again.expect("deleted").repeated,
        "the pending delete decides"
    );
    assert_eq!(stage.update(1, &body(11, 50)).version, 3);
    stage.settle();
    assert!(matches!(stage.read(0), Err(ReadError::Deleted)));
    assert_eq!(stage.read(2).expect("committed"), body(2, 700));
    assert_eq!(stage.store.usage().contents, 2);
}

// If this fails, what a truncation undoes after a restart stays in the decisions.
#[test]
fn pending_records_of_a_restart_can_be_truncated() {
    let mut stage = stored(1);
    stage.delete(0);
    stage.put(1, &body(1, 700));
    stage.sync();
    stage.restart();
    stage.store.truncate_after(lsn(0)).expect("a healthy disk");
    stage.begin(2);
    assert_eq!(stage.update(0, &body(5, 50)).version, 2);
    assert!(!stage.put(1, &body(6, 50)).repeated);
    stage.settle();
    assert_eq!(stage.read(0).expect("it is live"), body(5, 50));
    stage.assert_accounts();
}

// If this fails, a replica cannot tell whether its history is the leader's.
#[test]
fn the_epochs_are_those_of_the_log() {
    let (mut stage, contents) = sealed(2);
    stage.lead();
    stage.put(contents, &body(1, 10));
    stage.begin(7);
    stage.settle_durably();
    let (before, end) = (stage.store.epochs().to_vec(), stage.store.positions());
    assert_eq!(before.len(), 3);
    stage.restart();
    assert_eq!(stage.store.epochs(), before);
    assert_eq!(stage.store.positions(), end);
    assert_eq!(end.appended.epoch, Epoch(7));
    assert!(stage.store.contains(end.appended));
}

// If this fails, an upload that a crash cut off can be closed over a hole, or holds its space for
// ever.
#[test]
fn open_uploads_are_open_again_until_the_next_epoch() {
    let mut stage = stored(1);
    let bytes = body(9, 30_000);
    let how = crate::How::Create;
    let upload = stage.begin_upload(9, &bytes, 10_000, how).expect("room");
    stage.sync();
    stage.restart();
    assert!(stage.store.uploads.get(upload).is_some());
    let ended = stage.begin(2);
    assert!(stage.store.uploads.get(upload).is_none());
    let dead = stage.store.usage().space.dead;
    stage.settle();
    assert!(stage.store.usage().space.dead >= dead + 30_000);
    assert_eq!(ended, stage.store.positions().committed);
}
