//! What a node says of itself in `GET /stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::membership::ShardEntry;
use crate::name::NodeName;

/// `GET /stats` of a node.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeStats {
    /// Resident memory of the node's process, in bytes.
    pub memory: u64,
    /// What the node's data takes on its disk, in bytes.
    pub storage: u64,
    /// `storage` as a percentage of `max_storage`.
    pub storagep: f64,
    /// The most that the node may store, in bytes: MAX_STORAGE, or what the disk can hold if less.
    pub max_storage: u64,
    /// The machine's CPU load, 0 to 100.
    pub cpu: f64,
    /// Memory of the machine that is free for use, in bytes.
    pub memory_available: u64,
    /// Memory of the machine, in bytes.
    pub memory_total: u64,
    /// Free space on the disk, in bytes.
    pub disk_free: u64,
    /// Uploads and updates whose bodies are being received.
    pub uploads_in_flight: u64,
    /// Bytes that uploads in flight have announced and not stored yet.
    pub bytes_promised: u64,
    /// Shards that this node leads.
    pub shards_led: u64,
    /// Of these, shards that take new content.
    pub shards_open: u64,
    /// Live contents.
    pub contents: u64,
    /// Where the bytes of `storage` are.
    pub space: Space,
    /// Committed records that are not listed yet.
    pub unlisted: u64,
    /// Contents whose copy here is damaged.
    pub damaged: u64,
    /// What clients did here.
    #[serde(default)]
    pub traffic: Traffic,
    /// How long the process has run, in seconds.
    pub uptime_s: u64,
    /// The version of the program.
    pub version: String,
}

/// What clients did at a node since its process started. These only grow: how fast tells the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// Requests that stored or replaced something.
    pub uploads: u64,
    /// The sum of their times from head to answer, in microseconds.
    pub upload_us: u64,
    /// Bytes of bodies received.
    pub bytes_in: u64,
    /// Requests for contents that were answered with one, or with a part of it.
    pub reads: u64,
    /// The sum of their times from head to the answer's head, in microseconds.
    pub read_us: u64,
    /// Bytes of contents sent.
    pub bytes_out: u64,
}

impl Traffic {
    /// Adds another node's traffic to this one.
    pub fn add(&mut self, other: &Traffic) {
        self.uploads += other.uploads;
        self.upload_us += other.upload_us;
        self.bytes_in += other.bytes_in;
        self.reads += other.reads;
        self.read_us += other.read_us;
        self.bytes_out += other.bytes_out;
    }
}

/// Where the bytes of a node's storage are. All of the log is accounted for:
/// `live + dead + overhead = log − holes`, and `log − holes ≤ storage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Space {
    /// Segment files, by their lengths, in bytes.
    pub log: u64,
    /// Records that are needed: contents, deletes within their life, epochs.
    pub live: u64,
    /// Records that are not needed any more, and not reclaimed yet.
    pub dead: u64,
    /// Payloads given back to the file system inside the segments.
    pub holes: u64,
    /// Alignment, segment headers, and space allocated ahead of the end.
    pub overhead: u64,
    /// Index files, in bytes.
    pub index: u64,
    /// Bytes given back by rewriting segments, since the process started.
    pub compacted: u64,
    /// What was cut off and is kept for a day, in bytes.
    #[serde(default)]
    pub quarantine: u64,
}

impl Space {
    /// Adds another replica's space to this one.
    pub fn add(&mut self, other: &Space) {
        self.log += other.log;
        self.live += other.live;
        self.dead += other.dead;
        self.holes += other.holes;
        self.overhead += other.overhead;
        self.index += other.index;
        self.compacted += other.compacted;
        self.quarantine += other.quarantine;
    }
}

/// `GET /stats` of a distributor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterStats {
    /// Each node's last statistics, by name; none for a node that does not answer.
    #[schema(value_type = Object)]
    pub nodes: BTreeMap<NodeName, Option<NodeStats>>,
    /// Their sums (`storagep` from the sums; `cpu` is the mean). With several copies, `contents`,
    /// `storage` and `space` count each copy.
    pub total: NodeStats,
    /// Live contents, each counted once, as the leaders of their shards report them.
    #[serde(default)]
    pub contents_led: u64,
    /// Every shard, as in `GET /nodes`.
    #[serde(default)]
    pub shards: Vec<ShardEntry>,
}
