//! Damage that scrubs find and that is no content's: a leader's epoch, or a header that hides whose it
//! is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wire::{Lsn, ShardNo};

/// More than a disk that can be used at all should have; the next scrub finds the others again.
const HINTS_MAX: usize = 10_000;

/// Records to be written again. Clones are the same.
#[derive(Clone, Default)]
pub struct Hints(Arc<Mutex<BTreeSet<(ShardNo, Lsn)>>>);

impl Hints {
    /// A record is damaged, by the best guess of which it is.
    pub(crate) fn add(&self, shard: ShardNo, lsn: Lsn) {
        let mut hints = self.lock();
        if hints.len() < HINTS_MAX {
            hints.insert((shard, lsn));
        }
    }

    /// Those of one shard, in ascending order.
    pub(super) fn of(&self, shard: ShardNo) -> Vec<Lsn> {
        let hints = self.lock();
        let of_shard = hints.range((shard, Lsn::ZERO)..=(shard, Lsn(u64::MAX)));
        of_shard.map(|(_, lsn)| *lsn).collect()
    }

    /// It is written again, or cannot be.
    pub(super) fn done(&self, shard: ShardNo, lsn: Lsn) {
        self.lock().remove(&(shard, lsn));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(ShardNo, Lsn)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a damaged epoch stays damaged until the log is opened, and tells less then.
    #[test]
    fn each_shard_has_its_own() {
        let hints = Hints::default();
        for (shard, lsn) in [(1, 9), (1, 3), (2, 5), (1, 9)] {
            hints.add(ShardNo(shard), Lsn(lsn));
        }
        assert_eq!(hints.of(ShardNo(1)), [Lsn(3), Lsn(9)]);
        hints.done(ShardNo(1), Lsn(3));
        hints.done(ShardNo(1), Lsn(5));
        assert_eq!(hints.of(ShardNo(1)), [Lsn(9)]);
        assert_eq!(hints.of(ShardNo(2)), [Lsn(5)]);
        for lsn in 0..2 * HINTS_MAX as u64 {
            hints.add(ShardNo(3), Lsn(lsn));
        }
        assert!(
            hints.of(ShardNo(3)).len() <= HINTS_MAX,
            "the memory is bounded"
        );
    }
}
