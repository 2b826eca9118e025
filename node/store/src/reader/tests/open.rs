//! Reading a content's bytes.

use bytes::Bytes;

use super::bytes;
use crate::disk::simulated::Random;
use crate::stage::{Stage, UPDATE, body, id};
use crate::{OpenContent, ReadError};

/// Reads parts at random places and of random lengths, and compares them.
fn compare(open: &OpenContent, reference: &Bytes, seed: u64) {
    let mut random = Random::new(seed);
    let size = reference.len();
    for _ in 0..150 {
        let offset = random.below(size as u64 + 1) as usize;
        let bytes_max = random.between(1, 200_000) as usize;
        let read = open.read(offset as u64, bytes_max).expect("intact");
        assert!(read.len() <= bytes_max);
        assert_eq!(read.is_empty(), offset == size, "at {offset} of {size}");
        assert_eq!(read, reference[offset..offset + read.len()], "{offset}");
        let cached = open.read_cached(offset as u64, bytes_max).expect("intact");
        assert_eq!(cached.as_ref(), Some(&read), "nothing is waited for");
    }
}

// If this fails, a range of a content comes back with other bytes.
#[test]
fn any_range_of_any_content_is_read() {
    let lengths = [1, 7, 65_535, 65_536, 65_537, 131_072, 200_001];
    let mut stage = Stage::new();
    for (n, length) in (0..).zip(lengths) {
        stage.put(n, &body(n, length));
        stage.upload(100 + n, &body(100 + n, length), 70_000);
        stage.upload(200 + n, &body(200 + n, length), 65_536);
    }
    stage.settle_durably();
    for _ in 0..2 {
        let reader = stage.store.reader();
        for (n, length) in (0..).zip(lengths) {
            for n in [n, 100 + n, 200 + n] {
                let open = reader.open(id(n)).expect("stored");
                assert_eq!((open.id(), open.content().size), (id(n), length as u64));
                compare(&open, &body(n, length), n);
            }
        }
        stage.restart();
    }
}

// If this fails, reading beyond a content's end fails, or gives another content's bytes.
#[test]
fn behind_the_end_there_is_nothing() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.put(2, &body(2, 70_000));
    stage.upload(3, &body(3, 150_000), 70_000);
    stage.put(4, &Bytes::new());
    stage.settle();
    for (n, size) in [(1, 100), (2, 70_000), (3, 150_000), (4, 0)] {
        let open = stage.store.reader().open(id(n)).expect("stored");
        for offset in [size, size + 1, u64::MAX] {
            assert!(open.read(offset, 10).expect("nothing").is_empty(), "{n}");
        }
        if let Some(last) = size.checked_sub(1) {
            assert_eq!(open.read(last, usize::MAX).expect("intact").len(), 1);
        }
    }
}

// If this fails, the event loop of a node waits for the disk.
#[test]
fn a_cached_read_waits_for_no_disk() {
    let mut stage = Stage::new();
    stage.put(1, &body(1, 100));
    stage.put(2, &body(2, 70_000));
    stage.upload(3, &body(3, 150_000), 70_000);
    stage.settle();
    let reader = stage.store.reader();
    let open: Vec<OpenContent> = (1..4)
        .map(|n| reader.open(id(n)).expect("stored"))
        .collect();
    stage.disk.set_cold(true);
    for n in 1..4 {
        let cached = reader.open_cached(id(n)).expect("no failure");
        assert!(cached.is_none(), "{n} must be waited for");
        let content = reader.content_cached(id(n)).expect("no failure");
        assert!(content.is_none(), "{n} must be waited for");
        assert!(reader.open(id(n)).is_ok());
    }
    let small = open[0].read_cached(0, 10).expect("intact");
    assert_eq!(
        small.expect("it was read when it was opened"),
        body(1, 100)[..10]
    );
    for large in &open[1..] {
        assert!(large.read_cached(0, 10).expect("no failure").is_none());
        assert_eq!(large.read(0, 10).expect("intact").len(), 10);
    }
    assert!(
        reader.open_cached(id(9)).is_err(),
        "there is no such content"
    );
    stage.disk.set_cold(false);
    assert!(reader.open_cached(id(3)).expect("cached").is_some());
    let content = reader.content_cached(id(3)).expect("cached");
    assert_eq!(content, reader.content(id(3)).ok());
}

// If this fails, a download breaks off, or mixes versions, when its content changes.
#[test]
fn an_open_content_is_read_to_its_end_whatever_becomes_of_it() {
    for (n, length) in [(1, 100), (2, 70_000), (3, 150_000)] {
        for delete in [true, false] {
            let mut stage = Stage::new();
            let old = body(n, length);
            if n == 3 {
                stage.upload(n, &old, 70_000);
            } else {
                stage.put(n, &old);
            }
            stage.settle();
            let open = stage.store.reader().open(id(n)).expect("stored");
            if delete {
                stage.delete(n);
            } else {
                stage.try_put(n, &body(9, 50), UPDATE).expect("room");
            }
            let filled = stage.fill(1_000, 3);
            stage.upkeep();
            assert!(filled > 1_000);
            assert_eq!(open.content().version, 1);
            compare(&open, &old, n);
            assert_eq!(stage.store.reader().open(id(n)).is_err(), delete);
        }
    }
}

