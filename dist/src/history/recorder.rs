//! Takes a sample every five seconds; in office, brings it to the catalog.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use wire::Timestamp;

use super::sampler::Sampler;
use crate::catalog::{Catalog, LEVELS, QueryError, Sample};
use crate::members::Members;

/// Samples that wait for a catalog which is away: ten minutes of them.
const WAITING_MAX: usize = 120;

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
    forgot: Option<Instant>,
}

impl Recorder {
    pub(crate) fn new(members: Arc<Members>, catalog: Arc<dyn Catalog>) -> Self {
        Recorder {
            members,
            catalog,
            sampler: Sampler::default(),
            waiting: VecDeque::new(),
            forgot: None,
        }
    }

    /// Samples for ever; `in_office` says whether they are to be written by this distributor.
    pub(crate) async fn run(mut self, in_office: impl Fn() -> bool) {
        loop {
            tokio::time::sleep(until_next(now())).await;
            self.take(now());
            if !in_office() {
                self.waiting.clear();
            } else if let Err(error) = self.bring().await {
                tracing::debug!(%error, waiting = self.waiting.len(), "history is written later");
            }
        }
    }

    fn take(&mut self, now: Timestamp) {
        let views = self.members.nodes(Instant::now()).into_iter();
        let said = views.filter_map(|view| Some((view.name, view.stats?)));
        let sample = self.sampler.sample(now.0 / 1000, said);
        self.waiting.push_back(sample);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
    }

    /// Brings what waits, the oldest first, and has forgotten what is too old.
    async fn bring(&mut self) -> Result<(), QueryError> {
        for _ in 0..BROUGHT_MAX {
            let Some(sample) = self.waiting.front() else {
                break;
            };
            self.catalog.record(sample).await?;
            self.waiting.pop_front();
        }
        if self.forgot.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
            self.forgot = Some(Instant::now());
            self.catalog.forget(now().0 / 1000).await?;
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX))
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

    // If this fails, some steps hold two samples and others none.
    #[test]
    fn samples_fall_into_the_middle_of_steps() {
        let ms = |now| until_next(Timestamp(now)).as_millis();
        assert_eq!((ms(10_000), ms(12_499), ms(12_500)), (2500, 1, 5000));
        assert_eq!(ms(14_000), 3500);
    }
}
