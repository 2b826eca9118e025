//! What a leader's records carry, and what its receipts say.

use wire::limits::{ID_AGE_MS_MAX, ID_AHEAD_MS_MAX};
use wire::{Epoch, Lsn};

use super::said;
use crate::record::Record;
use crate::stage::{LOG, NOW_MS, Stage, UPDATE, body, hash, id, new_content};
use crate::{Describe, How, Kind, NewContent, Payload};

/// The records of a log, all written.
fn records(stage: &mut Stage) -> Vec<Record> {
    stage.sync();
    let mut cursor = stage.store.reader().records(Lsn::ZERO);
    let mut records = Vec::new();
    while let Some(record) = cursor.next_record().expect("healthy") {
        records.push(record);
    }
    records
}

fn described(bytes: &[u8], filename: &str) -> NewContent {
    NewContent {
        filename: filename.to_owned(),
        content_type: "text/plain".to_owned(),
        collection: Some("site".to_owned()),
        attributes: Some(r#"{"a":1}"#.to_owned()),
        ..new_content(bytes)
    }
}

// If this fails, a follower or the catalog makes another content of a record than the leader did.
#[test]
fn records_carry_what_they_do() {
    let mut stage = Stage::new();
    let put = stage.put(1, &body(1, 100));
    let upload = stage.begin_upload(2, &body(2, 90_000), 70_000, How::Create);
    let upload = upload.expect("new");
    let commit = stage.close_upload(upload, &body(2, 90_000), How::Create);
    let update = stage.update(1, &body(3, 50));
    let delete = stage.delete(2);
    let aborted = stage.begin_upload(3, &body(4, 10), 10, How::Create);
    let aborted = aborted.expect("new");
    stage.store.abort(aborted, stage.now_ms).expect("room");
    let commit = commit.expect("closed").lsn;
    let records = records(&mut stage);
    let told: Vec<_> = records
        .iter()
        .map(|record| {
            let head = &record.head;
            (
                head.kind,
                head.upload,
                head.offset,
                head.supersedes,
                head.version,
                head.size,
            )
        })
        .collect();
    let none = Lsn::ZERO;
    assert_eq!(
        told,
        [
            (Kind::Epoch, none, 0, none, 0, 0),
            (Kind::Put, none, 0, none, 1, 100),
            (Kind::Chunk, upload, 0, none, 0, 0),
            (Kind::Chunk, upload, 70_000, none, 0, 0),
            (Kind::Commit, upload, 0, none, 1, 90_000),
            (Kind::Put, none, 0, put.lsn, 2, 50),
            (Kind::Delete, none, 0, commit, 1, 90_000),
            (Kind::Chunk, aborted, 0, none, 0, 0),
            (Kind::Abort, aborted, 0, none, 0, 0),
        ]
    );
    assert_eq!((update.lsn, delete.lsn), (Lsn(6), Lsn(7)));
    for (record, lsn) in records.iter().zip(1..) {
        assert_eq!((record.head.lsn, record.head.log), (Lsn(lsn), LOG));
        assert_eq!((record.head.epoch, record.head.time_ms), (Epoch(1), NOW_MS));
    }
    let ids = [[0; 16], id(1).bytes(), id(2).bytes()];
    for (record, n) in records.iter().zip([0, 1, 2, 2, 2, 1, 2]) {
        assert_eq!(record.head.id, ids[n], "{:?}", record.head.kind);
    }
}

// If this fails, a restart does not know what was committed, and cuts it off.
#[test]
fn every_record_carries_the_commit_of_its_time() {
    let mut stage = Stage::without_epoch();
    stage.begin(1);
    stage.put(1, &body(1, 10));
    stage.settle();
    stage.put(2, &body(2, 10));
    stage.put(3, &body(3, 10));
    stage.settle();
    stage.delete(1);
    let commits: Vec<u64> = records(&mut stage)
        .iter()
        .map(|record| record.head.commit.0)
        .collect();
    assert_eq!(commits, [0, 0, 2, 2, 4]);
}

// If this fails, a leader acknowledges a change with another content's receipt.
#[test]
fn an_outcome_says_what_was_made() {
    let mut stage = Stage::new();
    let bytes = body(1, 100);
    let how = How::Create;
    let payload = Payload::new(bytes.clone());
    let first = stage
        .store
        .put(id(1), described(&bytes, "first.txt"), how, payload, NOW_MS)
        .expect("new");
    assert_eq!((first.lsn, first.version, first.size), (Lsn(2), 1, 100));
    assert_eq!(first.checksum, hash(&bytes));
    assert_eq!(
        (first.filename.as_str(), first.repeated),
        ("first.txt", false)
    );
    let second = stage.update(1, &body(2, 70));
    assert_eq!((second.lsn, second.version, second.size), (Lsn(3), 2, 70));
    let again = stage.try_put(1, &bytes, How::Create).expect("the same");
    assert_eq!((again.version, again.size, again.repeated), (1, 100, true));
    assert_eq!(again.checksum, hash(&bytes), "that of the first upload");
    let deleted = stage.delete(1);
    assert_eq!(
        (deleted.lsn, deleted.version, deleted.size),
        (Lsn(4), 2, 70)
    );
    let again = stage.delete(1);
    assert_eq!(
        (again.lsn, again.version, again.repeated),
        (Lsn(4), 2, true)
    );
}

// If this fails, an update without metadata loses the collection and attributes of its content.
#[test]
fn collection_and_attributes_stay_unless_an_update_brings_others() {
    let mut stage = Stage::new();
    let bytes = body(1, 100);
    let store = |stage: &mut Stage, new: NewContent, how| {
        let payload = Payload::new(bytes.clone());
        let stored = stage.store.put(id(1), new, how, payload, stage.now_ms);
        stored.expect("there is room");
        stage.settle();
        stage.store.reader().content(id(1)).expect("stored")
    };
    store(&mut stage, described(&bytes, "a.txt"), How::Create);
    stage.now_ms += 1_000;
    let bare = NewContent {
        filename: "b.bin".to_owned(),
        ..new_content(&bytes)
    };
    let content = store(&mut stage, bare, UPDATE);
    assert_eq!(content.filename, "b.bin");
    assert_eq!(content.content_type, "application/octet-stream");
    assert_eq!(content.collection.as_deref(), Some("site"));
    assert_eq!(content.attributes.as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(
        (content.created_ms, content.updated_ms),
        (NOW_MS, NOW_MS + 1_000)
    );
    let others = NewContent {
        collection: Some("other".to_owned()),
        attributes: Some("{}".to_owned()),
        ..new_content(&bytes)
    };
    let content = store(&mut stage, others, UPDATE);
    assert_eq!(content.collection.as_deref(), Some("other"));
    assert_eq!(content.attributes.as_deref(), Some("{}"));
    assert_eq!(content.version, 3);
    assert_eq!(content.base_checksum, Some(hash(&bytes)));
}

// If this fails, retries of the first upload conflict after an update.
#[test]
fn later_versions_remember_the_first_ones_size_and_hash() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.update(1, &body(2, 200));
    stage.update(1, &body(3, 300));
    stage.settle();
    let content = stage.store.reader().content(id(1)).expect("stored");
    assert_eq!(content.created_size, 100);
    assert_eq!(content.created_checksum, hash(&body(1, 100)));
    assert_eq!(content.base_checksum, Some(hash(&body(2, 200))));
    assert_eq!((content.size, content.version), (300, 3));
}

// If this fails, a describe changes what it was not told to, or loses the content's bytes.
#[test]
fn a_describe_changes_what_it_names_and_nothing_else() {
    let mut stage = Stage::new();
    let bytes = body(1, 100);
    let payload = Payload::new(bytes.clone());
    let new = described(&bytes, "a.txt");
    let put = stage.store.put(id(1), new, How::Create, payload, NOW_MS);
    put.expect("new");
    stage.settle();
    let before = stage.store.reader().content(id(1)).expect("stored");
    stage.now_ms += 5;
    for (change, filename, content_type, attributes) in [
        (("b.txt", None, None), "b.txt", "text/plain", r#"{"a":1}"#),
        (("b.txt", Some("x/y"), None), "b.txt", "x/y", r#"{"a":1}"#),
        (("c.txt", None, Some("{}")), "c.txt", "x/y", "{}"),
    ] {
        let change = Describe {
            filename: Some(change.0.to_owned()),
            content_type: change.1.map(str::to_owned),
            attributes: change.2.map(str::to_owned),
        };
        let outcome = stage.store.describe(id(1), change, None, stage.now_ms);
        assert_eq!(said(&outcome), "v1");
        stage.settle();
        let content = stage.store.reader().content(id(1)).expect("stored");
        let expected = crate::Content {
            filename: filename.to_owned(),
            content_type: content_type.to_owned(),
            attributes: Some(attributes.to_owned()),
            updated_ms: NOW_MS + 5,
            ..before.clone()
        };
        assert_eq!(content, expected);
        assert_eq!(stage.read(1).expect("stored"), bytes);
    }
}

// If this fails, a retried describe fills the log, or moves a content's date.
#[test]
fn a_describe_that_changes_nothing_is_a_repeated_one() {
    let mut stage = Stage::new();
    let put = stage.put(1, &body(1, 100));
    let rename = |name: &str| Describe {
        filename: Some(name.to_owned()),
        ..Describe::default()
    };
    let now_ms = stage.now_ms + 9;
    for (change, lsn, repeated) in [
        (Describe::default(), put.lsn, true),
        (rename("a.bin"), put.lsn, true),
        (rename("b.bin"), put.lsn.next(), false),
        (rename("b.bin"), put.lsn.next(), true),
        (rename("a.bin"), Lsn(put.lsn.0 + 2), false),
    ] {
        let outcome = stage.store.describe(id(1), change, None, now_ms);
        let outcome = outcome.expect("it is live");
        assert_eq!((outcome.lsn, outcome.repeated), (lsn, repeated));
    }
}

// If this fails, an update keeps the name that a describe gave to the version before, or the
// describe comes back.
#[test]
fn an_update_after_a_describe_has_its_own_metadata() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    let change = Describe {
        filename: Some("renamed".to_owned()),
        attributes: Some(r#"{"b":2}"#.to_owned()),
        ..Describe::default()
    };
    let outcome = stage.store.describe(id(1), change, None, stage.now_ms);
    outcome.expect("it is live");
    stage.update(1, &body(2, 200));
    stage.settle_durably();
    for _ in 0..2 {
        let content = stage.store.reader().content(id(1)).expect("stored");
        assert_eq!((content.version, content.filename.as_str()), (2, "a.bin"));
        assert_eq!(content.attributes.as_deref(), Some(r#"{"b":2}"#));
        assert_eq!(stage.read(1).expect("stored"), body(2, 200));
        stage.restart();
    }
}

// If this fails, a late retry brings back a content whose delete is forgotten, or clocks that
// differ a little refuse uploads.
#[test]
fn a_new_content_needs_a_fresh_id() {
    for (now_ms, answer) in [
        (NOW_MS + ID_AGE_MS_MAX, "v1"),
        (NOW_MS + ID_AGE_MS_MAX + 1, "id refused"),
        (NOW_MS - ID_AHEAD_MS_MAX, "v1"),
        (NOW_MS - ID_AHEAD_MS_MAX - 1, "id refused"),
    ] {
        let mut stage = Stage::new();
        stage.now_ms = now_ms;
        let bytes = body(1, 100);
        let put = stage.try_put(1, &bytes, How::Create);
        assert_eq!(said(&put), answer);
        let begun = stage.begin_upload(2, &bytes, 100, How::Create);
        assert_eq!(begun.is_ok(), answer == "v1");
    }
}

// If this fails, a content cannot be changed any more when its id is a day old.
#[test]
fn an_existing_content_may_have_an_old_id() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.settle();
    stage.now_ms += 400 * ID_AGE_MS_MAX;
    let again = stage.try_put(1, &body(1, 100), How::Create);
    assert_eq!(said(&again), "again v1");
    assert_eq!(said(&stage.try_put(1, &body(2, 100), UPDATE)), "v2");
    assert_eq!(stage.delete(1).version, 2);
}

// If this fails, a leader writes on in an epoch that it held before a restart.
#[test]
#[should_panic(expected = "a leader begins with an epoch of its own")]
fn an_epoch_is_never_begun_again() {
    let mut stage = Stage::new();
    stage.settle_durably();
    stage.restart();
    stage.begin(1);
}

// If this fails, a node that does not lead orders changes.
#[test]
#[should_panic(expected = "only a leader appends records of its own")]
fn a_restart_ends_leading() {
    let mut stage = Stage::new();
    stage.settle_durably();
    stage.restart();
    stage.put(1, &body(1, 10));
}

// If this fails, half a content is stored under the hash of the whole.
#[test]
#[should_panic(expected = "the payload is the whole content")]
fn a_put_brings_all_its_bytes() {
    let mut stage = Stage::new();
    let new = new_content(&body(1, 11));
    let payload = Payload::new(body(1, 10));
    let put = stage.store.put(id(1), new, How::Create, payload, NOW_MS);
    panic!("it was stored: {}", put.is_ok());
}

// If this fails, an epoch whose first record was not written is led in.
#[test]
#[should_panic(expected = "only a leader appends records of its own")]
fn an_epoch_that_could_not_begin_is_not_led() {
    let mut stage = Stage::without_epoch();
    let io = crate::disk::simulated::Failure::Io;
    let operation = crate::disk::simulated::Operation::Write;
    stage.begin(1);
    stage.disk.fail(operation, 0, io);
    assert!(stage.store.flush().is_err());
    assert!(stage.store.begin_epoch(Epoch(2), NOW_MS).is_err());
    stage.put(1, &body(1, 10));
}
