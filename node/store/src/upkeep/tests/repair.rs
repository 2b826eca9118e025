//! Every part of every record that a content needs: a flipped bit is found, and mended.

use std::collections::BTreeSet;

use wire::Lsn;

use super::{Chore, carry_out, due, generations, sealed};
use crate::damage::Damage;
use crate::disk::simulated::{Failure, Operation};
use crate::reader::DamagedRecord;
use crate::record::Record;
use crate::stage::{Stage, body, id, next_live};
use crate::{Describe, ReadError, RepairError};

const PUT: u64 = 1;
const LARGE: u64 = 2;
const CHUNKED: u64 = 3;
const DESCRIBED: u64 = 4;
const CONTENTS: [u64; 4] = [PUT, LARGE, CHUNKED, DESCRIBED];

/// A store with contents of all kinds, known committed, and an intact copy of it.
fn stage_and_copy() -> (Stage, Stage) {
    let mut stage = Stage::new();
    stage.put(PUT, &body(PUT, 3_000));
    stage.put(LARGE, &body(LARGE, 70_000));
    stage.upload(CHUNKED, &body(CHUNKED, 150_000), 70_000);
    stage.put(DESCRIBED, &body(DESCRIBED, 100));
    let change = Describe {
        filename: Some("renamed".to_owned()),
        ..Describe::default()
    };
    let described = stage
        .store
        .describe(id(DESCRIBED), change, None, stage.now_ms);
    described.expect("it is live");
    stage.put(9, &body(9, 10));
    stage.delete(9);
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    (stage, copy)
}

/// Offsets in the record of an lsn, one in each of its parts.
fn parts(stage: &Stage, lsn: Lsn) -> Vec<(&'static str, u64)> {
    let (_, entry) = stage.place_of(lsn).expect("it is there");
    let lengths = entry.lengths;
    let payload = lengths.payload_start(entry.start) - entry.start;
    let table = 4 * lengths.blocks();
    let all = [
        ("magic", 0, 4),
        ("kind", 5, 1),
        ("log id", 9, 1),
        ("lsn", 16, 8),
        ("id", 41, 16),
        ("payload's length", 89, 8),
        ("checksum", 125, 4),
        ("table", 128, table),
        ("metadata", 128 + table, u64::from(lengths.metadata)),
        ("payload's first byte", payload, lengths.payload),
        (
            "payload's last byte",
            (payload + lengths.payload).saturating_sub(1),
            lengths.payload,
        ),
    ];
    let there = all.into_iter().filter(|(_, _, bytes)| *bytes > 0);
    there.map(|(name, at, _)| (name, at)).collect()
}

/// All that a scrub finds.
fn scrub(stage: &Stage) -> Vec<DamagedRecord> {
    let reader = stage.store.reader();
    let committed = stage.store.positions().committed;
    let (mut covered, mut damaged) = (Lsn::ZERO, Vec::new());
    while covered < committed {
        let scrubbed = reader
            .scrub(covered, &mut |_| true)
            .expect("a healthy disk");
        assert!(scrubbed.covered > covered, "it goes on");
        covered = scrubbed.covered;
        damaged.extend(scrubbed.damaged);
    }
    damaged
}

fn repair(stage: &mut Stage, record: Record) -> Result<(), String> {
    let chore = stage
        .store
        .repair(record)
        .map_err(|error| error.to_string())?;
    carry_out(stage, vec![chore]).map_err(|error| error.to_string())
}

/// Repairs from a copy what a scrub found, and what was lost.
fn mend(stage: &mut Stage, copy: &Stage, found: &[DamagedRecord]) {
    let damage = stage.store.reader().damage();
    let lost = damage
        .lost
        .iter()
        .flat_map(|lost| lost.first.0..=lost.last.0);
    let noted = damage
        .contents
        .iter()
        .flat_map(|content| content.records.iter());
    let found = found.iter().map(|damaged| damaged.lsn);
    let lsns: BTreeSet<Lsn> = found.chain(lost.map(Lsn)).chain(noted.copied()).collect();
    for lsn in lsns {
        let record = copy.store.reader().record(lsn).expect("the copy is intact");
        repair(stage, record).unwrap_or_else(|error| panic!("{lsn}: {error}"));
    }
}

