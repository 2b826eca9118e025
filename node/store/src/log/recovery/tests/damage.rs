//! Damage at or below the commit is damage: noted, told, never cut.

use wire::{Lsn, Position};

use super::{assert_damaged, assert_reads, lsn, said_of_an_absent_id, sealed, stored};
use crate::disk::Disk;
use crate::stage::{Stage, UPDATE, body, dir, names, open, quarantined};
use crate::{How, Lost, ReadError};

/// Where in a record its epoch stands: a byte that only the checksum protects.
const EPOCH_AT: u64 = 24;

// If this fails, one flipped bit costs every content behind it.
#[test]
fn a_damaged_header_costs_one_content() {
    let mut stage = stored(5);
    let end = stage.store.positions();
    stage.flip(lsn(2), EPOCH_AT);
    let recovery = stage.restart();
    assert_eq!((recovery.damaged, recovery.quarantined_bytes), (1, 0));
    assert_reads(&stage, [0, 1, 3, 4], 700);
    assert_damaged(&stage, 2);
    assert_eq!(stage.store.positions().appended.lsn, end.appended.lsn);
    assert_eq!(stage.store.positions().committed, end.committed);
    assert_eq!(stage.store.usage().damaged, 1);
}

// If this fails, a client is told that a content was never there, and deletes its own copy.
#[test]
fn an_absent_id_may_be_the_damaged_one_if_it_is_old_enough() {
    let mut stage = stored(3);
    stage.flip(lsn(1), EPOCH_AT);
    stage.restart();
    let old = said_of_an_absent_id(&stage, 0);
    assert!(matches!(old, ReadError::Damaged { .. }), "{old:?}");
    let young = said_of_an_absent_id(&stage, 1);
    assert!(matches!(young, ReadError::NotFound), "{young:?}");
}

// If this fails, a retry stores a content again that is only damaged here.
#[test]
fn nothing_is_decided_on_an_id_that_may_be_damaged() {
    let mut stage = stored(3);
    stage.flip(lsn(1), EPOCH_AT);
    stage.restart();
    stage.begin(2);
    for how in [How::Create, UPDATE] {
        let refused = stage.try_put(1, &body(1, 700), how);
        assert!(
            matches!(refused, Err(crate::ChangeError::Damaged)),
            "{how:?}: {refused:?}"
        );
    }
}

// If this fails, a deleted content comes back, or an old version is served as the current one.
#[test]
fn what_a_damaged_header_superseded_is_not_served() {
    let mut stage = stored(4);
    let delete = stage.delete(0).lsn;
    let update = stage.update(1, &body(9, 100)).lsn;
    stage.put(4, &body(4, 700));
    stage.settle_durably();
    stage.flip(delete, EPOCH_AT);
    stage.flip(update, EPOCH_AT);
    let recovery = stage.restart();
    // The two lie behind each other: one place where no record can be read.
    assert_eq!(recovery.damaged, 1);
    assert_damaged(&stage, 0);
    assert_damaged(&stage, 1);
    assert_reads(&stage, 2..5, 700);
}

// If this fails, a damaged id in an update's header lets the old version be served.
#[test]
fn the_superseded_record_tells_whose_a_header_was_when_its_id_is_damaged() {
    let mut stage = stored(3);
    let update = stage.update(1, &body(9, 100)).lsn;
    stage.put(4, &body(4, 700));
    stage.settle_durably();
    stage.flip(update, 45);
    stage.restart();
    assert_damaged(&stage, 1);
    assert_reads(&stage, [0, 2, 4], 700);
}

// If this fails, damage in a payload is cut off, or is served.
#[test]
fn damage_in_a_payload_is_found_on_reading() {
    let mut stage = stored(3);
    let (_, entry) = stage.place_of(lsn(1)).expect("it is there");
    let payload = entry.lengths.payload_start(entry.start) - entry.start;
    stage.flip(lsn(1), payload + 100);
    let recovery = stage.restart();
    assert_eq!((recovery.damaged, recovery.quarantined_bytes), (0, 0));
    assert_eq!(stage.store.usage().damaged, 0, "nobody has read it yet");
    assert_damaged(&stage, 1);
    assert_eq!(stage.store.usage().damaged, 1);
    assert_reads(&stage, [0, 2], 700);
}

