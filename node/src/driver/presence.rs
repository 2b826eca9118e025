//! What the node tells of itself in heartbeats, beside its replicas, and whether its disk thread works.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;
use wire::NodeName;

use crate::clock;

/// A round of the disk thread takes milliseconds, and begins every 80 ms at the latest; a disk under
/// load has made one wait for a second or two.
const STUCK_MS: u64 = 5_000;

/// What heartbeats tell of this process, beside its replicas.
pub struct Presence {
    state: Mutex<State>,
    lives: AtomicBool,
    parting: AtomicBool,
    /// When the disk thread began its last round, by [`clock::monotone_ms`].
    round_ms: AtomicU64,
    linked: Mutex<BTreeSet<NodeName>>,
    /// Notified when there is something to tell at once.
    pub changed: Notify,
}

#[derive(Clone, Copy)]
struct State {
    cluster: Option<Uuid>,
    offer: Uuid,
    map_version: u64,
}

impl Presence {
    pub(super) fn new(cluster: Option<Uuid>, offer: Uuid) -> Self {
        let state = State {
            cluster,
            offer,
            map_version: 0,
        };
        Presence {
            state: Mutex::new(state),
            lives: AtomicBool::new(true),
            parting: AtomicBool::new(false),
            round_ms: AtomicU64::new(clock::monotone_ms()),
            linked: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Whether the disk thread runs. When it has ended by a fault of ours, nothing but a new start
    /// of the process helps.
    pub fn lives(&self) -> bool {
        self.lives.load(Ordering::Relaxed)
    }

    /// Whether the disk thread has ended, or waits for the disk for so long that others had better lead:
    /// a node that is stuck sends no heartbeats.
    pub fn is_stuck(&self, now_ms: u64) -> bool {
        let round_ms = self.round_ms.load(Ordering::Relaxed);
        !self.lives() || now_ms >= round_ms + STUCK_MS
    }

    /// The disk thread begins a round.
    pub(super) fn works(&self) {
        self.round_ms.store(clock::monotone_ms(), Ordering::Relaxed);
    }

    /// Whether this process is about to end.
    pub fn is_parting(&self) -> bool {
        self.parting.load(Ordering::Relaxed)
    }

    /// This process is about to end: the next heartbeat, which goes at once, says so.
    pub(crate) fn part(&self) {
        self.parting.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    pub(super) fn died(&self) {
        self.lives.store(false, Ordering::Relaxed);
    }

    /// The cluster that the node belongs to.
    pub fn cluster(&self) -> Option<Uuid> {
        self.lock().cluster
    }

    /// The replica UUID that it offers.
    pub fn offer(&self) -> Uuid {
        self.lock().offer
    }

    /// The version of the shard map that it has obeyed all of.
    pub fn map_version(&self) -> u64 {
        self.lock().map_version
    }

    /// The nodes that this one has a link with.
    pub fn linked(&self) -> BTreeSet<NodeName> {
        let linked = self.linked.lock();
        linked.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are the nodes that this one has a link with: the next heartbeat, which goes at once, says so.
    pub(crate) fn links_with(&self, peers: BTreeSet<NodeName>) {
        *self.linked.lock().unwrap_or_else(PoisonError::into_inner) = peers;
        self.changed.notify_one();
    }

    pub(super) fn joined(&self, cluster: Uuid) {
        self.lock().cluster = Some(cluster);
    }

    pub(super) fn offers(&self, offer: Uuid) {
        self.lock().offer = offer;
    }

    pub(super) fn saw_map(&self, version: u64) {
        self.lock().map_version = version;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
