//! The register: shard records by compare-and-set, and what the controller knows. It can be away,
//! lose answers, and go back in time.

use std::collections::BTreeMap;

use wire::membership::Heartbeat;
use wire::shard::{Revision, ShardRecord};
use wire::{NodeName, ShardNo};

/// The records, with those that they replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    pub(crate) records: BTreeMap<ShardNo, ShardRecord>,
    /// Earlier states, oldest first.
    pub(crate) history: Vec<BTreeMap<ShardNo, ShardRecord>>,
    /// The newest record of each shard that ever was, but for those that were restored and had no
    /// leader yet: nobody obeys them.
    pub(crate) newest: BTreeMap<ShardNo, ShardRecord>,
    /// Nobody reaches it before this time.
    pub(crate) away_until_ms: u64,
    /// Nodes' proposals are not taken before this time.
    pub(crate) refuses_until_ms: u64,
}

impl Register {
    /// Replaces the record of revision `expected`.
    pub(crate) fn change(&mut self, expected: Revision, record: ShardRecord) -> bool {
        let present = self
            .records
            .get(&record.shard)
            .map_or(Revision::NONE, ShardRecord::revision);
        if present != expected {
            return false;
        }
        self.history.push(self.records.clone());
        let newest = self.newest.get(&record.shard);
        let is_newer = newest.is_none_or(|newest| record.revision() >= newest.revision());
        if is_newer && !record.is_restored() {
            self.newest.insert(record.shard, record.clone());
        }
        self.records.insert(record.shard, record);
        true
    }
}

/// The distributor in office.
#[derive(Clone, Debug, Default)]
pub(crate) struct Office {
    /// Since when the register could be judged by.
    pub(crate) since_ms: u64,
    /// Each node's last report, and when it came.
    pub(crate) heard: BTreeMap<NodeName, (Heartbeat, u64)>,
}
