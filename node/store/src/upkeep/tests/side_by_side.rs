//! Records whose heads cannot be read, one beside the other: lost together, and mended one after the other.

use wire::{ContentId, Lsn};

use super::{carry_out, generations, in_first, sealed};
use crate::ReadError;
use crate::damage::{Damage, Need};
use crate::disk::PAGE_BYTES;
use crate::stage::{GEOMETRY, LOG, Stage, UPDATE, body};

const CONTENTS: u64 = 90;

/// Which bytes of a stage's segment are made unreadable, from the start of a record on.
#[derive(Clone, Copy, Debug)]
enum Broken {
    /// So many pages.
    Pages(u64),
    /// So many bytes are something else.
    Bytes(u64),
}

/// A segment without an index file, full of small contents of which some are dead.
fn small_contents() -> Stage {
    let mut stage = Stage::new();
    for n in 0..CONTENTS {
        stage.put(n, &body(n, 100 + n as usize));
        if n % 4 == 3 {
            stage.update(n - 2, &body(n - 2, 150));
        }
        if n % 10 == 9 {
            stage.delete(n - 3);
        }
    }
    stage.settle_durably();
    stage
}

fn break_at(stage: &Stage, lsn: Lsn, broken: Broken) {
    let (path, entry) = stage.place_of(lsn).expect("it is there");
    match broken {
        Broken::Pages(pages) => {
            for page in 0..pages {
                let at = entry.start + page * PAGE_BYTES;
                let broken = stage.disk.break_sector(&path, at);
                broken.expect("the file is there");
            }
        }
        Broken::Bytes(bytes) => {
            let file = crate::disk::Disk::open(&stage.disk, &path).expect("it is there");
            let written = file.write_at(&vec![0xa5; bytes as usize], entry.start);
            written.expect("a healthy disk");
            file.sync_data().expect("a healthy disk");
        }
    }
}

fn repair(stage: &mut Stage, copy: &Stage, lsn: Lsn) -> Result<(), String> {
    let reader = copy.store.reader();
    let record = reader.record(lsn).expect("intact");
    let content = ContentId::from_bytes(record.head.id).ok();
    let needed = content.and_then(|id| reader.needed(id).ok());
    let need = match needed.is_some_and(|needed| needed.contains(&lsn)) {
        true => Need::Certain,
        false => Need::Unknown,
    };
    let chore = stage.store.repair_as(record, need);
    let chore = chore.map_err(|error| error.to_string())?;
    carry_out(stage, vec![chore]).map_err(|error| error.to_string())
}

fn lost(stage: &Stage) -> Vec<Lsn> {
    let lost = stage.store.reader().damage().lost;
    let each = lost.iter().flat_map(|lost| lost.first.0..=lost.last.0);
    each.map(Lsn).collect()
}

/// One round of a node's repairs: all that is known to be damaged, in the order of lsns. What was refused.
fn round(stage: &mut Stage, copy: &Stage) -> Vec<(Lsn, String)> {
    let damage = stage.store.reader().damage();
    let noted = damage.contents.iter();
    let noted = noted.flat_map(|content| content.records.iter().copied());
    let mut lsns: Vec<Lsn> = lost(stage).into_iter().chain(noted).collect();
    lsns.sort_unstable();
    let refused = |lsn| Some((lsn, repair(stage, copy, lsn).err()?));
    lsns.into_iter().filter_map(refused).collect()
}

fn assert_same(stage: &Stage, copy: &Stage, what: &str) {
    for n in 0..CONTENTS {
        match (stage.read(n), copy.read(n)) {
            (Ok(bytes), Ok(original)) => assert_eq!(bytes, original, "{what}: {n}"),
            (Err(ReadError::Deleted), Err(ReadError::Deleted)) => {}
            (read, original) => panic!("{what}: {n}: {read:?}, not {original:?}"),
        }
    }
    assert_eq!(stage.store.reader().damage(), Damage::default(), "{what}");
    assert_eq!(stage.lsns(), copy.lsns(), "{what}");
}

