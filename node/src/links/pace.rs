//! How fast followers that catch up may be served, so that requests keep the disk and the network.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// One rate for a whole node.
#[derive(Debug)]
pub struct Pace {
    /// 0 for no bound.
    bytes_per_s: AtomicU64,
    /// When what was let through so far is through.
    free_at: Mutex<Instant>,
    /// Wakes those who wait by an earlier rate.
    set_again: Notify,
}

impl Pace {
    /// A rate in bytes a second; none for no bound.
    pub fn new(bytes_per_s: Option<u64>) -> Pace {
        Pace {
            bytes_per_s: AtomicU64::new(bytes_per_s.unwrap_or(0)),
            free_at: Mutex::new(Instant::now()),
            set_again: Notify::new(),
        }
    }

    /// Another rate from the next bytes on; what was let through before holds nothing up any more.
    pub fn set(&self, bytes_per_s: Option<u64>) {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = bytes_per_s.unwrap_or(0);
        self.bytes_per_s.store(rate, Ordering::Relaxed);
        *free_at = Instant::now();
        drop(free_at);
        self.set_again.notify_waiters();
    }

    /// Waits as long as so many bytes take, before the next are sent; with another rate, no longer.
    pub(super) async fn pause(&self, bytes: usize) {
        let set_again = self.set_again.notified();
        let pause = self.pause_after(bytes, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = set_again => {}
        }
    }

    /// How long to wait after so many bytes.
    fn pause_after(&self, bytes: usize, now: Instant) -> Duration {
        let rate = self.bytes_per_s.load(Ordering::Relaxed);
        if rate == 0 {
            return Duration::ZERO;
        }
        let takes = Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate);
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

    // If this fails, a rate that was too low holds copies up for hours after it was raised.
    #[test]
    fn another_rate_counts_at_once() {
        let pace = Pace::new(Some(1));
        let now = Instant::now();
        assert_eq!(pace.pause_after(3600, now), Duration::from_secs(3600));
        pace.set(Some(1000));
        let later = Instant::now();
        assert_eq!(pace.pause_after(500, later), Duration::from_millis(500));
        pace.set(None);
        assert_eq!(pace.pause_after(1 << 30, later), Duration::ZERO);
    }

    // If this fails, whoever waits already waits for hours all the same.
    #[tokio::test(start_paused = true)]
    async fn another_rate_ends_pauses() {
        let pace = Pace::new(Some(1));
        let begun = tokio::time::Instant::now();
        let set_later = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.set(Some(1000));
        };
        tokio::join!(pace.pause(3_600), pace.pause(3_600), set_later);
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        pace.pause(500).await;
        let waited = begun.elapsed().as_millis();
        assert!((1_490..=1_510).contains(&waited), "{waited}");
    }
}
