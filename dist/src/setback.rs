//! Whether the catalog went back in time while this distributor ran: pure.
//!
//! A database that is put back to a backup, or fails over to a standby that was behind, says nothing
//! of it. A leader that has nothing new to list would not notice either.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use wire::{Lsn, Position, ShardNo};

type Positions = BTreeMap<ShardNo, Position>;

/// What was seen of the catalog's positions.
pub(crate) struct Setbacks {
    session: Duration,
    /// As they were read last.
    seen: Positions,
    read_at: Instant,
    /// Positions that leaders may not know yet, and since when.
    in_doubt: Option<(Instant, Positions)>,
}

impl Setbacks {
    /// At the start nobody knows what happened before.
    pub(crate) fn new(session: Duration, begun: Positions, now: Instant) -> Self {
        Setbacks {
            session,
            seen: begun.clone(),
            read_at: now,
            in_doubt: Some((now, begun)),
        }
    }

    /// Whether the positions should be read again.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.read_at) >= self.session
    }

    /// Takes the positions as they are now; true when one of them is lower than it was.
    pub(crate) fn read(&mut self, positions: Positions, now: Instant) -> bool {
        let is_lower = |(shard, before): (&ShardNo, &Position)| {
            let now = positions.get(shard).copied().unwrap_or_default();
            // An unclean recovery has all of an epoch listed again.
            let is_recovered = now.lsn == Lsn::ZERO && now.epoch == before.epoch;
            now < *before && !is_recovered
        };
        let went_back = self.seen.iter().any(is_lower);
        if went_back {
            self.in_doubt = Some((now, positions.clone()));
        }
        self.seen = positions;
        self.read_at = now;
        went_back
    }

    /// What was in doubt a session ago: by now every leader that has something to list has asked.
    pub(crate) fn to_compare(&self, now: Instant) -> Option<&Positions> {
        let (since, positions) = self.in_doubt.as_ref()?;
        let is_over = now.saturating_duration_since(*since) >= self.session;
        is_over.then_some(positions)
    }

    /// All leaders know where the catalog is.
    pub(crate) fn settle(&mut self) {
        self.in_doubt = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Epoch;

    const SESSION: Duration = Duration::from_secs(3);

    fn positions(of: &[(u16, u64, u64)]) -> Positions {
        let position = |&(shard, epoch, lsn)| {
            let (epoch, lsn) = (Epoch(epoch), Lsn(lsn));
            (ShardNo(shard), Position { epoch, lsn })
        };
        of.iter().map(position).collect()
    }

    // If this fails, a backup that was put back while the distributor ran is taken for the present.
    #[test]
    fn positions_that_fall_are_compared_a_session_later() {
        let start = Instant::now();
        let at = |sessions: u32| start + SESSION * sessions;
        let mut setbacks = Setbacks::new(SESSION, positions(&[(1, 1, 5)]), start);
        assert!(setbacks.to_compare(start).is_none());
        assert_eq!(setbacks.to_compare(at(1)), Some(&positions(&[(1, 1, 5)])));
        setbacks.settle();
        assert!(!setbacks.is_due(start) && setbacks.is_due(at(1)));
        assert!(!setbacks.read(positions(&[(1, 1, 9), (2, 1, 1)]), at(1)));
        assert!(!setbacks.is_due(at(1)) && setbacks.to_compare(at(9)).is_none());
        assert!(setbacks.read(positions(&[(1, 1, 8), (2, 1, 1)]), at(2)));
        assert!(setbacks.to_compare(at(2)).is_none());
        let found = positions(&[(1, 1, 8), (2, 1, 1)]);
        assert_eq!(setbacks.to_compare(at(3)), Some(&found));
        setbacks.settle();
        assert!(!setbacks.read(found, at(4)), "it was told already");
    }

    // If this fails, an operator who recovered a shard is told that the catalog was put back to a backup.
    #[test]
    fn an_epoch_that_is_listed_anew_is_no_setback() {
        let start = Instant::now();
        let mut setbacks = Setbacks::new(SESSION, positions(&[(1, 3, 5), (2, 1, 1)]), start);
        assert!(!setbacks.read(positions(&[(1, 3, 0), (2, 1, 1)]), start));
        assert!(setbacks.read(positions(&[(1, 2, 0), (2, 1, 1)]), start));
    }

    // If this fails, a shard that was made after the backup stays unlisted, or a new epoch alarms.
    #[test]
    fn a_missing_row_is_a_setback_and_a_new_epoch_is_none() {
        let start = Instant::now();
        let mut setbacks = Setbacks::new(SESSION, positions(&[(1, 1, 5), (2, 1, 1)]), start);
        assert!(!setbacks.read(positions(&[(1, 2, 4), (2, 1, 1)]), start));
        assert!(setbacks.read(positions(&[(1, 2, 4)]), start));
    }
}
