//! The work of a compaction: reading its sources, and writing what is still needed.
//!
//! A record that supersedes an older one of its content must outlive it: otherwise a restart would
//! bring the older one back. So a dead record, or an old delete, is dropped only if the record that
//! it superseded is gone already, or goes now.

mod ends;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;
use std::sync::Arc;

use wire::Lsn;
use wire::limits::DELETE_RECORD_LIFE_MS;

use super::compact::{Compaction, ignore_missing};
use super::gone::Gone;
use crate::disk::{File, is_unreadable, read_exact_at};
use crate::index::Place;
use crate::reader::{ReadError, Reader};
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::segment::index_file::SegmentIndex;
use crate::segment::name::SegmentName;
use crate::segment::scan::{Found, Scan, WINDOW_BYTES};

/// What a compaction comes to.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// The new segment, durable and under its name; none when the compaction came to nothing.
    pub(super) file: Option<Arc<dyn File>>,
    pub(super) error: Option<io::Error>,
    /// The new segment may be there all the same: a start would take it for the log.
    pub(super) is_left: bool,
    /// The number of the source that could not be read, if it was that.
    pub(super) unread: Option<u32>,
    pub(super) begun_ms: u64,
    pub(super) sources: Vec<Arc<Segment>>,
    pub(super) number: u32,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) generation: u32,
    pub(super) commit: Lsn,
    pub(super) horizon: Lsn,
    pub(super) index_bytes: Option<u64>,
    pub(super) kept: Vec<Kept>,
    /// Of these, the ones that are there only because an older record still needs them.
    pub(super) stuck: BTreeSet<Lsn>,
    pub(super) dropped_deletes: Vec<DroppedDelete>,
}

/// Why a rewriting came to nothing.
enum Failed {
    /// The source of this number cannot be read, or what its records belong to.
    Read(u32, io::Error),
    /// The new segment cannot be written.
    Write(io::Error),
    /// It has its name, perhaps, and cannot be taken back.
    Left(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Write(error)
    }
}

/// A record that was copied.
#[derive(Debug)]
pub(super) struct Kept {
    /// At its new place.
    pub(super) entry: Entry,
    /// The number of the segment it was in, and where it started there.
    pub(super) source: u32,
    pub(super) start: u64,
    /// What its readers hold.
    pub(super) pin: Lsn,
}

/// A delete that was old enough to go.
#[derive(Debug)]
pub(super) struct DroppedDelete {
    pub(super) id: [u8; 16],
    pub(super) place: Place,
}

/// The state of the work.
struct Rewriting<'a> {
    plan: &'a Compaction,
    output: Output,
    kept: Vec<Kept>,
    dropped_deletes: Vec<DroppedDelete>,
    horizon: Lsn,
    /// Records that were kept only because an older one still needs them.
    stuck: BTreeSet<Lsn>,
    /// What is surely not in the segments before the sources.
    gone: Gone,
    /// The uploads of which chunks were kept.
    uploads: BTreeSet<Lsn>,
    /// What each upload's chunks belong to: the lsn of its live commit, if it has one.
    commits: HashMap<Lsn, Option<Lsn>>,
}

/// Whether a record is a delete that is old enough to go.
pub(super) fn is_expired(entry: &Entry, now_ms: u64) -> bool {
    entry.kind == Kind::Delete && entry.time_ms.saturating_add(DELETE_RECORD_LIFE_MS) <= now_ms
}

