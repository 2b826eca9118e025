//! The end of an upload outlives its chunks: without it, they would be an open upload's.

use wire::Lsn;

use super::generations;
use crate::reader::Cursor;
use crate::stage::{Stage, body};
use crate::{How, ReadError};

/// The content that is uploaded.
const UPLOADED: u64 = 1_000;
const LARGE: usize = 66_000;

/// How an upload ends; gives the lsn of the record that ends it.
type End<'a> = &'a dyn Fn(&mut Stage, Lsn) -> Lsn;

fn abort(stage: &mut Stage, upload: Lsn) -> Lsn {
    let aborted = stage.store.abort(upload, stage.now_ms);
    aborted.expect("there is room");
    stage.store.positions().appended.lsn
}

fn close_and_delete(stage: &mut Stage, upload: Lsn) -> Lsn {
    let closed = stage.close_upload(upload, &body(1, 9_000), How::Create);
    stage.delete(UPLOADED);
    closed.expect("there is room").lsn
}

fn open_uploads(stage: &Stage) -> usize {
    stage.store.uploads.names().count()
}

/// A log whose first segment has chunks of an upload that ended in the second; the second was
/// rewritten, and the first was not. The upload, its end, and the number of contents.
fn ended(end: End<'_>) -> (Stage, Lsn, Lsn, u64) {
    let mut stage = Stage::new();
    (0..10).for_each(|n| drop(stage.put(n, &body(n, 10_000))));
    let upload = stage.begin_upload(UPLOADED, &body(1, 9_000), 3_000, How::Create);
    let upload = upload.expect("new");
    let first = stage.fill(10, 2);
    let end = end(&mut stage, upload);
    let second = stage.fill(first, 3);
    (first..second).for_each(|n| drop(stage.delete(n)));
    let all = stage.fill(second, 5);
    stage.upkeep();
    assert_eq!(generations(&stage)[..2], [0, 1]);
    (stage, upload, end, all)
}

// If this fails, a follower that is started again has an upload that was ended long ago: its space is
// never given back, and holes are sent to others as if they were content.
#[test]
fn an_upload_that_was_ended_is_not_open_after_a_rewriting_and_a_restart() {
    for end in [&abort as End<'_>, &close_and_delete] {
        let (mut stage, upload, ..) = ended(end);
        assert!(stage.lsns().contains(&upload.0), "its chunks are there");
        let live = stage.store.usage().space.live;
        stage.settle_durably();
        stage.restart();
        assert_eq!(open_uploads(&stage), 0);
        assert_eq!(stage.store.usage().space.live, live);
        let mut missing = stage.store.reader().missing(Lsn::ZERO);
        assert!(!given(&mut missing).contains(&upload));
        stage.assert_accounts();
    }
}

// If this fails, the ends of uploads take space for ever.
#[test]
fn an_end_goes_when_no_chunk_is_left() {
    for end in [&abort as End<'_>, &close_and_delete] {
        let (mut stage, upload, end, all) = ended(end);
        for n in 0..all {
            stage.delete(n);
        }
        let segments = stage.store.log.segments.len();
        stage.fill(all, segments + 2);
        stage.upkeep();
        let lsns = stage.lsns();
        assert!(!lsns.contains(&upload.0) && !lsns.contains(&end.0));
        stage.assert_accounts();
    }
}

/// The lsns of what a cursor gives to its follower.
fn given(cursor: &mut Cursor) -> Vec<Lsn> {
    let next = || cursor.next_needed().expect("it can be read");
    std::iter::from_fn(next)
        .map(|record| record.head.lsn)
        .collect()
}

/// The follower takes what it is missing.
fn catch_up(follower: &mut Stage, leader: &Stage) {
    let mut last = follower.store.positions().appended.lsn;
    let mut missing = leader.store.reader().missing(last);
    while let Some(record) = missing.next_needed().expect("it can be read") {
        let lsn = record.head.lsn;
        let taken = follower.store.replicate(record, last.next());
        taken.expect("in order");
        last = lsn;
    }
    follower.settle();
}

/// A leader on which an upload is open, a follower that has its chunks, and the upload.
fn open_on_both(chunk_bytes: usize) -> (Stage, Stage, Lsn) {
    let mut leader = Stage::new();
    let bytes = body(1, 3 * LARGE);
    let upload = leader.begin_upload(UPLOADED, &bytes, chunk_bytes, How::Create);
    leader.settle();
    let follower = leader.on(leader.disk.kill());
    assert_eq!(open_uploads(&follower), 1);
    (leader, follower, upload.expect("new"))
}

/// The content is stored, deleted, and its space given back.
fn live_and_die(leader: &mut Stage, upload: Lsn) -> Lsn {
    let closed = leader.close_upload(upload, &body(1, 3 * LARGE), How::Create);
    leader.settle();
    leader.delete(UPLOADED);
    leader.settle_durably();
    leader.upkeep();
    closed.expect("there is room").lsn
}

// If this fails, a follower that was away while a large content was stored and deleted keeps its space
// until another leader is elected.
#[test]
fn a_follower_that_was_away_learns_how_an_upload_ended() {
    let (mut leader, mut follower, upload) = open_on_both(LARGE);
    live_and_die(&mut leader, upload);
    catch_up(&mut follower, &leader);
    for _ in 0..2 {
        assert_eq!(open_uploads(&follower), 0);
        assert!(matches!(follower.read(UPLOADED), Err(ReadError::Deleted)));
        follower.upkeep();
        let (own, leaders) = (follower.store.usage(), leader.store.usage());
        assert_eq!(own.space.holes, leaders.space.holes);
        assert_eq!(own.contents, leaders.contents);
        follower.settle_durably();
        follower.restart();
    }
}

// If this fails, a follower that is slow has an upload open for ever, or one that has nothing of it is
// sent what is dead.
#[test]
fn a_dead_end_is_given_to_who_may_have_chunks_of_it() {
    let (mut leader, _, upload) = open_on_both(LARGE);
    let mut slow = leader.store.reader().missing(Lsn::ZERO);
    assert!(given(&mut slow).contains(&upload));
    let commit = live_and_die(&mut leader, upload);
    let (delete, reader) = (commit.next(), leader.store.reader());
    assert_eq!(given(&mut slow), [commit, delete]);
    assert_eq!(given(&mut reader.missing(upload)), [commit, delete]);
    assert_eq!(given(&mut reader.missing(upload.previous())), [delete]);
}

// If this fails, one bad sector in the list of a deleted content stops a follower for ever.
#[test]
fn a_dead_end_that_cannot_be_read_is_not_waited_for() {
    for is_broken in [false, true] {
        let (mut leader, mut follower, upload) = open_on_both(1_500);
        let commit = live_and_die(&mut leader, upload);
        let (path, entry) = leader.place_of(commit).expect("it stays");
        let list = entry.lengths.payload_start(entry.start);
        let sector = list.next_multiple_of(512);
        let disk = &leader.disk;
        let damaged = match is_broken {
            true => disk.break_sector(&path, sector),
            false => disk.flip_bit(&path, list, 1),
        };
        damaged.expect("it is durable");
        catch_up(&mut follower, &leader);
        assert!(matches!(follower.read(UPLOADED), Err(ReadError::Deleted)));
        assert_eq!(open_uploads(&follower), 1, "it was not told the end");
        follower.lead();
        assert_eq!(open_uploads(&follower), 0);
    }
}
