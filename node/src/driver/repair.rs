//! Asking the disk thread to write a damaged record again.

use store::{Record, RepairError};
use tokio::sync::oneshot;
use wire::{Lsn, ShardNo};

use super::command::Command;
use super::handle::Handle;

/// A record to be written again.
pub(super) struct RepairRequest {
    pub(super) shard: ShardNo,
    /// As an intact replica has it, verified.
    pub(super) record: Record,
    pub(super) reply: RepairReply,
}

/// Where the outcome of a repair goes.
pub(super) type RepairReply = oneshot::Sender<Result<Repaired, RepairFailure>>;

/// What a repair came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// The record was written again.
    Written,
    /// It stands here as the other replica has it: nothing was written.
    Same,
}

/// Why a record was not written again.
#[derive(Debug, thiserror::Error)]
pub enum RepairFailure {
    /// The disk thread has too much to do, or does something else there: later.
    #[error("the disk is busy")]
    Busy,
    /// The replica is not here any more, or the node stops.
    #[error("the replica is gone")]
    Gone,
    /// The store refused it.
    #[error(transparent)]
    Refused(RepairError),
    /// It was tried, and came to nothing.
    #[error("it could not be written: {0}")]
    Failed(String),
}

impl Handle {
    /// Writes a record again, unless only its content's hash speaks against it and it is the same here;
    /// returns when it is durable and was read back.
    ///
    /// # Errors
    /// When it was not; nothing is worse for it.
    pub async fn repair(&self, shard: ShardNo, record: Record) -> Result<Repaired, RepairFailure> {
        let (reply, answer) = oneshot::channel();
        let request = RepairRequest {
            shard,
            record,
            reply,
        };
        let sent = self.send(Command::Repair(Box::new(request)));
        sent.map_err(|_| RepairFailure::Busy)?;
        answer.await.unwrap_or(Err(RepairFailure::Gone))
    }

    /// Gives up a damaged record that an intact replica has dropped.
    ///
    /// # Errors
    /// When the disk thread has too much to do: then it is to be asked again later.
    pub fn settle(&self, shard: ShardNo, lsn: Lsn) -> Result<(), RepairFailure> {
        let sent = self.send(Command::Settle(shard, lsn));
        sent.map_err(|_| RepairFailure::Busy)
    }
}
