//! How long deletes are kept, and what must not come back when they go.

use wire::limits::DELETE_RECORD_LIFE_MS;
use wire::{Lsn, Position};

use super::{generations, in_first, sealed};
use crate::stage::{NOW_MS, Stage, body, dir, id};
use crate::{Describe, ReadError};

fn horizon(stage: &Stage) -> Lsn {
    stage.store.positions().horizon
}

/// Gives full segments their index files, and rewrites none.
fn seal_all(stage: &mut Stage) {
    for _ in 0..20 {
        for chore in stage.store.chores(stage.now_ms) {
            let done = chore.run(&mut |_| false);
            stage.store.finish(done).expect("a healthy disk");
        }
    }
}

/// Contents that were all deleted, puts and deletes in full segments; the number of contents, and
/// the lsn of the last delete in a full segment.
fn all_deleted() -> (Stage, u64, Lsn) {
    let mut stage = Stage::new();
    let contents = 200;
    for n in 0..contents {
        stage.put(n, &body(n, 3_000));
        stage.delete(n);
        if n % 10 == 0 {
            stage.settle();
        }
    }
    stage.settle_durably();
    stage.upkeep();
    let last = stage.store.log.active().segment.name.first.previous();
    (stage, contents, last)
}

// If this fails, a retry that comes within a week stores a deleted content again.
#[test]
fn a_delete_is_kept_for_seven_days() {
    let (mut stage, contents, _) = all_deleted();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS - 1;
    stage.upkeep();
    assert_eq!(horizon(&stage), Lsn::ZERO);
    for n in 0..contents {
        assert!(matches!(stage.read(n), Err(ReadError::Deleted)), "{n}");
    }
}

// If this fails, deletes take space for ever, or a catalog that missed them is not told so.
#[test]
fn after_seven_days_a_delete_goes_and_the_horizon_rises_to_it() {
    let (mut stage, contents, last) = all_deleted();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    let before = stage.store.usage();
    stage.upkeep();
    let risen = horizon(&stage);
    assert!(risen > Lsn::ZERO && risen <= last, "{risen}, {last}");
    for _ in 0..2 {
        // A copy that still has the contents must not be told that it needs none of this.
        let is_dropped = |lsn| {
            stage
                .store
                .reader()
                .is_dropped(lsn)
                .expect("a healthy disk")
        };
        assert!(!(1..=risen.0).any(|lsn| is_dropped(Lsn(lsn))));
        for n in 0..contents {
            let read = stage.read(n).expect_err("it is gone");
            assert!(matches!(read, ReadError::NotFound | ReadError::Deleted));
            // The delete of content n is the record 2·n + 3.
            let dropped = Lsn(2 * n + 3) <= risen;
            assert_eq!(matches!(read, ReadError::NotFound), dropped, "{n}");
        }
        assert_eq!(stage.store.usage().contents, 0);
        assert!(stage.store.usage().space.live < before.space.live);
        stage.assert_accounts();
        stage.settle_durably();
        stage.restart();
        assert_eq!(horizon(&stage), risen, "a restart knows it");
    }
}

// If this fails, a restart brings contents back that were deleted a week ago.
#[test]
fn a_delete_outlives_the_record_that_it_ended() {
    let (mut stage, contents) = sealed(3);
    // A few of the first segment, which stays as it is; their deletes fill the log's end.
    let deleted: Vec<u64> = (0..in_first(&stage)).step_by(6).collect();
    for n in &deleted {
        stage.delete(*n);
    }
    let filled = stage.fill(contents, 5);
    for n in contents..filled {
        stage.delete(n);
    }
    let end = stage.fill(filled, 6);
    stage.upkeep();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    assert_eq!(generations(&stage)[0], 0, "the first is as it was");
    stage.settle_durably();
    stage.restart();
    for n in &deleted {
        assert!(matches!(stage.read(*n), Err(ReadError::Deleted)), "{n}");
    }
    for n in contents..filled {
        assert!(stage.read(n).is_err(), "{n} came back");
    }
    for n in filled..end {
        assert_eq!(stage.read(n).expect("live"), body(n, 10_000));
    }
    stage.assert_accounts();
}

