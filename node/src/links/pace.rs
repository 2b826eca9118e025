//! How fast followers that catch up may be served, so that requests keep the disk and the network.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// One rate for a whole node.
#[derive(Debug)]
pub struct Pace {
    bytes_per_s: Option<u64>,
    /// When what was let through so far is through.
    free_at: Mutex<Instant>,
}

impl Pace {
    /// A rate in bytes a second; none for no bound.
    pub fn new(bytes_per_s: Option<u64>) -> Pace {
        Pace {
            bytes_per_s,
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// How long to wait after so many bytes, before the next are sent.
    pub(super) fn pause_after(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_s else {
            return Duration::ZERO;
        };
        let takes = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1));
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(now) + takes;
        free_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a node that comes back takes the network from everyone who reads.
    #[test]
    fn those_who_catch_up_share_one_rate() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        assert_eq!(pace.pause_after(500, now), Duration::from_millis(500));
        assert_eq!(pace.pause_after(500, now), Duration::from_secs(1));
        let later = now + Duration::from_secs(10);
        assert_eq!(pace.pause_after(100, later), Duration::from_millis(100));
        assert_eq!(Pace::new(None).pause_after(1 << 30, now), Duration::ZERO);
    }
}
