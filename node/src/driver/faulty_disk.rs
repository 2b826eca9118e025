//! The real file system with faults on demand, for tests of the disk thread.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use store::disk::{Disk, File, FileSystem};

/// A disk whose syncs can be held back, counted and failed, and that can be full.
#[derive(Debug, Default)]
pub(super) struct FaultyDisk(Arc<Faults>);

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) syncs: AtomicU64,
    pub(super) fail_syncs: AtomicBool,
    pub(super) full: AtomicBool,
    waiting: AtomicU64,
    syncing: Gate,
    writing: Gate,
}

/// Where calls wait while it is closed.
#[derive(Debug, Default)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self, is_closed: bool) {
        *self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = is_closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut is_closed = self
            .is_closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while *is_closed {
            let opened = self.opened.wait(is_closed);
            is_closed = opened.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[derive(Debug)]
struct FaultyFile(Arc<dyn File>, Arc<Faults>);

impl FaultyDisk {
    pub(super) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&self.0)
    }
}

impl Faults {
    /// Has every sync wait until [`Faults::release`].
    pub(super) fn hold(&self) {
        self.syncing.close(true);
    }

    /// Has every write wait until [`Faults::release`].
    pub(super) fn hold_writes(&self) {
        self.writing.close(true);
    }

    pub(super) fn release(&self) {
        self.syncing.close(false);
        self.writing.close(false);
    }

    /// How many syncs wait for [`Faults::release`].
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn sync(&self) -> io::Result<()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.syncing.pass();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fail_syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk is gone"));
        }
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FaultyFile(
            FileSystem.create(path)?,
            self.faults(),
        )))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(FaultyFile(FileSystem.open(path)?, self.faults())))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        FileSystem.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        FileSystem.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        FileSystem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        FileSystem.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FileSystem.sync_dir(dir)
    }
}

impl File for FaultyFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.0.read_cached_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.1.writing.pass();
        self.0.write_at(buf, offset)
    }

    fn begin_write_back(&self, offset: u64, bytes: u64) {
        self.0.begin_write_back(offset, bytes);
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        if self.1.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.allocate(offset, bytes)
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.0.punch(offset, bytes)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.1.sync()?;
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn allocated(&self) -> io::Result<u64> {
        self.0.allocated()
    }
}
