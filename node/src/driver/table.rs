//! What other threads may know of the replicas: snapshots that the disk thread publishes.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use store::{EpochStart, Reader, Usage};
use tokio::sync::Semaphore;
use uuid::Uuid;
use wire::ContentId;
use wire::position::{Epoch, Lsn, Position, ShardNo};
use wire::shard::{ShardRecord, ShardState};
use wire::stats::Space;

use crate::clock;

/// What this process may do in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody leads, or this node did in an earlier process.
    Idle,
    /// Another node leads.
    Following,
    /// It is elected, and its epoch's first record is not committed yet.
    Elected,
    /// It leads.
    Leading,
    /// Its log failed: it acknowledges nothing any more.
    Poisoned,
}

/// One replica, as it stood when this was published.
#[derive(Clone, Debug)]
pub struct ReplicaView {
    /// Which shard.
    pub shard: ShardNo,
    /// The replica's UUID.
    pub replica: Uuid,
    /// The record that it obeys; none before the first.
    pub record: Option<ShardRecord>,
    /// What this process may do in it.
    pub standing: Standing,
    /// Its log's name.
    pub log: u64,
    /// Its committed contents.
    pub reader: Reader,
    /// Its positions and sizes, which move all the time.
    pub gauge: Arc<ReplicaGauge>,
}

impl ReplicaView {
    /// Whether it may serve what it has committed, at this moment.
    pub fn is_readable(&self) -> bool {
        clock::monotone_ms() < self.gauge.readable_until_ms.load(Ordering::Acquire)
    }

    /// Whether it knows for sure what there is and what there is not.
    pub fn is_leading(&self) -> bool {
        self.standing == Standing::Leading
    }

    /// Whether it will soon lead, or know its leader, or be told that there is none: neither can
    /// be said at this moment.
    pub fn is_unsettled(&self) -> bool {
        match self.standing {
            Standing::Idle | Standing::Elected => true,
            Standing::Following => self.gauge.is_outside(),
            Standing::Leading => !self.is_readable(),
            Standing::Poisoned => false,
        }
    }

    /// Whether it serves as soon as somebody asks: its set is too small to commit, and the first request
    /// that needs a commit has it go on degraded.
    pub fn serves_when_asked(&self) -> bool {
        matches!(self.standing, Standing::Leading | Standing::Elected)
            && self
                .record
                .as_ref()
                .is_some_and(|record| !replica::can_commit(record))
    }

    /// Whether new contents may be stored here.
    pub fn is_open(&self) -> bool {
        self.is_leading() && self.is_to_be_open()
    }

    /// Whether new contents may be stored here, or as soon as the epoch has begun: they wait for it.
    pub fn is_to_be_open(&self) -> bool {
        matches!(self.standing, Standing::Leading | Standing::Elected)
            && self
                .record
                .as_ref()
                .is_some_and(|record| record.state == ShardState::Open)
    }
}

/// Positions and sizes of one replica.
#[derive(Debug, Default)]
pub struct ReplicaGauge {
    measures: Mutex<Measures>,
    listed: AtomicU64,
    /// Since when nothing was listed although something waits for it, by the monotone clock; 0 while
    /// nothing waits.
    unlisted_since_ms: AtomicU64,
    /// Until when what is committed may be served, by the monotone clock.
    readable_until_ms: AtomicU64,
    /// The least that may still be stored at the nodes of the set, in bytes.
    copies_free_bytes: AtomicU64,
    /// A follower that its leader has not let in.
    is_outside: AtomicBool,
    /// Somebody waits for a commit, and the disk thread has not looked since.
    needs_commit: AtomicBool,
    /// What a follower has of each id that its leader may have committed already.
    pending: Mutex<HashMap<ContentId, Lsn>>,
    /// The room for chunks that are not appended, or that followers are far behind of.
    chunk_room: ChunkRoom,
}

/// A shard's chunks that are on their way, wait until it takes writes, or are held back: half of what the
/// node has room for, so that no shard that is slow keeps the others waiting.
pub(super) const CHUNKS_OF_SHARD_MAX: usize = 16;

#[derive(Debug)]
struct ChunkRoom(Arc<Semaphore>);

impl Default for ChunkRoom {
    fn default() -> Self {
        ChunkRoom(Arc::new(Semaphore::new(CHUNKS_OF_SHARD_MAX)))
    }
}

/// One reading of a [`ReplicaGauge`].
#[derive(Clone, Debug)]
pub struct Measures {
    /// The last record that is synced.
    pub end: Position,
    /// The last record that is committed.
    pub committed: Lsn,
    /// Where something was dropped that a catalog might still need to learn.
    pub horizon: Lsn,
    /// Whether nothing is missing below the end: a copy that began from nothing has all only later.
    pub complete: bool,
    /// The epochs of the log, and where each begins.
    pub epochs: Arc<[EpochStart]>,
    /// Contents and space.
    pub usage: Usage,
}

