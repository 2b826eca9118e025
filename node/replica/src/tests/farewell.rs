//! A process that is about to end: nobody waits for it once it is gone.

use wire::Lsn;
use wire::replication::Message;

use super::{Stage, at, members, node, proposed, record};
use crate::Event;

fn said_farewell(stage: &Stage, effects: &[crate::Effect]) -> bool {
    let said = stage.said(effects);
    said.iter()
        .any(|(to, message)| (*to, message) == (1, &Message::Farewell))
}

// If this fails, a stopped node holds up the writes of every shard that it followed.
#[test]
fn a_follower_that_parts_is_taken_out_while_it_still_acknowledges() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    stage.append(12);
    let changes = proposed(&stage.hear(2, 1, Message::Farewell));
    assert_eq!(changes[0].in_sync, members(&[1, 3]));
    stage.ack(3, 1, 12);
    assert!(
        crate::tests::committed(&stage.ack(2, 1, 12)).is_some(),
        "it counts until the change is confirmed"
    );
    stage.feed(Event::Record(changes[0].clone()));
    stage.append(13);
    assert_eq!(proposed(&stage.ack(2, 1, 13)), [], "it is not let in again");
    assert_eq!(crate::tests::committed(&stage.ack(3, 1, 13)), Some(13));
}

// If this fails, an old process's farewell takes the new one out, or a node hands over to one that
// is about to end.
#[test]
fn a_farewell_is_of_one_attempt_and_no_successor_says_it() {
    let mut stage = Stage::confirmed(&[1, 2, 3]);
    assert_eq!(proposed(&stage.hear(2, 7, Message::Farewell)), []);
    stage.hear(2, 1, Message::Farewell);
    let mut smaller = record(5, 2, &[1, 3]);
    smaller.version = 6;
    stage.feed(Event::Record(smaller));
    let next = proposed(&stage.feed(Event::HandOver))
        .pop()
        .expect("a successor");
    assert_eq!(next.leader.expect("is led").member.node, node(3));
    // It comes back, as another attempt.
    let mut back = Stage::confirmed(&[1, 2]);
    back.hear(2, 1, Message::Farewell);
    back.let_in(2, 2);
    assert_eq!(proposed(&back.ack(2, 2, 11)), [], "a proposal is under way");
}

// If this fails, a farewell that was lost is never said again, or one that was heard for ever.
#[test]
fn a_follower_says_farewell_until_it_is_out() {
    let mut stage = Stage::follower();
    assert!(!{
        let effects = stage.pass(80);
        said_farewell(&stage, &effects)
    });
    stage.feed(Event::Farewell);
    for _ in 0..3 {
        let effects = stage.pass(80);
        assert!(said_farewell(&stage, &effects));
    }
    let mut out = record(5, 2, &[1]);
    out.version = 6;
    out.replicas = members(&[1, 2]);
    stage.feed(Event::Record(out));
    let effects = stage.pass(80);
    assert!(!said_farewell(&stage, &effects));
}

// If this fails, a change that was appended just before a handover is answered as lost.
#[test]
fn a_handover_waits_until_all_is_committed() {
    let mut stage = Stage::confirmed(&[1, 2]);
    stage.feed(Event::Appended(at(2, 12)));
    stage.feed(Event::HandOver);
    assert_eq!(proposed(&stage.ack(2, 1, 12)), [], "not synced here");
    assert_eq!(proposed(&stage.feed(Event::Synced(Lsn(12)))).len(), 1);
}
