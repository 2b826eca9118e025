//! What distributors tell each other of nodes, through the catalog.

use std::collections::BTreeMap;
use std::time::Instant;

use wire::membership::{Heartbeat, NodeAddress, ReplicaReport, ServiceRole};
use wire::shard::ShardRecord;
use wire::{NodeName, ShardNo};

use super::{Distributor, Members};
use crate::catalog::Sighting;

type Records = BTreeMap<ShardNo, ShardRecord>;

impl Members {
    /// Takes what other distributors heard. Gives back the nodes that are new here.
    pub(crate) fn learn(&self, sightings: Vec<Sighting>, now: Instant) -> Vec<NodeName> {
        let mut state = self.write();
        let mut new = Vec::new();
        for sighting in sightings {
            let Some(heard) = now.checked_sub(sighting.age) else {
                continue;
            };
            if state.is_removed(&sighting.name, sighting.incarnation) {
                continue;
            }
            match (sighting.role, sighting.heartbeat) {
                (ServiceRole::Node, Some(heartbeat)) => {
                    let known = state.nodes.get(&sighting.name);
                    let newer = known.is_none_or(|node| heard > node.heard);
                    if newer
                        && state
                            .hear(&sighting.name, &heartbeat, (heard, now), false)
                            .process
                    {
                        new.push(sighting.name);
                    }
                }
                _ => {
                    let address = NodeAddress {
                        internal_url: sighting.internal_url,
                        public_url: sighting.public_url,
                    };
                    let distributor = Distributor {
                        address,
                        heard,
                        incarnation: sighting.incarnation,
                    };
                    state.distributors.insert(sighting.name, distributor);
                }
            }
        }
        if !new.is_empty() {
            self.registered.notify_one();
        }
        new
    }

    /// What was heard here, for the other distributors.
    pub(crate) fn heard_here(&self, now: Instant) -> Vec<Sighting> {
        let state = self.read();
        let here = state.nodes.iter().filter(|(_, node)| node.here);
        here.map(|(name, node)| Sighting {
            name: name.clone(),
            role: ServiceRole::Node,
            internal_url: node.heartbeat.internal_url.clone(),
            public_url: node.heartbeat.public_url.clone(),
            incarnation: node.heartbeat.incarnation,
            heartbeat: Some(for_the_board(&node.heartbeat, &state.records)),
            age: now.saturating_duration_since(node.heard),
        })
        .collect()
    }
}

/// A heartbeat without the records that the register has: on the board they would be written twice a second.
/// One that the register lost stays, since the controller may be another distributor than the node's.
fn for_the_board(heartbeat: &Heartbeat, records: &Records) -> Heartbeat {
    let mut heartbeat = heartbeat.clone();
    for report in &mut heartbeat.replicas {
        if !is_lost(report, records) {
            report.record = None;
        }
    }
    heartbeat
}

/// A heartbeat with the records that an earlier one had, as far as the register lost them and this one leaves
/// them out: a node sends them with one heartbeat, and the board may be written after the next.
pub(super) fn with_kept_records(
    now: &Heartbeat,
    before: &Heartbeat,
    records: &Records,
) -> Heartbeat {
    let mut kept = now.clone();
    let withheld =
        |report: &&mut ReplicaReport| report.record.is_none() && is_lost(report, records);
    for report in kept.replicas.iter_mut().filter(withheld) {
        let same = |old: &&ReplicaReport| {
            old.replica == report.replica
                && old.revision() == report.revision()
                && old.record_mark == report.record_mark
        };
        let old = before.replicas.iter().find(same);
        report.record = old.and_then(|old| old.record.clone());
    }
    kept
}

fn is_lost(report: &ReplicaReport, records: &Records) -> bool {
    controller::is_lost(
        records.get(&report.shard),
        report.revision(),
        report.record_mark,
    )
}
