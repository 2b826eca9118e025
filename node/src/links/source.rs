//! What the senders of a replica's records share with the disk thread.

use std::sync::atomic::{AtomicU64, Ordering};

use store::Reader;
use wire::{Lsn, ShardNo};

use super::tail::Tail;

/// One replica's log, as it is sent to followers.
#[derive(Debug)]
pub struct Source {
    pub(super) shard: ShardNo,
    pub(super) reader: Reader,
    /// The log's end in memory.
    pub(crate) tail: Tail,
    committed: AtomicU64,
}

impl Source {
    /// The source of a log that ends at `end`.
    pub(crate) fn new(shard: ShardNo, reader: Reader, end: Lsn) -> Source {
        let tail = Tail::default();
        tail.begin(end);
        Source {
            shard,
            reader,
            tail,
            committed: AtomicU64::new(0),
        }
    }

    /// What the packets to come say of the commit.
    pub(crate) fn set_committed(&self, committed: Lsn) {
        self.committed.store(committed.0, Ordering::Release);
    }

    pub(super) fn committed(&self) -> Lsn {
        Lsn(self.committed.load(Ordering::Acquire))
    }
}
