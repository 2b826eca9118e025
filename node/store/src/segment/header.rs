//! A segment file's first page: which log it belongs to, and which lsns it covers.
//!
//! ```text
//!    0  8  magic "AqSegmnt"
//!    8  4  format version, 1
//!   12  4  generation: 0 as first written, one more each time it is rewritten
//!   16  8  log id
//!   24  8  the first lsn covered
//!   32  8  the last lsn covered; 0 while the segment is written to (generation 0)
//!   40  8  horizon: the highest lsn of a delete that was dropped from here or before
//!   48  …  zero
//! 4092  4  CRC-32C over bytes 0..4092
//! ```

use wire::Lsn;

use crate::checksum::crc32c;
use crate::record::head::{u32_at, u64_at};

/// The header's length in bytes; the first record follows.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = 4096;

const MAGIC: [u8; 8] = *b"AqSegmnt";
const FORMAT: u32 = 1;
const CRC_AT: usize = SEGMENT_HEADER_BYTES as usize - 4;

/// A segment header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) generation: u32,
    pub(crate) log: u64,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) horizon: Lsn,
}

/// Why a page is not the header of a segment of this log.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeSegmentError {
    /// Damaged, or never written.
    #[error("the segment's header is damaged")]
    Damaged,
    /// Written by a version that this one does not know.
    #[error("the segment's format version {0} is unknown to this version")]
    Format(u32),
    /// Another log's.
    #[error("the segment belongs to log {found:016x}, not to {expected:016x}")]
    Foreign {
        /// This log's id.
        expected: u64,
        /// The id that stands there.
        found: u64,
    },
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        page[..8].copy_from_slice(&MAGIC);
        page[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        page[12..16].copy_from_slice(&self.generation.to_le_bytes());
        for (at, field) in [
            (16, self.log),
            (24, self.first.0),
            (32, self.last.0),
            (40, self.horizon.0),
        ] {
            page[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        let crc = crc32c(&page[..CRC_AT]);
        page[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        page
    }

    pub(crate) fn decode(page: &[u8], log: u64) -> Result<SegmentHeader, DecodeSegmentError> {
        let whole = page.len() == SEGMENT_HEADER_BYTES as usize
            && page[..8] == MAGIC
            && crc32c(&page[..CRC_AT]) == u32_at(page, CRC_AT);
        if !whole {
            return Err(DecodeSegmentError::Damaged);
        }
        if u32_at(page, 8) != FORMAT {
            return Err(DecodeSegmentError::Format(u32_at(page, 8)));
        }
        let header = SegmentHeader {
            generation: u32_at(page, 12),
            log: u64_at(page, 16),
            first: Lsn(u64_at(page, 24)),
            last: Lsn(u64_at(page, 32)),
            horizon: Lsn(u64_at(page, 40)),
        };
        if header.log == log {
            Ok(header)
        } else {
            Err(DecodeSegmentError::Foreign {
                expected: log,
                found: header.log,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        generation: 2,
        log: 7,
        first: Lsn(10),
        last: Lsn(99),
        horizon: Lsn(4),
    };

    // If this fails, no segment can be opened again.
    #[test]
    fn round_trip() {
        assert_eq!(SegmentHeader::decode(&HEADER.encode(), 7), Ok(HEADER));
    }

    // If this fails, a damaged or foreign file is served as content.
    #[test]
    fn anything_else_is_refused() {
        let page = HEADER.encode();
        for at in [0, 9, 13, 20, 30, 41, 4000, 4095] {
            let mut bad = page.clone();
            bad[at] ^= 0x10;
            assert_eq!(
                SegmentHeader::decode(&bad, 7),
                Err(DecodeSegmentError::Damaged)
            );
        }
        assert_eq!(
            SegmentHeader::decode(&page[..100], 7),
            Err(DecodeSegmentError::Damaged)
        );
        assert_eq!(
            SegmentHeader::decode(&page, 8),
            Err(DecodeSegmentError::Foreign {
                expected: 8,
                found: 7
            })
        );
        let mut newer = page;
        newer[8] = 2;
        let crc = crc32c(&newer[..CRC_AT]);
        newer[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            SegmentHeader::decode(&newer, 7),
            Err(DecodeSegmentError::Format(2))
        );
    }
}
