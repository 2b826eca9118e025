//! What one thread counts while it works.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use wire::content::Status;

use super::{Latency, Outcome, Step};

/// The longest latency that is told apart, in microseconds: two minutes.
const MICROS_MAX: u64 = 120_000_000;

/// Digits of a latency that count.
const DIGITS: u8 = 3;

/// Latencies, kept in microseconds.
#[derive(Debug)]
struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS)
            .expect("1 µs to two minutes at three digits are bounds that a histogram can have");
        Latencies(histogram)
    }
}

impl Latencies {
    fn record(&mut self, took: Duration) {
        self.0
            .saturating_record(u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX));
    }

    fn merge(&mut self, other: &Latencies) {
        self.0
            .add(&other.0)
            .expect("histograms with the same bounds can be added");
    }

    /// How many there are.
    fn count(&self) -> u64 {
        self.0.len()
    }

    /// Their quantiles.
    fn summary(&self) -> Latency {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        Latency {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(self.0.max()),
            mean: self.0.mean() / 1000.0,
        }
    }

    /// How many lie in each step, each twice as long as the one before.
    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for value in self.0.iter_recorded() {
            let up_to_ms = milliseconds(value.value_iterated_to().max(1).next_power_of_two());
            let count = value.count_since_last_iteration();
            match steps.last_mut() {
                Some(step) if step.up_to_ms >= up_to_ms => step.count += count,
                _ => steps.push(Step { up_to_ms, count }),
            }
        }
        steps
    }
}

/// What one thread counted of one operation.
#[derive(Debug, Default)]
pub(in crate::bench) struct Tally {
    latency: Latencies,
    committed: Option<Latencies>,
    contents: u64,
    bytes: u64,
    listed: u64,
    pending: u64,
    hashed: u64,
    mismatches: u64,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    /// A request that succeeded, and what it carried.
    pub(in crate::bench) fn success(&mut self, took: Duration, contents: u64, bytes: u64) {
        self.contents += contents;
        self.bytes += bytes;
        self.latency.record(took);
    }

    /// A change that was answered as soon as it was committed.
    pub(in crate::bench) fn committed(&mut self, took: Duration, contents: u64, bytes: u64) {
        self.contents += contents;
        self.bytes += bytes;
        self.committed.get_or_insert_default().record(took);
    }

    /// What a receipt said.
    pub(in crate::bench) fn receipt(&mut self, status: Status) {
        match status {
            Status::Ok => self.listed += 1,
            Status::Pending | Status::Unlistable => self.pending += 1,
        }
    }

    /// Whether the next content is the one in so many that is compared: the first is.
    pub(in crate::bench) fn is_sampled(&self, one_in: u64) -> bool {
        self.contents.is_multiple_of(one_in)
    }

    /// Something was compared with what it should be.
    pub(in crate::bench) fn compared(&mut self, equal: bool) {
        self.hashed += 1;
        self.mismatches += u64::from(!equal);
    }

    /// A request that failed.
    pub(in crate::bench) fn error(&mut self, word: &str) {
        match self.errors.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(word.to_owned(), 1);
            }
        }
    }

    /// Adds another one's counts.
    pub(in crate::bench) fn merge(&mut self, other: &Tally) {
        self.latency.merge(&other.latency);
        if let Some(committed) = &other.committed {
            self.committed.get_or_insert_default().merge(committed);
        }
        self.contents += other.contents;
        self.bytes += other.bytes;
        self.listed += other.listed;
        self.pending += other.pending;
        self.hashed += other.hashed;
        self.mismatches += other.mismatches;
        for (word, count) in &other.errors {
            *self.errors.entry(word.clone()).or_insert(0) += count;
        }
    }

    /// All of it, of a load that took `took`.
    pub(in crate::bench) fn outcome(self, took: Duration) -> Outcome {
        let seconds = took.as_secs_f64().max(f64::EPSILON);
        let committed = self.committed.as_ref();
        let operations = self.latency.count() + committed.map_or(0, Latencies::count);
        // All of them were answered when they were committed: there is nothing else to show.
        let shown = match committed {
            Some(committed) if self.latency.count() == 0 => committed,
            _ => &self.latency,
        };
        Outcome {
            operations,
            contents: self.contents,
            operations_per_s: count(operations) / seconds,
            contents_per_s: count(self.contents) / seconds,
            megabytes_per_s: count(self.bytes) / 1e6 / seconds,
            latency_ms: shown.summary(),
            committed_ms: committed.map(Latencies::summary),
            histogram: shown.steps(),
            listed: self.listed,
            pending: self.pending,
            compared: self.hashed,
            mismatches: self.mismatches,
            errors: self.errors,
        }
    }
}

