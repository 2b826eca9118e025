//! A record's payload with one checksum for each 64 KiB block.

use bytes::Bytes;
use wire::limits::BLOCK_BYTES;

use crate::checksum::crc32c;

/// Bytes and the checksums of their blocks. Making one reads all bytes: do it outside the store's
/// owner, on any thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    bytes: Bytes,
    checksums: Vec<u32>,
}

impl Payload {
    /// Takes the bytes and checksums each block.
    pub fn new(bytes: Bytes) -> Self {
        let checksums = bytes.chunks(BLOCK_BYTES).map(crc32c).collect();
        Payload { bytes, checksums }
    }

    /// No bytes.
    pub fn empty() -> Self {
        Payload {
            bytes: Bytes::new(),
            checksums: Vec::new(),
        }
    }

    /// Takes bytes and the checksums that they should have; none if they do not.
    pub fn verified(bytes: Bytes, checksums: Vec<u32>) -> Option<Self> {
        let agrees = bytes.len().div_ceil(BLOCK_BYTES) == checksums.len()
            && bytes
                .chunks(BLOCK_BYTES)
                .zip(&checksums)
                .all(|(block, &sum)| crc32c(block) == sum);
        agrees.then_some(Payload { bytes, checksums })
    }

    /// Joins bytes with checksums that they were verified against.
    pub(crate) fn from_parts(bytes: Bytes, checksums: Vec<u32>) -> Self {
        Payload { bytes, checksums }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// One CRC-32C for each 64 KiB block; the last block may be shorter.
    pub fn checksums(&self) -> &[u32] {
        &self.checksums
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
