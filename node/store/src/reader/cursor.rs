//! Walks over the log: what was committed after a position, and what is live.

use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn, Position};

use super::needed::Held;
use super::{ReadError, Reader};
use crate::content::Content;
use crate::damage::Lost;
use crate::disk::is_unreadable;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::index::Place;
use crate::record::Record;
use crate::record::head::MAGIC;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::scan::Scan;
use crate::shared::Shared;
use crate::store::{Change, Committed};

/// How far a cursor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// What is committed: for the catalog, and for people.
    Committed,
    /// What is in the files.
    Written,
    /// What is in the files, and is not dead: for followers.
    Needed,
}

/// Reads records in the order of lsns.
#[derive(Debug)]
pub struct Cursor {
    pub(super) shared: Arc<Shared>,
    until: Until,
    /// Everything up to here was read, or was compacted, or is damaged.
    covered: Lsn,
    /// Where to read on.
    at: Option<At>,
    /// Where something was passed over that may have been a record.
    passed_damage: Option<Lost>,
    /// What its follower may have of uploads.
    pub(super) held: Held,
}

/// A place in a segment.
#[derive(Clone, Debug)]
struct At {
    segment: Arc<Segment>,
    /// Where the next record should begin, in bytes.
    start: u64,
    /// The lsn of the record before it; or what the segments before this one cover.
    behind: Lsn,
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, after: Lsn, until: Until) -> Cursor {
        Cursor {
            shared,
            until,
            covered: after,
            at: None,
            passed_damage: None,
            held: Held::new(after),
        }
    }

    /// Where records may be missing among those that were given, because they cannot be read: the
    /// last such place.
    pub fn passed_damage(&self) -> Option<Lost> {
        self.passed_damage
    }

    /// The log is covered up to here: lsns that were not returned hold nothing that counts.
    pub fn covered(&self) -> Lsn {
        self.covered
    }

    fn end(&self) -> Lsn {
        match self.until {
            Until::Committed => self.shared.committed(),
            Until::Written | Until::Needed => self.shared.written(),
        }
    }

    /// What the next record did; none at the end, where it can be asked again later. Payloads are
    /// not read.
    ///
    /// # Errors
    /// When the disk fails, or a record's metadata cannot be understood.
    pub fn next_change(&mut self) -> Result<Option<Committed>, ReadError> {
        let Some((fetched, _)) = self.next_fetched()? else {
            return Ok(None);
        };
        let head = &fetched.head;
        let content = Content::from_fetched(&fetched)?;
        Ok(Some(Committed {
            position: Position {
                epoch: head.epoch,
                lsn: head.lsn,
            },
            time_ms: head.time_ms,
            change: Change::new(head.kind, content),
        }))
    }

    /// The next record, whole and verified; none at the end, where it can be asked again later.
    ///
    /// # Errors
    /// When the disk fails, or the record's payload is damaged, or was given back because it is
    /// dead: the cursor is behind it then, and the caller goes on with the next.
    pub fn next_record(&mut self) -> Result<Option<Record>, ReadError> {
        let Some((fetched, segment)) = self.next_fetched()? else {
            return Ok(None);
        };
        let length = usize::try_from(fetched.head.payload_bytes).map_err(io::Error::other)?;
        let payload = match fetched.payload(&*segment.file, 0, length, Patience::Wait) {
            Ok(payload) => payload,
            Err(FetchError::Disk(error)) => return Err(error.into()),
            Err(error) => {
                return Err(ReadError::Damaged {
                    what: error.to_string(),
                });
            }
        };
        Ok(Some(fetched.into_record(payload)))
    }

    /// The next record's head, and the segment it is in.
    pub(super) fn next_fetched(&mut self) -> Result<Option<(Fetched, Arc<Segment>)>, ReadError> {
        while self.covered < self.end() {
            let Some(at) = self.position() else {
                return Ok(None);
            };
            let At { segment, start, .. } = &at;
            let (segment, start) = (Arc::clone(segment), *start);
            match Fetched::head(&*segment.file, self.shared.log, start, Patience::Wait) {
                Ok(fetched) => {
                    let lsn = fetched.head.lsn;
                    if lsn > self.end() {
                        return Ok(None);
                    }
                    self.at = Some(At {
                        segment: Arc::clone(&segment),
                        start: fetched.entry().end(),
                        behind: lsn,
                    });
                    if lsn > self.covered {
                        self.covered = lsn;
                        return Ok(Some((fetched, segment)));
                    }
                }
                Err(FetchError::Disk(error)) => return Err(error.into()),
                Err(_) => {
                    let next = self.skip(&at)?;
                    let lacks = self.lacks(&at, next)?;
                    if lacks {
                        self.pass_damage(next.or_else(|| self.after_damage(&segment)));
                    }
                    if self.until == Until::Needed && lacks {
                        let what = format!("a record behind {} has no head", self.covered);
                        return Err(ReadError::Damaged { what });
                    }
                    if next.is_none() && !self.leave(&segment) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Notes that what follows cannot be read, up to `next` if something is there: it is to be repaired.
    fn pass_damage(&mut self, next: Option<Lsn>) {
        let first = self.covered.next();
        let last = next.map_or(first, |next| next.previous().max(first));
        self.passed_damage = Some(Lost { first, last });
        let mut damage = self.shared.damage();
        if next.is_some() && !damage.is_lost_between(self.covered, last.next()) {
            damage.hide(self.covered, last.next());
        }
    }

    /// Before which lsn damage ends behind which nothing follows in its segment; none where it may be
    /// of what is not committed, and be cut off.
    fn after_damage(&self, segment: &Segment) -> Option<Lsn> {
        let committed = self.shared.committed();
        let is_committed = self.covered < committed;
        let end = segment.sealed_at();
        end.or(is_committed.then_some(committed)).map(Lsn::next)
    }

    /// None where no segment has what comes next: its records were cut off, or are about to be.
    fn position(&mut self) -> Option<At> {
        if self.at.is_none() {
            let next = self.covered.next();
            let segment = self.shared.segment_of(next)?;
            if segment.sealed_at().is_some_and(|last| last < next) {
                return None;
            }
            let (behind, start) = segment.near(next);
            self.at = Some(At {
                behind,
                start,
                segment,
            });
        }
        self.at.clone()
    }

    /// Goes behind a damaged record, and gives the lsn of the next one; none when no other follows in
    /// this segment.
    fn skip(&mut self, at: &At) -> io::Result<Option<Lsn>> {
        let mut scan = Scan::new(&*at.segment.file, self.shared.log, at.start)?;
        let next = scan.resynchronise(at.start, at.behind, &mut Vec::new())?;
        if let Some((start, _)) = next {
            self.at = Some(At {
                start,
                ..at.clone()
            });
        }
        Ok(next.map(|(_, lsn)| lsn))
    }

    /// Whether a record that cannot be read, in front of the `next` one in its segment, may be among
    /// those that are not covered yet.
    fn lacks(&self, at: &At, next: Option<Lsn>) -> io::Result<bool> {
        let At { segment, start, .. } = at;
        if let Some(next) = next {
            let damage = self.shared.damage();
            return Ok(next > self.covered.next() && !damage.is_settled_between(self.covered, next));
        }
        if let Some(last) = segment.sealed_at() {
            let damage = self.shared.damage();
            let is_there =
                segment.has_record_at(*start) || damage.is_lost_between(self.covered, last.next());
            let is_settled = damage.is_settled_between(self.covered, last.next());
            return Ok(last > self.covered && is_there && !is_settled);
        }
        // Beyond the end are zeros, or nothing.
        let mut magic = [0; MAGIC.len()];
        match segment.file.read_at(&mut magic, *start) {
            Err(error) if is_unreadable(&error) => Ok(true),
            read => Ok(magic[..read?].iter().any(|byte| *byte != 0)),
        }
    }

    /// Goes on behind the last record of a segment, to the next segment. False when the segment is
    /// still written to.
    fn leave(&mut self, segment: &Segment) -> bool {
        let Some(last) = segment.sealed_at() else {
            return false;
        };
        self.covered = self.covered.max(last);
        self.at = None;
        true
    }
}

/// What a step of a walk came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Walked {
    /// The next live content.
    Content(Box<Content>),
    /// No content yet: the next step goes on.
    On,
    /// There is no further one.
    End,
}

/// Walks over the live contents up to an lsn.
#[derive(Debug)]
pub struct LiveWalk {
    reader: Reader,
    cursor: Cursor,
    upto: Lsn,
}

impl LiveWalk {
    pub(super) fn new(reader: Reader, upto: Lsn) -> LiveWalk {
        let cursor = reader.cursor(Lsn::ZERO);
        LiveWalk {
            reader,
            cursor,
            upto,
        }
    }

    /// Where contents may be missing among those that were given, because a record of theirs cannot
    /// be read: the last such place.
    pub fn passed_damage(&self) -> Option<Lost> {
        self.cursor.passed_damage()
    }

    /// Looks at one more record: most of a large content's ten thousand are no content of their own.
    ///
    /// # Errors
    /// When the disk fails, or a record's metadata cannot be understood.
    pub fn step(&mut self) -> Result<Walked, ReadError> {
        if self.cursor.covered() >= self.upto {
            return Ok(Walked::End);
        }
        let Some((fetched, segment)) = self.cursor.next_fetched()? else {
            return Ok(Walked::End);
        };
        let head = &fetched.head;
        if head.lsn > self.upto || !matches!(head.kind, Kind::Put | Kind::Commit) {
            return Ok(Walked::On);
        }
        let (lsn, is_lost) = (head.lsn, self.cursor.shared.is_lost(head.lsn));
        if !self.is_live(&fetched, &segment) {
            if is_lost {
                let (first, last) = (lsn, lsn);
                self.cursor.passed_damage = Some(Lost { first, last });
            }
            return Ok(Walked::On);
        }
        let id = ContentId::from_bytes(head.id).map_err(|error| ReadError::Damaged {
            what: error.to_string(),
        })?;
        let content = match self.reader.content(id) {
            Ok(content) => Some(content),
            Err(ReadError::NotFound | ReadError::Deleted) => None,
            // What can be told of it stands in the record at hand.
            Err(ReadError::Damaged { .. }) => Content::from_fetched(&fetched)?,
            Err(error @ ReadError::Disk(_)) => return Err(error),
        };
        Ok(content.map_or(Walked::On, |content| Walked::Content(Box::new(content))))
    }

    /// Whether the index leads to this record, wherever it was moved to.
    fn is_live(&self, fetched: &Fetched, segment: &Segment) -> bool {
        let shared = &self.cursor.shared;
        let here = Place::new(fetched.head.kind, segment.number, fetched.start);
        if shared.index.contains(&fetched.head.id, here) {
            return true;
        }
        // Its segment may have been rewritten since this walk opened it.
        shared.segment(segment.number).is_none()
            && ContentId::from_bytes(fetched.head.id)
                .is_ok_and(|id| self.reader.data_lsn(id) == Some(fetched.head.lsn))
    }
}
