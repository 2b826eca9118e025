//! The shard record: who holds a shard, who leads it, and in which epoch.
//!
//! The coordinator holds one record for each shard; it changes only by compare-and-set on its
//! [`Revision`]. Nodes persist the whole record, synced, before they act on it.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::name::NodeName;
use crate::position::{Epoch, ShardNo};

/// One replica of a shard: a directory on a node, with a UUID made with that directory. A
/// replaced disk has other UUIDs, and so is not a member of anything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The node that holds it.
    pub node: NodeName,
    /// The replica's own UUID.
    pub replica: Uuid,
}

/// The member that leads, as the process that it leads in: leadership ends with the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Leader {
    /// Which replica.
    pub member: Member,
    /// The node process, a UUID new at each start.
    pub incarnation: Uuid,
}

/// Where a record stands among all that its shard ever had: the higher one is obeyed.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
)]
pub struct Revision {
    /// Counts how often the record was restored after the register had gone back in time. What the
    /// register lost in between stays behind in an earlier lineage, whatever its version.
    #[serde(default)]
    pub lineage: u64,
    /// Counts the changes: 1 when the record is made. Zero: there is no record.
    pub version: u64,
}

impl Revision {
    /// Before the first record.
    pub const NONE: Revision = Revision {
        lineage: 0,
        version: 0,
    };
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.lineage, self.version)
    }
}

/// Whether a shard takes new content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Takes new content.
    Open,
    /// Takes updates and deletes only.
    Closed,
}

/// What the coordinator knows of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardRecord {
    /// Which shard.
    pub shard: ShardNo,
    /// Names the log: stale bytes of another log never parse as this one's. The same on every
    /// replica, never zero.
    pub log: u64,
    /// The current epoch.
    pub epoch: Epoch,
    /// Who leads in this epoch; nobody before the first election, or when no member can.
    pub leader: Option<Leader>,
    /// Who must have synced a record before it is committed.
    pub in_sync: Vec<Member>,
    /// Who may lead when nobody of `in_sync` can.
    pub eligible: Vec<Member>,
    /// Everyone who holds the shard.
    pub replicas: Vec<Member>,
    /// The fewest members of `in_sync` that may acknowledge, unless `degraded`.
    pub min_in_sync: u8,
    /// Whether fewer may acknowledge at present.
    pub degraded: bool,
    /// Whether it takes new content.
    pub state: ShardState,
    /// How often it was restored; see [`Revision`].
    #[serde(default)]
    pub lineage: u64,
    /// Counts the changes of this record: 1 when it is made.
    pub version: u64,
}

impl ShardRecord {
    /// Where this record stands among the shard's.
    pub fn revision(&self) -> Revision {
        Revision {
            lineage: self.lineage,
            version: self.version,
        }
    }

    /// Tells records of one revision apart: they differ when the register went back, and went on
    /// another way. A CRC-32C of what a change may change.
    pub fn mark(&self) -> u32 {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        let leader = self.leader.iter().map(|leader| &leader.incarnation);
        bytes.extend(leader.flat_map(|incarnation| *incarnation.as_bytes()));
        for set in [&self.in_sync, &self.eligible, &self.replicas] {
            bytes.push(set.len() as u8);
            bytes.extend(set.iter().flat_map(|member| *member.replica.as_bytes()));
        }
        let is_open = self.state == ShardState::Open;
        bytes.extend([self.min_in_sync, self.degraded.into(), is_open.into()]);
        crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes) as u32
    }

    /// Whether it was restored and has no leader yet. Then it is only the highest record that was
    /// reported so far: nobody obeys it, and a higher one replaces it.
    pub fn is_restored(&self) -> bool {
        self.leader.is_none() && self.lineage > 0
    }

    /// The highest record that is known of the shard when this is the register's: itself, or what
    /// it was restored from.
    pub fn known(&self) -> Revision {
        Revision {
            lineage: self.lineage - u64::from(self.is_restored()),
            version: self.version,
        }
    }

    /// Whether `node`, as the process `incarnation`, leads in this record's epoch.
    pub fn is_led_by(&self, node: &NodeName, incarnation: Uuid) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| leader.member.node == *node && leader.incarnation == incarnation)
    }

    /// Whether fewer replicas are in sync than should be.
    pub fn is_short_of_copies(&self) -> bool {
        self.degraded || self.in_sync.len() < usize::from(self.min_in_sync)
    }

    /// The replica that `node` holds, if it is a member.
    pub fn member_on(&self, node: &NodeName) -> Option<&Member> {
        self.replicas.iter().find(|member| member.node == *node)
    }
}

/// `POST /shards/{n}`: replace the record of the same lineage whose version is one less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeShard {
    /// The record as it shall be; its `version` is the expected one plus 1.
    pub record: ShardRecord,
}

/// `POST /shards/{n}` at a node: the register has this record now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardNews {
    /// The register's cluster.
    pub cluster: Uuid,
    /// The record.
    pub record: ShardRecord,
}

/// The answer to [`ChangeShard`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardChanged {
    /// Whether the change was made.
    pub changed: bool,
    /// The record as it is now.
    pub record: ShardRecord,
}
