//! Cutting the end of a log off, so that nothing of it comes back.

use wire::{Epoch, Lsn, Position};

use super::{Bench, Room, body, open, record};
use crate::disk::Disk;
use crate::disk::simulated::{Failure, Operation};
use crate::stage::{dir, entries, names};

/// The names in quarantine.
fn quarantined(bench: &Bench) -> Vec<String> {
    let mut names = bench
        .disk
        .list(&dir().join("quarantine"))
        .expect("it is there");
    names.sort();
    names
}

// If this fails, what a new leader does not have stays, or more than that goes.
#[test]
fn everything_above_an_lsn_goes_and_nothing_else() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.append(1_000);
    }
    bench.sync();
    let moved = bench.log.truncate_after(Lsn(4)).expect("a healthy disk");
    assert!(moved >= 2_000, "{moved} bytes went");
    assert_eq!(bench.written(), [1, 2, 3, 4]);
    assert_eq!(bench.log.appended().lsn, Lsn(4));
    assert_eq!(bench.log.synced(), Lsn(4));
    assert_eq!(bench.log.shared.written(), Lsn(4));
    assert_eq!(bench.log.active().last, Lsn(4));
    assert_eq!(bench.log.unsynced_bytes(), 0);
}

// If this fails, a bit that turned over anywhere keeps a deposed leader from ever following again.
#[test]
fn damage_among_what_stays_does_not_keep_the_rest_from_being_cut() {
    for damaged in [2, 4, 5] {
        let mut bench = Bench::new();
        let mut starts = Vec::new();
        for _ in 0..6 {
            starts.push(bench.log.active().end);
            bench.append(1_000);
        }
        bench.sync();
        let path = bench.log.active().segment.name.path(dir());
        let flipped = bench.disk.flip_bit(&path, starts[damaged - 1] + 20, 1);
        flipped.expect("it is synced");
        bench.log.truncate_after(Lsn(4)).expect("a healthy disk");
        assert_eq!(bench.log.appended().lsn, Lsn(4));
        assert_eq!(bench.log.active().end, starts[4], "record {damaged}");
    }
}

// If this fails, a disk fills up, and no statistics say with what.
#[test]
fn what_was_cut_off_is_measured_until_it_is_deleted() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.append(1_000);
    }
    bench.sync();
    assert_eq!(bench.log.quarantine_bytes, 0);
    let moved = bench.log.truncate_after(Lsn(4)).expect("a healthy disk");
    assert!(bench.log.quarantine_bytes >= moved && moved > 0);
    let disk = bench.disk.kill();
    let (mut log, _) = open(&disk, bench.log.geometry);
    assert_eq!(log.quarantine_bytes, bench.log.quarantine_bytes);
    let quarantine = dir().join("quarantine");
    for name in disk.list(&quarantine).expect("a healthy disk") {
        let removed = disk.remove(&quarantine.join(name));
        removed.expect("a healthy disk");
    }
    log.measure_quarantine().expect("a healthy disk");
    assert_eq!(log.quarantine_bytes, 0);
}

// If this fails, a leader's records follow what was cut, or lie over what was kept.
#[test]
fn appending_goes_on_at_the_cut() {
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.append(1_000);
    }
    let end = bench.written_end_of(4);
    bench.log.truncate_after(Lsn(4)).expect("a healthy disk");
    let next = bench
        .log
        .append(&record(2, 5, body(9, 70_000)), Room::Control);
    assert_eq!(next.expect("there is room").1.start, end);
    bench.sync();
    assert_eq!(bench.written(), [1, 2, 3, 4, 5]);
    let (log, recovery) = open(&bench.disk.kill(), bench.log.geometry);
    assert_eq!(log.appended().lsn, Lsn(5));
    assert_eq!(recovery.quarantined_bytes, 0);
}

impl Bench {
    /// Where the record of this lsn ends, when all is written.
    fn written_end_of(&mut self, lsn: u64) -> u64 {
        self.log.write_buffer().expect("a healthy disk");
        let entries = entries(&*self.log.active().segment.file);
        let found = entries.iter().find(|entry| entry.lsn == Lsn(lsn));
        found.expect("it is written").end()
    }
}

// If this fails, a truncation leaves whole files of a deposed leader behind.
#[test]
fn later_segments_go_whole_with_their_index_files() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.append(20_000);
    }
    bench.sync();
    assert!(bench.log.segments.len() >= 3);
    let second = bench.log.segments[1].segment.name;
    let index = second.index_path(dir());
    crate::stage::write_file(&bench.disk, &index, b"an index");
    bench.log.truncate_after(Lsn(3)).expect("a healthy disk");
    assert_eq!(bench.log.segments.len(), 1);
    assert_eq!(names(&bench.disk, ".seg").len(), 1);
    assert_eq!(names(&bench.disk, ".idx").len(), 0);
    assert_eq!(bench.log.active().segment.sealed_at(), None);
    assert_eq!(bench.written(), [1, 2, 3]);
    assert!(quarantined(&bench).len() >= 3, "{:?}", quarantined(&bench));
    assert!(
        bench
            .log
            .shared
            .segment_of(Lsn(30))
            .is_some_and(|segment| { segment.name == bench.log.active().segment.name })
    );
}

