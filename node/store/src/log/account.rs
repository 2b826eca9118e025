//! What is known of each segment beside its file: which lsns it covers, and what its bytes are for.

use std::sync::Arc;

use wire::Lsn;
use wire::limits::DELETE_RECORD_LIFE_MS;

use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;

/// A segment and its accounts. `header + live + dead + holes + padding = end`.
#[derive(Clone, Debug)]
pub(crate) struct SegmentState {
    pub(crate) segment: Arc<Segment>,
    /// The highest lsn covered; of the active segment, the last one appended.
    pub(crate) last: Lsn,
    /// Where the last record ends, in bytes.
    pub(crate) end: u64,
    /// The file's length, space reserved ahead included.
    pub(crate) length: u64,
    /// The highest commit lsn that stands in a header.
    pub(crate) commit: Lsn,
    /// Records that are needed, in bytes.
    pub(crate) live: u64,
    /// Records that are not, as far as their bytes are not holes.
    pub(crate) dead: u64,
    /// Payloads given back.
    pub(crate) holes: u64,
    /// Of dead records that superseded another one, the payloads that are or will be holes: a rewriting
    /// that must keep such a record leaves as much room for its payload.
    pub(crate) chained: u64,
    /// Deletes, in bytes: live, and droppable when they are old enough.
    pub(crate) deletes: u64,
    /// When the last record was appended, in milliseconds since 1970.
    pub(crate) last_ms: u64,
    /// What the last rewriting had to keep although it was dead.
    pub(crate) kept_dead: u64,
    /// Deletes, in bytes, that the last rewriting had to keep although they were old enough.
    pub(crate) kept_deletes: u64,
    /// Length of the index file, in bytes; none while there is none.
    pub(crate) index_bytes: Option<u64>,
    /// A damaged record keeps it from getting an index file.
    pub(crate) unsealable: bool,
    /// When it was to be rewritten and could not be read, in milliseconds since 1970.
    pub(crate) unread_ms: Option<u64>,
}

/// How long a segment that could not be read is left alone, if nothing of it is repaired: reading it
/// in vain once an hour is no load, and a disk may have its moods.
const UNREAD_MS: u64 = 3_600_000;

impl SegmentState {
    /// A segment without records.
    pub(crate) fn empty(segment: Arc<Segment>) -> SegmentState {
        SegmentState {
            last: segment.name.first.previous(),
            segment,
            end: SEGMENT_HEADER_BYTES,
            length: SEGMENT_HEADER_BYTES,
            commit: Lsn::ZERO,
            live: 0,
            dead: 0,
            holes: 0,
            chained: 0,
            deletes: 0,
            last_ms: 0,
            kept_dead: 0,
            kept_deletes: 0,
            index_bytes: None,
            unsealable: false,
            unread_ms: None,
        }
    }

    /// Accounts for a record at the end; it counts as live until it is told dead.
    pub(crate) fn append(&mut self, entry: &Entry, commit: Lsn) {
        self.end = entry.end();
        self.length = self.length.max(self.end);
        self.last = self.last.max(entry.lsn);
        self.last_ms = self.last_ms.max(entry.time_ms);
        self.commit = self.commit.max(commit);
        self.live += entry.bytes();
        if entry.kind == Kind::Delete {
            self.deletes += entry.bytes();
        }
        self.segment.mark(entry.lsn, entry.start);
        if entry.kind == Kind::Chunk {
            self.segment
                .add_chunk(entry.lsn, entry.start, entry.lengths);
        }
    }

    /// Accounts for a record that was lost, and that records may follow: it counts as live.
    pub(crate) fn recall(&mut self, entry: &Entry, commit: Lsn) {
        self.end = self.end.max(entry.end());
        self.length = self.length.max(self.end);
        self.last_ms = self.last_ms.max(entry.time_ms);
        self.commit = self.commit.max(commit);
        self.live += entry.bytes();
        if entry.kind == Kind::Delete {
            self.deletes += entry.bytes();
        }
        if entry.kind == Kind::Chunk {
            self.segment
                .add_chunk(entry.lsn, entry.start, entry.lengths);
        }
        if let Some(last) = self.segment.sealed_at() {
            self.segment.seal(last, self.end);
        }
    }

    /// A record of this segment is needed no more.
    pub(crate) fn kill(&mut self, entry: &Entry) {
        self.kill_bytes(entry.bytes());
        if entry.kind != Kind::Chunk && entry.supersedes > Lsn::ZERO {
            self.chained += entry.punchable_bytes();
        }
        if entry.kind == Kind::Delete {
            self.deletes -= entry.bytes();
        }
    }

    /// A record of this segment that takes so many bytes, and is no delete, is needed no more.
    pub(crate) fn kill_bytes(&mut self, bytes: u64) {
        assert!(self.live >= bytes, "only live records die");
        self.live -= bytes;
        self.dead += bytes;
    }

    /// A record at the end was cut off.
    pub(crate) fn forget(&mut self, entry: &Entry) {
        self.live = self.live.saturating_sub(entry.bytes());
        if entry.kind == Kind::Delete {
            self.deletes = self.deletes.saturating_sub(entry.bytes());
        }
    }

    /// The payload of a dead record was given back.
    pub(crate) fn punched(&mut self, bytes: u64) {
        assert!(self.dead >= bytes, "only dead payloads are given back");
        self.dead -= bytes;
        self.holes += bytes;
    }

    /// Whether a rewriting could not read it, a short time ago. A clock that went back makes that no
    /// longer.
    pub(crate) fn is_unread(&self, now_ms: u64) -> bool {
        let since_ms = self.unread_ms.and_then(|unread| now_ms.checked_sub(unread));
        since_ms.is_some_and(|since_ms| since_ms < UNREAD_MS)
    }

    /// What a rewriting of the segment takes at most, holes included.
    pub(crate) fn rewritten_bytes_max(&self) -> u64 {
        self.live + self.dead + self.chained
    }

    /// The share of the segment's bytes, holes not counted, that rewriting it would give back.
    pub(crate) fn droppable_share(&self, now_ms: u64) -> f64 {
        let deletes_expired = self.last_ms.saturating_add(DELETE_RECORD_LIFE_MS) <= now_ms;
        let deletes = if deletes_expired {
            self.deletes.saturating_sub(self.kept_deletes)
        } else {
            0
        };
        let droppable = self.dead.saturating_sub(self.kept_dead) + deletes;
        droppable as f64 / (self.live + self.dead).max(1) as f64
    }
}
