//! The store: one replica's log, and the index over its committed prefix.
//!
//! A single owner calls it; nothing here waits, spawns or reads a clock. What others need, they get
//! as a [`Reader`], a [`SyncJob`] or a [`Chore`].

mod appended;
mod apply;
mod error;
mod follower;
mod lasting;
mod leader;
mod lookup;
mod recall;

use std::path::Path;
use std::sync::Arc;

use wire::stats::Space;
use wire::{ContentId, Epoch, Lsn, Position};

pub use error::{ChangeError, ReplicateError};

use crate::content::Content;
use crate::disk::Disk;
use crate::geometry::Geometry;
use crate::log::epochs::EpochStart;
use crate::log::recovery::{OpenError, Opening, Recovery};
use crate::log::{Log, SyncDone, SyncJob};
use crate::pending::{Pending, Uploads};
use crate::poison::Poisoned;
use crate::reader::Reader;
use crate::record::Record;
use crate::record::kind::Kind;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::shared::Shared;
use crate::upkeep::Upkeep;

/// One replica of a shard.
#[derive(Debug)]
pub struct Store {
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
    pub(crate) pending: Pending,
    pub(crate) uploads: Uploads,
    pub(crate) upkeep: Upkeep,
    /// The epoch that this process leads in; none while it does not lead.
    leads: Option<Epoch>,
    contents: u64,
    /// What was appended and not taken yet; none while nobody wants it.
    kept: Option<Vec<Record>>,
}

/// `appended >= synced >= committed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The last record appended.
    pub appended: Position,
    /// The last durable record.
    pub synced: Lsn,
    /// The last record known committed.
    pub committed: Lsn,
    /// The highest lsn at which the log dropped something that another replica, or the catalog,
    /// might still need to learn.
    pub horizon: Lsn,
}

/// What the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Where the bytes on disk are.
    pub space: Space,
    /// Live contents.
    pub contents: u64,
    /// Contents whose copy here is damaged, as far as it is known.
    pub damaged: u64,
}

/// A record that became known committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where it is in the log.
    pub position: Position,
    /// When the leader appended it, in milliseconds since 1970.
    pub time_ms: u64,
    /// What it did.
    pub change: Change,
}

/// What a committed record did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A version of a content was stored.
    Stored(Content),
    /// A content's metadata was changed.
    Described(Content),
    /// A content was deleted.
    Deleted {
        /// Which.
        content: ContentId,
        /// Its last version.
        version: u64,
    },
    /// A leader's term began.
    Epoch,
    /// Nothing that is visible: a part of an upload, or its end without a content.
    Nothing,
}

impl Change {
    /// What a record of this kind, with this content, did.
    pub(crate) fn new(kind: Kind, content: Option<Content>) -> Change {
        match (kind, content) {
            (Kind::Put | Kind::Commit, Some(content)) => Change::Stored(content),
            (Kind::Describe, Some(content)) => Change::Described(content),
            (Kind::Delete, Some(content)) => Change::Deleted {
                content: content.id,
                version: content.version,
            },
            (Kind::Epoch, _) => Change::Epoch,
            _ => Change::Nothing,
        }
    }
}

impl Store {
    /// Begins the log of a new replica in an empty directory, which must exist.
    ///
    /// # Errors
    /// When the disk fails, has no room, or the directory holds another log.
    pub fn create(disk: Arc<dyn Disk>, dir: &Path, log: u64) -> Result<Store, OpenError> {
        Store::open(disk, dir, log).map(|(store, _)| store)
    }

    /// Opens a replica's log as a crash, or an orderly end, left it. All that was synced is there;
    /// what is in it is durable. Records above the known commit are pending.
    ///
    /// # Errors
    /// When the disk fails, or holds something that is not this log's or of a later version.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, log: u64) -> Result<(Store, Recovery), OpenError> {
        Store::open_with(disk, dir, log, Geometry::DEFAULT)
    }

    /// As [`Store::open`], with other sizes.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        log: u64,
        geometry: Geometry,
    ) -> Result<(Store, Recovery), OpenError> {
        let opening = Opening {
            disk: &disk,
            dir,
            geometry,
            log,
        };
        let mut replay = apply::Replay::default();
        let (log, recovery) = opening
            .open(&mut |log, segment, entry, commit| replay.follow(log, segment, entry, commit))?;
        Ok((replay.into_store(log), recovery))
    }

    /// Where the log is.
    pub fn positions(&self) -> Positions {
        Positions {
            appended: self.log.appended(),
            synced: self.log.synced(),
            committed: self.shared.committed(),
            horizon: self.log.horizon,
        }
    }

    /// The epochs of the log, oldest first.
    pub fn epochs(&self) -> &[EpochStart] {
        self.log.epochs.as_slice()
    }

    /// Whether a position is in this log's history: the record of that lsn has that epoch here. The
    /// position before the first record is in every history.
    pub fn contains(&self, position: Position) -> bool {
        position.lsn <= self.log.appended().lsn
            && self.log.epochs.epoch_at(position.lsn) == position.epoch
    }

    /// Bytes appended that no sync job covers yet.
    pub fn unsynced_bytes(&self) -> u64 {
        self.log.unsynced_bytes()
    }

    /// Writes out what is buffered; the job makes all that was appended durable. None when nothing
    /// is unsynced, or while a job is under way: one at a time.
    ///
    /// # Errors
    /// When the log is stopped, or this write stops it.
    pub fn flush(&mut self) -> Result<Option<SyncJob>, Poisoned> {
        self.log.flush()
    }

    /// Takes a sync job's outcome; returns the last durable lsn.
    ///
    /// # Errors
    /// When the log is stopped, or the job's failure stops it.
    pub fn synced(&mut self, done: SyncDone) -> Result<Lsn, Poisoned> {
        self.log.finish_sync(done)
    }

    /// Fails when the log is stopped.
    ///
    /// # Errors
    /// With the first reason.
    pub fn check(&self) -> Result<(), Poisoned> {
        self.log.check()
    }

    /// A reader of the committed contents, for any thread.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// What the index takes in memory, in bytes. Looks at every part of it: not for each request.
    pub fn index_memory_bytes(&self) -> u64 {
        self.shared.index.memory_bytes()
    }

    /// What the store takes on disk.
    pub fn usage(&self) -> Usage {
        let mut space = Space {
            compacted: self.upkeep.compacted_bytes(),
            quarantine: self.log.quarantine_bytes,
            ..Space::default()
        };
        for state in &self.log.segments {
            let headers = SEGMENT_HEADER_BYTES;
            space.log += state.length.max(headers);
            space.live += state.live;
            space.dead += state.dead;
            space.holes += state.holes;
            space.index += state.index_bytes.unwrap_or(0);
        }
        space.overhead = space.log - space.live - space.dead - space.holes;
        Usage {
            space,
            contents: self.contents,
            damaged: self.shared.damage().count(),
        }
    }
}

#[cfg(test)]
mod tests;
