//! Cutting the end of a log off: at recovery, and when a new leader's history differs.
//!
//! What is cut goes to `quarantine/` first. The cut is durable before anything is appended, so that
//! no stale record can follow a new one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wire::{Lsn, Position};

use super::Log;
use super::recovery::QUARANTINE;
use crate::disk::{File, read_exact_at};
use crate::segment::scan::{Found, Scan};

/// How much is copied into quarantine at a time.
const COPY_BYTES: usize = 1 << 20;

impl Log {
    /// Cuts the log at a byte of a segment; later segments go whole. Returns how many bytes went.
    pub(super) fn cut(&mut self, segment: usize, at: u64) -> io::Result<u64> {
        let mut moved = self.quarantine_from(segment + 1)?;
        let state = self.active();
        let (file, name) = (Arc::clone(&state.segment.file), state.segment.name);
        let length = file.len()?;
        let to = self.quarantine_path(&format!("{}@{at}", name.file()))?;
        moved += self.copy_if_there_is_room(&*file, at, length, to)?;
        self.remove_index(segment)?;
        file.set_len(at)?;
        file.sync_data()?;
        self.disk.sync_dir(&self.dir)?;
        let state = self.active_mut();
        state.segment.unseal();
        state.end = at;
        state.length = at;
        Ok(moved)
    }

    /// Cuts everything above an lsn that is not below the commit; all that stays is durable then.
    pub(crate) fn truncate_after(&mut self, lsn: Lsn) -> io::Result<u64> {
        self.write_buffer().map_err(io::Error::other)?;
        // Nobody reads on there, even if the rest comes to nothing.
        self.shared.set_written(lsn);
        let first_to_go = self
            .segments
            .iter()
            .position(|state| state.segment.name.first > lsn);
        let segment = first_to_go.unwrap_or(self.segments.len()).saturating_sub(1);
        let was_full = segment + 1 < self.segments.len();
        let is_whole = self.segments[segment].last <= lsn;
        let moved = if was_full && is_whole {
            self.quarantine_from(segment + 1)?
        } else {
            let at = self.end_of(segment, lsn)?;
            self.cut(segment, at)?
        };
        self.sync_unsynced()?;
        self.epochs.truncate_after(lsn);
        self.appended = Position {
            epoch: self.epochs.epoch_at(lsn),
            lsn,
        };
        self.synced = lsn;
        self.forget_told();
        self.resume_at(lsn, was_full && is_whole);
        self.measure_quarantine()?;
        Ok(moved)
    }

    /// Measures what lies in quarantine: after something was cut off, or somebody deleted there.
    pub(crate) fn measure_quarantine(&mut self) -> io::Result<()> {
        let dir = self.dir.join(QUARANTINE);
        let mut bytes = 0;
        for name in self.disk.list(&dir)? {
            bytes += self.disk.open(&dir.join(name))?.allocated()?;
        }
        self.quarantine_bytes = bytes;
        Ok(())
    }

    /// Makes all that stays durable: a job that is under way may not have come to it.
    fn sync_unsynced(&mut self) -> io::Result<()> {
        for state in self
            .segments
            .iter()
            .filter(|state| state.last > self.synced)
        {
            state.segment.file.sync_data()?;
        }
        self.disk.sync_dir(&self.dir)?;
        self.unsynced.cut();
        Ok(())
    }

    /// Appending goes on after a truncation. A segment that was full and lost nothing may be under
    /// a chore, which would cut off what is appended to it: it stays full.
    fn resume_at(&mut self, lsn: Lsn, stays_full: bool) {
        self.closed = stays_full;
        if stays_full {
            return;
        }
        let state = self.active_mut();
        state.last = state.last.min(lsn);
        state.segment.forget_above(lsn);
        let end = state.end;
        self.buffer_at = end;
        self.reserved = end;
        self.prefilled = end;
    }

