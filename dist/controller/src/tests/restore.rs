//! A register that went back in time.

use super::{World, heartbeat, name, report};
use crate::{Reason, wants_records};
use uuid::Uuid;
use wire::shard::{Member, Revision, ShardRecord};
use wire::{Epoch, ShardNo};

fn revision(lineage: u64, version: u64) -> Revision {
    Revision { lineage, version }
}

/// The record of shard 1 as the register has it.
fn registered(world: &World) -> &ShardRecord {
    &world.records[&ShardNo(1)]
}

/// A record of three replicas: node 1 holds 10, node 2 holds 20, node 3 holds 30.
fn mirrored() -> ShardRecord {
    let mut record = registered(&World::with_shard("node1")).clone();
    for n in [2, 3] {
        let node = name(&format!("node{n}"));
        let replica = Uuid::from_u128(n * 10);
        record.replicas.push(Member { node, replica });
    }
    record.in_sync = record.replicas.clone();
    record.min_in_sync = 2;
    record
}

/// Node `n` reports this record.
fn reports(world: &mut World, n: u128, record: &ShardRecord) {
    let mut said = heartbeat(n, n * 10 + 1);
    let mut held = report(record);
    held.replica = Uuid::from_u128(n * 10);
    held.record = Some(record.clone());
    said.replicas.push(held);
    world.hear(&format!("node{n}"), said);
}

// If this fails, a catalog from an old backup sends nodes back to an epoch that is over.
#[test]
fn a_register_that_went_back_is_restored_from_nodes() {
    let mut world = World::with_shard("node1");
    let mut newer = registered(&world).clone();
    newer.version = 7;
    newer.epoch = Epoch(5);
    world.heartbeat("node1").replicas[0].record_version = 7;

    // The version alone is no record: nothing may be decided on the old one meanwhile.
    assert!(wants_records(
        &world.records,
        &world.nodes[&name("node1")].heartbeat
    ));
    world.heartbeat("node1").incarnation = Uuid::from_u128(99);
    assert_eq!(world.apply(), []);

    world.heartbeat("node1").replicas[0].record = Some(newer.clone());
    assert!(!wants_records(
        &world.records,
        &world.nodes[&name("node1")].heartbeat
    ));
    assert_eq!(world.apply(), [Reason::Restored]);
    assert_eq!(registered(&world).revision(), revision(1, 7));
    assert_eq!(world.apply(), [Reason::Elected]);
    assert_eq!(world.apply(), []);
    let restored = registered(&world);
    assert_eq!(
        (restored.revision(), restored.epoch),
        (revision(1, 8), Epoch(6))
    );
    let leader = restored.leader.as_ref().expect("a leader");
    assert_eq!(leader.incarnation, Uuid::from_u128(99));
    assert_eq!(
        (restored.log, &restored.replicas),
        (newer.log, &newer.replicas)
    );
}

// If this fails, a lost catalog cannot be rebuilt.
#[test]
fn an_empty_register_is_filled_from_nodes() {
    let mut before = World::with_shard("node1");
    let record = registered(&before).clone();
    let mut holding = before.heartbeat("node1").clone();
    holding.replicas[0].record = Some(record.clone());
    let mut world = World::default();
    world.hear("node1", holding);
    assert_eq!(world.apply(), [Reason::Restored]);
    let restored = registered(&world);
    assert_eq!(
        (restored.log, restored.revision()),
        (record.log, revision(1, 1))
    );
    assert_eq!(world.apply(), [], "who knows what is reported yet");
    world.may_make = true;
    assert_eq!(world.apply(), [Reason::Elected]);
    assert_eq!(
        registered(&world).epoch,
        record.epoch.next(),
        "a new epoch makes the leader list anew"
    );
    assert_eq!(world.apply(), []);
}

// If this fails, a restored shard is led before all who hold it have said what they have.
#[test]
fn a_restored_record_waits_for_all_its_replicas() {
    let mut world = World::fresh();
    reports(&mut world, 1, &mirrored());
    reports(&mut world, 2, &mirrored());
    assert!(world.apply().contains(&Reason::Restored));
    let restored = registered(&world).clone();
    assert_eq!(restored.revision(), revision(1, 1));
    assert_eq!(restored.leader, None, "nobody leads until all were heard");
    assert_eq!(restored.replicas, mirrored().replicas);
    world.hear("node3", heartbeat(3, 33));
    world.apply();
    assert_eq!(registered(&world), &restored, "its disk was replaced");
    // It has not made it yet: it has nothing to say.
    world.hear("node3", heartbeat(3, 30));
    assert!(world.apply().contains(&Reason::Elected));
    assert_eq!(registered(&world).revision(), revision(1, 2));
}

