//! The walk over what is live: what the catalog is repaired from.

use std::collections::BTreeMap;

use wire::{ContentId, Lsn};

use super::{compacted, half_deleted};
use crate::stage::{Stage, body, id, next_live};
use crate::{Content, LiveWalk, Walked};

/// All that a walk still shows; no content twice.
fn shown(walk: &mut LiveWalk) -> BTreeMap<ContentId, Content> {
    let mut contents = BTreeMap::new();
    while let Some(content) = next_live(walk) {
        let twice = contents.insert(content.id, content);
        assert_eq!(twice, None, "shown twice");
    }
    contents
}

fn ids(contents: &BTreeMap<ContentId, Content>) -> Vec<ContentId> {
    contents.keys().copied().collect()
}

// If this fails, a catalog that was lost is filled with other contents than there are.
#[test]
fn a_walk_shows_what_is_live_as_it_is() {
    for (mut stage, contents) in [half_deleted(), compacted()] {
        stage.update(1, &body(77, 500));
        let change = crate::Describe {
            filename: Some("renamed".to_owned()),
            ..crate::Describe::default()
        };
        let described = stage.store.describe(id(3), change, None, stage.now_ms);
        described.expect("it is live");
        stage.upload(contents, &body(1, 100_000), 70_000);
        stage.settle();
        let reader = stage.store.reader();
        let shown = shown(&mut reader.live(stage.store.positions().committed));
        let live: Vec<ContentId> = (0..contents)
            .filter(|n| n % 2 == 1)
            .chain([contents])
            .map(id)
            .collect();
        assert_eq!(ids(&shown), live);
        assert_eq!(stage.store.usage().contents, live.len() as u64);
        for (id, content) in &shown {
            assert_eq!(content, &reader.content(*id).expect("live"));
        }
        assert_eq!(shown[&id(1)].version, 2);
        assert_eq!(shown[&id(3)].filename, "renamed");
    }
}

// If this fails, the catalog is shown contents that it will be told of again.
#[test]
fn a_walk_ends_at_its_lsn() {
    let mut stage = Stage::new();
    for n in 0..6 {
        stage.put(n, &body(n, 100));
    }
    stage.settle();
    let walked = |upto| ids(&shown(&mut stage.store.reader().live(Lsn(upto))));
    assert_eq!(walked(0), []);
    assert_eq!(walked(1), []);
    assert_eq!(walked(4), [id(0), id(1), id(2)]);
    assert_eq!(walked(7).len(), 6);
    assert_eq!(walked(99).len(), 6);
}

// If this fails, the catalog is shown what a change of leaders may take back.
#[test]
fn a_walk_shows_nothing_that_is_not_committed() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.settle();
    stage.put(2, &body(2, 100));
    stage.delete(1);
    stage.sync();
    let end = stage.store.positions().appended.lsn;
    let shown = shown(&mut stage.store.reader().live(end));
    assert_eq!(ids(&shown), [id(1)]);
}

// If this fails, a content that changes during a repair of the catalog is lost from it, or a
// deleted one stays in it.
#[test]
fn changes_during_a_walk_are_shown_in_one_state_or_follow_it() {
    for steps in [0, 1, 5, 20, 40] {
        let (mut stage, contents) = half_deleted();
        let upto = stage.store.positions().committed;
        let mut walk = stage.store.reader().live(upto);
        let mut before = BTreeMap::new();
        for _ in 0..steps {
            if let Some(content) = next_live(&mut walk) {
                before.insert(content.id, content);
            }
        }
        stage.delete(1);
        stage.update(contents - 1 - contents % 2, &body(5, 50));
        stage.put(contents + 7, &body(7, 50));
        stage.settle();
        let mut all = before;
        all.append(&mut shown(&mut walk));
        let (deleted, updated) = (id(1), id(contents - 1 - contents % 2));
        let untouched: Vec<ContentId> = (0..contents)
            .filter(|n| n % 2 == 1)
            .map(id)
            .filter(|id| *id != deleted && *id != updated)
            .collect();
        for id in untouched {
            assert!(all.contains_key(&id), "{id} after {steps}");
        }
        assert!(!all.contains_key(&id(contents + 7)), "it is above the end");
        // What the walk does not show of these, the records above its end will.
        let mut after = stage.store.reader().cursor(upto);
        let mut told = Vec::new();
        while let Some(change) = after.next_change().expect("healthy") {
            told.push(change.position.lsn);
        }
        assert_eq!(told.len(), 3);
    }
}

// If this fails, a repair of the catalog misses contents when the log is compacted meanwhile.
#[test]
fn a_walk_goes_on_over_a_compaction() {
    for steps in [0, 1, 7, 25] {
        let (mut stage, contents) = half_deleted();
        let mut walk = stage.store.reader().live(stage.store.positions().committed);
        let mut all = BTreeMap::new();
        for _ in 0..steps {
            let content = next_live(&mut walk).expect("more");
            all.insert(content.id, content);
        }
        stage.upkeep();
        all.append(&mut shown(&mut walk));
        let live: Vec<ContentId> = (0..contents).filter(|n| n % 2 == 1).map(id).collect();
        assert_eq!(ids(&all), live, "after {steps}");
    }
}

// If this fails, a content with a damaged payload disappears from the catalog, and is not repaired.
#[test]
fn a_damaged_content_is_shown_all_the_same() {
    let mut stage = Stage::new();
    for n in 0..3 {
        stage.put(n, &body(n, 700));
    }
    stage.settle();
    let (_, entry) = stage.place_of(Lsn(3)).expect("written");
    let payload = entry.lengths.payload_start(entry.start) - entry.start;
    stage.flip(Lsn(3), payload + 1);
    assert!(stage.read(1).is_err());
    let walk = shown(&mut stage.store.reader().live(Lsn(4)));
    assert_eq!(ids(&walk), [id(0), id(1), id(2)]);
}

// If this fails, nothing of other shards is listed for as long as a walk passes the chunks of a content
// of ten gigabytes.
#[test]
fn a_step_looks_at_one_record_however_large_a_content_is() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.upload(2, &body(2, 9_000), 300);
    stage.delete(1);
    stage.settle();
    let end = stage.store.positions().committed;
    let mut walk = stage.store.reader().live(end);
    let mut steps = 0;
    let mut contents = Vec::new();
    loop {
        match walk.step().expect("healthy") {
            Walked::Content(content) => contents.push(content.id),
            Walked::On => {}
            Walked::End => break,
        }
        steps += 1;
    }
    assert_eq!(contents, [id(2)]);
    assert_eq!(steps, end.0);
}
