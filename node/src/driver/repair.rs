//! Asking the disk thread to write a damaged record again, or to give it up.

use std::time::Duration;

use store::{Damage, Lost, Need, Record, RepairError, Store};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use wire::{Lsn, ShardNo};

use super::command::Command;
use super::handle::Handle;

/// How long it is waited for that what was given up stays so: its segment is sealed by the next chore.
const LASTING_TIME_MAX: Duration = Duration::from_secs(10);

/// Records that are given up at once: of some it must be read whether they are served, and all else on the disk
/// waits meanwhile.
const RECORDS_AT_ONCE_MAX: usize = 64;

/// How often it is looked whether it does.
const LASTING_LOOK_EVERY: Duration = Duration::from_millis(50);

/// A record to be written again.
pub(super) struct RepairRequest {
    pub(super) shard: ShardNo,
    /// As an intact replica has it, verified.
    pub(super) record: Record,
    /// Whether that one needs it.
    pub(super) need: Need,
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

/// A record to be given up, as an intact replica has dropped it.
pub(super) struct SettleRequest {
    pub(super) shard: ShardNo,
    pub(super) lsn: Lsn,
    pub(super) reply: oneshot::Sender<Result<bool, RepairFailure>>,
}

/// Records to be given up, as an operator says.
pub(super) struct GiveUpRequest {
    pub(super) shard: ShardNo,
    /// Where they are, or some of them.
    pub(super) portion: Vec<Lost>,
    /// All that is asked about.
    pub(super) places: Vec<Lost>,
    pub(super) reply: oneshot::Sender<Result<GivenUp, RepairFailure>>,
}

/// How far giving up has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// What of it is lost still: what is served here is not given up.
    pub left: Vec<Lost>,
    /// Whether the rest stays given up when the log is opened again.
    pub is_lasting: bool,
}

/// The places where records are lost, or hidden from all who walk over the log: in order, and each once.
pub(crate) fn lost_places(damage: &Damage) -> Vec<Lost> {
    let mut places: Vec<Lost> = damage.lost.iter().chain(&damage.hidden).copied().collect();
    places.sort_by_key(|place| place.first);
    let mut merged: Vec<Lost> = Vec::new();
    for place in places {
        match merged.last_mut() {
            Some(before) if place.first <= before.last.next() => {
                before.last = before.last.max(place.last);
            }
            _ => merged.push(place),
        }
    }
    merged
}

/// How many records there may be in some places.
pub(crate) fn records_in(places: &[Lost]) -> u64 {
    let each = places.iter().map(|place| place.last.0 - place.first.0 + 1);
    each.sum()
}

impl Handle {
    /// Writes a record again, unless only its content's hash speaks against it and it is the same here;
    /// returns when it is durable and was read back.
    ///
    /// # Errors
    /// When it was not; nothing is worse for it.
    pub async fn repair(
        &self,
        shard: ShardNo,
        record: Record,
        need: Need,
    ) -> Result<Repaired, RepairFailure> {
        let (reply, answer) = oneshot::channel();
        let request = RepairRequest {
            shard,
            record,
            need,
            reply,
        };
        let sent = self.send(Command::Repair(Box::new(request)));
        sent.map_err(|_| RepairFailure::Busy)?;
        answer.await.unwrap_or(Err(RepairFailure::Gone))
    }

    /// Gives up a damaged record that an intact replica has dropped. Whether it was given up: not while it
    /// is served here.
    ///
    /// # Errors
    /// When the replica is not here any more, or the disk thread has too much to do: then it is to be asked
    /// again later.
    pub async fn settle(&self, shard: ShardNo, lsn: Lsn) -> Result<bool, RepairFailure> {
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Command::Settle(SettleRequest { shard, lsn, reply }));
        sent.map_err(|_| RepairFailure::Busy)?;
        answer.await.unwrap_or(Err(RepairFailure::Gone))
    }

    /// Gives up what is lost in some places, though nobody says that nothing needs it; returns when that
    /// outlives a restart, or after [`LASTING_TIME_MAX`].
    ///
    /// # Errors
    /// When the replica is not here any more, or the disk thread has too much to do.
    pub async fn give_up(
        &self,
        shard: ShardNo,
        places: Vec<Lost>,
    ) -> Result<GivenUp, RepairFailure> {
        for portion in portions(&places) {
            self.give_up_some(shard, vec![portion], places.clone())
                .await?;
        }
        let until = Instant::now() + LASTING_TIME_MAX;
        loop {
            let nothing = Vec::new();
            let given_up = self.give_up_some(shard, nothing, places.clone()).await?;
            if given_up.is_lasting || Instant::now() >= until {
                return Ok(given_up);
            }
            sleep(LASTING_LOOK_EVERY).await;
        }
    }

    async fn give_up_some(
        &self,
        shard: ShardNo,
        portion: Vec<Lost>,
        places: Vec<Lost>,
    ) -> Result<GivenUp, RepairFailure> {
        let (reply, answer) = oneshot::channel();
        let request = GiveUpRequest {
            shard,
            portion,
            places,
            reply,
        };
        let sent = self.send(Command::GiveUp(request));
        sent.map_err(|_| RepairFailure::Busy)?;
        answer.await.unwrap_or(Err(RepairFailure::Gone))
    }
}

/// The same places in portions of at most [`RECORDS_AT_ONCE_MAX`].
fn portions(places: &[Lost]) -> impl Iterator<Item = Lost> {
    places.iter().flat_map(|place| {
        let firsts = (place.first.0..=place.last.0).step_by(RECORDS_AT_ONCE_MAX);
        firsts.map(|first| Lost {
            first: Lsn(first),
            last: place.last.min(Lsn(first + RECORDS_AT_ONCE_MAX as u64 - 1)),
        })
    })
}

/// Gives up what a log has lost in some places.
pub(super) fn give_up(store: &mut Store, places: &[Lost]) {
    for place in within(&lost_places(&store.reader().damage()), places) {
        for lsn in place.first.0..=place.last.0 {
            store.settle(Lsn(lsn));
        }
    }
}

/// What has come of giving up some places.
pub(super) fn given_up(store: &Store, places: &[Lost]) -> GivenUp {
    let left = within(&lost_places(&store.reader().damage()), places);
    let mut rest = places.iter().filter(|place| !left.contains(place));
    let is_lasting = rest.all(|place| store.is_sealed_between(place.first, place.last));
    GivenUp { left, is_lasting }
}

/// What of some places lies in others.
fn within(places: &[Lost], others: &[Lost]) -> Vec<Lost> {
    let common = |place: &Lost, other: &Lost| {
        let (first, last) = (place.first.max(other.first), place.last.min(other.last));
        (first <= last).then_some(Lost { first, last })
    };
    let each = places.iter();
    each.flat_map(|place| others.iter().filter_map(|other| common(place, other)))
        .collect()
}

#[cfg(test)]
#[path = "repair_tests.rs"]
mod tests;
