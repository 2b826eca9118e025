//! Segments: the files of a log. This module owns their formats and names, not their order.

pub(crate) mod entry;
pub(crate) mod header;
pub(crate) mod index_file;
pub(crate) mod name;
pub(crate) mod scan;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use wire::Lsn;

use crate::disk::File;
use crate::record::layout::{ALIGN, Lengths};
use header::SEGMENT_HEADER_BYTES;
use name::SegmentName;

/// An open segment file, as readers share it.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Names the file while the process runs; a rewritten segment gets another number.
    pub(crate) number: u32,
    pub(crate) name: SegmentName,
    pub(crate) file: Arc<dyn File>,
    /// Where chunks start, in the order of lsns: a commit record names its chunks by lsn.
    chunks: RwLock<Vec<ChunkPlace>>,
    /// Where every so many bytes a record starts: a walk that begins at an lsn begins near it.
    marks: RwLock<Vec<RecordPlace>>,
    /// The last lsn covered, once nothing more is appended here; zero before.
    last: AtomicU64,
    /// Where the last record ended when that was so, in bytes.
    end: AtomicU64,
}

/// Bytes between two marks at least: a walk to a record reads the headers of so much before it, and a
/// segment of 256 MiB takes 4 KiB of memory for its marks.
const MARK_EVERY_BYTES: u64 = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct RecordPlace {
    lsn: Lsn,
    /// In units of 8 bytes.
    start: u32,
}

/// Where a chunk is, and how long: so a large content dies without a read for each of its chunks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkPlace {
    pub(crate) lsn: Lsn,
    /// In units of 8 bytes.
    start: u32,
    /// Length of the payload, in bytes; or [`UNKNOWN`].
    payload: u32,
}

/// The length of a chunk that has metadata, which no version writes.
const UNKNOWN: u32 = u32::MAX;

// The length stands where padding was.
const _: () = assert!(size_of::<ChunkPlace>() == size_of::<RecordPlace>());

impl ChunkPlace {
    fn new(lsn: Lsn, start: u64, lengths: Lengths) -> ChunkPlace {
        let payload = u32::try_from(lengths.payload).ok();
        ChunkPlace {
            lsn,
            start: u32::try_from(start / ALIGN).expect("a segment is below 32 GiB"),
            payload: payload.filter(|_| lengths.metadata == 0).unwrap_or(UNKNOWN),
        }
    }

    /// Where its record starts in the segment, in bytes.
    pub(crate) fn start(self) -> u64 {
        u64::from(self.start) * ALIGN
    }

    /// None when only its head tells.
    pub(crate) fn lengths(self) -> Option<Lengths> {
        (self.payload != UNKNOWN).then_some(Lengths {
            metadata: 0,
            payload: u64::from(self.payload),
        })
    }
}

impl Segment {
    pub(crate) fn new(number: u32, name: SegmentName, file: Arc<dyn File>) -> Segment {
        Segment {
            number,
            name,
            file,
            chunks: RwLock::default(),
            marks: RwLock::default(),
            last: AtomicU64::new(0),
            end: AtomicU64::new(0),
        }
    }

    /// Nothing more is appended here; `last` is the last lsn covered, and the last record ends at
    /// byte `end`.
    pub(crate) fn seal(&self, last: Lsn, end: u64) {
        self.end.store(end, Ordering::Release);
        self.last.store(last.0, Ordering::Release);
    }

    /// The segment is written to again: those after it were cut off.
    pub(crate) fn unseal(&self) {
        self.last.store(0, Ordering::Release);
    }

    /// The last lsn covered; none while the segment is written to.
    pub(crate) fn sealed_at(&self) -> Option<Lsn> {
        let last = Lsn(self.last.load(Ordering::Acquire));
        (last > Lsn::ZERO).then_some(last)
    }

    /// Whether a record of a sealed segment should begin at this byte.
    pub(crate) fn has_record_at(&self, start: u64) -> bool {
        start < self.end()
    }

    /// Where the last record of a sealed segment ends, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Notes a chunk; lsns come in ascending order, but for lost ones.
    pub(crate) fn add_chunk(&self, lsn: Lsn, start: u64, lengths: Lengths) {
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        let at = chunks.partition_point(|chunk| chunk.lsn < lsn);
        assert!(
            chunks.get(at).is_none_or(|chunk| chunk.lsn > lsn),
            "a chunk is noted once"
        );
        chunks.insert(at, ChunkPlace::new(lsn, start, lengths));
    }

    /// Notes any record, for those that look for one near it; lsns come in ascending order.
    pub(crate) fn mark(&self, lsn: Lsn, start: u64) {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let last = marks.last().map_or(0, |last| u64::from(last.start) * ALIGN);
        if start >= last + MARK_EVERY_BYTES {
            let start = u32::try_from(start / ALIGN).expect("a segment is below 32 GiB");
            marks.push(RecordPlace { lsn, start });
        }
    }

    /// Where a walk to an lsn begins: at a record that is not behind it, or at the first; an lsn that
    /// is before that record, and its start in bytes.
    pub(crate) fn near(&self, lsn: Lsn) -> (Lsn, u64) {
        self.mark_before(|mark| mark.lsn <= lsn)
    }

    /// As [`Segment::near`], for a walk to the record that starts at this byte.
    pub(crate) fn before(&self, start: u64) -> (Lsn, u64) {
        self.mark_before(|mark| u64::from(mark.start) * ALIGN <= start)
    }

    fn mark_before(&self, is_before: impl Fn(&RecordPlace) -> bool) -> (Lsn, u64) {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let before = marks.partition_point(is_before);
        match before.checked_sub(1).map(|at| marks[at]) {
            Some(mark) => (mark.lsn.previous(), u64::from(mark.start) * ALIGN),
            None => (self.name.first.previous(), SEGMENT_HEADER_BYTES),
        }
    }

    /// Forgets the records above an lsn, after a truncation.
    pub(crate) fn forget_above(&self, lsn: Lsn) {
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        chunks.retain(|chunk| chunk.lsn <= lsn);
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|mark| mark.lsn <= lsn);
    }

    /// The chunk that starts here; none when no chunk does.
    pub(crate) fn chunk_at(&self, start: u64) -> Option<Lsn> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let start = u32::try_from(start / ALIGN).ok()?;
        let at = chunks
            .binary_search_by_key(&start, |chunk| chunk.start)
            .ok()?;
        Some(chunks[at].lsn)
    }

    /// Where a chunk starts, in bytes; none when it is not here.
    pub(crate) fn chunk(&self, lsn: Lsn) -> Option<u64> {
        self.chunk_place(lsn).map(ChunkPlace::start)
    }

    /// Where a chunk is; none when it is not here.
    pub(crate) fn chunk_place(&self, lsn: Lsn) -> Option<ChunkPlace> {
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let at = chunks.binary_search_by_key(&lsn, |chunk| chunk.lsn).ok()?;
        Some(chunks[at])
    }
}

#[cfg(test)]
mod tests;
