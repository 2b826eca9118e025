//! `/metrics` of services that run.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::exposed::{Samples, Scene};
use crate::promtool;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Some hundred are few enough to keep for every service.
const SERIES_MAX: usize = 1500;

// If this fails, Prometheus does not read the metrics, or people cannot tell what they mean.
#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_well_formed_and_tell_what_happened() {
    let scene = Scene::start().await;
    let nodes = scene.cluster.nodes().map(|(_, url)| url);
    let urls = std::iter::once(scene.cluster.url()).chain(nodes);
    for url in urls {
        let (text, kind) = scene.text(url, OPENMETRICS).await;
        assert_eq!(kind, OPENMETRICS);
        is_openmetrics(&text);
        let (text, kind) = scene.text(url, "text/plain").await;
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let (content, said) = promtool::run(Path::new("."), &["check", "metrics"], &text);
        assert!(content && said.is_empty(), "{url}: {said}");
        let series = Samples::read(&text).0.len();
        assert!(series < SERIES_MAX, "{url} has {series} series");
    }
    scene.until(tell_what_happened).await;
    scene.cluster.stop().await;
}

/// What promtool does not check: it reads the older format.
fn is_openmetrics(text: &str) {
    assert!(text.ends_with("\n# EOF\n"), "it is cut short");
    assert_eq!(text.matches("# EOF").count(), 1);
    let words = |kind: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
        let pairs = lines.filter_map(|line| line.split_once(' '));
        pairs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let (helps, types) = (words("# HELP "), words("# TYPE "));
    assert_eq!(helps.len(), types.len());
    for (name, help) in &helps {
        assert!(help.len() > 5, "{name} has no help");
        assert_eq!(helps.iter().filter(|(other, _)| other == name).count(), 1);
    }
    for (name, unit) in words("# UNIT ") {
        assert!(name.ends_with(&format!("_{unit}")), "{name} is no {unit}");
    }
    for (name, kind) in &types {
        assert!(kind != "counter" || !name.ends_with("_total"), "{name}");
    }
}

/// A name, labels among others, and what the sum of all such series must be.
type Expected = (&'static str, &'static str, RangeInclusive<f64>);

/// Whoever started the cluster has asked for places, too.
const OF_THE_DISTRIBUTOR: [Expected; 22] = [
    ("acequia_dist_node_up", "", 3.0..=3.0),
    ("acequia_dist_catalog_up", "", 1.0..=1.0),
    ("acequia_dist_coordinator_up", "", 1.0..=1.0),
    ("acequia_dist_controller", "", 1.0..=1.0),
    ("acequia_dist_places_total", "", 2.0..=1e4),
    (
        "acequia_dist_http_requests_total",
        "route=\"/store\",method=\"GET\",status=\"200\"",
        2.0..=1e4,
    ),
    (
        "acequia_dist_http_requests_total",
        "route=\"other\",method=\"GET\",status=\"404\"",
        1.0..=1.0,
    ),
    (
        "acequia_dist_http_request_duration_seconds_count",
        "route=\"/store\"",
        2.0..=1e4,
    ),
    ("acequia_dist_listed_operations_total", "", 3.0..=3.0),
    ("acequia_dist_contents", "", 1.0..=1.0),
    ("acequia_dist_shards", "state=\"open\"", 3.0..=9.0),
    ("acequia_dist_shards_degraded", "", 0.0..=0.0),
    ("acequia_dist_shards_leaderless", "", 0.0..=0.0),
    ("acequia_dist_shards_waiting", "", 0.0..=0.0),
    ("acequia_dist_shard_in_sync_replicas", "", 6.0..=18.0),
    ("acequia_dist_shard_epoch", "", 3.0..=30.0),
    (
        "acequia_dist_shard_changes_total",
        "reason=\"made\"",
        3.0..=9.0,
    ),
    ("acequia_dist_replica_lag_records", "", 0.0..=0.0),
    ("acequia_dist_database_connections_max", "", 4.0..=4.0),
    ("acequia_dist_node_clock_ahead_seconds", "", -3.0..=3.0),
    ("acequia_dist_node_contents", "", 2.0..=2.0),
    ("acequia_dist_build_info", "version=\"", 1.0..=1.0),
];

const OF_ALL_NODES: [Expected; 19] = [
    (
        "acequia_node_http_requests_total",
        "route=\"/store/{id}\",method=\"PUT\",status=\"200\"",
        2.0..=2.0,
    ),
    (
        "acequia_node_http_requests_total",
        "status=\"400\"",
        1.0..=1.0,
    ),
    (
        "acequia_node_changes_total",
        "change=\"uploaded\"",
        2.0..=2.0,
    ),
    (
        "acequia_node_changes_total",
        "change=\"deleted\"",
        1.0..=1.0,
    ),
    ("acequia_node_received_bytes_total", "", 15.0..=1e6),
    ("acequia_node_sent_bytes_total", "", 11.0..=11.0),
    ("acequia_node_uploads_in_flight", "", 0.0..=0.0),
    ("acequia_node_contents", "", 2.0..=2.0),
    ("acequia_node_unlisted_records", "", 0.0..=0.0),
    ("acequia_node_listing_stalled_seconds", "", 0.0..=0.0),
    ("acequia_node_sync_duration_seconds_count", "", 6.0..=1e4),
    ("acequia_node_listing_delay_seconds_count", "", 3.0..=3.0),
    ("acequia_node_replicas", "standing=\"leading\"", 3.0..=9.0),
    ("acequia_node_replicas", "standing=\"following\"", 3.0..=9.0),
    ("acequia_node_replicas", "standing=\"poisoned\"", 0.0..=0.0),
    ("acequia_node_damaged", "", 0.0..=0.0),
    ("acequia_node_storage_used_bytes", "", 1e3..=1e9),
    ("acequia_node_disk_free_bytes", "", 1e6..=1e16),
    (
        "acequia_node_log_position",
        "stage=\"committed\"",
        9.0..=40.0,
    ),
];

const OF_EACH_PROCESS: [Expected; 3] = [
    ("process_resident_memory_bytes", "", 1e6..=1e9),
    ("process_start_time_seconds", "", 1.7e9..=1e11),
    ("process_open_fds", "", 5.0..=1e5),
];

/// What is not as it should be.
fn tell_what_happened(dist: &Samples, nodes: &[Samples]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |all: &[&Samples], (name, labels, range): &Expected| {
        let sum: f64 = all.iter().map(|samples| samples.sum(name, labels)).sum();
        if !range.contains(&sum) {
            wrong.push(format!(
                "{name} with {labels} is {sum}, not within {range:?}"
            ));
        }
    };
    let nodes: Vec<&Samples> = nodes.iter().collect();
    for expected in &OF_THE_DISTRIBUTOR {
        check(&[dist], expected);
    }
    for expected in &OF_ALL_NODES {
        check(&nodes, expected);
    }
    for samples in nodes.into_iter().chain([dist]) {
        for expected in &OF_EACH_PROCESS {
            check(&[samples], expected);
        }
    }
    wrong
}
