//! Chunked uploads: begun, gone on with, ended.
//!
//! An upload is named by the position of its first chunk. Its lsn alone would not do: a leader that was
//! deposed, and whose log was cut, may lead again, and have another upload at the same lsn. What still
//! comes for the one before must not go into it.

use store::{AppendError, ChangeError, How, Payload};
use wire::ContentId;
use wire::position::{Lsn, Position};

use super::Replica;
use crate::driver::command::ChangeFailure;

impl Replica {
    /// Begins a chunked upload.
    pub(in crate::driver::disk) fn first_chunk(
        &mut self,
        id: ContentId,
        how: How,
        payload: Payload,
        now_ms: u64,
    ) -> Result<Position, ChangeFailure> {
        self.check_open(id, how)?;
        let lsn = self.store.first_chunk(id, &how, payload, now_ms)?;
        let epoch = self.store.positions().appended.epoch;
        Ok(Position { epoch, lsn })
    }

    /// Appends a later chunk. Once one was refused, those behind it have no place.
    pub(in crate::driver::disk) fn chunk(
        &mut self,
        upload: Position,
        offset: u64,
        payload: Payload,
        now_ms: u64,
    ) -> Result<Lsn, ChangeFailure> {
        let upload = self.of_this_term(upload)?;
        if self.broken.contains(&upload) {
            return Err(ChangeError::NoSuchUpload.into());
        }
        let appended = self.store.chunk(upload, offset, payload, now_ms);
        if appended.is_err() {
            self.broken.insert(upload);
        }
        Ok(appended?)
    }

    /// A chunk was refused before it came here: the next one is on its way already.
    pub(in crate::driver::disk) fn break_upload(&mut self, upload: Position) {
        if let Ok(upload) = self.of_this_term(upload) {
            self.broken.insert(upload);
        }
    }

    /// Ends an upload without a content.
    pub(in crate::driver::disk) fn abort(
        &mut self,
        upload: Position,
        now_ms: u64,
    ) -> Result<(), AppendError> {
        // One of an earlier term ended with it.
        let Ok(upload) = self.of_this_term(upload) else {
            return Ok(());
        };
        self.broken.remove(&upload);
        self.store.abort(upload, now_ms)
    }

    /// The lsn by which the store knows an upload of this term: all that a leader appends is of its own
    /// epoch, and each epoch's first record ends the uploads before it.
    pub(super) fn of_this_term(&self, upload: Position) -> Result<Lsn, ChangeError> {
        let epoch = self.store.positions().appended.epoch;
        match upload.epoch == epoch {
            true => Ok(upload.lsn),
            false => Err(ChangeError::NoSuchUpload),
        }
    }
}
