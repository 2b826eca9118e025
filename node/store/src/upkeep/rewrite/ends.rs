//! Which ends of uploads must stay: an upload whose chunks are in the log and whose end is not is
//! open, for a restart and for whoever takes the log over.

use std::io;

use wire::Lsn;

use super::{Others, Rewriting};
use crate::record::kind::Kind;
use crate::segment::entry::Entry;

impl Others {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.lsns.insert(entry.lsn);
        if entry.kind == Kind::Chunk {
            self.uploads.insert(entry.upload);
        }
    }

    /// Whether a chunk of an upload is there, or may be.
    fn may_have_chunk_of(&self, upload: Lsn) -> bool {
        self.uploads.contains(&upload) || !self.hidden.is_empty()
    }
}

impl Rewriting<'_> {
    /// Whether a record ended an upload of which chunks are, or may be, in the log after this
    /// rewriting. They all lie before it.
    pub(super) fn has_chunks(&mut self, end: &Entry) -> io::Result<bool> {
        if !matches!(end.kind, Kind::Abort | Kind::Commit) {
            return Ok(false);
        }
        if self.uploads.contains(&end.upload) {
            return Ok(true);
        }
        let shared = &self.plan.shared;
        for segment in shared.segments_between(end.upload, self.plan.first) {
            if self.others_in(&segment)?.may_have_chunk_of(end.upload) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
