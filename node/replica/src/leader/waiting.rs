//! How long the oldest record that is not durable somewhere waits for it.

use wire::Lsn;

use crate::ACK_AGE_MS_MAX;

/// A record that is not durable yet, and since when it waits; none while all are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting(Option<(Lsn, u64)>);

impl Waiting {
    /// Waits for all up to `end`, unless something is waited for already: who begins again and again
    /// is late all the same.
    pub(super) fn begin(&mut self, end: Lsn, now_ms: u64) {
        self.0.get_or_insert((end, now_ms));
    }

    /// The log ends at `end`, and is durable up to `durable`.
    pub(super) fn moved(&mut self, durable: Lsn, end: Lsn, now_ms: u64) {
        if self.0.is_none_or(|(lsn, _)| durable >= lsn) {
            self.0 = (end > durable).then_some((end, now_ms));
        }
    }

    /// Whether it has waited for too long.
    pub(super) fn is_late(&self, now_ms: u64) -> bool {
        self.0
            .is_some_and(|(_, since)| now_ms >= since + ACK_AGE_MS_MAX)
    }
}
