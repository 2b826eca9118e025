//! The book of members: nodes, distributors, shard records.

mod board;
mod orders;
mod outlook;
mod sayings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast};
use uuid::Uuid;
use wire::membership::{Health, Heartbeat, NodeAddress};
use wire::shard::{Member, ShardRecord, ShardState};
use wire::stats::NodeStats;
use wire::{NodeName, ShardNo};

use super::liveness::{Poll, judge};
use super::snapshot::Snapshot;
use crate::placement::{Lack, Load, OpenShard, Promises};

/// Changes that may wait to be told: more than the shards of one node.
const CHANGES_MAX: usize = 1024;

/// All that is known; shared by everyone, never locked across an await.
pub(crate) struct Members {
    session: Duration,
    state: RwLock<State>,
    changes: broadcast::Sender<ShardRecord>,
    /// Told when a process of a node is heard first.
    registered: Notify,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<NodeName, Node>,
    distributors: BTreeMap<NodeName, Distributor>,
    records: BTreeMap<ShardNo, ShardRecord>,
    /// Nodes that shall hold nothing any more.
    draining: BTreeSet<NodeName>,
    /// Whether nodes are to become equally full.
    rebalancing: bool,
    /// Processes that were removed.
    removed: BTreeMap<NodeName, Uuid>,
    /// Since when each exchange with the catalog went well; none while it does not.
    exchanges_since: Option<Instant>,
    snapshot: Option<Arc<Snapshot>>,
}

struct Distributor {
    address: NodeAddress,
    heard: Instant,
    incarnation: Uuid,
}

struct Node {
    heartbeat: Heartbeat,
    known_since: Instant,
    heard: Instant,
    /// Whether it spoke to this distributor, and not to another one.
    here: bool,
    poll: Poll,
    stats: Option<(NodeStats, Instant)>,
    /// How far its clock was ahead of ours when it was last asked, in seconds.
    clock_ahead_s: Option<f64>,
    promises: Promises,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The node was unknown, or is another process.
    pub(crate) process: bool,
    /// The controller may have something to decide.
    pub(crate) decide: bool,
}

/// A node that could take an upload; its load stands at the same place of another list.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) node: NodeName,
    pub(crate) public_url: String,
}

/// One node as `GET /nodes` and `GET /stats` show it.
#[derive(Clone, Debug)]
pub(crate) struct NodeView {
    pub(crate) name: NodeName,
    pub(crate) address: NodeAddress,
    pub(crate) health: Health,
    /// Whether it shall hold nothing any more.
    pub(crate) draining: bool,
    pub(crate) stats: Option<NodeStats>,
    /// How far its clock is ahead of ours, in seconds; none if that is not known.
    pub(crate) clock_ahead_s: Option<f64>,
}

impl Members {
    pub(crate) fn new(session: Duration) -> Self {
        Members {
            session,
            state: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
            registered: Notify::new(),
        }
    }

    /// Takes a heartbeat that came here.
    pub(crate) fn hear(&self, name: &NodeName, heartbeat: &Heartbeat, now: Instant) -> Heard {
        let heard = self.write().hear(name, heartbeat, (now, now), true);
        if heard.process {
            self.registered.notify_one();
        }
        heard
    }

    /// Where another process of this name lives, if one does: it was heard within a session, and is not
    /// about to end. One at the same address has only been started anew.
    pub(crate) fn other(
        &self,
        name: &NodeName,
        heartbeat: &Heartbeat,
        now: Instant,
    ) -> Option<String> {
        let state = self.read();
        let known = state.nodes.get(name)?;
        let told = &known.heartbeat;
        let lives = !told.parting && now.saturating_duration_since(known.heard) < self.session;
        let is_other = told.incarnation != heartbeat.incarnation
            && told.internal_url != heartbeat.internal_url;
        (lives && is_other).then(|| told.internal_url.clone())
    }

    /// Takes the register as it is read; what is absent there is forgotten.
    pub(crate) fn set_records(&self, records: Vec<ShardRecord>) {
        let records = records
            .into_iter()
            .map(|record| (record.shard, record))
            .collect();
        let mut state = self.write();
        if state.records != records {
            state.records = records;
            state.snapshot = None;
        }
    }

    /// Takes one record as the register answered it.
    pub(crate) fn set_record(&self, record: ShardRecord) {
        let mut state = self.write();
        state.records.insert(record.shard, record.clone());
        state.snapshot = None;
        drop(state);
        // Whoever listens brings it to the nodes; while a distributor starts or ends, nobody does.
        self.changes.send(record).ok();
    }

    /// All records.
    pub(crate) fn records(&self) -> BTreeMap<ShardNo, ShardRecord> {
        self.read().records.clone()
    }

    /// One shard's record.
    pub(crate) fn record(&self, shard: ShardNo) -> Option<ShardRecord> {
        self.read().records.get(&shard).cloned()
    }

