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
use crate::record::layout::ALIGN;
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
    /// The last lsn covered, once nothing more is appended here; zero before.
    last: AtomicU64,
    /// Where the last record ended when that was so, in bytes.
    end: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct ChunkPlace {
    lsn: Lsn,
    /// In units of 8 bytes.
    start: u32,
}

impl Segment {
    pub(crate) fn new(number: u32, name: SegmentName, file: Arc<dyn File>) -> Segment {
        Segment {
            number,
            name,
            file,
            chunks: RwLock::default(),
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
        start < self.end.load(Ordering::Acquire)
    }

    /// Notes a chunk; lsns come in ascending order.
    pub(crate) fn add_chunk(&self, lsn: Lsn, start: u64) {
        let start = u32::try_from(start / ALIGN).expect("a segment is below 32 GiB");
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        assert!(
            chunks.last().is_none_or(|last| last.lsn < lsn),
            "chunks are noted in order"
        );
        chunks.push(ChunkPlace { lsn, start });
    }

    /// Forgets the chunks above an lsn, after a truncation.
    pub(crate) fn forget_chunks_above(&self, lsn: Lsn) {
        let mut chunks = self.chunks.write().unwrap_or_else(PoisonError::into_inner);
        chunks.retain(|chunk| chunk.lsn <= lsn);
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
        let chunks = self.chunks.read().unwrap_or_else(PoisonError::into_inner);
        let at = chunks.binary_search_by_key(&lsn, |chunk| chunk.lsn).ok()?;
        Some(u64::from(chunks[at].start) * ALIGN)
    }
}

#[cfg(test)]
mod tests;
