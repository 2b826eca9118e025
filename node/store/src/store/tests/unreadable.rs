//! Records that die, or stay, while the disk cannot read their heads.

use wire::Lsn;

use crate::damage::Lost;
use crate::record::Record;
use crate::stage::{Stage, body, id};
use crate::{Describe, ReadError};

fn rename(stage: &mut Stage, n: u64, name: &str) -> Lsn {
    let change = Describe {
        filename: Some(name.to_owned()),
        ..Describe::default()
    };
    let described = stage.store.describe(id(n), change, None, stage.now_ms);
    described.expect("it is live").lsn
}

fn take(follower: &mut Stage, records: &[Record]) {
    for record in records {
        let first = follower.store.positions().appended.lsn.next();
        let taken = follower.store.replicate(record.clone(), first);
        taken.expect("in order");
    }
    follower.settle();
}

/// The lsns of what cannot be passed.
fn hidden(stage: &Stage) -> Vec<(u64, u64)> {
    let hidden = stage.store.reader().damage().hidden;
    let ends = |lost: &Lost| (lost.first.0, lost.last.0);
    hidden.iter().map(ends).collect()
}

/// What a leader appends: contents of several pages, of which 2 is renamed and deleted.
fn log() -> (Vec<Record>, [Lsn; 3]) {
    let mut leader = Stage::without_epoch();
    leader.store.keep_appended();
    leader.lead();
    let put = |leader: &mut Stage, n| leader.put(n, &body(n, 9_000)).lsn;
    put(&mut leader, 1);
    let stored = put(&mut leader, 2);
    put(&mut leader, 3);
    let renamed = rename(&mut leader, 2, "b.bin");
    put(&mut leader, 4);
    let deleted = leader.delete(2).lsn;
    leader.sync();
    (leader.store.take_appended(), [stored, renamed, deleted])
}

// If this fails, another record than the damaged one is asked for, and the damaged one never: its segment
// is neither sealed nor rewritten.
#[test]
fn a_head_that_cannot_be_read_is_told_as_the_record_that_it_is() {
    let (records, [put, renamed, deleted]) = log();
    for broken in [put, renamed] {
        let mut follower = Stage::without_epoch();
        let before = records.iter().position(|record| record.head.lsn == deleted);
        let (alive, dead) = records.split_at(before.expect("it was deleted"));
        take(&mut follower, alive);
        follower.break_sector(broken, 0);
        take(&mut follower, dead);
        let told = hidden(&follower);
        let [(first, last)] = told[..] else {
            panic!("{broken}: {told:?}");
        };
        // The next head may lie in the same page, which is read as one.
        assert!(first == broken.0 && last <= first + 1, "{broken}: {told:?}");
        assert!(matches!(follower.read(2), Err(ReadError::Deleted)));
    }
}

// If this fails, each change of a content's metadata costs a read of the record of its bytes, which a
// disk may have to seek for.
#[test]
fn what_stays_is_not_read_where_the_chain_is_whole() {
    let mut leader = Stage::without_epoch();
    leader.store.keep_appended();
    leader.lead();
    let put = leader.put(2, &body(2, 700)).lsn;
    leader.put(3, &body(3, 9_000));
    for n in 0..4 {
        rename(&mut leader, 2, &format!("{n}.bin"));
    }
    leader.sync();
    let records = leader.store.take_appended();
    let (first, rest) = records.split_at(4);
    let mut follower = Stage::without_epoch();
    take(&mut follower, first);
    follower.break_sector(put, 0);
    take(&mut follower, &rest[..1]);
    let shared = &follower.store.shared;
    assert!(!shared.has_gap(&id(2).bytes()), "nobody looked");
    assert_eq!(hidden(&follower), []);
    // Where a link is missing, it is.
    take(&mut follower, &rest[2..]);
    assert!(follower.store.shared.has_gap(&id(2).bytes()));
}

// If this fails, what is deleted while the disk cannot read it takes its space for as long as the process
// runs.
#[test]
fn what_died_unread_is_told_dead_when_it_can_be_read_again() {
    const BYTES: u64 = 300_000;
    let live = |stage: &Stage| stage.store.usage().space.live;
    let mut leader = Stage::without_epoch();
    leader.store.keep_appended();
    leader.lead();
    let stored = leader.upload(2, &body(2, BYTES as usize), 1_000).lsn;
    leader.delete(2);
    leader.sync();
    let mut alive = leader.store.take_appended();
    let delete = alive.pop().expect("it was deleted");
    // In its head, and in the list of its chunks.
    for broken in [0, 3_000] {
        let mut follower = Stage::without_epoch();
        take(&mut follower, &alive);
        let place = follower.place_of(stored).expect("it was taken");
        assert!(place.1.lengths.payload > 3_000, "the list reaches there");
        follower.break_sector(stored, broken);
        take(&mut follower, std::slice::from_ref(&delete));
        follower.settle_durably();
        follower.upkeep();
        assert!(live(&follower) > BYTES, "nobody can know what died");
        follower.heal_sector(&place, broken);
        follower.now_ms += 1_000;
        follower.upkeep();
        assert!(live(&follower) < 1_000, "broken at {broken}");
        follower.assert_accounts();
    }
}
