//! What `/metrics` shows, in the text format of Prometheus.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use wire::routes;
use wire::stats::Traffic;

/// The measures that the node's parts write.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabels, Histogram, LatencyBuckets>,
    uploads: Tally,
    reads: Tally,
    /// Bytes of bodies received.
    pub bytes_in: Counter,
    /// Bytes of contents sent.
    pub bytes_out: Counter,
    /// Bytes that links to other nodes brought.
    pub link_bytes_in: Counter,
    /// Bytes that were sent over links to other nodes.
    pub link_bytes_out: Counter,
    /// Uploads and updates whose bodies are being received.
    pub uploads_in_flight: Gauge,
    /// How long a sync of one log took.
    pub sync_seconds: Histogram,
    /// How many changes one sync acknowledged.
    pub commit_changes: Histogram,
    /// How long a commit waited for its listing.
    pub listing_seconds: Histogram,
    /// Committed records that are not listed yet.
    pub unlisted: Gauge<u64, AtomicU64>,
    /// What the node's data takes on its disk.
    pub storage_bytes: Gauge<u64, AtomicU64>,
    /// The most that it may take.
    pub max_storage_bytes: Gauge<u64, AtomicU64>,
    /// Shards that this node leads.
    pub shards_led: Gauge<u64, AtomicU64>,
    /// Shards whose log failed and acknowledges nothing any more.
    pub shards_poisoned: Gauge<u64, AtomicU64>,
    /// What is damaged here: contents, and places where records are lost.
    pub damaged: Gauge<u64, AtomicU64>,
    /// Records written again from another copy.
    pub repairs: Counter,
    /// Damage that could not be repaired, each told once.
    pub repairs_failed: Counter,
    /// Bytes that scrubs have read.
    pub scrubbed_bytes: Counter,
    /// Damaged records that scrubs have found.
    pub scrub_findings: Counter,
    /// The share of the node's replicas' records that the passes under way, or the last ones, have
    /// looked at: 0 to 1.
    pub scrub_coverage: Gauge<f64, AtomicU64>,
    /// When the pass that was finished longest ago was: seconds since 1970; 0 if one never was.
    pub scrub_finished: Gauge<u64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
    method: &'static str,
}

/// Answers of one kind, and the sum of their times. A histogram's own sum cannot be read back.
#[derive(Default)]
struct Tally {
    answers: AtomicU64,
    us: AtomicU64,
}

impl Tally {
    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.us.fetch_add(us, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.answers), read(&self.us))
    }
}

/// From 0.1 ms, a read from memory, to 100 s, a large upload, in factors of two.
#[derive(Clone)]
struct LatencyBuckets;

impl MetricConstructor<Histogram> for LatencyBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0001, 2.0, 21))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || LatencyBuckets.new_metric();
        let mut metrics = Metrics {
            registry: Registry::with_prefix("acequia_node"),
            requests: Family::default(),
            latency: Family::new_with_constructor(LatencyBuckets),
            uploads: Tally::default(),
            reads: Tally::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            link_bytes_in: Counter::default(),
            link_bytes_out: Counter::default(),
            uploads_in_flight: Gauge::default(),
            sync_seconds: seconds(),
            commit_changes: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            listing_seconds: seconds(),
            unlisted: Gauge::default(),
            storage_bytes: Gauge::default(),
            max_storage_bytes: Gauge::default(),
            shards_led: Gauge::default(),
            shards_poisoned: Gauge::default(),
            damaged: Gauge::default(),
            repairs: Counter::default(),
            repairs_failed: Counter::default(),
            scrubbed_bytes: Counter::default(),
            scrub_findings: Counter::default(),
            scrub_coverage: Gauge::default(),
            scrub_finished: Gauge::default(),
        };
        metrics.register_traffic();
        metrics.register_links();
        metrics.register_storage();
        metrics.register_damage();
        metrics
    }
}

impl Metrics {
    fn register_traffic(&mut self) {
        let r = &mut self.registry;
        r.register("requests", "Requests answered", self.requests.clone());
        r.register_with_unit(
            "request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.latency.clone(),
        );
        let (received, sent) = (self.bytes_in.clone(), self.bytes_out.clone());
        r.register_with_unit("received", "Bodies received", Unit::Bytes, received);
        r.register_with_unit("sent", "Contents sent", Unit::Bytes, sent);
        let uploads = self.uploads_in_flight.clone();
        r.register(
            "uploads_in_flight",
            "Uploads whose bodies are being received",
            uploads,
        );
        let delay = self.listing_seconds.clone();
        r.register_with_unit(
            "listing",
            "Time from commit to listing",
            Unit::Seconds,
            delay,
        );
        r.register(
            "unlisted",
            "Committed records that are not listed yet",
            self.unlisted.clone(),
        );
    }

    fn register_links(&mut self) {
        let r = &mut self.registry;
        let (received, sent) = (self.link_bytes_in.clone(), self.link_bytes_out.clone());
        r.register_with_unit(
            "link_received",
            "Bytes that links to other nodes brought",
            Unit::Bytes,
            received,
        );
        r.register_with_unit(
            "link_sent",
            "Bytes sent over links to other nodes",
            Unit::Bytes,
            sent,
        );
    }

