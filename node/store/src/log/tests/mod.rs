//! The rules of the log itself, on records that tell nothing.

mod account;
mod append;
mod marker;
mod prefill;
mod room;
mod sync;
mod truncate;

use std::sync::Arc;

use bytes::Bytes;
use wire::{Epoch, Lsn, Position};

use super::recovery::{Opening, Recovery};
use super::{Log, Room};
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::geometry::Geometry;
use crate::poison::AppendError;
use crate::record::{Head, Kind, Payload, Record};
use crate::segment::entry::Entry;
use crate::stage::{GEOMETRY, LOG, NOW_MS, body, dir, empty_disk, entries};

/// Room for buffers and several of them.
const WIDE: Geometry = Geometry {
    segment_bytes: 16 << 20,
    allocate_bytes: 1 << 20,
    reserve_bytes: 16 << 10,
};

/// A log, and the disk under it.
struct Bench {
    disk: SimulatedDisk,
    log: Log,
}

/// A record of this lsn in this epoch.
fn record(epoch: u64, lsn: u64, payload: Bytes) -> Record {
    let head = Head {
        kind: Kind::Put,
        log: LOG,
        lsn: Lsn(lsn),
        epoch: Epoch(epoch),
        commit: Lsn::ZERO,
        id: [lsn as u8; 16],
        version: 1,
        upload: Lsn::ZERO,
        offset: 0,
        size: payload.len() as u64,
        payload_bytes: 0,
        time_ms: NOW_MS,
        supersedes: Lsn::ZERO,
        metadata_bytes: 0,
    };
    Record::new(head, b"", Payload::new(payload))
}

fn open(disk: &SimulatedDisk, geometry: Geometry) -> (Log, Recovery) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opening = Opening {
        disk: &disk,
        dir: dir(),
        geometry,
        log: LOG,
    };
    let opened = opening.open(&mut |_, _, _, _| Ok(()));
    opened.expect("the log can be opened")
}

impl Bench {
    fn new() -> Bench {
        Self::of(GEOMETRY)
    }

    fn of(geometry: Geometry) -> Bench {
        let disk = empty_disk();
        let (log, _) = open(&disk, geometry);
        Bench { disk, log }
    }

    /// Appends the next record, of this length.
    fn try_append(&mut self, length: usize, room: Room) -> Result<Entry, AppendError> {
        let Position { epoch, lsn } = self.log.appended();
        let lsn = lsn.next().0;
        let record = record(epoch.0.max(1), lsn, body(lsn, length));
        self.log.append(&record, room).map(|(_, entry)| entry)
    }

    fn append(&mut self, length: usize) -> Entry {
        self.try_append(length, Room::Content)
            .expect("there is room")
    }

    fn sync(&mut self) -> Lsn {
        let job = self.log.flush().expect("a healthy disk");
        let job = job.expect("something is unsynced");
        self.log.finish_sync(job.run()).expect("a healthy disk")
    }

    /// The lsns in the log's files.
    fn written(&self) -> Vec<u64> {
        let states = self.log.segments.iter();
        states
            .flat_map(|state| entries(&*state.segment.file))
            .map(|entry| entry.lsn.0)
            .collect()
    }

    /// The lsns that are left after a power loss, over several possibilities: at least, at most.
    fn left_after_power_loss(&self) -> (usize, usize) {
        let left = (0..40).map(|seed| {
            let (log, _) = open(&self.disk.crash(seed), self.log.geometry);
            let lsns = log.segments.iter();
            lsns.flat_map(|state| entries(&*state.segment.file)).count()
        });
        left.fold((usize::MAX, 0), |(low, high), n| (low.min(n), high.max(n)))
    }
}
