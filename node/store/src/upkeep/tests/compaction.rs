//! Full segments are rewritten: which, when, and with what left in them.

use crate::disk::Disk;
use wire::Lsn;

use super::{carry_out, due, generations, in_first, rest, sealed};
use crate::disk::simulated::{Failure, Operation};
use crate::geometry::Geometry;
use crate::segment::header::SegmentHeader;
use crate::stage::{GEOMETRY, LOG, Stage, UPDATE, body, dir, id, names};
use crate::{How, ReadError};

fn assert_live(stage: &Stage, contents: impl IntoIterator<Item = u64>) {
    for n in contents {
        assert_eq!(stage.read(n).expect("live"), body(n, 10_000), "{n}");
    }
}

/// Deletes this many of the first segment's contents, spread over it.
fn delete_in_first(stage: &mut Stage, count: u64) -> Vec<u64> {
    let all = in_first(stage);
    let deleted: Vec<u64> = (0..count).map(|n| n * all / count).collect();
    for n in &deleted {
        stage.delete(*n);
    }
    stage.settle_durably();
    deleted
}

// If this fails, the disk is busy with rewriting that gains nothing, or never gains anything.
#[test]
fn a_segment_is_rewritten_when_over_30_percent_of_it_are_dead() {
    let (stage, _) = sealed(3);
    let all = in_first(&stage);
    let threshold = (0..all).find(|count| {
        let state = &stage.store.log.segments[0];
        let record = state.live as f64 / all as f64;
        *count as f64 * record / state.live as f64 > 0.3
    });
    let threshold = threshold.expect("some share is above");
    let (mut below, _) = sealed(3);
    delete_in_first(&mut below, threshold - 1);
    assert_eq!(due(&mut below).0, Vec::<&str>::new());
    let (mut above, contents) = sealed(3);
    let deleted = delete_in_first(&mut above, threshold);
    assert_eq!(due(&mut above).0, ["compact"]);
    above.restart();
    above.upkeep();
    assert_eq!(generations(&above), [1, 0, 0]);
    assert_live(&above, (0..contents).filter(|n| !deleted.contains(n)));
}

// If this fails, what lies behind the first megabyte of a rewritten segment, or is longer than what is
// read at a time, is another content's bytes.
#[test]
fn a_large_segment_keeps_all_its_bytes() {
    let geometry = Geometry {
        segment_bytes: 8 << 20,
        ..GEOMETRY
    };
    let mut stage = Stage::of(LOG, geometry);
    // Small ones, some that are punched when they die, and some above the window.
    let lengths = [700, 60_000, 60_001, 60_002, 60_003, 70_001, 300_000];
    let length = |n: u64| lengths[n as usize % lengths.len()];
    let lives = |n: &u64| n.is_multiple_of(3);
    let mut contents = 0;
    while stage.store.log.segments.len() < 2 {
        stage.put(contents, &body(contents, length(contents)));
        stage.settle();
        contents += 1;
    }
    for n in (0..contents).filter(|n| !lives(n)) {
        stage.delete(n);
    }
    stage.settle_durably();
    stage.upkeep();
    assert_eq!(generations(&stage)[0], 1, "is rewritten");
    let rewritten = stage.store.log.segments[0].end;
    assert!(rewritten > 2 << 20, "in several pieces: {rewritten}");
    for restarted in [false, true] {
        if restarted {
            stage.restart();
        }
        for n in (0..contents).filter(lives) {
            assert_eq!(stage.read(n).expect("live"), body(n, length(n)), "{n}");
        }
    }
}

// If this fails, the order of records, and with it every position, changes.
#[test]
fn what_is_left_keeps_its_order_and_its_bytes() {
    let (mut stage, contents) = sealed(3);
    let deleted = delete_in_first(&mut stage, 15);
    let before = stage.lsns();
    stage.upkeep();
    let gone: Vec<u64> = deleted.iter().map(|n| n + 2).collect();
    let left: Vec<u64> = before
        .into_iter()
        .filter(|lsn| !gone.contains(lsn))
        .collect();
    assert_eq!(stage.lsns(), left);
    let state = &stage.store.log.segments[0];
    let path = state.segment.name.path(dir());
    let page = crate::stage::contents(&stage.disk, &path);
    let header = SegmentHeader::decode(&page[..4096], LOG).expect("intact");
    assert_eq!((header.first, header.last), (Lsn(1), state.last));
    assert_eq!((header.generation, header.horizon), (1, Lsn::ZERO));
    assert_eq!(
        state.last.next(),
        stage.store.log.segments[1].segment.name.first
    );
    assert_eq!(state.segment.sealed_at(), Some(state.last));
    stage.assert_accounts();
    let recovery = stage.restart();
    assert_eq!(recovery.scanned, 1, "it has an index file");
    assert_live(&stage, (0..contents).filter(|n| !deleted.contains(n)));
    assert_eq!(stage.store.usage().contents, contents - 15);
    stage.assert_accounts();
}

