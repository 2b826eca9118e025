//! What the controller looks at: nodes, changes of records, and the next end of a node's session.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::broadcast;
use wire::NodeName;
use wire::shard::ShardRecord;

use super::Members;
use crate::controller::Seen;

impl Members {
    /// What the controller needs to know of nodes.
    pub(crate) fn seen(&self, now: Instant) -> BTreeMap<NodeName, Seen> {
        let state = self.read();
        let seen = state.nodes.iter().map(|(name, node)| {
            let known = now.saturating_duration_since(node.known_since);
            let silent = now.saturating_duration_since(node.heard);
            (
                name.clone(),
                Seen {
                    heartbeat: node.heartbeat.clone(),
                    known_ms: in_ms(known),
                    alive: silent < self.session,
                    silent_ms: in_ms(silent),
                },
            )
        });
        seen.collect()
    }

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

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
