//! What the distributor does, operation by operation.

use serde_json::json;
use service::openapi::examples::{document, draining, rebalancing, receipt};
use service::openapi::{Access, Body, Operation, Parameter, flag, label, number, schema_of, text};
use wire::content::{ContentItem, ContentPage, Describe, Receipt};
use wire::history::StatsHistory;
use wire::limits::{PAGE_ROWS_MAX, PLACES_PER_REQUEST_MAX};
use wire::listing::{ListingBatch, ListingOutcomes};
use wire::membership::{Heartbeat, HeartbeatAnswer, NodeEntry, NodeRemoved, NodesAnswer, ShardMap};
use wire::placement::{Place, Places};
use wire::recovery::{RecoverShard, ShardRecovered, WaitingShards};
use wire::shard::{ChangeShard, ShardChanged, ShardRecord};
use wire::stats::ClusterStats;
use wire::{Code, routes};

const COLLECTION: Parameter = Parameter::query(
    "collection",
    label,
    "Its collection, or contents of this one",
);

/// What a question to the shard's leader may answer.
const AT_LEADER: [Code; 7] = [
    Code::MalformedId,
    Code::NotFound,
    Code::Deleted,
    Code::Damaged,
    Code::NoLeader,
    Code::NodeUnreachable,
    Code::CatalogUnavailable,
];

/// What a change there may answer beside that.
const OF_CHANGES: [Code; 3] = [Code::PreconditionFailed, Code::Uncertain, Code::StorageFull];

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let parts = [placement(), contents(), nodes(), shards(), itself()];
    parts.into_iter().flatten().collect()
}

fn placement() -> Vec<Operation> {
    let count = || json!({"type": "integer", "minimum": 1, "maximum": PLACES_PER_REQUEST_MAX});
    let store = Operation::new("get", routes::STORE, "A place for an upload.")
        .takes(&[
            Parameter::query("size", number, "Bytes that it must have room for"),
            Parameter::query("count", count, "How many places: the answer is a list then"),
            COLLECTION,
            Parameter::query("explain", flag, "What was thought of each node"),
        ])
        .answers(
            200,
            Body::Json(|schemas| {
                let (one, many) = (schema_of::<Place>(schemas), schema_of::<Places>(schemas));
                json!({ "anyOf": [one, many] })
            }),
        )
        .fails(&[Code::InvalidMetadata, Code::NoNode, Code::StorageFull]);
    vec![store]
}

