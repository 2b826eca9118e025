//! The orders of pages: complete, without repetition, on both databases.

use crate::support::{Fresh, Service, at, row, upserts};
use dist::catalog::{NameFilter, PageOrder, PageQuery};
use wire::Position;
use wire::content::ContentRow;

crate::on_both_databases!(
    pages_are_complete_in_every_order,
    the_next_page_is_named_over_http,
);

/// Names that are equal, begin alike, or lie at the edge of what can be written.
const NAMES: [&str; 8] = ["b", "a", "a", "ab", "a", "\u{10ffff}", "c", "ab"];

fn rows() -> Vec<ContentRow> {
    let named = |(number, name): (u64, &str)| ContentRow {
        filename: name.to_owned(),
        ..row(1, number)
    };
    (1..).zip(NAMES).map(named).collect()
}

fn sorted(order: PageOrder, rows: &[ContentRow]) -> Vec<ContentRow> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| match order.is_by_name() {
        true => (row.filename.clone(), row.id),
        false => (String::new(), row.id),
    });
    if matches!(order, PageOrder::Newest | PageOrder::NameBackwards) {
        rows.reverse();
    }
    rows
}

// If this fails, a file cannot be found by turning pages, or is shown twice.
async fn pages_are_complete_in_every_order(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let part = upserts(1, Position::default(), at(1, 9), rows());
    catalog.list(&[part]).await.expect("listed");
    let orders = [
        PageOrder::Oldest,
        PageOrder::Newest,
        PageOrder::Name,
        PageOrder::NameBackwards,
    ];
    for order in orders {
        for prefix in ["", "a", "ab", "\u{10ffff}", "x"] {
            let mut expected = sorted(order, &rows());
            expected.retain(|row| row.filename.starts_with(prefix));
            for limit in [1, 2, 3, 100] {
                let mut query = PageQuery {
                    limit,
                    order,
                    filename: (!prefix.is_empty()).then(|| NameFilter::Prefix(prefix.to_owned())),
                    ..PageQuery::default()
                };
                let mut found: Vec<ContentRow> = Vec::new();
                loop {
                    let page = catalog.page(&query).await.expect("a page");
                    let Some(last) = page.last() else { break };
                    query.after = Some(last.row.id);
                    query.after_name = order.is_by_name().then(|| last.row.filename.clone());
                    found.extend(page.into_iter().map(|listed| listed.row));
                }
                assert_eq!(found, expected, "{order:?}, `{prefix}`, {limit} a page");
            }
        }
    }
}

// If this fails, a client that turns pages by name begins again, or is refused.
async fn the_next_page_is_named_over_http(fresh: Fresh) {
    let catalog = fresh.open().await;
    let part = upserts(1, Position::default(), at(1, 9), rows());
    catalog.catalog.list(&[part]).await.expect("listed");
    catalog.catalog.close().await;
    drop(catalog);
    let dist = Service::start(fresh.config()).await;
    let mut path = "/content?sort=-name&limit=3&filename=a*".to_owned();
    let mut found = Vec::new();
    loop {
        let page = dist.json(&path).await;
        let items = page["items"].as_array().expect("items");
        found.extend(
            items
                .iter()
                .filter_map(|item| item["filename"].as_str().map(str::to_owned)),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        path = format!("/content?sort=-name&limit=3&filename=a*&after={next}");
    }
    assert_eq!(found, ["ab", "ab", "a", "a", "a"]);
    let newest = dist.json("/content?sort=-id&limit=1").await;
    assert_eq!(newest["items"][0]["id"], row(1, 8).id.to_string());
    let id = row(1, 1).id;
    for refused in ["sort=size".to_owned(), format!("sort=name&after={id}")] {
        let (status, _) = dist.ask("GET", &format!("/content?{refused}")).await;
        assert_eq!(status, 400, "{refused}");
    }
    dist.stop().await;
}
