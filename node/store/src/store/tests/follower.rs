//! A follower takes exactly its leader's records, in order, and gives up what a new leader does
//! not have.

use wire::{Epoch, Lsn};

use crate::disk::simulated::{Failure, Operation};
use crate::record::Record;
use crate::stage::{Stage, UPDATE, body, id};
use crate::{Describe, How, ReadError, ReplicateError};

/// A leader with records of every kind.
fn leader() -> Stage {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 3_000));
    stage.upload(2, &body(2, 250_000), 100_000);
    stage.update(1, &body(3, 70_000));
    stage.put(4, &body(4, 100));
    let change = Describe {
        filename: Some("renamed".to_owned()),
        ..Describe::default()
    };
    let described = stage.store.describe(id(2), change, None, stage.now_ms);
    described.expect("it is live");
    stage.delete(4);
    let open = stage.begin_upload(5, &body(5, 90_000), 40_000, How::Create);
    stage
        .store
        .abort(open.expect("new"), stage.now_ms)
        .expect("room");
    let cut_off = stage.begin_upload(6, &body(6, 10), 10, How::Create);
    cut_off.expect("new");
    stage.lead();
    stage.put(7, &body(7, 10));
    stage.settle();
    stage
}

fn records(leader: &Stage) -> Vec<Record> {
    let mut cursor = leader.store.reader().records(Lsn::ZERO);
    let mut records = Vec::new();
    while let Some(record) = cursor.next_record().expect("healthy") {
        records.push(record);
    }
    records
}

fn take(follower: &mut Stage, record: &Record) -> Result<Lsn, ReplicateError> {
    let lsn = record.head.lsn;
    follower.store.replicate(record.clone(), lsn)
}

/// A follower that took the first of these records.
fn with_first(records: &[Record], count: usize) -> Stage {
    let mut follower = Stage::without_epoch();
    for record in &records[..count] {
        let lsn = take(&mut follower, record).expect("in order");
        assert_eq!(lsn, record.head.lsn);
    }
    follower
}

// If this fails, a mirror holds other contents than its original.
#[test]
fn a_follower_of_every_record_is_the_same_store() {
    let leader = leader();
    let records = records(&leader);
    let mut follower = with_first(&records, records.len());
    follower.sync();
    let committed = leader.store.positions().committed;
    let mut told = Vec::new();
    follower.store.commit_to(committed, &mut told);
    assert_eq!(told.len() as u64, committed.0);
    for _ in 0..2 {
        let (original, mirror) = (leader.store.reader(), follower.store.reader());
        for n in [1, 2, 7] {
            assert_eq!(
                follower.read(n).expect("mirrored"),
                leader.read(n).expect("live")
            );
            assert_eq!(
                mirror.content(id(n)).expect("mirrored"),
                original.content(id(n)).expect("live")
            );
        }
        assert!(matches!(follower.read(4), Err(ReadError::Deleted)));
        for n in [5, 6] {
            assert!(matches!(follower.read(n), Err(ReadError::NotFound)));
        }
        assert_eq!(follower.store.epochs(), leader.store.epochs());
        assert_eq!(
            follower.store.usage().contents,
            leader.store.usage().contents
        );
        follower.settle_durably();
        follower.restart();
    }
    let bytes = |stage: &Stage| stage.store.usage().space.live;
    assert_eq!(bytes(&follower), bytes(&leader));
}

// If this fails, a mirror passes on other bytes than it was given.
#[test]
fn a_mirrors_records_are_its_leaders_byte_for_byte() {
    let leader = leader();
    let originals = records(&leader);
    let mut follower = with_first(&originals, originals.len());
    follower.sync();
    for (copy, original) in records(&follower).iter().zip(&originals) {
        assert_eq!(copy.to_bytes(), original.to_bytes());
        assert_eq!(copy.checksum(), original.checksum());
    }
}

// If this fails, a record that was sent twice, or overtook another, is appended.
#[test]
fn a_record_follows_the_last_one() {
    let records = records(&leader());
    let mut follower = with_first(&records, 3);
    for (record, covers_from) in [(0, 1), (2, 3), (4, 5), (5, 5)] {
        let refused = follower
            .store
            .replicate(records[record].clone(), Lsn(covers_from));
        assert!(
            matches!(refused, Err(ReplicateError::Order { end: Lsn(3), found })
                if found == records[record].head.lsn),
            "{refused:?}"
        );
    }
    assert_eq!(follower.store.positions().appended.lsn, Lsn(3));
    take(&mut follower, &records[3]).expect("in order");
}

