//! Merging, order and failure of listings, before a catalog that remembers what it was given.

use super::{ListError, Lister, WAITING_MAX};
use crate::catalog::{
    AdoptError, Board, Catalog, Connections, HistoryQuery, Identity, Listed, Order, PageQuery,
    QueryError, Sample, ShardTotals, Sighting,
};
use crate::metrics::Metrics;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;
use uuid::Uuid;
use wire::history::HistoryPoint;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

/// A catalog that takes one transaction for each permit, and keeps the shards and spans of each.
struct Slow {
    permits: Semaphore,
    transactions: Mutex<Vec<Vec<(u16, u64)>>>,
    failure: Mutex<Option<fn() -> QueryError>>,
}

impl Slow {
    fn new(permits: usize) -> Arc<Self> {
        let (transactions, failure) = (Mutex::default(), Mutex::default());
        Arc::new(Slow {
            permits: Semaphore::new(permits),
            transactions,
            failure,
        })
    }

    fn transactions(&self) -> Vec<Vec<(u16, u64)>> {
        self.transactions.lock().expect("no panic").clone()
    }

    async fn take(&self, parts: &[ListingPart]) -> Result<Vec<ListingOutcome>, QueryError> {
        self.permits.acquire().await.expect("open").forget();
        let failure = *self.failure.lock().expect("no panic");
        if let Some(failure) = failure {
            return Err(failure());
        }
        let listed = |part: &ListingPart| match &part.step {
            ListingStep::Follow { upto, .. } => *upto,
            _ => Position::default(),
        };
        let spans = parts
            .iter()
            .map(|part| (part.shard.0, listed(part).lsn.0))
            .collect();
        self.transactions.lock().expect("no panic").push(spans);
        let outcome = |part: &ListingPart| ListingOutcome {
            shard: part.shard,
            applied: true,
            listed: listed(part),
            unlistable: Vec::new(),
        };
        Ok(parts.iter().map(outcome).collect())
    }
}

fn away<T: Send + 'static>() -> BoxFuture<'static, Result<T, QueryError>> {
    async { Err(QueryError::Failed("not asked for here".to_owned())) }.boxed()
}

impl Catalog for Slow {
    fn identify(&self, _: Uuid) -> BoxFuture<'_, Result<Identity, QueryError>> {
        away()
    }

    fn adopt(&self, _: Uuid) -> BoxFuture<'_, Result<(), AdoptError>> {
        async { Ok(()) }.boxed()
    }

    fn list<'a>(
        &'a self,
        parts: &'a [ListingPart],
    ) -> BoxFuture<'a, Result<Vec<ListingOutcome>, QueryError>> {
        self.take(parts).boxed()
    }

    fn content(&self, _: ContentId) -> BoxFuture<'_, Result<Option<Listed>, QueryError>> {
        away()
    }

    fn page<'a>(&'a self, _: &'a PageQuery) -> BoxFuture<'a, Result<Vec<Listed>, QueryError>> {
        away()
    }

    fn totals(&self) -> BoxFuture<'_, Result<Vec<ShardTotals>, QueryError>> {
        away()
    }

    fn exchange<'a>(&'a self, _: &'a [Sighting]) -> BoxFuture<'a, Result<Board, QueryError>> {
        away()
    }

    fn order<'a>(&'a self, _: Order<'a>) -> BoxFuture<'a, Result<(), QueryError>> {
        away()
    }

    fn record<'a>(&'a self, _: &'a Sample) -> BoxFuture<'a, Result<(), QueryError>> {
        away()
    }

    fn forget(&self, _: u64) -> BoxFuture<'_, Result<(), QueryError>> {
        away()
    }

    fn history<'a>(
        &'a self,
        _: &'a HistoryQuery,
    ) -> BoxFuture<'a, Result<Vec<HistoryPoint>, QueryError>> {
        away()
    }

    fn connections(&self) -> Connections {
        Connections::default()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// A part of a shard that ends at `lsn`.
fn part(shard: u16, lsn: u64) -> ListingPart {
    let after = Position::default();
    let upto = Position {
        epoch: Epoch(1),
        lsn: Lsn(lsn),
    };
    let operations = vec![ListedOperation::Delete(ContentId::mint(
        ShardNo(shard),
        1,
        lsn,
    ))];
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Follow {
            after,
            upto,
            operations,
        },
    }
}

fn lister(catalog: &Arc<Slow>) -> Lister {
    let catalog: Arc<dyn Catalog> = Arc::<Slow>::clone(catalog);
    Lister::new(catalog, Arc::new(Metrics::new()))
}

type Listing = tokio::task::JoinHandle<Result<Vec<ListingOutcome>, ListError>>;

