//! What a benchmark measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use wire::content::Status;

use super::Load;

/// The longest latency that is told apart, in microseconds: two minutes.
const MICROS_MAX: u64 = 120_000_000;

/// Digits of a latency that count.
const DIGITS: u8 = 3;

/// What one worker counted.
#[derive(Debug)]
pub(super) struct Tally {
    latency: Histogram<u64>,
    operations: u64,
    bytes: u64,
    listed: u64,
    pending: u64,
    hashed: u64,
    mismatches: u64,
    errors: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, MICROS_MAX, DIGITS)
            .expect("1 µs to two minutes at three digits are bounds that a histogram can have");
        let (operations, bytes, listed, pending, hashed, mismatches) = (0, 0, 0, 0, 0, 0);
        let errors = BTreeMap::new();
        Tally {
            latency,
            operations,
            bytes,
            listed,
            pending,
            hashed,
            mismatches,
            errors,
        }
    }
}

impl Tally {
    /// An operation that succeeded.
    pub(super) fn success(&mut self, took: Duration, bytes: u64) {
        self.operations += 1;
        self.bytes += bytes;
        self.latency
            .saturating_record(u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX));
    }

    /// What a receipt said.
    pub(super) fn receipt(&mut self, status: Status) {
        match status {
            Status::Ok => self.listed += 1,
            Status::Pending | Status::Unlistable => self.pending += 1,
        }
    }

    /// Whether the next operation is the one in so many that has its hash compared: the first is.
    pub(super) fn is_sampled(&self, one_in: u64) -> bool {
        self.operations.is_multiple_of(one_in)
    }

    /// A hash was compared.
    pub(super) fn hashed(&mut self, equal: bool) {
        self.hashed += 1;
        self.mismatches += u64::from(!equal);
    }

    /// An operation that failed.
    pub(super) fn error(&mut self, word: &str) {
        match self.errors.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                self.errors.insert(word.to_owned(), 1);
            }
        }
    }

    /// Adds another worker's counts.
    pub(super) fn merge(&mut self, other: &Tally) {
        self.latency
            .add(&other.latency)
            .expect("histograms with the same bounds can be added");
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.listed += other.listed;
        self.pending += other.pending;
        self.hashed += other.hashed;
        self.mismatches += other.mismatches;
        for (word, count) in &other.errors {
            *self.errors.entry(word.clone()).or_insert(0) += count;
        }
    }

    /// The report of a benchmark that took `took` in all.
    pub(super) fn report(self, operation: &'static str, load: &Load, took: Duration) -> Report {
        let seconds = took.as_secs_f64().max(f64::EPSILON);
        let at = |quantile| milliseconds(self.latency.value_at_quantile(quantile));
        Report {
            operation,
            size: load.size,
            concurrency: load.concurrency,
            threads: load.threads,
            operations: self.operations,
            seconds,
            operations_per_s: count(self.operations) / seconds,
            megabytes_per_s: count(self.bytes) / 1e6 / seconds,
            latency_ms: Latency {
                p50: at(0.5),
                p95: at(0.95),
                p99: at(0.99),
                max: milliseconds(self.latency.max()),
                mean: self.latency.mean() / 1000.0,
            },
            listed: self.listed,
            pending: self.pending,
            hashed: self.hashed,
            mismatches: self.mismatches,
            errors: self.errors,
        }
    }
}

