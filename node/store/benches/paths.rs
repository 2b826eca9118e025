//! What each path of the store takes alone, on a real disk: appends, group commit, reads, recovery
//! and compaction.
//!
//! `cargo bench -p store --bench paths [-- FILTER]`; `TMPDIR` decides which disk is measured.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use store::disk::FileSystem;
use store::{Geometry, How, NewContent, Payload, Store};
use wire::{Checksum, ContentId, Epoch, ShardNo};

const LOG: u64 = 1;
const NOW: u64 = 1_700_000_000_000;

/// Small contents, contents of one block, and the largest that is one record.
const SIZES: [usize; 3] = [1 << 10, 64 << 10, 1 << 20];

/// Contents of the store that is read, recovered or compacted.
const CONTENTS: u64 = 20_000;

/// Segments small enough for a store of [`CONTENTS`] to have a few.
const SMALL_SEGMENTS: Geometry = Geometry {
    segment_bytes: 8 << 20,
    allocate_bytes: 1 << 20,
    reserve_bytes: 64 << 10,
};

/// After so many bytes a store that is appended to is made anew.
const STORE_BYTES_MAX: u64 = 512 << 20;

/// A store that leads, in a folder that goes with it.
struct Owner {
    store: Store,
    next: u64,
    folder: tempfile::TempDir,
}

/// A content's bytes and what is said of them, made beforehand.
struct Prepared {
    payload: Payload,
    new: NewContent,
}

impl Prepared {
    fn new(bytes: usize) -> Self {
        let body = Bytes::from(vec![7; bytes]);
        let new = NewContent {
            filename: "a.bin".to_owned(),
            content_type: "application/octet-stream".to_owned(),
            collection: None,
            attributes: None,
            size: bytes as u64,
            checksum: Checksum(*blake3::hash(&body).as_bytes()),
        };
        Prepared {
            payload: Payload::new(body),
            new,
        }
    }
}

fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), NOW, n)
}

fn open(dir: &Path, geometry: Geometry) -> Store {
    Store::open_with(Arc::new(FileSystem), dir, LOG, geometry)
        .expect("a store in a fresh folder opens")
        .0
}

impl Owner {
    fn new(geometry: Geometry) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut owner = Owner {
            store: open(folder.path(), geometry),
            next: 0,
            folder,
        };
        let begun = owner.store.begin_epoch(Epoch(1), NOW);
        begun.expect("the first epoch of a fresh store begins");
        owner.commit();
        owner
    }

    /// With [`CONTENTS`] small contents, sealed as far as segments are full.
    fn filled() -> Self {
        let mut owner = Owner::new(SMALL_SEGMENTS);
        let small = Prepared::new(SIZES[0]);
        for n in 0..CONTENTS {
            owner.put(&small);
            if n % 256 == 255 {
                owner.commit();
                owner.upkeep();
            }
        }
        owner.commit();
        owner.upkeep();
        owner
    }

    fn put(&mut self, Prepared { payload, new }: &Prepared) {
        let (id, payload) = (id(self.next), payload.clone());
        self.next += 1;
        let put = self.store.put(id, new.clone(), How::Create, payload, NOW);
        put.expect("the disk takes a content");
    }

    fn commit(&mut self) {
        if let Some(job) = self.store.flush().expect("the disk can be written") {
            let synced = self.store.synced(job.run());
            let synced = synced.expect("the disk can be synced");
            self.store.commit_to(synced, &mut Vec::new());
        }
    }

    fn upkeep(&mut self) {
        loop {
            let chores = self.store.chores(NOW);
            if chores.is_empty() {
                return;
            }
            for chore in chores {
                let done = self.store.finish(chore.run(&mut |_| true));
                done.expect("a chore on a sound disk is done");
            }
        }
    }
}

