//! What only a leader does: decide on changes, and append the records that make them.

use wire::{Checksum, ContentId, Epoch, Lsn};

use super::Store;
use super::error::ChangeError;
use super::lookup::State;
use crate::content::{Content, Describe, How, NewContent, Outcome};
use crate::log::Room;
use crate::pending::{PendingRecord, Upload};
use crate::poison::AppendError;
use crate::record::kind::Kind;
use crate::record::{Head, Payload, Record, encode_chunks};

/// What a request comes to.
enum Decision {
    /// An earlier request had made this change.
    Repeated(Outcome),
    /// The content as it will be, and the record that it follows.
    Change(Content, Lsn),
}

/// What distinguishes one record from another before it has a position.
struct Draft {
    kind: Kind,
    upload: Lsn,
    offset: u64,
    supersedes: Lsn,
    time_ms: u64,
    room: Room,
}

impl Draft {
    fn new(kind: Kind, time_ms: u64) -> Draft {
        let room = match kind {
            Kind::Put | Kind::Chunk | Kind::Commit | Kind::Describe => Room::Content,
            Kind::Abort | Kind::Delete | Kind::Epoch => Room::Control,
        };
        Draft {
            kind,
            upload: Lsn::ZERO,
            offset: 0,
            supersedes: Lsn::ZERO,
            time_ms,
            room,
        }
    }
}

impl Store {
    /// Begins to lead: appends the first record of a new epoch, which ends all open uploads.
    ///
    /// # Errors
    /// When the record cannot be appended.
    pub fn begin_epoch(&mut self, epoch: Epoch, time_ms: u64) -> Result<Lsn, AppendError> {
        assert!(
            epoch > self.log.appended().epoch,
            "a leader begins with an epoch of its own"
        );
        self.leads = Some(epoch);
        self.shared.damage().lost_before(time_ms);
        let appended = self.append(Draft::new(Kind::Epoch, time_ms), None, Payload::empty());
        if appended.is_err() {
            self.leads = None;
        }
        appended
    }

    /// Stores a whole content of at most `CHUNK_BYTES_MAX` bytes, as a new one or as the next
    /// version. The payload is all of it.
    ///
    /// # Errors
    /// When the change may not be made, or cannot be appended.
    pub fn put(
        &mut self,
        id: ContentId,
        new: NewContent,
        how: How,
        payload: Payload,
        time_ms: u64,
    ) -> Result<Outcome, ChangeError> {
        assert_eq!(
            new.size,
            payload.len() as u64,
            "the payload is the whole content"
        );
        let (content, supersedes) = match self.decide(id, new, how, time_ms, None)? {
            Decision::Repeated(outcome) => return Ok(outcome),
            Decision::Change(content, supersedes) => (content, supersedes),
        };
        let draft = Draft {
            supersedes,
            ..Draft::new(Kind::Put, time_ms)
        };
        let lsn = self.append(draft, Some(&content), payload)?;
        Ok(content.outcome(lsn, false))
    }

    /// Begins a chunked upload with its first chunk; returns the upload's name. What the commit
    /// would refuse whatever the bytes are is refused now.
    ///
    /// # Errors
    /// When the upload could not be committed, or the chunk cannot be appended.
    pub fn first_chunk(
        &mut self,
        id: ContentId,
        how: &How,
        payload: Payload,
        time_ms: u64,
    ) -> Result<Lsn, ChangeError> {
        self.check_begin(id, how, time_ms)?;
        let upload = self.log.appended().lsn.next();
        let draft = Draft {
            upload,
            ..Draft::new(Kind::Chunk, time_ms)
        };
        Ok(self.append_chunk(draft, id, payload)?)
    }

    /// Adds a chunk to an open upload; `offset` is where it belongs in the content: behind the
    /// chunks before it.
    ///
    /// # Errors
    /// When the upload is not open, or the chunk cannot be appended.
    pub fn chunk(
        &mut self,
        upload: Lsn,
        offset: u64,
        payload: Payload,
        time_ms: u64,
    ) -> Result<Lsn, ChangeError> {
        let open = self.uploads.get(upload).ok_or(ChangeError::NoSuchUpload)?;
        assert_eq!(open.bytes, offset, "chunks follow each other");
        let id = ContentId::from_bytes(open.id).map_err(|_| ChangeError::Damaged)?;
        let draft = Draft {
            upload,
            offset,
            ..Draft::new(Kind::Chunk, time_ms)
        };
        Ok(self.append_chunk(draft, id, payload)?)
    }

