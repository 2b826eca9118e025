//! A leader that shall not lead any longer hands over by itself: to the first of the replicas.
//!
//! The order of a record's replicas says for whom the shard was made. A leader that is not the first of
//! them lays its office down, when all of its log is committed, for the one that is. So nobody who waits
//! for an answer is told that it may be lost, as an election over the leader's head would have it.

use wire::shard::{Member, ShardRecord};

use crate::elect::{best, is_parting};
use crate::{Change, Reason, Situation, changed};

/// A node that drains leads nothing: its leaderships go first, then its replicas are replaced.
pub(crate) fn hand_over(situation: Situation<'_>, record: &ShardRecord) -> Option<Change> {
    let leader = &record.leader.as_ref()?.member;
    let leaves = |member: &Member| {
        situation.draining.contains(&member.node) || is_parting(situation, member)
    };
    // The register may have gone back: whoever acted on a later record was perhaps not heard yet.
    if !situation.may_judge {
        return None;
    }
    if !situation.draining.contains(&leader.node) {
        // What was led back to it would have to go again.
        let first = record.replicas.first().filter(|first| *first != leader)?;
        let drains = situation.draining.contains(&first.node);
        return drains.then(|| hand_over_to(record, leader));
    }
    if heir(situation, record).is_some_and(|first| !leaves(first)) {
        return None;
    }
    let staying = record.in_sync.iter().filter(|member| !leaves(member));
    let (successor, _) = best(situation, record, staying)?;
    Some(hand_over_to(record, &successor))
}

/// From now on the shard is for this member of the set, and the leader hands over to it.
pub(crate) fn hand_over_to(record: &ShardRecord, successor: &Member) -> Change {
    changed(record, Reason::HandedOver, |next| {
        next.replicas.sort_by_key(|member| member != successor);
    })
}

/// The member that is about to lead: the first of the replicas, when it is in the set, lives and does not
/// lead yet.
pub(crate) fn heir<'a>(situation: Situation<'_>, record: &'a ShardRecord) -> Option<&'a Member> {
    let leader = &record.leader.as_ref()?.member;
    let first = record.replicas.first().filter(|first| *first != leader)?;
    let can_lead =
        record.in_sync.contains(first) && situation.holder(record.shard, first).is_some();
    can_lead.then_some(first)
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
        may_judge: bool,
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
                may_judge: true,
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
                may_judge: self.may_judge,
                policy: Policy::of(self.copies),
            });
            let change = changes.into_iter().next()?;
            self.record = change.record;
            Some(change.reason)
        }

        /// The nodes have heard of the record, and their heartbeats say so.
        fn hear(&mut self) {
            let nodes = self.nodes.values_mut();
            for held in nodes.flat_map(|seen| &mut seen.heartbeat.replicas) {
                held.record_version = self.record.version;
            }
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

        /// The leader lays its office down for the first of the replicas.
        fn obey(&mut self) {
            let first = self.record.replicas[0].clone();
            let incarnation = self.nodes[&first.node].heartbeat.incarnation;
            self.record.epoch = self.record.epoch.next();
            self.record.version += 1;
            self.record.leader = Some(Leader {
                member: first,
                incarnation,
            });
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
                linked: None,
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
        assert_eq!((world.leader(), world.record.epoch), (&member(1), Epoch(1)));
        assert_eq!(world.record.replicas[0], member(2), "it is asked to");
        assert_eq!(world.record.in_sync.len(), 2, "nobody is less safe for it");
        assert_eq!(world.step(), Some(Reason::Added));
        assert_eq!(world.record.replicas[2].node, node(3));
        assert_eq!(world.step(), None, "it waits for the new copy");
        world.join();
        assert_eq!(world.step(), None, "and until the leader has handed over");
        world.obey();
        assert_eq!(world.step(), None, "its lease runs until it has said hello");
        world.hear();
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
        assert_eq!(world.step(), None);
        world.obey();
        assert_ne!(world.leader().node, node(1));
        world.hear();
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

    // If this fails, a node that drains is handed what another one leads for it, only to lay it down again.
    #[test]
    fn nothing_goes_back_to_a_node_that_drains() {
        let mut world = World::new(2, &[1, 2]);
        world.record.replicas.swap(0, 1);
        world.draining = BTreeSet::from([node(2)]);
        assert_eq!(world.step(), Some(Reason::HandedOver));
        assert_eq!(world.record.replicas, [member(1), member(2)]);
        assert_ne!(world.step(), Some(Reason::HandedOver), "once");
        assert_eq!(world.leader(), &member(1));
    }

    // If this fails, a register that went back is changed before somebody can say so.
    #[test]
    fn nothing_is_handed_over_before_all_were_heard() {
        let mut world = World::new(2, &[1, 2]);
        world.may_judge = false;
        assert_eq!(world.step(), None);
        world.may_judge = true;
        assert_eq!(world.step(), Some(Reason::HandedOver));
    }

    // If this fails, a node that drains leads on, because the one that was to follow it died first.
    #[test]
    fn whoever_was_to_take_over_and_died_is_replaced() {
        let mut world = World::new(3, &[1, 2, 3]);
        let three = world.nodes.get_mut(&node(3)).expect("a node");
        three.heartbeat.replicas.push(report(3));
        assert_eq!(world.step(), Some(Reason::HandedOver));
        let first = world.record.replicas[0].node.clone();
        world.nodes.get_mut(&first).expect("a node").alive = false;
        assert_eq!(world.step(), Some(Reason::HandedOver));
        let next = &world.record.replicas[0].node;
        assert!(*next != first && *next != node(1), "{next}");
    }
}
