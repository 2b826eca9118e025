//! The register: shard records by compare-and-set, and what the controller knows. It can be away,
//! lose answers, and go back in time.

use std::collections::{BTreeMap, BTreeSet};

use controller::Seen;
use wire::membership::Heartbeat;
use wire::shard::{Revision, ShardRecord};
use wire::{NodeName, ShardNo};

use crate::cluster::SESSION_MS;

/// The records at an earlier time, as a backup has them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    pub(crate) records: BTreeMap<ShardNo, ShardRecord>,
    /// The register went back behind it, and on another way: it is not the present's past.
    pub(crate) is_lost: bool,
}

/// The records, with those that they replaced.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    pub(crate) records: BTreeMap<ShardNo, ShardRecord>,
    /// Earlier states, oldest first.
    pub(crate) history: Vec<Past>,
    /// The newest record of each shard that ever was, but for those that were restored and had no
    /// leader yet: nobody obeys them.
    pub(crate) newest: BTreeMap<ShardNo, ShardRecord>,
    /// Counts what may take from a member what it must have: changes of records.
    pub(crate) changes: u64,
    /// Nobody reaches it before this time.
    pub(crate) away_until_ms: u64,
    /// It went back, and perhaps not all who know more were heard.
    pub(crate) is_doubted: bool,
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
        self.changes += 1;
        self.history.push(Past {
            records: self.records.clone(),
            is_lost: false,
        });
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
    /// Each node's last report.
    pub(crate) seen: BTreeMap<NodeName, Seen>,
    /// When it came.
    heard_ms: BTreeMap<NodeName, u64>,
    /// When it first came.
    first_ms: BTreeMap<NodeName, u64>,
    /// The nodes that an operator empties.
    pub(crate) draining: BTreeSet<NodeName>,
}

impl Office {
    pub(crate) fn hear(&mut self, node: NodeName, heartbeat: Heartbeat, now_ms: u64) {
        self.heard_ms.insert(node.clone(), now_ms);
        self.first_ms.entry(node.clone()).or_insert(now_ms);
        let seen = Seen {
            heartbeat,
            known_ms: 0,
            alive: true,
            silent_ms: 0,
            room: None,
        };
        self.seen.insert(node, seen);
    }

    /// Takes note of who is silent.
    pub(crate) fn listen(&mut self, now_ms: u64) {
        for (node, seen) in &mut self.seen {
            let at_ms = self.heard_ms.get(node).copied().unwrap_or(0);
            let since_ms = self.first_ms.get(node).copied().unwrap_or(now_ms);
            seen.known_ms = now_ms.saturating_sub(since_ms);
            seen.silent_ms = now_ms.saturating_sub(at_ms);
            seen.alive = seen.silent_ms < SESSION_MS;
        }
    }
}
