//! Sealing: a full segment gets its index file, and gives back what was reserved ahead.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wire::Lsn;

use super::ChoreError;
use crate::disk::Disk;
use crate::log::marker::CommitMarker;
use crate::segment::Segment;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::index_file::SegmentIndex;
use crate::segment::scan::{Found, Scan};
use crate::shared::Shared;
use crate::store::Store;

#[derive(Debug)]
pub(super) struct Seal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    log: u64,
    segment: Arc<Segment>,
    last: Lsn,
    end: u64,
    marker: Arc<CommitMarker>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Sealed {
    number: u32,
    length: u64,
    outcome: io::Result<u64>,
}

impl Seal {
    pub(super) fn run(self) -> Sealed {
        let outcome = self.write();
        Sealed {
            number: self.segment.number,
            length: self.end,
            outcome,
        }
    }

    /// Returns the index file's length.
    fn write(&self) -> io::Result<u64> {
        let file = &*self.segment.file;
        let mut scan = Scan::new(file, self.log, SEGMENT_HEADER_BYTES)?;
        let mut index = SegmentIndex {
            first: self.segment.name.first,
            last: self.last,
            commit: Lsn::ZERO,
            end: self.end,
            entries: Vec::new(),
        };
        let mut last = self.segment.name.first.previous();
        while scan.position() < self.end {
            match scan.next()? {
                Found::Record { entry, head } => {
                    last = entry.lsn;
                    index.commit = index.commit.max(head.commit);
                    index.entries.push(entry);
                }
                // A damaged record: without an index file, every restart looks at it again.
                Found::End | Found::Damage(_) => {
                    let next = scan.pass(last)?.unwrap_or(self.last.next());
                    if self.shared.damage().hide(last, next) {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
            }
        }
        if self.marker.stands_alone() {
            // A restart verifies all payloads above the known commit: no more than these should be.
            self.marker.raise(self.last)?;
        }
        file.set_len(self.end)?;
        index.persist(&*self.disk, &self.dir, self.log, self.segment.name)
    }
}

impl Store {
    pub(super) fn next_seal(&mut self) -> Option<Seal> {
        if self.upkeep.sealing {
            return None;
        }
        // What is committed is never cut off, so nothing is appended to this segment again.
        let (committed, full) = (self.shared.committed(), self.log.segments.len() - 1);
        let due = self.log.segments[..full].iter().find(|state| {
            state.index_bytes.is_none() && !state.unsealable && state.last <= committed
        })?;
        self.upkeep.sealing = true;
        Some(Seal {
            disk: Arc::clone(&self.log.disk),
            dir: self.log.dir.clone(),
            log: self.shared.log,
            segment: Arc::clone(&due.segment),
            last: due.last,
            end: due.end,
            marker: Arc::clone(&self.log.marker),
            shared: Arc::clone(&self.shared),
        })
    }

    pub(super) fn finish_seal(&mut self, sealed: Sealed) -> Result<(), ChoreError> {
        self.upkeep.sealing = false;
        let Some(state) = self.log.state_mut(sealed.number) else {
            return Ok(());
        };
        match sealed.outcome {
            Ok(bytes) => {
                state.index_bytes = Some(bytes);
                state.length = sealed.length;
                Ok(())
            }
            Err(error) => {
                state.unsealable = error.kind() == io::ErrorKind::InvalidData;
                Err(ChoreError {
                    step: "write an index file",
                    error,
                })
            }
        }
    }
}
