//! Listing: how committed records reach the catalog, exactly once.
//!
//! A node sends batches (`POST /content`); each shard's part begins after the position that the
//! catalog holds for that shard. The catalog applies a part only if the positions agree, and moves
//! its own in the same transaction. A part that does not agree is reported with the catalog's
//! position, and the node goes on from there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::content::ContentRow;
use crate::id::ContentId;
use crate::name::NodeName;
use crate::position::{Position, ShardNo};

/// The body of `POST /content`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingBatch {
    /// The node that sends it.
    pub node: NodeName,
    /// At most one part for each shard, in ascending order of shards.
    pub parts: Vec<ListingPart>,
}

/// One shard's part of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingPart {
    /// Which shard.
    pub shard: ShardNo,
    /// What it carries.
    pub step: ListingStep,
}

/// A step by which the catalog follows a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListingStep {
    /// Carries nothing: asks for the catalog's position.
    Ask,
    /// The committed operations of `(after, upto]`.
    Follow {
        /// Where the catalog must be for this to apply.
        after: Position,
        /// Where it will be then.
        upto: Position,
        /// In the order of the log; at most one for each id (the last).
        operations: Vec<ListedOperation>,
    },
    /// Contents that are live at `at`: sent when the catalog's position is not in the leader's
    /// history, or lies below its horizon. The catalog upserts them and remembers having seen them.
    Live {
        /// Where the catalog must be for this to apply, which no part of a walk but its end moves:
        /// what was given up and arrives late shows nothing old.
        after: Position,
        /// The leader's commit when the walk began; names the walk.
        at: Position,
        /// Whether this is the walk's first part: forget what was seen before.
        first: bool,
        /// The live contents of this part.
        rows: Vec<ContentRow>,
    },
    /// The walk is over: rows of the shard that it did not show are deleted, and the catalog's
    /// position becomes `at`.
    LiveEnd {
        /// Where the catalog must be for this to apply.
        after: Position,
        /// The walk's name.
        at: Position,
        /// How many rows the walk showed; a walk that lost a part is begun again.
        rows: u64,
    },
}

/// One change of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListedOperation {
    /// Insert or replace this row.
    Upsert(ContentRow),
    /// Delete the row of this id, if there is one.
    Delete(ContentId),
}

/// The answer to `POST /content`: an outcome for each part, in the same order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingOutcomes {
    /// One for each part.
    pub parts: Vec<ListingOutcome>,
}

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListingOutcome {
    /// Which shard.
    pub shard: ShardNo,
    /// Whether the part was applied (an `Ask` always is).
    pub applied: bool,
    /// The catalog's position now.
    pub listed: Position,
    /// The ids of rows that the database refused; they are listed as `UNLISTABLE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlistable: Vec<ContentId>,
}