// If this fails, one bad sector under a few small contents keeps every older content of the shard from being
// served here, for ever.
#[test]
fn lost_heads_side_by_side_are_mended_once_another_copy_told_all_their_lengths() {
    let cases = [1, 2, 3].map(Broken::Pages);
    let cases = cases.into_iter().chain([700, 5_000].map(Broken::Bytes));
    for (broken, first) in cases.flat_map(|broken| [2, 20, 61].map(|first| (broken, first))) {
        let what = format!("{broken:?} from {first}");
        let mut stage = small_contents();
        let copy = stage.on(stage.disk.kill());
        break_at(&stage, Lsn(first), broken);
        stage.restart();
        let found = lost(&stage);
        assert!(found.len() > 1, "{what}: {found:?}");
        // What a lost record may have replaced is damaged only once it is read.
        (0..CONTENTS).for_each(|n| drop(stage.read(n)));
        round(&mut stage, &copy);
        let refused = round(&mut stage, &copy);
        assert_eq!(lost(&stage), [], "{what}: {refused:?}");
        round(&mut stage, &copy);
        assert_same(&stage, &copy, &what);
        stage.assert_accounts();
        stage.settle_durably();
        assert_eq!(stage.restart().damaged, 0, "{what}");
        assert_same(&stage, &copy, &what);
    }
}

// If this fails, one bad sector under the heads of small contents and a large one is never mended.
#[test]
fn lost_heads_of_small_and_large_contents_are_mended_where_they_are_needed() {
    for first in 3..6 {
        let mut stage = Stage::new();
        for n in 0..CONTENTS / 2 {
            let size = if n % 10 == 4 { 70_000 } else { 100 };
            stage.put(n, &body(n, size));
        }
        stage.settle_durably();
        let copy = stage.on(stage.disk.kill());
        break_at(&stage, Lsn(first), Broken::Bytes(1_100));
        stage.restart();
        let found = lost(&stage);
        assert!(found.len() > 1, "{first}: {found:?}");
        let refused: Vec<_> = (0..3).map(|_| round(&mut stage, &copy)).collect();
        assert_eq!(lost(&stage), [], "{first}: {refused:?}");
        for n in 0..CONTENTS / 2 {
            assert_eq!(stage.read(n).ok(), copy.read(n).ok(), "{first}: {n}");
        }
        assert_eq!(stage.lsns(), copy.lsns(), "{first}");
    }
}

// If this fails, a record that a follower was never sent is written over one that it was: that one is
// destroyed.
#[test]
fn what_a_follower_was_not_sent_is_not_written_over_what_it_was() {
    let leader = small_contents();
    let mut stage = Stage::bare(LOG, GEOMETRY);
    let mut missing = leader.store.reader().missing(Lsn::ZERO);
    while let Some(record) = missing.next_needed().expect("intact") {
        let covers_from = stage.store.positions().appended.lsn.next();
        stage
            .store
            .replicate(record, covers_from)
            .expect("in order");
    }
    stage.settle_durably();
    let dead = (1..)
        .find(|lsn| !stage.lsns().contains(lsn))
        .expect("some are dead");
    break_at(&stage, Lsn(dead).next(), Broken::Bytes(700));
    let before = stage.on(stage.disk.kill());
    stage.restart();
    let found = lost(&stage);
    assert!(found.len() > 2 && found[0] == Lsn(dead), "{found:?}");
    let refused: Vec<_> = (0..2).flat_map(|_| found.clone()).collect();
    for lsn in refused {
        let refused = repair(&mut stage, &leader, lsn).expect_err("it may not have been here");
        assert!(refused.contains("nobody knows"), "{refused}");
    }
    assert_eq!(stage.lsns(), before.lsns(), "nothing was written");
}

// If this fails, a record that was compacted here is written over one that was not.
#[test]
fn what_a_rewriting_dropped_is_not_written_over_what_it_kept() {
    let (mut stage, _) = sealed(3);
    let copy = stage.on(stage.disk.kill());
    let last = in_first(&stage);
    (1..last)
        .filter(|n| n % 3 > 0)
        .for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    stage.upkeep();
    assert_eq!(generations(&stage)[0], 1);
    let name = stage.store.log.segments[0].segment.name;
    let index = name.index_path(crate::stage::dir());
    crate::disk::Disk::remove(&stage.disk, &index).expect("it is there");
    break_at(&stage, super::lsn(6), Broken::Bytes(10_500));
    stage.restart();
    let found = lost(&stage);
    assert!(found.len() > 3, "{found:?}");
    for lsn in found.iter().chain(&found) {
        let refused = repair(&mut stage, &copy, *lsn).expect_err("it may not have been here");
        assert!(refused.contains("nobody knows"), "{refused}");
    }
    assert_eq!(lost(&stage), found);
    let update = stage.try_put(6, &body(6, 100), UPDATE);
    assert!(update.is_err(), "nobody leads on with what is lost");
}
