//! Reading rows, pages and totals.

use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json;
use uuid::Uuid;
use wire::content::ContentRow;
use wire::{Checksum, ContentId, Epoch, Lsn, Position, Timestamp};

use super::instant::Instant as Stored;
use super::line::{in_time, is_ended, name};
use super::{AT_ONCE, Listed, PageQuery, PostgresCatalog, QueryError, ShardTotals};
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

const CONTENTS: &str = select_content!("id = any ($1)");

const PAGE: &str = select_content!(
    "($1::uuid is null or id > $1)
       and ($2::text is null or filename = $2)
       and ($3::text is null or collection = $3)
     order by id
     limit $4"
);

const PAGE_BACKWARDS: &str = select_content!(
    "($1::uuid is null or id < $1)
       and ($2::text is null or filename = $2)
       and ($3::text is null or collection = $3)
     order by id desc
     limit $4"
);

// All whose names begin so, by the index of names; put into the order of ids.
const PAGE_OF_NAMES: [&str; 2] = [
    select_content!(
        "id = any (array(select id from content
                          where filename >= $3 and ($4::text is null or filename < $4)))
           and ($1::uuid is null or id > $1)
           and ($2::text is null or collection = $2)
         order by id
         limit $5"
    ),
    select_content!(
        "id = any (array(select id from content
                          where filename >= $3 and ($4::text is null or filename < $4)))
           and ($1::uuid is null or id < $1)
           and ($2::text is null or collection = $2)
         order by id desc
         limit $5"
    ),
];

// In the order of ids, those whose names begin so: of many, a page is found soon. What is made of a name
// has no index.
const PAGE_AMONG_NAMES: [&str; 2] = [
    select_content!(
        "($1::uuid is null or id > $1)
           and ($2::text is null or collection = $2)
           and (filename || '') >= $3
           and ($4::text is null or (filename || '') < $4)
         order by id
         limit $5"
    ),
    select_content!(
        "($1::uuid is null or id < $1)
           and ($2::text is null or collection = $2)
           and (filename || '') >= $3
           and ($4::text is null or (filename || '') < $4)
         order by id desc
         limit $5"
    ),
];

const COUNT_NAMES: &str = "
    select count(*)
      from (select 1 from content
             where filename >= $1 and ($2::text is null or filename < $2)
             limit $3) named";

// A page begins at a name, and there after an id: none is less than the nil id, and none greater
// than the first name that is not shown any more. Both at once bound the index: equal names that were
// shown are not read again.
const PAGE_BY_NAME: &str = select_content!(
    "(filename, id) > ($2, $1) and filename < $3
       and ($4::text is null or collection = $4)
     order by filename, id
     limit $5"
);

const PAGE_BY_NAME_BACKWARDS: &str = select_content!(
    "(filename, id) < ($3, $1) and filename >= $2
       and ($4::text is null or collection = $4)
     order by filename desc, id desc
     limit $5"
);

const TOTALS: &str = "select id, listed_epoch, listed_lsn, contents, bytes from shard order by id";

impl PostgresCatalog {
    pub(super) async fn read_contents(&self, ids: &[ContentId]) -> Result<Vec<Listed>, QueryError> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
        let rows = read(&self.readers, || sqlx::query(CONTENTS).bind(&ids)).await?;
        rows.iter().map(listed).collect()
    }

    pub(super) async fn read_page(&self, query: &PageQuery) -> Result<Vec<Listed>, QueryError> {
        let page = self.read_page_in_order(query).await;
        page.map_err(|error| in_page(error, query))
    }

    async fn read_page_in_order(&self, query: &PageQuery) -> Result<Vec<Listed>, QueryError> {
        if let Some((statement, range)) = by_name(query) {
            return self.read_page_by_name(query, statement, range).await;
        }
        let exact = match &query.filename {
            Some(NameFilter::Prefix(prefix)) => {
                return self.read_page_of_names(query, prefix).await;
            }
            Some(NameFilter::Exactly(name)) => Some(name.as_str()),
            None => None,
        };
        let page = if query.order.is_backwards() {
            PAGE_BACKWARDS
        } else {
            PAGE
        };
        // Not kept as a prepared statement: with the values at hand the planner drops the
        // conditions that are null, and chooses the index by those that are left.
        let statement = || {
            sqlx::query(page)
                .bind(query.after.map(ContentId::uuid))
                .bind(exact)
                .bind(query.collection.as_deref())
                .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
                .persistent(false)
        };
        let rows = read(&self.readers, statement).await?;
        rows.iter().map(listed).collect()
    }

    /// In an order by id: the index of names finds few of them, that of ids a page of many.
    async fn read_page_of_names(
        &self,
        query: &PageQuery,
        prefix: &str,
    ) -> Result<Vec<Listed>, QueryError> {
        let below = upper_bound(prefix);
        let count = || {
            let count = sqlx::query(COUNT_NAMES).bind(prefix).bind(below.as_deref());
            count.bind(NAMES_MAX + 1).persistent(false)
        };
        let count: i64 = match read(&self.readers, count).await?.first() {
            Some(row) => row.try_get(0).map_err(|error| name(&error))?,
            None => 0,
        };
        let pages = match count > NAMES_MAX {
            true => PAGE_AMONG_NAMES,
            false => PAGE_OF_NAMES,
        };
        let statement = || {
            sqlx::query(pages[usize::from(query.order.is_backwards())])
                .bind(query.after.map(ContentId::uuid))
                .bind(query.collection.as_deref())
                .bind(prefix)
                .bind(below.as_deref())
                .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
                .persistent(false)
        };
        let rows = read(&self.readers, statement).await?;
        rows.iter().map(listed).collect()
    }

    async fn read_page_by_name(
        &self,
        query: &PageQuery,
        page: &'static str,
        NameRange { from, below }: NameRange,
    ) -> Result<Vec<Listed>, QueryError> {
        let statement = || {
            sqlx::query(page)
                .bind(query.after.map_or(Uuid::nil(), ContentId::uuid))
                .bind(&from)
                .bind(&below)
                .bind(query.collection.as_deref())
                .bind(i64::try_from(query.limit).unwrap_or(i64::MAX))
                .persistent(false)
        };
        let rows = read(&self.readers, statement).await?;
        rows.iter().map(listed).collect()
    }

    pub(super) async fn read_totals(&self) -> Result<Vec<ShardTotals>, QueryError> {
        read(&self.readers, || sqlx::query(TOTALS))
            .await?
            .iter()
            .map(totals)
            .collect()
    }
}

