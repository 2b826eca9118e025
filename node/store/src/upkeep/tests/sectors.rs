//! Sectors that the disk cannot read, under what is to be rewritten, and under what is to be repaired.

use wire::Lsn;

use super::{carry_out, generations, in_first, lsn, sealed, upkeep_of_what_can_be_read};
use crate::ReadError;
use crate::damage::{Damage, Lost};
use crate::disk::simulated::{Failure, Operation};
use crate::stage::{Stage, body};

fn repair(stage: &mut Stage, copy: &Stage, lsn: Lsn) -> Result<(), String> {
    let record = copy.store.reader().record(lsn).expect("intact");
    let chore = stage.store.repair(record);
    let chore = chore.map_err(|error| error.to_string())?;
    carry_out(stage, vec![chore]).map_err(|error| error.to_string())
}

/// All records that are told as damaged.
fn told(damage: &Damage) -> Vec<Lsn> {
    let contents = damage.contents.iter();
    let records = contents.flat_map(|content| content.records.iter().copied());
    let places = damage.hidden.iter();
    let hidden = places.flat_map(|lost| (lost.first.0..=lost.last.0).map(Lsn));
    records.chain(hidden).collect()
}

// If this fails, one bad sector under a record that nobody needs keeps a segment of garbage for ever.
#[test]
fn a_dead_head_that_cannot_be_read_is_told_and_its_segment_rewritten_once_it_is_mended() {
    let (mut stage, contents) = sealed(3);
    let copy = stage.on(stage.disk.kill());
    let (live, dead) = (in_first(&stage) - 1, 7);
    (0..live).for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    stage.break_sector(lsn(dead), 0);
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 0, "it cannot be passed");
    let (first, last) = (lsn(dead), lsn(dead));
    assert_eq!(stage.store.reader().damage().hidden, [Lost { first, last }]);
    repair(&mut stage, &copy, lsn(dead)).expect("it is its own");
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 1);
    assert_eq!(stage.store.reader().damage(), Damage::default());
    for n in live..contents {
        assert_eq!(stage.read(n).expect("live"), body(n, 10_000));
    }
}

// If this fails, a rewriting that cannot read a content tells nobody; or it puts something else in the
// content's place, which the disk may have been able to read later.
#[test]
fn a_content_that_a_rewriting_cannot_read_is_told_and_stays() {
    let (mut stage, _) = sealed(3);
    let copy = stage.on(stage.disk.kill());
    let live = in_first(&stage) - 1;
    (0..live).for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    stage.break_sector(lsn(live), 5_000);
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 0);
    assert_eq!(told(&stage.store.reader().damage()), [lsn(live)]);
    repair(&mut stage, &copy, lsn(live)).expect("it is its own");
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 1);
    assert_eq!(stage.read(live).expect("live"), body(live, 10_000));
}

// If this fails, a full segment that has a bad sector is never sealed, and nobody is told why.
#[test]
fn a_full_segment_that_cannot_be_read_is_sealed_once_it_is_mended() {
    let mut stage = Stage::new();
    stage.fill(0, 2);
    let copy = stage.on(stage.disk.kill());
    stage.break_sector(lsn(7), 0);
    upkeep_of_what_can_be_read(&mut stage);
    assert!(stage.store.log.segments[0].index_bytes.is_none());
    assert_eq!(told(&stage.store.reader().damage()), [lsn(7)]);
    repair(&mut stage, &copy, lsn(7)).expect("it is alone there");
    upkeep_of_what_can_be_read(&mut stage);
    assert!(stage.store.log.segments[0].index_bytes.is_some());
}

fn assert_whole(stage: &Stage, contents: u64, what: &str) {
    for n in 0..contents {
        let read = stage.read(n);
        let read = read.unwrap_or_else(|error| panic!("{what}: {n}: {error}"));
        assert_eq!(read, body(n, 100), "{what}: {n}");
    }
    assert_eq!(stage.store.reader().damage(), Damage::default(), "{what}");
}

fn find_damage(stage: &Stage) -> Vec<Lsn> {
    let committed = stage.store.positions().committed;
    let mut covered = Lsn::ZERO;
    while covered < committed {
        let piece = stage.store.reader().scrub(covered, &mut |_| true);
        covered = piece.expect("a bad sector ends no scrub").covered;
    }
    told(&stage.store.reader().damage())
}

