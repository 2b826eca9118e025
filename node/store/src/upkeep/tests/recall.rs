//! Records that were lost when the log was opened: once written again they count, whatever happened
//! to their contents meanwhile.

use wire::Lsn;

use super::carry_out;
use crate::disk::simulated::Random;
use crate::stage::{LOG, Stage, UPDATE, body, id, next_live};
use crate::{Content, Damage, Describe, How, ReadError};

const CONTENTS: u64 = 6;

/// A store whose contents were stored, replaced, described and deleted many times over, from a seed.
fn busy(seed: u64) -> Stage {
    let mut random = Random::new(seed);
    let mut stage = Stage::new();
    for step in 0..40 {
        let n = random.below(CONTENTS);
        let size = [100, 9_000, 150_000][random.below(3) as usize];
        let bytes = body(seed ^ step, size);
        let exists = stage.read(n).is_ok();
        let how = if exists { UPDATE } else { How::Create };
        match random.below(8) {
            0..3 if size < 150_000 => drop(stage.try_put(n, &bytes, how)),
            0..4 => {
                if let Ok(upload) = stage.begin_upload(n, &bytes, 70_000, how) {
                    drop(stage.close_upload(upload, &bytes, how));
                }
            }
            4..6 if exists => {
                let change = Describe {
                    filename: Some(format!("name-{step}")),
                    ..Describe::default()
                };
                let described = stage.store.describe(id(n), change, None, stage.now_ms);
                described.expect("it is live");
            }
            6 if exists && step % 3 == 0 => drop(stage.delete(n)),
            7 if step % 2 == 0 => stage.lead(),
            // An upload that an epoch ends, or an abort.
            7 => {
                if let Ok(upload) = stage.begin_upload(n, &body(step, 150_000), 70_000, how)
                    && random.below(2) == 0
                {
                    let aborted = stage.store.abort(upload, stage.now_ms);
                    aborted.expect("it is open");
                }
            }
            _ => {}
        }
        stage.settle();
    }
    stage.settle_durably();
    stage
}

/// All that a reader can tell of each content.
fn told(stage: &Stage) -> Vec<(String, Option<Vec<u8>>)> {
    let reader = stage.store.reader();
    let each = (0..CONTENTS).map(|n| {
        let known = format!("{:?}", reader.known(id(n)));
        (known, stage.read(n).ok().map(|bytes| bytes.to_vec()))
    });
    each.collect()
}

fn live(stage: &Stage) -> (Vec<Content>, bool) {
    let committed = stage.store.positions().committed;
    let mut walk = stage.store.reader().live(committed);
    let next = || next_live(&mut walk);
    let mut contents: Vec<Content> = std::iter::from_fn(next).collect();
    contents.sort_by_key(|content| content.id);
    (contents, walk.passed_damage().is_some())
}

fn repair(stage: &mut Stage, copy: &Stage, lsn: Lsn) {
    let record = copy.store.reader().record(lsn).expect("intact");
    let chore = stage.store.repair(record).expect("nothing is under way");
    carry_out(stage, vec![chore]).unwrap_or_else(|error| panic!("{lsn}: {error}"));
}

// If this fails, a repaired record undoes what came after it, is not served, or is dropped from the
// catalog, until the node is started again.
#[test]
fn lost_records_count_when_they_are_written_again_in_any_order() {
    for seed in 0..60 {
        let copy = busy(seed);
        let mut random = Random::new(seed ^ 0xff);
        let mut stage = copy.on(copy.disk.kill());
        let end = stage.store.positions().committed.0;
        let mut lost: Vec<Lsn> = (1..=end)
            .map(Lsn)
            .filter(|_| random.below(4) == 0)
            .collect();
        lost.retain(|lsn| stage.place_of(*lsn).is_some());
        for lsn in &lost {
            stage.flip(*lsn, 24);
        }
        stage.restart();
        // What is not intact yet is said to be damaged, or is as it was: never gone, never new.
        while let Some(lsn) = lost.pop() {
            let (contents, passed_damage) = live(&stage);
            assert!(
                passed_damage || contents == live(&copy).0,
                "{seed}: before {lsn}"
            );
            let at = random.below(lost.len() as u64 + 1) as usize;
            let lsn = if at < lost.len() {
                std::mem::replace(&mut lost[at], lsn)
            } else {
                lsn
            };
            repair(&mut stage, &copy, lsn);
        }
        for is_opened_again in [false, true] {
            let what = format!("{seed}, opened again: {is_opened_again}");
            assert_eq!(told(&stage), told(&copy), "{what}");
            assert_eq!(live(&stage), (live(&copy).0, false), "{what}");
            let contents = |stage: &Stage| stage.store.usage().contents;
            assert_eq!(contents(&stage), contents(&copy), "{what}");
            assert_eq!(stage.store.epochs(), copy.store.epochs(), "{what}");
            assert_eq!(stage.store.usage().damaged, 0, "{what}");
            if !is_opened_again {
                stage.assert_accounts();
            }
            // Nothing that is needed is given back.
            stage.upkeep();
            assert_eq!(told(&stage), told(&copy), "{what}, after upkeep");
            stage.restart();
        }
    }
}