/// The statement of an order by name, and the names that it reads. One name alone has no such order.
fn by_name(query: &PageQuery) -> Option<(&'static str, NameRange)> {
    let range = NameRange::of_page(query)?;
    let statement = if query.order.is_backwards() {
        PAGE_BY_NAME_BACKWARDS
    } else {
        PAGE_BY_NAME
    };
    Some((statement, range))
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// So much faster than ours may the server's clock have run while it ended a statement.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_millis(100);

/// Runs a query on a pooled connection. One that died while nobody used it is replaced; as many
/// may have died as there are.
pub(super) async fn read<'q>(
    pool: &PgPool,
    query: impl Fn() -> Query<'q>,
) -> Result<Vec<PgRow>, QueryError> {
    let mut tries_left = pool.size() + 1;
    loop {
        let begun = Instant::now();
        let mut connection = pool.acquire().await.map_err(|error| name(&error))?;
        let asked = Instant::now();
        let outcome = in_time(query().fetch_all(&mut *connection)).await;
        let error = match outcome {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) if is_ended(&error) => {
                // Whoever ended it does not want it to begin again.
                tries_left = 1;
                ended(&error, asked.elapsed())
            }
            Ok(Err(error)) => name(&error),
            Err(_) => {
                tries_left = 1;
                QueryError::Unavailable("the query takes too long".to_owned())
            }
        };
        // Its state is unknown.
        drop(connection.detach());
        tries_left -= 1;
        let died_unused = begun.elapsed() < AT_ONCE;
        if tries_left == 0 || !died_unused || !matches!(error, QueryError::Unavailable(_)) {
            return Err(error);
        }
    }
}

/// What it means that the server ended a statement: one that took as long as it may was too long, any other was
/// ended by somebody, as a server that ends would do it.
fn ended(error: &sqlx::Error, took: Duration) -> QueryError {
    match took + CLOCKS_DIFFER_MAX >= PAGE_TIME_MAX {
        true => QueryError::Ended(error.to_string()),
        false => name(error),
    }
}

fn listed(row: &PgRow) -> Result<Listed, QueryError> {
    let unreadable = |error: sqlx::Error| name(&error);
    let number = |index: usize, column| {
        row.try_get::<i64, _>(index)
            .map_err(unreadable)
            .and_then(|n| from_column(n, column))
    };
    let instant = |index: usize, column| {
        let Stored(since_epoch_ms) = row.try_get(index).map_err(unreadable)?;
        from_column(since_epoch_ms, column).map(Timestamp)
    };
    let id: Uuid = row.try_get(0).map_err(unreadable)?;
    let checksum: &str = row.try_get(4).map_err(unreadable)?;
    let attributes: Option<Json<_>> = row.try_get(7).map_err(unreadable)?;
    Ok(Listed {
        row: ContentRow {
            id: ContentId::from_uuid(id).map_err(|error| corrupt("id", &error))?,
            filename: row.try_get(1).map_err(unreadable)?,
            size: number(2, "size")?,
            content_type: row.try_get(3).map_err(unreadable)?,
            checksum: checksum
                .parse::<Checksum>()
                .map_err(|error| corrupt("checksum", &error))?,
            version: number(5, "version")?,
            collection: row.try_get(6).map_err(unreadable)?,
            attributes: attributes.map(|Json(map)| map),
            created_date: instant(8, "created_at")?,
            updated_date: instant(9, "updated_at")?,
        },
        status: status_from_text(row.try_get(10).map_err(unreadable)?)?,
    })
}

