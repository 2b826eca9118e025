//! A deleted content does not come back; its record lives for seven days.

use std::collections::BTreeSet;

use store::{Change, ChangeError, How, ReadError};
use wire::Lsn;

use crate::stage::{DAY_MS, Stage, body, segments, stage};

/// Fills segments with small contents and deletes all but every tenth; returns the ids.
fn mostly_deleted(stage: &mut Stage) -> Vec<wire::ContentId> {
    let mut ids = Vec::new();
    while segments(&stage.disk).len() < 3 {
        for _ in 0..20 {
            ids.push(stage.append(&body(ids.len() as u64, 1_000)).0);
        }
        stage.settle();
    }
    for (number, id) in ids.iter().enumerate() {
        if number % 10 != 0 {
            stage.delete(*id);
        }
    }
    stage.settle();
    // The deletes' own segment is sealed, too.
    let sealed = segments(&stage.disk).len();
    while segments(&stage.disk).len() <= sealed {
        stage.stored(&body(7, 60_000));
    }
    ids
}

// If this fails, a late retry of an upload, or a restored catalog, brings a deleted content back.
#[test]
fn delete_records_live_seven_days_and_then_the_horizon_rises() {
    let mut stage = stage();
    let ids = mostly_deleted(&mut stage);
    stage.upkeep();
    assert_eq!(
        stage.store.positions().horizon,
        Lsn::ZERO,
        "no delete was dropped"
    );
    stage.now_ms += 7 * DAY_MS - 1;
    stage.upkeep();
    assert_eq!(
        stage.store.positions().horizon,
        Lsn::ZERO,
        "not a millisecond too early"
    );
    assert!(matches!(stage.read(ids[1]), Err(ReadError::Deleted)));

    stage.now_ms += DAY_MS;
    stage.upkeep();
    let horizon = stage.store.positions().horizon;
    assert!(horizon > Lsn::ZERO && horizon <= stage.store.positions().committed);
    stage.restart();
    assert_eq!(
        stage.store.positions().horizon,
        horizon,
        "a restart does not forget it"
    );
    for (number, id) in ids.iter().enumerate() {
        match stage.read(*id) {
            Ok(bytes) => assert!(number % 10 == 0 && bytes == body(number as u64, 1_000)),
            Err(ReadError::NotFound | ReadError::Deleted) => assert_ne!(number % 10, 0),
            Err(error) => panic!("content {number} gives {error:?}"),
        }
    }
}

// If this fails, the retry of an upload that arrives after its delete makes the content again.
#[test]
fn a_deleted_id_is_never_used_again() {
    let mut stage = stage();
    let ids = mostly_deleted(&mut stage);
    let bytes = body(1, 1_000);
    for days in [0, 1, 6, 8, 30] {
        stage.now_ms += days * DAY_MS;
        stage.upkeep();
        let refused = stage.try_put(ids[1], &bytes, How::Create);
        let gone = matches!(
            refused,
            Err(ChangeError::Deleted | ChangeError::IdRefused(_))
        );
        assert!(gone, "after {days} more days: {refused:?}");
    }
}

// If this fails, a distributor misses deletes when the log was rewritten, or never gets to its end.
#[test]
fn a_walk_covers_what_was_compacted() {
    let mut stage = stage();
    let ids = mostly_deleted(&mut stage);
    let walk = |stage: &Stage| {
        let mut cursor = stage.store.reader().cursor(Lsn::ZERO);
        let (mut stored, mut deleted, mut last) = (BTreeSet::new(), BTreeSet::new(), Lsn::ZERO);
        while let Some(change) = cursor.next_change().expect("healthy") {
            assert!(change.position.lsn > last && cursor.covered() >= change.position.lsn);
            last = change.position.lsn;
            match change.change {
                Change::Stored(content) => assert!(stored.insert(content.id)),
                Change::Deleted { content, .. } => assert!(deleted.insert(content)),
                _ => {}
            }
        }
        assert_eq!(cursor.covered(), stage.store.positions().committed);
        (stored, deleted)
    };
    let (stored, deleted) = walk(&stage);
    assert!(stored.len() > ids.len());
    stage.upkeep();
    let (left, told) = walk(&stage);
    assert!(left.len() < stored.len(), "dead records were dropped");
    assert!(left.is_subset(&stored));
    assert_eq!(told, deleted, "every delete is still told");
    for (number, id) in ids.iter().enumerate() {
        assert!(
            number % 10 != 0 || left.contains(id),
            "live contents are told"
        );
    }
    // From the middle of what was compacted, too.
    let mut cursor = stage.store.reader().cursor(Lsn(17));
    let first = cursor
        .next_change()
        .expect("healthy")
        .expect("there is more");
    assert!(first.position.lsn > Lsn(17));
}

// If this fails, a node rewrites the same old deletes for ever, a week after many contents were
// deleted.
#[test]
fn old_deletes_that_must_stay_are_not_rewritten_again_and_again() {
    let mut stage = stage();
    let mut ids = Vec::new();
    while segments(&stage.disk).len() < 2 {
        ids.push(stage.append(&body(ids.len() as u64, 1_000)).0);
    }
    stage.settle();
    // Too few for the first segment to be rewritten: what they delete stays there.
    let deleted: Vec<_> = ids.iter().copied().step_by(6).collect();
    for id in &deleted {
        stage.delete(*id);
    }
    // The rest of their own segment goes: large payloads are given back.
    let mut large = Vec::new();
    while segments(&stage.disk).len() < 3 {
        large.push(stage.append(&body(1, 100_000)).0);
    }
    stage.settle();
    for id in large {
        stage.delete(id);
    }
    stage.settle();
    stage.upkeep();
    stage.now_ms += 8 * DAY_MS;
    stage.upkeep();
    for id in deleted {
        let read = stage.read(id);
        assert!(matches!(
            read,
            Err(ReadError::Deleted | ReadError::NotFound)
        ));
    }
}

// If this fails, a restart says that less is committed than was, when the last of it was dropped.
#[test]
fn a_commit_is_known_after_its_record_was_dropped() {
    let mut stage = stage();
    let ids: Vec<_> = (0..900)
        .map(|seed| stage.append(&body(seed, 500)).0)
        .collect();
    assert_eq!(segments(&stage.disk).len(), 1);
    for id in ids {
        stage.delete(id);
    }
    stage.settle();
    let committed = stage.store.positions().committed;
    stage.now_ms += 8 * DAY_MS;
    // Too large for what is left: the segment is full behind the last delete.
    stage.append(&body(1, 1_000_000));
    assert_eq!(segments(&stage.disk).len(), 2);
    stage.upkeep();
    assert_eq!(
        stage.store.positions().horizon,
        committed,
        "its last delete was dropped"
    );
    stage.restart();
    let positions = stage.store.positions();
    assert!(positions.committed >= committed, "{positions:?}");
}
