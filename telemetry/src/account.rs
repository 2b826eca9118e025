//! How many spans wait for the collector, and how many were lost.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Spans that may wait: some 3 MB. When more come, the collector is away or slow, and they are lost.
pub(crate) const WAITING_MAX: u64 = 2_048;

/// A collector that is away is a line in the log so often.
const TELLING_PAUSE: Duration = Duration::from_secs(600);

/// Spans that wait and spans that were lost.
#[derive(Debug, Default)]
pub(crate) struct Account {
    waiting: AtomicU64,
    lost: AtomicU64,
    told: Mutex<Told>,
}

/// What the log says of losses.
#[derive(Debug, Default)]
struct Told {
    lost: u64,
    at: Option<Instant>,
    /// Why the last call failed, as the network has it.
    cause: Option<String>,
    /// Why the last of those was lost that the log does not know of; none when there was no room.
    reason: Option<String>,
}

/// What is to be said of losses: how many, and why.
type Loss = (u64, String);

impl Account {
    /// Whether one more span may wait; counts it as waiting or as lost.
    pub(crate) fn admit(&self) -> bool {
        let is_full = self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX;
        if is_full {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        !is_full
    }

    /// Why the call that is under way failed.
    pub(crate) fn failed(&self, cause: String) {
        self.lock().cause = Some(cause);
    }

    /// A batch waits no more: it was taken, or failed for good. After the end it counts no more.
    pub(crate) fn settled(&self, spans: usize, error: Option<String>) {
        let spans = u64::try_from(spans).expect("a batch is small");
        let less = |waiting: u64| Some(waiting.saturating_sub(spans));
        let order = Ordering::Relaxed;
        let before = self.waiting.fetch_update(order, order, less);
        if error.is_some() {
            let waiting = before.expect("there is always a next number");
            self.lost.fetch_add(spans.min(waiting), order);
        }
        log(self.due(Instant::now(), error));
    }

    /// What waits still is lost, and the log told of all that it does not know.
    pub(crate) fn close(&self) {
        let waiting = self.waiting.swap(0, Ordering::Relaxed);
        self.lost.fetch_add(waiting, Ordering::Relaxed);
        self.lock().at = None;
        let slow = (waiting > 0).then(|| "there was no time left".to_owned());
        log(self.due(Instant::now(), slow));
    }

    /// What the log is to be told now.
    fn due(&self, now: Instant, error: Option<String>) -> Option<Loss> {
        let lost = self.lost.load(Ordering::Relaxed);
        let mut told = self.lock();
        let cause = told.cause.take();
        if let Some(error) = error {
            told.reason = Some(cause.unwrap_or(error));
        }
        let is_early = told
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < TELLING_PAUSE);
        if lost == told.lost || is_early {
            return None;
        }
        told.at = Some(now);
        let untold = lost - mem::replace(&mut told.lost, lost);
        let reason = told.reason.take();
        Some((untold, reason.unwrap_or_else(|| "too many".to_owned())))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn counts(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        (count(&self.waiting), count(&self.lost))
    }
}

fn log(loss: Option<Loss>) {
    if let Some((spans, reason)) = loss {
        tracing::warn!(spans, reason, "spans of traces were not exported");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a collector that is away fills a service's memory.
    #[test]
    fn no_more_wait_than_may() {
        let account = Account::default();
        let admitted = (0..WAITING_MAX + 10).filter(|_| account.admit()).count();
        assert_eq!(account.counts(), (WAITING_MAX, 10));
        account.settled(admitted, None);
        assert_eq!(account.counts(), (0, 10));
        assert!(account.admit());
        account.close();
        account.settled(1, Some("too late".to_owned()));
        assert_eq!(account.counts(), (0, 11), "is lost once");
    }

    // If this fails, a collector that is away floods the log, or nobody is told of what is missing.
    #[test]
    fn losses_are_told_once_in_a_while_and_completely() {
        let account = Account::default();
        let refused = || Some("network error".to_owned());
        let begun = Instant::now();
        assert_eq!(account.due(begun, refused()), None, "nothing is lost");
        account.lost.store(5, Ordering::Relaxed);
        account.failed("connection refused".to_owned());
        let first = (5, "connection refused".to_owned());
        assert_eq!(account.due(begun, refused()), Some(first));
        account.lost.store(7, Ordering::Relaxed);
        assert_eq!(account.due(begun + TELLING_PAUSE / 2, refused()), None);
        let second = (2, "network error".to_owned());
        assert_eq!(account.due(begun + TELLING_PAUSE, refused()), Some(second));
        account.lost.store(8, Ordering::Relaxed);
        let third = (1, "too many".to_owned());
        assert_eq!(account.due(begun + TELLING_PAUSE * 2, None), Some(third));
        // Lost while the log says nothing: when it speaks again, the collector is back.
        account.lost.store(9, Ordering::Relaxed);
        assert_eq!(account.due(begun + TELLING_PAUSE * 2, refused()), None);
        let fourth = (1, "network error".to_owned());
        assert_eq!(account.due(begun + TELLING_PAUSE * 3, None), Some(fourth));
    }
}