    /// The shard map; made once after each change.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = &self.read().snapshot {
            return Arc::clone(snapshot);
        }
        let mut state = self.write();
        let nodes = state
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.address()))
            .collect();
        let snapshot = Arc::new(Snapshot::new(&state.records, nodes));
        state.snapshot = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// Takes the answer to a question for statistics; none when there was no answer.
    pub(crate) fn sampled(&self, name: &NodeName, stats: Option<NodeStats>, now: Instant) {
        let mut state = self.write();
        let Some(node) = state.nodes.get_mut(name) else {
            return;
        };
        let before = node.poll;
        match stats {
            Some(stats) => {
                node.poll = Poll::Answered;
                node.promises.sampled();
                node.stats = Some((stats, now));
            }
            None => node.poll = Poll::Failed,
        }
        match (before, node.poll) {
            (Poll::Failed, Poll::Answered) => tracing::info!(node = %name, "answers again"),
            (Poll::Answered, Poll::Failed) if node.heartbeat.parting => {
                tracing::info!(node = %name, "has ended, as it said that it would");
            }
            (Poll::Answered, Poll::Failed) => {
                tracing::warn!(node = %name, "does not answer; not used until it does");
            }
            _ => {}
        }
    }

    /// Takes what a node's clock was when it was asked.
    pub(crate) fn clock_read(&self, name: &NodeName, ahead_s: Option<f64>) {
        if let Some(node) = self.write().nodes.get_mut(name) {
            node.clock_ahead_s = ahead_s;
        }
    }

    /// A place was handed out; `others` keep copies of what comes there.
    pub(crate) fn promise<'a>(
        &self,
        name: &NodeName,
        others: impl Iterator<Item = &'a NodeName>,
        bytes: u64,
    ) {
        let mut state = self.write();
        if let Some(node) = state.nodes.get_mut(name) {
            node.promises.add(bytes);
        }
        for other in others {
            if let Some(node) = state.nodes.get_mut(other) {
                node.promises.add_copy(bytes);
            }
        }
    }

    /// Every node as a candidate for an upload, and its load.
    pub(crate) fn places(&self, now: Instant) -> (Vec<Place>, Vec<Load>) {
        let state = self.read();
        let places = state.nodes.iter().map(|(name, node)| {
            let age = |(stats, at): &(NodeStats, Instant)| {
                (stats.clone(), now.saturating_duration_since(*at))
            };
            let place = Place {
                node: name.clone(),
                public_url: node.heartbeat.public_url.clone(),
            };
            let load = Load {
                up: self.health(node, now) == Health::Up,
                draining: state.draining.contains(name),
                open: state.open_shards(name, &node.heartbeat),
                stats: node.answer().map(age),
                promises: node.promises,
            };
            (place, load)
        });
        places.unzip()
    }

    /// Every node, for people.
    pub(crate) fn nodes(&self, now: Instant) -> Vec<NodeView> {
        let state = self.read();
        let views = state.nodes.iter().map(|(name, node)| {
            let health = self.health(node, now);
            NodeView {
                name: name.clone(),
                address: node.address(),
                health,
                draining: state.draining.contains(name),
                stats: node
                    .answer()
                    .filter(|_| health == Health::Up)
                    .map(|(stats, _)| stats.clone()),
                clock_ahead_s: node.clock_ahead_s.filter(|_| health == Health::Up),
            }
        });
        views.collect()
    }

    /// The other distributors, and whether each was heard within a session.
    pub(crate) fn distributors(&self, now: Instant) -> Vec<(NodeName, NodeAddress, Health)> {
        let state = self.read();
        let each = state.distributors.iter().map(|(name, distributor)| {
            let silent = now.saturating_duration_since(distributor.heard) >= self.session;
            let health = if silent { Health::Down } else { Health::Up };
            (name.clone(), distributor.address.clone(), health)
        });
        each.collect()
    }

    /// Whether a node was ever heard, here or by another distributor of this cluster.
    pub(crate) fn knows(&self, name: &NodeName) -> bool {
        self.read().nodes.contains_key(name)
    }

    /// Where services reach a node.
    pub(crate) fn internal_url(&self, name: &NodeName) -> Option<String> {
        self.read()
            .nodes
            .get(name)
            .map(|node| node.heartbeat.internal_url.clone())
    }

    /// Where clients reach the nodes that have all of a shard and are up, the leader first.
    pub(crate) fn public_urls(&self, shard: ShardNo, now: Instant) -> Vec<String> {
        self.with_public_urls(now, |urls_of| urls_of(shard))
    }

    /// Looks up many shards under one lock.
    pub(crate) fn with_public_urls<T>(
        &self,
        now: Instant,
        look: impl FnOnce(&dyn Fn(ShardNo) -> Vec<String>) -> T,
    ) -> T {
        let state = self.read();
        look(&|shard| {
            let Some(record) = state.records.get(&shard) else {
                return Vec::new();
            };
            let leader = record.leader.as_ref().map(|leader| &leader.member);
            let others = record
                .in_sync
                .iter()
                .filter(|member| Some(*member) != leader);
            leader
                .into_iter()
                .chain(others)
                .filter_map(|member| state.nodes.get(&member.node))
                .filter(|node| self.health(node, now) == Health::Up)
                .map(|node| node.heartbeat.public_url.clone())
                .collect()
        })
    }

    fn health(&self, node: &Node, now: Instant) -> Health {
        if node.heartbeat.parting {
            return Health::Down;
        }
        judge(
            now.saturating_duration_since(node.heard),
            self.session,
            node.poll,
        )
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state
            .read()
            .expect("no thread panics while it holds the book")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .expect("no thread panics while it holds the book")
    }
}