/// Times `work` on a store, `each` bytes a turn; the store is made anew before it grows too large.
fn timed(turns: u64, each: u64, mut work: impl FnMut(&mut Owner)) -> Duration {
    let mut took = Duration::ZERO;
    let (mut owner, mut bytes) = (Owner::new(Geometry::DEFAULT), 0);
    for _ in 0..turns {
        if bytes >= STORE_BYTES_MAX {
            (owner, bytes) = (Owner::new(Geometry::DEFAULT), 0);
        }
        let begun = Instant::now();
        work(&mut owner);
        took += begun.elapsed();
        bytes += each;
    }
    took
}

/// An append alone: header, checksums, the record in memory. Its write and sync are not timed.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for bytes in SIZES {
        let prepared = Prepared::new(bytes);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter_custom(|turns| {
                let mut took = Duration::ZERO;
                let (mut owner, mut unsynced) = (Owner::new(Geometry::DEFAULT), 0);
                for turn in 0..turns {
                    let begun = Instant::now();
                    owner.put(&prepared);
                    took += begun.elapsed();
                    unsynced += bytes as u64;
                    if unsynced >= 8 << 20 {
                        owner.commit();
                        unsynced = 0;
                    }
                    if ((turn + 1) * (bytes as u64)).is_multiple_of(STORE_BYTES_MAX) {
                        owner = Owner::new(Geometry::DEFAULT);
                    }
                }
                took
            });
        });
    }
    group.finish();
}

/// So many appends of 1 KiB, one write, one sync and their commit.
fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group commit of 1 KiB");
    let small = Prepared::new(SIZES[0]);
    for puts in [1, 16, 64, 256] {
        group.throughput(Throughput::Elements(puts));
        group.bench_function(BenchmarkId::from_parameter(puts), |bencher| {
            bencher.iter_custom(|turns| {
                timed(turns, puts * SIZES[0] as u64, |owner| {
                    for _ in 0..puts {
                        owner.put(&small);
                    }
                    owner.commit();
                })
            });
        });
    }
    group.finish();
}

/// A content looked up, opened and read, out of the page cache.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    for bytes in SIZES {
        let mut owner = Owner::new(Geometry::DEFAULT);
        let prepared = Prepared::new(bytes);
        let contents = (64 << 20) / bytes as u64;
        for _ in 0..contents {
            owner.put(&prepared);
        }
        owner.commit();
        let (reader, mut n) = (owner.store.reader(), 0);
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::from_parameter(bytes), |bencher| {
            bencher.iter(|| {
                // A prime step: neighbours in time are no neighbours on the disk.
                n = (n + 7919) % contents;
                let content = reader.open(id(n)).expect("it was committed");
                let mut at = 0;
                while at < bytes as u64 {
                    let piece = content.read(at, 256 << 10).expect("it is sound");
                    at += piece.len() as u64;
                }
            });
        });
    }
    group.finish();
}

/// A store of 20,000 contents opened, most of it by the index files of sealed segments.
fn recovery(criterion: &mut Criterion) {
    let Owner { store, folder, .. } = Owner::filled();
    drop(store);
    let mut group = criterion.benchmark_group("recovery");
    group.throughput(Throughput::Elements(CONTENTS));
    group.bench_function("20,000 of 1 KiB", |bencher| {
        bencher.iter(|| open(folder.path(), SMALL_SEGMENTS));
    });
    group.finish();
}

/// Half of 20,000 contents deleted, then every segment rewritten; only that is timed.
fn compaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compaction");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(CONTENTS * SIZES[0] as u64));
    group.bench_function("20,000 of 1 KiB, half of them dead", |bencher| {
        bencher.iter_custom(|turns| {
            let mut took = Duration::ZERO;
            for _ in 0..turns {
                let mut owner = Owner::filled();
                for n in (0..CONTENTS).step_by(2) {
                    let deleted = owner.store.delete(id(n), None, NOW);
                    deleted.expect("it is there");
                }
                owner.commit();
                let begun = Instant::now();
                owner.upkeep();
                took += begun.elapsed();
            }
            took
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    append(&mut criterion);
    group_commit(&mut criterion);
    read(&mut criterion);
    recovery(&mut criterion);
    compaction(&mut criterion);
    criterion.final_summary();
}
