//! Contents that several clients change and read at the same time, and the proof that each of their
//! histories has an order that explains all answers.

mod client;
pub mod history;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;
use wire::ContentId;

use super::copies::{Agreed, Copies};
use super::ledger::{BEHIND_MAX, Expectation, Ledger, State, Version};
use history::{Action, Answer, Bytes, Content, OPERATIONS_MAX, Operation, Verdict};

/// Operations on one content in one round: room is left for the look at its end, and for those that were
/// under way when this many had begun.
const CROWD_MAX: usize = OPERATIONS_MAX - 16;

/// The chance that clients take a content of an earlier round up again.
const AGAIN: f64 = 0.5;

/// What all clients do with the same contents.
#[derive(Debug, Default)]
pub struct Contended(Mutex<Pool>);

#[derive(Debug, Default)]
struct Pool {
    ledger: Ledger,
    histories: BTreeMap<ContentId, History>,
    /// The content that all of them work on just now.
    hot: Option<ContentId>,
}

/// What was done to one content since all copies of it were looked at.
#[derive(Debug)]
struct History {
    first: Content,
    operations: Vec<Operation>,
    /// How many have begun.
    begun: usize,
    /// The base URIs of the nodes that had a copy when it was last asked.
    copies: Vec<String>,
}

/// What became of the histories of one round.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    /// How many were looked at.
    pub histories: u64,
    /// Their operations.
    pub operations: u64,
    /// How many changes began while another one was under way.
    pub overlapping: u64,
    /// Histories that have too many orders to be decided.
    pub undecided: u64,
    /// What is wrong, a line each.
    pub violations: Vec<String>,
}

impl Judged {
    /// Adds those of another round.
    pub fn add(&mut self, other: &Judged) {
        self.histories += other.histories;
        self.operations += other.operations;
        self.overlapping += other.overlapping;
        self.undecided += other.undecided;
        self.violations.extend_from_slice(&other.violations);
    }
}

/// What a client may do next.
enum Turn {
    /// This is to be changed or read.
    On(Target),
    /// There is nothing: it makes a new one.
    New,
}

/// A content that others use too.
struct Target {
    id: ContentId,
    /// Where its shard's leader was when it was last heard of, and all copies.
    node: String,
    copies: Vec<String>,
    /// What the last answer said of it; it may be out of date.
    known: State,
}

impl Contended {
    /// What there is to compare with the catalog and the disks, once all copies were looked at.
    pub fn ledger(&self) -> Ledger {
        self.pool().ledger.clone()
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The content that is everybody's just now, or another one of those that are there.
    fn turn(&self, chance: &mut StdRng) -> Turn {
        let mut pool = self.pool();
        if !pool.hot.is_some_and(|id| pool.has_room(id)) {
            let settled: Vec<ContentId> = pool.settled().collect();
            pool.hot = match chance.random_bool(AGAIN) {
                true => settled.get(chance.random_range(0..settled.len().max(1))),
                false => None,
            }
            .copied();
        }
        pool.hot
            .and_then(|id| pool.begin(id))
            .map_or(Turn::New, Turn::On)
    }

    /// A client begins to store a new one, which is everybody's from now on.
    fn store(&self, id: ContentId, node: &str) {
        let mut pool = self.pool();
        let mut history = History::of(None);
        history.begun = 1;
        pool.histories.insert(id, history);
        let expected = Expectation {
            node: node.to_owned(),
            ..Expectation::default()
        };
        pool.ledger.contents.insert(id, expected);
        pool.hot = Some(id);
    }

    /// A change is about to be sent, perhaps not for the first time.
    fn sends(&self, state: State) {
        let ledger = &mut self.pool().ledger;
        // It may lie there dead if it is cut short, and what it supersedes will.
        ledger.supersede(state);
        ledger.supersede(state);
    }

    /// An operation has come to its end.
    fn note(&self, id: ContentId, operation: Operation) {
        let mut pool = self.pool();
        let said = match (operation.action, operation.answer) {
            (_, Answer::Lost) | (Action::Read, Answer::Nothing) => None,
            (Action::Delete(_), _) => Some(None),
            (_, Answer::Version(version)) => Some(Some(version)),
            (_, Answer::Nothing) => None,
        };
        if let (Some(state), Some(expected)) = (said, pool.ledger.contents.get_mut(&id)) {
            expected.certain = state;
        }
        if let Some(history) = pool.histories.get_mut(&id) {
            history.operations.push(operation);
        }
    }

    /// Where a content is, as a distributor said.
    fn found(&self, id: ContentId, leader: Option<String>, copies: Vec<String>) {
        let mut pool = self.pool();
        if let Some(expected) = pool.ledger.contents.get_mut(&id) {
            expected.node = leader.unwrap_or_else(|| expected.node.clone());
        }
        if let Some(history) = pool.histories.get_mut(&id).filter(|_| !copies.is_empty()) {
            history.copies = copies;
        }
    }

    /// Looks at every copy of what was used, or of everything, and judges each history with that as its
    /// last read.
    pub async fn judge(
        &self,
        client: &reqwest::Client,
        copies: &Copies,
        everything: bool,
    ) -> Judged {
        let mut judged = Judged::default();
        for (id, history) in self.take(everything) {
            let begun = Instant::now();
            let knows = |version: &Version| history.knows(version);
            match copies.look(client, id, knows).await {
                Ok(agreed) => judged.add(&self.conclude(id, history, (agreed, begun))),
                Err(why) => judged.violations.push(format!("{id}: {why}")),
            }
        }
        judged
    }

    /// Judges a history with what the copies said as its last read.
    fn conclude(&self, id: ContentId, history: History, look: (Agreed, Instant)) -> Judged {
        let (agreed, begun) = look;
        let seen = match agreed {
            Agreed::On(seen) => seen,
            // It may be what a damaged header was about only if it need not be there.
            Agreed::Unsure => None,
        };
        let last = Operation {
            action: Action::Read,
            answer: seen.map_or(Answer::Nothing, Answer::Version),
            begun,
            ended: Instant::now(),
        };
        let judged = history.judged(id, last);
        match agreed {
            Agreed::On(seen) => self.settle(id, seen),
            Agreed::Unsure => self.leave_open(id, history),
        }
        judged
    }

    /// The histories of this round; and, of everything else, those in which nothing was done.
    fn take(&self, everything: bool) -> BTreeMap<ContentId, History> {
        let mut pool = self.pool();
        pool.hot = None;
        let mut histories = std::mem::take(&mut pool.histories);
        for (id, expected) in pool.ledger.contents.iter().filter(|_| everything) {
            let untouched = || History::of(expected.certain);
            histories.entry(*id).or_insert_with(untouched);
        }
        histories
    }

    fn settle(&self, id: ContentId, seen: State) {
        let mut pool = self.pool();
        if let Some(expected) = pool.ledger.contents.get_mut(&id) {
            expected.sent = seen.into_iter().collect();
            expected.settle(seen);
        }
    }

    /// What has no answer may still turn out to have been done, or not: the next look judges all of it again,
    /// and until then nobody uses the content.
    fn leave_open(&self, id: ContentId, history: History) {
        let mut pool = self.pool();
        if let Some(expected) = pool.ledger.contents.get_mut(&id) {
            expected.possible = Some(None);
        }
        pool.histories.insert(id, history);
    }
}

impl Pool {
    /// Those that nobody has used since all their copies were looked at, and that are there.
    fn settled(&self) -> impl Iterator<Item = ContentId> {
        let live = self.ledger.live().map(|(id, _)| *id);
        live.filter(|id| !self.histories.contains_key(id))
    }

