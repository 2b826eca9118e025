//! Merges the batches that nodes send: what arrives while a transaction runs is the next one.
//!
//! It owns the queue of batches and the order in which the catalog sees them. It must not know SQL
//! or HTTP.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use wire::ShardNo;
use wire::limits::LISTING_OPERATIONS_MAX;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};

use crate::catalog::{Catalog, QueryError};
use crate::metrics::Metrics;

/// Batches that may wait: two on their way from each node, and room for as many nodes as one
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

/// The queue and its entrance. Clones share it.
#[derive(Clone)]
pub(crate) struct Lister(Arc<Inner>);

struct Inner {
    catalog: Arc<dyn Catalog>,
    metrics: Arc<Metrics>,
    queue: Mutex<Queue>,
    heard: Mutex<BTreeSet<ShardNo>>,
}

#[derive(Default)]
struct Queue {
    /// In order of arrival.
    waiting: VecDeque<Batch>,
    /// Whether a turn runs, which lists whatever waits.
    is_served: bool,
}

impl Lister {
    pub(crate) fn new(catalog: Arc<dyn Catalog>, metrics: Arc<Metrics>) -> Self {
        Lister(Arc::new(Inner {
            catalog,
            metrics,
            queue: Mutex::default(),
            heard: Mutex::default(),
        }))
    }

    /// Lists a node's parts: at most one for each shard. Durable when it returns; if the caller
    /// goes away, the parts are listed all the same.
    pub(crate) async fn list(
        &self,
        parts: Vec<ListingPart>,
    ) -> Result<Vec<ListingOutcome>, ListError> {
        lock(&self.0.heard).extend(parts.iter().map(|part| part.shard));
        let (answer, outcome) = oneshot::channel();
        self.enter(Batch {
            parts,
            arrived: Instant::now(),
            answer,
        })?;
        outcome.await.unwrap_or_else(|_| {
            Err(ListError::Unavailable(
                "the listing was cut short".to_owned(),
            ))
        })
    }

    /// The turn runs on the thread of whoever finds the queue unserved: one thread less has to be
    /// woken for each transaction.
    fn enter(&self, batch: Batch) -> Result<(), ListError> {
        let mut queue = lock(&self.0.queue);
        if queue.waiting.len() >= WAITING_MAX {
            return Err(ListError::Overloaded);
        }
        queue.waiting.push_back(batch);
        if !std::mem::replace(&mut queue.is_served, true) {
            let turn = Turn {
                lister: Arc::clone(&self.0),
                is_over: false,
            };
            tokio::spawn(turn.run());
        }
        Ok(())
    }

    /// The shards of which anything was sent since the start, or since that was forgotten.
    pub(crate) fn heard(&self) -> BTreeSet<ShardNo> {
        lock(&self.0.heard).clone()
    }

    /// What was sent before now does not count any more.
    pub(crate) fn forget_heard(&self) {
        lock(&self.0.heard).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics while it holds this")
}

impl Queue {
    /// The first batch, and all that wait and name none of its shards, in order of arrival.
    fn gather(&mut self) -> Vec<Batch> {
        let mut shards: HashSet<ShardNo> = HashSet::new();
        let mut operations = 0;
        let mut merged = Vec::new();
        let mut later = VecDeque::new();
        while operations < OPERATIONS_MAX
            && let Some(batch) = self.waiting.pop_front()
        {
            let is_free = |part: &ListingPart| !shards.contains(&part.shard);
            let goes = batch.parts.iter().all(is_free);
            // The shards of one that waits are taken too, or a later batch would overtake it.
            shards.extend(batch.parts.iter().map(|part| part.shard));
            if goes {
                operations += count(&batch);
                merged.push(batch);
            } else {
                later.push_back(batch);
            }
        }
        later.append(&mut self.waiting);
        self.waiting = later;
        merged
    }
}

/// The one who lists, until nothing waits.
struct Turn {
    lister: Arc<Inner>,
    is_over: bool,
}

impl Turn {
    async fn run(mut self) {
        loop {
            // What has arrived while the last transaction ran is read first, and goes together.
            tokio::task::yield_now().await;
            let Some(merged) = self.next() else { return };
            self.lister.list(merged).await;
        }
    }

    fn next(&mut self) -> Option<Vec<Batch>> {
        let mut queue = lock(&self.lister.queue);
        let merged = queue.gather();
        if merged.is_empty() {
            queue.is_served = false;
            self.is_over = true;
            return None;
        }
        Some(merged)
    }
}

/// Cut short, by a panic or the end of its thread: the next one who comes finds nobody served.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut queue = lock(&self.lister.queue);
        queue.is_served = false;
        // Whoever waits is told so, as the answers go with the batches.
        queue.waiting.clear();
    }
}

impl Inner {
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
            Ok(outcomes) => {
                self.count_unlistable(&outcomes);
                answer(merged, &shards, outcomes);
            }
            Err(error) => refuse(merged, &error),
        }
    }

    /// What is sent again was counted when it was applied.
    fn count_unlistable(&self, outcomes: &[ListingOutcome]) {
        let applied = outcomes.iter().filter(|outcome| outcome.applied);
        let refused: usize = applied.map(|outcome| outcome.unlistable.len()).sum();
        self.metrics.unlistable_rows.inc_by(refused as u64);
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
    let unavailable = matches!(error, QueryError::Unavailable(_) | QueryError::Ended(_));
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
