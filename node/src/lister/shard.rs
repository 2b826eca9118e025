//! How far the catalog is in one shard, and what it needs next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Committed, Cursor, LiveWalk, Lost, ReadError, Walked};
use wire::content::Status;
use wire::listing::{ListingOutcome, ListingPart, ListingStep};
use wire::position::{Lsn, Position};

use super::batch::{self, Budget};
use super::row::row;
use super::unread::{Passed, Unread};
use super::waiting::Waiting;
use crate::driver::command::Unlisted;
use crate::driver::table::ReplicaView;
use crate::metrics::Metrics;

/// Changes kept in memory for a catalog that is behind; beyond it they are read from the log.
const QUEUE_MAX: usize = 16 * 1024;

/// How long a log that could not be read is left alone.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How long a distributor that left a part out of its answer is not sent another.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A later leader than this one is heard of well before. If the catalog knows one for longer, no node
/// may have what that one had.
const OVERTAKEN_MAX: Duration = Duration::from_secs(15);

/// How often the catalog is moved over records that are no operations of its own.
const MOVE_EVERY: Duration = Duration::from_secs(1);

/// One led shard's listing.
pub(super) struct ShardListing {
    view: Arc<ReplicaView>,
    place: Place,
    queue: Queue,
    waiting: Waiting,
    /// Where the log was read to, for a catalog that is behind what is in memory.
    cursor: Option<Cursor>,
    moved_at: Instant,
    /// The log could not be read; it is not tried again before this.
    blocked_until: Option<Instant>,
    /// It could not be read the last time.
    is_unreadable: bool,
    unread: Unread,
    /// The catalog is shown everything, even if it can follow.
    shows_all: bool,
    /// Since when the catalog is in a later epoch, until that was told.
    overtaken: Overtaken,
}

/// Whether the catalog knows a later leader.
enum Overtaken {
    No,
    Since(Instant),
    Told,
}

/// Where the catalog is.
enum Place {
    /// It must be asked.
    Unknown,
    /// It follows from here.
    At(Position),
    /// It cannot follow: it is shown everything that lives.
    Walk(Walk),
}

struct Walk {
    /// Where the catalog was when the walk began.
    after: Position,
    at: Position,
    live: LiveWalk,
    rows: u64,
    begun: bool,
    /// Its last step was given.
    ended: bool,
}

/// Changes after `after`, up to and including `upto`, in the order of the log.
struct Queue {
    after: Lsn,
    upto: Lsn,
    changes: VecDeque<Committed>,
}

impl ShardListing {
    /// A shard that this process began to lead: nothing is known of the catalog yet.
    pub(super) fn new(view: Arc<ReplicaView>) -> Self {
        let committed = view.gauge.measures().committed;
        ShardListing {
            view,
            place: Place::Unknown,
            queue: Queue {
                after: committed,
                upto: committed,
                changes: VecDeque::new(),
            },
            waiting: Waiting::default(),
            cursor: None,
            moved_at: Instant::now(),
            blocked_until: None,
            is_unreadable: false,
            overtaken: Overtaken::No,
            unread: Unread::default(),
            shows_all: false,
        }
    }

    /// Takes what was committed since the last call.
    pub(super) fn committed(&mut self, upto: Lsn, changes: Vec<Committed>, waiting: Vec<Unlisted>) {
        self.queue.add(upto, changes);
        self.waiting.add(waiting);
    }

    /// The catalog is shown everything that lives, even if it can follow.
    pub(super) fn show_all(&mut self) {
        self.shows_all = true;
        self.place = Place::Unknown;
    }

