//! How far the scrub of one replica is, and when the next one begins. Knows no clock and no file.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use store::Scrubbed;
use uuid::Uuid;
use wire::Lsn;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// How long a cycle may be, in milliseconds: about a month, never the same for two replicas for
/// long.
pub(super) const CYCLE_MS: RangeInclusive<u64> = 25 * DAY_MS..=35 * DAY_MS;

/// One replica's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// The replica; another one in the same folder begins anew.
    pub(super) replica: Uuid,
    /// When the pass that is under way began; none between two passes.
    pub(super) begun_ms: Option<u64>,
    /// What the pass has looked at.
    covered: Lsn,
    /// What was committed when it began: it ends there.
    upto: Lsn,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) findings: u64,
    pub(super) finished_ms: Option<u64>,
    pub(super) next_ms: u64,
}

impl Progress {
    /// A replica that was never scrubbed: its first pass begins at a random point of a cycle.
    pub(super) fn new(replica: Uuid, next_ms: u64) -> Progress {
        Progress {
            replica,
            begun_ms: None,
            covered: Lsn::ZERO,
            upto: Lsn::ZERO,
            records: 0,
            bytes: 0,
            findings: 0,
            finished_ms: None,
            next_ms,
        }
    }

    /// Whether something is to be read now. A clock that went back delays nothing for more than a
    /// cycle.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.begun_ms.is_some()
            || self.next_ms <= now_ms
            || self.next_ms > now_ms.saturating_add(*CYCLE_MS.end())
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.begun_ms.is_some()
    }

    /// For how long a pass has been under way, or due.
    pub(super) fn pending_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.begun_ms.unwrap_or(self.next_ms))
    }

    /// A pass over everything begins.
    pub(super) fn begin(&mut self, committed: Lsn, now_ms: u64) {
        *self = Progress {
            begun_ms: Some(now_ms),
            upto: committed,
            finished_ms: self.finished_ms,
            ..Progress::new(self.replica, self.next_ms)
        };
    }

    /// Where the next piece begins.
    pub(super) fn after(&self) -> Lsn {
        self.covered
    }

    /// A piece was read. Whether the pass is at its end.
    pub(super) fn advance(&mut self, piece: &Scrubbed) -> bool {
        self.covered = self.covered.max(piece.covered);
        self.records += piece.records;
        self.bytes += piece.bytes;
        self.findings += piece.damaged.len() as u64;
        self.covered >= self.upto
    }

    /// The pass is over; the next one begins a cycle after this one did.
    pub(super) fn finish(&mut self, now_ms: u64, cycle_ms: u64) {
        let begun = self.begun_ms.take().unwrap_or(now_ms);
        self.covered = self.covered.max(self.upto);
        self.finished_ms = Some(now_ms);
        self.next_ms = begun.saturating_add(cycle_ms).max(now_ms);
    }

    /// The share of the pass that is done, or of the last one.
    pub(super) fn share(&self) -> f64 {
        match (self.begun_ms, self.finished_ms) {
            (None, None) => 0.0,
            (None, Some(_)) => 1.0,
            (Some(_), _) if self.upto == Lsn::ZERO => 0.0,
            #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
            (Some(_), _) => (self.covered.0 as f64 / self.upto.0 as f64).min(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(covered: u64) -> Scrubbed {
        Scrubbed {
            covered: Lsn(covered),
            records: 10,
            bytes: 1000,
            damaged: vec![],
        }
    }

    // If this fails, contents are never read again, or all the time.
    #[test]
    fn a_pass_goes_over_everything_once_in_a_cycle() {
        let mut progress = Progress::new(Uuid::nil(), 500);
        assert!(!progress.is_due(499) && progress.is_due(500));
        assert_eq!(
            (progress.pending_ms(499), progress.pending_ms(520)),
            (0, 20)
        );
        assert!(progress.share() < 0.01);
        progress.begin(Lsn(100), 500);
        assert!(progress.is_due(501) && progress.is_under_way());
        assert_eq!(progress.pending_ms(530), 30);
        assert!(!progress.advance(&piece(50)));
        assert!((progress.share() - 0.5).abs() < 0.01);
        assert_eq!(progress.after(), Lsn(50));
        assert!(
            progress.advance(&piece(130)),
            "what came since is read, too"
        );
        progress.finish(900, DAY_MS);
        assert_eq!((progress.records, progress.bytes), (20, 2000));
        assert_eq!(progress.finished_ms, Some(900));
        assert!((progress.share() - 1.0).abs() < 0.01);
        assert!(!progress.is_due(DAY_MS + 499) && progress.is_due(DAY_MS + 500));

        progress.begin(Lsn(200), DAY_MS);
        assert_eq!((progress.after(), progress.records), (Lsn::ZERO, 0));
        assert_eq!(
            progress.finished_ms,
            Some(900),
            "the last one is not forgotten"
        );
    }

    // If this fails, a node whose clock was wrong once is not scrubbed for years.
    #[test]
    fn a_clock_that_was_ahead_delays_nothing() {
        let year = 365 * DAY_MS;
        let progress = Progress::new(Uuid::nil(), 20 * year);
        assert!(progress.is_due(year));
        assert!(!progress.is_due(20 * year - DAY_MS));
    }
}
