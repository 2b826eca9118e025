//! Walks over the log from any position, before and after it was compacted.

use wire::Lsn;

use super::{compacted, half_deleted};
use crate::disk::simulated::{Failure, Operation};
use crate::stage::{Stage, body};
use crate::{Change, Cursor, How, ReadError};

/// The lsns that a cursor still gives; what it covers only grows, and is never beyond the next.
fn rest(cursor: &mut Cursor) -> Vec<u64> {
    let mut lsns = Vec::new();
    let mut covered = cursor.covered();
    while let Some(committed) = cursor.next_change().expect("healthy") {
        let lsn = committed.position.lsn;
        assert!(lsn > covered, "{lsn} was covered by {covered}");
        assert_eq!(cursor.covered(), lsn);
        covered = lsn;
        lsns.push(lsn.0);
    }
    assert!(cursor.covered() >= covered);
    lsns
}

// If this fails, the catalog misses changes, or is told of them twice.
#[test]
fn a_cursor_from_any_lsn_gives_all_that_follow() {
    let (stage, _) = half_deleted();
    let end = stage.store.positions().committed.0;
    for after in 0..=end + 2 {
        let mut cursor = stage.store.reader().cursor(Lsn(after));
        assert_eq!(rest(&mut cursor), (after + 1..=end).collect::<Vec<u64>>());
        assert_eq!(cursor.covered(), Lsn(after.max(end)));
    }
}

// If this fails, a position of the catalog in a compacted stretch leads nowhere.
#[test]
fn a_cursor_covers_what_was_compacted() {
    let (stage, _) = compacted();
    let end = stage.store.positions().committed.0;
    let there = stage.lsns();
    assert!((there.len() as u64) < end, "something was compacted");
    for after in 0..=end {
        let mut cursor = stage.store.reader().cursor(Lsn(after));
        let expected: Vec<u64> = there.iter().copied().filter(|lsn| *lsn > after).collect();
        assert_eq!(rest(&mut cursor), expected, "after {after}");
        assert_eq!(cursor.covered(), Lsn(end), "after {after}");
    }
}

// If this fails, the catalog learns of contents that a change of leaders takes back.
#[test]
fn changes_end_at_the_commit_and_records_at_what_is_written() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 10));
    stage.settle();
    stage.put(2, &body(2, 10));
    stage.sync();
    stage.put(3, &body(3, 10));
    let reader = stage.store.reader();
    assert_eq!(rest(&mut reader.cursor(Lsn::ZERO)), [1, 2]);
    assert_eq!(rest(&mut reader.records(Lsn::ZERO)), [1, 2, 3]);
    let job = stage.store.flush().expect("healthy");
    assert!(job.is_some(), "the buffer is written");
    assert_eq!(rest(&mut reader.records(Lsn::ZERO)), [1, 2, 3, 4]);
}

// If this fails, a lister or a follower must begin anew after each batch.
#[test]
fn a_cursor_at_the_end_goes_on_when_there_is_more() {
    let mut stage = Stage::new();
    let mut changes = stage.store.reader().cursor(Lsn::ZERO);
    let mut records = stage.store.reader().records(Lsn::ZERO);
    let mut seen = (Vec::new(), Vec::new());
    let mut n = 0;
    while stage.store.log.segments.len() < 3 {
        n += 1;
        stage.put(n, &body(n, 10_000));
        if n % 3 == 0 {
            stage.settle();
        }
        seen.0.extend(rest(&mut changes));
        seen.1.extend(rest(&mut records));
    }
    stage.settle();
    seen.0.extend(rest(&mut changes));
    seen.1.extend(rest(&mut records));
    let all: Vec<u64> = (1..=n + 1).collect();
    assert_eq!(seen, (all.clone(), all), "over the borders of segments");
}

