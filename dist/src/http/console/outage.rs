//! Whether the controller, which may be another distributor, makes no copies, and because of whom.

use std::collections::BTreeSet;
use std::time::Instant;

use controller::{Making, Policy, Situation, outage};
use wire::NodeName;

use crate::app::Shared;
use crate::members::Members;

/// The silent nodes that hold something, if they are so many that no copies are made; else none.
pub(super) fn copying_held_by(shared: &Shared) -> BTreeSet<NodeName> {
    // The controller does not judge either before it has heard all.
    if !shared.hears_all() {
        return BTreeSet::new();
    }
    let policy = Policy::of(shared.controller.copies());
    silent_holders(&shared.members, policy, Instant::now())
}

/// The nodes of an outage: also those that nobody has heard of yet, but that records name.
fn silent_holders(members: &Members, policy: Policy, now: Instant) -> BTreeSet<NodeName> {
    let (records, seen) = (members.records(), members.seen(now));
    let situation = Situation {
        records: &records,
        nodes: &seen,
        draining: &members.draining(),
        making: Making::No,
        may_judge: true,
        policy,
    };
    outage(situation).into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;
    use wire::membership::Heartbeat;
    use wire::shard::{Member, ShardRecord, ShardState};
    use wire::{Epoch, ShardNo};

    use super::*;

    const SESSION: Duration = Duration::from_secs(3);

    fn node(number: u128) -> NodeName {
        format!("node{number}").parse().expect("a valid name")
    }

    fn hear(members: &Members, number: u128, now: Instant) {
        let heartbeat = Heartbeat {
            cluster: None,
            incarnation: Uuid::from_u128(number),
            offer: Uuid::from_u128(number),
            internal_url: "http://n".to_owned(),
            public_url: "http://n".to_owned(),
            replicas: Vec::new(),
            map_version: 0,
            parting: false,
            linked: None,
        };
        members.hear(&node(number), &heartbeat, now);
    }

    /// A shard on these nodes.
    fn record(holders: &[u128]) -> ShardRecord {
        let replicas = holders.iter().map(|number| Member {
            node: node(*number),
            replica: Uuid::from_u128(*number),
        });
        let replicas: Vec<Member> = replicas.collect();
        ShardRecord {
            shard: ShardNo(1),
            log: 1,
            epoch: Epoch(1),
            leader: None,
            in_sync: replicas.clone(),
            eligible: Vec::new(),
            replicas,
            min_in_sync: 2,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        }
    }

    // If this fails, nobody learns that nothing is copied while nodes are away that the catalog forgot, or
    // somebody is sent to a node that has no part in it.
    #[test]
    fn only_who_holds_something_and_is_silent_keeps_copies_from_being_made() {
        let begun = Instant::now();
        let members = Members::new(SESSION);
        members.exchanged(Some(begun));
        members.set_records(vec![record(&[1, 2, 9])]);
        for number in 1..=3 {
            hear(&members, number, begun);
        }
        let holders = |now| silent_holders(&members, Policy::of(2), now);
        assert_eq!(holders(begun), [].into(), "one of three");
        let later = begun + 2 * SESSION;
        hear(&members, 1, later);
        assert_eq!(holders(later), [node(2), node(9)].into());
    }
}
