//! What a distributor counts as it works, and what `/metrics` reads of the cluster at that moment.

mod moment;

use controller::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use service::measures::{self, Latencies, Requests};

use crate::app::Shared;
use crate::controller::Controller;

/// What all names begin with.
const PREFIX: &str = "acequia_dist";

/// Why a shard's record may change.
const REASONS: [Reason; 11] = [
    Reason::Restored,
    Reason::Elected,
    Reason::HandedOver,
    Reason::Full,
    Reason::Lost,
    Reason::Made,
    Reason::Behind,
    Reason::Added,
    Reason::Removed,
    Reason::Eased,
    Reason::Recovered,
];

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct NodeLabels {
    pub(crate) node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// The measures that the distributor's parts write.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) listed_operations: Counter,
    pub(crate) listing_failures: Counter,
    pub(crate) unlistable_rows: Counter,
    pub(crate) listing_batch_operations: Histogram,
    pub(crate) listing_merged_batches: Histogram,
    pub(crate) listing_transaction_seconds: Histogram,
    pub(crate) listing_wait_seconds: Histogram,
    pub(crate) listing_delay_seconds: Histogram,
    pub(crate) places: Family<NodeLabels, Counter>,
    pub(crate) catalog_up: Gauge,
    coordinator_up: Gauge,
    controller: Gauge,
    copying_held: Gauge,
    pub(crate) unclean_recoveries: Counter,
    shard_changes: Family<ReasonLabels, Counter>,
}

/// 1 to 16384, in factors of four.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}

/// From a millisecond to an hour and more: what a catalog that was away lists late.
fn delays() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 13))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix(PREFIX),
            requests: Requests::default(),
            listed_operations: Counter::default(),
            listing_failures: Counter::default(),
            unlistable_rows: Counter::default(),
            listing_batch_operations: counts(),
            listing_merged_batches: counts(),
            listing_transaction_seconds: Latencies.new_metric(),
            listing_wait_seconds: Latencies.new_metric(),
            listing_delay_seconds: delays(),
            places: Family::default(),
            catalog_up: Gauge::default(),
            coordinator_up: Gauge::default(),
            controller: Gauge::default(),
            copying_held: Gauge::default(),
            unclean_recoveries: Counter::default(),
            shard_changes: Family::default(),
        };
        metrics.requests.register(&mut metrics.registry);
        metrics.register_listing();
        metrics.register_decisions();
        metrics
    }

    fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        measures::register(&mut self.registry, name, help, metric);
    }

    fn register_listing(&mut self) {
        let help = "Operations applied to the catalog";
        self.register("listed_operations", help, self.listed_operations.clone());
        let help = "Listing transactions that failed";
        self.register("listing_failures", help, self.listing_failures.clone());
        let help =
            "Contents whose rows the database refused here, and which are listed as UNLISTABLE";
        self.register("unlistable_rows", help, self.unlistable_rows.clone());
        let help = "Operations in one listing transaction";
        let operations = self.listing_batch_operations.clone();
        self.register("listing_operations", help, operations);
        let help = "Batches of nodes merged into one listing transaction";
        let batches = self.listing_merged_batches.clone();
        self.register("listing_batches", help, batches);
        let help = "Time of one listing transaction";
        let transaction = self.listing_transaction_seconds.clone();
        self.register("listing_transaction_seconds", help, transaction);
        let help = "Time that a batch waits for its transaction";
        let wait = self.listing_wait_seconds.clone();
        self.register("listing_wait_seconds", help, wait);
        let help = "Time from storing to listing, of the oldest change of a transaction";
        let delay = self.listing_delay_seconds.clone();
        self.register("listing_delay_seconds", help, delay);
        let help = "Whether the catalog database answers";
        self.register("catalog_up", help, self.catalog_up.clone());
    }

    fn register_decisions(&mut self) {
        let help = "Places handed out by GET /store";
        self.register("places", help, self.places.clone());
        let help = "Whether the coordinator answers";
        self.register("coordinator_up", help, self.coordinator_up.clone());
        let help = "Whether this distributor holds the office of the controller";
        self.register("controller", help, self.controller.clone());
        let help =
            "Whether nothing is copied, as over a third of the nodes that hold something is silent";
        self.register("copying_held", help, self.copying_held.clone());
        let help = "Changes of shard records that were made here, by reason";
        self.register("shard_changes", help, self.shard_changes.clone());
        // Of what did not happen yet there were none: an increase is seen from the first one on.
        for reason in REASONS {
            self.changes_of(reason).inc_by(0);
        }
        let help = "Shards of which an operator chose a copy here, and lost what only others had";
        self.register("unclean_recoveries", help, self.unclean_recoveries.clone());
    }

    /// Takes over what is so at this moment: nobody ticks while the catalog is away.
    fn note_controller(&self, controller: &Controller) {
        let (up, in_office) = (controller.hears_register(), controller.in_office());
        self.coordinator_up.set(i64::from(up));
        self.controller.set(i64::from(in_office));
        let held = controller.holds_copying();
        self.copying_held.set(i64::from(held));
    }

    /// Counts a change of a shard's record that was made here.
    pub(crate) fn shard_changed(&self, reason: Reason) {
        self.changes_of(reason).inc();
    }

    fn changes_of(&self, reason: Reason) -> Counter {
        let reason = word(reason);
        self.shard_changes
            .get_or_create_owned(&ReasonLabels { reason })
    }

    /// Everything of a distributor, as OpenMetrics text.
    ///
    /// # Errors
    /// When a measure cannot be written as text, which none of ours can't.
    pub(crate) fn text(shared: &Shared) -> Result<String, std::fmt::Error> {
        shared.metrics.note_controller(&shared.controller);
        let (moment, process) = (moment::read(shared), measures::process());
        measures::text(&[
            &shared.metrics.registry,
            moment.registry(),
            process.registry(),
        ])
    }
}

/// A reason, as its label says it.
fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Restored => "restored",
        Reason::Elected => "elected",
        Reason::HandedOver => "handed_over",
        Reason::Full => "full",
        Reason::Lost => "lost",
        Reason::Made => "made",
        Reason::Behind => "behind",
        Reason::Added => "added",
        Reason::Removed => "removed",
        Reason::Eased => "eased",
        Reason::Recovered => "recovered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, dashboards and alerts show nothing.
    #[test]
    fn measures_appear_under_their_names() {
        let metrics = Metrics::new();
        metrics.catalog_up.set(1);
        metrics.listed_operations.inc_by(3);
        metrics.listing_delay_seconds.observe(700.0);
        metrics.shard_changed(Reason::HandedOver);
        let text = measures::text(&[&metrics.registry]).expect("writes");
        for line in [
            "acequia_dist_catalog_up 1",
            "acequia_dist_controller 0",
            "acequia_dist_listed_operations_total 3",
            "acequia_dist_listing_failures_total 0",
            "acequia_dist_unlistable_rows_total 0",
            "acequia_dist_copying_held 0",
            "acequia_dist_listing_delay_seconds_sum 700.0",
            "acequia_dist_shard_changes_total{reason=\"handed_over\"} 1",
            // An increase is seen from the first one on.
            "acequia_dist_shard_changes_total{reason=\"elected\"} 0",
            "acequia_dist_shard_changes_total{reason=\"recovered\"} 0",
            "acequia_dist_unclean_recoveries_total 0",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}: {text}");
        }
        let finite = text.lines().filter(|line| {
            line.starts_with("acequia_dist_listing_delay_seconds_bucket") && line.ends_with(" 1")
        });
        assert_eq!(finite.count(), 4, "700 s is no infinite delay");
    }
}
