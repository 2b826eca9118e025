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

    /// Notes a record that was lost: what is later than its epoch began behind it, even if it seemed
    /// to begin before. Its own epoch began there if it `is_first`, else among the lost records from
    /// `lost` on, unless it is known already.
    pub(crate) fn recall(&mut self, position: Position, is_first: bool, lost: Lsn) {
        let Position { epoch, lsn } = position;
        let at = self.0.partition_point(|start| start.epoch < epoch);
        let first = if is_first { lsn } else { lost };
        match self.0.get_mut(at).filter(|start| start.epoch == epoch) {
            Some(start) if is_first => start.first = first,
            Some(_) => {}
            None => self.0.insert(at, EpochStart { epoch, first }),
        }
        for later in &mut self.0[at + 1..] {
            later.first = later.first.max(lsn.next());
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

    // If this fails, a log with repaired records seems to have another history than its leader's.
    #[test]
    fn epochs_that_were_lost_come_back_in_any_order() {
        let lost = [(1, 5), (3, 6), (3, 7), (4, 8), (4, 9)].map(|(e, lsn)| position(e, lsn));
        for turn in 0..lost.len() {
            let mut epochs = Epochs::default();
            // Lost from 5 on; the first record behind is of epoch 4.
            for at in [position(1, 1), position(4, 5), position(5, 12)] {
                epochs.append(at);
            }
            for at in lost.iter().cycle().skip(turn).take(lost.len()) {
                let is_first = [6, 8].contains(&at.lsn.0);
                epochs.recall(*at, is_first, Lsn(5));
                assert_eq!(epochs.epoch_at(at.lsn), at.epoch);
            }
            let told: Vec<u64> = [5, 6, 7, 8, 11, 12]
                .map(|n| epochs.epoch_at(Lsn(n)).0)
                .to_vec();
            assert_eq!(told, [1, 3, 3, 4, 4, 5]);
        }
    }
}
