//! What a follower does with what its leader says.

use super::{SESSION_MS, Stage, at, committed, hello, led_by, log, node, record};
use crate::{Effect, Event, Halt, LEADER_SILENT_MS_MAX, SIGNS_OF_LIFE, Standing};
use wire::Lsn;
use wire::replication::Message;

fn asking() -> Stage {
    let mut stage = Stage::new(2, log(&[(1, 1)], 10, 8));
    stage.feed(Event::Record(record(5, 2, &[1, 2])));
    let effects = stage.feed(Event::LinkUp(node(1)));
    assert_eq!(stage.said(&effects), [(1, hello(2, at(1, 10)))]);
    stage
}

fn commit(lsn: u64, lease_ms: u64) -> Message {
    Message::Commit {
        commit: Lsn(lsn),
        lease_ms,
    }
}

// If this fails, a follower never asks, or asks where nobody can hear it.
#[test]
fn it_asks_when_the_leader_can_be_reached_and_asks_again() {
    let mut stage = Stage::new(2, log(&[(1, 1)], 10, 8));
    assert_eq!(stage.feed(Event::Record(record(5, 2, &[1, 2]))), []);
    assert_eq!(stage.feed(Event::LinkUp(node(3))), []);
    let mut stage = asking();
    assert_eq!(stage.pass(249), []);
    let effects = stage.pass(1);
    assert_eq!(stage.said(&effects), [(1, hello(2, at(1, 10)))]);
    stage.feed(Event::LinkDown(node(1)));
    assert_eq!(stage.pass(1_000), []);
    let effects = stage.feed(Event::LinkUp(node(1)));
    assert_eq!(stage.said(&effects).len(), 1);
}

// If this fails, a follower whose older hello came last at a leader that woke up waits for ever.
#[test]
fn a_follower_asks_again_when_its_leader_talks_to_another_attempt() {
    let mut stage = Stage::follower();
    let (half, rest) = (LEADER_SILENT_MS_MAX / 2, LEADER_SILENT_MS_MAX - 1);
    stage.pass(half);
    stage.hear(1, 1, commit(8, 0));
    stage.pass(half);
    stage.hear(1, 0, commit(8, 0));
    let effects = stage.pass(rest - half);
    assert_eq!(stage.said(&effects), [], "it was heard");
    let effects = stage.pass(1);
    assert_eq!(stage.said(&effects), [(1, hello(2, at(1, 10)))]);
}

// If this fails, an answer to an earlier attempt lets in what does not fit any more.
#[test]
fn only_the_present_attempt_is_answered() {
    let mut stage = asking();
    stage.pass(250);
    stage.hear(1, 1, Message::Follow);
    assert_eq!(stage.core.standing(), Standing::Following { is_in: false });
    stage.hear(3, 2, Message::Follow);
    stage.hear_in(1, 1, 2, Message::Follow);
    assert_eq!(stage.core.standing(), Standing::Following { is_in: false });
    let effects = stage.hear(1, 2, Message::Follow);
    assert_eq!(stage.core.standing(), Standing::Following { is_in: true });
    assert!(matches!(
        stage.said(&effects)[..],
        [(
            1,
            Message::Ack {
                synced: Lsn(10),
                ..
            }
        )]
    ));
}

// If this fails, what another leader sent is appended.
#[test]
fn records_are_accepted_from_the_leader_in_this_attempt() {
    let stage = Stage::follower();
    let records = || Message::Records {
        commit: Lsn(8),
        lease_ms: 0,
        frames: Vec::new(),
    };
    let accepts = |from: u128, epoch, attempt| {
        let envelope = stage.envelope(epoch, attempt, records());
        stage.core.accepts(&node(from), &envelope)
    };
    assert!(accepts(1, 2, 1));
    assert!(!accepts(3, 2, 1));
    assert!(!accepts(1, 1, 1));
    assert!(!accepts(1, 3, 1));
    assert!(!accepts(1, 2, 2));
}

// If this fails, something is acknowledged that a power loss undoes.
#[test]
fn only_what_is_synced_is_acknowledged() {
    let mut stage = Stage::follower();
    assert_eq!(stage.feed(Event::Appended(at(2, 12))), []);
    let effects = stage.feed(Event::Synced(Lsn(11)));
    assert!(matches!(
        stage.said(&effects)[..],
        [(
            1,
            Message::Ack {
                synced: Lsn(11),
                ..
            }
        )]
    ));
}

