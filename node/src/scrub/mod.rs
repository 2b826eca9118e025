//! Scrubbing: everything that is needed is read again and verified, before somebody asks for it.
//!
//! Each replica is read once in a cycle of about a month, from a random moment on, so that neither
//! all replicas of a node nor all copies of a shard are read at the same time. What is found answers
//! `damaged` from then on, and is repaired like any damage ([`crate::repair`]).

mod file;
mod pace;
mod progress;
mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use wire::integrity::{ReplicaScrub, ScrubReport};
use wire::{ShardNo, Timestamp};

use crate::driver::Handle;
use crate::metrics::Metrics;
use crate::repair::Hints;
use pace::BYTES_PER_S;
use progress::Progress;
use work::{Order, Work};

/// What scrubs are made with.
pub struct Parts {
    /// The node's data directory.
    pub data_dir: PathBuf,
    /// The replicas.
    pub handle: Handle,
    /// Where damage goes that is no content's.
    pub hints: Hints,
    /// Where scrubs are counted.
    pub metrics: Arc<Metrics>,
}

/// The thread that scrubs.
pub struct Scrubs {
    view: ScrubView,
    thread: JoinHandle<()>,
}

/// How far scrubs are, and the way to begin one. Clones are the same.
#[derive(Clone)]
pub struct ScrubView {
    all: All,
    orders: Sender<Order>,
}

/// How far the scrubs of a node are.
pub(crate) struct Coverage {
    /// The share of all records that the passes under way, or the last ones, have looked at: 0 to 1.
    pub(crate) share: f64,
    /// When the pass that was finished longest ago was; none while a replica had none.
    pub(crate) finished_ms: Option<u64>,
    /// For how long a pass is due or under way, of the replica that waits longest.
    pub(crate) pending_ms: u64,
}

/// Each replica's progress.
type All = Arc<Mutex<BTreeMap<ShardNo, Progress>>>;

fn lock(all: &All) -> MutexGuard<'_, BTreeMap<ShardNo, Progress>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scrubs {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn start(parts: Parts) -> std::io::Result<Scrubs> {
        let (orders, taken) = channel();
        let all = All::default();
        let work = Work::new(parts, Arc::clone(&all), taken);
        let thread = std::thread::Builder::new()
            .name("node-scrub".to_owned())
            .spawn(move || work.run())?;
        let view = ScrubView { all, orders };
        Ok(Scrubs { view, thread })
    }

    /// How far scrubs are.
    pub fn view(&self) -> ScrubView {
        self.view.clone()
    }

    /// Ends after the record that is being read; what was covered is kept. Blocks.
    pub fn stop(self) {
        self.view.order(Order::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the thread that scrubs panicked");
        }
    }
}

impl ScrubView {
    /// Has a full pass over every replica begun now.
    pub fn begin(&self) {
        self.order(Order::Begin);
    }

    /// How far each replica is.
    pub fn report(&self) -> ScrubReport {
        let replicas = lock(&self.all);
        let replicas = replicas.iter().map(|(shard, progress)| ReplicaScrub {
            shard: *shard,
            begun: progress.begun_ms.map(Timestamp),
            share: progress.share(),
            records: progress.records,
            bytes: progress.bytes,
            findings: progress.findings,
            finished: progress.finished_ms.map(Timestamp),
            next: Timestamp(progress.next_ms),
        });
        ScrubReport {
            bytes_per_s: BYTES_PER_S,
            replicas: replicas.collect(),
        }
    }

    /// How far they all are together, at this moment.
    pub(crate) fn coverage(&self, now_ms: u64) -> Coverage {
        let all = lock(&self.all);
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let count = all.len().max(1) as f64;
        let shares: f64 = all.values().map(Progress::share).sum();
        let finished = all.values().map(|progress| progress.finished_ms);
        let pending = all.values().map(|progress| progress.pending_ms(now_ms));
        Coverage {
            share: shares / count,
            finished_ms: finished.min().flatten(),
            pending_ms: pending.max().unwrap_or(0),
        }
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::error!("the thread that scrubs has ended");
        }
    }
}
