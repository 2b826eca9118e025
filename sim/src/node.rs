//! A node: what is on its disk, and the process that runs on it, if one does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use replica::{Core, EpochStart, LogState};
use store::disk::simulated::SimulatedDisk;
use store::{Cursor, Geometry, Store, SyncJob};
use uuid::Uuid;
use wire::shard::ShardRecord;
use wire::{ContentId, Epoch, Lsn, NodeName, ShardNo};

use crate::judge::State;

/// Small enough that a schedule fills several segments.
pub(crate) const GEOMETRY: Geometry = Geometry {
    segment_bytes: 6 << 10,
    allocate_bytes: 4 << 10,
    reserve_bytes: 2 << 10,
};

/// What a node keeps of a replica across its processes.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) replica: Uuid,
    pub(crate) log: u64,
    /// The persisted shard record.
    pub(crate) record: Option<ShardRecord>,
    /// Counts how often the log began anew.
    pub(crate) round: u32,
    pub(crate) consistent_from: Option<Lsn>,
    /// Bits of it were flipped.
    pub(crate) is_rotten: bool,
    /// What the simulator knows of the log: each record's epoch and birth.
    pub(crate) shadow: BTreeMap<u64, (Epoch, u64)>,
    /// How far the log is durable.
    pub(crate) synced: u64,
    /// How far it was committed here.
    pub(crate) committed: u64,
}

impl Held {
    pub(crate) fn dir(&self, shard: ShardNo) -> PathBuf {
        PathBuf::from(format!("/{shard}-{}-{}", self.replica, self.round))
    }
}

/// Records on their way to a follower.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) cursor: Cursor,
    /// What was sent so far.
    pub(crate) sent: Lsn,
    pub(crate) epoch: Epoch,
    pub(crate) attempt: u64,
    /// It came to a damaged record: without it nothing may follow.
    pub(crate) is_stuck: bool,
}

/// A client that waits for its change to be committed.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) operation: u64,
    pub(crate) lsn: Lsn,
    pub(crate) epoch: Epoch,
    pub(crate) id: ContentId,
    pub(crate) state: State,
}

/// A replica in a running process.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) core: Core,
    pub(crate) store: Store,
    pub(crate) job: Option<SyncJob>,
    pub(crate) streams: BTreeMap<usize, Stream>,
    pub(crate) waiting: Vec<Waiting>,
    /// Since when it has led for a replica that could lead itself.
    pub(crate) stands_in_since_ms: Option<u64>,
}

impl Live {
    /// The log as the core looks at it.
    pub(crate) fn log_state(store: &Store, consistent_from: Option<Lsn>) -> LogState {
        let positions = store.positions();
        let epochs = store.epochs().iter().map(|start| EpochStart {
            epoch: start.epoch,
            first: start.first,
        });
        LogState {
            appended: positions.appended,
            synced: positions.synced,
            committed: positions.committed,
            horizon: positions.horizon,
            epochs: epochs.collect(),
            consistent_from,
        }
    }

    /// The header checksum of the record at an lsn.
    pub(crate) fn checksum_at(&self, lsn: Lsn) -> Option<u32> {
        let mut cursor = self.store.reader().records(lsn.previous());
        let record = cursor.next_record().ok()??;
        (record.head.lsn == lsn).then(|| record.checksum())
    }
}

/// A machine with its disk.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeName,
    pub(crate) disk: SimulatedDisk,
    pub(crate) held: BTreeMap<ShardNo, Held>,
    pub(crate) live: BTreeMap<ShardNo, Live>,
    /// Counts processes; what was meant for an earlier one is dropped.
    pub(crate) process: u64,
    pub(crate) incarnation: Uuid,
    /// When its process began: its clock, which no other node knows, counts from then.
    pub(crate) started_ms: u64,
    pub(crate) up: bool,
    pub(crate) paused_until_ms: u64,
    /// No distributor can be reached before this time.
    pub(crate) cut_off_until_ms: u64,
    pub(crate) offer: Uuid,
}
