//! The commit marker: a commit lsn that outlives a crash by itself.
//!
//! Headers tell the commit as it was when their record was appended, so the last batch's commit
//! stands in none. That is enough for reading, but not before something is destroyed in trust of
//! it: a payload that is given back, a record that is dropped, a tail that is cut. The marker is
//! raised first.
//!
//! The file `commit` has two slots, at 0 and 4096; the older one is overwritten, so that a torn
//! write leaves the other. The highest intact slot counts.
//!
//! ```text
//!  0  8  magic "AqCommit"
//!  8  8  log id
//! 16  8  commit lsn
//! 24  4  CRC-32C over bytes 0..24
//! ```

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use wire::Lsn;

use crate::checksum::crc32c;
use crate::disk::{Disk, File};
use crate::record::head::{u32_at, u64_at};

const MAGIC: [u8; 8] = *b"AqCommit";
const FILE_NAME: &str = "commit";
const SLOT_BYTES: usize = 28;
const SLOTS: [u64; 2] = [0, 4096];

/// A log's commit marker. Any thread may raise it.
#[derive(Debug)]
pub(crate) struct CommitMarker {
    file: Arc<dyn File>,
    log: u64,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// The highest commit that is durable here.
    commit: Lsn,
    /// The slot that holds it; the other one is written next.
    slot: usize,
}

impl CommitMarker {
    /// Opens the marker of a log, or makes it.
    ///
    /// # Errors
    /// As the disk gives them.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, log: u64) -> io::Result<CommitMarker> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(&path)?;
                file.allocate(0, SLOTS[1] + SLOTS[1])?;
                file.sync_data()?;
                disk.sync_dir(dir)?;
                file
            }
            other => other?,
        };
        let mut state = State {
            commit: Lsn::ZERO,
            slot: 0,
        };
        for (slot, at) in SLOTS.into_iter().enumerate() {
            let mut bytes = [0; SLOT_BYTES];
            let read = file.read_at(&mut bytes, at)?;
            let commit = decode(&bytes[..read], log).unwrap_or(Lsn::ZERO);
            if commit > state.commit {
                state = State { commit, slot };
            }
        }
        Ok(CommitMarker {
            file,
            log,
            state: Mutex::new(state),
        })
    }

    /// The commit that is durable here.
    pub(crate) fn commit(&self) -> Lsn {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .commit
    }

    /// Returns after a commit of at least `commit` is durable here.
    ///
    /// # Errors
    /// As the disk gives them; what relies on the commit must not be done then.
    pub(crate) fn raise(&self, commit: Lsn) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if commit <= state.commit {
            return Ok(());
        }
        let slot = 1 - state.slot;
        self.file.write_at(&encode(self.log, commit), SLOTS[slot])?;
        self.file.sync_data()?;
        *state = State { commit, slot };
        Ok(())
    }
}

fn encode(log: u64, commit: Lsn) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&log.to_le_bytes());
    slot[16..24].copy_from_slice(&commit.0.to_le_bytes());
    let crc = crc32c(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

fn decode(slot: &[u8], log: u64) -> Option<Lsn> {
    let whole = slot.len() == SLOT_BYTES
        && slot[..8] == MAGIC
        && crc32c(&slot[..24]) == u32_at(slot, 24)
        && u64_at(slot, 8) == log;
    whole.then(|| Lsn(u64_at(slot, 16)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileSystem;

    // If this fails, a crash after space was given back cuts off what was acknowledged.
    #[test]
    fn a_raised_commit_outlives_the_process_and_a_torn_write() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = |log| CommitMarker::open(&FileSystem, dir.path(), log).expect("opens");
        let marker = open(7);
        assert_eq!(marker.commit(), Lsn::ZERO);
        for commit in [5, 9, 3] {
            marker.raise(Lsn(commit)).expect("raises");
        }
        assert_eq!(open(7).commit(), Lsn(9));
        assert_eq!(open(8).commit(), Lsn::ZERO);
        let newest = open(7).state.lock().expect("no panic").slot;
        marker
            .file
            .write_at(&[0xff; 20], SLOTS[newest] + 4)
            .expect("writes");
        assert_eq!(open(7).commit(), Lsn(5));
    }
}
