//! Who is let in, and who must step back first.

use super::{Stage, at, hello, log, member, members, node, process, proposed, record};
use crate::{Effect, Event, Halt, Standing};
use uuid::Uuid;
use wire::replication::{Hello, Message};
use wire::shard::Revision;
use wire::{Epoch, Lsn};

fn judged(last: (u64, u64)) -> Message {
    let mut stage = Stage::leader(&[1, 2]);
    let effects = stage.hear(2, 1, hello(2, at(last.0, last.1)));
    let said = stage.said(&effects);
    let (to, message) = said.first().expect("an answer").clone();
    assert_eq!(to, 2);
    message
}

// If this fails, a follower that agrees is turned away, or one that does not is let in.
#[test]
fn the_last_record_must_be_in_the_leaders_history() {
    assert_eq!(judged((1, 10)), Message::Follow);
    assert_eq!(judged((1, 4)), Message::Follow);
    assert_eq!(judged((2, 11)), Message::Follow);
    assert_eq!(judged((0, 0)), Message::Follow);
    assert_eq!(judged((1, 11)), Message::Diverged(at(1, 10)));
    assert_eq!(judged((1, 30)), Message::Diverged(at(1, 10)));
    assert_eq!(judged((2, 12)), Message::Diverged(at(2, 11)));
}

// If this fails, records are sent from the wrong place, or under another attempt.
#[test]
fn who_is_let_in_is_sent_what_comes_after() {
    let mut stage = Stage::leader(&[1, 2]);
    let effects = stage.hear(2, 6, hello(2, at(1, 7)));
    let streams: Vec<&Effect> = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Stream { .. }))
        .collect();
    let expected = Effect::Stream {
        to: node(2),
        after: Lsn(7),
        epoch: Epoch(2),
        attempt: 6,
    };
    assert_eq!(streams, [&expected]);
}

// If this fails, two streams run to one follower.
#[test]
fn a_new_attempt_ends_the_stream_before() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    let effects = stage.hear(2, 2, hello(2, at(1, 10)));
    assert_eq!(effects.first(), Some(&Effect::StopStream(node(2))));
    let effects = stage.feed(Event::LinkDown(node(2)));
    assert!(effects.contains(&Effect::StopStream(node(2))));
    let effects = stage.feed(Event::LinkDown(node(2)));
    assert!(!effects.contains(&Effect::StopStream(node(2))));
}

// If this fails, two different records at one position go unnoticed.
#[test]
fn a_record_with_another_checksum_is_stepped_back_over() {
    let answer = |theirs: Option<u32>, ours: Option<u32>| {
        let mut stage = Stage::leader(&[1, 2]);
        let mut envelope = stage.envelope(2, 1, hello(2, at(1, 10)));
        if let Message::Hello(hello) = &mut envelope.message {
            hello.checksum = theirs;
        }
        let effects = stage.feed(Event::Message {
            from: node(2),
            envelope,
            checksum_here: ours,
        });
        stage.said(&effects)[0].1.clone()
    };
    assert_eq!(answer(Some(1), Some(1)), Message::Follow);
    assert_eq!(answer(Some(1), Some(2)), Message::Diverged(at(1, 9)));
    assert_eq!(answer(None, Some(2)), Message::Follow);
    assert_eq!(answer(Some(1), None), Message::Follow);
}

fn with_horizon(horizon: u64) -> Stage {
    let mut stage = Stage::leader(&[1]);
    stage.feed(Event::Horizon(Lsn(horizon)));
    stage
}

// If this fails, a deleted content comes back on a replica that was away for long.
#[test]
fn a_follower_below_the_horizon_starts_over() {
    let mut stage = with_horizon(6);
    let effects = stage.hear(3, 1, hello(3, at(1, 5)));
    let expected = Message::StartOver {
        consistent_from: Lsn(8),
    };
    assert_eq!(stage.said(&effects), [(3, expected)]);
    let effects = stage.hear(3, 2, hello(3, at(1, 6)));
    assert_eq!(stage.said(&effects), [(3, Message::Follow)]);
}

/// Node 3 has begun a copy from nothing.
fn copying(consistent_from: u64) -> Message {
    Message::Hello(Hello {
        replica: Uuid::from_u128(3),
        incarnation: process(3),
        revision: Revision {
            lineage: 0,
            version: 5,
        },
        last: at(0, 0),
        checksum: None,
        consistent_from: Some(Lsn(consistent_from)),
    })
}

