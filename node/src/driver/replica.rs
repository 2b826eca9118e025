//! One replica on the disk thread: its log, and who waits for it.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use store::{AppendError, ChangeError, Committed, How, Payload, ReadError, Reader, Store, SyncJob};
use uuid::Uuid;
use wire::content::Status;
use wire::position::{Epoch, Lsn, Position, ShardNo};
use wire::shard::{ShardRecord, ShardState};
use wire::{ContentId, stats::Space};

use super::command::{ChangeFailure, ChangeRequest, Unlisted, Wait, What};
use super::table::{ReplicaGauge, ReplicaView, Standing};
use crate::lister::Feed;
use crate::membership::duty::{self, Me};

/// Appended bytes that may wait for a sync that nobody asked for. Above this a round syncs, so
/// that a small upload never waits for someone's gigabyte.
const UNSYNCED_BYTES_MAX: u64 = 8 << 20;

pub(super) struct Replica {
    pub(super) shard: ShardNo,
    pub(super) replica: Uuid,
    pub(super) store: Store,
    pub(super) record: Option<ShardRecord>,
    pub(super) standing: Standing,
    /// The first record of the epoch that this process was elected for.
    pub(super) epoch_start: Option<Lsn>,
    pub(super) gauge: Arc<ReplicaGauge>,
    reader: Reader,
    /// In the order of their lsns, but for repeated requests, which wait no longer for it.
    waiting: VecDeque<Unlisted>,
    committed: Vec<Committed>,
    /// What it takes on the disk, when it was last measured.
    used: u64,
    /// Uploads of which a chunk was refused: what comes after it cannot be appended.
    broken: HashSet<Lsn>,
}

impl Replica {
    pub(super) fn new(
        shard: ShardNo,
        replica: Uuid,
        store: Store,
        record: Option<ShardRecord>,
    ) -> Self {
        let reader = store.reader();
        Replica {
            shard,
            replica,
            store,
            record,
            standing: Standing::Idle,
            epoch_start: None,
            gauge: Arc::default(),
            reader,
            waiting: VecDeque::new(),
            committed: Vec::new(),
            used: 0,
            broken: HashSet::new(),
        }
    }

    /// What other threads may know of it.
    pub(super) fn view(&self, me: &Me) -> ReplicaView {
        let readable = self
            .record
            .as_ref()
            .is_some_and(|record| duty::may_read(me, self.replica, record));
        ReplicaView {
            shard: self.shard,
            replica: self.replica,
            record: self.record.clone(),
            standing: self.standing,
            readable,
            reader: self.reader.clone(),
            gauge: Arc::clone(&self.gauge),
        }
    }

    /// The epoch of the last record.
    pub(super) fn last_epoch(&self) -> Epoch {
        self.store.positions().appended.epoch
    }

