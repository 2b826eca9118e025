//! The catalog's contract: one suite for PostgreSQL and for SQLite.

mod bounds;

use crate::support::{Fresh, ask, at, brief, follow, row, upserts};
use dist::catalog::{AdoptError, Catalog, Listed, NameFilter, OpenError, PageQuery, open};
use serde_json::json;
use std::sync::Arc;
use uuid::Uuid;
use wire::content::{ContentRow, Status};
use wire::listing::{ListedOperation, ListingPart, ListingStep};
use wire::{ContentId, Position, ShardNo, Timestamp};

crate::on_both_databases!(
    rows_come_back_as_they_were,
    parts_that_do_not_match_are_skipped_alone,
    a_part_sent_twice_is_applied_once,
    counts_and_bytes_equal_the_rows,
    the_last_operation_on_an_id_decides,
    a_refused_row_is_listed_as_unlistable,
    walks_replace_a_shard,
    an_interrupted_walk_changes_no_position,
    contents_are_found_together,
    pages_are_complete_and_in_order,
    pages_filter_by_name_and_collection,
    two_listings_at_once_agree,
    the_cluster_is_remembered,
    a_rebuild_needs_an_empty_database,
);

/// Nothing is at the start of a log.
fn start() -> Position {
    Position::default()
}

fn live(
    shard: u16,
    (after, at): (Position, Position),
    first: bool,
    rows: Vec<ContentRow>,
) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::Live {
            after,
            at,
            first,
            rows,
        },
    }
}

fn live_end(shard: u16, (after, at): (Position, Position), rows: u64) -> ListingPart {
    ListingPart {
        shard: ShardNo(shard),
        step: ListingStep::LiveEnd { after, at, rows },
    }
}

async fn all(catalog: &Arc<dyn Catalog>) -> Vec<ContentRow> {
    let query = PageQuery {
        limit: 10_000,
        ..PageQuery::default()
    };
    let page = catalog.page(&query).await.expect("a page");
    page.into_iter().map(|listed| listed.row).collect()
}

/// One content's row, if it is listed.
async fn only(catalog: &Arc<dyn Catalog>, id: ContentId) -> Option<Listed> {
    let found = catalog.contents(&[id]).await.expect("an answer");
    assert!(found.len() <= 1, "{found:?}");
    found.into_iter().next()
}

/// The sums of the shard table must be those of the rows.
async fn check_totals(catalog: &Arc<dyn Catalog>) {
    let rows = all(catalog).await;
    for totals in catalog.totals().await.expect("totals") {
        let own = || rows.iter().filter(|row| row.id.shard() == totals.shard);
        assert_eq!(totals.contents, own().count() as u64, "{totals:?}");
        assert_eq!(
            totals.bytes,
            own().map(|row| row.size).sum::<u64>(),
            "{totals:?}"
        );
    }
}

// If this fails, a file comes back under another name, date or size than it was stored with.
async fn rows_come_back_as_they_were(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let mut odd = row(1, 1);
    odd.filename = "../../été 🎉 \"x\\y'; drop table content; --.txt".to_owned();
    odd.collection = Some("photos".to_owned());
    odd.attributes = json!({"a": [1, null, "é"], "b": {"c": 1.5}})
        .as_object()
        .cloned();
    odd.size = 1 << 40;
    odd.version = 7;
    odd.created_date = Timestamp(1);
    odd.updated_date = Timestamp(221_845_391_999_999);
    let mut plain = row(65535, 2);
    plain.filename = "x".repeat(1024);
    let parts = [
        upserts(1, start(), at(1, 2), [odd.clone()]),
        upserts(65535, start(), at(1, 2), [plain.clone()]),
    ];
    catalog.list(&parts).await.expect("listed");
    for expected in [odd, plain] {
        let listed = only(&catalog, expected.id).await.expect("a row");
        assert_eq!((listed.row, listed.status), (expected, Status::Ok));
    }
    assert_eq!(only(&catalog, row(1, 99).id).await, None);
}

