//! What the store's owner and its readers share. The owner writes, readers only read and pin.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use wire::Lsn;

use crate::damage::KnownDamage;
use crate::index::{Index, Place};
use crate::segment::Segment;

/// Index, segments, pins and known damage of one log.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) log: u64,
    pub(crate) index: Index,
    segments: RwLock<Segments>,
    /// How many readers hold a record's payload; by the lsn that the index leads to.
    pins: Mutex<HashMap<Lsn, u32>>,
    damage: Mutex<KnownDamage>,
    /// Uploads, by their first chunks, that are open, or whose end is not committed.
    uploads: Mutex<BTreeSet<Lsn>>,
    /// Contents of which a change was applied whose predecessor is not here, though older records are.
    gaps: Mutex<HashSet<[u8; 16]>>,
    committed: AtomicU64,
    written: AtomicU64,
    /// The highest lsn of a delete that was dropped, or is about to be.
    horizon: AtomicU64,
    /// Whether there are suspects at all: asked on every read.
    suspects: AtomicBool,
    /// The last lost record that may be anybody's: asked on every read.
    unnamed_until: AtomicU64,
}

#[derive(Debug, Default)]
struct Segments {
    by_number: HashMap<u32, Arc<Segment>>,
    by_first: BTreeMap<Lsn, Arc<Segment>>,
}

impl Shared {
    pub(crate) fn new(log: u64) -> Shared {
        Shared {
            log,
            index: Index::new(),
            segments: RwLock::default(),
            pins: Mutex::default(),
            damage: Mutex::default(),
            uploads: Mutex::default(),
            gaps: Mutex::default(),
            committed: AtomicU64::new(0),
            written: AtomicU64::new(0),
            horizon: AtomicU64::new(0),
            suspects: AtomicBool::new(false),
            unnamed_until: AtomicU64::new(0),
        }
    }

    /// A follower that catches up is not sent what is dead by then. Of this content it lacks the link
    /// between an older record, which it has, and a later one.
    pub(crate) fn note_gap(&self, id: [u8; 16]) {
        self.gaps().insert(id);
    }

    /// Whether older records of a content may be here, although no chain of changes leads to them.
    pub(crate) fn has_gap(&self, id: &[u8; 16]) -> bool {
        self.gaps().contains(id)
    }

    fn gaps(&self) -> MutexGuard<'_, HashSet<[u8; 16]>> {
        self.gaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn committed(&self) -> Lsn {
        Lsn(self.committed.load(Ordering::Acquire))
    }

    pub(crate) fn set_committed(&self, lsn: Lsn) {
        self.committed.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn horizon(&self) -> Lsn {
        Lsn(self.horizon.load(Ordering::Acquire))
    }

    /// Deletes up to here may be gone: told before they are.
    pub(crate) fn raise_horizon(&self, lsn: Lsn) {
        self.horizon.fetch_max(lsn.0, Ordering::AcqRel);
    }

    /// An upload began.
    pub(crate) fn begin_upload(&self, first: Lsn) {
        self.uploads().insert(first);
    }

    /// An upload's end is committed, or its chunks were cut off.
    pub(crate) fn end_upload(&self, first: Lsn) {
        self.uploads().remove(&first);
    }

    /// Whether an upload is open, or its end is not committed.
    pub(crate) fn may_become_content(&self, first: Lsn) -> bool {
        self.uploads().contains(&first)
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeSet<Lsn>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last record that is in its file; those above it are in the owner's buffer.
    pub(crate) fn written(&self) -> Lsn {
        Lsn(self.written.load(Ordering::Acquire))
    }

    pub(crate) fn set_written(&self, lsn: Lsn) {
        self.written.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn add_segment(&self, segment: &Arc<Segment>) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        segments
            .by_number
            .insert(segment.number, Arc::clone(segment));
        segments
            .by_first
            .insert(segment.name.first, Arc::clone(segment));
    }

    /// Takes a segment out, unless another one covers its lsns already: then only its number.
    pub(crate) fn remove_segment(&self, segment: &Segment) {
        let mut segments = self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        segments.by_number.remove(&segment.number);
        let same = segments
            .by_first
            .get(&segment.name.first)
            .map(|other| other.number);
        if same == Some(segment.number) {
            segments.by_first.remove(&segment.name.first);
        }
    }

    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.by_number.get(&number).cloned()
    }

    /// The segment that covers an lsn.
    pub(crate) fn segment_of(&self, lsn: Lsn) -> Option<Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments
            .by_first
            .range(..=lsn)
            .next_back()
            .map(|(_, segment)| Arc::clone(segment))
    }

