//! Who may serve what is committed, and for how long.

use super::{
    SESSION_MS, Stage, at, committed, hello, led_by, log, members, node, proposed, record,
};
use crate::Event;
use wire::Lsn;
use wire::replication::Message;

// If this fails, a deposed leader serves what is long outdated.
#[test]
fn a_leader_serves_for_a_session_after_it_heard_from_all() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    let heard_ms = stage.now_ms;
    assert!(stage.core.may_read(heard_ms + SESSION_MS - 1));
    assert!(!stage.core.may_read(heard_ms + SESSION_MS));
    stage.now_ms += 600;
    stage.ack(2, 1, 11);
    assert!(!stage.core.may_read(heard_ms + SESSION_MS), "not from all");
    stage.ack(3, 1, 11);
    assert!(stage.core.may_read(heard_ms + SESSION_MS));
}

// If this fails, a message that was long under way counts as news.
#[test]
fn what_counts_is_when_the_answer_was_asked_for() {
    let mut stage = Stage::confirmed(&[1, 2]);
    let asked_ms = stage.now_ms;
    stage.now_ms += 900;
    let mut envelope = stage.envelope(
        2,
        1,
        Message::Ack {
            synced: Lsn(11),
            free_bytes: 0,
        },
    );
    envelope.echo_ms = asked_ms;
    stage.feed(Event::Message {
        from: super::node(2),
        envelope,
        checksum_here: None,
    });
    assert!(!stage.core.may_read(asked_ms + SESSION_MS));
}

// If this fails, a new leader denies what was acknowledged before its time.
#[test]
fn an_elected_leader_serves_nothing() {
    let mut stage = Stage::leader_with(&[1, 2], &[2]);
    stage.ack(2, 1, 10);
    assert!(!stage.core.may_read(stage.now_ms));
    stage.ack(2, 1, 11);
    assert!(stage.core.may_read(stage.now_ms));
}

// If this fails, a leader alone serves old state beside a leader that was elected without it.
#[test]
fn a_set_that_cannot_commit_serves_nothing() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.feed(Event::LinkDown(super::node(2)));
    let mut small = record(6, 2, &[1]);
    small.eligible = super::members(&[2]);
    stage.feed(Event::Record(small));
    assert!(!stage.core.may_read(stage.now_ms));
    let mut degraded = record(7, 2, &[1]);
    degraded.degraded = true;
    stage.feed(Event::Record(degraded));
    assert!(stage.core.may_read(stage.now_ms + 10 * SESSION_MS));
}

/// Node 1, a follower of node 2 in epoch 1, that answered it, and took over from it alone
/// `elected_ms` after that.
fn successor(elected_ms: u64) -> Stage {
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::LinkUp(node(2)));
    stage.feed(Event::Record(led_by(2, 4, 1, &[1, 2])));
    stage.hear_in(1, 2, 1, Message::Follow);
    stage.now_ms += elected_ms;
    let mut alone = record(5, 2, &[1]);
    alone.degraded = true;
    stage.feed(Event::Record(alone));
    stage.feed(Event::Appended(at(2, 11)));
    stage
}

// If this fails, a leader that is cut off serves a content that its successor has deleted.
#[test]
fn nothing_is_committed_while_the_leader_before_may_serve() {
    let mut stage = successor(600);
    assert_eq!(committed(&stage.feed(Event::Synced(Lsn(11)))), None);
    assert_eq!(committed(&stage.pass(SESSION_MS - 601)), None);
    assert_eq!(committed(&stage.pass(1)), Some(11));

    let mut stage = successor(SESSION_MS);
    let effects = stage.feed(Event::Synced(Lsn(11)));
    assert_eq!(committed(&effects), Some(11), "it was silent for a session");
}

// If this fails, a replica that never answered the leader before is taken into the set, elected within the
// same session, and commits what that leader's readers do not see.
#[test]
fn the_set_does_not_grow_while_the_leader_before_may_serve() {
    let mut stage = successor(600);
    stage.feed(Event::Synced(Lsn(11)));
    stage.feed(Event::LinkUp(node(3)));
    stage.let_in(3, 1);
    assert_eq!(proposed(&stage.ack(3, 1, 11)), []);
    assert_eq!(proposed(&stage.pass(SESSION_MS - 601)), []);
    let changes = proposed(&stage.pass(1));
    assert_eq!(changes[0].in_sync, members(&[1, 3]));
}