// If this fails, a follower waits for ever for what its leader compacted, or misses what it did not.
#[test]
fn a_gap_is_taken_when_the_leaders_frame_covers_it() {
    let mut leader = Stage::new();
    for n in 0..8 {
        leader.put(n, &body(n, 100));
    }
    leader.sync();
    let records = records(&leader);
    let mut follower = with_first(&records, 2);
    let sixth = records[5].clone();
    assert!(follower.store.replicate(sixth.clone(), Lsn(4)).is_err());
    let taken = follower.store.replicate(sixth, Lsn(3));
    assert_eq!(taken.expect("3 to 5 are covered"), Lsn(6));
    let earlier = follower.store.replicate(records[7].clone(), Lsn(1));
    assert_eq!(earlier.expect("more than the gap is covered"), Lsn(8));
    follower.settle_durably();
    follower.restart();
    assert_eq!(follower.store.positions().appended.lsn, Lsn(8));
    assert_eq!(follower.store.usage().contents, 3);
}

// If this fails, a deposed leader's records are taken.
#[test]
fn an_older_epoch_is_refused() {
    let old = {
        let mut stage = Stage::new();
        stage.put(1, &body(1, 10));
        stage.sync();
        records(&stage).remove(1)
    };
    let mut follower = Stage::without_epoch();
    follower.begin(5);
    let refused = take(&mut follower, &old);
    assert!(
        matches!(
            refused,
            Err(ReplicateError::Epoch {
                found: Epoch(1),
                current: Epoch(5)
            })
        ),
        "{refused:?}"
    );
}

// If this fails, a follower goes on ordering changes after it took a leader's record.
#[test]
#[should_panic(expected = "only a leader appends records of its own")]
fn a_follower_does_not_lead() {
    let mut other = Stage::without_epoch();
    other.begin(3);
    other.sync();
    let newer = records(&other).remove(0);
    let mut stage = Stage::without_epoch();
    stage.begin(1);
    stage.settle();
    let newer = Record::new(
        crate::Head {
            lsn: Lsn(2),
            ..newer.head
        },
        b"",
        crate::Payload::empty(),
    );
    take(&mut stage, &newer).expect("a newer epoch");
    stage.put(1, &body(1, 10));
}

// If this fails, a content is put together from chunks that were never sent.
#[test]
fn chunks_and_commits_that_contradict_the_log_are_refused() {
    let records = records(&leader());
    let kinds: Vec<crate::Kind> = records.iter().map(|record| record.head.kind).collect();
    let first = kinds.iter().position(|kind| *kind == crate::Kind::Chunk);
    let first = first.expect("an upload");
    let contradicts = |outcome: Result<Lsn, ReplicateError>, what: &str| {
        let Err(ReplicateError::Contradiction(found)) = outcome else {
            panic!("it was taken: {outcome:?}");
        };
        assert_eq!(found, what);
    };
    let mut follower = with_first(&records, first + 2);
    let (third, commit) = (&records[first + 2], &records[first + 3]);
    let mut again = third.clone();
    again.head.offset = 1;
    let overlaps = follower.store.replicate(again, third.head.lsn);
    contradicts(overlaps, "a chunk does not follow its upload");
    assert_eq!(commit.head.kind, crate::Kind::Commit);
    let mut other = commit.clone();
    other.payload = crate::Payload::new(crate::record::encode_chunks(&[]));
    let foreign = follower.store.replicate(other, third.head.lsn);
    contradicts(foreign, "a commit names other chunks");
    let end = follower.store.positions().appended;
    assert_eq!(
        end.lsn,
        third.head.lsn.previous(),
        "a refusal appends nothing"
    );
    take(&mut follower, third).expect("in order");
    take(&mut follower, commit).expect("in order");
}

// If this fails, a replica can never be copied once a part of a dead upload was compacted.
#[test]
fn what_compacting_left_of_an_upload_is_taken() {
    let records = records(&leader());
    let is_chunk = |record: &Record| record.head.kind == crate::Kind::Chunk;
    let first = records.iter().position(is_chunk).expect("an upload");
    let commit = &records[first + 3];
    for missing in 0..8_usize {
        let mut follower = with_first(&records, first);
        let mut from = records[first].head.lsn;
        for (n, record) in records[first..=first + 3].iter().enumerate() {
            if missing & (1 << n) == 0 {
                let taken = follower.store.replicate(record.clone(), from);
                assert_eq!(taken.expect("covered"), record.head.lsn);
                from = record.head.lsn.next();
            }
        }
        assert_eq!(follower.store.positions().appended.lsn, commit.head.lsn);
    }
}

