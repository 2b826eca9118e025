//! One test for each rule of the core: a state and an event give exactly these effects.

mod farewell;
mod following;
mod handshake;
mod history;
mod quorum;
mod reading;
mod records;
mod roles;
mod set;

use std::collections::BTreeMap;

use uuid::Uuid;
use wire::replication::{Envelope, Hello, Message};
use wire::shard::{Leader, Member, Revision, ShardRecord, ShardState};
use wire::{Epoch, Lsn, NodeName, Position, ShardNo};

use crate::{Bugs, Core, Effect, EpochStart, Event, Identity, LogState};

pub(crate) const SESSION_MS: u64 = 1_000;

pub(crate) fn node(n: u128) -> NodeName {
    format!("node{n}").parse().expect("a valid name")
}

pub(crate) fn member(n: u128) -> Member {
    Member {
        node: node(n),
        replica: Uuid::from_u128(n),
    }
}

pub(crate) fn members(numbers: &[u128]) -> Vec<Member> {
    numbers.iter().map(|n| member(*n)).collect()
}

pub(crate) fn process(n: u128) -> Uuid {
    Uuid::from_u128(100 + n)
}

pub(crate) fn at(epoch: u64, lsn: u64) -> Position {
    Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

/// A record of three replicas, led by node 1.
pub(crate) fn record(version: u64, epoch: u64, in_sync: &[u128]) -> ShardRecord {
    led_by(1, version, epoch, in_sync)
}

pub(crate) fn led_by(leader: u128, version: u64, epoch: u64, in_sync: &[u128]) -> ShardRecord {
    ShardRecord {
        shard: ShardNo(1),
        log: 7,
        epoch: Epoch(epoch),
        leader: Some(Leader {
            member: member(leader),
            incarnation: process(leader),
        }),
        in_sync: members(in_sync),
        eligible: Vec::new(),
        replicas: members(&[1, 2, 3]),
        min_in_sync: 2,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version,
    }
}

/// A log whose epochs begin at these lsns; all of it is durable.
pub(crate) fn log(starts: &[(u64, u64)], end: u64, committed: u64) -> LogState {
    let epochs = starts.iter().map(|(epoch, first)| EpochStart {
        epoch: Epoch(*epoch),
        first: Lsn(*first),
    });
    LogState {
        appended: at(starts.last().map_or(0, |(epoch, _)| *epoch), end),
        synced: Lsn(end),
        committed: Lsn(committed),
        horizon: Lsn::ZERO,
        epochs: epochs.collect(),
        consistent_from: None,
    }
}

/// A core, its clock, and what it said last.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) core: Core,
    pub(crate) now_ms: u64,
    me: u128,
    /// What followers acknowledged last.
    acked: BTreeMap<u128, u64>,
}

impl Stage {
    pub(crate) fn new(me: u128, log: LogState) -> Stage {
        let identity = Identity {
            member: member(me),
            incarnation: process(me),
        };
        Stage {
            core: Core::new(identity, SESSION_MS, log, Bugs::default()),
            now_ms: 10,
            me,
            acked: BTreeMap::new(),
        }
    }

    /// Node 1, which leads in epoch 2 with this set, behind a log of ten records of epoch 1. Its
    /// first record, 11, is durable here.
    pub(crate) fn leader(in_sync: &[u128]) -> Stage {
        Stage::leader_by(record(5, 2, in_sync))
    }

    pub(crate) fn leader_by(record: ShardRecord) -> Stage {
        let mut stage = Stage::new(1, log(&[(1, 1)], 10, 8));
        // Its process began long ago: nobody whom an earlier one answered serves any more.
        let before = ShardRecord {
            epoch: Epoch(1),
            leader: None,
            version: 1,
            ..record.clone()
        };
        assert_eq!(stage.feed(Event::Record(before)), []);
        stage.now_ms += SESSION_MS;
        let effects = stage.feed(Event::Record(record));
        assert_eq!(effects, [Effect::BeginEpoch(Epoch(2))]);
        stage.feed(Event::Appended(at(2, 11)));
        stage.feed(Event::Synced(Lsn(11)));
        stage
    }

    /// As `leader`, with these followers let in at the first ten records.
    pub(crate) fn leader_with(in_sync: &[u128], followers: &[u128]) -> Stage {
        let mut stage = Stage::leader(in_sync);
        for follower in followers {
            stage.let_in(*follower, 1);
        }
        stage
    }

