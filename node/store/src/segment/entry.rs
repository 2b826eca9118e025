//! What is known of a record without reading it again: a line of an index file.
//!
//! ```text
//!  0  8  lsn
//!  8  4  where the record starts in the segment, in units of 8 bytes
//! 12  4  length of the metadata
//! 16 16  content id
//! 32  8  upload; of an epoch record its epoch
//! 40  8  time, in milliseconds since 1970
//! 48  8  supersedes
//! 56  4  length of the payload
//! 60  1  kind
//! 61  1  flags, as in the header
//! 62  1  codec, as in the header
//! 63  1  zero
//! ```
//!
//! This version writes zeros from 61 on. It takes an entry that has something else there for that
//! of a record which it does not know: the index file counts for nothing then, and reading the
//! segment itself tells what it is.

use wire::{Epoch, Lsn};

use crate::record::Head;
use crate::record::head::{u32_at, u64_at};
use crate::record::kind::Kind;
use crate::record::layout::{ALIGN, Lengths};

/// An entry's length in an index file, in bytes.
pub(crate) const ENTRY_BYTES: usize = 64;

/// Where the kind stands, and behind it what else a reader must know.
const KIND_AT: usize = 60;

/// A record's place and what recovery needs of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) lsn: Lsn,
    /// Where the record starts in its segment, in bytes.
    pub(crate) start: u64,
    pub(crate) lengths: Lengths,
    pub(crate) id: [u8; 16],
    pub(crate) upload: Lsn,
    /// Of an epoch record; zero for others.
    pub(crate) epoch: Epoch,
    pub(crate) time_ms: u64,
    pub(crate) supersedes: Lsn,
    pub(crate) kind: Kind,
}

impl Entry {
    pub(crate) fn new(head: &Head, start: u64) -> Entry {
        let epoch = if head.kind == Kind::Epoch {
            head.epoch
        } else {
            Epoch::ZERO
        };
        Entry {
            lsn: head.lsn,
            start,
            lengths: head.lengths(),
            id: head.id,
            upload: head.upload,
            epoch,
            time_ms: head.time_ms,
            supersedes: head.supersedes,
            kind: head.kind,
        }
    }

    /// Where the record ends.
    pub(crate) fn end(&self) -> u64 {
        self.lengths.end(self.start)
    }

    /// What the record takes in its segment, padding included, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.end() - self.start
    }

    /// The bytes that are given back at once when the record is dead: the payload's whole pages. A
    /// commit keeps its list: a restart must know which chunks died with it.
    pub(crate) fn punchable_bytes(&self) -> u64 {
        match self.kind {
            Kind::Commit => 0,
            _ => self.lengths.punchable_bytes(),
        }
    }

    pub(crate) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut out = [0; ENTRY_BYTES];
        let upload = if self.kind == Kind::Epoch {
            self.epoch.0
        } else {
            self.upload.0
        };
        let start = u32::try_from(self.start / ALIGN).expect("a segment is below 32 GiB");
        let payload = u32::try_from(self.lengths.payload).expect("a payload is below 4 GiB");
        out[..8].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[8..12].copy_from_slice(&start.to_le_bytes());
        out[12..16].copy_from_slice(&self.lengths.metadata.to_le_bytes());
        out[16..32].copy_from_slice(&self.id);
        out[32..40].copy_from_slice(&upload.to_le_bytes());
        out[40..48].copy_from_slice(&self.time_ms.to_le_bytes());
        out[48..56].copy_from_slice(&self.supersedes.0.to_le_bytes());
        out[56..60].copy_from_slice(&payload.to_le_bytes());
        out[KIND_AT] = self.kind as u8;
        out
    }

    /// Reads an entry; none when its record's kind, flags or codec are unknown.
    pub(crate) fn decode(bytes: &[u8; ENTRY_BYTES]) -> Option<Entry> {
        let is_known = bytes[KIND_AT + 1..].iter().all(|&byte| byte == 0);
        let kind = Kind::from_number(bytes[KIND_AT]).filter(|_| is_known)?;
        let upload = u64_at(bytes, 32);
        let (upload, epoch) = if kind == Kind::Epoch {
            (0, upload)
        } else {
            (upload, 0)
        };
        Some(Entry {
            lsn: Lsn(u64_at(bytes, 0)),
            start: u64::from(u32_at(bytes, 8)) * ALIGN,
            lengths: Lengths {
                metadata: u32_at(bytes, 12),
                payload: u64::from(u32_at(bytes, 56)),
            },
            id: bytes[16..32].try_into().expect("16 bytes"),
            upload: Lsn(upload),
            epoch: Epoch(epoch),
            time_ms: u64_at(bytes, 40),
            supersedes: Lsn(u64_at(bytes, 48)),
            kind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        // If this fails, a restart finds other contents than were stored.
        #[test]
        fn round_trip(
            numbers in any::<[u64; 4]>(), start in any::<u32>(), metadata in any::<u32>(),
            payload in any::<u32>(), id in any::<[u8; 16]>(), kind in 0_usize..7,
        ) {
            let kind = Kind::ALL[kind];
            let is_epoch = kind == Kind::Epoch;
            let entry = Entry {
                lsn: Lsn(numbers[0]),
                start: u64::from(start) * 8,
                lengths: Lengths { metadata, payload: u64::from(payload) },
                id,
                upload: Lsn(if is_epoch { 0 } else { numbers[1] }),
                epoch: Epoch(if is_epoch { numbers[1] } else { 0 }),
                time_ms: numbers[2],
                supersedes: Lsn(numbers[3]),
                kind,
            };
            prop_assert_eq!(Entry::decode(&entry.encode()), Some(entry));
            for at in KIND_AT..ENTRY_BYTES {
                let mut later = entry.encode();
                later[at] |= 0x40;
                prop_assert_eq!(Entry::decode(&later), None, "byte {}", at);
            }
        }
    }
}
