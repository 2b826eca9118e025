//! Where an upload should go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::ContentId;
use crate::name::NodeName;

/// `GET /store`: a place for one upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// Where to send it: `POST` multipart here, or `PUT` to this, a slash and the id.
    pub uri: String,
    /// The node behind it.
    pub node: NodeName,
    /// A fresh id in a shard that this node leads.
    pub id: ContentId,
    /// With `explain=true`: why this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<Vec<Candidate>>,
}

/// `GET /store?count=N`: places for several uploads, all good for a few seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Places {
    /// As many as were asked for.
    pub items: Vec<Place>,
}

/// What placement thought of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// Which node.
    pub node: NodeName,
    /// Whether it was chosen.
    pub chosen: bool,
    /// Whether it was one of the two that were compared.
    pub compared: bool,
    /// Its score: higher is less loaded. None when it cannot take the upload.
    pub score: Option<f64>,
    /// The parts of the score, each between 0 (loaded) and 1 (idle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<ScoreParts>,
    /// Whether all the shards that it could go to there are short of copies. While another node's
    /// are not, that one is chosen.
    #[serde(default)]
    pub degraded: bool,
    /// Why it cannot take the upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<String>,
}

/// The parts of a score, each between 0 (loaded) and 1 (idle).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreParts {
    /// The share of its storage that is free after bytes already promised.
    pub storage: f64,
    /// Uploads in flight.
    pub uploads: f64,
    /// CPU load.
    pub cpu: f64,
    /// Memory pressure.
    pub memory: f64,
}
