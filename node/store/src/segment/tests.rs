//! What readers share of an open segment file.

use std::sync::Arc;

use wire::Lsn;

use super::header::SEGMENT_HEADER_BYTES;
use super::name::SegmentName;
use super::{MARK_EVERY_BYTES, Segment};
use crate::disk::Disk;
use crate::record::layout::Lengths;
use crate::stage::{dir, empty_disk};

const LENGTHS: Lengths = Lengths {
    metadata: 0,
    payload: 1 << 20,
};

fn segment() -> Segment {
    let name = SegmentName {
        first: Lsn(10),
        generation: 0,
    };
    let file = empty_disk().create(&name.path(dir()));
    Segment::new(3, name, file.expect("a new name"))
}

// If this fails, a walk over the log waits for ever at a full segment, or leaves the last one.
#[test]
fn a_segment_is_sealed_at_its_last_lsn_and_opened_again_by_a_cut() {
    let segment = Arc::new(segment());
    assert_eq!(segment.sealed_at(), None);
    segment.seal(Lsn(19), 5000);
    assert_eq!(segment.sealed_at(), Some(Lsn(19)));
    segment.unseal();
    assert_eq!(segment.sealed_at(), None);
}

// If this fails, a part of a large content is read from another place.
#[test]
fn chunks_are_found_by_their_lsns_alone() {
    let segment = segment();
    for (lsn, start) in [(11, 4096), (14, 8 * 1000), (15, (1 << 35) - 8)] {
        segment.add_chunk(Lsn(lsn), start, LENGTHS);
    }
    assert_eq!(segment.chunk(Lsn(11)), Some(4096));
    assert_eq!(segment.chunk(Lsn(14)), Some(8000));
    assert_eq!(segment.chunk(Lsn(15)), Some((1 << 35) - 8));
    for absent in [0, 10, 12, 16] {
        assert_eq!(segment.chunk(Lsn(absent)), None, "{absent}");
    }
}

// If this fails, more or less than a dead chunk is given back.
#[test]
fn a_chunks_lengths_are_known_unless_it_has_metadata() {
    let segment = segment();
    let with_metadata = Lengths {
        metadata: 1,
        ..LENGTHS
    };
    segment.add_chunk(Lsn(11), 4096, LENGTHS);
    segment.add_chunk(Lsn(12), 8192, with_metadata);
    let lengths = |lsn| segment.chunk_place(Lsn(lsn)).expect("noted").lengths();
    assert_eq!((lengths(11), lengths(12)), (Some(LENGTHS), None));
}

// If this fails, a chunk that was cut off is read in place of the one that follows it.
#[test]
fn chunks_above_a_cut_are_forgotten_and_may_come_again() {
    let segment = segment();
    for lsn in [11, 12, 13] {
        segment.add_chunk(Lsn(lsn), lsn * 8, LENGTHS);
    }
    segment.forget_above(Lsn(12));
    assert_eq!(segment.chunk(Lsn(13)), None);
    assert_eq!(segment.chunk(Lsn(12)), Some(96));
    segment.add_chunk(Lsn(13), 800, LENGTHS);
    assert_eq!(segment.chunk(Lsn(13)), Some(800));
}

// If this fails, a chunk that was lost and found is not found any more, or hides others.
#[test]
#[should_panic(expected = "a chunk is noted once")]
fn chunks_are_found_in_whatever_order_they_came() {
    let segment = segment();
    for lsn in [12, 14, 13] {
        segment.add_chunk(Lsn(lsn), lsn * 4096, LENGTHS);
    }
    for lsn in [12, 13, 14] {
        assert_eq!(segment.chunk(Lsn(lsn)), Some(lsn * 4096));
        assert_eq!(segment.chunk_at(lsn * 4096), Some(Lsn(lsn)));
    }
    segment.add_chunk(Lsn(12), 8192, LENGTHS);
}

// If this fails, every follower that asks to be let in makes its leader read the headers of a whole
// segment, and none is let in under load; or a walk misses records.
#[test]
fn a_walk_begins_near_the_record_it_looks_for() {
    let segment = segment();
    let start = |lsn: u64| SEGMENT_HEADER_BYTES + (lsn - 10) * (64 << 10);
    for lsn in 10..100 {
        segment.mark(Lsn(lsn), start(lsn));
    }
    assert_eq!(segment.near(Lsn(10)), (Lsn(9), SEGMENT_HEADER_BYTES));
    for lsn in 10..120 {
        let (behind, near) = segment.near(Lsn(lsn));
        assert_eq!(near, start(behind.next().0));
        let here = start(lsn.min(99));
        assert!(near <= here && here - near <= MARK_EVERY_BYTES, "{lsn}");
    }
    segment.forget_above(Lsn(40));
    assert!(segment.near(Lsn(99)).1 <= start(40));
    segment.mark(Lsn(41), start(80));
    assert_eq!(segment.near(Lsn(41)), (Lsn(40), start(80)));
}
