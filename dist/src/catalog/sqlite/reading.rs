//! Reading rows, pages and totals.

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::types::Json;
use wire::content::ContentRow;
use wire::{ContentId, Epoch, Lsn, Position};

use super::writer::{name, set_deadline};
use super::{Listed, PageQuery, QueryError, ShardTotals, SqliteCatalog};
use crate::catalog::NameFilter;
use crate::catalog::listing::{from_column, shard_from_column, status_from_text};
use crate::catalog::prefix::{NAMES_MAX, NameRange, PAGE_TIME_MAX, in_page, upper_bound};

/// Every query of contents reads these columns, in this order.
macro_rules! select_content {
    ($conditions:literal) => {
        concat!(
            "select id, filename, size, content_type, checksum, version, collection, attributes,
                    created_at, updated_at, status
               from content where ",
            $conditions
        )
    };
}

const CONTENTS: &str = select_content!("id in (select value from json_each(?1))");

// SQLite plans before it knows the values, so each filter has a statement of its own, which its
// index answers.
// Forwards and backwards.
const PAGE: [&str; 2] = [
    select_content!("id > ?1 order by id limit ?2"),
    select_content!("id < ?1 order by id desc limit ?2"),
];

const PAGE_OF_COLLECTION: [&str; 2] = [
    select_content!("id > ?1 and collection = ?3 order by id limit ?2"),
    select_content!("id < ?1 and collection = ?3 order by id desc limit ?2"),
];

const PAGE_OF_NAME: [&str; 2] = [
    select_content!(
        "id > ?1 and filename = ?3 and (?4 is null or collection = ?4) order by id limit ?2"
    ),
    select_content!(
        "id < ?1 and filename = ?3 and (?4 is null or collection = ?4) order by id desc limit ?2"
    ),
];

const PAGE_OF_NAMES: [&str; 2] = [
    select_content!(
        "+id > ?1 and filename >= ?3 and (?5 is null or filename < ?5)
         and (?4 is null or collection = ?4) order by +id limit ?2"
    ),
    select_content!(
        "+id < ?1 and filename >= ?3 and (?5 is null or filename < ?5)
         and (?4 is null or collection = ?4) order by +id desc limit ?2"
    ),
];

// In the order of ids, those whose names begin so: of many, a page is found soon.
const PAGE_AMONG_NAMES: [&str; 2] = [
    select_content!(
        "id > ?1 and +filename >= ?3 and (?5 is null or +filename < ?5)
         and (?4 is null or collection = ?4) order by id limit ?2"
    ),
    select_content!(
        "id < ?1 and +filename >= ?3 and (?5 is null or +filename < ?5)
         and (?4 is null or collection = ?4) order by id desc limit ?2"
    ),
];

const COUNT_NAMES: &str = "
    select count(*)
      from (select 1 from content
             where filename >= ?1 and (?2 is null or filename < ?2)
             limit ?3)";

// A page begins at a name, and there after an id: none is less than an empty one, and none greater
// than the first name that is not shown any more. Both at once bound the index: equal names that were
// shown are not read again.
const PAGE_BY_NAME: [&str; 2] = [
    select_content!(
        "(filename, id) > (?3, ?1) and filename < ?5
         and (?4 is null or collection = ?4) order by filename, id limit ?2"
    ),
    select_content!(
        "(filename, id) < (?5, ?1) and filename >= ?3
         and (?4 is null or collection = ?4) order by filename desc, id desc limit ?2"
    ),
];

/// An id of no content, which is greater than all that are.
const BEYOND_IDS: &str = "g";

const TOTALS: &str = "select id, listed_epoch, listed_lsn, contents, bytes from shard order by id";

impl SqliteCatalog {
    pub(super) async fn read_contents(&self, ids: &[ContentId]) -> Result<Vec<Listed>, QueryError> {
        let rows = sqlx::query(CONTENTS)
            .bind(Json(ids))
            .fetch_all(&self.readers)
            .await
            .map_err(|error| name(&error))?;
        rows.iter().map(listed).collect()
    }

    pub(super) async fn read_page(&self, page: &PageQuery) -> Result<Vec<Listed>, QueryError> {
        let pager = self.pagers.acquire().await;
        let mut pager = pager.map_err(|error| name(&error))?;
        set_deadline(&mut pager, PAGE_TIME_MAX).await?;
        let rows = page_on(&mut pager, page).await;
        rows.map_err(|error| in_page(error, page))
    }

    pub(super) async fn read_totals(&self) -> Result<Vec<ShardTotals>, QueryError> {
        let rows = sqlx::query(TOTALS).fetch_all(&self.readers).await;
        rows.map_err(|error| name(&error))?
            .iter()
            .map(totals)
            .collect()
    }
}

async fn page_on(
    pager: &mut SqliteConnection,
    page: &PageQuery,
) -> Result<Vec<Listed>, QueryError> {
    let limit = i64::try_from(page.limit).unwrap_or(i64::MAX);
    let collection = page.collection.as_deref();
    let direction = usize::from(page.order.is_backwards());
    let by_name = NameRange::of_page(page);
    let first = match page.order.is_backwards() && by_name.is_none() {
        true => BEYOND_IDS.to_owned(),
        false => String::new(),
    };
    let after = page.after.map_or(first, |id| id.to_string());
    let statement = match (&by_name, &page.filename, collection) {
        (Some(_), _, _) => PAGE_BY_NAME,
        (None, None, None) => PAGE,
        (None, None, Some(_)) => PAGE_OF_COLLECTION,
        (None, Some(NameFilter::Exactly(_)), _) => PAGE_OF_NAME,
        (None, Some(NameFilter::Prefix(prefix)), _) => match are_many(pager, prefix).await? {
            true => PAGE_AMONG_NAMES,
            false => PAGE_OF_NAMES,
        },
    };
    let query = sqlx::query(statement[direction]).bind(after).bind(limit);
    let query = match (by_name, &page.filename) {
        (Some(NameRange { from, below }), _) => query.bind(from).bind(collection).bind(below),
        (None, None) if collection.is_some() => query.bind(collection),
        (None, None) => query,
        (None, Some(NameFilter::Exactly(name))) => query.bind(name).bind(collection),
        (None, Some(NameFilter::Prefix(prefix))) => query
            .bind(prefix)
            .bind(collection)
            .bind(upper_bound(prefix)),
    };
    let rows = query.fetch_all(pager).await.map_err(|error| name(&error))?;
    rows.iter().map(listed).collect()
}

