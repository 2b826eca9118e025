//! Zeros written ahead of small appends.
//!
//! The first write to reserved space changes the file's map of extents, and its sync waits for the
//! file system's journal, which all files share. A write over zeros that are on the disk already
//! changes nothing but the blocks themselves: measured on ext4, a sync of 4 KiB takes 0.23 instead
//! of 0.34 ms when three logs do so at once. PostgreSQL fills its WAL with zeros for the same
//! reason (`wal_init_zero`).

use super::Log;
use crate::geometry::Geometry;
use crate::poison::Poisoned;

/// The share of a reservation that is filled at a time: 256 KiB of 8 MiB, so that one sync in about
/// a hundred writes them, and none becomes slow by it.
const SHARE: u64 = 32;

/// How much is filled at a time, in bytes.
pub(super) fn step(geometry: &Geometry) -> u64 {
    geometry.allocate_bytes / SHARE
}

impl Log {
    /// Fills what lies behind a write of `bytes` at `at`, should that write go beyond what was
    /// filled, and follow another small one: behind a large record it waits for the next. Large
    /// writes are not worth it: theirs is the time of the data.
    pub(super) fn prefill(&mut self, at: u64, bytes: u64) -> Result<(), Poisoned> {
        let (end, step) = (at + bytes, step(&self.geometry));
        if end <= self.prefilled || bytes > step / 2 {
            return Ok(());
        }
        if at > self.prefilled {
            self.prefilled = end;
            return Ok(());
        }
        let upto = (end + step).min(self.reserved);
        self.prefilled = upto.max(end);
        if upto <= end {
            return Ok(());
        }
        self.write(&vec![0; (upto - end) as usize], end)
    }
}