/// What a walk over the live contents tells.
fn live(stage: &Stage) -> Vec<crate::Content> {
    let mut walk = stage.store.reader().live(stage.store.positions().committed);
    let next = || next_live(&mut walk);
    let contents = std::iter::from_fn(next).collect();
    assert_eq!(walk.passed_damage(), None);
    contents
}

fn assert_intact(stage: &Stage, copy: &Stage, what: &str) {
    let end = stage.store.positions().committed;
    for n in CONTENTS {
        let bytes = stage
            .read(n)
            .unwrap_or_else(|error| panic!("{what}: {n}: {error}"));
        assert_eq!(bytes, copy.read(n).expect("intact"), "{what}: {n}");
    }
    assert!(matches!(stage.read(9), Err(ReadError::Deleted)), "{what}");
    for lsn in (1..=end.0).map(Lsn) {
        let record = stage.store.reader().record(lsn).expect("it is there");
        let original = copy.store.reader().record(lsn).expect("it is there");
        assert_eq!(record, original, "{what}");
    }
    assert_eq!(stage.store.reader().damage(), Damage::default(), "{what}");
    assert_eq!(stage.store.usage().damaged, 0, "{what}");
}

/// Every part of every record that is needed.
fn every_part() -> Vec<(Lsn, &'static str, u64)> {
    let (stage, _) = stage_and_copy();
    let end = stage.store.positions().committed.0;
    let lsns = (1..=end)
        .map(Lsn)
        .filter(|lsn| stage.place_of(*lsn).is_some());
    let parts = lsns.flat_map(|lsn| {
        let parts = parts(&stage, lsn).into_iter();
        parts.map(move |(part, at)| (lsn, part, at))
    });
    // The put that was deleted is needed by nobody.
    let dead = Lsn(10);
    parts.filter(|(lsn, ..)| *lsn != dead).collect()
}

// If this fails, a bit that flipped on a disk is found only by who asks for the content, or never
// mended although an intact copy is at hand.
#[test]
fn damage_of_any_part_is_found_and_mended_while_the_store_runs() {
    let all = every_part();
    assert!(all.len() > 80);
    for (lsn, part, at) in all {
        let what = format!("{part} of {lsn}");
        let (mut stage, copy) = stage_and_copy();
        stage.flip(lsn, at);
        let found = scrub(&stage);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert_eq!(found[0].lsn, lsn, "{what}");
        let answers = CONTENTS.iter().filter(|n| stage.read(**n).is_err());
        let broken: Vec<u64> = answers.copied().collect();
        for n in broken {
            let read = stage.read(n);
            assert!(
                matches!(read, Err(ReadError::Damaged { .. })),
                "{what}: {read:?}"
            );
        }
        mend(&mut stage, &copy, &found);
        assert_intact(&stage, &copy, &what);
        assert!(scrub(&stage).is_empty());
        stage.restart();
        assert_intact(&stage, &copy, &what);
    }
}

// If this fails, what was damaged while a node was down stays so for ever.
#[test]
fn damage_of_any_part_is_found_and_mended_after_a_restart() {
    for (lsn, part, at) in every_part() {
        let what = format!("{part} of {lsn}");
        let (mut stage, copy) = stage_and_copy();
        stage.flip(lsn, at);
        stage.restart();
        let found = scrub(&stage);
        assert!(found.iter().any(|damaged| damaged.lsn == lsn), "{what}");
        mend(&mut stage, &copy, &found);
        for is_opened_again in [false, true] {
            let what = format!("{what}, opened again: {is_opened_again}");
            assert_intact(&stage, &copy, &what);
            assert!(scrub(&stage).is_empty(), "{what}");
            stage.assert_accounts();
            assert_eq!(stage.store.epochs(), copy.store.epochs(), "{what}");
            assert_eq!(live(&stage), live(&copy), "{what}");
            let (usage, other) = (stage.store.usage(), copy.store.usage());
            assert_eq!(usage.contents, other.contents, "{what}");
            stage.restart();
        }
    }
}

