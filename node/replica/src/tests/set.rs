//! How a leader changes its set, one change at a time.

use super::{Stage, at, hello, member, members, node, process, proposed, record};
use crate::{ACK_AGE_MS_MAX, Effect, Event};
use wire::Lsn;
use wire::replication::Message;
use wire::shard::ShardRecord;

// If this fails, a dead follower stops all uploads, or a short break removes a good one.
#[test]
fn a_member_whose_link_is_gone_leaves_after_half_a_second() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.feed(Event::LinkDown(node(3)));
    assert_eq!(proposed(&stage.pass(499)), []);
    let changes = proposed(&stage.pass(1));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
    assert_eq!(changes[0].version, 6);
}

// If this fails, a follower that cannot append, and begins again and again, stops its shard for ever.
#[test]
fn a_member_that_begins_again_and_again_leaves() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.append(12);
    stage.ack(2, 1, 12);
    for attempt in 2..9 {
        assert_eq!(proposed(&stage.pass(250)), []);
        stage.let_in(3, attempt);
        stage.ack(3, attempt, 11);
        stage.ack(2, 1, 12);
    }
    let changes = proposed(&stage.pass(250));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
}

// If this fails, a follower with a slow disk slows all uploads.
#[test]
fn a_member_that_does_not_acknowledge_leaves() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.append(12);
    for _ in 0..19 {
        assert_eq!(proposed(&stage.pass(100)), []);
        stage.ack(2, 1, 12);
        stage.ack(3, 1, 11);
    }
    let changes = proposed(&stage.pass(100));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
}

// If this fails, a leader with a slow disk holds up all uploads, which its followers have long synced.
#[test]
fn a_leader_that_syncs_slower_than_a_follower_hands_over() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.feed(Event::Appended(at(2, 12)));
    for _ in 0..19 {
        assert_eq!(proposed(&stage.pass(100)), []);
        stage.ack(2, 1, 11);
        stage.ack(3, 1, 12);
    }
    stage.ack(2, 1, 12);
    let changes = proposed(&stage.pass(100));
    let next = changes[0].leader.as_ref().expect("a leader");
    assert_eq!((&next.member, next.incarnation), (&member(2), process(2)));
    assert_eq!(changes[0].in_sync, members(&[1, 2, 3]));
}

// If this fails, leaderships go round in circles when the disks of all are slow.
#[test]
fn a_leader_keeps_office_while_nobody_has_synced_more() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.feed(Event::Appended(at(2, 12)));
    for _ in 0..25 {
        let effects = stage.pass(100);
        let leaders = proposed(&effects).into_iter().map(|record| record.leader);
        assert!(leaders.flatten().all(|leader| leader.member == member(1)));
        stage.ack(2, 1, 11);
    }
}

// If this fails, a member whose disk lost what it had synced leads when its leader dies, and what was
// acknowledged is gone.
#[test]
fn a_member_that_has_less_than_it_acknowledged_is_no_member_until_it_has_it_again() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.append(14);
    stage.ack(2, 1, 14);
    let effects = stage.hear(2, 2, hello(2, at(2, 12)));
    let lost = Effect::Lost {
        node: node(2),
        end: Lsn(12),
        committed: Lsn(14),
    };
    assert!(effects.contains(&lost), "{effects:?}");
    let changes = proposed(&effects);
    assert_eq!(changes[0].in_sync, members(&[1]));
    assert_eq!(changes[0].eligible, members(&[]), "nor may it be elected");
    stage.feed(Event::Record(changes[0].clone()));
    assert_eq!(proposed(&stage.ack(2, 2, 13)), []);
    let changes = proposed(&stage.ack(2, 2, 14));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
    stage.feed(Event::Record(changes[0].clone()));
    let effects = stage.let_in(2, 3);
    assert_eq!(proposed(&effects), [], "it is a member like any other");
}

// If this fails, a member whose disk lost what it had synced is elected, because it left the set or was about to
// come in when that was seen.
#[test]
fn who_has_less_than_it_acknowledged_is_not_eligible_and_does_not_stay() {
    let mut stage = Stage::leader_by(ShardRecord {
        eligible: members(&[2]),
        ..record(5, 2, &[1])
    });
    let lost = |effects: &[Effect]| {
        let lost = effects.iter().filter(|e| matches!(e, Effect::Lost { .. }));
        lost.count()
    };
    let effects = stage.hear(2, 1, hello(2, at(1, 6)));
    assert_eq!(lost(&effects), 1);
    assert_eq!(proposed(&effects)[0].eligible, members(&[]));
    assert_eq!(lost(&stage.hear(2, 2, hello(2, at(1, 6)))), 0, "once");

    let mut stage = Stage::confirmed(&[1, 2]);
    stage.let_in(3, 1);
    let grown = proposed(&stage.ack(3, 1, 11));
    assert_eq!(grown[0].in_sync, members(&[1, 2, 3]));
    let effects = stage.hear(3, 2, hello(3, at(1, 10)));
    assert_eq!((lost(&effects), proposed(&effects)), (1, Vec::new()));
    let effects = stage.feed(Event::Record(grown[0].clone()));
    assert_eq!(proposed(&effects)[0].in_sync, members(&[1, 2]));
}

