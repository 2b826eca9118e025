//! Opening a log again: which files belong to it, which records, and where it ends.
//!
//! The highest commit lsn in any intact header decides, unless the commit marker stands alone. Damage at or below it is damage: it is
//! noted and never cut. Above it the log is cut at the first bad record, whatever follows, because
//! unsynced pages reach the disk in any order; what is cut goes to `quarantine/`.

mod load;
mod survey;

use std::io;
use std::path::Path;
use std::sync::Arc;

use wire::{Lsn, Position};

use super::catch_up::CatchUp;
use super::epochs::Epochs;
use super::marker::CommitMarker;
use super::{Log, sync};
use crate::disk::Disk;
use crate::geometry::Geometry;
use crate::poison::AppendError;
use crate::record::head::DecodeHeadError;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::DecodeSegmentError;
use crate::shared::Shared;
use load::Loader;
use survey::Surveyed;

/// The folder, in the log's own, for what was cut off.
pub(super) const QUARANTINE: &str = "quarantine";

/// Why a log cannot be opened or made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("{step} in {dir}: {error}")]
    Disk {
        /// What was tried.
        step: &'static str,
        /// The log's directory.
        dir: String,
        /// Why it failed.
        error: io::Error,
    },
    /// A segment of another log, or of a version that this one does not know.
    #[error("{file}: {error}")]
    Segment {
        /// The file.
        file: String,
        /// What stands there.
        error: DecodeSegmentError,
    },
    /// A record of a version that this one does not know.
    #[error("{file} at byte {offset}: {error}")]
    Record {
        /// The file.
        file: String,
        /// Where the record starts.
        offset: u64,
        /// What stands there.
        error: DecodeHeadError,
    },
    /// The first segment could not be made.
    #[error("the log cannot be begun: {0}")]
    Begin(AppendError),
}

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files.
    pub segments: u64,
    /// Of these, how many had to be read record by record.
    pub scanned: u64,
    /// Bytes above the commit that were cut off and put into `quarantine/`.
    pub quarantined_bytes: u64,
    /// Places at or below the commit where no record can be read.
    pub damaged: u64,
}

/// Called for each record that stays, in the order of lsns, with the highest known commit.
pub(crate) type Visit<'a> =
    &'a mut dyn FnMut(&mut Log, &Arc<Segment>, &Entry, Lsn) -> io::Result<()>;

/// Where a log is to be opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) dir: &'a Path,
    pub(crate) geometry: Geometry,
    pub(crate) log: u64,
}

impl Opening<'_> {
    fn disk<T>(&self, step: &'static str, outcome: io::Result<T>) -> Result<T, OpenError> {
        outcome.map_err(|error| OpenError::Disk {
            step,
            dir: self.dir.display().to_string(),
            error,
        })
    }

    /// Opens the log, or begins it when its directory has no segment yet. All of it is durable
    /// then.
    ///
    /// # Errors
    /// When the disk fails, or holds something that is not this log's or of a later version.
    pub(crate) fn open(&self, visit: Visit<'_>) -> Result<(Log, Recovery), OpenError> {
        let quarantine = self.disk.create_dir(&self.dir.join(QUARANTINE));
        self.disk("make the quarantine", quarantine)?;
        let mut marker = self.marker()?;
        let mut quarantined_bytes = 0;
        if marker.stands_alone() {
            quarantined_bytes = self.end_catch_up(marker)?;
            marker = self.marker()?;
        }
        let (mut log, mut report) = self.load(marker, visit)?;
        report.quarantined_bytes += quarantined_bytes;
        self.disk("measure the quarantine", log.measure_quarantine())?;
        log.begin_or_resume().map_err(OpenError::Begin)?;
        Ok((log, report))
    }

    fn marker(&self) -> Result<CommitMarker, OpenError> {
        let marker = CommitMarker::open(&**self.disk, self.dir, self.log);
        self.disk("open the commit marker", marker)
    }

    /// A crash in the middle of a catch-up: what headers tell counts only after what did not arrive
    /// is cut off. All that is left is durable then, and with it all that the headers in it tell of.
    fn end_catch_up(&self, marker: CommitMarker) -> Result<u64, OpenError> {
        let (log, report) = self.load(marker, &mut |_, _, _, _| Ok(()))?;
        let back = log.marker.stand_back_after_recovery();
        self.disk("write the commit marker", back)?;
        Ok(report.quarantined_bytes)
    }

    /// Reads the log that lies there, and cuts what must be cut.
    fn load(&self, marker: CommitMarker, visit: Visit<'_>) -> Result<(Log, Recovery), OpenError> {
        let surveyed = self.survey()?;
        let commit = known_commit(&marker, &surveyed);
        let mut loader = Loader::new(self, self.empty_log(marker), commit);
        loader.load(surveyed, visit)?;
        let (log, report) = loader.finish()?;
        self.disk("sync the folder", self.disk.sync_dir(self.dir))?;
        log.shared.set_committed(commit);
        Ok((log, report))
    }

    fn empty_log(&self, marker: CommitMarker) -> Log {
        Log {
            disk: Arc::clone(self.disk),
            dir: self.dir.to_owned(),
            shared: Arc::new(Shared::new(self.log)),
            geometry: self.geometry,
            segments: Vec::new(),
            epochs: Epochs::default(),
            horizon: Lsn::ZERO,
            marker: Arc::new(marker),
            appended: Position::default(),
            synced: Lsn::ZERO,
            buffer: Vec::new(),
            buffer_at: 0,
            closed: false,
            reserved: 0,
            prefilled: 0,
            unsynced: sync::Unsynced::default(),
            catch_up: CatchUp::default(),
            poison: None,
            next_number: 0,
            quarantine_bytes: 0,
        }
    }
}

/// The highest commit that may be trusted.
fn known_commit(marker: &CommitMarker, surveyed: &[Surveyed]) -> Lsn {
    let headers = surveyed.iter().map(|piece| piece.commit);
    let told = headers.filter(|_| !marker.stands_alone());
    told.fold(marker.commit(), Lsn::max)
}

impl Log {
    /// Appending goes on at the end of the last segment, or in a new one if that is sealed.
    fn begin_or_resume(&mut self) -> Result<(), AppendError> {
        self.synced = self.appended.lsn;
        self.shared.set_written(self.appended.lsn);
        match self.segments.last() {
            Some(last)
                if last.index_bytes.is_none()
                    && last.segment.name.generation == 0
                    && !last.unsealable =>
            {
                self.buffer_at = last.end;
                self.prefilled = last.end;
                // Reserving again costs nothing where the space is there; a length alone is none.
                self.reserved = last.end;
                Ok(())
            }
            // On a full disk the new segment waits for the first append that finds room.
            _ => match self.roll(self.appended.lsn.next()) {
                Err(AppendError::Full { .. }) if !self.segments.is_empty() => {
                    self.closed = true;
                    Ok(())
                }
                other => other,
            },
        }
    }
}

#[cfg(test)]
mod tests;
