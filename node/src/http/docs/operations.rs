//! What a node does, operation by operation.

use serde_json::json;
use service::openapi::examples::{document, line, receipt};
use service::openapi::{
    Access, Body, Header, Operation, Parameter, flag, label, number, schema_of, text,
};
use wire::content::{ContentRow, Describe, Receipt, StoreOutcomes};
use wire::integrity::{GiveUp, GivenUp, LostReport, ScrubReport, Verified};
use wire::shard::ShardNews;
use wire::stats::NodeStats;
use wire::{Code, routes};

const LSN: Parameter = Parameter {
    name: "lsn",
    place: "path",
    schema: number,
    help: "The record's number in the shard's log",
};
const WAIT: Parameter = Parameter::query(
    "wait",
    || json!({"type": "string", "enum": ["committed", "listed"]}),
    "Answer as soon as it is durable, or only when it is in the catalog",
);

/// The headers of an answer that has, or stands for, a content.
const OF_CONTENT: [Header; 3] = [
    Header::text("ETag", "The hash of its bytes, for `If-Match`"),
    Header::text("Last-Modified", "When it was changed"),
    Header {
        schema: number,
        ..Header::text("X-Content-Version", "Its version")
    },
];
const RANGE: Header = Header {
    always: false,
    ..Header::text("Content-Range", "Which part it is, if there is one")
};

/// What every change may answer.
const OF_CHANGES: [Code; 9] = [
    Code::MalformedId,
    Code::NotFound,
    Code::Deleted,
    Code::PreconditionFailed,
    Code::WrongNode,
    Code::NoLeader,
    Code::Uncertain,
    Code::Damaged,
    Code::StorageFull,
];

/// What an upload or an update may answer beside that.
const OF_BYTES: [Code; 8] = [
    Code::InvalidMetadata,
    Code::IdRefused,
    Code::DigestMismatch,
    Code::Conflict,
    Code::InProgress,
    Code::ShardClosed,
    Code::MalformedMultipart,
    Code::NoFile,
];

/// What every read of a content may answer.
const OF_READS: [Code; 5] = [
    Code::MalformedId,
    Code::NotFound,
    Code::Deleted,
    Code::NoLeader,
    Code::Damaged,
];

/// All of them.
pub(super) fn all() -> Vec<Operation> {
    let itself = ["get", "head"].map(itself).concat();
    let parts = [uploads(), changes(), reads(), copies(), itself];
    parts.into_iter().flatten().collect()
}

fn one_or_several() -> Body {
    Body::Json(|schemas| {
        let one = schema_of::<Receipt>(schemas);
        json!({ "anyOf": [one, schema_of::<StoreOutcomes>(schemas)] })
    })
}

fn uploads() -> Vec<Operation> {
    vec![
        Operation::new("post", routes::STORE, "Stores the files of a form.")
            .takes(&[WAIT])
            .body(Body::Form)
            .answers(200, one_or_several())
            .answers(207, Body::Json(schema_of::<StoreOutcomes>))
            .fails(&OF_CHANGES)
            .fails(&OF_BYTES),
        Operation::new(
            "put",
            routes::STORE_ID,
            "Stores a content: the body is its bytes.",
        )
        .takes(&[
            Parameter::ID,
            WAIT,
            Parameter::query("filename", text, "Its name"),
            Parameter::query("collection", label, "Its collection"),
            Parameter::query("attributes", text, "Its attributes, a JSON object"),
            Parameter::header(
                "Repr-Digest",
                "The hash of its bytes, compared with what arrives",
            ),
        ])
        .body(Body::Bytes("application/octet-stream"))
        .gives::<Receipt>()
        .fails(&OF_CHANGES)
        .fails(&OF_BYTES),
    ]
}

fn changes() -> Vec<Operation> {
    let form = |method| {
        Operation::new(
            method,
            routes::UPDATE,
            "Replaces the content that the field `id` names.",
        )
        .takes(&[WAIT, Parameter::IF_MATCH])
        .body(Body::Form)
        .answers(200, one_or_several())
        .example(json!(receipt("updated", 2)))
        .answers(207, Body::Json(schema_of::<StoreOutcomes>))
        .fails(&OF_CHANGES)
        .fails(&OF_BYTES)
    };
    let bytes = |method| {
        Operation::new(
            method,
            routes::UPDATE_ID,
            "Replaces a content by its next version.",
        )
        .takes(&[Parameter::ID, WAIT, Parameter::IF_MATCH])
        .body(Body::Bytes("application/octet-stream"))
        .gives::<Receipt>()
        .example(json!(receipt("updated", 2)))
        .fails(&OF_CHANGES)
        .fails(&OF_BYTES)
    };
    vec![
        form("put"),
        form("post"),
        bytes("put"),
        bytes("post"),
        Operation::new("delete", routes::DELETE_ID, "Deletes a content for good.")
            .takes(&[Parameter::ID, WAIT, Parameter::IF_MATCH])
            .gives::<Receipt>()
            .example(json!(receipt("deleted", 1)))
            .fails(&OF_CHANGES),
        Operation::new("put", routes::DESCRIBE_ID, "Changes a content's metadata.")
            .takes(&[Parameter::ID, WAIT, Parameter::IF_MATCH])
            .body(Body::Json(schema_of::<Describe>))
            .gives::<Receipt>()
            .example(json!(receipt("described", 1)))
            .fails(&OF_CHANGES)
            .fails(&[Code::InvalidMetadata]),
    ]
}

