//! How fast a scrub reads.

use std::time::{Duration, Instant};

/// What scrubs may read on a node: a tenth of what a hard disk reads, so that requests hardly notice;
/// and a full disk of 16 TB is read in ten days, well within the shortest cycle.
pub(super) const BYTES_PER_S: u64 = 20 << 20;

/// A shorter wait is saved up: it would only wake the thread more often.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// Keeps scrubs to their rate.
pub(super) struct Pace {
    /// When all that was allowed so far may have been read.
    until: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Pace {
        Pace { until: now }
    }

    /// How long to wait before so many bytes are read.
    pub(super) fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let wait = self.until.saturating_duration_since(now);
        let takes = Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / BYTES_PER_S);
        self.until = self.until.max(now) + takes;
        if wait < WAIT_MIN {
            Duration::ZERO
        } else {
            wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a scrub takes the disk from requests.
    #[test]
    fn no_more_is_read_than_the_rate_allows() {
        let begun = Instant::now();
        for record in [200, 64 << 10, 1 << 20] {
            let mut pace = Pace::new(begun);
            let (mut now, mut read) = (begun, 0_u64);
            while read < 100 << 20 {
                now += pace.wait(record, now);
                read += record;
            }
            let seconds = (now - begun).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let rate = read as f64 / seconds;
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let most = BYTES_PER_S as f64 * 1.05;
            assert!(rate < most, "{record}: {rate}");
        }
        // What was not read in time is not made good in one go.
        let mut pace = Pace::new(begun);
        let later = begun + Duration::from_secs(3600);
        assert_eq!(pace.wait(BYTES_PER_S, later), Duration::ZERO);
        assert_eq!(pace.wait(1, later), Duration::from_secs(1));
    }
}