// If this fails, the last record, damaged, is written over, and cannot be repaired any more.
#[test]
fn nothing_is_written_behind_damage_in_the_last_segment() {
    let mut stage = stored(3);
    stage.flip(lsn(2), EPOCH_AT);
    stage.restart();
    assert_eq!(names(&stage.disk, ".seg").len(), 2, "a new one is begun");
    assert_eq!(stage.store.positions().appended.lsn, lsn(2));
    stage.begin(2);
    stage.update(1, &body(7, 90));
    stage.settle_durably();
    stage.upkeep();
    assert_eq!(names(&stage.disk, ".idx"), Vec::<String>::new());
    stage.restart();
    assert_damaged(&stage, 2);
    assert_reads(&stage, [0], 700);
    assert_eq!(stage.read(1).expect("updated"), body(7, 90));
}

// If this fails, a lost file is taken for an empty one.
#[test]
fn a_missing_first_segment_is_damage() {
    let (stage, contents) = sealed(3);
    let disk = stage.disk.kill();
    let second = stage.store.log.segments[1].segment.name.first;
    let first = names(&disk, ".seg").remove(0);
    disk.remove(&dir().join(first)).expect("it is there");
    let mut stage = stage;
    let recovery = stage.restart_on(disk);
    assert_eq!(recovery.damaged, 1);
    for n in 0..contents {
        if lsn(n) < second {
            assert_damaged(&stage, n);
        } else {
            assert_reads(&stage, [n], 10_000);
        }
    }
}

// If this fails, a missing file in the middle cuts off all that follows it.
#[test]
fn a_missing_middle_segment_is_damage() {
    let (mut stage, contents) = sealed(4);
    let end = stage.store.positions();
    let disk = stage.disk.kill();
    let after = stage.store.log.segments[2].segment.name.first;
    let second = names(&disk, ".seg").remove(1);
    disk.remove(&dir().join(second)).expect("it is there");
    let recovery = stage.restart_on(disk);
    assert_eq!((recovery.damaged, recovery.quarantined_bytes), (1, 0));
    assert_eq!(stage.store.positions().appended, end.appended);
    // What is lost may be a later version of what comes before it.
    for n in 0..contents {
        if lsn(n) < after {
            assert_damaged(&stage, n);
        } else {
            assert_reads(&stage, [n], 10_000);
        }
    }
}

// If this fails, a damaged first page makes a whole file unreadable.
#[test]
fn a_damaged_segment_header_is_written_again() {
    for segment in 0..3 {
        let (mut stage, contents) = sealed(3);
        let name = names(&stage.disk, ".seg").remove(segment);
        let path = dir().join(name);
        for at in [0, 9, 13, 20, 30, 4000, 4095] {
            stage.disk.flip_bit(&path, at, 5).expect("it is durable");
        }
        let recovery = stage.restart();
        assert_eq!(recovery.damaged + recovery.quarantined_bytes, 0);
        assert_reads(&stage, 0..contents, 10_000);
        let page = crate::stage::contents(&stage.disk, &path);
        let header = crate::segment::header::SegmentHeader::decode(&page[..4096], super::LOG);
        let header = header.expect("it is mended");
        let state = &stage.store.log.segments[segment];
        assert_eq!(header.first, state.segment.name.first);
        assert_eq!(header.generation, 0);
    }
}

// If this fails, a rewritten segment with a damaged header loses what it covers.
#[test]
fn a_rewritten_segments_header_is_mended_from_its_name_and_its_successor() {
    let (mut stage, contents) = sealed(3);
    let half = stage.store.log.segments[1].segment.name.first.0 - 2;
    for n in 0..half {
        if n % 4 != 0 {
            stage.delete(n);
        }
    }
    stage.settle_durably();
    stage.upkeep();
    let state = stage.store.log.segments[0].clone();
    assert!(state.segment.name.generation > 0, "it was rewritten");
    let path = state.segment.name.path(dir());
    stage.disk.flip_bit(&path, 33, 1).expect("it is durable");
    stage.restart();
    let mended = &stage.store.log.segments[0];
    assert_eq!(mended.segment.name, state.segment.name);
    assert_eq!(mended.last, state.last);
    let kept = (0..half).filter(|n| n % 4 == 0).chain(half..contents);
    assert_reads(&stage, kept, 10_000);
}