fn reads() -> Vec<Operation> {
    let retrieve = |method| {
        Operation::new(method, routes::RETRIEVE_ID, "A content's bytes.")
            .takes(&[
                Parameter::ID,
                Parameter::query("version", number, "Only this version"),
                Parameter::query("download", flag, "To be saved, and not shown"),
                Parameter::header("Range", "Parts of it"),
                Parameter::header("If-Range", "Parts only if this is the current version"),
                Parameter::header("If-Match", "Only if this is the current version"),
                Parameter::header("If-None-Match", "Only if this is not the current version"),
                Parameter::header("If-Modified-Since", "Only if it changed since"),
            ])
            .answers(200, Body::Bytes("*/*"))
            .sends(&OF_CONTENT)
            .answers(206, Body::Bytes("*/*"))
            .sends(&OF_CONTENT)
            .sends(&[RANGE])
            .answers(304, Body::Nothing)
            .sends(&OF_CONTENT)
            .answers(307, Body::Nothing)
            .fails(&OF_READS)
            .fails(&[Code::PreconditionFailed, Code::RangeNotSatisfiable])
    };
    vec![
        retrieve("get"),
        retrieve("head"),
        Operation::new(
            "get",
            routes::INFO_ID,
            "A content's metadata, from the log.",
        )
        .takes(&[Parameter::ID])
        .gives::<ContentRow>()
        .answers(307, Body::Nothing)
        .fails(&OF_READS),
        Operation::new("get", routes::LOG, "The operation log, as JSON lines.")
            .takes(&[
                Parameter::query("shard", number, "Only this shard's"),
                Parameter::query("after", number, "Only what came after this record"),
                Parameter::query("limit", number, "How many lines at most"),
            ])
            .answers(200, Body::Bytes("application/jsonl"))
            .example(json!(format!("{}\n", json!(line()))))
            .fails(&[Code::NotFound, Code::NoLeader, Code::Damaged]),
        Operation::new(
            "get",
            routes::VERIFY_ID,
            "Reads this copy again, and hashes it.",
        )
        .takes(&[Parameter::ID])
        .gives::<Verified>()
        .fails(&OF_READS),
    ]
}

fn copies() -> Vec<Operation> {
    vec![
        Operation::new(
            "get",
            routes::RECORD,
            "A committed record, as it is in the log.",
        )
        .access(Access::Service)
        .takes(&[Parameter::SHARD, LSN])
        .answers(200, Body::Bytes("application/octet-stream"))
        .fails(&[Code::NotFound, Code::Deleted, Code::Damaged]),
        Operation::new(
            "get",
            routes::NEEDED_ID,
            "The records that a content needs.",
        )
        .access(Access::Service)
        .takes(&[Parameter::ID])
        .answers(
            200,
            Body::Json(|_| json!({"type": "array", "items": number()})),
        )
        .example(json!([1207]))
        .fails(&OF_READS),
        Operation::new("post", routes::SHARD, "There is a newer record of a shard.")
            .access(Access::Service)
            .takes(&[Parameter::SHARD])
            .body(Body::Json(schema_of::<ShardNews>))
            .answers(204, Body::Nothing)
            .fails(&[Code::WrongCluster]),
        Operation::new(
            "post",
            routes::LINK,
            "What replicas say to each other, both bodies streaming.",
        )
        .access(Access::Service)
        .body(Body::Bytes("application/octet-stream"))
        .answers(200, Body::Bytes("application/octet-stream"))
        .fails(&[Code::WrongCluster]),
        Operation::new(
            "get",
            routes::LOST,
            "What is lost of each replica, and whether another copy has it.",
        )
        .gives::<LostReport>(),
        Operation::new(
            "post",
            routes::GIVE_UP,
            "Gives up what is lost of a shard here.",
        )
        .takes(&[Parameter::SHARD])
        .body(Body::Json(schema_of::<GiveUp>))
        .gives::<GivenUp>()
        .fails(&[Code::NotFound, Code::NeedsForce, Code::NoLeader]),
        Operation::new("get", routes::SCRUB, "How far each replica's scrub is.")
            .gives::<ScrubReport>(),
        Operation::new(
            "post",
            routes::SCRUB,
            "Begins a full pass over every replica.",
        )
        .answers(202, Body::Json(|_| json!({"type": "object"})))
        .example(json!({"status": "begun"})),
    ]
}

fn itself(method: &'static str) -> Vec<Operation> {
    let object = || Body::Json(|_| json!({"type": "object"}));
    let open = |path, help| Operation::new(method, path, help).access(Access::Open);
    vec![
        Operation::new(
            method,
            routes::STATS,
            "What placement needs to know of the node.",
        )
        .gives::<NodeStats>(),
        Operation::new(method, routes::METRICS, "Metrics, for Prometheus.")
            .answers(200, Body::Bytes("application/openmetrics-text")),
        open(routes::HEALTH_LIVE, "Whether the process answers.")
            .answers(200, object())
            .example(json!({"status": "ok"})),
        open(routes::HEALTH_READY, "Whether it can serve.")
            .answers(200, object())
            .example(json!({"status": "ok"}))
            .answers(503, object())
            .example(json!({"status": "unready", "reason": "a shard's log failed: restart the node, and look after its disk"})),
        open(routes::OPENAPI, "This description.")
            .answers(200, object())
            .example(document()),
        open(routes::DOCS, "This description, for people.").answers(200, Body::Bytes("text/html")),
        open(routes::DOCS_SCRIPT, "What fills that page.")
            .answers(200, Body::Bytes("text/javascript")),
        open(routes::DOCS_STYLE, "How that page looks.").answers(200, Body::Bytes("text/css")),
    ]
}
