//! What was appended, handed on without reading it back: to followers, who want it while the leader
//! syncs it.

use wire::Lsn;

use super::Store;
use crate::record::Record;

impl Store {
    /// Keeps each record from now on, its own and those of a leader, for [`Store::take_appended`].
    /// Their payloads stay in memory until they are taken: take them with every flush.
    pub fn keep_appended(&mut self) {
        self.kept.get_or_insert_default();
    }

    /// Keeps none any more, and forgets those that were not taken.
    pub fn forget_appended(&mut self) {
        self.kept = None;
    }

    /// The records that were appended since the last call, in the order of lsns; those that were
    /// cut off again are not among them. They may not be durable here, nor written: what becomes of
    /// them is told by [`Store::positions`]. None unless [`Store::keep_appended`] was called.
    pub fn take_appended(&mut self) -> Vec<Record> {
        self.kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn keep(&mut self, record: Record) {
        if let Some(kept) = &mut self.kept {
            kept.push(record);
        }
    }

    pub(super) fn forget_kept_above(&mut self, lsn: Lsn) {
        if let Some(kept) = &mut self.kept {
            kept.retain(|record| record.head.lsn <= lsn);
        }
    }
}