impl State {
    fn hear(
        &mut self,
        name: &NodeName,
        heartbeat: &Heartbeat,
        (heard, now): (Instant, Instant),
        here: bool,
    ) -> Heard {
        let known = self.nodes.get_mut(name);
        let same_address = known.as_ref().is_some_and(|node| {
            node.heartbeat.internal_url == heartbeat.internal_url
                && node.heartbeat.public_url == heartbeat.public_url
        });
        if !same_address {
            self.snapshot = None;
        }
        match known {
            Some(node) if node.heartbeat.incarnation == heartbeat.incarnation => {
                let kept = board::with_kept_records(heartbeat, &node.heartbeat, &self.records);
                let before = std::mem::replace(&mut node.heartbeat, kept);
                node.heard = node.heard.max(heard);
                node.here = here;
                Heard {
                    process: false,
                    decide: concerns_controller(&before, heartbeat),
                }
            }
            known => {
                let known_since = known.map(|node| node.known_since);
                let known_before = known_since.is_some();
                tracing::info!(node = %name, url = heartbeat.internal_url, known_before, "registered");
                let node = Node {
                    heartbeat: heartbeat.clone(),
                    known_since: known_since.unwrap_or(now),
                    heard,
                    here,
                    poll: Poll::Unasked,
                    stats: None,
                    clock_ahead_s: None,
                    promises: Promises::default(),
                };
                self.nodes.insert(name.clone(), node);
                Heard {
                    process: true,
                    decide: true,
                }
            }
        }
    }

    /// Shards that this process of the node leads, has made, and that take new content.
    fn open_shards(&self, name: &NodeName, heartbeat: &Heartbeat) -> Vec<OpenShard> {
        let open = heartbeat.replicas.iter().filter_map(|report| {
            let record = self.records.get(&report.shard)?;
            let is_open = record.state == ShardState::Open
                && record.is_led_by(name, heartbeat.incarnation)
                && record
                    .member_on(name)
                    .is_some_and(|m| m.replica == report.replica);
            is_open.then_some(record)
        });
        open.map(|record| OpenShard {
            shard: record.shard,
            lack: self.lack(record),
            others: self.places_of(record.in_sync.iter().filter(|member| member.node != *name)),
        })
        .collect()
    }

    fn lack(&self, record: &ShardRecord) -> Lack {
        if self.is_cut(record) {
            Lack::Link
        } else if record.is_short_of_copies() {
            Lack::Copies
        } else {
            Lack::Nothing
        }
    }

    /// Whether the leader or another member of the set said last that it has no link with the other one:
    /// what comes to such a shard waits until one of them is in the set no more.
    fn is_cut(&self, record: &ShardRecord) -> bool {
        let Some(leader) = record.leader.as_ref().map(|leader| &leader.member.node) else {
            return false;
        };
        let misses = |from: &NodeName, to: &NodeName| {
            let linked = self.nodes.get(from);
            let linked = linked.and_then(|node| node.heartbeat.linked.as_ref());
            linked.is_some_and(|linked| !linked.contains(to))
        };
        let mut others = record.in_sync.iter().map(|member| &member.node);
        others.any(|other| other != leader && (misses(leader, other) || misses(other, leader)))
    }

    /// Where the nodes of these members stand among all nodes.
    fn places_of<'a>(&self, members: impl Iterator<Item = &'a Member>) -> Vec<usize> {
        let place = |member: &Member| self.nodes.keys().position(|name| *name == member.node);
        members.filter_map(place).collect()
    }
}

impl Node {
    fn address(&self) -> NodeAddress {
        NodeAddress {
            internal_url: self.heartbeat.internal_url.clone(),
            public_url: self.heartbeat.public_url.clone(),
        }
    }
}

/// Whether a heartbeat differs from the last one in what the controller decides by; how full a
/// shard is can wait for its next round.
fn concerns_controller(before: &Heartbeat, now: &Heartbeat) -> bool {
    before.offer != now.offer
        || before.replicas.len() != now.replicas.len()
        || now.replicas.iter().any(|report| report.record.is_some())
}
