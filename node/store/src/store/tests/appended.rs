//! What was appended is handed on as it is, once, and only to who asked for it.

use wire::Lsn;

use crate::stage::{Stage, body};

fn lsns(stage: &mut Stage) -> Vec<u64> {
    let taken = stage.store.take_appended();
    taken.iter().map(|record| record.head.lsn.0).collect()
}

// If this fails, a store without followers keeps every upload in memory.
#[test]
fn nothing_is_kept_unless_it_was_asked_for() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    assert!(lsns(&mut stage).is_empty());
    stage.store.keep_appended();
    stage.put(2, &body(2, 100));
    stage.store.forget_appended();
    stage.put(3, &body(3, 100));
    assert!(lsns(&mut stage).is_empty());
    stage.store.keep_appended();
    assert!(lsns(&mut stage).is_empty());
}

// If this fails, a follower gets other records than its leader wrote, or misses some.
#[test]
fn each_record_is_handed_on_once_and_is_the_one_in_the_file() {
    let mut stage = Stage::without_epoch();
    stage.store.keep_appended();
    stage.begin(1);
    stage.upload(1, &body(1, 250_000), 100_000);
    stage.put(2, &body(2, 10));
    stage.store.keep_appended();
    stage.delete(2);
    let taken = stage.store.take_appended();
    assert!(lsns(&mut stage).is_empty());
    stage.put(3, &body(3, 10));
    assert_eq!(lsns(&mut stage), [8]);
    stage.sync();
    let mut cursor = stage.store.reader().records(Lsn::ZERO);
    for record in taken {
        let written = cursor.next_record().expect("a healthy disk");
        assert_eq!(written, Some(record));
    }
    assert_eq!(cursor.covered(), Lsn(7));
}

// If this fails, a follower cannot hand on what it took, or hands on what a new leader cut off.
#[test]
fn a_follower_hands_on_what_stays() {
    let mut leader = Stage::new();
    leader.store.keep_appended();
    for n in 1..=4 {
        leader.put(n, &body(n, 70_000));
    }
    let mut follower = Stage::new();
    follower.store.keep_appended();
    for record in leader.store.take_appended() {
        let lsn = record.head.lsn;
        follower.store.replicate(record, lsn).expect("in order");
    }
    let cut = follower.store.truncate_after(Lsn(3));
    cut.expect("a healthy disk");
    assert_eq!(lsns(&mut follower), [2, 3]);
}
