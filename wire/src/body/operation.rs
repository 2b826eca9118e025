//! The operation log: what a client sees of a shard's records.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::checksum::Checksum;
use crate::id::ContentId;
use crate::position::{Epoch, Lsn, ShardNo};
use crate::timestamp::Timestamp;

/// What a committed record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// A content's first version.
    Upload,
    /// A later version.
    Update,
    /// A change of metadata.
    Describe,
    /// The end of a content.
    Delete,
    /// A leader's term began.
    Epoch,
}

/// One line of `GET /log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The shard whose log this is.
    pub shard: ShardNo,
    /// The record's position.
    pub lsn: Lsn,
    /// The epoch it was appended in.
    pub epoch: Epoch,
    /// What it did.
    pub operation: OperationKind,
    /// To which content; none for `epoch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ContentId>,
    /// The content's version after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The content's size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The content's hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Checksum>,
    /// When the leader appended it.
    pub time: Timestamp,
}
