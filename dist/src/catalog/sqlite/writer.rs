//! The one connection that writes.

use std::fs::File;
use std::time::{Duration, Instant};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use super::follow;
use crate::catalog::error::QueryError;

/// So many of SQLite's instructions, some tenths of a millisecond, run between two looks at the clock.
const LOOK_AFTER: i32 = 100_000;

/// Ends a connection's statements after so long from now on. For those that read: a transaction is rolled back
/// by what ends one of its statements.
pub(super) async fn set_deadline(
    connection: &mut SqliteConnection,
    time_max: Duration,
) -> Result<(), QueryError> {
    let begun = Instant::now();
    let mut handle = connection.lock_handle().await;
    let handle = handle.as_mut().map_err(|error| name(error))?;
    handle.set_progress_handler(LOOK_AFTER, move || begun.elapsed() < time_max);
    Ok(())
}

/// Opens a connection that can list.
pub(super) async fn connect(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    sqlx::query(follow::MAKE_MATCHED)
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// The connection that writes, and the lock that makes it the only one.
///
/// No statement is ended for the time that it takes: what is done at a time is bounded, so that it ends, and
/// what was ended would be sent again and take as long.
pub(crate) struct Writer {
    options: SqliteConnectOptions,
    open: Mutex<Option<Open>>,
}

struct Open {
    /// None after one that was thrown away, until there is another.
    connection: Option<SqliteConnection>,
    /// Held until the connection is closed; the system gives the lock back with the file.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        connection: SqliteConnection,
        lock: File,
    ) -> Self {
        let connection = Some(connection);
        let open = Mutex::new(Some(Open {
            connection,
            _lock: lock,
        }));
        Writer { options, open }
    }

    /// Waits until nobody else writes. The connection is in no transaction.
    pub(crate) async fn hold(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, QueryError> {
        let closed = || QueryError::Unavailable("the database is closed".to_owned());
        let mut open = self.open.lock().await;
        open.as_mut()
            .ok_or_else(closed)?
            .mend(&self.options)
            .await?;
        MutexGuard::try_map(open, |open| open.as_mut()?.connection.as_mut()).map_err(|_| closed())
    }

    /// Closes the connection, then gives up the lock.
    pub(super) async fn close(&self) {
        if let Some(open) = self.open.lock().await.take()
            && let Some(connection) = open.connection
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the catalog");
        }
    }
}

impl Open {
    /// Opens the connection anew if its last transaction has not ended.
    ///
    /// Where a write fails (a full disk, an error of the disk), SQLite rolls back by itself. The rollback that
    /// follows then fails, as there is nothing to roll back, the driver counts the transaction as open for
    /// ever, and refuses to begin another one.
    async fn mend(&mut self, options: &SqliteConnectOptions) -> Result<(), QueryError> {
        if let Some(connection) = &mut self.connection {
            // A transaction that was dropped is rolled back by and by: an answer comes after that.
            if !connection.is_in_transaction()
                || (connection.ping().await.is_ok() && !connection.is_in_transaction())
            {
                return Ok(());
            }
            tracing::warn!("a transaction of the catalog ended by itself: a new connection");
        }
        if let Some(stuck) = self.connection.take()
            && let Err(error) = stuck.close().await
        {
            tracing::warn!(%error, "closing the catalog's connection");
        }
        let fresh = connect(options).await.map_err(|error| name(&error))?;
        self.connection = Some(fresh);
        Ok(())
    }
}

/// The primary result codes of SQLite that mean something to a caller.
mod code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const READONLY: i64 = 8;
    pub(super) const INTERRUPT: i64 = 9;
    pub(super) const IOERR: i64 = 10;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const TOOBIG: i64 = 18;
    pub(super) const CONSTRAINT: i64 = 19;
    pub(super) const MISMATCH: i64 = 20;
}

