//! A power loss in the middle of a repair leaves a damaged record, or a mended one; never a wrong
//! one, and never less of the log.

use bytes::Bytes;
use store::{ReadError, Record};
use wire::{ContentId, Lsn};

use crate::stage::{Stage, body, quarantined, stage};

/// A store with contents of several kinds, and what they are; and all records, as an intact copy
/// has them.
fn stage_with_contents() -> (Stage, Vec<(ContentId, Bytes)>, Vec<Record>) {
    let mut stage = stage();
    let mut contents = Vec::new();
    for (n, size) in [(1, 3_000), (2, 70_000), (3, 700)] {
        let bytes = body(n, size);
        contents.push((stage.stored(&bytes), bytes));
    }
    let bytes = body(4, 150_000);
    contents.push((stage.stored_in_chunks(&bytes, 80_000), bytes));
    stage.settle_known();
    let reader = stage.store.reader();
    let end = stage.store.positions().committed.0;
    let records = (1..=end).map(|lsn| reader.record(Lsn(lsn)).expect("intact"));
    let records = records.collect();
    (stage, contents, records)
}

fn repair(stage: &mut Stage, record: &Record) -> Result<(), String> {
    let chore = stage.store.repair(record.clone());
    let done = chore.map_err(|error| error.to_string())?.run(&mut |_| true);
    stage.store.finish(done).map_err(|error| error.to_string())
}

/// Each content reads as what it is, or as damaged; returns how many are damaged.
fn damaged(stage: &Stage, contents: &[(ContentId, Bytes)], what: &str) -> usize {
    let read = |(id, bytes): &(ContentId, Bytes)| match stage.read(*id) {
        Ok(read) => {
            assert!(read == bytes, "{what}: {id} has other bytes");
            0
        }
        Err(ReadError::Damaged { .. }) => 1,
        Err(error) => panic!("{what}: {id} gives {error}"),
    };
    contents.iter().map(read).sum()
}

// If this fails, a power loss while a content is repaired has it served with wrong bytes, or costs
// what comes behind it.
#[test]
fn a_power_loss_in_the_middle_of_a_repair_does_no_harm() {
    let (_, _, records) = stage_with_contents();
    let mut cases = 0;
    for (record, at) in records
        .iter()
        .flat_map(|record| [(record, 17), (record, 125), (record, 200)])
    {
        let lsn = record.head.lsn;
        // An epoch's record ends before.
        if record.to_bytes().len() as u64 <= at {
            continue;
        }
        for stop in 0..6 {
            let (mut stage, contents, _) = stage_with_contents();
            let (path, start) = stage.find_record(lsn);
            let flipped = stage.disk.flip_bit(&path, start + at, 1);
            flipped.expect("it is synced");
            let end = stage.store.positions().appended.lsn;
            stage.disk.stop_after(stage.disk.operations() + stop);
            let repaired = repair(&mut stage, record);
            assert!(stop < 5 || repaired.is_ok(), "{repaired:?}");
            for seed in 0..4 {
                let what = format!("byte {at} of {lsn}, stop {stop}, seed {seed}");
                let mut after = stage.on(stage.disk.crash(seed));
                assert_eq!(after.store.positions().appended.lsn, end, "{what}");
                assert!(quarantined(&after.disk).is_empty(), "{what}");
                let broken = damaged(&after, &contents, &what);
                assert!(broken <= 1, "{what}: {broken}");
                assert!(repaired.is_err() || broken == 0, "{what}: it was durable");
                repair(&mut after, record).unwrap_or_else(|error| panic!("{what}: {error}"));
                after.restart();
                assert_eq!(damaged(&after, &contents, &what), 0, "{what}");
                assert_eq!(after.store.usage().damaged, 0, "{what}");
                cases += 1;
            }
        }
    }
    assert!(cases > 400, "only {cases}");
}