// If this fails, a replica whose first record is damaged claims a history that it does not have.
#[test]
fn a_damaged_epoch_record_leaves_the_positions() {
    let mut stage = Stage::new();
    stage.put(0, &body(0, 700));
    stage.begin(5);
    stage.put(1, &body(1, 700));
    stage.settle_durably();
    stage.flip(Lsn(3), EPOCH_AT);
    let recovery = stage.restart();
    assert_eq!(recovery.damaged, 1);
    assert_eq!(stage.store.positions().appended.lsn, Lsn(4));
    assert_reads(&stage, 0..2, 700);
    let end: Position = stage.store.positions().appended;
    assert!(stage.store.contains(end));
}

/// A log of several segments, a content of the first one that is deleted, and a sector that lies in
/// its header and in no other record.
fn one_deleted() -> (Stage, u64, u64, u64) {
    let (mut stage, contents) = sealed(3);
    let begins_sector = |n: &u64| {
        let (_, entry) = stage.place_of(lsn(*n)).expect("written");
        entry.start.next_multiple_of(512) - entry.start < 128
    };
    let deleted = (1..20).find(begins_sector).expect("one of them");
    let (_, entry) = stage.place_of(lsn(deleted)).expect("written");
    stage.delete(deleted);
    stage.settle_durably();
    (stage, contents, deleted, entry.start.next_multiple_of(512))
}

/// Of what is damaged, what no content needs.
fn hidden(stage: &Stage) -> Vec<Lost> {
    stage.store.reader().damage().hidden
}

// If this fails, one bad sector under a content that was deleted long ago keeps a whole copy of a
// shard from being served.
#[test]
fn a_dead_record_that_the_disk_cannot_read_is_told_and_the_rest_serves() {
    let (mut stage, contents, deleted, sector) = one_deleted();
    let path = dir().join(names(&stage.disk, ".seg").remove(0));
    stage.disk.break_sector(&path, sector).expect("it is there");
    let recovery = stage.restart();
    assert_eq!((recovery.damaged, recovery.quarantined_bytes), (0, 0));
    let (first, last) = (lsn(deleted), lsn(deleted));
    assert_eq!(hidden(&stage), [Lost { first, last }]);
    assert!(matches!(stage.read(deleted), Err(ReadError::Deleted)));
    assert_reads(&stage, (0..contents).filter(|n| *n != deleted), 10_000);
    stage.begin(2);
    stage.delete(deleted + 1);
    stage.settle();
    assert!(matches!(stage.read(deleted + 1), Err(ReadError::Deleted)));
}

// If this fails, nobody repairs a dead record's header, and its segment is never rewritten.
#[test]
fn a_dead_record_with_a_damaged_header_is_told_until_it_is_repaired() {
    let (mut stage, contents, deleted, _) = one_deleted();
    let record = stage.store.reader().record(lsn(deleted)).expect("intact");
    stage.flip(lsn(deleted), EPOCH_AT);
    stage.restart();
    let (first, last) = (lsn(deleted), lsn(deleted));
    assert_eq!(hidden(&stage), [Lost { first, last }]);
    let repair = stage.store.repair(record).expect("it is committed");
    let done = repair.run(&mut |_| true);
    stage.store.finish(done).expect("it is written");
    assert_eq!(hidden(&stage), []);
    stage.restart();
    assert_eq!(hidden(&stage), []);
    assert!(matches!(stage.read(deleted), Err(ReadError::Deleted)));
    assert_reads(&stage, (0..contents).filter(|n| *n != deleted), 10_000);
}

