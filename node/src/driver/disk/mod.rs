//! The one thread that owns every log of the node.
//!
//! It works in rounds: take the commands that wait, append, hand on to followers, sync all dirty
//! logs at once, tell the cores, answer. What arrives during a sync shares the next one; nothing
//! else makes a group.

pub(super) mod aside;
mod effects;
mod follow;
mod heard;
mod lag;
mod purge;
mod repair;
mod replica;
mod syncers;
pub(super) mod upkeep;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::replica::Event;
use store::disk::Disk;
use store::{ChoreDone, Poisoned, SyncDone, SyncJob};
use wire::limits::SESSION_MIN;
use wire::{NodeName, ShardNo};

use super::admission::Admission;
use super::command::{Command, Look, Opened};
use super::handle::{Abandoned, Mailbox};
use super::presence::Presence;
use super::table::{Standing, Table};
use crate::clock;
use crate::links::Outbox;
use crate::lister::Feed;
use crate::membership::data_dir::DataDir;
use crate::membership::duty::Me;
use crate::membership::purge::Purge;
use crate::membership::register::Ask;
use crate::metrics::Metrics;
use aside::Asides;
use repair::Repairs;
use replica::Replica;
use syncers::Syncers;
use upkeep::Upkeep;
use writes::GoingBack;
#[cfg(test)]
pub(super) use writes::PARKED_MAX;

/// Commands of one round. Enough for every request that can wait; few enough that the first of
/// them is not held up by what comes after it.
const ROUND_COMMANDS_MAX: usize = 1024;

/// How often the cores are told that time passed: at least every 100 ms, as they demand.
const TICK: Duration = Duration::from_millis(80);

/// How often chores are looked for, and sizes measured, when nothing happens.
const CHORES_EVERY: Duration = Duration::from_secs(1);

/// How long what followers need not know at once waits for something that is sent to them anyway: reads
/// at a follower are behind the leader by about so much.
const SAY_AFTER: Duration = Duration::from_millis(2);

/// What the disk thread shares with others.
pub(super) struct Surroundings {
    pub(super) me: Me,
    pub(super) table: Table,
    pub(super) presence: Arc<Presence>,
    pub(super) admission: Arc<Admission>,
    pub(super) feed: Arc<Feed>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) abandoned: Abandoned,
    pub(super) register: tokio::sync::mpsc::Sender<Ask>,
}

/// What comes in.
pub(super) struct Inbound {
    pub(super) commands: Receiver<Command>,
    pub(super) mailbox: Arc<Mailbox>,
}

pub(super) struct DiskThread {
    pub(super) dir: DataDir,
    pub(super) disk: Arc<dyn Disk>,
    replicas: BTreeMap<ShardNo, Replica>,
    pub(super) around: Surroundings,
    /// The links that are up.
    pub(super) links: BTreeMap<NodeName, Outbox>,
    /// How long a node may be silent, in milliseconds.
    pub(super) session_ms: u64,
    /// Shards whose record is another one than was published.
    pub(super) changed: BTreeSet<ShardNo>,
    pub(super) inbound: Inbound,
    syncers: Syncers,
    asides: Asides,
    upkeep: Upkeep,
    repairs: Repairs,
    /// What deletes what was kept long enough, while it does.
    purge: Option<Purge>,
    /// Logs that this round touched.
    touched: Vec<ShardNo>,
    next_tick: Instant,
    /// When what was to be said later is said; none when nothing was.
    say_at: Option<Instant>,
    /// How long the syncs of the last round that had any took.
    last_sync: Duration,
    next_chores: Instant,
    going_back: GoingBack,
    stopping: bool,
}

impl DiskThread {
    pub(super) fn new(
        dir: DataDir,
        disk: Arc<dyn Disk>,
        around: Surroundings,
        inbound: Inbound,
        (upkeep, asides): (Upkeep, Asides),
    ) -> Self {
        let syncers = Syncers::new(Arc::clone(&around.metrics));
        // Until a distributor tells: who takes a session for shorter than it is serves nothing for
        // longer than it may.
        let session_ms = SESSION_MIN.as_millis();
        DiskThread {
            dir,
            disk,
            replicas: BTreeMap::new(),
            around,
            links: BTreeMap::new(),
            session_ms: u64::try_from(session_ms).unwrap_or(u64::MAX),
            changed: BTreeSet::new(),
            inbound,
            syncers,
            asides,
            upkeep,
            repairs: Repairs::default(),
            purge: None,
            touched: Vec::new(),
            next_tick: Instant::now(),
            say_at: None,
            last_sync: Duration::ZERO,
            next_chores: Instant::now(),
            going_back: GoingBack::default(),
            stopping: false,
        }
    }

