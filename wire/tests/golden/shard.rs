//! Shard records, and who they say leads.

use wire::shard::{ChangeShard, Revision, ShardChanged, ShardRecord, ShardState};

use super::{SHARD_RECORD, golden, member, node, refused, shard_record, uuid};

// If this fails, a node that was updated cannot read the record that it obeys, and serves nothing.
#[test]
fn a_record() {
    golden(&shard_record(), SHARD_RECORD);
    let nobody = ShardRecord {
        leader: None,
        degraded: true,
        state: ShardState::Closed,
        ..shard_record()
    };
    let flat: String = SHARD_RECORD.lines().map(str::trim_start).collect();
    let (before, rest) = flat.split_once(r#""leader":"#).expect("a leader");
    let (_, after) = rest.split_once(r#","in_sync""#).expect("a set");
    let text = format!(r#"{before}"leader":null,"in_sync"{after}"#)
        .replace("false", "true")
        .replace("open", "closed");
    golden(&nobody, &text);
}

// If this fails, half a record is obeyed.
#[test]
fn no_field_of_a_record_is_optional_but_the_leader_and_the_lineage() {
    let whole = serde_json::to_value(shard_record()).expect("it can be written");
    let fields = whole.as_object().expect("an object");
    for field in fields.keys() {
        let mut less = fields.clone();
        less.remove(field);
        let text = serde_json::to_string(&less).expect("it can be written");
        if field == "leader" {
            let read: ShardRecord = serde_json::from_str(&text).expect("nobody leads");
            assert_eq!(read.leader, None);
        } else if field == "lineage" {
            let read: ShardRecord = serde_json::from_str(&text).expect("it was never restored");
            assert_eq!(read, shard_record());
        } else {
            refused::<ShardRecord>(&text, &format!("missing field `{field}`"));
        }
    }
    let half_open = SHARD_RECORD.replace(r#""open""#, r#""ajar""#);
    refused::<ShardRecord>(&half_open, "unknown variant");
}

// If this fails, two distributors change one record at once.
#[test]
fn a_change_and_its_answer() {
    let change = ChangeShard {
        record: shard_record(),
    };
    golden(&change, &format!(r#"{{"record":{SHARD_RECORD}}}"#));
    let answer = ShardChanged {
        changed: false,
        record: shard_record(),
    };
    golden(
        &answer,
        &format!(r#"{{"changed":false,"record":{SHARD_RECORD}}}"#),
    );
}

// If this fails, a process leads on in an epoch of the one before it, or another node does.
#[test]
fn a_leader_is_a_process_on_a_node() {
    let record = shard_record();
    assert!(record.is_led_by(&node("node1"), uuid(5)));
    assert!(
        !record.is_led_by(&node("node1"), uuid(6)),
        "another process"
    );
    assert!(!record.is_led_by(&node("node2"), uuid(5)), "another node");
    let nobody = ShardRecord {
        leader: None,
        ..record
    };
    assert!(!nobody.is_led_by(&node("node1"), uuid(5)));
}

// If this fails, a node opens a directory that is no replica of the shard.
#[test]
fn a_member_is_found_by_its_node() {
    let record = shard_record();
    assert_eq!(record.member_on(&node("node1")), Some(&member("node1", 1)));
    assert_eq!(record.member_on(&node("node2")), Some(&member("node2", 2)));
    assert_eq!(record.member_on(&node("node3")), None);
}

// If this fails, a node obeys what the register knew before it went back in time, or what nobody
// has agreed to yet.
#[test]
fn a_later_lineage_comes_before_a_higher_version() {
    let at = |lineage, version| Revision { lineage, version };
    assert!(at(0, 900) < at(1, 3) && at(1, 3) < at(1, 4) && Revision::NONE < at(0, 1));
    let mut record = shard_record();
    assert_eq!((record.revision(), record.known()), (at(0, 4), at(0, 4)));
    record.leader = None;
    assert!(!record.is_restored());
    record.lineage = 2;
    assert!(record.is_restored());
    assert_eq!((record.revision(), record.known()), (at(2, 4), at(1, 4)));
    assert_eq!(record.revision().to_string(), "2.4");
}

/// The mark of [`shard_record`].
const MARK: u32 = 1_670_361_812;

// If this fails, a node obeys a record of which the coordinator has another one, and nobody notices;
// or nodes of two versions take the same record for two.
#[test]
fn a_record_is_known_by_its_mark() {
    let record = shard_record();
    assert_eq!(record.mark(), MARK, "the same in every version");
    let mut others = vec![record.clone(); 6];
    others[0].leader = None;
    others[1].in_sync.pop();
    others[2].replicas.pop();
    others[3].degraded = !record.degraded;
    others[4].epoch = record.epoch.next();
    others[5].eligible = record.in_sync.clone();
    assert!(others.iter().all(|other| other.mark() != record.mark()));
}
