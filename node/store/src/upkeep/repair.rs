//! Repair: a damaged record is written again, in its place, as an intact replica has it.
//!
//! A record has the same bytes on every replica, so each byte that is written is either the one that
//! was there or the one that was damaged: a crash in the middle leaves a damaged record, never a
//! wrong one. Nothing moves, and no position changes. It counts when it was synced and read back.

mod row;
mod write;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wire::{ContentId, Epoch, Lsn};

use super::ChoreError;
use crate::damage::{Need, Told};
use crate::disk::Disk;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::index::Place;
use crate::log::marker::CommitMarker;
use crate::poison::Poisoned;
use crate::reader::{Reader, forget_cached};
use crate::record::Record;
use crate::record::head::{HEADER_BYTES, Head, LOG_AT, u64_at};
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::index_file::SegmentIndex;
use crate::segment::scan::{Found, Scan, Suspect};
use crate::shared::Shared;
use crate::store::Store;

/// Why a record is not written.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// Another repair is under way, or its segment is being rewritten: later.
    #[error("the segment is busy")]
    Busy,
    /// What is not known committed here is not damaged: it is cut off, and taken again.
    #[error("record {lsn} is not committed here")]
    NotCommitted {
        /// The record's.
        lsn: Lsn,
    },
    /// Another log's record, or one of another epoch than this log has there.
    #[error("record {lsn} of epoch {epoch} is none of this log")]
    Foreign {
        /// The record's.
        lsn: Lsn,
        /// The record's.
        epoch: Epoch,
    },
    /// The log is stopped.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

#[derive(Debug)]
pub(super) struct Repair {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    shared: Arc<Shared>,
    marker: Arc<CommitMarker>,
    /// What is committed here; the record is below it.
    commit: Lsn,
    segment: Arc<Segment>,
    record: Record,
    need: Need,
}

#[derive(Debug)]
pub(super) struct Repaired {
    segment: Arc<Segment>,
    head: Head,
    outcome: Result<Mended, Failed>,
}

/// What was written again.
#[derive(Debug)]
enum Mended {
    /// Nothing: its content's hash spoke against it, and it is the very record that was brought.
    Same,
    /// A record that the index, or the log's history, knows.
    Known,
    /// A record that was lost when the log was opened: it must be recalled.
    Lost(Entry),
}

#[derive(Debug)]
enum Failed {
    /// Nothing that was there before is worse for it.
    Refused(io::Error),
    /// A sync failed that may have lost what was appended: that stops the log.
    Sync(io::Error),
}

/// A place among what can be read where no record can.
struct Hole {
    /// In bytes.
    start: u64,
    /// The last record before it.
    last: Lsn,
    /// The first one behind it, and where that starts.
    next: Option<(u64, Lsn)>,
    suspects: Vec<Suspect>,
}

/// Where the record belongs, and whether what stands there is its head.
struct Spot {
    start: u64,
    has_head: bool,
}

fn refused(why: &'static str) -> Failed {
    Failed::Refused(io::Error::new(io::ErrorKind::InvalidData, why))
}

impl Repaired {
    /// Whether nothing was to be repaired.
    pub(super) fn is_same(&self) -> bool {
        matches!(self.outcome, Ok(Mended::Same))
    }
}

impl Repair {
    pub(super) fn run(self) -> Repaired {
        let outcome = self.mend();
        Repaired {
            segment: self.segment,
            head: self.record.head,
            outcome,
        }
    }

    fn mend(&self) -> Result<Mended, Failed> {
        let spot = self.locate()?;
        let entry = Entry::new(&self.record.head, spot.start);
        if self.is_same(&entry) {
            self.forget_damage();
            return Ok(Mended::Same);
        }
        let is_lost = self.shared.is_lost(entry.lsn);
        let is_needed = is_lost || self.is_needed(&entry);
        // A dead record's payload may have been given back; its head tells where the next one is.
        if is_needed || self.is_in_the_way(&entry) {
            self.write(&entry, &self.whole(&entry))?;
        } else if !spot.has_head {
            self.write(&entry, self.record.head_bytes())?;
        }
        self.forget_damage();
        Ok(match is_lost {
            true => Mended::Lost(entry),
            false => Mended::Known,
        })
    }

