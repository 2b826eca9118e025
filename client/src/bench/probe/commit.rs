//! What the catalog takes of an upload that is alone: small contents one after the other, whose
//! answers wait for the commit and for the catalog in turn.

use serde::Serialize;

use crate::bench::mix::{Mix, Operation};
use crate::bench::report::Latency;
use crate::bench::sizes::Sizes;
use crate::bench::{BenchError, Bound, Keep, Load, Wait, run};

/// Enough for a steady median; each takes a sync and a commit.
const UPLOADS: u64 = 200;

/// As little as can be stored without being nothing.
const CONTENT_BYTES: u64 = 64;

/// The time of a single small upload, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CommitTime {
    /// How many of each kind were measured.
    pub uploads: u64,
    /// Until all in-sync mirrors have synced it.
    pub committed_ms: Latency,
    /// Until the catalog has it.
    pub listed_ms: Latency,
    /// The difference of the medians: one round trip to the catalog, with its commit.
    pub catalog_ms: f64,
}

/// Measures a cluster that is otherwise idle. The contents stay; they are named `bench`.
///
/// # Errors
/// When an upload fails.
pub fn commit_time(load: &Load) -> Result<CommitTime, BenchError> {
    let measure = |wait| {
        let alone = Load {
            sizes: Sizes::fixed(CONTENT_BYTES),
            concurrency: 1,
            threads: 1,
            files_per_request: 1,
            bound: Bound::Count(UPLOADS),
            wait,
            ..load.clone()
        };
        let (report, _) = run(&alone, &Mix::only(Operation::Upload), &[], Keep::Nothing)?;
        match report.all.errors.keys().next() {
            Some(word) => Err(BenchError::Upload(word.clone())),
            None if report.all.pending > 0 => Err(BenchError::Upload("pending".to_owned())),
            None => Ok(report.all.latency_ms),
        }
    };
    let (committed_ms, listed_ms) = (measure(Wait::Committed)?, measure(Wait::Listed)?);
    Ok(CommitTime {
        uploads: UPLOADS,
        committed_ms,
        listed_ms,
        catalog_ms: (listed_ms.p50 - committed_ms.p50).max(0.0),
    })
}
