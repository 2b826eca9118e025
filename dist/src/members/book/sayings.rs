//! What nodes said of themselves, also of those that did not answer just now.

use std::time::{Duration, Instant};

use wire::NodeName;
use wire::stats::NodeStats;

use super::{Members, Node, Poll};

impl Node {
    /// The answer to the last question for statistics, and when it came; none when there was none.
    pub(super) fn answer(&self) -> Option<&(NodeStats, Instant)> {
        self.stats.as_ref().filter(|_| self.poll != Poll::Failed)
    }
}

impl Members {
    /// The last answer of each node that gave one within `age_max`, and its age: that one answer is
    /// lost is no reason to know nothing of a node.
    pub(crate) fn said(
        &self,
        now: Instant,
        age_max: Duration,
    ) -> Vec<(NodeName, NodeStats, Duration)> {
        let state = self.read();
        let said = state.nodes.iter().filter_map(|(name, node)| {
            let (stats, at) = node.stats.as_ref()?;
            let age = now.saturating_duration_since(*at);
            (age < age_max).then(|| (name.clone(), stats.clone(), age))
        });
        said.collect()
    }
}
