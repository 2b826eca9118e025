//! What a node does around the core of one replica: carries effects out, and tells what came of it.

use std::collections::VecDeque;
use std::sync::Arc;

use replica::{Effect, Event, Standing, supersedes};
use store::{AppendError, Record, ReplicateError, Store};
use wire::replication::{Envelope, Frame, Message};
use wire::shard::ShardRecord;
use wire::{Epoch, Lsn, ShardNo};

use super::Cluster;
use crate::bug::Shell;
use crate::network::Packet;
use crate::node::{GEOMETRY, Live, Stream};
use crate::queue::Happening;

/// Records in one message.
const FRAMES_MAX: usize = 32;

impl Cluster {
    pub(crate) fn feed_all(&mut self, node: usize, event: &Event) {
        let shards: Vec<ShardNo> = self.nodes[node].live.keys().copied().collect();
        for shard in shards {
            self.feed(node, shard, event.clone());
        }
    }

    /// Gives an event to a replica's core, and does what it says.
    pub(crate) fn feed(&mut self, node: usize, shard: ShardNo, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let clock_ms = self.clock_ms(node);
            let Some(live) = self.nodes[node].live.get_mut(&shard) else {
                return;
            };
            let mut effects = Vec::new();
            live.core.handle(event, clock_ms, &mut effects);
            for effect in effects {
                if !matches!(effect, Effect::Send { .. }) {
                    self.note(|| format!("{} shard {shard}: {effect:?}", node + 1));
                }
                events.extend(self.carry_out(node, shard, effect));
            }
        }
    }

    /// A node's own clock.
    pub(crate) fn clock_ms(&self, node: usize) -> u64 {
        self.now_ms - self.nodes[node].started_ms
    }

    fn carry_out(&mut self, node: usize, shard: ShardNo, effect: Effect) -> Option<Event> {
        match effect {
            Effect::BeginEpoch(epoch) => return self.begin_epoch(node, shard, epoch),
            Effect::CommitTo(lsn) => self.commit_to(node, shard, lsn),
            Effect::Send { to, envelope } => {
                let to = self.node_named(&to)?;
                self.send_envelope(node, to, envelope);
            }
            Effect::Stream {
                to,
                after,
                epoch,
                attempt,
            } => {
                let to = self.node_named(&to)?;
                let skips = self.has_bug(Shell::StreamFromEnd);
                let live = self.nodes[node].live.get_mut(&shard)?;
                let end = live.store.positions().appended.lsn;
                let from = if skips && end.0 > after.0 + 2 {
                    Lsn(end.0 - 1)
                } else {
                    after
                };
                let cursor = live.store.reader().records(from);
                let stream = Stream {
                    cursor,
                    sent: after,
                    epoch,
                    attempt,
                    is_stuck: false,
                };
                live.streams.insert(to, stream);
                self.pump(node, shard);
            }
            Effect::StopStream(to) => {
                let to = self.node_named(&to)?;
                self.nodes[node].live.get_mut(&shard)?.streams.remove(&to);
            }
            Effect::TruncateAfter(lsn) => return self.truncate_after(node, shard, lsn),
            Effect::StartOver { consistent_from } => {
                return self.start_over((node, shard), consistent_from);
            }
            Effect::Propose(record) => self.propose(node, record),
            Effect::ReadRecord => self.ask_for_map(node),
            Effect::Learn(record) => return self.persist(node, record).map(Event::Record),
            Effect::Lost { .. } => self
                .judge
                .accuse(format!("node{} shard {shard}: {effect:?}", node + 1)),
            Effect::Halt(halt) => {
                if halt.is_breach() {
                    self.judge
                        .accuse(format!("node{} shard {shard} halted: {halt}", node + 1));
                }
                let live = self.nodes[node].live.get_mut(&shard)?;
                live.streams.clear();
                live.waiting.clear();
                // Whoever watches the process starts it again.
                let delay_ms = self.random.between(200, 800);
                self.after(
                    delay_ms,
                    Happening::Heal(crate::faults::Fault::Restart(node)),
                );
            }
        }
        None
    }

    pub(crate) fn node_named(&self, name: &wire::NodeName) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == *name)
    }

    fn send_envelope(&mut self, from: usize, to: usize, mut envelope: Envelope) {
        if let Message::Hello(hello) = &mut envelope.message
            && let Some(live) = self.nodes[from].live.get(&envelope.shard)
        {
            hello.checksum = live.checksum_at(hello.last.lsn);
        }
        let births = Vec::new();
        self.send(from, to, Box::new(Packet { envelope, births }));
    }

    fn begin_epoch(&mut self, node: usize, shard: ShardNo, epoch: Epoch) -> Option<Event> {
        let wall_ms = self.wall_ms + self.now_ms;
        let live = self.nodes[node].live.get_mut(&shard)?;
        match live.store.begin_epoch(epoch, wall_ms) {
            Ok(lsn) => {
                let event = self.appended(node, shard, lsn);
                self.kick(node, shard);
                event
            }
            Err(AppendError::Full { .. }) => None,
            Err(AppendError::Poisoned(poisoned)) => Some(Event::Failed(poisoned.to_string())),
        }
    }

    /// Takes note of a record that this node appended as a leader.
    pub(crate) fn appended(&mut self, node: usize, shard: ShardNo, lsn: Lsn) -> Option<Event> {
        let position = self.nodes[node]
            .live
            .get(&shard)?
            .store
            .positions()
            .appended;
        let birth = self.judge.append(shard, position.epoch, lsn);
        let held = self.nodes[node].held.get_mut(&shard)?;
        held.shadow.insert(lsn.0, (position.epoch, birth));
        Some(Event::Appended(position))
    }

    fn commit_to(&mut self, node: usize, shard: ShardNo, lsn: Lsn) {
        let Node { live, held } = self.replica(node, shard);
        let (Some(live), Some(held)) = (live, held) else {
            return;
        };
        live.store.commit_to(lsn, &mut Vec::new());
        let committed = held.shadow.range(held.committed + 1..=lsn.0);
        let committed: Vec<(u64, u64)> =
            committed.map(|(lsn, (_, birth))| (*lsn, *birth)).collect();
        held.committed = lsn.0;
        for (lsn, birth) in committed {
            self.judge.commit(shard, lsn, birth);
        }
        self.answer(node, shard);
    }

    /// Answers the clients whose changes are committed.
    fn answer(&mut self, node: usize, shard: ShardNo) {
        let early = self.has_bug(Shell::AnswerBeforeCommit);
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        let epoch = match live.core.standing() {
            Standing::Leading(epoch) | Standing::Elected(epoch) => epoch,
            _ => return,
        };
        let upto = if early {
            live.store.positions().synced
        } else {
            live.core.committed()
        };
        let (done, waiting) = std::mem::take(&mut live.waiting)
            .into_iter()
            .partition(|waiting| waiting.lsn <= upto && waiting.epoch == epoch);
        live.waiting = waiting;
        let done: Vec<crate::node::Waiting> = done;
        for waiting in done {
            self.acknowledge(&waiting);
        }
    }

    fn truncate_after(&mut self, node: usize, shard: ShardNo, lsn: Lsn) -> Option<Event> {
        self.losses += 1;
        let Node { live, held } = self.replica(node, shard);
        let (live, held) = (live?, held?);
        let cut = live.store.truncate_after(lsn);
        held.synced = held.synced.min(lsn.0);
        Some(match cut {
            Ok(()) => {
                held.shadow.split_off(&(lsn.0 + 1));
                held.synced = live.store.positions().synced.0;
                Event::Cut(Live::log_state(&live.store, held.consistent_from))
            }
            // What was not cut is there at the next start.
            Err(error) => Event::Failed(error.to_string()),
        })
    }

    fn start_over(&mut self, (node, shard): (usize, ShardNo), from: Lsn) -> Option<Event> {
        self.losses += 1;
        let disk = self.nodes[node].disk.clone();
        let held = self.nodes[node].held.get_mut(&shard)?;
        held.round += 1;
        held.consistent_from = Some(from);
        held.is_rotten = false;
        held.shadow.clear();
        (held.synced, held.committed) = (0, 0);
        let store = open(&disk, &held.dir(shard), held.log);
        let live = self.nodes[node].live.get_mut(&shard)?;
        live.job = None;
        match store {
            Ok(store) => {
                live.store = store;
                Some(Event::Cut(Live::log_state(&live.store, Some(from))))
            }
            Err(error) => Some(Event::Failed(error)),
        }
    }

    /// Keeps a record, if it is newer; then it may be obeyed.
    pub(crate) fn persist(&mut self, node: usize, record: ShardRecord) -> Option<ShardRecord> {
        let forgets = self.has_bug(Shell::RecordNotPersisted);
        let obeys_all =
            self.bug == Some(crate::bug::SeededBug::Core(replica::Bug::OlderRecordObeyed));
        let held = self.nodes[node].held.get_mut(&record.shard)?;
        let is_newer = held
            .record
            .as_ref()
            .map_or(!record.is_restored(), |old| supersedes(&record, old));
        if !is_newer && !obeys_all {
            return None;
        }
        if !forgets || held.record.is_none() {
            held.record = Some(record.clone());
        }
        Some(record)
    }

    /// Appends what a leader sent; false when something could not be.
    pub(super) fn take_frames(
        &mut self,
        (node, shard): (usize, ShardNo),
        frames: Vec<Frame>,
        births: &[u64],
    ) -> bool {
        for (frame, birth) in frames.into_iter().zip(births) {
            let Node { live, held } = self.replica(node, shard);
            let (Some(live), Some(held)) = (live, held) else {
                return false;
            };
            let Ok(record) = Record::from_bytes(&frame.record.concat().into(), held.log) else {
                return false;
            };
            let epoch = record.head.epoch;
            match live.store.replicate(record, frame.covers_from) {
                Ok(lsn) => {
                    held.shadow.insert(lsn.0, (epoch, *birth));
                    let position = live.store.positions().appended;
                    self.feed(node, shard, Event::Appended(position));
                }
                Err(ReplicateError::Append(AppendError::Poisoned(poisoned))) => {
                    self.feed(node, shard, Event::Failed(poisoned.to_string()));
                    return false;
                }
                Err(error) => {
                    self.note(|| format!("{} shard {shard}: {error}", node + 1));
                    return false;
                }
            }
        }
        true
    }

    /// Writes out what was appended, begins to sync it, and sends it to followers.
    pub(crate) fn kick(&mut self, node: usize, shard: ShardNo) {
        let process = self.nodes[node].process;
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        if live.job.is_none() {
            match live.store.flush() {
                Ok(Some(job)) => {
                    live.job = Some(job);
                    let usual_ms = if self.random.chance(1, 40) { 300 } else { 8 };
                    let delay_ms = self.random.between(1, usual_ms);
                    self.after(
                        delay_ms,
                        Happening::Synced {
                            node,
                            process,
                            shard,
                        },
                    );
                }
                Ok(None) => {}
                Err(poisoned) => self.feed(node, shard, Event::Failed(poisoned.to_string())),
            }
        }
        self.pump(node, shard);
    }

    pub(super) fn sync_ends(&mut self, node: usize, shard: ShardNo) {
        let Node { live, held } = self.replica(node, shard);
        let (Some(live), Some(held)) = (live, held) else {
            return;
        };
        let Some(job) = live.job.take() else {
            return;
        };
        match live.store.synced(job.run()) {
            Ok(lsn) => {
                held.synced = held.synced.max(lsn.0);
                self.feed(node, shard, Event::Synced(lsn));
                self.answer(node, shard);
                self.kick(node, shard);
            }
            Err(poisoned) => self.feed(node, shard, Event::Failed(poisoned.to_string())),
        }
    }

    /// Sends followers what is written and they do not have.
    fn pump(&mut self, node: usize, shard: ShardNo) {
        let clock_ms = self.clock_ms(node);
        let Node { live, held } = self.replica(node, shard);
        let (Some(live), Some(held)) = (live, held) else {
            return;
        };
        let (commit, lease_ms) = (live.core.committed(), live.core.lease_ms(clock_ms));
        let mut packets = Vec::new();
        for (&to, stream) in &mut live.streams {
            let (mut frames, mut births) = (Vec::new(), Vec::new());
            while !stream.is_stuck {
                let record = match stream.cursor.next_record() {
                    Ok(Some(record)) => record,
                    Ok(None) => break,
                    Err(_) => {
                        stream.is_stuck = true;
                        break;
                    }
                };
                let lsn = record.head.lsn;
                frames.push(Frame {
                    covers_from: stream.sent.next(),
                    record: vec![record.to_bytes()],
                });
                births.push(held.shadow.get(&lsn.0).map_or(0, |(_, birth)| *birth));
                stream.sent = lsn;
                if frames.len() == FRAMES_MAX {
                    let full = std::mem::take(&mut frames);
                    packets.push((
                        to,
                        stream.epoch,
                        stream.attempt,
                        full,
                        std::mem::take(&mut births),
                    ));
                }
            }
            if !frames.is_empty() {
                packets.push((to, stream.epoch, stream.attempt, frames, births));
            }
        }
        for (to, epoch, attempt, frames, births) in packets {
            let envelope = Envelope {
                shard,
                epoch,
                attempt,
                sent_ms: clock_ms,
                echo_ms: 0,
                message: Message::Records {
                    commit,
                    lease_ms,
                    frames,
                },
            };
            self.send(node, to, Box::new(Packet { envelope, births }));
        }
    }

    fn replica(&mut self, node: usize, shard: ShardNo) -> Node<'_> {
        let node = &mut self.nodes[node];
        Node {
            live: node.live.get_mut(&shard),
            held: node.held.get_mut(&shard),
        }
    }
}

/// A replica as it runs, and as it is kept.
struct Node<'a> {
    live: Option<&'a mut Live>,
    held: Option<&'a mut crate::node::Held>,
}

/// Opens, or makes, a replica's log.
pub(super) fn open(
    disk: &store::disk::simulated::SimulatedDisk,
    dir: &std::path::Path,
    log: u64,
) -> Result<Store, String> {
    use store::disk::Disk;
    disk.create_dir(dir).map_err(|error| error.to_string())?;
    disk.sync_dir(std::path::Path::new("/"))
        .map_err(|error| error.to_string())?;
    let opened = Store::open_with(Arc::new(disk.clone()), dir, log, GEOMETRY);
    opened
        .map(|(store, _)| store)
        .map_err(|error| error.to_string())
}
