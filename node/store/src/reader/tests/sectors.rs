//! A sector that the disk cannot read is damage of the records that lie in it: it is known from then
//! on, and what lies elsewhere is read past it.

use wire::Lsn;

use crate::stage::{Stage, body, id, read_all};
use crate::ReadError;

fn is_damaged<T>(read: &Result<T, ReadError>) -> bool {
    matches!(read, Err(ReadError::Damaged { .. }))
}

// If this fails, each download of a content breaks off at the same byte, though other copies of it are
// intact: no reader is sent on to them, and nothing is repaired.
#[test]
fn a_download_that_meets_a_bad_sector_is_the_last_one_that_does() {
    // One record, and three chunks of which the last is bad.
    for (n, broken, at) in [(1, Lsn(2), 200_000), (2, Lsn(5), 30_000)] {
        let mut stage = Stage::new();
        stage.put(1, &body(1, 300_000));
        stage.upload(2, &body(2, 200_000), 70_000);
        stage.settle();
        stage.break_sector(broken, at);
        let open = stage.store.reader().open(id(n)).expect("its head is whole");
        assert!(open.known_damage().is_none(), "nobody knows yet");
        let cached = open
            .read_cached(0, 60_000)
            .expect("the sector is not there");
        assert_eq!(cached.expect("in memory"), body(n, 300_000)[..60_000]);
        let read = read_all(&open);
        assert!(is_damaged(&read), "{n}: {:?}", read.err());
        let again = stage.store.reader().open(id(n)).expect("its head is whole");
        assert!(again.known_damage().is_some(), "{n}: the next is sent on");
        let listed = stage.store.reader().damage().contents;
        assert_eq!(
            (listed[0].content, &listed[0].records[..]),
            (id(n), &[broken][..])
        );
        assert_eq!(
            stage.read(3 - n).expect("intact").len(),
            [200_000, 300_000][n as usize - 1]
        );
    }
}

// If this fails, a content whose record's head lies in a bad sector answers as if the node had failed.
#[test]
fn a_head_that_cannot_be_read_is_damage_of_its_content() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 3_000));
    stage.settle();
    stage.break_sector(Lsn(2), 0);
    assert!(is_damaged(&stage.read(1)));
    assert!(is_damaged(&stage.store.reader().open_cached(id(1))));
    let listed = stage.store.reader().damage().contents;
    assert_eq!(listed[0].content, id(1));
}
