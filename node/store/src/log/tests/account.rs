//! The accounts of one segment: what each record's life does to them.

use std::sync::Arc;

use wire::limits::DELETE_RECORD_LIFE_MS;
use wire::{Epoch, Lsn};

use crate::disk::Disk;
use crate::log::SegmentState;
use crate::record::Kind;
use crate::record::layout::Lengths;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::name::SegmentName;
use crate::stage::{NOW_MS, dir, empty_disk};

fn state() -> SegmentState {
    let name = SegmentName {
        first: Lsn(10),
        generation: 0,
    };
    let file = empty_disk().create(&name.path(dir())).expect("a new name");
    SegmentState::empty(Arc::new(Segment::new(1, name, file)))
}

/// The next record behind what a segment holds.
fn entry(state: &SegmentState, kind: Kind, payload: u64) -> Entry {
    Entry {
        lsn: state.last.next(),
        start: state.end,
        lengths: Lengths {
            metadata: 100,
            payload,
        },
        id: [1; 16],
        upload: Lsn(10),
        epoch: Epoch::ZERO,
        time_ms: NOW_MS,
        supersedes: Lsn::ZERO,
        kind,
    }
}

fn append(state: &mut SegmentState, kind: Kind, payload: u64) -> Entry {
    let entry = entry(state, kind, payload);
    state.append(&entry, Lsn(3));
    entry
}

// If this fails, the operator reads of other space than there is.
#[test]
fn a_segment_begins_with_its_header_and_covers_nothing() {
    let state = state();
    assert_eq!(state.last, Lsn(9));
    assert_eq!(
        (state.end, state.length),
        (SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES)
    );
    assert_eq!((state.live, state.dead, state.holes), (0, 0, 0));
    assert_eq!(state.index_bytes, None);
}

// If this fails, live bytes are given back, or dead ones never.
#[test]
fn records_live_die_and_become_holes() {
    let mut state = state();
    let small = append(&mut state, Kind::Put, 1_000);
    let large = append(&mut state, Kind::Put, 100_000);
    assert_eq!(state.live, small.bytes() + large.bytes());
    assert_eq!(state.live, state.end - SEGMENT_HEADER_BYTES);
    assert_eq!((state.last, state.commit), (Lsn(11), Lsn(3)));
    state.kill(&large);
    assert_eq!((state.live, state.dead), (small.bytes(), large.bytes()));
    state.punched(large.lengths.punchable_bytes());
    assert_eq!(state.holes, 98_304);
    assert_eq!(state.dead, large.bytes() - 98_304);
    assert_eq!(
        state.live + state.dead + state.holes,
        state.end - SEGMENT_HEADER_BYTES
    );
}

// If this fails, a truncation leaves bytes in the accounts that are not in the file.
#[test]
fn what_was_cut_off_is_forgotten() {
    let mut state = state();
    let kept = append(&mut state, Kind::Put, 10);
    let delete = append(&mut state, Kind::Delete, 0);
    assert_eq!(state.deletes, delete.bytes());
    state.forget(&delete);
    assert_eq!((state.live, state.deletes), (kept.bytes(), 0));
}

// If this fails, one record's bytes come back twice.
#[test]
#[should_panic(expected = "only live records die")]
fn a_record_dies_once() {
    let mut state = state();
    let only = append(&mut state, Kind::Put, 10);
    state.kill(&only);
    state.kill(&only);
}

// If this fails, the payload of a live content is given back.
#[test]
#[should_panic(expected = "only dead payloads are given back")]
fn a_live_payload_is_never_a_hole() {
    let mut state = state();
    append(&mut state, Kind::Put, 100_000);
    state.punched(98_304);
}

// If this fails, parts of large contents cannot be found after a restart.
#[test]
fn only_chunks_are_noted_by_their_lsns() {
    let mut state = state();
    let chunk = append(&mut state, Kind::Chunk, 70_000);
    let put = append(&mut state, Kind::Put, 70_000);
    assert_eq!(state.segment.chunk(chunk.lsn), Some(chunk.start));
    assert_eq!(state.segment.chunk(put.lsn), None);
}

fn close(share: f64, expected: f64) -> bool {
    (share - expected).abs() < 1e-9
}

// If this fails, segments are rewritten for nothing, or never.
#[test]
fn the_droppable_share_is_of_what_is_not_a_hole_yet() {
    let mut state = state();
    assert!(
        close(state.droppable_share(NOW_MS), 0.0),
        "an empty segment"
    );
    let small: Vec<Entry> = (0..10)
        .map(|_| append(&mut state, Kind::Put, 1_000))
        .collect();
    for entry in &small[..4] {
        state.kill(entry);
    }
    assert!(close(state.droppable_share(NOW_MS), 0.4));
    let large = append(&mut state, Kind::Put, 65_536);
    state.kill(&large);
    state.punched(65_536);
    let left = large.bytes() - 65_536;
    let one = small[0].bytes();
    let expected = (4 * one + left) as f64 / (10 * one + left) as f64;
    assert!(close(state.droppable_share(NOW_MS), expected));
}

// If this fails, deletes are dropped before every retry has come, or are kept for ever.
#[test]
fn deletes_count_as_droppable_when_the_segments_last_is_old_enough() {
    let mut state = state();
    let put = append(&mut state, Kind::Put, 0);
    let delete = append(&mut state, Kind::Delete, 0);
    assert_eq!(put.bytes(), delete.bytes());
    let week = NOW_MS + DELETE_RECORD_LIFE_MS;
    assert!(close(state.droppable_share(week - 1), 0.0));
    assert!(close(state.droppable_share(week), 0.5));
    state.kill(&delete);
    assert!(close(state.droppable_share(week), 0.5), "it counts once");
}

// If this fails, a segment whose dead records must stay is rewritten again and again.
#[test]
fn what_a_rewriting_had_to_keep_is_not_droppable() {
    let mut state = state();
    let dead = append(&mut state, Kind::Put, 1_000);
    append(&mut state, Kind::Put, 1_000);
    state.kill(&dead);
    state.kept_dead = dead.bytes();
    assert!(close(state.droppable_share(NOW_MS), 0.0));
    let second = append(&mut state, Kind::Put, 1_000);
    state.kill(&second);
    assert!(close(state.droppable_share(NOW_MS), 1.0 / 3.0));
}

// If this fails, joined segments pass the bound of what a place can tell; or segments with the lists of
// dead contents, which are no holes, are never joined.
#[test]
fn only_what_may_become_a_hole_is_counted_beside_the_dead() {
    for (kind, chained) in [(Kind::Put, 98_304), (Kind::Commit, 0)] {
        let mut state = state();
        let mut replaces = entry(&state, kind, 100_000);
        replaces.supersedes = Lsn(1);
        state.append(&replaces, Lsn(3));
        let first = append(&mut state, kind, 100_000);
        state.kill(&replaces);
        state.kill(&first);
        let bytes = replaces.bytes() + first.bytes();
        assert_eq!(state.rewritten_bytes_max(), bytes + chained);
        state.punched(replaces.punchable_bytes() + first.punchable_bytes());
        let holes = first.punchable_bytes();
        assert_eq!(state.rewritten_bytes_max(), bytes - holes);
    }
}
