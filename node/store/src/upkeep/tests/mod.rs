//! What is due when, and what it leaves behind.

mod compaction;
mod deletes;
mod doubt;
mod ends;
mod failed;
mod given_up;
mod punch;
mod recall;
mod repair;
mod reread;
mod seal;
mod sectors;
mod served;
mod side_by_side;
mod trust;

use wire::Lsn;

use super::{Chore, ChoreError, Compacting, Work};
use crate::stage::Stage;

/// The chores that are due, by name.
fn due(stage: &mut Stage) -> (Vec<&'static str>, Vec<Chore>) {
    let chores = stage.store.chores(stage.now_ms);
    let named = chores.iter().map(|chore| match chore.0 {
        Work::Seal(_) => "seal",
        Work::Punch(_) => "punch",
        Work::Compact(_) => "compact",
        Work::Trust(_) => "trust",
        Work::Reread(_) => "reread",
        Work::Repair(_) => "repair",
    });
    (named.collect(), chores)
}

/// Runs chores to their end, and takes their outcomes.
fn carry_out(stage: &mut Stage, chores: Vec<Chore>) -> Result<(), ChoreError> {
    let mut outcome = Ok(());
    for chore in chores {
        let done = chore.run(&mut |_| true);
        outcome = outcome.and(stage.store.finish(done));
    }
    outcome
}

/// Gives the follower what the leader has up to `upto`.
fn catch_up(follower: &mut Stage, leader: &Stage, upto: Lsn) {
    let begin = follower.store.positions().appended.lsn.next();
    for lsn in (begin.0..=upto.0).map(Lsn) {
        let record = leader.store.reader().record(lsn).expect("intact");
        follower.store.replicate(record, lsn).expect("in order");
    }
    follower.settle_durably();
}

/// The lsn of the record of this content.
fn lsn(n: u64) -> Lsn {
    Lsn(n + 2)
}

/// Carries out what is due; what cannot be read comes to nothing.
fn upkeep_of_what_can_be_read(stage: &mut Stage) {
    for _ in 0..8 {
        stage.now_ms += 3_600_000;
        let (_, chores) = due(stage);
        drop(carry_out(stage, chores));
    }
}

/// What came to nothing is not tried again at once, as long as the disk may be full; after this it is.
fn rest(stage: &mut Stage) {
    assert_eq!(due(stage).0, Vec::<&str>::new(), "it rests");
    stage.now_ms += 1_000;
}

/// A log of these many segments, the full ones with index files; and its contents' number.
fn sealed(segments: usize) -> (Stage, u64) {
    let mut stage = Stage::new();
    let contents = stage.fill(0, segments);
    stage.upkeep();
    (stage, contents)
}

/// The contents that the first segment holds.
fn in_first(stage: &Stage) -> u64 {
    stage.store.log.segments[1].segment.name.first.0 - 2
}

/// The generations of the segments.
fn generations(stage: &Stage) -> Vec<u32> {
    let states = stage.store.log.segments.iter();
    states.map(|state| state.segment.name.generation).collect()
}
