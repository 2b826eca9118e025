//! What is said of one content: its row in the catalog, and the receipt of a change.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::checksum::Checksum;
use crate::id::ContentId;
use crate::name::NodeName;
use crate::timestamp::Timestamp;

/// Whether a content is in the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum Status {
    /// Durable and listed.
    #[serde(rename = "OK")]
    Ok,
    /// Durable; not listed yet.
    #[serde(rename = "PENDING")]
    Pending,
    /// Durable, but the catalog refused its row.
    #[serde(rename = "UNLISTABLE")]
    Unlistable,
}

/// All metadata of one content at its current version: a row of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContentRow {
    /// Its id, which names its shard.
    pub id: ContentId,
    /// The name it was uploaded under; never a path.
    pub filename: String,
    /// In bytes.
    pub size: u64,
    /// Its media type.
    pub content_type: String,
    /// The BLAKE3 hash of its bytes.
    pub checksum: Checksum,
    /// 1 for the first upload, one more for each update.
    pub version: u64,
    /// The collection it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collection: Option<String>,
    /// The user's own attributes, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
    /// When version 1 was stored.
    pub created_date: Timestamp,
    /// When the current version, or its metadata, was stored.
    pub updated_date: Timestamp,
}

/// `GET /content/{id}`, and one of the `items` of `GET /content`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContentItem {
    /// The content's metadata.
    #[serde(flatten)]
    pub row: ContentRow,
    /// Whether it is listed.
    pub status: Status,
    /// The base URI of a node that has it; empty when no such node is known at this moment.
    pub uri: String,
    /// The whole link to its bytes; empty when `uri` is.
    pub url: String,
    /// The base URIs of all nodes that have it.
    pub uris: Vec<String>,
}

/// `GET /content`: one page of the catalog, in the order of ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ContentPage {
    /// At most `limit` contents.
    pub items: Vec<ContentItem>,
    /// What to send as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// `PUT /content/{id}` at a distributor, `PUT /describe/{id}` at a node: what to change; what is
/// absent stays.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Describe {
    /// The new file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// The new media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The new attributes, replacing all of the old.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub attributes: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What an acknowledged upload, update, describe or delete is worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// The content.
    pub id: ContentId,
    /// For people: `Content successfully uploaded. ID: …`.
    pub message: String,
    /// The file name it is stored under.
    pub filename: String,
    /// The version that was made (a delete: the version that was deleted).
    pub version: u64,
    /// In bytes.
    pub size: u64,
    /// The BLAKE3 hash of the content's bytes.
    pub checksum: Checksum,
    /// The nodes that hold it synced.
    pub nodes: Vec<NodeName>,
    /// Whether fewer nodes hold it than should.
    pub degraded: bool,
    /// Whether it is listed.
    pub status: Status,
}

/// One file's outcome in the answer to a multipart upload of several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StoreOutcome {
    /// It is stored.
    Stored(Receipt),
    /// It is not.
    Failed(crate::error::ErrorBody),
}

/// The answer to a multipart upload of several files, in the order of the files: 200 if all are
/// stored, 207 if not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreOutcomes {
    /// One outcome for each file.
    pub items: Vec<StoreOutcome>,
}
