//! Whether a history of one content is linearizable: whether all that was done at the same time could
//! have been done one after the other.
//!
//! It knows neither clients nor nodes. The search is that of Wing and Gong, with the memory that Lowe
//! gave it ("Testing for linearizability", 2017): a set of operations that is done, and what the content
//! then is, are looked at once.

use std::collections::HashSet;

use tokio::time::Instant;
use wire::Checksum;

use crate::torture::ledger::Version;

/// Operations of one history: as many as fit the set of those that are done.
pub const OPERATIONS_MAX: usize = 128;

/// Sets that are looked at before the search gives up. Numbers in receipts leave so few orders that
/// histories of the load need some hundreds.
const SETS_MAX: usize = 1 << 16;

/// Bytes, whatever the number of their version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// How many.
    pub size: u64,
    /// Of all of them.
    pub checksum: Checksum,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To be the content's first version.
    Store(Bytes),
    /// To be its next one; if it is this one, should that be demanded.
    Update(Option<Checksum>, Bytes),
    /// To delete it; if it is this one, should that be demanded.
    Delete(Option<Checksum>),
    /// To tell what it is.
    Read,
}

/// What was answered. A refusal is no operation: it says that nothing was done, and may do so for a
/// change that was under way and that a failover has undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This version: made, deleted or read.
    Version(Version),
    /// Nothing is there.
    Nothing,
    /// None: it may have been done, also later, or not.
    Lost,
}

/// One operation, from before when it was sent until its answer was there.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// What.
    pub action: Action,
    /// And what came of it.
    pub answer: Answer,
    /// It took effect no earlier.
    pub begun: Instant,
    /// It took effect no later; whatever has no answer may take effect at any time.
    pub ended: Instant,
}

/// What a content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Never stored.
    Absent,
    /// At a version.
    Live(Version),
    /// Deleted, when it was at a version.
    Deleted(Version),
}

/// What a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none.
    Refuted,
    /// The search was given up.
    Undecided,
}

impl Operation {
    fn is_lost(&self) -> bool {
        self.answer == Answer::Lost
    }

    /// What a content becomes by it; nothing if it cannot have had this answer there.
    fn applied(&self, to: Content) -> Option<Content> {
        let demands = |demanded: Option<Checksum>, version: Version| {
            demanded.is_none_or(|demanded| demanded == version.checksum)
        };
        let becomes = match (self.action, to) {
            (Action::Store(bytes), Content::Absent) => Content::Live(bytes.version(1)),
            (Action::Update(demanded, bytes), Content::Live(now)) if demands(demanded, now) => {
                Content::Live(bytes.version(now.number + 1))
            }
            (Action::Delete(demanded), Content::Live(now)) if demands(demanded, now) => {
                Content::Deleted(now)
            }
            // A repeated one is answered like the first.
            (Action::Delete(demanded), Content::Deleted(was)) if demands(demanded, was) => to,
            (Action::Read, _) => to,
            _ => return None,
        };
        let says = match (self.action, becomes) {
            (Action::Read, Content::Absent | Content::Deleted(_)) => Answer::Nothing,
            (_, Content::Live(version) | Content::Deleted(version)) => Answer::Version(version),
            (_, Content::Absent) => return None,
        };
        (self.is_lost() || self.answer == says).then_some(becomes)
    }
}

impl Bytes {
    /// These, under a number.
    pub fn version(self, number: u64) -> Version {
        Version {
            number,
            size: self.size,
            checksum: self.checksum,
        }
    }
}

/// Judges the history of a content that was `first` before it.
pub fn judge(first: Content, operations: &[Operation]) -> Verdict {
    assert!(operations.len() <= OPERATIONS_MAX, "they fit a set");
    let answered = (0..operations.len()).filter(|at| !operations[*at].is_lost());
    let wanted = answered.fold(0, |set, at| set | 1 << at);
    let mut seen = HashSet::new();
    let mut open = vec![(0_u128, first)];
    while let Some((done, now)) = open.pop() {
        let (done, now) = with_reads(operations, done, now);
        if done & wanted == wanted {
            return Verdict::Linearizable;
        }
        if seen.len() >= SETS_MAX {
            return Verdict::Undecided;
        }
        if seen.insert((done, key(now))) {
            // What was answered is looked at first: mostly, what has no answer was not done.
            let (lost, answered): (Vec<usize>, Vec<usize>) =
                next(operations, done).partition(|at| operations[*at].is_lost());
            let next = lost.into_iter().chain(answered);
            open.extend(next.filter_map(|at| Some((done | 1 << at, operations[at].applied(now)?))));
        }
    }
    Verdict::Refuted
}

/// The operations that may be the next one: none that is to be done ended before they began.
fn next(operations: &[Operation], done: u128) -> impl Iterator<Item = usize> {
    let rest = move |at: &usize| done & 1 << at == 0;
    let answered = operations.iter().enumerate().filter(|(_, o)| !o.is_lost());
    let ends = answered.filter(|(at, _)| rest(at)).map(|(_, o)| o.ended);
    let first_end = ends.min();
    (0..operations.len())
        .filter(rest)
        .filter(move |at| first_end.is_none_or(|end| operations[*at].begun <= end))
}

/// A read that may be the next one, and fits, is: it changes nothing, so that no order is lost.
fn with_reads(operations: &[Operation], mut done: u128, now: Content) -> (u128, Content) {
    let fits = |at: &usize| {
        let operation = &operations[*at];
        operation.action == Action::Read && operation.applied(now).is_some()
    };
    while let Some(at) = next(operations, done).find(fits) {
        done |= 1 << at;
    }
    (done, now)
}

/// What tells two contents apart.
fn key(now: Content) -> (u8, u64, [u8; 32]) {
    match now {
        Content::Absent => (0, 0, [0; 32]),
        Content::Live(version) => (1, version.number, version.checksum.0),
        Content::Deleted(version) => (2, version.number, version.checksum.0),
    }
}
