//! A content that is being read. While it lives, its bytes stay on the disk.

use std::sync::Arc;

use bytes::Bytes;
use wire::limits::CHUNK_BYTES_MAX;
use wire::{ContentId, Lsn};

use super::from_disk::forget_cached;
use super::{ReadError, or_would_block};
use crate::content::Content;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::record::kind::Kind;
use crate::record::layout::PUNCHED_BYTES_MIN;
use crate::record::{ChunkRef, decode_chunks};
use crate::segment::Segment;
use crate::shared::Shared;

/// A content at one version, open for reading. It reads on, unchanged, when the content is updated
/// or deleted meanwhile.
#[derive(Debug)]
pub struct OpenContent {
    pub(super) shared: Arc<Shared>,
    content: Content,
    body: Body,
    /// The record that holds its bytes, or tells where they are.
    pub(super) pin: Lsn,
}

#[derive(Debug)]
enum Body {
    /// A small content, read and verified.
    Whole(Bytes),
    /// One record's payload.
    Record {
        segment: Arc<Segment>,
        fetched: Fetched,
    },
    /// The payloads of many records.
    Chunks(Vec<ChunkAt>),
}

#[derive(Debug)]
struct ChunkAt {
    lsn: Lsn,
    /// Where it begins in the content, in bytes.
    offset: u64,
    segment: Arc<Segment>,
    /// Where its record starts in the segment, in bytes.
    start: u64,
}

/// Why a content cannot be opened, and which record it is.
pub(super) struct Broken {
    pub(super) record: Lsn,
    pub(super) error: ReadError,
}

fn missing(chunk: Lsn) -> Broken {
    let what = "a part of the content is missing".to_owned();
    Broken {
        record: chunk,
        error: ReadError::Damaged { what },
    }
}

impl OpenContent {
    pub(super) fn open(
        shared: &Arc<Shared>,
        content: Content,
        segment: Arc<Segment>,
        fetched: Fetched,
        patience: Patience,
    ) -> Result<OpenContent, Broken> {
        let pin = fetched.head.lsn;
        shared.pin(pin);
        // From here on dropping it unpins.
        let body = Body::Whole(Bytes::new());
        let mut open = OpenContent {
            shared: Arc::clone(shared),
            content,
            body,
            pin,
        };
        open.body = open.load(segment, fetched, patience)?;
        Ok(open)
    }

    fn load(
        &self,
        segment: Arc<Segment>,
        fetched: Fetched,
        patience: Patience,
    ) -> Result<Body, Broken> {
        let payload = fetched.head.payload_bytes;
        if fetched.head.kind != Kind::Commit && payload >= PUNCHED_BYTES_MIN {
            return Ok(Body::Record { segment, fetched });
        }
        let length = usize::try_from(payload).expect("a payload fits memory");
        let bytes = fetched.payload(&*segment.file, 0, length, patience);
        let bytes = bytes.map_err(|error| Broken {
            record: self.pin,
            error: error.into(),
        })?;
        if fetched.head.kind != Kind::Commit {
            return Ok(Body::Whole(bytes));
        }
        let chunks = decode_chunks(&bytes).into_iter();
        let found = chunks.map(|chunk| self.find(chunk).ok_or_else(|| missing(chunk.lsn)));
        found.collect::<Result<_, _>>().map(Body::Chunks)
    }

    fn find(&self, chunk: ChunkRef) -> Option<ChunkAt> {
        let segment = self.shared.segment_of(chunk.lsn)?;
        let start = segment.chunk(chunk.lsn)?;
        Some(ChunkAt {
            lsn: chunk.lsn,
            offset: chunk.offset,
            segment,
            start,
        })
    }

    /// Drops what the cache has of bytes that were not read yet.
    pub(super) fn forget_cached(&self) {
        let Body::Chunks(chunks) = &self.body else {
            return;
        };
        for chunk in chunks {
            let end = chunk.start + CHUNK_BYTES_MAX as u64 + PUNCHED_BYTES_MIN;
            forget_cached(&chunk.segment, chunk.start, end);
        }
    }

