//! Changes that wait, and readers that do.

use std::time::{Duration, Instant};

use store::How;

use super::{Rig, SHARD, leading, mint};

impl Rig {
    /// Has a change wait for the disk while something else is done.
    async fn while_syncing<T>(&self, rest: impl AsyncFnOnce() -> T) -> T {
        self.faults.hold();
        let rest = async {
            let begun = Instant::now();
            while self.faults.waiting() == 0 {
                assert!(begun.elapsed() < Duration::from_secs(10), "in vain");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            rest().await
        };
        let (synced, done) = tokio::join!(self.put(mint(1), How::Create), rest);
        synced.expect("is committed");
        done
    }
}

// If this fails, some hundred readers who wait for a leader fill the queue of the disk thread within a
// moment, and every upload to every other shard is refused.
#[tokio::test]
async fn readers_who_wait_take_no_room_from_changes() {
    let (rig, _) = leading().await;
    let replica = rig.handle().table().replica(SHARD).expect("is led here");
    let change = async || {
        for _ in 0..10_000 {
            rig.handle().needs_commit(&replica);
        }
        let release = async { rig.faults.release() };
        tokio::join!(rig.put(mint(2), How::Create), release).0
    };
    let changed = rig.while_syncing(change).await;
    changed.expect("there is room for it");
    rig.stop();
}
