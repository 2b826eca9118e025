//! Giving the payloads of dead records back to the file system.
//!
//! The order is: the record that supersedes is committed; the commit marker is raised to it, so that
//! a restart knows it committed too; then the payload goes. A payload that is being read is kept until its last reader is done.

use std::io;
use std::sync::Arc;

use wire::Lsn;

use super::ChoreError;
use crate::log::marker::CommitMarker;
use crate::segment::Segment;
use crate::store::Store;

/// How many payloads one chore gives back: a gigabyte of chunks.
const EXTENTS_PER_CHORE: usize = 1024;

/// A dead payload.
#[derive(Clone, Debug)]
pub(super) struct Extent {
    pub(super) segment: Arc<Segment>,
    /// In bytes.
    pub(super) start: u64,
    pub(super) bytes: u64,
    /// What its readers hold.
    pub(super) pin: Lsn,
}

#[derive(Debug)]
pub(super) struct Punch {
    extents: Vec<Extent>,
    marker: Arc<CommitMarker>,
    /// What the extents' death relies on.
    commit: Lsn,
}

#[derive(Debug)]
pub(super) struct Punched {
    done: Vec<Extent>,
    failed: Vec<Extent>,
    error: Option<io::Error>,
}

impl Punch {
    pub(super) fn run(self) -> Punched {
        let error = self.marker.raise(self.commit).err();
        let mut punched = Punched {
            done: Vec::new(),
            failed: Vec::new(),
            error,
        };
        for extent in self.extents {
            if punched.error.is_some() {
                punched.failed.push(extent);
                continue;
            }
            match extent.segment.file.punch(extent.start, extent.bytes) {
                Ok(()) => punched.done.push(extent),
                Err(error) => {
                    punched.error = Some(error);
                    punched.failed.push(extent);
                }
            }
        }
        punched
    }
}

impl Store {
    pub(super) fn next_punch(&mut self) -> Option<Punch> {
        if self.upkeep.punching || self.upkeep.extents.is_empty() {
            return None;
        }
        let waiting = std::mem::take(&mut self.upkeep.extents);
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for extent in waiting {
            let held = self.shared.is_pinned(extent.pin)
                || self.upkeep.is_compacting(extent.segment.number)
                || self.upkeep.repairing == Some(extent.segment.number);
            if held || now.len() == EXTENTS_PER_CHORE {
                later.push(extent);
            } else {
                now.push(extent);
            }
        }
        self.upkeep.extents = later;
        self.upkeep.punching = !now.is_empty();
        let (marker, commit) = (Arc::clone(&self.log.marker), self.shared.committed());
        (!now.is_empty()).then_some(Punch {
            extents: now,
            marker,
            commit,
        })
    }

    pub(super) fn finish_punch(&mut self, punched: Punched) -> Result<(), ChoreError> {
        self.upkeep.punching = false;
        for extent in punched.done {
            // A segment that was rewritten meanwhile took its accounts with it.
            if let Some(state) = self.log.state_mut(extent.segment.number) {
                state.punched(extent.bytes);
            }
        }
        self.upkeep.extents.extend(punched.failed);
        match punched.error {
            None => Ok(()),
            Some(error) => Err(ChoreError {
                step: "give space back",
                error,
            }),
        }
    }
}
