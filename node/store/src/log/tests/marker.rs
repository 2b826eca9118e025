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
    let path = dir().join("commit");
    let first = contents(&disk, &path);
    for commit in [0x0304, 0x0405] {
        raised.raise(Lsn(commit)).expect("a healthy disk");
    }
    raised.stand_alone(Lsn(0x0506)).expect("a healthy disk");
    let mut bytes = contents(&disk, &path);
    bytes[4096..].copy_from_slice(&first[4096..]);
    assert_eq!(bytes.len(), 8192);
    let slots = [(4096, [2, 1], 1, 0), (0, [6, 5], 4, 1)];
    for (at, commit, number, flags) in slots {
        assert_eq!(&bytes[at..at + 8], b"AqCommit");
        assert_eq!(bytes[at + 8..at + 16], LOG.to_le_bytes());
        assert_eq!(bytes[at + 16..at + 18], commit);
        assert_eq!(bytes[at + 24..at + 32], u64::to_le_bytes(number));
        assert_eq!(bytes[at + 32..at + 36], u32::to_le_bytes(flags));
        let sum = crate::checksum::crc32c(&bytes[at..at + 36]);
        assert_eq!(bytes[at + 36..at + 40], sum.to_le_bytes());
    }
}

// If this fails, one flipped bit makes recovery trust a commit that never was.
#[test]
fn every_flipped_bit_of_a_slot_is_noticed() {
    let disk = empty_disk();
    marker(&disk).raise(Lsn(5)).expect("a healthy disk");
    for at in 0..40 {
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
    for length in [4096 + 39, 4096, 10, 0] {
        file.set_len(length).expect("a healthy disk");
        assert_eq!(marker(&disk).commit(), Lsn::ZERO);
    }
    marker(&disk).raise(Lsn(6)).expect("a healthy disk");
    assert_eq!(marker(&disk.kill()).commit(), Lsn(6));
}

// If this fails, a follower that loses its power takes what never arrived for damage.
#[test]
fn a_marker_that_stands_alone_does_so_after_every_power_loss() {
    let disk = empty_disk();
    let marker_here = marker(&disk);
    marker_here.raise(Lsn(5)).expect("a healthy disk");
    let stand = marker_here.stand_alone(Lsn(3)).expect("a healthy disk");
    let says = |disk: &SimulatedDisk| {
        let found = marker(disk);
        (found.commit(), found.stands_alone())
    };
    for seed in 0..20 {
        assert_eq!(says(&disk.crash(seed)), (Lsn(5), true), "never lowered");
    }
    marker_here.raise(Lsn(9)).expect("a healthy disk");
    assert_eq!(says(&disk.crash(1)), (Lsn(9), true), "raising ends nothing");
    marker_here.stand_back(stand).expect("a healthy disk");
    assert_eq!(says(&disk.crash(1)), (Lsn(9), false));
}

// If this fails, a chore that comes late takes back what a new catch-up relies on.
#[test]
fn a_stand_is_ended_only_by_its_own_end() {
    let disk = empty_disk();
    let marker_here = marker(&disk);
    let old = marker_here.stand_alone(Lsn(3)).expect("a healthy disk");
    let new = marker_here.stand_alone(Lsn(3)).expect("a healthy disk");
    let operations = disk.operations();
    marker_here.stand_back(old).expect("nothing to do");
    assert!(marker_here.stands_alone());
    assert_eq!(disk.operations(), operations, "the disk is left alone");
    marker_here.stand_back(new).expect("a healthy disk");
    assert!(!marker_here.stands_alone());
    let opened = marker(&disk);
    opened.stand_alone(Lsn(4)).expect("a healthy disk");
    opened.stand_back_after_recovery().expect("nothing to do");
    assert!(opened.stands_alone());
}

// If this fails, a follower relies on a marker that a failed write may have taken back.
#[test]
fn after_a_failed_write_a_stand_is_written_again() {
    let disk = empty_disk();
    let marker_here = marker(&disk);
    let stand = marker_here.stand_alone(Lsn(3)).expect("a healthy disk");
    for seed in 0..40 {
        disk.fail(Operation::Sync, 0, Failure::Io);
        assert!(marker_here.stand_back(stand).is_err());
        let commit = marker(&disk.crash(seed)).commit();
        assert_eq!(commit, Lsn(3), "whether alone or not");
    }
    marker_here
        .stand_alone(Lsn(3))
        .expect("the disk is well again");
    for seed in 0..40 {
        assert!(marker(&disk.crash(seed)).stands_alone(), "seed {seed}");
    }
}

// If this fails, an older program trusts a commit with a condition that it does not know.
#[test]
fn unknown_flags_stop_the_start() {
    let disk = empty_disk();
    marker(&disk).raise(Lsn(5)).expect("a healthy disk");
    let path = dir().join("commit");
    let mut slot = contents(&disk, &path)[4096..4132].to_vec();
    slot[32] |= 2;
    let sum = crate::checksum::crc32c(&slot);
    slot.extend_from_slice(&sum.to_le_bytes());
    let file = disk.open(&path).expect("it is there");
    file.write_at(&slot, 4096).expect("a healthy disk");
    let opened = CommitMarker::open(&disk, dir(), LOG);
    let error = opened.expect_err("a later version wrote it");
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
