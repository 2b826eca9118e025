//! Which shard goes back to the replica that it is for, and when.
//!
//! One at a time: records are synced one after the other, here and there, and whoever writes to a shard
//! then waits for its own alone. It knows nothing of cores and logs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use replica::HANDOVER_MS_MAX;
use wire::ShardNo;

/// A replica that came back is in the set for so long before it leads again: one that comes and
/// goes does not move the leadership each time.
const STANDS_IN_MIN: Duration = Duration::from_secs(2);

/// A handover that is not over by then is given up.
const HANDOVER_TIME_MAX: Duration = Duration::from_millis(HANDOVER_MS_MAX);

/// The shards that this node leads for another.
#[derive(Debug, Default)]
pub(in crate::driver::disk) struct GoingBack {
    /// Since when the first replica could lead again.
    stands_in_since: BTreeMap<ShardNo, Instant>,
    /// The one that goes back just now, and since when.
    under_way: Option<(ShardNo, Instant)>,
}

impl GoingBack {
    /// The shard that goes back now: of those that could for long enough the one that could for the
    /// longest, so that none waits for others that fail again and again. To be asked at each tick, with
    /// all those whose first replica could lead; `leads` tells whether one is led here still.
    pub(super) fn next(
        &mut self,
        stands_in: &BTreeSet<ShardNo>,
        leads: impl FnOnce(ShardNo) -> bool,
        now: Instant,
    ) -> Option<ShardNo> {
        self.under_way
            .take_if(|(shard, since)| now >= *since + HANDOVER_TIME_MAX || !leads(*shard));
        let under_way = self.under_way.map(|(shard, _)| shard);
        // One that comes to nothing takes writes for as long before it is tried again.
        let counts = |shard: &ShardNo| stands_in.contains(shard) && under_way != Some(*shard);
        self.stands_in_since.retain(|shard, _| counts(shard));
        for shard in stands_in.iter().filter(|shard| counts(shard)) {
            self.stands_in_since.entry(*shard).or_insert(now);
        }
        if under_way.is_some() {
            return None;
        }
        let since = self.stands_in_since.iter();
        let due = since.filter(|(_, since)| now >= **since + STANDS_IN_MIN);
        let (shard, _) = due.min_by_key(|(_, since)| **since)?;
        let shard = *shard;
        self.stands_in_since.remove(&shard);
        self.under_way = Some((shard, now));
        Some(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

    /// A node that leads shards for others, tick by tick.
    struct Stage {
        going_back: GoingBack,
        stands_in: BTreeSet<ShardNo>,
        now: Instant,
    }

    impl Stage {
        fn new(shards: impl IntoIterator<Item = u16>) -> Stage {
            Stage {
                going_back: GoingBack::default(),
                stands_in: shards.into_iter().map(ShardNo).collect(),
                now: Instant::now(),
            }
        }

        fn tick(&mut self) -> Option<u16> {
            self.now += TICK;
            let stands_in = self.stands_in.clone();
            let leads = |shard| stands_in.contains(&shard);
            let next = self.going_back.next(&stands_in, leads, self.now);
            next.map(|shard| shard.0)
        }

        /// The next one that goes back, and after how many milliseconds.
        fn next(&mut self) -> (u16, u64) {
            let begun = self.now;
            let next = (0..1_000).find_map(|_| self.tick()).expect("one goes back");
            let after = self.now.duration_since(begun).as_millis();
            (next, u64::try_from(after).expect("a few"))
        }

        fn goes(&mut self, shard: u16) {
            self.stands_in.remove(&ShardNo(shard));
        }
    }

    // If this fails, a shard whose handover fails again and again keeps those behind it from going back,
    // or its own writers waiting all the time.
    #[test]
    fn shards_that_cannot_go_back_keep_none_waiting() {
        let mut stage = Stage::new(1..=4);
        let all: Vec<u16> = (0..8).map(|_| stage.next().0).collect();
        assert_eq!(all, [1, 2, 3, 4, 1, 2, 3, 4]);
        let mut alone = Stage::new([7]);
        assert_eq!(alone.next(), (7, 2_100), "two seconds from the first tick");
        assert_eq!(alone.next().1, 4_000, "two seconds after it was given up");
    }

    // If this fails, a drain takes seconds for each shard, or moves all of them at once.
    #[test]
    fn the_next_one_goes_when_the_one_before_is_gone() {
        let mut stage = Stage::new(1..=3);
        assert_eq!(stage.next().0, 1);
        assert_eq!(stage.tick(), None, "it is under way");
        for (gone, next) in [(1, 2), (2, 3)] {
            stage.goes(gone);
            assert_eq!(stage.next(), (next, 100));
        }
    }

    // If this fails, a shard goes back to a replica that came only just now, because another shard was on
    // its way while it was away.
    #[test]
    fn who_leaves_while_another_shard_is_under_way_waits_anew() {
        let mut stage = Stage::new(1..=3);
        assert_eq!(stage.next().0, 1);
        stage.goes(2);
        assert_eq!(stage.tick(), None);
        stage.stands_in.insert(ShardNo(2));
        stage.goes(1);
        assert_eq!(stage.next(), (3, 100));
        stage.goes(3);
        assert_eq!(stage.next(), (2, 2_000));
    }
}
