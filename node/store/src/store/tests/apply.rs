//! What a committed record does to the index and the counts, at commit and at a restart alike.

use wire::{Lsn, Position};

use crate::index::Place;
use crate::record::Kind;
use crate::stage::{NOW_MS, Stage, body, id};
use crate::{Change, Committed, Describe, ReadError};

/// What is done with a store.
type Step<'a> = &'a dyn Fn(&mut Stage);

fn rename(stage: &mut Stage, n: u64, name: &str) {
    let change = Describe {
        filename: Some(name.to_owned()),
        ..Describe::default()
    };
    let described = stage.store.describe(id(n), change, None, stage.now_ms);
    described.expect("it is live");
}

/// The kinds of the records that the index leads to.
fn indexed(stage: &Stage, n: u64) -> Vec<Kind> {
    let places = stage.store.shared.index.find(&id(n).bytes());
    let mut kinds: Vec<Kind> = places.iter().map(Place::kind).collect();
    kinds.sort();
    kinds
}

/// What was told of each committed record.
fn words(told: &[Committed]) -> Vec<String> {
    told.iter()
        .map(|committed| match &committed.change {
            Change::Stored(content) => format!("stored v{}", content.version),
            Change::Described(content) => format!("described {}", content.filename),
            Change::Deleted { version, .. } => format!("deleted v{version}"),
            Change::Epoch => "epoch".to_owned(),
            Change::Nothing => "nothing".to_owned(),
        })
        .collect()
}

/// Does the same after a restart as before it, which the log must bring about.
fn now_and_after_a_restart(stage: &mut Stage, check: impl Fn(&Stage)) {
    check(stage);
    stage.settle_durably();
    stage.restart();
    check(stage);
    stage.assert_accounts();
}

// If this fails, the catalog is told of other changes than were made, or twice, or not at all.
#[test]
fn every_record_is_told_once_and_in_order() {
    let mut stage = Stage::without_epoch();
    stage.begin(1);
    stage.put(1, &body(1, 10));
    stage.upload(2, &body(2, 100), 60);
    rename(&mut stage, 1, "b");
    stage.update(1, &body(3, 10));
    stage.delete(2);
    let told = stage.settle();
    assert_eq!(
        words(&told),
        [
            "epoch",
            "stored v1",
            "nothing",
            "nothing",
            "stored v1",
            "described b",
            "stored v2",
            "deleted v1"
        ]
    );
    for (committed, lsn) in told.iter().zip(1..) {
        assert_eq!(committed.position.lsn, Lsn(lsn));
        assert_eq!(committed.position.epoch.0, 1);
        assert_eq!(committed.time_ms, NOW_MS);
    }
    assert_eq!(stage.settle(), [], "not twice");
}

// If this fails, readers see what was not committed, or wait for what was.
#[test]
fn a_commit_goes_as_far_as_it_says() {
    let mut stage = Stage::new();
    for n in 1..5 {
        stage.put(n, &body(n, 10));
    }
    stage.sync();
    let mut told = Vec::new();
    stage.store.commit_to(Lsn(3), &mut told);
    assert_eq!(told.len(), 2);
    assert!(stage.read(2).is_ok());
    assert!(matches!(stage.read(3), Err(ReadError::NotFound)));
    stage.store.commit_to(Lsn(2), &mut told);
    assert_eq!(stage.store.positions().committed, Lsn(3), "it never falls");
    stage.store.commit_to(Lsn(5), &mut told);
    let lsns: Vec<u64> = told.iter().map(|told| told.position.lsn.0).collect();
    assert_eq!(lsns, [2, 3, 4, 5]);
}

// If this fails, a content is acknowledged that a power loss can take.
#[test]
#[should_panic(expected = "only synced records are committed")]
fn only_synced_records_are_committed() {
    let mut stage = Stage::new();
    let outcome = stage.put(1, &body(1, 10));
    stage.store.commit_to(outcome.lsn, &mut Vec::new());
}

