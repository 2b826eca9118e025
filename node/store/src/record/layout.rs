//! Where the parts of a record lie in its file: pure arithmetic over the header's fields.
//!
//! ```text
//! start        +128          +4·blocks   +metadata      payload start        end
//! | header 128 | block table | metadata | … zeros … | payload | … zeros … |
//! ```
//!
//! A record starts and ends at multiples of 8. A payload of 64 KiB and more starts at a multiple
//! of 4 KiB, so that whole pages can be given back; a smaller one at a multiple of 8. The padding
//! depends on where the record lies, so it is no part of the record, and no checksum covers it.

use wire::limits::BLOCK_BYTES;

use super::head::HEADER_BYTES;

/// Records start at multiples of this.
pub(crate) const ALIGN: u64 = 8;

/// Payloads that can be given back start at multiples of this.
pub(crate) const PAGE: u64 = 4096;

/// The smallest payload that is aligned to pages, and given back when it is dead.
pub(crate) const PUNCHED_BYTES_MIN: u64 = BLOCK_BYTES as u64;

/// The lengths that decide a record's layout, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// Of the metadata.
    pub(crate) metadata: u32,
    /// Of the payload.
    pub(crate) payload: u64,
}

impl Lengths {
    /// How many blocks the payload has.
    pub(crate) fn blocks(self) -> u64 {
        self.payload.div_ceil(BLOCK_BYTES as u64)
    }

    /// Header, block table and metadata.
    pub(crate) fn head(self) -> u64 {
        HEADER_BYTES as u64 + 4 * self.blocks() + u64::from(self.metadata)
    }

    /// Where the payload of a record that starts at `start` lies.
    pub(crate) fn payload_start(self, start: u64) -> u64 {
        let align = if self.is_punchable() { PAGE } else { ALIGN };
        (start + self.head()).next_multiple_of(align)
    }

    /// Where a record that starts at `start` ends: the start of the next one.
    pub(crate) fn end(self, start: u64) -> u64 {
        (self.payload_start(start) + self.payload).next_multiple_of(ALIGN)
    }

    /// Whether the payload's pages are given back when it is dead.
    pub(crate) fn is_punchable(self) -> bool {
        self.payload >= PUNCHED_BYTES_MIN
    }

    /// The bytes that are given back then: the payload's whole pages.
    pub(crate) fn punchable_bytes(self) -> u64 {
        if self.is_punchable() {
            self.payload / PAGE * PAGE
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        // If this fails, records overlap, or a dead payload cannot be given back.
        #[test]
        fn parts_follow_each_other_and_are_aligned(
            start in 0_u64..(1 << 28), metadata in 0_u32..9000, payload in 0_u64..(1 << 20),
        ) {
            let start = start * ALIGN;
            let lengths = Lengths { metadata, payload };
            prop_assert!(lengths.payload_start(start) >= start + lengths.head());
            prop_assert!(lengths.end(start) >= lengths.payload_start(start) + payload);
            prop_assert_eq!(lengths.end(start) % ALIGN, 0);
            if payload >= PUNCHED_BYTES_MIN {
                prop_assert_eq!(lengths.payload_start(start) % PAGE, 0);
            }
            prop_assert!(lengths.punchable_bytes() <= payload);
        }
    }
}
