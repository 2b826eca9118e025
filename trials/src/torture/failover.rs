//! How long the load waits for a leader that was killed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use wire::ShardNo;

/// Shards whose leader was killed, and how long it took until another change was acknowledged.
#[derive(Debug, Default)]
pub struct Failovers(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    waiting: Vec<(ShardNo, Instant)>,
    taken: Vec<Duration>,
    unseen: u64,
}

/// The times of many failovers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many were seen.
    pub count: u64,
    /// How many were not: nobody changed anything in the shard before the next fault.
    pub unseen: u64,
    /// The middle one.
    pub p50: Duration,
    /// Of a hundred, one took longer.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

impl Failovers {
    /// The leader of this shard was killed just now.
    pub fn begin(&self, shard: ShardNo) {
        self.watched().waiting.push((shard, Instant::now()));
    }

    /// A change was acknowledged that was sent at `sent`.
    pub fn acknowledged(&self, shard: ShardNo, sent: Instant) {
        let mut watched = self.watched();
        let Watched { waiting, taken, .. } = &mut *watched;
        waiting.retain(|(lost, since)| {
            let is_over = *lost == shard && sent > *since;
            if is_over {
                taken.push(since.elapsed());
            }
            !is_over
        });
    }

    /// Another fault begins: what was not seen until now does not count.
    pub fn give_up(&self) {
        let mut watched = self.watched();
        watched.unseen += watched.waiting.len() as u64;
        watched.waiting.clear();
    }

    /// All of them until now.
    pub fn times(&self) -> Times {
        let mut watched = self.watched();
        watched.taken.sort_unstable();
        let at = |share: f64| {
            let last = watched.taken.len().saturating_sub(1);
            let place = (last as f64 * share).ceil() as usize;
            watched.taken.get(place).copied().unwrap_or_default()
        };
        Times {
            count: watched.taken.len() as u64,
            unseen: watched.unseen,
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the report tells operators of failovers that are faster than what they will see.
    #[test]
    fn only_what_was_sent_after_the_kill_ends_a_failover() {
        let failovers = Failovers::default();
        let early = Instant::now();
        failovers.begin(ShardNo(1));
        failovers.begin(ShardNo(2));
        failovers.acknowledged(ShardNo(1), early);
        assert_eq!(failovers.times().count, 0);
        failovers.acknowledged(ShardNo(1), Instant::now() + Duration::from_secs(1));
        failovers.give_up();
        failovers.acknowledged(ShardNo(2), Instant::now());
        let times = failovers.times();
        assert_eq!((times.count, times.unseen), (1, 1));
        assert!(times.max > Duration::ZERO && times.p50 == times.max);
    }
}
