//! What a benchmark measured: counts, rates and latencies, for people and as JSON.

mod tally;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Load;
use super::mix::{Mix, Operation};
use super::usage::Usage;

pub(super) use tally::Tally;

/// The width of the longest bar of a histogram.
const BAR_WIDTH: u64 = 40;

/// What a benchmark measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `upload`, `get`, … or `mixed`.
    pub operation: &'static str,
    /// The sizes of contents.
    pub size: String,
    /// Operations under way at once.
    pub concurrency: usize,
    /// Threads of the benchmark.
    pub threads: usize,
    /// Contents in one upload.
    pub files_per_request: usize,
    /// The time that all took.
    pub seconds: f64,
    /// Of all operations.
    #[serde(flatten)]
    pub all: Outcome,
    /// Of each kind, where they are mixed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<&'static str, Outcome>,
    /// What the benchmark itself took of the machine.
    pub load: Usage,
}

/// What came of one kind of operation, or of all.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Requests that succeeded.
    pub operations: u64,
    /// Contents, or rows, in them.
    pub contents: u64,
    /// Requests in a second.
    pub operations_per_s: f64,
    /// Contents in a second.
    pub contents_per_s: f64,
    /// Megabytes (10^6 bytes) of contents in a second.
    pub megabytes_per_s: f64,
    /// Latencies of single requests, of changes until they were listed.
    pub latency_ms: Latency,
    /// Latencies of changes until they were committed, where some asked for that.
    pub committed_ms: Option<Latency>,
    /// How many requests lie in each step of latency.
    pub histogram: Vec<Step>,
    /// Receipts that said OK: durable and listed.
    pub listed: u64,
    /// Receipts that said PENDING although they waited for the catalog.
    pub pending: u64,
    /// Contents that were compared with what was stored.
    pub compared: u64,
    /// Of these, contents that differed.
    pub mismatches: u64,
    /// Failed requests by code.
    pub errors: BTreeMap<String, u64>,
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of all operations are faster.
    pub p50: f64,
    /// 95 % are.
    pub p95: f64,
    /// 99 % are.
    pub p99: f64,
    /// 99.9 % are.
    pub p999: f64,
    /// All are.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// A step of a histogram; it begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Where it ends, in milliseconds.
    pub up_to_ms: f64,
    /// The requests in it.
    pub count: u64,
}

impl Report {
    /// Of a load whose operations were counted in `tallies`.
    pub(super) fn of(
        (load, mix): (&Load, &Mix),
        tallies: BTreeMap<Operation, Tally>,
        took: Duration,
        usage: Usage,
    ) -> Self {
        let mut all = Tally::default();
        for tally in tallies.values() {
            all.merge(tally);
        }
        let parts = tallies.into_iter().filter(|_| mix.alone().is_none());
        Report {
            operation: mix.name(),
            size: load.sizes.to_string(),
            concurrency: load.concurrency,
            threads: load.threads,
            files_per_request: load.files_per_request,
            seconds: took.as_secs_f64(),
            all: all.outcome(took),
            parts: parts
                .map(|(o, tally)| (o.name(), tally.outcome(took)))
                .collect(),
            load: usage,
        }
    }

