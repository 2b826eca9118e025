//! Group commit, the store's half of it: what must be synced, and what was.

use std::path::PathBuf;
use std::sync::Arc;

use wire::Lsn;

use super::Log;
use crate::disk::{Disk, File};
use crate::poison::Poisoned;

/// What was written since the last sync job.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Segments that were active then and are not any more.
    pub(super) files: Vec<Arc<dyn File>>,
    /// Whether the directory has a new file.
    pub(super) dir: bool,
    /// Bytes appended.
    pub(super) bytes: u64,
    /// Whether a job is under way: one at a time, so that each covers all before it.
    pub(super) in_flight: bool,
    /// Counts truncations: a job that began before one says nothing of the lsns after it.
    cuts: u64,
}

impl Unsynced {
    /// After a truncation that left everything durable.
    pub(super) fn cut(&mut self) {
        self.files.clear();
        self.dir = false;
        self.bytes = 0;
        self.cuts += 1;
    }
}

/// Makes everything durable that was appended before. Run it on any thread; the owner may go on
/// appending meanwhile.
#[derive(Debug)]
pub struct SyncJob {
    files: Vec<Arc<dyn File>>,
    dir: Option<(Arc<dyn Disk>, PathBuf)>,
    upto: Lsn,
    cuts: u64,
}

/// The outcome of a [`SyncJob`], for the owner.
#[derive(Debug)]
pub struct SyncDone {
    upto: Lsn,
    cuts: u64,
    outcome: Result<(), Poisoned>,
}

impl SyncJob {
    /// Syncs, and returns when the disk has confirmed it, or has failed.
    pub fn run(self) -> SyncDone {
        let synced = self.files.iter().try_for_each(|file| file.sync_data());
        let synced = match (synced, &self.dir) {
            (Ok(()), Some((disk, dir))) => disk.sync_dir(dir),
            (other, _) => other,
        };
        SyncDone {
            upto: self.upto,
            cuts: self.cuts,
            outcome: synced.map_err(|e| Poisoned::new("sync", e)),
        }
    }
}

impl Log {
    /// Bytes appended that no sync job covers yet.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.unsynced.bytes
    }

    /// Writes out what is buffered; the job makes all that was appended durable. None when nothing
    /// is unsynced, or while a job is under way.
    pub(crate) fn flush(&mut self) -> Result<Option<SyncJob>, Poisoned> {
        self.write_buffer()?;
        let unsynced = &self.unsynced;
        let nothing = unsynced.bytes == 0 && unsynced.files.is_empty() && !unsynced.dir;
        if nothing || unsynced.in_flight {
            return Ok(None);
        }
        let cuts = unsynced.cuts;
        let unsynced = std::mem::take(&mut self.unsynced);
        self.unsynced.in_flight = true;
        self.unsynced.cuts = cuts;
        let mut files = unsynced.files;
        files.push(Arc::clone(&self.active().segment.file));
        let dir = unsynced
            .dir
            .then(|| (Arc::clone(&self.disk), self.dir.clone()));
        Ok(Some(SyncJob {
            files,
            dir,
            upto: self.appended().lsn,
            cuts,
        }))
    }

    /// Takes a job's outcome; returns the last durable lsn.
    pub(crate) fn finish_sync(&mut self, done: SyncDone) -> Result<Lsn, Poisoned> {
        self.check()?;
        assert!(self.unsynced.in_flight, "a job's outcome is taken once");
        self.unsynced.in_flight = false;
        match done.outcome {
            Ok(()) if done.cuts == self.unsynced.cuts => {
                self.synced = self.synced.max(done.upto);
                Ok(self.synced)
            }
            Ok(()) => Ok(self.synced),
            Err(reason) => Err(self.poison(reason)),
        }
    }
}
