//! Damage at or below the commit is damage, of one content, and never cut; above it, it is a tail.

mod repair;

use bytes::Bytes;
use store::disk::Disk;
use store::{How, ReadError};
use wire::Lsn;

use crate::stage::{Stage, body, contents, quarantined, segments, stage};

/// A part of a record, and an offset in it that is damaged.
const HEADER_PARTS: [(&str, u64); 10] = [
    ("magic", 0),
    ("format", 4),
    ("kind", 5),
    ("flags", 6),
    ("codec", 7),
    ("log id", 9),
    ("lsn", 16),
    ("payload length", 90),
    ("metadata length", 113),
    ("checksum", 125),
];

/// A store whose content number 2 of five is damaged at `at` bytes into its record, restarted; the
/// ids and bytes of all five.
fn with_damage_in_the_middle(at: u64) -> (Stage, Vec<(wire::ContentId, Bytes)>) {
    let mut stage = stage();
    let mut all = Vec::new();
    let mut damaged = Lsn::ZERO;
    for number in 0..5 {
        let bytes = body(number as u64, 3_000 + number * 501);
        let (id, outcome) = stage.append(&bytes);
        stage.settle();
        all.push((id, bytes));
        if number == 2 {
            damaged = outcome.lsn;
        }
    }
    stage.settle_known();
    let (path, start) = stage.find_record(damaged);
    stage
        .disk
        .flip_bit(&path, start + at, 1)
        .expect("it is synced");
    stage.restart();
    (stage, all)
}

// If this fails, a replica whose record of a new epoch is damaged seems to have another history than its
// leader's, and is let in by nobody any more.
#[test]
fn an_epoch_whose_first_record_is_damaged_is_known_by_the_next() {
    for (what, at) in HEADER_PARTS {
        let mut stage = stage();
        let fill = |stage: &mut Stage| {
            for number in 0..3 {
                stage.append(&body(number, 2_000));
            }
            stage.settle();
        };
        fill(&mut stage);
        let begun = stage.begin(2);
        fill(&mut stage);
        stage.settle_known();
        let (epochs, positions) = (stage.store.epochs().to_vec(), stage.store.positions());
        let (path, start) = stage.find_record(begun);
        let flipped = stage.disk.flip_bit(&path, start + at, 1);
        flipped.expect("it is synced");
        stage.restart();
        assert_eq!(stage.store.epochs(), epochs, "{what}");
        assert_eq!(
            stage.store.positions().appended,
            positions.appended,
            "{what}"
        );
    }
}

fn assert_only_the_middle_is_damaged(
    stage: &mut Stage,
    all: &[(wire::ContentId, Bytes)],
    what: &str,
) {
    for (number, (id, bytes)) in all.iter().enumerate() {
        match stage.read(*id) {
            Ok(read) => assert!(number != 2 && read == bytes, "{what}: content {number}"),
            Err(ReadError::Damaged { .. }) => assert_eq!(number, 2, "{what}"),
            Err(error) => panic!("{what}: content {number} gives {error:?}"),
        }
    }
    assert_eq!(stage.store.usage().damaged, 1, "{what}");
    assert!(
        quarantined(&stage.disk).is_empty(),
        "{what}: committed bytes were cut"
    );
}

// If this fails, one flipped bit in a record's header takes other contents with it, or turns an
// acknowledged content into one that never was.
#[test]
fn a_flipped_bit_in_a_header_at_or_below_the_commit_damages_one_content() {
    for (part, at) in HEADER_PARTS {
        let (mut stage, all) = with_damage_in_the_middle(at);
        stage.lead();
        assert_only_the_middle_is_damaged(&mut stage, &all, part);
        let after = stage.stored(&body(9, 999));
        stage.restart();
        stage.lead();
        assert_only_the_middle_is_damaged(&mut stage, &all, part);
        stage
            .read(after)
            .expect("what is stored after damage is kept");
    }
}

// If this fails, damage in a file name or in a block's checksum goes unnoticed, or spreads.
#[test]
fn a_flipped_bit_in_block_table_or_metadata_damages_one_content() {
    for (part, at) in [("block table", 129), ("metadata", 128 + 4 + 6)] {
        let (mut stage, all) = with_damage_in_the_middle(at);
        assert_only_the_middle_is_damaged(&mut stage, &all, part);
    }
}

