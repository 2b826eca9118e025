//! The thread: one piece of one replica after the other, as long as one is due.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rand::Rng;
use store::{DamagedRecord, Scrubbed};
use wire::ShardNo;

use super::pace::Pace;
use super::progress::{CYCLE_MS, Progress};
use super::{All, Parts, file, lock};
use crate::clock;
use crate::driver::Handle;
use crate::driver::table::{ReplicaView, Standing};
use crate::metrics::Metrics;
use crate::repair::Hints;

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often progress is written, at most: what is read twice after a crash.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// What the thread is told.
pub(super) enum Order {
    /// Begin a full pass over everything.
    Begin,
    /// End.
    Stop,
}

pub(super) struct Work {
    data_dir: PathBuf,
    handle: Handle,
    metrics: Arc<Metrics>,
    hints: Hints,
    all: All,
    orders: Receiver<Order>,
    pace: Pace,
    /// When each replica's progress was last written, or could not be read on.
    kept: BTreeMap<ShardNo, Instant>,
    /// Replicas whose disk refused to be read, and until when they are left alone.
    refused: BTreeMap<ShardNo, Instant>,
    wants_all: bool,
    stopping: bool,
}

impl Work {
    pub(super) fn new(parts: Parts, all: All, orders: Receiver<Order>) -> Work {
        Work {
            data_dir: parts.data_dir,
            handle: parts.handle,
            metrics: parts.metrics,
            hints: parts.hints,
            all,
            orders,
            pace: Pace::new(Instant::now()),
            kept: BTreeMap::new(),
            refused: BTreeMap::new(),
            wants_all: false,
            stopping: false,
        }
    }

    pub(super) fn run(mut self) {
        while !self.stopping {
            self.meet_replicas();
            if std::mem::take(&mut self.wants_all) {
                self.begin_all();
            }
            match self.next_due() {
                Some(replica) => self.piece(&replica),
                None => {
                    self.wait(LOOK_EVERY);
                }
            }
        }
        let shards: Vec<ShardNo> = lock(&self.all).keys().copied().collect();
        for shard in shards {
            self.keep(shard);
        }
    }

    /// Waits, and hears what is ordered meanwhile; false when a piece must end for it.
    fn wait(&mut self, time: Duration) -> bool {
        match self.orders.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => return true,
            Ok(Order::Begin) => self.wants_all = true,
            Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => self.stopping = true,
        }
        false
    }

    /// New replicas get a place in the cycle; those that are gone lose it.
    fn meet_replicas(&mut self) {
        let replicas = self.handle.table().replicas();
        let known: BTreeSet<ShardNo> = {
            let mut all = lock(&self.all);
            all.retain(|shard, progress| {
                let replica = replicas.get(shard);
                replica.is_some_and(|replica| replica.replica == progress.replica)
            });
            all.keys().copied().collect()
        };
        for replica in replicas.values() {
            if known.contains(&replica.shard) {
                continue;
            }
            let found = file::read(&self.data_dir, replica.shard, replica.replica);
            let is_new = found.is_none();
            let progress = found.unwrap_or_else(|| {
                let point = rand::rng().random_range(0..=cycle_ms());
                Progress::new(replica.replica, clock::now_ms().saturating_add(point))
            });
            lock(&self.all).insert(replica.shard, progress);
            if is_new {
                self.keep(replica.shard);
            }
        }
    }

    fn begin_all(&mut self) {
        tracing::info!("a scrub of everything begins");
        let replicas = self.handle.table().replicas();
        let now_ms = clock::now_ms();
        for (shard, progress) in lock(&self.all).iter_mut() {
            if let Some(replica) = replicas.get(shard) {
                progress.begin(replica.gauge.measures().committed, now_ms);
            }
        }
        self.refused.clear();
    }

    fn next_due(&self) -> Option<Arc<ReplicaView>> {
        let replicas = self.handle.table().replicas();
        let (now, now_ms) = (Instant::now(), clock::now_ms());
        let all = lock(&self.all);
        all.iter().find_map(|(shard, progress)| {
            let replica = replicas.get(shard)?;
            let is_left_alone = self.refused.get(shard).is_some_and(|until| now < *until)
                || replica.standing == Standing::Poisoned;
            (progress.is_due(now_ms) && !is_left_alone).then(|| Arc::clone(replica))
        })
    }

    /// Reads on in a replica, to the end of a segment at most.
    fn piece(&mut self, replica: &ReplicaView) {
        let shard = replica.shard;
        let Some(after) = self.with(shard, |progress| {
            if !progress.is_under_way() {
                progress.begin(replica.gauge.measures().committed, clock::now_ms());
                tracing::info!(%shard, "a scrub begins");
            }
            progress.after()
        }) else {
            return;
        };
        let mut ended = false;
        let read = replica.reader.scrub(after, &mut |bytes| {
            let time = self.pace.wait(bytes, Instant::now());
            let goes_on = time.is_zero() || self.wait(time);
            ended |= !goes_on;
            goes_on
        });
        match read {
            Ok(piece) => {
                // Where nothing is left to be read the pass is over, whatever its end should be.
                let is_stuck = piece.covered <= after && !ended;
                self.take(shard, &piece, is_stuck);
            }
            Err(error) => {
                tracing::warn!(%shard, %error, "a scrub cannot read: it is tried again");
                self.refused.insert(shard, Instant::now() + KEEP_EVERY);
            }
        }
    }

    fn take(&mut self, shard: ShardNo, piece: &Scrubbed, is_stuck: bool) {
        self.metrics.scrubbed_bytes.inc_by(piece.bytes);
        self.metrics
            .scrub_findings
            .inc_by(piece.damaged.len() as u64);
        for damaged in &piece.damaged {
            tell(shard, damaged);
            if damaged.content.is_none() {
                self.hints.add(shard, damaged.lsn);
            }
        }
        let finished = self.with(shard, |progress| {
            if !progress.advance(piece) && !is_stuck {
                return None;
            }
            progress.finish(clock::now_ms(), cycle_ms());
            Some((progress.records, progress.bytes, progress.findings))
        });
        if let Some((records, bytes, findings)) = finished.flatten() {
            tracing::info!(%shard, records, bytes, findings, "a scrub is finished");
            self.keep(shard);
        }
        let is_kept = |at: &Instant| at.elapsed() < KEEP_EVERY;
        if !self.kept.get(&shard).is_some_and(is_kept) {
            self.keep(shard);
        }
    }

    fn with<T>(&self, shard: ShardNo, change: impl FnOnce(&mut Progress) -> T) -> Option<T> {
        lock(&self.all).get_mut(&shard).map(change)
    }

    fn keep(&mut self, shard: ShardNo) {
        self.kept.insert(shard, Instant::now());
        let Some(progress) = lock(&self.all).get(&shard).cloned() else {
            return;
        };
        if let Err(error) = file::write(&self.data_dir, shard, &progress) {
            // A replica that is being retired has no folder any more.
            tracing::debug!(%shard, %error, "how far the scrub is cannot be kept");
        }
    }
}

fn cycle_ms() -> u64 {
    rand::rng().random_range(CYCLE_MS)
}

fn tell(shard: ShardNo, damaged: &DamagedRecord) {
    let DamagedRecord { content, lsn, what } = damaged;
    let content = content.map(tracing::field::display);
    tracing::error!(%shard, content, %lsn, what, "a scrub found a damaged record");
}