fn contents() -> Vec<Operation> {
    let limit = || json!({"type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX});
    let sort = || json!({"type": "string", "enum": ["id", "-id", "name", "-name"]});
    vec![
        Operation::new(
            "get",
            routes::CONTENT,
            "A page of the catalog, in the order of ids.",
        )
        .takes(&[
            Parameter::query("limit", limit, "How many at most"),
            Parameter::query(
                "after",
                text,
                "The `next` of the page before: an id, and in an order by name a slash and a name",
            ),
            Parameter::query(
                "filename",
                text,
                "This name, or all that begin so, with `*` at its end",
            ),
            COLLECTION,
            Parameter::query(
                "sort",
                sort,
                "The order; take `next` along with the same one",
            ),
        ])
        .gives::<ContentPage>()
        .fails(&[
            Code::MalformedId,
            Code::InvalidMetadata,
            Code::CatalogUnavailable,
        ]),
        Operation::new(
            "post",
            routes::CONTENT,
            "Lists committed records of a node.",
        )
        .access(Access::Service)
        .body(Body::Json(schema_of::<ListingBatch>))
        .gives::<ListingOutcomes>()
        .fails(&[Code::CatalogUnavailable, Code::WrongCluster]),
        Operation::new("get", routes::CONTENT_ID, "One content, and where it is.")
            .takes(&[
                Parameter::ID,
                Parameter::query(
                    "min_version",
                    number,
                    "Asks the leader if the catalog is behind it",
                ),
            ])
            .gives::<ContentItem>()
            .fails(&AT_LEADER),
        Operation::new("put", routes::CONTENT_ID, "Changes a content's metadata.")
            .takes(&[Parameter::ID, Parameter::IF_MATCH])
            .body(Body::Json(schema_of::<Describe>))
            .gives::<Receipt>()
            .example(json!(receipt("described", 1)))
            .fails(&AT_LEADER)
            .fails(&OF_CHANGES)
            .fails(&[Code::InvalidMetadata]),
        Operation::new("delete", routes::CONTENT_ID, "Deletes a content for good.")
            .takes(&[Parameter::ID, Parameter::IF_MATCH])
            .gives::<Receipt>()
            .example(json!(receipt("deleted", 1)))
            .fails(&AT_LEADER)
            .fails(&OF_CHANGES),
    ]
}

fn history() -> Operation {
    let step = || json!({"type": "integer", "minimum": 1});
    Operation::new(
        "get",
        routes::STATS_HISTORY,
        "Averages over time, of the cluster or of one node.",
    )
    .takes(&[
        Parameter::query("node", label, "Of this node alone"),
        Parameter::query(
            "from",
            text,
            "The beginning; an hour before its end if left out",
        ),
        Parameter::query("to", text, "The end, exclusively; now if left out"),
        Parameter::query("step", step, "The length of a step, in seconds"),
    ])
    .gives::<StatsHistory>()
    .fails(&[Code::CatalogUnavailable])
}

fn nodes() -> Vec<Operation> {
    let orders = [Code::NotFound, Code::CatalogUnavailable];
    let drain = "The node shall hold nothing any more.";
    let undrain = "The node is one like the others again.";
    let force = Parameter::query("force", flag, "Although shards name it; only if it is down");
    vec![
        Operation::new(
            "get",
            routes::NODES,
            "Every service by name, and every shard.",
        )
        .gives::<NodesAnswer>(),
        Operation::new("delete", routes::NODE, "The node is gone for good.")
            .takes(&[Parameter::NODE, force])
            .gives::<NodeRemoved>()
            .fails(&orders)
            .fails(&[Code::NodeInUse]),
        Operation::new("post", routes::DRAIN, drain)
            .takes(&[Parameter::NODE])
            .gives::<NodeEntry>()
            .example(json!(draining()))
            .fails(&orders),
        Operation::new("delete", routes::DRAIN, undrain)
            .takes(&[Parameter::NODE])
            .gives::<NodeEntry>()
            .fails(&orders),
        Operation::new(
            "post",
            routes::REBALANCE,
            "Nodes shall become equally full.",
        )
        .gives::<NodesAnswer>()
        .example(json!(rebalancing()))
        .fails(&[Code::CatalogUnavailable]),
        Operation::new(
            "delete",
            routes::REBALANCE,
            "No further replicas shall be moved.",
        )
        .gives::<NodesAnswer>()
        .fails(&[Code::CatalogUnavailable]),
        Operation::new("post", routes::HEARTBEAT, "A node's sign of life.")
            .access(Access::Service)
            .takes(&[Parameter::NODE])
            .body(Body::Json(schema_of::<Heartbeat>))
            .gives::<HeartbeatAnswer>()
            .fails(&[Code::NodeRemoved, Code::NameTaken, Code::WrongCluster]),
    ]
}

fn shards() -> Vec<Operation> {
    vec![
        Operation::new(
            "get",
            routes::SHARDS,
            "Every shard's record, and every node's addresses.",
        )
        .access(Access::Service)
        .gives::<ShardMap>(),
        Operation::new("get", routes::SHARD, "One shard's record.")
            .access(Access::Service)
            .takes(&[Parameter::SHARD])
            .gives::<ShardRecord>()
            .fails(&[Code::NotFound]),
        Operation::new(
            "post",
            routes::SHARD,
            "Replaces a shard's record, if it is the one before.",
        )
        .access(Access::Service)
        .takes(&[Parameter::SHARD])
        .body(Body::Json(schema_of::<ChangeShard>))
        .gives::<ShardChanged>()
        .fails(&[Code::CatalogUnavailable]),
        Operation::new(
            "get",
            routes::RECOVERY,
            "The shards that wait, and what is left of them.",
        )
        .gives::<WaitingShards>()
        .fails(&[Code::CatalogUnavailable]),
        Operation::new("post", routes::RECOVER, "Makes one node's copy the shard.")
            .takes(&[Parameter::SHARD])
            .body(Body::Json(schema_of::<RecoverShard>))
            .gives::<ShardRecovered>()
            .fails(&[
                Code::NotFound,
                Code::NotWaiting,
                Code::NoCopy,
                Code::NeedsForce,
                Code::CatalogUnavailable,
                Code::Uncertain,
            ]),
    ]
}

fn itself() -> Vec<Operation> {
    let object = || Body::Json(|_| json!({"type": "object"}));
    let ok = json!({"status": "OK"});
    let open = |path, help, media| {
        Operation::new("get", path, help)
            .access(Access::Open)
            .answers(200, Body::Bytes(media))
    };
    vec![
        Operation::new(
            "get",
            routes::STATS,
            "Every node's statistics, their sums, and every shard.",
        )
        .gives::<ClusterStats>(),
        history(),
        Operation::new("get", routes::METRICS, "Metrics, for Prometheus.")
            .answers(200, Body::Bytes("application/openmetrics-text")),
        Operation::new("get", routes::HEALTH_LIVE, "Whether the process answers.")
            .access(Access::Open)
            .answers(200, object())
            .example(ok.clone()),
        Operation::new("get", routes::HEALTH_READY, "Whether it can serve.")
            .access(Access::Open)
            .answers(200, object())
            .example(ok)
            .fails(&[Code::CatalogUnavailable]),
        Operation::new("get", routes::OPENAPI, "This description.")
            .access(Access::Open)
            .answers(200, object())
            .example(document()),
        open(routes::DOCS, "This description, for people.", "text/html"),
        open(
            routes::DOCS_SCRIPT,
            "What fills that page.",
            "text/javascript",
        ),
        open(routes::DOCS_STYLE, "How that page looks.", "text/css"),
    ]
}
