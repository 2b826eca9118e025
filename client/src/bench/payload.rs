//! What the benchmark uploads: random bytes that differ in every upload, at no cost.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use wire::Checksum;

use super::sizes::Sizes;

/// The bytes that differ.
const HEAD_BYTES: usize = 16;

/// A body in two parts: a few bytes that differ each time, and many that are shared by all workers.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    sizes: Sizes,
    head: [u8; HEAD_BYTES],
    bytes: usize,
    tail: Bytes,
}

impl Payload {
    /// Bodies of these sizes; the first is empty.
    pub(super) fn new(sizes: Sizes) -> Self {
        let most = usize::try_from(sizes.most()).unwrap_or(usize::MAX);
        let mut tail = vec![0; most.saturating_sub(HEAD_BYTES)];
        SmallRng::from_os_rng().fill_bytes(&mut tail);
        Payload {
            sizes,
            head: [0; HEAD_BYTES],
            bytes: 0,
            tail: tail.into(),
        }
    }

    /// Makes it differ from all before it (a content of under 16 bytes: as well as it can).
    pub(super) fn vary(&mut self, random: &mut SmallRng) {
        random.fill_bytes(&mut self.head);
        self.bytes = usize::try_from(self.sizes.draw(random)).unwrap_or(usize::MAX);
    }

    /// The part that differs.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.bytes.min(HEAD_BYTES)]
    }

    /// The rest.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail[..self.bytes.saturating_sub(HEAD_BYTES)]
    }

    /// The whole length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
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

    // If this fails, the benchmark uploads the same bytes again and again, or of another size.
    #[test]
    fn bodies_have_their_size_and_differ() {
        let mut random = SmallRng::seed_from_u64(1);
        for size in [0, 1, 15, 16, 17, 1024] {
            let mut payload = Payload::new(Sizes::fixed(size));
            payload.vary(&mut random);
            let first = payload.checksum();
            assert_eq!(payload.bytes(), size);
            let whole = [payload.head(), payload.tail()].concat();
            assert_eq!(whole.len() as u64, size);
            assert_eq!(first, Checksum(blake3::hash(&whole).into()));
            payload.vary(&mut random);
            assert_eq!(payload.checksum() == first, size == 0, "{size}");
        }
    }

    // If this fails, a range of sizes is uploaded as one of its ends.
    #[test]
    fn sizes_differ_within_their_range() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut payload = Payload::new("10..40".parse().expect("a range"));
        let mut sizes = std::collections::BTreeSet::new();
        for _ in 0..500 {
            payload.vary(&mut random);
            let parts = payload.head().len() + payload.tail().len();
            assert_eq!(parts as u64, payload.bytes());
            sizes.insert(payload.bytes());
        }
        assert_eq!(sizes, (10..=40).collect());
    }
}