    /// Works until it is told to stop, or nobody is left who could; then syncs everything.
    pub(super) fn run(mut self) {
        while !self.stopping {
            self.around.presence.works();
            self.take_commands();
            self.take_needs();
            self.release_parked();
            self.ship_touched();
            self.sync_touched();
            let now = Instant::now();
            if self.say_at.take_if(|at| now >= *at).is_some() {
                self.links.values().for_each(Outbox::wake_to_say);
            }
            if now >= self.next_tick {
                self.tick();
            }
        }
        self.finish();
    }

    fn take_commands(&mut self) {
        let until = self.say_at.unwrap_or(self.next_tick).min(self.next_tick);
        let patience = until.saturating_duration_since(Instant::now());
        let first = match self.inbound.commands.recv_timeout(patience) {
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
        self.take_mail();
        self.take_asides();
        self.abort_abandoned(now_ms);
        let (mut next, mut taken) = (first, 0);
        while let Some(command) = next {
            self.carry_out(command, now_ms);
            taken += 1;
            next = (taken < ROUND_COMMANDS_MAX)
                .then(|| self.inbound.commands.try_recv().ok())
                .flatten();
        }
    }

    fn carry_out(&mut self, command: Command, now_ms: u64) {
        match command {
            Command::FirstChunk { .. } | Command::Chunk { .. } | Command::Change(_) => {
                self.write(command, now_ms);
            }
            Command::Follow(answer) => self.follow(*answer),
            Command::Heard(heard) => self.heard(*heard),
            Command::HandOver => {
                self.feed_all(&Event::HandOver);
                self.touched.extend(self.replicas.keys());
            }
            Command::Farewell => {
                self.feed_all(&Event::Farewell);
                self.feed_all(&Event::Tick);
            }
            Command::Wake => {}
            Command::Finished(opened, done, look) => self.finish_chore(opened, done, look),
            Command::Repair(request) => self.repair(*request),
            Command::Settle(request) => self.settle(request),
            Command::GiveUp(request) => self.give_up(request),
            Command::Stop => self.stopping = true,
        }
    }

    /// Takes a chore's outcome; none of a log that has begun anew meanwhile.
    fn finish_chore(&mut self, opened: Opened, done: ChoreDone, look: Look) {
        if done.is_repair() {
            return self.finish_repair(opened, done);
        }
        let shard = opened.shard;
        let replica = self.replicas.get_mut(&shard);
        let Some(replica) = replica.filter(|replica| replica.opened == opened) else {
            return;
        };
        let before = replica.store.positions().horizon;
        let finished = replica.store.finish(done);
        // The lister must see at once that the horizon rose.
        replica.measure();
        let horizon = replica.store.positions().horizon;
        if horizon > before {
            self.feed(shard, Event::Horizon(horizon));
        }
        if let Err(error) = finished {
            tracing::warn!(%shard, %error, "upkeep of the log is tried again");
        } else if look == Look::Again {
            self.touched.push(shard);
        }
    }

    fn abort_abandoned(&mut self, now_ms: u64) {
        let abandoned = std::mem::take(&mut *lock(&self.around.abandoned));
        for (shard, upload) in abandoned {
            let Some(replica) = self.replicas.get_mut(&shard) else {
                continue;
            };
            replica.lag.release_left();
            match replica.standing {
                Standing::Leading if replica.core.may_write() => {
                    self.touched.push(shard);
                    if let Err(error) = replica.abort(upload, now_ms) {
                        tracing::debug!(%shard, ?upload, %error, "an upload could not be aborted");
                    }
                }
                Standing::Leading => lock(&self.around.abandoned).push((shard, upload)),
                // The next leader's first record ends it.
                _ => {}
            }
        }
    }

    /// Hands what was appended on to followers, before it is synced here.
    fn ship_touched(&mut self) {
        let mut touched = self.touched.clone();
        touched.sort_unstable();
        touched.dedup();
        let mut shipped = Vec::new();
        for shard in touched {
            let Some(replica) = self.replicas.get_mut(&shard) else {
                continue;
            };
            if replica.ship() {
                shipped.push(shard);
            }
            if let Some(appended) = replica.news() {
                self.feed(shard, Event::Appended(appended));
            }
            self.answer(shard);
        }
        if !shipped.is_empty() {
            self.links.values().for_each(|link| link.wake_for(&shipped));
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
                Ok(Some(job)) if replica.is_copying() => {
                    let refused = self.asides.begin(*shard, job);
                    jobs.extend(refused.map(|job| (*shard, job)));
                }
                Ok(Some(job)) => jobs.push((*shard, job)),
                Ok(None) => {}
                Err(poisoned) => self.poison(*shard, &poisoned),
            }
        }
        for (shard, done) in self.sync(jobs) {
            self.synced(shard, done);
        }
        touched.append(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        for shard in &touched {
            self.answer(*shard);
            self.look_for_chores(*shard);
        }
        if !touched.is_empty() {
            self.measure();
        }
    }

    fn sync(&mut self, jobs: Vec<(ShardNo, SyncJob)>) -> Vec<(ShardNo, SyncDone)> {
        if jobs.is_empty() {
            return Vec::new();
        }
        // Whatever waits for company does not wait for a slow disk.
        if self.last_sync > SAY_AFTER && self.say_at.take().is_some() {
            self.links.values().for_each(Outbox::wake_to_say);
        }
        let begun = Instant::now();
        let done = self.syncers.run(jobs);
        self.last_sync = begun.elapsed();
        done
    }

    fn synced(&mut self, shard: ShardNo, done: SyncDone) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        match replica.store.synced(done) {
            Ok(lsn) => self.feed(shard, Event::Synced(lsn)),
            Err(poisoned) => self.poison(shard, &poisoned),
        }
    }

