//! Writing bytes into their place among others that stay.
//!
//! A page that the disk cannot read cannot be written in part: the system would read the rest of it
//! before. It is written whole then. What can be read of it stays; what cannot is lost anyway, and
//! becomes bytes that are no record.

use std::io;

use super::{Failed, Repair, refused};
use crate::disk::{File, PAGE_BYTES, SECTOR_BYTES, is_unreadable, read_by_unit};
use crate::record::layout::ALIGN;
use crate::segment::entry::Entry;
use crate::segment::scan::Scan;

/// What stands for bytes that nobody can read: no record begins so, and unlike zeros it never looks as
/// if nothing had been written there.
const LOST: u8 = 0xff;

impl Repair {
    /// Writes bytes at the record's start; returns when they are durable and were read back.
    pub(super) fn write(&self, entry: &Entry, bytes: &[u8]) -> Result<(), Failed> {
        // Above the commit that a restart knows, a record that is half written would be cut off.
        self.marker.raise(self.commit).map_err(Failed::Refused)?;
        // A handle of its own: should the system tell of a failed sync only once, the owner's sync
        // must still hear of it.
        let path = self.segment.name.path(&self.dir);
        let file = self.disk.open(&path).map_err(Failed::Refused)?;
        let length = bytes.len() as u64;
        let reserved = file.allocate(entry.start, length);
        reserved.map_err(Failed::Refused)?;
        // A write that fails leaves damaged what was damaged, and touches nothing else.
        let written = match file.write_at(bytes, entry.start) {
            Err(error) if is_unreadable(&error) => self.write_pages(&*file, entry.start, bytes),
            other => other,
        };
        written.map_err(Failed::Refused)?;
        let synced = file.sync_data();
        // The cache may have what the disk has not.
        let (from, to) = pages_around(entry.start, length);
        file.begin_write_back(from, to - from);
        synced.map_err(|error| self.unsynced(error))?;
        let mut read = vec![0; bytes.len()];
        let count = file.read_at(&mut read, entry.start);
        let count = count.map_err(Failed::Refused)?;
        if read[..count] != *bytes {
            return Err(refused("what was written reads back as something else"));
        }
        Ok(())
    }

    /// What was appended to the segment, and not synced yet, may be lost by a failed sync; not so where
    /// nothing was.
    fn unsynced(&self, error: io::Error) -> Failed {
        match self.is_committed() {
            true => Failed::Refused(error),
            false => Failed::Sync(error),
        }
    }

    /// Whether all of the segment is committed, so that only repairs write to it.
    fn is_committed(&self) -> bool {
        let last = self.segment.sealed_at();
        last.is_some_and(|last| last <= self.commit)
    }

    /// Writes all of the pages that some bytes touch.
    fn write_pages(&self, file: &dyn File, start: u64, bytes: &[u8]) -> io::Result<()> {
        let (from, to) = pages_around(start, bytes.len() as u64);
        if !self.is_committed() && !self.is_committed_up_to(to)? {
            let what = "its page may be written to, or cut off, meanwhile";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, what));
        }
        file.allocate(from, to - from)?;
        let mut pages = vec![LOST; (to - from) as usize];
        if self.is_committed() {
            // Behind the last record nothing was written.
            let end = self.segment.end().clamp(from, to);
            pages[(end - from) as usize..].fill(0);
        }
        read_by_unit(file, &mut pages, from, SECTOR_BYTES)?;
        let at = (start - from) as usize;
        pages[at..at + bytes.len()].copy_from_slice(bytes);
        file.write_at(&pages, from)
    }

    /// Whether a committed record follows there, so that all before it is committed, too.
    fn is_committed_up_to(&self, end: u64) -> io::Result<bool> {
        let mut scan = Scan::new(&*self.segment.file, self.shared.log, end)?;
        let lsn = self.record.head.lsn;
        let next = scan.resynchronise(end - ALIGN, lsn, &mut Vec::new())?;
        Ok(next.is_some_and(|(_, next)| next <= self.commit))
    }
}

/// The pages that a range touches: from where to where they are.
fn pages_around(start: u64, bytes: u64) -> (u64, u64) {
    let from = start / PAGE_BYTES * PAGE_BYTES;
    (from, (start + bytes).next_multiple_of(PAGE_BYTES))
}
