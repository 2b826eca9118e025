//! Deliberate bugs in the decisions: the simulator switches one on and must notice. Without the
//! feature `bugs` none can be switched on.

/// A bug, named for the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// Any living replica may be elected.
    ElectOutside,
    /// A register that went back in time goes unnoticed.
    RollbackUnnoticed,
    /// A restored shard is led, and after a change of the controller any shard is, before all who hold
    /// it were heard.
    ElectUnheard,
    /// A record that was restored is not replaced by a higher one that is reported later.
    FirstReportRestored,
    /// Members that an election drops stay eligible beside a set that commits.
    EligibleAfterElection,
    /// A new leader keeps the epoch of the one before.
    SameEpoch,
    /// An election lifts the demand for two synced copies.
    ElectionDegrades,
}

/// The bugs that are switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bugs {
    #[cfg(feature = "bugs")]
    only: Option<Bug>,
}

impl Bugs {
    /// This bug alone.
    #[cfg(feature = "bugs")]
    pub fn only(bug: Bug) -> Bugs {
        Bugs { only: Some(bug) }
    }

    #[cfg(feature = "bugs")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.only == Some(bug)
    }

    #[cfg(not(feature = "bugs"))]
    pub(crate) const fn has(self, _: Bug) -> bool {
        false
    }
}
