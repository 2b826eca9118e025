//! Catching up: taking records whose headers tell of commits that are not synced here yet.
//!
//! A header's commit is the leader's. Whoever is in sync has synced that much itself; whoever
//! catches up has not. Were its headers trusted after a power loss, unsynced records that did not
//! arrive would be damage for ever, where they are a tail. So the commit marker stands alone from
//! before the first such record is written: one sync for the whole catch-up.

use wire::Lsn;

use super::Log;
use super::marker::Stand;
use crate::poison::Poisoned;

/// Headers count again when no record needed the opposite for this long: a catch-up that pauses
/// shorter pays for one sync, not for one each time that it goes on.
pub(super) const CALM_MS: u64 = 10_000;

/// What is known of a catch-up.
#[derive(Debug, Default)]
pub(super) struct CatchUp {
    /// The marker's stand; none while headers count.
    stand: Option<Stand>,
    /// The highest commit that a header tells and that was not synced when it was appended.
    told: Lsn,
    /// Whether such a record came since it was last looked.
    busy: bool,
    calm_since_ms: Option<u64>,
    /// Whether a chore is on its way to end the stand.
    ending: bool,
}

impl Log {
    /// Called before a record is written whose header tells `commit`: should that not be synced
    /// here, it returns after recovery will not trust it.
    pub(super) fn admit_commit(&mut self, commit: Lsn) -> Result<(), Poisoned> {
        if commit <= self.synced {
            return Ok(());
        }
        if self.catch_up.stand.is_none() || self.catch_up.ending {
            let known = self.known_commit();
            assert!(known <= self.synced, "what is committed is synced");
            let stand = self.marker.stand_alone(known);
            let stand = stand
                .map_err(|error| self.poison(Poisoned::new("write the commit marker", error)))?;
            self.catch_up.stand = Some(stand);
            self.catch_up.ending = false;
        }
        self.catch_up.told = self.catch_up.told.max(commit);
        self.catch_up.busy = true;
        Ok(())
    }

    /// What recovery would find committed, as far as it is synced here.
    fn known_commit(&self) -> Lsn {
        let headers = self.segments.iter().map(|state| state.commit);
        let told = headers.max().unwrap_or(Lsn::ZERO).min(self.synced);
        self.shared.committed().max(told)
    }

    /// The stand to be ended, when all that headers tell of is synced here and it was calm for a
    /// while. Each is given out once.
    pub(crate) fn stand_to_end(&mut self, now_ms: u64) -> Option<Stand> {
        let stand = self.catch_up.stand.filter(|_| !self.catch_up.ending)?;
        let busy = std::mem::take(&mut self.catch_up.busy) || self.catch_up.told > self.synced;
        let since = self
            .catch_up
            .calm_since_ms
            .take_if(|since| !busy && *since <= now_ms);
        let since = *self.catch_up.calm_since_ms.insert(since.unwrap_or(now_ms));
        self.catch_up.ending = now_ms - since >= CALM_MS;
        self.catch_up.ending.then_some(stand)
    }

    /// The chore that was to end a stand is done; if it failed, the marker stands alone or not. A
    /// new stand may have begun meanwhile.
    pub(crate) fn stand_ended(&mut self, stand: Stand) {
        if self.catch_up.stand == Some(stand) {
            self.catch_up = CatchUp::default();
        }
    }

    /// After a truncation: all that headers tell of is below it, and durable.
    pub(super) fn forget_told(&mut self) {
        self.catch_up.told = Lsn::ZERO;
    }
}
