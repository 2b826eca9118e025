//! Readers on other threads, beside an owner that updates, deletes, gives back and rewrites.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use store::{How, OpenContent, ReadError, Reader};
use wire::{Checksum, ContentId};

use crate::stage::{Stage, body, read_all, stage};

const CONTENTS: usize = 24;
const ROUNDS: u64 = 60;
const READERS: u64 = 3;

/// What the readers tell.
#[derive(Default)]
struct Tally {
    done: AtomicBool,
    whole: AtomicU64,
}

/// Lets the readers end, also when the owner fails.
struct Done<'a>(&'a Tally);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Release);
    }
}

fn check_whole(open: &OpenContent) {
    let id = open.content().id;
    let bytes = read_all(open).unwrap_or_else(|error| panic!("{id} breaks off: {error}"));
    let checksum = Checksum(*blake3::hash(&bytes).as_bytes());
    assert_eq!(
        checksum,
        open.content().checksum,
        "{id} is a mixture of versions"
    );
}

/// Opens contents one after the other until the owner is done; holds each open for a while.
fn read_on(reader: &Reader, ids: &[ContentId], start: u64, tally: &Tally) {
    let mut held = Vec::new();
    let mut next = start as usize;
    let mut versions = vec![0; ids.len()];
    while !tally.done.load(Ordering::Acquire) {
        next = (next * 7 + 3) % ids.len();
        match reader.open(ids[next]) {
            Ok(open) => {
                assert!(
                    open.content().version >= versions[next],
                    "versions never go back"
                );
                versions[next] = open.content().version;
                held.push(open);
            }
            // The last third is deleted some time, and stays so.
            Err(ReadError::Deleted) if next >= CONTENTS * 2 / 3 => versions[next] = u64::MAX,
            Err(error) => panic!("{} cannot be opened: {error}", ids[next]),
        }
        if held.len() == 4 {
            check_whole(&held.remove(0));
            tally.whole.fetch_add(1, Ordering::Relaxed);
        }
    }
    held.iter().for_each(check_whole);
}

fn churn(stage: &mut Stage, ids: &[ContentId]) {
    for round in 0..ROUNDS {
        for (number, id) in ids.iter().enumerate() {
            let seed = round * 1_000 + number as u64;
            if number >= CONTENTS * 2 / 3 && round == 20 + number as u64 {
                stage.delete(*id);
            } else if number < CONTENTS * 2 / 3 || round < 20 + number as u64 {
                let bytes = body(seed, size_of(number, round));
                let update = How::Update { if_match: None };
                stage.try_put(*id, &bytes, update).expect("there is room");
            }
        }
        stage.settle();
        stage.upkeep();
    }
}

/// Small ones that are rewritten, and large ones that are given back.
fn size_of(number: usize, round: u64) -> usize {
    if number.is_multiple_of(3) {
        66_000 + round as usize * 100
    } else {
        2_000 + number
    }
}

// If this fails, a download that meets an update, a delete or upkeep gets wrong bytes, breaks off,
// or is told that its content is damaged or was never there.
#[test]
fn readers_on_other_threads_always_read_one_whole_version() {
    let mut stage = stage();
    let ids: Vec<ContentId> = (0..CONTENTS)
        .map(|n| stage.append(&body(n as u64, size_of(n, 0))).0)
        .collect();
    stage.settle();
    let tally = Arc::new(Tally::default());
    let reader = stage.store.reader();
    thread::scope(|scope| {
        for start in 0..READERS {
            let (reader, ids, tally) = (reader.clone(), &ids, Arc::clone(&tally));
            scope.spawn(move || read_on(&reader, ids, start, &tally));
        }
        let _done = Done(&tally);
        churn(&mut stage, &ids);
    });
    assert!(
        tally.whole.load(Ordering::Relaxed) > 100,
        "the readers were beside the owner"
    );
    let usage = stage.store.usage();
    assert_eq!(usage.damaged, 0, "nothing was taken for damaged");
    assert!(usage.space.compacted > 0 && usage.space.holes + usage.space.compacted > 1 << 20);
    stage.upkeep();
    assert!(
        stage.disk.used() < 8 << 20,
        "{} bytes are left of 2 MB",
        stage.disk.used()
    );
}