    /// Whether nothing is to be repaired: each byte of a record that only its content's hash speaks against
    /// is on the disk as it was brought.
    fn is_same(&self, entry: &Entry) -> bool {
        if !self.shared.damage().is_to_compare(&entry.id, entry.lsn) {
            return false;
        }
        forget_cached(&self.segment, entry.start, entry.end());
        let file = &*self.segment.file;
        let fetched = Fetched::head(file, self.shared.log, entry.start, Patience::Wait);
        let Some(fetched) = fetched
            .ok()
            .filter(|fetched| fetched.head == self.record.head)
        else {
            return false;
        };
        let payload = fetched.payload(file, 0, self.record.payload.len(), Patience::Wait);
        payload.is_ok_and(|payload| fetched.into_record(payload) == self.record)
    }

    /// Whether the disk cannot read a dead record's payload, which is never given back: no rewriting of
    /// the segment gets past it, where the record must stay for its head.
    fn is_in_the_way(&self, entry: &Entry) -> bool {
        let file = &*self.segment.file;
        let read = || {
            Fetched::head(file, self.shared.log, entry.start, Patience::Wait)
                .and_then(|fetched| fetched.verify(file))
        };
        !entry.lengths.is_punchable() && matches!(read(), Err(FetchError::Unreadable(_)))
    }