impl ReplicaGauge {
    /// The shard's room for chunks.
    pub(super) fn chunk_room(&self) -> Arc<Semaphore> {
        Arc::clone(&self.chunk_room.0)
    }

    /// The last reading.
    pub fn measures(&self) -> Measures {
        self.measures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Measures)) {
        let mut measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut measures);
        self.note_unlisted(measures.committed);
    }

    /// How long nothing was listed although something waits for it, in milliseconds.
    pub fn unlisted_ms(&self) -> u64 {
        match self.unlisted_since_ms.load(Ordering::Relaxed) {
            0 => 0,
            since => clock::monotone_ms().saturating_sub(since),
        }
    }

    fn note_unlisted(&self, committed: Lsn) {
        if committed <= self.listed() {
            self.unlisted_since_ms.store(0, Ordering::Relaxed);
        } else if self.unlisted_since_ms.load(Ordering::Relaxed) == 0 {
            let now = clock::monotone_ms();
            self.unlisted_since_ms.store(now, Ordering::Relaxed);
        }
    }

    pub(super) fn set_readable_until(&self, until_ms: u64) {
        self.readable_until_ms.store(until_ms, Ordering::Release);
    }

    pub(super) fn set_copies_free_bytes(&self, bytes: u64) {
        self.copies_free_bytes.store(bytes, Ordering::Release);
    }

    /// What may still be stored at every node of the set, in bytes, as far as they have said.
    pub fn copies_free_bytes(&self) -> u64 {
        self.copies_free_bytes.load(Ordering::Acquire)
    }

    pub(super) fn set_outside(&self, is_outside: bool) {
        self.is_outside.store(is_outside, Ordering::Release);
    }

    /// Somebody waits for a leader whose set is too small to commit anything; whether that is news to
    /// the disk thread.
    pub(super) fn need_commit(&self) -> bool {
        !self.needs_commit.swap(true, Ordering::AcqRel)
    }

    /// Whether anybody has waited for a commit since this was asked last.
    pub(super) fn take_need(&self) -> bool {
        self.needs_commit.load(Ordering::Relaxed) && self.needs_commit.swap(false, Ordering::AcqRel)
    }

    /// Whether this is a follower that its leader has not let in.
    pub fn is_outside(&self) -> bool {
        self.is_outside.load(Ordering::Acquire)
    }

    /// A follower has a record of this id that is not known committed.
    pub(super) fn set_pending(&self, id: ContentId, lsn: Lsn) {
        self.pending().insert(id, lsn);
    }

    /// Records up to here are known committed.
    pub(super) fn settle_pending(&self, committed: Lsn) {
        self.pending().retain(|_, lsn| *lsn > committed);
    }

    /// The log was cut behind `lsn`: what came after it is not pending any more.
    pub(super) fn cut_pending(&self, end: Lsn) {
        self.pending().retain(|_, lsn| *lsn <= end);
    }

    /// Whether only the leader knows the present state of this content.
    pub fn is_pending(&self, id: ContentId) -> bool {
        self.pending().contains_key(&id)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<ContentId, Lsn>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last record that the catalog is known to have.
    pub fn listed(&self) -> Lsn {
        Lsn(self.listed.load(Ordering::Acquire))
    }

    /// Notes where the catalog is.
    pub fn set_listed(&self, listed: Lsn) {
        // What still waits is younger than what was listed just now.
        let has_moved = self.listed.swap(listed.0, Ordering::AcqRel) < listed.0;
        self.note_progress(has_moved);
    }

    /// Listing goes on, although the catalog is not further yet: it is shown everything, or this
    /// process only begins to lead.
    pub(crate) fn listing_goes_on(&self) {
        self.note_progress(true);
    }

    fn note_progress(&self, has_moved: bool) {
        // What is committed does not change in between.
        let measures = self.measures.lock().unwrap_or_else(PoisonError::into_inner);
        if has_moved {
            self.unlisted_since_ms.store(0, Ordering::Relaxed);
        }
        self.note_unlisted(measures.committed);
    }
}

impl Default for Measures {
    fn default() -> Self {
        let usage = Usage {
            space: Space::default(),
            contents: 0,
            damaged: 0,
        };
        Measures {
            end: Position::default(),
            committed: Lsn::ZERO,
            horizon: Lsn::ZERO,
            complete: true,
            epochs: Arc::default(),
            usage,
        }
    }
}

