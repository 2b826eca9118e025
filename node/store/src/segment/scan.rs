//! Reading a segment from its bytes alone: heads one after the other, payloads skipped.

use std::io;

use wire::Lsn;

use super::entry::Entry;
use crate::disk::{File, PAGE_BYTES, is_unreadable, read_by_unit, unreadable};
use crate::record::head::{
    DecodeHeadError, FORMAT, FORMAT_AT, HEADER_BYTES, Head, ID_AT, LOG_AT, LSN_AT, MAGIC,
    SUPERSEDES_AT, u64_at,
};
use crate::record::layout::{ALIGN, Lengths};

/// How much is read at a time: enough for the disk to stream, little enough to skip a payload.
pub(crate) const WINDOW_BYTES: usize = 256 * 1024;

/// Walks over the records of a segment file.
pub(crate) struct Scan<'a> {
    file: &'a dyn File,
    log: u64,
    /// Where the next record should start.
    at: u64,
    /// The file's length.
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    /// The pages of the window that cannot be read.
    unreadable: Vec<u64>,
    sectors: BadSectors,
    /// It met something that cannot be read, since that was last asked.
    has_passed: bool,
}

/// What a sector is that the disk cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BadSectors {
    /// Damage of the records that lie in it.
    Damage,
    /// An error.
    Refuse,
}

/// What lies at a position of a segment.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record whose header, table and metadata are intact.
    Record {
        /// Its place.
        entry: Entry,
        /// Its header's fields.
        head: Head,
    },
    /// No further record was ever written.
    End,
    /// Bytes that are not a record.
    Damage(DecodeHeadError),
}

/// What a damaged header seems to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    /// Where it starts in the segment, in bytes.
    pub(crate) start: u64,
    /// Where its record ends, in bytes.
    pub(crate) end: u64,
    pub(crate) lsn: Lsn,
    pub(crate) id: [u8; 16],
    pub(crate) supersedes: Lsn,
}

