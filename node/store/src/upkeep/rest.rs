//! Chores that came to nothing rest before they are tried again: a full disk stays full for longer
//! than a round of the log.

/// The first rest, in milliseconds. Each failure doubles it.
const REST_MS_MIN: u64 = 1_000;

/// The longest one: soon enough for whoever waits for space that somebody else has just freed.
const REST_MS_MAX: u64 = 8_000;

/// The longest one of what a disk that fails has to be asked for, which may be slow to refuse.
const LONG_REST_MS_MAX: u64 = 256_000;

/// The rest of one sort of chores.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// In a row.
    failures: u32,
    /// None until somebody asked for the next chore.
    until_ms: Option<u64>,
}

impl Rest {
    /// A chore has ended.
    pub(super) fn note(&mut self, is_well: bool) {
        self.failures = if is_well {
            0
        } else {
            self.failures.saturating_add(1)
        };
        self.until_ms = None;
    }

    /// Whether the next one may begin. A clock that went back makes no rest longer.
    pub(super) fn is_over(&mut self, now_ms: u64) -> bool {
        self.is_over_of(now_ms, REST_MS_MAX)
    }

    /// As [`Rest::is_over`], of a rest that grows for longer.
    pub(super) fn is_long_over(&mut self, now_ms: u64) -> bool {
        self.is_over_of(now_ms, LONG_REST_MS_MAX)
    }

    fn is_over_of(&mut self, now_ms: u64, longest_ms: u64) -> bool {
        let Some(before) = self.failures.checked_sub(1) else {
            return true;
        };
        let rest_ms = (REST_MS_MIN << before.min(8)).min(longest_ms);
        let until_ms = *self.until_ms.get_or_insert(now_ms.saturating_add(rest_ms));
        now_ms >= until_ms || until_ms - now_ms > rest_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a full disk is asked for space without end, or never again.
    #[test]
    fn each_failure_in_a_row_is_followed_by_a_longer_rest() {
        let mut rest = Rest::default();
        assert!(rest.is_over(0));
        let mut now_ms = 100;
        for expected in [1_000, 2_000, 4_000, 8_000, 8_000, 8_000] {
            rest.note(false);
            assert!(!rest.is_over(now_ms));
            assert!(!rest.is_over(now_ms + expected - 1));
            now_ms += expected;
            assert!(rest.is_over(now_ms) && rest.is_over(now_ms + 1));
        }
        rest.note(true);
        assert!(rest.is_over(0));
        rest.note(false);
        assert!(!rest.is_over(now_ms) && rest.is_over(now_ms + 1_000));
    }

    // If this fails, a disk that cannot read a sector for days is asked for it every few seconds.
    #[test]
    fn a_long_rest_grows_for_longer() {
        let mut rest = Rest::default();
        for _ in 0..20 {
            rest.note(false);
        }
        assert!(!rest.is_long_over(0) && !rest.is_long_over(255_999));
        assert!(rest.is_long_over(256_000));
    }

    // If this fails, a clock that is set back ends the giving back of space.
    #[test]
    fn a_clock_that_goes_back_makes_no_rest_longer() {
        let mut rest = Rest::default();
        rest.note(false);
        assert!(!rest.is_over(1_000_000));
        assert!(rest.is_over(5));
    }
}