    /// Whether more may be done to a content in this round; of a deleted one there is little to learn.
    fn has_room(&self, id: ContentId) -> bool {
        let history = self.histories.get(&id);
        let is_deleted = |history: &History| {
            let delete =
                |o: &Operation| matches!(o.action, Action::Delete(_)) && o.answer != Answer::Lost;
            history.operations.iter().any(delete)
        };
        history.is_none_or(|history| history.begun < CROWD_MAX && !is_deleted(history))
    }

    /// An operation on a content begins.
    fn begin(&mut self, id: ContentId) -> Option<Target> {
        let expected = self.ledger.contents.get_mut(&id)?;
        expected.touched = true;
        let history = self.histories.entry(id);
        let history = history.or_insert_with(|| History::of(expected.certain));
        history.begun += 1;
        Some(Target {
            id,
            node: expected.node.clone(),
            copies: history.copies.clone(),
            known: expected.certain,
        })
    }
}

impl History {
    /// Nothing was done yet to a content that is like this.
    fn of(state: State) -> History {
        History {
            first: state.map_or(Content::Absent, Content::Live),
            operations: Vec::new(),
            begun: 0,
            copies: Vec::new(),
        }
    }

    /// Whether these bytes were ever sent, or were there before.
    fn knows(&self, version: &Version) -> bool {
        let found = Bytes {
            size: version.size,
            checksum: version.checksum,
        };
        let sent = |operation: &Operation| match operation.action {
            Action::Store(bytes) | Action::Update(_, bytes) => bytes == found,
            Action::Delete(_) | Action::Read => false,
        };
        self.first == Content::Live(*version) || self.operations.iter().any(sent)
    }

    fn judged(&self, id: ContentId, last: Operation) -> Judged {
        let mut judged = Judged {
            histories: 1,
            operations: self.operations.len() as u64,
            overlapping: self.overlapping(),
            ..Judged::default()
        };
        let mut operations = self.operations.clone();
        operations.push(last);
        operations.sort_by_key(|operation| operation.begun);
        match history::judge(self.first, &operations) {
            Verdict::Linearizable => {}
            Verdict::Undecided => judged.undecided = 1,
            Verdict::Refuted => {
                let zero = operations.first().map(|operation| operation.begun);
                let told = operations.iter().map(|o| told(o, zero));
                let told: Vec<String> = told.collect();
                let (first, told) = (self.first, told.join("\n  "));
                let why = format!("{id}: no order explains its history: {first:?}\n  {told}");
                judged.violations.push(why);
            }
        }
        judged
    }

    /// Changes that began while another one was under way.
    fn overlapping(&self) -> u64 {
        let changes = || self.operations.iter().filter(|o| o.action != Action::Read);
        let overlaps = |one: &&Operation| {
            changes().any(|other| other.begun < one.begun && one.begun < other.ended)
        };
        changes().filter(overlaps).count() as u64
    }
}

/// A line for people: from when until when, in milliseconds, what, and the answer.
fn told(operation: &Operation, zero: Option<Instant>) -> String {
    let ms = |moment: Instant| zero.map_or(0, |zero| moment.duration_since(zero).as_millis());
    let Operation { action, answer, .. } = operation;
    let (begun, ended) = (ms(operation.begun), ms(operation.ended));
    format!("{begun}..{ended}: {action:?} → {answer:?}")
}

/// When a read took effect that was sent at `sent`: it may have asked a follower, which lies behind by
/// so much.
fn may_be_behind(sent: Instant) -> Instant {
    sent.checked_sub(BEHIND_MAX).unwrap_or(sent)
}
