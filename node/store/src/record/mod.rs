//! Records: the unit of the log. This module owns their bytes and knows no file.

pub(crate) mod head;
pub(crate) mod kind;
pub(crate) mod layout;
pub(crate) mod metadata;
pub(crate) mod payload;

use bytes::Bytes;

pub use head::{DecodeHeadError, Head};
pub use kind::Kind;
pub use metadata::DecodeMetadataError;
pub use payload::Payload;

use head::HEADER_BYTES;
use wire::Lsn;

/// A whole record as it travels from a leader to a follower: the same bytes on every replica.
///
/// It is broken if its header's checksum is wrong, if the header's lengths are not those of the
/// table, the metadata and the payload, or if a block's checksum is not that of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The header's fields.
    pub head: Head,
    /// Header, block table and metadata, as they lie in the file.
    pub(crate) head_bytes: Bytes,
    /// The content's bytes.
    pub payload: Payload,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeRecordError {
    /// The header cannot be read.
    #[error(transparent)]
    Head(#[from] DecodeHeadError),
    /// The bytes end before the record does, or go on after it.
    #[error("{found} bytes where the header tells {expected}")]
    Length {
        /// As the header tells.
        expected: u64,
        /// As there are.
        found: u64,
    },
    /// A block of the payload is damaged.
    #[error("a block of the payload is damaged")]
    Payload,
}

impl Record {
    /// Joins a header with metadata and payload.
    pub(crate) fn new(mut head: Head, metadata: &[u8], payload: Payload) -> Record {
        head.metadata_bytes = u32::try_from(metadata.len()).expect("metadata is bounded");
        head.payload_bytes = payload.len() as u64;
        let head_bytes = Bytes::from(head.encode(payload.checksums(), metadata));
        Record {
            head,
            head_bytes,
            payload,
        }
    }

    /// Joins parts that were read and verified.
    pub(crate) fn of_verified(head: Head, head_bytes: Bytes, payload: Payload) -> Record {
        Record {
            head,
            head_bytes,
            payload,
        }
    }

    /// Header, block table and metadata: what travels before the payload. A clone of it copies no
    /// byte, nor does one of [`Payload::bytes`].
    pub fn head_bytes(&self) -> &Bytes {
        &self.head_bytes
    }

    /// Header, block table, metadata and payload without padding, in one piece: copies all of them.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.head_bytes.len() + self.payload.len());
        out.extend_from_slice(&self.head_bytes);
        out.extend_from_slice(self.payload.bytes());
        Bytes::from(out)
    }

    /// Reads what [`Record::to_bytes`] wrote, and verifies every byte of it. Copies none: the
    /// record keeps `bytes` alive.
    ///
    /// # Errors
    /// When it is not exactly one intact record of this log.
    pub fn from_bytes(bytes: &Bytes, log: u64) -> Result<Record, DecodeRecordError> {
        let head = decode_head(bytes, bytes.len(), log)?;
        let at = head_length(&head, bytes.len(), bytes.len())?;
        Record::verified(head, bytes.slice(..at), bytes.slice(at..))
    }

    /// Joins [`Record::head_bytes`] and the payload's bytes, as they came in, and verifies every
    /// byte of both. Copies none.
    ///
    /// # Errors
    /// When they are not exactly one intact record of this log.
    pub fn from_parts(
        head_bytes: Bytes,
        payload: Bytes,
        log: u64,
    ) -> Result<Record, DecodeRecordError> {
        let found = head_bytes.len() + payload.len();
        let head = decode_head(&head_bytes, found, log)?;
        let at = head_length(&head, head_bytes.len(), found)?;
        if at != head_bytes.len() {
            return Err(wrong_length(&head, found));
        }
        Record::verified(head, head_bytes, payload)
    }

    fn verified(
        head: Head,
        head_bytes: Bytes,
        payload: Bytes,
    ) -> Result<Record, DecodeRecordError> {
        if payload.len() as u64 != head.payload_bytes {
            return Err(wrong_length(&head, head_bytes.len() + payload.len()));
        }
        if !Head::verify(&head_bytes) {
            return Err(DecodeHeadError::Checksum.into());
        }
        let payload = Payload::verified(payload, table(&head, &head_bytes))
            .ok_or(DecodeRecordError::Payload)?;
        Ok(Record {
            head,
            head_bytes,
            payload,
        })
    }

    /// The checksum that names the record's exact bytes in a handshake.
    pub fn checksum(&self) -> u32 {
        Head::checksum(&self.head_bytes)
    }
}

fn decode_head(bytes: &[u8], found: usize, log: u64) -> Result<Head, DecodeRecordError> {
    let too_short = DecodeRecordError::Length {
        expected: HEADER_BYTES as u64,
        found: found as u64,
    };
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(too_short)?;
    Ok(Head::decode(header, log)?)
}

/// The length of header, table and metadata, of which `there` bytes are there.
fn head_length(head: &Head, there: usize, found: usize) -> Result<usize, DecodeRecordError> {
    let length = head.lengths().head() as usize;
    if length <= there {
        Ok(length)
    } else {
        Err(wrong_length(head, found))
    }
}

fn wrong_length(head: &Head, found: usize) -> DecodeRecordError {
    DecodeRecordError::Length {
        expected: head.lengths().head() + head.payload_bytes,
        found: found as u64,
    }
}

/// The block checksums that lie behind a verified header.
pub(crate) fn table(head: &Head, head_bytes: &[u8]) -> Vec<u32> {
    let bytes = 4 * head.lengths().blocks() as usize;
    let table = &head_bytes[HEADER_BYTES..HEADER_BYTES + bytes];
    table
        .chunks_exact(4)
        .map(|sum| head::u32_at(sum, 0))
        .collect()
}

/// The metadata that lies behind a verified header and its table.
pub(crate) fn metadata_bytes<'a>(head: &Head, head_bytes: &'a [u8]) -> &'a [u8] {
    &head_bytes[HEADER_BYTES + 4 * head.lengths().blocks() as usize..]
}

/// Where a chunk of a content is: what a commit record's payload lists, in the order of offsets.
///
/// ```text
/// 0  8  lsn of the chunk
/// 8  8  offset of the chunk in the content
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    pub(crate) lsn: Lsn,
    pub(crate) offset: u64,
}

const CHUNK_REF_BYTES: usize = 16;

/// Writes a commit record's payload.
pub(crate) fn encode_chunks(chunks: &[ChunkRef]) -> Bytes {
    let mut out = Vec::with_capacity(chunks.len() * CHUNK_REF_BYTES);
    for chunk in chunks {
        out.extend_from_slice(&chunk.lsn.0.to_le_bytes());
        out.extend_from_slice(&chunk.offset.to_le_bytes());
    }
    out.into()
}

/// Reads [`encode_chunks`] back. The payload was verified: it has no incomplete entry.
pub(crate) fn decode_chunks(payload: &[u8]) -> Vec<ChunkRef> {
    let entries = payload.chunks_exact(CHUNK_REF_BYTES);
    let read = |entry: &[u8]| ChunkRef {
        lsn: Lsn(head::u64_at(entry, 0)),
        offset: head::u64_at(entry, 8),
    };
    entries.map(read).collect()
}

#[cfg(test)]
mod tests;
