//! The task that sends batches, on a thread and a runtime of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::watch;
use wire::listing::{ListingBatch, ListingOutcomes, ListingPart};
use wire::{NodeName, ShardNo, routes};

use super::batch::Budget;
use super::feed::{Entry, Feed};
use super::shard::ShardListing;
use crate::membership::distributors::{CallError, Distributors};
use crate::metrics::Metrics;

/// How long a distributor may take over a batch before another one is asked.
const DEADLINE: Duration = Duration::from_secs(10);

/// Between the first tries at a catalog that is away.
const RETRY_FIRST: Duration = Duration::from_millis(100);

/// Between later tries; a catalog that is back is found within a second.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How often the task looks around when nothing wakes it.
const TICK: Duration = Duration::from_millis(500);

/// How long a node that stops waits for its last changes to be listed. Whatever is not, is listed
/// after the next start.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The running task.
pub struct Lister {
    stop: watch::Sender<bool>,
    feed: Arc<Feed>,
    thread: JoinHandle<()>,
}

/// What the lister is built from.
pub struct Parts {
    /// The node, as batches name it.
    pub node: NodeName,
    /// Where committed changes come from.
    pub feed: Arc<Feed>,
    /// Base URIs of the distributors.
    pub distributors: Vec<String>,
    /// The key between services.
    pub cluster_key: Option<String>,
    /// Where it measures itself.
    pub metrics: Arc<Metrics>,
}

/// Why the lister could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartListerError {
    /// No client for the distributors.
    #[error(transparent)]
    Distributors(#[from] crate::membership::distributors::NewError),
    /// No thread or runtime.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

impl Lister {
    /// Starts listing what the feed brings.
    ///
    /// # Errors
    /// When a thread or its client cannot be had.
    pub fn start(parts: Parts) -> Result<Lister, StartListerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let distributors =
            Distributors::new(parts.distributors, parts.cluster_key.as_deref(), DEADLINE)?;
        let (stop, stopped) = watch::channel(false);
        let feed = Arc::clone(&parts.feed);
        let task = Task {
            node: parts.node,
            feed: parts.feed,
            distributors: Arc::new(distributors),
            shards: BTreeMap::new(),
            retry: None,
            stopped,
            metrics: parts.metrics,
        };
        let thread = std::thread::Builder::new()
            .name("node-lister".to_owned())
            .spawn(move || runtime.block_on(task.run()))?;
        Ok(Lister { stop, feed, thread })
    }

    /// Lists what is left, for a second at most, and ends. Blocks until then.
    pub fn stop(self) {
        self.stop.send_replace(true);
        self.feed.nudge();
        if self.thread.join().is_err() {
            tracing::error!("the lister panicked");
        }
    }
}

struct Task {
    node: NodeName,
    feed: Arc<Feed>,
    distributors: Arc<Distributors>,
    shards: BTreeMap<ShardNo, ShardListing>,
    /// When the catalog is tried again, and how long the pause before that was.
    retry: Option<(Instant, Duration)>,
    stopped: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
}

type InFlight = Pin<Box<dyn Future<Output = Result<ListingOutcomes, CallError>>>>;

impl Task {
    async fn run(mut self) {
        let mut in_flight: Option<InFlight> = None;
        let mut last_words = None;
        loop {
            self.absorb();
            if in_flight.is_none() {
                in_flight = self.next_batch().map(|parts| self.send(parts));
            }
            let now = Instant::now();
            if *self.stopped.borrow() {
                let end = *last_words.get_or_insert(now + LAST_WORDS);
                if in_flight.is_none() || now >= end {
                    return;
                }
            }
            let wake_at = self.next_deadline(now, in_flight.is_some());
            tokio::select! {
                biased;
                result = answer(&mut in_flight) => {
                    in_flight = None;
                    self.settle(result);
                }
                () = self.feed.news(), if in_flight.is_none() => {}
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            self.expire();
        }
    }

    fn absorb(&mut self) {
        for entry in self.feed.take() {
            match entry {
                Entry::Leads(view) => {
                    let before = self.shards.insert(view.shard, ShardListing::new(view));
                    before.into_iter().for_each(ShardListing::end);
                }
                Entry::Resigned(shard) => {
                    self.shards
                        .remove(&shard)
                        .into_iter()
                        .for_each(ShardListing::end);
                }
                Entry::Committed {
                    shard,
                    upto,
                    changes,
                    waiting,
                } => match self.shards.get_mut(&shard) {
                    Some(listing) => listing.committed(upto, changes, waiting),
                    None => waiting
                        .into_iter()
                        .for_each(|one| one.answer(wire::content::Status::Pending)),
                },
            }
        }
        if self.feed.is_away() {
            self.shards.values_mut().for_each(ShardListing::hurry);
        }
        let unlisted = self.shards.values().map(ShardListing::unlisted).sum();
        self.metrics.unlisted.set(unlisted);
    }

    fn next_batch(&mut self) -> Option<Vec<ListingPart>> {
        if self.retry.is_some_and(|(at, _)| Instant::now() < at) {
            return None;
        }
        let mut budget = Budget::default();
        let mut parts = Vec::new();
        for (shard, listing) in &mut self.shards {
            if budget.is_spent() {
                break;
            }
            match listing.next_part(&mut budget) {
                Ok(part) => parts.extend(part),
                Err(error) => {
                    tracing::error!(%shard, %error, "the log cannot be read for listing");
                    listing.unreadable();
                }
            }
        }
        (!parts.is_empty()).then_some(parts)
    }

    fn send(&self, parts: Vec<ListingPart>) -> InFlight {
        let distributors = Arc::clone(&self.distributors);
        let batch = ListingBatch {
            node: self.node.clone(),
            parts,
        };
        Box::pin(async move {
            distributors
                .post(|base| format!("{base}{}", routes::CONTENT), &batch)
                .await
        })
    }

    fn settle(&mut self, result: Result<ListingOutcomes, CallError>) {
        match result {
            Ok(outcomes) => {
                self.retry = None;
                if self.feed.set_away(false) {
                    tracing::info!("the catalog answers again");
                }
                for outcome in &outcomes.parts {
                    if let Some(listing) = self.shards.get_mut(&outcome.shard) {
                        listing.settle(outcome, &self.metrics);
                    }
                }
            }
            Err(error) => self.catalog_away(&error),
        }
    }

    fn catalog_away(&mut self, error: &CallError) {
        if !self.feed.set_away(true) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the catalog is away"
            );
        }
        for listing in self.shards.values_mut() {
            listing.lost();
            listing.hurry();
        }
        let pause = self
            .retry
            .map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_MAX));
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        self.retry = Some((Instant::now() + jittered, pause));
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.shards
            .values_mut()
            .for_each(|listing| listing.expire(now));
    }

    fn next_deadline(&self, now: Instant, in_flight: bool) -> Instant {
        // While a batch is under way nothing wakes the task but its answer; those who come
        // meanwhile are looked at often enough for their own deadlines.
        let tick = if in_flight {
            wire::limits::LISTING_WAIT / 5
        } else {
            TICK
        };
        let expiry = self
            .shards
            .values()
            .filter_map(ShardListing::deadline)
            .min();
        let retry = self.retry.map(|(at, _)| at).filter(|at| *at > now);
        [expiry, retry]
            .into_iter()
            .flatten()
            .fold(now + tick, Instant::min)
    }
}

/// Completes with the answer of the batch under way; never, if there is none.
async fn answer(in_flight: &mut Option<InFlight>) -> Result<ListingOutcomes, CallError> {
    match in_flight {
        Some(batch) => batch.await,
        None => std::future::pending().await,
    }
}
