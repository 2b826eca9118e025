//! The log: an ordered row of segments that records are appended to. It knows positions and files;
//! it does not know what a content is.
//!
//! `appended >= synced`. A record lives in the write buffer until [`Log::flush`], in the page cache
//! until the job that flush returned has run, and on the disk from then on.

mod account;
mod cache;
mod catch_up;
pub(crate) mod epochs;
pub(crate) mod marker;
mod prefill;
pub(crate) mod recovery;
mod roll;
mod sync;
mod truncate;

use std::path::PathBuf;
use std::sync::Arc;

use wire::{Lsn, Position};

pub(crate) use account::SegmentState;
pub use sync::{SyncDone, SyncJob};

use crate::disk::{Disk, File};
use crate::geometry::Geometry;
use crate::poison::{AppendError, Poisoned};
use crate::record::Record;
use crate::record::layout::PUNCHED_BYTES_MIN;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::shared::Shared;
use epochs::Epochs;
use marker::CommitMarker;

/// Small records gather here and are written together; larger payloads are written at once.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Who asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Content: leaves the reserve alone.
    Content,
    /// Records that end something: may use the reserve.
    Control,
}

/// One replica's log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) shared: Arc<Shared>,
    pub(crate) geometry: Geometry,
    /// In the order of lsns; the last one is written to.
    pub(crate) segments: Vec<SegmentState>,
    pub(crate) epochs: Epochs,
    /// The highest lsn of a delete that was dropped.
    pub(crate) horizon: Lsn,
    /// Raised before anything is destroyed in trust of a commit.
    pub(crate) marker: Arc<CommitMarker>,
    appended: Position,
    synced: Lsn,
    buffer: Vec<u8>,
    /// Where the buffer belongs in the active segment.
    buffer_at: u64,
    /// Nothing more is written to the active segment: the next record begins a new one.
    closed: bool,
    /// How far space is reserved in the active segment.
    reserved: u64,
    /// How far the active segment was filled with zeros, ahead of small appends.
    prefilled: u64,
    unsynced: sync::Unsynced,
    catch_up: catch_up::CatchUp,
    poison: Option<Poisoned>,
    next_number: u32,
    /// What lies in quarantine.
    pub(crate) quarantine_bytes: u64,
}

impl Log {
    /// The last record appended.
    pub(crate) fn appended(&self) -> Position {
        self.appended
    }

    /// The last record that is durable.
    pub(crate) fn synced(&self) -> Lsn {
        self.synced
    }

    /// The segment that is written to.
    pub(crate) fn active(&self) -> &SegmentState {
        self.segments.last().expect("a log has a segment")
    }

    pub(crate) fn active_mut(&mut self) -> &mut SegmentState {
        self.segments.last_mut().expect("a log has a segment")
    }

    /// The state of the segment with this number.
    pub(crate) fn state_mut(&mut self, number: u32) -> Option<&mut SegmentState> {
        self.segments
            .iter_mut()
            .find(|state| state.segment.number == number)
    }

    /// A number for a new segment file.
    pub(crate) fn take_number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    /// Fails when the log is stopped.
    pub(crate) fn check(&self) -> Result<(), Poisoned> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    /// Stops the log; the first reason stays.
    pub(crate) fn poison(&mut self, reason: Poisoned) -> Poisoned {
        self.poison.get_or_insert(reason).clone()
    }

    /// Appends a record behind the last one. It is durable after the next sync.
    ///
    /// # Errors
    /// `Full` when there is no room, and `Poisoned` when the log is stopped or this write stops it.
    pub(crate) fn append(
        &mut self,
        record: &Record,
        room: Room,
    ) -> Result<(Arc<Segment>, Entry), AppendError> {
        self.check()?;
        assert!(
            record.head.lsn > self.appended.lsn,
            "lsns are appended in ascending order"
        );
        assert!(record.head.epoch >= self.appended.epoch, "epochs only grow");
        self.make_room(record.head.lengths(), room)?;
        self.admit_commit(record.head.commit)?;
        let entry = Entry::new(&record.head, self.active().end);
        self.place(record, &entry).map_err(AppendError::Poisoned)?;
        self.appended = Position {
            epoch: record.head.epoch,
            lsn: record.head.lsn,
        };
        self.epochs.append(self.appended);
        if self.buffer.is_empty() {
            self.shared.set_written(entry.lsn);
        }
        let state = self.active_mut();
        state.append(&entry, record.head.commit);
        Ok((Arc::clone(&state.segment), entry))
    }

    /// Puts the record's bytes into the buffer, or, if they are many, into the file.
    fn place(&mut self, record: &Record, entry: &Entry) -> Result<(), Poisoned> {
        let payload_at = entry.lengths.payload_start(entry.start);
        self.unsynced.bytes += entry.bytes();
        self.buffer.extend_from_slice(&record.head_bytes);
        if entry.lengths.payload < PUNCHED_BYTES_MIN {
            self.buffer
                .resize((payload_at - self.buffer_at) as usize, 0);
            self.buffer.extend_from_slice(record.payload.bytes());
            self.buffer
                .resize((entry.end() - self.buffer_at) as usize, 0);
            if self.buffer.len() > BUFFER_BYTES_MAX {
                self.write_buffer()
            } else {
                Ok(())
            }
        } else {
            // No zeros for what is written now.
            self.prefilled = self.prefilled.max(payload_at);
            self.write_buffer()?;
            self.buffer_at = entry.end();
            self.write(record.payload.bytes(), payload_at)?;
            self.drop_behind(&record.head, payload_at);
            Ok(())
        }
    }

    /// Writes the buffer into the page cache.
    pub(crate) fn write_buffer(&mut self) -> Result<(), Poisoned> {
        self.check()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let at = self.buffer_at;
        self.buffer_at += buffer.len() as u64;
        let written = self
            .prefill(at, buffer.len() as u64)
            .and_then(|()| self.write(&buffer, at));
        self.buffer = buffer;
        self.buffer.clear();
        if written.is_ok() {
            self.shared.set_written(self.appended.lsn);
        }
        written
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> Result<(), Poisoned> {
        let file: &Arc<dyn File> = &self.active().segment.file;
        let written = file.write_at(bytes, at);
        if written.is_ok() && bytes.len() as u64 >= PUNCHED_BYTES_MIN {
            file.begin_write_back(at, bytes.len() as u64);
        }
        written.map_err(|error| self.poison(Poisoned::new("write", error)))
    }
}

#[cfg(test)]
mod tests;
