//! The requests of a leader's users, sent to the store and to the expectation.

use bytes::Bytes;
use store::{AppendError, ChangeError, Content, Describe, How, NewContent, Outcome, Payload};
use wire::{Checksum, ContentId, Lsn};

use crate::answers::{Answer, expected_delete, expected_describe, expected_store};
use crate::expectation::Effect;
use crate::world::{Step, Upload, World};

impl World {
    /// Uploads a whole content at once.
    pub(crate) fn put(&mut self, id: ContentId, bytes: &Bytes, new: NewContent, how: How) -> Step {
        let expected = expected_store(self, id, &new, how, None);
        let payload = Payload::new(bytes.clone());
        let result = self.store.put(id, new, how, payload, self.now_ms);
        self.conclude(&expected, result, |content| {
            Effect::Stored(content, bytes.clone())
        })
    }

    /// Sends the first chunk of a larger content.
    pub(crate) fn first_chunk(&mut self, mut upload: Upload, bytes: usize) -> Step {
        let expected = expected_store(self, upload.id, &upload.new, upload.how, None);
        let part = upload.bytes.slice(..bytes);
        let next = self.appended() + 1;
        let how = &upload.how;
        let result = self
            .store
            .first_chunk(upload.id, how, Payload::new(part), self.now_ms);
        match result {
            Ok(lsn) => {
                assert_eq!(lsn, Lsn(next), "an upload is named by its first chunk");
                assert!(
                    matches!(expected, Answer::Stored(_) | Answer::Repeated)
                        || matches!(expected, Answer::Conflict),
                    "{} accepts a chunk where {expected:?} was due",
                    upload.id
                );
                upload.lsn = lsn;
                upload.sent = bytes;
                self.uploads.push(upload);
                Ok(())
            }
            Err(error) => self.refused(&expected, error),
        }
    }

    /// Sends the next chunk of an upload that is under way.
    pub(crate) fn chunk(&mut self, index: usize, bytes: usize) -> Step {
        let upload = self.uploads[index].clone();
        let part = upload.bytes.slice(upload.sent..upload.sent + bytes);
        let (offset, next) = (upload.sent as u64, self.appended() + 1);
        match self
            .store
            .chunk(upload.lsn, offset, Payload::new(part), self.now_ms)
        {
            Ok(lsn) => {
                assert_eq!(lsn, Lsn(next));
                self.uploads[index].sent += bytes;
                Ok(())
            }
            Err(ChangeError::Append(error)) => self.not_appended(error),
            Err(error) => panic!("a chunk of a living upload is refused: {error}"),
        }
    }

    /// Closes an upload whose chunks were all sent.
    pub(crate) fn commit_upload(&mut self, index: usize) -> Step {
        let upload = self.uploads[index].clone();
        let Upload {
            id,
            how,
            new,
            lsn,
            bytes,
            ..
        } = upload;
        let expected = expected_store(self, id, &new, how, Some(lsn));
        let result = self.store.commit_upload(lsn, new, how, self.now_ms);
        let full = matches!(result, Err(ChangeError::Append(AppendError::Full { .. })));
        if !full {
            self.uploads.remove(index);
        }
        self.conclude(&expected, result, |content| Effect::Stored(content, bytes))
    }

    /// Gives an upload up.
    pub(crate) fn abort(&mut self, index: usize) -> Step {
        let upload = self.uploads[index].lsn;
        match self.store.abort(upload, self.now_ms) {
            Ok(()) => {
                self.uploads.remove(index);
                Ok(())
            }
            Err(error) => self.not_appended(error),
        }
    }

    /// Changes a content's metadata.
    pub(crate) fn describe(
        &mut self,
        id: ContentId,
        change: Describe,
        base: Option<Checksum>,
    ) -> Step {
        let expected = expected_describe(self, id, &change, base);
        let result = self.store.describe(id, change.clone(), base, self.now_ms);
        self.conclude(&expected, result, Effect::Described)
    }

    /// Ends a content.
    pub(crate) fn delete(&mut self, id: ContentId, base: Option<Checksum>) -> Step {
        let expected = expected_delete(self, id, base);
        let time_ms = self.now_ms;
        let result = self.store.delete(id, base, time_ms);
        self.conclude(&expected, result, |content| Effect::Deleted {
            id: content.id,
            version: content.version,
            time_ms,
        })
    }

    /// Compares an answer with the expected one, and notes what it did.
    fn conclude(
        &mut self,
        expected: &Answer,
        result: Result<Outcome, ChangeError>,
        effect: impl FnOnce(Content) -> Effect,
    ) -> Step {
        match (expected, result) {
            (Answer::Stored(content), Ok(outcome)) => {
                assert!(!outcome.repeated, "{} was not asked for before", content.id);
                assert_eq!(outcome.version, content.version);
                assert_eq!(
                    (outcome.size, outcome.checksum),
                    (content.size, content.checksum)
                );
                assert_eq!(outcome.filename, content.filename);
                assert_eq!(outcome.lsn, self.store.positions().appended.lsn);
                self.expected
                    .note(outcome.lsn.0, effect(Content::clone(content)));
                Ok(())
            }
            (Answer::Repeated | Answer::RepeatedLongAgo, Ok(outcome)) => {
                assert!(outcome.repeated, "the change was made before");
                assert!(outcome.lsn.0 <= self.appended());
                Ok(())
            }
            (Answer::Stored(content), Err(ChangeError::Append(AppendError::Poisoned(reason)))) => {
                // It may have reached the disk all the same, just behind what was appended.
                self.expected
                    .note(self.appended() + 1, effect(Content::clone(content)));
                Err(reason.into())
            }
            (expected, Err(error)) => self.refused(expected, error),
            (expected, Ok(outcome)) => panic!("{expected:?} was due and not {outcome:?}"),
        }
    }

    fn refused(&mut self, expected: &Answer, error: ChangeError) -> Step {
        match error {
            ChangeError::Append(error) => self.not_appended(error),
            error if expected.is(&error) => Ok(()),
            error => panic!("{expected:?} was due and not {error:?}"),
        }
    }

    fn not_appended(&self, error: AppendError) -> Step {
        match error {
            AppendError::Full { .. } => self.unless_stopped(),
            AppendError::Poisoned(reason) => Err(reason.into()),
        }
    }
}
