//! Which files belong to a log, and what becomes of those that do not.

use wire::Lsn;

use super::{assert_reads, sealed, stored};
use crate::checksum::crc32c;
use crate::disk::Disk;
use crate::disk::simulated::{Failure, Operation, SimulatedDisk};
use crate::record::head::u64_at;
use crate::segment::entry::ENTRY_BYTES;
use crate::segment::index_file::SegmentIndex;
use crate::segment::name::SegmentName;
use crate::stage::{LOG, Stage, body, contents, dir, names, open, write_file};
use crate::{OpenError, ReadError};

// If this fails, files that a crash left take space for ever, or are read as if they were whole.
#[test]
fn unfinished_files_are_removed_and_others_are_left_alone() {
    let mut stage = stored(3);
    let name = "0000000000000001-00000001.seg.tmp";
    write_file(&stage.disk, &dir().join(name), b"half a segment");
    write_file(&stage.disk, &dir().join("x.tmp"), b"");
    write_file(&stage.disk, &dir().join("notes.txt"), b"the operator's");
    stage.restart();
    assert_eq!(names(&stage.disk, ".tmp"), Vec::<String>::new());
    assert_eq!(names(&stage.disk, ".txt"), ["notes.txt"]);
    assert_reads(&stage, 0..3, 700);
}

/// A log of which the first segment was rewritten, and that segment as it was before.
fn rewritten() -> (Stage, Vec<(String, Vec<u8>)>, u64, u64) {
    let (mut stage, contents_stored) = sealed(3);
    let half = stage.store.log.segments[1].segment.name.first.0 - 2;
    for n in (0..half).filter(|n| n % 4 != 0) {
        stage.delete(n);
    }
    stage.settle_durably();
    let old = [
        "0000000000000001-00000000.seg",
        "0000000000000001-00000000.idx",
    ];
    let before = old.map(|name| (name.to_owned(), contents(&stage.disk, &dir().join(name))));
    stage.upkeep();
    for name in old {
        assert!(!names(&stage.disk, "").contains(&name.to_owned()), "{name}");
    }
    (stage, before.to_vec(), half, contents_stored)
}

// If this fails, contents that were deleted and compacted come back after a crash.
#[test]
fn a_replaced_segment_that_a_crash_left_is_removed() {
    let (mut stage, before, half, all) = rewritten();
    let disk = stage.disk.kill();
    for (name, bytes) in &before {
        write_file(&disk, &dir().join(name), bytes);
    }
    let space = stage.store.usage().space;
    stage.restart_on(disk);
    for (name, _) in &before {
        assert!(!names(&stage.disk, "").contains(name), "{name}");
    }
    for n in (0..half).filter(|n| n % 4 != 0) {
        assert!(matches!(stage.read(n), Err(ReadError::Deleted)), "{n}");
    }
    let kept = (0..half).filter(|n| n % 4 == 0).chain(half..all);
    assert_reads(&stage, kept, 10_000);
    assert_eq!(stage.store.usage().space.live, space.live);
    stage.assert_accounts();
}

// If this fails, a rewriting that a crash interrupted takes the place of what it rewrote.
#[test]
fn a_rewriting_without_its_final_name_counts_for_nothing() {
    let (stage, before, half, _) = rewritten();
    let disk = stage.disk.kill();
    let name = stage.store.log.segments[0].segment.name;
    let path = name.path(dir());
    disk.rename(&path, &SegmentName::temporary_path(&path))
        .expect("it is there");
    for (name, bytes) in &before {
        write_file(&disk, &dir().join(name), bytes);
    }
    let (store, recovery) = open(&disk).expect("the log can be opened");
    assert_eq!(recovery.damaged, 0);
    assert_eq!(names(&disk, ".tmp"), Vec::<String>::new());
    assert_eq!(store.log.segments[0].segment.name.generation, 0);
    let read = store.reader().open(crate::stage::id(half / 4 * 4));
    assert!(read.is_ok(), "{read:?}");
}