    /// Closes an upload: its chunks are the content, as a new one or as the next version. Version
    /// and existence are decided now. An upload that may not be committed is aborted.
    ///
    /// # Errors
    /// When the upload is not open, may not be committed, or the record cannot be appended.
    pub fn commit_upload(
        &mut self,
        upload: Lsn,
        new: NewContent,
        how: How,
        time_ms: u64,
    ) -> Result<Outcome, ChangeError> {
        let open = self.uploads.get(upload).ok_or(ChangeError::NoSuchUpload)?;
        assert_eq!(open.bytes, new.size, "the chunks are the whole content");
        let id = ContentId::from_bytes(open.id).map_err(|_| ChangeError::Damaged)?;
        let payload = Payload::new(encode_chunks(&open.chunks));
        let (content, supersedes) = match self.decide(id, new, how, time_ms, Some(upload)) {
            Ok(Decision::Change(content, supersedes)) => (content, supersedes),
            Ok(Decision::Repeated(outcome)) => {
                self.abort(upload, time_ms)?;
                return Ok(outcome);
            }
            Err(error) => {
                self.abort(upload, time_ms)?;
                return Err(error);
            }
        };
        let draft = Draft {
            upload,
            supersedes,
            ..Draft::new(Kind::Commit, time_ms)
        };
        let lsn = self.append(draft, Some(&content), payload)?;
        Ok(content.outcome(lsn, false))
    }

    /// Ends an open upload without a content; its space comes back. An upload that is not open is
    /// none of our concern.
    ///
    /// # Errors
    /// When the record cannot be appended.
    pub fn abort(&mut self, upload: Lsn, time_ms: u64) -> Result<(), AppendError> {
        let Some(Upload { id, .. }) = self.uploads.get(upload) else {
            return Ok(());
        };
        let id = *id;
        let draft = Draft {
            upload,
            ..Draft::new(Kind::Abort, time_ms)
        };
        self.append_for(draft, id, Payload::empty()).map(drop)
    }

    /// Changes a content's metadata; its version stays.
    ///
    /// # Errors
    /// When there is no such content, it is not the version demanded, or the record cannot be
    /// appended.
    pub fn describe(
        &mut self,
        id: ContentId,
        change: Describe,
        if_match: Option<Checksum>,
        time_ms: u64,
    ) -> Result<Outcome, ChangeError> {
        let (current, supersedes) = self.state(id)?.live(if_match)?;
        let described = current.described(change, time_ms);
        if (Content {
            updated_ms: current.updated_ms,
            ..described.clone()
        }) == current
        {
            return Ok(current.outcome(supersedes, true));
        }
        let draft = Draft {
            supersedes,
            ..Draft::new(Kind::Describe, time_ms)
        };
        let lsn = self.append(draft, Some(&described), Payload::empty())?;
        Ok(described.outcome(lsn, false))
    }

    /// Deletes a content. Its id stays known as deleted for at least seven days.
    ///
    /// # Errors
    /// When there is no such content, it is not the version demanded, or the record cannot be
    /// appended.
    pub fn delete(
        &mut self,
        id: ContentId,
        if_match: Option<Checksum>,
        time_ms: u64,
    ) -> Result<Outcome, ChangeError> {
        let (content, supersedes) = match self.state(id)? {
            State::Deleted(content, lsn) => return Ok(content.outcome(lsn, true)),
            state => state.live(if_match)?,
        };
        let draft = Draft {
            supersedes,
            ..Draft::new(Kind::Delete, time_ms)
        };
        let lsn = self.append(draft, Some(&content), Payload::empty())?;
        Ok(content.outcome(lsn, false))
    }

    fn check_begin(&self, id: ContentId, how: &How, time_ms: u64) -> Result<(), ChangeError> {
        match (self.state(id)?, how) {
            (State::Deleted(..), _) => Err(ChangeError::Deleted),
            (State::Absent, How::Update { .. }) => Err(ChangeError::NotFound),
            (State::Absent, How::Create) => self.check_new(id, time_ms, None),
            // Whether it is the same upload again, only its hash can tell.
            (State::Live(..), How::Create) => Ok(()),
            // A repeated update names the version before the current one.
            (
                State::Live(content, _),
                How::Update {
                    if_match: Some(demanded),
                },
            ) if *demanded != content.checksum && Some(*demanded) != content.base_checksum => {
                Err(ChangeError::PreconditionFailed {
                    current: content.checksum,
                })
            }
            (State::Live(..), How::Update { .. }) => Ok(()),
        }
    }

    fn check_new(
        &self,
        id: ContentId,
        now_ms: u64,
        upload: Option<Lsn>,
    ) -> Result<(), ChangeError> {
        if self.uploads.has(id, upload) {
            return Err(ChangeError::InProgress);
        }
        Ok(id.check_new(now_ms)?)
    }