// If this fails, damage in the record of an update or a delete brings back what it replaced.
#[test]
fn damage_in_an_update_or_a_delete_never_brings_the_old_state_back() {
    let others = [("time", 97), ("metadata", 140)];
    for (part, at) in HEADER_PARTS.into_iter().chain(others) {
        let mut stage = stage();
        let ids = [1, 2].map(|seed| stage.stored(&body(seed, 2_000)));
        let update = How::Update { if_match: None };
        let updated = stage
            .try_put(ids[0], &body(3, 2_000), update)
            .expect("room");
        let deleted = stage.delete(ids[1]);
        stage.settle_known();
        for lsn in [updated.lsn, deleted.lsn] {
            let (path, start) = stage.find_record(lsn);
            stage
                .disk
                .flip_bit(&path, start + at, 1)
                .expect("it is synced");
        }
        stage.restart();
        stage.lead();
        for id in ids {
            match stage.read(id) {
                Err(ReadError::Damaged { .. }) => {}
                Ok(bytes) => panic!("{part}: {} old bytes are served", bytes.len()),
                Err(error) => panic!("{part}: {error:?}"),
            }
        }
    }
}

// If this fails, wrong bytes are served.
#[test]
fn a_flipped_bit_in_a_payload_is_never_served() {
    let (stage, all) = with_damage_in_the_middle(2_000);
    for (number, (id, bytes)) in all.iter().enumerate() {
        match stage.read(*id) {
            Ok(read) => assert!(number != 2 && read == bytes),
            Err(error) => assert!(number == 2 && matches!(error, ReadError::Damaged { .. })),
        }
    }
    assert_eq!(
        stage.store.usage().damaged,
        1,
        "what a reader finds is counted"
    );
}

// If this fails, rot in one block of a large content makes all of it unreadable, or none.
#[test]
fn only_the_blocks_that_are_damaged_are_refused() {
    let mut stage = stage();
    let bytes = body(5, 200_000);
    let (id, outcome) = stage.append(&bytes);
    stage.settle();
    let (path, start) = stage.find_record(outcome.lsn);
    let payload = (start + 128).next_multiple_of(4096);
    stage
        .disk
        .flip_bit(&path, payload + 70_000, 3)
        .expect("it is synced");
    let open = stage.store.reader().open(id).expect("its header is intact");
    let first = open.read(0, 60_000).expect("the first block is intact");
    assert_eq!(first, bytes[..first.len()]);
    let last = open
        .read(150_000, 50_000)
        .expect("the third block is intact");
    assert_eq!(last, bytes[150_000..150_000 + last.len()]);
    assert!(matches!(
        open.read(70_000, 10),
        Err(ReadError::Damaged { .. })
    ));
    assert!(matches!(
        open.read(65_536, 10),
        Err(ReadError::Damaged { .. })
    ));
}

// If this fails, a restart after damage in the newest content overwrites what could be repaired,
// or forgets that something is missing.
#[test]
fn damage_in_the_last_committed_record_is_not_overwritten() {
    let mut stage = stage();
    let first = stage.stored(&body(1, 2_000));
    let bytes = body(2, 2_000);
    let (last, outcome) = stage.append(&bytes);
    stage.settle();
    // Another record tells the commit, and is itself lost above it.
    let (_, teller) = stage.append(&body(3, 100));
    stage.sync();
    let (path, start) = stage.find_record(outcome.lsn);
    stage
        .disk
        .flip_bit(&path, start + 20, 0)
        .expect("it is synced");
    let recovery = stage.restart();
    assert_eq!(recovery.damaged, 1);
    assert!(
        stage.store.positions().appended.lsn >= outcome.lsn,
        "its lsn is not given again"
    );
    assert!(teller.lsn > outcome.lsn);
    stage.begin(2);
    let after = stage.stored(&body(4, 2_000));
    stage.settle_known();
    stage.restart();
    assert!(
        matches!(stage.read(last), Err(ReadError::Damaged { .. })),
        "it is not forgotten"
    );
    stage
        .disk
        .flip_bit(&path, start + 20, 0)
        .expect("it is still there");
    stage.restart();
    assert_eq!(stage.read(last).expect("it was not overwritten"), bytes);
    stage.read(first).expect("intact");
    stage.read(after).expect("intact");
}

