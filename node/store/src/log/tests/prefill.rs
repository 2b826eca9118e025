//! Zeros ahead of small appends.

use super::Bench;
use crate::log::prefill::step;
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
    assert_eq!(bench.log.prefilled, 0);
    assert_eq!(flush(&mut bench, 40), 2);
}
