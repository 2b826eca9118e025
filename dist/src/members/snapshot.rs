//! The shard map as it is handed to nodes.

use std::collections::BTreeMap;

use wire::membership::{NodeAddress, ShardMap};
use wire::shard::ShardRecord;
use wire::{NodeName, ShardNo};

/// A shard map and its version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    /// A hash of the map, so that distributors that know the same name it the same; never 0.
    pub(crate) version: u64,
    /// The map.
    pub(crate) map: ShardMap,
}

impl Snapshot {
    pub(crate) fn new(
        records: &BTreeMap<ShardNo, ShardRecord>,
        nodes: BTreeMap<NodeName, NodeAddress>,
    ) -> Self {
        let map = ShardMap {
            shards: records.values().cloned().collect(),
            nodes,
        };
        let text = serde_json::to_vec(&map).expect("a shard map has only text keys");
        let hash = blake3::hash(&text);
        let (first, _) = hash
            .as_bytes()
            .split_first_chunk()
            .expect("a hash has 32 bytes");
        Snapshot {
            version: u64::from_le_bytes(*first).max(1),
            map,
        }
    }
}