/// Whether so many names begin so that a page of them is found sooner in the order of ids.
async fn are_many(pager: &mut SqliteConnection, prefix: &str) -> Result<bool, QueryError> {
    let count = sqlx::query_scalar(COUNT_NAMES).bind(prefix);
    let count = count.bind(upper_bound(prefix)).bind(NAMES_MAX + 1);
    let count: i64 = count.fetch_one(pager).await.map_err(|error| name(&error))?;
    Ok(count > NAMES_MAX)
}

fn listed(row: &SqliteRow) -> Result<Listed, QueryError> {
    let attributes: Option<&str> = get(row, 7)?;
    Ok(Listed {
        row: ContentRow {
            id: parsed(row, 0, "id")?,
            filename: get(row, 1)?,
            size: number(row, 2, "size")?,
            content_type: get(row, 3)?,
            checksum: parsed(row, 4, "checksum")?,
            version: number(row, 5, "version")?,
            collection: get(row, 6)?,
            attributes: attributes
                .map(serde_json::from_str)
                .transpose()
                .map_err(|error| QueryError::Corrupt {
                    column: "attributes",
                    detail: error.to_string(),
                })?,
            created_date: parsed(row, 8, "created_at")?,
            updated_date: parsed(row, 9, "updated_at")?,
        },
        status: status_from_text(get(row, 10)?)?,
    })
}

fn totals(row: &SqliteRow) -> Result<ShardTotals, QueryError> {
    Ok(ShardTotals {
        shard: shard_from_column(get(row, 0)?)?,
        listed: Position {
            epoch: Epoch(number(row, 1, "listed_epoch")?),
            lsn: Lsn(number(row, 2, "listed_lsn")?),
        },
        contents: number(row, 3, "contents")?,
        bytes: number(row, 4, "bytes")?,
    })
}

fn get<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, QueryError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(index).map_err(|error| name(&error))
}

fn number(row: &SqliteRow, index: usize, column: &'static str) -> Result<u64, QueryError> {
    from_column(get(row, index)?, column)
}

fn parsed<T>(row: &SqliteRow, index: usize, column: &'static str) -> Result<T, QueryError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    get::<&str>(row, index)?
        .parse()
        .map_err(|error: T::Err| QueryError::Corrupt {
            column,
            detail: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use super::{PAGE_AMONG_NAMES, PAGE_BY_NAME, PAGE_OF_NAMES};
    use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

    // If this fails, turning pages by name takes longer with each page where many names are equal.
    #[tokio::test]
    async fn a_page_by_name_begins_where_the_last_one_ended() {
        let database = SqliteConnection::connect("sqlite::memory:").await;
        let mut database = database.expect("opens");
        let migrated = sqlx::migrate!("../migrations/sqlite").run(&mut database);
        migrated.await.expect("migrates");
        for page in PAGE_BY_NAME {
            let question = format!("explain query plan {page}");
            let rows = sqlx::query(AssertSqlSafe(question)).fetch_all(&mut database);
            let [row] = &rows.await.expect("a plan")[..] else {
                panic!("{page} is more than one search");
            };
            let step: String = row.try_get(3).expect("its detail");
            assert!(step.contains("USING INDEX content_filename_idx"), "{step}");
            assert!(step.contains("(filename,id)"), "{step}");
        }
    }

    // If this fails, of names that begin alike each page reads all of many, or everything for few.
    #[tokio::test]
    async fn many_names_are_found_in_the_order_of_ids_and_few_by_their_index() {
        let database = SqliteConnection::connect("sqlite::memory:").await;
        let mut database = database.expect("opens");
        let migrated = sqlx::migrate!("../migrations/sqlite").run(&mut database);
        migrated.await.expect("migrates");
        let among = PAGE_AMONG_NAMES.map(|page| (page, "USING PRIMARY KEY (id", 1));
        let of = PAGE_OF_NAMES.map(|page| (page, "USING INDEX content_filename_idx (filename>", 2));
        for (page, index, steps) in among.into_iter().chain(of) {
            let question = format!("explain query plan {page}");
            let rows = sqlx::query(AssertSqlSafe(question)).fetch_all(&mut database);
            let rows = rows.await.expect("a plan");
            let step: String = rows[0].try_get(3).expect("its detail");
            assert!(step.contains(index), "{step}");
            assert_eq!(rows.len(), steps, "few are sorted, many are not: {page}");
        }
    }

    // If this fails, long pages keep the board, and with it elections, from the database.
    #[tokio::test]
    async fn others_do_not_wait_for_pages() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = super::super::open(&folder.path().join("catalog.db")).await;
        let (catalog, _) = opened.expect("opens");
        let mut pages = Vec::new();
        while let Some(page) = catalog.pagers.try_acquire() {
            pages.push(page);
        }
        assert!(!pages.is_empty());
        catalog.read_totals().await.expect("totals");
        catalog.read_contents(&[]).await.expect("contents");
        drop(pages);
        let page = catalog.read_page(&super::PageQuery::default()).await;
        assert!(page.expect("a page").is_empty());
    }
}
