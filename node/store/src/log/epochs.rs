//! The epochs of a log, and where each began: what tells whether a position is in its history.

use wire::{Epoch, Lsn, Position};

/// Where an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// Which epoch.
    pub epoch: Epoch,
    /// The lsn of its first record.
    pub first: Lsn,
}

/// The history of epochs, oldest first; each began at a higher lsn than the one before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs(Vec<EpochStart>);

impl Epochs {
    /// Notes a record at the end of the log.
    pub(crate) fn append(&mut self, position: Position) {
        if self.0.last().is_none_or(|last| last.epoch < position.epoch) {
            self.0.push(EpochStart {
                epoch: position.epoch,
                first: position.lsn,
            });
        }
    }

    /// Forgets what began above an lsn.
    pub(crate) fn truncate_after(&mut self, lsn: Lsn) {
        self.0.retain(|start| start.first <= lsn);
    }

    /// The epoch of the record at an lsn; zero before the first.
    pub(crate) fn epoch_at(&self, lsn: Lsn) -> Epoch {
        let started = self.0.partition_point(|start| start.first <= lsn);
        started
            .checked_sub(1)
            .map_or(Epoch::ZERO, |last| self.0[last].epoch)
    }

    pub(crate) fn as_slice(&self) -> &[EpochStart] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(epoch: u64, lsn: u64) -> Position {
        Position {
            epoch: Epoch(epoch),
            lsn: Lsn(lsn),
        }
    }

    // If this fails, a replica takes another leader's records for its own history.
    #[test]
    fn tells_the_epoch_of_each_lsn() {
        let mut epochs = Epochs::default();
        for at in [
            position(1, 1),
            position(1, 2),
            position(4, 3),
            position(4, 9),
            position(5, 10),
        ] {
            epochs.append(at);
        }
        let told: Vec<u64> = [0, 1, 2, 3, 9, 10, 99]
            .map(|n| epochs.epoch_at(Lsn(n)).0)
            .to_vec();
        assert_eq!(told, [0, 1, 1, 4, 4, 5, 5]);
        epochs.truncate_after(Lsn(9));
        assert_eq!(epochs.epoch_at(Lsn(10)), Epoch(4));
        epochs.truncate_after(Lsn(2));
        assert_eq!(
            epochs.as_slice(),
            [EpochStart {
                epoch: Epoch(1),
                first: Lsn(1)
            }]
        );
    }
}
