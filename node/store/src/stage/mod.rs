//! A small store on a simulated disk, for tests: short ways to change it, to restart it, and to look
//! at it. It decides nothing that a test should say itself.
//!
//! The tests of this crate from inside and from outside use the same one; what only those from
//! inside can see is in `inside`.

mod files;
#[cfg(test)]
mod inside;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wire::{Checksum, ContentId, Epoch, Lsn, ShardNo};

use crate::disk::Disk;
use crate::disk::simulated::{Random, SimulatedDisk};
use crate::{
    ChangeError, Committed, Content, Geometry, How, LiveWalk, NewContent, OpenContent, OpenError,
    Outcome, Payload, ReadError, Recovery, Store, Walked,
};

pub use files::{contents, find_record, names, quarantined, segments, write_file};
#[cfg(test)]
pub(crate) use inside::entries;

/// The log id of every log that a test calls its own.
pub const LOG: u64 = 0x5eed_ace4_1a5e_ed01;

/// When every stage begins.
pub const NOW_MS: u64 = 1_700_000_000_000;

/// How long a restart takes.
const RESTART_MS: u64 = 1_000;

/// More rounds of chores than any small store needs.
const UPKEEP_ROUNDS_MAX: u32 = 500;

/// Small enough that a test fills several segments.
pub const GEOMETRY: Geometry = Geometry {
    segment_bytes: 256 << 10,
    allocate_bytes: 32 << 10,
    reserve_bytes: 16 << 10,
};

/// An update that demands nothing of the version that it replaces.
pub const UPDATE: How = How::Update { if_match: None };

/// The replica's folder.
pub fn dir() -> &'static Path {
    Path::new("/replica")
}

/// What a test calls a content by: its id, or the number that its id is made of.
pub trait Named {
    /// The content's id.
    fn id(self) -> ContentId;
}

impl Named for u64 {
    fn id(self) -> ContentId {
        id(self)
    }
}

impl Named for ContentId {
    fn id(self) -> ContentId {
        self
    }
}

/// The id of this number.
pub fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), NOW_MS, n)
}

/// Bytes that follow from `seed` alone.
pub fn body(seed: u64, length: usize) -> Bytes {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.bits().to_le_bytes());
    let bytes = words.take(length.div_ceil(8)).flatten().take(length);
    bytes.collect::<Vec<u8>>().into()
}

/// The hash of some bytes.
pub fn hash(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}

/// What an upload of these bytes says of them.
pub fn new_content(bytes: &[u8]) -> NewContent {
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
pub fn empty_disk() -> SimulatedDisk {
    disk_of(LOG)
}

fn disk_of(seed: u64) -> SimulatedDisk {
    let disk = SimulatedDisk::new(seed);
    disk.create_dir(dir()).expect("a healthy disk");
    disk.sync_dir(Path::new("/")).expect("a healthy disk");
    disk
}

/// Opens a log of the usual geometry on a disk.
///
/// # Errors
/// As [`Store::open_with`].
pub fn open(disk: &SimulatedDisk) -> Result<(Store, Recovery), OpenError> {
    Store::open_with(Arc::new(disk.clone()), dir(), LOG, GEOMETRY)
}

/// All bytes of an open content, read piece by piece.
///
/// # Errors
/// As [`OpenContent::read`].
pub fn read_all(open: &OpenContent) -> Result<Bytes, ReadError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < open.content().size {
        bytes.extend_from_slice(&open.read(bytes.len() as u64, 100_000)?);
    }
    Ok(bytes.into())
}

/// The next content that a walk shows, however many steps it is away; none at the end.
pub fn next_live(walk: &mut LiveWalk) -> Option<Content> {
    loop {
        match walk.step().expect("a healthy disk") {
            Walked::Content(content) => return Some(*content),
            Walked::On => {}
            Walked::End => return None,
        }
    }
}

