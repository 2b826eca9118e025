//! Merges the batches that nodes send: what arrives while a transaction runs is the next one.
//!
//! It owns the queue of batches and the order in which the catalog sees them. It must not know SQL
//! or HTTP.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use wire::ShardNo;
use wire::limits::LISTING_OPERATIONS_MAX;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};

use crate::catalog::{Catalog, QueryError};
use crate::metrics::Metrics;

/// Batches that may wait: one in flight for each node, and room for as many nodes as one
/// distributor can serve.
const WAITING_MAX: usize = 256;

/// Operations of one transaction: enough to make its costs vanish, few enough that nobody waits
/// long for the others.
const OPERATIONS_MAX: usize = 2 * LISTING_OPERATIONS_MAX;

/// Why a batch was not listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// Too many batches wait already.
    #[error("{WAITING_MAX} batches wait to be listed already")]
    Overloaded,
    /// The catalog is away; nothing is known of what it did.
    #[error("{0}")]
    Unavailable(String),
    /// The catalog failed.
    #[error("{0}")]
    Failed(String),
}

struct Batch {
    parts: Vec<ListingPart>,
    arrived: Instant,
    answer: oneshot::Sender<Result<Vec<ListingOutcome>, ListError>>,
}

/// The queue's entrance.
pub(crate) struct Lister {
    queue: mpsc::Sender<Batch>,
    heard: Mutex<BTreeSet<ShardNo>>,
}

impl Lister {
    /// Starts the task that lists; it ends when the lister is dropped.
    pub(crate) fn start(catalog: Arc<dyn Catalog>, metrics: Arc<Metrics>) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(
            Task {
                catalog,
                metrics,
                held: VecDeque::new(),
            }
            .run(waiting),
        );
        Lister {
            queue,
            heard: Mutex::default(),
        }
    }

    /// Lists a node's parts: at most one for each shard. Durable when it returns; if the caller
    /// goes away, the parts are listed all the same.
    pub(crate) async fn list(
        &self,
        parts: Vec<ListingPart>,
    ) -> Result<Vec<ListingOutcome>, ListError> {
        self.remember(&parts);
        let (answer, outcome) = oneshot::channel();
        let batch = Batch {
            parts,
            arrived: Instant::now(),
            answer,
        };
        self.queue
            .try_send(batch)
            .map_err(|_| ListError::Overloaded)?;
        outcome
            .await
            .unwrap_or_else(|_| Err(ListError::Unavailable("the distributor stops".to_owned())))
    }

    /// The shards of which anything was sent since the start.
    pub(crate) fn heard(&self) -> BTreeSet<ShardNo> {
        self.heard
            .lock()
            .expect("no thread panics while it holds the shards")
            .clone()
    }

    fn remember(&self, parts: &[ListingPart]) {
        let mut heard = self
            .heard
            .lock()
            .expect("no thread panics while it holds the shards");
        heard.extend(parts.iter().map(|part| part.shard));
    }
}