// If this fails, a copy joins before it is complete, or never begins.
#[test]
fn a_copy_from_nothing_knows_where_it_is_complete() {
    let mut stage = with_horizon(6);
    let effects = stage.hear(3, 1, hello(3, at(0, 0)));
    let expected = Message::StartOver {
        consistent_from: Lsn(8),
    };
    assert_eq!(stage.said(&effects), [(3, expected)]);
    let again = copying(8);
    let effects = stage.hear(3, 2, again);
    assert_eq!(stage.said(&effects), [(3, Message::Follow)]);
    assert!(!stage.core.may_compact(), "a copy needs what is there");
    stage.ack(3, 2, 8);
    assert!(stage.core.may_compact());
}

// If this fails, a copy from a busy leader begins again and again, and never ends.
#[test]
fn a_copy_is_not_sent_back_while_it_runs() {
    let mut stage = with_horizon(6);
    stage.hear(3, 1, hello(3, at(0, 0)));
    stage.hear(3, 2, copying(8));
    stage.ack(3, 2, 3);
    let effects = stage.feed(Event::Appended(at(2, 12)));
    assert!(!effects.contains(&Effect::StopStream(node(3))));
}

// If this fails, a deleted content comes back where a copy is copied: what its first leader had
// dropped, it never had.
#[test]
fn who_ends_below_where_a_copy_is_complete_copies_too() {
    let mut copied = log(&[(1, 1)], 10, 8);
    copied.consistent_from = Some(Lsn(7));
    let mut stage = Stage::new(1, copied);
    stage.feed(Event::Record(record(5, 2, &[1])));
    stage.feed(Event::Appended(at(2, 11)));
    let judged = |stage: &mut Stage, attempt, last| {
        let effects = stage.hear(3, attempt, hello(3, last));
        stage.said(&effects)
    };
    let expected = Message::StartOver {
        consistent_from: Lsn(8),
    };
    assert_eq!(judged(&mut stage, 1, at(1, 6)), [(3, expected.clone())]);
    assert_eq!(judged(&mut stage, 2, at(0, 0)), [(3, expected)]);
    assert_eq!(judged(&mut stage, 3, at(1, 7)), [(3, Message::Follow)]);
}

// If this fails, a copy misses a delete that was dropped while it ran.
#[test]
fn a_horizon_that_rises_above_a_follower_sends_it_back() {
    let mut stage = Stage::leader_with(&[1], &[3]);
    stage.ack(3, 1, 5);
    let effects = stage.feed(Event::Horizon(Lsn(7)));
    assert!(effects.contains(&Effect::StopStream(node(3))));
    let expected = Message::StartOver {
        consistent_from: Lsn(8),
    };
    assert!(stage.said(&effects).contains(&(3, expected)));
}

// If this fails, what a member has is thrown away.
#[test]
fn a_horizon_above_what_a_member_acknowledges_is_a_breach() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    stage.ack(2, 1, 5);
    let effects = stage.feed(Event::Horizon(Lsn(6)));
    let halt = Halt::MemberBelowHorizon {
        node: node(2),
        end: Lsn(5),
        horizon: Lsn(6),
    };
    assert_eq!(effects, [Effect::Halt(halt.clone())]);
    assert!(halt.is_breach());
    assert_eq!(stage.core.standing(), Standing::Halted(halt));
}

// If this fails, a mirror whose disk lost much of what it had synced halts its leader, or never comes back.
#[test]
fn a_member_that_lost_its_log_starts_over_outside_of_the_set() {
    let mut stage = Stage::leader(&[1, 2]);
    stage.feed(Event::Horizon(Lsn(6)));
    let effects = stage.hear(2, 1, hello(2, at(1, 5)));
    assert_eq!(stage.said(&effects), [], "it still counts as a member");
    let changes = proposed(&effects);
    assert_eq!(changes[0].in_sync, members(&[1]));
    stage.feed(Event::Record(changes[0].clone()));
    let effects = stage.hear(2, 2, hello(2, at(1, 5)));
    let expected = Message::StartOver {
        consistent_from: Lsn(8),
    };
    assert_eq!(stage.said(&effects), [(2, expected)]);
}

// If this fails, a lost disk that was replaced takes part as if nothing had happened.
#[test]
fn only_a_replica_that_the_record_names_is_let_in() {
    let mut stage = Stage::leader(&[1, 2]);
    let effects = stage.hear(2, 1, hello(9, at(1, 10)));
    assert_eq!(stage.said(&effects), []);
    let effects = stage.hear(5, 1, hello(5, at(1, 10)));
    assert_eq!(stage.said(&effects), []);
}

