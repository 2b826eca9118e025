//! What bodies look like, for a document: values of `wire`'s types, so that no example falls behind its schema.
//! All are of one small cluster.

mod contents;
mod nodes;
mod shards;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use serde_json::{Value, json};
use utoipa::ToSchema;
use wire::content::{ContentItem, ContentPage, ContentRow, Describe, Receipt, StoreOutcomes};
use wire::history::StatsHistory;
use wire::integrity::{GiveUp, GivenUp, LostReport, ScrubReport, Verified};
use wire::listing::{ListingBatch, ListingOutcomes};
use wire::membership::{Heartbeat, HeartbeatAnswer, NodeEntry, NodeRemoved, NodesAnswer, ShardMap};
use wire::placement::{Place, Places};
use wire::recovery::{RecoverShard, ShardRecovered, WaitingShards};
use wire::shard::{ChangeShard, ShardChanged, ShardNews, ShardRecord};
use wire::stats::{ClusterStats, NodeStats};

pub use contents::{line, receipt};
pub use nodes::{draining, rebalancing};

/// Where the examples' content is.
const NODE_URL: &str = "http://127.0.0.1:8001";

/// A document that describes nothing.
pub fn document() -> Value {
    let info = json!({"title": "Acequia", "version": env!("CARGO_PKG_VERSION")});
    json!({"openapi": "3.1.0", "info": info, "paths": {}})
}

/// A value of a type that is written as text.
fn of<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("examples are well-formed")
}

/// Types, and one value of each.
macro_rules! examples {
    ($($kind:ty: $example:expr,)*) => {
        /// Every example, by the name of its schema.
        pub(super) fn all() -> BTreeMap<String, Value> {
            let mut all = BTreeMap::new();
            $(
                let example: $kind = $example;
                all.insert(<$kind>::name().into_owned(), json!(example));
            )*
            all
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            // If this fails, a program that is sent what the document shows cannot read it.
            #[test]
            fn every_example_is_read_back() {
                $(
                    let example: $kind = $example;
                    let read: $kind = serde_json::from_value(json!(example)).expect("it is read");
                    assert_eq!(read, example);
                )*
            }
        }
    };
}

examples! {
    Place: contents::place(),
    Places: Places { items: vec![contents::place()] },
    ContentRow: contents::row(),
    ContentItem: contents::item(),
    ContentPage: contents::page(),
    Describe: contents::describe(),
    Receipt: receipt("uploaded", 1),
    StoreOutcomes: contents::outcomes(),
    Verified: contents::verified(),
    ListingBatch: contents::batch(),
    ListingOutcomes: contents::listed(),
    NodesAnswer: nodes::services(),
    NodeEntry: nodes::entry(),
    NodeRemoved: NodeRemoved { node: of("node3") },
    Heartbeat: nodes::heartbeat(),
    HeartbeatAnswer: nodes::heard(),
    NodeStats: nodes::stats(),
    ClusterStats: nodes::figures(),
    StatsHistory: nodes::history(),
    ScrubReport: nodes::scrubs(),
    LostReport: nodes::lost(),
    GiveUp: GiveUp { force: false },
    GivenUp: nodes::given_up(),
    ShardMap: shards::map(),
    ShardRecord: shards::record(),
    ChangeShard: ChangeShard { record: shards::changed() },
    ShardChanged: ShardChanged { changed: true, record: shards::changed() },
    ShardNews: shards::news(),
    WaitingShards: shards::waiting(),
    RecoverShard: RecoverShard { node: of("node2"), force: false },
    ShardRecovered: shards::recovered(),
}