// If this fails, a walk that is under way misses changes when the log is compacted under it.
#[test]
fn a_cursor_goes_on_over_a_compaction() {
    for read_before in [0, 1, 10, 30, 60] {
        let (mut stage, _) = half_deleted();
        let before = stage.lsns();
        let mut cursor = stage.store.reader().cursor(Lsn::ZERO);
        for _ in 0..read_before {
            cursor.next_change().expect("healthy").expect("more");
        }
        let covered = cursor.covered().0;
        stage.upkeep();
        let after = stage.lsns();
        let got = rest(&mut cursor);
        for lsn in after.iter().filter(|lsn| **lsn > covered) {
            assert!(got.contains(lsn), "{lsn} is missed");
        }
        assert!(got.iter().all(|lsn| before.contains(lsn)));
        assert_eq!(cursor.covered(), stage.store.positions().committed);
    }
}

// If this fails, a follower is sent a payload that is given back, or never gets past it.
#[test]
fn a_record_whose_payload_is_gone_is_told_and_passed() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    let large = stage.put(2, &body(2, 100_000)).lsn;
    stage.put(3, &body(3, 100));
    stage.delete(2);
    stage.settle();
    stage.upkeep();
    assert!(stage.store.usage().space.holes > 0);
    let mut cursor = stage.store.reader().records(Lsn::ZERO);
    let mut lsns = Vec::new();
    let mut gone = Vec::new();
    loop {
        match cursor.next_record() {
            Ok(Some(record)) => lsns.push(record.head.lsn),
            Ok(None) => break,
            Err(ReadError::Damaged { .. }) => gone.push(cursor.covered()),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(gone, [large]);
    assert_eq!(lsns, [Lsn(1), Lsn(2), Lsn(4), Lsn(5)]);
    let mut changes = stage.store.reader().cursor(Lsn::ZERO);
    assert_eq!(rest(&mut changes), [1, 2, 3, 4, 5], "heads are all there");
}

// If this fails, one damaged record ends the listing of a shard.
#[test]
fn a_damaged_record_is_passed() {
    let mut stage = Stage::new();
    for n in 0..6 {
        stage.put(n, &body(n, 100));
    }
    stage.settle_durably();
    stage.flip(Lsn(3), 24);
    stage.flip(Lsn(4), 24);
    for _ in 0..2 {
        let mut cursor = stage.store.reader().cursor(Lsn::ZERO);
        assert_eq!(rest(&mut cursor), [1, 2, 5, 6, 7]);
        assert_eq!(cursor.covered(), Lsn(7));
        assert!(cursor.passed_damage().is_some(), "it says so");
        let mut behind = stage.store.reader().cursor(Lsn(4));
        assert_eq!(rest(&mut behind), [5, 6, 7]);
        assert!(behind.passed_damage().is_none(), "nothing of it is missing");
        stage.restart();
    }
}

/// The lsns that a follower is sent after an lsn, and whether it is told that there is damage then.
fn sent(stage: &Stage, after: u64) -> (Vec<u64>, bool) {
    let mut cursor = stage.store.reader().missing(Lsn(after));
    let mut lsns = Vec::new();
    loop {
        match cursor.next_needed() {
            Ok(Some(record)) => lsns.push(record.head.lsn.0),
            Ok(None) => return (lsns, false),
            Err(ReadError::Damaged { .. }) => return (lsns, true),
            Err(error) => panic!("{error}"),
        }
    }
}

// If this fails, a follower never learns of what is damaged at its leader, and acknowledges all the
// same that it has everything.
#[test]
fn a_follower_is_sent_nothing_behind_a_damaged_head() {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 3);
    let firsts: Vec<u64> = {
        let states = stage.store.log.segments.iter();
        states.map(|state| state.segment.name.first.0).collect()
    };
    let (last, end) = (firsts[1] - 1, contents + 1);
    assert_eq!(sent(&stage, 0), ((1..=end).collect(), false));
    // In the middle of a segment, at its end, and at the end of the log.
    for damaged in [last - 2, last, end] {
        let whole = stage.on(stage.disk.kill());
        whole.flip(Lsn(damaged), 24);
        let mut restarted = whole.on(whole.disk.kill());
        for stage in [&whole, &restarted] {
            let before = (1..damaged).collect();
            assert_eq!(sent(stage, 0), (before, true), "{damaged}");
            let behind: Vec<u64> = (damaged + 1..=end).collect();
            assert_eq!(sent(stage, damaged), (behind, false), "{damaged}");
        }
        // Nor when more follows.
        restarted.lead();
        restarted.now_ms += 1;
        restarted.append(&body(7, 100));
        restarted.settle();
        assert!(sent(&restarted, 0).1, "{damaged}");
        let behind = vec![end + 1, end + 2];
        assert_eq!(sent(&restarted, end), (behind, false), "{damaged}");
    }
}

