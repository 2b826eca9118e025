//! Above the commit the log is cut at the first bad record, whatever follows it.

use std::sync::Arc;

use wire::Lsn;

use super::{assert_reads, lsn, stored};
use crate::disk::Disk;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::scan::WINDOW_BYTES;
use crate::stage::{GEOMETRY, LOG, Stage, body, contents, dir, names, quarantined};
use crate::{Geometry, ReadError, Store};

/// Two contents that are known committed, and four that are only synced.
fn with_a_tail() -> Stage {
    let mut stage = stored(2);
    for n in 2..6 {
        stage.put(n, &body(n, 700));
    }
    stage.sync();
    stage
}

fn quarantine(stage: &Stage) -> Vec<String> {
    let names = stage.disk.list(&dir().join("quarantine"));
    names.expect("it is there")
}

// If this fails, a restart after a power loss serves half-written uploads.
#[test]
fn the_log_is_cut_at_the_first_bad_record() {
    for at in [0, 8, 24, 44, 120, 124, 127, 140] {
        let mut stage = with_a_tail();
        stage.flip(lsn(3), at);
        let recovery = stage.restart();
        assert_eq!(recovery.damaged, 0, "byte {at}: it was never acknowledged");
        assert!(recovery.quarantined_bytes > 0);
        assert_eq!(stage.store.positions().appended.lsn, lsn(2), "byte {at}");
        stage.lead();
        assert_reads(&stage, 0..3, 700);
        for n in 3..6 {
            assert!(matches!(stage.read(n), Err(ReadError::NotFound)), "{n}");
        }
        assert_eq!(stage.store.usage().damaged, 0);
        stage.assert_accounts();
    }
}

// If this fails, a content whose bytes never reached the disk is served.
#[test]
fn a_payload_above_the_commit_is_verified() {
    let mut stage = with_a_tail();
    let (_, entry) = stage.place_of(lsn(4)).expect("it is there");
    let payload = entry.lengths.payload_start(entry.start) - entry.start;
    stage.flip(lsn(4), payload + 699);
    stage.restart();
    assert_eq!(stage.store.positions().appended.lsn, lsn(3));
}

// If this fails, what could be saved by hand after a power loss is gone.
#[test]
fn what_is_cut_goes_to_quarantine() {
    let mut stage = with_a_tail();
    let (path, entry) = stage.place_of(lsn(3)).expect("it is there");
    stage.flip(lsn(3), 24);
    let before = contents(&stage.disk, &path);
    let recovery = stage.restart();
    let cut = quarantine(&stage);
    assert_eq!(cut.len(), 1, "{cut:?}");
    let kept = contents(&stage.disk, &dir().join("quarantine").join(&cut[0]));
    assert_eq!(kept.len() as u64, recovery.quarantined_bytes);
    assert_eq!(before[entry.start as usize..][..kept.len()], kept);
    assert_eq!(
        contents(&stage.disk, &path).len() as u64,
        entry.start,
        "the segment ends there"
    );
}

// If this fails, records that were cut off come back with the next restart.
#[test]
fn a_cut_is_cut_for_ever() {
    let mut stage = with_a_tail();
    stage.flip(lsn(3), 24);
    stage.restart();
    stage.lead();
    stage.put(10, &body(10, 700));
    stage.settle_durably();
    let end = stage.store.positions();
    let recovery = stage.restart();
    assert_eq!(recovery.quarantined_bytes, 0);
    assert_eq!(stage.store.positions(), end);
    assert_reads(&stage, [0, 1, 2, 10], 700);
}

// If this fails, segments behind a cut stay, and their records follow the wrong ones.
#[test]
fn later_segments_go_whole() {
    let mut stage = stored(2);
    let mut n = 2;
    while stage.store.log.segments.len() < 4 {
        stage.put(n, &body(n, 20_000));
        n += 1;
    }
    stage.sync();
    stage.flip(lsn(5), 24);
    stage.restart();
    assert_eq!(names(&stage.disk, ".seg").len(), 1);
    assert_eq!(stage.store.positions().appended.lsn, lsn(4));
    assert_eq!(quarantine(&stage).len(), 4, "three whole, and a part");
    stage.lead();
    assert_reads(&stage, 0..2, 700);
    assert_reads(&stage, 2..5, 20_000);
}