// If this fails, contents that were deleted a week ago come back on a disk that was damaged where one
// of them, or another one, was stored.
#[test]
fn a_delete_outlives_what_damage_hides() {
    for damaged in [Lsn(3), Lsn(9)] {
        let mut stage = Stage::new();
        let contents = stage.fill(0, 2);
        // Content n is the record n + 2.
        let deleted = [1, 5, 7, 12];
        for n in deleted {
            // That the content is damaged here is no answer to a delete.
            if Lsn(n + 2) != damaged {
                stage.delete(n);
            }
        }
        let end = stage.fill(contents, 4);
        for n in contents..end {
            stage.delete(n);
        }
        stage.fill(end, 5);
        stage.flip(damaged, 24);
        // The first segment gets no index file, so it is read record by record.
        stage.restart();
        stage.upkeep();
        stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
        for _ in 0..20 {
            let chores = stage.store.chores(stage.now_ms);
            for chore in chores {
                let done = chore.run(&mut |_| true);
                stage.store.finish(done).expect("a healthy disk");
            }
            stage.now_ms += 10_000;
        }
        let rewritten = generations(&stage)[1];
        assert!(
            rewritten >= 2,
            "the deletes were looked at when they were old"
        );
        stage.settle_durably();
        stage.restart();
        for n in deleted {
            assert!(
                stage.read(n).is_err(),
                "{n} came back, damaged was {damaged}"
            );
        }
    }
}

// If this fails, a node rewrites the same segment again and again, and does nothing else.
#[test]
fn deletes_that_must_stay_do_not_make_their_segment_worth_rewriting() {
    let mut stage = Stage::new();
    // A quarter of the first segments' contents are deleted: not enough to rewrite those.
    let contents = stage.fill(0, 8);
    for n in (0..contents).filter(|n| n % 4 == 0) {
        stage.delete(n);
    }
    // The deletes' own segment is filled up with contents that stay in it as a small share.
    let rest = stage.store.log.active().segment.name;
    let mut n = contents;
    while stage.store.log.active().segment.name == rest {
        stage.put(n, &body(n, 3_000));
        stage.delete(n);
        stage.settle();
        n += 1;
    }
    stage.settle_durably();
    stage.upkeep();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    let generations = generations(&stage);
    stage.upkeep();
    assert_eq!(
        generations,
        self::generations(&stage),
        "nothing is left to do"
    );
    for n in (0..contents).filter(|n| n % 4 == 0) {
        assert!(matches!(stage.read(n), Err(ReadError::Deleted)), "{n}");
    }
    stage.assert_accounts();
}

// If this fails, an update that was itself replaced is dropped, and a restart serves the version
// before it.
#[test]
fn a_dead_update_outlives_the_version_that_it_replaced() {
    let (mut stage, contents) = sealed(2);
    // Updates of the first segment's contents, and their deletes, in later segments.
    let updated: Vec<u64> = (0..in_first(&stage)).step_by(5).collect();
    for n in &updated {
        stage.update(*n, &body(1_000 + n, 9_000));
    }
    let end = stage.fill(contents, 4);
    for n in &updated {
        stage.delete(*n);
    }
    for n in contents..end {
        stage.delete(n);
    }
    stage.fill(end, 5);
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    stage.settle_durably();
    for _ in 0..2 {
        for n in &updated {
            assert!(matches!(stage.read(*n), Err(ReadError::Deleted)), "{n}");
        }
        stage.assert_accounts();
        stage.restart();
    }
}

// If this fails, a chain of changes is cut at one whose predecessor lies in the same segment, and with
// the delete at its end gone, a restart serves what was deleted.
#[test]
fn a_dead_describe_outlives_the_version_beside_it() {
    let mut stage = Stage::new();
    let describe = |stage: &mut Stage, name: &str| {
        let change = Describe {
            filename: Some(name.to_owned()),
            ..Describe::default()
        };
        let described = stage.store.describe(id(0), change, None, stage.now_ms);
        described.expect("it is live");
        stage.settle();
    };
    stage.put(0, &body(0, 3_000));
    describe(&mut stage, "first");
    let in_second = stage.fill(1, 2);
    describe(&mut stage, "second");
    let in_third = stage.fill(in_second, 3);
    // Each segment in turn has much to give back, but for the first one at the end.
    let mut dead = (1..in_second).filter(|n| n % 2 == 0);
    dead.by_ref().for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    stage.upkeep();
    assert_eq!(generations(&stage)[0], 1, "the first is rewritten");
    stage.delete(0);
    (in_second..in_third).for_each(|n| drop(stage.delete(n)));
    let end = stage.fill(in_third, 5);
    stage.upkeep();
    (in_third..end).for_each(|n| drop(stage.delete(n)));
    stage.fill(end, 8);
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    stage.settle_durably();
    for _ in 0..2 {
        assert!(stage.read(0).is_err(), "is deleted");
        stage.restart();
    }
}

