//! Repairs on the disk thread: one at a time in a log, carried out by upkeep.

use std::collections::BTreeMap;

use store::{ChoreDone, Damage, RepairError};
use tokio::sync::oneshot;

use super::DiskThread;
use crate::driver::command::Opened;
use crate::driver::repair::{
    GiveUpRequest, RepairFailure, RepairReply, RepairRequest, Repaired, SettleRequest, give_up,
    given_up, lost_places,
};

/// Who waits for the repairs that are under way.
#[derive(Default)]
pub(super) struct Repairs(BTreeMap<Opened, RepairReply>);

impl DiskThread {
    pub(super) fn repair(&mut self, request: RepairRequest) {
        let RepairRequest {
            shard,
            record,
            need,
            reply,
        } = request;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return answer(reply, Err(RepairFailure::Gone));
        };
        match replica.store.repair_as(record, need) {
            Ok(chore) => {
                self.repairs.0.insert(replica.opened, reply);
                self.upkeep.add(replica.opened, chore);
            }
            Err(RepairError::Busy) => answer(reply, Err(RepairFailure::Busy)),
            Err(error) => answer(reply, Err(RepairFailure::Refused(error))),
        }
    }

    pub(super) fn settle(&mut self, request: SettleRequest) {
        let SettleRequest { shard, lsn, reply } = request;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return answer(reply, Err(RepairFailure::Gone));
        };
        let is_given_up = replica.store.settle(lsn);
        replica.measure();
        self.touch(shard);
        answer(reply, Ok(is_given_up));
    }

    /// Gives up what is lost in some places. Asked again, it tells how far that is.
    pub(super) fn give_up(&mut self, request: GiveUpRequest) {
        let GiveUpRequest {
            shard,
            portion,
            places,
            reply,
        } = request;
        let Some(replica) = self.replicas.get_mut(&shard) else {
            return answer(reply, Err(RepairFailure::Gone));
        };
        let reader = replica.store.reader();
        let was_lost = !lost_places(&reader.damage()).is_empty();
        give_up(&mut replica.store, &portion);
        let given_up = given_up(&replica.store, &places);
        replica.measure();
        if was_lost && shows_all_that_lives(&reader.damage()) {
            self.around.feed.show_all(shard);
        }
        self.touch(shard);
        answer(reply, Ok(given_up));
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

/// Whether a walk over the log misses no content that lives: the catalog forgets what it is not shown.
fn shows_all_that_lives(damage: &Damage) -> bool {
    let mut contents = damage.contents.iter();
    lost_places(damage).is_empty() && contents.all(|content| !content.records.is_empty())
}

fn answer<T>(reply: oneshot::Sender<Result<T, RepairFailure>>, outcome: Result<T, RepairFailure>) {
    if reply.send(outcome).is_err() {
        tracing::debug!("nobody waits for this repair any more");
    }
}
