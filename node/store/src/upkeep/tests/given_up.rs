//! Records that nobody needs, and that nobody has: no segment stays as it is for them.

use wire::Lsn;

use super::{carry_out, generations, in_first, lsn, sealed, upkeep_of_what_can_be_read};
use crate::damage::{Damage, Lost};
use crate::stage::{Stage, body};

fn damage(stage: &Stage) -> Damage {
    stage.store.reader().damage()
}

// If this fails, a segment whose last record was overwritten with zeros is never rewritten, though that
// record is nobody's.
#[test]
fn a_segment_that_ends_in_zeros_is_rewritten_once_nothing_there_is_needed() {
    let (mut stage, _) = sealed(3);
    let last = in_first(&stage) - 1;
    (1..=last).for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    let (_, entry) = stage.place_of(lsn(last)).expect("written");
    let file = &stage.store.log.segments[0].segment.file;
    let zeros = vec![0; (entry.end() - entry.start) as usize];
    file.write_at(&zeros, entry.start).expect("a healthy disk");
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 0, "it may be needed");
    let (first, last) = (lsn(last), lsn(last));
    assert_eq!(damage(&stage).hidden, [Lost { first, last }]);
    stage.store.settle(last);
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[0], 1);
    assert_eq!(damage(&stage), Damage::default());
    assert_eq!(stage.read(0).expect("live"), body(0, 10_000));
    stage.assert_accounts();
}

/// A log in which a dead version of content 0 must outlive the one before it, and cannot be read behind
/// its head; an intact copy; and that record.
fn stuck() -> (Stage, Stage, Lsn) {
    let mut stage = Stage::new();
    let second = stage.fill(0, 2);
    let dead = stage.update(0, &body(7, 9_000)).lsn;
    let third = stage.fill(second, 3);
    stage.update(0, &body(8, 9_000));
    (second..third - 1).for_each(|n| drop(stage.delete(n)));
    stage.fill(third, 4);
    let copy = stage.on(stage.disk.kill());
    stage.break_sector(dead, 5_000);
    upkeep_of_what_can_be_read(&mut stage);
    assert_eq!(generations(&stage)[..2], [0, 0], "it cannot be copied");
    assert_eq!(damage(&stage).contents[0].records, [dead]);
    (stage, copy, dead)
}

fn assert_rewritten(stage: &mut Stage, dead: Lsn) {
    upkeep_of_what_can_be_read(stage);
    assert_eq!(generations(stage)[..2], [0, 1]);
    assert!(stage.lsns().contains(&dead.0), "its head stays");
    for _ in 0..2 {
        assert_eq!(damage(stage), Damage::default());
        assert_eq!(stage.read(0).expect("live"), body(8, 9_000));
        stage.assert_accounts();
        stage.settle_durably();
        assert_eq!(stage.restart().damaged, 0);
    }
}

// If this fails, a bad sector under bytes that were replaced long ago is told, and asked others for, for
// ever; and its segment is never rewritten.
#[test]
fn a_dead_payload_that_nobody_has_is_given_up() {
    let (mut stage, _, dead) = stuck();
    stage.store.settle(dead);
    assert_eq!(damage(&stage), Damage::default());
    assert_rewritten(&mut stage, dead);
}

// If this fails, the same where another replica has it still: it is written again each minute, and the
// segment is never rewritten.
#[test]
fn a_dead_payload_that_another_replica_has_is_written_again() {
    let (mut stage, copy, dead) = stuck();
    let record = copy.store.reader().record(dead).expect("intact");
    let chore = stage.store.repair(record).expect("it is committed");
    carry_out(&mut stage, vec![chore]).expect("it is its own");
    assert_eq!(damage(&stage), Damage::default());
    assert_rewritten(&mut stage, dead);
}