// If this fails, a follower that was away during an update serves what was deleted, once the delete has
// expired: it was not sent the update, which leads from the delete to the version that it has.
#[test]
fn a_delete_stays_where_what_it_replaced_never_came() {
    let mut leader = Stage::new();
    leader.put(0, &body(0, 3_000));
    let in_second = leader.fill(1, 2);
    let mut follower = leader.on(leader.disk.kill());
    leader.update(0, &body(500, 3_000));
    leader.delete(0);
    leader.settle_durably();
    let mut last = follower.store.positions().appended.lsn;
    let mut cursor = leader.store.reader().missing(last);
    while let Some(record) = cursor.next_needed().expect("is intact") {
        let lsn = record.head.lsn;
        let taken = follower.store.replicate(record, last.next());
        taken.expect("in order");
        last = lsn;
    }
    follower.sync();
    follower.store.commit_to(last, &mut Vec::new());
    assert!(follower.read(0).is_err());
    follower.lead();
    // The segment of the delete has much to give back, that of the content has not.
    let in_third = follower.fill(in_second, 3);
    (in_second..in_third).for_each(|n| drop(follower.delete(n)));
    follower.fill(in_third, 6);
    follower.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    follower.upkeep();
    follower.settle_durably();
    for _ in 0..2 {
        assert!(follower.read(0).is_err(), "is deleted");
        follower.restart();
    }
    assert!(follower.read(0).is_err(), "is deleted");
}

// If this fails, an update that was damaged here, and given up because an intact replica has dropped it,
// takes the link along from the delete to the version before it: that one comes back.
#[test]
fn a_delete_outlives_what_is_behind_a_record_that_was_given_up() {
    let (mut stage, contents) = sealed(2);
    stage.update(0, &body(500, 9_000));
    let updated = stage.store.positions().appended.lsn;
    let end = stage.fill(contents, 4);
    stage.delete(0);
    (contents..end).for_each(|n| drop(stage.delete(n)));
    let filled = stage.fill(end, 6);
    (end..filled).for_each(|n| drop(stage.delete(n)));
    stage.fill(filled, 8);
    seal_all(&mut stage);
    stage.flip(updated, 24);
    stage.store.settle(updated);
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    let generations = generations(&stage);
    assert!(generations[0] == 0 && generations[1] > 0, "{generations:?}");
    stage.settle_durably();
    stage.restart();
    assert_eq!(stage.store.usage().damaged, 0, "it is left out");
    assert!(matches!(stage.read(0), Err(ReadError::Deleted)));
}

// If this fails, a follower that is behind the horizon is told that it is complete.
#[test]
fn the_horizon_stands_in_the_headers_of_all_later_segments() {
    let (mut stage, _, _) = all_deleted();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    let risen = horizon(&stage);
    let segments = stage.store.log.segments.len();
    stage.now_ms = NOW_MS;
    stage.fill(5_000, segments + 1);
    let state = stage.store.log.active();
    let page = crate::stage::contents(&stage.disk, &state.segment.name.path(dir()));
    let header = crate::segment::header::SegmentHeader::decode(&page[..4096], crate::stage::LOG);
    assert_eq!(header.expect("intact").horizon, risen);
}

// If this fails, a catalog at a position that was compacted believes that the shard was replaced.
#[test]
fn epochs_are_never_compacted() {
    let mut stage = Stage::new();
    let mut n = 0;
    for _ in 0..20 {
        stage.lead();
        for _ in 0..10 {
            stage.put(n, &body(n, 5_000));
            stage.delete(n);
            n += 1;
        }
    }
    stage.settle_durably();
    let epochs = stage.store.epochs().to_vec();
    let positions: Vec<Position> = epochs
        .iter()
        .map(|start| Position {
            epoch: start.epoch,
            lsn: start.first,
        })
        .collect();
    stage.now_ms = NOW_MS + DELETE_RECORD_LIFE_MS;
    stage.upkeep();
    assert!(stage.store.usage().space.compacted > 500_000);
    for _ in 0..2 {
        assert_eq!(stage.store.epochs(), epochs);
        for position in &positions {
            assert!(stage.store.contains(*position), "{position}");
        }
        stage.settle_durably();
        stage.restart();
    }
}