// If this fails, a silent member keeps the leader from serving reads for ever.
#[test]
fn a_silent_member_leaves() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    for _ in 0..19 {
        stage.pass(100);
        stage.ack(2, 1, 11);
    }
    let changes = proposed(&stage.pass(100));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
}

// If this fails, a change that was made is undone, because its answer was lost.
#[test]
fn a_proposal_is_repeated_until_it_is_decided() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.feed(Event::LinkDown(node(3)));
    let first = proposed(&stage.pass(500));
    assert_eq!(proposed(&stage.feed(Event::Unanswered)), []);
    stage.let_in(3, 2);
    stage.ack(3, 2, 11);
    stage.ack(2, 1, 11);
    assert_eq!(proposed(&stage.pass(250)), first, "as it was");
    let decided = stage.feed(Event::Record(first[0].clone()));
    let next = proposed(&decided);
    assert_eq!(next[0].in_sync, members(&[1, 2, 3]), "and back again");
}

// If this fails, a leader goes on with a change that somebody else's has overtaken.
#[test]
fn somebody_elses_record_decides_too() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.feed(Event::LinkDown(node(3)));
    assert_eq!(proposed(&stage.pass(500)).len(), 1);
    let mut closed = record(6, 2, &[1, 2, 3]);
    closed.state = wire::shard::ShardState::Closed;
    let next = proposed(&stage.feed(Event::Record(closed)));
    assert_eq!(next[0].version, 7);
    assert_eq!(next[0].in_sync, members(&[1, 2]));
}

// If this fails, a follower is counted on before it has what was acknowledged.
#[test]
fn who_joins_has_the_commit_and_the_epochs_first_record() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.append(14);
    stage.ack(2, 1, 14);
    assert_eq!(proposed(&stage.let_in(3, 1)), []);
    assert_eq!(proposed(&stage.ack(3, 1, 13)), []);
    let changes = proposed(&stage.ack(3, 1, 14));
    assert_eq!(changes[0].in_sync, members(&[1, 2, 3]));
}

// If this fails, a set grows around a log that may still be cut.
#[test]
fn a_set_grows_only_when_all_of_it_has_the_epochs_first_record() {
    let mut stage = Stage::leader_with(&[1, 2], &[2, 3]);
    assert_eq!(proposed(&stage.ack(3, 1, 11)), []);
    let changes = proposed(&stage.ack(2, 1, 11));
    assert_eq!(changes[0].in_sync, members(&[1, 2, 3]));
}

// If this fails, a shard whose set became too small never recovers.
#[test]
fn a_set_that_is_too_small_can_grow() {
    let mut small = record(5, 2, &[1]);
    small.eligible = members(&[2]);
    let mut stage = Stage::leader_by(small);
    stage.let_in(2, 1);
    assert_eq!(proposed(&stage.ack(2, 1, 10)), []);
    let changes = proposed(&stage.ack(2, 1, 11));
    assert_eq!(changes[0].in_sync, members(&[1, 2]));
    assert_eq!(changes[0].eligible, []);
}

// If this fails, a failover alone gives up a copy, or a write waits for ever.
#[test]
fn it_degrades_only_when_someone_needs_a_commit() {
    let mut small = record(5, 2, &[1]);
    small.eligible = members(&[2]);
    let mut stage = Stage::leader_by(small);
    assert_eq!(proposed(&stage.pass(100)), []);
    assert!(!stage.core.may_write());
    let changes = proposed(&stage.feed(Event::NeedsCommit));
    assert!(changes[0].degraded);
    assert_eq!(changes[0].eligible, []);
    let decided = stage.feed(Event::Record(changes[0].clone()));
    assert!(decided.contains(&Effect::CommitTo(Lsn(11))));
    assert!(stage.core.may_write());
}

