//! The work of a compaction: reading its sources, and writing what is still needed.
//!
//! A record that supersedes an older one of its content must outlive it: otherwise a restart would
//! bring the older one back. So a dead record, or an old delete, is dropped only if the record that
//! it superseded is gone already, or goes now.

mod ends;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;

use wire::Lsn;
use wire::limits::DELETE_RECORD_LIFE_MS;

use super::compact::Compaction;
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
    /// What is in other segments, as it was asked for.
    others: HashMap<Lsn, Others>,
    /// The uploads of which chunks were kept.
    uploads: BTreeSet<Lsn>,
    /// What each upload's chunks belong to: the lsn of its live commit, if it has one.
    commits: HashMap<Lsn, Option<Lsn>>,
}

/// The records of another segment.
#[derive(Debug, Default)]
struct Others {
    lsns: BTreeSet<Lsn>,
    /// The uploads of which chunks are there.
    uploads: BTreeSet<Lsn>,
    /// Between each two of these, both excluded, damage hides what is there.
    hidden: Vec<(Lsn, Lsn)>,
}

impl Others {
    /// Whether a record is there, or may be.
    fn may_have(&self, lsn: Lsn) -> bool {
        let mut hidden = self.hidden.iter();
        self.lsns.contains(&lsn) || hidden.any(|(after, before)| *after < lsn && lsn < *before)
    }
}

/// Whether a record is a delete that is old enough to go.
fn is_expired(entry: &Entry, now_ms: u64) -> bool {
    entry.kind == Kind::Delete && entry.time_ms.saturating_add(DELETE_RECORD_LIFE_MS) <= now_ms
}

impl Compaction {
    pub(super) fn run(self, may_go_on: &mut dyn FnMut(u64) -> bool) -> Rewritten {
        let mut rewritten = Rewritten {
            file: None,
            error: None,
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
            Err(error) => rewritten.error = Some(error),
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

    fn rewrite(&self, may_go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<Option<Rewriting<'_>>> {
        let path = self.name().path(&self.dir);
        let temporary = SegmentName::temporary_path(&path);
        match self.disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
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
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(Some(rewriting))
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
            others: HashMap::new(),
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
    ) -> io::Result<bool> {
        let mut scan = Scan::new(&*source.file, self.plan.shared.log, SEGMENT_HEADER_BYTES)?;
        let mut last = source.name.first.previous();
        let end = source.sealed_at().unwrap_or(self.plan.last);
        loop {
            match scan.next()? {
                Found::Record { entry, .. } => {
                    last = entry.lsn;
                    let Some(pin) = self.is_needed(source, &entry)? else {
                        continue;
                    };
                    if !may_go_on(entry.bytes()) {
                        return Ok(false);
                    }
                    let copied = self.copy((source, &mut scan), entry, pin);
                    copied.inspect_err(|error| self.tell_unreadable(&entry, error))?;
                }
                Found::End => return Ok(true),
                // A segment with a damaged record stays as it is, until it was repaired.
                Found::Damage(error) => {
                    let next = scan.pass(last)?.unwrap_or(end.next());
                    if !self.plan.shared.damage().hide(last, next) {
                        continue;
                    }
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
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
            Kind::Abort => Ok(self.has_chunks(entry)?.then_some(entry.lsn)),
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
                let hides = entry.supersedes > Lsn::ZERO && self.is_there(entry.supersedes)?;
                if is_last || hides || self.has_chunks(entry)? {
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
    fn is_there(&mut self, lsn: Lsn) -> io::Result<bool> {
        if lsn >= self.plan.first {
            let kept = self.kept.binary_search_by_key(&lsn, |kept| kept.entry.lsn);
            return Ok(kept.is_ok());
        }
        let Some(segment) = self.plan.shared.segment_of(lsn) else {
            return Ok(false);
        };
        Ok(self.others_in(&segment)?.may_have(lsn))
    }

    fn others_in(&mut self, segment: &Segment) -> io::Result<&Others> {
        let first = segment.name.first;
        if !self.others.contains_key(&first) {
            let others = self.records_of(segment)?;
            self.others.insert(first, others);
        }
        Ok(&self.others[&first])
    }

    fn records_of(&self, segment: &Segment) -> io::Result<Others> {
        let plan = self.plan;
        let mut others = Others::default();
        let index = SegmentIndex::load(&*plan.disk, &plan.dir, plan.shared.log, segment.name);
        if let Some(index) = index {
            index.entries.iter().for_each(|entry| others.add(entry));
            return Ok(others);
        }
        let mut scan = Scan::new(&*segment.file, plan.shared.log, SEGMENT_HEADER_BYTES)?;
        let mut last = segment.name.first.previous();
        loop {
            let start = scan.position();
            match scan.next()? {
                Found::Record { entry, .. } => {
                    last = entry.lsn;
                    others.add(&entry);
                }
                Found::End => return Ok(others),
                Found::Damage(_) => {
                    let next = scan.resynchronise(start, last, &mut Vec::new())?;
                    let before = next.map_or(Lsn(u64::MAX), |(_, lsn)| lsn);
                    others.hidden.push((last, before));
                    if next.is_none() {
                        return Ok(others);
                    }
                }
            }
        }
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
        let payload_from = entry.lengths.payload_start(entry.start);
        let payload = usize::try_from(entry.lengths.payload).map_err(io::Error::other)?;
        let payload_to = moved.lengths.payload_start(moved.start);
        let head = scan.bytes(entry.start, entry.lengths.head() as usize)?;
        self.output.bytes.extend_from_slice(head);
        self.output.pad(payload_to);
        if payload <= WINDOW_BYTES {
            let payload = scan.bytes(payload_from, payload)?;
            self.output.bytes.extend_from_slice(payload);
        } else {
            let room = self.output.extend(payload);
            read_exact_at(&*source.file, room, payload_from)?;
        }
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
        match self.output.bytes.len() >= OUTPUT_BYTES {
            true => self.output.flush(),
            false => Ok(()),
        }
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
