//! An operator's choices: what waits for one, and carrying it out. Any distributor does that, as
//! long as it knows who lives; it need not be in office.

use std::collections::BTreeSet;
use std::time::Instant;

use controller::{Making, Situation, recover, waiting, waits};
use wire::ShardNo;
use wire::recovery::{RecoverShard, WaitingShard};

use super::{Controller, Listed, RecoverRefused, Recovery};
use crate::coordinator::CoordinatorError;

impl Controller {
    /// Reads the register again, to decide by what it has now.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn look_again(&self) -> Result<(), CoordinatorError> {
        self.members.set_records(self.coordinator.records().await?);
        Ok(())
    }

    /// The shards that wait for an operator, and their copies.
    ///
    /// # Errors
    /// When it is too early to tell who lives.
    pub(crate) fn waiting(&self, listed: &Listed) -> Result<Vec<WaitingShard>, RecoverRefused> {
        if !self.is_settled() {
            return Err(RecoverRefused::Unsettled);
        }
        Ok(self.judge(|situation| waiting(situation, listed)))
    }

    /// The numbers of the shards that wait for an operator, as far as that can be told.
    pub(crate) fn waiting_shards(&self) -> BTreeSet<ShardNo> {
        self.judge(|situation| {
            let records = situation.records.values();
            let waiting = records.filter(|record| waits(situation, record));
            waiting.map(|record| record.shard).collect()
        })
    }

    /// Decides on an operator's choice; nothing is changed by that.
    ///
    /// # Errors
    /// When the choice is refused.
    pub(crate) fn choose(
        &self,
        listed: &Listed,
        shard: ShardNo,
        choice: &RecoverShard,
    ) -> Result<Recovery, RecoverRefused> {
        self.judge(|situation| recover(situation, listed, shard, choice))
    }

    /// Makes the choice the shard's record. False when the record was changed meanwhile.
    ///
    /// # Errors
    /// When the coordinator does not answer: it may have been made.
    pub(crate) async fn carry_out_choice(
        &self,
        recovery: &Recovery,
    ) -> Result<bool, CoordinatorError> {
        let office = self.office.lock().await;
        let changed = self.change(recovery.change.clone()).await;
        drop(office);
        changed
    }

    fn judge<T>(&self, look: impl FnOnce(Situation<'_>) -> T) -> T {
        let now = Instant::now();
        let (records, nodes) = (self.members.records(), self.members.seen(now));
        let draining = self.members.draining();
        look(Situation {
            records: &records,
            nodes: &nodes,
            draining: &draining,
            making: Making::No,
            may_judge: self.is_settled(),
            policy: *self.policy.get(),
        })
    }
}
