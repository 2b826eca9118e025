//! Space reserved ahead, the reserve for records that end something, and going on to a new
//! segment.

use wire::Lsn;

use super::{Bench, Room};
use crate::disk::simulated::{Failure, Operation};
use crate::poison::AppendError;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::name::SegmentName;
use crate::stage::{GEOMETRY, dir, names};

fn is_full<T>(outcome: &Result<T, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Full { .. }))
}

fn is_poisoned<T>(outcome: &Result<T, AppendError>, step: &str) -> bool {
    matches!(outcome, Err(AppendError::Poisoned(reason)) if reason.step == step)
}

/// A log on a disk that has room for this many more bytes.
fn with_room_for(bytes: u64) -> Bench {
    let bench = Bench::new();
    bench.disk.set_capacity(Some(bench.disk.used() + bytes));
    bench
}

/// Appends records of this length until the disk is full; returns how many found room.
fn fill(bench: &mut Bench, length: usize, room: Room) -> usize {
    for n in 0..10_000 {
        match bench.try_append(length, room) {
            Ok(_) => {}
            Err(AppendError::Full { .. }) => return n,
            Err(AppendError::Poisoned(reason)) => panic!("a full disk is not broken: {reason}"),
        }
    }
    panic!("the disk is never full");
}

// If this fails, every append waits for the file system to find space.
#[test]
fn space_is_reserved_ahead_in_steps() {
    let mut bench = Bench::new();
    let step = GEOMETRY.allocate_bytes;
    assert_eq!(bench.log.active().length, step, "a new segment has room");
    let mut lengths = vec![step];
    while bench.log.active().end < 200_000 {
        bench.append(1_000);
        let length = bench.log.active().length;
        assert_eq!(length % step, 0);
        assert!(length >= bench.log.active().end + GEOMETRY.reserve_bytes);
        lengths.push(length);
    }
    lengths.dedup();
    assert!(
        lengths.len() <= 8,
        "it was reserved {} times",
        lengths.len()
    );
    assert_eq!(bench.log.active().length, *lengths.last().expect("some"));
}

// If this fails, a segment grows beyond what its index and its rewriting can bear.
#[test]
fn a_log_goes_on_to_a_new_segment_before_the_old_one_is_too_long() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.append(20_000);
    }
    let segments = &bench.log.segments;
    assert!(segments.len() >= 3, "{} segments", segments.len());
    for pair in segments.windows(2) {
        let [old, new] = pair else { continue };
        assert!(old.end <= GEOMETRY.segment_bytes);
        assert!(
            old.end + 20_000 > GEOMETRY.segment_bytes - 1_000,
            "too early"
        );
        assert_eq!(old.last.next(), new.segment.name.first);
        assert_eq!(old.segment.sealed_at(), Some(old.last));
        assert_eq!(new.segment.name.generation, 0);
    }
    assert_eq!(bench.log.active().segment.sealed_at(), None);
    bench.sync();
    assert_eq!(bench.written(), (1..=40).collect::<Vec<u64>>());
}

// If this fails, a record that is larger than a segment can never be stored.
#[test]
fn a_record_larger_than_a_segment_has_one_to_itself() {
    let mut bench = Bench::new();
    bench.append(GEOMETRY.segment_bytes as usize + 10);
    assert_eq!(bench.log.segments.len(), 1, "an empty segment takes it");
    bench.append(10);
    bench.append(GEOMETRY.segment_bytes as usize + 10);
    let firsts: Vec<u64> = bench
        .log
        .segments
        .iter()
        .map(|state| state.segment.name.first.0)
        .collect();
    assert_eq!(firsts, [1, 2, 3]);
}

// If this fails, a full disk leaves no room for the deletes that would empty it.
#[test]
fn content_leaves_the_reserve_to_records_that_end_something() {
    let mut bench = with_room_for(64 << 10);
    let contents = fill(&mut bench, 2_000, Room::Content);
    assert!(contents > 20, "{contents} contents");
    let reserved = bench.log.active().length - bench.log.active().end;
    assert!(reserved >= GEOMETRY.reserve_bytes, "{reserved} bytes");
    let controls = fill(&mut bench, 0, Room::Control) as u64;
    let enough = GEOMETRY.reserve_bytes / 128;
    assert!(controls >= enough, "{controls} of {enough}");
    assert!(is_full(&bench.try_append(0, Room::Content)), "still full");
    bench.sync();
    let all = contents as u64 + controls;
    assert_eq!(bench.written().len() as u64, all, "all that found room");
}

// If this fails, the last free megabytes of a disk cannot be used.
#[test]
fn less_is_reserved_when_there_is_not_enough_to_reserve_ahead() {
    let mut bench = with_room_for(GEOMETRY.allocate_bytes + 8192);
    fill(&mut bench, 1_000, Room::Content);
    let state = bench.log.active();
    let unused = state.length - state.end - GEOMETRY.reserve_bytes;
    assert!(unused < 8192, "{unused} bytes are left unused");
}