/// What a benchmark measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `upload` or `get`.
    pub operation: &'static str,
    /// The size of a content, in bytes.
    pub size: u64,
    /// Operations under way at once.
    pub concurrency: usize,
    /// Threads of the benchmark.
    pub threads: usize,
    /// Operations that succeeded.
    pub operations: u64,
    /// The time that all took.
    pub seconds: f64,
    /// Operations in a second.
    pub operations_per_s: f64,
    /// Megabytes (10^6 bytes) of contents in a second.
    pub megabytes_per_s: f64,
    /// Latencies of single operations, in milliseconds.
    pub latency_ms: Latency,
    /// Receipts that said OK: durable and listed.
    pub listed: u64,
    /// Receipts that said PENDING: durable, not listed yet.
    pub pending: u64,
    /// Operations whose hash was compared.
    pub hashed: u64,
    /// Of these, operations whose hash differed.
    pub mismatches: u64,
    /// Failed operations by code.
    pub errors: BTreeMap<String, u64>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of all operations are faster.
    pub p50: f64,
    /// 95 % are.
    pub p95: f64,
    /// 99 % are.
    pub p99: f64,
    /// All are.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            operation,
            size,
            concurrency,
            threads,
            ..
        } = self;
        writeln!(
            f,
            "{operation} of {size} bytes, {concurrency} at once, {threads} thread(s)"
        )?;
        writeln!(
            f,
            "operations  {} in {:.2} s",
            self.operations, self.seconds
        )?;
        writeln!(
            f,
            "rate        {:.0} operations/s, {:.2} MB/s",
            self.operations_per_s, self.megabytes_per_s
        )?;
        let Latency {
            p50, p95, p99, max, ..
        } = self.latency_ms;
        writeln!(
            f,
            "latency     p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  max {max:.2} ms"
        )?;
        if self.listed + self.pending > 0 {
            writeln!(
                f,
                "receipts    {} OK, {} PENDING",
                self.listed, self.pending
            )?;
        }
        writeln!(
            f,
            "hashes      {} compared, {} wrong",
            self.hashed, self.mismatches
        )?;
        write!(f, "errors      {}", self.errors.values().sum::<u64>())?;
        for (word, count) in &self.errors {
            write!(f, "\n  {word}  {count}")?;
        }
        Ok(())
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
    use crate::bench::Bound;

    fn load() -> Load {
        Load {
            endpoint: String::new(),
            access_key: None,
            size: 1000,
            concurrency: 16,
            threads: 1,
            bound: Bound::Count(1),
        }
    }

    // If this fails, published figures are wrong.
    #[test]
    fn rates_quantiles_and_errors_add_up() {
        let (mut all, mut other) = (Tally::default(), Tally::default());
        for ms in 1..=100 {
            let tally = if ms % 2 == 0 { &mut all } else { &mut other };
            tally.success(Duration::from_millis(ms), 1000);
            tally.receipt(if ms == 7 { Status::Pending } else { Status::Ok });
        }
        other.error("no_leader");
        all.error("no_leader");
        all.hashed(true);
        all.hashed(false);
        all.merge(&other);
        let report = all.report("upload", &load(), Duration::from_secs(2));
        assert_eq!(
            (report.operations, report.listed, report.pending),
            (100, 99, 1)
        );
        assert!((report.operations_per_s - 50.0).abs() < 1e-9);
        assert!((report.megabytes_per_s - 0.05).abs() < 1e-9);
        assert!(
            (report.latency_ms.p50 - 50.0).abs() < 0.1,
            "{:?}",
            report.latency_ms
        );
        assert!(
            (report.latency_ms.p99 - 99.0).abs() < 0.1,
            "{:?}",
            report.latency_ms
        );
        assert_eq!(report.errors, [("no_leader".to_owned(), 2)].into());
        assert_eq!((report.hashed, report.mismatches), (2, 1));
        let text = report.to_string();
        assert!(text.contains("50 operations/s, 0.05 MB/s"), "{text}");
        assert!(text.ends_with("errors      2\n  no_leader  2"), "{text}");
    }

    // If this fails, one operation that hangs ends the whole benchmark.
    #[test]
    fn absurd_latencies_are_recorded_as_the_longest() {
        let mut tally = Tally::default();
        tally.success(Duration::from_secs(u64::MAX), 0);
        tally.success(Duration::ZERO, 0);
        assert_eq!(tally.operations, 2);
    }
}
