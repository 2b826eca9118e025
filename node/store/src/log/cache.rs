//! The page cache, which a very large body must not take from everything else.

use std::ops::Range;

use super::Log;
use crate::record::Head;

/// How much of one body may stay in the cache: enough for what a page shows, and for a follower
/// that reads it at once.
const CACHED_BYTES_MAX: u64 = 64 << 20;

/// How far behind the last write the cache is given up, from here…
const BEHIND_MIN: u64 = 16 << 20;

/// …to here. What lies 16 MiB back was written out long ago, at any disk's speed, as unsynced bytes
/// are bounded by half of that. Each byte is given up several times, so that none is missed.
const BEHIND_MAX: u64 = 32 << 20;

impl Log {
    /// Gives up what a large body has left behind. Without it, each write waits for the system to
    /// find a page once memory is full: measured, small uploads beside one of 8 GiB then took up to
    /// 1.6 s, and with it 0.13 s at most.
    pub(super) fn drop_behind(&self, head: &Head, at: u64) {
        if let Some(behind) = behind(head.offset, at) {
            let file = &self.active().segment.file;
            file.begin_write_back(behind.start, behind.end - behind.start);
        }
    }
}

/// What is given up after a write at `at`, of a piece that begins at `offset` in its body.
fn behind(offset: u64, at: u64) -> Option<Range<u64>> {
    let range = at.saturating_sub(BEHIND_MAX)..at.saturating_sub(BEHIND_MIN);
    (offset >= CACHED_BYTES_MAX && !range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    // If this fails, one large upload pushes every page and image out of memory.
    #[test]
    fn a_large_body_leaves_the_cache_behind_it() {
        let given_up: Vec<_> = (0..256)
            .filter_map(|n| behind(CACHED_BYTES_MAX + n * MIB, n * MIB))
            .collect();
        for place in (0..256 - 32).map(|n| n * MIB) {
            let times = given_up.iter().filter(|range| range.contains(&place));
            assert!(times.count() >= 8, "{place}");
        }
    }

    // If this fails, what was just uploaded is read from the disk by everyone who asks for it.
    #[test]
    fn what_is_new_or_small_stays() {
        assert_eq!(behind(0, 200 * MIB), None);
        assert_eq!(behind(CACHED_BYTES_MAX - 1, 200 * MIB), None);
        assert_eq!(behind(CACHED_BYTES_MAX, 3 * MIB), None, "a new segment");
        let range = behind(CACHED_BYTES_MAX, 200 * MIB).expect("is given up");
        assert!(range.end <= 184 * MIB);
    }
}
