//! What is given up, and whether it stays so.

use store::stage::{Stage, body};

use super::*;

/// A place where some records are lost.
fn place(first: u64, last: u64) -> Lost {
    Lost {
        first: Lsn(first),
        last: Lsn(last),
    }
}

/// Makes the header of a durable record unreadable: nothing tells that it is one.
fn break_header(stage: &Stage, lsn: Lsn) {
    let (path, start) = stage.find_record(lsn);
    for at in [0, 9] {
        let flipped = stage.disk.flip_bit(&path, start + at, 3);
        flipped.expect("it is durable");
    }
}

// If this fails, an operator gives up more or less than is lost, or is told a wrong number of records.
#[test]
fn places_are_told_once_and_in_order() {
    let damage = Damage {
        lost: vec![place(4, 9), place(20, 20)],
        hidden: vec![place(2, 3), place(5, 5), place(9, 11)],
        ..Damage::default()
    };
    let lost = lost_places(&damage);
    assert_eq!(lost, [place(2, 11), place(20, 20)]);
    assert_eq!(records_in(&lost), 11);
    assert_eq!(
        within(&lost, &[place(1, 2), place(11, 30)]),
        [place(2, 2), place(11, 11), place(20, 20)]
    );
}

/// A log whose last record is known committed, without the help of later ones.
fn marked() -> Stage {
    let mut stage = Stage::new();
    stage.put(100, &body(100, 200_000));
    stage.delete(100);
    (101..=106).for_each(|n| drop(stage.put(n, &body(n, 7_000))));
    stage.settle();
    // What is deleted is only given back when the marker says that it may be.
    stage.upkeep();
    stage
}

// If this fails, whoever gives up a long place holds up all else on the disk, or leaves some of it out.
#[test]
fn long_places_are_given_up_in_portions() {
    let places = [place(1, 130), place(200, 200)];
    let portions: Vec<Lost> = portions(&places).collect();
    let expected = [
        place(1, 64),
        place(65, 128),
        place(129, 130),
        place(200, 200),
    ];
    assert_eq!(portions, expected);
}

// If this fails, what an operator gave up holds back all older contents again when the node starts again, and
// nobody said so.
#[test]
fn what_was_given_up_stays_so_when_the_log_is_opened_again() {
    for lost in [4, 6, 9] {
        let mut stage = marked();
        assert_eq!(stage.store.positions().committed, Lsn(9));
        break_header(&stage, Lsn(lost));
        assert_eq!(stage.restart().damaged, 1, "{lost}");
        stage.begin(2);
        stage.settle();
        let places = lost_places(&stage.store.reader().damage());
        assert_eq!(places, [place(lost, lost)]);
        assert!(lost == 4 || stage.read(101).is_err(), "{lost}");
        give_up(&mut stage.store, &places);
        let now = given_up(&stage.store, &places);
        assert_eq!((now.left, now.is_lasting), (vec![], false));
        assert!(lost == 4 || stage.read(101).is_ok(), "{lost}");
        stage.upkeep();
        assert!(given_up(&stage.store, &places).is_lasting, "{lost}");
        assert_eq!(stage.restart().damaged, 0, "{lost}");
        let stays = lost_places(&stage.store.reader().damage());
        assert_eq!(stays, [], "{lost}");
    }
}
