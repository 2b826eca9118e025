//! A node's process: it starts, reports, hears of shard records, and dies.

use replica::{Bugs, Core, Event, Identity, Standing, supersedes};
use store::disk::simulated::SimulatedDisk;
use uuid::Uuid;
use wire::membership::{Heartbeat, ReplicaReport};
use wire::shard::{Member, Revision, ShardRecord};
use wire::{Position, ShardNo};

use super::replica::open;
use super::{Cluster, SESSION_MS};
use crate::bug::{SeededBug, Shell};
use crate::faults::Fault;
use crate::node::{Held, Live};
use crate::queue::Happening;

/// How often a core is told that time passed.
const TICK_MS: u64 = 80;

/// How long a leader leads for a replica that could lead itself.
const STANDS_IN_MS_MIN: u64 = 500;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is killed: what it wrote is there.
    Kill,
    /// The power fails: of what was not synced, any part is there.
    PowerLoss,
    /// The disk is lost.
    DiskLost,
}

impl Cluster {
    /// Ends a node's process.
    pub(crate) fn end(&mut self, node: usize, end: End) {
        self.note(|| format!("node{} ends: {end:?}", node + 1));
        self.losses += 1;
        let seed = self.random.bits();
        let reuses = self.has_bug(Shell::DiskReused);
        let at = &mut self.nodes[node];
        at.up = false;
        at.process += 1;
        at.live.clear();
        match end {
            End::Kill => at.disk = at.disk.kill(),
            End::PowerLoss => at.disk = at.disk.crash(seed),
            End::DiskLost => {
                at.disk = SimulatedDisk::new(seed);
                if reuses {
                    for held in at.held.values_mut() {
                        held.shadow.clear();
                        held.synced = 0;
                    }
                } else {
                    at.held.clear();
                }
                at.offer = Uuid::from_u64_pair(seed, !seed);
            }
        }
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            self.cut(node, peer, 0);
        }
    }

    /// Starts a node's process.
    pub(crate) fn start(&mut self, node: usize, incarnation: Uuid) {
        if self.nodes[node].up {
            return;
        }
        self.note(|| format!("node{} starts", node + 1));
        let now_ms = self.now_ms;
        let at = &mut self.nodes[node];
        at.up = true;
        at.process += 1;
        at.started_ms = now_ms;
        at.paused_until_ms = 0;
        at.incarnation = incarnation;
        let process = at.process;
        let shards: Vec<ShardNo> = at.held.keys().copied().collect();
        for shard in shards {
            self.open_replica(node, shard);
        }
        self.after(1, Happening::Tick { node, process });
        self.after(2, Happening::Beat { node, process });
    }

    fn open_replica(&mut self, node: usize, shard: ShardNo) {
        self.losses += 1;
        let bugs = match self.bug {
            Some(SeededBug::Core(bug)) => Bugs::only(bug),
            _ => Bugs::default(),
        };
        let at = &mut self.nodes[node];
        let Some(held) = at.held.get_mut(&shard) else {
            return;
        };
        let store = match open(&at.disk, &held.dir(shard), held.log) {
            Ok(store) => store,
            Err(error) => {
                // A disk that fails now may be read after another restart; one that never can
                // keeps the cluster from converging.
                self.note(|| format!("node{} shard {shard}: {error}", node + 1));
                self.after(300, Happening::Heal(Fault::Restart(node)));
                return;
            }
        };
        let positions = store.positions();
        held.shadow.split_off(&(positions.appended.lsn.0 + 1));
        held.synced = positions.synced.0;
        held.committed = positions.committed.0;
        let me = Identity {
            member: Member {
                node: at.name.clone(),
                replica: held.replica,
            },
            incarnation: at.incarnation,
        };
        let core = Core::new(
            me,
            SESSION_MS,
            Live::log_state(&store, held.consistent_from),
            bugs,
        );
        let live = Live {
            core,
            store,
            job: None,
            streams: Default::default(),
            waiting: Vec::new(),
            stands_in_since_ms: None,
        };
        at.live.insert(shard, live);
        let record = held.record.clone();
        for peer in (0..self.nodes.len()).filter(|peer| *peer != node) {
            if self.network.link(node, peer).connection.is_some() {
                let name = self.nodes[peer].name.clone();
                self.feed(node, shard, Event::LinkUp(name));
            }
        }
        if let Some(record) = record {
            self.feed(node, shard, Event::Record(record));
        }
    }

    pub(super) fn tick(&mut self, node: usize, process: u64) {
        if self
            .awake(node, process, Happening::Tick { node, process })
            .is_none()
        {
            return;
        }
        self.after(TICK_MS, Happening::Tick { node, process });
        self.feed_all(node, &Event::Tick);
        if self.random.chance(1, 16) {
            self.give_back(node);
            self.do_chores(node);
        }
    }

    /// Whoever has led for another for a while hands over to it.
    fn give_back(&mut self, node: usize) {
        let now_ms = self.now_ms;
        let mut due = Vec::new();
        for (shard, live) in &mut self.nodes[node].live {
            if !live.core.stands_in() {
                live.stands_in_since_ms = None;
                continue;
            }
            let since_ms = *live.stands_in_since_ms.get_or_insert(now_ms);
            if now_ms >= since_ms + STANDS_IN_MS_MIN {
                live.stands_in_since_ms = None;
                due.push(*shard);
            }
        }
        for shard in due {
            self.note(|| format!("node{} gives shard {shard} back", node + 1));
            self.feed(node, shard, Event::HandOver);
        }
    }

    /// Space is given back, and the horizon may rise.
    pub(crate) fn do_chores(&mut self, node: usize) {
        let wall_ms = self.wall_ms + self.now_ms;
        let shards: Vec<ShardNo> = self.nodes[node].live.keys().copied().collect();
        for shard in shards {
            let Some(live) = self.nodes[node].live.get_mut(&shard) else {
                continue;
            };
            if !live.core.may_compact() || live.job.is_some() {
                continue;
            }
            let before = live.store.positions().horizon;
            for chore in live.store.chores(wall_ms) {
                let done = chore.run(&mut |_| true);
                // A chore that came to nothing is due again.
                let _finished = live.store.finish(done);
            }
            let horizon = live.store.positions().horizon;
            if horizon > before {
                self.note(|| format!("{} shard {shard}: horizon {horizon}", node + 1));
                self.feed(node, shard, Event::Horizon(horizon));
            }
        }
    }

    pub(super) fn beat(&mut self, node: usize, process: u64) {
        if self
            .awake(node, process, Happening::Beat { node, process })
            .is_none()
        {
            return;
        }
        self.after(SESSION_MS / 6, Happening::Beat { node, process });
        let at = &self.nodes[node];
        if self.now_ms < at.cut_off_until_ms {
            return;
        }
        let replicas = at.live.iter();
        let replicas = replicas.map(|(shard, live)| report(*shard, live, &at.held[shard]));
        let heartbeat = Heartbeat {
            cluster: None,
            incarnation: at.incarnation,
            offer: at.offer,
            internal_url: String::new(),
            public_url: String::new(),
            replicas: replicas.collect(),
            map_version: 0,
            parting: false,
            linked: None,
        };
        let delay_ms = self.random.between(1, 10);
        let heartbeat = Box::new(heartbeat);
        self.after(delay_ms, Happening::Reported { node, heartbeat });
    }

    /// The register's records come in.
    pub(super) fn mapped(&mut self, node: usize, process: u64, records: Vec<ShardRecord>) {
        let what = Happening::Mapped {
            node,
            process,
            records,
        };
        let Some(Happening::Mapped { records, .. }) = self.awake(node, process, what) else {
            return;
        };
        for record in records {
            self.obey(node, record);
        }
    }

    fn obey(&mut self, node: usize, record: ShardRecord) {
        let shard = record.shard;
        let at = &mut self.nodes[node];
        let held = at.held.get(&shard);
        let known = held.and_then(|held| held.record.as_ref());
        let is_news = known.map_or(!record.is_restored(), |old| supersedes(&record, old));
        let named = record.member_on(&at.name).map(|member| member.replica);
        if named == Some(at.offer) && is_news {
            self.make_replica(node, &record);
        }
        if let Some(record) = self.persist(node, record) {
            self.feed(node, shard, Event::Record(record));
            self.kick(node, shard);
        }
    }

    /// Makes the replica that was asked for under this node's offer.
    fn make_replica(&mut self, node: usize, record: &ShardRecord) {
        let shard = record.shard;
        self.note(|| format!("{} makes shard {shard}", node + 1));
        let next = self.uuid();
        let at = &mut self.nodes[node];
        let held = Held {
            replica: std::mem::replace(&mut at.offer, next),
            log: record.log,
            record: None,
            round: 0,
            consistent_from: None,
            is_rotten: false,
            shadow: Default::default(),
            synced: 0,
            committed: 0,
        };
        at.held.insert(shard, held);
        at.live.remove(&shard);
        self.open_replica(node, shard);
    }
}

fn report(shard: ShardNo, live: &Live, held: &Held) -> ReplicaReport {
    let positions = live.store.positions();
    let revision = held.record.as_ref().map(ShardRecord::revision);
    let revision = revision.unwrap_or(Revision::NONE);
    ReplicaReport {
        shard,
        replica: held.replica,
        record_lineage: revision.lineage,
        record_version: revision.version,
        record_mark: held.record.as_ref().map(ShardRecord::mark),
        record: held.record.clone(),
        end: Position {
            lsn: positions.synced,
            ..positions.appended
        },
        committed: positions.committed,
        bytes: live.store.usage().space.log,
        contents: 0,
        damaged: live.store.usage().damaged,
        halted: matches!(live.core.standing(), Standing::Halted(_)),
        complete: held
            .consistent_from
            .is_none_or(|from| positions.synced >= from),
        log: None,
    }
}
