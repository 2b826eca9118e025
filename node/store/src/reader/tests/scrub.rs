//! A scrub reads all that is needed, once, at the pace that it is given, and nothing else.

use wire::Lsn;

use crate::disk::simulated::{Failure, Operation};
use crate::reader::Scrubbed;
use crate::stage::{Stage, body, id};

/// Three segments of small contents, the full ones with index files; and how many contents.
fn stage() -> (Stage, u64) {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 3);
    stage.upkeep();
    (stage, contents)
}

/// Scrubs to the end; the pieces that it took.
fn pieces(stage: &Stage, mut covered: Lsn) -> Vec<Scrubbed> {
    let mut pieces = Vec::new();
    while covered < stage.store.positions().committed {
        let scrubbed = stage.store.reader().scrub(covered, &mut |_| true);
        pieces.push(scrubbed.expect("a healthy disk"));
        covered = pieces[pieces.len() - 1].covered;
    }
    pieces
}

fn records(pieces: &[Scrubbed]) -> u64 {
    pieces.iter().map(|piece| piece.records).sum()
}

// If this fails, a scrub leaves contents out, or reads them again and again.
#[test]
fn a_scrub_reads_each_needed_record_once_segment_by_segment() {
    let (mut stage, contents) = stage();
    let whole = pieces(&stage, Lsn::ZERO);
    assert_eq!(whole.len(), 3);
    assert_eq!(records(&whole), contents + 1, "the contents and the epoch");
    let bytes: u64 = whole.iter().map(|piece| piece.bytes).sum();
    assert_eq!(bytes, stage.store.usage().space.live);
    assert!(whole.iter().all(|piece| piece.damaged.is_empty()));
    let end = stage.store.positions().committed;
    assert_eq!(whole[2].covered, end);
    let again = stage
        .store
        .reader()
        .scrub(end, &mut |_| panic!("nothing is left"));
    assert_eq!(again.expect("a healthy disk").covered, end);

    stage.put(contents, &body(contents, 10_000));
    stage.sync();
    assert!(
        pieces(&stage, end).is_empty(),
        "what is not committed is left alone"
    );
    stage.settle();
    assert_eq!(records(&pieces(&stage, end)), 1);
}

// If this fails, a scrub takes the disk from uploads, or begins at the beginning after each restart.
#[test]
fn a_scrub_keeps_to_its_rate_and_goes_on_where_it_was() {
    let (mut stage, contents) = stage();
    let mut covered = Lsn::ZERO;
    let mut found = 0;
    for round in 0..1_000 {
        let mut left = 3;
        let scrubbed = stage.store.reader().scrub(covered, &mut |bytes| {
            assert!(bytes < 20_000);
            left -= 1;
            left >= 0
        });
        let scrubbed = scrubbed.expect("a healthy disk");
        assert!(scrubbed.records <= 3);
        found += scrubbed.records;
        covered = scrubbed.covered;
        if covered == stage.store.positions().committed {
            break;
        }
        if round == 4 {
            stage.restart();
        }
    }
    assert_eq!(found, contents + 1);
}

// If this fails, a scrub finds damage in what nobody needs any more.
#[test]
fn what_is_dead_is_not_looked_at() {
    let (mut stage, contents) = stage();
    stage.delete(0);
    stage.update(1, &body(1, 70_000));
    stage.update(1, &body(2, 70_000));
    let open = stage.begin_upload(99_999, &body(3, 10), 10, crate::How::Create);
    open.expect("there is room");
    stage.settle_durably();
    for lsn in [2, 3] {
        stage.flip(Lsn(lsn), 900);
    }
    stage.upkeep();
    let whole = pieces(&stage, Lsn::ZERO);
    assert!(
        whole.iter().all(|piece| piece.damaged.is_empty()),
        "{whole:?}"
    );
    assert_eq!(records(&whole), contents + 1, "one less, and the delete");
    assert_eq!(stage.store.usage().damaged, 0);
}

// If this fails, a content that is replaced while it is scrubbed is called damaged.
#[test]
fn what_dies_and_goes_while_it_is_scrubbed_is_not_damaged() {
    let mut stage = Stage::new();
    for n in 0..3 {
        stage.put(n, &body(n, 70_000));
    }
    stage.settle_durably();
    let reader = stage.store.reader();
    let scrubbed = reader.scrub(Lsn::ZERO, &mut |_| {
        // It was live when the scrub asked.
        for n in 0..3 {
            stage.delete(n);
        }
        stage.settle();
        stage.upkeep();
        true
    });
    assert!(scrubbed.expect("a healthy disk").damaged.is_empty());
    assert_eq!(stage.store.usage().damaged, 0);
}