// If this fails, an operator sees other numbers of contents than there are.
#[test]
fn contents_are_counted() {
    let mut stage = Stage::new();
    let steps: [(Step<'_>, u64); 8] = [
        (&|stage| drop(stage.put(1, &body(1, 10))), 1),
        (&|stage| drop(stage.upload(2, &body(2, 100), 60)), 2),
        (&|stage| drop(stage.update(1, &body(3, 10))), 2),
        (&|stage| rename(stage, 1, "b"), 2),
        (&|stage| drop(stage.put(3, &body(3, 10))), 3),
        (&|stage| drop(stage.delete(1)), 2),
        (&|stage| drop(stage.delete(1)), 2),
        (&|stage| drop(stage.delete(2)), 1),
    ];
    for (step, contents) in steps {
        step(&mut stage);
        stage.settle();
        now_and_after_a_restart(&mut stage, |stage| {
            assert_eq!(stage.store.usage().contents, contents);
        });
        let epoch = stage.store.positions().appended.epoch.0;
        stage.begin(epoch + 1);
    }
}

// If this fails, the index grows with every update, or loses what it should lead to.
#[test]
fn the_index_leads_to_the_data_and_the_last_describe() {
    let mut stage = Stage::new();
    let states: [(Step<'_>, &[Kind]); 7] = [
        (&|stage| drop(stage.put(1, &body(1, 10))), &[Kind::Put]),
        (&|stage| rename(stage, 1, "b"), &[Kind::Put, Kind::Describe]),
        (&|stage| rename(stage, 1, "c"), &[Kind::Put, Kind::Describe]),
        (&|stage| drop(stage.update(1, &body(2, 10))), &[Kind::Put]),
        (&|stage| rename(stage, 1, "d"), &[Kind::Put, Kind::Describe]),
        (&|stage| drop(stage.delete(1)), &[Kind::Delete]),
        (&|stage| drop(stage.delete(1)), &[Kind::Delete]),
    ];
    for (step, kinds) in states {
        step(&mut stage);
        stage.settle();
        now_and_after_a_restart(&mut stage, |stage| assert_eq!(indexed(stage, 1), kinds));
        let epoch = stage.store.positions().appended.epoch.0;
        stage.begin(epoch + 1);
    }
}

// If this fails, a content that was renamed has its old name again after a restart.
#[test]
fn the_last_describe_counts() {
    let mut stage = Stage::new();
    stage.upload(1, &body(1, 100_000), 70_000);
    for name in ["b", "c", "d"] {
        rename(&mut stage, 1, name);
    }
    stage.settle();
    now_and_after_a_restart(&mut stage, |stage| {
        let content = stage.store.reader().content(id(1)).expect("live");
        assert_eq!((content.filename.as_str(), content.version), ("d", 1));
        assert_eq!(stage.read(1).expect("live"), body(1, 100_000));
    });
}

// If this fails, the space of superseded records never comes back, or that of live ones does.
#[test]
fn what_is_superseded_is_dead_and_nothing_else() {
    let mut stage = Stage::new();
    let dead = |stage: &Stage| stage.store.usage().space.dead;
    let bytes_of = |stage: &Stage, lsn| stage.place_of(lsn).expect("written").1.bytes();
    let put = stage.put(1, &body(1, 1_000)).lsn;
    rename(&mut stage, 1, "b");
    stage.settle();
    assert_eq!(dead(&stage), 0, "a describe supersedes no data");
    rename(&mut stage, 1, "c");
    stage.settle();
    let mut expected = bytes_of(&stage, put.next());
    assert_eq!(dead(&stage), expected, "the first describe");
    stage.update(1, &body(2, 500));
    assert_eq!(dead(&stage), expected, "nothing dies before the commit");
    stage.settle();
    expected += bytes_of(&stage, put) + bytes_of(&stage, Lsn(put.0 + 2));
    now_and_after_a_restart(&mut stage, |stage| assert_eq!(dead(stage), expected));
    stage.begin(2);
    let update = Lsn(put.0 + 3);
    expected += bytes_of(&stage, update);
    stage.delete(1);
    stage.settle();
    now_and_after_a_restart(&mut stage, |stage| assert_eq!(dead(stage), expected));
}

// If this fails, the space of a large content comes back in part only.
#[test]
fn the_chunks_of_a_superseded_content_are_dead() {
    let mut stage = Stage::new();
    let first = stage.upload(1, &body(1, 250_000), 100_000);
    stage.settle();
    let all: u64 = (2..=first.lsn.0)
        .map(|lsn| stage.place_of(Lsn(lsn)).expect("written").1.bytes())
        .sum();
    let second = stage.begin_upload(1, &body(2, 90_000), 100_000, crate::stage::UPDATE);
    let second = second.expect("live");
    stage.settle();
    assert_eq!(stage.store.usage().space.dead, 0);
    let closed = stage.close_upload(second, &body(2, 90_000), crate::stage::UPDATE);
    assert_eq!(closed.expect("live").version, 2);
    stage.settle();
    now_and_after_a_restart(&mut stage, |stage| {
        assert_eq!(stage.store.usage().space.dead, all);
        assert_eq!(stage.read(1).expect("live"), body(2, 90_000));
    });
}

// If this fails, all that a disk's shards have to do waits for seconds while a large content is deleted,
// or an upload of one is aborted.
#[test]
fn chunks_die_without_being_read() {
    let reads = |stage: &mut Stage| {
        stage.sync();
        let before = stage.disk.reads();
        stage.settle();
        stage.disk.reads() - before
    };
    let mut stage = Stage::new();
    stage.upload(1, &body(1, 300_000), 1_000);
    assert!(stage.store.log.segments.len() > 1, "it fills segments");
    let aborted = stage.begin_upload(2, &body(2, 100_000), 1_000, crate::How::Create);
    stage.settle();
    stage.delete(1);
    let (of_delete, live) = (reads(&mut stage), stage.store.usage().space.live);
    assert!(of_delete < 5, "{of_delete} reads for 300 chunks");
    let aborted = stage.store.abort(aborted.expect("new"), stage.now_ms);
    aborted.expect("there is room");
    let of_abort = reads(&mut stage);
    assert!(of_abort < 5, "{of_abort} reads for 100 chunks");
    assert!(live - stage.store.usage().space.live > 100_000);
    stage.assert_accounts();
}

// If this fails, two contents whose ids have the same hash take each other's place.
#[test]
fn ids_of_the_same_hash_are_told_apart_by_their_records() {
    let mut stage = Stage::new();
    stage.put(2, &body(2, 100));
    stage.settle();
    let index = &stage.store.shared.index;
    let other = index.find(&id(2).bytes()).iter().next();
    index.insert(&id(1).bytes(), other.expect("it is live"));
    assert!(matches!(stage.read(1), Err(ReadError::NotFound)));
    stage.put(1, &body(1, 100));
    stage.settle();
    assert_eq!(stage.store.usage().contents, 2);
    assert_eq!(stage.store.usage().space.dead, 0);
    assert_eq!(stage.read(1).expect("live"), body(1, 100));
    rename(&mut stage, 1, "b");
    stage.update(1, &body(3, 100));
    stage.settle();
    assert_eq!(stage.read(1).expect("live"), body(3, 100));
    stage.delete(1);
    stage.settle();
    assert!(matches!(stage.read(1), Err(ReadError::Deleted)));
    assert_eq!(stage.read(2).expect("another's"), body(2, 100));
    assert_eq!(stage.store.usage().contents, 1);
    stage.assert_accounts();
}

// If this fails, damage of a content that was replaced or deleted alarms the operator for ever.
#[test]
fn damage_is_forgotten_with_what_was_damaged() {
    for replace in [true, false] {
        let mut stage = Stage::new();
        let put = stage.put(1, &body(1, 700)).lsn;
        stage.settle();
        let (_, entry) = stage.place_of(put).expect("written");
        let payload = entry.lengths.payload_start(entry.start) - entry.start;
        stage.flip(put, payload + 9);
        assert!(matches!(stage.read(1), Err(ReadError::Damaged { .. })));
        assert_eq!(stage.store.usage().damaged, 1);
        if replace {
            stage.update(1, &body(2, 700));
        } else {
            stage.delete(1);
        }
        stage.settle();
        assert_eq!(stage.store.usage().damaged, 0);
        assert_eq!(stage.read(1).is_ok(), replace);
    }
}

// If this fails, a walk from the catalog's position skips a shard's first records.
#[test]
fn an_empty_log_is_before_its_first_record() {
    let stage = Stage::without_epoch();
    let positions = stage.store.positions();
    assert_eq!(positions.appended, Position::default());
    assert_eq!(
        (positions.synced, positions.committed),
        (Lsn::ZERO, Lsn::ZERO)
    );
    assert_eq!(positions.horizon, Lsn::ZERO);
    assert!(stage.store.contains(Position::default()));
    assert_eq!(stage.store.usage().contents, 0);
}