// If this fails, whoever asks beside others gets another one's content, or none.
async fn contents_are_found_together(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let rows: Vec<ContentRow> = (1..=300).map(|number| row(1, number)).collect();
    let parts = [upserts(1, start(), at(1, 300), rows.clone())];
    catalog.list(&parts).await.expect("listed");
    // Every third, some of them twice, beside some that are not there.
    let wanted = rows.iter().step_by(3).map(|row| row.id);
    let twice = wanted.clone().take(10);
    let absent = (1000..1010).map(|number| row(1, number).id);
    let ids: Vec<ContentId> = wanted.clone().chain(absent).chain(twice).collect();
    let found = catalog.contents(&ids).await.expect("an answer");
    let mut found: Vec<ContentId> = found.iter().map(|listed| listed.row.id).collect();
    found.sort();
    assert_eq!(found, wanted.collect::<Vec<_>>());
    assert_eq!(catalog.contents(&[]).await.expect("an answer"), []);
}

// If this fails, one confused node stops the listing of all others, or the catalog gets holes.
async fn parts_that_do_not_match_are_skipped_alone(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let parts = [
        upserts(1, start(), at(1, 5), [row(1, 1)]),
        upserts(2, at(1, 3), at(1, 5), [row(2, 1)]),
        ask(3),
        upserts(4, start(), at(1, 9), [row(4, 1)]),
    ];
    let outcomes = catalog.list(&parts).await.expect("listed");
    let expected = [
        (1, true, at(1, 5)),
        (2, false, start()),
        (3, true, start()),
        (4, true, at(1, 9)),
    ];
    assert_eq!(brief(&outcomes), expected);
    assert_eq!(all(&catalog).await, [row(1, 1), row(4, 1)]);

    // The same lsn in another epoch is another record.
    let other_epoch = [upserts(1, at(2, 5), at(2, 6), [row(1, 2)]), ask(4)];
    let outcomes = catalog.list(&other_epoch).await.expect("listed");
    assert_eq!(
        brief(&outcomes),
        [(1, false, at(1, 5)), (4, true, at(1, 9))]
    );
    check_totals(&catalog).await;
}

// If this fails, a lost answer doubles counts, or brings back what was deleted since.
async fn a_part_sent_twice_is_applied_once(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let first = [upserts(1, start(), at(1, 2), [row(1, 1), row(1, 2)])];
    let second = [follow(
        1,
        at(1, 2),
        at(1, 3),
        vec![ListedOperation::Delete(row(1, 1).id)],
    )];
    for (parts, applied) in [
        (&first, true),
        (&first, false),
        (&second, true),
        (&first, false),
    ] {
        let outcomes = catalog.list(parts).await.expect("listed");
        assert_eq!(outcomes[0].applied, applied);
    }
    assert_eq!(all(&catalog).await, [row(1, 2)]);
    check_totals(&catalog).await;
}

// If this fails, the statistics of a cluster drift away from what is stored.
async fn counts_and_bytes_equal_the_rows(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let insert: Vec<ContentRow> = (1..=50).map(|number| row(1, number)).collect();
    let mut grown = row(1, 3);
    grown.size = 1_000_000;
    grown.version = 2;
    let mixed = vec![
        ListedOperation::Upsert(grown),
        ListedOperation::Delete(row(1, 7).id),
        ListedOperation::Delete(row(1, 999).id),
        ListedOperation::Upsert(row(1, 51)),
    ];
    let other = [upserts(2, start(), at(1, 1), [row(2, 1)])];
    for parts in [
        &[upserts(1, start(), at(1, 50), insert)][..],
        &other,
        &[follow(1, at(1, 50), at(1, 54), mixed)],
        &[follow(1, at(1, 54), at(2, 55), Vec::new())],
    ] {
        assert!(catalog.list(parts).await.expect("listed")[0].applied);
        check_totals(&catalog).await;
    }
    let totals = catalog.totals().await.expect("totals");
    assert_eq!(totals.len(), 2);
    assert_eq!((totals[0].shard, totals[0].contents), (ShardNo(1), 50));
    assert_eq!(totals[0].listed, at(2, 55));
}

// If this fails, an update and a delete that reach the catalog together leave the wrong one.
async fn the_last_operation_on_an_id_decides(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let mut second = row(1, 1);
    second.version = 2;
    let operations = vec![
        ListedOperation::Upsert(row(1, 1)),
        ListedOperation::Upsert(row(1, 2)),
        ListedOperation::Upsert(second.clone()),
        ListedOperation::Delete(row(1, 2).id),
    ];
    catalog
        .list(&[follow(1, start(), at(1, 4), operations)])
        .await
        .expect("listed");
    assert_eq!(all(&catalog).await, [second]);
    check_totals(&catalog).await;
}