impl Compaction {
    pub(super) fn run(self, may_go_on: &mut dyn FnMut(u64) -> bool) -> Rewritten {
        let mut rewritten = Rewritten {
            file: None,
            error: None,
            is_left: false,
            unread: None,
            begun_ms: self.now_ms,
            sources: self.sources.clone(),
            number: self.number,
            first: self.first,
            last: self.last,
            generation: self.generation,
            commit: self.commit,
            horizon: self.horizon,
            index_bytes: None,
            kept: Vec::new(),
            stuck: BTreeSet::new(),
            dropped_deletes: Vec::new(),
        };
        let outcome = self.rewrite(may_go_on);
        if !matches!(outcome, Ok(Some(_))) {
            self.forget();
        }
        match outcome {
            Ok(Some(rewriting)) => {
                rewritten.file = Some(rewriting.output.file);
                rewritten.horizon = rewriting.horizon;
                rewritten.kept = rewriting.kept;
                rewritten.stuck = rewriting.stuck;
                rewritten.dropped_deletes = rewriting.dropped_deletes;
                rewritten.index_bytes = self.write_index(&rewritten.kept).ok();
            }
            Ok(None) => {}
            Err(Failed::Write(error)) => rewritten.error = Some(error),
            Err(Failed::Left(error)) => {
                rewritten.is_left = true;
                rewritten.error = Some(error);
            }
            Err(Failed::Read(source, error)) => {
                rewritten.unread = Some(source);
                rewritten.error = Some(error);
            }
        }
        rewritten
    }

    fn name(&self) -> SegmentName {
        SegmentName {
            first: self.first,
            generation: self.generation,
        }
    }

    /// Gives back what was written in vain: a disk that became full by it stays so otherwise.
    fn forget(&self) {
        let temporary = SegmentName::temporary_path(&self.name().path(&self.dir));
        // If it cannot be removed, the next rewriting, or a restart, does it.
        self.disk.remove(&temporary).ok();
    }

    fn rewrite(
        &self,
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Rewriting<'_>>, Failed> {
        let path = self.name().path(&self.dir);
        let temporary = SegmentName::temporary_path(&path);
        self.disk.remove(&temporary).or_else(ignore_missing)?;
        let mut rewriting = Rewriting::new(self, self.disk.create(&temporary)?);
        for source in &self.sources {
            if !rewriting.copy_segment(source, may_go_on)? {
                return Ok(None);
            }
        }
        rewriting.output.flush()?;
        rewriting.write_header()?;
        rewriting.output.file.sync_data()?;
        // What was left out is dead by records up to here: a restart must know them committed.
        self.marker.raise(self.shared.committed())?;
        let renamed = self.disk.rename(&temporary, &path);
        let named = renamed.and_then(|()| self.disk.sync_dir(&self.dir));
        named.map_err(|error| self.take_back(&path, error))?;
        Ok(Some(rewriting))
    }

    /// What has its name counts for the next start, whatever came behind its sources until then.
    fn take_back(&self, path: &Path, error: io::Error) -> Failed {
        let removed = self.disk.remove(path).or_else(ignore_missing);
        match removed.and_then(|()| self.disk.sync_dir(&self.dir)) {
            Ok(()) => Failed::Write(error),
            Err(_) => Failed::Left(error),
        }
    }

    fn write_index(&self, kept: &[Kept]) -> io::Result<u64> {
        let index = SegmentIndex {
            first: self.first,
            last: self.last,
            commit: self.commit,
            end: kept
                .last()
                .map_or(SEGMENT_HEADER_BYTES, |kept| kept.entry.end()),
            entries: kept.iter().map(|kept| kept.entry).collect(),
        };
        index.persist(&*self.disk, &self.dir, self.shared.log, self.name())
    }
}

