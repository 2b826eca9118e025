//! The task that sends batches, on a thread and a runtime of its own.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::Rng;
use service::current::Current;
use tokio::sync::watch;
use wire::listing::{ListingBatch, ListingOutcomes, ListingPart};
use wire::{NodeName, ShardNo, routes};

use super::batch::Budget;
use super::feed::{Entry, Feed};
use super::filling::Filling;
use super::shard::ShardListing;
use crate::driver::table::ReplicaView;
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
    pub distributors: Current<Vec<String>>,
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
            turn: ShardNo(0),
            terms: 0,
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
    shards: BTreeMap<ShardNo, Led>,
    /// The last shard that had its turn.
    turn: ShardNo,
    /// Counts the listings that were begun.
    terms: u64,
    /// When the catalog is tried again, and how long the pause before that was.
    retry: Option<(Instant, Duration)>,
    stopped: watch::Receiver<bool>,
    metrics: Arc<Metrics>,
}

/// A shard's listing, and which one: a shard can be led again while an old batch is on its way.
struct Led {
    term: u64,
    listing: ShardListing,
}

/// The parts of a batch on its way: each one's shard and term.
type Sent = Vec<(ShardNo, u64)>;

/// The batch on its way, if there is one.
type OnTheWay = FuturesUnordered<BoxFuture<'static, (Sent, Result<ListingOutcomes, CallError>)>>;

impl Task {
    async fn run(mut self) {
        let mut on_the_way = OnTheWay::new();
        let mut last_words = None;
        loop {
            self.absorb();
            // One batch at a time: what is committed meanwhile is the next one. A second on its way would
            // halve both, and a transaction of a few rows costs as much as one of many.
            if on_the_way.is_empty() {
                on_the_way.extend(self.next_batch().map(|parts| self.send(parts)));
            }
            let now = Instant::now();
            if *self.stopped.borrow() {
                let end = *last_words.get_or_insert(now + LAST_WORDS);
                if on_the_way.is_empty() || now >= end {
                    return;
                }
            }
            let waits = !on_the_way.is_empty();
            let wake_at = self.next_deadline(now, waits);
            tokio::select! {
                biased;
                Some((sent, result)) = on_the_way.next() => self.settle(&sent, result),
                () = self.feed.news(), if !waits => {}
                () = tokio::time::sleep_until(wake_at.into()) => {}
            }
            self.expire();
        }
    }

    fn absorb(&mut self) {
        for entry in self.feed.take() {
            match entry {
                Entry::Leads(view) => self.lead(view),
                Entry::Resigned(shard) => {
                    let led = self.shards.remove(&shard);
                    led.into_iter().for_each(|led| led.listing.end());
                }
                Entry::ShowAll(shard) => {
                    let led = self.shards.get_mut(&shard);
                    led.into_iter().for_each(|led| led.listing.show_all());
                }
                Entry::Committed {
                    shard,
                    upto,
                    changes,
                    waiting,
                } => match self.shards.get_mut(&shard) {
                    Some(led) => led.listing.committed(upto, changes, waiting),
                    None => waiting
                        .into_iter()
                        .for_each(|one| one.answer(wire::content::Status::Pending)),
                },
            }
        }
        if self.feed.is_away() {
            self.listings().for_each(ShardListing::hurry);
        }
    }

    fn lead(&mut self, view: Arc<ReplicaView>) {
        self.terms += 1;
        let led = Led {
            term: self.terms,
            listing: ShardListing::new(Arc::clone(&view)),
        };
        let before = self.shards.insert(view.shard, led);
        before.into_iter().for_each(|led| led.listing.end());
    }

    fn listings(&mut self) -> impl Iterator<Item = &mut ShardListing> {
        self.shards.values_mut().map(|led| &mut led.listing)
    }

    fn next_batch(&mut self) -> Option<Vec<ListingPart>> {
        if self.retry.is_some_and(|(at, _)| Instant::now() < at) {
            return None;
        }
        let mut batch = Filling::within(Budget::default());
        for shard in in_turn(&self.shards, self.turn) {
            if batch.is_full() {
                break;
            }
            if let Some(Led { listing, .. }) = self.shards.get_mut(&shard) {
                self.turn = shard;
                batch.fill(shard, listing);
            }
        }
        let mut parts = batch.parts;
        parts.sort_by_key(|part| part.shard);
        (!parts.is_empty()).then_some(parts)
    }

