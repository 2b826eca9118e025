//! The paths of both services. Handlers are registered under these, and clients build from them.

pub mod trace;

use crate::id::ContentId;
use crate::name::NodeName;
use crate::position::{Lsn, ShardNo};

/// A distributor's: where to upload. A node's: upload here.
pub const STORE: &str = "/store";
/// A node's: upload one content under an id of one's own choice.
pub const STORE_ID: &str = "/store/{id}";
/// A node's: read a content.
pub const RETRIEVE_ID: &str = "/retrieve/{id}";
/// A node's: replace a content, named by a field `id`.
pub const UPDATE: &str = "/update";
/// A node's: replace a content.
pub const UPDATE_ID: &str = "/update/{id}";
/// A node's: delete a content.
pub const DELETE_ID: &str = "/delete/{id}";
/// A node's: change a content's metadata.
pub const DESCRIBE_ID: &str = "/describe/{id}";
/// A node's: a content's metadata.
pub const INFO_ID: &str = "/info/{id}";
/// A node's: the link over which replicas speak, both bodies streaming.
pub const LINK: &str = "/link";
/// A node's: one record of a replica, for another one whose copy is damaged.
pub const RECORD: &str = "/record/{shard}/{lsn}";
/// A node's: which records a content needs, for the same.
pub const NEEDED_ID: &str = "/needed/{id}";
/// A node's: a content's hash, as its bytes are on the disk now.
pub const VERIFY_ID: &str = "/verify/{id}";
/// A node's: reading everything again, before somebody asks for it.
pub const SCRUB: &str = "/scrub";
/// A node's: records that are lost.
pub const LOST: &str = "/lost";
/// A node's: what is lost of a shard here is given up.
pub const GIVE_UP: &str = "/shards/{shard}/give-up";
/// A node's: the operation log.
pub const LOG: &str = "/log";
/// A distributor's: the catalog.
pub const CONTENT: &str = "/content";
/// A distributor's: one content's metadata.
pub const CONTENT_ID: &str = "/content/{id}";
/// A distributor's: the services.
pub const NODES: &str = "/nodes";
/// A distributor's: a service that is gone for good.
pub const NODE: &str = "/nodes/{name}";
/// A distributor's: a node that is to be emptied.
pub const DRAIN: &str = "/nodes/{name}/drain";
/// A distributor's: nodes shall become equally full.
pub const REBALANCE: &str = "/rebalance";
/// A distributor's: a node's sign of life.
pub const HEARTBEAT: &str = "/nodes/{name}/heartbeat";
/// A distributor's: every shard's record.
pub const SHARDS: &str = "/shards";
/// A distributor's: one shard's record. A node's: a newer one is told.
pub const SHARD: &str = "/shards/{shard}";
/// A distributor's: the shards that wait for an operator.
pub const RECOVERY: &str = "/recovery";
/// A distributor's: an operator's choice of a copy.
pub const RECOVER: &str = "/shards/{shard}/recover";
/// Both: statistics.
pub const STATS: &str = "/stats";
/// A distributor's: what statistics were.
pub const STATS_HISTORY: &str = "/stats/history";
/// Both: metrics for Prometheus.
pub const METRICS: &str = "/metrics";
/// Both: is the process alive?
pub const HEALTH_LIVE: &str = "/health/live";
/// Both: can it serve?
pub const HEALTH_READY: &str = "/health/ready";

/// Both: the description of the interface, in OpenAPI.
pub const OPENAPI: &str = "/openapi.json";
/// Both: the page that shows it.
pub const DOCS: &str = "/docs";
/// Both: what fills the page.
pub const DOCS_SCRIPT: &str = "/docs/page.js";
/// Both: how the page looks.
pub const DOCS_STYLE: &str = "/docs/page.css";

