//! How nodes and distributors know of each other: heartbeats, the shard map, `GET /nodes`.

mod stuck;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::name::NodeName;
use crate::position::{Epoch, Lsn, Position, ShardNo};
use crate::shard::{Revision, ShardRecord, ShardState};

/// `POST /nodes/{name}/heartbeat`: a node says that it is there, and what it holds. The first one
/// registers the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// The cluster that the node belongs to; none on a fresh one.
    pub cluster: Option<Uuid>,
    /// The node's process: new at each start.
    pub incarnation: Uuid,
    /// The replica UUID that the node would make its next directory under. New at each start and
    /// after each use, so that a lost disk is never taken for the one it replaces.
    pub offer: Uuid,
    /// Base URI for other services.
    pub internal_url: String,
    /// Base URI for clients.
    pub public_url: String,
    /// The replicas that the node holds.
    pub replicas: Vec<ReplicaReport>,
    /// The version of the shard map that the node has; 0 for none.
    pub map_version: u64,
    /// The node is about to end: nobody should be sent there any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parting: bool,
    /// The nodes that it has a link with at this moment; none from a node that does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked: Option<BTreeSet<NodeName>>,
}

/// What a node says of one replica that it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaReport {
    /// Which shard.
    pub shard: ShardNo,
    /// The replica's UUID.
    pub replica: Uuid,
    /// The lineage of the shard record that the node has persisted.
    #[serde(default)]
    pub record_lineage: u64,
    /// That record's version.
    pub record_version: u64,
    /// That record's [`ShardRecord::mark`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_mark: Option<u32>,
    /// The record itself: in a process's first heartbeat, and when `want_records` asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<ShardRecord>,
    /// The last record appended and synced.
    pub end: Position,
    /// The last record known committed here.
    pub committed: Lsn,
    /// The log's size on disk in bytes, holes not counted.
    pub bytes: u64,
    /// Live contents.
    pub contents: u64,
    /// Contents whose copy here is damaged.
    pub damaged: u64,
    /// It is there, and serves at most what is committed, until the process starts again.
    #[serde(default)]
    pub halted: bool,
    /// Whether nothing is missing below its end: a copy that began from nothing is complete only from
    /// a certain record on.
    #[serde(default)]
    pub complete: bool,
    /// The log's name; none from a node that does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<u64>,
}

impl ReplicaReport {
    /// The revision of the shard record that the node has persisted.
    pub fn revision(&self) -> Revision {
        Revision {
            lineage: self.record_lineage,
            version: self.record_version,
        }
    }
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatAnswer {
    /// The cluster; a fresh node remembers it.
    pub cluster: Uuid,
    /// How long a node may be silent, in milliseconds.
    pub session_ms: u64,
    /// The version of the shard map.
    pub map_version: u64,
    /// The whole shard map, if the node has another version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<ShardMap>,
    /// The register knows less than the node: send the records with the next heartbeat.
    #[serde(default)]
    pub want_records: bool,
}

/// Everything needed to find any content: `id → shard → leader → address`.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShardMap {
    /// Every shard's record, in ascending order.
    pub shards: Vec<ShardRecord>,
    /// Every node's addresses.
    pub nodes: BTreeMap<NodeName, NodeAddress>,
}

/// A node's addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeAddress {
    /// Base URI for other services, without a slash at the end.
    pub internal_url: String,
    /// Base URI for clients, without a slash at the end.
    pub public_url: String,
}

/// `GET /nodes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodesAnswer {
    /// The cluster's UUID.
    pub cluster: Uuid,
    /// How many replicas each shard shall have, as this distributor is told; none from one that does
    /// not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u8>,
    /// Whether the coordinator answers this distributor, which asks it only while the catalog answers; none
    /// from one that does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coordinator: Option<bool>,
    /// Distributors and storage nodes by name.
    pub nodes: BTreeMap<NodeName, NodeEntry>,
    /// Every shard, in ascending order.
    #[serde(default)]
    pub shards: Vec<ShardEntry>,
    /// Whether replicas are being moved until nodes are equally full.
    #[serde(default)]
    pub rebalancing: bool,
}

