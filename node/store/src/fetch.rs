//! Reading one record from its segment, and verifying every byte of it that is used.

use std::io;

use bytes::Bytes;
use wire::limits::BLOCK_BYTES;

use crate::checksum::crc32c;
use crate::disk::{File, is_unreadable};
use crate::record::head::{DecodeHeadError, HEADER_BYTES, Head};
use crate::record::{self, Payload, Record};
use crate::segment::entry::Entry;

/// Whether to wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Read, however long it takes.
    Wait,
    /// Fail with `WouldBlock` when the bytes are not in memory.
    Cached,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// What stands there is not the record.
    #[error(transparent)]
    Head(#[from] DecodeHeadError),
    /// A block of the payload is damaged.
    #[error("block {block} of the payload is damaged")]
    Block {
        /// Which one, from 0.
        block: u64,
    },
    /// It lies in a sector that the disk cannot read: that is damage, too.
    #[error("the disk cannot read it: {0}")]
    Unreadable(io::Error),
    /// The disk failed, or (`WouldBlock`) would have to be waited for.
    #[error(transparent)]
    Disk(io::Error),
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> FetchError {
        match is_unreadable(&error) {
            true => FetchError::Unreadable(error),
            false => FetchError::Disk(error),
        }
    }
}

/// A record whose header, block table and metadata were read and verified.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) head: Head,
    pub(crate) start: u64,
    /// From the record's start on: all of the head, and what came with it.
    bytes: Bytes,
}

/// How much the first read takes: the whole of a small record, with one call.
const FIRST_READ_BYTES: usize = 4096;

fn read(file: &dyn File, length: usize, at: u64, patience: Patience) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = match patience {
        Patience::Wait => file.read_at(&mut bytes, at)?,
        Patience::Cached => file
            .read_cached_at(&mut bytes, at)?
            .ok_or(io::ErrorKind::WouldBlock)?,
    };
    bytes.truncate(read);
    Ok(bytes)
}

impl Fetched {
    /// Reads the record that starts at `start`.
    pub(crate) fn head(
        file: &dyn File,
        log: u64,
        start: u64,
        patience: Patience,
    ) -> Result<Fetched, FetchError> {
        let mut bytes = match read(file, FIRST_READ_BYTES, start, patience) {
            // What cannot be read may lie behind the head, in the payload or in another record.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                read(file, HEADER_BYTES, start, patience)?
            }
            first => first?,
        };
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .ok_or(DecodeHeadError::Foreign)?;
        let head = Head::decode(header, log)?;
        let length = head.lengths().head() as usize;
        if bytes.len() < length {
            bytes = read(file, length, start, patience)?;
        }
        if bytes.len() < length || !Head::verify(&bytes[..length]) {
            return Err(DecodeHeadError::Checksum.into());
        }
        Ok(Fetched {
            head,
            start,
            bytes: bytes.into(),
        })
    }

    pub(crate) fn entry(&self) -> Entry {
        Entry::new(&self.head, self.start)
    }

    /// The whole record, with the payload that was read and verified.
    pub(crate) fn into_record(self, payload: Bytes) -> Record {
        let head_bytes = self.bytes.slice(..self.head.lengths().head() as usize);
        let checksums = record::table(&self.head, &head_bytes);
        Record::of_verified(
            self.head,
            head_bytes,
            Payload::from_parts(payload, checksums),
        )
    }

    /// Reads and verifies all of the payload.
    pub(crate) fn verify(&self, file: &dyn File) -> Result<(), FetchError> {
        let length = usize::try_from(self.head.payload_bytes).expect("a payload fits memory");
        self.payload(file, 0, length, Patience::Wait).map(drop)
    }

    pub(crate) fn metadata_bytes(&self) -> &[u8] {
        record::metadata_bytes(
            &self.head,
            &self.bytes[..self.head.lengths().head() as usize],
        )
    }

    /// Reads the payload's bytes of `[offset, offset + length)`, and verifies the blocks they are
    /// in. The range must lie within the payload.
    pub(crate) fn payload(
        &self,
        file: &dyn File,
        offset: u64,
        length: usize,
        patience: Patience,
    ) -> Result<Bytes, FetchError> {
        let payload = self.head.payload_bytes;
        assert!(
            offset + length as u64 <= payload,
            "the range lies within the payload"
        );
        let block = BLOCK_BYTES as u64;
        let from = offset / block * block;
        let to = (offset + length as u64)
            .next_multiple_of(block)
            .min(payload);
        let bytes = self.raw(file, from, (to - from) as usize, patience)?;
        let table = record::table(&self.head, &self.bytes);
        for (number, piece) in (from / block..).zip(bytes.chunks(BLOCK_BYTES)) {
            if crc32c(piece) != table[number as usize] {
                return Err(FetchError::Block { block: number });
            }
        }
        let skip = (offset - from) as usize;
        Ok(bytes.slice(skip..skip + length))
    }

    /// Bytes of the payload as they lie in the file, from the first read if they came with it.
    fn raw(
        &self,
        file: &dyn File,
        from: u64,
        length: usize,
        patience: Patience,
    ) -> Result<Bytes, FetchError> {
        let at = self.head.lengths().payload_start(self.start) + from;
        let begin = (at - self.start) as usize;
        if begin + length <= self.bytes.len() {
            return Ok(self.bytes.slice(begin..begin + length));
        }
        let bytes = read(file, length, at, patience)?;
        if bytes.len() < length {
            return Err(FetchError::Block {
                block: from / BLOCK_BYTES as u64,
            });
        }
        Ok(bytes.into())
    }
}

/// Whether a record's payload is intact.
///
/// # Errors
/// When the disk fails, or cannot read the record: it may be whole all the same, and acknowledged.
pub(crate) fn verify_payload(file: &dyn File, entry: &Entry, log: u64) -> io::Result<bool> {
    let whole = Fetched::head(file, log, entry.start, Patience::Wait)
        .and_then(|fetched| fetched.verify(file));
    match whole {
        Ok(()) => Ok(true),
        Err(FetchError::Disk(error) | FetchError::Unreadable(error)) => Err(error),
        Err(FetchError::Head(_) | FetchError::Block { .. }) => Ok(false),
    }
}
