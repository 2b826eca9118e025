//! What is going to happen, and when: virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use uuid::Uuid;
use wire::membership::Heartbeat;
use wire::shard::ShardRecord;
use wire::{ContentId, ShardNo};

use crate::faults::Fault;
use crate::network::Packet;
use crate::uploads::Upload;

/// Something that happens at a certain time.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A packet arrives, if its connection still stands.
    Deliver {
        from: usize,
        to: usize,
        connection: u64,
        packet: Box<Packet>,
    },
    /// A node notices that a connection was made.
    LinkUp {
        node: usize,
        peer: usize,
        connection: u64,
    },
    /// A node notices that a connection ended.
    LinkDown {
        node: usize,
        process: u64,
        peer: usize,
    },
    /// Two nodes try to connect.
    Connect { a: usize, b: usize },
    /// A sync ends.
    Synced {
        node: usize,
        process: u64,
        shard: ShardNo,
    },
    /// Time passes for a process.
    Tick { node: usize, process: u64 },
    /// A process reports.
    Beat { node: usize, process: u64 },
    /// A report reaches the controller.
    Reported {
        node: usize,
        heartbeat: Box<Heartbeat>,
    },
    /// The register's records reach a process.
    Mapped {
        node: usize,
        process: u64,
        records: Vec<ShardRecord>,
    },
    /// A proposal reaches the register.
    Proposed {
        node: usize,
        process: u64,
        record: Box<ShardRecord>,
        answers: bool,
    },
    /// No answer came to a proposal.
    Unanswered {
        node: usize,
        process: u64,
        shard: ShardNo,
    },
    /// The controller decides.
    Decide,
    /// A client does something.
    Client,
    /// A client that uploads in chunks goes on.
    Chunk(Box<Upload>),
    /// A client stops waiting for an answer.
    GiveUp { operation: u64, id: ContentId },
    /// Something goes wrong.
    Fault,
    /// What went wrong ends.
    Heal(Fault),
    /// A node's process starts.
    Start { node: usize, incarnation: Uuid },
}

#[derive(Debug)]
struct Entry {
    at_ms: u64,
    number: u64,
    what: Happening,
}

/// Happenings in the order of their times; those of one time in the order they were made.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    number: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at_ms: u64, what: Happening) {
        self.number += 1;
        let number = self.number;
        self.heap.push(Reverse(Entry {
            at_ms,
            number,
            what,
        }));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Happening)> {
        self.heap
            .pop()
            .map(|Reverse(entry)| (entry.at_ms, entry.what))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.number == other.number
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.at_ms, self.number).cmp(&(other.at_ms, other.number))
    }
}
