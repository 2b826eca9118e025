//! What verifications came to, summed up for the log: a line for each copy would flood it.

use std::sync::{Mutex, PoisonError};

use super::Verification;

/// Copies that were verified, by what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifiedCopies {
    /// Their bytes are those of the content's hash.
    pub(crate) agreeing: u64,
    /// There is none.
    pub(crate) absent: u64,
    /// Their bytes are others, or cannot be read.
    pub(crate) wrong: u64,
}

impl VerifiedCopies {
    /// All of them.
    pub(crate) fn count(&self) -> u64 {
        self.agreeing + self.absent + self.wrong
    }

    fn add(&mut self, result: Verification) {
        match result {
            Verification::Agrees => self.agreeing += 1,
            Verification::Differs | Verification::Unreadable => self.wrong += 1,
            Verification::Absent => self.absent += 1,
        }
    }
}

/// What the log was not told yet.
#[derive(Default)]
pub(super) struct Untold(Mutex<VerifiedCopies>);

impl Untold {
    pub(super) fn add(&self, result: Verification) {
        self.with(|copies| copies.add(result));
    }

    /// What there is, which counts as told from now on.
    pub(super) fn take(&self) -> VerifiedCopies {
        self.with(std::mem::take)
    }

    fn with<T>(&self, work: impl FnOnce(&mut VerifiedCopies) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the log tells of copies that were not verified, of some twice, or not of all.
    #[test]
    fn each_copy_is_told_once() {
        let untold = Untold::default();
        assert_eq!(untold.take(), VerifiedCopies::default());
        for result in Verification::ALL.into_iter().chain([Verification::Agrees]) {
            untold.add(result);
        }
        let told = untold.take();
        assert_eq!((told.agreeing, told.absent, told.wrong), (2, 1, 2));
        assert_eq!(told.count(), 5);
        assert_eq!(untold.take().count(), 0);
    }
}
