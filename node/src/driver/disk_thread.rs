//! The one thread that owns every log of the node.
//!
//! It works in rounds: take the commands that wait, append, sync all dirty logs at once, commit,
//! answer. What arrives during a sync shares the next one; nothing else makes a group.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::disk::Disk;
use store::{ChoreDone, Poisoned};
use wire::{Lsn, ShardNo};

use super::admission::Admission;
use super::command::{ChangeFailure, ChunkReply, Command, Look};
use super::handle::Presence;
use super::replica::Replica;
use super::syncers::Syncers;
use super::table::{Standing, Table};
use super::upkeep::Upkeep;
use crate::clock;
use crate::lister::Feed;
use crate::membership::data_dir::DataDir;
use crate::membership::duty::Me;
use crate::metrics::Metrics;

/// Commands of one round. Enough for every request that can wait; few enough that the first of
/// them is not held up by what comes after it.
const ROUND_COMMANDS_MAX: usize = 1024;

/// How often chores are looked for, and sizes measured, when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// The lsn of an appended chunk.
type Chunked = Result<Lsn, ChangeFailure>;

/// What the disk thread shares with others.
pub(super) struct Surroundings {
    pub(super) me: Me,
    pub(super) table: Table,
    pub(super) presence: Arc<Presence>,
    pub(super) admission: Arc<Admission>,
    pub(super) feed: Arc<Feed>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) abandoned: Arc<Mutex<Vec<(ShardNo, Lsn)>>>,
}

pub(super) struct DiskThread {
    pub(super) dir: DataDir,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) replicas: BTreeMap<ShardNo, Replica>,
    pub(super) around: Surroundings,
    commands: Receiver<Command>,
    syncers: Syncers,
    upkeep: Upkeep,
    /// Logs that this round touched.
    touched: Vec<ShardNo>,
    next_tick: Instant,
    stopping: bool,
}

impl DiskThread {
    pub(super) fn new(
        dir: DataDir,
        disk: Arc<dyn Disk>,
        around: Surroundings,
        commands: Receiver<Command>,
        upkeep: Upkeep,
    ) -> Self {
        let syncers = Syncers::new(Arc::clone(&around.metrics));
        DiskThread {
            dir,
            disk,
            replicas: BTreeMap::new(),
            around,
            commands,
            syncers,
            upkeep,
            touched: Vec::new(),
            next_tick: Instant::now(),
            stopping: false,
        }
    }

    /// Works until it is told to stop, or nobody is left who could; then syncs everything.
    pub(super) fn run(mut self) {
        while !self.stopping {
            self.take_commands();
            self.sync_touched();
            if Instant::now() >= self.next_tick {
                self.tick();
            }
        }
        self.finish();
    }

