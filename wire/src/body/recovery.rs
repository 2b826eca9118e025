//! Shards that wait for an operator, and what he decides: `GET /recovery`,
//! `POST /shards/{n}/recover`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::name::NodeName;
use crate::position::{Epoch, Lsn, Position, ShardNo};
use crate::shard::ShardState;

/// `GET /recovery`: every shard that nobody leads, and that nobody will lead by itself as long as
/// those who are away stay away.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct WaitingShards {
    /// In ascending order of shards.
    pub items: Vec<WaitingShard>,
}

/// A shard that waits, and all that is known of its copies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WaitingShard {
    /// Which shard.
    pub shard: ShardNo,
    /// Whether it takes new content.
    pub state: ShardState,
    /// The last term that is known.
    pub epoch: Epoch,
    /// The node that led in it; none if the record was restored.
    pub leader: Option<NodeName>,
    /// The register went back in time: it waits until every replica has said what it knows.
    pub restored: bool,
    /// The last record that the catalog has.
    pub listed: Position,
    /// Every copy that is known, the one that loses least first.
    pub copies: Vec<KnownCopy>,
}

/// A copy's place in its shard's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// It must have synced a record before it is committed.
    InSync,
    /// It has everything that was committed.
    Eligible,
    /// It is named, and may lack something that was committed.
    Outside,
    /// The record does not name it.
    Unnamed,
}

/// One copy of a shard that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KnownCopy {
    /// The node that has it, or had.
    pub node: NodeName,
    /// The replica's own UUID.
    pub replica: Uuid,
    /// Its place in the record.
    pub part: Part,
    /// Whether its node is heard.
    pub alive: bool,
    /// What its node last said of it; none if it is not there, or never said anything.
    pub held: Option<HeldCopy>,
    /// What is lost if it is chosen; none if it cannot be.
    pub loss: Option<Loss>,
    /// Why it is only chosen by force; empty if it needs none.
    #[serde(default)]
    pub objections: Vec<Objection>,
}

/// What a node says of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldCopy {
    /// The last record appended and synced.
    pub end: Position,
    /// The last record that it knows committed.
    pub committed: Lsn,
    /// Live contents.
    pub contents: u64,
    /// The log's size on disk in bytes.
    pub bytes: u64,
    /// Contents whose copy there is damaged.
    pub damaged: u64,
    /// It takes no part until its node's process starts again.
    pub halted: bool,
    /// Whether it has everything up to its end.
    pub complete: bool,
}

/// What is lost when a copy is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Loss {
    /// Records that are known to have been, by another copy or the catalog, and are lost at most.
    pub records: u64,
    /// Whether more may be lost, which only those know who are away.
    pub more: bool,
}

/// Why a copy is not to be chosen without force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objection {
    /// Another living copy has more.
    Behind,
    /// Its log failed.
    Halted,
    /// Contents are damaged there.
    Damaged,
    /// It was begun from nothing and has not all yet: deletes may be missing in it.
    Incomplete,
    /// There is nothing in it.
    Empty,
}

/// `POST /shards/{n}/recover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoverShard {
    /// The node whose copy shall be the shard from now on.
    pub node: NodeName,
    /// Whatever speaks against it.
    #[serde(default)]
    pub force: bool,
}

/// The answer to [`RecoverShard`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShardRecovered {
    /// Which shard.
    pub shard: ShardNo,
    /// The node that leads it.
    pub node: NodeName,
    /// The term that begins.
    pub epoch: Epoch,
    /// Those whose copies are given up.
    pub over: Vec<NodeName>,
    /// What is lost.
    pub loss: Loss,
}
