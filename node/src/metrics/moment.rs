//! What a node is like at the moment when somebody asks. Nothing of it is kept: a shard that left
//! is not shown any more.

use service::measures::{Label, Reading};
use wire::position::ShardNo;
use wire::stats::NodeStats;

use super::PREFIX;
use crate::clock;
use crate::driver::table::{ReplicaView, Standing};
use crate::node::Node;
use crate::scrub::Coverage;

/// What a replica may be, in words.
const STANDINGS: [(Standing, &str); 5] = [
    (Standing::Idle, "idle"),
    (Standing::Following, "following"),
    (Standing::Elected, "elected"),
    (Standing::Leading, "leading"),
    (Standing::Poisoned, "poisoned"),
];

/// Reads it.
pub(super) fn read(node: &Node) -> Reading {
    let mut reading = Reading::new(Some(PREFIX));
    let stats = node.stats();
    let version = [("version", stats.version.clone())];
    reading.info("build", "The program", version);
    storage(&mut reading, &stats);
    let disk = node.gauges.sample().disk;
    reading.gauge("disk_free_bytes", "Free on the disk", float(disk.free));
    reading.gauge("disk_size_bytes", "Size of the disk", float(disk.total));
    contents(&mut reading, &stats);
    let replicas = node.handle.table().replicas();
    let replicas: Vec<&ReplicaView> = replicas.values().map(AsRef::as_ref).collect();
    shards(&mut reading, &replicas);
    let listed = replicas.iter().filter(|replica| node.lists(replica));
    let stalled = listed.map(|replica| replica.gauge.unlisted_ms()).max();
    let help = "How long nothing was listed of a shard of which something waits for it";
    reading.gauge(
        "listing_stalled_seconds",
        help,
        seconds(stalled.unwrap_or(0)),
    );
    scrubs(&mut reading, &node.scrubs.coverage(clock::now_ms()));
    reading
}

fn storage(reading: &mut Reading, stats: &NodeStats) {
    let help = "What the data takes on the disk";
    reading.gauge("storage_used_bytes", help, float(stats.storage));
    let help = "The most that it may take: MAX_STORAGE, or what the disk can hold";
    reading.gauge("storage_limit_bytes", help, float(stats.max_storage));
    let help = "What uploads under way have announced and not stored yet";
    reading.gauge("storage_promised_bytes", help, float(stats.bytes_promised));
    let space = stats.space;
    let help = "What was cut off, and is kept for a day";
    reading.gauge("storage_quarantine_bytes", help, float(space.quarantine));
    let parts = [
        ("live", space.live),
        ("dead", space.dead),
        ("overhead", space.overhead),
    ];
    let parts = parts.map(|(part, bytes)| ([("part", part.to_owned())], float(bytes)));
    let help = "What the logs take, by what it is needed for";
    reading.gauges("log_bytes", help, parts);
}

fn contents(reading: &mut Reading, stats: &NodeStats) {
    reading.gauge("contents", "Live contents", float(stats.contents));
    let help = "Contents whose copy here is damaged, and places where records are lost";
    reading.gauge("damaged", help, float(stats.damaged));
    let help = "Committed records that are not listed yet";
    reading.gauge("unlisted_records", help, float(stats.unlisted));
}

fn shards(reading: &mut Reading, replicas: &[&ReplicaView]) {
    let count = |standing| {
        let such = replicas.iter().filter(|view| view.standing == standing);
        float(such.count() as u64)
    };
    let counts = STANDINGS.map(|(standing, word)| {
        let label: Label = ("standing", word.to_owned());
        ([label], count(standing))
    });
    let help = "Replicas held, by what this node does in them";
    reading.gauges("replicas", help, counts);
    let help = "How far each log is: its last record that is synced, committed, listed";
    let positions = replicas.iter().flat_map(|view| positions(view));
    reading.gauges("log_position", help, positions);
}

/// One node lists a shard, the one that leads it: elsewhere that is not known.
fn positions(view: &ReplicaView) -> Vec<([Label; 2], f64)> {
    let measures = view.gauge.measures();
    let at = |stage: &str, lsn: u64| (of(view.shard, stage), float(lsn));
    let mut positions = vec![
        at("synced", measures.end.lsn.0),
        at("committed", measures.committed.0),
    ];
    if view.is_leading() {
        positions.push(at("listed", view.gauge.listed().0));
    }
    positions
}

fn of(shard: ShardNo, stage: &str) -> [Label; 2] {
    [("shard", shard.to_string()), ("stage", stage.to_owned())]
}

fn scrubs(reading: &mut Reading, coverage: &Coverage) {
    let help = "The share of the records that the scrubs under way, or the last ones, have read";
    reading.gauge("scrub_coverage_ratio", help, coverage.share);
    let help = "When the scrub that ended longest ago did, since 1970; 0 while a replica had none";
    let finished = seconds(coverage.finished_ms.unwrap_or(0));
    reading.gauge("scrub_finished_timestamp_seconds", help, finished);
    let help = "How long a scrub has been due or under way, of the replica that waits longest";
    reading.gauge("scrub_pending_seconds", help, seconds(coverage.pending_ms));
}

#[expect(clippy::cast_precision_loss, reason = "a measure need not be exact")]
fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(ms: u64) -> f64 {
    float(ms) / 1000.0
}
