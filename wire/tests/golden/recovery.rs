//! Shards that wait for an operator, and records that do.

use wire::integrity::{GiveUp, GivenUp, LostRecords, LostReport};
use wire::recovery::{
    HeldCopy, KnownCopy, Loss, Objection, Part, RecoverShard, ShardRecovered, WaitingShard,
    WaitingShards,
};
use wire::shard::ShardState;
use wire::{Epoch, Lsn, ShardNo};

use super::{golden, node, position, refused, uuid};

// If this fails, an operator's tools do not see what can be saved.
#[test]
fn what_waits() {
    let held = HeldCopy {
        end: position(3, 20),
        committed: Lsn(19),
        contents: 12,
        bytes: 4096,
        damaged: 1,
        halted: false,
        complete: true,
    };
    let chosen = KnownCopy {
        node: node("node2"),
        replica: uuid(2),
        part: Part::Outside,
        alive: true,
        held: Some(held),
        loss: Some(Loss {
            records: 5,
            more: true,
        }),
        objections: vec![Objection::Damaged],
    };
    let gone = KnownCopy {
        node: node("node1"),
        replica: uuid(1),
        part: Part::InSync,
        alive: false,
        held: None,
        loss: None,
        objections: Vec::new(),
    };
    let answer = WaitingShards {
        items: vec![WaitingShard {
            shard: ShardNo(7),
            state: ShardState::Open,
            epoch: Epoch(3),
            leader: Some(node("node1")),
            restored: false,
            listed: position(3, 25),
            copies: vec![chosen, gone],
        }],
    };
    golden(
        &answer,
        r#"{"items":[{"shard":7,"state":"open","epoch":3,"leader":"node1","restored":false,
        "listed":{"epoch":3,"lsn":25},"copies":[
        {"node":"node2","replica":"00000000-0000-0000-0000-000000000002","part":"outside",
        "alive":true,"held":{"end":{"epoch":3,"lsn":20},"committed":19,"contents":12,
        "bytes":4096,"damaged":1,"halted":false,"complete":true},
        "loss":{"records":5,"more":true},"objections":["damaged"]},
        {"node":"node1","replica":"00000000-0000-0000-0000-000000000001","part":"in_sync",
        "alive":false,"held":null,"loss":null,"objections":[]}]}]}"#,
    );
}

// If this fails, an operator's decision is not understood, or a script takes it for another one.
#[test]
fn a_choice_and_its_answer() {
    let choice = RecoverShard {
        node: node("node2"),
        force: false,
    };
    golden(&choice, r#"{"node":"node2","force":false}"#);
    let bare: RecoverShard = serde_json::from_str(r#"{"node":"node2"}"#).expect("is read");
    assert_eq!(bare, choice, "force is never taken for granted");
    refused::<RecoverShard>(r#"{"force":true}"#, "node");
    let recovered = ShardRecovered {
        shard: ShardNo(7),
        node: node("node2"),
        epoch: Epoch(4),
        over: vec![node("node1")],
        loss: Loss {
            records: 5,
            more: true,
        },
    };
    golden(
        &recovered,
        r#"{"shard":7,"node":"node2","epoch":4,"over":["node1"],"loss":{"records":5,"more":true}}"#,
    );
}

// If this fails, an operator's tools give up what is about to be repaired, or do not see what is lost.
#[test]
fn what_is_lost_and_given_up() {
    let report = LostReport {
        replicas: vec![LostRecords {
            shard: ShardNo(7),
            records: 2,
            first: Lsn(5),
            last: Lsn(9),
            held_by: Some(node("node2")),
            unasked: vec![node("node3")],
        }],
    };
    golden(
        &report,
        r#"{"replicas":[{"shard":7,"records":2,"first":5,"last":9,"held_by":"node2",
        "unasked":["node3"]}]}"#,
    );
    let choice = GiveUp { force: false };
    golden(&choice, r#"{"force":false}"#);
    let bare: GiveUp = serde_json::from_str("{}").expect("is read");
    assert_eq!(bare, choice, "force is never taken for granted");
    let given_up = GivenUp {
        shard: ShardNo(7),
        node: node("node1"),
        records: 2,
        first: Lsn(5),
        last: Lsn(9),
        left: 0,
        lasting: true,
    };
    golden(
        &given_up,
        r#"{"shard":7,"node":"node1","records":2,"first":5,"last":9,"left":0,"lasting":true}"#,
    );
}
