//! Repairs on the disk thread: one at a time in a log, carried out by upkeep.

use std::collections::BTreeMap;

use store::{ChoreDone, RepairError};
use wire::{Lsn, ShardNo};

use super::DiskThread;
use crate::driver::command::Opened;
use crate::driver::repair::{RepairFailure, RepairReply, RepairRequest, Repaired};

/// Who waits for the repairs that are under way.
#[derive(Default)]
pub(super) struct Repairs(BTreeMap<Opened, RepairReply>);

impl DiskThread {
    pub(super) fn repair(&mut self, request: RepairRequest) {
        let RepairRequest {
            shard,
            record,
            reply,
        } = request;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return answer(reply, Err(RepairFailure::Gone));
        };
        match replica.store.repair(record) {
            Ok(chore) => {
                self.repairs.0.insert(replica.opened, reply);
                self.upkeep.add(replica.opened, chore);
            }
            Err(RepairError::Busy) => answer(reply, Err(RepairFailure::Busy)),
            Err(error) => answer(reply, Err(RepairFailure::Refused(error))),
        }
    }

    pub(super) fn settle(&mut self, shard: ShardNo, lsn: Lsn) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.store.settle(lsn);
            replica.measure();
            self.touch(shard);
        }
    }

    pub(super) fn finish_repair(&mut self, opened: Opened, done: ChoreDone) {
        let (shard, reply) = (opened.shard, self.repairs.0.remove(&opened));
        let replica = self.replicas.get_mut(&shard);
        let Some(replica) = replica.filter(|replica| replica.opened == opened) else {
            if let Some(reply) = reply {
                answer(reply, Err(RepairFailure::Gone));
            }
            return;
        };
        let repaired = match done.is_same() {
            true => Repaired::Same,
            false => Repaired::Written,
        };
        let finished = replica.store.finish(done);
        replica.measure();
        if let Some(reply) = reply {
            let failed = |error: store::ChoreError| RepairFailure::Failed(error.to_string());
            answer(reply, finished.map(|()| repaired).map_err(failed));
        }
        // A failed write stops the log: the round's end sees that.
        self.touch(shard);
    }
}

fn answer(reply: RepairReply, outcome: Result<Repaired, RepairFailure>) {
    if reply.send(outcome).is_err() {
        tracing::debug!("nobody waits for this repair any more");
    }
}
