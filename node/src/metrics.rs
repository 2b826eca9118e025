//! What a node counts as it works, and what `/metrics` reads of it at that moment.

mod moment;
mod tallies;
mod verified;

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use service::measures::{self, Latencies, Requests};
use wire::stats::Traffic;

use crate::node::Node;
use tallies::Tallies;
use verified::Untold;
pub(crate) use verified::VerifiedCopies;

/// What all names begin with.
const PREFIX: &str = "acequia_node";

/// What may be done to a content, as receipts put it.
const CHANGES: [&str; 4] = ["uploaded", "updated", "described", "deleted"];

/// The measures that the node's parts write.
pub struct Metrics {
    registry: Registry,
    /// Requests and their answers.
    pub requests: Requests,
    tallies: Tallies,
    changes: Family<ChangeLabels, Counter>,
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
    /// Records written again from another copy.
    pub repairs: Counter,
    /// Damage that could not be repaired, each told once.
    pub repairs_failed: Counter,
    /// Damaged records that were given up, since nothing needs them.
    pub damage_given_up: Counter,
    /// Lost records that an operator gave up.
    pub lost_given_up: Counter,
    verifications: Family<VerificationLabels, Counter>,
    untold: Untold,
    /// Bytes that scrubs have read.
    pub scrubbed_bytes: Counter,
    /// Damaged records that scrubs have found.
    pub scrub_findings: Counter,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ChangeLabels {
    change: &'static str,
}

/// What came of a copy that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    /// Its bytes are those of the content's hash.
    Agrees,
    /// Its blocks are whole, and its bytes are not those of the content's hash.
    Differs,
    /// It is damaged, or the disk fails.
    Unreadable,
    /// There is none.
    Absent,
}

impl Verification {
    const ALL: [Self; 4] = [
        Verification::Agrees,
        Verification::Differs,
        Verification::Unreadable,
        Verification::Absent,
    ];

    fn labels(self) -> VerificationLabels {
        let result = match self {
            Verification::Agrees => "agrees",
            Verification::Differs => "differs",
            Verification::Unreadable => "unreadable",
            Verification::Absent => "absent",
        };
        VerificationLabels { result }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VerificationLabels {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix(PREFIX),
            requests: Requests::default(),
            tallies: Tallies::default(),
            changes: Family::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            link_bytes_in: Counter::default(),
            link_bytes_out: Counter::default(),
            uploads_in_flight: Gauge::default(),
            sync_seconds: Latencies.new_metric(),
            commit_changes: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            listing_seconds: Latencies.new_metric(),
            repairs: Counter::default(),
            repairs_failed: Counter::default(),
            damage_given_up: Counter::default(),
            lost_given_up: Counter::default(),
            verifications: Family::default(),
            untold: Untold::default(),
            scrubbed_bytes: Counter::default(),
            scrub_findings: Counter::default(),
        };
        metrics.requests.register(&mut metrics.registry);
        metrics.register_traffic();
        metrics.register_storage();
        metrics.register_care();
        metrics
    }
}

