//! Only what is committed is seen; only what a committed record superseded goes.

use store::stage::{UPDATE, next_live};
use store::{Change, Describe, How, ReadError};

use crate::stage::{Stage, body, new_content, stage};

// If this fails, a reader sees an upload that a change of leaders may undo.
#[test]
fn nothing_is_seen_before_it_is_committed() {
    let mut stage = stage();
    let bytes = body(1, 3_000);
    let (id, outcome) = stage.append(&bytes);
    let reader = stage.store.reader();
    let unseen = |stage: &Stage| {
        assert!(matches!(stage.read(id), Err(ReadError::NotFound)));
        let mut cursor = reader.cursor(outcome.lsn.previous());
        assert!(cursor.next_change().expect("healthy").is_none());
        assert_eq!(cursor.covered(), outcome.lsn.previous());
        assert_eq!(next_live(&mut reader.live(outcome.lsn)), None);
    };
    unseen(&stage);
    stage.sync();
    unseen(&stage);
    let mut committed = Vec::new();
    stage.store.commit_to(outcome.lsn, &mut committed);
    assert_eq!(stage.read(id).expect("committed"), bytes);
    assert_eq!(committed.len(), 1);
    assert!(matches!(&committed[0].change, Change::Stored(content) if content.id == id));
    let mut cursor = reader.cursor(outcome.lsn.previous());
    assert_eq!(
        cursor
            .next_change()
            .expect("healthy")
            .map(|change| change.position.lsn),
        Some(outcome.lsn)
    );
}

// If this fails, an update, a describe or a delete that was never acknowledged changes what
// readers get, or its undoing does.
#[test]
fn uncommitted_changes_leave_no_trace_when_they_are_truncated() {
    let mut stage = stage();
    let old = body(1, 200_000);
    let ids: Vec<_> = (0..3).map(|_| stage.append(&old).0).collect();
    stage.settle();
    let committed = stage.store.positions().committed;
    stage
        .try_put(ids[0], &body(2, 90_000), UPDATE)
        .expect("there is room");
    let change = Describe {
        filename: Some("other".to_owned()),
        ..Describe::default()
    };
    stage
        .store
        .describe(ids[1], change, None, stage.now_ms)
        .expect("there is room");
    stage.delete(ids[2]);
    stage.sync();
    stage.upkeep();
    let unchanged = |stage: &Stage| {
        for id in &ids {
            let open = stage.store.reader().open(*id).expect("it is live");
            assert_eq!(
                (open.content().version, &*open.content().filename),
                (1, "a.bin")
            );
            assert_eq!(crate::stage::read_all(&open).expect("it is whole"), old);
        }
    };
    unchanged(&stage);
    stage
        .store
        .truncate_after(committed)
        .expect("a healthy disk");
    unchanged(&stage);
    assert_eq!(stage.store.positions().appended.lsn, committed);
    stage.begin(2);
    stage.settle();
    stage.upkeep();
    unchanged(&stage);
    stage.restart();
    stage.begin(3);
    stage.settle();
    unchanged(&stage);
    assert_eq!(stage.store.usage().contents, 3);
}

// If this fails, decisions are made on what a truncation undid: an upload is refused for a content
// that is not there, or a delete that never was.
#[test]
fn decisions_after_a_truncation_are_made_on_what_is_left() {
    let mut stage = stage();
    let bytes = body(1, 1_000);
    let kept = stage.stored(&bytes);
    let committed = stage.store.positions().committed;
    let (undone, _) = stage.append(&body(2, 1_000));
    stage.delete(kept);
    stage.sync();
    stage
        .store
        .truncate_after(committed)
        .expect("a healthy disk");
    stage.begin(2);
    let again = stage.try_put(undone, &body(3, 1_000), How::Create);
    assert_eq!(again.expect("the id is free again").version, 1);
    let updated = stage.try_put(kept, &body(4, 1_000), UPDATE);
    assert_eq!(updated.expect("it was not deleted").version, 2);
}

// If this fails, the pages of a content are given back while its successor can still be undone.
#[test]
fn a_payload_is_given_back_only_after_its_successor_is_committed() {
    let mut stage = stage();
    let old = body(1, 300_000);
    let id = stage.stored(&old);
    let new = body(2, 100);
    let outcome = stage.try_put(id, &new, UPDATE).expect("there is room");
    stage.sync();
    stage.upkeep();
    assert_eq!(
        stage.store.usage().space.holes,
        0,
        "the update is not committed"
    );
    assert_eq!(stage.read(id).expect("version 1 is live"), old);
    stage.store.commit_to(outcome.lsn, &mut Vec::new());
    let before = stage.disk.used();
    stage.upkeep();
    let holes = stage.store.usage().space.holes;
    assert!(holes > 290_000, "{holes} bytes are given back");
    assert!(before - stage.disk.used() > 290_000);
    assert_eq!(stage.read(id).expect("version 2 is live"), new);
}

// If this fails, space is given back on the word of a record that a power loss takes away.
#[test]
fn a_power_loss_never_finds_a_hole_in_what_it_brings_back() {
    for seed in 0..200 {
        let mut stage = stage();
        let old = body(1, 150_000);
        let id = stage.stored(&old);
        let new = body(2, 70_000);
        let outcome = stage.try_put(id, &new, UPDATE).expect("there is room");
        stage.sync();
        stage.store.commit_to(outcome.lsn, &mut Vec::new());
        stage.upkeep();
        let mut stage = stage.on(stage.disk.crash(seed));
        // Whatever of the commit is known again: what is visible is whole.
        let seen = stage.read(id).expect("version 1 or 2 is live");
        assert!(seen == old || seen == new, "seed {seed}");
        stage.begin(2);
        stage.settle();
        assert_eq!(
            stage.read(id).expect("version 2 was acknowledged"),
            new,
            "seed {seed}"
        );
    }
}

// If this fails, half an upload is a content.
#[test]
fn an_upload_in_chunks_is_seen_when_it_is_closed_and_committed_and_not_before() {
    let mut stage = stage();
    let bytes = body(1, 300_000);
    let id = stage.stored_in_chunks(&bytes, 100_000);
    assert_eq!(stage.read(id).expect("committed"), bytes);
    let other = stage.mint();
    let payload = store::Payload::new(bytes.slice(..100_000));
    let upload = stage
        .store
        .first_chunk(other, &How::Create, payload, stage.now_ms);
    let upload = upload.expect("there is room");
    stage.settle();
    assert!(matches!(stage.read(other), Err(ReadError::NotFound)));
    // A new epoch ends it.
    stage.begin(2);
    stage.settle();
    let late = stage
        .store
        .commit_upload(upload, new_content(&bytes), How::Create, stage.now_ms);
    assert!(
        matches!(late, Err(store::ChangeError::NoSuchUpload)),
        "{late:?}"
    );
    assert!(matches!(stage.read(other), Err(ReadError::NotFound)));
    assert_eq!(stage.store.usage().contents, 1);
    let used = stage.disk.used();
    stage.upkeep();
    assert!(
        used - stage.disk.used() >= 98_304,
        "its chunk is given back"
    );
}
