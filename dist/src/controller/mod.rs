//! The controller: assigns leaders and makes shards, while it is in office.
//!
//! The crate `controller` decides; this shell reads the register, carries decisions out by
//! compare-and-set, and keeps the office. It must not know SQL or HTTP.

mod answers;
mod gathering;
mod recovery;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use service::current::Current;
use tokio::sync::Mutex;
use uuid::Uuid;
use wire::membership::Heartbeat;
use wire::{Position, ShardNo};

use crate::catalog::Identity;
use crate::coordinator::{Coordinator, CoordinatorError};
use crate::members::Members;
use crate::metrics::Metrics;

use answers::Answers;
use controller::{
    Change, Making, Reason, Situation, behind, decide, is_outage, rebalance, wants_records,
};
pub(crate) use controller::{Listed, Policy, RecoverRefused, Recovery, Room, Seen};

/// Decisions can follow from each other: a full shard is closed, then another one is made.
const ROUNDS_MAX: usize = 4;

/// The office, and what is done in it.
pub(crate) struct Controller {
    coordinator: Arc<dyn Coordinator>,
    members: Arc<Members>,
    candidate: Uuid,
    session: Duration,
    policy: Current<Policy>,
    metrics: Arc<Metrics>,
    /// The catalog was empty when this process started: no node can hold anything of it yet.
    fresh: AtomicBool,
    /// Until when, by our own clock, the office is held; none without it.
    in_office_until: std::sync::Mutex<Option<Instant>>,
    answers: std::sync::Mutex<Answers>,
    /// Nothing is left to be moved, as far as was seen in office.
    balanced: AtomicBool,
    /// Nothing is copied, as so many nodes are silent, as far as was seen in office.
    copying_held: AtomicBool,
    /// A change was not answered, and may have been made: the register must be read before anything is decided.
    unread: AtomicBool,
    office: Mutex<Option<Office>>,
}

#[derive(Clone, Copy)]
struct Office {
    term: u64,
    since: Instant,
    /// By our own clock, counted from before the lease was asked for.
    until: Instant,
}

impl Controller {
    pub(crate) fn new(
        coordinator: Arc<dyn Coordinator>,
        members: Arc<Members>,
        identity: Identity,
        (session, policy): (Duration, Policy),
        metrics: Arc<Metrics>,
    ) -> Self {
        Controller {
            coordinator,
            members,
            candidate: Uuid::new_v4(),
            session,
            policy: Current::new(policy),
            metrics,
            fresh: AtomicBool::new(identity.new && !identity.adopted),
            in_office_until: std::sync::Mutex::default(),
            answers: std::sync::Mutex::new(Answers::new(session)),
            balanced: AtomicBool::new(false),
            copying_held: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            office: Mutex::new(None),
        }
    }

    /// This process, as a candidate for the office.
    pub(crate) fn candidate(&self) -> Uuid {
        self.candidate
    }

    /// What is wanted from the next decision on.
    pub(crate) fn want(&self, policy: Policy) {
        self.policy.set(policy);
    }

    /// How many replicas each shard shall have.
    pub(crate) fn copies(&self) -> u8 {
        self.policy.get().copies
    }