// If this fails, every handover takes a session.
#[test]
fn a_leader_before_that_follows_serves_no_more() {
    let of_two = |record: wire::shard::ShardRecord| {
        let replicas = super::members(&[1, 2]);
        Event::Record(wire::shard::ShardRecord { replicas, ..record })
    };
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::LinkUp(node(2)));
    stage.feed(of_two(led_by(2, 4, 1, &[1, 2])));
    stage.hear_in(1, 2, 1, Message::Follow);
    stage.feed(of_two(record(5, 2, &[1, 2])));
    stage.feed(Event::Appended(at(2, 11)));
    stage.feed(Event::Synced(Lsn(11)));
    stage.let_in(2, 1);
    assert_eq!(committed(&stage.ack(2, 1, 11)), Some(11));
    // It ends, and leaves the set.
    stage.feed(Event::LinkDown(node(2)));
    let mut alone = record(6, 2, &[1]);
    alone.degraded = true;
    stage.feed(of_two(alone));
    assert_eq!(committed(&stage.append(12)), Some(12));
}

// If this fails, a process that has just begun takes over from a leader that an earlier one answered:
// it may have been elected itself before it ended.
#[test]
fn what_an_earlier_process_answered_counts() {
    for before in [2, 1] {
        let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
        let mut persisted = led_by(before, 4, 1, &[1, 2]);
        persisted.leader.as_mut().expect("a leader").incarnation = uuid::Uuid::nil();
        stage.feed(Event::Record(persisted));
        let mut alone = record(5, 2, &[1]);
        alone.degraded = true;
        stage.feed(Event::Record(alone));
        stage.feed(Event::Appended(at(2, 11)));
        assert_eq!(committed(&stage.feed(Event::Synced(Lsn(11)))), None);
        stage.let_in(2, 1);
        assert_eq!(committed(&stage.pass(SESSION_MS - 1)), None, "and node 3?");
        assert_eq!(committed(&stage.pass(1)), Some(11));
    }
}

// If this fails, a leadership that moves twice within a session stands still for the rest of it.
#[test]
fn who_led_before_an_epoch_that_commits_is_not_waited_for() {
    let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
    stage.feed(Event::LinkUp(node(3)));
    stage.feed(Event::LinkUp(node(2)));
    stage.feed(Event::Record(led_by(3, 4, 1, &[1, 2, 3])));
    stage.hear_in(1, 3, 1, Message::Follow);
    stage.feed(Event::Record(led_by(2, 5, 2, &[1, 2])));
    stage.hear(2, 2, Message::Follow);
    stage.feed(Event::Appended(at(2, 11)));
    stage.feed(Event::Synced(Lsn(11)));
    let told = Message::Commit {
        commit: Lsn(11),
        lease_ms: 300,
    };
    assert_eq!(committed(&stage.hear(2, 2, told)), Some(11));
    stage.feed(Event::Record(record(6, 3, &[1, 2])));
    stage.feed(Event::Appended(at(3, 12)));
    stage.feed(Event::Synced(Lsn(12)));
    let mut said = hello(2, at(2, 11));
    if let Message::Hello(hello) = &mut said {
        hello.revision.version = 6;
    }
    stage.hear_in(3, 2, 1, said);
    let ack = Message::Ack {
        synced: Lsn(12),
        free_bytes: 1,
    };
    assert_eq!(committed(&stage.hear_in(3, 2, 1, ack)), Some(12));
}

// If this fails, a follower serves what is long outdated.
#[test]
fn a_follower_serves_what_is_left_of_its_leaders_time() {
    let mut stage = Stage::follower();
    assert!(!stage.core.may_read(stage.now_ms));
    let told = Message::Commit {
        commit: Lsn(9),
        lease_ms: 300,
    };
    stage.hear(1, 1, told);
    assert!(stage.core.may_read(stage.now_ms + 299));
    assert!(!stage.core.may_read(stage.now_ms + 300));
}

// If this fails, a follower that is behind says that a new content does not exist.
#[test]
fn a_follower_that_is_behind_serves_nothing() {
    let mut stage = Stage::follower();
    let told = Message::Commit {
        commit: Lsn(12),
        lease_ms: 300,
    };
    stage.hear(1, 1, told);
    assert!(!stage.core.may_read(stage.now_ms));
    stage.feed(Event::Appended(super::at(2, 12)));
    stage.feed(Event::Synced(Lsn(12)));
    assert!(stage.core.may_read(stage.now_ms));
}
