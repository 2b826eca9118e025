//! A store on a simulated disk, the expectation beside it, and what is under way: every call goes
//! to both, and their answers are compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use store::disk::Disk;
use store::disk::simulated::{Random, SimulatedDisk};
use store::{
    AppendError, Chore, Content, Geometry, How, NewContent, OpenContent, OpenError, Store, SyncJob,
};
use wire::{ContentId, Epoch, Lsn};

use crate::expectation::{Expectation, Known, checksum_of};

/// The log id of every log here.
pub(crate) const LOG: u64 = 0x1234_5678_9abc_def0;

/// The replica's directory.
pub(crate) fn dir() -> PathBuf {
    Path::new("/replica").to_owned()
}

/// The store cannot go on: the power is gone, or it has poisoned itself.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) String);

impl<E: std::error::Error> From<E> for Stopped {
    fn from(error: E) -> Self {
        Stopped(error.to_string())
    }
}

/// An upload in chunks that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// The lsn of its first chunk.
    pub(crate) lsn: Lsn,
    /// What it brings, and where.
    pub(crate) id: ContentId,
    pub(crate) how: How,
    pub(crate) new: NewContent,
    /// All of its bytes, and how many of them were sent.
    pub(crate) bytes: Bytes,
    pub(crate) sent: usize,
}

/// A content that a reader holds open, and what it must read from it.
pub(crate) struct Held {
    pub(crate) open: OpenContent,
    pub(crate) content: Content,
    pub(crate) bytes: Bytes,
}

/// Everything.
pub(crate) struct World {
    pub(crate) disk: SimulatedDisk,
    pub(crate) store: Store,
    pub(crate) expected: Expectation,
    pub(crate) random: Random,
    pub(crate) now_ms: u64,
    /// The highest epoch that was ever tried.
    pub(crate) epoch: u64,
    pub(crate) uploads: Vec<Upload>,
    pub(crate) held: Vec<Held>,
    pub(crate) job: Option<SyncJob>,
    pub(crate) chores: Vec<Chore>,
}

/// Opens the log, or begins it. As a node does, it makes sure first that the directory will be
/// found again: a killed process may have made it and not synced its name.
pub(crate) fn start(disk: &SimulatedDisk, geometry: Geometry) -> Result<Store, OpenError> {
    let ready = disk
        .create_dir(&dir())
        .and_then(|()| disk.sync_dir(Path::new("/")));
    if let Err(error) = ready {
        let dir = dir().display().to_string();
        return Err(OpenError::Disk {
            step: "make the directory",
            dir,
            error,
        });
    }
    Store::open_with(Arc::new(disk.clone()), &dir(), LOG, geometry).map(|(store, _)| store)
}

impl World {
    /// A world around a store that holds what `expected` says.
    pub(crate) fn new(
        disk: SimulatedDisk,
        store: Store,
        expected: Expectation,
        seed: u64,
    ) -> World {
        World {
            disk,
            store,
            expected,
            random: Random::new(seed),
            now_ms: 1_700_000_000_000,
            epoch: 0,
            uploads: Vec::new(),
            held: Vec::new(),
            job: None,
            chores: Vec::new(),
        }
    }

    /// The last lsn that was appended.
    pub(crate) fn appended(&self) -> u64 {
        self.store.positions().appended.lsn.0
    }

    /// Begins the next epoch, which ends every upload.
    pub(crate) fn begin_epoch(&mut self) -> Result<(), Stopped> {
        self.epoch += 1;
        let next = self.appended() + 1;
        match self.store.begin_epoch(Epoch(self.epoch), self.now_ms) {
            Ok(lsn) => assert_eq!(lsn, Lsn(next), "an epoch begins with one record"),
            // Without an epoch nobody leads, and nothing more can be asked.
            Err(AppendError::Full { .. }) => {
                self.unless_stopped()?;
                self.disk.set_capacity(None);
                return self.begin_epoch();
            }
            Err(AppendError::Poisoned(reason)) => return Err(reason.into()),
        }
        self.uploads.clear();
        Ok(())
    }

    /// A step that came to nothing is fine, unless it did because the power is gone.
    pub(crate) fn unless_stopped(&self) -> Step {
        if self.disk.stopped() {
            Err(Stopped("the power is gone".to_owned()))
        } else {
            Ok(())
        }
    }

    /// Writes out what is buffered, and keeps the job that makes it durable.
    pub(crate) fn flush(&mut self) -> Step {
        if self.job.is_none() {
            self.job = self.store.flush()?;
        }
        Ok(())
    }