// If this fails, a record that nobody can read is acknowledged.
#[test]
fn unreadable_metadata_is_refused() {
    let record = &records(&leader())[1];
    let unreadable = Record::new(record.head.clone(), b"??", record.payload.clone());
    let mut follower = Stage::without_epoch();
    let refused = follower.store.replicate(unreadable, Lsn(1));
    assert!(
        matches!(refused, Err(ReplicateError::Contradiction(_))),
        "{refused:?}"
    );
    assert_eq!(follower.store.positions().appended.lsn, Lsn::ZERO);
}

// If this fails, a follower that gave records up cannot take the new leader's, or keeps some.
#[test]
fn truncate_and_append_again_at_every_position() {
    let records = records(&leader());
    for cut in 0..records.len() {
        let mut follower = with_first(&records, records.len());
        follower.sync();
        let cut = Lsn(cut as u64);
        follower.store.truncate_after(cut).expect("healthy");
        assert_eq!(follower.store.positions().appended.lsn, cut);
        assert_eq!(follower.lsns(), (1..=cut.0).collect::<Vec<u64>>());
        for record in &records[cut.0 as usize..] {
            take(&mut follower, record).expect("in order again");
        }
        follower.settle();
        assert_eq!(follower.read(1).expect("live"), body(3, 70_000));
        assert_eq!(follower.read(2).expect("live"), body(2, 250_000));
        assert_eq!(follower.store.usage().contents, 3, "cut at {cut}");
        follower.assert_accounts();
    }
}

// If this fails, a follower whose cut came to nothing tells its leader that it has synced what is gone.
#[test]
fn a_cut_that_fails_stops_the_log() {
    use Operation::{Name, SetLen, Sync, SyncDir, Write};
    for (operation, successes) in [(Write, 0), (Name, 0), (SetLen, 0), (SyncDir, 0), (Sync, 1)] {
        let records = records(&leader());
        let mut follower = with_first(&records, records.len() - 1);
        let before = follower.sync();
        let mut committed = Vec::new();
        follower.store.commit_to(Lsn(3), &mut committed);
        take(&mut follower, &records[records.len() - 1]).expect("in order");
        follower.disk.fail(operation, successes, Failure::Io);
        let cut = follower.store.truncate_after(Lsn(4));
        assert!(cut.is_err(), "{operation:?}");
        assert!(follower.store.check().is_err(), "{operation:?}");
        assert!(follower.store.flush().is_err(), "{operation:?}");
        assert_eq!(follower.store.positions().synced, before, "{operation:?}");
        let mut again = follower.on(follower.disk.kill());
        again.begin(9);
        again.settle();
    }
}

// If this fails, what was acknowledged is cut off.
#[test]
#[should_panic(expected = "what is committed is never cut off")]
fn a_truncation_stops_at_the_commit() {
    let mut stage = leader();
    let committed = stage.store.positions().committed;
    let cut = stage.store.truncate_after(committed.previous());
    panic!("it was cut: {}", cut.is_ok());
}

// If this fails, a replica cannot find the point up to which it agrees with its leader.
#[test]
fn a_position_is_in_the_history_or_not() {
    let mut stage = Stage::without_epoch();
    stage.begin(2);
    stage.put(1, &body(1, 10));
    stage.begin(5);
    let contains = |epoch, lsn| {
        stage.store.contains(wire::Position {
            epoch: Epoch(epoch),
            lsn: Lsn(lsn),
        })
    };
    for (epoch, lsn) in [(0, 0), (2, 1), (2, 2), (5, 3)] {
        assert!(contains(epoch, lsn), "({epoch}, {lsn})");
    }
    for (epoch, lsn) in [(1, 0), (2, 0), (1, 1), (0, 1), (5, 2), (2, 3), (5, 4)] {
        assert!(!contains(epoch, lsn), "({epoch}, {lsn})");
    }
}

// If this fails, a follower decides as a leader on what it only mirrors, once it leads.
#[test]
fn a_follower_that_becomes_the_leader_decides_on_all_it_took() {
    let records = records(&leader());
    let mut follower = with_first(&records, records.len());
    follower.begin(9);
    let again = follower.try_put(7, &body(7, 10), How::Create);
    assert!(again.expect("the same").repeated);
    assert_eq!(follower.update(2, &body(8, 10)).version, 2);
    let deleted = follower.try_put(4, &body(4, 100), UPDATE);
    assert!(matches!(deleted, Err(crate::ChangeError::Deleted)));
    follower.settle();
    assert_eq!(follower.read(2).expect("live"), body(8, 10));
}
