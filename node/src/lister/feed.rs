//! Where the disk thread leaves committed changes for the lister.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use store::{Change, Committed};
use tokio::sync::Notify;
use wire::{Lsn, ShardNo};

use crate::driver::command::Unlisted;
use crate::driver::table::ReplicaView;

/// The meeting place of the disk thread and the lister.
#[derive(Default)]
pub struct Feed {
    entries: Mutex<Vec<Entry>>,
    wake: Notify,
    away: AtomicBool,
}

/// What happened in a shard, in order.
pub(super) enum Entry {
    /// This process leads it now.
    Leads(Arc<ReplicaView>),
    /// This process leads it no longer.
    Resigned(ShardNo),
    /// Records were given up: the catalog may have rows of what was in them.
    ShowAll(ShardNo),
    /// Everything up to `upto` is committed; these are its changes, and who waits for them.
    Committed {
        shard: ShardNo,
        upto: Lsn,
        changes: Vec<Committed>,
        waiting: Vec<Unlisted>,
    },
}

impl Feed {
    /// Whether the catalog is known to be away, so that nobody need wait for it.
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Notes whether the catalog answers. Gives what it was before.
    pub(super) fn set_away(&self, away: bool) -> bool {
        self.away.swap(away, Ordering::Relaxed)
    }

    pub(crate) fn leads(&self, view: Arc<ReplicaView>) {
        self.add(Entry::Leads(view), true);
    }

    pub(crate) fn resigned(&self, shard: ShardNo) {
        self.add(Entry::Resigned(shard), true);
    }

    /// The catalog is to be shown all that lives in a shard.
    pub(crate) fn show_all(&self, shard: ShardNo) {
        self.add(Entry::ShowAll(shard), true);
    }

    /// `changes` are all that was committed since the last call for this shard, `upto` included.
    pub(crate) fn committed(
        &self,
        shard: ShardNo,
        upto: Lsn,
        changes: Vec<Committed>,
        waiting: Vec<Unlisted>,
    ) {
        let is_news =
            |change: &Committed| !matches!(change.change, Change::Epoch | Change::Nothing);
        let wake = !waiting.is_empty() || changes.iter().any(is_news);
        self.add(
            Entry::Committed {
                shard,
                upto,
                changes,
                waiting,
            },
            wake,
        );
    }

    fn add(&self, entry: Entry, wake: bool) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(entry);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Everything since the last call.
    pub(super) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Completes when there is something to take, or was since the last time.
    pub(super) async fn news(&self) {
        self.wake.notified().await;
    }

    /// Has [`Feed::news`] complete.
    pub(super) fn nudge(&self) {
        self.wake.notify_one();
    }
}
