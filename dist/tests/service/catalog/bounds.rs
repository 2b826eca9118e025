//! Nothing that the catalog does keeps others waiting for as long as there are rows.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{Fresh, at, row, upserts};
use dist::catalog::{Catalog, NameFilter, PageOrder, PageQuery, ShardTotals};
use uuid::Uuid;
use wire::content::ContentRow;
use wire::listing::{ListingPart, ListingStep};
use wire::{ContentId, Position, ShardNo};

crate::on_both_databases!(
    others_go_on_while_a_long_walk_ends,
    names_that_begin_alike_are_paged_in_the_order_of_ids,
);

/// More than one transaction at the end of a walk looks at, three times over.
const ROWS: u64 = 32_000;

async fn fill(catalog: &Arc<dyn Catalog>, rows: impl Iterator<Item = ContentRow>) {
    let rows: Vec<ContentRow> = rows.collect();
    let mut position = Position::default();
    for some in rows.chunks(8_000) {
        let upto = at(1, position.lsn.0 + some.len() as u64);
        let part = upserts(1, position, upto, some.iter().cloned());
        let outcomes = catalog.list(&[part]).await.expect("listed");
        assert!(outcomes[0].applied);
        position = upto;
    }
}

async fn totals(catalog: &Arc<dyn Catalog>) -> ShardTotals {
    catalog.totals().await.expect("totals")[0]
}

// If this fails, after a catalog was restored from a backup nobody keeps the office, or lists anything, while
// a large shard is compared; or that is begun anew for ever, as it takes longer than anybody waits.
async fn others_go_on_while_a_long_walk_ends(fresh: Fresh) {
    let database = fresh.open().await;
    let catalog = database.catalog;
    fill(&catalog, (1..=ROWS).map(|number| row(1, number))).await;
    let (before, end) = (at(1, ROWS), at(2, ROWS + 9));
    let show = ListingStep::Live {
        after: before,
        at: end,
        first: true,
        rows: vec![row(1, 5), row(1, ROWS - 5)],
    };
    let part = |step| {
        let shard = ShardNo(1);
        [ListingPart { shard, step }]
    };
    let shown = catalog.list(&part(show)).await.expect("shown");
    assert!(shown[0].applied);
    let end_part = part(ListingStep::LiveEnd {
        after: before,
        at: end,
        rows: 2,
    });
    let (parts, ending) = (end_part.clone(), Arc::clone(&catalog));
    let ending = tokio::spawn(async move { ending.list(&parts).await });
    let under_way = loop {
        let now = totals(&catalog).await;
        if now.contents < ROWS || ending.is_finished() {
            break now;
        }
    };
    assert!(under_way.contents > 2, "it was one transaction");
    assert_eq!(under_way.listed, before);
    let term = database
        .coordinator
        .campaign(Uuid::from_u128(1), Duration::from_secs(5));
    term.await.expect("an answer").expect("the office");
    // Whoever sent it gives up, and sends it again.
    ending.abort();
    ending.await.ok();
    let left = totals(&catalog).await;
    let outcomes = catalog.list(&end_part).await.expect("ended");
    assert_eq!(outcomes[0].listed, end, "{left:?}");
    let now = totals(&catalog).await;
    let bytes = row(1, 5).size + row(1, ROWS - 5).size;
    assert_eq!((now.contents, now.bytes), (2, bytes));
    // The next walk does not count what this one showed.
    let shown = part(ListingStep::Live {
        after: end,
        at: at(3, 1),
        first: true,
        rows: vec![row(1, 5)],
    });
    assert!(catalog.list(&shown).await.expect("shown")[0].applied);
    let ended = part(ListingStep::LiveEnd {
        after: end,
        at: at(3, 1),
        rows: 1,
    });
    assert!(catalog.list(&ended).await.expect("ended")[0].applied);
    assert_eq!(totals(&catalog).await.contents, 1);
}

async fn ids(catalog: &Arc<dyn Catalog>, query: &PageQuery) -> Vec<ContentId> {
    let page = catalog.page(query).await.expect("a page");
    page.iter().map(|listed| listed.row.id).collect()
}

// If this fails, a search for names that begin alike reads everything, and stops the cluster meanwhile; or
// it shows the wrong ones.
async fn names_that_begin_alike_are_paged_in_the_order_of_ids(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let rows = (1..=ROWS).map(|number| {
        let mut row = row(1, number);
        let kind = match number % 4 {
            0 => "other",
            _ if number % 4_000 == 1 => "few",
            _ => "many",
        };
        row.filename = format!("{kind}{}", (number * 7_919) % ROWS);
        row.collection = (number % 2 == 0).then(|| "even".to_owned());
        row
    });
    let rows: Vec<ContentRow> = rows.collect();
    fill(&catalog, rows.iter().cloned()).await;
    for prefix in ["many", "few", "none"] {
        for (order, collection) in [
            (PageOrder::Oldest, None),
            (PageOrder::Newest, None),
            (PageOrder::Oldest, Some("even")),
        ] {
            let mut query = PageQuery {
                order,
                limit: 100,
                filename: Some(NameFilter::Prefix(prefix.to_owned())),
                collection: collection.map(str::to_owned),
                ..PageQuery::default()
            };
            let fits = |row: &&ContentRow| {
                let is_of = collection.is_none_or(|_| row.collection.is_some());
                row.filename.starts_with(prefix) && is_of
            };
            let mut expected: Vec<ContentId> = rows.iter().filter(fits).map(|row| row.id).collect();
            if order == PageOrder::Newest {
                expected.reverse();
            }
            let first: Vec<ContentId> = expected.iter().take(100).copied().collect();
            assert_eq!(ids(&catalog, &query).await, first, "{prefix} {order:?}");
            let Some(after) = expected.get(2) else {
                continue;
            };
            query.after = Some(*after);
            let second: Vec<ContentId> = expected.iter().skip(3).take(100).copied().collect();
            assert_eq!(ids(&catalog, &query).await, second, "{prefix} {order:?}");
        }
    }
}
