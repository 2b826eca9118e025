//! New shards and copies go where there is room.

use super::World;
use super::mirrored::{members, node};
use crate::{REPAIR_DELAY_MS, Reason, Room};
use wire::shard::{Leader, ShardState};
use wire::{NodeName, ShardNo};

const GB: u64 = 1 << 30;

impl World {
    /// Tells how much more these nodes take, of 100 GB each, in GB.
    fn rooms(&mut self, rooms: &[(u128, u64)]) {
        for (n, free) in rooms {
            let room = Room {
                free_bytes: free * GB,
                total_bytes: 100 * GB,
            };
            self.seen(*n).room = Some(room);
        }
    }

    fn holders(&self, shard: u16) -> Vec<NodeName> {
        let replicas = self.records[&ShardNo(shard)].replicas.iter();
        replicas.map(|member| member.node.clone()).collect()
    }

    /// How many replicas each of these nodes has.
    fn counts<const N: usize>(&self, nodes: [u128; N]) -> [usize; N] {
        nodes.map(|n| {
            let records = self.records.values();
            records
                .filter(|record| record.member_on(&node(n)).is_some())
                .count()
        })
    }
}

// If this fails, one small node that is full ends in 507 for the whole cluster: each shard has a copy
// there.
#[test]
fn a_shard_with_a_copy_on_a_full_node_is_followed_by_one_with_room() {
    let mut world = World::of(3, 2)
        .with(1, &[1, 3])
        .with(2, &[2, 3])
        .with(3, &[3, 1]);
    world.rooms(&[(1, 60), (2, 50), (3, 10)]);
    assert_eq!(world.apply(), [], "all have room");
    world.rooms(&[(3, 1)]);
    assert_eq!(world.apply(), [Reason::Made], "two offers are left");
    world.offer(1, 71);
    world.offer(2, 72);
    assert_eq!(world.apply(), [Reason::Made]);
    assert_eq!(world.holders(4), [node(1), node(2)]);
    assert_eq!(world.holders(5), [node(2), node(1)]);
    world.offer(1, 81);
    world.offer(2, 82);
    assert_eq!(world.apply(), [], "the full node needs none");
    world.rooms(&[(3, 10)]);
    assert_eq!(world.apply(), [], "and has its own again");
}

// If this fails, a full cluster says that it has no nodes, or makes shards without end.
#[test]
fn where_nobody_has_room_each_node_has_one_open_shard() {
    let mut world = World::of(2, 2);
    world.rooms(&[(1, 0), (2, 40)]);
    assert_eq!(world.apply(), [Reason::Made]);
    world.offer(1, 11);
    world.offer(2, 21);
    assert_eq!(world.apply(), [Reason::Made]);
    world.offer(1, 12);
    world.offer(2, 22);
    assert_eq!(world.apply(), []);
    assert_eq!(world.holders(1).len(), 2, "never with fewer copies");
}

// If this fails, a small node gets as many copies as a large one, and is full first.
#[test]
fn copies_are_shared_out_in_proportion_to_room() {
    let mut world = World::of(3, 2);
    for shard in 1..=8 {
        world = world.with(shard, &[1]);
    }
    world.rooms(&[(1, 60), (2, 60), (3, 20)]);
    for round in 0..8 {
        let added = world.of_kind(Reason::Added).remove(0).record;
        let joined = added.replicas[1].node.clone();
        let in_sync = added.replicas.clone();
        world.shard(added.shard.0).replicas = in_sync.clone();
        world.shard(added.shard.0).in_sync = in_sync;
        let n = if joined == node(2) { 2 } else { 3 };
        world.offer(n, 300 + round);
    }
    assert_eq!(world.counts([1, 2, 3]), [8, 6, 2]);
}

// If this fails, a repair fills another disk, and the shards there take nothing any more.
#[test]
fn a_copy_is_made_only_where_it_fits() {
    let mut world = World::of(5, 2).with(1, &[1, 2]).with(2, &[3, 4]);
    world.replica(1, 1).bytes = 30 * GB;
    world.silence(2, REPAIR_DELAY_MS);
    world.rooms(&[(1, 50), (3, 29), (4, 1), (5, 29)]);
    assert_eq!(world.added(), [], "nobody has room for all of it");
    world.rooms(&[(3, 31)]);
    assert_eq!(world.added(), [(1, node(3))]);
    // What is still to come there takes some of its room.
    world.rooms(&[(3, 70), (5, 45)]);
    world.shard(2).state = ShardState::Closed;
    world.replica(2, 4).bytes = 40 * GB;
    world.shard(2).leader = None;
    assert_eq!(world.added(), [(1, node(3))]);
    let leads_2 = Leader {
        member: members(2, &[4])[0].clone(),
        incarnation: uuid::Uuid::from_u128(4),
    };
    world.shard(2).leader = Some(leads_2);
    world.shard(2).in_sync = members(2, &[4]);
    assert_eq!(world.added(), [(1, node(5))], "30 of 70 are left");
}

// If this fails, a node that has not told its room yet is given everything, or nothing.
#[test]
fn a_node_that_has_not_told_counts_like_the_one_with_the_least() {
    let mut world = World::of(4, 2).with(1, &[1]);
    world.rooms(&[(1, 50), (2, 20), (4, 30)]);
    assert_eq!(world.added(), [(1, node(4))]);
    world.seen(4).heartbeat.parting = true;
    world.seen(2).heartbeat.parting = true;
    assert_eq!(world.added(), [(1, node(3))]);
}

// If this fails, the surplus copy of a move from a small node stays there, and goes from a large one
// again and again.
#[test]
fn a_surplus_replica_leaves_the_node_that_is_fullest_for_its_size() {
    let mut world = World::of(3, 2).with(1, &[1, 2, 3]).with(2, &[3]);
    world.replica(1, 2).bytes = GB;
    world.replica(1, 3).bytes = GB;
    world.replica(2, 3).bytes = GB;
    let room = |total_bytes| {
        Some(Room {
            free_bytes: GB,
            total_bytes,
        })
    };
    for (n, total) in [(1, 100), (2, 2), (3, 100)] {
        world.seen(n).room = room(total * GB);
    }
    let removed = world.of_kind(Reason::Removed);
    assert_eq!(removed[0].record.replicas, members(1, &[1, 3]));
}