    /// What to send next, when what was sent before is answered or lost; none when the catalog has
    /// everything.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub(super) fn next_part(
        &mut self,
        budget: &mut Budget,
    ) -> Result<Option<ListingPart>, ReadError> {
        if self
            .blocked_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Ok(None);
        }
        if self.unread.look_again(&self.view.reader) {
            self.show_all();
        }
        let step = self.next_step(budget)?;
        // That the catalog is asked again says nothing of the log.
        self.is_unreadable &= matches!(step, Some(ListingStep::Ask));
        let shard = self.view.shard;
        Ok(step.map(|step| {
            self.moved_at = Instant::now();
            ListingPart { shard, step }
        }))
    }

    fn next_step(&mut self, budget: &mut Budget) -> Result<Option<ListingStep>, ReadError> {
        Ok(match &mut self.place {
            Place::Unknown => Some(ListingStep::Ask),
            Place::At(position) if position.lsn < self.queue.after => {
                let position = *position;
                self.follow_log(position, budget)?
            }
            Place::At(position) => {
                let move_on = self.moved_at.elapsed() >= MOVE_EVERY;
                self.queue.follow(*position, &self.view, move_on, budget)
            }
            Place::Walk(walk) => {
                let step = walk.next(budget)?;
                if matches!(step, ListingStep::LiveEnd { .. }) {
                    let passed_damage = walk.live.passed_damage();
                    self.wait_for_repair(passed_damage)?;
                }
                Some(step)
            }
        })
    }

    /// What cannot be read is in no step: the catalog would never hear of it, or forget it.
    fn wait_for_repair(&mut self, passed: Option<Lost>) -> Result<Passed, ReadError> {
        let waited = self.unread.wait(passed)?;
        if waited == Passed::Damage {
            let shard = self.view.shard;
            tracing::error!(%shard, "the catalog goes on without what is damaged here");
        }
        Ok(waited)
    }

    /// The next step of a catalog that is behind what is in memory; none if the log gives nothing
    /// more to read at this moment. One over the chunks of a large content has no operations.
    fn follow_log(
        &mut self,
        after: Position,
        budget: &mut Budget,
    ) -> Result<Option<ListingStep>, ReadError> {
        let kept = self
            .cursor
            .take()
            .filter(|cursor| cursor.covered() == after.lsn);
        let mut cursor = kept.unwrap_or_else(|| self.view.reader.cursor(after.lsn));
        let mut operations = Vec::new();
        while !budget.is_spent() {
            budget.read();
            let Some(committed) = cursor.next_change()? else {
                break;
            };
            if let Some(operation) = batch::operation(committed) {
                batch::spend(budget, &operation);
                operations.push(operation);
            }
        }
        let passed = self.wait_for_repair(cursor.passed_damage())?;
        let measures = self.view.gauge.measures();
        if after.lsn < measures.horizon {
            // Deletes that the catalog does not know were dropped while it was behind.
            self.place = Place::Unknown;
            return Ok(None);
        }
        let upto = measures.position(cursor.covered());
        // One that went past damage would tell of it again.
        self.cursor = (passed == Passed::Nothing).then_some(cursor);
        batch::keep_last(&mut operations);
        Ok((upto.lsn > after.lsn).then_some(ListingStep::Follow {
            after,
            upto,
            operations,
        }))
    }

    /// Goes on from where the catalog says it is, and answers who waited for that.
    pub(super) fn settle(&mut self, outcome: &ListingOutcome, metrics: &Metrics) {
        let was_walk = matches!(self.place, Place::Walk(_));
        let walks_on = match &self.place {
            Place::Walk(walk) => outcome.applied && !walk.ended,
            Place::Unknown | Place::At(_) => false,
        };
        if walks_on {
            self.view.gauge.listing_goes_on();
            return;
        }
        if let Place::Walk(walk) = &self.place {
            self.shows_all &= !(outcome.applied && walk.ended);
        }
        let measures = self.view.gauge.measures();
        if measures.can_follow(outcome.listed) && !self.shows_all {
            self.overtaken = Overtaken::No;
            self.place = Place::At(outcome.listed);
            self.view.gauge.set_listed(outcome.listed.lsn);
            self.resolve(outcome, metrics);
        } else if measures.is_before(outcome.listed) {
            self.wait_for_a_later_leader(outcome.listed);
        } else {
            let at = measures.position(measures.committed);
            tracing::warn!(
                shard = %self.view.shard, listed = %outcome.listed, %at, again = was_walk,
                "the catalog cannot follow the log: it is shown everything that lives"
            );
            let live = self.view.reader.live(at.lsn);
            self.place = Place::Walk(Walk {
                after: outcome.listed,
                at,
                live,
                rows: 0,
                begun: false,
                ended: false,
            });
        }
    }

    /// Another leader lists by now, and this one has not heard of it yet: what it would show is what
    /// was, and the other one would never take it back.
    fn wait_for_a_later_leader(&mut self, listed: Position) {
        self.place = Place::Unknown;
        self.blocked_until = Some(Instant::now() + ASK_AGAIN_AFTER);
        match self.overtaken {
            Overtaken::No => self.overtaken = Overtaken::Since(Instant::now()),
            Overtaken::Since(since) if since.elapsed() > OVERTAKEN_MAX => {
                self.overtaken = Overtaken::Told;
                tracing::error!(
                    shard = %self.view.shard, %listed,
                    "nothing is listed: the catalog is in a later epoch than this shard. If no node \
                     with a later copy comes back, rebuild the catalog"
                );
            }
            Overtaken::Since(_) | Overtaken::Told => {}
        }
    }

    fn resolve(&mut self, outcome: &ListingOutcome, metrics: &Metrics) {
        for id in &outcome.unlistable {
            tracing::error!(%id, shard = %self.view.shard, "the catalog refused this content's row");
        }
        for one in self.waiting.listed(outcome.listed.lsn) {
            let delay = one.since.elapsed();
            metrics.listing_seconds.observe(delay.as_secs_f64());
            let refused = outcome.unlistable.contains(&one.id);
            one.answer(if refused {
                Status::Unlistable
            } else {
                Status::Ok
            });
        }
    }

    /// The part did not arrive, or its outcome did not: ask, as it may have been applied.
    pub(super) fn lost(&mut self) {
        self.place = Place::Unknown;
    }

    /// The answer was silent about the part: the distributor is not as it should be, and is not
    /// asked again at once.
    pub(super) fn unanswered(&mut self) {
        self.lost();
        self.blocked_until = Some(Instant::now() + ASK_AGAIN_AFTER);
    }

    /// The log could not be read.
    pub(super) fn unreadable(&mut self) {
        self.is_unreadable = true;
        self.place = Place::Unknown;
        self.blocked_until = Some(Instant::now() + READ_AGAIN_AFTER);
    }

    /// Whether it could not be read the last time, and may not be the next.
    pub(super) fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    /// Answers those who have waited long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        self.waiting.expire(now, self.view.gauge.listed());
    }

    /// Answers everyone who did not ask to wait: the catalog is away.
    pub(super) fn hurry(&mut self) {
        self.waiting.hurry(self.view.gauge.listed());
    }

    /// Answers everyone: this process leads the shard, in this term, no more.
    pub(super) fn end(mut self) {
        self.waiting.end(self.view.gauge.listed());
    }

    /// When the first of those who wait has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.deadline()
    }
}