struct Task {
    catalog: Arc<dyn Catalog>,
    metrics: Arc<Metrics>,
    /// Batches that could not go into the last transaction: it had a part of one of their shards.
    held: VecDeque<Batch>,
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Batch>) {
        loop {
            let first = match self.held.pop_front() {
                Some(batch) => batch,
                None => match waiting.recv().await {
                    Some(batch) => batch,
                    None => return,
                },
            };
            let merged = self.gather(first, &mut waiting);
            self.list(merged).await;
        }
    }

    /// The first batch, and all that wait and name none of its shards, in order of arrival.
    fn gather(&mut self, first: Batch, waiting: &mut mpsc::Receiver<Batch>) -> Vec<Batch> {
        let mut shards: HashSet<ShardNo> = first.parts.iter().map(|part| part.shard).collect();
        let mut operations = count(&first);
        let mut merged = vec![first];
        let mut earlier = std::mem::take(&mut self.held);
        while operations < OPERATIONS_MAX {
            let Some(batch) = earlier.pop_front().or_else(|| waiting.try_recv().ok()) else {
                break;
            };
            if batch.parts.iter().any(|part| shards.contains(&part.shard)) {
                // Its shards are taken from now on too, or a later batch would overtake it.
                shards.extend(batch.parts.iter().map(|part| part.shard));
                self.held.push_back(batch);
            } else {
                operations += count(&batch);
                shards.extend(batch.parts.iter().map(|part| part.shard));
                merged.push(batch);
            }
        }
        self.held.extend(earlier);
        merged
    }

    async fn list(&self, mut merged: Vec<Batch>) {
        let shards: Vec<Vec<ShardNo>> = merged
            .iter()
            .map(|batch| batch.parts.iter().map(|part| part.shard).collect())
            .collect();
        let mut parts: Vec<ListingPart> = merged
            .iter_mut()
            .flat_map(|batch| std::mem::take(&mut batch.parts))
            .collect();
        parts.sort_by_key(|part| part.shard);
        let started = Instant::now();
        let outcome = self.catalog.list(&parts).await;
        self.observe(&merged, &parts, started, outcome.is_ok());
        match outcome {
            Ok(outcomes) => answer(merged, &shards, outcomes),
            Err(error) => refuse(merged, &error),
        }
    }

    fn observe(&self, merged: &[Batch], parts: &[ListingPart], started: Instant, listed: bool) {
        let operations: usize = parts.iter().map(operations).sum();
        let metrics = &self.metrics;
        metrics.listing_batch_operations.observe(operations as f64);
        metrics.listing_merged_batches.observe(merged.len() as f64);
        metrics
            .listing_transaction_seconds
            .observe(started.elapsed().as_secs_f64());
        for batch in merged {
            metrics
                .listing_wait_seconds
                .observe((started - batch.arrived).as_secs_f64());
        }
        if !listed {
            metrics.listing_failures.inc();
            return;
        }
        metrics.listed_operations.inc_by(operations as u64);
        if let Some(delay) = oldest_delay(parts) {
            metrics.listing_delay_seconds.observe(delay.as_secs_f64());
        }
    }
}

fn count(batch: &Batch) -> usize {
    batch.parts.iter().map(operations).sum()
}

fn operations(part: &ListingPart) -> usize {
    match &part.step {
        ListingStep::Ask | ListingStep::LiveEnd { .. } => 0,
        ListingStep::Follow { operations, .. } => operations.len(),
        ListingStep::Live { rows, .. } => rows.len(),
    }
}

/// How long ago the first change among the parts was stored.
fn oldest_delay(parts: &[ListingPart]) -> Option<Duration> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let first = |part: &ListingPart| match &part.step {
        ListingStep::Follow { operations, .. } => match operations.first()? {
            ListedOperation::Upsert(row) => Some(row.updated_date.0),
            ListedOperation::Delete(_) => None,
        },
        _ => None,
    };
    let oldest = parts.iter().filter_map(first).min()?;
    Some(now.saturating_sub(Duration::from_millis(oldest)))
}

fn answer(merged: Vec<Batch>, shards: &[Vec<ShardNo>], outcomes: Vec<ListingOutcome>) {
    let mut by_shard: BTreeMap<ShardNo, ListingOutcome> = outcomes
        .into_iter()
        .map(|outcome| (outcome.shard, outcome))
        .collect();
    for (batch, shards) in merged.into_iter().zip(shards) {
        let own = shards
            .iter()
            .filter_map(|shard| by_shard.remove(shard))
            .collect();
        // Whoever sent it may be gone; the next answer tells him.
        batch.answer.send(Ok(own)).ok();
    }
}

fn refuse(merged: Vec<Batch>, error: &QueryError) {
    let unavailable = matches!(error, QueryError::Unavailable(_));
    if unavailable {
        tracing::warn!(%error, "nothing is listed");
    } else {
        tracing::error!(%error, alert = "listing", "nothing is listed");
    }
    for batch in merged {
        let error = if unavailable {
            ListError::Unavailable(error.to_string())
        } else {
            ListError::Failed(error.to_string())
        };
        batch.answer.send(Err(error)).ok();
    }
}

#[cfg(test)]
#[path = "lister_tests.rs"]
mod tests;
