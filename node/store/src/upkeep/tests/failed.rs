//! Rewritings that fail at their very end.

use wire::Lsn;

use super::{Chore, Compacting, carry_out, due, rest, sealed};
use crate::ReadError;
use crate::disk::simulated::{Failure, Operation};
use crate::stage::{GEOMETRY, Stage, body, names};

/// A content whose chunks lie in two segments.
const CHUNKED: u64 = 1_000_000;

/// Full segments of which that content is all that lives; and its last chunk.
fn mostly_dead() -> (Stage, Lsn) {
    let mut stage = Stage::new();
    let mut n = stage.fill(0, 2);
    while stage.store.log.active().end < GEOMETRY.segment_bytes - 60_000 {
        stage.put(n, &body(n, 10_000));
        n += 1;
    }
    let commit = stage.upload(CHUNKED, &body(CHUNKED, 90_000), 30_000).lsn;
    n = stage.fill(n, 5);
    stage.upkeep();
    (0..n).for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    (stage, commit.previous())
}

/// The same, when the segment of the last chunk is about to be joined to those before it.
fn joining() -> (Stage, Vec<Chore>) {
    let (mut stage, chunk) = mostly_dead();
    loop {
        let (named, chores) = due(&mut stage);
        assert_eq!(named, ["compact"]);
        let compacting = stage.store.upkeep.compacting.as_ref();
        let segment = stage.store.shared.segment_of(chunk).expect("it is there");
        let has_joined =
            |compacting: &Compacting| compacting.sources[1..].contains(&segment.number);
        if compacting.is_some_and(has_joined) {
            return (stage, chores);
        }
        carry_out(&mut stage, chores).expect("a healthy disk");
    }
}

// If this fails, a file that cannot be removed leaves others in use that were rewritten too: what dies later
// is looked for there, and its space never comes back.
#[test]
fn a_source_that_cannot_be_removed_keeps_no_other_in_use() {
    let (mut stage, chores) = joining();
    for chore in chores {
        let done = chore.run(&mut |_| true);
        stage.disk.fail(Operation::Name, 0, Failure::Io);
        let error = stage.store.finish(done).expect_err("a file stays");
        assert_eq!(error.step, "remove a rewritten segment");
    }
    let state = &stage.store.log.segments[0];
    let (joined, last) = (state.segment.number, state.last);
    for lsn in (1..=last.0).map(Lsn) {
        let segment = stage.store.shared.segment_of(lsn);
        assert_eq!(segment.expect("it covers it").number, joined, "{lsn}");
    }
    assert_eq!(stage.read(CHUNKED).expect("live"), body(CHUNKED, 90_000));
    stage.delete(CHUNKED);
    stage.settle();
    stage.assert_accounts();
    let live = stage.store.log.segments[0].live;
    assert!(live < 1_000, "{live} bytes live");
    assert_eq!(
        stage
            .store
            .shared
            .segments_between(Lsn(1), last.next())
            .len(),
        1
    );
}

/// Deletes most of what lives in the first segment, so that it is rewritten.
fn rewriting() -> (Stage, Vec<Chore>, u64) {
    let (mut stage, contents) = sealed(3);
    (1..16).for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    let (named, chores) = due(&mut stage);
    assert_eq!(named, ["compact"]);
    (stage, chores, contents)
}

fn assert_contents(stage: &Stage, contents: u64) {
    for n in 0..contents {
        match stage.read(n) {
            Ok(bytes) => assert!(!(1..16).contains(&n) && bytes == body(n, 10_000), "{n}"),
            Err(error) => assert!(matches!(error, ReadError::Deleted), "{n}: {error}"),
        }
    }
}

/// The files of a rewritten first segment.
fn rewritten(stage: &Stage) -> Vec<String> {
    let mut names = names(&stage.disk, ".seg");
    names.retain(|name| name.ends_with("1-00000001.seg"));
    names
}

// If this fails, a rewritten segment that came to nothing lies beside what is in use, and the next start
// takes it for the log: what was deleted meanwhile comes back.
#[test]
fn a_rewritten_segment_whose_name_is_not_durable_is_taken_back() {
    let (mut stage, chores, contents) = rewriting();
    stage.disk.fail(Operation::SyncDir, 0, Failure::Io);
    let error = carry_out(&mut stage, chores).expect_err("it fails");
    assert_eq!(error.step, "rewrite a segment");
    assert!(stage.store.check().is_ok());
    for seed in 0..4 {
        let crashed = stage.on(stage.disk.crash(seed));
        assert_eq!(rewritten(&crashed), Vec::<String>::new());
        assert_contents(&crashed, contents);
    }
    rest(&mut stage);
    stage.upkeep();
    assert_eq!(rewritten(&stage).len(), 1);
    assert_contents(&stage, contents);
    stage.assert_accounts();
}

// If this fails, the same where it cannot be taken back.
#[test]
fn a_rewritten_segment_that_cannot_be_taken_back_stops_the_log() {
    let (mut stage, chores, contents) = rewriting();
    for _ in 0..2 {
        stage.disk.fail(Operation::SyncDir, 0, Failure::Io);
    }
    let error = carry_out(&mut stage, chores).expect_err("it fails");
    assert_eq!(error.step, "rewrite a segment");
    assert!(stage.store.check().is_err(), "nothing is appended any more");
    for seed in 0..4 {
        let mut crashed = stage.on(stage.disk.crash(seed));
        assert_contents(&crashed, contents);
        crashed.upkeep();
        assert_contents(&crashed, contents);
        crashed.assert_accounts();
    }
}
