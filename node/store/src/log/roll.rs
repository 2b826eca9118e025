//! Room for the next record: reserving space ahead, and going on to a new segment.
//!
//! Space is reserved before it is written to. A refusal there is "full", and breaks nothing; only
//! a failed write or sync stops the log.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use wire::Lsn;

use super::{Log, Room, SegmentState};
use crate::poison::{AppendError, Poisoned};
use crate::record::layout::Lengths;
use crate::segment::Segment;
use crate::segment::header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::segment::name::SegmentName;

impl Log {
    /// Makes sure that the active segment has reserved room for a record of these lengths.
    pub(super) fn make_room(&mut self, lengths: Lengths, room: Room) -> Result<(), AppendError> {
        if self.closed {
            self.roll(self.appended().lsn.next())?;
        }
        let end = self.active().end;
        let full = end > SEGMENT_HEADER_BYTES && lengths.end(end) > self.geometry.segment_bytes;
        if full {
            match self.roll(self.appended().lsn.next()) {
                Err(AppendError::Full { .. }) if room == Room::Control => {}
                other => other?,
            }
        }
        let end = lengths.end(self.active().end);
        let wanted = match room {
            Room::Content => end + self.geometry.reserve_bytes,
            Room::Control => end,
        };
        if wanted <= self.reserved {
            return Ok(());
        }
        self.reserve(wanted, end)
    }

    /// Reserves space up to `wanted` and ahead, or at least up to `wanted`.
    fn reserve(&mut self, wanted: u64, end: u64) -> Result<(), AppendError> {
        let from = self.reserved;
        let ahead = wanted.next_multiple_of(self.geometry.allocate_bytes);
        let file = Arc::clone(&self.active().segment.file);
        let outcome = match file.allocate(from, ahead - from) {
            Err(error) if error.kind() == ErrorKind::StorageFull && ahead > wanted => {
                file.allocate(from, wanted - from).map(|()| wanted)
            }
            other => other.map(|()| ahead),
        };
        match outcome {
            Ok(reserved) => {
                self.reserved = reserved;
                let state = self.active_mut();
                state.length = state.length.max(reserved);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                // What there was may have been reserved all the same.
                let length = file.len().unwrap_or(from);
                let state = self.active_mut();
                state.length = state.length.max(length);
                Err(AppendError::Full {
                    bytes: end - state.end,
                })
            }
            Err(error) => Err(self.poison(Poisoned::new("reserve space", error)).into()),
        }
    }

    /// Goes on to a new segment, which covers lsns from `first` on.
    pub(super) fn roll(&mut self, first: Lsn) -> Result<(), AppendError> {
        self.write_buffer()?;
        let state = match self.new_segment(first) {
            Ok(state) => state,
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                return Err(AppendError::Full {
                    bytes: self.geometry.allocate_bytes,
                });
            }
            Err(error) => return Err(self.poison(Poisoned::new("new segment", error)).into()),
        };
        if let Some(old) = self.segments.last_mut() {
            old.last = first.previous();
            old.segment.seal(old.last, old.end);
            self.unsynced.files.push(Arc::clone(&old.segment.file));
        }
        self.closed = false;
        self.unsynced.dir = true;
        self.reserved = state.length;
        self.prefilled = state.end;
        self.buffer_at = state.end;
        self.shared.add_segment(&state.segment);
        self.segments.push(state);
        Ok(())
    }

    /// Makes the file of a new segment, with room for its first records. Nothing of it stays when
    /// there is no room.
    fn new_segment(&mut self, first: Lsn) -> io::Result<SegmentState> {
        let name = SegmentName {
            first,
            generation: 0,
        };
        let path = name.path(&self.dir);
        let file = self.disk.create(&path)?;
        let header = SegmentHeader {
            generation: 0,
            log: self.shared.log,
            first,
            last: Lsn::ZERO,
            horizon: self.horizon,
        };
        let length = self.geometry.allocate_bytes.max(2 * SEGMENT_HEADER_BYTES);
        let begun = file
            .allocate(0, length)
            .and_then(|()| file.write_at(&header.encode(), 0));
        if let Err(error) = begun {
            // Durably, or a crash could bring it back behind what the old segment goes on with.
            self.disk.remove(&path)?;
            self.disk.sync_dir(&self.dir)?;
            return Err(error);
        }
        let segment = Arc::new(Segment::new(self.take_number(), name, file));
        let mut state = SegmentState::empty(segment);
        state.length = length;
        Ok(state)
    }
}
