//! Every state of an id times every request, with the state pending, committed, and found by a
//! restart: the decision is the same.

use super::{onto_body, said};
use crate::How;
use crate::stage::{Stage, UPDATE, body, id};

/// How far the state is on its way when the request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Pending,
    Committed,
    Restarted,
    RestartedPending,
}

const ALL: [Progress; 4] = [
    Progress::Pending,
    Progress::Committed,
    Progress::Restarted,
    Progress::RestartedPending,
];

/// The states of the content 1: its first version's bytes are those of seed 1, its second's of 2, or
/// the same again.
#[derive(Clone, Copy, Debug)]
enum Known {
    Absent,
    First,
    Second,
    Same,
    Described,
    Deleted,
}

fn stage(known: Known, progress: Progress) -> Stage {
    let mut stage = Stage::new();
    if !matches!(known, Known::Absent) {
        stage.put(1, &body(1, 100));
    }
    match known {
        Known::Absent | Known::First => {}
        Known::Second => drop(stage.update(1, &body(2, 100))),
        Known::Same => drop(stage.update(1, &body(1, 100))),
        Known::Deleted => drop(stage.delete(1)),
        Known::Described => {
            let change = crate::Describe {
                filename: Some("other".to_owned()),
                ..crate::Describe::default()
            };
            let described = stage.store.describe(id(1), change, None, stage.now_ms);
            assert_eq!(said(&described), "v1");
        }
    }
    match progress {
        Progress::Pending => {}
        Progress::Committed => drop(stage.settle()),
        Progress::Restarted => {
            stage.settle_durably();
            stage.restart();
            stage.begin(2);
        }
        Progress::RestartedPending => {
            stage.sync();
            stage.restart();
            stage.begin(2);
        }
    }
    stage
}

/// What each of these puts comes to, in every progress.
fn check_puts(known: Known, expected: &[(u64, How, &str)]) {
    for progress in ALL {
        for (seed, how, answer) in expected {
            let mut stage = stage(known, progress);
            let end = stage.store.positions().appended.lsn;
            let outcome = stage.try_put(1, &body(*seed, 100), *how);
            assert_eq!(
                &said(&outcome),
                answer,
                "{known:?} {progress:?}: {seed} {how:?}"
            );
            let appended = stage.store.positions().appended.lsn;
            let changes = outcome.is_ok_and(|outcome| !outcome.repeated);
            let expected = if changes { end.next() } else { end };
            assert_eq!(appended, expected, "{known:?} {progress:?} {answer}");
        }
    }
}

// If this fails, a first upload is refused, or an update makes a content out of nothing.
#[test]
fn an_absent_content() {
    check_puts(
        Known::Absent,
        &[
            (1, How::Create, "v1"),
            (1, UPDATE, "not found"),
            (1, onto_body(1), "not found"),
        ],
    );
}

// If this fails, a retried upload is stored twice, or another one's bytes go over it.
#[test]
fn a_content_in_its_first_version() {
    check_puts(
        Known::First,
        &[
            (1, How::Create, "again v1"),
            (2, How::Create, "conflict"),
            (2, UPDATE, "v2"),
            (1, UPDATE, "v2"),
            (2, onto_body(1), "v2"),
            (1, onto_body(1), "v2"),
            (2, onto_body(2), "precondition"),
            (1, onto_body(2), "precondition"),
        ],
    );
}

// If this fails, a retried update is made twice, or a late one undoes a newer one.
#[test]
fn a_content_in_its_second_version() {
    check_puts(
        Known::Second,
        &[
            (1, How::Create, "again v1"),
            (2, How::Create, "conflict"),
            (3, UPDATE, "v3"),
            (2, onto_body(1), "again v2"),
            (3, onto_body(1), "precondition"),
            (3, onto_body(2), "v3"),
            (2, onto_body(2), "v3"),
            (2, onto_body(3), "precondition"),
        ],
    );
}

// If this fails, a retried update to the bytes that were there is made twice, and who sent it is told
// of a version that others seem to have made.
#[test]
fn a_content_that_was_updated_to_what_it_was() {
    check_puts(
        Known::Same,
        &[
            (1, How::Create, "again v1"),
            (1, onto_body(1), "again v2"),
            (1, UPDATE, "v3"),
            (2, onto_body(1), "v3"),
            (1, onto_body(2), "precondition"),
        ],
    );
    let mut stage = stage(Known::Same, Progress::Committed);
    let renamed = crate::NewContent {
        filename: "renamed".to_owned(),
        ..crate::stage::new_content(&body(1, 100))
    };
    let payload = crate::Payload::new(body(1, 100));
    let now_ms = stage.now_ms;
    let put = stage
        .store
        .put(id(1), renamed, onto_body(1), payload, now_ms);
    assert_eq!(said(&put), "v3");
}

