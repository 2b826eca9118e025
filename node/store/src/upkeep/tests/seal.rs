//! Index files for full segments.

use super::{carry_out, due, rest};
use crate::disk::simulated::{Failure, Operation};
use crate::segment::index_file::SegmentIndex;
use crate::stage::{LOG, Stage, body, dir, entries, names};

/// A log whose first segment is full, and nothing of it synced beyond what it settled.
fn full() -> Stage {
    let mut stage = Stage::new();
    stage.fill(0, 2);
    stage
}

// If this fails, a restart reads data that an index file could tell, or trusts one that lies.
#[test]
fn a_full_segment_gets_an_index_file_that_tells_its_records() {
    let mut stage = full();
    let (named, chores) = due(&mut stage);
    assert_eq!(named, ["seal"]);
    carry_out(&mut stage, chores).expect("a healthy disk");
    let state = &stage.store.log.segments[0];
    let name = state.segment.name;
    let index = SegmentIndex::load(&stage.disk, dir(), LOG, name);
    let index = index.expect("it was written");
    assert_eq!(index.entries, entries(&*state.segment.file));
    assert_eq!((index.first, index.last), (name.first, state.last));
    assert_eq!((index.end, index.commit), (state.end, state.commit));
    let bytes = stage.disk.kill();
    let path = name.index_path(dir());
    let length = crate::stage::contents(&bytes, &path).len() as u64;
    assert_eq!(state.index_bytes, Some(length));
    assert_eq!(stage.store.usage().space.index, length);
}

// If this fails, what was reserved behind a full segment is never given back.
#[test]
fn a_sealed_segment_ends_with_its_last_record() {
    let mut stage = full();
    let before = &stage.store.log.segments[0];
    assert!(before.length > before.end);
    stage.upkeep();
    let after = &stage.store.log.segments[0];
    assert_eq!(after.length, after.end);
    assert_eq!(after.segment.file.len().expect("healthy"), after.end);
    stage.assert_accounts();
}

// If this fails, an index file tells of records that a power loss, or a new leader, took.
#[test]
fn a_segment_is_not_sealed_before_it_is_committed() {
    let mut stage = Stage::new();
    let mut n = 0;
    while stage.store.log.segments.len() < 2 {
        stage.put(n, &body(n, 10_000));
        n += 1;
    }
    assert_eq!(due(&mut stage).0, Vec::<&str>::new());
    stage.sync();
    assert_eq!(due(&mut stage).0, Vec::<&str>::new());
    stage.settle();
    assert_eq!(due(&mut stage).0, ["seal"]);
}

// If this fails, two threads write one index file.
#[test]
fn one_segment_is_sealed_at_a_time_and_each_once() {
    let mut stage = Stage::new();
    stage.fill(0, 4);
    for sealed in 1..=3 {
        let (named, chores) = due(&mut stage);
        assert_eq!(named, ["seal"]);
        assert_eq!(due(&mut stage).0, Vec::<&str>::new(), "one is under way");
        carry_out(&mut stage, chores).expect("a healthy disk");
        assert_eq!(names(&stage.disk, ".idx").len(), sealed);
    }
    assert_eq!(due(&mut stage).0, Vec::<&str>::new());
}

// If this fails, a full disk for a moment makes every later restart slow.
#[test]
fn a_seal_that_failed_is_tried_again() {
    for operation in [
        Operation::Allocate,
        Operation::Write,
        Operation::Sync,
        Operation::Name,
        Operation::SetLen,
    ] {
        let mut stage = full();
        let chores = due(&mut stage).1;
        stage.disk.fail(operation, 0, Failure::NoSpace);
        let error = carry_out(&mut stage, chores).expect_err("it fails");
        assert_eq!(error.step, "write an index file");
        assert_eq!(names(&stage.disk, ".idx"), Vec::<String>::new());
        assert_eq!(stage.store.log.segments[0].index_bytes, None);
        assert!(stage.store.check().is_ok(), "the log is not stopped");
        rest(&mut stage);
        let (named, chores) = due(&mut stage);
        assert_eq!(named, ["seal"], "after {operation:?}");
        carry_out(&mut stage, chores).expect("a healthy disk");
        assert_eq!(names(&stage.disk, ".idx").len(), 1);
        assert_eq!(names(&stage.disk, ".tmp"), Vec::<String>::new());
    }
}

// If this fails, an index file hides damage from every later restart.
#[test]
fn a_segment_with_a_damaged_record_gets_none() {
    let mut stage = full();
    stage.flip(wire::Lsn(5), 24);
    let chores = due(&mut stage).1;
    carry_out(&mut stage, chores).expect_err("it cannot be told");
    assert_eq!(due(&mut stage).0, Vec::<&str>::new(), "never again");
    assert_eq!(names(&stage.disk, ".idx"), Vec::<String>::new());
    assert_eq!(stage.restart().damaged, 1);
}