    /// The content's metadata at the version that is open.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The damage that earlier reads, or a scrub, found in what is open: a reader who begins here will
    /// be left in the middle, if it does not ask for other parts.
    pub fn known_damage(&self) -> Option<ReadError> {
        let damage = self.shared.damage();
        let id = self.content.id.bytes();
        let is_doubted = damage.is_doubted(&id, self.pin);
        let is_known = match &self.body {
            Body::Whole(_) => is_doubted,
            Body::Record { .. } => is_doubted || damage.is_known(&id, self.pin),
            Body::Chunks(chunks) => {
                is_doubted || chunks.iter().any(|chunk| damage.is_known(&id, chunk.lsn))
            }
        };
        let what = "a part of it was found damaged before".to_owned();
        is_known.then_some(ReadError::Damaged { what })
    }

    /// The content's id.
    pub fn id(&self) -> ContentId {
        self.content.id
    }

    /// Verified bytes from `offset` on: at least one, at most `bytes_max`, fewer at the end of a
    /// chunk; none at the content's end. May wait for the disk.
    ///
    /// # Errors
    /// When the copy is damaged, or the disk fails.
    pub fn read(&self, offset: u64, bytes_max: usize) -> Result<Bytes, ReadError> {
        self.read_patiently(offset, bytes_max, Patience::Wait)
    }

    /// As [`OpenContent::read`], but none when the disk would have to be waited for.
    ///
    /// # Errors
    /// As [`OpenContent::read`].
    pub fn read_cached(&self, offset: u64, bytes_max: usize) -> Result<Option<Bytes>, ReadError> {
        or_would_block(self.read_patiently(offset, bytes_max, Patience::Cached))
    }

    fn read_patiently(
        &self,
        offset: u64,
        bytes_max: usize,
        patience: Patience,
    ) -> Result<Bytes, ReadError> {
        if offset >= self.content.size {
            return Ok(Bytes::new());
        }
        let read = match &self.body {
            Body::Whole(bytes) => {
                let from = offset as usize;
                return Ok(bytes.slice(from..bytes.len().min(from.saturating_add(bytes_max))));
            }
            Body::Record { segment, fetched } => {
                let length = bytes_max.min((fetched.head.payload_bytes - offset) as usize);
                fetched.payload(&*segment.file, offset, length, patience)
            }
            Body::Chunks(chunks) => self.read_chunk(chunks, offset, bytes_max, patience),
        };
        read.map_err(|error| {
            let error = ReadError::from(error);
            if matches!(error, ReadError::Damaged { .. }) {
                let record = self.record_at(offset);
                self.shared.damage().note(self.content.id.bytes(), record);
            }
            error
        })
    }

    /// The lsn of the record that holds the byte at `offset`.
    fn record_at(&self, offset: u64) -> Lsn {
        match &self.body {
            Body::Chunks(chunks) => chunk_at(chunks, offset).lsn,
            Body::Whole(_) | Body::Record { .. } => self.pin,
        }
    }

    fn read_chunk(
        &self,
        chunks: &[ChunkAt],
        offset: u64,
        bytes_max: usize,
        patience: Patience,
    ) -> Result<Bytes, FetchError> {
        let chunk = chunk_at(chunks, offset);
        let file = &*chunk.segment.file;
        let fetched = Fetched::head(file, self.shared.log, chunk.start, patience)?;
        let inside = offset - chunk.offset;
        // A chunk that is shorter than its commit says is not the one that was committed.
        if inside >= fetched.head.payload_bytes || fetched.head.id != self.content.id.bytes() {
            return Err(FetchError::Block { block: 0 });
        }
        let length = bytes_max.min((fetched.head.payload_bytes - inside) as usize);
        fetched.payload(file, inside, length, patience)
    }
}

fn chunk_at(chunks: &[ChunkAt], offset: u64) -> &ChunkAt {
    let after = chunks.partition_point(|chunk| chunk.offset <= offset);
    &chunks[after.checked_sub(1).expect("the first chunk begins at 0")]
}

impl Drop for OpenContent {
    fn drop(&mut self) {
        self.shared.unpin(self.pin);
    }
}