// If this fails, the space of a content that was read once never comes back.
#[test]
fn every_reader_lets_go() {
    let mut stage = Stage::new();
    let lsn = stage.put(1, &body(1, 70_000)).lsn;
    stage.settle();
    let reader = stage.store.reader();
    let shared = &stage.store.shared;
    assert!(!shared.is_pinned(lsn));
    let (first, second) = (reader.open(id(1)), reader.open(id(1)));
    assert!(shared.is_pinned(lsn));
    drop(first);
    assert!(shared.is_pinned(lsn), "the other still reads");
    drop(second);
    assert!(!shared.is_pinned(lsn));
    stage.disk.set_cold(true);
    drop(reader.open_cached(id(1)));
    assert!(!shared.is_pinned(lsn), "also after an open that failed");
}

// If this fails, wrong bytes are served, or intact ones are not.
#[test]
fn damage_is_told_block_by_block_and_chunk_by_chunk() {
    let mut stage = Stage::new();
    let put = stage.put(1, &body(1, 200_000)).lsn;
    let commit = stage.upload(2, &body(2, 210_000), 70_000).lsn;
    stage.settle();
    let damage = |lsn: wire::Lsn, at: u64| {
        let (_, entry) = stage.place_of(lsn).expect("written");
        let payload = entry.lengths.payload_start(entry.start) - entry.start;
        stage.flip(lsn, payload + at);
    };
    damage(put, 65_536);
    damage(wire::Lsn(commit.0 - 2), 69_999);
    let reader = stage.store.reader();
    for (n, offset, is_intact) in [
        (1, 0, true),
        (1, 65_535, true),
        (1, 65_536, false),
        (1, 131_071, false),
        (1, 131_072, true),
        (2, 0, true),
        (2, 69_999, true),
        (2, 70_000, true),
        (2, 70_000 + 65_536, false),
        (2, 140_000, true),
    ] {
        let open = reader.open(id(n)).expect("its head is intact");
        let read = open.read(offset, 1);
        match read {
            Ok(read) => assert!(is_intact && read == body(n, 210_000)[offset as usize..][..1]),
            Err(ReadError::Damaged { .. }) => assert!(!is_intact, "{n} at {offset}"),
            Err(error) => panic!("{n} at {offset}: {error}"),
        }
    }
    assert_eq!(stage.store.usage().damaged, 2);
}

// If this fails, every download of a large content breaks off in the middle of a damaged copy, where
// another copy would have given all of it.
#[test]
fn what_a_read_found_damaged_is_known_when_it_is_opened_again() {
    let mut stage = Stage::new();
    let put = stage.put(1, &body(1, 200_000)).lsn;
    let commit = stage.upload(2, &body(2, 210_000), 70_000).lsn;
    stage.settle();
    for lsn in [put, wire::Lsn(commit.0 - 2)] {
        let (_, entry) = stage.place_of(lsn).expect("written");
        stage.flip(lsn, entry.lengths.payload_start(entry.start) - entry.start);
    }
    let reader = stage.store.reader();
    for (n, damaged_at) in [(1, 0), (2, 70_000)] {
        let open = reader.open(id(n)).expect("its head is intact");
        assert!(open.known_damage().is_none(), "nobody has read it yet");
        open.read(damaged_at, 1).expect_err("is damaged");
        let again = reader.open(id(n)).expect("its head is intact");
        assert!(again.known_damage().is_some());
    }
}

// If this fails, a content with a lost part is served with other bytes in its place.
#[test]
fn a_content_with_a_lost_chunk_is_damaged() {
    let mut stage = Stage::new();
    let commit = stage.upload(1, &body(1, 210_000), 70_000).lsn;
    stage.settle_durably();
    stage.flip(wire::Lsn(commit.0 - 2), 24);
    stage.restart();
    let opened = stage.store.reader().open(id(1));
    assert!(
        matches!(opened, Err(ReadError::Damaged { .. })),
        "{opened:?}"
    );
}

// If this fails, a content is not found while its segment is rewritten.
#[test]
fn contents_are_read_at_every_step_of_a_compaction() {
    let (mut stage, contents) = super::half_deleted();
    let reader = stage.store.reader();
    let check = || {
        for n in 0..contents {
            match reader.open(id(n)) {
                Ok(open) => {
                    assert!(n % 2 == 1 && open.read(0, 20_000).expect("intact") == bytes(n))
                }
                Err(ReadError::Deleted) => assert_eq!(n % 2, 0),
                Err(error) => panic!("{n}: {error}"),
            }
        }
    };
    let mut held: Vec<OpenContent> = Vec::new();
    for _ in 0..100 {
        check();
        let chores = stage.store.chores(stage.now_ms);
        if chores.is_empty() {
            break;
        }
        for chore in chores {
            let done = chore.run(&mut |_| true);
            check();
            held.push(reader.open(id(1)).expect("it is live"));
            stage.store.finish(done).expect("a healthy disk");
            check();
        }
    }
    for open in held {
        assert_eq!(open.read(0, 20_000).expect("held"), bytes(1));
    }
    stage.assert_accounts();
}