// If this fails, a record that is smaller than a page is never mended on a disk that cannot read the
// page: each attempt fails, and stops the log.
#[test]
fn records_that_share_a_page_that_cannot_be_read_are_mended_one_by_one() {
    let last = |stage: &Stage| stage.store.log.segments[1].segment.name.first.0 - 3;
    // In the middle of the full segment, at its start, at its end, and in the other one.
    for place in 0..4 {
        let what = format!("place {place}");
        let (mut stage, copy, contents) = Stage::with_small_contents();
        let n = [300, 1, last(&stage), last(&stage) + 40][place];
        stage.break_sector(lsn(n), 130);
        let found = find_damage(&stage);
        assert!(found.contains(&lsn(n)) && found.len() < 30, "{what}");
        for lsn in found {
            repair(&mut stage, &copy, lsn).unwrap_or_else(|error| panic!("{what}: {lsn}: {error}"));
            stage.store.check().expect("nothing stopped");
        }
        assert_whole(&stage, contents, &what);
        assert_eq!(find_damage(&stage), [], "{what}");
        stage.put(contents, &body(contents, 100));
        stage.settle_durably();
        stage.restart();
        assert_whole(&stage, contents + 1, &what);
    }
}

// If this fails, a repair writes over what is appended, or cut off, meanwhile; or a replica stops
// because a record at its end cannot be mended yet.
#[test]
fn a_page_is_written_whole_only_when_all_of_it_is_committed() {
    let mut stage = Stage::new();
    (0..5).for_each(|n| drop(stage.put(n, &body(n, 10_000))));
    stage.put(5, &body(5, 100));
    stage.settle_durably();
    // Its record begins in the page of the one before, and ends in another.
    stage.put(6, &body(6, 10_000));
    stage.put(7, &body(7, 10_000));
    stage.sync();
    let copy = stage.on(stage.disk.kill());
    stage.break_sector(lsn(5), 0);
    assert!(matches!(stage.read(5), Err(ReadError::Damaged { .. })));
    repair(&mut stage, &copy, lsn(5)).expect_err("its page may be cut off");
    stage.store.check().expect("nothing stopped");
    stage.settle_durably();
    repair(&mut stage, &copy, lsn(5)).expect("all of its page is committed");
    assert_eq!(stage.read(5).expect("mended"), body(5, 100));
}

// If this fails, a disk that cannot write one page stops a replica that could go on; or one that may
// have lost what was appended is trusted with the next upload.
#[test]
fn a_repair_that_fails_stops_the_log_only_where_it_may_have_harmed_it() {
    for (operation, is_full, stops) in [
        (Operation::Write, true, false),
        (Operation::Write, false, false),
        (Operation::Sync, true, false),
        (Operation::Sync, false, true),
    ] {
        let what = format!("{operation:?}, in a full segment: {is_full}");
        let (mut stage, contents) = sealed(2);
        let copy = stage.on(stage.disk.kill());
        let n = if is_full { 3 } else { contents - 1 };
        stage.flip(lsn(n), 700);
        let record = copy.store.reader().record(lsn(n)).expect("intact");
        let chore = stage.store.repair(record).expect("nothing is under way");
        // The second time, whole pages are written.
        stage.disk.fail(operation, 0, Failure::Io);
        stage.disk.fail(operation, 0, Failure::Io);
        carry_out(&mut stage, vec![chore]).expect_err("the disk failed");
        assert_eq!(stage.store.check().is_err(), stops, "{what}");
        if stops {
            continue;
        }
        match stage.read(n) {
            Ok(read) => assert_eq!(read, body(n, 10_000), "{what}"),
            Err(error) => assert!(matches!(error, ReadError::Damaged { .. }), "{what}"),
        }
        let mut attempts = (0..2).map(|_| repair(&mut stage, &copy, lsn(n)));
        assert!(attempts.any(|attempt| attempt.is_ok()), "{what}");
        assert_eq!(stage.read(n).expect("mended"), body(n, 10_000), "{what}");
        let mut after = stage.on(stage.disk.crash(7));
        assert_eq!(
            after.read(n).expect("it was durable"),
            body(n, 10_000),
            "{what}"
        );
        after.upkeep();
    }
}
