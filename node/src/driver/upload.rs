//! One content on its way into the log: pieces of any size in, records of at most 1 MiB out.
//!
//! At most one chunk is being filled and [`WINDOW`] are on their way to the disk thread, whatever
//! the content's size. Hashing happens here, on the caller's thread.

use std::collections::VecDeque;

use bytes::BytesMut;
use sha2::{Digest, Sha256};
use store::{How, NewContent, Payload};
use wire::limits::{CHUNK_BYTES_MAX, CONTENT_BYTES_MAX};
use wire::position::Position;
use wire::{Checksum, ContentId};

use super::admission::{AdmissionError, Promise};
use super::command::{Ack, ChangeFailure, Wait, What};
use super::handle::{Handle, Sending};

/// Chunks of one upload on their way: while one is appended, the next waits already.
const WINDOW: usize = 2;

/// A piece larger than this is hashed part by part, so that other requests get their turn.
const HASH_BYTES: usize = 64 * 1024;

/// A content that is being received. Dropped before its commit, it leaves nothing behind.
pub struct Upload {
    handle: Handle,
    id: ContentId,
    how: How,
    promise: Promise,
    blake3: blake3::Hasher,
    sha256: Option<Sha256>,
    filling: BytesMut,
    /// Bytes received.
    size: u64,
    /// Bytes handed over in chunks.
    sent: u64,
    /// Where its first chunk is.
    upload: Option<Position>,
    window: VecDeque<Sending>,
}

/// What a body must be, when its sender said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Its length, in bytes.
    pub length: Option<u64>,
    /// Its BLAKE3 hash.
    pub blake3: Option<[u8; 32]>,
    /// Its SHA-256 hash.
    pub sha256: Option<[u8; 32]>,
}

/// What is said of a content beside its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The name it is stored under.
    pub filename: String,
    /// Its media type.
    pub content_type: String,
    /// Its collection.
    pub collection: Option<String>,
    /// Its attributes, as JSON text.
    pub attributes: Option<String>,
}

