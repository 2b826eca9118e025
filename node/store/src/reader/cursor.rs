//! Walks over the log: what was committed after a position, and what is live.

use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn, Position};

use super::{ReadError, Reader};
use crate::content::Content;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::index::Place;
use crate::record::Record;
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
    at: Option<(Arc<Segment>, u64)>,
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, after: Lsn, until: Until) -> Cursor {
        Cursor {
            shared,
            until,
            covered: after,
            at: None,
        }
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
            let Some((segment, start)) = self.position() else {
                return Ok(None);
            };
            match Fetched::head(&*segment.file, self.shared.log, start, Patience::Wait) {
                Ok(fetched) => {
                    let lsn = fetched.head.lsn;
                    if lsn > self.end() {
                        return Ok(None);
                    }
                    self.at = Some((Arc::clone(&segment), fetched.entry().end()));
                    if lsn > self.covered {
                        self.covered = lsn;
                        return Ok(Some((fetched, segment)));
                    }
                }
                Err(FetchError::Disk(error)) => return Err(error.into()),
                Err(FetchError::Head(_) | FetchError::Block { .. }) => {
                    if self.until == Until::Needed && self.skip(&segment, start)? {
                        let what = format!("a record behind {} has no head", self.covered);
                        return Err(ReadError::Damaged { what });
                    }
                    if !self.leave(&segment, start)? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    fn position(&mut self) -> Option<(Arc<Segment>, u64)> {
        if self.at.is_none() {
            let next = self.covered.next();
            let segment = self.shared.segment_of(next);
            self.at = segment.map(|segment| {
                let start = segment.near(next);
                (segment, start)
            });
        }
        self.at.clone()
    }

    /// Goes behind a damaged record; false when no other follows in this segment.
    fn skip(&mut self, segment: &Arc<Segment>, start: u64) -> Result<bool, ReadError> {
        let mut scan = Scan::new(&*segment.file, self.shared.log, start)?;
        let next = scan.resynchronise(start, self.covered, &mut Vec::new())?;
        if let Some((start, _)) = next {
            self.at = Some((Arc::clone(segment), start));
        }
        Ok(next.is_some())
    }

    /// Goes on behind what is no record: to the next one in this segment, or to the next segment.
    /// False when the segment is still written to, and no record follows.
    fn leave(&mut self, segment: &Arc<Segment>, start: u64) -> Result<bool, ReadError> {
        if self.skip(segment, start)? {
            return Ok(true);
        }
        let Some(last) = segment.sealed_at() else {
            return Ok(false);
        };
        self.covered = self.covered.max(last);
        self.at = None;
        Ok(true)
    }
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

    /// The next live content; none at the end.
    ///
    /// # Errors
    /// When the disk fails, or a record's metadata cannot be understood.
    pub fn next_content(&mut self) -> Result<Option<Content>, ReadError> {
        while self.cursor.covered() < self.upto {
            let Some((fetched, segment)) = self.cursor.next_fetched()? else {
                return Ok(None);
            };
            let head = &fetched.head;
            if head.lsn > self.upto || !matches!(head.kind, Kind::Put | Kind::Commit) {
                continue;
            }
            if !self.is_live(&fetched, &segment) {
                continue;
            }
            let id = ContentId::from_bytes(head.id).map_err(|error| ReadError::Damaged {
                what: error.to_string(),
            })?;
            match self.reader.content(id) {
                Ok(content) => return Ok(Some(content)),
                Err(ReadError::NotFound | ReadError::Deleted) => {}
                // What can be told of it stands in the record at hand.
                Err(ReadError::Damaged { .. }) => return Ok(Content::from_fetched(&fetched)?),
                Err(error @ ReadError::Disk(_)) => return Err(error),
            }
        }
        Ok(None)
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