// If this fails, a log whose contents were mostly deleted keeps a file for each former segment.
#[test]
fn small_neighbours_are_joined() {
    let (mut stage, contents) = sealed(5);
    for n in (0..contents).filter(|n| n % 10 != 0) {
        stage.delete(n);
    }
    stage.settle_durably();
    stage.upkeep();
    let states = &stage.store.log.segments;
    assert!(states.len() <= 2, "{:?}", generations(&stage));
    let joined = &states[0];
    assert_eq!(joined.segment.name.first, Lsn(1));
    assert!(joined.end <= GEOMETRY.segment_bytes / 2);
    assert_live(&stage, (0..contents).filter(|n| n % 10 == 0));
    stage.assert_accounts();
    stage.restart();
    assert_live(&stage, (0..contents).filter(|n| n % 10 == 0));
    assert_eq!(stage.store.usage().contents, contents.div_ceil(10));
}

// If this fails, joined segments become longer with each joining, by the holes that must stay in them,
// until no place leads to their ends: the node stops then, and at every start.
#[test]
fn what_stays_as_a_hole_counts_when_neighbours_are_joined() {
    let (mut stage, contents) = sealed(5);
    // Too few of each segment to rewrite it: what replaces these versions must stay.
    let updated: Vec<u64> = (0..contents - 10).filter(|n| n % 5 == 0).collect();
    for n in &updated {
        stage.update(*n, &body(1_000 + n, 100_000));
        stage.update(*n, &body(2_000 + n, 1_000));
        stage.settle();
    }
    let filled = stage.fill(contents, stage.store.log.segments.len() + 1);
    stage.upkeep();
    for restarted in [false, true] {
        if restarted {
            stage.restart();
            stage.upkeep();
        }
        for state in &stage.store.log.segments {
            assert!(state.end <= GEOMETRY.segment_bytes, "{:?}", state.end);
        }
        for n in &updated {
            assert_eq!(stage.read(*n).expect("live"), body(2_000 + n, 1_000));
        }
        assert_live(&stage, contents..filled);
        stage.assert_accounts();
    }
    assert!(stage.store.usage().space.holes >= 98_304 * updated.len() as u64);
}

// If this fails, the operator sees no gain of what the disk was busy with.
#[test]
fn what_a_rewriting_gives_back_is_told() {
    let (mut stage, _) = sealed(3);
    delete_in_first(&mut stage, 15);
    let (used, space) = (stage.disk.used(), stage.store.usage().space);
    stage.upkeep();
    let after = stage.store.usage().space;
    assert!(after.compacted > 150_000, "{after:?}");
    assert_eq!(after.dead, space.dead - after.compacted);
    let freed = used - stage.disk.used();
    assert!(freed + 8192 >= after.compacted, "{freed}: {after:?}");
    assert_eq!(after.live, space.live);
}

// If this fails, files that were rewritten stay, or their contents are lost by a power loss.
#[test]
fn the_sources_go_when_the_rewritten_segment_is_durable() {
    let (mut stage, contents) = sealed(3);
    let deleted = delete_in_first(&mut stage, 15);
    let (_, chores) = due(&mut stage);
    let check = |stage: &Stage, seed| {
        let (store, recovery) = crate::stage::open(&stage.disk.crash(seed)).expect("opens");
        assert_eq!(recovery.damaged, 0);
        for n in 0..contents {
            let opened = store.reader().open(id(n));
            assert_eq!(opened.is_err(), deleted.contains(&n), "{n}, seed {seed}");
        }
    };
    for chore in chores {
        let done = chore.run(&mut |_| true);
        for seed in 0..10 {
            check(&stage, seed);
        }
        stage.store.finish(done).expect("a healthy disk");
    }
    for seed in 0..10 {
        check(&stage, seed);
    }
    let old = "0000000000000001-00000000";
    assert!(
        names(&stage.disk, "")
            .iter()
            .all(|name| !name.starts_with(old))
    );
}

// If this fails, a node that is busy cannot stop a rewriting, or a stopped one loses contents.
#[test]
fn a_rewriting_that_may_not_go_on_leaves_everything_as_it_was() {
    for allowed in [0, 1, 5] {
        let (mut stage, contents) = sealed(3);
        let deleted = delete_in_first(&mut stage, 15);
        let before = (stage.lsns(), stage.store.usage(), names(&stage.disk, ""));
        let (_, chores) = due(&mut stage);
        for chore in chores {
            let mut asked = 0;
            let done = chore.run(&mut |bytes| {
                assert!(bytes > 0);
                asked += 1;
                asked <= allowed
            });
            stage.store.finish(done).expect("nothing failed");
            assert_eq!(asked, allowed + 1, "it ends when it is told to");
        }
        let after = (stage.lsns(), stage.store.usage(), names(&stage.disk, ""));
        assert_eq!(after, before);
        assert_live(&stage, (0..contents).filter(|n| !deleted.contains(n)));
        assert_eq!(due(&mut stage).0, ["compact"], "it is due again");
    }
}

