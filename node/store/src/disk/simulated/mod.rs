//! A disk in memory that keeps synced and unsynced state apart, fails on demand, and can lose its
//! power at any operation.
//!
//! What it promises is what [`Disk`] and [`File`](super::File) promise and no more: everything
//! that Linux file systems may do to what was not synced, it does by seeded chance. The same seed
//! and the same calls give the same bytes. It knows nothing of logs.

mod faults;
mod file;
mod inode;
mod pages;
mod random;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Disk;
use faults::Faults;
pub use faults::{Failure, Operation, PowerLost};
use file::Handle;
use inode::Inode;
use pages::PAGE_BYTES;
pub use random::Random;
use tree::Tree;

/// A simulated disk; clones are the same disk.
///
/// Paths are absolute; the root is there from the start.
#[derive(Clone)]
pub struct SimulatedDisk {
    shared: Shared,
}

/// What a disk and its open files share.
#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    tree: Tree,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    faults: Faults,
    random: Random,
}

impl SimulatedDisk {
    /// An empty disk; `seed` decides all that is left to chance, except for crashes.
    pub fn new(seed: u64) -> Self {
        Self::with(State {
            tree: Tree::new(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            faults: Faults::default(),
            random: Random::new(seed),
        })
    }

    /// The disk as a power loss at this moment may leave it; `seed` chooses one of the
    /// possibilities. This disk, and all faults planned for it, stay as they are; the new one is of
    /// the same capacity, has no faults, and nothing on it is unsynced.
    ///
    /// Of what was not synced: sectors of 512 bytes arrived or not, each for itself, in any of
    /// the states that they went through; a length lies anywhere between the old and the new one;
    /// reserved space and holes came to be or not; of the changes of directories the first few
    /// happened, or any of them.
    pub fn crash(&self, seed: u64) -> SimulatedDisk {
        let state = self.shared.lock();
        let mut random = Random::new(seed);
        let tree = state.tree.crash(&mut random);
        let reachable = tree.linked();
        let inodes = state
            .inodes
            .iter()
            .filter(|(number, _)| reachable.contains(number))
            .map(|(number, inode)| (*number, inode.crash(&mut random)))
            .collect();
        let next_inode = state.next_inode;
        Self::with(State {
            tree,
            inodes,
            next_inode,
            faults: state.faults.after_restart(),
            random,
        })
    }

    /// The disk as a process that is killed at this moment leaves it: all that was written is
    /// there, and what was not synced still is not. This disk stays as it is; the new one is of the
    /// same capacity and has no faults planned.
    pub fn kill(&self) -> SimulatedDisk {
        let state = self.shared.lock();
        let mentioned = state.tree.mentioned();
        let inodes = state
            .inodes
            .iter()
            .filter(|(number, _)| mentioned.contains(number))
            .map(|(number, inode)| (*number, inode.kill()))
            .collect();
        Self::with(State {
            tree: state.tree.clone(),
            inodes,
            next_inode: state.next_inode,
            faults: state.faults.after_restart(),
            random: state.random.clone(),
        })
    }

    /// Lets the operation of this kind that follows after `successes` more fail, once.
    ///
    /// A failed write may have written a part. After a failed sync any part of what was unsynced
    /// is durable, the rest is dropped, and no later sync brings it back.
    pub fn fail(&self, operation: Operation, successes: u64, failure: Failure) {
        self.shared
            .lock()
            .faults
            .plan(operation, successes, failure);
    }

    /// Bounds what all files together may take; `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.lock().faults.capacity_bytes = bytes;
    }

    /// Whether reads would wait for the disk: `File::read_cached_at` gives nothing while cold.
    pub fn set_cold(&self, cold: bool) {
        self.shared.lock().faults.cold = cold;
    }

    /// Inverts one bit (0 to 7) of the byte at `offset` of a file, as bit rot does.
    ///
    /// # Errors
    /// `NotFound` when there is no such file; `InvalidInput` when no synced byte is there.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.shared.lock();
        let number = state.tree.file(path)?;
        let flipped = state.inode_mut(number).flip(offset, bit);
        if flipped {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// As [`SimulatedDisk::flip_bit`], but whoever reads what the cache has sees nothing of it.
    ///
    /// # Errors
    /// As [`SimulatedDisk::flip_bit`].
    pub fn rot_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut state = self.shared.lock();
        let number = state.tree.file(path)?;
        if state.inode_mut(number).rot(offset, bit) {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        }
    }