// If this fails, a restored shard waits for ever for a replica that meanwhile was made for another shard.
#[test]
fn whose_replica_was_made_for_another_shard_was_heard() {
    let mut world = World::fresh();
    reports(&mut world, 1, &mirrored());
    reports(&mut world, 2, &mirrored());
    assert!(world.apply().contains(&Reason::Restored));
    let mut other = report(registered(&world));
    other.shard = ShardNo(2);
    other.replica = mirrored().replicas[2].replica;
    let mut third = heartbeat(3, 33);
    third.replicas.push(other);
    world.hear("node3", third);
    assert!(world.apply().contains(&Reason::Elected));
}

// If this fails, what the register lost is given away once more in the look in which it is restored.
#[test]
fn an_offer_that_a_restored_record_names_is_taken() {
    let mut world = World::fresh();
    world.copies = 2;
    let mut alone = mirrored();
    alone.shard = ShardNo(2);
    alone.replicas.truncate(1);
    alone.in_sync.truncate(1);
    world.records.insert(ShardNo(2), alone.clone());
    reports(&mut world, 1, &mirrored());
    let mut second = report(&alone);
    second.record_mark = Some(alone.mark());
    world.heartbeat("node1").replicas.push(second);
    world.hear("node3", heartbeat(3, 30));
    let changes = world.decide();
    assert!(changes.iter().any(|c| c.reason == Reason::Restored));
    let added = changes.iter().find(|c| c.reason == Reason::Added);
    assert_eq!(added, None, "node 3's offer is of shard 1");
}

// If this fails, a controller that comes into office after a rollback elects on the past, in an epoch
// that somebody leads in already.
#[test]
fn before_a_session_has_passed_an_election_waits_for_everyone_who_could_know_better() {
    let mut world = World::default();
    let mut record = mirrored();
    record.in_sync.truncate(1);
    world.records.insert(ShardNo(1), record.clone());
    for n in [1, 2] {
        reports(&mut world, n, &record);
    }
    world.heartbeat("node1").incarnation = Uuid::from_u128(99);
    assert_eq!(world.apply(), [], "node 3 may know of a later record");
    let mut later = record.clone();
    later.version = 5;
    reports(&mut world, 3, &later);
    assert_eq!(world.apply(), [Reason::Restored]);

    world.records.insert(ShardNo(1), record.clone());
    reports(&mut world, 3, &record);
    assert_eq!(world.apply(), [Reason::Elected]);
}

// If this fails, a shard that the register lost before its leader had made it is led by nobody.
#[test]
fn a_leader_that_has_not_made_its_replica_is_elected_when_all_were_heard() {
    let mut world = World::fresh();
    let mut record = mirrored();
    record.in_sync.truncate(1);
    let mut unmade = heartbeat(1, 10);
    unmade.offer = record.in_sync[0].replica;
    world.hear("node1", unmade);
    for n in [2, 3] {
        reports(&mut world, n, &record);
    }
    assert!(world.apply().contains(&Reason::Restored));
    assert!(world.apply().contains(&Reason::Elected));
    let leader = registered(&world).leader.as_ref().expect("a leader");
    assert_eq!(leader.member, record.in_sync[0]);
}

// If this fails, a replica that halted keeps its shard without a leader after a rollback.
#[test]
fn a_halted_replica_was_heard() {
    let mut world = World::fresh();
    for n in 1..=3 {
        reports(&mut world, n, &mirrored());
    }
    world.heartbeat("node1").replicas[0].halted = true;
    assert!(world.apply().contains(&Reason::Restored));
    assert!(world.apply().contains(&Reason::Elected));
    let leader = registered(&world).leader.as_ref().expect("a leader");
    assert_ne!(leader.member.node, name("node1"));
}

// If this fails, a record that was restored from whoever came first outranks the true one, and a
// member is elected that lacks what was committed.
#[test]
fn a_higher_record_that_is_reported_later_replaces_a_restored_one() {
    let at = |version: u64| ShardRecord {
        version,
        ..mirrored()
    };
    let mut world = World::fresh();
    reports(&mut world, 1, &at(4));
    assert!(world.apply().contains(&Reason::Restored));
    reports(&mut world, 2, &at(2_000));
    assert!(world.apply().contains(&Reason::Restored));
    assert_eq!(registered(&world).revision(), revision(1, 2_000));
    // A lower one changes nothing.
    reports(&mut world, 3, &at(1_999));
    assert!(world.apply().contains(&Reason::Elected));
    assert_eq!(registered(&world).revision(), revision(1, 2_001));
    // All whom it names were heard: what is reported now was never acted on.
    reports(&mut world, 3, &at(9_000));
    assert!(!world.apply().contains(&Reason::Restored));
    assert_eq!(registered(&world).lineage, 1);
}

// If this fails, a register that goes back twice prefers a record that was restored from less to
// one that was led.
#[test]
fn a_record_of_the_next_lineage_replaces_one_that_was_restored_beside_it() {
    let mut world = World::fresh();
    let mut led = mirrored();
    (led.lineage, led.version) = (1, 3);
    let mut behind = mirrored();
    behind.version = 9;
    reports(&mut world, 1, &behind);
    assert!(world.apply().contains(&Reason::Restored));
    assert_eq!(registered(&world).revision(), revision(1, 9));
    reports(&mut world, 2, &led);
    world.heartbeat("node2").replicas[0].record = None;
    assert!(wants_records(
        &world.records,
        &world.nodes[&name("node2")].heartbeat
    ));
    reports(&mut world, 2, &led);
    assert!(world.apply().contains(&Reason::Restored));
    assert_eq!(registered(&world).revision(), revision(2, 3));
}