    fn decide(
        &self,
        id: ContentId,
        new: NewContent,
        how: How,
        time_ms: u64,
        upload: Option<Lsn>,
    ) -> Result<Decision, ChangeError> {
        match (self.state(id)?, how) {
            (State::Deleted(..), _) => Err(ChangeError::Deleted),
            (State::Absent, How::Update { .. }) => Err(ChangeError::NotFound),
            (State::Absent, How::Create) => {
                self.check_new(id, time_ms, upload)?;
                Ok(Decision::Change(
                    Content::first(id, new, time_ms),
                    Lsn::ZERO,
                ))
            }
            (State::Live(content, lsn), How::Create) => {
                let same =
                    (content.created_size, content.created_checksum) == (new.size, new.checksum);
                if !same {
                    return Err(ChangeError::Conflict);
                }
                let first = Content {
                    version: 1,
                    size: new.size,
                    checksum: new.checksum,
                    ..content
                };
                Ok(Decision::Repeated(first.outcome(lsn, true)))
            }
            (State::Live(content, lsn), How::Update { if_match }) => {
                match if_match.map(|demanded| follows(&content, &new, demanded)) {
                    Some(Follows::Repeats) => Ok(Decision::Repeated(content.outcome(lsn, true))),
                    Some(Follows::Another) => Err(ChangeError::PreconditionFailed {
                        current: content.checksum,
                    }),
                    Some(Follows::Current) | None => {
                        Ok(Decision::Change(content.next(new, time_ms), lsn))
                    }
                }
            }
        }
    }

    fn append_chunk(
        &mut self,
        draft: Draft,
        id: ContentId,
        payload: Payload,
    ) -> Result<Lsn, AppendError> {
        self.append_for(draft, id.bytes(), payload)
    }

    /// Appends a record that is about an upload, not about a content.
    fn append_for(
        &mut self,
        draft: Draft,
        id: [u8; 16],
        payload: Payload,
    ) -> Result<Lsn, AppendError> {
        let head = self.head(&draft, id);
        self.append_record(Record::new(head, &[], payload), None, draft.room)
    }

    /// Appends a record; one that is about a content carries all its metadata.
    fn append(
        &mut self,
        draft: Draft,
        content: Option<&Content>,
        payload: Payload,
    ) -> Result<Lsn, AppendError> {
        let mut head = self.head(
            &draft,
            content.map_or([0; 16], |content| content.id.bytes()),
        );
        let Some(content) = content else {
            return self.append_record(Record::new(head, &[], payload), None, draft.room);
        };
        head.version = content.version;
        head.size = content.size;
        let record = Record::new(head, &content.metadata().encode(), payload);
        self.append_record(record, Some(content.clone()), draft.room)
    }

    fn head(&self, draft: &Draft, id: [u8; 16]) -> Head {
        Head {
            kind: draft.kind,
            log: self.shared.log,
            lsn: self.log.appended().lsn.next(),
            epoch: self
                .leads
                .expect("only a leader appends records of its own"),
            commit: self.shared.committed(),
            id,
            version: 0,
            upload: draft.upload,
            offset: draft.offset,
            size: 0,
            payload_bytes: 0,
            time_ms: draft.time_ms,
            supersedes: draft.supersedes,
            metadata_bytes: 0,
        }
    }

    /// Appends a finished record and takes it into the pending overlay.
    pub(super) fn append_record(
        &mut self,
        record: Record,
        content: Option<Content>,
        room: Room,
    ) -> Result<Lsn, AppendError> {
        let (segment, entry) = self.log.append(&record, room)?;
        let ended = self.uploads.follow(&entry);
        if entry.kind == Kind::Chunk {
            self.shared.begin_upload(entry.upload);
        }
        self.pending.push(PendingRecord {
            entry,
            epoch: record.head.epoch,
            segment: segment.number,
            content,
            ended,
        });
        self.keep(record);
        Ok(entry.lsn)
    }
}

/// What an update that demands a version is, beside the current one.
enum Follows {
    /// The very update that made the current version.
    Repeats,
    /// Its successor.
    Current,
    /// The successor of another version.
    Another,
}

/// An update of some bytes to the same ones again has the hash of its base: only what else it
/// brings can tell it from the next such update, and if that is the same, so is the content.
fn follows(content: &Content, new: &NewContent, demanded: Checksum) -> Follows {
    let is_current = demanded == content.checksum;
    let is_same = content.base_checksum == Some(demanded)
        && (content.size, content.checksum) == (new.size, new.checksum);
    match is_same && (!is_current || content.is_described_by(new)) {
        true => Follows::Repeats,
        false if is_current => Follows::Current,
        false => Follows::Another,
    }
}
