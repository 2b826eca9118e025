//! What was tried: when to try it again, should it still be damaged, and what was told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::{Lsn, ShardNo};

/// The pause after the first attempt; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Doublings of the pause: up to about four minutes.
const DOUBLINGS_MAX: u32 = 8;

/// A copy that could not be had so often is told of as one that cannot be repaired now. One that
/// is busy, or a peer that is being started, is not.
const TIMES_UNTIL_TOLD: u32 = 4;

/// One record of a shard; an lsn that no record has for what cannot be named more exactly.
pub(super) type Key = (ShardNo, Lsn);

/// The attempts, by what was tried.
#[derive(Debug)]
pub(super) struct Attempts<K = Key>(BTreeMap<K, Attempt>);

#[derive(Debug)]
struct Attempt {
    times: u32,
    next: Instant,
}

impl<K> Default for Attempts<K> {
    fn default() -> Attempts<K> {
        Attempts(BTreeMap::new())
    }
}

impl<K: Ord> Attempts<K> {
    /// Whether it may be tried now.
    pub(super) fn is_due(&self, key: K, now: Instant) -> bool {
        self.0.get(&key).is_none_or(|attempt| attempt.next <= now)
    }

    /// It was tried. Whether that it is still damaged is to be told: once for each record.
    pub(super) fn tried(&mut self, key: K, now: Instant) -> bool {
        let attempt = self.0.entry(key).or_insert(Attempt {
            times: 0,
            next: now,
        });
        attempt.next = now + PAUSE_MIN * 2_u32.pow(attempt.times.min(DOUBLINGS_MAX));
        attempt.times = attempt.times.saturating_add(1);
        attempt.times == TIMES_UNTIL_TOLD
    }

    /// It is of no concern any more.
    pub(super) fn done(&mut self, key: K) {
        self.0.remove(&key);
    }

    /// Only these are of concern still.
    pub(super) fn keep(&mut self, is_wanted: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| is_wanted(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = (ShardNo(1), Lsn(7));

    // If this fails, a record that nobody has intact is asked for all the time, or never again; or
    // fills the log.
    #[test]
    fn what_failed_is_tried_again_ever_later_and_told_once() {
        let mut attempts = Attempts::<Key>::default();
        let mut now = Instant::now();
        let (mut told, mut last) = (0, Duration::ZERO);
        for _ in 0..20 {
            assert!(attempts.is_due(KEY, now));
            told += u32::from(attempts.tried(KEY, now));
            let begun = now;
            while !attempts.is_due(KEY, now) {
                now += Duration::from_millis(500);
            }
            let pause = now - begun;
            assert!(pause >= last && pause <= Duration::from_secs(256));
            last = pause;
        }
        assert_eq!((told, last), (1, Duration::from_secs(256)));
        attempts.done(KEY);
        assert!(attempts.is_due(KEY, Instant::now()));
    }

    // If this fails, the memory fills with records that are long mended.
    #[test]
    fn what_is_not_damaged_any_more_is_forgotten() {
        let mut attempts = Attempts::<Key>::default();
        let now = Instant::now();
        for lsn in 1..=4 {
            attempts.tried((ShardNo(1), Lsn(lsn)), now);
            attempts.tried((ShardNo(2), Lsn(lsn)), now);
        }
        attempts.keep(|(shard, lsn)| *shard != ShardNo(1) || *lsn == Lsn(3));
        let left: Vec<Key> = attempts.0.keys().copied().collect();
        assert_eq!(left.len(), 5);
        assert_eq!(left[0], (ShardNo(1), Lsn(3)));
    }
}
