//! What is committed, and when.

use super::{Stage, committed, led_by, member, proposed, record};
use crate::{Effect, Event, Halt, Standing};
use wire::{Epoch, Lsn};

// If this fails, something is acknowledged that a member does not have.
#[test]
fn the_slowest_member_decides() {
    let mut stage = Stage::leader_with(&[1, 2, 3], &[2, 3]);
    assert_eq!(committed(&stage.ack(2, 1, 11)), None);
    assert_eq!(committed(&stage.ack(3, 1, 11)), Some(11));
    stage.append(15);
    assert_eq!(committed(&stage.ack(2, 1, 15)), None);
    assert_eq!(committed(&stage.ack(3, 1, 13)), Some(13));
    assert_eq!(committed(&stage.ack(3, 1, 15)), Some(15));
}

// If this fails, the leader acknowledges what it would lose itself.
#[test]
fn the_leaders_own_sync_counts_too() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.feed(Event::Appended(super::at(2, 12)));
    assert_eq!(committed(&stage.ack(2, 1, 12)), None);
    assert_eq!(committed(&stage.feed(Event::Synced(Lsn(12)))), Some(12));
}

// If this fails, a record of an earlier epoch is acknowledged and then undone.
#[test]
fn earlier_records_are_committed_by_the_epochs_first() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    assert_eq!(committed(&stage.ack(2, 1, 10)), None);
    assert_eq!(stage.core.standing(), Standing::Elected(Epoch(2)));
    assert_eq!(committed(&stage.ack(2, 1, 11)), Some(11));
    assert_eq!(stage.core.standing(), Standing::Leading(Epoch(2)));
}

// If this fails, a leader alone acknowledges what dies with it.
#[test]
fn a_set_that_is_too_small_commits_nothing() {
    let mut stage = Stage::leader(&[1]);
    assert_eq!(committed(&stage.append(12)), None);
    let mut degraded = record(6, 2, &[1]);
    degraded.degraded = true;
    assert_eq!(committed(&stage.feed(Event::Record(degraded))), Some(12));
}

// If this fails, one copy cannot be had.
#[test]
fn with_one_copy_one_commits() {
    let mut single = record(5, 2, &[1]);
    single.min_in_sync = 1;
    let stage = Stage::leader_by(single);
    assert_eq!(stage.core.committed(), Lsn(11));
    assert!(stage.core.may_write());
}

// If this fails, a member that is about to leave misses what is acknowledged meanwhile.
#[test]
fn while_a_change_is_under_way_both_sets_count() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.append(12);
    stage.ack(2, 1, 12);
    stage.feed(Event::LinkDown(super::node(3)));
    let shrinks = stage.pass(500);
    assert_eq!(proposed(&shrinks)[0].in_sync, super::members(&[1, 2]));
    assert_eq!(committed(&shrinks), None);
    assert_eq!(committed(&stage.ack(2, 1, 12)), None);
    let confirmed = proposed(&shrinks)[0].clone();
    assert_eq!(committed(&stage.feed(Event::Record(confirmed))), Some(12));
}

// If this fails, a member that is about to join misses what is acknowledged meanwhile.
#[test]
fn a_member_that_is_proposed_counts_already() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.let_in(3, 1);
    let grows = stage.ack(3, 1, 11);
    assert_eq!(proposed(&grows)[0].in_sync, super::members(&[1, 2, 3]));
    stage.append(12);
    assert_eq!(committed(&stage.ack(2, 1, 12)), None);
    assert_eq!(committed(&stage.ack(3, 1, 12)), Some(12));
}

// If this fails, what an earlier process or connection had counts for what this one has.
#[test]
fn acknowledgements_of_other_attempts_and_epochs_do_not_count() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    assert_eq!(committed(&stage.ack(2, 7, 11)), None);
    let message = wire::replication::Message::Ack {
        synced: Lsn(11),
        free_bytes: 0,
    };
    for epoch in [1, 3] {
        let effects = stage.hear_in(epoch, 2, 1, message.clone());
        assert_eq!(committed(&effects), None);
    }
    stage.let_in(2, 2);
    assert_eq!(committed(&stage.ack(2, 1, 11)), None);
    assert_eq!(committed(&stage.ack(2, 2, 11)), Some(11));
}

// If this fails, a follower that lost its tail counts for what it lost.
#[test]
fn a_hello_begins_the_count_anew() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.append(14);
    stage.ack(2, 1, 12);
    stage.let_in(2, 2);
    stage.append(15);
    assert_eq!(committed(&stage.ack(2, 2, 10)), None);
    assert_eq!(stage.core.committed(), Lsn(12));
}

// If this fails, two logs that differ go on as if they did not.
#[test]
fn an_acknowledgement_beyond_the_end_halts() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    let effects = stage.ack(2, 1, 12);
    let halt = Halt::AckAhead {
        node: super::node(2),
        synced: Lsn(12),
        end: Lsn(11),
    };
    assert_eq!(effects, [Effect::Halt(halt)]);
    assert!(!stage.core.may_write());
    assert_eq!(stage.feed(Event::Tick), []);
}

// If this fails, uploads go to members that are full.
#[test]
fn the_least_room_of_the_set_counts() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.feed(Event::Space(5_000));
    assert_eq!(stage.core.free_bytes(), 1_000);
    stage.feed(Event::Space(10));
    assert_eq!(stage.core.free_bytes(), 10);
    let follower = led_by(2, 9, 3, &[2]);
    stage.feed(Event::Record(follower));
    assert_eq!(stage.core.free_bytes(), 10);
    assert_eq!(member(1).node, super::node(1));
}
