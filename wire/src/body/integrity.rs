//! Whether copies are what they should be: one content's, and all that a node has; and what is lost of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::checksum::Checksum;
use crate::id::ContentId;
use crate::name::NodeName;
use crate::position::{Lsn, ShardNo};
use crate::timestamp::Timestamp;

/// `GET /verify/{id}` of a node: a content as its bytes are on this node's disk now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verified {
    /// Which content.
    pub id: ContentId,
    /// The version that is here.
    pub version: u64,
    /// Its size, in bytes.
    pub size: u64,
    /// The hash of the bytes that were read.
    pub checksum: Checksum,
    /// The last record of the content here.
    pub lsn: Lsn,
    /// Whether the hash is the one that the record tells.
    pub ok: bool,
}

/// `GET /scrub` of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScrubReport {
    /// What scrubs may read, in bytes per second.
    pub bytes_per_s: u64,
    /// Each replica, in the order of shards.
    pub replicas: Vec<ReplicaScrub>,
}

/// How far the scrub of one replica is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaScrub {
    /// Which shard.
    pub shard: ShardNo,
    /// When the pass that is under way began; none between two passes.
    pub begun: Option<Timestamp>,
    /// The share of the pass that is done, or of the last one: 0 to 1.
    pub share: f64,
    /// Records that it has read.
    pub records: u64,
    /// Bytes that it has read.
    pub bytes: u64,
    /// Damaged records that it has found.
    pub findings: u64,
    /// When the last pass ended; none before the first.
    pub finished: Option<Timestamp>,
    /// When the next pass begins by itself.
    pub next: Timestamp,
}

/// `GET /lost` of a node: what is lost of its replicas, in the order of shards.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LostReport {
    /// Only those of which something is lost.
    pub replicas: Vec<LostRecords>,
}

/// Records of one replica of which not even the header can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LostRecords {
    /// Which shard.
    pub shard: ShardNo,
    /// How many there may be; some may have been dropped before.
    pub records: u64,
    /// The first of them.
    pub first: Lsn,
    /// The last one.
    pub last: Lsn,
    /// A node whose copy has one of them: it is repaired from there by itself.
    pub held_by: Option<NodeName>,
    /// Nodes that have a copy, and do not tell whether it has them.
    pub unasked: Vec<NodeName>,
}

/// `POST /shards/{n}/give-up` of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct GiveUp {
    /// Also what another copy has, or may have.
    #[serde(default)]
    pub force: bool,
}

/// The answer to [`GiveUp`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GivenUp {
    /// Which shard.
    pub shard: ShardNo,
    /// The node whose replica it was.
    pub node: NodeName,
    /// How many records were given up at most; 0 when nothing was lost.
    pub records: u64,
    /// The first of them.
    pub first: Lsn,
    /// The last one.
    pub last: Lsn,
    /// Records that are lost still, because the replica serves what may be in them.
    pub left: u64,
    /// Whether they stay given up when the node starts again.
    pub lasting: bool,
}
