//! What a replica knows of its own log: positions, the epoch table, the horizon.
//!
//! `appended >= synced >= committed >= horizon`.

use wire::{Epoch, Lsn, Position};

/// Where an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Which epoch.
    pub epoch: Epoch,
    /// Its first record.
    pub first: Lsn,
}

/// A log, as far as replication looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last record.
    pub appended: Position,
    /// The last durable record.
    pub synced: Lsn,
    /// The last record known committed.
    pub committed: Lsn,
    /// Up to where deletes may have been dropped.
    pub horizon: Lsn,
    /// The epochs, oldest first.
    pub epochs: Vec<EpochStart>,
    /// Set while the log is a copy that began from nothing at a leader with a horizon: complete
    /// from here on.
    pub consistent_from: Option<Lsn>,
}

impl LogState {
    /// Up to where deletes may be missing: they were dropped here, or at the leader from whom this
    /// log is a copy. Whoever ends below has to copy everything.
    pub(crate) fn floor(&self) -> Lsn {
        self.horizon.max(self.consistent_from.unwrap_or(Lsn::ZERO))
    }

    /// Takes note of an appended record.
    pub(crate) fn append(&mut self, position: Position) {
        if self.appended.epoch < position.epoch {
            self.epochs.push(EpochStart {
                epoch: position.epoch,
                first: position.lsn,
            });
        }
        self.appended = position;
    }

    /// Whether this log has a record of that lsn in that epoch.
    pub(crate) fn contains(&self, position: Position) -> bool {
        position.lsn <= self.appended.lsn && self.epoch_at(position.lsn) == position.epoch
    }

    /// The last epoch that is not above `epoch`, and where it ends here; the position before the
    /// first record when there is none.
    pub(crate) fn end_of(&self, epoch: Epoch) -> Position {
        let after = self.epochs.partition_point(|start| start.epoch <= epoch);
        let Some(last) = after.checked_sub(1) else {
            return Position::default();
        };
        let end = self.epochs.get(after);
        Position {
            epoch: self.epochs[last].epoch,
            lsn: end.map_or(self.appended.lsn, |next| next.first.previous()),
        }
    }

    /// Where to cut, when a leader's log leaves this one at or before `theirs`: the end of the last
    /// epoch that both know, whichever end is lower.
    pub(crate) fn common_with(&self, theirs: Position) -> Lsn {
        let ours = self.end_of(theirs.epoch);
        if ours.epoch == theirs.epoch {
            ours.lsn.min(theirs.lsn)
        } else {
            ours.lsn
        }
    }

    fn epoch_at(&self, lsn: Lsn) -> Epoch {
        let after = self.epochs.partition_point(|start| start.first <= lsn);
        after
            .checked_sub(1)
            .map_or(Epoch::ZERO, |last| self.epochs[last].epoch)
    }
}