// If this fails, reserved space is taken for a broken tail.
#[test]
fn zeros_to_the_end_are_the_end() {
    let mut stage = stored(2);
    let path = stage.store.log.active().segment.name.path(dir());
    let recovery = stage.restart();
    assert_eq!(recovery.quarantined_bytes + recovery.damaged, 0);
    let length = contents(&stage.disk, &path).len() as u64;
    assert!(
        length > stage.store.log.active().end + 10_000,
        "it is reserved"
    );
    assert_eq!(quarantine(&stage), Vec::<String>::new());
    stage.lead();
    stage.put(2, &body(2, 700));
    stage.settle_durably();
    stage.restart();
    assert_reads(&stage, 0..3, 700);
    assert_eq!(names(&stage.disk, ".seg").len(), 1, "it goes on there");
}

// If this fails, a crash between two sectors of the tail leaves a log that cannot be opened.
#[test]
fn a_tail_that_is_not_all_zeros_is_cut() {
    let mut stage = stored(2);
    let state = stage.store.log.active();
    let (file, end) = (state.segment.file.clone(), state.end);
    file.write_at(b"something", end + 5_000).expect("healthy");
    file.sync_data().expect("healthy");
    let recovery = stage.restart();
    assert_eq!(recovery.damaged, 0);
    assert!(recovery.quarantined_bytes >= 5_009);
    assert_eq!(stage.store.positions().appended.lsn, lsn(1));
    assert_reads(&stage, 0..2, 700);
}

// If this fails, what a killed process wrote is served, and then lost by a power loss.
#[test]
fn a_start_makes_durable_what_it_finds() {
    let mut stage = stored(2);
    for n in 2..6 {
        stage.put(n, &body(n, 700));
    }
    stage.store.log.write_buffer().expect("a healthy disk");
    stage.restart();
    assert_eq!(stage.store.positions().synced, lsn(5));
    for seed in 0..20 {
        let (store, recovery) = crate::stage::open(&stage.disk.crash(seed)).expect("opens");
        assert_eq!(store.positions().appended.lsn, lsn(5), "seed {seed}");
        assert_eq!(recovery.quarantined_bytes, 0);
    }
}

// If this fails, a gap that a power loss left between two segments is taken for compacted.
#[test]
fn an_unsynced_end_of_a_full_segment_is_the_end_of_the_log() {
    let mut stage = stored(2);
    let mut n = 2;
    while stage.store.log.segments.len() < 2 {
        stage.put(n, &body(n, 20_000));
        n += 1;
    }
    stage.sync();
    let first = &stage.store.log.segments[0];
    let (_, last) = stage.place_of(first.last).expect("it is there");
    let (file, length) = (first.segment.file.clone(), first.length);
    file.set_len(last.start).expect("a healthy disk");
    file.set_len(length).expect("a healthy disk");
    let cut = Lsn(last.lsn.0 - 1);
    stage.restart();
    assert_eq!(stage.store.positions().appended.lsn, cut);
    assert_eq!(names(&stage.disk, ".seg").len(), 1);
    stage.lead();
    assert_eq!(stage.store.usage().damaged, 0);
}

// If this fails, what was acknowledged is cut off because its disk cannot read it at the moment.
#[test]
fn a_tail_that_cannot_be_read_stops_the_replica_and_stays() {
    let geometry = Geometry {
        segment_bytes: 8 << 20,
        ..GEOMETRY
    };
    // The last header ends where a scan's first read does.
    let border = SEGMENT_HEADER_BYTES + WINDOW_BYTES as u64;
    let mut stage = Stage::of(LOG, geometry);
    stage.put(0, &body(0, (border - 128 - 8192) as usize));
    stage.put(1, &body(1, 3_000));
    stage.sync();
    let (path, entry) = stage.place_of(lsn(1)).expect("written");
    assert_eq!(entry.start + 128, border);
    for sector in [entry.start, border, border + 1_024] {
        let disk = stage.disk.kill();
        disk.break_sector(&path, sector).expect("it is there");
        let opened = Store::open_with(Arc::new(disk.clone()), dir(), LOG, geometry);
        let error = opened.expect_err("it cannot be told whether it is whole");
        let told = error.to_string();
        assert!(!told.starts_with("cut"), "byte {sector}: {told}");
        assert!(quarantined(&disk).is_empty(), "byte {sector}");
    }
}