    /// What it took on the disk when it was last measured, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.used
    }

    /// Appends a change; its requester then waits for [`Replica::acknowledge`].
    pub(super) fn change(&mut self, request: ChangeRequest, now_ms: u64) {
        let ChangeRequest {
            id,
            what,
            wait,
            reply,
        } = request;
        let outcome = match self.standing {
            Standing::Leading => self.append(id, what, now_ms),
            Standing::Idle | Standing::Elected | Standing::Poisoned => Err(ChangeFailure::NotLed),
        };
        match outcome {
            Ok(outcome) => {
                self.waiting
                    .push_back(Unlisted::new(id, outcome, wait, reply));
            }
            Err(failure) => {
                if reply.send(Err(failure)).is_err() {
                    tracing::trace!(%id, "nobody waits for this refusal any more");
                }
            }
        }
    }

    fn append(
        &mut self,
        id: ContentId,
        what: What,
        now_ms: u64,
    ) -> Result<store::Outcome, ChangeFailure> {
        let outcome = match what {
            What::Put { new, how, payload } => {
                self.check_open(id, how)?;
                self.store.put(id, new, how, payload, now_ms)
            }
            What::Commit { upload, new, how } => self.store.commit_upload(upload, new, how, now_ms),
            What::Describe { change, if_match } => {
                self.store.describe(id, change, if_match, now_ms)
            }
            What::Delete { if_match } => self.store.delete(id, if_match, now_ms),
        };
        Ok(outcome?)
    }

    /// Begins a chunked upload.
    pub(super) fn first_chunk(
        &mut self,
        id: ContentId,
        how: How,
        payload: Payload,
        now_ms: u64,
    ) -> Result<Lsn, ChangeFailure> {
        self.check_open(id, how)?;
        Ok(self.store.first_chunk(id, &how, payload, now_ms)?)
    }

    /// Appends a later chunk. Once one was refused, those behind it have no place.
    pub(super) fn chunk(
        &mut self,
        upload: Lsn,
        offset: u64,
        payload: Payload,
        now_ms: u64,
    ) -> Result<Lsn, ChangeFailure> {
        if self.broken.contains(&upload) {
            return Err(ChangeError::NoSuchUpload.into());
        }
        let appended = self.store.chunk(upload, offset, payload, now_ms);
        if appended.is_err() {
            self.broken.insert(upload);
        }
        Ok(appended?)
    }

    /// Ends an upload without a content.
    pub(super) fn abort(&mut self, upload: Lsn, now_ms: u64) -> Result<(), AppendError> {
        self.broken.remove(&upload);
        self.store.abort(upload, now_ms)
    }

    /// Refuses new contents in a closed shard; a retry of one that is stored gets its receipt.
    fn check_open(&self, id: ContentId, how: How) -> Result<(), ChangeFailure> {
        let closed = self
            .record
            .as_ref()
            .is_none_or(|record| record.state == ShardState::Closed);
        let is_new = || matches!(self.reader.open_cached(id), Err(ReadError::NotFound));
        match how {
            How::Create if closed && is_new() => Err(ChangeFailure::ShardClosed),
            How::Create | How::Update { .. } => Ok(()),
        }
    }

    /// Whether the next round must sync this log.
    pub(super) fn wants_sync(&self) -> bool {
        let positions = self.store.positions();
        let awaited = !self.waiting.is_empty() || self.epoch_start.is_some();
        let unsynced = positions.appended.lsn > positions.synced;
        let due = awaited || self.store.unsynced_bytes() > UNSYNCED_BYTES_MAX;
        unsynced && due
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&mut self) -> Result<Option<SyncJob>, store::Poisoned> {
        self.store.flush()
    }

    /// Commits what the record allows, given what is synced.
    pub(super) fn commit(&mut self, me: &Me) {
        let positions = self.store.positions();
        let point = self
            .record
            .as_ref()
            .and_then(|record| duty::commit_point(me, self.replica, record, positions.synced));
        if let Some(point) = point.filter(|point| *point > positions.committed) {
            self.store.commit_to(point, &mut self.committed);
        }
    }

    /// Answers everyone whose change is committed, or passes them on to wait for its listing.
    /// Gives the number of changes that are committed now.
    pub(super) fn acknowledge(&mut self, feed: &Feed) -> usize {
        let committed = self.store.positions().committed;
        let listed = self.gauge.listed();
        let mut unlisted = Vec::new();
        let mut answered = 0;
        let is_committed = |first: &Unlisted| first.outcome.lsn <= committed;
        while self.waiting.front().is_some_and(is_committed) {
            let Some(mut first) = self.waiting.pop_front() else {
                break;
            };
            answered += 1;
            first.since = Instant::now();
            match first.wait {
                _ if first.outcome.lsn <= listed => first.answer(Status::Ok),
                Wait::Committed => first.answer(Status::Pending),
                Wait::Briefly if feed.is_away() => first.answer(Status::Pending),
                Wait::Briefly | Wait::Listed => unlisted.push(first),
            }
        }
        let changes = std::mem::take(&mut self.committed);
        if self.standing == Standing::Leading && !(changes.is_empty() && unlisted.is_empty()) {
            feed.committed(self.shard, committed, changes, unlisted);
        }
        answered
    }

    /// Shows the positions and sizes as they are now.
    pub(super) fn measure(&mut self) {
        let positions = self.store.positions();
        let usage = self.store.usage();
        self.used = stored_bytes(&usage.space);
        self.gauge.update(|measures| {
            let epoch = match positions.synced == positions.appended.lsn {
                true => positions.appended.epoch,
                false => measures.epoch_at(positions.synced),
            };
            measures.end = Position {
                epoch,
                lsn: positions.synced,
            };
            measures.committed = positions.committed;
            measures.horizon = positions.horizon;
            measures.usage = usage;
            if measures.epochs.len() != self.store.epochs().len() {
                measures.epochs = self.store.epochs().into();
            }
        });
    }

    /// Fails everyone who waits: their changes may become durable, or not.
    pub(super) fn lose(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.fail(ChangeFailure::Lost);
        }
    }
}

/// What a log takes on the disk, in bytes.
fn stored_bytes(space: &Space) -> u64 {
    (space.log + space.index).saturating_sub(space.holes)
}