// If this fails, a scrub stops for good at a segment that is rewritten under it, or skips the rest.
#[test]
fn a_segment_that_is_rewritten_meanwhile_is_read_on_in_its_new_place() {
    let (mut stage, contents) = stage();
    let in_first = stage.store.log.segments[1].segment.name.first.0 - 2;
    for n in (0..in_first).filter(|n| n % 2 == 0) {
        stage.delete(n);
    }
    stage.settle_durably();
    let reader = stage.store.reader();
    let mut asked = 0;
    let first = reader.scrub(Lsn::ZERO, &mut |_| {
        asked += 1;
        if asked == 4 {
            stage.upkeep();
        }
        true
    });
    let first = first.expect("a healthy disk");
    assert!(stage.store.log.segments[0].segment.name.generation > 0);
    assert!(first.covered.0 < in_first, "it ended early");
    let rest = pieces(&stage, first.covered);
    let all = first.records + records(&rest);
    assert_eq!(
        all,
        contents + 1,
        "each live content, a delete for each that is not, the epoch"
    );
}

// If this fails, a bad sector ends the scrub, or is not told.
#[test]
fn a_record_that_cannot_be_read_is_damaged_at_once() {
    let (mut stage, _) = stage();
    stage.flip(Lsn(5), 700);
    assert_eq!(stage.store.usage().damaged, 0, "nobody knows yet");
    let whole = pieces(&stage, Lsn::ZERO);
    let found = &whole[0].damaged[0];
    assert_eq!((found.content, found.lsn), (Some(id(3)), Lsn(5)));
    assert!(found.what.contains("block 0"), "{}", found.what);
    assert_eq!(stage.store.usage().damaged, 1);
    let listed = stage.store.reader().damage().contents;
    assert_eq!(
        (listed[0].content, &listed[0].records[..]),
        (id(3), &[Lsn(5)][..])
    );
    stage.update(3, &body(3, 10));
    stage.settle();
    assert_eq!(stage.store.usage().damaged, 0, "it was replaced");
}

// If this fails, an intact replica sends less than a damaged one needs.
#[test]
fn what_a_content_needs_is_told_and_given_record_by_record() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.upload(2, &body(2, 150_000), 70_000);
    let change = crate::Describe {
        filename: Some("renamed".to_owned()),
        ..crate::Describe::default()
    };
    let described = stage.store.describe(id(2), change, None, stage.now_ms);
    described.expect("it is live");
    stage.put(3, &body(3, 10));
    stage.delete(3);
    stage.settle();
    let reader = stage.store.reader();
    let needed = |n| reader.needed(id(n)).expect("healthy");
    let lsns = |lsns: &[u64]| lsns.iter().copied().map(Lsn).collect::<Vec<_>>();
    assert_eq!(needed(1), lsns(&[2]));
    assert_eq!(needed(2), lsns(&[3, 4, 5, 6, 7]));
    assert_eq!(needed(3), lsns(&[9]));
    assert!(reader.needed(id(4)).is_err());
    for lsn in needed(2) {
        assert_eq!(reader.record(lsn).expect("healthy").head.lsn, lsn);
    }
    stage.put(5, &body(5, 10));
    stage.sync();
    for lsn in [Lsn(10), Lsn(99), Lsn::ZERO] {
        assert!(reader.record(lsn).is_err(), "{lsn} is not committed");
    }
    stage.disk.fail(Operation::Sync, 0, Failure::Io);
    assert!(reader.record(Lsn(9)).is_ok());
}

// If this fails, a scrub of everything is over as soon as a segment is rewritten under it.
#[test]
fn a_segment_that_is_rewritten_before_it_is_read_is_read_where_it_is_now() {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 3);
    stage.upkeep();
    (0..contents)
        .filter(|n| n % 2 == 0)
        .for_each(|n| drop(stage.delete(n)));
    stage.settle_durably();
    for after in [1, 4].map(Lsn) {
        let mut now = stage.on(stage.disk.kill());
        let opened = now.store.shared.segment_of(Lsn(1));
        now.upkeep();
        let reader = now.store.reader();
        let piece = reader.scrub_from(opened, after, &mut |_| true);
        let piece = piece.expect("a healthy disk");
        assert!(piece.covered > after && piece.damaged.is_empty(), "{after}");
        assert_eq!(piece, reader.scrub(after, &mut |_| true).expect("the same"));
    }
}
