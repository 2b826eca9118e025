//! One content: where it goes, what it is, what is said of it.

use serde_json::{Value, json};
use wire::content::{
    ContentItem, ContentPage, ContentRow, Describe, Receipt, Status, StoreOutcome, StoreOutcomes,
};
use wire::integrity::Verified;
use wire::listing::{
    ListedOperation, ListingBatch, ListingOutcome, ListingOutcomes, ListingPart, ListingStep,
};
use wire::operation::{Operation, OperationKind};
use wire::placement::Place;
use wire::{Checksum, Code, ContentId, Epoch, ErrorBody, Lsn, Position, ShardNo, Timestamp};

use super::{NODE_URL, of};

fn id() -> ContentId {
    of("01a1fc2b-96da-8000-8630-5262874386d8")
}

fn checksum() -> Checksum {
    of("blake3:9e7ae252fc91c45e9dd56f7c57e607b3b9841a0c2539a7886b538e8ab20065d1")
}

fn at(lsn: u64) -> Position {
    Position {
        epoch: Epoch(3),
        lsn: Lsn(lsn),
    }
}

pub(super) fn place() -> Place {
    Place {
        uri: format!("{NODE_URL}/store"),
        node: of("node1"),
        id: id(),
        explain: None,
    }
}

fn attributes() -> serde_json::Map<String, Value> {
    let author = ("author".to_owned(), json!("Ada"));
    [author].into_iter().collect()
}

pub(super) fn row() -> ContentRow {
    let stored: Timestamp = of("2026-11-21T03:34:37.628Z");
    ContentRow {
        id: id(),
        filename: "README.md".to_owned(),
        size: 3045,
        content_type: "text/markdown".to_owned(),
        checksum: checksum(),
        version: 1,
        collection: Some("docs".to_owned()),
        attributes: Some(attributes()),
        created_date: stored,
        updated_date: stored,
    }
}

pub(super) fn item() -> ContentItem {
    ContentItem {
        row: row(),
        status: Status::Ok,
        uri: NODE_URL.to_owned(),
        url: format!("{NODE_URL}/retrieve/{}", id()),
        uris: vec![NODE_URL.to_owned(), "http://127.0.0.1:8002".to_owned()],
    }
}

pub(super) fn page() -> ContentPage {
    ContentPage {
        items: vec![item()],
        next: Some(id().to_string()),
    }
}

pub(super) fn describe() -> Describe {
    Describe {
        filename: Some("README.md".to_owned()),
        content_type: Some("text/markdown".to_owned()),
        attributes: Some(attributes()),
    }
}

/// What is said of a change: what was done, and which version it is of.
pub fn receipt(done: &str, version: u64) -> Receipt {
    Receipt {
        id: id(),
        message: format!("Content successfully {done}. ID: {}", id()),
        filename: "README.md".to_owned(),
        version,
        size: 3045,
        checksum: checksum(),
        nodes: vec![of("node1"), of("node2")],
        degraded: false,
        status: Status::Ok,
    }
}

pub(super) fn outcomes() -> StoreOutcomes {
    let failed = ErrorBody::new(
        Code::InvalidMetadata,
        Code::InvalidMetadata.meaning(),
        "59d7abc8b8a10ce0",
    );
    StoreOutcomes {
        items: vec![
            StoreOutcome::Stored(receipt("uploaded", 1)),
            StoreOutcome::Failed(failed),
        ],
    }
}

pub(super) fn verified() -> Verified {
    Verified {
        id: id(),
        version: 1,
        size: 3045,
        checksum: checksum(),
        lsn: Lsn(1207),
        ok: true,
    }
}

pub(super) fn batch() -> ListingBatch {
    let step = ListingStep::Follow {
        after: at(1206),
        upto: at(1207),
        operations: vec![ListedOperation::Upsert(row())],
    };
    ListingBatch {
        node: of("node1"),
        parts: vec![ListingPart {
            shard: ShardNo(1),
            step,
        }],
    }
}

pub(super) fn listed() -> ListingOutcomes {
    ListingOutcomes {
        parts: vec![ListingOutcome {
            shard: ShardNo(1),
            applied: true,
            listed: at(1207),
            unlistable: Vec::new(),
        }],
    }
}

/// A line of the operation log.
pub fn line() -> Operation {
    Operation {
        shard: ShardNo(1),
        lsn: Lsn(1207),
        epoch: Epoch(3),
        operation: OperationKind::Upload,
        id: Some(id()),
        version: Some(1),
        size: Some(3045),
        hash: Some(checksum()),
        time: of("2026-11-21T03:34:37.628Z"),
    }
}