fn milliseconds(micros: u64) -> f64 {
    count(micros) / 1000.0
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts below 2^53, for rates of three digits"
)]
fn count(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, published figures are wrong.
    #[test]
    fn rates_quantiles_and_errors_add_up() {
        let (mut all, mut other) = (Tally::default(), Tally::default());
        for ms in 1..=100 {
            let tally = if ms % 2 == 0 { &mut all } else { &mut other };
            tally.success(Duration::from_millis(ms), 1, 1000);
            tally.receipt(if ms == 7 { Status::Pending } else { Status::Ok });
        }
        other.error("no_leader");
        all.error("no_leader");
        all.compared(true);
        all.compared(false);
        all.merge(&other);
        let outcome = all.outcome(Duration::from_secs(2));
        let counts = (outcome.operations, outcome.listed, outcome.pending);
        assert_eq!(counts, (100, 99, 1));
        assert!((outcome.operations_per_s - 50.0).abs() < 1e-9);
        assert!((outcome.megabytes_per_s - 0.05).abs() < 1e-9);
        let latency = outcome.latency_ms;
        for (found, expected) in [
            (latency.p50, 50.0),
            (latency.p99, 99.0),
            (latency.p999, 100.0),
        ] {
            assert!((found - expected).abs() < 0.1, "{latency:?}");
        }
        assert_eq!(outcome.errors, [("no_leader".to_owned(), 2)].into());
        assert_eq!((outcome.compared, outcome.mismatches), (2, 1));
        let in_steps: u64 = outcome.histogram.iter().map(|step| step.count).sum();
        assert_eq!(in_steps, 100);
    }

    // If this fails, the time until a change is safe is mixed with that until it is listed.
    #[test]
    fn committed_and_listed_are_told_apart() {
        let mut tally = Tally::default();
        tally.success(Duration::from_millis(9), 2, 10);
        let mut other = Tally::default();
        other.committed(Duration::from_millis(3), 2, 10);
        tally.merge(&other);
        let outcome = tally.outcome(Duration::from_secs(1));
        assert_eq!((outcome.operations, outcome.contents), (2, 4));
        let committed = outcome.committed_ms.expect("one was committed");
        assert!((committed.p50 - 3.0).abs() < 0.1 && (outcome.latency_ms.p50 - 9.0).abs() < 0.1);
        let alone = other.outcome(Duration::from_secs(1));
        assert!((alone.latency_ms.p50 - 3.0).abs() < 0.1);
    }

    // If this fails, a histogram hides where most requests lie.
    #[test]
    fn steps_double() {
        let mut latencies = Latencies::default();
        for micros in [100, 120, 129, 200, 5000] {
            latencies.record(Duration::from_micros(micros));
        }
        let steps = latencies.steps();
        let counts: Vec<(f64, u64)> = steps.iter().map(|s| (s.up_to_ms, s.count)).collect();
        assert_eq!(counts, [(0.128, 2), (0.256, 2), (8.192, 1)]);
    }

    // If this fails, one operation that hangs ends the whole benchmark.
    #[test]
    fn absurd_latencies_are_recorded_as_the_longest() {
        let mut tally = Tally::default();
        tally.success(Duration::from_secs(u64::MAX), 1, 0);
        tally.success(Duration::ZERO, 1, 0);
        assert_eq!(tally.outcome(Duration::from_secs(1)).operations, 2);
    }
}
