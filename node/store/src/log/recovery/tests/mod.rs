//! The rules of recovery, one test each; docs/storage-format.md lists them.

mod commit;
mod damage;
mod files;
mod tail;
mod unnamed;

use wire::{ContentId, Lsn, ShardNo};

use crate::ReadError;
use crate::stage::{LOG, NOW_MS, Stage, body, id};

/// The contents 0, 1, 2…, in one segment, known committed.
fn stored(contents: u64) -> Stage {
    let mut stage = Stage::new();
    for n in 0..contents {
        stage.put(n, &body(n, 700));
    }
    stage.settle_durably();
    stage
}

/// The lsn of the content of this number on such a stage.
fn lsn(n: u64) -> Lsn {
    Lsn(n + 2)
}

/// Contents over several segments, all but the last with an index file.
fn sealed(segments: usize) -> (Stage, u64) {
    let mut stage = Stage::new();
    let contents = stage.fill(0, segments);
    stage.upkeep();
    (stage, contents)
}

fn assert_damaged(stage: &Stage, n: u64) {
    let read = stage.read(n);
    assert!(
        matches!(read, Err(ReadError::Damaged { .. })),
        "{n}: {read:?}"
    );
}

fn assert_reads(stage: &Stage, contents: impl IntoIterator<Item = u64>, length: usize) {
    for n in contents {
        let bytes = stage.read(n);
        assert_eq!(bytes.expect("it is intact"), body(n, length), "{n}");
    }
}

/// What is said of an id that was never stored, minted so long after the log's last record.
fn said_of_an_absent_id(stage: &Stage, after_ms: u64) -> ReadError {
    let absent = ContentId::mint(ShardNo(1), NOW_MS + after_ms, 999_999);
    assert_ne!(absent, id(999_999 + LOG));
    let opened = stage.store.reader().open(absent);
    opened.expect_err("it was never stored")
}