    /// Failed requests.
    pub fn failures(&self) -> u64 {
        self.all.errors.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, size, concurrency) = (self.operation, &self.size, self.concurrency);
        write!(
            f,
            "{operation} of {size}, {concurrency} at once, {} thread(s)",
            self.threads
        )?;
        if self.files_per_request > 1 {
            write!(f, ", {} files a request", self.files_per_request)?;
        }
        writeln!(f, ", {:.2} s", self.seconds)?;
        write!(f, "{}", self.all)?;
        for (name, outcome) in &self.parts {
            write!(f, "\n{name}\n{outcome}")?;
        }
        histogram(&self.all.histogram, f)?;
        write!(f, "\nthe load    {}", self.load)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operations  {}", self.operations)?;
        if self.contents != self.operations {
            write!(f, " with {} contents", self.contents)?;
        }
        let (rate, megabytes) = (self.operations_per_s, self.megabytes_per_s);
        write!(f, "\nrate        {rate:.0} operations/s, ")?;
        if self.contents != self.operations {
            write!(f, "{:.0} contents/s, ", self.contents_per_s)?;
        }
        write!(f, "{megabytes:.2} MB/s\nlatency     {}", self.latency_ms)?;
        if let Some(committed) = &self.committed_ms {
            write!(f, "\ncommitted   {committed}")?;
        }
        if self.listed + self.pending > 0 {
            let Outcome {
                listed, pending, ..
            } = self;
            write!(f, "\nreceipts    {listed} OK, {pending} PENDING")?;
        }
        let (compared, wrong) = (self.compared, self.mismatches);
        write!(f, "\ncontents    {compared} compared, {wrong} wrong")?;
        write!(f, "\nerrors      {}", self.errors.values().sum::<u64>())?;
        for (word, count) in &self.errors {
            write!(f, "\n  {word}  {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            p50,
            p95,
            p99,
            p999,
            max,
            ..
        } = self;
        write!(
            f,
            "p50 {p50:.2}  p95 {p95:.2}  p99 {p99:.2}  p99.9 {p999:.2}  max {max:.2} ms"
        )
    }
}

fn histogram(steps: &[Step], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let most = steps
        .iter()
        .map(|step| step.count)
        .max()
        .unwrap_or(1)
        .max(1);
    for Step { up_to_ms, count } in steps {
        // Any request at all shows.
        let width = (count * BAR_WIDTH).div_ceil(most);
        let bar = "#".repeat(usize::try_from(width).unwrap_or(0));
        write!(f, "\n  up to {up_to_ms:>9.3} ms {count:>9} {bar}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    fn report(mix: &str) -> Report {
        let load = Load::on(Target::Cluster("http://x".to_owned()));
        let mut tallies: BTreeMap<Operation, Tally> = BTreeMap::new();
        for (operation, count) in [(Operation::Get, 3), (Operation::Upload, 1)] {
            let tally = tallies.entry(operation).or_default();
            for ms in 0..count {
                tally.success(Duration::from_millis(ms + 1), 1, 1000);
            }
        }
        tallies
            .entry(Operation::Upload)
            .or_default()
            .error("no_leader");
        let mix = mix.parse().expect("a mix");
        Report::of(
            (&load, &mix),
            tallies,
            Duration::from_secs(2),
            Usage::default(),
        )
    }

    // If this fails, a mixed load hides that one kind of operation is slow or fails.
    #[test]
    fn parts_are_shown_where_they_are_mixed() {
        let mixed = report("get=3,upload=1");
        assert_eq!((mixed.all.operations, mixed.failures()), (4, 1));
        assert_eq!(mixed.parts["get"].operations, 3);
        assert_eq!(mixed.parts["upload"].errors["no_leader"], 1);
        let text = mixed.to_string();
        assert!(text.contains("\nupload\noperations  1\n"), "{text}");
        assert!(report("get=1").parts.is_empty());
    }

    // If this fails, scripts that read `--json` find no rate, or people no latency.
    #[test]
    fn reports_are_written_for_both() {
        let report = report("get=1");
        let json = serde_json::to_value(&report).expect("JSON");
        assert_eq!(json["operations_per_s"], 2.0);
        assert!(
            json["latency_ms"]["p999"].is_number() && json["histogram"][0]["count"].is_number()
        );
        assert_eq!(json["load"]["is_bottleneck"], false);
        let text = report.to_string();
        assert!(text.contains("2 operations/s, 0.00 MB/s"), "{text}");
        assert!(text.contains("errors      1\n  no_leader  1"), "{text}");
        assert!(text.contains("up to     1.024 ms         2 ####"), "{text}");
    }
}