/// Names what an error means for the caller.
pub(crate) fn name(error: &sqlx::Error) -> QueryError {
    let detail = error.to_string();
    match error {
        sqlx::Error::Database(database) => {
            // The low byte is the primary code, the rest says more than is needed here.
            let extended = database.code().and_then(|code| code.parse::<i64>().ok());
            match extended.map(|code| code & 0xff) {
                Some(code::CONSTRAINT | code::TOOBIG | code::MISMATCH) => {
                    QueryError::Refused(detail)
                }
                Some(
                    code::BUSY
                    | code::LOCKED
                    | code::READONLY
                    | code::IOERR
                    | code::FULL
                    | code::CANTOPEN,
                ) => QueryError::Unavailable(detail),
                Some(code::INTERRUPT) => QueryError::Ended(detail),
                _ => QueryError::Failed(detail),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => QueryError::Unavailable(detail),
        _ => QueryError::Failed(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use sqlx::AssertSqlSafe;
    use wire::ShardNo;
    use wire::listing::{ListingPart, ListingStep};

    // If this fails, a question that reads everything keeps others from the database for as long as it takes.
    #[tokio::test]
    async fn a_statement_ends_with_its_time() {
        let opened = SqliteConnection::connect("sqlite::memory:").await;
        let mut connection = opened.expect("opens");
        let endless = "with recursive n (i) as (select 1 union all select i + 1 from n)
                       select count(*) from n";
        let set = set_deadline(&mut connection, Duration::from_millis(50));
        set.await.expect("set");
        let ended = sqlx::query(endless).execute(&mut connection).await;
        let error = name(&ended.expect_err("it is endless"));
        assert!(matches!(error, QueryError::Ended(_)), "{error}");
        let set = set_deadline(&mut connection, Duration::from_secs(60));
        set.await.expect("set");
        let next = sqlx::query("select 1").execute(&mut connection).await;
        next.expect("the next one has its own");
    }

    /// Adds rows until the database has no room, in a transaction.
    async fn overfill(writer: &Writer) -> QueryError {
        let mut held = writer.hold().await.expect("the connection");
        let pages: i64 = sqlx::query_scalar("pragma page_count")
            .fetch_one(&mut *held)
            .await
            .expect("counted");
        let bound = format!("pragma max_page_count = {}", pages + 10);
        let bounded = sqlx::query(AssertSqlSafe(bound)).execute(&mut *held).await;
        bounded.expect("bounded");
        let begun = held.begin_with("begin immediate").await;
        let mut transaction = begun.expect("begins");
        loop {
            let add = "insert into draining (node) values (hex(randomblob(2000)))";
            if let Err(error) = sqlx::query(add).execute(&mut *transaction).await {
                return name(&error);
            }
        }
    }

    // If this fails, nothing is listed and no shard changes after the disk was full once, until somebody
    // restarts the distributor.
    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_is_followed_by_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = super::super::open(&folder.path().join("catalog.db")).await;
        let (catalog, writer) = opened.expect("opens");
        for _ in 0..2 {
            let full = overfill(&writer).await;
            assert!(matches!(full, QueryError::Unavailable(_)), "{full}");
            let mut held = writer.hold().await.expect("the connection");
            let next = held.begin_with("begin immediate").await;
            let mut next = next.expect("begins");
            let left: i64 = sqlx::query_scalar("select count(*) from draining")
                .fetch_one(&mut *next)
                .await
                .expect("counted");
            assert_eq!(left, 0, "it was rolled back");
            next.commit().await.expect("commits");
        }
        let part = ListingPart {
            shard: ShardNo(1),
            step: ListingStep::Ask,
        };
        catalog.list(&[part]).await.expect("it lists");
        catalog.close().await;
        assert!(writer.hold().await.is_err(), "it is closed");
    }

    // If this fails, a caller who gives up costs a new connection, or the next one finds his transaction.
    #[tokio::test]
    async fn a_transaction_that_was_dropped_is_rolled_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = super::super::open(&folder.path().join("catalog.db")).await;
        let (_catalog, writer) = opened.expect("opens");
        let mut held = writer.hold().await.expect("the connection");
        let only_here = "create temp table only_here (a)";
        let made = sqlx::query(only_here).execute(&mut *held).await;
        made.expect("made");
        let begun = held.begin_with("begin immediate").await;
        drop(begun.expect("begins"));
        drop(held);
        let mut held = writer.hold().await.expect("the connection");
        let begun = held.begin_with("begin immediate").await;
        let mut transaction = begun.expect("begins");
        let same = sqlx::query("select * from only_here").execute(&mut *transaction);
        same.await.expect("it is the same connection");
    }
}