/// What `GET /nodes` says of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NodeEntry {
    /// The host that clients reach it under.
    pub host: String,
    /// The port that clients reach it under.
    pub port: u16,
    /// Base URI for clients.
    pub public_url: String,
    /// What it is.
    pub role: ServiceRole,
    /// Whether it answers.
    pub health: Health,
    /// The shards whose replicas it holds; empty for a distributor.
    pub shards: Vec<NodeShard>,
    /// Set while the node is to be emptied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
}

/// What a node that is to be emptied still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Draining {
    /// Replicas that shard records still name; at 0 the node can be removed.
    pub replicas_left: u64,
    /// What others have yet to copy of them before they can go, in bytes.
    pub bytes_left: u64,
}

/// The answer to `DELETE /nodes/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeRemoved {
    /// The service that the cluster does not know any more.
    pub node: NodeName,
}

/// What a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceRole {
    /// Answers "where?" and keeps the catalog.
    Distributor,
    /// Keeps content.
    Node,
}

/// Whether a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It answers; it is used.
    Up,
    /// It does not answer; it is not used until it does.
    Down,
}

/// One replica in [`NodeEntry::shards`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeShard {
    /// Which shard.
    pub shard: ShardNo,
    /// Leader or follower.
    pub role: ReplicaRole,
    /// Whether the shard takes new content.
    pub state: ShardState,
    /// The shard's epoch.
    #[serde(default)]
    pub epoch: Epoch,
    /// Whether the replica must have synced a record before it is committed.
    #[serde(default)]
    pub in_sync: bool,
    /// Whether the shard acknowledges with fewer replicas in sync than should be.
    #[serde(default)]
    pub degraded: bool,
    /// How far the replica is.
    #[serde(flatten)]
    pub progress: Progress,
}

/// How far a replica is, as its node last said; nothing of it while the node has not said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Its last synced record.
    #[serde(default)]
    pub position: Option<Lsn>,
    /// The last record that it knows committed.
    #[serde(default)]
    pub committed: Option<Lsn>,
    /// How many records its leader has that it has not.
    #[serde(default)]
    pub lag: Option<u64>,
    /// What its log takes on its disk, in bytes.
    #[serde(default)]
    pub bytes: u64,
    /// Live contents.
    #[serde(default)]
    pub contents: u64,
    /// Contents whose copy here is damaged.
    #[serde(default)]
    pub damaged: u64,
    /// It takes no part until its node's process starts again.
    #[serde(default)]
    pub halted: bool,
}

/// What `GET /nodes` says of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardEntry {
    /// Which shard.
    pub shard: ShardNo,
    /// Whether it takes new content.
    pub state: ShardState,
    /// The leader's term.
    pub epoch: Epoch,
    /// The node that leads; none while nobody does.
    pub leader: Option<NodeName>,
    /// The nodes that must have synced a record before it is committed.
    pub in_sync: Vec<NodeName>,
    /// The nodes that may lead when none of `in_sync` can.
    pub eligible: Vec<NodeName>,
    /// The fewest members of `in_sync` that acknowledge, unless `degraded`.
    pub min_in_sync: u8,
    /// Whether fewer acknowledge at present.
    pub degraded: bool,
    /// Nobody leads it, and nobody will as long as those who are away stay away: an operator may
    /// choose a copy. See `GET /recovery`.
    #[serde(default)]
    pub waits: bool,
    /// What the leader's log takes on its disk, in bytes.
    pub bytes: u64,
    /// Live contents, as the leader counts them.
    pub contents: u64,
    /// Everyone who holds the shard, the leader first.
    pub replicas: Vec<ShardReplica>,
}

/// One replica in [`ShardEntry::replicas`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardReplica {
    /// The node that holds it.
    pub node: NodeName,
    /// Leader or follower.
    pub role: ReplicaRole,
    /// Whether it is in sync.
    pub in_sync: bool,
    /// How far it is.
    #[serde(flatten)]
    pub progress: Progress,
}

/// A replica's part in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReplicaRole {
    /// Takes writes and orders them.
    Leader,
    /// Keeps a copy.
    Follower,
}