// If this fails, a node can overwrite the record of a shard that is none of its own.
#[test]
fn a_record_counts_only_from_a_member_and_of_the_same_log() {
    let mut world = World::with_shard("node1");
    let mut foreign = world.records[&ShardNo(1)].clone();
    foreign.version = 9;
    let mut stranger = heartbeat(3, 30);
    stranger.replicas.push(report(&foreign));
    stranger.replicas[0].record = Some(foreign.clone());
    stranger.replicas[0].replica = Uuid::from_u128(30);
    world.hear("node3", stranger);
    assert!(
        world
            .decide()
            .iter()
            .all(|change| change.reason != Reason::Restored)
    );

    foreign.log += 1;
    world.heartbeat("node1").replicas[0].record_version = 9;
    world.heartbeat("node1").replicas[0].record = Some(foreign);
    assert!(
        world
            .decide()
            .iter()
            .all(|change| change.reason != Reason::Restored)
    );
}

// If this fails, two backups put back in turn leave two nodes that lead in the same epoch.
#[test]
fn another_record_of_the_same_revision_is_a_later_one_that_was_lost() {
    let mut world = World::with_shard("node1");
    let registered_now = registered(&world).clone();
    let mut obeyed = registered_now.clone();
    obeyed.degraded = !obeyed.degraded;
    let report = &mut world.heartbeat("node1").replicas[0];
    report.record_mark = Some(obeyed.mark());
    assert!(wants_records(
        &world.records,
        &world.nodes[&name("node1")].heartbeat
    ));
    world.heartbeat("node1").replicas[0].record = Some(obeyed.clone());
    assert_eq!(world.apply(), [Reason::Restored]);
    let restored = registered(&world);
    assert_eq!(restored.lineage, registered_now.lineage + 1);
    assert_eq!(restored.degraded, obeyed.degraded);
}

// If this fails, a replica that was taken out before the register went back is elected, and what was
// committed without it is lost.
#[test]
fn whoever_was_taken_out_tells_of_it() {
    let mut world = World::fresh();
    let before = mirrored();
    world.records.insert(ShardNo(1), before.clone());
    let mut without = before.clone();
    without.version += 1;
    without.replicas.pop();
    without.in_sync.pop();
    reports(&mut world, 3, &without);
    assert_eq!(world.apply(), [Reason::Restored]);
    let restored = registered(&world);
    assert_eq!(restored.revision(), revision(1, without.version));
    assert_eq!(restored.in_sync, without.in_sync);
}

// If this fails, an epoch is led twice, or what members did after the register went back is undone.
#[test]
fn what_only_an_added_replica_knows_is_passed_over() {
    let mut world = World::fresh();
    let mut elected = mirrored();
    let added = elected.replicas.pop().expect("a third one");
    elected.in_sync.pop();
    let mut with_it = elected.clone();
    with_it.replicas.push(added);
    elected.epoch = elected.epoch.next();
    world.records.insert(ShardNo(1), elected.clone());
    for n in [1, 2] {
        reports(&mut world, n, &elected);
    }
    reports(&mut world, 3, &with_it);
    assert_eq!(with_it.revision(), elected.revision());
    assert_eq!(world.apply()[0], Reason::Restored);
    let passed = registered(&world);
    assert_eq!(passed.revision().version, elected.version + 1);
    assert_eq!(
        (passed.epoch, &passed.leader, &passed.replicas),
        (elected.epoch, &elected.leader, &elected.replicas)
    );
}

// If this fails, an epoch is led twice after two backups were put back in turn.
#[test]
fn a_restored_record_does_not_go_back_in_epochs() {
    let mut world = World::with_shard("node1");
    let mut obeyed = registered(&world).clone();
    obeyed.degraded = !obeyed.degraded;
    let present = world.records.get_mut(&ShardNo(1)).expect("a record");
    present.epoch = Epoch(7);
    world.heartbeat("node1").replicas[0].record = Some(obeyed.clone());
    assert_eq!(world.apply(), [Reason::Restored]);
    let restored = registered(&world);
    assert_eq!(
        (restored.degraded, restored.epoch),
        (obeyed.degraded, Epoch(7))
    );
}

// If this fails, every heartbeat of a node that tells no mark begins a restoration.
#[test]
fn a_record_is_not_another_one_for_lack_of_a_mark() {
    let mut world = World::with_shard("node1");
    world.heartbeat("node1").replicas[0].record_mark = None;
    assert!(!wants_records(
        &world.records,
        &world.nodes[&name("node1")].heartbeat
    ));
    assert_eq!(world.apply(), []);
}