    /// Makes the sector of 512 bytes around `offset` of a file unreadable (EIO), until all of it is
    /// written again.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn break_sector(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        let number = state.tree.file(path)?;
        state.inode_mut(number).break_sector(offset);
        Ok(())
    }

    /// Ends what [`SimulatedDisk::break_sector`] began: what the disk could not read, it can.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn heal_sector(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut state = self.shared.lock();
        let number = state.tree.file(path)?;
        state.inode_mut(number).heal_sector(offset);
        Ok(())
    }

    /// How many operations that change the disk were begun since it was made.
    pub fn operations(&self) -> u64 {
        self.shared.lock().faults.done()
    }

    /// How many times its files were read, or asked for what they are, since it was made.
    pub fn reads(&self) -> u64 {
        self.shared.lock().faults.reads()
    }

    /// Cuts the power after so many operations since the disk was made: every later one, and
    /// then every read, fails with [`PowerLost`].
    pub fn stop_after(&self, operations: u64) {
        self.shared.lock().faults.stop_after(operations);
    }

    /// Whether an operation failed because the power is gone.
    pub fn stopped(&self) -> bool {
        self.shared.lock().faults.stopped()
    }

    /// What all files take now, in bytes: those with a name, and those still open.
    pub fn used(&self) -> u64 {
        self.shared.lock().used()
    }

    fn with(state: State) -> Self {
        SimulatedDisk {
            shared: Shared(Arc::new(Mutex::new(state))),
        }
    }

    fn names(&self, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.shared.lock();
        match state.faults.begin(Operation::Name)? {
            Some(failure) => Err(failure.into()),
            None => change(&mut state),
        }
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn super::File>> {
        self.names(|state| {
            state.tree.create(path, state.next_inode)?;
            state.inodes.insert(state.next_inode, Inode::default());
            state.next_inode += 1;
            Ok(())
        })?;
        self.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn super::File>> {
        let mut state = self.shared.lock();
        state.faults.check_power()?;
        let number = state.tree.file(path)?;
        Ok(Arc::new(Handle::open(&self.shared, &mut state, number)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.shared.lock();
        state.faults.check_power()?;
        state.tree.names(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.names(|state| state.tree.create_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.names(|state| {
            state.tree.rename(from, to)?;
            state.forget_unreachable();
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names(|state| state.tree.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.shared.lock();
        if let Some(failure) = state.faults.begin(Operation::SyncDir)? {
            return Err(failure.into());
        }
        if state.tree.sync(dir)? {
            state.forget_unreachable();
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn inode(&self, number: u64) -> &Inode {
        self.inodes
            .get(&number)
            .expect("a file with a name or a handle is kept")
    }

    fn inode_mut(&mut self, number: u64) -> &mut Inode {
        self.inodes
            .get_mut(&number)
            .expect("a file with a name or a handle is kept")
    }

    fn sync(&mut self, number: u64, fails: bool) {
        let inode = self
            .inodes
            .get_mut(&number)
            .expect("a file with a handle is kept");
        if fails {
            inode.fail_sync(&mut self.random)
        } else {
            inode.sync()
        }
    }

    fn used(&self) -> u64 {
        let linked = self.tree.linked();
        self.inodes
            .iter()
            .filter(|(number, inode)| inode.handles > 0 || linked.contains(number))
            .map(|(_, inode)| inode.now().allocated())
            .sum()
    }

    /// How many bytes of this range, from its start, find room on the disk.
    fn room_for(&self, number: u64, offset: u64, bytes: u64) -> u64 {
        let Some(capacity) = self.faults.capacity_bytes else {
            return bytes;
        };
        let free_pages = capacity.saturating_sub(self.used()) / PAGE_BYTES;
        let holes = self.inode(number).now().holes(offset, bytes);
        match holes.get(usize::try_from(free_pages).unwrap_or(usize::MAX)) {
            Some(page) => (page * PAGE_BYTES).saturating_sub(offset),
            None => bytes,
        }
    }

    fn refusal(&self, number: u64, offset: u64, bytes: u64) -> Option<Failure> {
        (self.room_for(number, offset, bytes) < bytes).then_some(Failure::NoSpace)
    }

    /// Drops the files that nobody can reach any more, not even after a power loss.
    fn forget_unreachable(&mut self) {
        let mentioned = self.tree.mentioned();
        self.inodes
            .retain(|number, inode| inode.handles > 0 || mentioned.contains(number));
    }
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("SimulatedDisk")
            .field("files", &state.inodes.len())
            .field("operations", &state.faults.done())
            .finish()
    }
}
