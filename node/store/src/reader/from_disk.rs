//! Reading what is on the disk, not what the page cache still has of it.

use wire::ContentId;

use super::{Located, OpenContent, ReadError, Reader};
use crate::fetch::Patience;
use crate::record::layout::PAGE;
use crate::segment::Segment;

impl Reader {
    /// As [`Reader::open`], but its bytes come from the disk as it is now: what the cache has of
    /// them is dropped first. Bytes that somebody else reads meanwhile may be cached again.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_from_disk(&self, id: ContentId) -> Result<OpenContent, ReadError> {
        let records = self.locate(id, Patience::Wait)?;
        records.latest.forget_cached();
        if let Some(data) = &records.data {
            data.forget_cached();
        }
        let open = self.open(id)?;
        open.forget_cached();
        Ok(open)
    }
}

impl Located {
    fn forget_cached(&self) {
        let start = self.place.start();
        let end = self.fetched.head.lengths().end(start);
        forget_cached(&self.segment, start, end);
    }
}

/// Drops what is cached of the pages that a range touches: the system keeps a page that a range
/// covers in part.
pub(crate) fn forget_cached(segment: &Segment, start: u64, end: u64) {
    let from = start / PAGE * PAGE;
    let bytes = end.next_multiple_of(PAGE) - from;
    segment.file.begin_write_back(from, bytes);
}