    /// Takes what was synced beside the rounds; what came meanwhile is next.
    fn take_asides(&mut self) {
        for (shard, done) in self.asides.take() {
            self.synced(shard, done);
            self.touch(shard);
        }
    }

    /// Answers those whose changes are committed.
    fn answer(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if replica.standing == Standing::Poisoned {
            replica.lose();
            return;
        }
        replica.measure();
        let answered = replica.acknowledge(&self.around.feed);
        if answered > 0 {
            #[expect(clippy::cast_precision_loss, reason = "a round's changes are few")]
            self.around.metrics.commit_changes.observe(answered as f64);
        }
    }

    fn look_for_chores(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        if !replica.core.may_compact() {
            return;
        }
        for chore in replica.store.chores(clock::now_ms()) {
            self.upkeep.add(replica.opened, chore);
        }
    }

    /// The log failed: it acknowledges nothing any more, until the process is started again and
    /// has read it back from the disk.
    fn poison(&mut self, shard: ShardNo, reason: &Poisoned) {
        let standing = self.replicas.get(&shard).map(|replica| replica.standing);
        if standing.is_some_and(|standing| standing != Standing::Poisoned) {
            self.feed(shard, Event::Failed(reason.to_string()));
        }
    }

    fn publish(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        replica.measure();
        self.around.table.publish(replica.view());
        self.around.presence.changed.notify_one();
    }

    fn touch(&mut self, shard: ShardNo) {
        self.touched.push(shard);
    }

    fn measure(&self) {
        let used = self.replicas.values().map(Replica::used_bytes).sum();
        self.around.admission.set_used(used);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.next_tick = now + TICK;
        let room = self.around.admission.room();
        self.feed_all(&Event::Space(room));
        self.feed_all(&Event::Tick);
        self.ask_for_commits();
        let unsynced = self
            .replicas
            .iter()
            .filter(|(_, replica)| replica.has_unsynced());
        self.touched.extend(unsynced.map(|(shard, _)| *shard));
        self.links.values().for_each(Outbox::wake);
        self.give_back(now);
        for replica in self.replicas.values_mut() {
            replica.lag.release_left();
        }
        if now < self.next_chores {
            return;
        }
        self.next_chores = now + CHORES_EVERY;
        let shards: Vec<ShardNo> = self.replicas.keys().copied().collect();
        for shard in shards {
            self.look_for_chores(shard);
            let Some(replica) = self.replicas.get_mut(&shard) else {
                continue;
            };
            replica.measure();
        }
        self.purge();
        self.measure();
    }

    /// Whoever waits for a commit must not do so in vain, because the set is too small for one.
    fn ask_for_commits(&mut self) {
        self.needs_commit(Replica::waits);
    }

    /// As [`DiskThread::ask_for_commits`], for those who read.
    fn take_needs(&mut self) {
        self.needs_commit(|replica| replica.gauge.take_need());
    }

    fn needs_commit(&mut self, is_needed: impl Fn(&Replica) -> bool) {
        let replicas = self.replicas.iter();
        let needed = replicas.filter(|(_, replica)| is_needed(replica));
        let shards: Vec<ShardNo> = needed.map(|(shard, _)| *shard).collect();
        for shard in shards {
            self.feed(shard, Event::NeedsCommit);
        }
    }

    fn finish(mut self) {
        for (shard, done) in self.asides.end() {
            self.synced(shard, done);
        }
        self.touched = self.replicas.keys().copied().collect();
        self.sync_touched();
        // Upkeep may be about to hand back a chore: with the receiver gone it ends instead.
        drop(self.inbound);
        self.upkeep.stop();
        if let Some(purge) = self.purge {
            purge.end();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
