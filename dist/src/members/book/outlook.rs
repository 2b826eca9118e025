//! What is to be looked for: changes of records, and the next end of a node's session.

use std::time::Instant;

use tokio::sync::broadcast;
use wire::shard::ShardRecord;

use super::Members;

impl Members {
    /// Records as the register answers them, from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<ShardRecord> {
        self.changes.subscribe()
    }

    /// When the first of the nodes that are heard would have been silent for a session.
    pub(crate) fn next_silence(&self, now: Instant) -> Option<Instant> {
        let state = self.read();
        let ends = state.nodes.values().map(|node| node.heard + self.session);
        ends.filter(|end| *end > now).min()
    }
}