    fn register_storage(&mut self) {
        let r = &mut self.registry;
        let sync = self.sync_seconds.clone();
        r.register_with_unit(
            "sync",
            "Time that a sync of one log took",
            Unit::Seconds,
            sync,
        );
        let group = self.commit_changes.clone();
        r.register("commit_changes", "Changes acknowledged by one sync", group);
        let (storage, most) = (self.storage_bytes.clone(), self.max_storage_bytes.clone());
        r.register_with_unit(
            "storage",
            "Disk space that the data takes",
            Unit::Bytes,
            storage,
        );
        r.register_with_unit(
            "max_storage",
            "Disk space that it may take",
            Unit::Bytes,
            most,
        );
        r.register(
            "shards_led",
            "Shards that this node leads",
            self.shards_led.clone(),
        );
        let poisoned = self.shards_poisoned.clone();
        r.register("shards_poisoned", "Shards whose log failed", poisoned);
    }

    fn register_damage(&mut self) {
        let r = &mut self.registry;
        let damaged = self.damaged.clone();
        r.register("damaged", "Damaged contents, and lost records", damaged);
        let (repairs, failed) = (self.repairs.clone(), self.repairs_failed.clone());
        r.register("repairs", "Records repaired from another copy", repairs);
        r.register("repairs_failed", "Damage that cannot be repaired", failed);
        let bytes = self.scrubbed_bytes.clone();
        r.register_with_unit("scrubbed", "Read by scrubs", Unit::Bytes, bytes);
        let findings = self.scrub_findings.clone();
        r.register(
            "scrub_findings",
            "Damaged records found by scrubs",
            findings,
        );
        let coverage = self.scrub_coverage.clone();
        r.register_with_unit(
            "scrub_coverage",
            "Looked at by scrubs",
            Unit::Ratios,
            coverage,
        );
        r.register_with_unit(
            "scrub_finished",
            "When the oldest finished scrub ended, since 1970",
            Unit::Seconds,
            self.scrub_finished.clone(),
        );
    }

    /// Counts one answer.
    pub fn answered(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        self.requests
            .get_or_create(&RequestLabels {
                route,
                method,
                status,
            })
            .inc();
        self.latency
            .get_or_create(&RouteLabels { route, method })
            .observe(took.as_secs_f64());
        match route {
            _ if status >= 300 => {}
            routes::STORE | routes::STORE_ID | routes::UPDATE | routes::UPDATE_ID => {
                self.uploads.add(took);
            }
            routes::RETRIEVE_ID => self.reads.add(took),
            _ => {}
        }
    }

    /// What clients did here.
    pub fn traffic(&self) -> Traffic {
        let ((uploads, upload_us), (reads, read_us)) = (self.uploads.read(), self.reads.read());
        Traffic {
            uploads,
            upload_us,
            bytes_in: self.bytes_in.get(),
            reads,
            read_us,
            bytes_out: self.bytes_out.get(),
        }
    }

    /// Everything in the text format.
    ///
    /// # Errors
    /// When a measure cannot be written as text, which none of ours can't.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::with_capacity(16 * 1024);
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the console's charts show refused requests as load, or none at all.
    #[test]
    fn only_what_was_stored_or_read_is_traffic() {
        let metrics = Metrics::default();
        let ms = Duration::from_millis;
        metrics.answered("/store", "POST", 200, ms(3));
        metrics.answered("/update/{id}", "PUT", 200, ms(4));
        metrics.answered("/store", "POST", 507, ms(100));
        metrics.answered("/retrieve/{id}", "GET", 206, ms(1));
        metrics.answered("/retrieve/{id}", "GET", 404, ms(100));
        metrics.answered("/stats", "GET", 200, ms(100));
        metrics.bytes_in.inc_by(5);
        let expected = Traffic {
            uploads: 2,
            upload_us: 7_000,
            bytes_in: 5,
            reads: 1,
            read_us: 1_000,
            bytes_out: 0,
        };
        assert_eq!(metrics.traffic(), expected);
    }

    // If this fails, dashboards and alerts show nothing.
    #[test]
    fn measures_appear_under_their_names() {
        let metrics = Metrics::default();
        metrics.answered("/store", "POST", 200, Duration::from_millis(3));
        metrics.storage_bytes.set(42);
        metrics.repairs.inc();
        metrics.scrub_coverage.set(0.5);
        metrics.scrub_finished.set(7);
        metrics.scrubbed_bytes.inc_by(8);
        let text = metrics.text().expect("writes");
        for line in [
            "acequia_node_requests_total{route=\"/store\",method=\"POST\",status=\"200\"} 1",
            "acequia_node_request_seconds_count{route=\"/store\",method=\"POST\"} 1",
            "acequia_node_storage_bytes 42",
            "acequia_node_damaged 0",
            "acequia_node_repairs_total 1",
            "acequia_node_scrub_coverage_ratios 0.5",
            "acequia_node_scrub_finished_seconds 7",
            "acequia_node_scrubbed_bytes_total 8",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
