//! How far work is that the cluster does by itself.

use std::time::{Duration, Instant};

use crate::ui::human;

/// Bytes done, and bytes left.
pub(super) struct Progress {
    begun: Instant,
    /// The most that was ever left: shards grow while they are moved.
    most: u64,
    left: u64,
}

impl Progress {
    /// Work of so many bytes begins.
    pub(super) fn new(left: u64, begun: Instant) -> Progress {
        Progress {
            begun,
            most: left,
            left,
        }
    }

    /// So many are left. Gives back how many are done, and of how many.
    pub(super) fn look(&mut self, left: u64) -> (u64, u64) {
        self.most = self.most.max(left);
        self.left = left;
        (self.most - self.left, self.most)
    }

    /// How long it goes on at the rate so far; none before anything is done.
    fn estimate(&self, now: Instant) -> Option<Duration> {
        let done = self.most - self.left;
        let spent = now.saturating_duration_since(self.begun).as_secs_f64();
        let left = spent * self.left as f64 / done as f64;
        Duration::try_from_secs_f64(left).ok().filter(|_| done > 0)
    }

    /// The estimate as the end of a sentence; empty before anything is done.
    pub(super) fn estimate_in_words(&self, now: Instant) -> String {
        self.estimate(now).map_or_else(String::new, |time| {
            format!(", about {} more", human::duration(time))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the estimate is nonsense, or the first one ends the program.
    #[test]
    fn the_estimate_follows_the_rate() {
        let begun = Instant::now();
        let mut progress = Progress::new(100, begun);
        let later = begun + Duration::from_secs(10);
        assert_eq!(progress.estimate_in_words(later), "");
        assert_eq!(progress.look(150), (0, 150), "it grew");
        assert_eq!(progress.look(100), (50, 150));
        assert_eq!(progress.estimate(later), Some(Duration::from_secs(20)));
        assert_eq!(progress.estimate_in_words(later), ", about 20 s more");
    }
}