impl Queue {
    fn add(&mut self, upto: Lsn, changes: Vec<Committed>) {
        self.upto = upto;
        self.changes.extend(changes);
        if self.changes.len() > QUEUE_MAX {
            self.changes.clear();
            self.after = upto;
        }
    }

    /// The next step of a catalog that is inside the queue. What is taken is gone from memory:
    /// should the batch be lost, the log still has it.
    fn follow(
        &mut self,
        after: Position,
        view: &ReplicaView,
        move_on: bool,
        budget: &mut Budget,
    ) -> Option<ListingStep> {
        let mut operations = Vec::new();
        let mut last = after;
        while !budget.is_spent()
            && let Some(committed) = self.changes.pop_front()
        {
            if committed.position.lsn <= after.lsn {
                // Gone from memory: a catalog that goes back behind it follows the log.
                self.after = committed.position.lsn;
                continue;
            }
            last = committed.position;
            if let Some(operation) = batch::operation(committed) {
                batch::spend(budget, &operation);
                operations.push(operation);
            }
        }
        if self.changes.is_empty() && self.upto > last.lsn {
            last = view.gauge.measures().position(self.upto);
        }
        if operations.is_empty() && (last == after || !move_on) {
            return None;
        }
        self.after = last.lsn;
        batch::keep_last(&mut operations);
        Some(ListingStep::Follow {
            after,
            upto: last,
            operations,
        })
    }
}

impl Walk {
    fn next(&mut self, budget: &mut Budget) -> Result<ListingStep, ReadError> {
        let (mut rows, mut is_over) = (Vec::new(), false);
        while !budget.is_spent() {
            budget.read();
            match self.live.step()? {
                Walked::Content(content) => {
                    let row = row(*content);
                    budget.spend(Some(&row));
                    rows.push(row);
                }
                Walked::On => {}
                Walked::End => {
                    is_over = true;
                    break;
                }
            }
        }
        let first = !std::mem::replace(&mut self.begun, true);
        if is_over && rows.is_empty() && !first {
            self.ended = true;
            return Ok(ListingStep::LiveEnd {
                after: self.after,
                at: self.at,
                rows: self.rows,
            });
        }
        self.rows += rows.len() as u64;
        Ok(ListingStep::Live {
            after: self.after,
            at: self.at,
            first,
            rows,
        })
    }
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
