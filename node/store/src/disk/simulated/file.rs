//! A handle on a simulated file.

use std::fmt;
use std::io;

use super::faults::{Failure, Operation};
use super::{Shared, State};
use crate::disk::File;

/// One open handle; the file lives while a name or a handle does.
pub(super) struct Handle {
    disk: Shared,
    inode: u64,
}

impl Handle {
    /// Opens the file of this number, which is there.
    pub(super) fn open(disk: &Shared, state: &mut State, inode: u64) -> Self {
        state.inode_mut(inode).handles += 1;
        Handle {
            disk: disk.clone(),
            inode,
        }
    }

    /// Counts an operation and carries it out, unless it is to fail.
    fn change(
        &self,
        operation: Operation,
        carry_out: impl FnOnce(&mut State, Option<Failure>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.disk.lock();
        let failure = state.faults.begin(operation)?;
        carry_out(&mut state, failure)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> io::Result<T> {
        let mut state = self.disk.lock();
        state.faults.begin_read()?;
        Ok(read(&state))
    }
}

impl File for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read(|state| state.inode(self.inode).read(buf, offset))?
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        self.read(|state| {
            let inode = state.inode(self.inode);
            let read = (!state.faults.cold).then(|| inode.read(buf, offset));
            read.transpose()
        })?
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.change(Operation::Write, |state, failure| {
            let failure = failure.or(state.refusal(self.inode, offset, buf.len() as u64));
            let writable = state.inode(self.inode).writable(offset, buf.len() as u64) as usize;
            let (buf, failure) = match failure {
                None if writable < buf.len() => (&buf[..writable], Some(Failure::Io)),
                failure => (buf, failure),
            };
            match failure {
                None => state.inode_mut(self.inode).write(buf, offset),
                Some(_) => {
                    let room = state.room_for(self.inode, offset, buf.len() as u64) as usize;
                    let part = state.random.between(0, room as u64) as usize;
                    state.inode_mut(self.inode).write(&buf[..part], offset);
                }
            }
            refuse(failure)
        })
    }

    /// As `posix_fadvise(DONTNEED)`, which begins write-back and drops what is clean: what a failed
    /// sync left in the cache and not on the disk is gone then.
    fn begin_write_back(&self, offset: u64, bytes: u64) {
        self.disk
            .lock()
            .inode_mut(self.inode)
            .drop_clean(offset, bytes);
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.change(Operation::Allocate, |state, failure| {
            let failure = failure.or(state.refusal(self.inode, offset, bytes));
            if failure.is_none() {
                state.inode_mut(self.inode).allocate(offset, bytes);
            } else if state.random.chance(1, 2) {
                // Linux keeps what it had reserved when the space ran out.
                let room = state.room_for(self.inode, offset, bytes);
                let part = state.random.between(0, room);
                state.inode_mut(self.inode).allocate(offset, part);
            }
            refuse(failure)
        })
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.change(Operation::Punch, |state, failure| {
            if failure.is_none() {
                state.inode_mut(self.inode).punch(offset, bytes);
            }
            refuse(failure)
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(Operation::SetLen, |state, failure| {
            if failure.is_none() {
                state.inode_mut(self.inode).set_len(bytes);
            }
            refuse(failure)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(Operation::Sync, |state, failure| {
            state.sync(self.inode, failure.is_some());
            refuse(failure)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.read(|state| state.inode(self.inode).now().len())
    }

    fn allocated(&self) -> io::Result<u64> {
        self.read(|state| state.inode(self.inode).now().allocated())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        let inode = state.inode_mut(self.inode);
        inode.handles -= 1;
        if inode.handles == 0 && !state.tree.mentions(self.inode) {
            state.inodes.remove(&self.inode);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("inode", &self.inode)
            .finish_non_exhaustive()
    }
}

fn refuse(failure: Option<Failure>) -> io::Result<()> {
    match failure {
        Some(failure) => Err(failure.into()),
        None => Ok(()),
    }
}