impl Metrics {
    fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        measures::register(&mut self.registry, name, help, metric);
    }

    fn register_traffic(&mut self) {
        let help = "Changes of contents acknowledged, repeated requests included";
        self.register("changes", help, self.changes.clone());
        // Of what did not happen yet there were none: an increase is seen from the first one on.
        for change in CHANGES {
            self.changes
                .get_or_create(&ChangeLabels { change })
                .inc_by(0);
        }
        let help = "Bodies of uploads and updates received";
        self.register("received_bytes", help, self.bytes_in.clone());
        self.register("sent_bytes", "Contents sent", self.bytes_out.clone());
        let help = "Brought by links to other nodes";
        self.register("link_received_bytes", help, self.link_bytes_in.clone());
        let help = "Sent over links to other nodes";
        self.register("link_sent_bytes", help, self.link_bytes_out.clone());
        let help = "Uploads and updates whose bodies are being received";
        self.register("uploads_in_flight", help, self.uploads_in_flight.clone());
    }

    fn register_storage(&mut self) {
        let help = "Time that a sync of one log took";
        self.register("sync_duration_seconds", help, self.sync_seconds.clone());
        let help = "Changes acknowledged by one sync";
        self.register("commit_changes", help, self.commit_changes.clone());
        let help = "Time from a commit to its listing in the catalog";
        self.register("listing_delay_seconds", help, self.listing_seconds.clone());
    }

    fn register_care(&mut self) {
        let help = "Damaged records written again from another copy";
        self.register("repairs", help, self.repairs.clone());
        let help = "Damage that could not be repaired";
        self.register("repairs_failed", help, self.repairs_failed.clone());
        let help = "Damaged records given up, since nothing needs them";
        self.register("damage_given_up", help, self.damage_given_up.clone());
        let help = "Lost records that an operator gave up";
        self.register("lost_given_up", help, self.lost_given_up.clone());
        let help = "Copies of contents that were read again and hashed because somebody asked";
        self.register("verifications", help, self.verifications.clone());
        // Of what did not happen yet there were none: an increase is seen from the first one on.
        for result in Verification::ALL {
            self.verifications.get_or_create(&result.labels()).inc_by(0);
        }
        self.register(
            "scrubbed_bytes",
            "Read by scrubs",
            self.scrubbed_bytes.clone(),
        );
        let help = "Damaged records found by scrubs";
        self.register("scrub_findings", help, self.scrub_findings.clone());
    }

    /// Counts one answer.
    pub fn answered(&self, route: &'static str, method: &str, status: u16, took: Duration) {
        self.requests.answered(route, method, status, took);
        self.tallies.answered(route, status, took);
    }

    /// What clients did here.
    pub fn traffic(&self) -> Traffic {
        let (bytes_in, bytes_out) = (self.bytes_in.get(), self.bytes_out.get());
        self.tallies.traffic(bytes_in, bytes_out)
    }

    /// Counts a change that was acknowledged; `change` is what was done, of few words.
    pub(crate) fn changed(&self, change: &'static str) {
        self.changes.get_or_create(&ChangeLabels { change }).inc();
    }

    /// Counts a copy that was verified.
    pub(crate) fn verified(&self, result: Verification) {
        self.verifications.get_or_create(&result.labels()).inc();
        self.untold.add(result);
    }

    /// What verifications came to since this was asked last.
    pub(crate) fn take_verified(&self) -> VerifiedCopies {
        self.untold.take()
    }

    /// Everything of a node, as OpenMetrics text.
    ///
    /// # Errors
    /// When a measure cannot be written as text, which none of ours can't.
    pub(crate) fn text(node: &Node) -> Result<String, std::fmt::Error> {
        let (moment, process) = (moment::read(node), measures::process());
        measures::text(&[
            &node.metrics.registry,
            moment.registry(),
            process.registry(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, dashboards and alerts show nothing.
    #[test]
    fn measures_appear_under_their_names() {
        let metrics = Metrics::default();
        metrics.changed("uploaded");
        metrics.repairs.inc();
        metrics.verified(Verification::Agrees);
        metrics.scrubbed_bytes.inc_by(8);
        metrics.sync_seconds.observe(0.002);
        let text = measures::text(&[&metrics.registry]).expect("writes");
        for line in [
            "acequia_node_changes_total{change=\"uploaded\"} 1",
            // An increase is seen from the first one on.
            "acequia_node_changes_total{change=\"deleted\"} 0",
            "acequia_node_changes_total{change=\"described\"} 0",
            "acequia_node_changes_total{change=\"updated\"} 0",
            "acequia_node_repairs_total 1",
            "acequia_node_repairs_failed_total 0",
            "acequia_node_damage_given_up_total 0",
            "acequia_node_verifications_total{result=\"agrees\"} 1",
            "acequia_node_verifications_total{result=\"differs\"} 0",
            "acequia_node_scrubbed_bytes_total 8",
            "acequia_node_sync_duration_seconds_count 1",
            "acequia_node_sync_duration_seconds_bucket{le=\"0.0025\"} 1",
            "acequia_node_uploads_in_flight 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
    }
}
