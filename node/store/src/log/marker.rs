//! The commit marker: a commit lsn that outlives a crash by itself.
//!
//! Headers tell the commit as it was when their record was appended, so the last batch's commit
//! stands in none. That is enough for reading, but not before something is destroyed in trust of
//! it: a payload that is given back, a record that is dropped, a tail that is cut. The marker is
//! raised first.
//!
//! At a follower that catches up, headers tell too much: commits of records that it has not synced
//! itself. Before it appends the first of these the marker *stands alone*: what headers tell above
//! it does not count, until all of that is synced.
//!
//! The file `commit` has two slots, at 0 and 4096; the older one is overwritten, so that a torn
//! write leaves the other. The intact slot with the highest number counts.
//!
//! ```text
//!  0  8  magic "AqCommit"
//!  8  8  log id
//! 16  8  commit lsn
//! 24  8  number: one more with each write
//! 32  4  flags: bit 0: it stands alone
//! 36  4  CRC-32C over bytes 0..36
//! ```

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::Lsn;

use crate::checksum::crc32c;
use crate::disk::{Disk, File};
use crate::record::head::{u32_at, u64_at};

const MAGIC: [u8; 8] = *b"AqCommit";
const FILE_NAME: &str = "commit";
const SLOT_BYTES: usize = 40;
const CRC_AT: usize = 36;
const SLOTS: [u64; 2] = [0, 4096];
const ALONE: u32 = 1;

/// A log's commit marker. Any thread may raise it.
#[derive(Debug)]
pub(crate) struct CommitMarker {
    file: Arc<dyn File>,
    log: u64,
    state: Mutex<State>,
}

/// What a slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// The highest commit that is durable here.
    commit: Lsn,
    number: u64,
    /// Whether headers that tell of a higher commit do not count.
    alone: bool,
}

#[derive(Debug)]
struct State {
    /// The slot that counts.
    newest: Slot,
    /// Which one that is; the other one is written next.
    at: usize,
    /// How often the owner wanted the marker to stand alone.
    stand: u64,
    /// A write failed: the disk may say what it was to say.
    unsure: bool,
}

/// One time that the marker was made to stand alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stand(u64);

impl CommitMarker {
    /// Opens the marker of a log, or makes it.
    ///
    /// # Errors
    /// As the disk gives them; `Unsupported` when a later version wrote it.
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
            newest: Slot::default(),
            at: 0,
            stand: 0,
            unsure: false,
        };
        for (at, offset) in SLOTS.into_iter().enumerate() {
            let mut bytes = [0; SLOT_BYTES];
            let read = file.read_at(&mut bytes, offset)?;
            let slot = decode(&bytes[..read], log)?.unwrap_or_default();
            if slot.number > state.newest.number {
                state.newest = slot;
                state.at = at;
            }
        }
        Ok(CommitMarker {
            file,
            log,
            state: Mutex::new(state),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commit that is durable here.
    pub(crate) fn commit(&self) -> Lsn {
        self.state().newest.commit
    }

    /// Whether headers that tell of a higher commit do not count.
    pub(crate) fn stands_alone(&self) -> bool {
        self.state().newest.alone
    }

    /// Returns after a commit of at least `commit`, which must be synced here, is durable.
    ///
    /// # Errors
    /// As the disk gives them; what relies on the commit must not be done then.
    pub(crate) fn raise(&self, commit: Lsn) -> io::Result<()> {
        let mut state = self.state();
        if commit <= state.newest.commit {
            return Ok(());
        }
        let alone = state.newest.alone;
        self.write(&mut state, commit, alone)
    }

    /// Returns after the marker durably stands alone, at `commit` or above, which must be all that
    /// is known committed and is synced here. Ends any earlier stand.
    ///
    /// # Errors
    /// As the disk gives them; what headers must not be trusted for must not be written then.
    pub(crate) fn stand_alone(&self, commit: Lsn) -> io::Result<Stand> {
        let mut state = self.state();
        state.stand += 1;
        if !state.newest.alone || state.unsure {
            self.write(&mut state, commit, true)?;
        }
        Ok(Stand(state.stand))
    }

    /// Returns after headers durably count again: all that they tell of is synced here. Does
    /// nothing if the marker was made to stand alone again since.
    ///
    /// # Errors
    /// As the disk gives them; the marker stands alone or not after a crash then.
    pub(crate) fn stand_back(&self, stand: Stand) -> io::Result<()> {
        let mut state = self.state();
        if state.newest.alone && state.stand == stand.0 {
            self.write(&mut state, Lsn::ZERO, false)?;
        }
        Ok(())
    }

    /// As [`CommitMarker::stand_back`], for the stand that the marker was opened with.
    ///
    /// # Errors
    /// As [`CommitMarker::stand_back`].
    pub(crate) fn stand_back_after_recovery(&self) -> io::Result<()> {
        self.stand_back(Stand(0))
    }

    fn write(&self, state: &mut State, commit: Lsn, alone: bool) -> io::Result<()> {
        let slot = Slot {
            commit: commit.max(state.newest.commit),
            number: state.newest.number + 1,
            alone,
        };
        let at = 1 - state.at;
        state.unsure = true;
        self.file.write_at(&encode(self.log, slot), SLOTS[at])?;
        self.file.sync_data()?;
        state.newest = slot;
        state.at = at;
        state.unsure = false;
        Ok(())
    }
}

fn encode(log: u64, slot: Slot) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let flags = if slot.alone { ALONE } else { 0 };
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&log.to_le_bytes());
    bytes[16..24].copy_from_slice(&slot.commit.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&slot.number.to_le_bytes());
    bytes[32..CRC_AT].copy_from_slice(&flags.to_le_bytes());
    let crc = crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Reads a slot; none when it was never written, is torn, or another log's.
fn decode(bytes: &[u8], log: u64) -> io::Result<Option<Slot>> {
    let whole = bytes.len() == SLOT_BYTES
        && bytes[..8] == MAGIC
        && crc32c(&bytes[..CRC_AT]) == u32_at(bytes, CRC_AT)
        && u64_at(bytes, 8) == log;
    if !whole {
        return Ok(None);
    }
    let flags = u32_at(bytes, 32);
    if flags & !ALONE != 0 {
        let what = format!("flags {flags:#x} of the commit marker are unknown to this version");
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    Ok(Some(Slot {
        commit: Lsn(u64_at(bytes, 16)),
        number: u64_at(bytes, 24),
        alone: flags & ALONE != 0,
    }))
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
        let newest = open(7).state().at;
        marker
            .file
            .write_at(&[0xff; 20], SLOTS[newest] + 4)
            .expect("writes");
        assert_eq!(open(7).commit(), Lsn(5));
    }
}