// If this fails, a restart after a power loss keeps half-written uploads, or throws away the
// evidence.
#[test]
fn damage_above_the_commit_is_cut_into_quarantine() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let (intact, _) = stage.append(&body(2, 2_000));
    let (torn, outcome) = stage.append(&body(3, 2_000));
    let (behind, _) = stage.append(&body(4, 2_000));
    stage.sync();
    let (path, start) = stage.find_record(outcome.lsn);
    stage
        .disk
        .flip_bit(&path, start + 1_000, 0)
        .expect("it is synced");
    let recovery = stage.restart();
    assert_eq!(stage.store.positions().appended.lsn, outcome.lsn.previous());
    assert_eq!(recovery.damaged, 0);
    assert!(recovery.quarantined_bytes >= 4_000, "{recovery:?}");
    assert_eq!(quarantined(&stage.disk).len(), 1);
    stage.lead();
    stage.read(kept).expect("committed");
    stage
        .read(intact)
        .expect("it was whole, and in front of the torn one");
    for id in [torn, behind] {
        assert!(
            matches!(stage.read(id), Err(ReadError::NotFound)),
            "a cut content is not there"
        );
    }
    let recovery = stage.restart();
    stage.lead();
    assert_eq!(recovery.quarantined_bytes, 0, "the cut happens once");
    stage.read(intact).expect("committed");
}

// If this fails, reserved space that was never written stops a replica, or makes a copy of zeros.
#[test]
fn a_zeroed_tail_is_the_end_of_the_log() {
    let mut stage = stage();
    let kept = stage.stored(&body(1, 2_000));
    let path = segments(&stage.disk).remove(0);
    let file = stage.disk.open(&path).expect("it is there");
    let length = file.len().expect("healthy");
    file.set_len(length + 300_000).expect("healthy");
    file.sync_data().expect("healthy");
    let recovery = stage.restart();
    stage.lead();
    assert_eq!((recovery.quarantined_bytes, recovery.damaged), (0, 0));
    assert!(quarantined(&stage.disk).is_empty());
    stage.read(kept).expect("committed");
}

// If this fails, a node that lost the space behind the log's end to a crash does not start.
#[test]
fn a_log_that_ends_right_behind_its_last_record_goes_on() {
    let mut stage = stage();
    let bytes = body(1, 2_000);
    let (kept, outcome) = stage.append(&bytes);
    stage.settle();
    let (path, start) = stage.find_record(outcome.lsn);
    let end = contents(&stage.disk, &path)
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("bytes")
        + 1;
    assert!(end as u64 > start + 2_000);
    let file = stage.disk.open(&path).expect("it is there");
    file.set_len(end as u64).expect("healthy");
    file.sync_data().expect("healthy");
    stage.restart();
    stage.begin(2);
    let after = stage.stored(&body(2, 5_000));
    stage.restart();
    assert_eq!(stage.store.positions().appended.lsn, Lsn(outcome.lsn.0 + 2));
    let mut stage = stage;
    stage.begin(3);
    stage.settle();
    assert_eq!(stage.read(kept).expect("committed"), bytes);
    stage.read(after).expect("committed");
}

// If this fails, a damaged first page of a file makes a quarter of a gigabyte unreadable.
#[test]
fn a_damaged_segment_header_costs_no_content() {
    for at in [0, 8, 12, 16, 24, 40, 4_095] {
        let mut stage = stage();
        let bytes = body(1, 2_000);
        let id = stage.stored(&bytes);
        stage.settle_known();
        let path = segments(&stage.disk).remove(0);
        stage.disk.flip_bit(&path, at, 2).expect("it is synced");
        stage.restart();
        stage.restart();
        assert_eq!(
            stage.read(id).expect("its record is intact"),
            bytes,
            "byte {at}"
        );
    }
}

// If this fails, contents of a lost file are taken for contents that never were, and a client is
// told 404 where another replica could serve.
#[test]
fn a_missing_segment_is_damage_of_all_it_held() {
    let mut stage = stage();
    let mut ids = Vec::new();
    while segments(&stage.disk).len() < 4 {
        ids.push(stage.stored(&body(ids.len() as u64, 60_000)));
    }
    stage.settle_known();
    for lost in 0..3 {
        let disk = stage.disk.kill();
        let path = segments(&disk).remove(lost);
        disk.remove(&path).expect("it is there");
        let index = path.with_extension("idx");
        if disk.open(&index).is_ok() {
            disk.remove(&index).expect("it is there");
        }
        let mut now = stage.on(disk);
        now.restart();
        now.lead();
        let (mut damaged, mut served) = (0, 0);
        for id in &ids {
            match now.read(*id) {
                Ok(_) => served += 1,
                Err(ReadError::Damaged { .. }) => damaged += 1,
                Err(error) => panic!("segment {lost}: {error:?}"),
            }
        }
        assert!(
            damaged > 0 && served > 0,
            "segment {lost}: {damaged} damaged, {served} served"
        );
        assert!(now.store.usage().damaged > 0);
    }
}