// If this fails, damage in a full segment is not found, or its records are taken for others.
#[test]
fn damage_in_a_full_segment_is_mended_where_its_index_file_says() {
    for at in [0, 16, 41, 125, 150, 900] {
        let (mut stage, contents) = sealed(3);
        let copy = stage.on(stage.disk.kill());
        for lsn in [Lsn(3), Lsn(4), Lsn(5)] {
            stage.flip(lsn, at);
        }
        let found = scrub(&stage);
        assert!(!found.is_empty(), "byte {at}");
        for lsn in [Lsn(5), Lsn(3), Lsn(4)] {
            let record = copy.store.reader().record(lsn).expect("intact");
            repair(&mut stage, record).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        }
        assert!(scrub(&stage).is_empty(), "byte {at}");
        assert_eq!(stage.store.usage().damaged, 0, "byte {at}");
        for n in 0..contents {
            assert_eq!(stage.read(n).expect("intact"), body(n, 10_000));
        }
    }
}

// If this fails, a repair writes over intact records, and serves one content's bytes as another's.
#[test]
fn a_record_is_written_only_in_its_own_place() {
    let (mut stage, copy) = stage_and_copy();
    let mut other = Stage::new();
    other.put(PUT, &body(77, 3_000));
    other.settle_durably();
    let good = copy.store.reader().record(Lsn(2)).expect("intact");
    let bad = other.store.reader().record(Lsn(2)).expect("intact");
    let before = stage.disk.operations();
    assert!(
        repair(&mut stage, bad.clone()).is_err(),
        "another one is intact there"
    );
    stage.flip(Lsn(2), 125);
    assert_eq!(stage.disk.operations(), before, "nothing was written");
    repair(&mut stage, good.clone()).expect("it is its own");

    // A whole header is gone, and the record after it too: nothing tells which of them is where.
    let (path, entry) = stage.place_of(Lsn(9)).expect("it is there");
    let file = crate::disk::Disk::open(&stage.disk, &path).expect("it is there");
    let (_, next) = stage.place_of(Lsn(10)).expect("it is there");
    for start in [entry.start, next.start] {
        file.write_at(&[0; 128], start).expect("a healthy disk");
    }
    let record = copy.store.reader().record(Lsn(10)).expect("intact");
    let refused = repair(&mut stage, record).expect_err("it could be anywhere");
    assert!(refused.contains("nobody knows"), "{refused}");
}

// If this fails, a record whose header is gone altogether is never mended.
#[test]
fn a_single_record_without_a_header_is_mended_between_its_neighbours() {
    let (mut stage, copy) = stage_and_copy();
    let (path, entry) = stage.place_of(Lsn(2)).expect("it is there");
    let file = crate::disk::Disk::open(&stage.disk, &path).expect("it is there");
    let zeros = vec![0; entry.bytes() as usize];
    file.write_at(&zeros, entry.start).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    let found = scrub(&stage);
    assert_eq!((found.len(), found[0].lsn), (1, Lsn(2)));
    mend(&mut stage, &copy, &found);
    assert_eq!(stage.read(PUT).expect("mended"), body(PUT, 3_000));
}

// If this fails, another log's record, or one of a deposed leader, is written into this one.
#[test]
fn what_is_not_this_logs_is_refused() {
    let (mut stage, copy) = stage_and_copy();
    let committed = stage.store.positions().committed;
    let record = copy.store.reader().record(Lsn(2)).expect("intact");
    let mut foreign = record.clone();
    foreign.head.log ^= 1;
    let mut deposed = record.clone();
    deposed.head.epoch = deposed.head.epoch.next();
    let mut pending = record.clone();
    pending.head.lsn = committed.next();
    for (record, is_pending) in [(foreign, false), (deposed, false), (pending, true)] {
        match stage.store.repair(record) {
            Err(RepairError::NotCommitted { .. }) => assert!(is_pending),
            Err(RepairError::Foreign { .. }) => assert!(!is_pending),
            other => panic!("{other:?}"),
        }
    }
    let first = stage
        .store
        .repair(record.clone())
        .expect("nothing is under way");
    assert!(matches!(
        stage.store.repair(record.clone()),
        Err(RepairError::Busy)
    ));
    carry_out(&mut stage, vec![first]).expect("a healthy disk");
    repair(&mut stage, record).expect("the first one is done");
}

