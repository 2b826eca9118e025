//! A small store on a simulated disk, and short ways to say what a test does with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use store::disk::Disk;
use store::disk::simulated::{Random, SimulatedDisk};
use store::{
    ChangeError, Committed, Geometry, How, NewContent, OpenContent, Outcome, Payload, ReadError,
    Recovery, Store,
};
use wire::{Checksum, ContentId, Epoch, Lsn, ShardNo};

/// The log id of every log that a test calls its own.
pub(crate) const LOG: u64 = 0x0acc_1a1d_0acc_1a1d;

/// Now, on every stage.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// How long a restart takes.
const RESTART_MS: u64 = 1_000;

pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Small enough that a test fills a segment, large enough for some large contents.
pub(crate) const GEOMETRY: Geometry = Geometry {
    segment_bytes: 1 << 20,
    allocate_bytes: 128 << 10,
    reserve_bytes: 64 << 10,
};

/// The replica's directory.
pub(crate) fn dir() -> PathBuf {
    Path::new("/replica").to_owned()
}

/// A disk, and a store on it.
pub(crate) struct Stage {
    pub(crate) disk: SimulatedDisk,
    pub(crate) store: Store,
    pub(crate) log: u64,
    pub(crate) now_ms: u64,
    minted: u64,
}

impl Stage {
    /// A new log in its first epoch.
    pub(crate) fn new() -> Stage {
        Self::of_log(LOG)
    }

    /// A new log of this id, in its first epoch.
    pub(crate) fn of_log(log: u64) -> Stage {
        let mut stage = Self::without_epoch(log);
        stage.epoch(1);
        stage.settle();
        stage
    }

    /// A new log without a record.
    pub(crate) fn without_epoch(log: u64) -> Stage {
        let disk = SimulatedDisk::new(log);
        disk.create_dir(&dir()).expect("an empty disk");
        disk.sync_dir(Path::new("/")).expect("an empty disk");
        let opened = Store::open_with(Arc::new(disk.clone()), &dir(), log, GEOMETRY);
        let (store, _) = opened.expect("an empty disk");
        Stage {
            disk,
            store,
            log,
            now_ms: NOW_MS,
            minted: 0,
        }
    }

    /// Begins an epoch.
    pub(crate) fn epoch(&mut self, epoch: u64) {
        self.store
            .begin_epoch(Epoch(epoch), self.now_ms)
            .expect("a healthy disk");
    }

    /// Stops the process and starts it again.
    pub(crate) fn restart(self) -> Stage {
        self.restart_reporting().0
    }

    pub(crate) fn restart_reporting(self) -> (Stage, Recovery) {
        let Stage {
            disk,
            store,
            log,
            now_ms,
            minted,
        } = self;
        drop(store);
        let disk = disk.kill();
        let opened = Store::open_with(Arc::new(disk.clone()), &dir(), log, GEOMETRY);
        let (store, recovery) = opened.expect("the log can be opened");
        let now_ms = now_ms + RESTART_MS;
        (
            Stage {
                disk,
                store,
                log,
                now_ms,
                minted,
            },
            recovery,
        )
    }

    /// Leads in a new epoch, which commits all that a restart found.
    pub(crate) fn lead(&mut self) {
        let epoch = self.store.positions().appended.epoch;
        self.epoch(epoch.0 + 1);
        self.settle();
    }

    /// The same store's restart on another disk.
    pub(crate) fn on(&self, disk: SimulatedDisk) -> Stage {
        let opened = Store::open_with(Arc::new(disk.clone()), &dir(), self.log, GEOMETRY);
        let (store, _) = opened.expect("the log can be opened");
        Stage {
            disk,
            store,
            log: self.log,
            now_ms: self.now_ms,
            minted: self.minted,
        }
    }

    /// A new id.
    pub(crate) fn id(&mut self) -> ContentId {
        self.minted += 1;
        ContentId::mint(ShardNo(1), self.now_ms, self.minted)
    }

    /// Appends a new content.
    pub(crate) fn append(&mut self, bytes: &Bytes) -> (ContentId, Outcome) {
        let id = self.id();
        let outcome = self.try_put(id, bytes, How::Create).expect("there is room");
        (id, outcome)
    }

    pub(crate) fn try_put(
        &mut self,
        id: ContentId,
        bytes: &Bytes,
        how: How,
    ) -> Result<Outcome, ChangeError> {
        let payload = Payload::new(bytes.clone());
        self.store
            .put(id, new_content(bytes), how, payload, self.now_ms)
    }

    /// Appends a delete.
    pub(crate) fn delete(&mut self, id: ContentId) -> Outcome {
        self.store
            .delete(id, None, self.now_ms)
            .expect("a healthy disk")
    }

