//! Hashing a content as it is on the disk, piece by piece.

use store::{OpenContent, ReadError};
use wire::Checksum;

/// Bytes of one piece.
const READ_BYTES: usize = 1 << 20;

/// A content of which a part is hashed.
pub struct Hashing {
    open: OpenContent,
    hasher: blake3::Hasher,
    offset: u64,
}

impl Hashing {
    /// Of a content that was opened from the disk.
    pub fn new(open: OpenContent) -> Hashing {
        Hashing {
            open,
            hasher: blake3::Hasher::new(),
            offset: 0,
        }
    }

    /// The content.
    pub fn open(&self) -> &OpenContent {
        &self.open
    }

    /// Reads the next piece; the hash when there is no further one. Waits for the disk.
    ///
    /// # Errors
    /// As [`OpenContent::read`].
    pub fn step(&mut self) -> Result<Option<Checksum>, ReadError> {
        if self.offset >= self.open.content().size {
            return Ok(Some(Checksum(*self.hasher.finalize().as_bytes())));
        }
        let bytes = self.open.read(self.offset, READ_BYTES)?;
        self.hasher.update(&bytes);
        self.offset += bytes.len() as u64;
        Ok(None)
    }
}
