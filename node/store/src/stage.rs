//! A small store on a simulated disk, for this crate's own tests: short ways to change it, and to
//! look at it from inside. It decides nothing that a test should say itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use wire::{Checksum, ContentId, Epoch, Lsn, ShardNo};

use crate::disk::simulated::{Random, SimulatedDisk};
use crate::disk::{Disk, File};
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::scan::{Found, Scan};
use crate::{
    ChangeError, Committed, Geometry, How, NewContent, OpenError, Outcome, Payload, ReadError,
    Recovery, Store,
};

/// The log id of every log that a test calls its own.
pub(crate) const LOG: u64 = 0x5eed_ace4_1a5e_ed01;

/// When every stage begins.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// Small enough that a test fills several segments.
pub(crate) const GEOMETRY: Geometry = Geometry {
    segment_bytes: 256 << 10,
    allocate_bytes: 32 << 10,
    reserve_bytes: 16 << 10,
};

/// An update that demands nothing of the version that it replaces.
pub(crate) const UPDATE: How = How::Update { if_match: None };

/// The replica's folder.
pub(crate) fn dir() -> &'static Path {
    Path::new("/replica")
}

/// The id of this number.
pub(crate) fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), NOW_MS, n)
}

/// Bytes that follow from `seed` alone.
pub(crate) fn body(seed: u64, length: usize) -> Bytes {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.bits().to_le_bytes());
    let bytes = words.take(length.div_ceil(8)).flatten().take(length);
    bytes.collect::<Vec<u8>>().into()
}

/// The hash of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}

/// What an upload of these bytes says of them.
pub(crate) fn new_content(bytes: &[u8]) -> NewContent {
    NewContent {
        filename: "a.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        collection: None,
        attributes: None,
        size: bytes.len() as u64,
        checksum: hash(bytes),
    }
}

/// An empty disk with the replica's folder.
pub(crate) fn empty_disk() -> SimulatedDisk {
    let disk = SimulatedDisk::new(LOG);
    disk.create_dir(dir()).expect("a healthy disk");
    disk.sync_dir(Path::new("/")).expect("a healthy disk");
    disk
}

/// Opens the log on a disk.
pub(crate) fn open(disk: &SimulatedDisk) -> Result<(Store, Recovery), OpenError> {
    Store::open_with(Arc::new(disk.clone()), dir(), LOG, GEOMETRY)
}

/// All bytes of a file.
pub(crate) fn contents(disk: &SimulatedDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("it is there");
    let mut bytes = vec![0; file.len().expect("a healthy disk") as usize];
    file.read_at(&mut bytes, 0).expect("a healthy disk");
    bytes
}

/// Makes a file of these bytes, durably.
pub(crate) fn write_file(disk: &SimulatedDisk, path: &Path, bytes: &[u8]) {
    let file = disk.create(path).expect("a new name");
    file.write_at(bytes, 0).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    disk.sync_dir(dir()).expect("a healthy disk");
}