// If this fails, one record that the database refuses keeps all later ones out of the catalog.
async fn a_refused_row_is_listed_as_unlistable(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let mut rows: Vec<ContentRow> = (1..=40).map(|number| row(1, number)).collect();
    rows[7].filename = String::new();
    rows[8].size = u64::MAX;
    rows[30].filename = "x".repeat(1025);
    let bad = [rows[7].id, rows[8].id, rows[30].id];
    let parts = [
        upserts(1, start(), at(1, 40), rows),
        upserts(2, start(), at(1, 1), [row(2, 1)]),
    ];
    let outcomes = catalog.list(&parts).await.expect("listed");
    assert_eq!(
        brief(&outcomes),
        [(1, true, at(1, 40)), (2, true, at(1, 1))]
    );
    assert_eq!(outcomes[0].unlistable, bad);
    assert!(outcomes[1].unlistable.is_empty());
    assert_eq!(all(&catalog).await.len(), 41);
    for id in bad {
        let listed = only(&catalog, id).await.expect("a row");
        assert_eq!(listed.status, Status::Unlistable);
        assert!(!listed.row.filename.is_empty());
    }
    check_totals(&catalog).await;

    let mut in_walk = row(1, 50);
    in_walk.filename = String::new();
    let walk = [live(
        1,
        (at(1, 40), at(2, 60)),
        true,
        vec![in_walk.clone(), row(1, 51)],
    )];
    let outcomes = catalog.list(&walk).await.expect("shown");
    assert_eq!(
        (outcomes[0].applied, &outcomes[0].unlistable[..]),
        (true, &[in_walk.id][..])
    );
    assert!(
        catalog
            .list(&[live_end(1, (at(1, 40), at(2, 60)), 2)])
            .await
            .expect("ended")[0]
            .applied
    );
    check_totals(&catalog).await;
}

// If this fails, a catalog restored from a backup shows what was deleted since.
async fn walks_replace_a_shard(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let old = [
        upserts(1, start(), at(1, 9), (1..=9).map(|number| row(1, number))),
        upserts(2, start(), at(1, 2), [row(2, 1)]),
    ];
    catalog.list(&old).await.expect("listed");
    let mut updated = row(1, 3);
    updated.version = 2;
    updated.size = 5;
    let end = at(4, 80);
    let shown = [live(
        1,
        (at(1, 9), end),
        true,
        vec![updated.clone(), row(1, 20)],
    )];
    let outcomes = catalog.list(&shown).await.expect("shown");
    assert_eq!(brief(&outcomes), [(1, true, at(1, 9))]);
    check_totals(&catalog).await;
    let more = [live(1, (at(1, 9), end), false, vec![row(1, 21)]), ask(2)];
    assert_eq!(
        brief(&catalog.list(&more).await.expect("shown")),
        [(1, true, at(1, 9)), (2, true, at(1, 2))]
    );
    let outcomes = catalog
        .list(&[live_end(1, (at(1, 9), end), 3)])
        .await
        .expect("ended");
    assert_eq!(brief(&outcomes), [(1, true, end)]);
    let mut expected = vec![updated, row(1, 20), row(1, 21), row(2, 1)];
    expected.sort_by_key(|row| row.id);
    assert_eq!(all(&catalog).await, expected);
    check_totals(&catalog).await;
    let on = [upserts(1, end, at(4, 81), [row(1, 30)])];
    assert!(catalog.list(&on).await.expect("listed")[0].applied);
}

