//! A record below the commit of which not even the header can be read may be anybody's: no content that
//! it may have been about is served as it was before it.

use wire::Lsn;

use super::{assert_damaged, assert_reads};
use crate::stage::{Stage, UPDATE, body, id, new_content};
use crate::{ChangeError, Damage, Describe, How, NewContent, Outcome, Payload, ReadError};

/// Longer than a page.
const BYTES: usize = 9_000;

/// The content in front of what is lost: its end may lie in the same sector.
const BEFORE: u64 = 3;

/// What happens to content 1 after it was stored, the last of which is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    Update,
    Delete,
    /// An update, and a describe behind it, which can be read.
    Described,
}

/// How its header becomes unreadable.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Sector,
    /// Nothing tells that it is a header.
    Bytes,
}

/// Puts content 1. Each head of it is longer than a page, so that a sector that cannot be read hides no
/// other record's.
fn put_long(stage: &mut Stage, bytes: usize, how: How) -> Outcome {
    let bytes = body(bytes as u64, bytes);
    let new = NewContent {
        attributes: Some(format!("{{\"a\":\"{}\"}}", "x".repeat(6_000))),
        ..new_content(&bytes)
    };
    let payload = Payload::new(bytes);
    let outcome = stage.store.put(id(1), new, how, payload, stage.now_ms);
    outcome.expect("there is room")
}

/// A log without an index file, and the lsn of what is lost there.
fn changed(lost: Lost) -> (Stage, Lsn) {
    let mut stage = Stage::new();
    put_long(&mut stage, BYTES, How::Create);
    for n in [0, 2, BEFORE] {
        stage.put(n, &body(n, BYTES));
    }
    let lsn = match lost {
        Lost::Delete => stage.delete(1).lsn,
        Lost::Update | Lost::Described => put_long(&mut stage, 2 * BYTES, UPDATE).lsn,
    };
    if lost == Lost::Described {
        let change = Describe {
            filename: Some("another name".to_owned()),
            ..Describe::default()
        };
        let described = stage.store.describe(id(1), change, None, stage.now_ms);
        described.expect("it is live");
    }
    stage.put(4, &body(4, BYTES));
    stage.settle_durably();
    (stage, lsn)
}

fn break_header(stage: &Stage, lsn: Lsn, broken: Broken) {
    match broken {
        Broken::Sector => stage.break_sector(lsn, 0),
        Broken::Bytes => {
            let (path, entry) = stage.place_of(lsn).expect("it is there");
            for at in [0, 9] {
                let flipped = stage.disk.flip_bit(&path, entry.start + at, 3);
                flipped.expect("it is durable");
            }
        }
    }
}

fn repair(stage: &mut Stage, copy: &Stage, lsn: Lsn) {
    let record = copy.store.reader().record(lsn).expect("intact");
    let repair = stage.store.repair(record).expect("it is committed");
    let done = repair.run(&mut |_| true);
    stage.store.finish(done).expect("it is written");
}

fn cases() -> impl Iterator<Item = (Lost, Broken)> {
    let lost = [Lost::Update, Lost::Delete, Lost::Described];
    lost.into_iter()
        .flat_map(|lost| [Broken::Sector, Broken::Bytes].map(|broken| (lost, broken)))
}

// If this fails, one bad sector has an old version served as the current one, or its bytes under the next
// one's hash, or brings a deleted content back.
#[test]
fn what_an_unreadable_header_may_have_superseded_is_not_served_until_it_was_repaired() {
    for (lost, broken) in cases() {
        let (mut stage, lsn) = changed(lost);
        let copy = stage.on(stage.disk.kill());
        break_header(&stage, lsn, broken);
        assert_eq!(stage.restart().damaged, 1, "{lost:?}, {broken:?}");
        for n in 0..3 {
            assert_damaged(&stage, n);
            let content = stage.store.reader().content(id(n));
            assert!(matches!(content, Err(ReadError::Damaged { .. })), "{n}");
        }
        assert_reads(&stage, [4], BYTES);
        for lsn in [lsn, lsn.previous()] {
            repair(&mut stage, &copy, lsn);
        }
        assert_reads(&stage, [0, 2, BEFORE, 4], BYTES);
        match stage.read(1) {
            Err(error) => assert!(matches!(error, ReadError::Deleted) && lost == Lost::Delete),
            Ok(bytes) => {
                assert!(bytes == body(2 * BYTES as u64, 2 * BYTES) && lost != Lost::Delete)
            }
        }
        assert_eq!(stage.store.reader().damage(), Damage::default());
    }
}

// If this fails, a leader decides on a version that was replaced, or on a content that was deleted.
#[test]
fn nothing_is_decided_on_what_a_lost_record_may_have_superseded() {
    for (lost, broken) in cases() {
        let (mut stage, lsn) = changed(lost);
        break_header(&stage, lsn, broken);
        stage.restart();
        stage.begin(2);
        let update = stage.try_put(1, &body(8, 700), UPDATE);
        assert!(matches!(update, Err(ChangeError::Damaged)), "{lost:?}");
        let again = stage.try_put(1, &body(BYTES as u64, BYTES), How::Create);
        assert!(matches!(again, Err(ChangeError::Damaged)), "{lost:?}");
        stage.update(4, &body(5, BYTES));
    }
}

// If this fails, a copy with a bad sector answers as damaged for ever, though nobody has the record any more.
#[test]
fn what_is_given_up_holds_nothing_back() {
    let (mut stage, lsn) = changed(Lost::Update);
    stage.update(1, &body(7, BYTES));
    stage.delete(2);
    stage.settle_durably();
    stage.break_sector(lsn, 0);
    stage.restart();
    assert_eq!(stage.read(1).expect("it came later"), body(7, BYTES));
    assert!(matches!(stage.read(2), Err(ReadError::Deleted)));
    assert_damaged(&stage, 0);
    stage.store.settle(lsn);
    assert_reads(&stage, [0, 4], BYTES);
}

// If this fails, one flipped bit in front of what was compacted costs every older content.
#[test]
fn a_header_that_still_tells_whose_it_is_costs_that_content_alone() {
    for at in [0, 9, 16, 24, 90, 125] {
        let (mut stage, lsn) = changed(Lost::Update);
        stage.flip(lsn, at);
        stage.restart();
        assert_damaged(&stage, 1);
        assert_reads(&stage, [0, 2, 4], BYTES);
    }
}
