//! A node that drains leads nothing: its leaderships go first, then its replicas are replaced.

use wire::shard::{Member, ShardRecord};

use crate::elect::candidate;
use crate::{Change, Reason, Situation};

/// The next epoch, led by another member of the set that lives and does not drain itself. The old
/// leader stays in the set until another replica has taken its place, so nothing is degraded.
pub(crate) fn hand_over(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let leader = &record.leader.as_ref()?.member;
    let drains = |member: &Member| situation.draining.contains(&member.node);
    if !drains(leader) {
        return None;
    }
    let mut in_sync = record.in_sync.iter();
    in_sync.find(|member| !drains(member) && situation.holder(member).is_some())?;
    // Whoever drains is the last choice: one that does not is there.
    let mut change = candidate(situation, record)?;
    // The first replica is given the leadership back whenever it can have it.
    change.record.replicas.sort_by_key(drains);
    Some(Change {
        reason: Reason::HandedOver,
        ..change
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use uuid::Uuid;
    use wire::membership::{Heartbeat, ReplicaReport};
    use wire::shard::{Leader, Member, ShardRecord, ShardState};
    use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

    use crate::{Making, Policy, Reason, Seen, Situation, decide};

    fn member(number: u128) -> Member {
        Member {
            node: node(number),
            replica: Uuid::from_u128(number),
        }
    }

    fn node(number: u128) -> NodeName {
        format!("node{number}").parse().expect("a valid name")
    }

    /// Shard 1, held by nodes 1 and 2, led by node 1; and node 3.
    struct World {
        record: ShardRecord,
        nodes: BTreeMap<NodeName, Seen>,
        draining: BTreeSet<NodeName>,
        copies: u8,
    }

    impl World {
        fn new(copies: u8, in_sync: &[u128]) -> World {
            let members: Vec<Member> = in_sync.iter().copied().map(member).collect();
            let leader = Leader {
                member: member(1),
                incarnation: Uuid::from_u128(101),
            };
            World {
                record: ShardRecord {
                    shard: ShardNo(1),
                    log: 1,
                    epoch: Epoch(1),
                    leader: Some(leader),
                    in_sync: members.clone(),
                    eligible: Vec::new(),
                    replicas: members,
                    min_in_sync: Policy::of(copies).min_in_sync(),
                    degraded: false,
                    state: ShardState::Closed,
                    lineage: 0,
                    version: 1,
                },
                nodes: (1..=3).map(|number| (node(number), seen(number))).collect(),
                draining: BTreeSet::from([node(1)]),
                copies,
            }
        }

        /// What is decided of the shard; carried out at once.
        fn step(&mut self) -> Option<Reason> {
            let records = BTreeMap::from([(self.record.shard, self.record.clone())]);
            let changes = decide(Situation {
                records: &records,
                nodes: &self.nodes,
                draining: &self.draining,
                making: Making::No,
                may_judge: true,
                policy: Policy::of(self.copies),
            });
            let change = changes.into_iter().next()?;
            self.record = change.record;
            Some(change.reason)
        }

        /// The node of the newest replica makes it, and it catches up.
        fn join(&mut self) {
            let newest = self.record.replicas.last().expect("a replica").clone();
            let seen = self.nodes.get_mut(&newest.node).expect("a node");
            let mut held = report(0);
            held.replica = newest.replica;
            seen.heartbeat.replicas.push(held);
            seen.heartbeat.offer = Uuid::new_v4();
            self.record.in_sync.push(newest);
        }

        fn leader(&self) -> &Member {
            &self.record.leader.as_ref().expect("is led").member
        }
    }

    fn report(number: u128) -> ReplicaReport {
        ReplicaReport {
            shard: ShardNo(1),
            replica: Uuid::from_u128(number),
            record_lineage: 0,
            record_version: 1,
            record_mark: None,
            record: None,
            end: Position::default(),
            committed: Lsn::ZERO,
            bytes: 0,
            contents: 0,
            damaged: 0,
            halted: false,
            complete: true,
            log: None,
        }
    }

    fn seen(number: u128) -> Seen {
        let replicas = if number < 3 {
            vec![report(number)]
        } else {
            Vec::new()
        };
        Seen {
            heartbeat: Heartbeat {
                cluster: None,
                incarnation: Uuid::from_u128(100 + number),
                offer: Uuid::from_u128(200 + number),
                internal_url: "http://n".to_owned(),
                public_url: "http://n".to_owned(),
                replicas,
                map_version: 0,
                parting: false,
            },
            known_ms: 5_000,
            alive: true,
            silent_ms: 0,
            room: None,
        }
    }

    // If this fails, a node that is emptied leads for ever, or its last copies go before others are
    // made.
    #[test]
    fn leadership_goes_first_then_the_replica_is_replaced() {
        let mut world = World::new(2, &[1, 2]);
        assert_eq!(world.step(), Some(Reason::HandedOver));
        assert_eq!((world.leader(), world.record.epoch), (&member(2), Epoch(2)));
        assert_eq!(world.record.in_sync.len(), 2, "nobody is less safe for it");
        assert_eq!(world.step(), Some(Reason::Added));
        assert_eq!(world.record.replicas[2].node, node(3));
        assert_eq!(world.step(), None, "it waits for the new copy");
        world.join();
        assert_eq!(world.step(), Some(Reason::Removed));
        let left: Vec<&NodeName> = world.record.replicas.iter().map(|m| &m.node).collect();
        assert_eq!(left, [&node(2), &node(3)]);
        assert_eq!(world.step(), None);
    }

    // If this fails, the only copy of a shard can never leave its node.
    #[test]
    fn a_single_copy_moves_by_way_of_two() {
        let mut world = World::new(1, &[1]);
        assert_eq!(world.step(), Some(Reason::Added));
        world.join();
        assert_eq!(world.step(), Some(Reason::HandedOver));
        assert_ne!(world.leader().node, node(1));
        assert_eq!(world.step(), Some(Reason::Removed));
        assert_eq!(world.record.member_on(&node(1)), None);
        assert_eq!(world.step(), None);
    }

    // If this fails, a shard is led by a node that is dead, or leadership goes round in a circle.
    #[test]
    fn only_a_living_member_that_does_not_drain_takes_over() {
        let mut world = World::new(2, &[1, 2]);
        world.draining.insert(node(2));
        assert_ne!(world.step(), Some(Reason::HandedOver));
        let mut world = World::new(2, &[1, 2]);
        world.nodes.get_mut(&node(2)).expect("a node").alive = false;
        assert_ne!(world.step(), Some(Reason::HandedOver));
        let mut world = World::new(2, &[1, 2]);
        world.draining.clear();
        assert_eq!(world.step(), None);
    }
}