// If this fails, contents vanish from the catalog because a walk lost one of its parts.
async fn an_interrupted_walk_changes_no_position(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    catalog
        .list(&[upserts(1, start(), at(1, 2), [row(1, 1)])])
        .await
        .expect("listed");
    let not_applied = async |part: ListingPart, why: &str| {
        let outcomes = catalog.list(&[part]).await.expect("an answer");
        assert_eq!(brief(&outcomes), [(1, false, at(1, 2))], "{why}");
    };
    not_applied(
        live(1, (at(1, 2), at(2, 9)), false, vec![row(1, 2)]),
        "no walk was begun",
    )
    .await;
    not_applied(live_end(1, (at(1, 2), at(2, 9)), 0), "no walk was begun").await;
    catalog
        .list(&[live(1, (at(1, 2), at(2, 9)), true, vec![row(1, 2)])])
        .await
        .expect("shown");
    not_applied(
        live(1, (at(1, 2), at(2, 10)), false, vec![row(1, 3)]),
        "another walk",
    )
    .await;
    not_applied(live_end(1, (at(1, 2), at(2, 9)), 2), "a part was lost").await;
    not_applied(live_end(1, (at(1, 2), at(2, 10)), 1), "another walk").await;
    assert_eq!(all(&catalog).await, [row(1, 1), row(1, 2)]);

    // Begun anew, it forgets what it had shown.
    catalog
        .list(&[live(1, (at(1, 2), at(2, 11)), true, vec![row(1, 3)])])
        .await
        .expect("shown");
    assert!(
        catalog
            .list(&[live_end(1, (at(1, 2), at(2, 11)), 1)])
            .await
            .expect("ended")[0]
            .applied
    );
    assert_eq!(all(&catalog).await, [row(1, 3)]);
    // What a node gave up long ago may still arrive, and shows nothing any more.
    let late = [
        live(1, (at(1, 2), at(2, 9)), true, vec![row(1, 2)]),
        live_end(1, (at(1, 2), at(2, 11)), 1),
    ];
    for part in late {
        let outcomes = catalog.list(&[part]).await.expect("an answer");
        assert_eq!(brief(&outcomes), [(1, false, at(2, 11))]);
    }
    assert_eq!(all(&catalog).await, [row(1, 3)]);
    check_totals(&catalog).await;
}

// If this fails, somebody who pages through the catalog misses contents or sees them twice.
async fn pages_are_complete_and_in_order(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let rows: Vec<ContentRow> = (1..=25).map(|number| row(1, number)).collect();
    catalog
        .list(&[upserts(1, start(), at(1, 25), rows.clone())])
        .await
        .expect("listed");
    let mut query = PageQuery {
        limit: 10,
        ..PageQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = catalog.page(&query).await.expect("a page");
        let Some(last) = page.last() else { break };
        query.after = Some(last.row.id);
        assert!(page.len() <= 10);
        seen.extend(page.into_iter().map(|listed| listed.row));
    }
    assert_eq!(seen, rows);
}

// If this fails, a search by name or collection shows the wrong files.
async fn pages_filter_by_name_and_collection(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let names = [
        "a%b.txt",
        "a_b.txt",
        "aXb.txt",
        "b.txt",
        "a",
        "a\u{10ffff}z",
        "A",
    ];
    let rows: Vec<ContentRow> = (1..)
        .zip(names)
        .map(|(number, name)| {
            let mut row = row(1, number);
            row.filename = name.to_owned();
            row.collection = (number % 2 == 0).then(|| "even".to_owned());
            row
        })
        .collect();
    catalog
        .list(&[upserts(1, start(), at(1, 9), rows.clone())])
        .await
        .expect("listed");
    let found = async |filename: Option<NameFilter>, collection: Option<&str>, after, limit| {
        let query = PageQuery {
            after,
            limit,
            filename,
            collection: collection.map(str::to_owned),
            ..PageQuery::default()
        };
        let page = catalog.page(&query).await.expect("a page");
        page.into_iter()
            .map(|listed| listed.row.filename)
            .collect::<Vec<_>>()
    };
    let exactly = |name: &str| Some(NameFilter::Exactly(name.to_owned()));
    let prefix = |name: &str| Some(NameFilter::Prefix(name.to_owned()));
    assert_eq!(found(exactly("a_b.txt"), None, None, 10).await, ["a_b.txt"]);
    assert_eq!(found(prefix("a_"), None, None, 10).await, ["a_b.txt"]);
    assert_eq!(found(prefix("a%"), None, None, 10).await, ["a%b.txt"]);
    assert_eq!(
        found(prefix("a"), None, None, 2).await,
        ["a%b.txt", "a_b.txt"]
    );
    let rest = ["aXb.txt", "a", "a\u{10ffff}z"];
    assert_eq!(found(prefix("a"), None, Some(rows[1].id), 10).await, rest);
    assert_eq!(found(prefix(""), None, None, 10).await, names);
    assert_eq!(
        found(None, Some("even"), None, 10).await,
        ["a_b.txt", "b.txt", "a\u{10ffff}z"]
    );
    assert_eq!(
        found(None, Some("even"), Some(rows[1].id), 1).await,
        ["b.txt"]
    );
    assert_eq!(
        found(prefix("a"), Some("even"), None, 10).await,
        ["a_b.txt", "a\u{10ffff}z"]
    );
    assert_eq!(
        found(exactly("a"), Some("even"), None, 10).await,
        Vec::<String>::new()
    );
    assert_eq!(
        found(exactly("'; --"), None, None, 10).await,
        Vec::<String>::new()
    );
}

