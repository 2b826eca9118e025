//! What operators have decided: nodes that are emptied, that were removed, or that shall become
//! equally full.

use std::collections::BTreeSet;

use uuid::Uuid;
use wire::NodeName;

use super::{Members, State};
use crate::catalog::Board;

impl Members {
    /// Takes what operators have decided, as the catalog tells it. Removed processes are forgotten.
    pub(crate) fn set_orders(&self, board: &Board) {
        let mut state = self.write();
        state.draining.clone_from(&board.draining);
        state.rebalancing = board.rebalancing;
        state.removed.clone_from(&board.removed);
        state.forget_removed();
    }

    /// Whether nodes are to become equally full.
    pub(crate) fn is_rebalancing(&self) -> bool {
        self.read().rebalancing
    }

    /// The nodes that shall hold nothing any more.
    pub(crate) fn draining(&self) -> BTreeSet<NodeName> {
        self.read().draining.clone()
    }

    /// Whether this process of a service was removed.
    pub(crate) fn is_removed(&self, name: &NodeName, incarnation: Uuid) -> bool {
        self.read().is_removed(name, incarnation)
    }

    /// How many shard records name a node.
    pub(crate) fn shards_on(&self, name: &NodeName) -> usize {
        let state = self.read();
        let naming = state.records.values().filter(|record| {
            let sets = [&record.replicas, &record.in_sync, &record.eligible];
            sets.into_iter()
                .flatten()
                .any(|member| member.node == *name)
        });
        naming.count()
    }
}

impl State {
    pub(super) fn is_removed(&self, name: &NodeName, incarnation: Uuid) -> bool {
        self.removed.get(name) == Some(&incarnation)
    }

    fn forget_removed(&mut self) {
        let State {
            nodes,
            distributors,
            removed,
            ..
        } = self;
        distributors.retain(|name, each| removed.get(name) != Some(&each.incarnation));
        let before = nodes.len();
        nodes.retain(|name, node| removed.get(name) != Some(&node.heartbeat.incarnation));
        if nodes.len() != before {
            self.snapshot = None;
        }
    }
}
