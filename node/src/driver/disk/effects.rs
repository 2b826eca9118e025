//! Feeding the replication cores, and carrying out what they say. This is the shell of
//! `docs/replication.md`: nothing is decided here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use replica::{Effect, Event, Halt};
use store::{AppendError, Store};
use wire::replication::{Envelope, Message};
use wire::shard::ShardRecord;
use wire::{Epoch, Lsn, NodeName, ShardNo};

use super::replica::Replica;
use super::{DiskThread, SAY_AFTER};
use crate::clock;
use crate::driver::table::Standing;
use crate::membership::register::Ask;

impl DiskThread {
    /// Gives every core an event.
    pub(super) fn feed_all(&mut self, event: &Event) {
        let shards: Vec<ShardNo> = self.replicas.keys().copied().collect();
        for shard in shards {
            self.feed(shard, event.clone());
        }
    }

    /// Gives an event to a replica's core, and does what it says. What was appended since is told
    /// first: a leader that is deposed in the middle of a round would else greet its successor with
    /// the end of its log before that round, and acknowledge records that are not the successor's.
    pub(super) fn feed(&mut self, shard: ShardNo, event: Event) {
        let news = self.replicas.get_mut(&shard).and_then(Replica::news);
        let mut events: VecDeque<Event> = news.map(Event::Appended).into_iter().collect();
        events.push_back(event);
        let mut effects = Vec::new();
        while let Some(event) = events.pop_front() {
            let Some(replica) = self.replicas.get_mut(&shard) else {
                return;
            };
            replica
                .core
                .handle(event, clock::monotone_ms(), &mut effects);
            for effect in effects.drain(..) {
                events.extend(self.carry_out_effect(shard, effect));
            }
        }
        self.take_standing(shard);
    }

    fn carry_out_effect(&mut self, shard: ShardNo, effect: Effect) -> Option<Event> {
        match effect {
            Effect::BeginEpoch(epoch) => return self.begin_epoch(shard, epoch),
            Effect::CommitTo(lsn) => self.commit_to(shard, lsn),
            Effect::Send { to, envelope } => self.send(&to, envelope),
            Effect::Stream {
                to,
                after,
                epoch,
                attempt,
            } => {
                let replica = self.replicas.get(&shard)?;
                let (source, catches_up) =
                    (Arc::clone(&replica.source), !replica.commits_with(&to));
                let link = self.links.get(&to)?;
                link.stream(source, after, (epoch, attempt), catches_up);
            }
            Effect::StopStream(to) => self.links.get(&to)?.stop_stream(shard),
            Effect::TruncateAfter(lsn) => return self.truncate_after(shard, lsn),
            Effect::StartOver { consistent_from } => {
                return self.start_over(shard, consistent_from);
            }
            Effect::Propose(record) => self.ask(Ask::Propose(Box::new(record))),
            Effect::ReadRecord => self.ask(Ask::Read(shard)),
            Effect::Learn(record) => return self.learn(record).map(Event::Record),
            Effect::Lost {
                node,
                end,
                committed,
            } => tracing::error!(
                %shard, %node, %end, %committed,
                "a mirror has less than it acknowledged: its disk was damaged, or does not keep what it \
                 synced; it counts as out of sync until it has everything again"
            ),
            Effect::Halt(halt) => self.halt(shard, &halt),
        }
        None
    }

    fn send(&mut self, to: &NodeName, mut envelope: Envelope) {
        if let Message::Hello(hello) = &mut envelope.message
            && let Some(replica) = self.replicas.get(&envelope.shard)
        {
            hello.checksum = replica.checksum_at(hello.last.lsn);
        }
        let Some(link) = self.links.get(to) else {
            return;
        };
        // Nobody waits for a commit at a follower, and the next records often follow at once.
        if matches!(envelope.message, Message::Commit { .. }) {
            link.say_later(envelope);
            self.say_at
                .get_or_insert_with(|| Instant::now() + SAY_AFTER);
        } else {
            link.say(envelope);
        }
    }

    fn ask(&self, ask: Ask) {
        // A register that has too much to do is asked again, as one that does not answer.
        if let Err(error) = self.around.register.try_send(ask) {
            tracing::debug!(%error, "the register is asked later");
        }
    }

    fn begin_epoch(&mut self, shard: ShardNo, epoch: Epoch) -> Option<Event> {
        let replica = self.replicas.get_mut(&shard)?;
        replica.lose();
        replica.keep_for_followers();
        match replica.store.begin_epoch(epoch, clock::now_ms()) {
            Ok(_) => {
                replica.ship();
                let appended = replica.news();
                self.touch(shard);
                appended.map(Event::Appended)
            }
            Err(AppendError::Poisoned(poisoned)) => Some(Event::Failed(poisoned.to_string())),
            Err(error) => {
                tracing::error!(%shard, %epoch, %error, "an epoch is begun later");
                None
            }
        }
    }

