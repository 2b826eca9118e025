//! The end of a leader's log in memory: what followers need next, without reading it back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use store::Record;
use wire::Lsn;

/// What is kept of each log: more than the followers of a set lag behind, so that only those that
/// catch up read the disk.
const KEPT_BYTES_MAX: usize = 24 << 20;

/// The last records of one log, in order and without gaps.
#[derive(Debug, Default)]
pub(crate) struct Tail(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    end: Lsn,
}

/// What follows a position.
#[derive(Debug)]
pub(super) enum After {
    /// These records.
    Records(Vec<Arc<Record>>),
    /// Nothing yet.
    Nothing,
    /// Records that are not kept any more: read them from the log.
    TooOld,
}

impl Tail {
    /// Forgets everything; the log ends at `end`.
    pub(crate) fn begin(&self, end: Lsn) {
        *self.lock() = Ring {
            end,
            ..Ring::default()
        };
    }

    /// Takes the log's next record.
    pub(crate) fn push(&self, record: Record) {
        let mut ring = self.lock();
        ring.end = record.head.lsn;
        ring.bytes += record.payload.len();
        ring.records.push_back(Arc::new(record));
        while ring.bytes > KEPT_BYTES_MAX && ring.records.len() > 1 {
            let Some(oldest) = ring.records.pop_front() else {
                break;
            };
            ring.bytes -= oldest.payload.len();
        }
        // Small records count for what they take beside their payload.
        while ring.records.len() > RECORDS_MAX {
            if let Some(oldest) = ring.records.pop_front() {
                ring.bytes -= oldest.payload.len();
            }
        }
    }

    /// Everything up to `lsn` is committed: all members of the set have it, and who is further
    /// behind reads from the log what of it is still needed.
    pub(crate) fn trim(&self, lsn: Lsn) {
        let mut ring = self.lock();
        while let Some(oldest) = ring.records.pop_front_if(|r| r.head.lsn <= lsn) {
            ring.bytes -= oldest.payload.len();
        }
    }

    /// What follows `sent`: whole records of `bytes_max` bytes or a little more.
    pub(super) fn after(&self, sent: Lsn, bytes_max: usize) -> After {
        let ring = self.lock();
        if sent >= ring.end {
            return After::Nothing;
        }
        let first = ring
            .records
            .partition_point(|record| record.head.lsn <= sent);
        let follows = ring.records.get(first);
        if follows.is_none_or(|record| record.head.lsn > sent.next()) {
            return After::TooOld;
        }
        let mut bytes = 0;
        let records = ring.records.range(first..);
        let records = records.take_while(|record| {
            let fits = bytes < bytes_max;
            bytes += record.payload.len();
            fits
        });
        After::Records(
            records
                .take(super::RECORDS_PER_PACKET_MAX)
                .cloned()
                .collect(),
        )
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that are kept, however small: some 4 MiB of heads and metadata.
const RECORDS_MAX: usize = 8192;