// If this fails, a leader takes its follower for dead, or each record costs four messages instead of two.
#[test]
fn a_sign_of_life_is_answered() {
    let mut stage = Stage::follower();
    // It has just acknowledged what it has.
    let effects = stage.hear(1, 1, commit(8, 100));
    assert_eq!(stage.said(&effects)[..], []);
    stage.pass(SESSION_MS / SIGNS_OF_LIFE);
    let effects = stage.hear(1, 1, commit(8, 100));
    assert!(matches!(
        stage.said(&effects)[..],
        [(
            1,
            Message::Ack {
                synced: Lsn(10),
                ..
            }
        )]
    ));
}

// If this fails, a follower shows what it may lose.
#[test]
fn its_commit_is_the_leaders_as_far_as_it_has_synced() {
    let mut stage = Stage::follower();
    assert_eq!(committed(&stage.hear(1, 1, commit(9, 0))), Some(9));
    assert_eq!(committed(&stage.hear(1, 1, commit(12, 0))), Some(10));
    stage.feed(Event::Appended(at(2, 12)));
    assert_eq!(committed(&stage.feed(Event::Synced(Lsn(11)))), Some(11));
    assert_eq!(committed(&stage.feed(Event::Synced(Lsn(12)))), Some(12));
    assert_eq!(committed(&stage.hear(1, 1, commit(5, 0))), None);
}

// If this fails, a follower commits what its leader does not have.
#[test]
fn nothing_is_committed_before_the_logs_are_known_to_agree() {
    let mut stage = asking();
    assert_eq!(committed(&stage.hear(1, 1, commit(10, 0))), None);
    assert_eq!(stage.core.committed(), Lsn(8));
}

// If this fails, a follower keeps what its leader does not have.
#[test]
fn it_steps_back_and_asks_again() {
    let mut stage = asking();
    let effects = stage.hear(1, 1, Message::Diverged(at(1, 9)));
    assert_eq!(effects, [Effect::TruncateAfter(Lsn(9))]);
    assert_eq!(stage.pass(1_000), [], "it waits for its own log");
    let effects = stage.feed(Event::Cut(log(&[(1, 1)], 9, 8)));
    assert_eq!(stage.said(&effects), [(1, hello(2, at(1, 9)))]);
}

// If this fails, what was acknowledged is cut off.
#[test]
fn it_never_cuts_below_its_commit() {
    let mut stage = asking();
    let effects = stage.hear(1, 1, Message::Diverged(at(1, 7)));
    let halt = Halt::BelowCommit {
        cut: Lsn(7),
        committed: Lsn(8),
    };
    assert_eq!(effects, [Effect::Halt(halt.clone())]);
    assert!(halt.is_breach());
}

// If this fails, a replica that was away for too long never returns.
#[test]
fn it_starts_over_when_told_to() {
    let mut stage = asking();
    let told = Message::StartOver {
        consistent_from: Lsn(40),
    };
    let effects = stage.hear(1, 1, told);
    let expected = Effect::StartOver {
        consistent_from: Lsn(40),
    };
    assert_eq!(effects, [expected]);
    let mut empty = log(&[], 0, 0);
    empty.consistent_from = Some(Lsn(40));
    let effects = stage.feed(Event::Cut(empty));
    let said = stage.said(&effects);
    let [(1, Message::Hello(hello))] = &said[..] else {
        panic!("it did not ask: {said:?}");
    };
    assert_eq!(hello.last, at(0, 0));
    assert_eq!(hello.consistent_from, Some(Lsn(40)));
}

// If this fails, a stream that broke is never mended, or mended without end.
#[test]
fn what_cannot_be_appended_is_asked_for_again_later() {
    let mut stage = Stage::follower();
    assert_eq!(stage.feed(Event::NotAppended), []);
    assert_eq!(stage.pass(249), []);
    let effects = stage.pass(1);
    assert_eq!(stage.said(&effects), [(1, hello(2, at(1, 10)))]);
}

// If this fails, a change of the set interrupts every follower.
#[test]
fn a_record_of_the_same_epoch_changes_nothing_for_it() {
    let mut stage = Stage::follower();
    assert_eq!(stage.feed(Event::Record(record(6, 2, &[1, 2, 3]))), []);
    assert_eq!(stage.core.standing(), Standing::Following { is_in: true });
    let effects = stage.feed(Event::Record(led_by(3, 7, 3, &[2, 3])));
    assert_eq!(stage.said(&effects), []);
    assert_eq!(stage.core.standing(), Standing::Following { is_in: false });
}
