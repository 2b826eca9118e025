//! What goes into the core, and what comes out.

use wire::replication::Envelope;
use wire::shard::ShardRecord;
use wire::{Epoch, Lsn, NodeName, Position};

use crate::log::LogState;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shard record came, by whatever way, and *is persisted and synced here*.
    Record(ShardRecord),
    /// No answer came to a proposal: it may have been made or not.
    Unanswered,
    /// A record was appended to the own log. To be told of the first record of each epoch at least.
    Appended(Position),
    /// The own log is durable up to here.
    Synced(Lsn),
    /// The own log's horizon rose.
    Horizon(Lsn),
    /// The own log was cut, or began anew: this is what it is now. All of it is durable.
    Cut(LogState),
    /// What the leader sent could not be appended: out of order, damaged, or the disk is full.
    NotAppended,
    /// The own log failed.
    Failed(String),
    /// A link to a node was made.
    LinkUp(NodeName),
    /// The link to a node ended; what was under way is lost.
    LinkDown(NodeName),
    /// A message came. The frames of `Records` were appended before, if [`crate::Core::accepts`]
    /// said so.
    Message {
        /// Who sent it.
        from: NodeName,
        /// What it says.
        envelope: Envelope,
        /// For a `hello`: the header checksum of the own record at that lsn; none when it is not
        /// there any more, or unreadable.
        checksum_here: Option<u32>,
    },
    /// A request waits that needs a commit: a write, or a read at the leader.
    NeedsCommit,
    /// The leadership shall go to another process of the set.
    HandOver,
    /// This process is about to end: whoever leads should go on without it, before it does. With
    /// each tick it is asked to.
    Farewell,
    /// The disk's free space, in bytes.
    Space(u64),
    /// Time passed. To be told at least every 100 ms.
    Tick,
}

/// What the shell must do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append the first record of this epoch, then tell it with `Appended`.
    BeginEpoch(Epoch),
    /// Commit up to here; it is synced.
    CommitTo(Lsn),
    /// Send this. In a `hello`, fill the checksum of the own last record in.
    Send {
        /// To whom.
        to: NodeName,
        /// What.
        envelope: Envelope,
    },
    /// From now on send this node `Records`, from after `after`, as they are written, with this
    /// epoch and attempt.
    Stream {
        /// To whom.
        to: NodeName,
        /// What it has.
        after: Lsn,
        /// The epoch to name.
        epoch: Epoch,
        /// The attempt to name.
        attempt: u64,
    },
    /// Send this node no more records.
    StopStream(NodeName),
    /// Cut the own log behind this lsn, then tell it with `Cut`.
    TruncateAfter(Lsn),
    /// Put the own log into quarantine and begin an empty one; keep `consistent_from` with it,
    /// synced, before anything is appended; then tell it with `Cut`.
    StartOver {
        /// The copy is complete from here on.
        consistent_from: Lsn,
    },
    /// Ask the register to replace the record of the version before by this one. Persist the record
    /// that its answer carries, and tell it with `Record`; without an answer, tell `Unanswered`.
    Propose(ShardRecord),
    /// Ask the register for the record, persist it, and tell it.
    ReadRecord,
    /// A peer has this newer record: persist it, and tell it with `Record`.
    Learn(ShardRecord),
    /// Tell people: a member of the set has less than it acknowledged. Its disk was damaged, or does not
    /// keep what it synced. The leader takes it out of the set until it has everything again.
    Lost {
        /// Who.
        node: NodeName,
        /// Where its log ends.
        end: Lsn,
        /// What is committed.
        committed: Lsn,
    },
    /// Nothing but reads of what is committed from now on: stop streams, refuse requests.
    Halt(Halt),
}

/// Why a replica stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// The log failed.
    #[error("the log failed: {0}")]
    Log(String),
    /// The leader's history leaves at `cut`, below what is committed here.
    #[error("the leader's history leaves at {cut}, and {committed} is committed here")]
    BelowCommit {
        /// Where the logs agree.
        cut: Lsn,
        /// What is committed here.
        committed: Lsn,
    },
    /// The commit would go back, or ahead of what is synced.
    #[error("the commit would go from {from} to {to}, with {synced} synced")]
    Commit {
        /// As it is.
        from: Lsn,
        /// As it would be.
        to: Lsn,
        /// The last durable record.
        synced: Lsn,
    },
    /// The log holds records of an epoch that this process shall begin, or of a later one.
    #[error("epoch {epoch} shall begin, and the log is in {log} already")]
    EpochTaken {
        /// To be begun.
        epoch: Epoch,
        /// The log's last.
        log: Epoch,
    },
    /// A member of the set says that it has records that the leader does not have.
    #[error("{node} acknowledges {synced}, and the log ends at {end}")]
    AckAhead {
        /// Who.
        node: NodeName,
        /// What it says.
        synced: Lsn,
        /// The leader's end.
        end: Lsn,
    },
    /// A member of the set lacks what the leader has dropped.
    #[error("{node} is a member and ends at {end}, below the horizon {horizon}")]
    MemberBelowHorizon {
        /// Who.
        node: NodeName,
        /// Its end.
        end: Lsn,
        /// The leader's horizon.
        horizon: Lsn,
    },
}

impl Halt {
    /// Whether an invariant would have been broken: with disks that only fail, never.
    pub fn is_breach(&self) -> bool {
        !matches!(self, Halt::Log(_))
    }
}