    /// Moves a segment and all behind it into quarantine; returns their bytes.
    pub(super) fn quarantine_from(&mut self, segment: usize) -> io::Result<u64> {
        let mut moved = 0;
        while self.segments.len() > segment {
            moved += self.quarantine_last()?;
        }
        Ok(moved)
    }

    /// Where the last record of a segment with an lsn of at most `lsn` ends. Damage among the records
    /// that stay does not keep the others from being cut: it stays damage.
    fn end_of(&self, segment: usize, lsn: Lsn) -> io::Result<u64> {
        let segment = &self.segments[segment].segment;
        let (mut last, start) = segment.near(lsn);
        let mut scan = Scan::refusing(&*segment.file, self.shared.log, start)?;
        loop {
            let at = scan.position();
            match scan.next()? {
                Found::Record { entry, .. } if entry.lsn <= lsn => last = entry.lsn,
                Found::Record { .. } | Found::End => return Ok(at),
                Found::Damage(error) => match scan.resynchronise(at, last, &mut Vec::new())? {
                    Some((_, next)) if next <= lsn => {}
                    // What is damaged is above the cut, or the last that stays.
                    Some(_) if last == lsn => return Ok(at),
                    Some((next, _)) => return Ok(next),
                    None if last == lsn => return Ok(at),
                    None => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                },
            }
        }
    }

    /// Moves the last segment into quarantine; returns its length.
    fn quarantine_last(&mut self) -> io::Result<u64> {
        let index = self.segments.len() - 1;
        self.remove_index(index)?;
        let state = &self.segments[index];
        let (name, bytes) = (state.segment.name, state.end);
        let to = self.quarantine_path(&name.file())?;
        self.disk.rename(&name.path(&self.dir), &to)?;
        self.disk.sync_dir(&self.dir.join(QUARANTINE))?;
        self.disk.sync_dir(&self.dir)?;
        self.shared.remove_segment(&self.segments[index].segment);
        self.segments.pop();
        Ok(bytes)
    }

    fn remove_index(&mut self, segment: usize) -> io::Result<()> {
        let state = &mut self.segments[segment];
        state.index_bytes = None;
        match self.disk.remove(&state.segment.name.index_path(&self.dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A path in quarantine that is not taken.
    fn quarantine_path(&self, name: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join(QUARANTINE);
        let taken = self.disk.list(&dir)?;
        let free = (0_u32..)
            .map(|n| format!("{name}.{n}"))
            .find(|path| !taken.contains(path));
        Ok(dir.join(free.expect("numbers do not run out")))
    }

    /// Copies a range into quarantine. On a full disk the log is cut without: what is cut was never
    /// acknowledged, and a node must be able to start.
    fn copy_if_there_is_room(
        &self,
        file: &dyn File,
        from: u64,
        to: u64,
        path: PathBuf,
    ) -> io::Result<u64> {
        match self.copy(file, from, to, &path) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                match self.disk.remove(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                    _ => Ok(0),
                }
            }
            other => other,
        }
    }

    /// Copies what is not zeros at the end of a range; returns how many bytes that was.
    fn copy(&self, file: &dyn File, from: u64, to: u64, path: &Path) -> io::Result<u64> {
        let mut bytes = vec![0; COPY_BYTES];
        let mut end = from;
        let mut at = from;
        while at < to {
            let piece = &mut bytes[..COPY_BYTES.min((to - at) as usize)];
            read_exact_at(file, piece, at)?;
            if let Some(last) = piece.iter().rposition(|&byte| byte != 0) {
                end = at + last as u64 + 1;
            }
            at += piece.len() as u64;
        }
        if end == from {
            return Ok(0);
        }
        let copy = self.disk.create(path)?;
        copy.allocate(0, end - from)?;
        let mut at = from;
        while at < end {
            let piece = &mut bytes[..COPY_BYTES.min((end - at) as usize)];
            read_exact_at(file, piece, at)?;
            copy.write_at(piece, at - from)?;
            at += piece.len() as u64;
        }
        copy.sync_data()?;
        self.disk.sync_dir(&self.dir.join(QUARANTINE))?;
        Ok(end - from)
    }
}
