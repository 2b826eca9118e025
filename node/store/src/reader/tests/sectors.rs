//! A sector that the disk cannot read is damage of the records that lie in it: it is known from then
//! on, and what lies elsewhere is read past it.

use wire::Lsn;

use crate::stage::{Stage, body, id, next_live, read_all};
use crate::{Lost, ReadError};

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

/// Scrubs to the end.
fn scrub(stage: &Stage) -> Vec<Lsn> {
    let committed = stage.store.positions().committed;
    let (mut covered, mut damaged) = (Lsn::ZERO, Vec::new());
    while covered < committed {
        let piece = stage.store.reader().scrub(covered, &mut |_| true);
        let piece = piece.expect("a bad sector ends no scrub");
        assert!(piece.covered > covered, "it goes on");
        covered = piece.covered;
        damaged.extend(piece.damaged.iter().map(|damaged| damaged.lsn));
    }
    damaged
}

// If this fails, one bad sector keeps all that lies behind it from ever being looked at, or the scrub
// forgets what it found before.
#[test]
fn a_scrub_passes_a_bad_sector_among_small_records() {
    let (stage, _, contents) = Stage::with_small_contents();
    // One record's payload rots, then a sector cannot be read, then another record rots; and so on
    // in the second segment.
    let second = stage.store.log.segments[1].segment.name.first.0;
    let places = [(50, 100, 200), (second + 10, second + 30, second + 60)];
    for (before, broken, behind) in places {
        stage.flip(Lsn(before), 300);
        stage.break_sector(Lsn(broken), 0);
        stage.flip(Lsn(behind), 300);
    }
    let found = scrub(&stage);
    let damage = stage.store.reader().damage();
    for (before, broken, behind) in places {
        assert!(found.contains(&Lsn(before)) && found.contains(&Lsn(behind)));
        let hides = |lost: &&Lost| lost.first.0 <= broken && broken <= lost.last.0;
        let lost = damage.hidden.iter().find(hides).expect("it is told");
        let page_of_records = 4096 / 300;
        assert!(lost.last.0 - lost.first.0 <= page_of_records, "{lost:?}");
        assert!(found.contains(&lost.first));
    }
    // The end of the record before may lie in the sector, too.
    assert!((6..=8).contains(&found.len()), "{found:?}");
    let damaged = (0..contents).filter(|n| is_damaged(&stage.read(*n)));
    assert!(damaged.count() >= 6);
}

/// What a follower of this log is still given.
fn needed(stage: &Stage, after: u64) -> (Vec<u64>, Result<(), ReadError>) {
    let mut missing = stage.store.reader().missing(Lsn(after));
    let mut lsns = Vec::new();
    loop {
        match missing.next_needed() {
            Ok(Some(record)) => lsns.push(record.head.lsn.0),
            Ok(None) => return (lsns, Ok(())),
            Err(error) => return (lsns, Err(error)),
        }
    }
}

// If this fails, a follower waits for ever for what lies in a bad sector of its leader: nobody is told
// that it is to be repaired.
#[test]
fn what_a_follower_cannot_be_sent_is_told_as_damage() {
    // A head, and a payload; of a record in the middle, and of the last one.
    for (lsn, at) in [(4, 0), (4, 5_000), (7, 0), (7, 5_000)] {
        let what = format!("byte {at} of {lsn}");
        let mut stage = Stage::new();
        for n in 0..6 {
            stage.put(n, &body(n, 10_000));
        }
        stage.settle_durably();
        stage.break_sector(Lsn(lsn), at);
        let (given, end) = needed(&stage, 0);
        assert!(is_damaged(&end), "{what}: {end:?}");
        // The end of the record before may lie in the sector, too.
        let first = given.len() as u64 + 1;
        assert!(first == lsn || first == lsn - 1 && at == 0, "{what}");
        let damage = stage.store.reader().damage();
        let mut told = damage.contents.iter().flat_map(|content| &content.records);
        let mut hidden = damage.hidden.iter();
        let is_told = told.any(|told| told.0 == first)
            || hidden.any(|lost| lost.first.0 <= first && first <= lost.last.0);
        assert!(is_told, "{what}: {damage:?}");
        let rest: Vec<u64> = (lsn + 1..=7).collect();
        assert_eq!(needed(&stage, lsn).0, rest, "{what}");
    }
}

// If this fails, one bad sector keeps a catalog that is behind, or that is made anew, from ever being
// complete.
#[test]
fn a_catalog_is_shown_what_lies_behind_a_bad_sector() {
    let (stage, _, contents) = Stage::with_small_contents();
    let end = stage.store.positions().committed;
    stage.break_sector(Lsn(100), 0);
    let mut cursor = stage.store.reader().cursor(Lsn::ZERO);
    let mut changes = 0;
    while cursor.next_change().expect("it goes on").is_some() {
        changes += 1;
    }
    assert_eq!(cursor.covered(), end);
    let mut walk = stage.store.reader().live(end);
    let mut shown = 0;
    while next_live(&mut walk).is_some() {
        shown += 1;
    }
    for passed in [cursor.passed_damage(), walk.passed_damage()] {
        let lost = passed.expect("it is told");
        assert!(lost.first.0 <= 100 && 100 <= lost.last.0, "{lost:?}");
        let missing = lost.last.0 - lost.first.0 + 1;
        assert_eq!((changes, shown), (end.0 - missing, contents - missing));
    }
}