    /// Runs the job that the last flush gave.
    pub(crate) fn sync(&mut self) -> Step {
        let Some(job) = self.job.take() else {
            return Ok(());
        };
        let done = job.run();
        let synced = self.store.synced(done)?;
        assert!(
            synced.0 >= self.expected.synced,
            "a sync never takes anything back"
        );
        assert!(
            synced.0 <= self.appended(),
            "only what was appended is synced"
        );
        assert_eq!(self.store.positions().synced, synced);
        self.expected.synced = synced.0;
        Ok(())
    }

    /// Acknowledges everything up to `lsn`.
    pub(crate) fn commit_to(&mut self, lsn: u64) -> Step {
        let mut committed = Vec::new();
        self.store.commit_to(Lsn(lsn), &mut committed);
        crate::check::check_committed(&self.expected, lsn, &committed);
        self.expected.committed = lsn;
        let live = self.expected.live(lsn);
        assert_eq!(
            self.store.usage().contents,
            live,
            "live contents are counted"
        );
        Ok(())
    }

    /// Makes everything durable and commits it.
    pub(crate) fn settle(&mut self) -> Step {
        self.sync()?;
        self.flush()?;
        self.sync()?;
        self.commit_to(self.expected.synced)
    }

    /// Cuts the log behind `lsn`, as a follower of a new leader does, and follows that leader.
    pub(crate) fn truncate_after(&mut self, lsn: u64) -> Step {
        self.expected.synced = self.expected.synced.min(lsn);
        self.store.truncate_after(Lsn(lsn))?;
        self.expected.truncate_after(lsn);
        assert_eq!(self.appended(), lsn);
        // What it says is durable now may be committed at once, and so is a promise.
        self.expected.synced = self.store.positions().synced.0;
        self.uploads.clear();
        self.begin_epoch()
    }

    /// Takes new chores.
    pub(crate) fn take_chores(&mut self) -> Step {
        let chores = self.store.chores(self.now_ms);
        self.chores.extend(chores);
        self.unless_stopped()
    }

    /// Carries one chore out.
    pub(crate) fn run_chore(&mut self, index: usize) -> Step {
        let patience = self.random.below(40);
        let mut left = if patience == 0 {
            self.random.below(10)
        } else {
            u64::MAX
        };
        let done = self.chores.swap_remove(index).run(&mut |_| {
            left = left.saturating_sub(1);
            left > 0
        });
        // What comes to nothing on a full or dying disk is tried again later.
        drop(self.store.finish(done));
        self.unless_stopped()
    }

    /// Opens a content and holds it open.
    pub(crate) fn hold(&mut self, id: ContentId) -> Step {
        let view = self.expected.view(self.expected.committed);
        let Some(Known::Live(content, bytes)) = view.get(&id) else {
            return Ok(());
        };
        match self.store.reader().open(id) {
            Ok(open) => {
                assert_eq!(open.content(), &**content);
                self.held.push(Held {
                    open,
                    content: Content::clone(content),
                    bytes: bytes.clone(),
                });
                Ok(())
            }
            Err(error) if self.disk.stopped() => Err(error.into()),
            Err(error) => panic!("{id} is live and cannot be opened: {error}"),
        }
    }

    /// Reads what a holder has open, and lets it go.
    pub(crate) fn release(&mut self, index: usize) -> Step {
        let held = self.held.swap_remove(index);
        assert_eq!(held.open.content(), &held.content);
        match crate::check::read_all(&held.open) {
            Ok(bytes) => assert!(bytes == held.bytes, "{} reads other bytes", held.content.id),
            Err(error) if self.disk.stopped() => return Err(error.into()),
            Err(error) => panic!("{} is held and cannot be read: {error}", held.content.id),
        }
        Ok(())
    }

    /// Bytes of this length, different each time, and what an upload says of them.
    pub(crate) fn fresh(&mut self, len: usize) -> (Bytes, NewContent) {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&self.random.bits().to_le_bytes());
        }
        bytes.truncate(len);
        let new = NewContent {
            filename: format!("file-{}.bin", self.random.below(1000)),
            content_type: "application/octet-stream".to_owned(),
            collection: self.random.chance(1, 4).then(|| "site".to_owned()),
            attributes: self.random.chance(1, 4).then(|| r#"{"a":1}"#.to_owned()),
            size: len as u64,
            checksum: checksum_of(&bytes),
        };
        (Bytes::from(bytes), new)
    }
}

/// What a step of a workload comes to.
pub(crate) type Step = Result<(), Stopped>;
