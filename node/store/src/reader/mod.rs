//! Readers: any number of threads look contents up and read them, beside the store's one owner.
//! They see the committed prefix only.

mod cursor;
mod doubt;
mod from_disk;
mod needed;
mod open_content;
mod records;
mod scrub;

use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn};

use cursor::Until;
pub use cursor::{Cursor, LiveWalk, Walked};
pub(crate) use from_disk::forget_cached;
pub use open_content::OpenContent;
pub use scrub::{DamagedRecord, Scrubbed};

use crate::content::Content;
use crate::damage::Damage;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::index::Place;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::shared::Shared;

/// Why a content cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such content.
    #[error("no such content")]
    NotFound,
    /// The content was deleted.
    #[error("the content was deleted")]
    Deleted,
    /// This copy is damaged, or lies in a sector that the disk cannot read.
    #[error("the content's copy here is damaged: {what}")]
    Damaged {
        /// What does not agree.
        what: String,
    },
    /// The disk failed.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
}

/// What is known of an id, and the lsn of the record that says so.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Live(Content, Lsn),
    Deleted(Content, Lsn),
}

/// Reads committed contents.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// A record that the index leads to.
struct Located {
    place: Place,
    segment: Arc<Segment>,
    fetched: Fetched,
}

/// The records of one content.
struct Records {
    latest: Located,
    /// Put or commit; the same as `latest` unless that is a describe or a delete.
    data: Option<Located>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared }
    }

    /// Opens a content for reading. May wait for the disk.
    ///
    /// # Errors
    /// When there is no such content, it was deleted, or its copy here is damaged.
    pub fn open(&self, id: ContentId) -> Result<OpenContent, ReadError> {
        self.open_patiently(id, Patience::Wait)
    }

    /// As [`Reader::open`], but none when the disk would have to be waited for.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open_cached(&self, id: ContentId) -> Result<Option<OpenContent>, ReadError> {
        or_would_block(self.open_patiently(id, Patience::Cached))
    }

    /// A content's metadata. May wait for the disk.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn content(&self, id: ContentId) -> Result<Content, ReadError> {
        self.content_patiently(id, Patience::Wait)
    }

    /// As [`Reader::content`], but none when the disk would have to be waited for.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn content_cached(&self, id: ContentId) -> Result<Option<Content>, ReadError> {
        or_would_block(self.content_patiently(id, Patience::Cached))
    }

    fn content_patiently(&self, id: ContentId, patience: Patience) -> Result<Content, ReadError> {
        match self.known_patiently(id, patience)? {
            Known::Live(content, _) => Ok(content),
            Known::Deleted(..) => Err(ReadError::Deleted),
        }
    }

    /// The committed records after an lsn.
    pub fn cursor(&self, after: Lsn) -> Cursor {
        Cursor::new(Arc::clone(&self.shared), after, Until::Committed)
    }

    /// All records after an lsn that are in the files, committed or not.
    pub fn records(&self, after: Lsn) -> Cursor {
        Cursor::new(Arc::clone(&self.shared), after, Until::Written)
    }

    /// Walks over the contents that are live, in the order of their records, up to an lsn. A
    /// content that changes during the walk may be shown in either state, or not at all if it is
    /// deleted or replaced by a record above that lsn.
    pub fn live(&self, upto: Lsn) -> LiveWalk {
        LiveWalk::new(self.clone(), upto)
    }

    /// What is known to be damaged here.
    pub fn damage(&self) -> Damage {
        self.shared.damage().report()
    }

    /// How much of it there is: contents, and places where records are lost.
    pub fn damage_count(&self) -> u64 {
        self.shared.damage().count()
    }

    /// Whether a record of this content is known to be damaged here; what is read of it may be
    /// intact all the same. Never waits for the disk.
    pub fn is_damaged(&self, id: ContentId) -> bool {
        self.shared.damage().is_damaged(&id.bytes())
    }

    /// What is known of an id.
    pub(crate) fn known(&self, id: ContentId) -> Result<Known, ReadError> {
        self.known_patiently(id, Patience::Wait)
    }

    fn known_patiently(&self, id: ContentId, patience: Patience) -> Result<Known, ReadError> {
        let records = self.locate(id, patience)?;
        let lsn = records.latest.fetched.head.lsn;
        let content = self.content_of(&records.latest)?;
        match records.latest.place.kind() {
            Kind::Delete => Ok(Known::Deleted(content, lsn)),
            _ => Ok(Known::Live(content, lsn)),
        }
    }

    /// The lsn of the record that holds a content's bytes; none when there is none to be read.
    fn data_lsn(&self, id: ContentId) -> Option<Lsn> {
        let data = self.data(id, Patience::Wait).ok().flatten();
        data.map(|fetched| fetched.head.lsn)
    }

    /// The record that holds a content's bytes; none when there is no such content.
    ///
    /// # Errors
    /// When that cannot be told, because the disk fails or a record is damaged.
    pub(crate) fn data(
        &self,
        id: ContentId,
        patience: Patience,
    ) -> Result<Option<Fetched>, ReadError> {
        let records = match self.locate(id, patience) {
            Err(ReadError::NotFound | ReadError::Deleted) => return Ok(None),
            other => other?,
        };
        let data = records.data.unwrap_or(records.latest);
        Ok(data.place.kind().is_data().then_some(data.fetched))
    }

    fn open_patiently(&self, id: ContentId, patience: Patience) -> Result<OpenContent, ReadError> {
        loop {
            let records = self.locate(id, patience)?;
            if records.latest.place.kind() == Kind::Delete {
                return Err(ReadError::Deleted);
            }
            let content = self.content_of(&records.latest)?;
            let data = records.data.unwrap_or(records.latest);
            let place = data.place;
            let opened =
                OpenContent::open(&self.shared, content, data.segment, data.fetched, patience);
            // The owner takes a record out of the index first, and looks for pins then; here it is
            // pinned first, and looked for in the index then. So one of the two sees the other.
            if self.shared.index.contains(&id.bytes(), place) {
                return opened.map_err(|broken| {
                    self.note(id, broken.record, &broken.error);
                    broken.error
                });
            }
        }
    }

    /// Finds the records of an id, unless a later one may be lost.
    fn locate(&self, id: ContentId, patience: Patience) -> Result<Records, ReadError> {
        if self.shared.is_suspect(&id.bytes()) {
            return Err(damaged("a later record of this content cannot be read"));
        }
        let unnamed_until = self.shared.unnamed_until();
        let records = self.find(id, patience)?;
        // Nothing comes behind a delete.
        let is_last = records.latest.place.kind() == Kind::Delete;
        if records.latest.fetched.head.lsn < unnamed_until && !is_last {
            return Err(damaged(
                "a record that cannot be read may be a later one of this content",
            ));
        }
        Ok(records)
    }

    /// Whether the records that the index knows of an id can be read.
    pub(crate) fn can_read(&self, id: ContentId) -> bool {
        self.find(id, Patience::Wait).is_ok()
    }

    /// Finds the records of an id that are in the index.
    fn find(&self, id: ContentId, patience: Patience) -> Result<Records, ReadError> {
        let mut gone = None;
        loop {
            let places = self.shared.index.find(&id.bytes());
            if places.is_empty() {
                return Err(self.absent(id));
            }
            match self.fetch_all(id, places.iter(), patience)? {
                Ok(mut located) => {
                    located.sort_by_key(|located| located.fetched.head.lsn);
                    return assemble(located)?.ok_or_else(|| self.absent(id));
                }
                // A segment was rewritten and is gone: the index leads to the new one by now.
                Err(place) if gone != Some(place) => gone = Some(place),
                Err(_) => return Err(damaged("the record was left out of a rewritten segment")),
            }
        }
    }

    fn absent(&self, id: ContentId) -> ReadError {
        if self.shared.damage().may_be_lost(id.time_ms()) {
            damaged("a record that may be this one's cannot be read")
        } else {
            ReadError::NotFound
        }
    }

    /// Reads the heads at some places; those of other ids are left out. The place when one is gone.
    fn fetch_all(
        &self,
        id: ContentId,
        places: impl Iterator<Item = Place>,
        patience: Patience,
    ) -> Result<Result<Vec<Located>, Place>, ReadError> {
        let mut all = Vec::new();
        for place in places {
            let Some(segment) = self.shared.segment(place.segment()) else {
                return Ok(Err(place));
            };
            let fetched = Fetched::head(&*segment.file, self.shared.log, place.start(), patience);
            match fetched {
                Ok(fetched) if fetched.head.id == id.bytes() => {
                    all.push(Located {
                        place,
                        segment,
                        fetched,
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    let error = ReadError::from(error);
                    self.note(id, Lsn::ZERO, &error);
                    return Err(error);
                }
            }
        }
        Ok(Ok(all))
    }

    fn content_of(&self, located: &Located) -> Result<Content, ReadError> {
        let content = Content::from_fetched(&located.fetched)?;
        content.ok_or_else(|| damaged("the record tells no content"))
    }

    /// Notes a damaged record of a content; [`Lsn::ZERO`] where its header does not tell its lsn.
    fn note(&self, id: ContentId, lsn: Lsn, error: &ReadError) {
        if matches!(error, ReadError::Damaged { .. }) {
            self.shared.damage().note(id.bytes(), lsn);
        }
    }
}

impl From<FetchError> for ReadError {
    fn from(error: FetchError) -> ReadError {
        match error {
            FetchError::Disk(error) => ReadError::Disk(error),
            error
            @ (FetchError::Head(_) | FetchError::Block { .. } | FetchError::Unreadable(_)) => {
                ReadError::Damaged {
                    what: error.to_string(),
                }
            }
        }
    }
}

/// Picks the records that count from those of one id, in the order of lsns.
fn assemble(mut located: Vec<Located>) -> Result<Option<Records>, ReadError> {
    let Some(latest) = located.pop() else {
        return Ok(None);
    };
    if latest.place.kind() != Kind::Describe {
        return Ok(Some(Records { latest, data: None }));
    }
    let mut older = located.into_iter().rev();
    let Some(data) = older.find(|record| record.place.kind().is_data()) else {
        return Ok(None);
    };
    // A describe leaves the version as it is.
    if data.fetched.head.version != latest.fetched.head.version {
        return Err(damaged("the record of its bytes cannot be read"));
    }
    Ok(Some(Records {
        latest,
        data: Some(data),
    }))
}

fn damaged(what: &str) -> ReadError {
    let what = what.to_owned();
    ReadError::Damaged { what }
}

fn or_would_block<T>(outcome: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match outcome {
        Err(ReadError::Disk(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests;