    /// As `leader_with`, and all have all: it leads.
    pub(crate) fn confirmed(in_sync: &[u128]) -> Stage {
        let followers: Vec<u128> = in_sync.iter().copied().filter(|n| *n != 1).collect();
        let mut stage = Stage::leader_with(in_sync, &followers);
        for follower in followers {
            stage.ack(follower, 1, 11);
        }
        stage
    }

    /// Node 2, let in by node 1 in epoch 2, behind ten records.
    pub(crate) fn follower() -> Stage {
        let mut stage = Stage::new(2, log(&[(1, 1)], 10, 8));
        stage.feed(Event::LinkUp(node(1)));
        stage.feed(Event::Record(record(5, 2, &[1, 2])));
        stage.hear(1, 1, Message::Follow);
        stage
    }

    pub(crate) fn feed(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.core.handle(event, self.now_ms, &mut effects);
        effects
    }

    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Effect> {
        self.now_ms += ms;
        self.feed(Event::Tick)
    }

    pub(crate) fn envelope(&self, epoch: u64, attempt: u64, message: Message) -> Envelope {
        Envelope {
            shard: ShardNo(1),
            epoch: Epoch(epoch),
            attempt,
            sent_ms: self.now_ms,
            echo_ms: self.now_ms,
            message,
        }
    }

    /// A message in epoch 2.
    pub(crate) fn hear(&mut self, from: u128, attempt: u64, message: Message) -> Vec<Effect> {
        self.hear_in(2, from, attempt, message)
    }

    pub(crate) fn hear_in(
        &mut self,
        epoch: u64,
        from: u128,
        attempt: u64,
        message: Message,
    ) -> Vec<Effect> {
        let envelope = self.envelope(epoch, attempt, message);
        self.feed(Event::Message {
            from: node(from),
            envelope,
            checksum_here: None,
        })
    }

    /// A follower is let in with what it acknowledged last, or ten records.
    pub(crate) fn let_in(&mut self, follower: u128, attempt: u64) -> Vec<Effect> {
        self.feed(Event::LinkUp(node(follower)));
        let last = self.acked.get(&follower).copied().unwrap_or(10);
        let epoch = if last > 10 { 2 } else { 1 };
        self.hear(follower, attempt, hello(follower, at(epoch, last)))
    }

    pub(crate) fn ack(&mut self, from: u128, attempt: u64, synced: u64) -> Vec<Effect> {
        self.acked.insert(from, synced);
        let message = Message::Ack {
            synced: Lsn(synced),
            free_bytes: 1_000,
        };
        self.hear(from, attempt, message)
    }

    /// Appends records up to this lsn, and syncs them.
    pub(crate) fn append(&mut self, upto: u64) -> Vec<Effect> {
        let mut effects = self.feed(Event::Appended(at(2, upto)));
        effects.extend(self.feed(Event::Synced(Lsn(upto))));
        effects
    }

    /// The messages among these effects, and to whom they go.
    pub(crate) fn said(&self, effects: &[Effect]) -> Vec<(u128, Message)> {
        let said = effects.iter().filter_map(|effect| match effect {
            Effect::Send { to, envelope } => {
                let to = (1..=9).find(|n| node(*n) == *to).expect("a known node");
                assert_ne!(to, self.me, "nobody talks to itself");
                Some((to, envelope.message.clone()))
            }
            _ => None,
        });
        said.collect()
    }
}

pub(crate) fn hello(from: u128, last: Position) -> Message {
    Message::Hello(Hello {
        replica: Uuid::from_u128(from),
        incarnation: process(from),
        revision: Revision {
            lineage: 0,
            version: 5,
        },
        last,
        checksum: None,
        consistent_from: None,
    })
}

pub(crate) fn proposed(effects: &[Effect]) -> Vec<ShardRecord> {
    let proposed = effects.iter().filter_map(|effect| match effect {
        Effect::Propose(record) => Some(record.clone()),
        _ => None,
    });
    proposed.collect()
}

pub(crate) fn committed(effects: &[Effect]) -> Option<u64> {
    let mut committed = effects.iter().filter_map(|effect| match effect {
        Effect::CommitTo(lsn) => Some(lsn.0),
        _ => None,
    });
    committed.next_back()
}
