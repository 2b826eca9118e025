//! What only a follower does: take a leader's records as they are, and give up what a new leader
//! does not have.

use std::io;

use wire::Lsn;

use super::Store;
use super::error::ReplicateError;
use crate::content::Content;
use crate::log::Room;
use crate::poison::Poisoned;
use crate::record::kind::Kind;
use crate::record::{ChunkRef, Record, decode_chunks};

impl Store {
    /// Appends a leader's record at its own lsn. `covers_from` is the first lsn that the leader's
    /// frame covers: those between it and the record were compacted there.
    ///
    /// # Errors
    /// When the record is out of order, something before it is missing, it contradicts the log, or
    /// it cannot be appended.
    pub fn replicate(&mut self, record: Record, covers_from: Lsn) -> Result<Lsn, ReplicateError> {
        let end = self.log.appended();
        if record.head.lsn <= end.lsn || covers_from > end.lsn.next() {
            return Err(ReplicateError::Order {
                found: record.head.lsn,
                end: end.lsn,
            });
        }
        if record.head.epoch < end.epoch {
            return Err(ReplicateError::Epoch {
                found: record.head.epoch,
                current: end.epoch,
            });
        }
        if record.head.commit >= record.head.lsn {
            return Err(ReplicateError::Contradiction(
                "a record tells of its own commit",
            ));
        }
        self.check_upload(&record)?;
        let content = record.content()?;
        self.leads = None;
        Ok(self.append_record(record, content, Room::Control)?)
    }

    /// Of a dead content, chunks may be missing: the leader has compacted them, and not yet those
    /// after them, nor the commit. A frame that skips a record without covering it was refused.
    fn check_upload(&self, record: &Record) -> Result<(), ReplicateError> {
        let head = &record.head;
        let Some(open) = self.uploads.get(head.upload) else {
            return Ok(());
        };
        match head.kind {
            Kind::Chunk if open.bytes > head.offset => Err(ReplicateError::Contradiction(
                "a chunk does not follow its upload",
            )),
            Kind::Commit if !is_part(&open.chunks, &decode_chunks(record.payload.bytes())) => {
                Err(ReplicateError::Contradiction("a commit names other chunks"))
            }
            _ => Ok(()),
        }
    }

    /// Measures what lies in `quarantine/`, after somebody deleted there.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn measure_quarantine(&mut self) -> io::Result<()> {
        self.log.measure_quarantine()
    }

    /// Cuts off everything above `lsn`, into `quarantine/`. Readers see no difference: they see
    /// only what is committed.
    ///
    /// # Errors
    /// When the disk fails: that stops the log, which must be opened again. Nothing tells how much of it
    /// went.
    pub fn truncate_after(&mut self, lsn: Lsn) -> io::Result<()> {
        assert!(
            lsn >= self.shared.committed(),
            "what is committed is never cut off"
        );
        while let Some(record) = self.pending.pop_above(lsn) {
            self.uploads.undo(&record);
            if record.entry.kind == Kind::Chunk && record.entry.upload == record.entry.lsn {
                self.shared.end_upload(record.entry.lsn);
            }
            if let Some(state) = self.log.state_mut(record.segment) {
                state.forget(&record.entry);
            }
        }
        self.leads = None;
        self.forget_kept_above(lsn);
        self.cut_after(lsn).map_err(|error| {
            let kind = error.kind();
            io::Error::new(kind, self.log.poison(Poisoned::new("truncate", error)))
        })
    }

    fn cut_after(&mut self, lsn: Lsn) -> io::Result<()> {
        // The header that tells this commit may be among what goes.
        self.log.marker.raise(self.shared.committed())?;
        self.log.truncate_after(lsn).map(drop)
    }
}

/// Whether these chunks are all that a commit names, or what compacting left of them.
fn is_part(open: &[ChunkRef], named: &[ChunkRef]) -> bool {
    if open.len() == named.len() {
        return open == named;
    }
    let mut named = named.iter();
    open.iter()
        .all(|chunk| named.any(|other| other.lsn == chunk.lsn))
}

impl Record {
    /// The content that the record is about, as it is after it; of a delete, as it was.
    pub(crate) fn content(&self) -> Result<Option<Content>, ReplicateError> {
        if matches!(self.head.kind, Kind::Chunk | Kind::Abort | Kind::Epoch) {
            return Ok(None);
        }
        let bytes = crate::record::metadata_bytes(&self.head, &self.head_bytes);
        Content::decode(&self.head, bytes)
            .map(Some)
            .map_err(|_| ReplicateError::Contradiction("a content's metadata cannot be read"))
    }
}
