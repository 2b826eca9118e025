//! How slowly a body may come.

use std::time::Duration;

/// How long a sender is looked at before it is judged. Long enough for a connection that loses
/// packets, and what a stalled one costs at most twice over.
const WINDOW: Duration = Duration::from_secs(5);

/// The fewest bytes of a window: 1 KiB/s, a tenth of the slowest modem that people still have.
const WINDOW_BYTES_MIN: u64 = 5 * 1024;

/// Judges a body by what came in each window of waiting for it. Time in which nobody waited for
/// the body, because the disk was slower, does not count. The first window is free: it holds the
/// start of the connection.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    received: u64,
    windows: u32,
}

/// The body came slower than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Pace {
    /// For how long the body may be waited for now.
    pub(super) fn patience(&self) -> Duration {
        WINDOW.saturating_sub(self.waited)
    }

    /// Notes that `bytes` came after waiting for them, or that none did.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.received += bytes as u64;
        self.waited += waited;
        if self.waited < WINDOW {
            return Ok(());
        }
        let enough = self.received >= WINDOW_BYTES_MIN || self.windows == 0;
        *self = Pace {
            waited: Duration::ZERO,
            received: 0,
            windows: self.windows + 1,
        };
        if enough { Ok(()) } else { Err(TooSlow) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // If this fails, senders that stall keep their connections, and our memory, for ever.
    #[test]
    fn a_stalled_body_is_cut_off_in_its_second_window() {
        let mut pace = Pace::default();
        assert_eq!(pace.came(100_000, SECOND), Ok(()));
        assert_eq!(pace.patience(), 4 * SECOND);
        assert_eq!(pace.came(0, pace.patience()), Ok(()));
        assert_eq!(pace.came(0, pace.patience()), Err(TooSlow));
    }

    // If this fails, a slow line cannot upload at all.
    #[test]
    fn the_minimum_rate_is_enough() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.came(1024, SECOND), Ok(()));
        }
        let results: Vec<_> = (0..5).map(|_| pace.came(1023, SECOND)).collect();
        assert_eq!(results[4], Err(TooSlow));
    }

    // If this fails, a slow disk of ours is blamed on the sender.
    #[test]
    fn only_waiting_for_the_body_counts() {
        let mut pace = Pace::default();
        for _ in 0..1000 {
            assert_eq!(pace.came(1, Duration::ZERO), Ok(()));
        }
        assert_eq!(pace.patience(), WINDOW);
    }
}
