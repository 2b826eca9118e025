//! As many replicas as there shall be.

use super::{World, heartbeat, name, report};
use crate::Reason;
use uuid::Uuid;
use wire::shard::Member;
use wire::{Epoch, ShardNo};

/// Node 1 leads shard 1 alone; node 2 held the replica 20 of it, and may be elected.
fn alone_with_an_eligible_one() -> World {
    let mut world = World::with_shard("node1");
    world.copies = 2;
    let record = world.records.get_mut(&ShardNo(1)).expect("is there");
    let other = Member {
        node: name("node2"),
        replica: Uuid::from_u128(20),
    };
    record.replicas.push(other.clone());
    record.eligible.push(other);
    record.min_in_sync = 2;
    let (epoch, mark) = (record.epoch, record.mark());
    let held = &mut world.heartbeat("node1").replicas[0];
    held.end.epoch = epoch;
    held.record_mark = Some(mark);
    world
}

// If this fails, a shard whose other disks were replaced is never mirrored again, and stays closed
// to changes.
#[test]
fn an_eligible_member_whose_disk_was_replaced_leaves_and_its_node_takes_a_new_one() {
    let mut world = alone_with_an_eligible_one();
    world.hear("node2", heartbeat(2, 21));
    assert!(world.apply().contains(&Reason::Removed));
    let record = &world.records[&ShardNo(1)];
    assert_eq!((record.replicas.len(), record.eligible.len()), (1, 0));
    // Its first offer went to an open shard of its own.
    world.hear("node2", heartbeat(2, 22));
    assert!(world.apply().contains(&Reason::Added));
    let record = &world.records[&ShardNo(1)];
    let added = record.member_on(&name("node2")).expect("is a member");
    assert_eq!(added.replica, Uuid::from_u128(22));
}

// If this fails, the last ones who have what was acknowledged are forgotten while nobody leads.
#[test]
fn nobody_eligible_leaves_while_nobody_leads() {
    let mut world = alone_with_an_eligible_one();
    world.hear("node2", heartbeat(2, 21));
    let leader = world.nodes.get_mut(&name("node1")).expect("is there");
    leader.alive = false;
    assert!(!world.apply().contains(&Reason::Removed));
    assert_eq!(world.records[&ShardNo(1)].eligible.len(), 1);
}

// If this fails, the last copy is forgotten because of a leader whose own disk is gone, too.
#[test]
fn nobody_eligible_leaves_before_the_leader_has_begun_its_epoch() {
    let mut world = alone_with_an_eligible_one();
    world.hear("node2", heartbeat(2, 21));
    world.heartbeat("node1").replicas[0].end.epoch = Epoch(0);
    assert!(!world.apply().contains(&Reason::Removed));
    assert_eq!(world.records[&ShardNo(1)].eligible.len(), 1);
}

// If this fails, a member that is only silent is thrown out of the shard.
#[test]
fn an_eligible_member_that_holds_its_replica_stays() {
    let mut world = alone_with_an_eligible_one();
    let mut holding = heartbeat(2, 21);
    let mut held = report(&world.records[&ShardNo(1)]);
    held.replica = Uuid::from_u128(20);
    holding.replicas.push(held);
    world.hear("node2", holding);
    world.apply();
    assert_eq!(world.records[&ShardNo(1)].eligible.len(), 1);
}

// If this fails, a shard whose other copies were lost with their disks is called short of copies for ever,
// though an operator asks for as many as there are.
#[test]
fn a_shard_without_a_surplus_is_eased_when_fewer_copies_are_asked_for() {
    let mut world = World::of(3, 2).with(1, &[1]);
    world.shard(1).min_in_sync = 2;
    world.shard(1).degraded = true;
    let mark = world.shard(1).mark();
    world.replica(1, 1).record_mark = Some(mark);
    assert!(world.of_kind(Reason::Eased).is_empty(), "two are wanted");
    world.copies = 1;
    let eased = world.of_kind(Reason::Eased);
    let record = &eased[0].record;
    assert_eq!((record.min_in_sync, record.degraded), (1, false));
    world.shard(1).min_in_sync = 1;
    world.shard(1).degraded = false;
    assert!(world.of_kind(Reason::Eased).is_empty());
}