    fn is_needed(&self, entry: &Entry) -> bool {
        match entry.kind {
            Kind::Epoch => true,
            Kind::Abort => false,
            Kind::Chunk => {
                let commit = Reader::new(Arc::clone(&self.shared)).commit_of(entry);
                commit.map_or(true, |commit| commit.is_some())
            }
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                let place = Place::new(entry.kind, self.segment.number, entry.start);
                self.shared.index.contains(&entry.id, place)
            }
        }
    }

    /// The record as it lies in its place, padding included.
    fn whole(&self, entry: &Entry) -> Vec<u8> {
        let payload_at = entry.lengths.payload_start(entry.start) - entry.start;
        let mut bytes = self.record.head_bytes().to_vec();
        bytes.resize(payload_at as usize, 0);
        bytes.extend_from_slice(self.record.payload.bytes());
        bytes.resize(entry.bytes() as usize, 0);
        bytes
    }

    /// The mark goes when all that the content needs can be read again, as far as it is known.
    fn forget_damage(&self) {
        let head = &self.record.head;
        self.shared.damage().mend(&head.id, head.lsn);
        let Ok(id) = ContentId::from_bytes(head.id) else {
            return;
        };
        if Reader::new(Arc::clone(&self.shared)).can_read(id) {
            self.shared.damage().mend(&head.id, Lsn::ZERO);
        }
    }

    /// Finds the record's place, and makes sure that it is this record's and no other's.
    fn locate(&self) -> Result<Spot, Failed> {
        let Some(start) = self.known_start() else {
            return self.search();
        };
        let file = &*self.segment.file;
        match Fetched::head(file, self.shared.log, start, Patience::Wait) {
            Ok(fetched) => self.has_head(start, fetched.head.lsn),
            Err(_) => self.fits(start),
        }
    }

    /// The head at `start` is intact; it must be this very record's.
    fn has_head(&self, start: u64, lsn: Lsn) -> Result<Spot, Failed> {
        let mut header = [0; HEADER_BYTES];
        let read = self.segment.file.read_at(&mut header, start);
        read.map_err(Failed::Refused)?;
        if lsn != self.record.head.lsn || Head::checksum(&header) != self.record.checksum() {
            return Err(refused("another record stands in its place"));
        }
        Ok(Spot {
            start,
            has_head: true,
        })
    }

    /// The head at `start` is damaged; the record must end before the next one that can be read.
    fn fits(&self, start: u64) -> Result<Spot, Failed> {
        let file = &*self.segment.file;
        let head = &self.record.head;
        let next = || {
            let mut scan = Scan::new(file, self.shared.log, start)?;
            let next = scan.resynchronise(start, head.lsn, &mut Vec::new())?;
            Ok(next.map_or(file.len()?, |(start, _)| start))
        };
        let limit: u64 = next().map_err(Failed::Refused)?;
        if head.lengths().end(start) > limit {
            return Err(refused("the record does not fit in its place"));
        }
        Ok(Spot {
            start,
            has_head: false,
        })
    }

    /// Where the record starts, if the list of chunks or an index file tells; what stands there may
    /// be damaged.
    fn known_start(&self) -> Option<u64> {
        let lsn = self.record.head.lsn;
        let chunk = self.segment.chunk(lsn);
        if self.record.head.kind == Kind::Chunk && chunk.is_some() {
            return chunk;
        }
        let (log, name) = (self.shared.log, self.segment.name);
        let index = SegmentIndex::load(&*self.disk, &self.dir, log, name)?;
        let entry = index.entries.iter().find(|entry| entry.lsn == lsn);
        entry.map(|entry| entry.start)
    }

    /// Looks for the record's place among what can be read.
    fn search(&self) -> Result<Spot, Failed> {
        let lsn = self.record.head.lsn;
        let file = &*self.segment.file;
        let scan = Scan::new(file, self.shared.log, SEGMENT_HEADER_BYTES);
        let mut scan = scan.map_err(Failed::Refused)?;
        let mut last = self.segment.name.first.previous();
        loop {
            let start = scan.position();
            match scan.next().map_err(Failed::Refused)? {
                Found::Record { entry, .. } if entry.lsn == lsn => {
                    return self.has_head(entry.start, lsn);
                }
                Found::Record { entry, .. } if entry.lsn < lsn => last = entry.lsn,
                Found::Damage(_) => {
                    let mut suspects = Vec::new();
                    let next = scan.resynchronise(start, last, &mut suspects);
                    let next = next.map_err(Failed::Refused)?;
                    if next.is_none_or(|(_, next)| next > lsn) {
                        return self.search_in(&Hole {
                            start,
                            last,
                            next,
                            suspects,
                        });
                    }
                }
                Found::Record { .. } | Found::End => {
                    return Err(refused("the log has no such record"));
                }
            }
        }
    }

    /// The record's place in a hole among what can be read, which it lies in.
    fn search_in(&self, hole: &Hole) -> Result<Spot, Failed> {
        let head = &self.record.head;
        let told = Told {
            lengths: head.lengths(),
            need: match head.kind {
                // Never left out.
                Kind::Epoch => Need::Certain,
                _ => self.need,
            },
        };
        self.shared.damage().learn(head.lsn, told);
        // The only lsn that can be there, as they ascend.
        let is_alone = || {
            let next = hole.next.map(|(_, next)| next);
            hole.last.next() == head.lsn && next == Some(head.lsn.next())
        };
        let named = self.named_among(&hole.suspects).map_err(Failed::Refused)?;
        match named.or_else(|| self.start_in_row(hole)) {
            Some(start) => self.fits(start),
            None if is_alone() || self.is_led_to(hole.start) => self.fits(hole.start),
            None => Err(refused("nobody knows where it was")),
        }
    }

    /// Where the record starts among others that are lost with it, when all of them were brought once.
    fn start_in_row(&self, hole: &Hole) -> Option<u64> {
        let (end, next) = hole.next?;
        let lsn = self.record.head.lsn;
        let row = self.shared.damage().told_between(hole.last, next)?;
        let before = lsn.0 - hole.last.next().0;
        let start = row::start_in(&row, &(hole.start..end), before as usize)?;
        // What is left of a header there may be anything, but not another one's of these.
        let others = |other: Lsn| hole.last < other && other < next && other != lsn;
        let is_others = |suspect: &Suspect| suspect.start == start && others(suspect.lsn);
        (!hole.suspects.iter().any(is_others)).then_some(start)
    }

    /// Whether the index leads to a record of this content and kind at `start`, where damage begins that
    /// the record lies in. It is this one: of what is damaged the first, and it would have been
    /// superseded by a later one that was committed.
    fn is_led_to(&self, start: u64) -> bool {
        let Head { kind, id, .. } = &self.record.head;
        let is_indexed = match kind {
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                let place = Place::new(*kind, self.segment.number, start);
                self.shared.index.contains(id, place)
            }
            Kind::Chunk | Kind::Abort | Kind::Epoch => false,
        };
        // What was lost when the log was opened superseded nothing yet.
        is_indexed && self.shared.damage().lost_nothing()
    }

    /// Where what is left of a damaged header still names the record: by its lsn in this log, or by
    /// its checksum. Another record must not be written there: it would be served as this one.
    fn named_among(&self, suspects: &[Suspect]) -> io::Result<Option<u64>> {
        for suspect in suspects {
            let mut header = [0; HEADER_BYTES];
            self.segment.file.read_at(&mut header, suspect.start)?;
            let by_lsn =
                suspect.lsn == self.record.head.lsn && u64_at(&header, LOG_AT) == self.shared.log;
            if by_lsn || Head::checksum(&header) == self.record.checksum() {
                return Ok(Some(suspect.start));
            }
        }
        Ok(None)
    }
}

