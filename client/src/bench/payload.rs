//! What the benchmark uploads: random bytes that differ in every upload, at no cost.

use bytes::Bytes;
use rand::RngCore;
use wire::Checksum;

/// The bytes that differ.
const HEAD_BYTES: usize = 16;

/// A body in two parts: a few bytes that differ each time, and many that are shared by all workers.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    tail: Bytes,
}

impl Payload {
    /// A body of `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        let head_bytes = size.min(HEAD_BYTES);
        let mut tail = vec![0; size - head_bytes];
        rand::rng().fill_bytes(&mut tail);
        Payload {
            head: [0; HEAD_BYTES],
            head_bytes,
            tail: tail.into(),
        }
    }

    /// Makes it differ from all before it (a content of under 16 bytes: as well as it can).
    pub(super) fn vary(&mut self, random: &mut impl RngCore) {
        random.fill_bytes(&mut self.head);
    }

    /// The part that differs.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    /// The rest.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// The whole length.
    pub(super) fn bytes(&self) -> u64 {
        (self.head_bytes + self.tail.len()) as u64
    }

    /// The hash of both parts.
    pub(super) fn checksum(&self) -> Checksum {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.head()).update(self.tail());
        Checksum(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    // If this fails, the benchmark uploads the same bytes again and again, or of another size.
    #[test]
    fn bodies_have_their_size_and_differ() {
        let mut random = SmallRng::seed_from_u64(1);
        for size in [0, 1, 15, 16, 17, 1024] {
            let mut payload = Payload::new(size);
            payload.vary(&mut random);
            let first = payload.checksum();
            assert_eq!(payload.bytes(), size as u64);
            assert_eq!([payload.head(), payload.tail()].concat().len(), size);
            payload.vary(&mut random);
            assert_eq!(payload.checksum() == first, size == 0, "{size}");
        }
    }
}