    fn send(
        &self,
        parts: Vec<ListingPart>,
    ) -> BoxFuture<'static, (Sent, Result<ListingOutcomes, CallError>)> {
        let distributors = Arc::clone(&self.distributors);
        let term = |shard| self.shards.get(shard).map_or(0, |led| led.term);
        let sent = parts.iter().map(|part| (part.shard, term(&part.shard)));
        let sent = sent.collect();
        let batch = ListingBatch {
            node: self.node.clone(),
            parts,
        };
        Box::pin(async move {
            let answer = distributors
                .post(|base| format!("{base}{}", routes::CONTENT), &batch)
                .await;
            (sent, answer)
        })
    }

    fn settle(&mut self, sent: &[(ShardNo, u64)], result: Result<ListingOutcomes, CallError>) {
        match result {
            Ok(outcomes) => {
                self.retry = None;
                if self.feed.set_away(false) {
                    tracing::info!("the catalog answers again");
                }
                self.settle_parts(sent, &outcomes);
            }
            Err(error) => {
                for (shard, term) in sent {
                    if let Some(led) = self.led(*shard, *term) {
                        led.lost();
                    }
                }
                self.catalog_away(&error);
            }
        }
    }

    /// The listing that sent a part, if it still lists.
    fn led(&mut self, shard: ShardNo, term: u64) -> Option<&mut ShardListing> {
        let led = self.shards.get_mut(&shard).filter(|led| led.term == term);
        led.map(|led| &mut led.listing)
    }

    fn settle_parts(&mut self, sent: &[(ShardNo, u64)], outcomes: &ListingOutcomes) {
        for (shard, term) in sent {
            let metrics = Arc::clone(&self.metrics);
            let Some(listing) = self.led(*shard, *term) else {
                continue;
            };
            match outcomes
                .parts
                .iter()
                .find(|outcome| outcome.shard == *shard)
            {
                Some(outcome) => listing.settle(outcome, &metrics),
                None => {
                    tracing::error!(%shard, "a distributor's answer left out a part");
                    listing.unanswered();
                }
            }
        }
    }

    fn catalog_away(&mut self, error: &CallError) {
        if !self.feed.set_away(true) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the catalog is away"
            );
        }
        self.listings().for_each(ShardListing::hurry);
        let pause = self
            .retry
            .map_or(RETRY_FIRST, |(_, pause)| (pause * 2).min(RETRY_MAX));
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        self.retry = Some((Instant::now() + jittered, pause));
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.listings().for_each(|listing| listing.expire(now));
    }

    fn next_deadline(&self, now: Instant, waits: bool) -> Instant {
        // While a batch is on its way nothing wakes the task but its answer; those who come meanwhile
        // are looked at often enough for their own deadlines.
        let tick = if waits {
            wire::limits::LISTING_WAIT / 5
        } else {
            TICK
        };
        let expiry = self
            .shards
            .values()
            .filter_map(|led| led.listing.deadline())
            .min();
        let retry = self.retry.map(|(at, _)| at).filter(|at| *at > now);
        [expiry, retry]
            .into_iter()
            .flatten()
            .fold(now + tick, Instant::min)
    }
}

/// All shards, those first that come after the last one that had its turn: a shard of millions that is
/// shown anew fills batch after batch, and holds up no other for longer than one.
fn in_turn<T>(shards: &BTreeMap<ShardNo, T>, turn: ShardNo) -> Vec<ShardNo> {
    let after = (Bound::Excluded(turn), Bound::Unbounded);
    let first = shards.range(after);
    let rest = shards.range(..=turn);
    first.chain(rest).map(|(shard, _)| *shard).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, nothing of other shards is listed for as long as a large one is shown anew.
    #[test]
    fn shards_take_turns() {
        let shards: BTreeMap<ShardNo, ()> = [1, 7, 12].map(|shard| (ShardNo(shard), ())).into();
        let after = |turn| {
            in_turn(&shards, ShardNo(turn))
                .iter()
                .map(|s| s.0)
                .collect()
        };
        let orders: [Vec<u16>; 5] = [0, 1, 7, 9, 12].map(after);
        assert_eq!(
            orders,
            [[1, 7, 12], [7, 12, 1], [12, 1, 7], [12, 1, 7], [1, 7, 12]]
        );
    }
}