// If this fails, a disk that fails during a rewriting takes contents along, or stops the node.
#[test]
fn a_rewriting_that_failed_is_tried_again() {
    for operation in [
        Operation::Name,
        Operation::Allocate,
        Operation::Write,
        Operation::Sync,
    ] {
        let (mut stage, contents) = sealed(3);
        let deleted = delete_in_first(&mut stage, 15);
        let (_, chores) = due(&mut stage);
        stage.disk.fail(operation, 0, Failure::NoSpace);
        let error = carry_out(&mut stage, chores).expect_err("it fails");
        assert_eq!(error.step, "rewrite a segment", "{operation:?}");
        assert_eq!(generations(&stage), [0, 0, 0]);
        assert!(stage.store.check().is_ok());
        rest(&mut stage);
        stage.upkeep();
        assert_eq!(generations(&stage), [1, 0, 0], "{operation:?}");
        assert_live(&stage, (0..contents).filter(|n| !deleted.contains(n)));
        stage.assert_accounts();
    }
}

// If this fails, a content that is deleted during a rewriting comes back, or its space is lost.
#[test]
fn what_dies_during_a_rewriting_is_dead_after_it() {
    let (mut stage, contents) = sealed(3);
    let deleted = delete_in_first(&mut stage, 15);
    let (_, chores) = due(&mut stage);
    let dones: Vec<_> = chores
        .into_iter()
        .map(|chore| chore.run(&mut |_| true))
        .collect();
    let survivors: Vec<u64> = (0..in_first(&stage))
        .filter(|n| !deleted.contains(n))
        .collect();
    let (gone, changed) = (survivors[0], survivors[1]);
    stage.delete(gone);
    stage.update(changed, &body(500, 40));
    stage.settle();
    for done in dones {
        stage.store.finish(done).expect("a healthy disk");
    }
    assert!(stage.store.log.segments[0].dead >= 20_000);
    for _ in 0..2 {
        assert!(matches!(stage.read(gone), Err(ReadError::Deleted)));
        assert_eq!(stage.read(changed).expect("live"), body(500, 40));
        assert_live(&stage, survivors[2..].iter().copied());
        assert_eq!(stage.store.usage().contents, contents - 16);
        stage.assert_accounts();
        stage.settle_durably();
        stage.restart();
    }
}

// If this fails, a large upload loses its parts while it is still running.
#[test]
fn the_chunks_of_open_and_pending_uploads_are_kept() {
    let mut stage = Stage::new();
    let bytes = body(900, 60_000);
    let upload = stage.begin_upload(900, &bytes, 20_000, How::Create);
    let upload = upload.expect("new");
    let contents = stage.fill(0, 3);
    stage.upkeep();
    let first = stage.store.log.segments[1].segment.name.first.0;
    for n in 0..(first - 5) {
        stage.delete(n);
    }
    stage.settle_durably();
    let closed = stage.close_upload(upload, &bytes, How::Create);
    assert_eq!(closed.expect("open").version, 1);
    stage.sync();
    stage.upkeep();
    assert!(generations(&stage)[0] > 0, "it was rewritten");
    stage.settle_durably();
    for _ in 0..2 {
        assert_eq!(stage.read(900).expect("stored"), bytes);
        assert_live(&stage, (first - 4)..contents);
        stage.assert_accounts();
        stage.restart();
    }
}

// If this fails, a reader of a large content meets a hole where a chunk was moved away.
#[test]
fn a_reader_keeps_chunks_that_were_moved() {
    let mut stage = Stage::new();
    stage.upload(900, &body(900, 150_000), 70_000);
    stage.fill(0, 3);
    stage.upkeep();
    let open = stage.store.reader().open(id(900)).expect("stored");
    for n in 0..in_first(&stage) - 4 {
        stage.delete(n);
    }
    stage.settle_durably();
    stage.upkeep();
    let moved = stage.store.reader().open(id(900)).expect("stored");
    stage.delete(900);
    stage.settle_durably();
    stage.upkeep();
    for open in [&open, &moved] {
        for at in (0..150_000).step_by(10_000) {
            let read = open.read(at, 1_000).expect("held");
            assert_eq!(read, body(900, 150_000)[at as usize..][..read.len()]);
        }
    }
    drop((open, moved));
    stage.upkeep();
    stage.assert_accounts();
    let space = stage.store.usage().space;
    assert!(space.holes + space.compacted >= 240_000, "{space:?}");
}