impl<'a> Rewriting<'a> {
    fn new(plan: &'a Compaction, file: Arc<dyn File>) -> Rewriting<'a> {
        Rewriting {
            plan,
            output: Output::new(file),
            kept: Vec::new(),
            dropped_deletes: Vec::new(),
            horizon: plan.horizon,
            stuck: BTreeSet::new(),
            gone: Gone::before(plan),
            uploads: BTreeSet::new(),
            commits: HashMap::new(),
        }
    }

    fn write_header(&self) -> io::Result<()> {
        let header = SegmentHeader {
            generation: self.plan.generation,
            log: self.plan.shared.log,
            first: self.plan.first,
            last: self.plan.last,
            horizon: self.horizon,
        };
        let file = &self.output.file;
        file.allocate(0, SEGMENT_HEADER_BYTES)?;
        file.write_at(&header.encode(), 0)
    }

    /// Copies what is needed of a source; false when it was told to stop.
    fn copy_segment(
        &mut self,
        source: &Arc<Segment>,
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> Result<bool, Failed> {
        let unread = |error| Failed::Read(source.number, error);
        let scan = Scan::new(&*source.file, self.plan.shared.log, SEGMENT_HEADER_BYTES);
        let mut scan = scan.map_err(unread)?;
        let mut last = source.name.first.previous();
        while let Some((entry, pin)) = self
            .next_needed((source, &mut scan), &mut last)
            .map_err(unread)?
        {
            if !may_go_on(entry.bytes()) {
                return Ok(false);
            }
            let copied = self.copy((source, &mut scan), entry, pin);
            let copied = copied.inspect_err(|error| self.tell_unreadable(&entry, error));
            copied.map_err(unread)?;
            if self.output.bytes.len() >= OUTPUT_BYTES {
                self.output.flush()?;
            }
        }
        Ok(true)
    }

    /// The next record of a source that must be copied, and what its readers hold; none at its end.
    fn next_needed(
        &mut self,
        (source, scan): (&Segment, &mut Scan<'_>),
        last: &mut Lsn,
    ) -> io::Result<Option<(Entry, Lsn)>> {
        let end = source.sealed_at().unwrap_or(self.plan.last);
        loop {
            match scan.next()? {
                Found::Record { entry, .. } => {
                    *last = entry.lsn;
                    if let Some(pin) = self.is_needed(source, &entry)? {
                        return Ok(Some((entry, pin)));
                    }
                }
                // Zeros look like the end; what should be there is not left out for them.
                Found::End if source.has_record_at(scan.position()) => {
                    if self.plan.shared.damage().hide(*last, end.next()) {
                        let error = "zeros before the last record of a segment";
                        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                    }
                    return Ok(None);
                }
                Found::End => return Ok(None),
                // A segment with a damaged record stays as it is, until it was repaired.
                Found::Damage(error) => {
                    let next = scan.pass(*last)?.unwrap_or(end.next());
                    if self.plan.shared.damage().hide(*last, next) {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                    }
                }
            }
        }
    }

    /// A record that cannot be read is not moved, as its sector may be read later: it is repaired first.
    fn tell_unreadable(&self, entry: &Entry, error: &io::Error) {
        if is_unreadable(error) {
            self.plan.shared.damage().note(entry.id, entry.lsn);
        }
    }

    /// Whether a record must be copied; and what its readers hold.
    fn is_needed(&mut self, source: &Segment, entry: &Entry) -> io::Result<Option<Lsn>> {
        match entry.kind {
            Kind::Epoch => Ok(Some(entry.lsn)),
            Kind::Abort => Ok(self.has_chunks(entry).then_some(entry.lsn)),
            Kind::Chunk => self.chunk_pin(entry),
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                let place = Place::new(entry.kind, source.number, entry.start);
                let live = self.plan.shared.index.contains(&entry.id, place);
                let expired = is_expired(entry, self.plan.now_ms);
                if live && !expired {
                    return Ok(Some(entry.lsn));
                }
                // Where the chain has a gap, what is before it may be here all the same.
                let is_last = live && self.plan.shared.has_gap(&entry.id);
                let hides = entry.supersedes > Lsn::ZERO && self.is_there(entry.supersedes);
                if is_last || hides || self.has_chunks(entry) {
                    self.stuck.insert(entry.lsn);
                    return Ok(Some(entry.lsn));
                }
                if live {
                    self.horizon = self.horizon.max(entry.lsn);
                    self.dropped_deletes.push(DroppedDelete {
                        id: entry.id,
                        place,
                    });
                }
                Ok(None)
            }
        }
    }

    /// What readers of a chunk hold; none when the chunk is dead. Where damage hides what it belongs
    /// to, it is kept: nothing is dropped because it is not known.
    fn chunk_pin(&mut self, entry: &Entry) -> io::Result<Option<Lsn>> {
        if self.plan.uploads.contains(&entry.upload) {
            return Ok(Some(entry.upload));
        }
        if let Some(known) = self.commits.get(&entry.upload) {
            return Ok(*known);
        }
        let reader = Reader::new(Arc::clone(&self.plan.shared));
        let commit = match reader.commit_of(entry) {
            Ok(commit) => commit,
            Err(ReadError::Disk(error)) => return Err(error),
            Err(_) => Some(entry.upload),
        };
        self.commits.insert(entry.upload, commit);
        Ok(commit)
    }

    /// Whether an older record is, or may be, in the log after this rewriting.
    fn is_there(&self, lsn: Lsn) -> bool {
        // Of a record that was given up, nobody knows what it superseded: that may be there instead.
        if self.plan.shared.damage().is_settled(lsn) {
            return true;
        }
        if lsn >= self.plan.first {
            let kept = self.kept.binary_search_by_key(&lsn, |kept| kept.entry.lsn);
            return kept.is_ok();
        }
        !self.gone.has(lsn)
    }

    /// Copies a record byte for byte; the padding changes with the place.
    fn copy(
        &mut self,
        (source, scan): (&Segment, &mut Scan<'_>),
        entry: Entry,
        pin: Lsn,
    ) -> io::Result<()> {
        let moved = Entry {
            start: self.output.end(),
            ..entry
        };
        if moved.start >= Place::START_END {
            // Nothing could lead to it, and no start would get past it.
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let payload_to = moved.lengths.payload_start(moved.start);
        let head = scan.bytes(entry.start, entry.lengths.head() as usize)?;
        self.output.bytes.extend_from_slice(head);
        self.output.pad(payload_to);
        self.copy_payload((source, scan), &entry)?;
        self.output.pad(moved.end());
        if moved.kind == Kind::Chunk {
            self.uploads.insert(moved.upload);
        }
        self.kept.push(Kept {
            entry: moved,
            source: source.number,
            start: entry.start,
            pin,
        });
        Ok(())
    }

    fn copy_payload(
        &mut self,
        (source, scan): (&Segment, &mut Scan<'_>),
        entry: &Entry,
    ) -> io::Result<()> {
        let from = entry.lengths.payload_start(entry.start);
        let length = usize::try_from(entry.lengths.payload).map_err(io::Error::other)?;
        if length <= WINDOW_BYTES {
            match scan.bytes(from, length) {
                Ok(payload) => self.output.bytes.extend_from_slice(payload),
                Err(error) if self.is_given_up(entry, &error) => {
                    self.output.extend(length);
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        let room = self.output.extend(length);
        match read_exact_at(&*source.file, room, from) {
            Err(error) if self.is_given_up(entry, &error) => {
                let at = self.output.bytes.len() - length;
                self.output.bytes[at..].fill(0);
                Ok(())
            }
            read => read,
        }
    }

    /// Whether a payload that cannot be read is one that nobody has, or needs: its record is dead, and
    /// stays for its head alone. Zeros do in its place, as where one was given back.
    fn is_given_up(&self, entry: &Entry, error: &io::Error) -> bool {
        let is_settled = || self.plan.shared.damage().is_settled(entry.lsn);
        is_unreadable(error) && self.stuck.contains(&entry.lsn) && is_settled()
    }
}

/// What is written at once: each call of the system costs more than the copy of a small record.
const OUTPUT_BYTES: usize = 1 << 20;

/// The new file, behind a buffer.
struct Output {
    file: Arc<dyn File>,
    /// Where the buffer belongs.
    at: u64,
    bytes: Vec<u8>,
}

impl Output {
    fn new(file: Arc<dyn File>) -> Output {
        Output {
            file,
            at: SEGMENT_HEADER_BYTES,
            bytes: Vec::new(),
        }
    }

    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Zeros up to a position.
    fn pad(&mut self, end: u64) {
        self.bytes.resize((end - self.at) as usize, 0);
    }

    /// Zeros to be overwritten.
    fn extend(&mut self, bytes: usize) -> &mut [u8] {
        let from = self.bytes.len();
        self.bytes.resize(from + bytes, 0);
        &mut self.bytes[from..]
    }

    /// Writes what there is, and has the disk begin with it: the sync at the end is a short one.
    fn flush(&mut self) -> io::Result<()> {
        let length = self.bytes.len() as u64;
        if length > 0 {
            self.file.allocate(self.at, length)?;
            self.file.write_at(&self.bytes, self.at)?;
            self.file.begin_write_back(self.at, length);
        }
        self.at += length;
        self.bytes.clear();
        Ok(())
    }
}
