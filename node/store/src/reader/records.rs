//! Records by their lsns: what a replica whose copy is damaged asks an intact one for.

use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn};

use super::{ReadError, Reader};
use crate::fetch::{Fetched, Patience};
use crate::record::kind::Kind;
use crate::record::{Record, decode_chunks};
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::scan::Scan;

impl Reader {
    /// The committed record of an lsn, whole and verified. Waits for the disk, and may read the
    /// heads of a mebibyte of records before it.
    ///
    /// # Errors
    /// `NotFound` when it was compacted, is not committed, or its header cannot be read here.
    pub fn record(&self, lsn: Lsn) -> Result<Record, ReadError> {
        if lsn > self.shared.committed() {
            return Err(ReadError::NotFound);
        }
        loop {
            let segment = self.shared.segment_of(lsn).ok_or(ReadError::NotFound)?;
            let read = self.record_in(&segment, lsn);
            // A segment that was rewritten meanwhile may have lost it by that.
            if read.is_ok() || self.shared.segment(segment.number).is_some() {
                return read;
            }
        }
    }

    /// Whether surely nothing of an lsn counts any more: it is committed, and a follower that has all
    /// before it would not be sent it. Never of what may be a delete that was dropped for its age: who
    /// has the content still must not forget the delete.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn is_dropped(&self, lsn: Lsn) -> Result<bool, ReadError> {
        if lsn > self.shared.committed() || !self.shared.damage().lost_nothing() {
            return Ok(false);
        }
        let mut missing = self.missing(lsn.previous());
        let is_absent = match missing.next_needed() {
            Ok(Some(next)) => next.head.lsn > lsn,
            Ok(None) => missing.covered() >= lsn,
            Err(ReadError::Disk(error)) => return Err(error.into()),
            // Whether it is needed cannot be told, or it is not intact.
            Err(_) => false,
        };
        // Only now: a delete may have been dropped meanwhile, which others still need.
        Ok(is_absent && lsn > self.shared.horizon())
    }

    fn record_in(&self, segment: &Arc<Segment>, lsn: Lsn) -> Result<Record, ReadError> {
        let start = match segment.chunk(lsn) {
            Some(start) => start,
            None => {
                let (_, start) = segment.near(lsn);
                let scan = Scan::new(&*segment.file, self.shared.log, start)?;
                scan.find(lsn)?.ok_or(ReadError::NotFound)?.start
            }
        };
        let file = &*segment.file;
        let fetched = Fetched::head(file, self.shared.log, start, Patience::Wait)?;
        let length = usize::try_from(fetched.head.payload_bytes).map_err(io::Error::other)?;
        let payload = fetched.payload(file, 0, length, Patience::Wait)?;
        Ok(fetched.into_record(payload))
    }

    /// The lsns of all records that a content needs, in ascending order: its put, or its commit and
    /// its chunks, and what was described since; of a deleted one, the delete.
    ///
    /// # Errors
    /// As [`Reader::open`]; deleted is none.
    pub fn needed(&self, id: ContentId) -> Result<Vec<Lsn>, ReadError> {
        let records = self.locate(id, Patience::Wait)?;
        let latest = records.latest.fetched.head.lsn;
        let data = records.data.unwrap_or(records.latest);
        let head = &data.fetched.head;
        let mut lsns = vec![latest, head.lsn];
        if head.kind == Kind::Commit {
            let length = usize::try_from(head.payload_bytes).map_err(io::Error::other)?;
            let file = &*data.segment.file;
            let list = data.fetched.payload(file, 0, length, Patience::Wait)?;
            lsns.extend(decode_chunks(&list).iter().map(|chunk| chunk.lsn));
        }
        lsns.sort_unstable();
        lsns.dedup();
        Ok(lsns)
    }

    /// The lsn of the commit by which a chunk's upload is its content; none when it is not.
    ///
    /// # Errors
    /// When that cannot be told, because the disk fails or a record is damaged.
    pub(crate) fn commit_of(&self, chunk: &Entry) -> Result<Option<Lsn>, ReadError> {
        let Ok(id) = ContentId::from_bytes(chunk.id) else {
            return Ok(None);
        };
        let data = self.data(id, Patience::Wait)?;
        let commit = data.filter(|fetched| {
            fetched.head.kind == Kind::Commit && fetched.head.upload == chunk.upload
        });
        Ok(commit.map(|fetched| fetched.head.lsn))
    }
}
