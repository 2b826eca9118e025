//! A record's header: 128 bytes before everything else. All integers are little-endian.
//!
//! ```text
//!   0  4  magic "AqRc"
//!   4  1  format version, 1
//!   5  1  kind
//!   6  1  flags, 0 (bit 0 reserved: resumable upload)
//!   7  1  codec, 0 (compression and encryption: reserved)
//!   8  8  log id: stale bytes of another log never parse as this one's
//!  16  8  lsn
//!  24  8  epoch
//!  32  8  commit lsn: the leader's when it appended this record; the same on every replica
//!  40 16  content id, zero for none
//!  56  8  content version, zero for none
//!  64  8  upload: the lsn of the upload's first chunk, zero for none
//!  72  8  offset of a chunk in its content
//!  80  8  size of the whole content
//!  88  8  length of the payload
//!  96  8  time, in milliseconds since 1970
//! 104  8  supersedes: the lsn of this content's record before this one, zero for none
//! 112  4  length of the metadata
//! 116  8  reserved, zero
//! 124  4  CRC-32C over bytes 0..124, the block table and the metadata
//! ```

use wire::{Epoch, Lsn};

use super::kind::Kind;
use super::layout::Lengths;
use crate::checksum::crc32c_of;

/// The header's length in bytes.
pub(crate) const HEADER_BYTES: usize = 128;

/// The format that this version reads and writes.
pub(crate) const FORMAT: u8 = 1;

pub(crate) const MAGIC: [u8; 4] = *b"AqRc";

/// Where the format's number stands.
pub(crate) const FORMAT_AT: usize = 4;

/// Where the log id stands.
pub(crate) const LOG_AT: usize = 8;

/// Where the lsn stands.
pub(crate) const LSN_AT: usize = 16;

/// Where the content's id stands.
pub(crate) const ID_AT: usize = 40;

/// Where the superseded record's lsn stands.
pub(crate) const SUPERSEDES_AT: usize = 104;

const CRC_AT: usize = 124;

/// The longest metadata that a record may have: attributes, names and what goes with them.
pub(crate) const METADATA_BYTES_MAX: u32 = 16 * 1024;

/// The longest payload that a record may have: a chunk, or the list of the largest content's.
pub(crate) const PAYLOAD_BYTES_MAX: u64 = 16 << 20;

/// A header's fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the record is.
    pub kind: Kind,
    /// The log it belongs to.
    pub log: u64,
    /// Its position.
    pub lsn: Lsn,
    /// The epoch it was appended in.
    pub epoch: Epoch,
    /// The leader's commit at that time.
    pub commit: Lsn,
    /// The content's id, as bytes; zeros for none.
    pub id: [u8; 16],
    /// The content's version; 0 for none.
    pub version: u64,
    /// The lsn of the upload's first chunk; for that chunk its own lsn. Zero for none.
    pub upload: Lsn,
    /// A chunk's offset in its content.
    pub offset: u64,
    /// The size of the whole content.
    pub size: u64,
    /// The payload's length in bytes.
    pub payload_bytes: u64,
    /// In milliseconds since 1970, by the leader's clock.
    pub time_ms: u64,
    /// The lsn of this content's record before this one; zero for none.
    pub supersedes: Lsn,
    /// The metadata's length in bytes.
    pub metadata_bytes: u32,
}

/// Why bytes are not a record's header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeHeadError {
    /// Nothing was ever written here.
    #[error("zeros: the end of the log")]
    Zeros,
    /// The disk cannot read what stands there.
    #[error("the disk cannot read the record's head")]
    Unreadable,
    /// Not a record of this log, or a damaged one.
    #[error("not a record of this log")]
    Foreign,
    /// The header, the block table or the metadata is damaged.
    #[error("the record's checksum is wrong")]
    Checksum,
    /// Written by a version that this one does not know.
    #[error(
        "format version {format}, kind {kind}, flags {flags:#04x}, codec {codec} is unknown to \
         this version"
    )]
    Unknown {
        /// The format version.
        format: u8,
        /// The kind.
        kind: u8,
        /// The flags.
        flags: u8,
        /// The codec.
        codec: u8,
    },
}