// If this fails, an acknowledged content whose record is the last one, and damaged, is told not to
// exist; or nothing new can be stored beside it.
#[test]
fn what_was_lost_at_the_end_is_not_told_absent() {
    let mut stage = Stage::of(LOG, crate::stage::GEOMETRY);
    stage.now_ms += 5_000;
    let (lost, outcome) = stage.append(&body(1, 100));
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    stage.flip(outcome.lsn, 24);
    stage.restart();
    let is_damaged = |stage: &Stage| matches!(stage.read(lost), Err(ReadError::Damaged { .. }));
    assert!(is_damaged(&stage));
    stage.lead();
    stage.now_ms += 1;
    assert!(is_damaged(&stage));
    let new = stage.stored(&body(2, 100));
    assert_eq!(stage.read(new).expect("it is intact"), body(2, 100));
    repair(&mut stage, &copy, outcome.lsn);
    assert_eq!(stage.read(lost).expect("it is mended"), body(1, 100));
    assert!(matches!(stage.read(77), Err(ReadError::NotFound)));
}

// If this fails, a walk at the wrong moment takes a record that is being repaired for a dead one, and
// the catalog forgets the content, or a follower is never sent it.
#[test]
fn a_record_that_is_written_and_not_recalled_yet_is_not_taken_for_a_dead_one() {
    let mut stage = Stage::new();
    let outcome = stage.put(1, &body(1, 100));
    stage.put(2, &body(2, 100));
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    stage.flip(outcome.lsn, 24);
    stage.restart();
    let record = copy.store.reader().record(outcome.lsn).expect("intact");
    let chore = stage.store.repair(record).expect("nothing is under way");
    let done = chore.run(&mut |_| true);
    let (contents, passed_damage) = live(&stage);
    assert!((contents.len(), passed_damage) == (1, true));
    let mut missing = stage.store.reader().missing(Lsn::ZERO);
    let next = || missing.next_needed().expect("it can be read");
    let sent: Vec<Lsn> = std::iter::from_fn(next)
        .map(|record| record.head.lsn)
        .collect();
    assert!(sent.contains(&outcome.lsn), "{sent:?}");
    stage.store.finish(done).expect("a healthy disk");
    assert_eq!(live(&stage), live(&copy));
}

/// Carries out what is due; chores that meet damage come to nothing. Whether all of them succeeded.
fn upkeep(stage: &mut Stage) -> bool {
    let mut all = true;
    for _ in 0..20 {
        let chores = stage.store.chores(stage.now_ms);
        if chores.is_empty() {
            break;
        }
        stage.now_ms += 3_600_000;
        all &= carry_out(stage, chores).is_ok();
    }
    all
}

/// Has a copy tell what each damaged record is, until nothing is damaged; how many it has dropped.
fn repair_or_settle(stage: &mut Stage, copy: &Stage) -> usize {
    let (mut settled, reader) = (0, copy.store.reader());
    for _ in 0..100 {
        let damage = stage.store.reader().damage();
        let places = damage.lost.iter().chain(&damage.hidden);
        let lsns = places.flat_map(|place| place.first.0..=place.last.0);
        for lsn in lsns.map(Lsn) {
            if reader.record(lsn).is_ok() {
                repair(stage, copy, lsn);
            } else if reader.is_dropped(lsn).expect("a healthy disk") {
                stage.store.settle(lsn);
                settled += 1;
            }
        }
        if upkeep(stage) && stage.store.reader().damage() == Damage::default() {
            return settled;
        }
    }
    panic!("{:?}", stage.store.reader().damage());
}

// If this fails, what a replica lost and all others have dropped is missed for ever: unknown contents
// are called damaged, followers and the catalog wait, and its segment's space never comes back.
#[test]
fn what_an_intact_copy_has_dropped_is_given_up() {
    for seed in 0..40 {
        let mut copy = busy(seed);
        let mut stage = copy.on(copy.disk.kill());
        copy.upkeep();
        let mut random = Random::new(seed ^ 0xf0);
        let end = stage.store.positions().committed.0;
        for lsn in (1..=end).map(Lsn) {
            if random.below(3) == 0 && stage.place_of(lsn).is_some() {
                stage.flip(lsn, 24);
            }
        }
        stage.restart();
        assert!(repair_or_settle(&mut stage, &copy) > 0, "{seed}");
        for what in ["as it runs", "opened again"] {
            let damage = stage.store.reader().damage();
            assert_eq!(damage, Damage::default(), "{seed}, {what}");
            assert_eq!(told(&stage), told(&copy), "{seed}, {what}");
            assert_eq!(live(&stage), (live(&copy).0, false), "{seed}, {what}");
            // Who sends it to others has begun an epoch, which ended what is left of uploads.
            stage.lead();
            let mut missing = stage.store.reader().missing(Lsn::ZERO);
            while missing.next_needed().expect("nothing is missed").is_some() {}
            stage.settle_durably();
            stage.restart();
            // What was not rewritten yet is met again.
            live(&stage);
            repair_or_settle(&mut stage, &copy);
        }
    }
}
