//! What both databases share of the history of statistics.

use serde::Serialize;
use wire::history::Measures;
use wire::{NodeName, Timestamp};

/// A length of steps, and how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The length of a step, in seconds.
    pub step_s: u64,
    /// How long its steps are kept, in seconds.
    pub kept_s: u64,
}

/// Every sample goes into one step of each of these: an hour of each sample, a day of minutes, a week
/// of ten minutes are 2,880 rows a node. Each length is a multiple of the one before.
pub const LEVELS: [Level; 3] = [
    Level {
        step_s: 5,
        kept_s: 60 * 60,
    },
    Level {
        step_s: 60,
        kept_s: 24 * 60 * 60,
    },
    Level {
        step_s: 600,
        kept_s: 7 * 24 * 60 * 60,
    },
];

/// Rows that one call forgets, at most: a few milliseconds. More go with the next call.
pub(super) const FORGOTTEN_ROWS_MAX: u64 = 10_000;

/// What all nodes said at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// When, in seconds since 1970.
    pub at_s: u64,
    /// Of each node that answered.
    pub nodes: Vec<(NodeName, Measures)>,
    /// Of all of them together.
    pub cluster: Measures,
}

/// Which part of the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Whose; none for the cluster's.
    pub node: Option<NodeName>,
    /// From this second on, a multiple of `step_s`.
    pub from_s: u64,
    /// Before this second.
    pub to_s: u64,
    /// The length of the steps in the answer: a multiple of `stored_s`.
    pub step_s: u64,
    /// The length of the stored steps that are read: one of [`LEVELS`].
    pub stored_s: u64,
}

impl HistoryQuery {
    /// The node's name as it is stored.
    pub(super) fn name(&self) -> &str {
        self.node.as_ref().map_or("", NodeName::as_str)
    }
}

/// A sample of one node, as both databases take it: an object of JSON.
#[derive(Serialize)]
pub(super) struct JsonSample<'a> {
    node: &'a str,
    at_s: u64,
    #[serde(flatten)]
    measures: Measures,
}

impl Sample {
    /// One entry for each node, and one for the cluster.
    pub(super) fn rows(&self) -> Vec<JsonSample<'_>> {
        let row = |node, measures| JsonSample {
            node,
            at_s: self.at_s,
            measures,
        };
        let nodes = self.nodes.iter();
        nodes
            .map(|(node, measures)| row(node.as_str(), *measures))
            .chain([row("", self.cluster)])
            .collect()
    }
}

/// The beginning of a step, as it is answered.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1000))
}
