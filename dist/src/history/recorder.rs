//! Takes a sample every five seconds; in office, brings it to the catalog.
//!
//! Who is not in office keeps the last ones. So whoever comes into office has those that nobody wrote
//! while nobody was.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::Timestamp;

use super::sampler::{Said, Sampler};
use crate::catalog::{Catalog, HistoryQuery, LEVELS, QueryError, Sample};
use crate::members::Members;

/// Samples that wait for a catalog which is away, or for this distributor's office: ten minutes of them.
/// Of a hundred nodes they take two megabytes.
const WAITING_MAX: usize = 120;

/// As long as they may wait, in seconds: what was written of that time is still there in the shortest
/// steps, so that it is known.
const WAITING_S_MAX: u64 = 600;

/// Samples that one round brings to a catalog that is back: listings are waiting, too.
const BROUGHT_MAX: usize = 12;

/// Forgetting in every round would cost more than what is left over for a minute.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What is sampled, and where it goes.
pub(crate) struct Recorder {
    members: Arc<Members>,
    catalog: Arc<dyn Catalog>,
    sampler: Sampler,
    waiting: VecDeque<Sample>,
    /// Whether what others wrote has been left out of what waits, in this time in office.
    is_in_turn: bool,
    /// Whether the last attempt to write failed.
    is_failing: bool,
    forgot: Option<Instant>,
    /// Whether the last attempt to forget failed.
    is_forgetting_failing: bool,
}

impl Recorder {
    pub(crate) fn new(members: Arc<Members>, catalog: Arc<dyn Catalog>) -> Self {
        Recorder {
            members,
            catalog,
            sampler: Sampler::default(),
            waiting: VecDeque::new(),
            is_in_turn: false,
            is_failing: false,
            forgot: None,
            is_forgetting_failing: false,
        }
    }

    /// Samples for ever; `in_office` says whether they are to be written by this distributor.
    pub(crate) async fn run(mut self, in_office: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(until_next(now())).await;
            self.take(now());
            if !in_office() {
                self.is_in_turn = false;
            } else {
                let brought = self.bring_or_repeat().await;
                self.tell(brought);
                self.forget().await;
            }
        }
    }

    /// Says that history is not written, once, and that it is again.
    fn tell(&mut self, brought: Result<(), QueryError>) {
        let was_failing = std::mem::replace(&mut self.is_failing, brought.is_err());
        match brought {
            Ok(()) if was_failing => tracing::info!("history is written again"),
            Ok(()) => {}
            Err(error) => {
                self.is_in_turn = false;
                let waiting = self.waiting.len();
                if was_failing {
                    tracing::debug!(%error, waiting, "history is written later");
                } else {
                    tracing::warn!(%error, waiting, "history is not written: it waits ten minutes at most");
                }
            }
        }
    }

    fn take(&mut self, now: Timestamp) {
        let said = self.members.said(Instant::now(), age_max());
        let said = said.into_iter().map(|(node, stats, age)| {
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            let at = Timestamp(now.0.saturating_sub(age_ms));
            Said { node, at, stats }
        });
        self.waiting.extend(self.sampler.sample(now, said));
        let is_old = |sample: &Sample| sample.at_s + WAITING_S_MAX < now.0 / 1000;
        while self.waiting.len() > WAITING_MAX || self.waiting.front().is_some_and(is_old) {
            self.waiting.pop_front();
        }
    }

    /// Leaves out what waits and was written by who was in office before.
    async fn leave_out_written(&mut self) -> Result<(), QueryError> {
        let Some(oldest) = self.waiting.front() else {
            return Ok(());
        };
        let [shortest, ..] = LEVELS;
        let query = HistoryQuery {
            node: None,
            from_s: step_of(oldest),
            to_s: now().0 / 1000 + 1,
            step_s: shortest.step_s,
            stored_s: shortest.step_s,
        };
        let points = self.catalog.history(&query).await?;
        let written: BTreeSet<u64> = points.iter().map(|point| point.at.0 / 1000).collect();
        self.waiting
            .retain(|sample| !written.contains(&step_of(sample)));
        Ok(())
    }

    /// As [`Recorder::bring`], once more if that fails: while nobody was in office, the connection may
    /// have died.
    async fn bring_or_repeat(&mut self) -> Result<(), QueryError> {
        if self.bring().await.is_ok() {
            return Ok(());
        }
        // It may have been written all the same.
        self.is_in_turn = false;
        self.bring().await
    }

    /// Brings what waits, the oldest first.
    async fn bring(&mut self) -> Result<(), QueryError> {
        if !self.is_in_turn {
            self.leave_out_written().await?;
            self.is_in_turn = true;
        }
        for _ in 0..BROUGHT_MAX {
            let Some(sample) = self.waiting.front() else {
                break;
            };
            self.catalog.record(sample).await?;
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Has forgotten what is too old, in the next round if that fails; says so once.
    async fn forget(&mut self) {
        if self.is_failing || self.forgot.is_some_and(|at| at.elapsed() < FORGET_EVERY) {
            return;
        }
        let forgotten = self.catalog.forget(now().0 / 1000).await;
        let was_failing = std::mem::replace(&mut self.is_forgetting_failing, forgotten.is_err());
        match forgotten {
            Ok(()) => self.forgot = Some(Instant::now()),
            Err(error) if was_failing => tracing::debug!(%error, "old history stays for now"),
            Err(error) => tracing::warn!(%error, "old history is not forgotten, and grows"),
        }
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
}

/// The beginning of the shortest step that a sample falls into, in seconds since 1970.
fn step_of(sample: &Sample) -> u64 {
    let [shortest, ..] = LEVELS;
    sample.at_s / shortest.step_s * shortest.step_s
}

/// An answer that is older is of another step.
fn age_max() -> Duration {
    let [shortest, ..] = LEVELS;
    Duration::from_secs(shortest.step_s)
}

/// Until the middle of the next of the shortest steps: a timer that is a little early or late still
/// puts one sample into each.
fn until_next(now: Timestamp) -> Duration {
    let [shortest, ..] = LEVELS;
    let step_ms = shortest.step_s * 1000;
    let since_middle_ms = (now.0 + step_ms / 2) % step_ms;
    Duration::from_millis(step_ms - since_middle_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::slow::Slow;

    // If this fails, history that cannot be forgotten fills the database, and nobody is told.
    #[tokio::test]
    async fn what_was_not_forgotten_is_tried_again_and_told() {
        let catalog = Slow::new(10);
        let members = Arc::new(Members::new(Duration::from_secs(3)));
        let mut recorder = Recorder::new(members, Arc::<Slow>::clone(&catalog) as _);
        let asked = || 10 - catalog.permits.available_permits();
        let fail = |failure| *catalog.failure.lock().expect("no panic") = failure;
        fail(Some(|| QueryError::Failed("no".to_owned())));
        for round in 1..3 {
            recorder.bring_or_repeat().await.expect("nothing to bring");
            recorder.forget().await;
            assert_eq!((asked(), recorder.is_forgetting_failing), (round, true));
        }
        fail(None);
        recorder.forget().await;
        recorder.forget().await;
        assert_eq!(
            (asked(), recorder.is_forgetting_failing),
            (3, false),
            "once"
        );
    }

    // If this fails, some steps hold two samples and others none.
    #[test]
    fn samples_fall_into_the_middle_of_steps() {
        let ms = |now| until_next(Timestamp(now)).as_millis();
        assert_eq!((ms(10_000), ms(12_499), ms(12_500)), (2500, 1, 5000));
        assert_eq!(ms(14_000), 3500);
    }
}