/// A disk, and a store on it.
#[derive(Debug)]
pub struct Stage {
    /// What it lies on.
    pub disk: SimulatedDisk,
    /// The store itself.
    pub store: Store,
    /// The log's id.
    pub log: u64,
    /// The time that changes carry, in milliseconds since 1970; a test moves it on.
    pub now_ms: u64,
    geometry: Geometry,
    minted: u64,
}

impl Default for Stage {
    fn default() -> Self {
        Stage::new()
    }
}

impl Stage {
    /// A new log in its first epoch, which is committed.
    pub fn new() -> Stage {
        Stage::of(LOG, GEOMETRY)
    }

    /// As [`Stage::new`], of another log or of another size.
    pub fn of(log: u64, geometry: Geometry) -> Stage {
        let mut stage = Stage::bare(log, geometry);
        stage.lead();
        stage
    }

    /// A new log without a record.
    pub fn without_epoch() -> Stage {
        Stage::bare(LOG, GEOMETRY)
    }

    /// As [`Stage::without_epoch`], of another log or of another size. The log's id also decides
    /// what the disk's crashes leave.
    pub fn bare(log: u64, geometry: Geometry) -> Stage {
        let disk = disk_of(log);
        let opened = Store::open_with(Arc::new(disk.clone()), dir(), log, geometry);
        let (store, _) = opened.expect("an empty disk");
        Stage {
            disk,
            store,
            log,
            now_ms: NOW_MS,
            geometry,
            minted: 0,
        }
    }

    /// Begins the next epoch, and commits all that there is.
    pub fn lead(&mut self) {
        let epoch = self.store.positions().appended.epoch.next();
        self.begin(epoch.0);
        self.settle();
    }

    /// Begins an epoch.
    pub fn begin(&mut self, epoch: u64) -> Lsn {
        let begun = self.store.begin_epoch(Epoch(epoch), self.now_ms);
        begun.expect("a healthy disk")
    }

    /// An id that no content has yet, minted now.
    pub fn mint(&mut self) -> ContentId {
        self.minted += 1;
        ContentId::mint(ShardNo(1), self.now_ms, self.minted)
    }

