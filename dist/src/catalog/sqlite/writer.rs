//! The one connection that writes.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

use crate::catalog::error::QueryError;

/// How long the connection may be held for. What is done at a time is bounded, some tenths of a second; this
/// is for what was not foreseen: whoever keeps the office waits for the same connection.
const HOLD_TIME_MAX: Duration = Duration::from_secs(10);

/// So many of SQLite's instructions, some tenths of a millisecond, run between two looks at the clock.
const LOOK_AFTER: i32 = 100_000;

/// When a connection's statements are ended.
#[derive(Clone, Debug)]
pub(super) struct Deadline {
    made: Instant,
    after_ms: Arc<AtomicU64>,
}

impl Deadline {
    fn never() -> Self {
        Deadline {
            made: Instant::now(),
            after_ms: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Ends the connection's statements after so long from now on.
    pub(super) async fn set(
        connection: &mut SqliteConnection,
        time_max: Duration,
    ) -> Result<(), QueryError> {
        let deadline = Deadline::never();
        deadline.put_off(time_max);
        deadline.watch(connection).await
    }

    async fn watch(self, connection: &mut SqliteConnection) -> Result<(), QueryError> {
        let mut handle = connection.lock_handle().await;
        let handle = handle.as_mut().map_err(|error| name(error))?;
        handle.set_progress_handler(LOOK_AFTER, move || !self.is_over());
        Ok(())
    }

    fn put_off(&self, time_max: Duration) {
        let after = self.made.elapsed() + time_max;
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.after_ms.store(after_ms, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.made.elapsed().as_millis() >= u128::from(self.after_ms.load(Ordering::Relaxed))
    }
}

/// The connection that writes, and the lock that makes it the only one.
pub(crate) struct Writer {
    open: Mutex<Option<Open>>,
    deadline: Deadline,
}

struct Open {
    connection: SqliteConnection,
    /// Held until the connection is closed; the system gives the lock back with the file.
    _lock: File,
}

impl Writer {
    pub(super) async fn new(
        mut connection: SqliteConnection,
        lock: File,
    ) -> Result<Self, QueryError> {
        let deadline = Deadline::never();
        deadline.clone().watch(&mut connection).await?;
        let open = Open {
            connection,
            _lock: lock,
        };
        Ok(Writer {
            open: Mutex::new(Some(open)),
            deadline,
        })
    }

    /// Waits until nobody else writes. Statements that run for longer than [`HOLD_TIME_MAX`] fail.
    pub(crate) async fn hold(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, QueryError> {
        let open = self.open.lock().await;
        self.deadline.put_off(HOLD_TIME_MAX);
        MutexGuard::try_map(open, |open| open.as_mut().map(|open| &mut open.connection))
            .map_err(|_| QueryError::Unavailable("the database is closed".to_owned()))
    }

    /// Closes the connection, then gives up the lock.
    pub(super) async fn close(&self) {
        if let Some(open) = self.open.lock().await.take()
            && let Err(error) = open.connection.close().await
        {
            tracing::warn!(%error, "closing the catalog");
        }
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
                    | code::INTERRUPT
                    | code::IOERR
                    | code::FULL
                    | code::CANTOPEN,
                ) => QueryError::Unavailable(detail),
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

    // If this fails, a question that reads everything keeps others from the database for as long as it takes.
    #[tokio::test]
    async fn a_statement_ends_with_its_time() {
        let opened = SqliteConnection::connect("sqlite::memory:").await;
        let mut connection = opened.expect("opens");
        let endless = "with recursive n (i) as (select 1 union all select i + 1 from n)
                       select count(*) from n";
        let set = Deadline::set(&mut connection, Duration::from_millis(50));
        set.await.expect("set");
        let ended = sqlx::query(endless).execute(&mut connection).await;
        let error = name(&ended.expect_err("it is endless"));
        assert!(matches!(error, QueryError::Unavailable(_)), "{error}");
        let set = Deadline::set(&mut connection, Duration::from_secs(60));
        set.await.expect("set");
        let next = sqlx::query("select 1").execute(&mut connection).await;
        next.expect("the next one has its own");
    }
}