fn totals(row: &PgRow) -> Result<ShardTotals, QueryError> {
    let number = |index: usize, column| {
        row.try_get::<i64, _>(index)
            .map_err(|error| name(&error))
            .and_then(|n| from_column(n, column))
    };
    let shard: i32 = row.try_get(0).map_err(|error| name(&error))?;
    Ok(ShardTotals {
        shard: shard_from_column(i64::from(shard))?,
        listed: Position {
            epoch: Epoch(number(1, "listed_epoch")?),
            lsn: Lsn(number(2, "listed_lsn")?),
        },
        contents: number(3, "contents")?,
        bytes: number(4, "bytes")?,
    })
}

fn corrupt(column: &'static str, error: &dyn std::error::Error) -> QueryError {
    QueryError::Corrupt {
        column,
        detail: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_BY_NAME, PAGE_BY_NAME_BACKWARDS, read};
    use crate::catalog::QueryError;
    use pgtest::Postgres;
    use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
    use std::time::{Duration, Instant};
    use uuid::Uuid;

    // If this fails, turning pages by name takes longer with each page where many names are equal.
    #[tokio::test]
    async fn a_page_by_name_begins_where_the_last_one_ended() {
        let url = Postgres::shared().fresh_database().expect("a database");
        let mut database = PgConnection::connect(&url).await.expect("opens");
        let migrated = sqlx::migrate!("../migrations/postgres").run(&mut database);
        migrated.await.expect("migrates");
        // An empty table is read whole otherwise.
        for other in ["set enable_seqscan = off", "set enable_bitmapscan = off"] {
            let set = sqlx::query(other).execute(&mut database);
            set.await.expect("is set");
        }
        for page in [PAGE_BY_NAME, PAGE_BY_NAME_BACKWARDS] {
            let plan = sqlx::query(AssertSqlSafe(format!("explain {page}")))
                .bind(Uuid::nil())
                .bind("a")
                .bind("b")
                .bind(None::<&str>)
                .bind(1_i64)
                .fetch_all(&mut database);
            let lines = plan.await.expect("a plan").into_iter();
            let lines: Vec<String> = lines.map(|row| row.get(0)).collect();
            let bound = |line: &String| line.contains("Index Cond: ((ROW(filename, id) ");
            assert!(lines.iter().any(bound), "{lines:?}");
            assert!(!lines.iter().any(|line| line.contains("Sort")), "{lines:?}");
        }
    }

    // If this fails, questions that nobody waits for any more keep the database busy, one for each
    // connection.
    #[tokio::test]
    async fn the_server_ends_what_takes_too_long() {
        let url = Postgres::shared().fresh_database().expect("a database");
        let (catalog, _) = super::super::open(&url).await.expect("opens");
        // Several connections are open: each might be taken for one that had died.
        let short = || sqlx::query("select pg_sleep(0.2)");
        let readers = &catalog.readers;
        let some = tokio::join!(read(readers, short), read(readers, short));
        assert!(some.0.is_ok() && some.1.is_ok());
        let begun = Instant::now();
        let outcome = read(readers, || sqlx::query("select pg_sleep(60)")).await;
        let Err(QueryError::Ended(detail)) = outcome else {
            panic!("it slept");
        };
        assert!(detail.contains("statement timeout"), "{detail}");
        assert!(begun.elapsed() < Duration::from_secs(7), "once");
    }

    // If this fails, who asks for a page while an administrator ends statements is told that the page reads too
    // much, and not to ask again.
    #[tokio::test]
    async fn what_an_administrator_ends_was_not_too_long() {
        let url = Postgres::shared().fresh_database().expect("a database");
        let (catalog, _) = super::super::open(&url).await.expect("opens");
        let reading = tokio::spawn(async move {
            read(&catalog.readers, || sqlx::query("select pg_sleep(60)")).await
        });
        let mut administrator = PgConnection::connect(&url).await.expect("opens");
        let cancel = "select count(pg_cancel_backend(pid)) from pg_stat_activity
                       where datname = current_database() and query = 'select pg_sleep(60)'";
        loop {
            let cancelled = sqlx::query_scalar(cancel).fetch_one(&mut administrator);
            let cancelled: i64 = cancelled.await.expect("cancels");
            if cancelled > 0 {
                break;
            }
        }
        let outcome = reading.await.expect("it ran");
        assert!(
            matches!(outcome, Err(QueryError::Unavailable(_))),
            "{outcome:?}"
        );
    }
}