// If this fails, an upload of this morning gives up the second copy when its node restarts, and the shard
// is lost with the first one although the second has everything.
#[test]
fn a_need_that_was_met_degrades_nothing_later() {
    let mut stage = Stage::confirmed(&[1, 2]);
    assert_eq!(proposed(&stage.feed(Event::NeedsCommit)), []);
    stage.feed(Event::LinkDown(node(2)));
    let changes = proposed(&stage.pass(500));
    assert_eq!(changes[0].eligible, members(&[2]));
    assert_eq!(proposed(&stage.feed(Event::Record(changes[0].clone()))), []);
    assert_eq!(proposed(&stage.pass(1_000)), []);
    let changes = proposed(&stage.feed(Event::NeedsCommit));
    assert!(changes[0].degraded);
}

// If this fails, a shard is degraded although a second copy is there.
#[test]
fn growing_comes_before_degrading() {
    let mut stage = Stage::leader(&[1]);
    stage.let_in(2, 1);
    stage.ack(2, 1, 11);
    let mut confirmed = record(6, 2, &[1, 2]);
    confirmed.version = 6;
    stage.feed(Event::Record(confirmed));
    assert_eq!(proposed(&stage.feed(Event::NeedsCommit)), []);
}

// If this fails, a planned restart fails requests.
#[test]
fn a_handover_goes_to_a_process_that_has_everything() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.append(12);
    assert_eq!(proposed(&stage.feed(Event::HandOver)), []);
    assert!(!stage.core.may_write(), "it takes no more writes");
    let changes = proposed(&stage.ack(2, 1, 12));
    let leader = changes[0].leader.clone().expect("a leader");
    assert_eq!(
        (leader.member.node, leader.incarnation),
        (node(2), process(2))
    );
    assert_eq!(changes[0].epoch.0, 3);
}

// If this fails, a handover that nobody can take stops a shard.
#[test]
fn a_handover_that_does_not_come_about_is_given_up() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.append(12);
    stage.feed(Event::HandOver);
    for _ in 0..20 {
        stage.ack(2, 1, 11);
        stage.pass(100);
    }
    assert!(stage.core.may_write());
}

// If this fails, a handover that begins as the register goes away stops a shard until it is back.
#[test]
fn a_leader_writes_on_while_nobody_answers_its_handover() {
    let mut stage = Stage::confirmed(&[1, 2]);
    let proposal = proposed(&stage.feed(Event::HandOver));
    assert_eq!(proposal.len(), 1);
    for _ in 0..20 {
        assert!(!stage.core.may_write());
        stage.ack(2, 1, 11);
        stage.pass(100);
        stage.feed(Event::Unanswered);
    }
    assert!(stage.core.may_write());
    stage.append(12);
    stage.ack(2, 1, 12);
    assert_eq!(stage.core.committed(), Lsn(12));
    let repeated = proposed(&stage.pass(250));
    assert_eq!(repeated, proposal, "it may have been made");
}

// If this fails, followers do not hear in time that their leader lives.
#[test]
fn a_sign_of_life_comes_six_times_a_session() {
    let mut stage = Stage::confirmed(&[1, 2]);
    assert_eq!(stage.pass(100), []);
    let effects = stage.pass(100);
    let said = stage.said(&effects);
    assert!(matches!(
        said[..],
        [(
            2,
            Message::Commit {
                commit: Lsn(11),
                lease_ms: 800
            }
        )]
    ));
}

// If this fails, a leader of a long session takes followers that have nothing to say for dead.
#[test]
fn a_long_session_has_signs_of_life_often_enough() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.core.set_session_ms(60_000);
    stage.pass(100);
    stage.ack(2, 1, 11);
    for _ in 0..10 {
        let effects = stage.pass(ACK_AGE_MS_MAX / 4);
        let said = stage.said(&effects);
        assert!(
            matches!(said[..], [(2, Message::Commit { .. })]),
            "{said:?}"
        );
        stage.ack(2, 1, 11);
    }
}

// If this fails, a node that was restarted leads nothing any more, and the others do its work.
#[test]
fn a_shard_goes_back_to_its_first_replica() {
    let mut stage = Stage::leader_by(ShardRecord {
        replicas: super::members(&[3, 2, 1]),
        ..record(5, 2, &[1, 2, 3])
    });
    for follower in [2, 3] {
        stage.let_in(follower, 1);
        stage.ack(follower, 1, 11);
    }
    assert!(stage.core.stands_in());
    let effects = stage.feed(Event::HandOver);
    let next = proposed(&effects).pop().expect("is proposed");
    assert_eq!(next.leader.expect("is led").member, member(3));

    let mut first = Stage::confirmed(&[1, 2]);
    assert!(!first.core.stands_in(), "it is the first one itself");
    first.feed(Event::LinkDown(super::node(2)));
    assert!(!first.core.stands_in());
}