// If this fails, a follower is compared with a history that has not begun.
#[test]
fn nobody_is_let_in_before_the_epoch_has_begun() {
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::Record(record(5, 2, &[1, 2])));
    let effects = stage.hear(2, 1, hello(2, at(1, 10)));
    assert_eq!(stage.said(&effects), []);
}

// If this fails, a handover takes as long as a follower waits before it asks again: whoever knew of the
// new leader before that did is not heard.
#[test]
fn who_said_hello_too_early_is_let_in_when_the_epoch_has_begun() {
    let early = |said: Message, before_the_record: bool| {
        let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
        stage.feed(Event::LinkUp(node(2)));
        stage.feed(Event::Record(super::led_by(2, 4, 1, &[1, 2])));
        if before_the_record {
            let effects = stage.hear(2, 3, said.clone());
            assert_eq!(effects, [Effect::ReadRecord]);
        }
        stage.feed(Event::Record(record(5, 2, &[1, 2])));
        if !before_the_record {
            assert_eq!(stage.hear(2, 3, said), []);
        }
        stage
    };
    for before_the_record in [true, false] {
        let mut stage = early(hello(2, at(1, 10)), before_the_record);
        let effects = stage.feed(Event::Appended(at(2, 11)));
        assert_eq!(stage.said(&effects), [(2, Message::Follow)]);
        let effects = stage.feed(Event::Synced(Lsn(11)));
        assert_eq!(stage.said(&effects), [], "once");

        let mut stage = early(hello(2, at(1, 10)), before_the_record);
        stage.feed(Event::LinkDown(node(2)));
        let effects = stage.feed(Event::Appended(at(2, 11)));
        assert_eq!(stage.said(&effects), [], "it hears nothing any more");
    }
}

// If this fails, a leader that only its followers can reach goes on for a session after it was
// deposed, and its shard stands still.
#[test]
fn a_new_leader_tells_the_other_replicas() {
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::LinkUp(node(2)));
    stage.feed(Event::LinkUp(node(7)));
    let newer = record(5, 2, &[1, 2]);
    let effects = stage.feed(Event::Record(newer.clone()));
    let told = |to: u128| (to, Message::Refused(Box::new(newer.clone())));
    assert_eq!(stage.said(&effects), [told(2)]);
    let effects = stage.feed(Event::LinkUp(node(3)));
    assert_eq!(stage.said(&effects), [told(3)]);
    let mut follower = Stage::follower();
    assert_eq!(follower.feed(Event::LinkUp(node(3))), []);
}

// If this fails, a replica that was replaced while it was away keeps its successor from being made.
#[test]
fn a_record_without_this_replica_is_read_from_the_register() {
    let mut stage = Stage::follower();
    let mut newer = record(9, 3, &[1]);
    newer.replicas = super::members(&[1, 3]);
    let effects = stage.hear_in(3, 1, 0, Message::Refused(Box::new(newer)));
    assert_eq!(effects, [Effect::ReadRecord]);
}

// If this fails, a follower with an old record never hears of the new leader.
#[test]
fn whoever_has_an_older_record_is_told_the_newer() {
    let mut stage = Stage::leader(&[1, 2]);
    let mut old = hello(2, at(1, 10));
    if let Message::Hello(hello) = &mut old {
        hello.revision.version = 3;
    }
    let effects = stage.hear_in(1, 2, 1, old);
    let newer = Message::Refused(Box::new(record(5, 2, &[1, 2])));
    assert_eq!(stage.said(&effects), [(2, newer)]);
}

// If this fails, a deposed leader that followers know to be deposed goes on for long.
#[test]
fn whoever_hears_of_a_newer_record_asks_for_it() {
    let mut stage = Stage::leader(&[1, 2]);
    let mut new = hello(2, at(1, 10));
    if let Message::Hello(hello) = &mut new {
        hello.revision.version = 9;
    }
    let effects = stage.hear_in(3, 2, 1, new);
    assert_eq!(effects, [Effect::ReadRecord]);
    let newer = record(9, 3, &[2]);
    let effects = stage.hear_in(3, 2, 1, Message::Refused(Box::new(newer.clone())));
    assert_eq!(effects, [Effect::Learn(newer)]);
    assert_eq!(member(2).node, node(2));
}
