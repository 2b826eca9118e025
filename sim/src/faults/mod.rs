//! What goes wrong, and how it ends.

mod rollback;
mod rot;

use replica::Event;
use store::disk::simulated::{Failure, Operation};
use wire::shard::Member;
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
    /// A link that was dumb in one direction breaks, and what it held back is lost.
    Dumb(usize, usize),
    /// An operator wants a node's replicas back on it.
    Drained(usize),
    /// Eight days have passed.
    Week,
    /// The register comes back from a backup.
    GoneBack,
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
        if !self.register_is_known() {
            return;
        }
        self.faults += 1;
        let node = self.random.below(self.nodes.len() as u64) as usize;
        let other = self.random.below(self.nodes.len() as u64) as usize;
        match self.random.below(29) {
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
            16 => self.begin_rollback(),
            17 => self.break_disk(node),
            18 if node != other => {
                self.network.link(node, other).slow_ms = self.random.between(20, 300);
                let for_ms = self.random.between(300, 2_000);
                self.after(for_ms, Happening::Heal(Fault::Slow(node, other)));
            }
            19 => self.replace_controller(),
            20 => self.rot(node),
            21..=22 => self.hand_over(),
            23 => self.grow_deaf(node),
            24 => self.begin_rollback(),
            25..=26 => self.drain(node),
            _ if node != other => self.silence(node, other),
            _ => self.forget(node),
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
            Fault::Dumb(a, b) => self.cut(a, b, 0),
            Fault::Drained(node) => {
                let name = &self.nodes[node].name;
                self.office.draining.remove(name);
            }
            Fault::Week => self.leap(),
            Fault::GoneBack => self.roll_back(),
        }
    }

    /// All faults stop.
    pub(crate) fn heal_all(&mut self) {
        self.note(|| "all faults stop".to_owned());
        self.is_rough = false;
        let now_ms = self.now_ms;
        self.register.away_until_ms = 0;
        self.office.draining.clear();
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
                link.dumb_until_ms = [0; 2];
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
        let live = self.nodes.iter().flat_map(|node| node.live.values());
        // One that is under way may yet be made.
        let proposed = live.filter_map(|live| live.core.proposed());
        let safe = self.register.newest.values().chain(proposed).all(|record| {
            let is_in = |set: &[Member]| set.iter().any(|member| member.node == name);
            let is_kept = |member: &Member| {
                member.node != name && self.holds(&member.node, record.shard, member.replica)
            };
            let (in_sync, eligible) = (&record.in_sync, &record.eligible);
            let is_kept_in = |set: &[Member]| set.iter().any(is_kept);
            is_kept_in(in_sync) || !is_in(in_sync) && (is_kept_in(eligible) || !is_in(eligible))
        });
        let agreed = self.register.records == self.register.newest;
        // For a session the controller takes a node for alive whose disk is gone: it may give a shard
        // to two of them, and drop the one that has everything.
        let is_noticed = self.now_ms >= self.disk_lost_ms + SESSION_MS;
        if safe && agreed && is_noticed && self.nodes[node].up {
            self.disk_lost_ms = self.now_ms;
            self.crash(node, End::DiskLost);
        }
    }

    pub(crate) fn holds(&self, node: &NodeName, shard: ShardNo, replica: uuid::Uuid) -> bool {
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

    /// What one node sends to another is held back for a while; the other way all is well. In the
    /// end it arrives late, or the connection breaks and it is lost.
    fn silence(&mut self, from: usize, to: usize) {
        let for_ms = self.random.between(100, 3_000);
        let is_lost = self.random.chance(1, 2);
        self.note(|| {
            format!(
                "node{} is not heard by node{} for {for_ms}",
                from + 1,
                to + 1
            )
        });
        let until_ms = self.now_ms + for_ms;
        self.network.link(from, to).dumb_until_ms[usize::from(from > to)] = until_ms;
        if is_lost {
            self.after(for_ms, Happening::Heal(Fault::Dumb(from, to)));
        }
    }

    /// A node hears no distributor, and other nodes late: what they said when all was well reaches it
    /// when it may have been replaced.
    fn grow_deaf(&mut self, node: usize) {
        let for_ms = self.random.between(1_200, 3_500);
        self.note(|| format!("node{} hears all late, for {for_ms}", node + 1));
        self.nodes[node].cut_off_until_ms = self.now_ms + for_ms;
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let until_ms = self.now_ms + self.random.between(for_ms / 2, for_ms);
            self.network.link(other, node).dumb_until_ms[usize::from(other > node)] = until_ms;
        }
    }

    /// A leadership is handed over, as before a planned restart, which may then come.
    fn hand_over(&mut self) {
        let shards = self.register.records.len() as u64;
        let at = self.random.below(shards.max(1)) as usize;
        let Some(record) = self.register.records.values().nth(at) else {
            return;
        };
        let shard = record.shard;
        let leader = record
            .leader
            .as_ref()
            .map(|leader| leader.member.node.clone());
        let Some(node) = leader.and_then(|name| self.node_named(&name)) else {
            return;
        };
        if !self.nodes[node].up || self.now_ms < self.nodes[node].paused_until_ms {
            return;
        }
        self.note(|| format!("node{} hands shard {shard} over", node + 1));
        self.feed(node, shard, Event::HandOver);
        if self.random.chance(1, 2) {
            let shards: Vec<ShardNo> = self.nodes[node].held.keys().copied().collect();
            for shard in shards {
                self.feed(node, shard, Event::Farewell);
            }
            let delay_ms = self.random.between(1, 1_200);
            self.after(delay_ms, Happening::Heal(Fault::Restart(node)));
        }
    }

    /// An operator empties a node, and changes their mind after a while.
    fn drain(&mut self, node: usize) {
        let for_ms = self.random.between(300, 4_000);
        self.note(|| format!("node{} drains for {for_ms}", node + 1));
        let name = self.nodes[node].name.clone();
        self.office.draining.insert(name);
        self.after(for_ms, Happening::Heal(Fault::Drained(node)));
    }

    /// A node is away while deletes grow so old that they may be forgotten.
    fn forget(&mut self, node: usize) {
        if !self.nodes[node].up {
            return;
        }
        self.end(node, End::Kill);
        let delay_ms = self.random.between(600, 2_200);
        let incarnation = self.uuid();
        self.after(delay_ms, Happening::Start { node, incarnation });
        let delay_ms = self.random.between(300, delay_ms);
        self.after(delay_ms, Happening::Heal(Fault::Week));
    }

    fn leap(&mut self) {
        self.note(|| "eight days pass on all clocks".to_owned());
        self.wall_ms += LEAP_MS;
        for node in 0..self.nodes.len() {
            if self.nodes[node].up {
                self.do_chores(node);
            }
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
            2 => self.leap(),
            _ => {
                self.note(|| format!("node{}: the disk is full", node + 1));
                disk.set_capacity(Some(disk.used() + self.random.below(20_000)));
                let for_ms = self.random.between(500, 3_000);
                self.after(for_ms, Happening::Heal(Fault::Full(node)));
            }
        }
    }

    fn replace_controller(&mut self) {
        self.note(|| "another controller".to_owned());
        self.office.seen.clear();
        self.office.since_ms = self.now_ms;
    }
}