impl<'a> Scan<'a> {
    /// Goes on to the record of an lsn; none when it is not there, or cannot be read.
    ///
    /// # Errors
    /// As the disk gives them.
    pub(crate) fn find(mut self, lsn: Lsn) -> io::Result<Option<Entry>> {
        loop {
            let start = self.position();
            match self.next()? {
                Found::Record { entry, .. } if entry.lsn == lsn => return Ok(Some(entry)),
                Found::Record { entry, .. } if entry.lsn > lsn => return Ok(None),
                Found::Record { .. } => {}
                Found::End => return Ok(None),
                Found::Damage(_) => {
                    let next = self.resynchronise(start, Lsn::ZERO, &mut Vec::new())?;
                    if next.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// What the damaged header at `start` seems to be about; none when it does not look like one.
    ///
    /// # Errors
    /// As the disk gives them.
    fn suspect(&mut self, start: u64) -> io::Result<Option<Suspect>> {
        if start + HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let log = self.log;
        let Some(header) = self.readable(start, HEADER_BYTES)? else {
            return Ok(None);
        };
        let looks_like_one = header[..MAGIC.len()] == MAGIC || u64_at(header, LOG_AT) == log;
        let lengths = header.first_chunk().and_then(Head::lengths_in);
        Ok(looks_like_one.then(|| Suspect {
            start,
            end: lengths.map_or(start, |lengths| lengths.end(start)),
            lsn: Lsn(u64_at(header, LSN_AT)),
            id: header[ID_AT..ID_AT + 16].try_into().expect("16 bytes"),
            supersedes: Lsn(u64_at(header, SUPERSEDES_AT)),
        }))
    }

    /// A scan of the records from `start` on. Where the disk cannot read a sector, the records that
    /// lie in it are damaged.
    ///
    /// # Errors
    /// When the file's length cannot be read.
    pub(crate) fn new(file: &'a dyn File, log: u64, start: u64) -> io::Result<Scan<'a>> {
        Scan::with(file, log, start, BadSectors::Damage)
    }

    /// As [`Scan::new`], for who cuts off what is damaged: a record in a sector that cannot be read may
    /// be whole, and acknowledged.
    ///
    /// # Errors
    /// As [`Scan::new`].
    pub(crate) fn refusing(file: &'a dyn File, log: u64, start: u64) -> io::Result<Scan<'a>> {
        Scan::with(file, log, start, BadSectors::Refuse)
    }

    fn with(file: &'a dyn File, log: u64, start: u64, sectors: BadSectors) -> io::Result<Scan<'a>> {
        let end = file.len()?;
        Ok(Scan {
            file,
            log,
            at: start,
            end,
            window: Vec::new(),
            window_at: 0,
            unreadable: Vec::new(),
            sectors,
            has_passed: false,
        })
    }

    /// Whether something that it went past since the last call could not be read: it may be whole, as
    /// far as anybody knows.
    pub(crate) fn take_passed(&mut self) -> bool {
        std::mem::take(&mut self.has_passed)
    }

    /// Where the next record should start.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Reads the head at the position, and goes behind its record if it is one.
    ///
    /// # Errors
    /// As the disk gives them.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let found = self.look(self.at)?;
        if let Found::Record { entry, .. } = &found {
            self.at = entry.end();
        }
        Ok(found)
    }

    /// After damage at `start`: goes on to the next intact record with an lsn above `after`, be it
    /// one of a later version, and returns its start and lsn; none when there is none. Headers that
    /// are passed over, damaged, are added to `suspects`.
    ///
    /// # Errors
    /// As the disk gives them.
    pub(crate) fn resynchronise(
        &mut self,
        start: u64,
        after: Lsn,
        suspects: &mut Vec<Suspect>,
    ) -> io::Result<Option<(u64, Lsn)>> {
        suspects.extend(self.suspect(start)?);
        let mut at = start + ALIGN;
        while at + HEADER_BYTES as u64 <= self.end {
            let magic = self.readable(at, MAGIC.len())?;
            if magic.is_some_and(|magic| magic == MAGIC)
                && let Some(lsn) = self.intact(at)?
                && lsn > after
            {
                self.at = at;
                return Ok(Some((at, lsn)));
            }
            suspects.extend(self.suspect(at)?);
            at += ALIGN;
        }
        Ok(None)
    }

    /// As [`Scan::resynchronise`], for who goes on only if nothing there is needed: gives the lsn of
    /// the next record, and goes to the file's end when there is none.
    ///
    /// # Errors
    /// As the disk gives them.
    pub(crate) fn pass(&mut self, after: Lsn) -> io::Result<Option<Lsn>> {
        let next = self.resynchronise(self.at, after, &mut Vec::new())?;
        if next.is_none() {
            self.at = self.end;
        }
        Ok(next.map(|(_, lsn)| lsn))
    }

    /// The lsn of the record at `at` whose checksum is right, whether or not this version knows
    /// what it is; none when there is no such record.
    fn intact(&mut self, at: u64) -> io::Result<Option<Lsn>> {
        let unknown = match self.look(at)? {
            Found::Record { entry, .. } => return Ok(Some(entry.lsn)),
            Found::Damage(DecodeHeadError::Unknown { .. }) => self.bytes(at, HEADER_BYTES)?,
            Found::End | Found::Damage(_) => return Ok(None),
        };
        let lsn = Lsn(u64_at(unknown, LSN_AT));
        let lengths = unknown.first_chunk().and_then(Head::lengths_in);
        match lengths {
            Some(lengths) => Ok(self.is_intact(at, lengths)?.then_some(lsn)),
            None => Ok(None),
        }
    }

    fn look(&mut self, at: u64) -> io::Result<Found> {
        match self.decode(at) {
            Err(error) if self.passes(&error) => Ok(Found::Damage(DecodeHeadError::Unreadable)),
            found => found,
        }
    }

    fn decode(&mut self, at: u64) -> io::Result<Found> {
        if at + HEADER_BYTES as u64 > self.end {
            return self.tail(at);
        }
        let log = self.log;
        let header = self.bytes(at, HEADER_BYTES)?;
        let header = header
            .first_chunk::<HEADER_BYTES>()
            .expect("the whole header was asked for");
        let head = match Head::decode(header, log) {
            Ok(head) => head,
            Err(DecodeHeadError::Zeros) => return self.tail(at),
            Err(unknown @ DecodeHeadError::Unknown { .. }) => {
                let header = *header;
                return self
                    .unknown_or_damaged(at, &header, unknown)
                    .map(Found::Damage);
            }
            Err(error) => return Ok(Found::Damage(error)),
        };
        if !self.is_intact(at, head.lengths())? {
            return Ok(Found::Damage(DecodeHeadError::Checksum));
        }
        Ok(Found::Record {
            entry: Entry::new(&head, at),
            head,
        })
    }

    /// Tells a record of a later version from one whose format, kind, flags or codec byte is
    /// damaged.
    fn unknown_or_damaged(
        &mut self,
        at: u64,
        header: &[u8; HEADER_BYTES],
        unknown: DecodeHeadError,
    ) -> io::Result<DecodeHeadError> {
        let Some(lengths) = Head::lengths_in(header) else {
            return Ok(unknown);
        };
        if self.is_intact(at, lengths)? {
            return Ok(unknown);
        }
        let bytes = self.bytes(at, lengths.head().min(self.end - at) as usize)?;
        // A later format may keep its checksum elsewhere: only one that is right but for the
        // format's number is surely ours.
        let mut ours = bytes.to_vec();
        ours[FORMAT_AT] = FORMAT;
        let is_ours = header[FORMAT_AT] == FORMAT || Head::verify(&ours);
        Ok(match is_ours {
            true => DecodeHeadError::Checksum,
            false => unknown,
        })
    }

    fn is_intact(&mut self, at: u64, lengths: Lengths) -> io::Result<bool> {
        let fits = lengths.payload_start(at) + lengths.payload <= self.end;
        Ok(fits && Head::verify(self.bytes(at, lengths.head() as usize)?))
    }

    /// Zeros to the end of the file are the end of the log; zeros before something else are not.
    fn tail(&mut self, mut at: u64) -> io::Result<Found> {
        while at < self.end {
            let length = WINDOW_BYTES.min((self.end - at) as usize);
            if self.bytes(at, length)?.iter().any(|&byte| byte != 0) {
                return Ok(Found::Damage(DecodeHeadError::Zeros));
            }
            at += length as u64;
        }
        Ok(Found::End)
    }

    fn passes(&self, error: &io::Error) -> bool {
        self.sectors == BadSectors::Damage && is_unreadable(error)
    }

    /// As [`Scan::bytes`]; none where the disk cannot read them, and that is damage.
    fn readable(&mut self, at: u64, length: usize) -> io::Result<Option<&[u8]>> {
        let sectors = self.sectors;
        match self.bytes(at, length) {
            Err(error) if sectors == BadSectors::Damage && is_unreadable(&error) => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    /// `length` bytes at `at`, which must lie within the file: from memory, if they follow closely on
    /// what was asked for before.
    ///
    /// # Errors
    /// As the disk gives them; also when only some of them cannot be read.
    pub(crate) fn bytes(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let inside =
            at >= self.window_at && at + length as u64 <= self.window_at + self.window.len() as u64;
        if !inside {
            let wanted = WINDOW_BYTES.max(length).min((self.end - at) as usize);
            let read = self.fill(at, wanted);
            // Nothing is in memory where that came to nothing.
            self.window.truncate(*read.as_ref().unwrap_or(&0));
            if read? < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let is_lost = |page: &u64| *page < at + length as u64 && at < page + PAGE_BYTES;
        if self.unreadable.iter().any(is_lost) {
            self.has_passed = true;
            return Err(unreadable());
        }
        let from = (at - self.window_at) as usize;
        Ok(&self.window[from..from + length])
    }

    /// Reads the window; returns how many bytes the file has of it.
    fn fill(&mut self, at: u64, bytes: usize) -> io::Result<usize> {
        self.window.resize(bytes, 0);
        self.window_at = at;
        self.unreadable.clear();
        match self.file.read_at(&mut self.window, at) {
            Err(error) if self.passes(&error) => {
                let readable = read_by_unit(self.file, &mut self.window, at, PAGE_BYTES)?;
                self.unreadable = readable.unreadable;
                Ok(readable.bytes)
            }
            read => read,
        }
    }
}

#[cfg(test)]
mod tests;