impl Head {
    /// The lengths that decide the record's layout.
    pub(crate) fn lengths(&self) -> Lengths {
        Lengths {
            metadata: self.metadata_bytes,
            payload: self.payload_bytes,
        }
    }

    /// Writes header, block table and metadata, with the checksum over all three.
    pub(crate) fn encode(&self, table: &[u32], metadata: &[u8]) -> Vec<u8> {
        assert_eq!(self.metadata_bytes as usize, metadata.len());
        assert_eq!(self.lengths().blocks() as usize, table.len());
        let mut out = Vec::with_capacity(self.lengths().head() as usize);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[FORMAT, self.kind as u8, 0, 0]);
        for field in [self.log, self.lsn.0, self.epoch.0, self.commit.0] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.id);
        for field in [
            self.version,
            self.upload.0,
            self.offset,
            self.size,
            self.payload_bytes,
            self.time_ms,
            self.supersedes.0,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.metadata_bytes.to_le_bytes());
        out.resize(HEADER_BYTES, 0);
        out.extend(table.iter().flat_map(|sum| sum.to_le_bytes()));
        out.extend_from_slice(metadata);
        let crc = crc32c_of(&[&out[..CRC_AT], &out[HEADER_BYTES..]]);
        out[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads the fields of a header without knowing yet whether its checksum is right: table and
    /// metadata, whose lengths stand here, are needed for that ([`Head::verify`]).
    ///
    /// # Errors
    /// When the bytes are no header of this log, or one of an unknown version that is intact as
    /// far as can be told.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES], log: u64) -> Result<Head, DecodeHeadError> {
        if bytes[..4] != MAGIC || u64_at(bytes, LOG_AT) != log {
            let zeros = bytes.iter().all(|&byte| byte == 0);
            return Err(if zeros {
                DecodeHeadError::Zeros
            } else {
                DecodeHeadError::Foreign
            });
        }
        let (format, kind, flags, codec) = (bytes[4], bytes[5], bytes[6], bytes[7]);
        let is_known = format == FORMAT && flags == 0 && codec == 0;
        let known = Kind::from_number(kind).filter(|_| is_known);
        let Some(kind) = known else {
            return Err(DecodeHeadError::Unknown {
                format,
                kind,
                flags,
                codec,
            });
        };
        let lengths = Head::lengths_in(bytes).ok_or(DecodeHeadError::Checksum)?;
        let head = Head {
            kind,
            log,
            lsn: Lsn(u64_at(bytes, LSN_AT)),
            epoch: Epoch(u64_at(bytes, 24)),
            commit: Lsn(u64_at(bytes, 32)),
            id: bytes[ID_AT..ID_AT + 16].try_into().expect("16 bytes"),
            version: u64_at(bytes, 56),
            upload: Lsn(u64_at(bytes, 64)),
            offset: u64_at(bytes, 72),
            size: u64_at(bytes, 80),
            payload_bytes: lengths.payload,
            time_ms: u64_at(bytes, 96),
            supersedes: Lsn(u64_at(bytes, SUPERSEDES_AT)),
            metadata_bytes: lengths.metadata,
        };
        Ok(head)
    }

    /// The lengths that stand in a header of any version; none when they were never written.
    pub(crate) fn lengths_in(bytes: &[u8; HEADER_BYTES]) -> Option<Lengths> {
        let lengths = Lengths {
            metadata: u32_at(bytes, 112),
            payload: u64_at(bytes, 88),
        };
        let sane = lengths.metadata <= METADATA_BYTES_MAX && lengths.payload <= PAYLOAD_BYTES_MAX;
        sane.then_some(lengths)
    }

    /// Checks header, block table and metadata, as they lie behind each other in `head`, against
    /// the checksum.
    pub(crate) fn verify(head: &[u8]) -> bool {
        head.len() >= HEADER_BYTES
            && crc32c_of(&[&head[..CRC_AT], &head[HEADER_BYTES..]]) == u32_at(head, CRC_AT)
    }

    /// The header's checksum, which names the record's exact bytes.
    pub(crate) fn checksum(head: &[u8]) -> u32 {
        u32_at(head, CRC_AT)
    }
}

/// The little-endian integer at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// The little-endian integer at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}