// If this fails, a lost index file hides a quarter of a gigabyte of contents.
#[test]
fn a_missing_index_file_is_made_again() {
    let (mut stage, all) = sealed(3);
    let disk = stage.disk.kill();
    let name = names(&disk, ".idx").remove(0);
    disk.remove(&dir().join(&name)).expect("it is there");
    let recovery = stage.restart_on(disk);
    assert_eq!(recovery.scanned, 2, "it, and the last segment");
    assert_reads(&stage, 0..all, 10_000);
    assert!(!names(&stage.disk, ".idx").contains(&name));
    stage.upkeep();
    assert!(names(&stage.disk, ".idx").contains(&name));
    assert_eq!(stage.restart().scanned, 1);
}

// If this fails, a flipped bit in an index file hides contents, or makes every restart slow.
#[test]
fn a_damaged_index_file_is_made_again() {
    for at in [0, 33, 57, 64, 500] {
        let (mut stage, all) = sealed(3);
        let name = names(&stage.disk, ".idx").remove(0);
        let path = dir().join(&name);
        let whole = contents(&stage.disk, &path);
        stage.disk.flip_bit(&path, at, 4).expect("it is durable");
        let recovery = stage.restart();
        assert_eq!((recovery.scanned, recovery.damaged), (2, 0), "byte {at}");
        assert_reads(&stage, 0..all, 10_000);
        stage.upkeep();
        assert!(contents(&stage.disk, &path) == whole, "byte {at}");
        assert_eq!(stage.restart().scanned, 1, "byte {at}");
    }
}

// If this fails, one bad sector in a file that can be made again keeps all contents of a shard's copy.
#[test]
fn an_index_file_that_cannot_be_read_is_made_again() {
    // In its header, and in its entries.
    for at in [0, 900] {
        let (mut stage, all) = sealed(3);
        let name = names(&stage.disk, ".idx").remove(0);
        let path = dir().join(&name);
        let whole = contents(&stage.disk, &path);
        stage.disk.break_sector(&path, at).expect("it is there");
        let recovery = stage.restart();
        assert_eq!((recovery.scanned, recovery.damaged), (2, 0), "byte {at}");
        assert_reads(&stage, 0..all, 10_000);
        assert!(!names(&stage.disk, ".idx").contains(&name));
        stage.upkeep();
        assert!(contents(&stage.disk, &path) == whole, "byte {at}");
        assert_eq!(stage.restart().scanned, 1, "byte {at}");
    }
}

// If this fails, records are appended behind what an index file tells, which hides them at the start
// after the next.
#[test]
fn an_index_file_that_can_be_neither_read_nor_removed_stops_the_replica() {
    let (stage, _) = sealed(3);
    let disk = stage.disk.kill();
    let path = dir().join(names(&disk, ".idx").remove(0));
    disk.break_sector(&path, 0).expect("it is there");
    // The first name is the quarantine's.
    disk.fail(Operation::Name, 1, Failure::Io);
    let error = open(&disk).expect_err("it stays");
    let told = error.to_string();
    assert!(
        told.starts_with("remove a damaged index file in /replica: "),
        "{told}"
    );
}

// If this fails, an older program serves records that it does not understand, as an index file made
// by the newer one hides what is new in them.
#[test]
fn an_index_file_that_tells_of_what_is_unknown_counts_for_nothing() {
    let (mut stage, all) = sealed(3);
    let name = names(&stage.disk, ".idx").remove(0);
    let path = dir().join(&name);
    let whole = contents(&stage.disk, &path);
    let mut later = whole.clone();
    let last = later.len() - ENTRY_BYTES;
    later[last + 61] = 1;
    for (sum_at, covered) in [(56, 64..later.len()), (60, 0..60)] {
        let sum = crc32c(&later[covered]).to_le_bytes();
        later[sum_at..sum_at + 4].copy_from_slice(&sum);
    }
    let replace = |disk: &SimulatedDisk| {
        disk.remove(&path).expect("it is there");
        write_file(disk, &path, &later);
    };
    let lsn = u64_at(&whole[last..], 0);
    let (segment, entry) = stage.place_of(Lsn(lsn)).expect("it is told of");

    let disk = stage.disk.kill();
    replace(&disk);
    let mut head = contents(&disk, &segment)[entry.start as usize..].to_vec();
    head.truncate(entry.lengths.head() as usize);
    head[6] = 1;
    let sum = crc32c(&[&head[..124], &head[128..]].concat());
    head[124..128].copy_from_slice(&sum.to_le_bytes());
    let file = disk.open(&segment).expect("it is there");
    file.write_at(&head, entry.start).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    let error = open(&disk).expect_err("a record is of a later version");
    assert!(
        matches!(error, OpenError::Record { offset, .. } if offset == entry.start),
        "{error:?}"
    );
    assert!(contents(&disk, &path) == later, "it stays as it is");

    // The record itself is one of ours: the index file is made again.
    let disk = stage.disk.kill();
    replace(&disk);
    assert_eq!(stage.restart_on(disk).scanned, 2);
    assert_reads(&stage, 0..all, 10_000);
    stage.upkeep();
    assert!(contents(&stage.disk, &path) == whole);
}

