//! How slowly a body may come.

use std::time::Duration;

/// How long a body may be waited for beside what its bytes earn: the start of a connection, and one
/// that loses packets.
const GRACE: Duration = Duration::from_secs(10);

/// The fewest bytes a second, over a whole body: a tenth of the slowest modem that people still have.
const BYTES_PER_S_MIN: u64 = 1024;

/// The longest silence, whatever came before: who vanished without a word holds an upload so long.
/// Programs that write into a pipe pause for minutes, while they compress or ask a database.
const SILENCE_MAX: Duration = Duration::from_secs(5 * 60);

/// Judges a body by what came of it in the time that it was waited for. Time in which nobody waited for
/// the body, because the disk was slower, does not count.
///
/// Each byte earns time, so that who sent much may pause. That costs no more than judging every moment
/// for itself: who wants to hold an upload has to send [`BYTES_PER_S_MIN`] either way.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    received: u64,
    silent: Duration,
}

/// The body came slower than it may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

impl Pace {
    /// For how long the body may be waited for now.
    pub(super) fn patience(&self) -> Duration {
        let silence = SILENCE_MAX.saturating_sub(self.silent);
        self.earned().saturating_sub(self.waited).min(silence)
    }

    /// Notes that `bytes` came after waiting for them, or that none did.
    pub(super) fn came(&mut self, bytes: usize, waited: Duration) -> Result<(), TooSlow> {
        self.received += bytes as u64;
        self.waited += waited;
        self.silent = match bytes {
            0 => self.silent + waited,
            _ => Duration::ZERO,
        };
        if self.patience() > Duration::ZERO {
            Ok(())
        } else {
            Err(TooSlow)
        }
    }

    fn earned(&self) -> Duration {
        let (bytes, rate) = (self.received, BYTES_PER_S_MIN);
        let rest = Duration::from_millis(bytes % rate * 1000 / rate);
        GRACE + Duration::from_secs(bytes / rate) + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    // If this fails, senders that stall keep their connections, and our memory, for ever.
    #[test]
    fn a_body_that_stalls_is_cut_off() {
        let mut pace = Pace::default();
        assert_eq!(pace.came(100, SECOND), Ok(()));
        assert!(pace.patience() < GRACE);
        assert_eq!(pace.came(0, pace.patience()), Err(TooSlow), "at its start");
        let mut pace = Pace::default();
        assert_eq!(pace.came(1 << 40, SECOND), Ok(()));
        assert_eq!(pace.patience(), SILENCE_MAX);
        assert_eq!(pace.came(0, SILENCE_MAX - SECOND), Ok(()));
        assert_eq!(pace.patience(), SECOND);
        assert_eq!(pace.came(0, SECOND), Err(TooSlow), "in its middle");
    }

    // If this fails, `slow-program | client upload -` is cut off at its first pause.
    #[test]
    fn what_was_sent_earns_pauses() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.came(256 * 1024, SECOND), Ok(()));
            assert_eq!(pace.came(0, 240 * SECOND), Ok(()));
        }
    }

    // If this fails, a slow line cannot upload at all, or one slower than any holds an upload for long.
    #[test]
    fn the_minimum_rate_is_enough() {
        let mut pace = Pace::default();
        for _ in 0..10_000 {
            assert_eq!(pace.came(1024, SECOND), Ok(()));
        }
        let mut pace = Pace::default();
        let seconds = (0..100).take_while(|_| pace.came(512, SECOND).is_ok());
        assert_eq!(seconds.count(), 19);
    }

    // If this fails, a slow disk of ours is blamed on the sender.
    #[test]
    fn only_waiting_for_the_body_counts() {
        let mut pace = Pace::default();
        for _ in 0..1000 {
            assert_eq!(pace.came(1, Duration::ZERO), Ok(()));
        }
        assert!(pace.patience() >= GRACE);
    }
}