// If this fails, a bad sector in one content makes the one before it unreadable, too.
#[test]
fn a_sector_that_cannot_be_read_costs_the_records_that_lie_in_it() {
    let mut stage = Stage::new();
    for n in 0..4 {
        stage.put(n, &body(n, 3_000));
    }
    stage.settle();
    let (path, entry) = stage.place_of(lsn(2)).expect("written");
    let sector = (entry.start + 128).next_multiple_of(512);
    assert!(sector + 512 < entry.end(), "it lies in this record alone");
    stage.disk.break_sector(&path, sector).expect("it is there");
    assert_reads(&stage, [0, 1, 3], 3_000);
    assert!(matches!(stage.read(2), Err(ReadError::Damaged { .. })));
}

/// How long a content of [`unsealed`] is: none has its head in the page of another one's.
fn length(n: u64) -> usize {
    9_000 + 56 * n as usize
}

/// Contents in a segment without an index file; the number of one of them, and a sector that lies in its
/// head and in no other record.
fn unsealed() -> (Stage, u64, u64) {
    let mut stage = Stage::new();
    for n in 0..20 {
        stage.put(n, &body(n, length(n)));
    }
    stage.sync();
    let sector = |n: u64| {
        let (_, entry) = stage.place_of(lsn(n)).expect("written");
        let sector = entry.start.next_multiple_of(512);
        (sector - entry.start < 128).then_some((n, sector))
    };
    let (n, sector) = (2..18).find_map(sector).expect("one of them");
    (stage, n, sector)
}

// If this fails, one bad sector under a content keeps a whole copy of a shard from being served after a
// restart; or what others have is not mended.
#[test]
fn a_sector_below_the_commit_that_cannot_be_read_is_damage_to_a_restart() {
    let (mut stage, broken, sector) = unsealed();
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    let path = dir().join(names(&stage.disk, ".seg").remove(0));
    stage.disk.break_sector(&path, sector).expect("it is there");
    let recovery = stage.restart();
    assert_eq!((recovery.damaged, recovery.quarantined_bytes), (1, 0));
    let (first, last) = (lsn(broken), lsn(broken));
    assert_eq!(stage.store.reader().damage().lost, [Lost { first, last }]);
    // Nobody knows whose it is.
    (0..=broken).for_each(|n| assert_damaged(&stage, n));
    for n in broken + 1..20 {
        assert_reads(&stage, [n], length(n));
    }
    let record = copy.store.reader().record(first).expect("intact");
    let repair = stage.store.repair(record).expect("it is committed");
    let done = repair.run(&mut |_| true);
    stage.store.finish(done).expect("it is written");
    for n in 0..20 {
        assert_reads(&stage, [n], length(n));
    }
    stage.settle_durably();
    assert_eq!(stage.restart().damaged, 0);
    assert_reads(&stage, [broken], length(broken));
}

// If this fails, what was acknowledged is cut off because one sector of it cannot be read at the moment.
#[test]
fn a_sector_above_the_commit_that_cannot_be_read_stops_the_replica() {
    let (stage, _, sector) = unsealed();
    let disk = stage.disk.kill();
    let path = dir().join(names(&disk, ".seg").remove(0));
    disk.break_sector(&path, sector).expect("it is there");
    let error = open(&disk).expect_err("it cannot be told whether it is whole");
    assert!(error.to_string().starts_with("scan a segment"), "{error}");
    assert!(quarantined(&disk).is_empty());
}

// If this fails, one bad sector in what can be told in another way keeps a whole copy from being served.
#[test]
fn a_segment_header_that_cannot_be_read_is_written_again() {
    for is_sealed in [false, true] {
        let mut stage = match is_sealed {
            true => sealed(3).0,
            false => unsealed().0,
        };
        stage.settle_durably();
        let path = dir().join(names(&stage.disk, ".seg").remove(0));
        for at in [0, 600] {
            stage.disk.break_sector(&path, at).expect("it is there");
            let recovery = stage.restart();
            assert_eq!((recovery.damaged, recovery.quarantined_bytes), (0, 0));
            assert!(stage.read(7).is_ok(), "byte {at}");
        }
    }
}
