//! A content whose bytes are not those of its hash, although each block is as it was written.

use wire::Lsn;

use super::carry_out;
use crate::stage::{Stage, body, id, read_all};
use crate::{Damage, OpenContent};

const SMALL: u64 = 1;
const LARGE: u64 = 2;
const CHUNKED: u64 = 3;

/// A store with contents of all sizes, and an intact copy of it.
fn stage_and_copy() -> (Stage, Stage) {
    let mut stage = Stage::new();
    stage.put(SMALL, &body(SMALL, 3_000));
    stage.put(LARGE, &body(LARGE, 70_000));
    stage.upload(CHUNKED, &body(CHUNKED, 150_000), 70_000);
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    (stage, copy)
}

fn opened(stage: &Stage, n: u64) -> OpenContent {
    let open = stage.store.reader().open_from_disk(id(n));
    open.expect("it can be read")
}

/// Repairs a record from a copy; whether it was the same there.
fn repair(stage: &mut Stage, copy: &Stage, lsn: Lsn) -> bool {
    let record = copy.store.reader().record(lsn).expect("intact");
    let chore = stage.store.repair(record).expect("nothing is under way");
    let done = chore.run(&mut |_| true);
    let is_same = done.is_same();
    stage.store.finish(done).expect("a healthy disk");
    is_same
}

/// The records of the only doubted content that are to be compared.
fn to_compare(stage: &Stage) -> Vec<Lsn> {
    let damage = stage.store.reader().damage();
    assert_eq!(damage.contents, []);
    assert_eq!(stage.store.usage().damaged, 1);
    let [doubted] = &damage.doubted[..] else {
        panic!("one is doubted: {damage:?}");
    };
    doubted.records.clone()
}

// If this fails, a content whose bytes are wrong on every replica is told as repaired after a while, though
// nothing was; or its records are written, and asked for, again and again.
#[test]
fn what_is_the_same_elsewhere_is_not_repaired_and_stays_damaged() {
    for n in [SMALL, LARGE, CHUNKED] {
        let (mut stage, copy) = stage_and_copy();
        let open = opened(&stage, n);
        assert!(open.known_damage().is_none());
        open.doubt();
        let records = to_compare(&stage);
        assert_eq!(
            records,
            stage.store.reader().needed(id(n)).expect("is known")
        );
        let before = stage.disk.operations();
        for lsn in records {
            assert!(repair(&mut stage, &copy, lsn), "{n}: {lsn}");
        }
        assert_eq!(stage.disk.operations(), before, "nothing was written");
        assert_eq!(to_compare(&stage), []);
        open.doubt();
        assert_eq!(to_compare(&stage), [], "they were compared");
        let again = opened(&stage, n);
        assert!(again.known_damage().is_some(), "{n}");
        again.trust();
        assert!(again.known_damage().is_none());
        assert_eq!(stage.store.reader().damage(), Damage::default());
    }
}

// If this fails, bytes that changed without their checksum stay wrong although another replica has the right
// ones.
#[test]
fn what_is_another_elsewhere_is_written_again() {
    for n in [SMALL, LARGE, CHUNKED] {
        let (mut stage, copy) = stage_and_copy();
        let records = stage.store.reader().needed(id(n)).expect("is known");
        let (_, entry) = stage.place_of(records[0]).expect("it is there");
        let payload = entry.lengths.payload_start(entry.start) - entry.start;
        stage.twist(records[0], payload + 100);
        let open = opened(&stage, n);
        let right = copy.read(n).expect("intact");
        assert_ne!(read_all(&open).expect("its blocks are whole"), right);
        open.doubt();
        let same = to_compare(&stage).into_iter();
        let same: Vec<bool> = same.map(|lsn| repair(&mut stage, &copy, lsn)).collect();
        assert_eq!(same.iter().filter(|is_same| !**is_same).count(), 1);
        assert!(!same[0], "the twisted one was written");
        let open = opened(&stage, n);
        assert_eq!(read_all(&open).expect("whole"), right);
        assert_eq!(to_compare(&stage), []);
        open.trust();
        assert_eq!(stage.store.reader().damage(), Damage::default());
    }
}

// If this fails, a content that was replaced because its bytes were wrong is damaged for ever.
#[test]
fn what_is_replaced_is_not_doubted_any_more() {
    let (mut stage, _) = stage_and_copy();
    for (n, is_doubted_first) in [(SMALL, true), (LARGE, false)] {
        let open = opened(&stage, n);
        if is_doubted_first {
            open.doubt();
        }
        stage.update(n, &body(77, 500));
        stage.settle();
        open.doubt();
        assert_eq!(stage.store.reader().damage(), Damage::default(), "{n}");
        opened(&stage, n).doubt();
        stage.delete(n);
        stage.settle();
        assert_eq!(stage.store.reader().damage(), Damage::default(), "{n}");
    }
    // Whatever else is found of it is told, and repaired, as ever.
    let copy = stage.on(stage.disk.kill());
    opened(&stage, CHUNKED).doubt();
    let records = stage.store.reader().needed(id(CHUNKED)).expect("is known");
    let (_, entry) = stage.place_of(records[0]).expect("it is there");
    let payload = entry.lengths.payload_start(entry.start) - entry.start;
    stage.flip(records[0], payload);
    stage.read(CHUNKED).expect_err("is damaged");
    let record = copy.store.reader().record(records[0]).expect("intact");
    let chore = stage.store.repair(record).expect("nothing is under way");
    carry_out(&mut stage, vec![chore]).expect("a healthy disk");
    assert_eq!(to_compare(&stage), records[1..]);
}
