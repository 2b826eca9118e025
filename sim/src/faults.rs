//! What goes wrong, and how it ends.

use std::collections::BTreeMap;

use store::disk::simulated::{Failure, Operation};
use wire::shard::{Member, ShardRecord};
use wire::{NodeName, ShardNo};

use crate::cluster::{Cluster, End, SESSION_MS};
use crate::queue::Happening;

/// A fault that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A node's process is started again.
    Restart(usize),
    /// A disk has room again.
    Full(usize),
    /// A link is as fast as usual again.
    Slow(usize, usize),
}

/// Eight days: deletes that old may be forgotten.
const LEAP_MS: u64 = 8 * 24 * 60 * 60 * 1000;

impl Cluster {
    /// Something goes wrong.
    pub(crate) fn fault(&mut self) {
        if !self.is_rough {
            return;
        }
        let pause_ms = self.random.between(30, 700);
        self.after(pause_ms, Happening::Fault);
        if self.now_ms < self.calm_until_ms {
            return;
        }
        self.faults += 1;
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let other = self.random.below(self.nodes.len() as u64) as usize;
        match self.random.below(20) {
            0..=2 => self.crash(node, End::Kill),
            3..=5 => self.crash(node, End::PowerLoss),
            6 => self.lose_disk(node),
            7..=8 => self.pause(node),
            9..=11 if node != other => {
                let for_ms = self.random.between(50, 3_000);
                self.note(|| format!("cut {}-{} for {for_ms}", node + 1, other + 1));
                self.cut(node, other, for_ms);
            }
            12 => self.isolate(node),
            13..=14 => {
                let for_ms = self.random.between(200, 3_500);
                self.note(|| format!("node{} hears no distributor for {for_ms}", node + 1));
                self.nodes[node].cut_off_until_ms = self.now_ms + for_ms;
            }
            15 => {
                let for_ms = self.random.between(200, 3_000);
                self.note(|| format!("the register is away for {for_ms}"));
                self.register.away_until_ms = self.now_ms + for_ms;
            }
            16 => self.roll_back(),
            17 => self.break_disk(node),
            18 if node != other => {
                self.network.link(node, other).slow_ms = self.random.between(20, 300);
                let for_ms = self.random.between(300, 2_000);
                self.after(for_ms, Happening::Heal(Fault::Slow(node, other)));
            }
            _ => self.replace_controller(),
        }
    }

