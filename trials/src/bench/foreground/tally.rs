//! What became of many requests: how many, how long they took, and how long nothing came.

use std::time::Duration;

use tokio::time::Instant;

/// Steps of a histogram in each doubling: a quantile is told at most 4.5 % too high.
const STEPS: f64 = 16.0;

/// Doublings from a microsecond on: up to an hour.
const DOUBLINGS: usize = 32;

/// Requests of one kind in one period.
#[derive(Clone, Debug)]
pub struct Tally {
    /// How many came to their end.
    pub count: u64,
    /// Attempts that failed before that.
    pub failures: u64,
    /// The longest, all attempts together.
    pub longest: Duration,
    /// The longest time in which none came to its end.
    pub gap: Duration,
    histogram: Vec<u32>,
}

impl Default for Tally {
    fn default() -> Self {
        Tally {
            count: 0,
            failures: 0,
            longest: Duration::ZERO,
            gap: Duration::ZERO,
            histogram: vec![0; STEPS as usize * DOUBLINGS],
        }
    }
}

impl Tally {
    /// One came to its end after so long.
    pub fn add(&mut self, took: Duration, failures: u64) {
        self.count += 1;
        self.failures += failures;
        self.longest = self.longest.max(took);
        let step = ((took.as_secs_f64() * 1e6).max(1.0).log2() * STEPS) as usize;
        let last = self.histogram.len() - 1;
        self.histogram[step.min(last)] += 1;
    }

    /// The milliseconds within which this share of them came to their end; zero without any.
    pub fn within_ms(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (step, count) in self.histogram.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted && seen > 0 {
                return ((step + 1) as f64 / STEPS).exp2() / 1000.0;
            }
        }
        0.0
    }
}

/// Finds the longest time between two ends.
#[derive(Debug)]
pub struct Gaps(Instant);

impl Gaps {
    /// From now on.
    pub fn begin() -> Self {
        Gaps(Instant::now())
    }

    /// One came to its end at `now`: the time since the one before.
    pub fn end(&mut self, now: Instant) -> Duration {
        let before = std::mem::replace(&mut self.0, now);
        now.saturating_duration_since(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, latencies are reported that nobody had.
    #[test]
    fn quantiles_are_a_little_above_what_was_measured() {
        let mut tally = Tally::default();
        assert_eq!(tally.within_ms(0.5), 0.0);
        for millisecond in 1..=100 {
            tally.add(Duration::from_millis(millisecond), 0);
        }
        let (p50, p99) = (tally.within_ms(0.5), tally.within_ms(0.99));
        assert!((50.0..52.5).contains(&p50), "{p50}");
        assert!((99.0..103.5).contains(&p99), "{p99}");
        assert_eq!(tally.longest, Duration::from_millis(100));
        tally.add(Duration::ZERO, 3);
        tally.add(Duration::from_secs(10_000), 0);
        assert_eq!((tally.count, tally.failures), (102, 3));
    }

    // If this fails, a pause of the service is not seen.
    #[test]
    fn a_gap_is_the_time_between_two_ends() {
        let mut gaps = Gaps::begin();
        let begun = gaps.0;
        assert_eq!(gaps.end(begun + Duration::from_secs(1)).as_secs(), 1);
        assert_eq!(gaps.end(begun + Duration::from_secs(3)).as_secs(), 2);
    }
}