impl Measures {
    /// The epoch that the record at `lsn` was appended in; zero before the first record.
    pub fn epoch_at(&self, lsn: Lsn) -> Epoch {
        let after = self.epochs.partition_point(|start| start.first <= lsn);
        match after.checked_sub(1) {
            Some(index) => self.epochs[index].epoch,
            None => Epoch::ZERO,
        }
    }

    /// The position of the record at `lsn`.
    pub fn position(&self, lsn: Lsn) -> Position {
        Position {
            epoch: self.epoch_at(lsn),
            lsn,
        }
    }

    /// Whether `position` is of a later epoch than any in this log: a later leader's.
    pub fn is_before(&self, position: Position) -> bool {
        let last = self.epochs.last().map_or(Epoch::ZERO, |start| start.epoch);
        position.epoch > last
    }

    /// Whether a catalog at `position` can go on by following the log: the position is in its
    /// committed history, and nothing above it was dropped.
    pub fn can_follow(&self, position: Position) -> bool {
        position.lsn <= self.committed
            && position.lsn >= self.horizon
            && self.epoch_at(position.lsn) == position.epoch
    }
}

/// Every replica that this node holds.
#[derive(Clone, Default)]
pub struct Table(Arc<RwLock<Arc<Replicas>>>);

/// The replicas by shard.
pub type Replicas = BTreeMap<ShardNo, Arc<ReplicaView>>;

impl Table {
    /// The replicas at this moment.
    pub fn replicas(&self) -> Arc<Replicas> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One replica.
    pub fn replica(&self, shard: ShardNo) -> Option<Arc<ReplicaView>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&shard)
            .cloned()
    }

    /// Whether another node has, or is to have, a copy of anything here.
    pub fn has_others(&self) -> bool {
        let replicas = self.replicas();
        let mut records = replicas.values().filter_map(|view| view.record.as_ref());
        records.any(|record| record.replicas.len() > 1)
    }

    pub(super) fn remove(&self, shard: ShardNo) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut current).remove(&shard);
    }

    pub(super) fn publish(&self, view: ReplicaView) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut current).insert(view.shard, Arc::new(view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Measures {
        let start = |epoch, first| EpochStart {
            epoch: Epoch(epoch),
            first: Lsn(first),
        };
        Measures {
            committed: Lsn(20),
            horizon: Lsn(4),
            epochs: [start(1, 1), start(3, 10)].into(),
            ..Measures::default()
        }
    }

    fn position(epoch: u64, lsn: u64) -> Position {
        Position {
            epoch: Epoch(epoch),
            lsn: Lsn(lsn),
        }
    }

    // If this fails, a listing that stands still wakes nobody, or one that goes on somebody.
    #[test]
    fn a_stalled_listing_is_one_that_does_not_move() {
        let gauge = ReplicaGauge::default();
        let pause = || std::thread::sleep(std::time::Duration::from_millis(30));
        let commit = |lsn| gauge.update(|measures| measures.committed = Lsn(lsn));
        pause();
        assert_eq!(gauge.unlisted_ms(), 0, "nothing waits");
        commit(2);
        pause();
        commit(3);
        assert!(gauge.unlisted_ms() >= 20, "since the first that waits");
        gauge.set_listed(Lsn(2));
        assert!(gauge.unlisted_ms() < 20, "it moves");
        pause();
        gauge.set_listed(Lsn(2));
        assert!(gauge.unlisted_ms() >= 20, "it did not move");
        gauge.listing_goes_on();
        assert!(
            gauge.unlisted_ms() < 20,
            "a part of a walk, or a new leader"
        );
        pause();
        assert!(gauge.unlisted_ms() >= 20, "and no further one");
        gauge.set_listed(Lsn(3));
        pause();
        assert_eq!(gauge.unlisted_ms(), 0, "all is listed");
    }

    // If this fails, the catalog applies operations of another history, or misses some.
    #[test]
    fn a_catalog_follows_only_from_a_position_of_this_history() {
        let measures = measures();
        assert!(measures.can_follow(position(1, 4)));
        assert!(measures.can_follow(position(1, 9)));
        assert!(measures.can_follow(position(3, 10)));
        assert!(measures.can_follow(position(3, 20)));
        assert!(!measures.can_follow(position(1, 3)), "below the horizon");
        assert!(!measures.can_follow(position(1, 10)), "of another epoch");
        assert!(!measures.can_follow(position(3, 21)), "not committed");
        assert!(measures.is_before(position(4, 1)));
        assert!(!measures.is_before(position(3, 99)));
        let fresh = Measures {
            horizon: Lsn::ZERO,
            ..measures
        };
        assert!(
            fresh.can_follow(Position::default()),
            "an empty catalog of a whole log"
        );
    }
}
