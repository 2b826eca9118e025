//! Merging and failure of lookups, before a catalog that remembers what it was asked.

use super::{IDS_MAX, Lookups, QUERIES_MAX};
use crate::catalog::slow::Slow;
use crate::catalog::{Catalog, Listed, QueryError};
use std::sync::Arc;
use tokio::task::JoinHandle;
use wire::{ContentId, ShardNo};

type Asking = JoinHandle<Result<Option<Listed>, QueryError>>;

fn lookups(catalog: &Arc<Slow>) -> Lookups {
    let catalog: Arc<dyn Catalog> = Arc::<Slow>::clone(catalog);
    Lookups::new(catalog)
}

fn id(number: u64) -> ContentId {
    ContentId::mint(ShardNo(1), 1, number)
}

/// Asks, and lets the question reach the queue.
async fn ask(lookups: &Lookups, number: u64) -> Asking {
    let lookups = lookups.clone();
    let asking = tokio::spawn(async move { lookups.content(id(number)).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    asking
}

async fn found(asking: Asking) -> Option<ContentId> {
    let found = asking.await.expect("no panic").expect("an answer");
    found.map(|listed| listed.row.id)
}

// If this fails, every question costs a query of its own, and a distributor answers half as many.
#[tokio::test]
async fn questions_that_wait_are_one_query() {
    let catalog = Slow::new(0);
    let lookups = lookups(&catalog);
    let mut askings = Vec::new();
    for number in [2, 3, 4, 5, 6, 4] {
        askings.push(ask(&lookups, number).await);
    }
    let mut asked: Vec<Vec<ContentId>> = [2, 3].map(|number| vec![id(number)]).to_vec();
    assert_eq!(catalog.queries(), asked, "as many at once as may be");
    const { assert!(QUERIES_MAX == 2) };

    catalog.permits.add_permits(3);
    let mut answers = Vec::new();
    for asking in askings {
        answers.push(found(asking).await);
    }
    let expected = [Some(2), None, Some(4), None, Some(6), Some(4)];
    assert_eq!(answers, expected.map(|number| number.map(id)));
    asked.push([4, 5, 6, 4].map(id).to_vec());
    assert_eq!(catalog.queries(), asked);
}

// If this fails, a crowd makes queries without a bound, or whoever came first waits longest.
#[tokio::test]
async fn a_crowd_is_asked_for_in_bounded_queries_in_order() {
    let catalog = Slow::new(0);
    let lookups = lookups(&catalog);
    let count = (QUERIES_MAX + IDS_MAX + 1) as u64;
    let mut askings = Vec::new();
    for number in (0..count).rev() {
        askings.push(ask(&lookups, number).await);
    }
    catalog.permits.add_permits(QUERIES_MAX + 2);
    for asking in askings {
        found(asking).await;
    }
    let sizes: Vec<usize> = catalog.queries().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 1, IDS_MAX, 1]);
    assert_eq!(catalog.queries()[3], [id(0)], "who came last");
}

// If this fails, one failure is the last answer that a distributor ever gives, or some wait for ever.
#[tokio::test]
async fn all_hear_of_a_failure_and_the_next_are_asked_for() {
    let catalog = Slow::new(0);
    let lookups = lookups(&catalog);
    let away = || QueryError::Unavailable("away".to_owned());
    *catalog.failure.lock().expect("no panic") = Some(away);
    let mut askings = Vec::new();
    for number in 0..5 {
        askings.push(ask(&lookups, number).await);
    }
    // One query fails, and whoever waits behind it need not wait for another.
    catalog.permits.add_permits(1);
    let last = askings.pop().expect("one of five");
    assert_eq!(last.await.expect("no panic"), Err(away()));
    catalog.permits.add_permits(1);
    for asking in askings {
        assert_eq!(asking.await.expect("no panic"), Err(away()));
    }
    assert_eq!(catalog.queries().len(), 2);
    *catalog.failure.lock().expect("no panic") = None;
    catalog.permits.add_permits(1);
    assert_eq!(found(ask(&lookups, 2).await).await, Some(id(2)));
}

// If this fails, one row that cannot be read hides those that others ask for.
#[tokio::test]
async fn a_query_that_fails_is_asked_for_one_by_one() {
    let catalog = Slow::new(0);
    let lookups = lookups(&catalog);
    let mut askings = Vec::new();
    for number in [2, 4, 6, 8] {
        askings.push(ask(&lookups, number).await);
    }
    catalog.permits.add_permits(1);
    assert_eq!(found(askings.remove(0)).await, Some(id(2)));
    let broken = || QueryError::Failed("a row".to_owned());
    *catalog.failure.lock().expect("no panic") = Some(broken);
    // The second of the first two fails alone, and then the two that waited, together and singly.
    catalog.permits.add_permits(4);
    for asking in askings {
        assert_eq!(asking.await.expect("no panic"), Err(broken()));
    }
    let asked = catalog.queries();
    assert_eq!(asked[2..], [vec![id(6), id(8)], vec![id(6)], vec![id(8)]]);
}

// If this fails, whoever asks at a thread that ends leaves all others without an answer.
#[tokio::test]
async fn a_turn_that_is_cut_short_leaves_room_for_the_next() {
    let catalog = Slow::new(0);
    let lookups = lookups(&catalog);
    let (other, (asked, is_asked)) = (lookups.clone(), tokio::sync::oneshot::channel());
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let doomed = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let askings = [ask(&other, 0).await, ask(&other, 1).await];
            asked.send(()).expect("is awaited");
            ends.await.expect("is told");
            drop(askings);
        });
    });
    is_asked.await.expect("asks");
    // It waits behind both turns, which end with their thread.
    let waiting = ask(&lookups, 2).await;
    end.send(()).expect("waits for it");
    doomed.join().expect("no panic");
    let cut = waiting.await.expect("no panic");
    assert!(matches!(cut, Err(QueryError::Unavailable(_))), "{cut:?}");
    catalog.permits.add_permits(1);
    assert_eq!(found(ask(&lookups, 2).await).await, Some(id(2)));
}
