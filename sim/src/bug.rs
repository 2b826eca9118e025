//! The deliberate bugs that the simulator must catch.

use controller::Bug as Deciding;
use replica::Bug as Core;

/// A bug, and where it sits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeededBug {
    /// In the replication core.
    Core(Core),
    /// In the controller's decisions.
    Controller(Deciding),
    /// In what a node does around the core.
    Shell(Shell),
}

/// Bugs of the shell around the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// A shard record is obeyed before it is persisted.
    RecordNotPersisted,
    /// A replaced disk takes part under the UUID of the lost one.
    DiskReused,
    /// Changes are acknowledged when the leader has synced them.
    AnswerBeforeCommit,
    /// Streams skip what they should send first.
    StreamFromEnd,
}

/// All of them, by name.
pub const BUGS: [(&str, SeededBug); 30] = [
    (
        "acknowledge before sync",
        SeededBug::Core(Core::AckBeforeSync),
    ),
    (
        "quorum without the old set",
        SeededBug::Core(Core::QuorumWithoutOld),
    ),
    (
        "truncate to the commit",
        SeededBug::Core(Core::TruncateToCommit),
    ),
    (
        "epoch reused after a restart",
        SeededBug::Core(Core::EpochReused),
    ),
    (
        "lease from the answer",
        SeededBug::Core(Core::LeaseFromAnswer),
    ),
    (
        "lease of the leader before",
        SeededBug::Core(Core::LeaseOverlapped),
    ),
    (
        "let into the set at hello",
        SeededBug::Core(Core::GrowAtHello),
    ),
    (
        "set grows before its epoch",
        SeededBug::Core(Core::GrowBeforeEpoch),
    ),
    (
        "eligible while degraded",
        SeededBug::Core(Core::EligibleWhileDegraded),
    ),
    (
        "eligible beside a quorum",
        SeededBug::Core(Core::EligibleBesideQuorum),
    ),
    (
        "commit below min_in_sync",
        SeededBug::Core(Core::CommitBelowMin),
    ),
    (
        "elected leader answers",
        SeededBug::Core(Core::ElectedAnswers),
    ),
    ("leader reads unheard", SeededBug::Core(Core::ReadUnheard)),
    (
        "follower reads unheard",
        SeededBug::Core(Core::FollowerReadUnheard),
    ),
    (
        "history not compared",
        SeededBug::Core(Core::FollowUnchecked),
    ),
    ("horizon ignored", SeededBug::Core(Core::HorizonIgnored)),
    (
        "unknown answer taken for no",
        SeededBug::Core(Core::UnknownIsNo),
    ),
    (
        "older record obeyed",
        SeededBug::Core(Core::OlderRecordObeyed),
    ),
    ("acknowledge uninvited", SeededBug::Core(Core::AckUninvited)),
    (
        "election outside the set",
        SeededBug::Controller(Deciding::ElectOutside),
    ),
    (
        "rollback unnoticed",
        SeededBug::Controller(Deciding::RollbackUnnoticed),
    ),
    (
        "election before all were heard",
        SeededBug::Controller(Deciding::ElectUnheard),
    ),
    (
        "first report restored",
        SeededBug::Controller(Deciding::FirstReportRestored),
    ),
    (
        "eligible after an election",
        SeededBug::Controller(Deciding::EligibleAfterElection),
    ),
    (
        "election in the same epoch",
        SeededBug::Controller(Deciding::SameEpoch),
    ),
    (
        "election degrades",
        SeededBug::Controller(Deciding::ElectionDegrades),
    ),
    (
        "record not persisted",
        SeededBug::Shell(Shell::RecordNotPersisted),
    ),
    ("disk reused", SeededBug::Shell(Shell::DiskReused)),
    (
        "answer before commit",
        SeededBug::Shell(Shell::AnswerBeforeCommit),
    ),
    (
        "stream from the end",
        SeededBug::Shell(Shell::StreamFromEnd),
    ),
];
