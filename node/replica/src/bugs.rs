//! Deliberate protocol bugs: the simulator switches one on and must notice. Without the feature
//! `bugs` none can be switched on, and the compiler removes every trace of them.
//!
//! Four are not here, because other rules make them harmless:
//! * An acknowledgement of an earlier attempt is counted. On one ordered link none comes after the
//!   next attempt's hello; and in one epoch a replica's log never ends before what it acknowledged,
//!   for its leader's log goes on from there. (A replaced disk is another member.)
//! * Records of earlier epochs are committed by counting, before the epoch's first record is. Whoever
//!   leads next comes from the set, or from those eligible, and each of them has what the whole set
//!   has acknowledged in this epoch. Nobody wins by the length of his log, as in Raft, where this
//!   loses records. What may be *told* needs the rule; see `ElectedAnswers`.
//! * Messages of other epochs and attempts are heard. They come from the leader's node alone, and its
//!   log in one epoch goes on from the one before; who is let in by an answer of another epoch is not
//!   heard by its leader, and asks again when that stays silent.
//! * A copy joins before it is complete. It is complete from the leader's commit on, as that was when
//!   the copy began, and only what reached the present commit may join.

/// A bug in the protocol, named for the rule that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// A follower acknowledges what it has not synced.
    AckBeforeSync,
    /// While a change is under way, only the proposed set counts.
    QuorumWithoutOld,
    /// A follower cuts its log to its commit at each new epoch.
    TruncateToCommit,
    /// A restarted leader leads on in its old epoch.
    EpochReused,
    /// A follower is let into the set when it says hello.
    GrowAtHello,
    /// The set grows before the set has synced the epoch's first record.
    GrowBeforeEpoch,
    /// `eligible` survives degrading.
    EligibleWhileDegraded,
    /// Who leaves a set that still commits stays eligible.
    EligibleBesideQuorum,
    /// A set below `min_in_sync` commits.
    CommitBelowMin,
    /// An elected leader answers before its epoch's first record is committed.
    ElectedAnswers,
    /// A leader serves reads although it heard from nobody.
    ReadUnheard,
    /// A follower serves reads although it heard from nobody.
    FollowerReadUnheard,
    /// A follower is let in without its history being compared.
    FollowUnchecked,
    /// A follower below the horizon goes on.
    HorizonIgnored,
    /// A proposal without an answer is taken for refused.
    UnknownIsNo,
    /// A record of a lower version is obeyed.
    OlderRecordObeyed,
    /// A follower acknowledges before it was let in, and its leader counts that.
    AckUninvited,
    /// A lease counts from when an answer came in, not from when it was asked for.
    LeaseFromAnswer,
    /// A new leader commits while the one before may still serve what was.
    LeaseOverlapped,
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
