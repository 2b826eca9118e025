//! Positions, and the way of a record from the buffer into its file.

use wire::{Epoch, Lsn, Position};

use super::{Bench, WIDE, body, record};
use crate::log::Room;
use crate::record::layout::PUNCHED_BYTES_MIN;
use crate::segment::header::SEGMENT_HEADER_BYTES;

const LARGE: usize = PUNCHED_BYTES_MIN as usize;

// If this fails, two records share a place, and one content is lost.
#[test]
fn each_record_starts_where_the_one_before_ends() {
    let mut bench = Bench::of(WIDE);
    let mut end = SEGMENT_HEADER_BYTES;
    for (at, length) in [0, 1, 500, LARGE - 1, LARGE, 7, 300_000, 9]
        .into_iter()
        .enumerate()
    {
        let entry = bench.append(length);
        assert_eq!((entry.lsn, entry.start), (Lsn(at as u64 + 1), end));
        assert_eq!(entry.lengths.payload, length as u64);
        end = entry.end();
        assert_eq!(bench.log.active().end, end);
    }
    bench.sync();
    assert_eq!(bench.written(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

// If this fails, a follower is told of records that it does not have, or a leader acknowledges
// what is not on the disk.
#[test]
fn appended_and_synced_are_different_positions() {
    let mut bench = Bench::new();
    assert_eq!(bench.log.appended(), Position::default());
    bench.append(10);
    let second = bench.log.append(&record(4, 2, body(1, 10)), Room::Content);
    second.expect("a later epoch follows");
    let appended = Position {
        epoch: Epoch(4),
        lsn: Lsn(2),
    };
    assert_eq!(bench.log.appended(), appended);
    assert_eq!(bench.log.synced(), Lsn::ZERO);
    assert_eq!(bench.sync(), Lsn(2));
    assert_eq!(bench.log.synced(), Lsn(2));
    assert_eq!(bench.log.epochs.as_slice().len(), 2);
}

// If this fails, each small upload costs a write of its own.
#[test]
fn small_records_wait_in_the_buffer_until_it_is_written() {
    let mut bench = Bench::new();
    for _ in 0..5 {
        bench.append(1_000);
    }
    assert_eq!(bench.written(), Vec::<u64>::new());
    assert_eq!(bench.log.shared.written(), Lsn::ZERO);
    bench.log.write_buffer().expect("a healthy disk");
    assert_eq!(bench.written(), [1, 2, 3, 4, 5]);
    assert_eq!(bench.log.shared.written(), Lsn(5));
    let operations = bench.disk.operations();
    bench.log.write_buffer().expect("a healthy disk");
    assert_eq!(bench.disk.operations(), operations, "nothing is buffered");
}

// If this fails, a record that follows a large one is written before it, or over it.
#[test]
fn a_large_payload_is_written_at_once_with_all_before_it() {
    let mut bench = Bench::new();
    bench.append(100);
    bench.append(LARGE - 1);
    assert_eq!(bench.written(), Vec::<u64>::new());
    bench.append(LARGE);
    assert_eq!(bench.written(), [1, 2, 3]);
    assert_eq!(bench.log.shared.written(), Lsn(3));
    bench.append(50);
    assert_eq!(bench.written(), [1, 2, 3]);
    assert_eq!(bench.log.shared.written(), Lsn(3), "the last is buffered");
    bench.sync();
    assert_eq!(bench.written(), [1, 2, 3, 4]);
}

// If this fails, many small uploads between two syncs take all memory.
#[test]
fn the_buffer_is_bounded() {
    let mut bench = Bench::of(WIDE);
    let mut buffered = 0;
    for _ in 0..100 {
        buffered += bench.append(60_000).bytes();
        let written = bench.log.shared.written();
        if written > Lsn::ZERO {
            assert_eq!(written, bench.log.appended().lsn);
            assert!(buffered <= (1 << 20) + 61_000, "{buffered} bytes");
            return;
        }
    }
    panic!("{buffered} bytes are buffered");
}

// If this fails, the bound on unsynced bytes does not hold, and small uploads wait for large ones.
#[test]
fn unsynced_bytes_are_those_that_no_job_covers() {
    let mut bench = Bench::new();
    let mut bytes = bench.append(10).bytes();
    bytes += bench.append(LARGE).bytes();
    assert_eq!(bench.log.unsynced_bytes(), bytes);
    let job = bench.log.flush().expect("healthy").expect("a job");
    assert_eq!(bench.log.unsynced_bytes(), 0);
    let later = bench.append(20).bytes();
    bench.log.finish_sync(job.run()).expect("a healthy disk");
    assert_eq!(bench.log.unsynced_bytes(), later);
}

// If this fails, a log has two records of one lsn.
#[test]
#[should_panic(expected = "lsns are appended in ascending order")]
fn an_lsn_is_never_appended_twice() {
    let mut bench = Bench::new();
    bench.append(1);
    let again = bench.log.append(&record(1, 1, body(1, 1)), Room::Content);
    panic!("appended twice: {}", again.is_ok());
}

// If this fails, a deposed leader's records follow those of the new one.
#[test]
#[should_panic(expected = "epochs only grow")]
fn an_older_epoch_is_never_appended() {
    let mut bench = Bench::new();
    bench
        .log
        .append(&record(3, 1, body(1, 1)), Room::Content)
        .expect("there is room");
    let older = bench.log.append(&record(2, 2, body(1, 1)), Room::Content);
    panic!("an older epoch was appended: {}", older.is_ok());
}

// If this fails, a follower cannot hold what its leader compacted.
#[test]
fn lsns_may_leave_gaps() {
    let mut bench = Bench::new();
    for lsn in [5, 9, 30] {
        let record = record(2, lsn, body(lsn, 100));
        bench.log.append(&record, Room::Control).expect("room");
    }
    bench.sync();
    assert_eq!(bench.written(), [5, 9, 30]);
    assert_eq!(bench.log.active().last, Lsn(30));
}