    /// Stores these bytes.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub fn try_put(
        &mut self,
        name: impl Named,
        bytes: &Bytes,
        how: How,
    ) -> Result<Outcome, ChangeError> {
        let payload = Payload::new(bytes.clone());
        self.store
            .put(name.id(), new_content(bytes), how, payload, self.now_ms)
    }

    /// Appends a new content.
    pub fn put(&mut self, name: impl Named, bytes: &Bytes) -> Outcome {
        self.try_put(name, bytes, How::Create)
            .expect("there is room")
    }

    /// Appends a new content under a new id.
    pub fn append(&mut self, bytes: &Bytes) -> (ContentId, Outcome) {
        let id = self.mint();
        let outcome = self.put(id, bytes);
        (id, outcome)
    }

    /// Stores a new content under a new id, committed.
    pub fn stored(&mut self, bytes: &Bytes) -> ContentId {
        let (id, _) = self.append(bytes);
        self.settle();
        id
    }

    /// Appends the next version of a content.
    pub fn update(&mut self, name: impl Named, bytes: &Bytes) -> Outcome {
        self.try_put(name, bytes, UPDATE).expect("there is room")
    }

    /// Appends a delete.
    pub fn delete(&mut self, name: impl Named) -> Outcome {
        let deleted = self.store.delete(name.id(), None, self.now_ms);
        deleted.expect("there is such a content")
    }

    /// Appends all chunks of an upload; returns its name.
    ///
    /// # Errors
    /// As [`Store::first_chunk`] and [`Store::chunk`].
    pub fn begin_upload(
        &mut self,
        name: impl Named,
        bytes: &Bytes,
        chunk_bytes: usize,
        how: How,
    ) -> Result<Lsn, ChangeError> {
        let id = name.id();
        let mut upload = Lsn::ZERO;
        for (at, chunk) in bytes.chunks(chunk_bytes).enumerate() {
            let payload = Payload::new(bytes.slice_ref(chunk));
            if at == 0 {
                upload = self.store.first_chunk(id, &how, payload, self.now_ms)?;
            } else {
                let offset = (at * chunk_bytes) as u64;
                self.store.chunk(upload, offset, payload, self.now_ms)?;
            }
        }
        Ok(upload)
    }

    /// Closes an upload of these bytes.
    ///
    /// # Errors
    /// As [`Store::commit_upload`].
    pub fn close_upload(
        &mut self,
        upload: Lsn,
        bytes: &Bytes,
        how: How,
    ) -> Result<Outcome, ChangeError> {
        self.store
            .commit_upload(upload, new_content(bytes), how, self.now_ms)
    }

    /// Appends a whole upload in chunks.
    pub fn upload(&mut self, name: impl Named, bytes: &Bytes, chunk_bytes: usize) -> Outcome {
        let upload = self.begin_upload(name, bytes, chunk_bytes, How::Create);
        self.close_upload(upload.expect("there is room"), bytes, How::Create)
            .expect("there is room")
    }

    /// Stores a new content in chunks under a new id, committed.
    pub fn stored_in_chunks(&mut self, bytes: &Bytes, chunk_bytes: usize) -> ContentId {
        let id = self.mint();
        self.upload(id, bytes, chunk_bytes);
        self.settle();
        id
    }

    /// Makes everything that was appended durable.
    pub fn sync(&mut self) -> Lsn {
        if let Some(job) = self.store.flush().expect("a healthy disk") {
            self.store.synced(job.run()).expect("a healthy disk");
        }
        self.store.positions().synced
    }

    /// Makes everything durable, and commits it.
    pub fn settle(&mut self) -> Vec<Committed> {
        let synced = self.sync();
        let mut committed = Vec::new();
        self.store.commit_to(synced, &mut committed);
        committed
    }

    /// As [`Stage::settle`], and appends one more content, whose record tells of that commit.
    pub fn settle_known(&mut self) {
        self.settle();
        self.append(&Bytes::from_static(b"tells the commit"));
        self.sync();
    }

    /// Kills the process, and starts it again on the same disk.
    pub fn restart(&mut self) -> Recovery {
        self.restart_on(self.disk.kill())
    }

    /// Starts the process again on another disk.
    pub fn restart_on(&mut self, disk: SimulatedDisk) -> Recovery {
        let (stage, recovery) = self.opened_on(disk);
        *self = stage;
        recovery
    }

    /// The same log, started on another disk beside this one.
    pub fn on(&self, disk: SimulatedDisk) -> Stage {
        self.opened_on(disk).0
    }

    fn opened_on(&self, disk: SimulatedDisk) -> (Stage, Recovery) {
        let opened = Store::open_with(Arc::new(disk.clone()), dir(), self.log, self.geometry);
        let (store, recovery) = opened.expect("the log can be opened");
        let stage = Stage {
            disk,
            store,
            log: self.log,
            now_ms: self.now_ms + RESTART_MS,
            geometry: self.geometry,
            minted: self.minted,
        };
        (stage, recovery)
    }

    /// Carries out all chores that there are.
    ///
    /// # Panics
    /// When they never come to an end.
    pub fn upkeep(&mut self) {
        for _ in 0..UPKEEP_ROUNDS_MAX {
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
    ///
    /// # Errors
    /// When there is no such content, or it is damaged.
    pub fn read(&self, name: impl Named) -> Result<Bytes, ReadError> {
        read_all(&self.store.reader().open(name.id())?)
    }

    /// Where the record of this lsn starts: its segment, and the offset in it.
    ///
    /// # Panics
    /// When no header with this lsn is there.
    pub fn find_record(&self, lsn: Lsn) -> (std::path::PathBuf, u64) {
        find_record(&self.disk, self.log, lsn).expect("the record is there")
    }
}