// If this fails, a replica with one damaged record far behind lets nobody catch up, who lacks only
// what came last.
#[test]
fn damage_before_what_a_follower_has_keeps_it_from_nothing() {
    let mut stage = Stage::new();
    for n in 0..9 {
        stage.put(n, &body(n, 100));
    }
    stage.settle_durably();
    stage.flip(Lsn(3), 24);
    stage.flip(Lsn(4), 24);
    for after in 4..=10 {
        assert_eq!(sent(&stage, after), ((after + 1..=10).collect(), false));
    }
    for after in 0..4 {
        let before = (after + 1..3).collect();
        assert_eq!(sent(&stage, after), (before, true));
    }
}

// If this fails, the operation log shows other changes than were made.
#[test]
fn changes_read_from_the_log_are_those_told_at_the_commit() {
    let mut stage = Stage::without_epoch();
    stage.begin(1);
    stage.put(1, &body(1, 100));
    stage.upload(2, &body(2, 100_000), 70_000);
    stage.update(1, &body(3, 10));
    let change = crate::Describe {
        content_type: Some("text/plain".to_owned()),
        ..crate::Describe::default()
    };
    let described = stage.store.describe(crate::stage::id(1), change, None, 7);
    described.expect("it is live");
    stage.delete(2);
    let open = stage.begin_upload(3, &body(4, 10), 10, How::Create);
    stage.store.abort(open.expect("new"), 8).expect("room");
    let told = stage.settle();
    assert_eq!(told.len(), 10);
    let mut cursor = stage.store.reader().cursor(Lsn::ZERO);
    for expected in told {
        let read = cursor.next_change().expect("healthy");
        assert_eq!(read, Some(expected));
    }
    assert_eq!(cursor.next_change().expect("healthy"), None);
}

// If this fails, a new replica is sent other records than the log has.
#[test]
fn records_of_a_compacted_log_are_whole() {
    let (stage, contents) = compacted();
    let mut cursor = stage.store.reader().records(Lsn::ZERO);
    let mut puts = 0;
    while let Some(record) = cursor.next_record().expect("healthy") {
        if record.head.kind == crate::Kind::Put && record.head.supersedes == Lsn::ZERO {
            puts += 1;
        }
        let copy = crate::Record::from_bytes(&record.to_bytes(), crate::stage::LOG);
        assert_eq!(copy.as_ref(), Ok(&record));
    }
    assert!(puts >= contents / 2);
    let epoch = stage.store.reader().cursor(Lsn::ZERO).next_change();
    let first = epoch.expect("healthy").expect("it is never compacted");
    assert_eq!(first.change, Change::Epoch);
}

// If this fails, who asks for a record of a log that a failing disk cut in part never gets an answer, and
// all logs of the node wait with it.
#[test]
fn a_cursor_ends_where_a_cut_that_failed_left_nothing() {
    for operation in [Operation::Name, Operation::Sync, Operation::SyncDir] {
        for successes in 0..4 {
            let mut stage = Stage::new();
            let (mut first, mut end) = (Lsn::ZERO, Lsn::ZERO);
            while stage.store.log.segments.len() < 4 {
                if stage.store.log.segments.len() == 1 {
                    first = end;
                }
                end = stage.put(end.0 + 100, &body(end.0, 20_000)).lsn;
            }
            stage.sync();
            stage.disk.fail(operation, successes, Failure::Io);
            let cut = stage.store.truncate_after(first);
            for after in 0..=end.0 {
                let mut records = stage.store.reader().records(Lsn(after));
                while let Ok(Some(record)) = records.next_record() {
                    assert!(record.head.lsn.0 > after);
                }
            }
            drop(cut);
        }
    }
}
