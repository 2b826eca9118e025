//! What readers see, and that they see the same whatever the owner does meanwhile.

mod cursor;
mod from_disk;
mod live;
mod open;
mod scrub;
mod sectors;

use crate::stage::{Stage, body};

/// A log of three segments and more, half of whose small contents are deleted.
fn half_deleted() -> (Stage, u64) {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 4);
    for n in (0..contents).step_by(2) {
        stage.delete(n);
    }
    stage.settle_durably();
    (stage, contents)
}

/// As [`half_deleted`], compacted.
fn compacted() -> (Stage, u64) {
    let (mut stage, contents) = half_deleted();
    stage.upkeep();
    let rewritten = stage.store.log.segments.iter();
    let rewritten = rewritten.filter(|state| state.segment.name.generation > 0);
    assert!(rewritten.count() > 0, "something was rewritten");
    (stage, contents)
}

fn bytes(n: u64) -> bytes::Bytes {
    body(n, 10_000)
}
