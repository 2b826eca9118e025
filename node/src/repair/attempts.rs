//! What was tried in vain: when to try it again, and what was told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::{Lsn, ShardNo};

/// The pause after the first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Doublings of the pause: up to about four minutes.
const DOUBLINGS_MAX: u32 = 8;

/// A copy that could not be had so often is told of as one that cannot be repaired now. One that
/// is busy, or a peer that is being started, is not.
const FAILURES_UNTIL_TOLD: u32 = 4;

/// One record of a shard; an lsn that no record has for what cannot be named more exactly.
pub(super) type Key = (ShardNo, Lsn);

/// The failed attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<Key, Attempt>);

#[derive(Debug)]
struct Attempt {
    failures: u32,
    next: Instant,
}

impl Attempts {
    /// Whether it may be tried now.
    pub(super) fn is_due(&self, key: Key, now: Instant) -> bool {
        self.0.get(&key).is_none_or(|attempt| attempt.next <= now)
    }

    /// It was tried in vain. Whether that is to be told: once for each record.
    pub(super) fn failed(&mut self, key: Key, now: Instant) -> bool {
        let attempt = self.0.entry(key).or_insert(Attempt {
            failures: 0,
            next: now,
        });
        attempt.next = now + PAUSE_MIN * 2_u32.pow(attempt.failures.min(DOUBLINGS_MAX));
        attempt.failures = attempt.failures.saturating_add(1);
        attempt.failures == FAILURES_UNTIL_TOLD
    }

    /// It was done.
    pub(super) fn done(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// Of this shard only these are of concern still.
    pub(super) fn keep(&mut self, shard: ShardNo, is_wanted: impl Fn(Lsn) -> bool) {
        self.0
            .retain(|(of, lsn), _| *of != shard || is_wanted(*lsn));
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
        let mut attempts = Attempts::default();
        let mut now = Instant::now();
        let (mut told, mut last) = (0, Duration::ZERO);
        for _ in 0..20 {
            assert!(attempts.is_due(KEY, now));
            told += u32::from(attempts.failed(KEY, now));
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
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for lsn in 1..=4 {
            attempts.failed((ShardNo(1), Lsn(lsn)), now);
            attempts.failed((ShardNo(2), Lsn(lsn)), now);
        }
        attempts.keep(ShardNo(1), |lsn| lsn == Lsn(3));
        let left: Vec<Key> = attempts.0.keys().copied().collect();
        assert_eq!(left.len(), 5);
        assert_eq!(left[0], (ShardNo(1), Lsn(3)));
    }
}