// If this fails, an index file that lies about its segment is believed.
#[test]
fn an_index_file_of_another_generation_or_log_is_not_read() {
    let (stage, _) = sealed(2);
    let segment = &stage.store.log.segments[0].segment;
    let load = |log, name| SegmentIndex::load(&stage.disk, dir(), log, name);
    let peek = |log, name| SegmentIndex::peek(&stage.disk, dir(), log, name);
    let index = load(LOG, segment.name).expect("it is whole");
    assert_eq!(peek(LOG, segment.name), Some(index.commit));
    assert_eq!(index.entries, crate::stage::entries(&*segment.file));
    assert_eq!(load(LOG + 1, segment.name), None);
    assert_eq!(peek(LOG + 1, segment.name), None);
    let other = SegmentName {
        generation: 1,
        ..segment.name
    };
    stage
        .disk
        .rename(&segment.name.index_path(dir()), &other.index_path(dir()))
        .expect("it is there");
    assert_eq!((load(LOG, other), peek(LOG, other)), (None, None));
    assert_eq!(load(LOG, segment.name), None, "there is none");
}

// If this fails, a full segment is written to again, behind what its index file tells.
#[test]
fn appending_goes_on_in_the_last_segment_unless_it_has_an_index_file() {
    let (mut stage, all) = sealed(2);
    let last = stage.store.log.active().segment.name;
    stage.restart();
    assert_eq!(stage.store.log.active().segment.name, last);
    let disk = stage.disk.kill();
    for path in [last.path(dir()), dir().join("commit")] {
        disk.remove(&path).expect("it is there");
    }
    stage.restart_on(disk);
    let begun = stage.store.log.active().segment.name;
    assert_eq!(begun.first, last.first, "behind the one with an index file");
    assert_eq!(begun.generation, 0);
    stage.lead();
    stage.put(all + 1, &body(all + 1, 10_000));
    stage.settle();
    assert_reads(&stage, [0, all + 1], 10_000);
}

// If this fails, an operator does not learn which disk stops a node, or at which step.
#[test]
fn a_disk_that_fails_is_named_with_the_step() {
    for (operation, step) in [
        (Operation::Name, "make the quarantine"),
        (Operation::Sync, "sync a segment"),
        (Operation::SyncDir, "sync the folder"),
    ] {
        let stage = stored(1);
        let disk = stage.disk.kill();
        disk.fail(operation, 0, Failure::Io);
        let error = open(&disk).expect_err("the disk is broken");
        assert!(matches!(error, OpenError::Disk { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{step} in /replica: ")), "{text}");
    }
}

// If this fails, a node on a full disk begins a log that it cannot write to.
#[test]
fn a_log_that_finds_no_room_is_not_begun() {
    let disk = crate::stage::empty_disk();
    disk.set_capacity(Some(8192));
    let error = open(&disk).expect_err("there is no room");
    assert!(matches!(error, OpenError::Begin(_)), "{error:?}");
    disk.set_capacity(None);
    let (store, _) = open(&disk).expect("there is room now");
    assert_eq!(store.positions().appended.lsn, Lsn::ZERO);
}

// If this fails, a node with a full disk does not start, and its contents cannot be deleted.
#[test]
fn an_existing_log_is_opened_on_a_full_disk() {
    let mut stage = stored(5);
    let disk = stage.disk.kill();
    disk.set_capacity(Some(disk.used()));
    stage.restart_on(disk);
    assert_reads(&stage, 0..5, 700);
    stage.begin(2);
    stage.delete(3);
    stage.settle();
    assert!(matches!(stage.read(3), Err(ReadError::Deleted)));
}
