//! What the cluster is like, as this distributor sees it at the moment when somebody asks. Nothing
//! of it is kept: a node that was removed is not shown any more.

use std::collections::BTreeMap;
use std::time::Instant;

use service::measures::{Label, Reading};
use wire::membership::{Health, ShardEntry};
use wire::shard::{ShardRecord, ShardState};
use wire::{NodeName, ShardNo};

use super::PREFIX;
use crate::app::Shared;
use crate::controller::Seen;
use crate::members::{NodeView, View};

type Records = BTreeMap<ShardNo, ShardRecord>;
type Nodes = BTreeMap<NodeName, Seen>;

/// Reads it.
pub(super) fn read(shared: &Shared) -> Reading {
    let mut reading = Reading::new(Some(PREFIX));
    let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
    reading.info("build", "The program", version);
    let now = Instant::now();
    nodes(&mut reading, &shared.members.nodes(now));
    let distributors = shared.members.distributors(now).into_iter();
    let up = distributors.map(|(name, _, health)| (named("distributor", &name), is_up(health)));
    let help = "Whether another distributor was heard within a session";
    reading.gauges("distributor_up", help, up);
    let (records, seen) = (shared.members.records(), shared.members.seen(now));
    let view = View {
        records: &records,
        nodes: &seen,
    };
    let waiting = shared.waiting_shards();
    let help = "Live contents, each counted once";
    reading.gauge("contents", help, float(view.contents()));
    totals(&mut reading, &records, &seen);
    let help = "Shards that wait until an operator chooses a copy, or a node comes back";
    reading.gauge("shards_waiting", help, float(waiting.len() as u64));
    shards(&mut reading, &view.shards(&waiting));
    connections(&mut reading, shared);
    reading
}

fn nodes(reading: &mut Reading, nodes: &[NodeView]) {
    let up = nodes
        .iter()
        .map(|node| (named("node", &node.name), is_up(node.health)));
    reading.gauges("node_up", "Whether a node answers and is used", up);
    let draining = nodes.iter().map(|node| {
        let draining = u64::from(node.draining);
        (named("node", &node.name), float(draining))
    });
    let help = "Whether a node shall hold nothing any more";
    reading.gauges("node_draining", help, draining);
    let ahead = nodes
        .iter()
        .filter_map(|node| Some((named("node", &node.name), node.clock_ahead_s?)));
    let help = "How far a node's clock is ahead of this distributor's, to about a second";
    reading.gauges("node_clock_ahead_seconds", help, ahead);
    let answers = nodes
        .iter()
        .filter_map(|node| Some((named("node", &node.name), node.stats.as_ref()?)));
    let answers: Vec<_> = answers.collect();
    let each = |read: fn(&wire::stats::NodeStats) -> u64| {
        let values = answers.iter();
        values.map(move |(label, stats)| (label.clone(), float(read(stats))))
    };
    let help = "What a node's data takes on its disk";
    reading.gauges("node_storage_used_bytes", help, each(|stats| stats.storage));
    let help = "The most that a node may store";
    let limits = each(|stats| stats.max_storage);
    reading.gauges("node_storage_limit_bytes", help, limits);
    let help = "Live contents of a node";
    reading.gauges("node_contents", help, each(|stats| stats.contents));
    let help = "Committed records of a node that are not listed yet";
    reading.gauges("node_unlisted_records", help, each(|stats| stats.unlisted));
}

fn totals(reading: &mut Reading, records: &Records, nodes: &Nodes) {
    let count = |is_such: &dyn Fn(&ShardRecord) -> bool| {
        let such = records.values().filter(|record| is_such(record));
        float(such.count() as u64)
    };
    let in_state = |state, word: &str| {
        let label: Label = ("state", word.to_owned());
        ([label], count(&|record| record.state == state))
    };
    let by_state = [
        in_state(ShardState::Open, "open"),
        in_state(ShardState::Closed, "closed"),
    ];
    let help = "Shards, by whether they take new contents";
    reading.gauges("shards", help, by_state);
    let help = "Shards that acknowledge changes with fewer copies than there should be";
    reading.gauge("shards_degraded", help, count(&|record| record.degraded));
    let help = "Shards with fewer copies in sync than there should be, degraded ones included";
    let short = count(&ShardRecord::is_short_of_copies);
    reading.gauge("shards_short", help, short);
    let help = "Shards that nobody leads, or a process that is not heard";
    let leaderless = count(&|record| !is_led(record, nodes));
    reading.gauge("shards_leaderless", help, leaderless);
}

/// Whether the process that leads is heard.
fn is_led(record: &ShardRecord, nodes: &Nodes) -> bool {
    record.leader.as_ref().is_some_and(|leader| {
        let node = nodes.get(&leader.member.node);
        node.is_some_and(|seen| seen.alive && seen.heartbeat.incarnation == leader.incarnation)
    })
}

fn shards(reading: &mut Reading, shards: &[ShardEntry]) {
    let label = |shard: ShardNo| [("shard", shard.to_string())];
    let epochs = shards
        .iter()
        .map(|entry| (label(entry.shard), float(entry.epoch.0)));
    let help = "The term of a shard's leader: it grows with each election";
    reading.gauges("shard_epoch", help, epochs);
    let in_sync = shards
        .iter()
        .map(|entry| (label(entry.shard), float(entry.in_sync.len() as u64)));
    let help = "Copies that must have synced a change before it is acknowledged";
    reading.gauges("shard_in_sync_replicas", help, in_sync);
    let lags = shards.iter().flat_map(|entry| {
        entry.replicas.iter().filter_map(|replica| {
            let [shard] = label(entry.shard);
            let node = ("node", replica.node.to_string());
            Some(([shard, node], float(replica.progress.lag?)))
        })
    });
    let help = "Records that a shard's leader has and a copy has not, as they last said";
    reading.gauges("replica_lag_records", help, lags);
}

fn connections(reading: &mut Reading, shared: &Shared) {
    let connections = shared.catalog.connections();
    let of = |state: &str, count: u32| {
        let label: Label = ("state", state.to_owned());
        ([label], f64::from(count))
    };
    let states = [of("busy", connections.busy), of("idle", connections.idle)];
    let help = "Connections of the pool that answers questions; those that list, search in SQLite, or \
                keep the history and what distributors tell each other are not counted";
    reading.gauges("database_connections", help, states);
    let help = "The most connections of the pool that answers questions";
    let most = f64::from(connections.most);
    reading.gauge("database_connections_max", help, most);
}

fn named(label: &'static str, name: &NodeName) -> [Label; 1] {
    [(label, name.to_string())]
}

fn is_up(health: Health) -> f64 {
    float(u64::from(health == Health::Up))
}

fn float(number: u64) -> f64 {
    number as f64
}