// If this fails, segments beside a damaged one, or the damaged one itself, lose contents.
#[test]
fn a_segment_with_damage_is_left_as_it_is() {
    let (mut stage, contents) = sealed(3);
    let deleted = delete_in_first(&mut stage, 15);
    stage.flip(Lsn(2), 24);
    let (_, chores) = due(&mut stage);
    carry_out(&mut stage, chores).expect_err("it cannot be read");
    assert_eq!(generations(&stage), [0, 0, 0]);
    let live = (1..contents).filter(|n| !deleted.contains(n));
    assert_live(&stage, live);
    assert!(names(&stage.disk, ".seg").len() == 3);
}

// If this fails, contents whose sectors read as zeros are left out without a word, and lost.
#[test]
fn zeros_at_the_end_of_a_segment_are_damage() {
    let (mut stage, _) = sealed(3);
    delete_in_first(&mut stage, 15);
    stage.settle_durably();
    let last = stage.store.log.segments[0].last;
    let (path, entry) = stage.place_of(last).expect("the record is there");
    let bytes = usize::try_from(entry.bytes()).expect("a small one");
    let file = stage.disk.open(&path).expect("it is there");
    file.write_at(&vec![0; bytes], entry.start).expect("writes");
    let (_, chores) = due(&mut stage);
    carry_out(&mut stage, chores).expect_err("something is missing");
    assert_eq!(generations(&stage), [0, 0, 0]);
}

// If this fails, one damaged record keeps all deleted contents of its log on the disk for ever; or its
// own segment is never rewritten again once it was repaired.
#[test]
fn a_segment_that_cannot_be_read_keeps_no_other_from_being_rewritten() {
    for repaired in [false, true] {
        let (mut stage, contents) = sealed(4);
        let record = stage.store.reader().record(Lsn(2)).expect("intact");
        let deleted: Vec<u64> = (0..contents - 5).filter(|n| n % 5 > 2).collect();
        for n in &deleted {
            stage.delete(*n);
        }
        stage.settle_durably();
        let (path, entry) = stage.place_of(Lsn(2)).expect("the record is there");
        let flip = |stage: &Stage| {
            let flipped = stage.disk.flip_bit(&path, entry.start + 24, 3);
            flipped.expect("the byte is durable");
        };
        flip(&stage);
        let (_, chores) = due(&mut stage);
        carry_out(&mut stage, chores).expect_err("it cannot be read");
        rest(&mut stage);
        stage.upkeep();
        let after = generations(&stage);
        assert!(after[0] == 0 && after[1..].contains(&1), "{after:?}");
        if repaired {
            let chore = stage.store.repair(record).expect("it is free");
            carry_out(&mut stage, vec![chore]).expect("a healthy disk");
        } else {
            flip(&stage);
            stage.now_ms += 3_590_000;
            assert_eq!(due(&mut stage).0, Vec::<&str>::new(), "not so soon");
            stage.now_ms += 10_000;
        }
        stage.upkeep();
        assert_eq!(generations(&stage)[0], 1, "repaired: {repaired}");
        assert_live(&stage, (0..contents).filter(|n| !deleted.contains(n)));
        stage.assert_accounts();
    }
}

// If this fails, the segment with the list of a deleted large content is rewritten again and again, or
// the list is there for ever.
#[test]
fn the_list_of_a_dead_content_goes_with_what_it_replaced() {
    let (mut stage, contents) = sealed(2);
    let bytes = body(9, 450_000);
    let update = stage.begin_upload(0, &bytes, 100, UPDATE).expect("live");
    let commit = stage.close_upload(update, &bytes, UPDATE).expect("live");
    let (_, entry) = stage.place_of(commit.lsn).expect("written");
    assert!(entry.lengths.is_punchable(), "the list is a long one");
    stage.settle();
    stage.delete(0);
    let segments = stage.store.log.segments.len();
    let all = stage.fill(contents, segments + 2);
    stage.upkeep();
    assert_eq!(generations(&stage)[0], 0, "what it replaced is still there");
    let lsns = stage.lsns();
    assert!(lsns.contains(&commit.lsn.0), "and would come back");
    assert!(!lsns.contains(&update.0), "its chunks are gone");
    let space = stage.store.usage().space;
    stage.restart();
    stage.upkeep();
    assert_eq!(stage.store.usage().space.live, space.live);
    stage.lead();
    let most = in_first(&stage) - 1;
    let deleted = delete_in_first(&mut stage, most);
    stage.fill(all, segments + 3);
    stage.upkeep();
    assert!(!stage.lsns().contains(&commit.lsn.0));
    assert_live(&stage, (1..contents).filter(|n| !deleted.contains(n)));
    stage.assert_accounts();
}