    /// The segments that cover lsns from `first` on, and begin before `end`.
    pub(crate) fn segments_between(&self, first: Lsn, end: Lsn) -> Vec<Arc<Segment>> {
        if first >= end {
            return Vec::new();
        }
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let covers = segments.by_first.range(..=first).next_back();
        let from = covers.map_or(first, |(begins, _)| *begins);
        let between = segments.by_first.range(from..end);
        between.map(|(_, segment)| Arc::clone(segment)).collect()
    }

    /// Whether a place is behind another one in the log.
    pub(crate) fn is_behind(&self, place: Place, other: Place) -> bool {
        if place.segment() == other.segment() {
            return place.start() > other.start();
        }
        let first = |place: Place| self.segment(place.segment()).map(|s| s.name.first);
        first(place) > first(other)
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<Lsn, u32>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pin(&self, lsn: Lsn) {
        *self.pins().entry(lsn).or_default() += 1;
    }

    pub(crate) fn unpin(&self, lsn: Lsn) {
        let mut pins = self.pins();
        if let Some(count) = pins.get_mut(&lsn) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&lsn);
            }
        }
    }

    pub(crate) fn is_pinned(&self, lsn: Lsn) -> bool {
        self.pins().contains_key(&lsn)
    }

    /// What is known to be damaged.
    pub(crate) fn damage(&self) -> MutexGuard<'_, KnownDamage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record whose header is damaged seems to be this content's.
    pub(crate) fn note_suspect(&self, id: [u8; 16]) {
        self.damage().suspect(id);
        self.suspects.store(true, Ordering::Release);
    }

    /// Whether the index may be out of date for this content.
    pub(crate) fn is_suspect(&self, id: &[u8; 16]) -> bool {
        self.suspects.load(Ordering::Acquire) && self.damage().is_suspect(id)
    }

    /// Nothing tells whose the records between these two are, which are lost.
    pub(crate) fn leave_unnamed(&self, first: Lsn, last: Lsn) {
        self.change_damage(|damage| damage.leave_unnamed(first, last));
    }

    /// The last lost record that may be anybody's: what the index knows from before it may be out of
    /// date. Ask this before the index: a record enters that before it is found.
    pub(crate) fn unnamed_until(&self) -> Lsn {
        Lsn(self.unnamed_until.load(Ordering::Acquire))
    }

    /// Whether this record was lost when the log was opened, and is not in the index. Ask this
    /// before the index: a record enters that before it is found.
    pub(crate) fn is_lost(&self, lsn: Lsn) -> bool {
        self.damage().is_lost_between(lsn.previous(), lsn.next())
    }

    /// A lost record is in the index.
    pub(crate) fn found(&self, lsn: Lsn) {
        self.change_damage(|damage| damage.found(lsn));
    }

    /// Nothing needs this record.
    pub(crate) fn settle(&self, lsn: Lsn) {
        self.change_damage(|damage| damage.settle(lsn));
    }

    fn change_damage(&self, change: impl FnOnce(&mut KnownDamage)) {
        let mut damage = self.damage();
        change(&mut damage);
        let unnamed_until = damage.unnamed_until();
        self.unnamed_until.store(unnamed_until.0, Ordering::Release);
        if damage.lost_nothing() {
            self.suspects.store(false, Ordering::Release);
        }
    }
}