// If this fails, renaming a content makes its retries conflicts.
#[test]
fn a_content_whose_metadata_was_changed() {
    check_puts(
        Known::Described,
        &[
            (1, How::Create, "again v1"),
            (2, How::Create, "conflict"),
            (2, onto_body(1), "v2"),
            (2, UPDATE, "v2"),
        ],
    );
}

// If this fails, a late retry brings a deleted content back.
#[test]
fn a_deleted_content() {
    check_puts(
        Known::Deleted,
        &[
            (1, How::Create, "deleted"),
            (2, How::Create, "deleted"),
            (1, UPDATE, "deleted"),
            (1, onto_body(1), "deleted"),
        ],
    );
}

// If this fails, a delete takes another version than the one that was meant, or fails when it is
// repeated.
#[test]
fn deletes() {
    let expected = [
        (Known::Absent, None, "not found"),
        (Known::Absent, Some(1), "not found"),
        (Known::First, None, "v1"),
        (Known::First, Some(1), "v1"),
        (Known::First, Some(2), "precondition"),
        (Known::Second, None, "v2"),
        (Known::Second, Some(1), "precondition"),
        (Known::Second, Some(2), "v2"),
        (Known::Described, Some(1), "v1"),
        (Known::Deleted, None, "again v1"),
        (Known::Deleted, Some(2), "again v1"),
    ];
    for progress in ALL {
        for (known, if_match, answer) in expected {
            let mut stage = stage(known, progress);
            let if_match = if_match.map(|seed| crate::stage::hash(&body(seed, 100)));
            let outcome = stage.store.delete(id(1), if_match, stage.now_ms);
            assert_eq!(said(&outcome), answer, "{known:?} {progress:?}");
        }
    }
}

// If this fails, a delete reads and checks its content's head more often than it must, on the thread that all
// shards of a disk share.
#[test]
fn a_delete_reads_its_content_once() {
    let mut stage = stage(Known::First, Progress::Committed);
    let before = stage.disk.reads();
    let deleted = stage.store.delete(id(1), None, stage.now_ms);
    assert_eq!(said(&deleted), "v1");
    assert_eq!(stage.disk.reads() - before, 1);
}

// If this fails, metadata is written to a version that its writer has not seen.
#[test]
fn describes() {
    let expected = [
        (Known::Absent, None, "not found"),
        (Known::First, None, "v1"),
        (Known::First, Some(1), "v1"),
        (Known::First, Some(2), "precondition"),
        (Known::Second, Some(1), "precondition"),
        (Known::Second, Some(2), "v2"),
        (Known::Described, None, "v1"),
        (Known::Deleted, None, "deleted"),
        (Known::Deleted, Some(1), "deleted"),
    ];
    for progress in ALL {
        for (known, if_match, answer) in expected {
            let mut stage = stage(known, progress);
            let if_match = if_match.map(|seed| crate::stage::hash(&body(seed, 100)));
            let change = crate::Describe {
                filename: Some("new".to_owned()),
                ..crate::Describe::default()
            };
            let outcome = stage.store.describe(id(1), change, if_match, stage.now_ms);
            assert_eq!(said(&outcome), answer, "{known:?} {progress:?}");
        }
    }
}

// If this fails, a large upload is refused only after all of it was sent, or is refused wrongly.
#[test]
fn what_no_bytes_can_change_is_refused_with_the_first_chunk() {
    let expected = [
        (Known::Absent, How::Create, "begun"),
        (Known::Absent, UPDATE, "not found"),
        (Known::First, How::Create, "begun"),
        (Known::First, UPDATE, "begun"),
        (Known::First, onto_body(1), "begun"),
        (Known::First, onto_body(2), "precondition"),
        (Known::Second, onto_body(1), "begun"),
        (Known::Second, onto_body(2), "begun"),
        (Known::Second, onto_body(3), "precondition"),
        (Known::Deleted, How::Create, "deleted"),
        (Known::Deleted, UPDATE, "deleted"),
    ];
    for progress in ALL {
        for (known, how, answer) in expected {
            let mut stage = stage(known, progress);
            let end = stage.store.positions().appended.lsn;
            let begun = stage.begin_upload(1, &body(5, 100), 100, how);
            let answered = match begun {
                Ok(upload) => {
                    assert_eq!(upload, end.next());
                    "begun".to_owned()
                }
                Err(error) => said(&Err(error)),
            };
            assert_eq!(answered, answer, "{known:?} {progress:?} {how:?}");
        }
    }
}