impl Store {
    /// Writes a damaged record again, as an intact replica has it ([`Reader::record`]): the chore
    /// returns after it is durable and was read back, and [`Store::finish`] fails if it was not. Its
    /// content is served again when nothing else of it is damaged ([`Reader::damage`]). An intact
    /// record may be written again too: that changes nothing. Where only the content's hash speaks
    /// against it, nothing is written ([`super::ChoreDone::is_same`]); and whatever comes of it, the
    /// content stays doubted until its bytes were hashed again ([`crate::OpenContent::trust`]).
    ///
    /// # Errors
    /// When the record is none of this log, or now is not the time.
    pub fn repair(&mut self, record: Record) -> Result<super::Chore, RepairError> {
        self.repair_as(record, Need::Unknown)
    }

    /// As [`Store::repair`], of a record that is needed by the replica that it was asked of, or may not be:
    /// that helps to find its place among others that are lost.
    ///
    /// # Errors
    /// As [`Store::repair`].
    pub fn repair_as(&mut self, record: Record, need: Need) -> Result<super::Chore, RepairError> {
        self.check()?;
        let head = &record.head;
        let (lsn, epoch) = (head.lsn, head.epoch);
        let commit = self.shared.committed();
        if lsn > commit {
            return Err(RepairError::NotCommitted { lsn });
        }
        let foreign = RepairError::Foreign { lsn, epoch };
        if head.log != self.shared.log || !self.may_have_been(lsn, epoch) {
            return Err(foreign);
        }
        let segment = self.shared.segment_of(lsn).ok_or(foreign)?;
        if self.upkeep.repairing.is_some() || self.upkeep.is_compacting(segment.number) {
            return Err(RepairError::Busy);
        }
        self.upkeep.repairing = Some(segment.number);
        Ok(super::Chore(super::Work::Repair(Box::new(Repair {
            disk: Arc::clone(&self.log.disk),
            dir: self.log.dir.clone(),
            shared: Arc::clone(&self.shared),
            marker: Arc::clone(&self.log.marker),
            commit,
            segment,
            record,
            need,
        }))))
    }

    /// Whether this log has a record of this epoch there, as far as it knows: the record that began
    /// the epoch may be lost.
    fn may_have_been(&self, lsn: Lsn, epoch: Epoch) -> bool {
        let epochs = &self.log.epochs;
        let lost = self.shared.damage().lost_before_or_at(lsn);
        let later = epochs.as_slice().iter().find(|start| start.first > lsn);
        epochs.epoch_at(lsn) == epoch
            || lost.is_some_and(|first| epoch >= epochs.epoch_at(first.previous()))
                && later.is_none_or(|later| epoch < later.epoch)
    }

    pub(super) fn finish_repair(&mut self, repaired: Repaired) -> Result<(), ChoreError> {
        self.upkeep.repairing = None;
        let step = "repair a record";
        match repaired.outcome {
            Ok(mended) => {
                if let Mended::Lost(entry) = mended {
                    self.recall(&repaired.head, &entry, &repaired.segment);
                }
                self.reconsider(repaired.segment.number);
                Ok(())
            }
            Err(Failed::Refused(error)) => Err(ChoreError { step, error }),
            Err(Failed::Sync(error)) => {
                let kind = error.kind();
                let reason = self.log.poison(Poisoned::new(step, error));
                let error = io::Error::new(kind, reason);
                Err(ChoreError { step, error })
            }
        }
    }

    /// Something in a segment was mended: it may be read as a whole now. While a record of it is lost
    /// to the index, a rewriting would leave that one out.
    pub(super) fn reconsider(&mut self, number: u32) {
        let shared = Arc::clone(&self.shared);
        self.upkeep.rests.reread.note(true);
        if let Some(state) = self.log.state_mut(number) {
            state.unread_ms = None;
            let (first, last) = (state.segment.name.first, state.last);
            let damage = shared.damage();
            state.unsealable = damage.is_lost_between(first.previous(), last.next());
        }
    }
}
