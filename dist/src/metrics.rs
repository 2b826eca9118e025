//! What is counted and measured, for Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// A kind of request and its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RequestLabels {
    pub(crate) method: &'static str,
    pub(crate) route: String,
    pub(crate) status: u16,
}

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) method: &'static str,
    pub(crate) route: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct NodeLabels {
    pub(crate) node: String,
}

type ByNode = Family<NodeLabels, Gauge<f64, AtomicU64>>;

/// All measures of a distributor.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: Family<RequestLabels, Counter>,
    pub(crate) request_seconds: Family<RouteLabels, Histogram>,
    pub(crate) listed_operations: Counter,
    pub(crate) listing_failures: Counter,
    pub(crate) listing_batch_operations: Histogram,
    pub(crate) listing_merged_batches: Histogram,
    pub(crate) listing_transaction_seconds: Histogram,
    pub(crate) listing_wait_seconds: Histogram,
    pub(crate) listing_delay_seconds: Histogram,
    pub(crate) places: Family<NodeLabels, Counter>,
    pub(crate) catalog_up: Gauge,
    pub(crate) coordinator_up: Gauge,
    pub(crate) controller: Gauge,
    pub(crate) unclean_recoveries: Counter,
    pub(crate) node_up: ByNode,
    pub(crate) node_storage_bytes: ByNode,
    pub(crate) node_max_storage_bytes: ByNode,
    pub(crate) node_contents: ByNode,
    pub(crate) node_unlisted: ByNode,
}

/// 50 µs to 13 s, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 19))
}

/// 1 to 8192, doubling.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 14))
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("acequia_dist"),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            listed_operations: Counter::default(),
            listing_failures: Counter::default(),
            listing_batch_operations: counts(),
            listing_merged_batches: counts(),
            listing_transaction_seconds: seconds(),
            listing_wait_seconds: seconds(),
            listing_delay_seconds: seconds(),
            places: Family::default(),
            catalog_up: Gauge::default(),
            coordinator_up: Gauge::default(),
            controller: Gauge::default(),
            unclean_recoveries: Counter::default(),
            node_up: Family::default(),
            node_storage_bytes: Family::default(),
            node_max_storage_bytes: Family::default(),
            node_contents: Family::default(),
            node_unlisted: Family::default(),
        };
        metrics.register_requests();
        metrics.register_listing();
        metrics.register_nodes();
        metrics
    }

    fn register_requests(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        let help = "Time from a request's head to its answer's head";
        registry.register("request_seconds", help, self.request_seconds.clone());
        registry.register(
            "places",
            "Places handed out by GET /store",
            self.places.clone(),
        );
    }

    fn register_listing(&mut self) {
        let registry = &mut self.registry;
        let help = "Operations applied to the catalog";
        registry.register("listed_operations", help, self.listed_operations.clone());
        let help = "Listing transactions that failed";
        registry.register("listing_failures", help, self.listing_failures.clone());
        let help = "Operations in one listing transaction";
        registry.register(
            "listing_operations",
            help,
            self.listing_batch_operations.clone(),
        );
        let help = "Batches of nodes merged into one listing transaction";
        registry.register("listing_batches", help, self.listing_merged_batches.clone());
        let help = "Time of one listing transaction";
        let transaction = self.listing_transaction_seconds.clone();
        registry.register("listing_transaction_seconds", help, transaction);
        let help = "Time that a batch waits for its transaction";
        registry.register(
            "listing_wait_seconds",
            help,
            self.listing_wait_seconds.clone(),
        );
        let help = "Time from storing to listing, of the oldest change of a transaction";
        registry.register(
            "listing_delay_seconds",
            help,
            self.listing_delay_seconds.clone(),
        );
        let help = "Whether the catalog database answers";
        registry.register("catalog_up", help, self.catalog_up.clone());
        let help = "Whether the coordinator answers";
        registry.register("coordinator_up", help, self.coordinator_up.clone());
    }

    fn register_nodes(&mut self) {
        let registry = &mut self.registry;
        let help = "Whether this distributor is the controller";
        registry.register("controller", help, self.controller.clone());
        let help = "Shards of which an operator chose a copy here, and lost what only others had";
        registry.register("unclean_recoveries", help, self.unclean_recoveries.clone());
        registry.register("node_up", "Whether a node is used", self.node_up.clone());
        let help = "What a node's data takes on its disk";
        registry.register("node_storage_bytes", help, self.node_storage_bytes.clone());
        let help = "The most that a node may store";
        registry.register(
            "node_max_storage_bytes",
            help,
            self.node_max_storage_bytes.clone(),
        );
        registry.register(
            "node_contents",
            "Live contents of a node",
            self.node_contents.clone(),
        );
        let help = "Committed records of a node that are not listed yet";
        registry.register("node_unlisted", help, self.node_unlisted.clone());
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: a string takes whatever is written.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