    /// Stores a new content, committed.
    pub(crate) fn stored(&mut self, bytes: &Bytes) -> ContentId {
        let (id, _) = self.append(bytes);
        self.settle();
        id
    }

    /// Stores a new content in chunks, committed.
    pub(crate) fn stored_in_chunks(&mut self, bytes: &Bytes, chunk_bytes: usize) -> ContentId {
        let id = self.id();
        let mut chunks = bytes
            .chunks(chunk_bytes)
            .map(Bytes::copy_from_slice)
            .map(Payload::new);
        let first = chunks.next().expect("it has bytes");
        let upload = self.store.first_chunk(id, &How::Create, first, self.now_ms);
        let upload = upload.expect("there is room");
        let mut offset = chunk_bytes as u64;
        for chunk in chunks {
            let sent = chunk.len() as u64;
            self.store
                .chunk(upload, offset, chunk, self.now_ms)
                .expect("there is room");
            offset += sent;
        }
        let new = new_content(bytes);
        self.store
            .commit_upload(upload, new, How::Create, self.now_ms)
            .expect("there is room");
        self.settle();
        id
    }

    /// Makes everything that was appended durable.
    pub(crate) fn sync(&mut self) -> Lsn {
        if let Some(job) = self.store.flush().expect("a healthy disk") {
            self.store.synced(job.run()).expect("a healthy disk");
        }
        self.store.positions().synced
    }

    /// Makes everything durable and commits it.
    pub(crate) fn settle(&mut self) -> Vec<Committed> {
        let synced = self.sync();
        let mut committed = Vec::new();
        self.store.commit_to(synced, &mut committed);
        committed
    }

    /// As `settle`, and once more, so that the log itself tells that the first was committed.
    pub(crate) fn settle_known(&mut self) {
        self.settle();
        self.append(&Bytes::from_static(b"tells the commit"));
        self.sync();
    }

    /// Carries out all chores that there are.
    pub(crate) fn upkeep(&mut self) {
        for _ in 0..200 {
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
    pub(crate) fn read(&self, id: ContentId) -> Result<Bytes, ReadError> {
        read_all(&self.store.reader().open(id)?)
    }

    /// Where the record of this lsn starts: its segment, and the offset in it.
    pub(crate) fn find_record(&self, lsn: Lsn) -> (PathBuf, u64) {
        for path in segments(&self.disk) {
            let bytes = contents(&self.disk, &path);
            let starts = (0..bytes.len().saturating_sub(128)).step_by(8);
            let mut found = starts.filter(|at| is_record(&bytes[*at..], self.log, lsn));
            if let Some(at) = found.next() {
                return (path, at as u64);
            }
        }
        panic!("no record {lsn} is there");
    }
}

/// Whether a record's header with this log id and lsn stands at the start of `bytes`.
fn is_record(bytes: &[u8], log: u64, lsn: Lsn) -> bool {
    bytes[..4] == *b"AqRc"
        && bytes[8..16] == log.to_le_bytes()
        && bytes[16..24] == lsn.0.to_le_bytes()
}

/// What an upload of these bytes says of them.
pub(crate) fn new_content(bytes: &Bytes) -> NewContent {
    NewContent {
        filename: "file.bin".to_owned(),
        content_type: "application/octet-stream".to_owned(),
        collection: None,
        attributes: None,
        size: bytes.len() as u64,
        checksum: Checksum(*blake3::hash(bytes).as_bytes()),
    }
}

/// Bytes of this length, another sequence for each `seed`.
pub(crate) fn some_bytes(len: usize, seed: u64) -> Bytes {
    let mut random = Random::new(seed);
    let words = std::iter::repeat_with(|| random.bits().to_le_bytes()).take(len.div_ceil(8));
    words.flatten().take(len).collect::<Vec<u8>>().into()
}

pub(crate) fn read_all(open: &OpenContent) -> Result<Bytes, ReadError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < open.content().size {
        bytes.extend_from_slice(&open.read(bytes.len() as u64, 1 << 20)?);
    }
    Ok(bytes.into())
}

/// The paths of the segment files, oldest first.
pub(crate) fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let mut names = disk.list(&dir()).expect("a healthy disk");
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names.into_iter().map(|name| dir().join(name)).collect()
}

/// All bytes of a file.
pub(crate) fn contents(disk: &SimulatedDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("it is there");
    let mut bytes = vec![0; usize::try_from(file.len().expect("healthy")).expect("small")];
    file.read_at(&mut bytes, 0).expect("a healthy disk");
    bytes
}

/// The files in quarantine.
pub(crate) fn quarantined(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let quarantine = dir().join("quarantine");
    let names = disk.list(&quarantine).expect("a healthy disk");
    names
        .into_iter()
        .map(|name| quarantine.join(name))
        .collect()
}
