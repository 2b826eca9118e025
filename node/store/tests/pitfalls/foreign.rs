//! What is not this log's, or of a later version, is not read; and the operator is told.

use std::sync::Arc;

use store::disk::Disk;
use store::{OpenError, ReadError, Store};
use wire::Lsn;

use crate::stage::{GEOMETRY, LOG, Stage, body, contents, dir, segments, stage};

fn write(stage: &Stage, path: &std::path::Path, at: u64, bytes: &[u8]) {
    let file = stage.disk.open(path).expect("it is there");
    file.write_at(bytes, at).expect("healthy");
    file.sync_data().expect("healthy");
}

/// The bytes of the record with this lsn, from its header to the end of what was written.
fn record_bytes(stage: &Stage, lsn: Lsn) -> Vec<u8> {
    let (path, start) = stage.find_record(lsn);
    let bytes = contents(&stage.disk, &path);
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("bytes") + 1;
    bytes[start as usize..end.next_multiple_of(8)].to_vec()
}

fn open_error(stage: &Stage) -> OpenError {
    let disk = Arc::new(stage.disk.kill());
    Store::open_with(disk, dir(), LOG, GEOMETRY).expect_err("it must not be opened")
}

/// Puts the record's checksum right again after its header was changed.
fn reseal(stage: &Stage, lsn: Lsn, change: impl FnOnce(&mut [u8])) {
    let (path, start) = stage.find_record(lsn);
    let mut bytes = contents(&stage.disk, &path)[start as usize..].to_vec();
    let metadata = u32::from_le_bytes(bytes[112..116].try_into().expect("4 bytes"));
    let payload = u64::from_le_bytes(bytes[88..96].try_into().expect("8 bytes"));
    let head = 128 + 4 * payload.div_ceil(65_536) as usize + metadata as usize;
    bytes.truncate(head);
    change(&mut bytes);
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&bytes[..124]);
    digest.update(&bytes[128..]);
    bytes[124..128].copy_from_slice(&(digest.finalize() as u32).to_le_bytes());
    write(stage, &path, start, &bytes);
}

// If this fails, what an earlier log left on the disk comes back as content.
#[test]
fn stale_bytes_of_another_log_never_parse() {
    let mut other = Stage::of(LOG ^ 1, GEOMETRY);
    let mut stage = stage();
    let mine = stage.stored(&body(1, 2_000));
    other.stored(&body(2, 2_000));
    let (ghost, outcome) = other.append(&body(3, 2_000));
    other.sync();
    let next = stage.store.positions().appended.lsn.next();
    assert_eq!(outcome.lsn, next, "it would follow");
    let (path, last) = stage.find_record(next.previous());
    let end = contents(&stage.disk, &path)
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("bytes");
    let end = (end as u64 + 1).next_multiple_of(8);
    assert!(end > last);
    write(&stage, &path, end, &record_bytes(&other, outcome.lsn));
    stage.restart();
    assert_eq!(stage.store.positions().appended.lsn, next.previous());
    stage.begin(2);
    stage.settle();
    assert!(matches!(stage.read(ghost), Err(ReadError::NotFound)));
    stage.read(mine).expect("committed");
}

// If this fails, records that a truncation cut come back behind newer ones.
#[test]
fn an_intact_record_out_of_order_is_not_taken() {
    let mut stage = stage();
    stage.stored(&body(1, 2_000));
    let (old, outcome) = stage.append(&body(2, 2_000));
    stage.settle();
    let stale = record_bytes(&stage, outcome.lsn);
    stage.stored(&body(3, 100));
    stage.delete(old);
    stage.settle_known();
    let path = segments(&stage.disk).remove(0);
    let end = contents(&stage.disk, &path)
        .iter()
        .rposition(|byte| *byte != 0)
        .expect("bytes");
    let appended = stage.store.positions().appended;
    write(&stage, &path, (end as u64 + 1).next_multiple_of(8), &stale);
    stage.restart();
    assert_eq!(stage.store.positions().appended, appended);
    stage.begin(2);
    stage.settle();
    assert!(matches!(stage.read(old), Err(ReadError::Deleted)));
}

// If this fails, an older program reads a newer log, misses what it does not know, and writes on.
#[test]
fn an_unknown_version_kind_flag_or_codec_stops_the_replica_and_says_why() {
    for (at, value, told) in [
        (4, 2, "format version 2"),
        (5, 8, "kind 8"),
        (6, 1, "flags 0x01"),
        (6, 0x80, "flags 0x80"),
        (7, 1, "codec 1"),
    ] {
        let mut stage = stage();
        let (_, outcome) = stage.append(&body(1, 2_000));
        stage.settle_known();
        reseal(&stage, outcome.lsn, |head| head[at] = value);
        let error = open_error(&stage);
        let text = error.to_string();
        assert!(matches!(error, OpenError::Record { .. }), "{error:?}");
        assert!(
            text.contains("unknown to this version") && text.contains(told),
            "{text}"
        );
        assert!(text.contains(".seg") && !text.contains('\n'), "{text}");
    }
}

// If this fails, an older program that is started by mistake cuts off what a newer one stored, or
// calls it damaged, and the newer one finds it so.
#[test]
fn what_a_later_version_wrote_is_neither_cut_nor_called_damaged() {
    let mut stage = stage();
    let (_, committed) = stage.append(&body(1, 2_000));
    stage.settle_known();
    let (_, pending) = stage.append(&body(2, 2_000));
    stage.sync();
    let damage = |stage: &Stage, lsn| {
        let (path, start) = stage.find_record(lsn);
        write(stage, &path, start + 24, &[0xff]);
    };
    for (later, damaged) in [
        (committed.lsn, None),
        (pending.lsn, None),
        (pending.lsn, Some(committed.lsn)),
        (pending.lsn, Some(pending.lsn.previous())),
    ] {
        let stage = stage.on(stage.disk.kill());
        reseal(&stage, later, |head| head[6] = 1);
        if let Some(damaged) = damaged {
            damage(&stage, damaged);
        }
        let error = open_error(&stage);
        assert!(matches!(error, OpenError::Record { .. }), "{error:?}");
        let disk = stage.disk.kill();
        let before: Vec<_> = segments(&stage.disk)
            .iter()
            .map(|path| contents(&stage.disk, path))
            .collect();
        let opened = Store::open_with(Arc::new(disk.clone()), dir(), LOG, GEOMETRY);
        opened.expect_err("it still must not be opened");
        let after = segments(&disk);
        let after: Vec<_> = after.iter().map(|path| contents(&disk, path)).collect();
        assert!(before == after, "{later}, {damaged:?}");
    }
}

// If this fails, a folder that was mixed up with another is written to.
#[test]
fn a_segment_of_another_log_is_refused() {
    let mut stage = stage();
    stage.stored(&body(1, 2_000));
    let opened = Store::open_with(Arc::new(stage.disk.kill()), dir(), LOG ^ 1, GEOMETRY);
    let error = opened.expect_err("it is another log");
    assert!(matches!(error, OpenError::Segment { .. }), "{error:?}");
}