    fn take_commands(&mut self) {
        let patience = self.next_tick.saturating_duration_since(Instant::now());
        let first = match self.commands.recv_timeout(patience) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.stopping = true;
                None
            }
        };
        // Whoever woke this thread may be about to send more: what comes with the first shares its
        // sync.
        std::thread::yield_now();
        let now_ms = clock::now_ms();
        self.abort_abandoned(now_ms);
        let (mut next, mut taken) = (first, 0);
        while let Some(command) = next {
            self.carry_out(command, now_ms);
            taken += 1;
            next = (taken < ROUND_COMMANDS_MAX)
                .then(|| self.commands.try_recv().ok())
                .flatten();
        }
    }

    fn carry_out(&mut self, command: Command, now_ms: u64) {
        match command {
            Command::FirstChunk {
                id,
                how,
                payload,
                reply,
            } => {
                let shard = id.shard();
                let lsn = self
                    .leading(shard)
                    .and_then(|replica| replica.first_chunk(id, how, payload, now_ms));
                self.touched.push(shard);
                self.answer_first_chunk(shard, lsn, reply);
            }
            Command::Chunk {
                shard,
                upload,
                offset,
                payload,
                reply,
            } => {
                let lsn = self
                    .leading(shard)
                    .and_then(|replica| replica.chunk(upload, offset, payload, now_ms));
                self.touched.push(shard);
                if reply.send(lsn).is_err() {
                    tracing::trace!(%shard, %upload, "nobody waits for this chunk any more");
                }
            }
            Command::Change(request) => {
                let shard = request.id.shard();
                match self.replicas.get_mut(&shard) {
                    Some(replica) => {
                        replica.change(*request, now_ms);
                        self.touched.push(shard);
                    }
                    None => refuse(request.reply),
                }
            }
            Command::Follow(answer) => self.follow(*answer, now_ms),
            Command::Finished(shard, done, look) => self.finish_chore(shard, done, look),
            Command::Stop => self.stopping = true,
        }
    }

    fn finish_chore(&mut self, shard: ShardNo, done: ChoreDone, look: Look) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        let finished = replica.store.finish(done);
        // The lister must see at once that the horizon rose.
        replica.measure();
        if let Err(error) = finished {
            tracing::warn!(%shard, %error, "upkeep of the log is tried again");
        } else if look == Look::Again {
            self.touched.push(shard);
        }
    }

    fn leading(&mut self, shard: ShardNo) -> Result<&mut Replica, ChangeFailure> {
        self.replicas
            .get_mut(&shard)
            .filter(|replica| replica.standing == Standing::Leading)
            .ok_or(ChangeFailure::NotLed)
    }

    fn answer_first_chunk(&mut self, shard: ShardNo, lsn: Chunked, reply: ChunkReply) {
        // The requester went away between its request and this answer: nobody else knows of the
        // upload, so nobody else would end it.
        if let Err(Ok(upload)) = reply.send(lsn) {
            lock(&self.around.abandoned).push((shard, upload));
        }
    }

    fn abort_abandoned(&mut self, now_ms: u64) {
        let abandoned = std::mem::take(&mut *lock(&self.around.abandoned));
        for (shard, upload) in abandoned {
            let Some(replica) = self.replicas.get_mut(&shard) else {
                continue;
            };
            if replica.standing != Standing::Leading {
                continue;
            }
            self.touched.push(shard);
            if let Err(error) = replica.abort(upload, now_ms) {
                tracing::debug!(%shard, %upload, %error, "an upload could not be aborted");
            }
        }
    }

    /// Syncs the logs that someone waits for, commits and answers.
    fn sync_touched(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut jobs = Vec::new();
        for shard in &touched {
            let Some(replica) = self.replicas.get_mut(shard) else {
                continue;
            };
            if let Err(poisoned) = replica.store.check() {
                self.poison(*shard, &poisoned);
                continue;
            }
            if !replica.wants_sync() {
                continue;
            }
            match replica.flush() {
                Ok(Some(job)) => jobs.push((*shard, job)),
                Ok(None) => {}
                Err(poisoned) => self.poison(*shard, &poisoned),
            }
        }
        for (shard, done) in self.syncers.run(jobs) {
            let Some(replica) = self.replicas.get_mut(&shard) else {
                continue;
            };
            if let Err(poisoned) = replica.store.synced(done) {
                self.poison(shard, &poisoned);
            }
        }
        for shard in &touched {
            self.commit(*shard);
        }
        if !touched.is_empty() {
            self.measure();
        }
        touched.clear();
        self.touched = touched;
    }

    fn commit(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if replica.standing == Standing::Poisoned {
            replica.lose();
            return;
        }
        replica.commit(&self.around.me);
        let committed = replica.store.positions().committed;
        if replica.epoch_start.is_some_and(|start| start <= committed) {
            self.assume_leadership(shard);
        }
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        replica.measure();
        let answered = replica.acknowledge(&self.around.feed);
        if answered > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a round's changes are few")]
            self.around.metrics.commit_changes.observe(answered as f64);
        }
        self.look_for_chores(shard);
    }

    fn look_for_chores(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        for chore in replica.store.chores(clock::now_ms()) {
            self.upkeep.add(shard, chore);
        }
    }

    /// The log failed: it acknowledges nothing any more, until the process is started again and
    /// has read it back from the disk.
    pub(super) fn poison(&mut self, shard: ShardNo, reason: &Poisoned) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if replica.standing != Standing::Poisoned {
            tracing::error!(%shard, %reason, "the log failed: the shard takes no writes here");
            replica.standing = Standing::Poisoned;
            replica.epoch_start = None;
        }
        self.around.feed.resigned(shard);
        // Whoever is told of the loss must find it in the table already.
        self.publish(shard);
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.lose();
        }
    }

    pub(super) fn publish(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        replica.measure();
        self.around.table.publish(replica.view(&self.around.me));
        self.around.presence.changed.notify_one();
    }

    pub(super) fn touch(&mut self, shard: ShardNo) {
        self.touched.push(shard);
    }

    pub(super) fn measure(&self) {
        let used = self.replicas.values().map(Replica::used_bytes).sum();
        self.around.admission.set_used(used);
    }

    fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK;
        let shards: Vec<ShardNo> = self.replicas.keys().copied().collect();
        for shard in shards {
            self.look_for_chores(shard);
            if let Some(replica) = self.replicas.get_mut(&shard) {
                replica.measure();
            }
        }
        self.measure();
    }

    fn finish(mut self) {
        self.touched = self.replicas.keys().copied().collect();
        self.sync_touched();
        // Upkeep may be about to hand back a chore: with the receiver gone it ends instead.
        drop(self.commands);
        self.upkeep.stop();
    }
}

fn refuse(reply: super::command::Reply) {
    if reply.send(Err(ChangeFailure::NotLed)).is_err() {
        tracing::trace!("nobody waits for this refusal any more");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