// If this fails, two distributors that list for one shard at once both count, or block each other.
async fn two_listings_at_once_agree(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    for round in 0..20_u64 {
        let shards = [1, 2, 3];
        let parts: Vec<ListingPart> = shards
            .map(|shard| {
                upserts(
                    shard,
                    position(round),
                    position(round + 1),
                    [row(shard, round)],
                )
            })
            .to_vec();
        let (first, second) = tokio::join!(catalog.list(&parts), catalog.list(&parts));
        let applied = |outcomes: &[wire::listing::ListingOutcome]| {
            outcomes.iter().filter(|outcome| outcome.applied).count()
        };
        let (first, second) = (first.expect("listed"), second.expect("listed"));
        assert_eq!(applied(&first) + applied(&second), 3, "round {round}");
    }
    check_totals(&catalog).await;
    assert_eq!(all(&catalog).await.len(), 60);
}

fn position(round: u64) -> Position {
    if round == 0 { start() } else { at(1, round) }
}

// If this fails, nodes are led by a database of another cluster after a restart.
async fn the_cluster_is_remembered(fresh: Fresh) {
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let catalog = fresh.open().await.catalog;
    let identity = catalog.identify(first).await.expect("an identity");
    assert_eq!(
        (identity.cluster, identity.new, identity.adopted),
        (first, true, false)
    );
    let again = catalog.identify(second).await.expect("an identity");
    assert_eq!((again.cluster, again.new), (first, false));
    catalog.close().await;
    let reopened = fresh.open().await.catalog;
    let identity = reopened.identify(second).await.expect("an identity");
    assert_eq!((identity.cluster, identity.new), (first, false));
}

// If this fails, a typo in a rebuild mixes two clusters in one catalog.
async fn a_rebuild_needs_an_empty_database(fresh: Fresh) {
    let (own, lost) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let catalog = fresh.open().await.catalog;
    // A distributor that was started on the empty database by mistake has left its UUID.
    catalog.identify(own).await.expect("an identity");
    catalog.adopt(lost).await.expect("nothing is lost by it");
    let identity = catalog.identify(own).await.expect("an identity");
    assert_eq!(
        (identity.cluster, identity.adopted, identity.new),
        (lost, true, false)
    );
    catalog
        .list(&[upserts(1, start(), at(1, 1), [row(1, 1)])])
        .await
        .expect("listed");
    catalog
        .adopt(lost)
        .await
        .expect("a rebuild goes on where it was interrupted");
    match catalog.adopt(own).await {
        Err(AdoptError::NotEmpty {
            cluster, contents, ..
        }) => {
            assert_eq!((cluster, contents), (lost, 1));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        catalog.identify(own).await.expect("an identity").cluster,
        lost
    );
}

// If this fails, two distributors write one SQLite file, and each undoes the other's work.
#[tokio::test]
async fn sqlite_serves_exactly_one_distributor() {
    let fresh = Fresh::sqlite();
    let first = fresh.open().await;
    assert!(matches!(
        open(&fresh.url).await.err(),
        Some(OpenError::InUse(_))
    ));
    first.catalog.close().await;
    fresh.open().await;
}

// If this fails, a typo in DATABASE_URL ends in a stack trace, or in a new empty catalog.
#[tokio::test]
async fn a_database_that_cannot_be_used_is_named_in_one_line() {
    let cases = [
        ("mysql://user:secret@host/x", "`mysql` is neither"),
        ("catalog.db", "is neither"),
        ("sqlite://", "needs a path"),
        ("sqlite:///proc/nothing/catalog.db", "/proc/nothing"),
        (
            "postgres://user:secret@127.0.0.1:1/x",
            "postgres://user@127.0.0.1:1/x cannot be reached",
        ),
    ];
    for (url, expected) in cases {
        let error = open(url).await.err().expect("refused").to_string();
        assert!(
            error.contains(expected) && !error.contains('\n'),
            "{url}: {error}"
        );
        assert!(!error.contains("secret"), "{url}: {error}");
    }
}