    /// Whether this distributor was in office when it last looked, and its lease still lasts.
    pub(crate) fn in_office(&self) -> bool {
        let until = self.in_office_until.lock();
        let until = *until.unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note_office(&self, office: Option<Office>) {
        let until = self.in_office_until.lock();
        *until.unwrap_or_else(PoisonError::into_inner) = office.map(|office| office.until);
    }

    /// Whether this distributor is in office, was told to make nodes equally full, and has found
    /// that they are.
    pub(crate) fn is_balanced(&self) -> bool {
        self.in_office() && self.balanced.load(Ordering::Relaxed)
    }

    /// Whether this distributor is in office, and has nothing copied, as over a third of the nodes is silent.
    pub(crate) fn holds_copying(&self) -> bool {
        self.in_office() && self.copying_held.load(Ordering::Relaxed)
    }

    /// Says once that nothing is copied, and once that it is again.
    fn note_outage(&self, is_outage: bool) {
        match (
            self.copying_held.swap(is_outage, Ordering::Relaxed),
            is_outage,
        ) {
            (false, true) => tracing::warn!(
                "over a third of the nodes that hold something is silent: nothing is copied until they are \
                 back, or removed"
            ),
            (true, false) => tracing::info!("enough nodes are heard: copies are made again"),
            _ => {}
        }
    }

    /// Whether nodes' proposals may be taken. A register that was away may have come back from the
    /// past, and a leader that was deposed meanwhile would build on it: for a session nodes report
    /// what they know first.
    pub(crate) fn takes_proposals(&self) -> bool {
        self.fresh.load(Ordering::Relaxed) || self.is_settled()
    }

    /// Whether the register answers for a session without a break.
    fn is_settled(&self) -> bool {
        self.answers().is_settled(Instant::now())
    }

    /// Whether the register answered within a session, and has not failed since.
    pub(crate) fn hears_register(&self) -> bool {
        self.answers().is_up(Instant::now())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        let answers = self.answers.lock();
        answers.unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps or takes the office, reads the register, and decides.
    ///
    /// # Errors
    /// When the coordinator does not answer; nothing is decided then.
    pub(crate) async fn tick(&self) -> Result<(), CoordinatorError> {
        let asked = Instant::now();
        let (was_broken, had_answered) = {
            let answers = self.answers();
            (answers.is_broken(asked), answers.has_answered())
        };
        let ticked = self.govern().await;
        if was_broken || (had_answered && ticked.is_err()) || self.is_settled() {
            self.fresh.store(false, Ordering::Relaxed);
        }
        self.answers().note(asked, ticked.is_ok());
        ticked
    }

    async fn govern(&self) -> Result<(), CoordinatorError> {
        let mut office = self.office.lock().await;
        let asked = Instant::now();
        let term = self
            .coordinator
            .campaign(self.candidate, self.session)
            .await;
        *office = match (&term, *office) {
            // A register that was put back may count the same terms again.
            (Ok(Some(term)), Some(before))
                if before.term == term.number && asked < before.until =>
            {
                Some(Office {
                    until: asked + self.session,
                    ..before
                })
            }
            (Ok(Some(term)), _) => {
                tracing::info!(term = term.number, "this distributor is the controller");
                Some(Office {
                    term: term.number,
                    since: asked,
                    until: asked + self.session,
                })
            }
            (Ok(None), _) => None,
            (Err(_), before) => before.filter(|office| asked < office.until),
        };
        self.note_office(*office);
        term?;
        self.members.set_records(self.coordinator.records().await?);
        self.unread.store(false, Ordering::Relaxed);
        match *office {
            Some(office) => self.carry_out(office).await,
            None => {
                self.copying_held.store(false, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Decides at once after a heartbeat that changes something, if in office.
    pub(crate) async fn heard(&self) {
        let office = self.office.lock().await;
        if let Some(office) = office.filter(|office| Instant::now() < office.until)
            && !self.unread.load(Ordering::Relaxed)
            && let Err(error) = self.carry_out(office).await
        {
            tracing::warn!(%error, "nothing is decided");
        }
    }

    /// Whether the register knows less than this heartbeat's node.
    pub(crate) fn wants_records(&self, heartbeat: &Heartbeat) -> bool {
        wants_records(&self.members.records(), heartbeat)
    }

    /// Begins new epochs in shards whose catalog went back, if in office for a session: then every
    /// node that lives has reported. True when that was done, and need not be done again.
    ///
    /// # Errors
    /// When the coordinator does not answer.
    pub(crate) async fn renew_behind(
        &self,
        before: &BTreeMap<ShardNo, Position>,
        now: &BTreeMap<ShardNo, Position>,
        heard: &BTreeSet<ShardNo>,
    ) -> Result<bool, CoordinatorError> {
        let office = self.office.lock().await;
        let in_office = office.is_some_and(|office| {
            let at = Instant::now();
            at < office.until && at.saturating_duration_since(office.since) >= self.session
        });
        if !in_office {
            return Ok(false);
        }
        let (records, nodes) = (self.members.records(), self.members.seen(Instant::now()));
        let draining = self.members.draining();
        let situation = Situation {
            records: &records,
            nodes: &nodes,
            draining: &draining,
            making: Making::No,
            may_judge: true,
            policy: *self.policy.get(),
        };
        for change in behind(situation, before, now, heard) {
            self.change(change).await?;
        }
        Ok(true)
    }

    /// Gives the office back.
    pub(crate) async fn resign(&self) {
        let mut office = self.office.lock().await;
        self.note_office(None);
        if office.take().is_some()
            && let Err(error) = self.coordinator.resign(self.candidate).await
        {
            tracing::debug!(%error, "the office is given back by its lease");
        }
    }

    async fn carry_out(&self, office: Office) -> Result<(), CoordinatorError> {
        for _ in 0..ROUNDS_MAX {
            let now = Instant::now();
            let (records, nodes) = (self.members.records(), self.members.seen(now));
            let in_office = now.saturating_duration_since(office.since);
            let waited = in_office >= self.session;
            let fresh = self.fresh.fetch_and(!waited, Ordering::Relaxed);
            let making = Making::after(waited || fresh, in_office, self.session);
            let draining = self.members.draining();
            let situation = Situation {
                records: &records,
                nodes: &nodes,
                draining: &draining,
                making,
                may_judge: waited,
                policy: *self.policy.get(),
            };
            self.note_outage(waited && is_outage(situation));
            let moves = self.moves(situation);
            let changes = if moves.is_empty() {
                decide(situation)
            } else {
                moves
            };
            if changes.is_empty() {
                return Ok(());
            }
            self.make(changes).await?;
        }
        Ok(())
    }

    /// Makes these changes, each unless someone else was first. Then what took an offer waits for the next
    /// round: the record that was changed instead may name the same one.
    async fn make(&self, changes: Vec<Change>) -> Result<(), CoordinatorError> {
        let mut overtaken = false;
        for change in changes {
            let takes_offer = matches!(change.reason, Reason::Made | Reason::Added);
            if !(overtaken && takes_offer) {
                overtaken |= !self.change(change).await?;
            }
        }
        Ok(())
    }

    /// The next steps towards equally full nodes, if an operator wants that.
    fn moves(&self, situation: Situation<'_>) -> Vec<Change> {
        let next = self.members.is_rebalancing().then(|| rebalance(situation));
        let done = next.as_ref().is_some_and(|next| next.done);
        self.balanced.store(done, Ordering::Relaxed);
        next.map(|next| next.changes).unwrap_or_default()
    }

    /// Says whether the change was made.
    async fn change(&self, change: Change) -> Result<bool, CoordinatorError> {
        let changing = self.coordinator.change(change.expected, &change.record);
        let answer = changing.await.inspect_err(|_| {
            self.unread.store(true, Ordering::Relaxed);
        })?;
        let (shard, revision) = (answer.record.shard, answer.record.revision());
        if answer.changed {
            let (reason, epoch) = (change.reason, answer.record.epoch);
            self.metrics.shard_changed(reason);
            tracing::info!(%shard, ?reason, %epoch, %revision, "shard record changed");
        } else {
            tracing::info!(%shard, %revision, "shard record was changed by someone else");
        }
        self.members.set_record(answer.record);
        Ok(answer.changed)
    }
}

#[cfg(test)]
mod tests;