// If this fails, a segment is rewritten, or given back, under a repair.
#[test]
fn a_segment_stays_as_it_is_while_a_record_of_it_is_repaired() {
    let (mut stage, _) = sealed(3);
    let copy = stage.on(stage.disk.kill());
    for n in 1..super::in_first(&stage) {
        stage.delete(n);
    }
    stage.settle_durably();
    stage.flip(Lsn(2), 700);
    let record = copy.store.reader().record(Lsn(2)).expect("intact");
    let chore: Chore = stage
        .store
        .repair(record.clone())
        .expect("nothing is under way");
    assert_eq!(due(&mut stage).0, Vec::<&str>::new());
    carry_out(&mut stage, vec![chore]).expect("a healthy disk");
    let (named, chores) = due(&mut stage);
    assert_eq!(named, ["compact"]);
    assert!(matches!(stage.store.repair(record), Err(RepairError::Busy)));
    carry_out(&mut stage, chores).expect("a healthy disk");
    assert_eq!(stage.read(0).expect("mended and moved"), body(0, 10_000));
}

// If this fails, a disk that is full stops a replica that could be mended later.
#[test]
fn a_full_disk_stops_nothing() {
    let (mut stage, copy) = stage_and_copy();
    stage.flip(Lsn(2), 300);
    let record = copy.store.reader().record(Lsn(2)).expect("intact");
    stage.disk.fail(Operation::Allocate, 0, Failure::NoSpace);
    assert!(repair(&mut stage, record.clone()).is_err());
    assert!(stage.store.check().is_ok());
    repair(&mut stage, record).expect("there is room again");
    assert_intact(&stage, &copy, "after a full disk");
}

// If this fails, a record that was repaired is dropped again before the log knows it.
#[test]
fn a_segment_is_not_rewritten_before_the_log_knows_what_was_mended() {
    let mut stage = Stage::new();
    let contents = stage.fill(0, 2);
    let copy = stage.on(stage.disk.kill());
    stage.flip(Lsn(4), 20);
    stage.restart();
    stage.flip(Lsn(6), 700);
    for lsn in [4, 6] {
        let record = copy.store.reader().record(Lsn(lsn)).expect("intact");
        repair(&mut stage, record).expect("both are its own");
    }
    stage.now_ms += 1_000;
    stage.lead();
    for n in 5..contents {
        stage.delete(n);
    }
    stage.settle_durably();
    stage.upkeep();
    assert!(stage.lsns().contains(&4), "it is still there");
    stage.restart();
    stage.upkeep();
    for n in 0..5 {
        assert_eq!(stage.read(n).expect("mended"), body(n, 10_000));
    }
    assert_eq!(stage.store.usage().damaged, 0);
}

/// A content in chunks, whose commit is in the segment after theirs; and an intact copy.
fn chunks_and_commit_apart() -> (Stage, Stage, Lsn) {
    let mut stage = Stage::new();
    let bytes = body(CHUNKED, 140_000);
    let upload = stage.begin_upload(CHUNKED, &bytes, 70_000, crate::How::Create);
    let upload = upload.expect("there is room");
    let mut n = stage.fill(100, 2);
    let commit = stage.close_upload(upload, &bytes, crate::How::Create);
    let commit = commit.expect("there is room").lsn;
    stage.settle();
    n = stage.fill(n, 3);
    for n in 100..n {
        stage.delete(n);
    }
    stage.settle_durably();
    let copy = stage.on(stage.disk.kill());
    (stage, copy, commit)
}

/// Carries out all chores; those that find damage come to nothing.
fn upkeep_of_what_can_be_read(stage: &mut Stage) {
    for _ in 0..20 {
        let chores = stage.store.chores(stage.now_ms);
        drop(carry_out(stage, chores));
    }
}

// If this fails, one flipped bit in a commit has the whole content thrown away, intact as it was.
#[test]
fn chunks_stay_while_damage_hides_what_they_belong_to() {
    for restarted in [false, true] {
        let (mut stage, copy, commit) = chunks_and_commit_apart();
        stage.flip(commit, 125);
        if restarted {
            stage.restart();
        }
        stage.now_ms += 1_000;
        stage.lead();
        stage.settle_durably();
        upkeep_of_what_can_be_read(&mut stage);
        assert!(
            generations(&stage)[0] > 0,
            "the chunks' segment was rewritten"
        );
        let record = copy.store.reader().record(commit).expect("intact");
        repair(&mut stage, record).expect("it is its own");
        if restarted {
            stage.restart();
        }
        let read = stage
            .read(CHUNKED)
            .unwrap_or_else(|error| panic!("{restarted}: {error}"));
        assert_eq!(read, body(CHUNKED, 140_000));
        assert_eq!(stage.store.usage().damaged, 0);
    }
}
