//! Which role a record gives, and what ends it.

use super::{Stage, led_by, log, member, members, node, process, record};
use crate::{Effect, Event, Halt, Standing};
use wire::Epoch;

// If this fails, a node obeys a record of the past.
#[test]
fn only_a_newer_record_is_obeyed() {
    let mut stage = Stage::leader(&[1, 2]);
    for version in [1, 4, 5] {
        assert_eq!(stage.feed(Event::Record(led_by(2, version, 9, &[2]))), []);
    }
    assert_eq!(stage.core.record(), Some(&record(5, 2, &[1, 2])));
    stage.feed(Event::Record(led_by(2, 6, 3, &[1, 2])));
    assert_eq!(stage.core.standing(), Standing::Following { is_in: false });
}

// If this fails, a restarted leader writes on in an epoch that it led before its crash.
#[test]
fn leadership_ends_with_the_process() {
    let mut stage = Stage::new(1, log(&[(1, 1), (2, 5)], 10, 8));
    let mut earlier = record(5, 2, &[1, 2]);
    if let Some(leader) = &mut earlier.leader {
        leader.incarnation = process(9);
    }
    assert_eq!(stage.feed(Event::Record(earlier)), []);
    assert_eq!(stage.core.standing(), Standing::Idle);
}

// If this fails, two processes append in one epoch.
#[test]
fn an_epoch_is_begun_once() {
    let mut stage = Stage::new(1, log(&[(1, 1), (2, 5)], 10, 8));
    let effects = stage.feed(Event::Record(record(5, 2, &[1, 2])));
    let halt = Halt::EpochTaken {
        epoch: Epoch(2),
        log: Epoch(2),
    };
    assert_eq!(effects, [Effect::Halt(halt)]);

    let mut stage = Stage::leader(&[1, 2]);
    let effects = stage.feed(Event::Record(record(6, 2, &[1, 2, 3])));
    assert!(!effects.contains(&Effect::BeginEpoch(Epoch(2))));
    let effects = stage.feed(Event::Record(record(7, 3, &[1, 2, 3])));
    assert!(effects.contains(&Effect::BeginEpoch(Epoch(3))));
}

// If this fails, a full disk at the wrong moment leaves a shard without a leader, or is asked for room with
// every event, and fills the node's log.
#[test]
fn an_epoch_that_could_not_be_begun_is_tried_again_after_a_while() {
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::Record(record(5, 2, &[1, 2])));
    for _ in 0..3 {
        for _ in 0..99 {
            assert!(!stage.pass(1).contains(&Effect::BeginEpoch(Epoch(2))));
        }
        assert!(stage.pass(1).contains(&Effect::BeginEpoch(Epoch(2))));
        assert_eq!(stage.feed(Event::Space(7)), []);
    }
}

// If this fails, a deposed leader's streams go on.
#[test]
fn a_deposed_leader_stops_its_streams() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    assert!(stage.core.may_write());
    let effects = stage.feed(Event::Record(led_by(2, 6, 3, &[2, 3])));
    for follower in [2, 3] {
        assert!(effects.contains(&Effect::StopStream(node(follower))));
    }
    assert!(!stage.core.may_write());
    assert!(!stage.core.may_read(stage.now_ms));
}

// If this fails, a node that was removed goes on as if it were not.
#[test]
fn who_is_no_member_does_nothing() {
    let mut stage = Stage::follower();
    let mut without = record(6, 2, &[1]);
    without.replicas = members(&[1, 3]);
    stage.feed(Event::Record(without));
    assert_eq!(stage.core.standing(), Standing::Idle);
    let mut restored = record(1_100, 2, &[1, 2]);
    restored.leader = None;
    stage.feed(Event::Record(restored));
    assert_eq!(stage.core.standing(), Standing::Idle);
    assert_eq!(member(1).node, node(1));
}

// If this fails, a log that failed is acknowledged from.
#[test]
fn a_failed_log_ends_everything() {
    let mut stage = Stage::confirmed(&[1, 2]);
    let halt = Halt::Log("no disk".to_owned());
    let effects = stage.feed(Event::Failed("no disk".to_owned()));
    assert_eq!(effects, [Effect::Halt(halt.clone())]);
    assert!(!halt.is_breach());
    assert_eq!(stage.ack(2, 1, 11), []);
    assert_eq!(stage.feed(Event::Record(record(9, 4, &[1]))), []);
    assert!(!stage.core.may_write());
    assert!(!stage.core.may_read(stage.now_ms));
    assert_eq!(stage.core.lease_ms(stage.now_ms), 0);
}
