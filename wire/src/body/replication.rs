//! What the replicas of a shard say to each other; `docs/replication.md` says when.
//!
//! These are plain types; [`crate::packet`] writes them out.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::position::{Epoch, Lsn, Position, ShardNo};
use crate::shard::{Revision, ShardRecord};

/// A message with what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Which shard.
    pub shard: ShardNo,
    /// The epoch that the sender obeys. Both ends ignore messages of another one than their own.
    pub epoch: Epoch,
    /// Numbers the follower's attempts to be let in: what answers an earlier attempt is ignored.
    pub attempt: u64,
    /// When this was sent, by the sender's monotone clock, in milliseconds.
    pub sent_ms: u64,
    /// The `sent_ms` of the last message of this attempt that the sender has heard; 0 for none. So
    /// the receiver learns how old, by its own clock, what the sender knows of it is.
    pub echo_ms: u64,
    /// What is said.
    pub message: Message,
}

/// What a follower and its leader say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// To the leader: let me in.
    Hello(Hello),
    /// To the follower: the receiver's record is newer than the follower's.
    Refused(Box<ShardRecord>),
    /// To the follower: its last record is not in the leader's history. The last epoch of the
    /// leader's log that is not above the follower's last one, and where it ends there.
    Diverged(Position),
    /// To the follower: its log ends below the leader's horizon.
    StartOver {
        /// The new copy is complete from this lsn on.
        consistent_from: Lsn,
    },
    /// To the follower: records come from after its last one.
    Follow,
    /// To the follower: records in the order of their lsns.
    Records {
        /// How far the leader has committed.
        commit: Lsn,
        /// For how long the leader may still serve what is committed, in milliseconds. The follower
        /// may for so long, counted from its own `echo_ms`.
        lease_ms: u64,
        /// The records.
        frames: Vec<Frame>,
    },
    /// To the follower: the leader's commit, and a sign of life.
    Commit {
        /// How far the leader has committed.
        commit: Lsn,
        /// As in `Records`.
        lease_ms: u64,
    },
    /// To the leader: synced up to here.
    Ack {
        /// The last durable record.
        synced: Lsn,
        /// The follower's free space, in bytes.
        free_bytes: u64,
    },
    /// To the leader: this process is about to end, the set should go on without it.
    Farewell,
}

/// How a follower asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The follower's replica.
    pub replica: Uuid,
    /// The follower's process.
    pub incarnation: Uuid,
    /// The shard record that it has persisted.
    pub revision: Revision,
    /// Its last record.
    pub last: Position,
    /// That record's header checksum; none when the log is empty, or the record is unreadable.
    pub checksum: Option<u32>,
    /// Set while its log is a copy that began from nothing: complete only from this lsn on.
    pub consistent_from: Option<Lsn>,
}

/// A record on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The first lsn that this frame covers: those between it and the record were compacted.
    pub covers_from: Lsn,
    /// The record, as the store writes it out, in one piece or more.
    pub record: Vec<Bytes>,
}
