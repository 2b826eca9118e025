//! What a follower still needs of a log: the records, but for those that are dead.
//!
//! A dead record may be a hole by now, and a dead upload may have lost some of its chunks and not
//! others. Sending what is left of it would contradict itself; to a follower it is as if it had been
//! compacted.
//!
//! Only the end of an upload of which a follower may have chunks is sent to it, dead or not: without
//! it, the upload stays open there.

use std::collections::BTreeSet;

use wire::{ContentId, Lsn};

use super::cursor::{Cursor, Until};
use super::{ReadError, Reader};
use crate::fetch::{FetchError, Patience};
use crate::record::kind::Kind;
use crate::record::{Head, Record, decode_chunks};

impl Reader {
    /// The records after an lsn that are in the files and that a follower needs.
    pub fn missing(&self, after: Lsn) -> Cursor {
        Cursor::new(self.shared.clone(), after, Until::Needed)
    }

    /// Whether a follower needs this record. What cannot be told is needed.
    fn needs(&self, head: &Head) -> bool {
        if head.lsn > self.shared.committed() || self.shared.is_lost(head.lsn) {
            return true;
        }
        match head.kind {
            Kind::Put | Kind::Commit => self.data_of(head).is_none_or(|data| data.is_this(head)),
            Kind::Chunk => {
                self.shared.may_become_content(head.upload)
                    || self.data_of(head).is_none_or(|data| data.lists(head))
            }
            Kind::Describe | Kind::Delete | Kind::Abort | Kind::Epoch => true,
        }
    }

    /// The data of the content that a record is of; none when that cannot be told.
    fn data_of(&self, head: &Head) -> Option<Data> {
        let id = ContentId::from_bytes(head.id).ok()?;
        let records = match self.locate(id, Patience::Wait) {
            Ok(records) => records,
            Err(ReadError::NotFound) => return Some(Data::None),
            Err(_) => return None,
        };
        let data = records.data.unwrap_or(records.latest);
        let lsn = data.fetched.head.lsn;
        match data.place.kind() {
            Kind::Commit if head.kind == Kind::Chunk => {
                let length = usize::try_from(data.fetched.head.payload_bytes).ok()?;
                let file = &*data.segment.file;
                let list = data.fetched.payload(file, 0, length, Patience::Wait).ok()?;
                let chunks = decode_chunks(&list);
                Some(Data::Chunks(chunks.iter().map(|chunk| chunk.lsn).collect()))
            }
            Kind::Put | Kind::Commit => Some(Data::Record(lsn)),
            _ => Some(Data::None),
        }
    }
}

/// Where the bytes of a content are.
enum Data {
    None,
    Record(Lsn),
    Chunks(Vec<Lsn>),
}

impl Data {
    fn is_this(&self, head: &Head) -> bool {
        matches!(self, Data::Record(lsn) if *lsn == head.lsn)
    }

    fn lists(&self, head: &Head) -> bool {
        matches!(self, Data::Chunks(lsns) if lsns.binary_search(&head.lsn).is_ok())
    }
}

/// Uploads of which a cursor's follower may have chunks, and not the end.
#[derive(Debug)]
pub(super) struct Held {
    /// What the follower had when the cursor began.
    before: Lsn,
    /// Uploads that began since, and of which it was given chunks.
    given: BTreeSet<Lsn>,
}

impl Held {
    pub(super) fn new(before: Lsn) -> Held {
        Held {
            before,
            given: BTreeSet::new(),
        }
    }

    fn may_end(&self, head: &Head) -> bool {
        let is_held = head.upload <= self.before || self.given.contains(&head.upload);
        head.kind == Kind::Commit && is_held
    }

    fn give(&mut self, head: &Head) {
        match head.kind {
            Kind::Chunk => {
                self.given.insert(head.upload);
            }
            Kind::Commit | Kind::Abort => {
                self.given.remove(&head.upload);
            }
            Kind::Epoch => self.given.clear(),
            Kind::Put | Kind::Describe | Kind::Delete => {}
        }
    }
}

impl Cursor {
    /// The next record that a follower needs, whole and verified; none at the end, where it can be
    /// asked again later. For cursors of [`Reader::missing`].
    ///
    /// # Errors
    /// When the disk fails, or a record that is needed is damaged here: a follower must not be told
    /// that there is nothing.
    pub fn next_needed(&mut self) -> Result<Option<Record>, ReadError> {
        let reader = Reader::new(self.shared.clone());
        while let Some((fetched, segment)) = self.next_fetched()? {
            if !reader.needs(&fetched.head) && !self.held.may_end(&fetched.head) {
                continue;
            }
            let length =
                usize::try_from(fetched.head.payload_bytes).map_err(std::io::Error::other)?;
            match fetched.payload(&*segment.file, 0, length, Patience::Wait) {
                Ok(payload) => {
                    self.held.give(&fetched.head);
                    return Ok(Some(fetched.into_record(payload)));
                }
                // It may have died, and become a hole, since it was looked at; or it was dead, and
                // its follower waits for the next epoch's record to end the upload.
                Err(_) if !reader.needs(&fetched.head) => {}
                Err(FetchError::Disk(error)) => return Err(error.into()),
                Err(error) => {
                    let (id, lsn) = (fetched.head.id, fetched.head.lsn);
                    // Above the commit it is not repaired, but cut off and taken again.
                    if lsn <= self.shared.committed() {
                        self.shared.damage().note(id, lsn);
                    }
                    let what = format!("record {lsn}: {error}");
                    return Err(ReadError::Damaged { what });
                }
            }
        }
        Ok(None)
    }
}