// If this fails, a disk on which room was made stays full until the restart.
#[test]
fn a_refusal_breaks_nothing() {
    let mut bench = with_room_for(32 << 10);
    let found_room = fill(&mut bench, 3_000, Room::Content) as u64;
    assert_eq!(bench.log.appended().lsn, Lsn(found_room));
    assert!(bench.log.check().is_ok());
    bench.disk.set_capacity(None);
    assert_eq!(
        bench.append(3_000).lsn,
        Lsn(found_room + 1),
        "no lsn is lost"
    );
    bench.sync();
    let lsns: Vec<u64> = (1..=found_room + 1).collect();
    assert_eq!(bench.written(), lsns);
}

/// A log whose next record of 50,000 bytes needs a new segment.
fn before_a_roll() -> Bench {
    let mut bench = Bench::new();
    while bench.log.active().end + 50_000 <= GEOMETRY.segment_bytes {
        bench.append(20_000);
    }
    bench
}

// If this fails, a segment file without a header, or with old records, stands in the log's way.
#[test]
fn a_new_segment_that_finds_no_room_leaves_nothing() {
    for operation in [Operation::Allocate, Operation::Name] {
        let mut bench = before_a_roll();
        let before = bench.log.appended();
        bench.disk.fail(operation, 0, Failure::NoSpace);
        let refused = bench.try_append(50_000, Room::Content);
        assert!(is_full(&refused), "{operation:?}: {refused:?}");
        assert_eq!(names(&bench.disk, ".seg").len(), 1, "{operation:?}");
        assert_eq!(names(&bench.disk.crash(1), ".seg").len(), 1, "durably");
        assert_eq!(bench.log.appended(), before);
        assert_eq!(bench.log.active().segment.sealed_at(), None);
        bench.append(50_000);
        assert_eq!(bench.log.segments.len(), 2, "there is room again");
        assert_eq!(bench.sync(), before.lsn.next());
    }
}

// If this fails, nothing can be deleted when the disk is full at the end of a segment.
#[test]
fn a_control_record_stays_in_the_old_segment_when_there_is_no_room_for_a_new_one() {
    let mut bench = before_a_roll();
    let first = bench.log.active().segment.name;
    while bench.log.active().end + 136 <= GEOMETRY.segment_bytes {
        bench.append(0);
    }
    bench.disk.fail(Operation::Name, 0, Failure::NoSpace);
    let ended = bench.try_append(0, Room::Control).expect("the reserve");
    assert!(ended.end() > GEOMETRY.segment_bytes);
    assert_eq!(bench.log.active().segment.name, first);
    let name = SegmentName {
        first: ended.lsn.next(),
        generation: 0,
    };
    bench.append(0);
    assert_eq!(bench.log.active().segment.name, name);
    bench.sync();
    assert_eq!(bench.written().len() as u64, ended.lsn.0 + 1);
}

// If this fails, a disk that breaks is taken for a full one, and is written to again.
#[test]
fn a_disk_that_breaks_while_a_segment_is_made_stops_the_log() {
    for operation in [Operation::Allocate, Operation::Name, Operation::Write] {
        let mut bench = before_a_roll();
        // The first write is that of the buffer.
        let successes = u64::from(operation == Operation::Write);
        bench.disk.fail(operation, successes, Failure::Io);
        let refused = bench.try_append(50_000, Room::Content);
        assert!(is_poisoned(&refused, "new segment"), "{operation:?}");
        assert!(bench.try_append(1, Room::Control).is_err());
    }
}

// If this fails, a broken disk is asked for space again and again.
#[test]
fn a_disk_that_breaks_while_space_is_reserved_stops_the_log() {
    let mut bench = Bench::new();
    bench.disk.fail(Operation::Allocate, 0, Failure::Io);
    let refused = bench.try_append(60_000, Room::Content);
    assert!(is_poisoned(&refused, "reserve space"), "{refused:?}");
    assert!(bench.log.check().is_err());
}

// If this fails, the operator reads of less space than a refused reservation took.
#[test]
fn what_a_refused_reservation_took_all_the_same_is_accounted_for() {
    for room in [10, 20, 30, 40] {
        let mut bench = with_room_for(room << 10);
        fill(&mut bench, 900, Room::Content);
        let state = bench.log.active();
        let length = state.segment.file.len().expect("a healthy disk");
        assert_eq!(state.length, length);
        assert!(state.end >= SEGMENT_HEADER_BYTES);
    }
}

// If this fails, a node with a full disk loses the order of its segments after a restart.
#[test]
fn segments_are_named_by_the_first_lsn_that_they_cover() {
    let mut bench = Bench::new();
    for _ in 0..30 {
        bench.append(20_000);
    }
    bench.sync();
    let firsts = bench.log.segments.iter().map(|state| state.segment.name);
    let expected: Vec<String> = firsts.map(SegmentName::file).collect();
    assert_eq!(names(&bench.disk, ".seg"), expected);
    for state in &bench.log.segments {
        let first = crate::stage::entries(&*state.segment.file)[0].lsn;
        assert_eq!(first, state.segment.name.first);
        assert!(state.segment.name.path(dir()).starts_with(dir()));
    }
}