// If this fails, an operator cannot get back what a change of leaders took away.
#[test]
fn what_goes_is_in_quarantine_byte_for_byte() {
    let mut bench = Bench::new();
    bench.append(500);
    let start = bench.append(500).start;
    bench.sync();
    let path = bench.log.active().segment.name.path(dir());
    let before = crate::stage::contents(&bench.disk, &path);
    for round in 0..2 {
        bench.log.truncate_after(Lsn(1)).expect("a healthy disk");
        let cut = quarantined(&bench);
        assert_eq!(cut.len(), round + 1, "a name is never used twice");
        let path = dir().join("quarantine").join(&cut[round]);
        let kept = crate::stage::contents(&bench.disk, &path);
        assert_eq!(before[start as usize..][..kept.len()], kept);
        assert!(kept.len() >= 600, "{} bytes", kept.len());
        bench.append(500);
        bench.sync();
    }
}

// If this fails, a truncation on a full disk stops the replica for good.
#[test]
fn a_full_disk_is_cut_without_quarantine() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.append(20_000);
    }
    bench.sync();
    bench.disk.set_capacity(Some(bench.disk.used()));
    let moved = bench.log.truncate_after(Lsn(2)).expect("it is cut");
    assert_eq!((moved, quarantined(&bench)), (0, Vec::new()));
    assert_eq!(bench.written(), [1, 2]);
}

// If this fails, stale records come back behind new ones after a power loss.
#[test]
fn a_cut_is_durable_when_it_returns() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.append(20_000);
    }
    bench.sync();
    bench.log.truncate_after(Lsn(3)).expect("a healthy disk");
    assert_eq!(bench.left_after_power_loss(), (3, 3));
}

// If this fails, what was kept was never synced, and a power loss takes it.
#[test]
fn what_stays_is_durable_although_it_was_not_synced_before() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.append(20_000);
    }
    let keep = bench.log.active().segment.name.first.0 + 1;
    bench.log.truncate_after(Lsn(keep)).expect("a healthy disk");
    let (low, high) = bench.left_after_power_loss();
    assert_eq!((low as u64, high as u64), (keep, keep));
}

// If this fails, a sync that began before a truncation vouches for records that came after it.
#[test]
fn a_job_that_began_before_a_cut_says_nothing_of_what_follows() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.append(1_000);
    }
    let job = bench.log.flush().expect("healthy").expect("a job");
    bench.log.truncate_after(Lsn(2)).expect("a healthy disk");
    for _ in 0..3 {
        bench.append(1_000);
    }
    let synced = bench.log.finish_sync(job.run()).expect("it succeeded");
    assert_eq!(synced, Lsn(2), "the new 3, 4 and 5 are not synced");
    assert_eq!(bench.sync(), Lsn(5));
}

// If this fails, a replica claims a history that it gave up.
#[test]
fn the_epochs_that_began_above_a_cut_are_forgotten() {
    let mut bench = Bench::new();
    for (epoch, lsn) in [(1, 1), (1, 2), (3, 3), (4, 4)] {
        let record = record(epoch, lsn, body(lsn, 10));
        bench.log.append(&record, Room::Control).expect("room");
    }
    bench.sync();
    bench.log.truncate_after(Lsn(3)).expect("a healthy disk");
    let end = |epoch, lsn| Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    };
    assert_eq!(bench.log.appended(), end(3, 3));
    bench.log.truncate_after(Lsn(2)).expect("a healthy disk");
    assert_eq!(bench.log.appended(), end(1, 2));
    bench.log.truncate_after(Lsn(0)).expect("a healthy disk");
    assert_eq!(bench.log.appended(), end(0, 0));
    assert_eq!(bench.written(), Vec::<u64>::new());
}

// If this fails, a truncation that failed half-way is taken for one that was done.
#[test]
fn a_cut_that_fails_says_so() {
    for operation in [Operation::SetLen, Operation::Sync, Operation::SyncDir] {
        let mut bench = Bench::new();
        for _ in 0..4 {
            bench.append(1_000);
        }
        bench.sync();
        bench.disk.fail(operation, 0, Failure::Io);
        let cut = bench.log.truncate_after(Lsn(2));
        assert!(cut.is_err(), "{operation:?}");
    }
}