    pub(crate) fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::Restart(node) => {
                if self.nodes[node].up {
                    self.end(node, End::Kill);
                }
                let incarnation = self.uuid();
                self.after(20, Happening::Start { node, incarnation });
            }
            Fault::Full(node) => self.nodes[node].disk.set_capacity(None),
            Fault::Slow(a, b) => self.network.link(a, b).slow_ms = 0,
        }
    }

    /// All faults stop.
    pub(crate) fn heal_all(&mut self) {
        self.note(|| "all faults stop".to_owned());
        self.is_rough = false;
        let now_ms = self.now_ms;
        self.register.away_until_ms = 0;
        for n in 0..self.nodes.len() {
            let node = &mut self.nodes[n];
            node.disk.set_capacity(None);
            node.cut_off_until_ms = 0;
            if !node.up {
                let incarnation = self.uuid();
                self.after(
                    50,
                    Happening::Start {
                        node: n,
                        incarnation,
                    },
                );
            }
            for other in 0..n {
                let link = self.network.link(n, other);
                link.slow_ms = 0;
                link.cut_until_ms = link.cut_until_ms.min(now_ms + 450);
            }
        }
    }

    fn crash(&mut self, node: usize, end: End) {
        if !self.nodes[node].up {
            return;
        }
        self.end(node, end);
        let delay_ms = if self.random.chance(1, 3) {
            self.random.between(2_000, 6_000)
        } else {
            self.random.between(50, 1_500)
        };
        let incarnation = self.uuid();
        self.after(delay_ms, Happening::Start { node, incarnation });
    }

    /// A disk is lost only while nothing depends on it alone: what the last member of the set, or
    /// of those eligible, has dies with it, and no protocol brings it back. Beside a member of the
    /// set another one must be in the set: it may just be degrading. Nor does anybody know what a
    /// lost disk would have said of a register that went back.
    fn lose_disk(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        let safe = self.register.newest.values().all(|record| {
            let is_in = |set: &[Member]| set.iter().any(|member| member.node == name);
            let is_kept = |member: &Member| {
                member.node != name && self.holds(&member.node, record.shard, member.replica)
            };
            let (in_sync, eligible) = (&record.in_sync, &record.eligible);
            let is_kept_in = |set: &[Member]| set.iter().any(is_kept);
            is_kept_in(in_sync) || !is_in(in_sync) && (is_kept_in(eligible) || !is_in(eligible))
        });
        let agreed = self.register.records == self.register.newest;
        if safe && agreed && self.nodes[node].up {
            self.crash(node, End::DiskLost);
        }
    }

    fn holds(&self, node: &NodeName, shard: ShardNo, replica: uuid::Uuid) -> bool {
        let node = self.nodes.iter().find(|other| other.name == *node);
        let held = node.and_then(|node| node.held.get(&shard));
        held.is_some_and(|held| held.replica == replica)
    }

    fn pause(&mut self, node: usize) {
        let for_ms = self.random.between(100, 3_500);
        self.note(|| format!("node{} pauses for {for_ms}", node + 1));
        let until_ms = self.now_ms + for_ms;
        let paused_until_ms = &mut self.nodes[node].paused_until_ms;
        *paused_until_ms = until_ms.max(*paused_until_ms);
    }

    fn isolate(&mut self, node: usize) {
        let for_ms = self.random.between(200, 3_000);
        self.note(|| format!("node{} is isolated for {for_ms}", node + 1));
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            self.cut(node, other, for_ms);
        }
    }

    fn break_disk(&mut self, node: usize) {
        let disk = self.nodes[node].disk.clone();
        match self.random.below(4) {
            0 => {
                let successes = self.random.below(4);
                self.note(|| format!("node{}: a sync will fail", node + 1));
                disk.fail(Operation::Sync, successes, Failure::Io);
            }
            1 => {
                let successes = self.random.below(6);
                self.note(|| format!("node{}: a write will fail", node + 1));
                disk.fail(Operation::Write, successes, Failure::Io);
            }
            2 => {
                self.note(|| "eight days pass on all clocks".to_owned());
                self.wall_ms += LEAP_MS;
            }
            _ => {
                self.note(|| format!("node{}: the disk is full", node + 1));
                disk.set_capacity(Some(disk.used() + self.random.below(20_000)));
                let for_ms = self.random.between(500, 3_000);
                self.after(for_ms, Happening::Heal(Fault::Full(node)));
            }
        }
    }

    /// The register is restored from a backup. The distributors start anew with it, and take no
    /// proposals for a session; until then no node dies.
    fn roll_back(&mut self) {
        let count = self.register.history.len() as u64;
        let now_ms = self.now_ms;
        let hears = |node: &crate::node::Node| {
            node.up && now_ms >= node.paused_until_ms && now_ms >= node.cut_off_until_ms
        };
        let all_there = self.nodes.iter().all(hears) && self.can_be_restored();
        if count == 0 || !all_there || self.register.records != self.register.newest {
            return;
        }
        let back = self.random.between(1, count.min(12));
        let state = self.register.history[(count - back) as usize].clone();
        self.note(|| format!("the register goes back by {back}"));
        self.register.records = state;
        self.register.refuses_until_ms = now_ms + SESSION_MS;
        self.calm_until_ms = now_ms + SESSION_MS;
        self.office.heard.clear();
        self.office.since_ms = now_ms;
    }

    /// Whether everyone can speak whom the highest records that nodes know of name: for a lost disk
    /// a restored shard waits for ever.
    fn can_be_restored(&self) -> bool {
        let mut highest: BTreeMap<ShardNo, &ShardRecord> = BTreeMap::new();
        for node in &self.nodes {
            for (shard, held) in &node.held {
                let named = |record: &&ShardRecord| {
                    let member = record.member_on(&node.name);
                    member.is_some_and(|member| member.replica == held.replica)
                };
                if let Some(record) = held.record.as_ref().filter(named) {
                    let best = highest.entry(*shard).or_insert(record);
                    if record.revision() > best.revision() {
                        *best = record;
                    }
                }
            }
        }
        let speaks = |shard: ShardNo, member: &Member| {
            let node = self.nodes.iter().find(|node| node.name == member.node);
            node.is_some_and(|node| node.offer == member.replica)
                || self.holds(&member.node, shard, member.replica)
        };
        let mut highest = highest.into_iter();
        highest.all(|(shard, record)| record.replicas.iter().all(|member| speaks(shard, member)))
    }

    fn replace_controller(&mut self) {
        self.note(|| "another controller".to_owned());
        self.office.heard.clear();
        self.office.since_ms = self.now_ms;
    }
}