// If this fails, a cluster of two of which one was lost stays with one copy of everything when a third one
// comes.
#[test]
fn a_degraded_shard_is_mirrored_again_when_a_spare_node_comes() {
    let mut world = World::of(2, 2).with(1, &[1, 2]);
    let alone = world.shard(1).replicas[..1].to_vec();
    world.shard(1).in_sync = alone;
    world.shard(1).degraded = true;
    let mark = world.shard(1).mark();
    world.replica(1, 1).record_mark = Some(mark);
    world.silence(2, crate::REPAIR_DELAY_MS);
    assert_eq!(world.added(), []);
    world.hear("node3", heartbeat(3, 30));
    for offer in 31..35 {
        world.apply();
        world.offer(1, 100 + offer);
        world.offer(3, offer);
    }
    let record = world.shard(1);
    assert!(record.member_on(&name("node3")).is_some(), "{record:?}");
    // The leader takes it in when it has everything, which ends the shortage; then the lost one leaves.
    let joined = record.replicas.clone();
    record.in_sync = joined
        .into_iter()
        .filter(|m| m.node != name("node2"))
        .collect();
    record.degraded = false;
    let mark = world.shard(1).mark();
    world.replica(1, 1).record_mark = Some(mark);
    world.replica(1, 3).record_mark = Some(mark);
    world.apply();
    assert_eq!(world.shard(1).member_on(&name("node2")), None);
    assert_eq!(world.added(), []);
}

// If this fails, an offer that a node made good since its last heartbeat is taken for another shard, which nobody
// ever makes.
#[test]
fn a_member_whose_making_was_not_heard_of_does_not_leave() {
    let mut world = World::of(3, 2).with(1, &[1, 2, 3]);
    world.draining.insert(name("node3"));
    let made = world.heartbeat("node3").replicas.clone();
    let offered = std::mem::replace(&mut world.heartbeat("node3").offer, made[0].replica);
    world.heartbeat("node3").replicas.clear();
    assert!(world.of_kind(Reason::Removed).is_empty(), "it is in sync");
    world.heartbeat("node3").replicas = made;
    world.heartbeat("node3").offer = offered;
    assert_eq!(world.of_kind(Reason::Removed).len(), 1);
}

// If this fails, a node whose disk is so full that it keeps no record any more can never be emptied.
#[test]
fn whoever_cannot_keep_the_record_leaves() {
    let mut world = World::of(3, 2).with(1, &[1, 2, 3]);
    world.draining.insert(name("node3"));
    world.replica(1, 3).record_version = 0;
    assert!(world.of_kind(Reason::Removed).is_empty(), "it is to hear");
    world.replica(1, 3).end.epoch = Epoch(1);
    assert_eq!(world.of_kind(Reason::Removed).len(), 1, "it follows");
    world.replica(1, 3).end.epoch = Epoch(0);
    world.shard(1).in_sync.pop();
    let mark = world.shard(1).mark();
    for n in [1, 2] {
        world.replica(1, n).record_mark = Some(mark);
    }
    assert_eq!(
        world.of_kind(Reason::Removed).len(),
        1,
        "it is not waited for"
    );
}

// If this fails, a shard waits for ever for a copy that its node holds as one of another shard.
#[test]
fn a_replica_that_is_one_of_another_shard_is_replaced() {
    let mut world = World::of(2, 2).with(1, &[1]).with(2, &[2]);
    let other = world.records[&ShardNo(2)].replicas[0].clone();
    world.shard(1).replicas.push(other);
    let mark = world.shard(1).mark();
    world.replica(1, 1).record_mark = Some(mark);
    assert!(world.apply().contains(&Reason::Removed));
    assert_eq!(world.shard(1).member_on(&name("node2")), None);
    let (version, mark) = (world.shard(1).version, world.shard(1).mark());
    world.replica(1, 1).record_version = version;
    world.replica(1, 1).record_mark = Some(mark);
    assert!(world.apply().contains(&Reason::Added));
    let added = world.shard(1).member_on(&name("node2")).cloned();
    let offered = world.heartbeat("node2").offer;
    assert_eq!(added.map(|member| member.replica), Some(offered));
}
