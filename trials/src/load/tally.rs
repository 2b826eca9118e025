//! What requests came to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts requests; shared by those who make them.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    done: Vec<Done>,
    failures: Vec<String>,
}

/// A request that was answered as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// When it was made.
    pub begun: Instant,
    /// When its answer was there.
    pub ended: Instant,
}

impl Done {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.ended - self.begun
    }
}

impl Tally {
    /// Notes what became of a request that was made at `begun`.
    pub fn note<T, E: std::fmt::Display>(
        &self,
        what: &str,
        begun: Instant,
        outcome: Result<T, E>,
    ) -> Option<T> {
        let ended = Instant::now();
        match outcome {
            Ok(value) => {
                self.counted().done.push(Done { begun, ended });
                Some(value)
            }
            Err(why) => {
                let after = ended - begun;
                let failures = &mut self.counted().failures;
                failures.push(format!("{what} failed after {after:?}: {why}"));
                None
            }
        }
    }

    /// All that were done, in the order of their ends.
    pub fn done(&self) -> Vec<Done> {
        self.counted().done.clone()
    }

    /// What failed, and why.
    pub fn failures(&self) -> Vec<String> {
        self.counted().failures.clone()
    }

    /// The longest time within `from..to` in which nothing was done.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let counted = self.counted();
        let ends = counted.done.iter().map(|done| done.ended);
        let within = ends.filter(|end| (from..to).contains(end));
        let (last, longest) = within.fold((from, Duration::ZERO), |(before, longest), end| {
            (
                end.max(before),
                longest.max(end.saturating_duration_since(before)),
            )
        });
        longest.max(to - last)
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes, on one line.
pub fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, an outage of uploads is reported shorter than users saw it.
    #[tokio::test(start_paused = true)]
    async fn gaps_reach_from_the_first_moment_to_the_last() {
        let tally = Tally::default();
        let from = Instant::now();
        for pause in [300, 100] {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(pause)).await;
            tally.note("upload", begun, Ok::<(), String>(()));
        }
        let to = from + Duration::from_millis(450);
        assert_eq!(tally.longest_gap(from, to), Duration::from_millis(300));
        let to = from + Duration::from_secs(2);
        assert_eq!(tally.longest_gap(from, to), Duration::from_millis(1_600));
        let nothing = tally.note("upload", from, Err::<(), _>("no room"));
        assert_eq!(nothing, None);
        assert!(tally.failures()[0].contains("no room"));
        assert_eq!(tally.done().len(), 2);
    }
}