/// The names in the replica's folder that end so, in order.
pub(crate) fn names(disk: &SimulatedDisk, suffix: &str) -> Vec<String> {
    let mut names = disk.list(dir()).expect("a healthy disk");
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

/// All records that can be read in a segment file, from its start on.
pub(crate) fn entries(file: &dyn File) -> Vec<Entry> {
    let mut scan = Scan::new(file, LOG, SEGMENT_HEADER_BYTES).expect("a healthy disk");
    let mut entries = Vec::new();
    while let Found::Record { entry, .. } = scan.next().expect("a healthy disk") {
        entries.push(entry);
    }
    entries
}

/// A disk, and a store on it.
pub(crate) struct Stage {
    pub(crate) disk: SimulatedDisk,
    pub(crate) store: Store,
    pub(crate) now_ms: u64,
}

impl Stage {
    /// A new log in its first epoch, which is committed.
    pub(crate) fn new() -> Stage {
        let mut stage = Self::without_epoch();
        stage.lead();
        stage
    }

    /// A new log without a record.
    pub(crate) fn without_epoch() -> Stage {
        let disk = empty_disk();
        let (store, _) = open(&disk).expect("an empty disk");
        Stage {
            disk,
            store,
            now_ms: NOW_MS,
        }
    }

    /// Begins the next epoch, and commits all that there is.
    pub(crate) fn lead(&mut self) {
        let epoch = self.store.positions().appended.epoch.next();
        self.begin(epoch.0);
        self.settle();
    }

    /// Begins an epoch.
    pub(crate) fn begin(&mut self, epoch: u64) -> Lsn {
        let begun = self.store.begin_epoch(Epoch(epoch), self.now_ms);
        begun.expect("a healthy disk")
    }

    /// Stores these bytes, or says why not.
    pub(crate) fn try_put(
        &mut self,
        n: u64,
        bytes: &Bytes,
        how: How,
    ) -> Result<Outcome, ChangeError> {
        let payload = Payload::new(bytes.clone());
        self.store
            .put(id(n), new_content(bytes), how, payload, self.now_ms)
    }

    /// Appends a new content.
    pub(crate) fn put(&mut self, n: u64, bytes: &Bytes) -> Outcome {
        self.try_put(n, bytes, How::Create).expect("there is room")
    }

    /// Appends the next version of a content.
    pub(crate) fn update(&mut self, n: u64, bytes: &Bytes) -> Outcome {
        self.try_put(n, bytes, UPDATE).expect("there is room")
    }

    /// Appends a delete.
    pub(crate) fn delete(&mut self, n: u64) -> Outcome {
        let deleted = self.store.delete(id(n), None, self.now_ms);
        deleted.expect("there is such a content")
    }

    /// Appends all chunks of an upload; returns its name.
    pub(crate) fn begin_upload(
        &mut self,
        n: u64,
        bytes: &Bytes,
        chunk_bytes: usize,
        how: How,
    ) -> Result<Lsn, ChangeError> {
        let mut upload = Lsn::ZERO;
        for (at, chunk) in bytes.chunks(chunk_bytes).enumerate() {
            let payload = Payload::new(bytes.slice_ref(chunk));
            if at == 0 {
                let first = self.store.first_chunk(id(n), &how, payload, self.now_ms);
                upload = first?;
            } else {
                let offset = (at * chunk_bytes) as u64;
                self.store.chunk(upload, offset, payload, self.now_ms)?;
            }
        }
        Ok(upload)
    }

    /// Closes an upload of these bytes, or says why not.
    pub(crate) fn close_upload(
        &mut self,
        upload: Lsn,
        bytes: &Bytes,
        how: How,
    ) -> Result<Outcome, ChangeError> {
        self.store
            .commit_upload(upload, new_content(bytes), how, self.now_ms)
    }

    /// Appends a whole upload in chunks.
    pub(crate) fn upload(&mut self, n: u64, bytes: &Bytes, chunk_bytes: usize) -> Outcome {
        let upload = self.begin_upload(n, bytes, chunk_bytes, How::Create);
        self.close_upload(upload.expect("there is room"), bytes, How::Create)
            .expect("there is room")
    }

    /// Makes everything that was appended durable.
    pub(crate) fn sync(&mut self) -> Lsn {
        if let Some(job) = self.store.flush().expect("a healthy disk") {
            self.store.synced(job.run()).expect("a healthy disk");
        }
        self.store.positions().synced
    }

    /// Makes everything durable, and commits it.
    pub(crate) fn settle(&mut self) -> Vec<Committed> {
        let synced = self.sync();
        let mut committed = Vec::new();
        self.store.commit_to(synced, &mut committed);
        committed
    }

    /// Commits everything so that a restart knows of it, by the commit marker.
    pub(crate) fn settle_durably(&mut self) {
        self.settle();
        let committed = self.store.positions().committed;
        let marker = &self.store.log.marker;
        marker.raise(committed).expect("a healthy disk");
    }

    /// Kills the process, and starts it again on the same disk.
    pub(crate) fn restart(&mut self) -> Recovery {
        self.restart_on(self.disk.kill())
    }

    /// Starts the process again on another disk.
    pub(crate) fn restart_on(&mut self, disk: SimulatedDisk) -> Recovery {
        let (store, recovery) = open(&disk).expect("the log can be opened");
        self.disk = disk;
        self.store = store;
        recovery
    }

    /// Carries out all chores that there are.
    pub(crate) fn upkeep(&mut self) {
        for _ in 0..500 {
            let chores = self.store.chores(self.now_ms);
            if chores.is_empty() {
                return;
            }
            for chore in chores {
                let done = chore.run(&mut |_| true);
                self.store.finish(done).expect("a healthy disk");
            }
        }
        panic!("upkeep never comes to an end");
    }

    /// Reads a content to its end.
    pub(crate) fn read(&self, n: u64) -> Result<Bytes, ReadError> {
        let open = self.store.reader().open(id(n))?;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < open.content().size {
            bytes.extend_from_slice(&open.read(bytes.len() as u64, 100_000)?);
        }
        Ok(bytes.into())
    }

    /// The segment file that holds the record of this lsn, and the record's place in it.
    pub(crate) fn place_of(&self, lsn: Lsn) -> Option<(PathBuf, Entry)> {
        let states = self.store.log.segments.iter();
        let mut found = states.filter_map(|state| {
            let entry = Scan::find(&*state.segment.file, LOG, lsn).expect("a healthy disk")?;
            Some((state.segment.name.path(dir()), entry))
        });
        found.next_back()
    }

    /// Inverts a bit of the record of this lsn, `at` bytes behind its start.
    pub(crate) fn flip(&self, lsn: Lsn, at: u64) {
        let (path, entry) = self.place_of(lsn).expect("the record is there");
        let flipped = self.disk.flip_bit(&path, entry.start + at, 3);
        flipped.expect("the byte is durable");
    }

    /// The lsns of all records in the log's files.
    pub(crate) fn lsns(&self) -> Vec<u64> {
        let states = self.store.log.segments.iter();
        let entries = states.flat_map(|state| entries(&*state.segment.file));
        entries.map(|entry| entry.lsn.0).collect()
    }

    /// Appends small contents from number `from` on until the log has this many segments; returns
    /// the number after the last. Everything is committed then, and a restart knows it.
    pub(crate) fn fill(&mut self, from: u64, segments: usize) -> u64 {
        let mut n = from;
        while self.store.log.segments.len() < segments {
            self.put(n, &body(n, 10_000));
            self.settle();
            n += 1;
        }
        self.settle_durably();
        n
    }

    /// Every byte of every segment is accounted for once, and the holes are holes.
    pub(crate) fn assert_accounts(&self) {
        for state in &self.store.log.segments {
            let file = &*state.segment.file;
            let records: u64 = entries(file).iter().map(Entry::bytes).sum();
            assert_eq!(
                state.live + state.dead + state.holes,
                records,
                "{:?}",
                state.segment.name
            );
            let allocated = file.allocated().expect("a healthy disk");
            assert_eq!(
                allocated + state.holes,
                state.length.next_multiple_of(4096),
                "{:?}",
                state.segment.name
            );
        }
        let space = self.store.usage().space;
        assert_eq!(
            space.live + space.dead + space.overhead,
            space.log - space.holes
        );
    }
}
