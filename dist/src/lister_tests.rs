//! Merging, order and failure of listings, before a catalog that remembers what it was given.

use super::{ListError, Lister, WAITING_MAX};
use crate::catalog::slow::Slow;
use crate::catalog::{Catalog, QueryError};
use crate::metrics::Metrics;
use futures_util::future::join_all;
use std::sync::Arc;
use wire::listing::{ListedOperation, ListingOutcome, ListingPart, ListingStep};
use wire::{ContentId, Epoch, Lsn, Position, ShardNo};

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
