//! The cluster: nodes, network, register, clients, and the order in which things happen to them.

mod links;
mod office;
mod process;
mod replica;

pub(crate) use office::told;
pub(crate) use process::End;

use std::fmt::Write as _;

use store::disk::simulated::{Random, SimulatedDisk};
use uuid::Uuid;

use crate::bug::{SeededBug, Shell};
use crate::judge::Judge;
use crate::network::Network;
use crate::node::Node;
use crate::queue::{Happening, Queue};
use crate::register::{Office, Register};
use crate::run::Plan;

/// How long a node may be silent.
pub(crate) const SESSION_MS: u64 = 1_000;

/// The wall clock when every schedule begins.
pub(crate) const WALL_MS: u64 = 1_700_000_000_000;

/// A whole cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) now_ms: u64,
    /// How far the wall clocks were set forward.
    pub(crate) wall_ms: u64,
    pub(crate) random: Random,
    pub(crate) queue: Queue,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) register: Register,
    pub(crate) office: Office,
    pub(crate) judge: Judge,
    pub(crate) copies: u8,
    pub(crate) bug: Option<SeededBug>,
    /// Faults happen, and clients write.
    pub(crate) is_rough: bool,
    pub(crate) operations: u64,
    pub(crate) faults: u64,
    /// When a disk was lost last.
    pub(crate) disk_lost_ms: u64,
    /// Logs that were cut, lost or opened: what may take from a member what it must have.
    pub(crate) losses: u64,
    /// Changes of records, commits and losses, when the members were last checked.
    checked: (u64, u64, u64),
    trace: Option<String>,
    /// Follows from everything that happened.
    pub(crate) digest: u64,
}

impl Cluster {
    pub(crate) fn new(plan: &Plan) -> Cluster {
        let mut random = Random::new(plan.seed);
        let count = random.between(3, 5) as usize;
        let copies = random.between(2, 3) as u8;
        let mut nodes = Vec::new();
        for n in 0..count {
            let name = format!("node{}", n + 1);
            nodes.push(Node {
                name: name.parse().expect("a valid name"),
                disk: SimulatedDisk::new(random.bits()),
                held: Default::default(),
                live: Default::default(),
                process: 0,
                incarnation: Uuid::nil(),
                up: false,
                started_ms: 0,
                paused_until_ms: 0,
                cut_off_until_ms: 0,
                offer: Uuid::from_u64_pair(random.bits(), random.bits()),
            });
        }
        Cluster {
            now_ms: 0,
            wall_ms: WALL_MS,
            random,
            queue: Queue::default(),
            nodes,
            network: Network::new(count),
            register: Register::default(),
            office: Office::default(),
            judge: Judge::default(),
            copies,
            bug: plan.bug,
            is_rough: true,
            operations: 0,
            faults: 0,
            disk_lost_ms: 0,
            losses: 0,
            checked: (0, 0, 0),
            trace: plan.trace.then(String::new),
            digest: 0,
        }
    }

    pub(crate) fn has_bug(&self, bug: Shell) -> bool {
        self.bug == Some(SeededBug::Shell(bug))
    }

    pub(crate) fn after(&mut self, ms: u64, what: Happening) {
        self.queue.push(self.now_ms + ms, what);
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.random.bits(), self.random.bits())
    }

    /// Takes note of what happened.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        let random = self.random.clone().bits();
        self.digest = (self.digest ^ random ^ self.now_ms)
            .wrapping_mul(0x100_0000_01b3)
            .rotate_left(17);
        if self.trace.is_some() {
            let line = text();
            for byte in line.bytes() {
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
            let now_ms = self.now_ms;
            if let Some(trace) = &mut self.trace {
                // Writing into a string does not fail.
                let _written = writeln!(trace, "{now_ms:>6} {line}");
            }
        }
    }

    pub(crate) fn take_trace(&mut self) -> Option<String> {
        self.trace.take()
    }

    /// Lets the next thing happen; returns its time.
    pub(crate) fn step(&mut self) {
        let Some((at_ms, what)) = self.queue.pop() else {
            return;
        };
        self.now_ms = at_ms;
        self.happen(what);
        self.check();
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver { .. }
            | Happening::LinkUp { .. }
            | Happening::LinkDown { .. }
            | Happening::Connect { .. } => self.link_happens(what),
            Happening::Synced {
                node,
                process,
                shard,
            } => {
                let what = Happening::Synced {
                    node,
                    process,
                    shard,
                };
                if self.awake(node, process, what).is_some() {
                    self.sync_ends(node, shard);
                }
            }
            Happening::Tick { node, process } => self.tick(node, process),
            Happening::Beat { node, process } => self.beat(node, process),
            Happening::Reported { node, heartbeat } => self.reported(node, *heartbeat),
            Happening::Mapped {
                node,
                process,
                records,
            } => self.mapped(node, process, records),
            Happening::Proposed {
                node,
                process,
                record,
                answers,
            } => {
                self.proposed((node, process), *record, answers);
            }
            Happening::Unanswered {
                node,
                process,
                shard,
            } => {
                self.unanswered(node, process, shard);
            }
            Happening::Decide => self.decide(),
            Happening::Client => self.client(),
            Happening::Chunk(upload) => self.chunk(*upload),
            Happening::GiveUp { operation, id } => self.give_up(operation, id),
            Happening::Fault => self.fault(),
            Happening::Heal(fault) => self.heal(fault),
            Happening::Start { node, incarnation } => self.start(node, incarnation),
        }
    }

    /// Puts off what is meant for a paused process; none also when it is meant for an earlier one.
    pub(crate) fn awake(
        &mut self,
        node: usize,
        process: u64,
        what: Happening,
    ) -> Option<Happening> {
        let at = &self.nodes[node];
        if !at.up || at.process != process {
            return None;
        }
        if self.now_ms < at.paused_until_ms {
            let until = at.paused_until_ms;
            self.queue.push(until, what);
            return None;
        }
        Some(what)
    }

    /// Checks the members' logs, if something happened that a member could lack something by.
    fn check(&mut self) {
        let present = (self.register.changes, self.judge.commits, self.losses);
        if self.checked == present {
            return;
        }
        self.checked = present;
        let nodes = &self.nodes;
        for record in self.register.newest.values() {
            let shard = record.shard;
            self.judge.check_members(record, |member| {
                let node = nodes.iter().find(|node| node.name == member.node)?;
                let held = node.held.get(&shard)?;
                (held.replica == member.replica).then_some((held.synced, &held.shadow))
            });
        }
    }
}