/// Sends a batch, and lets it reach the queue.
async fn send(lister: &Lister, parts: Vec<ListingPart>) -> Listing {
    let lister = lister.clone();
    let listing = tokio::spawn(async move { lister.list(parts).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    listing
}

async fn shards_of(listing: Listing) -> Vec<(u16, u64)> {
    let outcomes = listing.await.expect("no panic").expect("listed");
    outcomes
        .iter()
        .map(|outcome| (outcome.shard.0, outcome.listed.lsn.0))
        .collect()
}

// If this fails, every node's batch costs a commit of its own, and listing is ten times slower.
#[tokio::test]
async fn batches_that_wait_are_merged_in_the_order_of_shards() {
    let catalog = Slow::new(0);
    let lister = lister(&catalog);
    let first = send(&lister, vec![part(9, 1)]).await;
    let second = send(&lister, vec![part(4, 2), part(6, 2)]).await;
    let third = send(&lister, vec![part(3, 3), part(5, 3)]).await;
    catalog.permits.add_permits(2);
    assert_eq!(shards_of(first).await, [(9, 1)]);
    assert_eq!(
        shards_of(second).await,
        [(4, 2), (6, 2)],
        "each gets the outcomes of its own"
    );
    assert_eq!(shards_of(third).await, [(3, 3), (5, 3)]);
    let merged = vec![(3, 3), (4, 2), (5, 3), (6, 2)];
    assert_eq!(catalog.transactions(), [vec![(9, 1)], merged]);
}

// If this fails, two parts of one shard meet in one transaction, or overtake each other.
#[tokio::test]
async fn parts_of_one_shard_keep_their_order() {
    let catalog = Slow::new(0);
    let lister = lister(&catalog);
    let mut listings = vec![send(&lister, vec![part(1, 1)]).await];
    for batch in [
        vec![part(2, 2)],
        vec![part(2, 3), part(3, 3)],
        vec![part(3, 4)],
        vec![part(4, 5)],
        vec![part(2, 6)],
    ] {
        listings.push(send(&lister, batch).await);
    }
    catalog.permits.add_permits(10);
    for listing in join_all(listings).await {
        listing.expect("no panic").expect("listed");
    }
    let expected = [
        vec![(1, 1)],
        // The batch of shards 2 and 3 waits, and so does what came later for shard 3.
        vec![(2, 2), (4, 5)],
        vec![(2, 3), (3, 3)],
        vec![(3, 4), (2, 6)].into_iter().rev().collect(),
    ];
    assert_eq!(catalog.transactions(), expected);
}

// If this fails, a catalog that is slow makes the distributor's memory grow without end.
#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let catalog = Slow::new(0);
    let lister = lister(&catalog);
    let mut waiting = Vec::new();
    let mut refused = 0;
    for shard in 0..u16::try_from(WAITING_MAX).expect("small") + 10 {
        let listing = send(&lister, vec![part(shard, 1)]).await;
        if listing.is_finished() {
            assert!(matches!(
                listing.await.expect("no panic"),
                Err(ListError::Overloaded)
            ));
            refused += 1;
        } else {
            waiting.push(listing);
        }
    }
    // One more than the queue holds: the first is being listed.
    assert_eq!((waiting.len(), refused), (WAITING_MAX + 1, 9));
    catalog.permits.add_permits(WAITING_MAX);
    for listing in join_all(waiting).await {
        listing.expect("no panic").expect("listed");
    }
    assert_eq!(
        catalog.transactions().len(),
        2,
        "all that waited went together"
    );
}

// If this fails, nodes wait for an answer that never comes, or one failure ends all listing.
#[tokio::test]
async fn a_failure_is_told_to_all_and_the_next_listing_works() {
    let catalog = Slow::new(2);
    let lister = lister(&catalog);
    let fail = |with: Option<fn() -> QueryError>| *catalog.failure.lock().expect("no panic") = with;
    fail(Some(|| QueryError::Unavailable("gone".to_owned())));
    let outcome = lister.list(vec![part(1, 1)]).await;
    assert!(
        matches!(outcome, Err(ListError::Unavailable(_))),
        "{outcome:?}"
    );
    fail(Some(|| QueryError::Failed("odd".to_owned())));
    let outcome = lister.list(vec![part(1, 1)]).await;
    assert!(matches!(outcome, Err(ListError::Failed(_))), "{outcome:?}");
    fail(None);
    catalog.permits.add_permits(1);
    assert_eq!(
        lister.list(vec![part(1, 1)]).await.expect("listed").len(),
        1
    );
}

// If this fails, one panic ends all listing, and every upload is PENDING until a restart.
#[tokio::test]
async fn a_turn_that_is_cut_short_is_told_to_all_and_the_next_listing_works() {
    let catalog = Slow::new(0);
    let lister = lister(&catalog);
    *catalog.failure.lock().expect("no panic") = Some(|| panic!("the catalog panics"));
    let first = send(&lister, vec![part(1, 1)]).await;
    let behind = send(&lister, vec![part(1, 2)]).await;
    catalog.permits.add_permits(1);
    for listing in [first, behind] {
        let outcome = listing.await.expect("its own task goes on");
        assert!(
            matches!(outcome, Err(ListError::Unavailable(_))),
            "{outcome:?}"
        );
    }
    *catalog.failure.lock().expect("no panic") = None;
    catalog.permits.add_permits(1);
    let listed = lister.list(vec![part(1, 1)]).await.expect("listed");
    assert_eq!(listed.len(), 1);
}

// If this fails, an upload whose node lost its connection is never listed by that batch.
#[tokio::test]
async fn a_batch_is_listed_although_its_sender_is_gone() {
    let catalog = Slow::new(0);
    let lister = lister(&catalog);
    let gone = send(&lister, vec![part(1, 1)]).await;
    gone.abort();
    let next = send(&lister, vec![part(2, 1)]).await;
    catalog.permits.add_permits(2);
    shards_of(next).await;
    assert_eq!(catalog.transactions(), [vec![(1, 1)], vec![(2, 1)]]);
}
