//! The commit marker is raised durably, or not at all.

use std::io;

use wire::Lsn;

use crate::disk::Disk;
use crate::disk::simulated::{Failure, Operation, SimulatedDisk};
use crate::log::marker::CommitMarker;
use crate::stage::{LOG, contents, dir, empty_disk};

fn marker(disk: &SimulatedDisk) -> CommitMarker {
    let opened: io::Result<CommitMarker> = CommitMarker::open(disk, dir(), LOG);
    opened.expect("a healthy disk")
}

// If this fails, a power loss after space was given back finds a hole where a content should be.
#[test]
fn a_raised_commit_outlives_every_power_loss() {
    let disk = empty_disk();
    let raised = marker(&disk);
    for commit in [3, 9, 10, 1_000] {
        raised.raise(Lsn(commit)).expect("a healthy disk");
        for seed in 0..20 {
            assert_eq!(marker(&disk.crash(seed)).commit(), Lsn(commit));
        }
    }
}

// If this fails, a power loss in the middle of a write takes the commit that was there before.
#[test]
fn a_write_that_was_torn_leaves_the_commit_before_it() {
    let disk = empty_disk();
    let raised = marker(&disk);
    raised.raise(Lsn(7)).expect("a healthy disk");
    disk.fail(Operation::Sync, 0, Failure::Io);
    assert!(raised.raise(Lsn(8)).is_err());
    assert_eq!(raised.commit(), Lsn(7), "a failed sync proves nothing");
    for seed in 0..40 {
        let found = marker(&disk.crash(seed)).commit();
        assert!(found == Lsn(7) || found == Lsn(8), "{found}");
    }
}

// If this fails, a failed write is taken for a durable commit.
#[test]
fn a_write_that_failed_raises_nothing() {
    let disk = empty_disk();
    let raised = marker(&disk);
    raised.raise(Lsn(7)).expect("a healthy disk");
    disk.fail(Operation::Write, 0, Failure::Io);
    assert!(raised.raise(Lsn(8)).is_err());
    assert_eq!(raised.commit(), Lsn(7));
    raised.raise(Lsn(8)).expect("the disk is well again");
    assert_eq!(marker(&disk.kill()).commit(), Lsn(8));
}

// If this fails, the commit goes back, or the disk is written to for nothing.
#[test]
fn a_commit_is_never_lowered() {
    let disk = empty_disk();
    let raised = marker(&disk);
    raised.raise(Lsn(7)).expect("a healthy disk");
    let operations = disk.operations();
    for commit in [7, 6, 0] {
        raised.raise(Lsn(commit)).expect("nothing to do");
    }
    assert_eq!(disk.operations(), operations);
    assert_eq!(raised.commit(), Lsn(7));
}

// If this fails, the next version of the program does not find the commit.
#[test]
fn the_slots_stand_where_the_format_says() {
    let disk = empty_disk();
    let raised = marker(&disk);
    raised.raise(Lsn(0x0102)).expect("a healthy disk");
    raised.raise(Lsn(0x0304)).expect("a healthy disk");
    let bytes = contents(&disk, &dir().join("commit"));
    assert_eq!(bytes.len(), 8192);
    let slots = [(4096, [2, 1]), (0, [4, 3])];
    for (at, commit) in slots {
        assert_eq!(&bytes[at..at + 8], b"AqCommit");
        assert_eq!(bytes[at + 8..at + 16], LOG.to_le_bytes());
        assert_eq!(bytes[at + 16..at + 18], commit);
        let sum = crate::checksum::crc32c(&bytes[at..at + 24]);
        assert_eq!(bytes[at + 24..at + 28], sum.to_le_bytes());
    }
}

// If this fails, one flipped bit makes recovery trust a commit that never was.
#[test]
fn every_flipped_bit_of_a_slot_is_noticed() {
    let disk = empty_disk();
    marker(&disk).raise(Lsn(5)).expect("a healthy disk");
    for at in 0..28 {
        let flipped = disk.kill();
        flipped
            .flip_bit(&dir().join("commit"), 4096 + at, 2)
            .expect("the byte is durable");
        assert_eq!(marker(&flipped).commit(), Lsn::ZERO, "byte {at}");
    }
}

// If this fails, a marker that a crash cut short stops the start of a node.
#[test]
fn a_marker_that_is_too_short_tells_nothing() {
    let disk = empty_disk();
    marker(&disk).raise(Lsn(5)).expect("a healthy disk");
    let file = disk.open(&dir().join("commit")).expect("it is there");
    for length in [4096 + 27, 4096, 10, 0] {
        file.set_len(length).expect("a healthy disk");
        assert_eq!(marker(&disk).commit(), Lsn::ZERO);
    }
    marker(&disk).raise(Lsn(6)).expect("a healthy disk");
    assert_eq!(marker(&disk.kill()).commit(), Lsn(6));
}
