//! Zeros ahead of small appends.

use super::Bench;
use crate::geometry::Geometry;
use crate::log::prefill::step;
use crate::record::layout::PUNCHED_BYTES_MIN;
use crate::stage::GEOMETRY;

/// Flushes a record of this length; returns how many operations on the disk that took.
fn flush(bench: &mut Bench, length: usize) -> u64 {
    bench.append(length);
    let before = bench.disk.operations();
    bench.log.write_buffer().expect("a healthy disk");
    bench.disk.operations() - before
}

// If this fails, each small upload waits for the file system's journal, or for a write of zeros.
#[test]
fn small_appends_go_onto_zeros_that_few_writes_put_there() {
    let mut bench = Bench::new();
    let (mut flushes, mut writes) = (0, 0);
    while bench.log.active().end < GEOMETRY.allocate_bytes / 2 {
        flushes += 1;
        writes += flush(&mut bench, 40);
        assert!(bench.log.prefilled >= bench.log.active().end);
    }
    let fills = writes - flushes;
    let needed = bench.log.active().end / step(&GEOMETRY);
    assert!((1..=needed + 1).contains(&fills), "{fills} for {needed}");
}

// If this fails, large uploads are written twice.
#[test]
fn large_appends_are_written_once() {
    let mut bench = Bench::new();
    let large = step(&GEOMETRY) as usize;
    for _ in 0..5 {
        assert_eq!(flush(&mut bench, large), 1);
    }
}

// If this fails, zeros are written where a large record goes, or behind each one.
#[test]
fn large_records_get_no_zeros() {
    let mut bench = Bench::of(Geometry {
        segment_bytes: 8 << 20,
        allocate_bytes: 4 << 20,
        ..GEOMETRY
    });
    let mut writes_of = |lengths: &[usize]| {
        let before = bench.disk.operations();
        for length in lengths {
            flush(&mut bench, *length);
        }
        bench.disk.operations() - before
    };
    let large = PUNCHED_BYTES_MIN as usize;
    writes_of(&[40]);
    for _ in 0..3 {
        assert_eq!(writes_of(&[large]), 2, "its head, and its payload");
        assert_eq!(writes_of(&[large, 40]), 3);
    }
}

// If this fails, a fill takes space that nobody reserved, and a full disk stops the log.
#[test]
fn nothing_is_filled_beyond_what_is_reserved() {
    let mut bench = Bench::new();
    while bench.log.segments.len() < 2 {
        flush(&mut bench, 200);
        assert!(bench.log.prefilled <= bench.log.reserved);
    }
}

// If this fails, what a truncation cut off is taken for zeros that are there.
#[test]
fn after_a_truncation_it_is_filled_again() {
    let mut bench = Bench::new();
    let first = bench.append(40);
    bench.sync();
    for _ in 0..5 {
        flush(&mut bench, 40);
    }
    bench.sync();
    bench.log.truncate_after(first.lsn).expect("a healthy disk");
    assert_eq!(bench.log.prefilled, bench.log.active().end);
    assert_eq!(flush(&mut bench, 40), 2);
}
