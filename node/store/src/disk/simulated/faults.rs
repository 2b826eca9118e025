//! What goes wrong on a simulated disk, and when. It knows operations by their kind only.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

/// The kinds of operations that change a disk, each counted for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `Disk::create`, `create_dir`, `rename`, `remove`.
    Name,
    /// `Disk::sync_dir`.
    SyncDir,
    /// `File::write_at`.
    Write,
    /// `File::allocate`.
    Allocate,
    /// `File::punch`.
    Punch,
    /// `File::set_len`.
    SetLen,
    /// `File::sync_data`.
    Sync,
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk is broken (EIO).
    Io,
    /// The disk is full (ENOSPC).
    NoSpace,
}

/// The power is gone: the error of every operation after the one that a disk was told to stop
/// after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulated power is gone")]
pub struct PowerLost;

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io => rustix::io::Errno::IO.into(),
            Failure::NoSpace => io::ErrorKind::StorageFull.into(),
        }
    }
}

/// Counts operations and says which of them fail.
#[derive(Clone, Default)]
pub(super) struct Faults {
    done: u64,
    reads: u64,
    stop_after: Option<u64>,
    stopped: bool,
    /// For each kind, the failures planned: how many more succeed before it, and how it fails.
    planned: BTreeMap<Operation, Vec<(u64, Failure)>>,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) cold: bool,
}

impl Faults {
    /// Counts one operation; an answer of `Some` says that it must fail, and how.
    pub(super) fn begin(&mut self, operation: Operation) -> io::Result<Option<Failure>> {
        self.check_power()?;
        if self.stop_after.is_some_and(|last| self.done >= last) {
            self.stopped = true;
            return Err(io::Error::other(PowerLost));
        }
        self.done += 1;
        let Some(planned) = self.planned.get_mut(&operation) else {
            return Ok(None);
        };
        let due = planned.iter().position(|(successes, _)| *successes == 0);
        for (successes, _) in planned.iter_mut() {
            *successes = successes.saturating_sub(1);
        }
        Ok(due.map(|index| planned.remove(index).1))
    }

    /// The same disk with its power on again: nothing counted, nothing planned.
    pub(super) fn after_restart(&self) -> Faults {
        Faults {
            capacity_bytes: self.capacity_bytes,
            ..Faults::default()
        }
    }

    /// Counts one read; it fails once the power is gone.
    pub(super) fn begin_read(&mut self) -> io::Result<()> {
        self.reads += 1;
        self.check_power()
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads
    }

    /// Fails once the power is gone.
    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.stopped {
            Err(io::Error::other(PowerLost))
        } else {
            Ok(())
        }
    }

    pub(super) fn plan(&mut self, operation: Operation, successes: u64, failure: Failure) {
        self.planned
            .entry(operation)
            .or_default()
            .push((successes, failure));
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn stop_after(&mut self, operations: u64) {
        self.stop_after = Some(operations);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