/// Why an upload failed.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no room for it.
    #[error(transparent)]
    NotAdmitted(#[from] AdmissionError),
    /// It is larger than a content may be.
    #[error("a content has at most {CONTENT_BYTES_MAX} bytes")]
    TooLarge,
    /// Its bytes are not those that the sender hashed.
    #[error("the body's {0} hash is another one than its header's")]
    DigestMismatch(&'static str),
    /// It was not stored.
    #[error(transparent)]
    Change(#[from] ChangeFailure),
}

impl Upload {
    /// Keeps room for a content of the expected length.
    ///
    /// # Errors
    /// When it would not fit, or too many uploads are running.
    pub fn begin(
        handle: &Handle,
        id: ContentId,
        how: How,
        expected: &Expected,
    ) -> Result<Self, UploadError> {
        if expected
            .length
            .is_some_and(|length| length > CONTENT_BYTES_MAX)
        {
            return Err(UploadError::TooLarge);
        }
        let length = expected.length.unwrap_or(0);
        let promise = handle.admission().promise(length)?;
        check_copies(handle, id, length)?;
        Ok(Upload {
            handle: handle.clone(),
            id,
            how,
            promise,
            blake3: blake3::Hasher::new(),
            sha256: expected.sha256.map(|_| Sha256::new()),
            filling: BytesMut::new(),
            size: 0,
            sent: 0,
            upload: None,
            window: VecDeque::new(),
        })
    }

    /// Takes the next piece; returns when there is room for another.
    ///
    /// # Errors
    /// When it does not fit any more, or the store refused a chunk.
    pub async fn push(&mut self, mut piece: &[u8]) -> Result<(), UploadError> {
        self.size += piece.len() as u64;
        if self.size > CONTENT_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        while !piece.is_empty() {
            // One byte more than a record holds is what makes an upload a chunked one.
            if self.filling.len() == CHUNK_BYTES_MAX {
                self.send_filled().await?;
            }
            let room = CHUNK_BYTES_MAX - self.filling.len();
            let (now, later) = piece.split_at(piece.len().min(room).min(HASH_BYTES));
            self.blake3.update(now);
            if let Some(sha256) = &mut self.sha256 {
                sha256.update(now);
            }
            self.filling.extend_from_slice(now);
            piece = later;
        }
        Ok(())
    }

    /// Bytes received so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the body: checks it against what its sender said, and hands over what is left of a
    /// chunked one. Nothing is visible before [`Upload::commit`].
    ///
    /// # Errors
    /// When a hash differs, or the store refused a chunk.
    pub async fn end(&mut self, expected: &Expected) -> Result<Checksum, UploadError> {
        let checksum = Checksum(*self.blake3.finalize().as_bytes());
        if expected
            .blake3
            .is_some_and(|expected| expected != checksum.0)
        {
            return Err(UploadError::DigestMismatch("blake3"));
        }
        if let (Some(expected), Some(hasher)) = (expected.sha256, self.sha256.take())
            && hasher.finalize()[..] != expected[..]
        {
            return Err(UploadError::DigestMismatch("sha-256"));
        }
        if self.upload.is_some() && !self.filling.is_empty() {
            self.send_filled().await?;
        }
        while let Some(sending) = self.window.pop_front() {
            sending.appended().await?;
        }
        if self.upload.is_none() {
            self.take_room(self.filling.len() as u64)?;
        }
        Ok(checksum)
    }

    /// Bytes are about to be stored. Of what was promised there is room here; the copies may have become
    /// full, and of a body without a length nobody had heard.
    fn take_room(&mut self, bytes: u64) -> Result<(), UploadError> {
        self.promise.stored(bytes)?;
        Ok(check_copies(&self.handle, self.id, bytes)?)
    }

    /// Makes the content visible; on return it is durable.
    ///
    /// # Errors
    /// When the store refused it; `Lost` alone leaves open whether it is stored.
    pub async fn commit(
        mut self,
        checksum: Checksum,
        described: Described,
        wait: Wait,
    ) -> Result<Ack, ChangeFailure> {
        let Described {
            filename,
            content_type,
            collection,
            attributes,
        } = described;
        let size = self.size;
        let new = NewContent {
            filename,
            content_type,
            collection,
            attributes,
            size,
            checksum,
        };
        let how = self.how;
        let what = match self.upload {
            Some(upload) => What::Commit { upload, new, how },
            None => {
                let payload = Payload::new(std::mem::take(&mut self.filling).freeze());
                What::Put { new, how, payload }
            }
        };
        let ack = self.handle.change(self.id, what, wait).await;
        // A commit ends the upload, also when it is lost; a refused one leaves it to be ended.
        if !matches!(ack, Err(ChangeFailure::Refused(_) | ChangeFailure::Busy)) {
            self.upload = None;
        }
        ack
    }

    async fn send_filled(&mut self) -> Result<(), UploadError> {
        let bytes = std::mem::take(&mut self.filling).freeze();
        let length = bytes.len() as u64;
        self.take_room(length)?;
        let payload = Payload::new(bytes);
        match self.upload {
            None => {
                let first = self.handle.first_chunk(self.id, self.how, payload).await?;
                self.upload = Some(first);
            }
            Some(upload) => {
                if self.window.len() == WINDOW
                    && let Some(oldest) = self.window.pop_front()
                {
                    oldest.appended().await?;
                }
                let (shard, offset) = (self.id.shard(), self.sent);
                let sending = self.handle.chunk(shard, upload, offset, payload).await?;
                self.window.push_back(sending);
            }
        }
        self.sent += length;
        Ok(())
    }
}

/// Whether the other members of the set have room for it, as far as they have said.
fn check_copies(handle: &Handle, id: ContentId, bytes: u64) -> Result<(), AdmissionError> {
    let replica = handle.table().replica(id.shard());
    let free = replica.map_or(u64::MAX, |replica| replica.gauge.copies_free_bytes());
    if bytes <= free {
        return Ok(());
    }
    Err(AdmissionError::CopyFull { bytes, free })
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(upload) = self.upload {
            self.handle.abandon(self.id.shard(), upload);
        }
    }
}