/// Every path, of either service.
pub const ALL: [&str; 36] = [
    STORE,
    STORE_ID,
    RETRIEVE_ID,
    UPDATE,
    UPDATE_ID,
    DELETE_ID,
    DESCRIBE_ID,
    INFO_ID,
    LINK,
    RECORD,
    NEEDED_ID,
    VERIFY_ID,
    SCRUB,
    LOST,
    GIVE_UP,
    LOG,
    CONTENT,
    CONTENT_ID,
    NODES,
    NODE,
    DRAIN,
    REBALANCE,
    HEARTBEAT,
    SHARDS,
    SHARD,
    RECOVERY,
    RECOVER,
    STATS,
    STATS_HISTORY,
    METRICS,
    HEALTH_LIVE,
    HEALTH_READY,
    OPENAPI,
    DOCS,
    DOCS_SCRIPT,
    DOCS_STYLE,
];

/// The header that carries the cluster key between services.
pub const CLUSTER_KEY_HEADER: &str = "x-cluster-key";
/// The header that names a request in logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// The header that names the trace that a request belongs to, see [`trace`].
pub const TRACE_HEADER: &str = "traceparent";
/// The header in which tracing programs keep what they need beside [`TRACE_HEADER`]; passed on as it is.
pub const TRACE_STATE_HEADER: &str = "tracestate";
/// The header that gives a content's version with its bytes.
pub const VERSION_HEADER: &str = "x-content-version";

/// A node's `/store/{id}`.
pub fn store(base: &str, id: ContentId) -> String {
    format!("{base}/store/{id}")
}

/// A node's `/retrieve/{id}`.
pub fn retrieve(base: &str, id: ContentId) -> String {
    format!("{base}/retrieve/{id}")
}

/// A node's `/update/{id}`.
pub fn update(base: &str, id: ContentId) -> String {
    format!("{base}/update/{id}")
}

/// A node's `/delete/{id}`.
pub fn delete(base: &str, id: ContentId) -> String {
    format!("{base}/delete/{id}")
}

/// A node's `/describe/{id}`.
pub fn describe(base: &str, id: ContentId) -> String {
    format!("{base}/describe/{id}")
}

/// A node's `/info/{id}`.
pub fn info(base: &str, id: ContentId) -> String {
    format!("{base}/info/{id}")
}

/// A node's `/record/{shard}/{lsn}`.
pub fn record(base: &str, shard: ShardNo, lsn: Lsn) -> String {
    format!("{base}/record/{shard}/{lsn}")
}

/// A node's `/needed/{id}`.
pub fn needed(base: &str, id: ContentId) -> String {
    format!("{base}/needed/{id}")
}

/// A node's `/verify/{id}`.
pub fn verify(base: &str, id: ContentId) -> String {
    format!("{base}/verify/{id}")
}

/// A node's `/link`.
pub fn link(base: &str) -> String {
    format!("{base}/link")
}

/// A distributor's or a node's `/shards/{shard}`.
pub fn shard(base: &str, shard: ShardNo) -> String {
    format!("{base}/shards/{shard}")
}

/// A distributor's `/shards/{shard}/recover`.
pub fn recover(base: &str, shard: ShardNo) -> String {
    format!("{base}/shards/{shard}/recover")
}

/// A node's `/shards/{shard}/give-up`.
pub fn give_up(base: &str, shard: ShardNo) -> String {
    format!("{base}/shards/{shard}/give-up")
}

/// A distributor's `/content/{id}`.
pub fn content(base: &str, id: ContentId) -> String {
    format!("{base}/content/{id}")
}

/// A distributor's `/nodes/{name}`.
pub fn node(base: &str, node: &NodeName) -> String {
    format!("{base}/nodes/{node}")
}

/// A distributor's `/nodes/{name}/drain`.
pub fn drain(base: &str, node: &NodeName) -> String {
    format!("{base}/nodes/{node}/drain")
}

/// A distributor's `/nodes/{name}/heartbeat`.
pub fn heartbeat(base: &str, node: &NodeName) -> String {
    format!("{base}/nodes/{node}/heartbeat")
}
