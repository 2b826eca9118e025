//! What other threads ask of the disk thread, and what it answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use store::{ChangeError, ChoreDone, Describe, How, NewContent, Outcome, Payload};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use wire::content::Status;
use wire::membership::HeartbeatAnswer;
use wire::position::Position;
use wire::replication::Envelope;
use wire::shard::ShardRecord;
use wire::{Checksum, ContentId, Lsn, NodeName, ShardNo};

use super::repair::{GiveUpRequest, RepairRequest, SettleRequest};
use crate::links::{Outbox, Records};

/// One thing to do.
pub(super) enum Command {
    /// Begin a chunked upload with its first chunk.
    FirstChunk {
        id: ContentId,
        how: How,
        payload: Payload,
        permit: ChunkPermit,
        reply: UploadReply,
    },
    /// Append a later chunk.
    Chunk {
        shard: ShardNo,
        upload: Position,
        offset: u64,
        payload: Payload,
        permit: ChunkPermit,
        reply: ChunkReply,
    },
    /// Change a content; answered when the change is committed, or listed.
    Change(Box<ChangeRequest>),
    /// Obey what a distributor answered to a heartbeat.
    Follow(Box<HeartbeatAnswer>),
    /// A replica of another node said something.
    Heard(Box<Heard>),
    /// Lay down every leadership that another process can take over.
    HandOver,
    /// Ask the leaders that this node follows to go on without it.
    Farewell,
    /// There is mail, or something else to look at.
    Wake,
    /// A chore of a log is done.
    Finished(Opened, ChoreDone, Look),
    /// Write a damaged record again.
    Repair(Box<RepairRequest>),
    /// Give up a damaged record that nothing needs.
    Settle(SettleRequest),
    /// Give up what is lost, as an operator says.
    GiveUp(GiveUpRequest),
    /// Sync everything and end.
    Stop,
}

/// A log, since it was opened or begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Opened {
    pub(super) shard: ShardNo,
    /// No two have the same.
    serial: u64,
}

impl Opened {
    /// A shard's log that was opened just now.
    pub(super) fn next(shard: ShardNo) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Opened { shard, serial }
    }
}

/// A chunk's part of the room that chunks have.
pub(super) struct ChunkPermit {
    /// Of the node's, until the chunk is appended, or waits for its shard.
    pub(super) of_node: Option<OwnedSemaphorePermit>,
    /// Of its shard's, until the followers are not far behind.
    pub(super) of_shard: OwnedSemaphorePermit,
}

impl ChunkPermit {
    /// The chunk waits until its shard takes writes: other shards do not wait with it.
    pub(super) fn parked(&mut self) {
        self.of_node = None;
    }

    /// The chunk is in the log: no other shard waits for this one's followers.
    pub(super) fn appended(self) -> OwnedSemaphorePermit {
        drop(self.of_node);
        self.of_shard
    }
}

/// What came over a link.
pub(super) struct Heard {
    pub(super) peer: NodeName,
    /// Which of the links to this peer.
    pub(super) link: u64,
    pub(super) envelope: Envelope,
    /// The records of `Records`, verified.
    pub(super) records: Records,
}

/// What must reach the disk thread, however much it has to do.
pub(super) enum Mail {
    LinkUp(Outbox),
    LinkDown {
        peer: NodeName,
        link: u64,
    },
    /// The register's record, as it was read or answered.
    Registered(Box<ShardRecord>),
    /// The register did not answer a proposal.
    Unanswered(ShardNo),
}

/// When to look for a log's next chores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// At once: there may be more of the sort.
    Again,
    /// With the next commit or tick: it was turned away for now.
    Later,
}

/// Where the position of an upload's first chunk goes, by which the upload is named; appended only, not
/// synced.
pub(super) type UploadReply = oneshot::Sender<Result<Position, ChangeFailure>>;

/// Where the lsn of an appended chunk goes; appended only, not synced.
pub(super) type ChunkReply = oneshot::Sender<Result<Lsn, ChangeFailure>>;

/// Where the outcome of a change goes.
pub(crate) type Reply = oneshot::Sender<Result<Ack, ChangeFailure>>;

/// A change of one content.
pub(super) struct ChangeRequest {
    pub(super) id: ContentId,
    pub(super) what: What,
    pub(super) wait: Wait,
    pub(super) reply: Reply,
}

impl ChangeRequest {
    pub(super) fn refuse(self, failure: ChangeFailure) {
        if self.reply.send(Err(failure)).is_err() {
            tracing::trace!(id = %self.id, "nobody waits for this refusal any more");
        }
    }
}

/// Which change.
#[derive(Debug)]
pub enum What {
    /// Store a whole content of at most `CHUNK_BYTES_MAX`.
    Put {
        /// Its metadata.
        new: NewContent,
        /// As a first version or a later one.
        how: How,
        /// Its bytes.
        payload: Payload,
    },
    /// Close a chunked upload.
    Commit {
        /// The position of its first chunk.
        upload: Position,
        /// Its metadata.
        new: NewContent,
        /// As a first version or a later one.
        how: How,
    },
    /// Change metadata.
    Describe {
        /// What changes.
        change: Describe,
        /// The version that it must be, by its hash.
        if_match: Option<Checksum>,
    },
    /// Delete.
    Delete {
        /// The version that it must be, by its hash.
        if_match: Option<Checksum>,
    },
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Synced on the whole in-sync set.
    Committed,
    /// Listed, for as long as `LISTING_WAIT` allows, and not if the catalog is away.
    Briefly,
    /// Listed, for as long as anyone would wait.
    Listed,
}

/// A change that is durable.
#[derive(Debug)]
pub struct Ack {
    /// What the store made of it.
    pub outcome: Outcome,
    /// Whether the catalog has it.
    pub status: Status,
}

/// Why a change was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum ChangeFailure {
    /// More commands wait than may; nothing was done.
    #[error("the disk has too much to do")]
    Busy,
    /// This process does not lead the shard; nothing was done.
    #[error("the shard is not led here")]
    NotLed,
    /// The shard takes no new content; nothing was done.
    #[error("the shard takes no new content")]
    ShardClosed,
    /// The store refused; nothing was done.
    #[error(transparent)]
    Refused(#[from] ChangeError),
    /// The log failed, or leadership was lost, after the append: it may be durable.
    #[error("the change was appended, and its sync was not confirmed")]
    Lost,
}

/// A committed change whose requester waits for the catalog.
pub(crate) struct Unlisted {
    /// The content.
    pub(crate) id: ContentId,
    /// What is answered.
    pub(crate) outcome: Outcome,
    /// When it was committed.
    pub(crate) since: Instant,
    /// For how long.
    pub(crate) wait: Wait,
    reply: Reply,
}

impl Unlisted {
    pub(crate) fn new(id: ContentId, outcome: Outcome, wait: Wait, reply: Reply) -> Self {
        Unlisted {
            id,
            outcome,
            since: Instant::now(),
            wait,
            reply,
        }
    }

    /// Answers; a requester that went away meanwhile is no concern: the change stands.
    pub(crate) fn answer(self, status: Status) {
        let ack = Ack {
            outcome: self.outcome,
            status,
        };
        if self.reply.send(Ok(ack)).is_err() {
            tracing::trace!(id = %self.id, "nobody waits for this acknowledgement any more");
        }
    }

    pub(super) fn fail(self, failure: ChangeFailure) {
        if self.reply.send(Err(failure)).is_err() {
            tracing::trace!(id = %self.id, "nobody waits for this failure any more");
        }
    }
}