    fn commit_to(&mut self, shard: ShardNo, lsn: Lsn) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.store.commit_to(lsn, &mut replica.committed);
            replica.source.set_committed(lsn);
            replica.gauge.settle_pending(lsn);
            self.touch(shard);
        }
    }

    fn truncate_after(&mut self, shard: ShardNo, lsn: Lsn) -> Option<Event> {
        let replica = self.replicas.get_mut(&shard)?;
        tracing::info!(%shard, %lsn, "the log is cut to what its leader has");
        Some(match replica.store.truncate_after(lsn) {
            Ok(()) => {
                replica.forget_news();
                replica.gauge.cut_pending(lsn);
                Event::Cut(replica.log_state())
            }
            Err(error) => Event::Failed(error.to_string()),
        })
    }

    fn start_over(&mut self, shard: ShardNo, consistent_from: Lsn) -> Option<Event> {
        let log = self.replicas.get(&shard)?.log();
        tracing::info!(%shard, "the log is behind its leader's horizon: it begins anew");
        let disk = Arc::clone(&self.disk);
        let begun = self.dir.start_over(shard, consistent_from, |dir| {
            Store::create(Arc::clone(&disk), dir, log)
        });
        match begun {
            Ok(store) => {
                self.asides.forget(shard);
                let replica = self.replicas.get_mut(&shard)?;
                replica.begin_anew(store, consistent_from);
                let cut = Event::Cut(replica.log_state());
                self.publish(shard);
                Some(cut)
            }
            Err(error) => Some(Event::Failed(error.to_string())),
        }
    }

    /// Keeps a record that a peer has, if it is newer; then it may be obeyed.
    pub(super) fn learn(&mut self, record: ShardRecord) -> Option<ShardRecord> {
        let replica = self.replicas.get_mut(&record.shard)?;
        let is_newer = replica
            .record
            .as_ref()
            .map_or(!record.is_restored(), |old| {
                replica::supersedes(&record, old)
            });
        if !is_newer {
            return None;
        }
        if let Err(error) = self.dir.keep_record(&record) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(shard = %record.shard, error, "a record cannot be kept");
            return None;
        }
        replica.record = Some(record.clone());
        self.changed.insert(record.shard);
        Some(record)
    }

    fn halt(&mut self, shard: ShardNo, halt: &Halt) {
        tracing::error!(%shard, %halt, "the shard takes no writes here until the next start");
        for link in self.links.values() {
            link.stop_stream(shard);
        }
        self.touch(shard);
    }

    /// What follows from what the core is now: roles change, readers may read for longer.
    fn take_standing(&mut self, shard: ShardNo) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        let now = replica.core.standing();
        let is_outside = matches!(now, replica::Standing::Following { is_in: false });
        replica.gauge.set_outside(is_outside);
        let standing = match now {
            replica::Standing::Idle => Standing::Idle,
            replica::Standing::Following { .. } => Standing::Following,
            replica::Standing::Elected(_) => Standing::Elected,
            replica::Standing::Leading(_) => Standing::Leading,
            replica::Standing::Halted(_) => Standing::Poisoned,
        };
        let now_ms = clock::monotone_ms();
        let readable_until = match replica.is_alone() {
            true => u64::MAX,
            false => now_ms.saturating_add(replica.core.readable_ms(now_ms)),
        };
        replica.gauge.set_readable_until(readable_until);
        let free_bytes = replica.core.free_bytes();
        replica.gauge.set_copies_free_bytes(free_bytes);
        replica.lag.acknowledge(replica.core.acknowledged());
        replica.source.tail.trim(replica.core.committed());
        let before = std::mem::replace(&mut replica.standing, standing);
        let changed = self.changed.remove(&shard);
        if before == standing && !changed {
            return;
        }
        if matches!(standing, Standing::Leading | Standing::Elected) {
            replica.keep_for_new_followers();
        }
        if before != standing {
            self.change_role(shard, before);
        }
        self.publish(shard);
    }

    fn change_role(&mut self, shard: ShardNo, before: Standing) {
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return;
        };
        let epoch = replica.store.positions().appended.epoch;
        let led = matches!(before, Standing::Leading | Standing::Elected);
        match replica.standing {
            // The epoch's first record is committed: from here on this process is the shard's
            // order.
            Standing::Leading => {
                tracing::info!(%shard, %epoch, "leads");
                replica.measure();
                replica.gauge.listing_goes_on();
                self.around.feed.leads(Arc::new(replica.view()));
            }
            Standing::Elected => {}
            Standing::Idle | Standing::Following | Standing::Poisoned => {
                replica.store.forget_appended();
                if led {
                    tracing::info!(%shard, "no longer leads");
                    self.around.feed.resigned(shard);
                    // Whoever is told of the loss must find it in the table already.
                    self.publish(shard);
                    self.lose(shard);
                }
            }
        }
    }

    /// Fails everyone who waits at a leader that is none any more.
    fn lose(&mut self, shard: ShardNo) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.lose();
        }
        self.touch(shard);
    }
}
